//! Stable names of things: principals, tenants, customers, credentials, keys, routes.
//!
//! An id is visible ASCII of a bounded length, so it can stand in a header line, a log line and a
//! database row without escaping. Parsing is the only way to make one from outside text. Cloning
//! shares the text. Nothing here knows what an id refers to.

use std::fmt;
use std::sync::Arc;

/// Longest id accepted, in bytes. A JWT `sub` of an external issuer is the longest in practice.
pub const MAX_ID_BYTES: usize = 255;

/// Why a text cannot be an id. The text itself is not kept: it may be part of a credential.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidId {
    /// The text was empty.
    #[error("empty; expected 1 to 255 visible ASCII characters")]
    Empty,
    /// The text was longer than [`MAX_ID_BYTES`].
    #[error("longer than 255 bytes; expected 1 to 255 visible ASCII characters")]
    TooLong,
    /// The text held a space, a control character or a byte outside ASCII.
    #[error("contains a space, control or non-ASCII character; expected 1 to 255 visible ASCII characters")]
    BadCharacter,
}

fn check(text: &str) -> Result<(), InvalidId> {
    match text.len() {
        0 => Err(InvalidId::Empty),
        n if n > MAX_ID_BYTES => Err(InvalidId::TooLong),
        _ if text.bytes().all(|b| (0x21..=0x7e).contains(&b)) => Ok(()),
        _ => Err(InvalidId::BadCharacter),
    }
}

macro_rules! id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $name(Arc<str>);

        impl $name {
            /// Checks the text and makes an id of it.
            pub fn parse(text: &str) -> Result<Self, InvalidId> {
                check(text)?;
                Ok(Self(Arc::from(text)))
            }

            /// A new random id (UUID version 7: sorts by time of making).
            pub fn random() -> Self {
                Self(Arc::from(uuid::Uuid::now_v7().to_string()))
            }

            /// The text of the id.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}({})", stringify!($name), &self.0)
            }
        }

        impl std::str::FromStr for $name {
            type Err = InvalidId;
            fn from_str(text: &str) -> Result<Self, InvalidId> {
                Self::parse(text)
            }
        }
    };
}

id!(
    /// The lasting party a credential belongs to: a device, a user or a service account.
    PrincipalId
);
id!(
    /// A tenant: the widest group of principals that one administrator sees.
    TenantId
);
id!(
    /// A customer within a tenant.
    CustomerId
);
id!(
    /// One credential: its row id, a JWT's `jti`, or the digest of a stateless token.
    CredentialId
);
id!(
    /// One of our keys (a `kid`).
    KeyId
);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_bounded_visible_ascii() {
        for (text, expected) in [
            ("", Err(InvalidId::Empty)),
            ("a", Ok(())),
            ("auth0|user@example.com", Ok(())),
            ("has space", Err(InvalidId::BadCharacter)),
            ("line\r\nX-Auth-Subject: root", Err(InvalidId::BadCharacter)),
            ("zoë", Err(InvalidId::BadCharacter)),
            ("\u{7f}", Err(InvalidId::BadCharacter)),
        ] {
            assert_eq!(PrincipalId::parse(text).map(|_| ()), expected, "{text:?}");
        }
        assert!(PrincipalId::parse(&"x".repeat(255)).is_ok());
        assert_eq!(
            PrincipalId::parse(&"x".repeat(256)).map(|_| ()),
            Err(InvalidId::TooLong)
        );
    }
}
