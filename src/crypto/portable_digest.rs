//! Digests of credentials that were made elsewhere, each in a text form that says how it was made.
//!
//! | text | digest of |
//! | --- | --- |
//! | `$2a$…`, `$2b$…`, `$2x$…`, `$2y$…` | the credential, by bcrypt |
//! | `pepper:$2a$…` | the first 72 bytes of credential and pepper, by bcrypt (HomeChat) |
//! | `sha256-pepper:` 64 hexadecimal letters | credential and pepper, by SHA-256 (HomeChat's older rows) |
//! | `sha256:` 64 hexadecimal letters | the credential, by SHA-256 |
//! | `sha3-256:` 64 hexadecimal letters | the credential, by SHA3-256 |
//!
//! The fast ones are for random tokens only: of a password they would be worth nothing, so the kind `basic` takes
//! bcrypt alone. Slow as bcrypt is: callers go through `runtime::slow_pool`. Called by the kinds `api_token` and
//! `device_token`, and by imports.

use sha3::{Digest, Sha3_256};
use zeroize::Zeroizing;

use super::digest::{Comparison, equal, sha256};
use super::slow_digest::{self, MAX_SECRET_BYTES, SlowDigestError};

const PEPPER: &str = "pepper:";
const SHA256: &str = "sha256:";
const SHA256_PEPPER: &str = "sha256-pepper:";
const SHA3: &str = "sha3-256:";

/// How a digest was made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Recipe {
    /// bcrypt of the credential.
    Bcrypt,
    /// bcrypt of credential and pepper, of which it read 72 bytes.
    PepperedBcrypt,
    /// SHA-256 of the credential.
    Sha256,
    /// SHA-256 of credential and pepper.
    PepperedSha256,
    /// SHA3-256 of the credential.
    Sha3,
}

impl Recipe {
    /// Whether it is by bcrypt, and so good enough for passwords.
    pub fn is_slow(self) -> bool {
        matches!(self, Self::Bcrypt | Self::PepperedBcrypt)
    }
}

/// How the digest of this text was made. Fast. An error when it is none that we are willing to compute.
pub fn recipe(text: &str) -> Result<Recipe, SlowDigestError> {
    let (recipe, rest) = split(text);
    match recipe {
        Recipe::Bcrypt | Recipe::PepperedBcrypt => slow_digest::check_digest(rest).map(|_| recipe),
        Recipe::Sha256 | Recipe::PepperedSha256 | Recipe::Sha3 => bytes(rest).map(|_| recipe),
    }
}

/// The text of a digest that was made with a pepper. `digest` is bcrypt's text or 64 hexadecimal letters.
pub fn peppered(digest: &str) -> Result<String, SlowDigestError> {
    let start = if digest.starts_with('$') {
        PEPPER
    } else {
        SHA256_PEPPER
    };
    let text = format!("{start}{}", canonical(digest));
    recipe(&text).map(|_| text)
}

/// The text of a digest that was made of the credential alone: bcrypt's text or 64 hexadecimal letters (SHA-256).
pub fn plain(digest: &str) -> Result<String, SlowDigestError> {
    let start = if digest.starts_with('$') { "" } else { SHA256 };
    let text = format!("{start}{}", canonical(digest));
    recipe(&text).map(|_| text)
}

/// One spelling: the fast digests are also what rows are found by.
fn canonical(digest: &str) -> String {
    if digest.starts_with('$') {
        digest.to_owned()
    } else {
        digest.to_ascii_lowercase()
    }
}

/// The SHA-256 form of a credential.
pub fn sha256_text(secret: &[u8]) -> String {
    format!("{SHA256}{}", hex::encode(sha256(secret)))
}

/// The SHA-256 form of a credential with a pepper.
pub fn sha256_pepper_text(secret: &[u8], pepper: &[u8]) -> String {
    format!("{SHA256_PEPPER}{}", hex::encode(sha256(&joined(secret, pepper))))
}

/// The SHA3-256 form of a credential.
pub fn sha3_text(secret: &[u8]) -> String {
    format!("{SHA3}{}", hex::encode(Sha3_256::digest(secret)))
}

/// Compares a credential with a digest, in constant time. Slow where the digest is.
pub fn verify(secret: &[u8], text: &str, pepper: Option<&[u8]>) -> Result<Comparison, SlowDigestError> {
    let (recipe, rest) = split(text);
    let fast = |found: [u8; 32]| bytes(rest).map(|stored| equal(&stored, &found));
    match recipe {
        Recipe::Bcrypt => bcrypt(secret, rest),
        Recipe::PepperedBcrypt => {
            let all = joined(secret, pepper.ok_or(SlowDigestError::NoPepper)?);
            // As the implementation that made it: what lies beyond was never read.
            bcrypt(all.get(..MAX_SECRET_BYTES).unwrap_or(&all), rest)
        }
        Recipe::Sha256 => fast(sha256(secret)),
        Recipe::PepperedSha256 => {
            let all = joined(secret, pepper.ok_or(SlowDigestError::NoPepper)?);
            fast(sha256(&all))
        }
        Recipe::Sha3 => fast(Sha3_256::digest(secret).into()),
    }
}

fn bcrypt(secret: &[u8], text: &str) -> Result<Comparison, SlowDigestError> {
    // `$2x$` marks digests of an implementation that read bytes beyond ASCII wrongly: there they differ.
    if text.starts_with("$2x$") && !secret.is_ascii() {
        return Err(SlowDigestError::Unusable);
    }
    slow_digest::bcrypt_verify(secret, text)
}

fn split(text: &str) -> (Recipe, &str) {
    for (start, recipe) in [
        (PEPPER, Recipe::PepperedBcrypt),
        (SHA256_PEPPER, Recipe::PepperedSha256),
        (SHA256, Recipe::Sha256),
        (SHA3, Recipe::Sha3),
    ] {
        if let Some(rest) = text.strip_prefix(start) {
            return (recipe, rest);
        }
    }
    (Recipe::Bcrypt, text)
}

fn bytes(text: &str) -> Result<[u8; 32], SlowDigestError> {
    let mut out = [0; 32];
    // One spelling only, because rows are found by it.
    let lower = !text.bytes().any(|b| b.is_ascii_uppercase());
    match hex::decode_to_slice(text, &mut out) {
        Ok(()) if lower => Ok(out),
        _ => Err(SlowDigestError::Unusable),
    }
}

fn joined(secret: &[u8], pepper: &[u8]) -> Zeroizing<Vec<u8>> {
    let mut all = Zeroizing::new(Vec::with_capacity(secret.len().saturating_add(pepper.len())));
    all.extend_from_slice(secret);
    all.extend_from_slice(pepper);
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A token of HomeChat's program: 64 hexadecimal letters.
    const TOKEN: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";
    const LONG_PEPPER: &[u8] = b"pepper-of-which-eight-bytes-count";

    #[test]
    fn every_form_fits_its_secret_and_no_other() {
        let peppered_bytes = [TOKEN.as_bytes(), LONG_PEPPER].concat();
        let bcrypt_of = |bytes: &[u8]| bcrypt::hash(bytes, 4).expect("a digest");
        let sha256_of = |bytes: &[u8]| hex::encode(sha256(bytes));
        for (text, what) in [
            (plain(&bcrypt_of(TOKEN.as_bytes())), "bcrypt"),
            (
                plain(&bcrypt_of(TOKEN.as_bytes()).replace("$2b$", "$2a$")),
                "its older mark",
            ),
            (
                plain(&bcrypt_of(TOKEN.as_bytes()).replace("$2b$", "$2y$")),
                "PHP's mark",
            ),
            (
                plain(&bcrypt_of(TOKEN.as_bytes()).replace("$2b$", "$2x$")),
                "the mark of the faulty one, in ASCII",
            ),
            (
                peppered(&bcrypt_of(&peppered_bytes[..72])),
                "bcrypt with a pepper, cut",
            ),
            (
                peppered(&sha256_of(&peppered_bytes).to_uppercase()),
                "SHA-256 with a pepper",
            ),
            (plain(&sha256_of(TOKEN.as_bytes())), "SHA-256"),
            (Ok(sha3_text(TOKEN.as_bytes())), "SHA3-256"),
        ] {
            let text = text.expect(what);
            let verify = |secret: &[u8]| verify(secret, &text, Some(LONG_PEPPER));
            assert_eq!(verify(TOKEN.as_bytes()), Ok(Comparison::Equal), "{what}");
            let other = TOKEN.replace('0', "1");
            assert_eq!(verify(other.as_bytes()), Ok(Comparison::Different), "{what}");
        }
    }

    #[test]
    fn only_eight_bytes_of_the_pepper_count_for_bcrypt_and_all_of_them_for_sha_256() {
        let digest = bcrypt::hash(
            [TOKEN.as_bytes(), LONG_PEPPER]
                .concat()
                .get(..72)
                .expect("72 bytes"),
            4,
        );
        let digest = peppered(&digest.expect("a digest")).expect("a text");
        for (pepper, expected) in [
            (LONG_PEPPER, Comparison::Equal),
            (b"pepper-o".as_slice(), Comparison::Equal),
            (b"pepper-".as_slice(), Comparison::Different),
            (b"salt-of-".as_slice(), Comparison::Different),
        ] {
            assert_eq!(verify(TOKEN.as_bytes(), &digest, Some(pepper)), Ok(expected));
        }
        let fast = sha256_pepper_text(TOKEN.as_bytes(), LONG_PEPPER);
        assert_eq!(
            verify(TOKEN.as_bytes(), &fast, Some(b"pepper-o")),
            Ok(Comparison::Different)
        );
    }

    #[test]
    fn without_its_pepper_a_digest_says_so_and_is_not_compared() {
        let slow = format!("pepper:{}", bcrypt::hash(TOKEN, 4).expect("a digest"));
        let fast = sha256_pepper_text(TOKEN.as_bytes(), b"");
        for text in [slow, fast] {
            assert_eq!(
                verify(TOKEN.as_bytes(), &text, None),
                Err(SlowDigestError::NoPepper)
            );
        }
    }

    #[test]
    fn the_faulty_implementation_is_not_trusted_beyond_ascii() {
        let text = bcrypt::hash("zoë", 4).expect("a digest").replace("$2b$", "$2x$");
        assert_eq!(
            verify("zoë".as_bytes(), &text, None),
            Err(SlowDigestError::Unusable)
        );
    }

    #[test]
    fn texts_that_are_no_digest_are_refused() {
        for text in [
            "",
            "sha256:",
            "sha256:zz",
            "SHA256:00",
            "pepper:",
            "pepper:sha256:00",
            "sha3-256:0123",
            "$1$abc",
            "$2b$31$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW",
            &format!("sha256:{}", "A".repeat(64)),
            "plain text",
        ] {
            assert_eq!(recipe(text), Err(SlowDigestError::Unusable), "{text:?}");
        }
    }

    #[test]
    fn the_sha_forms_are_the_standard_ones() {
        // FIPS 180-4 and FIPS 202 examples of "abc".
        assert_eq!(
            sha256_text(b"abc"),
            "sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
        );
        assert_eq!(
            sha3_text(b"abc"),
            "sha3-256:3a985da74fe225b2045c172d6bd390bd855f086e3e9d525b46bfe24511431532"
        );
    }
}
