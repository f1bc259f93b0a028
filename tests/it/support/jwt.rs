//! JSON Web Tokens as an issuer outside would sign them, good ones and such as no library would make.

use std::time::{SystemTime, UNIX_EPOCH};

use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, KeyInit, Mac};
use serde_json::{Value, json};
use sha2::{Sha256, Sha512};

/// Base64url without padding.
pub fn b64(bytes: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

/// The present, in seconds.
pub fn now() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970");
    i64::try_from(since.as_secs()).expect("fits")
}

/// An Ed25519 key of an issuer.
pub struct Ed(Ed25519KeyPair);

impl Ed {
    pub fn new() -> Self {
        Self(Ed25519KeyPair::generate().expect("a key"))
    }

    /// Its public half.
    pub fn jwk(&self, kid: &str) -> Value {
        json!({ "kty": "OKP", "crv": "Ed25519", "kid": kid, "x": b64(self.public()) })
    }

    pub fn public(&self) -> &[u8] {
        self.0.public_key().as_ref()
    }

    /// Its public half as PEM.
    pub fn pem(&self) -> String {
        // RFC 8410: the fixed head of a SubjectPublicKeyInfo with an Ed25519 key.
        let mut der = vec![
            0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00,
        ];
        der.extend_from_slice(self.public());
        let text = base64::engine::general_purpose::STANDARD.encode(der);
        format!("-----BEGIN PUBLIC KEY-----\n{text}\n-----END PUBLIC KEY-----\n")
    }

    /// Signs these very texts.
    pub fn sign_text(&self, header: &str, payload: &str) -> String {
        let input = format!("{}.{}", b64(header), b64(payload));
        let signature = self.0.sign(input.as_bytes());
        format!("{input}.{}", b64(signature))
    }

    pub fn sign(&self, kid: &str, claims: &Value) -> String {
        self.sign_text(
            &json!({ "alg": "EdDSA", "kid": kid }).to_string(),
            &claims.to_string(),
        )
    }
}

/// Signs with HS256.
pub fn hs256(secret: &[u8], header: &str, payload: &str) -> String {
    let input = format!("{}.{}", b64(header), b64(payload));
    let mut mac = Hmac::<Sha256>::new_from_slice(secret).expect("any length");
    mac.update(input.as_bytes());
    format!("{input}.{}", b64(mac.finalize().into_bytes()))
}

/// Signs with HS512.
pub fn hs512(secret: &[u8], header: &str, payload: &str) -> String {
    let input = format!("{}.{}", b64(header), b64(payload));
    let mut mac = Hmac::<Sha512>::new_from_slice(secret).expect("any length");
    mac.update(input.as_bytes());
    format!("{input}.{}", b64(mac.finalize().into_bytes()))
}

/// Claims of an access token of the issuer `https://idp.example`, changed by a closure.
pub fn claims(change: impl FnOnce(&mut serde_json::Map<String, Value>)) -> Value {
    let mut claims = json!({
        "iss": "https://idp.example", "aud": "api", "sub": "alice",
        "exp": now() + 600, "iat": now() - 5, "scope": "read write",
    });
    change(claims.as_object_mut().expect("an object"));
    claims
}

/// A JWK Set.
pub fn jwks(keys: &[Value]) -> String {
    json!({ "keys": keys }).to_string()
}
