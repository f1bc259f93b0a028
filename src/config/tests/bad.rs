//! Bad configurations, and how they are told. One snapshot each.

use super::{BASE, bad, read, route};
use crate::config::{Environment, Flags, load, load_text};

/// The sample key of the NestJS document.
const KEY_OF_34_BYTES: &str = "dGVzdC1rZXktMzItYnl0ZXMtZm9yLWRldmljZS10b2tlbg==";

#[test]
fn an_unknown_key_is_told_with_its_line_and_the_likely_meaning() {
    insta::assert_snapshot!(bad(
        "version: 1\nlisteners:\n  - name: public\n    adress: 0.0.0.0:8080\nupstreams:\n  api: { url: http://a:1, tlz: {} }\nroutes:\n  - { path: /, upstream: api }\n"
    ));
}

#[test]
fn everything_is_told_at_once_in_the_order_of_the_file() {
    insta::assert_snapshot!(bad(
        "version: 2\nworkers: many\nlisteners:\n  - { name: a b, address: localhost:80, head_timeout: 10, max_head_bytes: 2MiB }\nadmin: 9901\nupstreams:\n  api: { url: ftp://a }\n  web: { url: http://user:hunter2@b }\ncache:\n  positive_ttl: 5 minutes\n  positive_ttl: 5m\n  \"bad\\nkey\": 1\nlog: { level: verbose, format: jsn }\nroutes:\n  - { path: api, upstream: apj, methods: [get, PO ST], allow_from: [10.2.0.0/8, nowhere] }\n  - { path: /a/../b, upstream: api }\n  - { path: '/b/{x', upstream: api, accept: jwt }\n"
    ));
}

#[test]
fn a_device_key_of_34_bytes_is_refused_with_that_explanation() {
    let text = format!(
        "{}credentials: {{ sealed_device_token: {{ key: {KEY_OF_34_BYTES} }} }}\n",
        route("path: /, upstream: api")
    );
    insta::assert_snapshot!(bad(&text));
    let environment = Environment::of([("DEVICE_TOKEN_MASTER_KEY", KEY_OF_34_BYTES)]);
    let problems =
        load_text("doorward.yaml", &route("path: /, upstream: api"), &environment).expect_err("refused");
    insta::assert_snapshot!(problems.to_string());
}

#[test]
fn an_empty_file_lacks_what_is_required() {
    insta::assert_snapshot!(bad(""));
}

#[test]
fn a_text_that_is_no_yaml_is_told_with_its_line() {
    insta::assert_snapshot!(bad("version: 1\nroutes:\n  - path: /\n   upstream: [api\n"));
}

#[test]
fn everybody_is_no_trusted_proxy() {
    insta::assert_snapshot!(bad(&format!(
        "{}listeners:\n  - {{ name: a, address: '0.0.0.0:1', trusted_proxies: [0.0.0.0/0, '::/0', 10.2.0.0/0, '::ffff:0.0.0.0/96', 10.0.0.1/24] }}\n",
        route("path: /, upstream: api")
    )));
}

#[test]
fn everybody_in_pieces_is_no_trusted_proxy() {
    insta::assert_snapshot!(bad(&format!(
        "{}listeners:\n  - {{ name: a, address: '0.0.0.0:1', trusted_proxies: [0.0.0.0/1, 128.0.0.0/1] }}\n  - {{ name: b, address: '0.0.0.0:2', trusted_proxies: ['::/1', 10.0.0.0/8, '8000::/1'] }}\n",
        route("path: /, upstream: api")
    )));
}

#[test]
fn names_and_addresses_are_unique() {
    insta::assert_snapshot!(bad(&format!(
        "{BASE}listeners:\n  - {{ name: a, address: 127.0.0.1:80 }}\n  - {{ name: a, address: 0.0.0.0:80 }}\n  - {{ name: b, address: 127.0.0.1:9902 }}\nroutes:\n  - {{ name: x, path: /a, upstream: api }}\n  - {{ name: x, path: /, upstream: api }}\ncredentials:\n  api_token: {{ prefixes: [dw, hc, dw] }}\n  jwt:\n    issuers:\n      - {{ name: i, issuer: a, audience: [b], keys: own }}\n      - {{ name: i, issuer: a, audience: [b], keys: own }}\n"
    )));
}

#[test]
fn an_issuer_states_its_claims_and_one_source_of_keys() {
    insta::assert_snapshot!(bad(&format!(
        "{}credentials:\n  jwt:\n    issuers:\n      - {{ name: a }}\n      - {{ name: b, issuer: x, audience: [y], keys: own, jwks_url: 'https://x/jwks' }}\n      - {{ name: c, issuer: x, audience: [y], jwks_url: 'https://x/jwks', algorithms: [RS256, HS256], leeway: 31s, waive: [iss] }}\n      - {{ name: d, issuer: x, audience: [y], hmac_secret: aHVudGVyMg==, algorithms: [none, ES256] }}\n      - {{ name: e, issuer: x, audience: [y], keys: own, profile: thingsboard, refresh: 1m }}\n",
        route("path: /, upstream: api")
    )));
}

#[test]
fn a_key_that_would_have_no_effect_is_refused() {
    insta::assert_snapshot!(bad(&format!(
        "{BASE}routes:\n  - {{ path: '/p/{{id}}', access: public, upstream: api, accept: [jwt], require: {{ roles: [A] }} }}\n  - {{ path: /d/, access: deny, upstream: api }}\n  - {{ path: /a/, upstream: api, accept: [] }}\n  - {{ path: /h/, upstream: api, headers: {{ subject: X-Auth-Tenant, roles: Authorization }} }}\n  - {{ path: / }}\n"
    )));
}

#[test]
fn what_is_not_built_does_not_parse() {
    for (keys, why) in [
        ("tls: {}", "there is no TLS yet"),
        ("limits: {}", "there are no limits yet"),
        (
            "store: { url: 'postgres://u:p@h/d' }",
            "there is no PostgreSQL yet",
        ),
        ("store: { url: 'redis://h' }", "there is no Redis yet"),
        ("reload: true", "there is no reload yet"),
    ] {
        let problems = bad(&format!("{}{keys}\n", route("path: /, upstream: api")));
        assert!(!problems.contains("u:p@h"), "{why}: {problems}");
    }
    for keys in [
        "report_only: true",
        "access: browser",
        "limits: []",
        "accept: [remote]",
        "accept: [client_certificate]",
    ] {
        bad(&route(&format!("path: /, upstream: api, {keys}")));
    }
}

#[test]
fn the_environment_and_flags_are_held_to_the_same_rules() {
    let environment = Environment::of([
        ("DOORWARD_LOG__LEVEL", "loud"),
        ("DOORWARD_LOG__LEVLE", "info"),
        ("DOORWARD_STATUS_ADDRESS", "127.0.0.1:1"),
        ("DOORWARD_STATUS__ADDRESS", "127.0.0.1:2"),
        ("DOORWARD_SERVICE_HOST", "10.0.0.1"),
    ]);
    let flags = Flags {
        upstream: Some("127.0.0.1:9000".to_owned()),
        listen: Some("8080".to_owned()),
        ..Flags::default()
    };
    insta::assert_snapshot!(load(&flags, &environment).expect_err("refused").to_string());
    insta::assert_snapshot!(
        load(&Flags::default(), &Environment::default())
            .expect_err("refused")
            .to_string()
    );
}

#[test]
fn problems_are_told_to_programs_too() {
    let problems = read(&route("path: /, upstream: apy")).expect_err("refused");
    insta::assert_json_snapshot!(problems.to_json());
}

#[test]
fn an_identity_header_has_a_name_of_its_own() {
    for name in [
        "Host",
        "Content-Length",
        "content_length",
        "Connection",
        "Transfer-Encoding",
        "TE",
        "Trailer",
        "Upgrade",
        "Expect",
        "Cookie",
        "Authorization",
        "X_API_Key",
        "Device-Token",
        "X-Forwarded-For",
        "X-HTTP-Method-Override",
    ] {
        let text = route(&format!("path: /, upstream: api, headers: {{ subject: {name} }}"));
        let problems = read(&text).expect_err(name).problems;
        assert_eq!(problems.len(), 1, "{name}: {problems:?}");
        assert_eq!(problems[0].key, "routes[0].headers.subject", "{name}");
    }
    read(&route("path: /, upstream: api, headers: { subject: X-User }")).expect("an ordinary name");
}

#[test]
fn an_empty_list_of_allowed_clients_does_not_mean_everyone() {
    let problems = read(&route("path: /, upstream: api, allow_from: []"))
        .expect_err("refused")
        .problems;
    assert_eq!(problems.len(), 1, "{problems:?}");
    assert_eq!(
        (problems[0].key.as_str(), problems[0].found.as_str()),
        ("routes[0].allow_from", "an empty list")
    );
    read(&route("path: /, upstream: api, deny_from: []")).expect("nobody is kept out");
}

/// What the kind itself would refuse at start is found before anything is started.
#[test]
fn keys_are_read_and_put_beside_their_algorithms() {
    const PEM: &str = "-----BEGIN PUBLIC KEY-----\nMCowBQYDK2VwAyEA11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=\n-----END PUBLIC KEY-----\n";
    let folder = tempfile::tempdir().expect("a folder");
    let write = |name: &str, text: &str| {
        let path = folder.path().join(name);
        std::fs::write(&path, text).expect("written");
        path.display().to_string()
    };
    let (good, broken) = (
        write("good.pem", PEM),
        write("broken.pem", &PEM.replace("MCow", "MCoq")),
    );
    let set = write("set.json", r#"{"keys":[{"kty":"oct","k":"AAAA"}]}"#);
    let of = |keys: &str| {
        let issuer = format!("name: a, issuer: x, audience: [y], {keys}");
        let jwt = format!("jwt: {{ issuers: [{{ {issuer} }}] }}");
        let text = format!("{}credentials: {{ {jwt} }}\n", route("path: /, upstream: api"));
        match read(&text) {
            Ok(_) => Vec::new(),
            Err(problems) => problems.problems.into_iter().map(|p| p.key).collect(),
        }
    };
    let key = |name: &str| vec![format!("credentials.jwt.issuers[0].{name}")];
    assert_eq!(of(&format!("pem_file: {good}")), Vec::<String>::new());
    assert_eq!(
        of(&format!("pem_file: {good}, algorithms: [EdDSA, RS256]")),
        Vec::<String>::new()
    );
    assert_eq!(
        of(&format!("pem_file: {good}, algorithms: [RS256]")),
        key("algorithms")
    );
    assert_eq!(of(&format!("pem_file: {broken}")), key("pem_file"));
    assert_eq!(of(&format!("jwks_file: {set}")), key("jwks_file"));
    assert_eq!(of("keys: own, algorithms: [EdDSA]"), Vec::<String>::new());
    assert_eq!(of("keys: own, algorithms: [ES256]"), key("algorithms"));
}

#[test]
fn an_upstreams_tls_is_told_before_the_start() {
    let folder = tempfile::tempdir().expect("a folder");
    let write = |name: &str, text: &str, mode: u32| {
        let path = folder.path().join(name);
        std::fs::write(&path, text).expect("written");
        std::fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(mode)).expect("a mode");
        path.display().to_string()
    };
    let (ours, other) = (signed("client"), signed("client"));
    let cert = write("cert.pem", &ours.0, 0o644);
    let (key, wrong_key) = (
        write("key.pem", &ours.1, 0o600),
        write("other.pem", &other.1, 0o600),
    );
    let empty = write("empty.pem", "none\n", 0o600);
    for (url, tls, expected) in [
        ("http://a:1", format!("ca_file: {cert}"), "without TLS"),
        ("unix:/run/a", "server_name: a".to_owned(), "without TLS"),
        ("https://a", format!("cert_file: {cert}"), "no key_file beside it"),
        ("https://a", format!("key_file: {key}"), "no cert_file beside it"),
        (
            "https://a",
            format!("ca_file: {empty}"),
            "no certificate in the file",
        ),
        (
            "https://a",
            format!("cert_file: {cert}, key_file: {empty}"),
            "no private key in the file",
        ),
        (
            "https://a",
            format!("cert_file: {cert}, key_file: {wrong_key}"),
            "is the key of this certificate",
        ),
        (
            "https://a",
            "server_name: ''".to_owned(),
            "host name or IP address",
        ),
        (
            "https://a",
            "server_name: 'a b'".to_owned(),
            "host name or IP address",
        ),
        ("https://a", "pins: [abc]".to_owned(), "44 letters"),
        ("https://a", "ca_file: /none".to_owned(), "No such file"),
    ] {
        let text = format!(
            "version: 1\nupstreams:\n  api: {{ url: '{url}', tls: {{ {tls} }} }}\nroutes:\n  - {{ path: /, upstream: api }}\n"
        );
        let problems = read(&text).expect_err(expected).to_string();
        assert!(problems.contains(expected), "{url} {tls}: {problems}");
        assert!(!problems.contains("PRIVATE"), "no key is shown: {problems}");
    }
    for url in [
        "unix:run/a",
        "unix:",
        "https://",
        "https://a:0",
        "tcp://a:1",
        "https://user:hunter2@a",
    ] {
        let text = format!(
            "version: 1\nupstreams:\n  api: {{ url: '{url}' }}\nroutes:\n  - {{ path: /, upstream: api }}\n"
        );
        let problems = read(&text).expect_err(url).to_string();
        assert!(problems.contains("an address such as"), "{url}: {problems}");
    }
    let good = format!(
        "version: 1\nupstreams:\n  api: {{ url: 'https://a', tls: {{ ca_file: {cert}, cert_file: {cert}, key_file: {key} }} }}\n  app: {{ url: 'unix:/run/app.sock' }}\nroutes:\n  - {{ path: /, upstream: api }}\n"
    );
    let settings = read(&good).expect("good").settings;
    assert!(settings.upstreams[0].tls.identity.is_some());
    assert_eq!(
        settings.upstreams[1].targets[0].address.text(),
        "unix:/run/app.sock"
    );
}

/// A certificate for this name and its key, in PEM.
fn signed(name: &str) -> (String, String) {
    let made = rcgen::generate_simple_self_signed([name.to_owned()]).expect("a certificate");
    (made.cert.pem(), made.signing_key.serialize_pem())
}

#[test]
fn an_upstream_is_in_one_place_or_in_several_and_its_check_fits_together() {
    let a = "url: 'http://a:1'";
    for (upstream, expected) in [
        (String::new(), "set url, or targets"),
        (format!("{a}, targets: [{{ {a} }}]"), "one of the two"),
        ("targets: []".to_owned(), "targets"),
        ("targets: [{ weight: 1 }]".to_owned(), "targets[0].url"),
        (
            format!("targets: [{{ {a} }}, {{ {a} }}]"),
            "a url of its own for each target",
        ),
        (format!("targets: [{{ {a}, weight: 0 }}]"), "targets[0].weight"),
        (
            format!("{a}, health: {{ path: healthz }}"),
            "a path such as /healthz",
        ),
        (
            format!("{a}, health: {{ interval: 1s, timeout: 2s }}"),
            "at most the interval, which is 1s",
        ),
        (
            format!("{a}, health: {{ expect_status: [200, 99] }}"),
            "a status code from 200 to 599",
        ),
        (format!("{a}, balance: random"), "round_robin"),
        (format!("{a}, protocol: http3"), "http2"),
    ] {
        let text = format!(
            "version: 1\nupstreams:\n  api: {{ {upstream} }}\nroutes:\n  - {{ path: /, upstream: api }}\n"
        );
        let problems = read(&text).expect_err(expected).to_string();
        assert!(problems.contains(expected), "{upstream}: {problems}");
    }
}

#[test]
fn a_subject_prefix_must_fit_a_header_and_act() {
    insta::assert_snapshot!(bad(&format!(
        "{}credentials:\n  jwt:\n    issuers:\n      - {{ name: a, issuer: a, audience: [x], jwks_url: 'https://a/jwks', subject_prefix: 'a b' }}\n      - {{ name: own, issuer: o, audience: [x], keys: own, subject_prefix: 'o:' }}\n",
        route("path: /, upstream: api")
    )));
}

#[test]
fn a_listener_that_could_not_serve_is_told_before_the_start() {
    let folder = tempfile::tempdir().expect("a folder");
    let write = |name: &str, text: &[u8], mode: u32| {
        let path = folder.path().join(name);
        std::fs::write(&path, text).expect("written");
        std::fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(mode)).expect("a mode");
        path.display().to_string()
    };
    let made = signed("a.example");
    let (cert, key) = (
        write("cert.pem", made.0.as_bytes(), 0o644),
        write("key.pem", made.1.as_bytes(), 0o600),
    );
    let nameless = rcgen::generate_simple_self_signed(Vec::new()).expect("a certificate");
    let nobody = write("nobody.pem", nameless.cert.pem().as_bytes(), 0o644);
    let nobodys = write(
        "nobody.key",
        nameless.signing_key.serialize_pem().as_bytes(),
        0o600,
    );
    let group = write("group.key", made.1.as_bytes(), 0o640);
    let empty = write("empty.key", b"\n", 0o600);
    let big = write("big.key", &vec![b'x'; (64 << 10) + 1], 0o600);
    let huge = write("huge.pem", &vec![b'x'; (1 << 20) + 1], 0o644);
    let here = folder.path().display();
    let tls = |cert: &str, key: &str| {
        format!("address: '127.0.0.1:1', tls: {{ certificates: [{{ cert_file: {cert}, key_file: {key} }}] }}")
    };
    let two = format!(
        "address: '127.0.0.1:1', tls: {{ certificates: [{{ cert_file: {cert}, key_file: {key} }}, {{ cert_file: {nobody}, key_file: {nobodys} }}] }}"
    );
    #[rustfmt::skip]
    let rows = [
        (tls(&cert, &group), "with mode 0640", "the group may read the key"),
        (tls(&cert, &empty), "the empty file", "no key in the file"),
        (tls(&cert, &big), "more than 65536 bytes", "a key beyond any"),
        (tls(&huge, &key), "more than 1048576 bytes", "a chain beyond any"),
        (tls(&cert, &here.to_string()), "it is no regular file", "a folder"),
        (two, "without a DNS name", "nobody would ever be shown the second one"),
        ("address: '127.0.0.1:1', tls: { certificates: [] }".to_owned(), "at least one certificate", "no certificate"),
        ("address: '127.0.0.1:1', socket_mode: '0600'".to_owned(), "a mode for a Unix socket only", "a port has no mode"),
        ("address: '127.0.0.1:1', http2: { enabled: false, max_concurrent_streams: 7 }".to_owned(), "a bound of HTTP/2", "a bound without effect"),
        ("address: 'unix:/run/a' }, { name: b, address: 'unix:/run/a'".to_owned(), "an address of its own for each door", "one path twice"),
    ];
    for (listener, expected, why) in rows {
        let text = format!(
            "{}listeners: [{{ name: a, {listener} }}]\n",
            route("path: /, upstream: api")
        );
        let problems = bad(&text);
        assert!(problems.contains(expected), "{why}: {problems}");
        assert!(!problems.contains("PRIVATE"), "no key is shown: {problems}");
    }
    let good = format!(
        "{}listeners: [{{ name: a, {} }}, {{ name: b, address: 'unix:/run/a' }}]\n",
        route("path: /, upstream: api"),
        tls(&cert, &key)
    );
    let settings = super::good(&good).settings;
    let crate::edge::listener::ListenAddress::Unix { mode, .. } = settings.listeners[1].address else {
        panic!("a socket")
    };
    assert_eq!(mode, 0o600, "who says nothing lets nobody else in");
}
