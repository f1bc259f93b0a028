//! Keys and primitives: random values, digests, sealing, keyrings and key files.
//!
//! The only room that touches AEAD and bcrypt crates. Knows no credential kind, no row and no route, and
//! never logs. Every key zeroes its memory on drop and shows nothing in `Debug`. Called by authn (kinds and
//! cache), accounts (login), store wiring (sealed columns) and the command line (key files).

pub mod aead;
pub mod digest;
pub mod key_file;
pub mod keyring;
pub mod portable_digest;
pub mod random;
pub mod slow_digest;

pub use aead::{CompatibleCipher, NotAuthentic, SealError, SealingCipher};
pub use digest::{CacheDigester, Comparison, LookupKey, equal, hmac_sha256, sha256};
pub use key_file::{KeyFile, KeyFileError, KeyFileWarning, load_key_file, load_or_create_key_file};
pub use keyring::{
    DataKey, KeyBytes, KeyTextError, Keyring, NamedKey, SharedKeyring, TooManyKeys, key_to_base64,
    parse_key_base64,
};
pub use random::{Alphabet, NoRandomness};
pub use slow_digest::{BcryptCost, CostOutOfRange, SlowDigestError};
