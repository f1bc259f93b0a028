//! Keys that sign whatever a test wants signed, issuers that trust them, and a clock that stands still.

use std::sync::Arc;

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair};
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use serde_json::{Value, json};

use super::super::*;
use crate::authn::presented::Carrier;
use crate::authn::toll::Toll;
use crate::domain::clock::{ManualClock, UnixMillis};
use crate::domain::secret::{SecretBytes, SecretText};

/// The second at which the tests' clock stands.
pub const NOW: i64 = 1_800_000_000;
pub const SECRET: &[u8; 64] = b"0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

pub fn clock() -> (ManualClock, Clock) {
    let manual = ManualClock::at(UnixMillis::from_secs(NOW));
    (manual.clone(), Clock::Manual(manual))
}

pub fn now() -> Now {
    clock().0.now()
}

pub fn metrics() -> Metrics {
    Metrics::new().expect("metrics")
}

pub fn tasks() -> Tasks {
    Tasks::on(tokio::runtime::Handle::current())
}

pub fn b64(bytes: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

pub fn signing_input(header: &str, payload: &str) -> String {
    format!("{}.{}", b64(header), b64(payload))
}

/// An Ed25519 key of an external issuer.
pub struct Ed(Ed25519KeyPair);

impl Ed {
    pub fn new() -> Self {
        Self(Ed25519KeyPair::generate().expect("a key"))
    }

    pub fn public(&self) -> &[u8] {
        self.0.public_key().as_ref()
    }

    pub fn jwk(&self, kid: &str) -> Value {
        json!({"kty": "OKP", "crv": "Ed25519", "kid": kid, "x": b64(self.public())})
    }

    pub fn sign_text(&self, header: &str, payload: &str) -> String {
        let input = signing_input(header, payload);
        let signature = self.0.sign(input.as_bytes());
        format!("{input}.{}", b64(signature))
    }

    pub fn sign(&self, claims: &Value) -> String {
        self.sign_text(r#"{"alg":"EdDSA","kid":"k1"}"#, &claims.to_string())
    }
}

pub fn p256() -> EcdsaKeyPair {
    EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).expect("a key")
}

pub fn p256_sign(pair: &EcdsaKeyPair, header: &str, payload: &str) -> String {
    let input = signing_input(header, payload);
    let signature = pair.sign(&SystemRandom::new(), input.as_bytes()).expect("signed");
    format!("{input}.{}", b64(signature))
}

pub fn hmac_sign(algorithm: Algorithm, secret: &[u8], header: &str, payload: &str) -> String {
    let input = signing_input(header, payload);
    let key = jsonwebtoken::EncodingKey::from_secret(secret);
    let signature = jsonwebtoken::crypto::sign(input.as_bytes(), &key, algorithm.library()).expect("signed");
    format!("{input}.{signature}")
}

pub fn jwks(keys: &[Value]) -> String {
    json!({ "keys": keys }).to_string()
}

/// An issuer named `corp` with these keys; the tests change what they are about.
pub fn corp(keys: KeySource) -> Issuer {
    Issuer {
        name: Arc::from("corp"),
        issuer: Some("https://idp.example.com".to_owned()),
        audiences: vec!["api".to_owned(), "other".to_owned()],
        keys,
        algorithms: None,
        leeway: DEFAULT_LEEWAY,
        waived: Waived::default(),
        profile: Profile::Mapped(ClaimMapping::default()),
        subject_prefix: Arc::from(""),
    }
}

pub fn thingsboard() -> Issuer {
    Issuer {
        name: Arc::from("tb"),
        issuer: None,
        audiences: Vec::new(),
        keys: KeySource::SecretBase64(SecretText::new(STANDARD.encode(SECRET))),
        algorithms: Some(AlgorithmSet::NONE.with(Algorithm::Hs512)),
        leeway: DEFAULT_LEEWAY,
        waived: Waived {
            issuer: Waiver::Waived,
            audience: Waiver::Waived,
            subject: Waiver::Required,
        },
        profile: Profile::ThingsBoard,
        subject_prefix: Arc::from(""),
    }
}

pub fn own_key(id: &str, algorithm: SigningAlgorithm) -> SigningKey {
    let material = generate_signing_key(algorithm).expect("material");
    SigningKey::from_pkcs8(id.parse().expect("an id"), &material).expect("a key")
}

pub fn own(keys: &OwnKeys) -> Issuer {
    Issuer {
        name: Arc::from("own"),
        issuer: Some("https://auth.example.com".to_owned()),
        keys: KeySource::Own(keys.clone()),
        profile: Profile::Own,
        ..corp(KeySource::Own(keys.clone()))
    }
}

/// Claims that `corp` accepts, changed by a closure.
pub fn claims(change: impl FnOnce(&mut serde_json::Map<String, Value>)) -> Value {
    let mut claims = json!({
        "iss": "https://idp.example.com", "aud": "api", "sub": "alice", "exp": NOW + 60, "iat": NOW - 60,
        "scope": "read channel:12:write",
    });
    change(claims.as_object_mut().expect("an object"));
    claims
}

pub fn verifier(issuers: Vec<Issuer>) -> JwtVerifier {
    JwtVerifier::start(&JwtSettings { issuers }, &clock().1, &tasks(), &metrics()).expect("good settings")
}

pub fn presented(token: &str) -> PresentedOwned {
    PresentedOwned {
        carrier: Carrier::AuthorizationBearer,
        kind: CredentialKind::Jwt,
        credential: SecretBytes::new(token.as_bytes().to_vec()),
    }
}

/// What both stages say together, as the room around uses them.
pub async fn check_at(verifier: &JwtVerifier, token: &str, now: Now) -> Result<Verified, Rejection> {
    let owned = presented(token);
    let borrowed = Presented {
        carrier: owned.carrier,
        kind: owned.kind,
        credential: owned.credential.expose(),
    };
    match verifier.inspect(&borrowed, now) {
        Inspection::Refused(rejection) => {
            assert_eq!(
                verifier.look_up(&owned, &Toll::waived(), now).await,
                Err(rejection),
                "both stages agree"
            );
            Err(rejection)
        }
        Inspection::LookUp { .. } => verifier.look_up(&owned, &Toll::waived(), now).await,
        Inspection::Verified(_) => panic!("inspection alone never verifies a JWT"),
    }
}

pub async fn check(verifier: &JwtVerifier, token: &str) -> Result<Verified, Reason> {
    check_at(verifier, token, now()).await.map_err(|r| r.reason)
}
