//! Paths and route policies over sockets: what is matched is what is forwarded, forms that servers read
//! differently are refused, and no spelling passes by a rule (S3).

use crate::support::fixtures::{bearer, config, issue, jwt_with};
use crate::support::{Answer, Doorward, Reply, Upstream, http};

const ROUTES: [&str; 8] = [
    "{ name: internal, path: /internal/, access: deny }",
    "{ name: shout, path: /Shout/, access: deny, ignore_case: true }",
    "{ name: admin, path: /admin/, upstream: api, require: { roles: [ADMIN] } }",
    "{ name: health, path: /health, access: public, upstream: api }",
    "{ name: public, path: /public/, access: public, upstream: api }",
    "{ name: loose, path: /loose/, upstream: api, allow_in_path: [encoded_slash, semicolon, empty_segment] }",
    "{ name: only-get, path: /get/, methods: [GET], upstream: api }",
    "{ name: all, path: /api/, upstream: api }",
];

fn start() -> (Upstream, Doorward) {
    let upstream = Upstream::start(Reply::Ok("ok"));
    let doorward = Doorward::start(&config(&upstream, &ROUTES));
    (upstream, doorward)
}

fn reason(answer: &Answer) -> String {
    answer.json()["reason"].as_str().expect("a reason").to_owned()
}

#[test]
fn the_form_that_is_matched_is_forwarded() {
    let (upstream, doorward) = start();
    let mut client = doorward.connect();
    for (sent, forwarded, why) in [
        ("/public/a", "/public/a", "as it is"),
        ("/public/", "/public/", "the prefix itself"),
        ("/%70ublic/a", "/public/a", "an encoded letter"),
        (
            "/public/%61%7E%2d",
            "/public/a~-",
            "unreserved characters are decoded",
        ),
        (
            "/public/a%3ab%c3%a9",
            "/public/a%3Ab%C3%A9",
            "others stay, in upper case",
        ),
        (
            "/public/a%20b%22",
            "/public/a%20b%22",
            "what cannot stand plain stays encoded",
        ),
        (
            "/public/a:@!$&'()*+,=",
            "/public/a:@!$&'()*+,=",
            "what may stand plain",
        ),
        ("/public/...", "/public/...", "three dots are a name"),
        ("/public/.hidden", "/public/.hidden", "a leading dot is a name"),
        (
            "/public/a?b=/../;//%2e%00",
            "/public/a?b=/../;//%2e%00",
            "the query is the app's own",
        ),
        ("/public/a?", "/public/a?", "an empty query is kept"),
        ("/health", "/health", "an exact route"),
    ] {
        let answer = client.get(sent, &[]);
        assert_eq!(answer.status, 200, "{sent}, {why}: {}", answer.text());
        assert_eq!(upstream.last().target(), forwarded, "{sent}: {why}");
    }
}

#[test]
fn forms_that_servers_read_differently_are_refused() {
    let (upstream, doorward) = start();
    let credential = bearer("ada");
    let paths = [
        ("..", "dot segments"),
        ("../internal/x", "dot segments"),
        ("./x", "a dot segment"),
        (".", "a dot segment at the end"),
        ("%2e%2e/internal/x", "encoded dot segments"),
        (".%2E/internal/x", "half encoded dot segments"),
        ("%2e/x", "an encoded dot segment"),
        ("..;/internal/x", "a dot segment with parameters"),
        ("..%3b/internal/x", "a dot segment with encoded parameters"),
        ("a%2fb", "an encoded slash"),
        ("a%2Fb", "an encoded slash"),
        ("..%2finternal%2fx", "an encoded slash behind dots"),
        ("a%5cb", "an encoded backslash"),
        ("..%5cinternal%5cx", "an encoded backslash behind dots"),
        ("a;b", "a semicolon"),
        ("a%3bb", "an encoded semicolon"),
        ("/a", "an empty segment"),
        ("a//b", "an empty segment"),
        ("a%00", "NUL"),
        ("a%0ab", "a line feed"),
        ("a%0d%0ab", "a line end"),
        ("a%7f", "a control character"),
        ("a%c2%85", "a control character beyond ASCII"),
        ("a%252fb", "double encoding"),
        ("%252e%252e/internal/x", "double encoding"),
        ("%25%32%65", "double encoding in parts"),
        ("a%c0%afb", "an overlong encoding"),
        ("a%ff", "no UTF-8"),
        ("a%", "half an encoding"),
        ("a%2", "half an encoding"),
        ("a%zz", "no encoding"),
        ("a%u002f", "an encoding of another world"),
    ];
    let mut client = doorward.connect();
    for (path, why) in paths {
        for (prefix, headers) in [("/public/", &[][..]), ("/api/", &[credential.as_str()][..])] {
            let answer = client.get(&format!("{prefix}{path}"), headers);
            assert_eq!(
                (answer.status, reason(&answer).as_str()),
                (400, "ambiguous_path"),
                "{prefix}{path}: {why}"
            );
        }
    }
    // These cannot stand in a request line: the head is refused and the connection ends.
    for path in ["a\\b", "..\\internal\\x", "a#b", "a\tb", "a\u{e9}", "a b"] {
        let answer = http::get(doorward.proxy, &format!("/public/{path}"), &[]);
        assert_eq!(answer.status, 400, "{path:?}");
    }
    assert!(upstream.seen().is_empty(), "nothing of it was forwarded");
}

#[test]
fn no_spelling_passes_by_a_rule() {
    let (upstream, doorward) = start();
    // Good, but without the role.
    let credential = bearer("ada");
    let mut client = doorward.connect();
    for rule in ["internal", "admin", "shout"] {
        let first = rule.as_bytes()[0];
        let upper = rule.to_ascii_uppercase();
        for target in [
            format!("/{rule}/x"),
            format!("/{rule}/"),
            format!("/%{first:02x}{}/x", &rule[1..]),
            format!("/%{first:02X}{}/x?public/", &rule[1..]),
            format!("/%25{first:02x}{}/x", &rule[1..]),
            format!("//{rule}/x"),
            format!("/./{rule}/x"),
            format!("/{rule}//x"),
            format!("/{rule};a=b/x"),
            format!("/;/{rule}/x"),
            format!("/{rule}%2fx"),
            format!("/%2f{rule}/x"),
            format!("/{rule}/%2e/x"),
            format!("/{rule}%00/x"),
            format!("/{rule}%20/x"),
            format!("/{rule}./x"),
            format!("/public/../{rule}/x"),
            format!("/public/..%2f{rule}/x"),
            format!("/public/%2e%2e/{rule}/x"),
            format!("/public/%2e%2e%2f{rule}/x"),
            format!("/public/..;/{rule}/x"),
            format!("/public/..%5c{rule}/x"),
            format!("/public/%252e%252e/{rule}/x"),
            format!("/loose/../{rule}/x"),
            format!("/loose/..%2f{rule}/x"),
            format!("/loose/..;/{rule}/x"),
            format!("/loose/%2e%2e;x/{rule}/x"),
            format!("/loose/..//{rule}/x"),
            format!("/loose%2f..%2f{rule}%2fx"),
            format!("/{upper}/x"),
            format!("/{upper}"),
        ] {
            let answer = client.get(&target, &[&credential]);
            assert!(
                matches!(answer.status, 400 | 403 | 404),
                "{target}: {} {}",
                answer.status,
                answer.text()
            );
        }
    }
    assert!(upstream.seen().is_empty(), "nothing of it was forwarded");
}

#[test]
fn a_route_lets_single_forms_through_and_only_those_with_one_reading() {
    let (upstream, doorward) = start();
    let credential = bearer("ada");
    let mut client = doorward.connect();
    for target in [
        "/loose/a%2Fb",
        "/loose/a;b=c/d",
        "/loose//a",
        "/loose/a//",
        "/loose/%2F%2F;x",
    ] {
        let answer = client.get(target, &[&credential]);
        assert_eq!(answer.status, 200, "{target}: {}", answer.text());
        assert_eq!(upstream.last().target(), target, "forwarded as it was matched");
    }
    let before = upstream.seen().len();
    for target in [
        "/loose%2Fa",
        "/loose;x/a",
        "/%2Floose/a",
        "/loose/%5Ca",
        "/loose/a%00",
        "/loose/%252F",
    ] {
        let answer = client.get(target, &[&credential]);
        assert_eq!(
            (answer.status, reason(&answer).as_str()),
            (400, "ambiguous_path"),
            "{target}"
        );
    }
    assert_eq!(upstream.seen().len(), before);
}

#[test]
fn public_is_exactly_what_is_written_and_is_said_at_start() {
    let (upstream, doorward) = start();
    let mut client = doorward.connect();
    for (target, status) in [
        ("/health", 200),
        ("/health?x", 200),
        ("/public/", 200),
        ("/public/a/b", 200),
        ("/health/", 404),
        ("/healthz", 404),
        ("/public", 404),
        ("/publicx/a", 404),
        ("/Public/a", 404),
        ("/api/health", 401),
        ("/api/public/", 401),
    ] {
        let answer = client.get(target, &[]);
        assert_eq!(answer.status, status, "{target}: {}", answer.text());
    }
    assert_eq!(upstream.seen().len(), 4);
    for route in ["health", "public"] {
        doorward.wait_for_line(|l| {
            l["route"] == route && l["message"].as_str().is_some_and(|m| m.starts_with("public"))
        });
    }
}

#[test]
fn a_denied_route_refuses_the_best_credential() {
    let (upstream, doorward) = start();
    let best = format!(
        "Authorization: Bearer {}",
        jwt_with("root", serde_json::json!({"roles": ["ADMIN"], "scope": "*"}))
    );
    for headers in [vec![], vec![best.as_str()]] {
        for method in ["GET", "POST", "OPTIONS", "FROB"] {
            let answer = doorward.connect().request(method, "/internal/x", &headers, b"");
            assert_eq!(
                (answer.status, reason(&answer).as_str()),
                (403, "route_denied"),
                "{method}"
            );
        }
    }
    assert!(upstream.seen().is_empty());
}

#[test]
fn without_a_route_there_is_nothing_before_any_credential_is_looked_at() {
    let (upstream, doorward) = start();
    let good = bearer("ada");
    let mut client = doorward.connect();
    for headers in [
        vec![],
        vec![good.as_str()],
        vec!["Authorization: Bearer broken"],
        vec!["Authorization: Bearer a.b.c", "Authorization: Bearer a.b.c"],
        vec!["token: 7c9e6679-7425-40de-944b-e07fc1f90ae7"],
    ] {
        let answer = client.get("/nowhere", &headers);
        assert_eq!(
            (answer.status, reason(&answer).as_str()),
            (404, "route_unknown"),
            "{headers:?}"
        );
        assert_eq!(
            answer.header("www-authenticate"),
            None,
            "no credential would help"
        );
    }
    let answer = client.request("POST", "/get/x", &[&good], b"");
    assert_eq!(
        (answer.status, reason(&answer).as_str()),
        (404, "route_unknown"),
        "methods are part of a match"
    );
    assert_eq!(
        doorward.metric("doorward_cache_misses_total"),
        ["doorward_cache_misses_total 0"]
    );
    assert!(upstream.seen().is_empty());
}

/// A listener that believes what loopback peers say of their clients.
const BEHIND_A_PROXY: &str = "{ name: public, address: 127.0.0.1:0, trusted_proxies: [127.0.0.1] }";

#[test]
fn plain_http_is_refused_where_https_is_required() {
    let upstream = Upstream::start(Reply::Ok("ok"));
    let routes = [
        "{ path: /strict/, upstream: api, https: required }",
        "{ path: /local/, upstream: api, https: required_except_loopback }",
        "{ path: /chat/, upstream: api, profile: homechat }",
        "{ path: /open/, upstream: api, access: public, https: required }",
        "{ path: /, upstream: api }",
    ];
    let config = config(&upstream, &routes);
    let folder = || std::sync::Arc::new(tempfile::TempDir::new().expect("a folder"));
    let direct = Doorward::start(&config);
    let behind = Doorward::start_listening(folder(), BEHIND_A_PROXY, &config, &[]);
    let good = bearer("ada");
    let (far, https) = ("X-Forwarded-For: 203.0.113.9", "X-Forwarded-Proto: https");
    for (doorward, target, headers, passes, why) in [
        (&direct, "/strict/", vec![], false, "plain"),
        (&direct, "/strict/", vec![https], false, "a stranger says https"),
        (
            &direct,
            "/strict/",
            vec!["Forwarded: proto=https", "X-Forwarded-Ssl: on"],
            false,
            "in other words",
        ),
        (&direct, "/local/", vec![], true, "loopback is exempt here"),
        (&direct, "/chat/", vec![], true, "and by the profile"),
        (&direct, "/open/", vec![], false, "public routes too"),
        (&direct, "/", vec![], true, "optional by default"),
        (
            &behind,
            "/strict/",
            vec![far, https],
            true,
            "a trusted proxy says https",
        ),
        (
            &behind,
            "/strict/",
            vec![far, "X-Forwarded-Proto: HTTPS"],
            true,
            "in capitals",
        ),
        (
            &behind,
            "/strict/",
            vec![far, "X-Forwarded-Proto: http"],
            false,
            "it says http",
        ),
        (&behind, "/strict/", vec![far], false, "it says nothing"),
        (
            &behind,
            "/strict/",
            vec![far, "X-Forwarded-Proto: https, http"],
            false,
            "the nearest hop was plain",
        ),
        (
            &behind,
            "/strict/",
            vec![far, https, "X-Forwarded-Proto: http"],
            false,
            "on two lines",
        ),
        (
            &behind,
            "/strict/",
            vec![far, "X-Forwarded-Proto: wss"],
            false,
            "another word",
        ),
        (
            &behind,
            "/local/",
            vec![far, "X-Forwarded-Proto: http"],
            false,
            "only the proxy is on loopback",
        ),
        (
            &behind,
            "/local/",
            vec!["X-Forwarded-For: 127.0.0.1, 203.0.113.9"],
            false,
            "a claimed loopback hop",
        ),
        (&behind, "/chat/", vec![far], false, "the profile too"),
        (
            &behind,
            "/chat/",
            vec![far, https],
            true,
            "the profile over https",
        ),
    ] {
        let headers: Vec<&str> = headers.into_iter().chain([good.as_str()]).collect();
        let answer = http::get(doorward.proxy, target, &headers);
        if passes {
            assert_eq!(answer.status, 200, "{target}: {why}: {}", answer.text());
            continue;
        }
        assert_eq!(
            (answer.status, reason(&answer).as_str()),
            (403, "https_required"),
            "{target}: {why}"
        );
        assert_eq!(
            answer.header("location"),
            None,
            "no redirect: the credential was sent already"
        );
    }
    let answer = http::get(behind.proxy, "/chat/", &[far, &good]);
    assert_eq!(answer.json()["error"], "Forbidden - HTTPS is required");
}

#[test]
fn a_credential_can_be_for_https_alone() {
    let upstream = Upstream::start(Reply::Ok("ok"));
    let config = config(&upstream, &["{ path: /, upstream: api }"]);
    let folder = std::sync::Arc::new(tempfile::TempDir::new().expect("a folder"));
    let doorward = Doorward::start_listening(folder, BEHIND_A_PROXY, &config, &[]);
    let token = issue(&doorward, &["token", "create", "--for", "backup", "--https-only"]);
    let token = format!("X-API-Key: {token}");
    for (proto, status) in [("http", 403), ("https", 200), ("http", 403)] {
        let proto = format!("X-Forwarded-Proto: {proto}");
        let answer = http::get(
            doorward.proxy,
            "/",
            &[&token, "X-Forwarded-For: 203.0.113.9", &proto],
        );
        assert_eq!(
            answer.status,
            status,
            "{proto}, whatever was cached: {}",
            answer.text()
        );
    }
}

#[test]
fn methods_scopes_and_roles_are_required_where_it_is_written() {
    let upstream = Upstream::start(Reply::Ok("ok"));
    let routes = [
        "{ path: /scoped/, upstream: api, require: { scopes: [\"channel:12:write\"] } }",
        "{ path: /any/, upstream: api, require: { any_scopes: [reports, audits] } }",
        "{ path: /admin/, upstream: api, require: { roles: [ADMIN, ROOT] } }",
        "{ path: /, upstream: api }",
    ];
    let config = config(&upstream, &routes).replace(
        "claims: { unscoped: unrestricted }",
        "claims: { unscoped: unrestricted, roles: roles }",
    );
    let doorward = Doorward::start(&config);
    let with = |more| format!("Authorization: Bearer {}", jwt_with("ada", more));
    let plain = with(serde_json::json!({}));
    let read = with(serde_json::json!({"scope": "read"}));
    let write = with(serde_json::json!({"scope": "write"}));
    let channel = with(serde_json::json!({"scope": "read write channel:*:write"}));
    let audits = with(serde_json::json!({"scope": "audits read"}));
    let root = with(serde_json::json!({"roles": ["ROOT"]}));
    let mut client = doorward.connect();
    for (credential, method, target, refused) in [
        (&read, "GET", "/", None),
        (&read, "HEAD", "/", None),
        (&read, "POST", "/", Some("method_not_permitted")),
        (&read, "DELETE", "/", Some("method_not_permitted")),
        (&read, "FROB", "/", Some("method_not_permitted")),
        (&write, "POST", "/", None),
        (&write, "GET", "/", Some("method_not_permitted")),
        (&write, "DELETE", "/", Some("method_not_permitted")),
        (&read, "GET", "/scoped/", Some("scope_missing")),
        (&channel, "GET", "/scoped/", None),
        (&read, "GET", "/any/", Some("scope_missing")),
        (&audits, "GET", "/any/", None),
        (&plain, "GET", "/admin/", Some("role_missing")),
        (&root, "GET", "/admin/", None),
    ] {
        let answer = client.request(method, target, &[credential], b"");
        match refused {
            None => assert_eq!(answer.status, 200, "{method} {target}: {}", answer.text()),
            Some(why) => {
                assert_eq!(
                    (answer.status, reason(&answer).as_str()),
                    (403, why),
                    "{method} {target}"
                );
                let challenge = answer.header("www-authenticate").expect("a challenge");
                assert!(challenge.contains("error=\"insufficient_scope\""), "{challenge}");
            }
        }
    }
    let answer = client.get("/scoped/", &[&read]);
    let challenge = answer.header("www-authenticate").expect("a challenge");
    assert!(challenge.ends_with("scope=\"channel:12:write\""), "{challenge}");
}
