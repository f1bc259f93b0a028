//! Configurations and credentials that several files of tests use.

use std::net::SocketAddr;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::process::Doorward;
use super::upstream::Upstream;

/// The issuer of the tests' JWTs.
pub const ISSUER: &str = "https://issuer.example";
/// Their audience.
pub const AUDIENCE: &str = "api";
/// The secret that the issuer shares with the instance.
const HMAC_SECRET: &[u8; 32] = b"an issuer's secret for the tests";

/// An upstream `api`, every kind of credential with the cheapest digests, and these routes, one flow
/// mapping a line.
pub fn config(upstream: &Upstream, routes: &[&str]) -> String {
    config_at(upstream.address, "", routes)
}

/// The same with an upstream of another sort and further settings of it, such as `, timeouts: { ... }`.
pub fn config_at(upstream: SocketAddr, settings: &str, routes: &[&str]) -> String {
    format!(
        "upstreams: {{ api: {{ url: \"http://{upstream}\"{settings} }} }}\n{}{}",
        credentials(),
        self::routes(routes)
    )
}

/// The `credentials` of [`config`].
pub fn credentials() -> String {
    format!(
        "credentials:\n\
         \x20 api_token: {{ bcrypt_cost: 4 }}\n\
         \x20 basic: {{ bcrypt_cost: 4 }}\n\
         \x20 sealed_device_token: {{ key: \"{}\" }}\n\
         \x20 jwt:\n\
         \x20   issuers:\n\
         \x20     - name: test\n\
         \x20       issuer: \"{ISSUER}\"\n\
         \x20       audience: [{AUDIENCE}]\n\
         \x20       hmac_secret: \"{}\"\n\
         \x20       claims: {{ unscoped: unrestricted }}\n",
        STANDARD.encode([7; 32]),
        STANDARD.encode(HMAC_SECRET),
    )
}

/// The `routes` of [`config`].
pub fn routes(routes: &[&str]) -> String {
    let mut text = String::from("routes:\n");
    for route in routes {
        text.push_str(&format!("  - {route}\n"));
    }
    text
}

/// A good access token of the tests' issuer.
pub fn jwt(subject: &str) -> String {
    jwt_with(subject, json!({}))
}

/// The same with further claims, or others in place of its own.
pub fn jwt_with(subject: &str, more: Value) -> String {
    let mut claims = json!({
        "iss": ISSUER, "aud": AUDIENCE, "sub": subject, "exp": jsonwebtoken::get_current_timestamp() + 3600,
    });
    for (name, value) in more.as_object().expect("an object") {
        claims[name] = value.clone();
    }
    let key = jsonwebtoken::EncodingKey::from_secret(HMAC_SECRET);
    jsonwebtoken::encode(&jsonwebtoken::Header::default(), &claims, &key).expect("signs")
}

/// `Authorization: Bearer` with a good access token.
pub fn bearer(subject: &str) -> String {
    format!("Authorization: Bearer {}", jwt(subject))
}

/// Makes a credential with the command line and returns its secret.
pub fn issue(doorward: &Doorward, arguments: &[&str]) -> String {
    let made = doorward.cli(arguments);
    made["secret"].as_str().expect("a secret").to_owned()
}
