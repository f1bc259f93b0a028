//! What must never survive, what must be there, and what `Connection` cannot do.

use http::header::{AUTHORIZATION, HeaderName};
use proptest::prelude::*;

use super::*;
use crate::domain::clock::UnixMillis;
use crate::domain::identity::{CredentialKind, Identity, PrincipalKind, WriteAccess};
use crate::domain::ids::{CredentialId, PrincipalId};
use crate::domain::scope::{Permission, ScopeSet};

fn identity() -> Identity {
    Identity {
        principal: PrincipalId::parse("device-7").expect("an id"),
        principal_kind: PrincipalKind::Device,
        credential_kind: CredentialKind::DeviceToken,
        credential: CredentialId::parse("row-1").expect("an id"),
        tenant: None,
        customer: None,
        scopes: ScopeSet::default(),
        roles: Vec::new(),
        permission: Permission::Full,
        write_access: WriteAccess::Withheld,
        device_id: None,
        category: None,
        issued_at: None,
        expires_at: Some(UnixMillis(5_000)),
    }
}

fn custom_rules() -> UpstreamHeaderRules {
    let mut rules = UpstreamHeaderRules::default();
    rules.names[IdentityField::DeviceId as usize] = Some(HeaderName::from_static("deviceid"));
    rules.names[IdentityField::WriteAccess as usize] = Some(HeaderName::from_static("has_write_access"));
    rules.names[IdentityField::Category as usize] = None;
    rules
}

/// The writer's steps without a permit, which only `authz` can make.
fn forwarded(
    received: &HeaderMap,
    values: Option<&IdentityValues>,
    rules: &UpstreamHeaderRules,
) -> HeaderMap {
    let writer = UpstreamHeaders::new([rules], RequestIds::new([3; 16]));
    let mut headers = received.clone();
    strip_hop_by_hop(&mut headers);
    writer.strip.remove_from(&mut headers, rules.forward_credential);
    set_identity(&mut headers, values, rules);
    set_forwarded(
        &mut headers,
        ClientIp::new("2001:db8::1".parse().expect("an address")),
        Scheme::Https,
    );
    headers.insert(VIA, via(Version::HTTP_10));
    headers
}

fn map(fields: &[(&str, &str)]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for (name, value) in fields {
        headers.append(
            HeaderName::from_bytes(name.as_bytes()).expect("a name"),
            HeaderValue::from_str(value).expect("a value"),
        );
    }
    headers
}

#[test]
fn an_identity_has_no_name_that_means_something_else() {
    for (name, may) in [
        ("x-auth-subject", true),
        ("deviceid", true),
        ("has_write_access", true),
        ("x-user", true),
        ("remote-user", true),
        ("x-auth-request-user", true),
        ("host", false),
        ("content-length", false),
        ("Content_Length", false),
        ("transfer-encoding", false),
        ("connection", false),
        ("te", false),
        ("trailer", false),
        ("upgrade", false),
        ("expect", false),
        ("keep-alive", false),
        ("http2-settings", false),
        ("cookie", false),
        ("authorization", false),
        ("proxy-authorization", false),
        ("x-api-key", false),
        ("x_api_key", false),
        ("device-token", false),
        ("token", false),
        ("x-auth-assertion", false),
        ("x-real-ip", false),
        ("x-forwarded-anything", false),
        ("x-http-method-override", false),
    ] {
        let header = HeaderName::from_bytes(name.as_bytes()).expect("a name");
        assert_eq!(may_carry_identity(&header), may, "{name}");
    }
}

#[test]
fn every_spelling_of_our_headers_is_stripped() {
    let set = StripSet::new([&custom_rules()]);
    for (name, expected) in [
        ("x-auth-subject", Some(NameClass::Ours)),
        ("X_Auth_Subject", Some(NameClass::Ours)),
        ("x.auth.subject", Some(NameClass::Ours)),
        ("x~auth!subject", Some(NameClass::Ours)),
        ("x-auth-would-deny", Some(NameClass::Ours)),
        ("X_AUTH_ASSERTION", Some(NameClass::Ours)),
        ("x_forwarded_for", Some(NameClass::Ours)),
        ("Forwarded", Some(NameClass::Ours)),
        ("x-request-id", Some(NameClass::Ours)),
        // Whatever another proxy in our place would have said.
        ("X-Forwarded-Email", Some(NameClass::Ours)),
        ("x_forwarded_client_cert", Some(NameClass::Ours)),
        ("x-forwarded-", Some(NameClass::Ours)),
        ("X-Auth-Request-User", Some(NameClass::Ours)),
        ("remote_user", Some(NameClass::Ours)),
        ("x-http-method-override", Some(NameClass::Ours)),
        ("X_Method_Override", Some(NameClass::Ours)),
        ("X_HTTP_Method", Some(NameClass::Ours)),
        ("deviceId", Some(NameClass::Ours)),
        ("has-write-access", Some(NameClass::Ours)),
        // Not sent on this route, but no client may claim it either.
        ("x-auth-category", Some(NameClass::Ours)),
        ("authorization", Some(NameClass::Credential)),
        ("x_api_key", Some(NameClass::Credential)),
        ("token", Some(NameClass::Credential)),
        ("device_token", Some(NameClass::Credential)),
        ("host", None),
        ("accept", None),
        ("cookie", None),
        ("content-length", None),
        ("x-auth-subjects", None),
        ("x-forwardedness", None),
        ("x-auth-requested", None),
        ("x-auth-token", None),
        ("x-auth-subjec", None),
        ("xauthsubject", None),
        ("x-auth--subject", None),
        ("tracestate", None),
    ] {
        let name = HeaderName::from_bytes(name.as_bytes()).expect("a name");
        assert_eq!(set.class_of(&name), expected, "{name}");
    }
}

#[test]
fn names_of_any_length_are_found() {
    let mut rules = UpstreamHeaderRules::default();
    let long = "x".repeat(200);
    rules.names[0] = Some(HeaderName::from_bytes(long.as_bytes()).expect("a name"));
    let set = StripSet::new([&rules]);
    for (name, expected) in [
        (long.clone(), Some(NameClass::Ours)),
        (long.to_uppercase(), Some(NameClass::Ours)),
        (format!("{long}x"), None),
    ] {
        let name = HeaderName::from_bytes(name.as_bytes()).expect("a name");
        assert_eq!(set.class_of(&name), expected, "{} bytes", name.as_str().len());
    }
}

#[test]
fn the_upstream_gets_the_identity_and_not_the_credential() {
    let received = map(&[
        ("host", "api.example.com"),
        ("accept", "*/*"),
        ("authorization", "Bearer x.y.z"),
        ("x-api-key", "k"),
        ("x-auth-subject", "root"),
        ("x_auth_roles", "SYS_ADMIN"),
        ("x-forwarded-for", "127.0.0.1"),
        ("x-forwarded-for", "::1"),
        ("x-forwarded-host", "internal"),
        ("forwarded", "for=127.0.0.1"),
        ("via", "1.0 liar"),
    ]);
    let values = IdentityValues::render(&identity());
    let found = forwarded(&received, Some(&values), &UpstreamHeaderRules::default());
    let expected = map(&[
        ("host", "api.example.com"),
        ("accept", "*/*"),
        ("x-auth-subject", "device-7"),
        ("x-auth-principal", "device"),
        ("x-auth-credential", "device_token"),
        ("x-auth-credential-id", "row-1"),
        ("x-auth-write-access", "false"),
        ("x-auth-expires", "5"),
        ("x-forwarded-for", "2001:db8::1"),
        ("x-forwarded-proto", "https"),
        ("x-forwarded-host", "api.example.com"),
        ("via", "1.0 doorward"),
        (
            "forwarded",
            "for=\"[2001:db8::1]\";proto=https;host=\"api.example.com\"",
        ),
    ]);
    assert_eq!(found, expected);
}

#[test]
fn an_anonymous_caller_is_anonymous_and_nothing_else() {
    let received = map(&[
        ("x-auth-subject", "root"),
        ("x-auth-write-access", "true"),
        ("token", "t"),
    ]);
    let found = forwarded(&received, None, &UpstreamHeaderRules::default());
    assert_eq!(found.get("x-auth-principal"), Some(&ANONYMOUS));
    let others = found.keys().filter(|n| n.as_str().starts_with("x-auth-"));
    assert_eq!(others.count(), 1, "{found:?}");
    assert!(!found.contains_key("token"));
}

#[test]
fn a_credential_goes_on_only_when_the_route_says_so() {
    let received = map(&[("authorization", "Bearer x.y.z"), ("x-auth-subject", "root")]);
    let rules = UpstreamHeaderRules {
        forward_credential: Requirement::Yes,
        ..UpstreamHeaderRules::default()
    };
    let found = forwarded(&received, None, &rules);
    assert!(found.contains_key(AUTHORIZATION) && !found.contains_key("x-auth-subject"));
    let found = forwarded(&received, None, &UpstreamHeaderRules::default());
    assert!(!found.contains_key(AUTHORIZATION));
}

#[test]
fn connection_removes_nothing_of_ours_and_nothing_essential() {
    let received = map(&[
        ("host", "h"),
        ("content-length", "3"),
        ("cookie", "a=b"),
        ("x-mine", "1"),
        ("x-other", "1"),
        ("keep-alive", "timeout=5"),
        ("te", "trailers"),
        ("transfer-encoding", "chunked"),
        ("upgrade", "h2c"),
        ("proxy-authorization", "Basic x"),
        ("connection", "x-auth-subject, X-Mine, Host"),
        (
            "connection",
            "content-length, cookie, close, x-forwarded-for, \"x\", ,",
        ),
    ]);
    let values = IdentityValues::render(&identity());
    let found = forwarded(&received, Some(&values), &UpstreamHeaderRules::default());
    for (name, there) in [
        ("host", true),
        ("content-length", true),
        ("cookie", true),
        ("x-other", true),
        ("x-auth-subject", true),
        ("x-forwarded-for", true),
        ("x-mine", false),
        ("connection", false),
        ("keep-alive", false),
        ("te", false),
        ("transfer-encoding", false),
        ("upgrade", false),
        ("proxy-authorization", false),
    ] {
        assert_eq!(found.contains_key(name), there, "{name}");
    }
}

#[test]
fn trailers_carry_nothing_protected() {
    let writer = UpstreamHeaders::new([&custom_rules()], RequestIds::new([0; 16]));
    let mut trailers = map(&[
        ("grpc-status", "0"),
        ("x.auth.subject", "root"),
        ("deviceid", "1"),
        ("authorization", "Bearer a.b.c"),
        ("x-forwarded-for", "127.0.0.1"),
    ]);
    for (name, protected) in [
        ("x-auth_subject", true),
        ("DeviceId", true),
        ("grpc-status", false),
    ] {
        let name = HeaderName::from_bytes(name.as_bytes()).expect("a name");
        assert_eq!(writer.is_protected_name(&name), protected, "{name}");
    }
    writer.strip_trailers(&mut trailers);
    assert_eq!(trailers, map(&[("grpc-status", "0")]));
}

#[test]
fn a_host_that_cannot_be_quoted_stays_out_of_forwarded() {
    let found = forwarded(&map(&[("host", "a\"b")]), None, &UpstreamHeaderRules::default());
    let forwarded = found.get(FORWARDED).expect("set").to_str().expect("ASCII");
    assert_eq!(forwarded, "for=\"[2001:db8::1]\";proto=https");
}

/// Any spelling of a name that CGI-like servers read as the same variable.
fn spelling(names: Vec<String>) -> impl Strategy<Value = String> {
    let symbols: Vec<char> = "!#$%&'*+-.^_`|~".chars().collect();
    (
        prop::sample::select(names),
        prop::collection::vec(prop::sample::select(symbols), 32),
        prop::collection::vec(any::<bool>(), 32),
    )
        .prop_map(|(name, symbols, capitals)| {
            name.chars()
                .enumerate()
                .map(|(i, c)| match c {
                    _ if !c.is_ascii_alphanumeric() => symbols[i % symbols.len()],
                    _ if capitals[i % capitals.len()] => c.to_ascii_uppercase(),
                    _ => c,
                })
                .collect()
        })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]

    #[test]
    fn no_byte_of_a_clients_identity_header_survives(
        spellings in prop::collection::vec(spelling(
            IdentityField::ALL.iter().map(|f| f.default_name().to_owned())
                .chain(["deviceid", "has_write_access", "x-forwarded-for", "x-forwarded-proto", "x-forwarded-host",
                        "forwarded", "via", "x-request-id", "traceparent", "x-auth-assertion", "x-auth-would-deny",
                        "authorization", "x-api-key", "token"].map(str::to_owned))
                .collect()), 1..40),
        anonymous in any::<bool>(),
    ) {
        const FORGED: &str = "forged-by-the-client";
        let mut received = map(&[("accept", "*/*"), ("x-kept", "kept")]);
        for name in &spellings {
            received.append(HeaderName::from_bytes(name.as_bytes()).expect("a name"), HeaderValue::from_static(FORGED));
        }
        let connection = spellings.join(",");
        received.insert(CONNECTION, HeaderValue::from_str(&connection).expect("a value"));
        let values = IdentityValues::render(&identity());
        let found = forwarded(&received, (!anonymous).then_some(&values), &custom_rules());
        prop_assert!(found.values().all(|v| v != FORGED), "{:?}", found);
        prop_assert_eq!(found.get("x-kept").map(HeaderValue::as_bytes), Some(&b"kept"[..]));
        prop_assert_eq!(
            found.get("x-auth-subject").map(HeaderValue::as_bytes),
            (!anonymous).then_some(&b"device-7"[..])
        );
        prop_assert_eq!(
            found.get("has_write_access").map(HeaderValue::as_bytes),
            (!anonymous).then_some(&b"false"[..])
        );
    }
}

#[test]
fn an_address_is_written_as_everyone_writes_it() {
    let octets = [0_u8, 1, 9, 10, 19, 99, 100, 109, 110, 199, 200, 255];
    for a in octets {
        for b in octets {
            let address = IpAddr::from([a, b, b, a]);
            let mut text = String::new();
            push_address(&mut text, address);
            assert_eq!(text, address.to_string());
        }
    }
    let mut text = String::new();
    push_address(&mut text, "2001:db8::17".parse().expect("an address"));
    assert_eq!(text, "2001:db8::17");
}
