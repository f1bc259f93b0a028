//! AES-256-GCM, in the two shapes that Doorward needs.
//!
//! [`CompatibleCipher`] takes the 16-byte IV of the NestJS device token and is for that token alone;
//! everything of ours uses [`SealingCipher`] with 12-byte nonces (NIST SP 800-38D). The algorithm is not
//! configurable. Key schedules are built once; a call allocates nothing. Nonces are the caller's business.

use std::fmt;

use aes_gcm::aead::inout::InOutBuf;
use aes_gcm::aead::{AeadInOut, KeyInit};
use aes_gcm::aes::Aes256;
use aes_gcm::aes::cipher::consts::{U12, U16};
use aes_gcm::{AesGcm, Nonce, Tag};

use super::keyring::KeyBytes;
use super::random::NoRandomness;

/// Bytes of an authentication tag.
pub const TAG_BYTES: usize = 16;
/// Bytes of the compatible token's IV.
pub const COMPATIBLE_IV_BYTES: usize = 16;
/// Bytes of a nonce of ours.
pub const NONCE_BYTES: usize = 12;

/// Why nothing was sealed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SealError {
    /// No nonce could be made.
    #[error(transparent)]
    NoRandomness(#[from] NoRandomness),
    /// Beyond GCM's 64 GiB, which no bounded input reaches.
    #[error("too long to be sealed")]
    TooLong,
}

/// The bytes were not sealed with this key and associated data, or were changed since.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not sealed with this key, or changed since")]
pub struct NotAuthentic;

macro_rules! cipher {
    ($(#[$doc:meta])* $name:ident, $nonce:ty, $nonce_bytes:ident) => {
        $(#[$doc])*
        pub struct $name(Box<AesGcm<Aes256, $nonce>>);

        impl $name {
            /// Builds the key schedule. It is zeroed on drop.
            pub fn new(key: &KeyBytes) -> Self {
                Self(Box::new(AesGcm::new(key.expose().into())))
            }

            /// Encrypts in place and returns the tag. A nonce must never seal two texts under one key.
            pub fn seal(
                &self,
                nonce: &[u8; $nonce_bytes],
                associated: &[u8],
                buffer: &mut [u8],
            ) -> Result<[u8; TAG_BYTES], SealError> {
                let nonce: &Nonce<$nonce> = nonce.into();
                self.0
                    .encrypt_inout_detached(nonce, associated, InOutBuf::from(buffer))
                    .map(Into::into)
                    .map_err(|_| SealError::TooLong)
            }

            /// Decrypts in place. When it fails, the buffer still holds the sealed bytes.
            pub fn open(
                &self,
                nonce: &[u8; $nonce_bytes],
                tag: &[u8; TAG_BYTES],
                associated: &[u8],
                buffer: &mut [u8],
            ) -> Result<(), NotAuthentic> {
                let nonce: &Nonce<$nonce> = nonce.into();
                let tag: &Tag = tag.into();
                self.0
                    .decrypt_inout_detached(nonce, associated, InOutBuf::from(buffer), tag)
                    .map_err(|_| NotAuthentic)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(concat!(stringify!($name), "(…)"))
            }
        }
    };
}

cipher!(
    /// The compatible device token's cipher: 16-byte IV.
    CompatibleCipher, U16, COMPATIBLE_IV_BYTES
);
cipher!(
    /// The cipher of everything we design ourselves: 12-byte nonce.
    SealingCipher, U12, NONCE_BYTES
);

#[cfg(test)]
#[path = "aead_tests.rs"]
mod tests;
