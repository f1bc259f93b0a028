//! Good configurations, and what they mean.

use std::time::Duration;

use super::{BASE, good, read, route};
use crate::audit::{AuditSettings, UsageSettings};
use crate::authn::cache::CacheSettings;
use crate::authn::kinds::basic;
use crate::authn::kinds::jwt::{ClaimMapping, ClaimPath, JwksUrl, KeySource, Profile, Waiver};
use crate::authn::throttle::ThrottleSettings;
use crate::authz::policy::{
    Access, DialectChoice, HttpsRule, IdentityField, PathMatch, Precedence, Requirement, UpstreamHeaderRules,
};
use crate::config::settings::{IssuerKeys, StoreSettings};
use crate::config::{Environment, Flags, load, load_text, summary, yaml};
use crate::crypto::BcryptCost;
use crate::domain::dialect::Dialect;
use crate::domain::identity::{CredentialKind, KindSet, PrincipalKind};
use crate::edge::proxy::settings::ConnectionSettings;
use crate::edge::proxy::upstream::UpstreamSettings;
use crate::telemetry::logging::LogLevel;

const KEY: &str = "YWJjZGVmZ2hpamtsbW5vcHFyc3R1dnd4eXoxMjM0NTY=";

#[test]
fn the_defaults_are_those_of_the_rooms() {
    let settings = good(&route("path: /, upstream: api")).settings;
    assert_eq!(
        format!("{:?}", settings.cache),
        format!("{:?}", CacheSettings::default())
    );
    assert_eq!(
        format!("{:?}", settings.throttle),
        format!("{:?}", ThrottleSettings::default())
    );
    assert_eq!(settings.audit, AuditSettings::default());
    assert_eq!(settings.usage, UsageSettings::default());
    assert_eq!(settings.credentials.api_token.bcrypt_cost, BcryptCost::default());
    assert_eq!(settings.listeners[0].connection, ConnectionSettings::default());
    let address = settings.upstreams[0].targets[0].address.clone();
    assert_eq!(settings.upstreams[0], UpstreamSettings::new("api", address));
    let basic = &settings.credentials.basic;
    assert_eq!(
        basic.min_password_chars,
        basic::Settings::default().min_password_chars
    );
    assert_eq!(settings.listeners[0].address.to_string(), "0.0.0.0:8080");
    assert_eq!(settings.status_address.to_string(), "127.0.0.1:9902");
    let StoreSettings::Sqlite { path } = settings.store;
    assert_eq!(path.to_string_lossy(), "./data/doorward.db");
    let route = &settings.routes[0];
    assert_eq!((&*route.name, route.accept), ("root", KindSet::ALL));
    assert_eq!(route.upstream_headers, UpstreamHeaderRules::default());
}

#[test]
fn a_start_without_a_file_serves_one_route_and_every_kind() {
    let folder = "/var/lib/doorward";
    let flags = Flags {
        upstream: Some("http://127.0.0.1:9000".to_owned()),
        listen: Some("127.0.0.1:8081".to_owned()),
        data_dir: Some(folder.to_owned()),
        ..Flags::default()
    };
    let loaded = load(&flags, &Environment::default()).expect("good");
    let settings = &loaded.settings;
    assert_eq!(settings.listeners[0].address.to_string(), "127.0.0.1:8081");
    assert_eq!(settings.data_dir.to_string_lossy(), folder);
    assert_eq!(
        settings.admin.socket.to_string_lossy(),
        "/var/lib/doorward/admin.sock"
    );
    assert_eq!(settings.routes[0].matches.path, PathMatch::Prefix("/".to_owned()));
    assert_eq!(settings.routes[0].accept, KindSet::ALL);
    assert!(matches!(
        settings.credentials.jwt_issuers[0].keys,
        IssuerKeys::Own
    ));
    assert!(settings.warnings.is_empty(), "{:?}", settings.warnings);
    // What is printed can be kept as a file, and means the same.
    let again = good(&yaml(&loaded.effective));
    assert_eq!(again.settings.routes, settings.routes);
    assert_eq!(yaml(&again.effective), yaml(&loaded.effective));
}

#[test]
fn the_environment_wins_over_the_file_and_replaces_its_secret_files() {
    let text = format!(
        "{}log: {{ level: warn }}\ncredentials: {{ sealed_device_token: {{ key_file: /does/not/exist }} }}\n",
        route("path: /, upstream: api")
    );
    let environment = Environment::of([
        ("DOORWARD_LOG__LEVEL", "debug"),
        ("DOORWARD_WORKERS", "3"),
        ("DOORWARD_STATUS_ADDRESS", "0.0.0.0:9902"),
        ("DEVICE_TOKEN_MASTER_KEY", KEY),
        ("DOORWARD_PORT_8080_TCP_ADDR", "10.0.0.1"),
    ]);
    let loaded = load_text("doorward.yaml", &text, &environment).expect("good");
    let settings = &loaded.settings;
    assert_eq!(settings.log.level, LogLevel::Debug);
    assert_eq!(settings.workers.map(usize::from), Some(3));
    assert_eq!(settings.status_address.to_string(), "0.0.0.0:9902");
    assert!(settings.credentials.sealed_device_token.key.is_some());
    let printed = yaml(&loaded.effective);
    assert!(
        printed.contains("(redacted)") && !printed.contains(KEY),
        "{printed}"
    );
    assert!(!format!("{loaded:?}").contains(KEY));
}

#[test]
fn profiles_set_what_is_not_written() {
    for (keys, dialect, precedence, https) in [
        (
            "profile: homechat",
            Dialect::HomeChat,
            Precedence::Refuse,
            HttpsRule::RequiredExceptLoopback,
        ),
        (
            "profile: homechat, https: optional",
            Dialect::HomeChat,
            Precedence::Refuse,
            HttpsRule::Optional,
        ),
        (
            "profile: thingsboard",
            Dialect::ThingsBoard,
            Precedence::ThingsBoard,
            HttpsRule::Optional,
        ),
        (
            "profile: tagoio",
            Dialect::TagoIo,
            Precedence::TagoIo,
            HttpsRule::Optional,
        ),
        (
            "profile: tagoio, dialect: union, precedence: refuse",
            Dialect::Union,
            Precedence::Refuse,
            HttpsRule::Optional,
        ),
        (
            "profile: nest",
            Dialect::Nest,
            Precedence::Refuse,
            HttpsRule::Optional,
        ),
    ] {
        let settings = good(&route(&format!("path: /, upstream: api, {keys}"))).settings;
        let route = &settings.routes[0];
        assert_eq!(route.dialect, DialectChoice::Fixed(dialect), "{keys}");
        assert_eq!(route.carriers.precedence, precedence, "{keys}");
        assert_eq!(route.https, https, "{keys}");
    }
    let settings = good(&route(
        "path: /, upstream: api, profile: nest, headers: { category: off }",
    ))
    .settings;
    let names = &settings.routes[0].upstream_headers.names;
    let name = |field: IdentityField| names[field as usize].as_ref().map(http::HeaderName::as_str);
    assert_eq!(name(IdentityField::DeviceId), Some("deviceid"));
    assert_eq!(name(IdentityField::Category), None);
    assert_eq!(name(IdentityField::Subject), Some("x-auth-subject"));
}

#[test]
fn a_route_means_what_it_says() {
    let settings = good(&route(
        "name: r, host: '*.Example.com', path: '/api/', methods: [GET], upstream: api, accept: [jwt, api_token], \
         require: { scopes: [a], any_scopes: [b], roles: [R], write_access: true }, allow_from: ['::ffff:10.0.0.0/104'], \
         deny_from: [10.1.0.1], https: required, allow_in_path: [semicolon], query_credentials: [token], \
         path_token_after: /api/v1/, forward_credential: true, assertion: { audience: x }, max_body: 0B, \
         response_timeout: 2m",
    ))
    .settings;
    let route = &settings.routes[0];
    assert_eq!(route.matches.host.as_deref(), Some("*.example.com"));
    assert_eq!(route.access, Access::Authenticated);
    assert!(route.accept.contains(CredentialKind::Jwt) && !route.accept.contains(CredentialKind::Basic));
    assert_eq!(route.require_write_access, Requirement::Yes);
    assert!(route.allow_from.contains("10.9.9.9".parse().expect("an address")));
    assert_eq!(route.allow_in_path.semicolon, Requirement::Yes);
    assert_eq!(route.allow_in_path.encoded_slash, Requirement::No);
    assert_eq!(route.carriers.query_parameters, ["token"]);
    assert_eq!(route.upstream_headers.forward_credential, Requirement::Yes);
    assert_eq!(route.upstream_headers.assertion_audience.as_deref(), Some("x"));
    assert_eq!(route.max_body_bytes, Some(0));
    assert_eq!(route.response_timeout, Some(Duration::from_secs(120)));
}

#[test]
fn what_is_allowed_but_should_be_known_is_warned_about() {
    let text = format!(
        "{BASE}admin: {{ address: '0.0.0.0:9901' }}\nroutes:\n  - {{ path: /open/, access: public, upstream: api }}\n  - {{ path: /, upstream: api, accept: [api_token, jwt] }}\n  - {{ path: /late, upstream: api, https: required }}\n"
    );
    let text = text.replace("upstreams: {", "upstreams: { unused: { url: 'http://[::1]:1' },");
    insta::assert_snapshot!(summary(
        &good(&text).settings,
        crate::domain::clock::UnixMillis(0)
    ));
}

#[test]
fn what_is_printed_means_the_same_when_it_is_read() {
    let text = format!(
        "{BASE}routes:\n  - {{ path: /p/, access: public, upstream: api }}\n  - {{ path: /d/, access: deny }}\n  - {{ path: /n/, upstream: api, profile: nest, assertion: true, host: '[::1]' }}\n  - {{ path: '/x/{{id}}', upstream: api, response_timeout: 90s, max_body: 1MiB }}\n"
    );
    let first = good(&text);
    let second = good(&yaml(&first.effective));
    assert_eq!(first.settings.routes, second.settings.routes);
    assert_eq!(yaml(&first.effective), yaml(&second.effective));
}

#[test]
fn issuers_are_resolved_by_their_source_of_keys() {
    let text = format!(
        "{}credentials:\n  jwt:\n    issuers:\n      - {{ name: own, issuer: a, audience: [b], keys: own }}\n      - {{ name: tb, waive: [aud], issuer: thingsboard.io, hmac_secret: {KEY}, algorithms: [HS256], profile: thingsboard }}\n      - {{ name: idp, issuer: a, audience: [b], jwks_url: 'https://idp/jwks', principal: service, claims: {{ roles: realm_access.roles }} }}\n",
        route("path: /, upstream: api")
    );
    let issuers = good(&text).settings.credentials.jwt_issuers;
    assert!(matches!(
        (&issuers[0].keys, &issuers[0].profile),
        (IssuerKeys::Own, Profile::Own)
    ));
    assert!(matches!(
        issuers[1].keys,
        IssuerKeys::Given(KeySource::SecretBase64(_))
    ));
    assert_eq!(
        (&issuers[1].profile, issuers[1].waived.audience),
        (&Profile::ThingsBoard, Waiver::Waived)
    );
    let Profile::Mapped(claims) = &issuers[2].profile else {
        panic!("standard");
    };
    assert_eq!(claims.roles, Some(ClaimPath::parse("realm_access.roles")));
    let usual = ClaimMapping::default();
    assert_eq!(
        (&claims.subject, &claims.scopes, claims.unscoped),
        (&usual.subject, &usual.scopes, usual.unscoped)
    );
    let IssuerKeys::Given(KeySource::JwksUrl(url)) = &issuers[2].keys else {
        panic!("a URL");
    };
    assert_eq!(
        format!("{url:?}"),
        format!("{:?}", JwksUrl::new("https://idp/jwks"))
    );
    assert_eq!(claims.principal_kind, PrincipalKind::Service);
}

#[test]
fn texts_read_back_as_they_are_printed() {
    use crate::config::raw::values::{Size, Span, TextValue};
    for (text, printed) in [
        ("90s", "90s"),
        ("120s", "2m"),
        ("24h", "24h"),
        ("48h", "2d"),
        ("0ms", "0s"),
        ("1500ms", "1500ms"),
    ] {
        assert_eq!(
            Span::parse(text).map(|s| s.text()),
            Ok(printed.to_owned()),
            "{text}"
        );
    }
    for (text, printed) in [
        ("1024", "1KiB"),
        ("64MiB", "64MiB"),
        ("0B", "0B"),
        ("1000B", "1000B"),
    ] {
        assert_eq!(
            Size::parse(text).map(|s| s.text()),
            Ok(printed.to_owned()),
            "{text}"
        );
    }
    for text in [
        "",
        "s",
        "1.5s",
        "1 s",
        "-1s",
        "1w",
        "1",
        "99999999999999999999s",
        "9999999d",
    ] {
        assert!(Span::parse(text).is_err(), "{text}");
    }
    for text in ["", "KiB", "1MB", "1 KiB", "-1", "99999999GiB"] {
        assert!(Size::parse(text).is_err(), "{text}");
    }
    assert!(read(&route("path: /, upstream: api")).is_ok());
}

#[test]
fn a_guarded_prefix_does_not_cover_its_bare_form_and_that_is_said() {
    for (second, warned) in [
        ("{ path: /, upstream: api }", true),
        (
            "{ path: /admin, upstream: api, require: { roles: [ADMIN] } }",
            false,
        ),
        ("{ path: /admin, access: deny }", false),
        ("{ path: /other/, upstream: api }", false),
    ] {
        let text = format!(
            "{BASE}routes:\n  - {{ path: /admin/, upstream: api, require: {{ roles: [ADMIN] }} }}\n  - {second}\n"
        );
        let warnings = good(&text).settings.warnings;
        let found = warnings
            .iter()
            .any(|w| w.key == "routes[0].path" && w.text.contains("/admin itself"));
        assert_eq!(found, warned, "{second}: {warnings:?}");
    }
}

#[test]
fn subjects_of_two_issuers_that_may_be_mixed_up_are_warned_about() {
    for (second, warned) in [
        (
            "name: b, issuer: b, audience: [x], jwks_url: 'https://b/jwks'",
            true,
        ),
        (
            "name: b, issuer: b, audience: [x], jwks_url: 'https://b/jwks', subject_prefix: 'b:'",
            false,
        ),
    ] {
        let text = format!(
            "{}credentials:\n  jwt:\n    issuers:\n      - {{ name: a, issuer: a, audience: [x], jwks_url: 'https://a/jwks' }}\n      - {{ {second} }}\n",
            route("path: /, upstream: api")
        );
        let settings = good(&text).settings;
        let found = settings
            .warnings
            .iter()
            .any(|w| w.key == "credentials.jwt.issuers[1].subject_prefix" && w.text.contains("of a and b"));
        assert_eq!(found, warned, "{second}: {:?}", settings.warnings);
    }
}
