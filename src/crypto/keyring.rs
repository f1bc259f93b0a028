//! Keys by name: current and previous, and the data key that seals secrets at rest.
//!
//! A [`Keyring`] makes with its current key and checks with all of them, so that a rotation has an overlap.
//! [`SharedKeyring`] is the handle through which a rotation reaches running verifiers. Key files are in
//! `key_file`; where keys are stored and when they rotate is not decided here.

use std::fmt;
use std::sync::Arc;

use arc_swap::{ArcSwap, Guard};
use base64::Engine;
use base64::engine::general_purpose::{STANDARD_PAD_INDIFFERENT, URL_SAFE_PAD_INDIFFERENT};
use zeroize::Zeroizing;

use super::aead::{NONCE_BYTES, NotAuthentic, SealError, SealingCipher, TAG_BYTES};
use super::random;
use crate::domain::ids::KeyId;
use crate::domain::secret::SecretBytes;

/// The bytes of a key: zeroed on drop, never printed.
#[derive(Clone)]
pub struct KeyBytes(Zeroizing<[u8; 32]>);

impl KeyBytes {
    /// Takes these bytes.
    pub fn new(bytes: [u8; 32]) -> Self {
        Self(Zeroizing::new(bytes))
    }

    /// A key from bytes of any length; `None` unless there are exactly 32.
    pub fn from_slice(bytes: &[u8]) -> Option<Self> {
        bytes.try_into().ok().map(|bytes: &[u8; 32]| Self::new(*bytes))
    }

    /// The bytes themselves. The caller must not let them reach a log, an error or a metric.
    pub fn expose(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Debug for KeyBytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("KeyBytes(…)")
    }
}

/// Most keys of one purpose that are tried: one current, and previous ones of overlapping rotations.
pub const MAX_KEYS: usize = 8;

/// A key and its id.
#[derive(Debug)]
pub struct NamedKey<K> {
    /// Its id.
    pub id: KeyId,
    /// The key.
    pub key: K,
}

/// More keys than [`MAX_KEYS`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{found} keys for one purpose; expected at most 8: retire the oldest")]
pub struct TooManyKeys {
    /// How many there were.
    pub found: usize,
}

/// The keys of one purpose. The current key makes, all check.
#[derive(Debug)]
pub struct Keyring<K> {
    current: NamedKey<K>,
    previous: Vec<NamedKey<K>>,
}

impl<K> Keyring<K> {
    /// A ring of one key.
    pub fn single(id: KeyId, key: K) -> Self {
        Self {
            current: NamedKey { id, key },
            previous: Vec::new(),
        }
    }

    /// A ring of a current key and previous ones, newest first.
    pub fn new(current: NamedKey<K>, previous: Vec<NamedKey<K>>) -> Result<Self, TooManyKeys> {
        let found = previous.len().saturating_add(1);
        if found > MAX_KEYS {
            return Err(TooManyKeys { found });
        }
        Ok(Self { current, previous })
    }

    /// The key that makes.
    pub fn current(&self) -> &NamedKey<K> {
        &self.current
    }

    /// Every key that checks, the current one first.
    pub fn iter(&self) -> impl Iterator<Item = &NamedKey<K>> {
        std::iter::once(&self.current).chain(&self.previous)
    }

    /// The key of this id.
    pub fn find(&self, id: &str) -> Option<&NamedKey<K>> {
        self.iter().find(|named| named.id.as_str() == id)
    }
}

/// A keyring that can be replaced while verifiers use it. Clones share it.
#[derive(Debug)]
pub struct SharedKeyring<K>(Arc<ArcSwap<Keyring<K>>>);

impl<K> SharedKeyring<K> {
    /// Starts with this ring.
    pub fn new(ring: Keyring<K>) -> Self {
        Self(Arc::new(ArcSwap::from_pointee(ring)))
    }

    /// The ring of this moment, for a short use on the spot: cheap, waits for nothing.
    pub fn load(&self) -> Guard<Arc<Keyring<K>>> {
        self.0.load()
    }

    /// The ring of this moment, to be held across waits.
    pub fn load_full(&self) -> Arc<Keyring<K>> {
        self.0.load_full()
    }

    /// Puts another ring in place. Those who hold the old one finish with it.
    pub fn replace(&self, ring: Keyring<K>) {
        self.0.store(Arc::new(ring));
    }
}

impl<K> Clone for SharedKeyring<K> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

/// First byte of everything the data key seals, so that the form can change later.
const SEALED_VERSION: u8 = 1;

/// The key that seals secrets at rest: other keys, and whatever must be read back.
///
/// Sealed form: version (1) ‖ nonce (12) ‖ ciphertext ‖ tag (16); the purpose is associated data, so that
/// bytes sealed for one column cannot be moved to another.
pub struct DataKey(SealingCipher);

impl DataKey {
    /// Uses this key.
    pub fn new(key: &KeyBytes) -> Self {
        Self(SealingCipher::new(key))
    }

    /// Seals a secret for this purpose.
    pub fn seal(&self, purpose: &str, secret: &[u8]) -> Result<Vec<u8>, SealError> {
        let mut nonce = [0_u8; NONCE_BYTES];
        random::fill(&mut nonce)?;
        let mut text = Zeroizing::new(secret.to_vec());
        let tag = self.0.seal(&nonce, &associated(purpose), &mut text)?;
        let mut sealed = Vec::with_capacity(text.len().saturating_add(1 + NONCE_BYTES + TAG_BYTES));
        sealed.push(SEALED_VERSION);
        sealed.extend_from_slice(&nonce);
        sealed.extend_from_slice(&text);
        sealed.extend_from_slice(&tag);
        Ok(sealed)
    }

    /// Opens what was sealed for this purpose.
    pub fn open(&self, purpose: &str, sealed: &[u8]) -> Result<SecretBytes, NotAuthentic> {
        let rest = sealed.strip_prefix(&[SEALED_VERSION]).ok_or(NotAuthentic)?;
        let (nonce, rest) = rest.split_first_chunk::<NONCE_BYTES>().ok_or(NotAuthentic)?;
        let (text, tag) = rest.split_last_chunk::<TAG_BYTES>().ok_or(NotAuthentic)?;
        let mut text = text.to_vec();
        self.0.open(nonce, tag, &associated(purpose), &mut text)?;
        Ok(SecretBytes::new(text))
    }
}

fn associated(purpose: &str) -> Vec<u8> {
    [b"doorward sealed v1: ".as_slice(), purpose.as_bytes()].concat()
}

impl fmt::Debug for DataKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("DataKey(…)")
    }
}

/// Why a text is no key. Says nothing of the text but its length.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum KeyTextError {
    /// Not Base64.
    #[error(
        "the key is not Base64; expected the Base64 form of exactly 32 bytes. Make one with: openssl rand -base64 32"
    )]
    NotBase64,
    /// Base64 of another length.
    #[error(
        "found a key of {found} bytes, expected exactly 32 (AES-256; shorter or longer keys are never padded or cut). \
         Make one with: openssl rand -base64 32"
    )]
    WrongLength {
        /// How many bytes it decodes to.
        found: usize,
    },
}

/// Reads a key from its Base64 text (standard or URL-safe, padded or not), which must hold exactly 32 bytes.
pub fn parse_key_base64(text: &str) -> Result<KeyBytes, KeyTextError> {
    let text = text.trim();
    let engine = if text.contains(['-', '_']) {
        &URL_SAFE_PAD_INDIFFERENT
    } else {
        &STANDARD_PAD_INDIFFERENT
    };
    let decoded = Zeroizing::new(engine.decode(text).map_err(|_| KeyTextError::NotBase64)?);
    KeyBytes::from_slice(&decoded).ok_or(KeyTextError::WrongLength { found: decoded.len() })
}

/// The Base64 text of a key, as [`parse_key_base64`] reads it.
pub fn key_to_base64(key: &KeyBytes) -> Zeroizing<String> {
    Zeroizing::new(base64::engine::general_purpose::STANDARD.encode(key.expose()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(text: &str) -> KeyId {
        KeyId::parse(text).expect("a key id")
    }

    #[test]
    fn only_exactly_32_bytes_are_a_key() {
        for (text, expected) in [
            ("YWJjZGVmZ2hpamtsbW5vcHFyc3R1dnd4eXoxMjM0NTY=", Ok(())),
            ("  YWJjZGVmZ2hpamtsbW5vcHFyc3R1dnd4eXoxMjM0NTY\n", Ok(())),
            ("-_-_ZGVmZ2hpamtsbW5vcHFyc3R1dnd4eXoxMjM0NTY=", Ok(())),
            (
                // The sample key of the device token document: 34 bytes, as Node also finds.
                "dGVzdC1rZXktMzItYnl0ZXMtZm9yLWRldmljZS10b2tlbg==",
                Err(KeyTextError::WrongLength { found: 34 }),
            ),
            ("", Err(KeyTextError::WrongLength { found: 0 })),
            ("c2hvcnQ=", Err(KeyTextError::WrongLength { found: 5 })),
            ("not base64!", Err(KeyTextError::NotBase64)),
            (
                "YWJj ZGVmZ2hpamtsbW5vcHFyc3R1dnd4eXoxMjM0NTY=",
                Err(KeyTextError::NotBase64),
            ),
        ] {
            assert_eq!(parse_key_base64(text).map(|_| ()), expected, "{text:?}");
        }
    }

    #[test]
    fn a_wrong_length_is_explained() {
        let error =
            parse_key_base64("dGVzdC1rZXktMzItYnl0ZXMtZm9yLWRldmljZS10b2tlbg==").expect_err("34 bytes");
        let text = error.to_string();
        for part in ["34 bytes", "exactly 32", "openssl rand -base64 32"] {
            assert!(text.contains(part), "{text}");
        }
    }

    #[test]
    fn key_bytes_and_data_keys_print_nothing() {
        let key = KeyBytes::new([0xab; 32]);
        let ring = Keyring::single(id("k1"), key.clone());
        let data_key = DataKey::new(&key);
        let printed = format!("{key:?} {data_key:?} {ring:?}");
        assert!(printed.starts_with("KeyBytes(…) DataKey(…) "), "{printed}");
        assert!(!printed.contains("171") && !printed.contains("ab, "), "{printed}");
    }

    #[test]
    fn key_text_reads_back() {
        let key = random::key().expect("a key");
        let read = parse_key_base64(&key_to_base64(&key)).expect("a key");
        assert_eq!(read.expose(), key.expose());
    }

    #[test]
    fn sealed_secrets_open_for_their_purpose_only() {
        let key = DataKey::new(&random::key().expect("a key"));
        let other = DataKey::new(&random::key().expect("a key"));
        let sealed = key.seal("lookup", b"secret").expect("sealed");
        assert_ne!(
            sealed,
            key.seal("lookup", b"secret").expect("sealed"),
            "nonces repeat"
        );
        assert_eq!(key.open("lookup", &sealed).expect("opened").expose(), b"secret");
        assert_eq!(key.open("jwt", &sealed).map(|_| ()), Err(NotAuthentic));
        assert_eq!(other.open("lookup", &sealed).map(|_| ()), Err(NotAuthentic));
        for end in 0..sealed.len() {
            assert!(key.open("lookup", &sealed[..end]).is_err(), "cut at {end}");
        }
        for at in 0..sealed.len() {
            let mut changed = sealed.clone();
            changed[at] ^= 1;
            assert!(key.open("lookup", &changed).is_err(), "changed at {at}");
        }
    }

    #[test]
    fn the_current_key_comes_first_and_all_are_found() {
        let ring = Keyring::new(
            NamedKey {
                id: id("new"),
                key: 2,
            },
            vec![NamedKey {
                id: id("old"),
                key: 1,
            }],
        )
        .expect("a ring");
        assert_eq!(ring.current().key, 2);
        assert_eq!(ring.iter().map(|n| n.key).collect::<Vec<_>>(), [2, 1]);
        assert_eq!(ring.find("old").map(|n| n.key), Some(1));
        assert!(ring.find("older").is_none());
    }

    #[test]
    fn a_ring_is_bounded() {
        let previous = (0..8)
            .map(|i| NamedKey {
                id: id(&format!("k{i}")),
                key: i,
            })
            .collect();
        let current = NamedKey { id: id("k9"), key: 9 };
        assert_eq!(
            Keyring::new(current, previous).map(|_| ()),
            Err(TooManyKeys { found: 9 })
        );
    }

    #[test]
    fn a_replaced_ring_is_seen_by_every_clone() {
        let shared = SharedKeyring::new(Keyring::single(id("a"), 1));
        let clone = shared.clone();
        let held = clone.load_full();
        shared.replace(Keyring::single(id("b"), 2));
        assert_eq!(clone.load().current().key, 2);
        assert_eq!(held.current().key, 1);
    }
}
