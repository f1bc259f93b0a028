//! Our own signing keys: made, read back, used, replaced while running, and published with overlap.
//!
//! A snapshot holds the key that signs and the earlier ones that still verify. Key material enters and
//! leaves as PKCS#8 bytes which the caller seals into the store; nothing here is printed. Used by `issue`
//! (our access tokens) and by the gate's assertion signer, each with keys of its own.

use std::fmt;
use std::sync::Arc;

use arc_swap::ArcSwap;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};

use super::algorithm::Algorithm;
use super::keys::{KeySet, VerifyingKey};
use crate::domain::ids::KeyId;
use crate::domain::secret::{SecretBytes, SecretText};

/// Earlier keys that one snapshot can hold.
pub const MAX_PREVIOUS_KEYS: usize = 8;

/// What our own keys can be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum SigningAlgorithm {
    /// Ed25519 (`EdDSA`).
    #[default]
    EdDsa,
    /// ECDSA on P-256 (`ES256`), for verifiers without Ed25519.
    Es256,
}

/// A signature or a key could not be made: no randomness, or the library refused. Never the caller's fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the signing library refused")]
pub struct SigningFailed;

/// Stored key material is not a key of ours.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a PKCS#8 private key for Ed25519 or P-256")]
pub struct NotASigningKey;

/// Makes new key material: a PKCS#8 document, to be sealed before it is stored.
pub fn generate_signing_key(algorithm: SigningAlgorithm) -> Result<SecretBytes, SigningFailed> {
    let random = SystemRandom::new();
    let document = match algorithm {
        SigningAlgorithm::EdDsa => Ed25519KeyPair::generate_pkcs8(&random),
        SigningAlgorithm::Es256 => EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &random),
    };
    document
        .map(|d| SecretBytes::new(d.as_ref().to_vec()))
        .map_err(|_| SigningFailed)
}

/// One of our keys, ready to sign.
pub struct SigningKey {
    id: KeyId,
    pair: Pair,
    verifying: VerifyingKey,
}

enum Pair {
    Ed25519(Ed25519KeyPair),
    P256(EcdsaKeyPair),
}

impl SigningKey {
    /// Reads key material made by [`generate_signing_key`]; it says itself which algorithm it is for.
    pub fn from_pkcs8(id: KeyId, pkcs8: &SecretBytes) -> Result<Self, NotASigningKey> {
        let bytes = pkcs8.expose();
        let (pair, verifying) = if let Ok(pair) = Ed25519KeyPair::from_pkcs8(bytes) {
            let verifying = VerifyingKey::ed25519(pair.public_key().as_ref());
            (Pair::Ed25519(pair), verifying)
        } else {
            let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, bytes)
                .map_err(|_| NotASigningKey)?;
            let verifying = VerifyingKey::ec(pair.public_key().as_ref());
            (Pair::P256(pair), verifying)
        };
        let verifying = verifying.map_err(|_| NotASigningKey)?.with_kid(id.as_str());
        Ok(Self { id, pair, verifying })
    }

    /// Its id (`kid`).
    pub fn id(&self) -> &KeyId {
        &self.id
    }

    fn algorithm(&self) -> Algorithm {
        match self.pair {
            Pair::Ed25519(_) => Algorithm::EdDsa,
            Pair::P256(_) => Algorithm::Es256,
        }
    }

    /// Signs claims as a compact JWS with this `typ`.
    pub fn sign(&self, typ: &str, claims: &Value) -> Result<SecretText, SigningFailed> {
        let header = json!({"alg": self.algorithm().as_str(), "typ": typ, "kid": self.id.as_str()});
        let mut token = String::with_capacity(512);
        URL_SAFE_NO_PAD.encode_string(header.to_string(), &mut token);
        token.push('.');
        URL_SAFE_NO_PAD.encode_string(claims.to_string(), &mut token);
        let signature = match &self.pair {
            Pair::Ed25519(pair) => pair.try_sign(token.as_bytes()),
            Pair::P256(pair) => pair.sign(&SystemRandom::new(), token.as_bytes()),
        }
        .map_err(|_| SigningFailed)?;
        token.push('.');
        URL_SAFE_NO_PAD.encode_string(signature, &mut token);
        Ok(SecretText::new(token))
    }

    /// The public half as a JWK (RFC 7517, RFC 8037).
    fn jwk(&self) -> Value {
        let (kid, alg) = (self.id.as_str(), self.algorithm().as_str());
        let encode = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
        match &self.pair {
            Pair::Ed25519(pair) => json!({
                "kty": "OKP", "crv": "Ed25519", "use": "sig", "alg": alg, "kid": kid,
                "x": encode(pair.public_key().as_ref()),
            }),
            Pair::P256(pair) => {
                // Uncompressed: 0x04, then both coordinates.
                let point = pair.public_key().as_ref().get(1..).unwrap_or_default();
                let (x, y) = point.split_at_checked(32).unwrap_or_default();
                json!({
                    "kty": "EC", "crv": "P-256", "use": "sig", "alg": alg, "kid": kid,
                    "x": encode(x), "y": encode(y),
                })
            }
        }
    }
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SigningKey({}, {})", self.id, self.algorithm().as_str())
    }
}

/// The keys in use at one moment.
#[derive(Debug)]
pub struct SigningKeys {
    current: SigningKey,
    previous: Vec<SigningKey>,
}

impl SigningKeys {
    /// The key that signs, and earlier ones that still verify, newest first. Of those only the first
    /// [`MAX_PREVIOUS_KEYS`] are kept.
    pub fn new(current: SigningKey, mut previous: Vec<SigningKey>) -> Self {
        previous.truncate(MAX_PREVIOUS_KEYS);
        Self { current, previous }
    }

    /// The key that signs.
    pub fn current(&self) -> &SigningKey {
        &self.current
    }

    fn all(&self) -> impl Iterator<Item = &SigningKey> {
        std::iter::once(&self.current).chain(&self.previous)
    }
}

/// A handle to our keys of one purpose; clones see a replacement at once.
#[derive(Clone)]
pub struct OwnKeys(Arc<ArcSwap<Loaded>>);

struct Loaded {
    keys: SigningKeys,
    verifying: KeySet,
}

impl OwnKeys {
    /// A handle to these keys.
    pub fn new(keys: SigningKeys) -> Self {
        Self(Arc::new(ArcSwap::from_pointee(Loaded::new(keys))))
    }

    /// Puts other keys in their place: after a rotation, or when another process rotated.
    pub fn replace(&self, keys: SigningKeys) {
        self.0.store(Arc::new(Loaded::new(keys)));
    }

    /// The id of the key that signs now.
    pub fn current_id(&self) -> KeyId {
        self.0.load().keys.current.id.clone()
    }

    /// Runs something with the key that signs now.
    pub fn with_current<T>(&self, work: impl FnOnce(&SigningKey) -> T) -> T {
        work(&self.0.load().keys.current)
    }

    /// What verifies now.
    pub(super) fn verifying<T>(&self, work: impl FnOnce(&KeySet) -> T) -> T {
        work(&self.0.load().verifying)
    }
}

impl Loaded {
    fn new(keys: SigningKeys) -> Self {
        let verifying = KeySet::new(keys.all().map(|k| k.verifying.clone()).collect());
        Self { keys, verifying }
    }
}

impl fmt::Debug for OwnKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "OwnKeys({:?})", self.0.load().keys)
    }
}

/// The JWK set of every public key in these handles, current and previous: what
/// `/.well-known/doorward/jwks.json` answers.
pub fn public_jwks(handles: &[&OwnKeys]) -> bytes::Bytes {
    let keys: Vec<Value> = handles
        .iter()
        .flat_map(|h| h.0.load().keys.all().map(SigningKey::jwk).collect::<Vec<_>>())
        .collect();
    json!({ "keys": keys }).to_string().into()
}
