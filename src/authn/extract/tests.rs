//! Hostile heads first, then the dispatch table, then properties.

use http::{HeaderMap, HeaderName, HeaderValue};
use proptest::prelude::*;

use super::*;

const JWT: &str = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJhIn0.c2ln";
const UUID: &str = "5a16405f-b32c-4c91-ae39-cbb2caba18d8";
const SEALED: &str = "AAECAwQFBgcICQoLDA0ODw==";

fn shapes() -> Shapes {
    Shapes::new(["dw", "hc", "tb"], HexTokens::ApiToken)
}

fn hex64() -> String {
    "0123456789abcdef".repeat(4)
}

fn map(fields: &[(&str, &str)]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for (name, value) in fields {
        headers.append(
            HeaderName::from_bytes(name.as_bytes()).expect("a name"),
            HeaderValue::from_bytes(value.as_bytes()).expect("a value"),
        );
    }
    headers
}

type Outcome = Result<Option<(Carrier, CredentialKind, String)>, Reason>;

fn read(fields: &[(&str, &str)], rules: &CarrierRules) -> Outcome {
    read_all(fields, None, "/", rules)
}

fn read_all(fields: &[(&str, &str)], query: Option<&str>, path: &str, rules: &CarrierRules) -> Outcome {
    let headers = map(fields);
    extract(&headers, query, path, rules, &shapes()).map(|found| {
        found.map(|p| {
            (
                p.carrier,
                p.kind,
                String::from_utf8_lossy(p.credential).into_owned(),
            )
        })
    })
}

fn with(precedence: Precedence) -> CarrierRules {
    CarrierRules {
        precedence,
        ..CarrierRules::default()
    }
}

#[test]
fn two_credentials_are_refused() {
    for (fields, why) in [
        (
            &[
                ("authorization", "Bearer a.b.c"),
                ("authorization", "Bearer a.b.c"),
            ][..],
            "the field twice",
        ),
        (
            &[("authorization", "Bearer a.b.c"), ("Authorization", "Device x")],
            "the field twice, two schemes",
        ),
        (&[("authorization", "Bearer a.b.c, Bearer d.e.f")], "a list"),
        (&[("authorization", "a,b")], "a list of bare words"),
        (&[("authorization", "a, b")], "a list of bare words with a space"),
        (
            &[("authorization", "Basic YTpi,Basic YTpi")],
            "a list of basic credentials",
        ),
        (&[("token", "a,b")], "a list in a device carrier"),
        (&[("x-api-key", "hc_a,hc_b")], "a list in X-API-Key"),
        (&[("token", "a"), ("token", "a")], "equal twice"),
        (
            &[
                ("authorization", "Bearer a.b.c"),
                ("x-authorization", "Bearer a.b.c"),
            ],
            "two carriers",
        ),
        (
            &[("authorization", "Bearer a.b.c"), ("x-api-key", "hc_1")],
            "two carriers",
        ),
        (&[("device-token", "a"), ("token", "b")], "two carriers"),
        (
            &[("account-token", "a"), ("profile-token", "b")],
            "two platform carriers",
        ),
        (
            &[("authorization", ""), ("token", "b")],
            "a blank one is still one",
        ),
    ] {
        assert_eq!(
            read(fields, &CarrierRules::default()),
            Err(Reason::AmbiguousCredentials),
            "{fields:?}: {why}"
        );
    }
}

#[test]
fn malformed_credentials_are_refused_with_their_reason() {
    use Reason::{CredentialInvalid, CredentialMalformed, SchemeUnsupported};
    for (name, value, reason, why) in [
        ("authorization", "", CredentialMalformed, "nothing"),
        (
            "authorization",
            "Bearer",
            CredentialMalformed,
            "a scheme without a credential",
        ),
        (
            "authorization",
            "bearer ",
            CredentialMalformed,
            "a scheme and a space",
        ),
        (
            "authorization",
            "Device",
            CredentialMalformed,
            "a scheme without a credential",
        ),
        ("authorization", "Bearer a b", CredentialMalformed, "three words"),
        (
            "authorization",
            "Bearer\ta.b.c",
            CredentialMalformed,
            "a tab is no space",
        ),
        (
            "authorization",
            "Bearer a.b.c\u{e9}",
            CredentialMalformed,
            "no ASCII",
        ),
        ("authorization", "\u{e9}", CredentialMalformed, "no ASCII, bare"),
        (
            "authorization",
            "\u{e9} x",
            CredentialMalformed,
            "no ASCII in the scheme",
        ),
        (
            "authorization",
            "Negotiate abc",
            SchemeUnsupported,
            "another scheme",
        ),
        (
            "authorization",
            "Digest username=\"a\", realm=\"b\"",
            SchemeUnsupported,
            "another scheme with a list",
        ),
        (
            "authorization",
            "Bearer: a.b.c",
            CredentialMalformed,
            "a colon is part of no scheme",
        ),
        (
            "authorization",
            "Bearer opaque",
            CredentialInvalid,
            "Bearer is for JWTs and API tokens",
        ),
        ("authorization", "Bearer a.b.c.d", CredentialInvalid, "four parts"),
        (
            "authorization",
            "Bearer a.b.c=",
            CredentialInvalid,
            "padding is no Base64url",
        ),
        (
            "authorization",
            "Bearer xx_12345678_secret",
            CredentialInvalid,
            "a prefix nobody registered",
        ),
        (
            "authorization",
            "ApiKey opaque",
            CredentialInvalid,
            "ApiKey is for API tokens",
        ),
        (
            "x-api-key",
            "opaque",
            CredentialInvalid,
            "X-API-Key is for API tokens",
        ),
        ("x-api-key", JWT, CredentialInvalid, "X-API-Key is for API tokens"),
        (
            "x-authorization",
            "a.b.c",
            CredentialMalformed,
            "X-Authorization wants a scheme",
        ),
        (
            "x-authorization",
            "Basic YTpi",
            SchemeUnsupported,
            "X-Authorization knows two schemes",
        ),
        (
            "x-authorization",
            "Device abc",
            SchemeUnsupported,
            "X-Authorization knows two schemes",
        ),
        ("token", "", CredentialMalformed, "blank"),
        ("token", "a b", CredentialMalformed, "two words"),
    ] {
        assert_eq!(
            read(&[(name, value)], &CarrierRules::default()),
            Err(reason),
            "{name}: {value:?}: {why}"
        );
    }
}

#[test]
fn the_bound_is_16_kib() {
    let exactly = "x".repeat(MAX_CREDENTIAL_BYTES);
    assert_eq!(
        read(&[("token", &exactly)], &CarrierRules::default()).map(|p| p.map(|p| p.1)),
        Ok(Some(CredentialKind::DeviceToken))
    );
    for (name, value) in [
        ("token", format!("{exactly}x")),
        ("authorization", format!("Bearer {exactly}x")),
        ("authorization", format!("Device {exactly}x")),
    ] {
        assert_eq!(
            read(&[(name, &value)], &CarrierRules::default()),
            Err(Reason::CredentialOversized),
            "{name}"
        );
    }
}

#[test]
fn each_form_is_claimed_by_one_kind() {
    use Carrier::*;
    use CredentialKind as Kind;
    let hex = hex64();
    let hc = "hc_a1b2c3d4_0123456789abcdef0123456789abcdef";
    let tb = format!("tb_{}", "Ab-_".repeat(21));
    for (name, value, carrier, kind, credential) in [
        (
            "authorization",
            format!("Device {SEALED}"),
            AuthorizationDevice,
            Kind::SealedDeviceToken,
            SEALED,
        ),
        (
            "authorization",
            format!("dEVICE   {SEALED}"),
            AuthorizationDevice,
            Kind::SealedDeviceToken,
            SEALED,
        ),
        (
            "authorization",
            "Device dwd_k1_abc".to_owned(),
            AuthorizationDevice,
            Kind::SealedDeviceToken,
            "dwd_k1_abc",
        ),
        (
            "authorization",
            format!("Bearer {JWT}"),
            AuthorizationBearer,
            Kind::Jwt,
            JWT,
        ),
        (
            "authorization",
            "Bearer a.b.".to_owned(),
            AuthorizationBearer,
            Kind::Jwt,
            "a.b.",
        ),
        (
            "authorization",
            format!("bearer {hc}"),
            AuthorizationBearer,
            Kind::ApiToken,
            hc,
        ),
        (
            "authorization",
            format!("Bearer {hex}"),
            AuthorizationBearer,
            Kind::ApiToken,
            &hex,
        ),
        (
            "authorization",
            "Basic YTpi".to_owned(),
            AuthorizationBasic,
            Kind::Basic,
            "YTpi",
        ),
        (
            "authorization",
            format!("ApiKey {tb}"),
            AuthorizationApiKey,
            Kind::ApiToken,
            &tb,
        ),
        (
            "authorization",
            UUID.to_owned(),
            AuthorizationBare,
            Kind::DeviceToken,
            UUID,
        ),
        (
            "authorization",
            "dwt_abc".to_owned(),
            AuthorizationBare,
            Kind::DeviceToken,
            "dwt_abc",
        ),
        (
            "authorization",
            hc.to_owned(),
            AuthorizationBare,
            Kind::ApiToken,
            hc,
        ),
        (
            "authorization",
            hex.clone(),
            AuthorizationBare,
            Kind::ApiToken,
            &hex,
        ),
        ("authorization", JWT.to_owned(), AuthorizationBare, Kind::Jwt, JWT),
        (
            "x-authorization",
            format!("Bearer {JWT}"),
            XAuthorizationBearer,
            Kind::Jwt,
            JWT,
        ),
        (
            "x-authorization",
            format!("ApiKey {tb}"),
            XAuthorizationApiKey,
            Kind::ApiToken,
            &tb,
        ),
        ("x-api-key", hc.to_owned(), XApiKey, Kind::ApiToken, hc),
        ("x-api-key", hex.clone(), XApiKey, Kind::ApiToken, &hex),
        (
            "device-token",
            UUID.to_owned(),
            DeviceToken,
            Kind::DeviceToken,
            UUID,
        ),
        ("token", UUID.to_owned(), Token, Kind::DeviceToken, UUID),
        (
            "token",
            "A1B2C3D4E5F6G7H8I9J0".to_owned(),
            Token,
            Kind::DeviceToken,
            "A1B2C3D4E5F6G7H8I9J0",
        ),
        ("token", "null".to_owned(), Token, Kind::DeviceToken, "null"),
        (
            "account-token",
            UUID.to_owned(),
            PlatformToken,
            Kind::DeviceToken,
            UUID,
        ),
        (
            "profile-token",
            UUID.to_owned(),
            PlatformToken,
            Kind::DeviceToken,
            UUID,
        ),
        (
            "public-token",
            UUID.to_owned(),
            PlatformToken,
            Kind::DeviceToken,
            UUID,
        ),
        (
            "analysis-token",
            UUID.to_owned(),
            PlatformToken,
            Kind::DeviceToken,
            UUID,
        ),
    ] {
        assert_eq!(
            read(&[(name, &value)], &CarrierRules::default()),
            Ok(Some((carrier, kind, credential.to_owned()))),
            "{name}: {value}"
        );
    }
}

#[test]
fn fields_that_are_no_carriers_are_not_read() {
    for name in [
        "host",
        "cookie",
        "x-api-kez",
        "accept",
        "authorizatioN-x",
        "tokem",
        "public-tokem",
        "x-request-id",
    ] {
        assert_eq!(
            read(&[(name, "hc_12345678_x")], &CarrierRules::default()),
            Ok(None),
            "{name}"
        );
    }
    for name in carrier_headers() {
        assert_ne!(
            read(&[(name, "hc_12345678_x")], &CarrierRules::default()),
            Ok(None),
            "{name} is a carrier"
        );
    }
}

#[test]
fn hexadecimal_tokens_can_be_switched_off() {
    let (headers, hex) = (
        map(&[("authorization", &format!("Bearer {}", hex64()))]),
        HexTokens::Opaque,
    );
    let found = extract(
        &headers,
        None,
        "/",
        &CarrierRules::default(),
        &Shapes::new(["dw"], hex),
    );
    assert_eq!(found, Err(Reason::CredentialInvalid));
}

#[test]
fn the_tagoio_precedence_gives_its_order() {
    let rules = with(Precedence::TagoIo);
    let order = [
        "account-token",
        "profile-token",
        "device-token",
        "public-token",
        "analysis-token",
        "token",
    ];
    for (i, first) in order.iter().enumerate() {
        for second in order.iter().skip(i + 1).chain(&["authorization", "x-api-key"]) {
            for fields in [
                [(*first, "winner"), (*second, "loser")],
                [(*second, "loser"), (*first, "winner")],
            ] {
                let found = read(&fields, &rules)
                    .expect("a precedence")
                    .expect("a credential");
                assert_eq!(found.2, "winner", "{fields:?}");
            }
        }
    }
    for (fields, expected) in [
        (&[("token", "null"), ("authorization", "a")][..], Ok(Some("a"))),
        (&[("authorization", "a"), ("token", "null")], Ok(Some("a"))),
        (&[("token", "null")], Ok(None)),
        (&[("device-token", "null"), ("token", "null")], Ok(None)),
        (
            &[("token", "a"), ("token", "a")],
            Err(Reason::AmbiguousCredentials),
        ),
        (
            &[("token", "null"), ("token", "a")],
            Err(Reason::AmbiguousCredentials),
        ),
        (&[("token", "a,b")], Err(Reason::AmbiguousCredentials)),
        (&[("token", "")], Err(Reason::CredentialMalformed)),
    ] {
        let found = read(fields, &rules).map(|p| p.map(|p| p.2));
        assert_eq!(found, expected.map(|p| p.map(str::to_owned)), "{fields:?}");
    }
}

#[test]
fn the_thingsboard_precedence_puts_x_authorization_first() {
    let rules = with(Precedence::ThingsBoard);
    for (fields, expected) in [
        (
            &[
                ("authorization", "Bearer a.b.c"),
                ("x-authorization", "Bearer d.e.f"),
            ][..],
            Ok(Some("d.e.f")),
        ),
        (
            &[
                ("x-authorization", "Bearer d.e.f"),
                ("authorization", "Bearer a.b.c"),
            ],
            Ok(Some("d.e.f")),
        ),
        (
            &[("x-authorization", ""), ("authorization", "Bearer a.b.c")],
            Ok(Some("a.b.c")),
        ),
        (
            &[("authorization", "Bearer a.b.c"), ("x-authorization", "  ")],
            Ok(Some("a.b.c")),
        ),
        (&[("x-authorization", ""), ("authorization", "")], Ok(None)),
        (
            &[("x-authorization", "Bearer a.b.c"), ("token", "x")],
            Err(Reason::AmbiguousCredentials),
        ),
        (
            &[("authorization", "a.b.c"), ("authorization", "a.b.c")],
            Err(Reason::AmbiguousCredentials),
        ),
        (
            &[("x-authorization", "Basic YTpi"), ("authorization", "a.b.c")],
            Err(Reason::SchemeUnsupported),
        ),
    ] {
        let found = read(fields, &rules).map(|p| p.map(|p| p.2));
        assert_eq!(found, expected.map(|p| p.map(str::to_owned)), "{fields:?}");
    }
}

#[test]
fn path_and_query_are_read_only_where_the_route_says_so() {
    let none = CarrierRules::default();
    let path = CarrierRules {
        path_token_after: Some("/api/v1/".to_owned()),
        ..CarrierRules::default()
    };
    let query = CarrierRules {
        query_parameters: vec!["token".to_owned()],
        ..CarrierRules::default()
    };
    let long = format!("token={}", "x".repeat(MAX_CREDENTIAL_BYTES + 1));
    for (fields, text, at, rules, expected, why) in [
        (
            &[][..],
            Some("token=abc"),
            "/api/v1/tok/telemetry",
            &none,
            Ok(None),
            "neither is asked for",
        ),
        (
            &[],
            None,
            "/api/v1/tok/telemetry",
            &path,
            Ok(Some("tok")),
            "a path token",
        ),
        (
            &[],
            None,
            "/api/v1/tok",
            &path,
            Ok(Some("tok")),
            "a path token at the end",
        ),
        (&[], None, "/api/v1/", &path, Ok(None), "no segment there"),
        (&[], None, "/api/v2/tok/", &path, Ok(None), "another path"),
        (
            &[],
            None,
            "/api/v1/t%3Ak/x",
            &path,
            Err(Reason::CredentialMalformed),
            "an encoded path token",
        ),
        (
            &[("token", "x")],
            None,
            "/api/v1/tok/x",
            &path,
            Err(Reason::AmbiguousCredentials),
            "header and path",
        ),
        (
            &[],
            Some("a=1&token=abc&b"),
            "/",
            &query,
            Ok(Some("abc")),
            "a parameter",
        ),
        (
            &[],
            Some("%74oken=abc"),
            "/",
            &query,
            Ok(Some("abc")),
            "an encoded name",
        ),
        (
            &[],
            Some("token=abc&%74oken=d"),
            "/",
            &query,
            Err(Reason::AmbiguousCredentials),
            "the name twice",
        ),
        (&[], Some("Token=abc"), "/", &query, Ok(None), "names have case"),
        (
            &[],
            Some("token="),
            "/",
            &query,
            Err(Reason::CredentialMalformed),
            "blank",
        ),
        (
            &[],
            Some("token"),
            "/",
            &query,
            Err(Reason::CredentialMalformed),
            "no value",
        ),
        (
            &[],
            Some("token=a%20b"),
            "/",
            &query,
            Err(Reason::CredentialMalformed),
            "an encoded value",
        ),
        (
            &[("token", "x")],
            Some("token=y"),
            "/",
            &query,
            Err(Reason::AmbiguousCredentials),
            "header and query",
        ),
        (
            &[],
            Some(long.as_str()),
            "/",
            &query,
            Err(Reason::CredentialOversized),
            "over the bound",
        ),
        (&[], None, "/", &query, Ok(None), "no query"),
    ] {
        let found = read_all(fields, text, at, rules).map(|p| p.map(|p| p.2));
        assert_eq!(found, expected.map(|p| p.map(str::to_owned)), "{why}");
    }
}

#[test]
fn query_credentials_are_removed() {
    let names = vec!["token".to_owned(), "api key".to_owned()];
    for (query, expected) in [
        ("a=1&b=2", Some("a=1&b=2")),
        ("token=x", None),
        ("token", None),
        ("a=1&token=x&b=2", Some("a=1&b=2")),
        ("%74%6fken=x&a", Some("a")),
        ("api+key=1&api%20key=2&a", Some("a")),
        ("token=x&token=y&token=z", None),
        ("tokens=x&Token=1", Some("tokens=x&Token=1")),
        ("", Some("")),
        ("&&", Some("&&")),
        ("a=%zz&%=1&token=1", Some("a=%zz&%=1")),
    ] {
        assert_eq!(
            strip_query_parameters(query, &names).as_deref(),
            expected,
            "{query}"
        );
    }
}

fn any_value() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        prop::collection::vec(prop_oneof![Just(b'\t'), 0x20_u8..=0x7e, 0x80_u8..=0xff], 0..80),
        "(?i:bearer|device|basic|apikey|digest|)( {0,2}|\t)[ -~]{0,60}".prop_map(String::into_bytes),
    ]
}

proptest! {
    #[test]
    fn a_presented_credential_lies_within_its_header(
        fields in prop::collection::vec((0..CARRIER_HEADERS.len(), any_value()), 0..3),
        precedence in prop_oneof![Just(Precedence::Refuse), Just(Precedence::TagoIo), Just(Precedence::ThingsBoard)],
    ) {
        let mut headers = HeaderMap::new();
        for (carrier, value) in &fields {
            headers.append(
                HeaderName::from_static(CARRIER_HEADERS[*carrier]),
                HeaderValue::from_bytes(value).expect("a value"),
            );
        }
        if let Ok(Some(found)) = extract(&headers, None, "/", &with(precedence), &shapes()) {
            let inside = headers.values().any(|v| v.as_bytes().as_ptr_range().contains(&found.credential.as_ptr()));
            prop_assert!(inside);
            prop_assert!(!found.credential.is_empty() && found.credential.iter().all(u8::is_ascii_graphic));
            prop_assert!(fields.len() == 1 || precedence != Precedence::Refuse, "one was picked of {:?}", fields);
        }
    }

    #[test]
    fn nothing_credential_like_survives_in_a_query(query in "[a-z%0-9&=+]{0,60}") {
        let names = vec!["t".to_owned(), "ab".to_owned()];
        if let Some(left) = strip_query_parameters(&query, &names) {
            prop_assert_eq!(query::find_credential(&left, &names), Ok(None));
        }
    }
}
