//! Keys that verify: one key with the algorithms it may be used with, and sets of keys found by `kid`.
//!
//! The key decides the algorithm (RFC 8725 section 3.1): an RSA key does RS* and PS*, a curve exactly one
//! algorithm, a secret the HS* its length is good for; a JWK's own `alg` narrows that. A secret is never
//! taken from a published key set, and a public key never becomes a secret, so HS* cannot meet a public
//! key. Does not fetch, knows no issuer and no claims.

use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED, ECDSA_P384_SHA384_FIXED, ED25519, ParsedPublicKey, RsaPublicKeyComponents,
    RsaSubjectPublicKey, VerificationAlgorithm,
};
use base64::Engine;
use base64::engine::general_purpose::{STANDARD_PAD_INDIFFERENT, URL_SAFE_NO_PAD};
use jsonwebtoken::{DecodingKey, DecodingKeyKind};
use serde_json::{Map, Value};

use super::algorithm::{Algorithm, AlgorithmSet};
use super::format::{Compact, MAX_KID_BYTES};
use super::strict_json;
use crate::domain::secret::{SecretBytes, SecretText};

/// Smallest RSA modulus accepted (RFC 7518 section 3.3).
const MIN_RSA_BITS: usize = 2048;
/// Largest: verification time grows with the square.
const MAX_RSA_BITS: usize = 8192;
/// Longest RSA exponent accepted; real ones have 2 or 17 bits.
const MAX_EXPONENT_BITS: usize = 33;
/// Shortest secret accepted: the output size of SHA-256 (RFC 7518 section 3.2).
const MIN_SECRET_BYTES: usize = 32;
/// Most keys in a set.
pub(super) const MAX_KEYS: usize = 100;
/// Most keys tried for a token whose `kid` does not choose one: bounds the work of one token.
const MAX_TRIED: usize = 4;

/// Why a key or a key set cannot be used. Holds no key material.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KeyProblem {
    /// Neither a JWK set nor anything else we read.
    #[error("not a JSON Web Key Set: expected an object with a list `keys` and no repeated member")]
    NotAKeySet,
    /// A set too large to be one.
    #[error("{0} keys in one set; expected at most {MAX_KEYS}")]
    TooManyKeys(usize),
    /// Nothing in the set verifies signatures.
    #[error("no usable signature key; {0}")]
    NoUsableKey(String),
    /// Not a public key in PEM.
    #[error(
        "not a public key in PEM form; expected one BEGIN PUBLIC KEY block (RSA, P-256, P-384 or Ed25519)"
    )]
    NotAPublicKey,
    /// A private key where a public one belongs.
    #[error("a private key where the issuer's public key belongs; put only the public key here")]
    PrivateKey,
    /// An RSA key of a wrong size.
    #[error("an RSA key of {0} bits; expected {MIN_RSA_BITS} to {MAX_RSA_BITS}")]
    RsaSize(usize),
    /// Broken key material.
    #[error("key material that is not a valid key of its type")]
    Broken,
    /// Not Base64.
    #[error("the secret is not Base64")]
    SecretNotBase64,
    /// A secret that can be guessed.
    #[error("a secret of {0} bytes; expected at least {MIN_SECRET_BYTES} (48 for HS384, 64 for HS512)")]
    SecretTooShort(usize),
}

/// One key and what it may be used for.
#[derive(Clone)]
pub(super) struct VerifyingKey {
    kid: Option<String>,
    algorithms: AlgorithmSet,
    key: DecodingKey,
}

impl VerifyingKey {
    /// A shared secret. Its length decides which HS* it is good for.
    pub(super) fn secret(bytes: &[u8]) -> Result<Self, KeyProblem> {
        let algorithms = match bytes.len() {
            n if n < MIN_SECRET_BYTES => return Err(KeyProblem::SecretTooShort(n)),
            32..48 => AlgorithmSet::NONE.with(Algorithm::Hs256),
            48..64 => AlgorithmSet::NONE.with(Algorithm::Hs256).with(Algorithm::Hs384),
            _ => AlgorithmSet::HMAC,
        };
        Ok(Self {
            kid: None,
            algorithms,
            key: DecodingKey::from_secret(bytes),
        })
    }

    /// An Ed25519 public key (32 bytes).
    pub(super) fn ed25519(public: &[u8]) -> Result<Self, KeyProblem> {
        Self::checked(&ED25519, public, 32)?;
        Ok(Self::new(Algorithm::EdDsa, DecodingKey::from_ed_der(public)))
    }

    /// A P-256 or P-384 public key as an uncompressed point.
    pub(super) fn ec(point: &[u8]) -> Result<Self, KeyProblem> {
        let algorithm = match point.len() {
            65 => {
                Self::checked(&ECDSA_P256_SHA256_FIXED, point, 65)?;
                Algorithm::Es256
            }
            97 => {
                Self::checked(&ECDSA_P384_SHA384_FIXED, point, 97)?;
                Algorithm::Es384
            }
            _ => return Err(KeyProblem::Broken),
        };
        Ok(Self::new(algorithm, DecodingKey::from_ec_der(point)))
    }

    /// An RSA public key by modulus and exponent.
    fn rsa(n: &[u8], e: &[u8]) -> Result<Self, KeyProblem> {
        let (n, e) = (without_leading_zeros(n), without_leading_zeros(e));
        let bits = bit_length(n);
        if !(MIN_RSA_BITS..=MAX_RSA_BITS).contains(&bits) {
            return Err(KeyProblem::RsaSize(bits));
        }
        // The library takes an exponent of 1, with which every message is its own signature.
        let odd = |number: &[u8]| number.last().is_some_and(|b| b % 2 == 1);
        if !odd(n) || !odd(e) || !(2..=MAX_EXPONENT_BITS).contains(&bit_length(e)) || is_roca(n) {
            return Err(KeyProblem::Broken);
        }
        let components = RsaPublicKeyComponents { n, e };
        components
            .to_parsed_public_key(&aws_lc_rs::signature::RSA_PKCS1_2048_8192_SHA256)
            .map_err(|_| KeyProblem::Broken)?;
        let key = DecodingKey::from_rsa_raw_components(n, e);
        Ok(Self {
            kid: None,
            algorithms: AlgorithmSet::RSA,
            key,
        })
    }

    /// A public key in PEM form.
    pub(super) fn pem(text: &str) -> Result<Self, KeyProblem> {
        if text.contains("PRIVATE KEY") {
            return Err(KeyProblem::PrivateKey);
        }
        if !text.contains("-----BEGIN PUBLIC KEY-----") && !text.contains("-----BEGIN RSA PUBLIC KEY-----") {
            return Err(KeyProblem::NotAPublicKey);
        }
        let pem = text.trim().as_bytes();
        for read in [
            DecodingKey::from_ed_pem,
            DecodingKey::from_ec_pem,
            DecodingKey::from_rsa_pem,
        ] {
            let Ok(key) = read(pem) else { continue };
            let DecodingKeyKind::SecretOrDer(bytes) = key.kind() else {
                continue;
            };
            return match key.family() {
                jsonwebtoken::AlgorithmFamily::Ed => Self::ed25519(bytes),
                jsonwebtoken::AlgorithmFamily::Ec => Self::ec(bytes),
                jsonwebtoken::AlgorithmFamily::Rsa => {
                    let public =
                        RsaSubjectPublicKey::from_der(bytes).map_err(|_| KeyProblem::NotAPublicKey)?;
                    Self::rsa(
                        public.modulus().big_endian_without_leading_zero(),
                        public.exponent().big_endian_without_leading_zero(),
                    )
                }
                jsonwebtoken::AlgorithmFamily::Hmac => Err(KeyProblem::NotAPublicKey),
            };
        }
        Err(KeyProblem::NotAPublicKey)
    }

    /// A public JWK (RFC 7517). `None`: a key that is not for verifying signatures, or of a type we do
    /// not know, which a set may hold.
    fn jwk(jwk: &Map<String, Value>) -> Option<Result<Self, KeyProblem>> {
        let text = |name: &str| jwk.get(name).and_then(Value::as_str);
        if jwk.contains_key("use") && text("use") != Some("sig") {
            return None;
        }
        if let Some(operations) = jwk.get("key_ops") {
            let verifies = operations
                .as_array()
                .is_some_and(|list| list.iter().any(|op| op.as_str() == Some("verify")));
            if !verifies {
                return None;
            }
        }
        let named = match jwk.get("alg") {
            None => AlgorithmSet::ALL,
            Some(Value::String(name)) => AlgorithmSet::NONE.with(Algorithm::parse(name)?),
            Some(_) => return None,
        };
        let kid = match jwk.get("kid") {
            None => None,
            Some(Value::String(kid)) if kid.len() <= MAX_KID_BYTES => Some(kid.clone()),
            Some(_) => return None,
        };
        let key = match (text("kty")?, text("crv")) {
            // A secret in a published set is known to everybody.
            ("oct", _) => return None,
            _ if jwk.contains_key("d") => return Some(Err(KeyProblem::PrivateKey)),
            ("RSA", _) => Self::rsa(&member(jwk, "n")?, &member(jwk, "e")?),
            ("EC", Some("P-256")) => Self::ec(&point(jwk, 32)?),
            ("EC", Some("P-384")) => Self::ec(&point(jwk, 48)?),
            ("OKP", Some("Ed25519")) => Self::ed25519(&member(jwk, "x")?),
            _ => return None,
        };
        Some(key.and_then(|key| {
            // `alg` of another type of key: ES384 on a P-256 key, HS256 on an RSA key.
            let mut key = key.narrowed(named).ok_or(KeyProblem::Broken)?;
            key.kid = kid;
            Ok(key)
        }))
    }

    /// The same key for these algorithms only; `None` when it has none of them.
    pub(super) fn narrowed(mut self, to: AlgorithmSet) -> Option<Self> {
        self.algorithms = self.algorithms.and(to);
        (!self.algorithms.is_empty()).then_some(self)
    }

    /// The same key under this id.
    pub(super) fn with_kid(mut self, kid: &str) -> Self {
        self.kid = Some(kid.to_owned());
        self
    }

    fn new(algorithm: Algorithm, key: DecodingKey) -> Self {
        Self {
            kid: None,
            algorithms: AlgorithmSet::NONE.with(algorithm),
            key,
        }
    }

    fn checked(
        algorithm: &'static dyn VerificationAlgorithm,
        bytes: &[u8],
        length: usize,
    ) -> Result<(), KeyProblem> {
        // The length is checked first: the library would also read other encodings of a key.
        if bytes.len() != length || ParsedPublicKey::new(algorithm, bytes).is_err() {
            return Err(KeyProblem::Broken);
        }
        Ok(())
    }

    /// Whether the signature is good under this key, with an algorithm that the key and `allowed` have.
    fn verifies(&self, token: &Compact<'_>, allowed: AlgorithmSet) -> Signature {
        if !self.algorithms.and(allowed).contains(token.algorithm) {
            return Signature::Bad;
        }
        let algorithm = token.algorithm.library();
        match jsonwebtoken::crypto::verify(token.signature, token.signing_input, &self.key, algorithm) {
            Ok(true) => Signature::Good,
            _ => Signature::Bad,
        }
    }

    fn material(&self) -> (&[u8], &[u8]) {
        match self.key.kind() {
            DecodingKeyKind::SecretOrDer(bytes) => (bytes, &[]),
            DecodingKeyKind::RsaModulusExponent { n, e } => (n, e),
        }
    }
}

/// Whether a signature is good.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Signature {
    /// Under some key of the set.
    Good,
    /// Under no key that could be meant.
    Bad,
    /// The set has no key of this `kid`.
    UnknownKey,
}

/// Keys of one issuer.
#[derive(Clone, Default)]
pub(super) struct KeySet {
    keys: Vec<VerifyingKey>,
}

impl KeySet {
    /// A set of these keys. Keys that share a `kid` and could both be meant by one token are left out
    /// altogether: which of them is meant would be a guess. (The same key twice is no conflict.)
    pub(super) fn new(keys: Vec<VerifyingKey>) -> Self {
        let mut kept: Vec<VerifyingKey> = Vec::with_capacity(keys.len());
        let mut conflicts = Vec::new();
        for key in keys {
            let rival = kept.iter().find(|k| {
                k.kid.is_some() && k.kid == key.kid && !k.algorithms.and(key.algorithms).is_empty()
            });
            match rival {
                None => kept.push(key),
                Some(rival) if rival.material() == key.material() => {}
                Some(_) => conflicts.push(key.kid.clone()),
            }
        }
        kept.retain(|k| !conflicts.contains(&k.kid));
        Self { keys: kept }
    }

    /// A published set (RFC 7517 section 5). Keys that are not for verifying are passed over; so are
    /// broken ones as long as a good one is left, because one bad key must not end all logins.
    pub(super) fn jwks(document: &[u8]) -> Result<Self, KeyProblem> {
        let object = strict_json::object(document).ok_or(KeyProblem::NotAKeySet)?;
        let Some(Value::Array(list)) = object.get("keys") else {
            return Err(KeyProblem::NotAKeySet);
        };
        if list.len() > MAX_KEYS {
            return Err(KeyProblem::TooManyKeys(list.len()));
        }
        let mut keys = Vec::new();
        let mut problem = None;
        for jwk in list.iter().filter_map(Value::as_object) {
            match VerifyingKey::jwk(jwk) {
                Some(Ok(key)) => keys.push(key),
                Some(Err(found)) => problem = Some(found),
                None => {}
            }
        }
        let set = Self::new(keys);
        if set.keys.is_empty() {
            let found = problem.map_or_else(
                || "every key is secret, for encryption, of an unknown type or a duplicate".to_owned(),
                |p| p.to_string(),
            );
            return Err(KeyProblem::NoUsableKey(found));
        }
        Ok(set)
    }

    /// The one public key of a PEM file.
    pub(super) fn pem(text: &str) -> Result<Self, KeyProblem> {
        Ok(Self::new(vec![VerifyingKey::pem(text)?]))
    }

    /// A shared secret in Base64 (either alphabet, padding optional).
    pub(super) fn secret_base64(text: &SecretText) -> Result<Self, KeyProblem> {
        let text = text.expose().trim();
        let bytes = STANDARD_PAD_INDIFFERENT
            .decode(text)
            .or_else(|_| URL_SAFE_NO_PAD.decode(text.trim_end_matches('=')))
            .map_err(|_| KeyProblem::SecretNotBase64)?;
        let bytes = SecretBytes::new(bytes);
        Ok(Self::new(vec![VerifyingKey::secret(bytes.expose())?]))
    }

    /// Every algorithm that some key of the set may be used with.
    pub(super) fn algorithms(&self) -> AlgorithmSet {
        Algorithm::ALL
            .into_iter()
            .filter(|a| self.keys.iter().any(|k| k.algorithms.contains(*a)))
            .collect()
    }

    /// Checks a signature with the keys the token's `kid` can mean: those of that id, else those without
    /// an id; a token without `kid` can mean any. At most [`MAX_TRIED`] of them are tried.
    pub(super) fn verify(&self, token: &Compact<'_>, allowed: AlgorithmSet) -> Signature {
        let usable = |k: &&VerifyingKey| k.algorithms.and(allowed).contains(token.algorithm);
        let kid = token.kid.as_deref();
        let named = kid.is_some() && self.keys.iter().any(|k| k.kid.as_deref() == kid);
        let mut found = Signature::UnknownKey;
        let meant = self.keys.iter().filter(|k| match (kid, named) {
            (None, _) => true,
            (Some(_), true) => k.kid.as_deref() == kid,
            (Some(_), false) => k.kid.is_none(),
        });
        if named {
            found = Signature::Bad;
        }
        for key in meant.filter(usable).take(MAX_TRIED) {
            found = key.verifies(token, allowed);
            if found == Signature::Good {
                break;
            }
        }
        found
    }
}

fn member(jwk: &Map<String, Value>, name: &str) -> Option<Vec<u8>> {
    URL_SAFE_NO_PAD.decode(jwk.get(name)?.as_str()?).ok()
}

/// The uncompressed point of an EC key; coordinates have the curve's full length (RFC 7518 section 6.2.1).
fn point(jwk: &Map<String, Value>, length: usize) -> Option<Vec<u8>> {
    let (x, y) = (member(jwk, "x")?, member(jwk, "y")?);
    if x.len() != length || y.len() != length {
        return None;
    }
    let mut point = vec![4];
    point.extend_from_slice(&x);
    point.extend_from_slice(&y);
    Some(point)
}

fn without_leading_zeros(n: &[u8]) -> &[u8] {
    let leading = n.iter().take_while(|b| **b == 0).count();
    n.get(leading..).unwrap_or_default()
}

/// Whether the modulus has the fingerprint of CVE-2017-15361: keys of certain smart cards, which can be
/// factored. Such a modulus is a power of 65537 modulo every small prime.
fn is_roca(n: &[u8]) -> bool {
    const PRIMES: [u32; 16] = [
        11, 13, 17, 19, 37, 53, 61, 71, 73, 79, 97, 103, 107, 109, 127, 151,
    ];
    PRIMES.into_iter().all(|p| {
        let rest = n.iter().fold(0, |rest, byte| (rest * 256 + u32::from(*byte)) % p);
        let mut power = 1 % p;
        (0..p).any(|_| {
            power = power * 65537 % p;
            power == rest
        })
    })
}

fn bit_length(n: &[u8]) -> usize {
    let Some(first) = n.first() else { return 0 };
    let zeros = usize::try_from(first.leading_zeros()).unwrap_or(8);
    n.len().saturating_mul(8).saturating_sub(zeros)
}
