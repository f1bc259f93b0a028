//! Resolved settings of user names with passwords.

use crate::crypto::BcryptCost;

/// How new passwords are stored.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The work factor of new digests, and of the work done for unknown users.
    pub bcrypt_cost: BcryptCost,
    /// Fewest characters of a new password.
    pub min_password_chars: usize,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            bcrypt_cost: BcryptCost::default(),
            min_password_chars: 12,
        }
    }
}
