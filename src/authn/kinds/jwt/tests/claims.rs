//! Verified claims: times, issuers, audiences, token classes, identities.

use std::time::Duration;

use serde_json::{Map, Value, json};

use super::super::*;
use super::support::*;
use crate::domain::clock::UnixMillis;
use crate::domain::identity::{PrincipalKind, WriteAccess};
use crate::domain::scope::{Scope, ScopeSet};

type Change<'a> = &'a dyn Fn(&mut Map<String, Value>);

const MALFORMED: Option<Reason> = Some(Reason::CredentialMalformed);
const INVALID: Option<Reason> = Some(Reason::CredentialInvalid);

fn set(name: &'static str, value: impl Into<Value>) -> impl Fn(&mut Map<String, Value>) {
    let value = value.into();
    move |claims| drop(claims.insert(name.to_owned(), value.clone()))
}

fn without(name: &'static str) -> impl Fn(&mut Map<String, Value>) {
    move |claims| drop(claims.remove(name))
}

/// `corp` with this one key.
fn corp_of(key: &Ed) -> Issuer {
    corp(KeySource::Jwks(jwks(&[key.jwk("k1")])))
}

/// What a verifier says of these claims under this key.
async fn answer(verifier: &JwtVerifier, key: &Ed, change: Change<'_>) -> Option<Reason> {
    check(verifier, &key.sign(&claims(change))).await.err()
}

#[tokio::test]
async fn times_issuer_and_audience_are_checked_with_leeway() {
    let key = Ed::new();
    let verifier = verifier(vec![corp_of(&key)]);
    let (expired, early) = (
        Some(Reason::CredentialExpired),
        Some(Reason::CredentialNotYetValid),
    );
    let (audience, issuer) = (Some(Reason::WrongAudience), Some(Reason::WrongIssuer));
    let slash = "https://idp.example.com/";
    let rows: [(Change<'_>, Option<Reason>, &str); 19] = [
        (&|_| (), None, "good"),
        (&without("exp"), MALFORMED, "no end"),
        (&set("exp", NOW - 9), None, "ended within the leeway"),
        (&set("exp", NOW - 10), expired, "ended: on the second it is over"),
        (&set("exp", 0), expired, "ended in 1970"),
        (&set("nbf", NOW + 10), None, "begins within the leeway"),
        (&set("nbf", NOW + 11), early, "begins later"),
        (&set("iat", NOW + 11), early, "issued in the future"),
        (&without("iat"), None, "no time of issue"),
        (&without("sub"), MALFORMED, "about nobody"),
        (&set("sub", "two words"), MALFORMED, "cannot stand in a header"),
        (
            &set("sub", "a\r\nX-Auth-Roles: admin"),
            MALFORMED,
            "splits a header",
        ),
        (&set("aud", "evil"), audience, "for someone else"),
        (&set("aud", "API"), audience, "case counts"),
        (&without("aud"), audience, "for nobody"),
        (&set("aud", json!([])), audience, "for an empty list"),
        (&set("aud", json!(["x", "other"])), None, "for us among others"),
        (&without("iss"), issuer, "from nobody"),
        (&set("iss", slash), issuer, "one slash more"),
    ];
    for (change, expected, why) in rows {
        assert_eq!(answer(&verifier, &key, change).await, expected, "{why}");
    }
}

#[tokio::test]
async fn an_unverified_claim_never_decides_the_reason() {
    let verifier = verifier(vec![corp_of(&Ed::new())]);
    let forger = Ed::new();
    let changes: [Change<'_>; 5] = [
        &set("exp", 1),
        &set("aud", "evil"),
        &set("nbf", NOW + 1000),
        &set("token_use", "refresh"),
        &without("sub"),
    ];
    for change in changes {
        assert_eq!(answer(&verifier, &forger, change).await, INVALID);
    }
}

#[tokio::test]
async fn only_access_tokens_are_taken() {
    let key = Ed::new();
    let verifier = verifier(vec![corp_of(&key)]);
    let wrong = Some(Reason::WrongTokenClass);
    for (name, value, why) in [
        ("scopes", json!(["REFRESH_TOKEN"]), "ThingsBoard's refresh"),
        ("scopes", json!(["PRE_VERIFICATION_TOKEN"]), "before a factor"),
        ("scopes", json!(["MFA_CONFIGURATION_TOKEN"]), "for a factor"),
        ("scope", json!("read REFRESH_TOKEN"), "the same in a text"),
        ("token_use", json!("refresh"), "our refresh token"),
        ("token_use", json!("pre_verification"), "before our factor"),
        ("token_use", json!("admin"), "an administrator's token"),
        ("token_use", json!("assertion"), "our assertion"),
        ("token_use", json!("id"), "Cognito's ID token"),
        ("token_use", json!(7), "a use that is no text"),
        ("typ", json!("Refresh"), "Keycloak's refresh token"),
        ("typ", json!("Offline"), "Keycloak's offline token"),
        ("typ", json!("ID"), "Keycloak's ID token"),
        ("typ", json!("DPoP"), "a token bound to a key"),
        ("token_type", json!("refresh"), "Django's refresh token"),
        ("type", json!("refresh"), "Flask's refresh token"),
        ("at_hash", json!("x"), "an ID token with a token's digest"),
        ("c_hash", json!("x"), "an ID token with a code's digest"),
        ("events", json!({}), "a logout token"),
        ("cnf", json!({"jkt": "x"}), "a bearer proves no key"),
    ] {
        assert_eq!(answer(&verifier, &key, &set(name, value)).await, wrong, "{why}");
    }
    for (name, value, why) in [
        ("token_use", "access", "Cognito's access token"),
        ("typ", "Bearer", "Keycloak's access token"),
        ("token_type", "access", "Django's access token"),
    ] {
        assert_eq!(answer(&verifier, &key, &set(name, value)).await, None, "{why}");
    }
    for (typ, expected, why) in [
        (None, wrong, "an ID token with a nonce"),
        (
            Some("Bearer"),
            None,
            "an access token with a nonce that says what it is",
        ),
    ] {
        let change = |claims: &mut Map<String, Value>| {
            set("nonce", "n")(claims);
            without("scope")(claims);
            typ.into_iter().for_each(|typ| set("typ", typ)(claims));
        };
        assert_eq!(answer(&verifier, &key, &change).await, expected, "{why}");
    }
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
    let partner = Issuer {
        name: Arc::from("partner"),
        issuer: Some("https://partner.example.com".to_owned()),
        audiences: vec!["partner-api".to_owned()],
        ..corp_of(&b)
    };
    let verifier = verifier(vec![corp_of(&a), partner]);
    let as_partner = |aud: &'static str| {
        move |claims: &mut Map<String, Value>| {
            set("iss", "https://partner.example.com")(claims);
            set("aud", aud)(claims);
        }
    };
    let rows: [(&Ed, Change<'_>, Option<Reason>, &str); 5] = [
        (&a, &|_| (), None, "corp by corp"),
        (&b, &as_partner("partner-api"), None, "partner by partner"),
        (&b, &|_| (), INVALID, "corp's name under partner's key"),
        (&a, &as_partner("partner-api"), INVALID, "and the other way"),
        (
            &b,
            &as_partner("api"),
            Some(Reason::WrongAudience),
            "corp's audience from partner",
        ),
    ];
    for (key, change, expected, why) in rows {
        assert_eq!(answer(&verifier, key, change).await, expected, "{why}");
    }
}

#[tokio::test]
async fn an_issuer_that_waives_iss_cannot_speak_for_another() {
    let (a, b) = (Ed::new(), Ed::new());
    let mut anyone = corp_of(&b);
    anyone.name = Arc::from("anyone");
    anyone.issuer = None;
    anyone.waived.issuer = Waiver::Waived;
    let verifier = verifier(vec![anyone, corp_of(&a)]);
    let rows: [(Change<'_>, Option<Reason>, &str); 3] = [
        (&without("iss"), None, "no issuer"),
        (&set("iss", "whoever"), None, "an unknown issuer"),
        (
            &set("iss", "https://idp.example.com"),
            INVALID,
            "judged by its own keys alone",
        ),
    ];
    for (change, expected, why) in rows {
        assert_eq!(answer(&verifier, &b, change).await, expected, "{why}");
    }
}

#[tokio::test]
async fn a_subject_prefix_keeps_the_same_subject_of_two_issuers_apart() {
    let (a, b) = (Ed::new(), Ed::new());
    let partner = Issuer {
        name: Arc::from("partner"),
        issuer: Some("https://partner.example.com".to_owned()),
        subject_prefix: Arc::from("partner:"),
        ..corp_of(&b)
    };
    let ours = Issuer {
        subject_prefix: Arc::from("tb:"),
        ..thingsboard()
    };
    let verifier = verifier(vec![corp_of(&a), partner, ours]);
    let by_partner = set("iss", "https://partner.example.com");
    let of = async |token: String| match check(&verifier, &token).await {
        Ok(verified) => Ok(verified.identity.principal.to_string()),
        Err(reason) => Err(reason),
    };
    assert_eq!(of(a.sign(&claims(|_| ()))).await.as_deref(), Ok("alice"));
    assert_eq!(
        of(b.sign(&claims(&by_partner))).await.as_deref(),
        Ok("partner:alice")
    );
    let user = "tb:784f394c-42b6-435a-983c-b7beff2784f9";
    assert_eq!(of(tb(|_| ())).await.as_deref(), Ok(user));
    let rows = [
        ("", "nobody has an empty name"),
        (&"x".repeat(250), "255 bytes with the prefix"),
    ];
    for (subject, why) in rows {
        let token = b.sign(&claims(|c| {
            by_partner(c);
            set("sub", subject)(c);
        }));
        assert_eq!(of(token).await.err(), MALFORMED, "{why}");
    }
}

#[tokio::test]
async fn a_mapped_token_becomes_an_identity() {
    let key = Ed::new();
    let mut issuer = corp_of(&key);
    issuer.profile = Profile::Mapped(ClaimMapping {
        principal_kind: PrincipalKind::Service,
        tenant: Some(ClaimPath::parse("https://example.com/tenant")),
        customer: Some(ClaimPath::parse("org.id")),
        roles: Some(ClaimPath::parse("realm_access.roles")),
        ..ClaimMapping::default()
    });
    let verifier = verifier(vec![issuer]);
    let token = key.sign(&claims(|c| {
        set("jti", "t-1")(c);
        set("https://example.com/tenant", "acme")(c);
        set("org", json!({"id": "dept"}))(c);
        set("realm_access", json!({"roles": ["TENANT_ADMIN", "viewer"]}))(c);
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
    let bad_role = set("realm_access", json!({"roles": ["two words"]}));
    assert_eq!(answer(&verifier, &key, &bad_role).await, MALFORMED);
}

#[tokio::test]
async fn a_token_without_scopes_meets_no_required_scope() {
    let key = Ed::new();
    let wanted = Scope::parse("read").expect("a scope");
    let mut trusting = corp_of(&key);
    trusting.profile = Profile::Mapped(ClaimMapping {
        unscoped: Unscoped::Unrestricted,
        ..ClaimMapping::default()
    });
    let (strict, trusting) = (verifier(vec![corp_of(&key)]), verifier(vec![trusting]));
    for (change, why) in [
        (&without("scope") as Change<'_>, "absent"),
        (&set("scope", ""), "empty text"),
        (&set("scope", "  "), "blank text"),
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
        assert_eq!(answer(&strict, &key, &set("scope", bad)).await, MALFORMED);
    }
}

#[tokio::test]
async fn the_credential_id_survives_a_respelled_signature() {
    let pair = p256();
    let point = aws_lc_rs::signature::KeyPair::public_key(&pair).as_ref();
    let jwk = json!({"kty": "EC", "crv": "P-256", "x": b64(&point[1..33]), "y": b64(&point[33..])});
    let verifier = verifier(vec![corp(KeySource::Jwks(jwks(&[jwk])))]);
    // ECDSA signs the same text differently each time.
    for (jti, by_digest) in [
        (None, true),
        (Some("has space".to_owned()), true),
        (Some("x".repeat(300)), true),
        (Some(String::new()), true),
        (Some("j".to_owned()), false),
    ] {
        let payload = claims(|c| jti.into_iter().for_each(|jti| set("jti", jti)(c))).to_string();
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
        set("isPublic", true)(c);
        set("sub", "public-id")(c);
        set("userId", "13814000-1dd2-11b2-8080-808080808080")(c);
    });
    let identity = check(&verifier, &public).await.expect("good").identity;
    assert_eq!(identity.principal.as_str(), "public-id");
    assert_eq!(
        identity.category.map(|c| c.as_str().to_owned()).as_deref(),
        Some("public")
    );
    let disabled = Some(Reason::PrincipalDisabled);
    let rows: [(Change<'_>, Option<Reason>, &str); 6] = [
        (&without("scopes"), MALFORMED, "scopes are required"),
        (&set("scopes", json!([])), MALFORMED, "an empty list too"),
        (&without("isPublic"), MALFORMED, "isPublic is required"),
        (&set("enabled", false), disabled, "a disabled user"),
        (
            &set("scopes", json!(["REFRESH_TOKEN"])),
            Some(Reason::WrongTokenClass),
            "a refresh token",
        ),
        (
            &set("exp", NOW - 100),
            Some(Reason::CredentialExpired),
            "an old one",
        ),
    ];
    for (change, expected, why) in rows {
        assert_eq!(check(&verifier, &tb(change)).await.err(), expected, "{why}");
    }
    let short = hmac_sign(
        Algorithm::Hs256,
        SECRET,
        r#"{"alg":"HS256"}"#,
        r#"{"exp":1900000000}"#,
    );
    assert_eq!(
        check(&verifier, &short).await.err(),
        INVALID,
        "only HS512 was allowed"
    );
}

#[tokio::test]
async fn the_wall_clock_decides_and_a_rejection_blames_the_caller() {
    let key = Ed::new();
    let verifier = verifier(vec![corp_of(&key)]);
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
