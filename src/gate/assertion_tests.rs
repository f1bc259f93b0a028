//! Tests of the assertion signer.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use super::*;
use crate::authn::kinds::jwt::{
    SigningAlgorithm, SigningKey, SigningKeys, generate_signing_key, public_jwks,
};
use crate::domain::clock::ManualClock;
use crate::domain::identity::{CredentialKind, PrincipalKind};
use crate::domain::scope::{Permission, ScopeSet};

const NOW: i64 = 1_800_000_000;

fn key(id: &str) -> SigningKey {
    let material = generate_signing_key(SigningAlgorithm::EdDsa).expect("material");
    SigningKey::from_pkcs8(id.parse().expect("an id"), &material).expect("a key")
}

fn signer() -> (AssertionSigner, OwnKeys, ManualClock) {
    let keys = OwnKeys::new(SigningKeys::new(key("a1"), Vec::new()));
    let clock = ManualClock::at(UnixMillis::from_secs(NOW));
    (AssertionSigner::new("doorward", keys.clone()), keys, clock)
}

fn identity(credential: &str) -> Identity {
    Identity {
        principal: "p-1".parse().expect("an id"),
        principal_kind: PrincipalKind::Device,
        credential_kind: CredentialKind::DeviceToken,
        credential: credential.parse().expect("an id"),
        tenant: Some("t-1".parse().expect("an id")),
        customer: Some("c-1".parse().expect("an id")),
        scopes: ScopeSet::parse(["read", "write"]).expect("scopes"),
        roles: vec![Role::parse("CUSTOMER_USER").expect("a role")],
        permission: Permission::Full,
        write_access: WriteAccess::Granted,
        device_id: Some("d-1".parse().expect("an id")),
        category: Some(Role::parse("device").expect("a category")),
        issued_at: None,
        expires_at: None,
    }
}

fn part(assertion: &HeaderValue, index: usize) -> Value {
    let text = assertion.to_str().expect("text");
    let part = text.split('.').nth(index).expect("a part");
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part).expect("Base64url")).expect("JSON")
}

fn audience(name: &str) -> Arc<str> {
    Arc::from(name)
}

#[test]
fn an_assertion_states_the_whole_identity() {
    let (signer, keys, clock) = signer();
    let assertion = signer
        .assertion(&identity("c"), &audience("api"), clock.now())
        .expect("signed");
    assert_eq!(
        part(&assertion, 0),
        json!({"alg": "EdDSA", "typ": "doorward-assertion+jwt", "kid": "a1"})
    );
    assert_eq!(
        part(&assertion, 1),
        json!({
            "iss": "doorward", "aud": "api", "sub": "p-1", "iat": NOW, "exp": NOW + 60,
            "token_use": "assertion", "principal": "device", "credential": "device_token",
            "credential_id": "c", "tenant": "t-1", "customer": "c-1", "scope": "read write",
            "roles": ["CUSTOMER_USER"], "permission": "full", "write_access": true, "device_id": "d-1",
            "category": "device",
        })
    );
    assert!(assertion.is_sensitive(), "it is not to be printed");
    let published: Value = serde_json::from_slice(&public_jwks(&[&keys])).expect("JSON");
    assert_eq!(published["keys"][0]["kid"], "a1");
}

#[test]
fn an_assertion_is_reused_while_it_says_what_is_so() {
    let (signer, keys, clock) = signer();
    let api = audience("api");
    let sign = |identity: &Identity, audience: &Arc<str>| {
        signer.assertion(identity, audience, clock.now()).expect("signed")
    };
    let first = sign(&identity("c"), &api);
    clock.advance(Duration::from_millis(39_999));
    assert_eq!(sign(&identity("c"), &api), first, "more than 20 s are left");
    clock.advance(Duration::from_millis(1));
    let second = sign(&identity("c"), &api);
    assert_ne!(second, first, "20 s are left");
    assert_eq!(part(&second, 1)["exp"], NOW + 100);
    assert_eq!(part(&sign(&identity("c"), &audience("other")), 1)["aud"], "other");
    assert_eq!(part(&sign(&identity("d"), &api), 1)["credential_id"], "d");
    let mut demoted = identity("c");
    demoted.roles.clear();
    assert_eq!(
        part(&sign(&demoted, &api), 1).get("roles"),
        None,
        "roles were taken away"
    );
    keys.replace(SigningKeys::new(key("a2"), vec![key("a1")]));
    assert_eq!(
        part(&sign(&demoted, &api), 0)["kid"],
        "a2",
        "after a rotation the new key signs"
    );
    clock.set_wall(UnixMillis::from_secs(NOW - 3600));
    assert_eq!(
        part(&sign(&demoted, &api), 1)["iat"],
        NOW - 3600,
        "none from the future"
    );
}

#[test]
fn an_assertion_never_outlives_its_credential() {
    let (signer, _, clock) = signer();
    let mut short = identity("c");
    short.expires_at = Some(UnixMillis::from_secs(NOW + 5));
    let first = signer
        .assertion(&short, &audience("api"), clock.now())
        .expect("signed");
    assert_eq!(part(&first, 1)["exp"], NOW + 5);
    assert_eq!(part(&first, 1)["credential_expires"], NOW + 5);
    clock.advance(Duration::from_secs(4));
    let second = signer
        .assertion(&short, &audience("api"), clock.now())
        .expect("signed");
    assert_eq!(
        first, second,
        "it is not signed anew for every request of its last seconds"
    );
}

#[test]
fn what_is_remembered_is_bounded() {
    let (signer, _, clock) = signer();
    let api = audience("api");
    for i in 0..(SHARDS * SHARD_CAPACITY + 2000) {
        let identity = identity(&format!("c{i}"));
        signer.assertion(&identity, &api, clock.now()).expect("signed");
    }
    for shard in &signer.shards {
        assert!(shard.lock().len() <= SHARD_CAPACITY);
    }
    let last = identity(&format!("c{}", SHARDS * SHARD_CAPACITY + 1999));
    let before: usize = signer.shards.iter().map(|s| s.lock().len()).sum();
    signer.assertion(&last, &api, clock.now()).expect("signed");
    let after: usize = signer.shards.iter().map(|s| s.lock().len()).sum();
    assert_eq!(before, after, "and the newest is among it");
}
