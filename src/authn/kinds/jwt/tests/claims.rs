//! Verified claims: times, issuers, audiences, token classes, identities.

use std::time::Duration;

use serde_json::{Map, Value, json};

use super::super::*;
use super::support::*;
use crate::domain::clock::UnixMillis;
use crate::domain::identity::{PrincipalKind, WriteAccess};
use crate::domain::scope::{Scope, ScopeSet};

type Change<'a> = &'a dyn Fn(&mut Map<String, Value>);

async fn rows(verifier: &JwtVerifier, key: &Ed, rows: &[(Change<'_>, Option<Reason>, &str)]) {
    for (change, expected, why) in rows {
        let token = key.sign(&claims(change));
        assert_eq!(check(verifier, &token).await.err(), *expected, "{why}");
    }
}

fn set(name: &'static str, value: Value) -> impl Fn(&mut Map<String, Value>) {
    move |claims| {
        claims.insert(name.to_owned(), value.clone());
    }
}

fn without(name: &'static str) -> impl Fn(&mut Map<String, Value>) {
    move |claims| {
        claims.remove(name);
    }
}

#[tokio::test]
async fn times_issuer_and_audience_are_checked_with_leeway() {
    let key = Ed::new();
    let verifier = verifier(vec![corp(KeySource::Jwks(jwks(&[key.jwk("k1")])))]);
    let malformed = Some(Reason::CredentialMalformed);
    let (expired, early) = (
        Some(Reason::CredentialExpired),
        Some(Reason::CredentialNotYetValid),
    );
    rows(
        &verifier,
        &key,
        &[
            (&|_| (), None, "good"),
            (&without("exp"), malformed, "no end"),
            (&set("exp", json!(NOW - 9)), None, "ended within the leeway"),
            (
                &set("exp", json!(NOW - 10)),
                expired,
                "ended: on the second it is over",
            ),
            (&set("exp", json!(0)), expired, "ended in 1970"),
            (&set("nbf", json!(NOW + 10)), None, "begins within the leeway"),
            (&set("nbf", json!(NOW + 11)), early, "begins later"),
            (&set("iat", json!(NOW + 11)), early, "issued in the future"),
            (&without("iat"), None, "no time of issue"),
            (&without("sub"), malformed, "about nobody"),
            (
                &set("sub", json!("two words")),
                malformed,
                "a subject that cannot stand in a header",
            ),
            (
                &set("sub", json!("a\r\nX-Auth-Roles: admin")),
                malformed,
                "a subject that splits a header",
            ),
            (
                &set("aud", json!("evil")),
                Some(Reason::WrongAudience),
                "for someone else",
            ),
            (
                &set("aud", json!("API")),
                Some(Reason::WrongAudience),
                "case counts",
            ),
            (&without("aud"), Some(Reason::WrongAudience), "for nobody"),
            (
                &set("aud", json!([])),
                Some(Reason::WrongAudience),
                "for an empty list",
            ),
            (&set("aud", json!(["x", "other"])), None, "for us among others"),
            (&without("iss"), Some(Reason::WrongIssuer), "from nobody"),
            (
                &set("iss", json!("https://idp.example.com/")),
                Some(Reason::WrongIssuer),
                "one slash more",
            ),
        ],
    )
    .await;
}

#[tokio::test]
async fn an_unverified_claim_never_decides_the_reason() {
    let (key, forger) = (Ed::new(), Ed::new());
    let verifier = verifier(vec![corp(KeySource::Jwks(jwks(&[key.jwk("k1")])))]);
    for change in [
        Box::new(set("exp", json!(1))) as Box<dyn Fn(&mut Map<String, Value>)>,
        Box::new(set("aud", json!("evil"))),
        Box::new(set("nbf", json!(NOW + 1000))),
        Box::new(set("token_use", json!("refresh"))),
        Box::new(without("sub")),
    ] {
        let token = forger.sign(&claims(change));
        assert_eq!(
            check(&verifier, &token).await.err(),
            Some(Reason::CredentialInvalid)
        );
    }
}

#[tokio::test]
async fn only_access_tokens_are_taken() {
    let key = Ed::new();
    let verifier = verifier(vec![corp(KeySource::Jwks(jwks(&[key.jwk("k1")])))]);
    let wrong = Some(Reason::WrongTokenClass);
    let id_token = |claims: &mut Map<String, Value>| {
        claims.insert("nonce".to_owned(), json!("n"));
        claims.remove("scope");
    };
    let old_keycloak = |claims: &mut Map<String, Value>| {
        claims.insert("nonce".to_owned(), json!("n"));
        claims.insert("typ".to_owned(), json!("Bearer"));
        claims.remove("scope");
    };
    rows(
        &verifier,
        &key,
        &[
            (
                &set("scopes", json!(["REFRESH_TOKEN"])),
                wrong,
                "ThingsBoard's refresh token",
            ),
            (
                &set("scopes", json!(["PRE_VERIFICATION_TOKEN"])),
                wrong,
                "between password and factor",
            ),
            (
                &set("scopes", json!(["MFA_CONFIGURATION_TOKEN"])),
                wrong,
                "setting up a factor",
            ),
            (
                &set("scope", json!("read REFRESH_TOKEN")),
                wrong,
                "the same in a text",
            ),
            (&set("token_use", json!("refresh")), wrong, "our refresh token"),
            (
                &set("token_use", json!("pre_verification")),
                wrong,
                "our pre-verification token",
            ),
            (
                &set("token_use", json!("admin")),
                wrong,
                "an administrator's token",
            ),
            (&set("token_use", json!("assertion")), wrong, "our assertion"),
            (&set("token_use", json!("id")), wrong, "Cognito's ID token"),
            (&set("token_use", json!(7)), wrong, "a use that is no text"),
            (&set("token_use", json!("access")), None, "Cognito's access token"),
            (&set("typ", json!("Refresh")), wrong, "Keycloak's refresh token"),
            (&set("typ", json!("Offline")), wrong, "Keycloak's offline token"),
            (&set("typ", json!("ID")), wrong, "Keycloak's ID token"),
            (&set("typ", json!("Bearer")), None, "Keycloak's access token"),
            (&set("typ", json!("DPoP")), wrong, "a token bound to a key"),
            (
                &set("token_type", json!("refresh")),
                wrong,
                "Django's refresh token",
            ),
            (&set("token_type", json!("access")), None, "Django's access token"),
            (&set("type", json!("refresh")), wrong, "Flask's refresh token"),
            (
                &set("at_hash", json!("x")),
                wrong,
                "an ID token with a token's digest",
            ),
            (
                &set("c_hash", json!("x")),
                wrong,
                "an ID token with a code's digest",
            ),
            (&set("events", json!({})), wrong, "a logout token"),
            (
                &set("cnf", json!({"jkt": "x"})),
                wrong,
                "bound to a key that a bearer does not prove",
            ),
            (&id_token, wrong, "an ID token with a nonce"),
            (
                &old_keycloak,
                None,
                "an access token with a nonce that says what it is",
            ),
        ],
    )
    .await;
    for (typ, expected) in [
        ("JWT", None),
        ("jwt", None),
        ("application/jwt", None),
        ("at+jwt", None),
        ("application/AT+JWT", None),
        ("doorward-assertion+jwt", wrong),
        ("logout+jwt", wrong),
        ("dpop+jwt", wrong),
        ("secevent+jwt", wrong),
        ("refresh+jwt", wrong),
        ("", wrong),
    ] {
        let header = format!(r#"{{"alg":"EdDSA","kid":"k1","typ":"{typ}"}}"#);
        let token = key.sign_text(&header, &claims(|_| ()).to_string());
        assert_eq!(check(&verifier, &token).await.err(), expected, "{typ}");
    }
}

#[tokio::test]
async fn issuers_share_neither_keys_nor_audiences() {
    let (a, b) = (Ed::new(), Ed::new());
    let mut other = corp(KeySource::Jwks(jwks(&[b.jwk("k1")])));
    other.name = Arc::from("partner");
    other.issuer = Some("https://partner.example.com".to_owned());
    other.audiences = vec!["partner-api".to_owned()];
    let verifier = verifier(vec![corp(KeySource::Jwks(jwks(&[a.jwk("k1")]))), other]);
    let as_partner = |aud: &'static str| {
        claims(move |c| {
            c.insert("iss".to_owned(), json!("https://partner.example.com"));
            c.insert("aud".to_owned(), json!(aud));
        })
    };
    for (token, expected, why) in [
        (a.sign(&claims(|_| ())), None, "corp by corp"),
        (b.sign(&as_partner("partner-api")), None, "partner by partner"),
        (
            b.sign(&claims(|_| ())),
            Some(Reason::CredentialInvalid),
            "corp's name under partner's key",
        ),
        (
            a.sign(&as_partner("partner-api")),
            Some(Reason::CredentialInvalid),
            "and the other way",
        ),
        (
            b.sign(&as_partner("api")),
            Some(Reason::WrongAudience),
            "corp's audience from partner",
        ),
    ] {
        assert_eq!(check(&verifier, &token).await.err(), expected, "{why}");
    }
}

#[tokio::test]
async fn an_issuer_that_waives_iss_cannot_speak_for_another() {
    let (a, b) = (Ed::new(), Ed::new());
    let mut anyone = corp(KeySource::Jwks(jwks(&[b.jwk("k1")])));
    anyone.name = Arc::from("anyone");
    anyone.issuer = None;
    anyone.waived.issuer = Waiver::Waived;
    let verifier = verifier(vec![anyone, corp(KeySource::Jwks(jwks(&[a.jwk("k1")])))]);
    for (change, expected, why) in [
        (&without("iss") as Change<'_>, None, "no issuer"),
        (&set("iss", json!("whoever")), None, "an unknown issuer"),
        (
            &set("iss", json!("https://idp.example.com")),
            Some(Reason::CredentialInvalid),
            "a known issuer is judged by its own keys alone",
        ),
    ] {
        assert_eq!(
            check(&verifier, &b.sign(&claims(change))).await.err(),
            expected,
            "{why}"
        );
    }
}

#[tokio::test]
async fn a_mapped_token_becomes_an_identity() {
    let key = Ed::new();
    let mut issuer = corp(KeySource::Jwks(jwks(&[key.jwk("k1")])));
    issuer.profile = Profile::Mapped(ClaimMapping {
        principal_kind: PrincipalKind::Service,
        tenant: Some(ClaimPath::parse("https://example.com/tenant")),
        customer: Some(ClaimPath::parse("org.id")),
        roles: Some(ClaimPath::parse("realm_access.roles")),
        ..ClaimMapping::default()
    });
    let verifier = verifier(vec![issuer]);
    let token = key.sign(&claims(|c| {
        c.insert("jti".to_owned(), json!("t-1"));
        c.insert("https://example.com/tenant".to_owned(), json!("acme"));
        c.insert("org".to_owned(), json!({"id": "dept"}));
        c.insert(
            "realm_access".to_owned(),
            json!({"roles": ["TENANT_ADMIN", "viewer"]}),
        );
    }));
    let verified = check(&verifier, &token).await.expect("good");
    let identity = verified.identity;
    assert_eq!(identity.principal.as_str(), "alice");
    assert_eq!(identity.principal_kind, PrincipalKind::Service);
    assert_eq!(identity.credential.as_str(), "corp:t-1");
    assert_eq!(identity.tenant.map(|t| t.to_string()).as_deref(), Some("acme"));
    assert_eq!(identity.customer.map(|t| t.to_string()).as_deref(), Some("dept"));
    assert_eq!(identity.scopes.to_string(), "read channel:12:write");
    let roles: Vec<&str> = identity.roles.iter().map(|r| r.as_str()).collect();
    assert_eq!(roles, ["TENANT_ADMIN", "viewer"]);
    assert_eq!(
        identity.write_access,
        WriteAccess::Withheld,
        "`read` is the only method scope"
    );
    assert_eq!(identity.issued_at, Some(UnixMillis::from_secs(NOW - 60)));
    assert_eq!(
        identity.expires_at,
        Some(UnixMillis::from_secs(NOW + 70)),
        "exp and leeway"
    );
    let bad_role = key.sign(&claims(|c| {
        c.insert("realm_access".to_owned(), json!({"roles": ["two words"]}));
    }));
    assert_eq!(
        check(&verifier, &bad_role).await.err(),
        Some(Reason::CredentialMalformed)
    );
}

#[tokio::test]
async fn a_token_without_scopes_meets_no_required_scope() {
    let key = Ed::new();
    let source = || KeySource::Jwks(jwks(&[key.jwk("k1")]));
    let wanted = Scope::parse("read").expect("a scope");
    let mut trusting = corp(source());
    trusting.profile = Profile::Mapped(ClaimMapping {
        unscoped: Unscoped::Unrestricted,
        ..ClaimMapping::default()
    });
    let (strict, trusting) = (verifier(vec![corp(source())]), verifier(vec![trusting]));
    for (change, why) in [
        (&without("scope") as Change<'_>, "absent"),
        (&set("scope", json!("")), "empty text"),
        (&set("scope", json!("  ")), "blank text"),
        (&set("scope", json!([])), "empty list"),
    ] {
        let token = key.sign(&claims(change));
        let scopes = |v: Verified| v.identity.scopes;
        let nothing = scopes(check(&strict, &token).await.expect("good"));
        assert!(!nothing.grants(&wanted), "{why}");
        let all = scopes(check(&trusting, &token).await.expect("good"));
        assert_eq!(all, ScopeSet::default(), "{why}");
    }
    for bad in [json!(7), json!({"a": 1}), json!(["a", 7]), json!("quo\"te")] {
        let token = key.sign(&claims(set("scope", bad)));
        assert_eq!(
            check(&strict, &token).await.err(),
            Some(Reason::CredentialMalformed)
        );
    }
}

#[tokio::test]
async fn the_credential_id_survives_a_respelled_signature() {
    let pair = p256();
    let point = aws_lc_rs::signature::KeyPair::public_key(&pair).as_ref();
    let jwk = json!({"kty": "EC", "crv": "P-256", "x": b64(&point[1..33]), "y": b64(&point[33..])});
    let verifier = verifier(vec![corp(KeySource::Jwks(jwks(&[jwk])))]);
    // ECDSA signs the same text differently each time.
    for (change, by_digest) in [
        (&|_: &mut Map<String, Value>| () as _, true),
        (
            &|c: &mut Map<String, Value>| drop(c.insert("jti".to_owned(), json!("has space"))),
            true,
        ),
        (
            &|c: &mut Map<String, Value>| drop(c.insert("jti".to_owned(), json!("x".repeat(300)))),
            true,
        ),
        (
            &|c: &mut Map<String, Value>| drop(c.insert("jti".to_owned(), json!(""))),
            true,
        ),
        (
            &|c: &mut Map<String, Value>| drop(c.insert("jti".to_owned(), json!("j"))),
            false,
        ),
    ] as [(Change<'_>, bool); 5]
    {
        let payload = claims(change).to_string();
        let token = || p256_sign(&pair, r#"{"alg":"ES256"}"#, &payload);
        let (first, second) = (token(), token());
        assert_ne!(first, second);
        let id = |v: Verified| v.identity.credential;
        let first = id(check(&verifier, &first).await.expect("good"));
        assert_eq!(first, id(check(&verifier, &second).await.expect("good")));
        assert_eq!(first.as_str().len() == 64, by_digest);
    }
}

fn tb(change: impl FnOnce(&mut Map<String, Value>)) -> String {
    let mut claims = json!({
        "sub": "tenant@thingsboard.org", "userId": "784f394c-42b6-435a-983c-b7beff2784f9",
        "scopes": ["TENANT_ADMIN"], "sessionId": "s", "iss": "thingsboard.io", "iat": NOW - 10,
        "exp": NOW + 9000, "enabled": true, "isPublic": false,
        "tenantId": "a8f8f6e0-0000-11ee-8080-808080808080",
        "customerId": "13814000-1dd2-11b2-8080-808080808080",
    });
    change(claims.as_object_mut().expect("an object"));
    hmac_sign(
        Algorithm::Hs512,
        SECRET,
        r#"{"alg":"HS512"}"#,
        &claims.to_string(),
    )
}

#[tokio::test]
async fn thingsboard_tokens_become_identities() {
    let verifier = verifier(vec![thingsboard()]);
    let identity = check(&verifier, &tb(|_| ())).await.expect("good").identity;
    assert_eq!(
        identity.principal.as_str(),
        "784f394c-42b6-435a-983c-b7beff2784f9"
    );
    assert_eq!(identity.roles.first().map(|r| r.as_str()), Some("TENANT_ADMIN"));
    assert_eq!(identity.customer, None, "the null UUID is nobody");
    assert!(identity.tenant.is_some());
    let public = tb(|c| {
        c.insert("isPublic".to_owned(), json!(true));
        c.insert("sub".to_owned(), json!("public-id"));
        c.insert("userId".to_owned(), json!("13814000-1dd2-11b2-8080-808080808080"));
    });
    let identity = check(&verifier, &public).await.expect("good").identity;
    assert_eq!(identity.principal.as_str(), "public-id");
    assert_eq!(
        identity.category.map(|c| c.as_str().to_owned()).as_deref(),
        Some("public")
    );
    for (change, expected, why) in [
        (
            &without("scopes") as Change<'_>,
            Reason::CredentialMalformed,
            "scopes are required",
        ),
        (
            &set("scopes", json!([])),
            Reason::CredentialMalformed,
            "an empty list too",
        ),
        (
            &without("isPublic"),
            Reason::CredentialMalformed,
            "isPublic is required",
        ),
        (
            &set("enabled", json!(false)),
            Reason::PrincipalDisabled,
            "a disabled user",
        ),
        (
            &set("scopes", json!(["REFRESH_TOKEN"])),
            Reason::WrongTokenClass,
            "a refresh token",
        ),
        (
            &set("exp", json!(NOW - 100)),
            Reason::CredentialExpired,
            "an old one",
        ),
    ] {
        assert_eq!(check(&verifier, &tb(change)).await.err(), Some(expected), "{why}");
    }
    let short = hmac_sign(
        Algorithm::Hs256,
        SECRET,
        r#"{"alg":"HS256"}"#,
        r#"{"exp":1900000000}"#,
    );
    assert_eq!(
        check(&verifier, &short).await.err(),
        Some(Reason::CredentialInvalid),
        "only HS512 was allowed"
    );
}

#[tokio::test]
async fn the_wall_clock_decides_and_a_rejection_blames_the_caller() {
    let key = Ed::new();
    let verifier = verifier(vec![corp(KeySource::Jwks(jwks(&[key.jwk("k1")])))]);
    let token = key.sign(&claims(|_| ()));
    let (manual, _) = clock();
    manual.advance(Duration::from_millis(69_999));
    assert!(check_at(&verifier, &token, manual.now()).await.is_ok());
    manual.advance(Duration::from_millis(1));
    assert_eq!(
        check_at(&verifier, &token, manual.now()).await.err(),
        Some(Rejection::caller(Reason::CredentialExpired))
    );
}
