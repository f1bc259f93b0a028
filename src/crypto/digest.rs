//! Fast digests: SHA-256, keyed digests for look-ups, and the cache's own.
//!
//! A lookup digest (HMAC-SHA-256, RFC 2104) is stored and survives restarts; a cache digest (keyed BLAKE3)
//! lives in memory under a key that no one ever sees and dies with the process. Slow digests are in
//! `slow_digest`. Called by the credential kinds and by `authn::cache`.

use std::fmt;

use hmac::{Hmac, KeyInit, Mac};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;
use zeroize::{Zeroize, Zeroizing};

use super::keyring::KeyBytes;
use super::random::{self, NoRandomness};

/// Whether two digests, or a secret and its digest, belong together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Comparison {
    /// They do.
    Equal,
    /// They do not.
    Different,
}

/// Compares two digests in constant time.
pub fn equal(a: &[u8; 32], b: &[u8; 32]) -> Comparison {
    if bool::from(a.ct_eq(b)) {
        Comparison::Equal
    } else {
        Comparison::Different
    }
}

/// SHA-256 of the bytes.
pub fn sha256(bytes: &[u8]) -> [u8; 32] {
    Sha256::digest(bytes).into()
}

/// HMAC-SHA-256 (RFC 2104) under a key of any length.
pub fn hmac_sha256(key: &[u8], text: &[u8]) -> [u8; 32] {
    // RFC 2104: a key longer than the hash's block is its hash, a shorter one is padded with zeros.
    let mut block = Zeroizing::new([0_u8; 64]);
    let hashed = Zeroizing::new(sha256(key));
    let key = if key.len() > block.len() {
        hashed.as_slice()
    } else {
        key
    };
    block.iter_mut().zip(key).for_each(|(to, from)| *to = *from);
    let mut padded = hmac::digest::common::Key::<Hmac<Sha256>>::from(*block);
    let mut mac = Hmac::<Sha256>::new(&padded);
    padded.zeroize();
    mac.update(text);
    mac.finalize().into_bytes().into()
}

/// A digest of a long content, read to its end in pieces: tells files apart.
pub fn of_content(mut reader: impl std::io::Read) -> std::io::Result<[u8; 32]> {
    let mut hasher = blake3::Hasher::new();
    std::io::copy(&mut reader, &mut hasher)?;
    Ok(*hasher.finalize().as_bytes())
}

/// A key for digests by which stored credentials are found.
pub struct LookupKey(KeyBytes);

impl LookupKey {
    /// Uses this key.
    pub fn new(key: KeyBytes) -> Self {
        Self(key)
    }

    /// A new random key.
    pub fn random() -> Result<Self, NoRandomness> {
        random::key().map(Self)
    }

    /// HMAC-SHA-256 of the whole credential.
    pub fn digest(&self, credential: &[u8]) -> [u8; 32] {
        hmac_sha256(self.0.expose(), credential)
    }

    /// The key itself, for sealing it into the store.
    pub fn expose(&self) -> &KeyBytes {
        &self.0
    }
}

impl fmt::Debug for LookupKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("LookupKey(…)")
    }
}

/// Digests credentials for the cache: a memory dump shows no credential, and nobody who does not know the
/// key can aim at a slot.
pub struct CacheDigester {
    key: KeyBytes,
}

impl CacheDigester {
    /// A digester with a fresh random key, one per process.
    pub fn random() -> Result<Self, NoRandomness> {
        Ok(Self { key: random::key()? })
    }

    /// The digest of a credential as presented by this carrier to this generation of the verifier of this kind.
    /// All have a fixed width before the credential, so no two inputs run together. Allocates nothing.
    pub fn digest(&self, carrier: u8, kind: u8, generation: u32, credential: &[u8]) -> [u8; 32] {
        let [a, b, c, d] = generation.to_le_bytes();
        let mut hasher = blake3::Hasher::new_keyed(self.key.expose());
        hasher.update(&[carrier, kind, a, b, c, d]);
        hasher.update(credential);
        *hasher.finalize().as_bytes()
    }
}

impl fmt::Debug for CacheDigester {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("CacheDigester(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lookup_digest_is_hmac_sha_256() {
        // RFC 4231 section 4.2 with its 20-byte key padded as RFC 2104 pads any short key.
        let mut key = [0; 32];
        key[..20].fill(0x0b);
        assert_eq!(
            hex::encode(LookupKey::new(KeyBytes::new(key)).digest(b"Hi There")),
            "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7"
        );
    }

    #[test]
    fn hmac_takes_keys_of_any_length() {
        // RFC 4231 sections 4.3 and 4.7: a key shorter than a block, and one longer.
        for (key, message, expected) in [
            (
                b"Jefe".to_vec(),
                &b"what do ya want for nothing?"[..],
                "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843",
            ),
            (
                vec![0xaa; 131],
                b"Test Using Larger Than Block-Size Key - Hash Key First",
                "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54",
            ),
        ] {
            assert_eq!(hex::encode(hmac_sha256(&key, message)), expected);
        }
    }

    #[test]
    fn the_cache_digest_depends_on_every_part() {
        let digester = CacheDigester::random().expect("randomness");
        let base = digester.digest(1, 7, 2, b"token");
        assert_eq!(base, digester.digest(1, 7, 2, b"token"));
        for (other, what) in [
            (digester.digest(2, 7, 2, b"token"), "carrier"),
            (digester.digest(1, 8, 2, b"token"), "kind"),
            (digester.digest(1, 7, 3, b"token"), "generation"),
            (digester.digest(1, 7, 2, b"tokeN"), "credential"),
            (digester.digest(1, 7, 2, b""), "empty"),
            (
                CacheDigester::random()
                    .expect("randomness")
                    .digest(1, 7, 2, b"token"),
                "key",
            ),
        ] {
            assert_ne!(base, other, "{what}");
        }
    }

    #[test]
    fn digests_compare_by_value() {
        assert_eq!(equal(&[1; 32], &[1; 32]), Comparison::Equal);
        let mut other = [1; 32];
        other[31] = 2;
        assert_eq!(equal(&[1; 32], &other), Comparison::Different);
    }

    #[test]
    fn keys_print_nothing() {
        let key = LookupKey::new(KeyBytes::new([0xab; 32]));
        assert_eq!(format!("{key:?}"), "LookupKey(…)");
        let digester = CacheDigester::random().expect("randomness");
        assert_eq!(format!("{digester:?}"), "CacheDigester(…)");
    }
}
