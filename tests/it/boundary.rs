//! What crosses to the upstream, from socket to socket: nothing of a client's that looks like ours, no
//! credential, and everything that we know (S1).

use serde_json::Value;

use crate::support::fixtures::{bearer, config, issue, jwt};
use crate::support::upstream::Seen;
use crate::support::{Client, Doorward, Reply, Upstream, http};

/// What no client may say to an upstream.
const OURS: [&str; 43] = [
    "x-auth-subject",
    "x-auth-principal",
    "x-auth-credential",
    "x-auth-credential-id",
    "x-auth-tenant",
    "x-auth-customer",
    "x-auth-scopes",
    "x-auth-roles",
    "x-auth-write-access",
    "x-auth-device-id",
    "x-auth-category",
    "x-auth-expires",
    "x-auth-assertion",
    "x-auth-would-deny",
    "x-forwarded",
    "x-forwarded-for",
    "x-forwarded-proto",
    "x-forwarded-protocol",
    "x-forwarded-scheme",
    "x-forwarded-ssl",
    "x-forwarded-host",
    "x-forwarded-server",
    "x-forwarded-port",
    "x-forwarded-prefix",
    "x-forwarded-uri",
    "x-forwarded-method",
    "x-forwarded-user",
    "x-forwarded-email",
    "x-forwarded-client-cert",
    "x-auth-request-user",
    "remote-user",
    "x-http-method-override",
    "x-original-method",
    "cf-connecting-ip",
    "x-real-ip",
    "x-client-ip",
    "x-original-url",
    "x-original-uri",
    "x-rewrite-url",
    "true-client-ip",
    "forwarded",
    "via",
    "x-request-id",
];

/// Everything that may stand in a field name (RFC 9110 `tchar`) beside letters and digits.
const SYMBOLS: &str = "!#$%&'*+-.^_`|~";

/// Ways to write one name.
fn spellings(name: &str) -> Vec<String> {
    let mut all: Vec<String> = SYMBOLS
        .chars()
        .map(|symbol| name.replace('-', &symbol.to_string()))
        .collect();
    all.push(name.to_ascii_uppercase());
    all.push(name.replacen('-', "_", 1));
    let mixed = |(i, c): (usize, char)| {
        if i % 2 == 0 { c.to_ascii_uppercase() } else { c }
    };
    all.push(name.chars().enumerate().map(mixed).collect());
    // The same field twice.
    all.push(name.to_owned());
    all
}

fn plain_route(reply: Reply) -> (Upstream, Doorward) {
    let upstream = Upstream::start(reply);
    let doorward = Doorward::start(&config(&upstream, &["{ path: /, upstream: api }"]));
    (upstream, doorward)
}

#[test]
fn no_spelling_of_our_headers_crosses() {
    let (upstream, doorward) = plain_route(Reply::Ok("ok"));
    let credential = bearer("ada");
    let mut client = doorward.connect();
    let lines: Vec<String> = OURS
        .iter()
        .flat_map(|name| spellings(name))
        .map(|name| format!("{name}: EVIL"))
        .collect();
    assert!(lines.len() > 600);
    for some in lines.chunks(80) {
        let mut headers: Vec<&str> = some.iter().map(String::as_str).collect();
        headers.push(&credential);
        headers.push("X-Kept: yes");
        assert_eq!(client.get("/a", &headers).status, 200);
        let seen = upstream.last();
        assert!(!seen.head.contains("EVIL"), "{}", seen.head);
        assert_eq!(seen.header("x-auth-subject"), Some("ada"));
        assert_eq!(seen.header("x-kept"), Some("yes"), "others' headers go on");
    }
}

#[test]
fn connection_removes_nothing_of_ours() {
    let (upstream, doorward) = plain_route(Reply::Ok("ok"));
    let credential = bearer("ada");
    let answer = doorward.connect().get(
        "/",
        &[
            "Connection: x-auth-subject, X-Auth-Principal,x-forwarded-for",
            "Connection: x-request-id, host, authorization, via, x-mine",
            "X-Mine: 1",
            &credential,
        ],
    );
    assert_eq!(answer.status, 200, "{}", answer.text());
    let seen = upstream.last();
    for name in [
        "x-auth-subject",
        "x-auth-principal",
        "x-forwarded-for",
        "x-request-id",
        "via",
        "host",
    ] {
        assert!(seen.header(name).is_some(), "{name} is missing:\n{}", seen.head);
    }
    assert_eq!(seen.header("x-mine"), None, "what is the client's own may go");
    assert_eq!(seen.header("authorization"), None);
}

#[test]
fn trailers_carry_nothing_across() {
    let (upstream, doorward) = plain_route(Reply::Ok("ok"));
    let credential = bearer("ada");
    let mut client = doorward.connect();
    client.write(format!(
        "POST /first HTTP/1.1\r\nHost: a\r\n{credential}\r\nTE: trailers\r\nTrailer: X-Auth-Subject, Authorization\r\n\
         Transfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\nX-Auth-Subject: EVIL\r\nX_Auth_Roles: EVIL\r\n\
         Authorization: EVIL\r\n\r\n"
    ));
    assert_eq!(client.answer().status, 200);
    // Whatever stood behind the body would now be read as the start of this one.
    assert_eq!(client.get("/second", &[&credential]).status, 200);
    let seen = upstream.wait_for(2);
    assert_eq!(seen[0].body, b"hi");
    assert_eq!(seen[1].request_line(), "GET /second HTTP/1.1");
    assert!(seen.iter().all(|s| !s.head.contains("EVIL")));
    assert_eq!(upstream.connections(), 1, "both went over one connection");
}

/// One credential of each kind, issued or signed.
struct Credentials {
    api_token: String,
    homechat: String,
    device_token: String,
    sealed: String,
    jwt: String,
    basic: String,
}

impl Credentials {
    fn issue(doorward: &Doorward) -> Self {
        use base64::Engine as _;
        let device = doorward.cli(&["device", "create", "thermometer-7"]);
        let device = device["id"].as_str().expect("an id").to_owned();
        let token = |arguments: &[&str]| issue(doorward, &[&["token", "create"], arguments].concat());
        let user = token(&["--kind", "basic", "--for", "backup", "--user", "ada"]);
        Self {
            api_token: token(&["--for", "backup"]),
            homechat: token(&["--for", "backup", "--format", "homechat_hex"]),
            device_token: issue(doorward, &["device", "token", &device]),
            sealed: token(&[
                "--kind",
                "sealed_device_token",
                "--device",
                "thermometer-8",
                "--format",
                "v1",
            ]),
            jwt: jwt("ada"),
            basic: base64::engine::general_purpose::STANDARD.encode(format!("ada:{user}")),
        }
    }
}

fn everything(seen: &Seen) -> String {
    format!("{}\n\n{}", seen.head, String::from_utf8_lossy(&seen.body))
}

#[test]
fn no_credential_crosses_whatever_carried_it() {
    let upstream = Upstream::start(Reply::Ok("ok"));
    let routes = [
        "{ path: /public/, access: public, upstream: api }",
        "{ path: /query/, upstream: api, query_credentials: [token] }",
        "{ path: /, upstream: api }",
    ];
    let doorward = Doorward::start(&config(&upstream, &routes));
    let c = Credentials::issue(&doorward);
    let mut client = doorward.connect();
    for (carrier, secret, kind) in [
        ("Authorization: Bearer ", &c.api_token, "api_token"),
        ("authorization: bearer ", &c.api_token, "api_token"),
        ("Authorization: ApiKey ", &c.api_token, "api_token"),
        ("Authorization: ", &c.api_token, "api_token"),
        ("X-API-Key: ", &c.api_token, "api_token"),
        ("X-Authorization: ApiKey ", &c.api_token, "api_token"),
        ("X-Authorization: Bearer ", &c.api_token, "api_token"),
        ("Authorization: Bearer ", &c.homechat, "api_token"),
        ("Authorization: ", &c.device_token, "device_token"),
        ("Device-Token: ", &c.device_token, "device_token"),
        ("token: ", &c.device_token, "device_token"),
        ("Account-Token: ", &c.device_token, "device_token"),
        ("Profile-Token: ", &c.device_token, "device_token"),
        ("Public-Token: ", &c.device_token, "device_token"),
        ("Analysis-Token: ", &c.device_token, "device_token"),
        ("Authorization: Device ", &c.sealed, "sealed_device_token"),
        ("Authorization: Bearer ", &c.jwt, "jwt"),
        ("X-Authorization: Bearer ", &c.jwt, "jwt"),
        ("Authorization: Basic ", &c.basic, "basic"),
    ] {
        let line = format!("{carrier}{secret}");
        // An app that folds names must not find it either.
        let (name, value) = line.split_once(':').expect("a field");
        let folded = format!("{}:{value}", name.replace('-', "_").to_ascii_uppercase());
        let sent = if name.contains('-') {
            vec![&*line, &*folded]
        } else {
            vec![&*line]
        };
        let answer = client.get("/private", &sent);
        assert_eq!(answer.status, 200, "{carrier}: {}", answer.text());
        let seen = upstream.last();
        assert_eq!(seen.header("x-auth-credential"), Some(kind), "{carrier}");
        assert!(
            !everything(&seen).contains(secret.as_str()),
            "{carrier}: {}",
            seen.head
        );

        let answer = client.get("/public/x", &[&line]);
        assert_eq!(answer.status, 200, "{carrier}: {}", answer.text());
        let seen = upstream.last();
        assert_eq!(seen.header("x-auth-principal"), Some("anonymous"), "{carrier}");
        assert_eq!(
            seen.header("x-auth-subject"),
            None,
            "a public route reads no credential"
        );
        assert!(
            !everything(&seen).contains(secret.as_str()),
            "{carrier} on a public route"
        );
    }
    for (query, kept) in [
        (format!("token={}", c.device_token), ""),
        (format!("a=1&token={}&b=2", c.device_token), "?a=1&b=2"),
        (format!("a=1&t%6Fken={}", c.device_token), "?a=1"),
    ] {
        let answer = client.get(&format!("/query/x?{query}"), &[]);
        assert_eq!(answer.status, 200, "{query}: {}", answer.text());
        let seen = upstream.last();
        assert_eq!(seen.target(), format!("/query/x{kept}"));
        assert!(!everything(&seen).contains(&c.device_token), "{}", seen.head);
    }
    assert!(
        !doorward.log_text().contains(&c.device_token),
        "no log line has it either"
    );
}

#[test]
fn a_credential_crosses_only_where_the_route_says_so() {
    let upstream = Upstream::start(Reply::Ok("ok"));
    let routes = [
        "{ path: /with/, upstream: api, forward_credential: true }",
        "{ path: /, upstream: api }",
    ];
    let doorward = Doorward::start(&config(&upstream, &routes));
    let credential = bearer("ada");
    for (path, crosses) in [("/with/it", true), ("/without", false)] {
        let answer = http::get(
            doorward.proxy,
            path,
            &[&credential, "X-Auth-Subject: EVIL", "X_Auth_Roles: EVIL"],
        );
        assert_eq!(answer.status, 200);
        let seen = upstream.last();
        assert_eq!(seen.header("authorization").is_some(), crosses, "{path}");
        assert_eq!(seen.header("x-auth-subject"), Some("ada"));
        assert!(
            !seen.head.contains("EVIL"),
            "identity headers never cross: {}",
            seen.head
        );
    }
}

#[test]
fn names_are_the_routes_own_and_protected_on_every_route() {
    let upstream = Upstream::start(Reply::Ok("ok"));
    let routes = [
        "{ path: /nest/, upstream: api, headers: { subject: deviceId, credential: tokenType, \
         write_access: has_write_access, expires: off } }",
        "{ path: /, upstream: api }",
    ];
    let doorward = Doorward::start(&config(&upstream, &routes));
    let credential = bearer("ada");
    let evil = [
        credential.as_str(),
        "DeviceID: EVIL",
        "tokentype: EVIL",
        "Has-Write-Access: EVIL",
        "has.write.access: EVIL",
        "X-Auth-Subject: EVIL",
        "X-Auth-Expires: EVIL",
    ];
    assert_eq!(http::get(doorward.proxy, "/nest/x", &evil).status, 200);
    let seen = upstream.last();
    assert_eq!(seen.header("deviceId"), Some("ada"));
    assert_eq!(seen.header("tokenType"), Some("jwt"));
    assert!(seen.header("has_write_access").is_some());
    assert_eq!(seen.header("x-auth-subject"), None, "renamed");
    assert_eq!(seen.header("x-auth-expires"), None, "switched off");
    assert!(!seen.head.contains("EVIL"), "{}", seen.head);
    assert_eq!(http::get(doorward.proxy, "/other", &evil).status, 200);
    let seen = upstream.last();
    assert_eq!(seen.header("x-auth-subject"), Some("ada"));
    assert!(
        !seen.head.contains("EVIL"),
        "another route's names too: {}",
        seen.head
    );
}

#[test]
fn what_is_forwarded_about_the_client_is_rebuilt() {
    let upstream = Upstream::start(Reply::Ok("ok"));
    let config = config(&upstream, &["{ path: /, upstream: api }"]);
    let believed = "{ name: public, address: 127.0.0.1:0, trusted_proxies: [127.0.0.0/8] }";
    let claims = [
        "X-Forwarded-For: 192.0.2.1, 203.0.113.9",
        "X-Forwarded-Proto: https",
        "X-Forwarded-Host: evil.example",
        "Forwarded: for=192.0.2.1;host=evil.example",
        "Via: 1.1 evil.example",
        "X-Request-Id: req-from-outside",
        "traceparent: 00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
    ];
    for (listener, address, proto, keeps_id, why) in [
        (
            "{ name: public, address: 127.0.0.1:0 }",
            "127.0.0.1",
            "http",
            false,
            "a stranger",
        ),
        (believed, "203.0.113.9", "https", true, "a trusted proxy"),
    ] {
        let folder = std::sync::Arc::new(tempfile::TempDir::new().expect("a folder"));
        let doorward = Doorward::start_listening(folder, listener, &config, &[]);
        let credential = bearer("ada");
        let headers: Vec<&str> = claims.iter().copied().chain([credential.as_str()]).collect();
        assert_eq!(http::get(doorward.proxy, "/", &headers).status, 200);
        let seen = upstream.last();
        assert_eq!(seen.header("x-forwarded-for"), Some(address), "{why}");
        assert_eq!(seen.header("x-forwarded-proto"), Some(proto), "{why}");
        assert_eq!(seen.header("x-forwarded-host"), Some("test.example"), "{why}");
        assert_eq!(
            seen.header("forwarded").map(str::to_owned),
            Some(format!("for={address};proto={proto};host=\"test.example\"")),
            "{why}"
        );
        assert_eq!(seen.header("via"), Some("1.1 doorward"), "{why}");
        assert!(!seen.head.contains("evil"), "{}", seen.head);
        let id = seen.header("x-request-id").expect("an id");
        assert_eq!(id == "req-from-outside", keeps_id, "{why}: {id}");
        let trace = seen.header("traceparent").expect("continued");
        assert!(
            trace.starts_with("00-4bf92f3577b34da6a3ce929d0e0e4736-"),
            "{trace}"
        );
        assert!(
            !trace.contains("00f067aa0ba902b7"),
            "a parent of our own: {trace}"
        );

        let refused = http::get(doorward.proxy, "/", &claims);
        assert_eq!(refused.status, 401);
        let id = refused.header("x-request-id").expect("an id").to_owned();
        assert_eq!(
            refused.json()["request_id"],
            id.as_str(),
            "the body says the same"
        );
        assert_eq!(id == "req-from-outside", keeps_id, "{why}: {id}");
    }
}

#[test]
fn an_anonymous_request_has_no_identity() {
    let upstream = Upstream::start(Reply::Ok("ok"));
    let doorward = Doorward::start(&config(
        &upstream,
        &["{ path: /, access: public, upstream: api }"],
    ));
    for headers in [
        vec![],
        vec![
            "X-Auth-Subject: EVIL",
            "X-Auth-Principal: user",
            "x_auth_principal: user",
        ],
        vec!["Authorization: Bearer not-even.a-token"],
    ] {
        assert_eq!(http::get(doorward.proxy, "/", &headers).status, 200);
        let seen = upstream.last();
        let identity: Vec<&str> = seen
            .head
            .lines()
            .filter(|l| l.to_ascii_lowercase().starts_with("x-auth"))
            .collect();
        assert_eq!(identity, ["x-auth-principal: anonymous"]);
    }
}

#[test]
fn the_whole_identity_of_a_token_arrives() {
    let (upstream, doorward) = plain_route(Reply::Ok("ok"));
    let made = doorward.cli(&[
        "token",
        "create",
        "--for",
        "backup",
        "--scope",
        "read",
        "--expires",
        "1 day",
    ]);
    let token = format!("X-API-Key: {}", made["secret"].as_str().expect("a secret"));
    assert_eq!(http::get(doorward.proxy, "/", &[&token]).status, 200);
    let seen = upstream.last();
    for (name, value) in [
        ("x-auth-subject", made["principal"].as_str()),
        ("x-auth-principal", Some("service")),
        ("x-auth-credential", Some("api_token")),
        ("x-auth-credential-id", made["id"].as_str()),
        ("x-auth-scopes", Some("read")),
        ("x-auth-write-access", Some("false")),
    ] {
        assert_eq!(seen.header(name), value, "{name} in {}", seen.head);
    }
    assert!(
        seen.header("x-auth-expires")
            .is_some_and(|at| at.parse::<u64>().is_ok())
    );
    assert_eq!(
        seen.header("x-auth-device-id"),
        None,
        "what is not known is not there"
    );
}

/// The parts of a JWT, decoded.
fn decoded(token: &str) -> (Value, Value) {
    use base64::Engine as _;
    let part = |i: usize| {
        let text = token.split('.').nth(i).expect("three parts");
        let bytes = base64::engine::general_purpose::URL_SAFE_NO_PAD
            .decode(text)
            .expect("Base64url");
        serde_json::from_slice(&bytes).expect("JSON")
    };
    (part(0), part(1))
}

#[test]
fn an_assertion_is_verified_with_the_published_keys_across_a_rotation() {
    use jsonwebtoken::jwk::JwkSet;

    let upstream = Upstream::start(Reply::Ok("ok"));
    let doorward = Doorward::start(&config(
        &upstream,
        &["{ path: /, upstream: api, assertion: true }"],
    ));
    let credential = bearer("ada");
    let mut assertions = Vec::new();
    for _ in 0..2 {
        assert_eq!(
            http::get(doorward.proxy, "/", &[&credential, "X-Auth-Assertion: EVIL"]).status,
            200
        );
        assertions.push(
            upstream
                .last()
                .header("x-auth-assertion")
                .expect("an assertion")
                .to_owned(),
        );
        doorward.cli(&["key", "rotate", "assertion"]);
    }
    let answer = http::get(doorward.proxy, "/.well-known/doorward/jwks.json", &[]);
    assert_eq!(
        (answer.status, answer.header("content-type")),
        (200, Some("application/jwk-set+json"))
    );
    assert!(!answer.text().contains("\"d\""), "no private part");
    let keys: JwkSet = serde_json::from_slice(&answer.body).expect("a key set");
    // Two rotations: the second assertion's key is the previous one and still published.
    let (header, claims) = decoded(&assertions[1]);
    let key = keys
        .find(header["kid"].as_str().expect("a key id"))
        .expect("published");
    let key = jsonwebtoken::DecodingKey::from_jwk(key).expect("a key");
    let mut rules = jsonwebtoken::Validation::new(jsonwebtoken::Algorithm::EdDSA);
    rules.set_audience(&["api"]);
    rules.set_issuer(&["doorward"]);
    let verified = jsonwebtoken::decode::<Value>(&assertions[1], &key, &rules).expect("verifies");
    assert_eq!(verified.claims, claims);
    assert_eq!(header["typ"], "doorward-assertion+jwt");
    assert_eq!(
        (&claims["sub"], &claims["credential"]),
        (&"ada".into(), &"jwt".into())
    );
    let lifetime = claims["exp"]
        .as_i64()
        .zip(claims["iat"].as_i64())
        .map(|(end, start)| end - start);
    assert!(
        lifetime.is_some_and(|secs| (0..=60).contains(&secs)),
        "{lifetime:?}"
    );
    let (first, _) = decoded(&assertions[0]);
    assert_ne!(first["kid"], header["kid"], "the rotation took effect at once");

    let as_credential = format!("Authorization: Bearer {}", assertions[1]);
    let refused = http::get(doorward.proxy, "/", &[&as_credential]);
    assert_eq!(
        refused.status,
        401,
        "an assertion is no credential: {}",
        refused.text()
    );
}

#[test]
fn host_is_what_the_client_asked_for() {
    let (upstream, doorward) = plain_route(Reply::Ok("ok"));
    let credential = bearer("ada");
    let mut client: Client = doorward.connect();
    client.write(format!(
        "GET http://app.example/x HTTP/1.1\r\nHost: app.example\r\n{credential}\r\n\r\n"
    ));
    assert_eq!(client.answer().status, 200);
    let seen = upstream.last();
    assert_eq!(seen.request_line(), "GET /x HTTP/1.1");
    assert_eq!(seen.header("host"), Some("app.example"));
    assert_eq!(seen.header("x-forwarded-host"), Some("app.example"));
}
