//! bcrypt: portable digests of secrets that people choose or other installations made.
//!
//! Takes tens to hundreds of milliseconds by design, so nothing here may run on a data thread: callers go
//! through `runtime::slow_pool`. Inputs that bcrypt would read differently from what was typed (more than
//! 72 bytes, or a NUL) are refused (SECURITY S12). Called by the kinds `api_token` and `basic`.

use super::digest::Comparison;
use super::random::{self, Alphabet, NoRandomness};
use zeroize::Zeroizing;

/// Longest secret bcrypt reads; it would ignore the rest.
pub const MAX_SECRET_BYTES: usize = 72;

/// Why a slow digest was neither made nor compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SlowDigestError {
    /// The secret is longer than [`MAX_SECRET_BYTES`].
    #[error("the secret is longer than 72 bytes, of which bcrypt would ignore the rest")]
    TooLong,
    /// The secret holds a NUL, where other implementations stop reading.
    #[error("the secret contains a NUL byte, at which other bcrypt implementations stop reading")]
    Nul,
    /// The stored text is no bcrypt digest, or costs more than we are willing to pay.
    #[error("the stored digest is not a bcrypt digest of cost 4 to 14")]
    Unusable,
    /// The digest was made with a pepper that we do not have.
    #[error("the stored digest was made with a pepper, and none is set (credentials.api_token.pepper_file)")]
    NoPepper,
}

/// A cost that was asked for and cannot be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("bcrypt cost {found} is out of range; expected 4 to 14 (12 takes about a third of a second)")]
pub struct CostOutOfRange {
    /// What was asked for.
    pub found: u32,
}

/// bcrypt's work factor: 2^cost rounds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct BcryptCost(u32);

impl BcryptCost {
    /// The least that bcrypt allows; for tests.
    pub const MIN: Self = Self(4);
    /// The most we verify: an imported digest of cost 31 would hold a worker for days.
    pub const MAX: Self = Self(14);

    /// Checks the range.
    pub fn new(cost: u32) -> Result<Self, CostOutOfRange> {
        if (Self::MIN.0..=Self::MAX.0).contains(&cost) {
            Ok(Self(cost))
        } else {
            Err(CostOutOfRange { found: cost })
        }
    }

    /// The number.
    pub fn value(self) -> u32 {
        self.0
    }
}

impl Default for BcryptCost {
    fn default() -> Self {
        Self(12)
    }
}

/// Whether bcrypt reads the secret exactly as it is.
pub fn check_secret(secret: &[u8]) -> Result<(), SlowDigestError> {
    if secret.len() > MAX_SECRET_BYTES {
        return Err(SlowDigestError::TooLong);
    }
    if secret.contains(&0) {
        return Err(SlowDigestError::Nul);
    }
    Ok(())
}

/// The bcrypt digest of a secret, in its usual text form (`$2b$12$…`). Slow.
pub fn bcrypt_hash(secret: &[u8], cost: BcryptCost) -> Result<String, SlowDigestError> {
    check_secret(secret)?;
    bcrypt::hash(secret, cost.0).map_err(|_| SlowDigestError::Unusable)
}

/// Compares a secret with a bcrypt digest, in constant time. Slow.
pub fn bcrypt_verify(secret: &[u8], digest: &str) -> Result<Comparison, SlowDigestError> {
    check_secret(secret)?;
    check_digest(digest)?;
    match bcrypt::verify(secret, digest) {
        Ok(true) => Ok(Comparison::Equal),
        Ok(false) => Ok(Comparison::Different),
        Err(_) => Err(SlowDigestError::Unusable),
    }
}

/// Whether a stored text is a bcrypt digest that we are willing to verify. Fast.
pub fn check_digest(digest: &str) -> Result<BcryptCost, SlowDigestError> {
    let parts: bcrypt::HashParts = digest.parse().map_err(|_| SlowDigestError::Unusable)?;
    BcryptCost::new(parts.get_cost()).map_err(|_| SlowDigestError::Unusable)
}

/// A digest of this cost that no secret is known for: an unknown user costs the same work as a known one.
pub fn decoy(cost: BcryptCost) -> Result<String, NoRandomness> {
    // 22 letters of salt and 31 of digest in bcrypt's own Base64, whose last letters of either part carry
    // four and two bits only: `.` (zero) keeps them canonical.
    let salt: Zeroizing<String> = random::text(Alphabet::Base62, 21)?;
    let digest = random::text(Alphabet::Base62, 30)?;
    Ok(format!("$2b${:02}${}.{}.", cost.0, *salt, *digest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_digest_fits_its_secret_only() {
        let digest = bcrypt_hash(b"correct horse", BcryptCost::MIN).expect("a digest");
        assert_eq!(check_digest(&digest), Ok(BcryptCost::MIN));
        assert_eq!(bcrypt_verify(b"correct horse", &digest), Ok(Comparison::Equal));
        assert_eq!(
            bcrypt_verify(b"correct horsf", &digest),
            Ok(Comparison::Different)
        );
    }

    #[test]
    fn digests_of_other_implementations_are_understood() {
        // Test vectors of the original crypt_blowfish and of jBCrypt.
        for (secret, digest) in [
            (
                "U*U",
                "$2a$05$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW",
            ),
            (
                "abc",
                "$2a$06$If6bvum7DFjUnE9p2uDeDu0YHzrHM6tf.iqN8.yx.jNN1ILEf7h0i",
            ),
        ] {
            assert_eq!(
                bcrypt_verify(secret.as_bytes(), digest),
                Ok(Comparison::Equal),
                "{secret}"
            );
        }
    }

    #[test]
    fn secrets_that_bcrypt_would_cut_are_refused() {
        let digest = bcrypt_hash(&[b'x'; 72], BcryptCost::MIN).expect("72 bytes are read whole");
        for (secret, error) in [
            (vec![b'x'; 73], SlowDigestError::TooLong),
            (b"abc\0def".to_vec(), SlowDigestError::Nul),
        ] {
            assert_eq!(bcrypt_hash(&secret, BcryptCost::MIN), Err(error));
            assert_eq!(bcrypt_verify(&secret, &digest), Err(error));
        }
    }

    #[test]
    fn only_affordable_bcrypt_digests_are_verified() {
        for digest in [
            "",
            "plain text",
            "$2b$15$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW",
            "$2b$31$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW",
            "$2b$03$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW",
            "$1$05$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeWx",
            "$2b$05$CCCCCCCCCCCCCCCCCCCCCéE5YPO9kmyuRGyh0XouQYb4YMJKvyOe",
        ] {
            assert_eq!(
                bcrypt_verify(b"U*U", digest),
                Err(SlowDigestError::Unusable),
                "{digest}"
            );
        }
        assert_eq!(BcryptCost::new(15), Err(CostOutOfRange { found: 15 }));
        assert_eq!(BcryptCost::new(3), Err(CostOutOfRange { found: 3 }));
    }

    #[test]
    fn a_decoy_costs_the_same_and_fits_nothing() {
        for _ in 0..32 {
            let decoy = decoy(BcryptCost::MIN).expect("randomness");
            assert_eq!(check_digest(&decoy), Ok(BcryptCost::MIN), "{decoy}");
            assert_eq!(bcrypt_verify(b"", &decoy), Ok(Comparison::Different));
        }
    }
}
