//! The bytes of a basic credential: Base64 of `user:password` (RFC 7617), in UTF-8. Pure.

use base64::Engine;
use base64::engine::general_purpose::STANDARD_PAD_INDIFFERENT;
use zeroize::Zeroizing;

use crate::crypto::slow_digest;

/// Longest user name, in bytes.
pub const MAX_USER_BYTES: usize = 255;
/// Longest encoded credential that can hold both at their bounds, padding included.
const MAX_ENCODED_BYTES: usize = (MAX_USER_BYTES + 1 + slow_digest::MAX_SECRET_BYTES).div_ceil(3) * 4;

/// Not Base64 of UTF-8 with a colon, a control character in it, or longer than anything we store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Malformed;

/// A user name and a password as they came in; zeroed on drop.
pub struct UserPassword {
    text: Zeroizing<String>,
    colon: usize,
}

impl UserPassword {
    /// Decodes the credential. The first colon ends the user name; a password may hold more of them.
    pub fn parse(credential: &[u8]) -> Result<Self, Malformed> {
        if credential.len() > MAX_ENCODED_BYTES {
            return Err(Malformed);
        }
        let mut bytes = Zeroizing::new(Vec::with_capacity(MAX_ENCODED_BYTES));
        STANDARD_PAD_INDIFFERENT
            .decode_vec(credential, &mut bytes)
            .map_err(|_| Malformed)?;
        let text = std::str::from_utf8(&bytes).map_err(|_| Malformed)?;
        let (user, password) = text.split_once(':').ok_or(Malformed)?;
        check_user(user)?;
        if text.chars().any(char::is_control) || slow_digest::check_secret(password.as_bytes()).is_err() {
            return Err(Malformed);
        }
        Ok(Self {
            colon: user.len(),
            text: Zeroizing::new(text.to_owned()),
        })
    }

    /// The user name.
    pub fn user(&self) -> &str {
        self.text.get(..self.colon).unwrap_or_default()
    }

    /// The password.
    pub fn password(&self) -> &str {
        self.text
            .get(self.colon..)
            .and_then(|rest| rest.strip_prefix(':'))
            .unwrap_or_default()
    }
}

/// Whether a text can be a user name.
pub fn is_user(text: &str) -> bool {
    check_user(text).is_ok()
}

/// Whether a text can be a user name: no colon, no control character, not empty, at most 255 bytes.
pub(super) fn check_user(user: &str) -> Result<(), Malformed> {
    let fits = (1..=MAX_USER_BYTES).contains(&user.len());
    (fits && !user.contains(':') && !user.chars().any(char::is_control))
        .then_some(())
        .ok_or(Malformed)
}
