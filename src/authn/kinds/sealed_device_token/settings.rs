//! Resolved settings of sealed device tokens.

use std::time::Duration;

use crate::crypto::{CompatibleCipher, SealingCipher, SharedKeyring};
use crate::domain::identity::WriteAccess;

/// How sealed device tokens are made and opened. The algorithm is deliberately not configurable.
#[derive(Debug)]
pub struct Settings {
    /// The key of the compatible form; without one, compatible tokens are neither made nor opened.
    pub v1_key: Option<CompatibleCipher>,
    /// The keys of our own form: the current one seals, all open.
    pub v2_keys: SharedKeyring<SealingCipher>,
    /// How long a new token lives.
    pub lifetime: Duration,
    /// What the upstream is told about writing.
    pub write_access: WriteAccess,
    /// Fewest characters of a device identifier, after trimming.
    pub min_identifier_chars: usize,
}

impl Settings {
    /// Lifetime of a token unless configured otherwise: 24 hours, as the compatible system has it.
    pub const DEFAULT_LIFETIME: Duration = Duration::from_secs(24 * 60 * 60);
    /// Fewest characters of an identifier unless configured otherwise.
    pub const DEFAULT_MIN_IDENTIFIER_CHARS: usize = 8;

    /// The defaults with these keys.
    pub fn new(v1_key: Option<CompatibleCipher>, v2_keys: SharedKeyring<SealingCipher>) -> Self {
        Self {
            v1_key,
            v2_keys,
            lifetime: Self::DEFAULT_LIFETIME,
            write_access: WriteAccess::Withheld,
            min_identifier_chars: Self::DEFAULT_MIN_IDENTIFIER_CHARS,
        }
    }
}
