//! What is presented, and how it is refused: doubled, oversized, malformed, of a kind that the route does
//! not take; each with its reason, and without a look-up where the form alone decides (S2, S6, S7).

use serde_json::json;

use crate::support::fixtures::{bearer, config, issue, jwt, jwt_with};
use crate::support::{Answer, Doorward, Reply, Upstream, http};

/// Bounds of the throttle so high that it is not what refuses.
const UNTHROTTLED: &str =
    "throttle: { failures_per_address: 1000000, failures_per_id: 1000000, lookups_per_address: 1000000 }\n";

const ROUTES: [&str; 5] = [
    "{ path: /jwt/, upstream: api, accept: [jwt] }",
    "{ path: /devices/, upstream: api, accept: [sealed_device_token, device_token] }",
    "{ path: /tagoio/, upstream: api, precedence: tagoio }",
    "{ path: /thingsboard/, upstream: api, precedence: thingsboard }",
    "{ path: /, upstream: api }",
];

fn start() -> (Upstream, Doorward) {
    let upstream = Upstream::start(Reply::Ok("ok"));
    let doorward = Doorward::start(&format!("{UNTHROTTLED}{}", config(&upstream, &ROUTES)));
    (upstream, doorward)
}

fn reason(answer: &Answer) -> String {
    answer.json()["reason"].as_str().expect("a reason").to_owned()
}

/// How often a credential was looked up.
fn look_ups(doorward: &Doorward) -> Vec<String> {
    let count = doorward.metric("doorward_decision_duration_seconds_count{stage=\"look_up\"}");
    assert_eq!(count.len(), 1, "{count:?}");
    count
}

#[test]
fn two_credentials_are_refused_and_none_is_picked() {
    let (upstream, doorward) = start();
    let good = jwt("ada");
    let token = issue(&doorward, &["token", "create", "--for", "backup"]);
    let before = look_ups(&doorward);
    let mut client = doorward.connect();
    for (headers, why) in [
        (vec![format!("Authorization: Bearer {good}"); 2], "the same twice"),
        (
            vec![
                format!("Authorization: Bearer {good}"),
                "authorization: Device x".to_owned(),
            ],
            "two schemes",
        ),
        (
            vec![format!("Authorization: Bearer {good}, Bearer {good}")],
            "a list",
        ),
        (vec![format!("Authorization: Bearer {good},")], "a list of one"),
        (
            vec![format!("Authorization: {token}, {token}")],
            "a list of bare words",
        ),
        (vec![format!("X-API-Key: {token},{token}")], "a list in X-API-Key"),
        (vec![format!("X-API-Key: {token}"); 2], "X-API-Key twice"),
        (
            vec![
                format!("Authorization: Bearer {good}"),
                format!("X-API-Key: {token}"),
            ],
            "two carriers, both good",
        ),
        (
            vec![
                format!("Authorization: Bearer {good}"),
                format!("X-Authorization: Bearer {good}"),
            ],
            "two carriers, the same token",
        ),
        (
            vec![
                format!("Authorization: Bearer {good}"),
                "token: unknown".to_owned(),
            ],
            "a good one and a bad one",
        ),
        (
            vec![
                format!("Authorization: Bearer {good}"),
                "Authorization:".to_owned(),
            ],
            "a good one and a blank one",
        ),
        (
            vec!["Device-Token: a".to_owned(), "token: a".to_owned()],
            "two device carriers",
        ),
    ] {
        let headers: Vec<&str> = headers.iter().map(String::as_str).collect();
        let answer = client.get("/", &headers);
        assert_eq!(
            (answer.status, reason(&answer).as_str()),
            (400, "ambiguous_credentials"),
            "{why}"
        );
    }
    assert!(upstream.seen().is_empty());
    assert_eq!(look_ups(&doorward), before, "nobody was asked");
}

#[test]
fn a_route_may_name_an_order_of_carriers() {
    let (upstream, doorward) = start();
    let (ada, eve) = (jwt("ada"), jwt("eve"));
    let token = |t: &str| format!("token: {t}");
    let authorization = |t: &str| format!("Authorization: Bearer {t}");
    let x_authorization = |t: &str| format!("X-Authorization: Bearer {t}");
    let mut client = doorward.connect();
    for (target, headers, subject) in [
        ("/tagoio/", vec![authorization(&eve), token(&ada)], Some("ada")),
        ("/tagoio/", vec![token(&ada), authorization(&eve)], Some("ada")),
        (
            "/tagoio/",
            vec!["token: null".to_owned(), authorization(&eve)],
            Some("eve"),
        ),
        ("/tagoio/", vec![token(&ada), token(&ada)], None),
        (
            "/thingsboard/",
            vec![authorization(&eve), x_authorization(&ada)],
            Some("ada"),
        ),
        (
            "/thingsboard/",
            vec!["X-Authorization: ".to_owned(), authorization(&eve)],
            Some("eve"),
        ),
        ("/thingsboard/", vec![token(&ada), authorization(&eve)], None),
        ("/", vec![authorization(&eve), x_authorization(&ada)], None),
    ] {
        let headers: Vec<&str> = headers.iter().map(String::as_str).collect();
        let answer = client.get(target, &headers);
        match subject {
            Some(subject) => {
                assert_eq!(answer.status, 200, "{target}: {}", answer.text());
                let seen = upstream.last();
                assert_eq!(seen.header("x-auth-subject"), Some(subject), "{target}");
                assert!(
                    !seen.head.contains(&ada) && !seen.head.contains(&eve),
                    "neither crosses"
                );
            }
            None => assert_eq!(reason(&answer), "ambiguous_credentials", "{target}"),
        }
    }
    // The one that speaks is bad: the other does not step in.
    let answer = client.get("/tagoio/", &["token: unknown-token", &authorization(&ada)]);
    assert_eq!(
        (answer.status, reason(&answer).as_str()),
        (401, "credential_invalid")
    );
}

#[test]
fn what_is_malformed_is_refused_without_a_look_up() {
    let (upstream, doorward) = start();
    let before = look_ups(&doorward);
    let long = "x".repeat(16 * 1024 + 1);
    let mut client = doorward.connect();
    for (header, status, expected, why) in [
        ("", 401, "credential_missing", "none"),
        (
            "Cookie: Authorization=Bearer a.b.c",
            401,
            "credential_missing",
            "cookies are no carrier",
        ),
        (
            "Proxy-Authorization: Bearer a.b.c",
            401,
            "credential_missing",
            "for another proxy",
        ),
        (
            "X_Api_Key: hc_a",
            401,
            "credential_missing",
            "another spelling is no carrier",
        ),
        ("Authorization:", 401, "credential_malformed", "blank"),
        (
            "Authorization: Bearer",
            401,
            "credential_malformed",
            "a scheme alone",
        ),
        (
            "Authorization: Device",
            401,
            "credential_malformed",
            "a scheme alone",
        ),
        (
            "Authorization: Bearer a b",
            401,
            "credential_malformed",
            "three words",
        ),
        (
            "Authorization: Bearer\ta.b.c",
            401,
            "credential_malformed",
            "a tab is no space",
        ),
        (
            "Authorization: Bearer a.b.\u{e9}",
            401,
            "credential_malformed",
            "no ASCII",
        ),
        (
            "Authorization: Bearer a.b.c",
            401,
            "credential_malformed",
            "the shape of a JWT, and no more",
        ),
        (
            "Authorization: Bearer e30.e30.",
            401,
            "credential_malformed",
            "an unsigned token",
        ),
        (
            "Authorization: Bearer opaque",
            401,
            "credential_invalid",
            "a shape of nobody's",
        ),
        (
            "Authorization: Bearer dw_a_b",
            401,
            "credential_malformed",
            "an API token without its length",
        ),
        (
            "Authorization: Bearer dw_abcdefgh_0123456789012345678901234567890000000A",
            401,
            "credential_malformed",
            "a wrong checksum: a typing error",
        ),
        (
            "Authorization: Device !!!",
            401,
            "credential_malformed",
            "no Base64",
        ),
        (
            "Authorization: Device aGVsbG8=",
            401,
            "credential_malformed",
            "too short",
        ),
        (
            "Authorization: Basic !!!",
            401,
            "credential_malformed",
            "no Base64",
        ),
        (
            "Authorization: Basic bm8tY29sb24=",
            401,
            "credential_malformed",
            "no colon",
        ),
        (
            "Authorization: Negotiate abc",
            401,
            "scheme_unsupported",
            "another scheme",
        ),
        (
            "Authorization: Digest username=\"a\"",
            401,
            "scheme_unsupported",
            "another scheme",
        ),
        (
            "X-Authorization: Basic YTpi",
            401,
            "scheme_unsupported",
            "another scheme there",
        ),
        ("X-Authorization: a.b.c", 401, "credential_malformed", "no scheme"),
        ("token: a b", 401, "credential_malformed", "two words"),
        (
            &format!("Authorization: Bearer {long}"),
            400,
            "credential_oversized",
            "too long",
        ),
        (&format!("token: {long}"), 400, "credential_oversized", "too long"),
    ] {
        let headers: Vec<&str> = [header].into_iter().filter(|h| !h.is_empty()).collect();
        let answer = client.get("/", &headers);
        let shown: String = header.chars().take(60).collect();
        assert_eq!(
            (answer.status, reason(&answer).as_str()),
            (status, expected),
            "{shown}: {why}"
        );
        let challenge = answer.header("www-authenticate").expect("a challenge");
        assert!(challenge.starts_with("Bearer realm="), "{challenge}");
        assert!(!answer.text().contains("xxxx"), "nothing of it is repeated");
    }
    assert!(upstream.seen().is_empty());
    assert_eq!(look_ups(&doorward), before, "nobody was asked");
    let answer = client.get("/", &["token: well-formed-but-unknown"]);
    assert_eq!(reason(&answer), "credential_invalid");
    assert_ne!(look_ups(&doorward), before, "a well-formed one is looked up");
}

#[test]
fn a_route_takes_only_its_kinds() {
    let (upstream, doorward) = start();
    let api = issue(&doorward, &["token", "create", "--for", "backup"]);
    let before = look_ups(&doorward);
    let mut client = doorward.connect();
    for (target, header, expected) in [
        ("/jwt/", format!("X-API-Key: {api}"), "kind_not_accepted"),
        (
            "/jwt/",
            format!("Authorization: Bearer {api}"),
            "kind_not_accepted",
        ),
        ("/jwt/", "token: unknown".to_owned(), "kind_not_accepted"),
        (
            "/jwt/",
            "Authorization: Basic YTpi".to_owned(),
            "kind_not_accepted",
        ),
        (
            "/jwt/",
            "Authorization: Device aGVsbG8=".to_owned(),
            "kind_not_accepted",
        ),
        ("/devices/", bearer("ada"), "kind_not_accepted"),
        ("/devices/", format!("X-API-Key: {api}"), "kind_not_accepted"),
    ] {
        let answer = client.get(target, &[&header]);
        assert_eq!(
            (answer.status, reason(&answer).as_str()),
            (401, expected),
            "{target}"
        );
    }
    assert_eq!(look_ups(&doorward), before, "nobody was asked");
    assert_eq!(client.get("/jwt/", &[&bearer("ada")]).status, 200);
    assert_eq!(upstream.seen().len(), 1);
}

#[test]
fn what_was_good_once_or_is_not_yet_is_told_apart() {
    let (upstream, doorward) = start();
    let now = jsonwebtoken::get_current_timestamp();
    let mut client = doorward.connect();
    for (more, expected) in [
        (json!({"exp": now - 3600}), "credential_expired"),
        (json!({"nbf": now + 3600}), "credential_not_yet_valid"),
        (json!({"iat": now + 3600}), "credential_not_yet_valid"),
        (json!({"iss": "https://other.example"}), "wrong_issuer"),
        (json!({"aud": "other"}), "wrong_audience"),
        (json!({"token_use": "refresh"}), "wrong_token_class"),
        (json!({"exp": null}), "credential_malformed"),
        (json!({"exp": "tomorrow"}), "credential_malformed"),
        (json!({"exp": -1}), "credential_malformed"),
        (json!({"exp": 1e300}), "credential_malformed"),
        (json!({"sub": 7}), "credential_malformed"),
    ] {
        let header = format!("Authorization: Bearer {}", jwt_with("ada", more.clone()));
        let answer = client.get("/", &[&header]);
        assert_eq!(
            (answer.status, reason(&answer).as_str()),
            (401, expected),
            "{more}"
        );
    }
    assert!(upstream.seen().is_empty());
}

/// Every letter changed once, and every length.
fn changed(token: &str) -> Vec<String> {
    let mut all = Vec::new();
    for (i, old) in token.char_indices() {
        let new = if old == 'A' { 'B' } else { 'A' };
        all.push(format!("{}{new}{}", &token[..i], &token[i + 1..]));
    }
    all.extend((1..token.len()).step_by(7).map(|end| token[..end].to_owned()));
    all.push(format!("{token}A"));
    all.push(format!("{token}="));
    all.push(format!("A{token}"));
    all.push(format!("{token}.A"));
    all
}

#[test]
fn no_changed_letter_of_a_credential_is_let_in() {
    let (upstream, doorward) = start();
    let token = |arguments: &[&str]| issue(&doorward, &[&["token", "create"], arguments].concat());
    let credentials = [
        ("Authorization: Bearer ", jwt("ada")),
        ("Authorization: Bearer ", token(&["--for", "backup"])),
        (
            "Authorization: Bearer ",
            token(&["--for", "backup", "--format", "homechat_hex"]),
        ),
        (
            "Authorization: Bearer ",
            token(&["--for", "backup", "--format", "homechat"]),
        ),
        (
            "Authorization: Device ",
            token(&[
                "--kind",
                "sealed_device_token",
                "--device",
                "thermometer-8",
                "--format",
                "v1",
            ]),
        ),
        (
            "Authorization: Device ",
            token(&[
                "--kind",
                "sealed_device_token",
                "--device",
                "thermometer-8",
                "--format",
                "v2",
            ]),
        ),
    ];
    for (carrier, good) in &credentials {
        let mut client = doorward.connect();
        assert_eq!(
            client.get("/", &[&format!("{carrier}{good}")]).status,
            200,
            "{good}"
        );
        let before = upstream.seen().len();
        // Base64 without its padding is the same token, and has the same id.
        let same = |bad: &String| bad.trim_end_matches('=') == good.trim_end_matches('=');
        for bad in changed(good).into_iter().filter(|bad| !same(bad)) {
            let answer = client.get("/", &[&format!("{carrier}{bad}")]);
            assert!(
                matches!(answer.status, 400 | 401),
                "{bad} of {good}: {} {}",
                answer.status,
                answer.text()
            );
        }
        assert_eq!(upstream.seen().len(), before);
    }
}

#[test]
fn nothing_a_request_says_bypasses_authentication() {
    let (upstream, doorward) = start();
    let mut client = doorward.connect();
    for (method, target, headers) in [
        ("GET", "/", vec!["User-Agent: kube-probe/1.31"]),
        ("GET", "/", vec!["User-Agent: GoogleHC/1.0"]),
        ("GET", "/", vec!["User-Agent: ELB-HealthChecker/2.0"]),
        ("GET", "/livez", vec![]),
        ("GET", "/readyz", vec![]),
        ("GET", "/startupz", vec![]),
        ("GET", "/metrics", vec![]),
        ("GET", "/healthz", vec!["User-Agent: kube-probe/1.31"]),
        ("GET", "/tokens", vec![]),
        ("POST", "/revocations", vec![]),
        (
            "OPTIONS",
            "/",
            vec![
                "Origin: https://app.example",
                "Access-Control-Request-Method: GET",
            ],
        ),
        ("HEAD", "/", vec![]),
        ("GET", "/favicon.ico", vec![]),
        ("GET", "/.well-known/acme-challenge/x", vec![]),
        ("GET", "/.well-known/doorward/jwks.json", vec![]),
        ("GET", "/", vec!["X-Auth-Subject: root", "X-Auth-Principal: user"]),
        (
            "GET",
            "/",
            vec!["X-Forwarded-For: 127.0.0.1", "X-Real-IP: 127.0.0.1"],
        ),
        (
            "GET",
            "/",
            vec!["X-Original-URL: /public", "X-Rewrite-URL: /public"],
        ),
        ("GET", "/", vec!["X-Http-Method-Override: OPTIONS"]),
        ("GET", "/", vec!["Upgrade: websocket", "Connection: upgrade"]),
        ("GET", "/", vec!["Cookie: session=1"]),
        ("GET", "/?token=a&access_token=b&api_key=c", vec![]),
        ("GET", "/", vec!["X-Request-Id: internal", "Via: 1.1 doorward"]),
        ("GET", "/", vec!["Forwarded: for=127.0.0.1;proto=https"]),
        ("GET", "/", vec!["X-Forwarded-User: root", "Remote-User: root"]),
    ] {
        let answer = client.request(method, target, &headers, b"");
        assert_eq!(answer.status, 401, "{method} {target} {headers:?}");
        if method != "HEAD" {
            assert_eq!(
                reason(&answer),
                "credential_missing",
                "{method} {target} {headers:?}"
            );
        }
    }
    assert!(upstream.seen().is_empty());
    // Health and metrics have a door of their own.
    for page in ["/livez", "/readyz", "/startupz", "/metrics"] {
        assert_eq!(http::get(doorward.status, page, &[]).status, 200, "{page}");
    }
}
