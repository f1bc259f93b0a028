//! Our own access tokens: what is issued is what comes back, across rotations and never as another class.

use std::time::Duration;

use serde_json::{Value, json};

use super::super::*;
use super::support::*;
use crate::domain::clock::UnixMillis;
use crate::domain::identity::{PrincipalKind, WriteAccess};
use crate::domain::scope::{Permission, Role, Scope, ScopeSet};

fn grant() -> AccessTokenGrant {
    AccessTokenGrant {
        principal: "p-1".parse().expect("an id"),
        principal_kind: PrincipalKind::Device,
        tenant: Some("t-1".parse().expect("an id")),
        customer: Some("c-1".parse().expect("an id")),
        roles: vec![Role::parse("CUSTOMER_USER").expect("a role")],
        scopes: ScopeSet::parse(["channel:1:read", "read"]).expect("scopes"),
        permission: Permission::Read,
        lifetime: Duration::from_secs(900),
    }
}

fn keys(algorithm: SigningAlgorithm) -> OwnKeys {
    OwnKeys::new(SigningKeys::new(own_key("o1", algorithm), Vec::new()))
}

#[tokio::test]
async fn what_is_issued_comes_back() {
    for algorithm in [SigningAlgorithm::EdDsa, SigningAlgorithm::Es256] {
        let keys = keys(algorithm);
        let issuer = own(&keys);
        let (verifier, issues) = (verifier(vec![issuer.clone()]), AccessTokenIssuer::new(&issuer));
        let (manual, _) = clock();
        manual.advance(Duration::from_millis(345));
        let issued = issues
            .expect("own")
            .issue(&grant(), manual.now())
            .expect("issued");
        let verified = check_at(&verifier, issued.token.expose(), manual.now())
            .await
            .expect("good");
        let identity = verified.identity;
        assert_eq!(identity.principal, grant().principal);
        assert_eq!(identity.principal_kind, PrincipalKind::Device);
        assert_eq!(identity.device_id, Some(grant().principal));
        assert_eq!(
            (identity.tenant, identity.customer),
            (grant().tenant, grant().customer)
        );
        assert_eq!(identity.roles, grant().roles);
        assert_eq!(identity.scopes, grant().scopes);
        assert_eq!(identity.permission, Permission::Read);
        assert_eq!(identity.write_access, WriteAccess::Withheld);
        assert_eq!(
            identity.credential, issued.id,
            "revoking what `issue` named ends what came back"
        );
        assert_eq!(
            identity.issued_at,
            Some(UnixMillis(NOW * 1000 + 345)),
            "to the millisecond"
        );
        assert_eq!(issued.expires_at, UnixMillis::from_secs(NOW + 900));
        assert!(!format!("{issued:?} {keys:?}").contains(issued.token.expose()));
    }
}

#[tokio::test]
async fn no_restriction_and_nothing_granted_stay_apart() {
    let issuer = own(&keys(SigningAlgorithm::EdDsa));
    let (verifier, issues) = (
        verifier(vec![issuer.clone()]),
        AccessTokenIssuer::new(&issuer).expect("own"),
    );
    let wanted = Scope::parse("read").expect("a scope");
    for scopes in [ScopeSet::default(), ScopeSet::nothing()] {
        let grant = AccessTokenGrant {
            scopes: scopes.clone(),
            ..grant()
        };
        let issued = issues.issue(&grant, now()).expect("issued");
        let identity = check(&verifier, issued.token.expose())
            .await
            .expect("good")
            .identity;
        assert_eq!(identity.scopes.grants(&wanted), scopes.grants(&wanted));
    }
}

#[tokio::test]
async fn a_rotation_overlaps_and_then_ends() {
    let keys = keys(SigningAlgorithm::EdDsa);
    let issuer = own(&keys);
    let (verifier, issues) = (
        verifier(vec![issuer.clone()]),
        AccessTokenIssuer::new(&issuer).expect("own"),
    );
    let material = generate_signing_key(SigningAlgorithm::EdDsa).expect("material");
    let key = |id: &str| SigningKey::from_pkcs8(id.parse().expect("an id"), &material).expect("a key");
    keys.replace(SigningKeys::new(key("first"), Vec::new()));
    let early = issues.issue(&grant(), now()).expect("issued");
    keys.replace(SigningKeys::new(
        own_key("second", SigningAlgorithm::Es256),
        vec![key("first")],
    ));
    let late = issues.issue(&grant(), now()).expect("issued");
    assert!(
        check(&verifier, early.token.expose()).await.is_ok(),
        "the previous key verifies"
    );
    assert!(check(&verifier, late.token.expose()).await.is_ok());
    let published: Value = serde_json::from_slice(&public_jwks(&[&keys])).expect("JSON");
    let kids: Vec<&str> = published["keys"]
        .as_array()
        .expect("a list")
        .iter()
        .filter_map(|k| k["kid"].as_str())
        .collect();
    assert_eq!(kids, ["second", "first"]);
    keys.replace(SigningKeys::new(
        own_key("third", SigningAlgorithm::EdDsa),
        Vec::new(),
    ));
    for old in [early, late] {
        let refused = check(&verifier, old.token.expose()).await;
        assert_eq!(
            refused.err(),
            Some(Reason::CredentialInvalid),
            "a retired key does not"
        );
    }
}

#[tokio::test]
async fn what_is_published_verifies_elsewhere_and_is_public() {
    for algorithm in [SigningAlgorithm::EdDsa, SigningAlgorithm::Es256] {
        let keys = keys(algorithm);
        let published = String::from_utf8(public_jwks(&[&keys]).to_vec()).expect("text");
        assert!(!published.contains("\"d\""));
        let mut elsewhere = corp(KeySource::Jwks(published));
        elsewhere.issuer = own(&keys).issuer;
        let issued = AccessTokenIssuer::new(&own(&keys))
            .expect("own")
            .issue(&grant(), now())
            .expect("issued");
        assert!(
            check(&verifier(vec![elsewhere]), issued.token.expose())
                .await
                .is_ok()
        );
    }
}

#[tokio::test]
async fn our_keys_alone_do_not_make_an_access_token() {
    let keys = keys(SigningAlgorithm::EdDsa);
    let verifier = verifier(vec![own(&keys)]);
    let claims = |change: fn(&mut Value)| {
        let mut claims = json!({
            "iss": "https://auth.example.com", "aud": "api", "sub": "p-1", "iat": NOW, "exp": NOW + 60,
            "token_use": "access", "principal": "user",
        });
        change(&mut claims);
        claims
    };
    let wrong = Some(Reason::WrongTokenClass);
    let malformed = Some(Reason::CredentialMalformed);
    type Row = (&'static str, fn(&mut Value), Option<Reason>, &'static str);
    let rows: [Row; 9] = [
        ("at+jwt", |_| (), None, "an access token"),
        ("JWT", |_| (), wrong, "without its type"),
        (
            "refresh+jwt",
            |c| c["token_use"] = json!("refresh"),
            wrong,
            "a refresh token",
        ),
        (
            "at+jwt",
            |c| c["token_use"] = json!("refresh"),
            wrong,
            "a refresh token in disguise",
        ),
        (
            "at+jwt",
            |c| c["token_use"] = json!("admin"),
            wrong,
            "an administrator's token",
        ),
        (
            "at+jwt",
            |c| c["token_use"] = json!(null),
            wrong,
            "of no stated use",
        ),
        (
            "doorward-assertion+jwt",
            |c| c["token_use"] = json!("assertion"),
            wrong,
            "an assertion",
        ),
        (
            "at+jwt",
            |c| c["principal"] = json!("anonymous"),
            malformed,
            "about nobody",
        ),
        (
            "at+jwt",
            |c| c["permission"] = json!("everything"),
            malformed,
            "an unknown permission",
        ),
    ];
    for (typ, change, expected, why) in rows {
        let token = keys
            .with_current(|key| key.sign(typ, &claims(change)))
            .expect("signed");
        assert_eq!(check(&verifier, token.expose()).await.err(), expected, "{why}");
    }
}

#[test]
fn stored_material_is_checked() {
    for bad in [&b""[..], b"not a key", &[0; 48]] {
        let material = crate::domain::secret::SecretBytes::new(bad.to_vec());
        assert!(SigningKey::from_pkcs8("k".parse().expect("an id"), &material).is_err());
    }
}

#[test]
fn few_previous_keys_are_kept_and_none_is_printed() {
    let key = |n: usize| own_key(&format!("k{n}"), SigningAlgorithm::EdDsa);
    let keys = OwnKeys::new(SigningKeys::new(key(0), (1..20).map(key).collect()));
    let published: Value = serde_json::from_slice(&public_jwks(&[&keys])).expect("JSON");
    let kids: Vec<_> = published["keys"]
        .as_array()
        .expect("keys")
        .iter()
        .map(|k| k["kid"].clone())
        .collect();
    let newest: Vec<_> = (0..=MAX_PREVIOUS_KEYS).map(|n| json!(format!("k{n}"))).collect();
    assert_eq!(kids, newest);
    keys.with_current(|key| assert_eq!(format!("{key:?}"), "SigningKey(k0, EdDSA)"));
    assert!(format!("{keys:?}").starts_with("OwnKeys(SigningKeys { current: SigningKey(k0, EdDSA), "));
}
