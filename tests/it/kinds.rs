//! Every kind of credential through the real process: good ones reach the upstream as who they are and
//! without the credential, bad ones are refused with their reason and do not reach it.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::json;

use crate::support::{Client, Doorward, Issued, Reply, Upstream};

/// Cheap hashes, no throttle, and routes that differ in what they take.
fn config(upstream: &Upstream) -> String {
    format!(
        "upstreams: {{ api: {{ url: \"http://{}\" }} }}\n\
         throttle: {{ failures_per_address: 100000, failures_per_id: 100000, lookups_per_address: 100000 }}\n\
         credentials:\n\
         \x20 api_token: {{ bcrypt_cost: 4 }}\n\
         \x20 basic: {{ bcrypt_cost: 4 }}\n\
         \x20 jwt: {{ issuers: [{{ name: own, issuer: \"https://own.example\", audience: [api], keys: own }}] }}\n\
         routes:\n\
         \x20 - {{ name: path-token, path: \"/api/v1/{{*rest}}\", path_token_after: /api/v1/, upstream: api }}\n\
         \x20 - {{ name: query-token, path: /query/, query_credentials: [token], upstream: api }}\n\
         \x20 - {{ name: reports, path: /reports/, require: {{ scopes: [report] }}, upstream: api }}\n\
         \x20 - {{ name: audits, path: /audits/, require: {{ scopes: [audit] }}, upstream: api }}\n\
         \x20 - {{ name: jwt-only, path: /jwt-only/, accept: [jwt], upstream: api }}\n\
         \x20 - {{ name: secure, path: /secure/, https: required, upstream: api }}\n\
         \x20 - {{ name: all, path: /, upstream: api }}\n",
        upstream.address
    )
}

fn start() -> (Doorward, Upstream) {
    let upstream = Upstream::start(Reply::Ok("hello"));
    let door = Doorward::start(&config(&upstream));
    (door, upstream)
}

fn basic(user: &str, password: &str) -> String {
    format!(
        "Authorization: Basic {}",
        STANDARD.encode(format!("{user}:{password}"))
    )
}

/// Refused with this status and reason; the upstream has not seen it.
fn refused(client: &mut Client, target: &str, headers: &[&str], status: u16, reason: &str, why: &str) {
    let answer = client.get(target, headers);
    assert_eq!(answer.status, status, "{why}: {}", answer.text());
    assert_eq!(answer.json()["reason"], reason, "{why}: {}", answer.text());
    assert!(
        answer.json()["message"].as_str().is_some_and(|m| !m.is_empty()),
        "{why}"
    );
}

#[test]
fn each_kind_reaches_the_upstream_as_who_it_is_and_without_its_credential() {
    let (door, upstream) = start();
    let device = door.device("thermometer-0007");
    let user = door.user("ada", &["TENANT_ADMIN"]);
    let device_token =
        |format: &str| door.issue(json!({ "kind": "device_token", "device": device, "format": format }));
    let api = |format: &str| door.issue(json!({ "kind": "api_token", "for": "backup", "format": format }));
    let uuid = device_token("uuid");
    let alphanumeric = device_token("alphanumeric");
    let prefixed = device_token("prefixed");
    let (own, homechat, hex, thingsboard) = (api("dw"), api("hc"), api("homechat_hex"), api("tb"));
    let sealed = door.issue(json!({
        "kind": "sealed_device_token", "device": "thermometer-0007", "scopes": ["report"], "tenant": "acme",
    }));
    let jwt = door.issue(json!({ "kind": "jwt", "principal": user, "scopes": ["read"] }));
    let password = door.issue(json!({ "kind": "basic", "principal": user, "user": "ada" }));

    let line = |head: &str, issued: &Issued| format!("{head}{}", issued.secret);
    let rows: [(&str, &str, &Issued, String); 17] = [
        (
            "a UUID in Device-Token",
            "device_token device",
            &uuid,
            line("Device-Token: ", &uuid),
        ),
        (
            "a UUID in token",
            "device_token device",
            &uuid,
            line("token: ", &uuid),
        ),
        (
            "a UUID bare in Authorization",
            "device_token device",
            &uuid,
            line("Authorization: ", &uuid),
        ),
        (
            "twenty letters",
            "device_token device",
            &alphanumeric,
            line("Device-Token: ", &alphanumeric),
        ),
        (
            "our own prefix",
            "device_token device",
            &prefixed,
            line("Device-Token: ", &prefixed),
        ),
        (
            "our API token as a Bearer",
            "api_token service",
            &own,
            line("Authorization: Bearer ", &own),
        ),
        (
            "our API token bare",
            "api_token service",
            &own,
            line("Authorization: ", &own),
        ),
        (
            "our API token in X-API-Key",
            "api_token service",
            &own,
            line("X-API-Key: ", &own),
        ),
        (
            "HomeChat's documented form",
            "api_token service",
            &homechat,
            line("Authorization: Bearer ", &homechat),
        ),
        (
            "HomeChat's real form",
            "api_token service",
            &hex,
            line("Authorization: Bearer ", &hex),
        ),
        (
            "HomeChat's real form bare",
            "api_token service",
            &hex,
            line("Authorization: ", &hex),
        ),
        (
            "ThingsBoard's key",
            "api_token service",
            &thingsboard,
            line("X-Authorization: ApiKey ", &thingsboard),
        ),
        (
            "a sealed token",
            "sealed_device_token device",
            &sealed,
            line("Authorization: Device ", &sealed),
        ),
        (
            "a scheme in other letters",
            "sealed_device_token device",
            &sealed,
            line("authorization: dEVICE ", &sealed),
        ),
        ("a JWT", "jwt user", &jwt, line("Authorization: Bearer ", &jwt)),
        (
            "a JWT in ThingsBoard's header",
            "jwt user",
            &jwt,
            line("X-Authorization: Bearer ", &jwt),
        ),
        (
            "a password",
            "basic user",
            &password,
            basic("ada", &password.secret),
        ),
    ];
    let mut client = door.connect();
    for (what, who, issued, header) in rows {
        // Twice: once looked up, once remembered.
        for turn in ["first", "again"] {
            let answer = client.get("/data", &[header.as_str(), "X-Auth-Subject: mallory"]);
            assert_eq!(
                (answer.status, answer.text().as_str()),
                (200, "hello"),
                "{what}, {turn}: {}",
                answer.text()
            );
            let seen = upstream.last();
            let (kind, principal) = who.split_once(' ').expect("two words");
            assert_eq!(seen.header("x-auth-credential"), Some(kind), "{what}, {turn}");
            assert_eq!(seen.header("x-auth-principal"), Some(principal), "{what}, {turn}");
            assert_eq!(
                seen.header("x-auth-subject"),
                Some(issued.principal.as_str()),
                "{what}, {turn}"
            );
            assert_eq!(
                seen.header("x-auth-credential-id"),
                Some(issued.id.as_str()),
                "{what}, {turn}"
            );
            assert!(
                !seen.head.contains(&issued.secret),
                "{what}, {turn}: the credential went on"
            );
            assert!(
                !seen.head.to_lowercase().contains("authorization:"),
                "{what}, {turn}: {}",
                seen.head
            );
        }
    }

    client.get("/data", &[&line("Authorization: Device ", &sealed)]);
    let seen = upstream.last();
    assert_eq!(
        seen.header("x-auth-tenant"),
        Some("acme"),
        "what the sealed token says of its tenant"
    );
    assert_eq!(seen.header("x-auth-scopes"), Some("report"), "and of its scopes");
    assert_eq!(
        seen.header("x-auth-device-id"),
        Some(device.as_str()),
        "and that it is this device"
    );
    client.get("/data", &[&basic("ada", &password.secret)]);
    assert_eq!(
        upstream.last().header("x-auth-roles"),
        Some("TENANT_ADMIN"),
        "the principal's roles"
    );
}

#[test]
fn a_token_in_the_path_or_query_is_taken_where_a_route_says_so_and_nowhere_else() {
    let (door, upstream) = start();
    let device = door.device("thermometer-0008");
    let token = door.issue(json!({ "kind": "device_token", "device": device, "format": "alphanumeric" }));
    let mut client = door.connect();

    let answer = client.get(&format!("/api/v1/{}/telemetry", token.secret), &[]);
    assert_eq!(answer.status, 200, "ThingsBoard's path: {}", answer.text());
    assert_eq!(upstream.last().header("x-auth-subject"), Some(device.as_str()));

    let answer = client.get(&format!("/query/data?a=1&token={}&b=2", token.secret), &[]);
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert_eq!(
        upstream.last().target(),
        "/query/data?a=1&b=2",
        "the token is taken out, the rest stays"
    );

    let there = format!("/data?token={}", token.secret);
    refused(
        &mut client,
        &there,
        &[],
        401,
        "credential_missing",
        "a query on a route that reads none",
    );
    let header = format!("Device-Token: {}", token.secret);
    let both = format!("/query/data?token={}", token.secret);
    refused(
        &mut client,
        &both,
        &[&header],
        400,
        "ambiguous_credentials",
        "query and header",
    );
    assert_eq!(upstream.seen().len(), 2, "nothing refused went on");
}

#[test]
fn what_is_not_a_good_credential_is_refused_with_its_reason() {
    let (door, upstream) = start();
    let device = door.device("thermometer-0009");
    let uuid = door.issue(json!({ "kind": "device_token", "device": device }));
    let own = door.issue(json!({ "kind": "api_token", "for": "backup" }));
    let hex = door.issue(json!({ "kind": "api_token", "for": "backup", "format": "homechat_hex" }));
    let sealed = door.issue(json!({ "kind": "sealed_device_token", "device": "thermometer-0009" }));
    let password = door.issue(json!({ "kind": "basic", "for": "backup", "user": "ada" }));

    let with_last = |text: &str, last: &str| format!("{}{last}", &text[..text.len() - 1]);
    let other = |text: &str| with_last(text, if text.ends_with('0') { "1" } else { "0" });
    let public_part = &own.secret[..12];
    let long = "x".repeat(17 * 1024);
    let rows: Vec<(u16, &str, String, &str)> = vec![
        (401, "credential_missing", "X-Nothing: 1".into(), "nothing"),
        (
            401,
            "credential_invalid",
            "Device-Token: 7f9c24e8-3b2a-4d0e-9c3f-0a1b2c3d4e5f".into(),
            "an unknown device token",
        ),
        (
            401,
            "credential_invalid",
            format!("Device-Token: {}", other(&uuid.secret)),
            "one letter off",
        ),
        (
            401,
            "credential_invalid",
            format!("Device-Token: {}", uuid.secret.to_uppercase()),
            "another case is another token",
        ),
        (
            401,
            "credential_malformed",
            format!("Authorization: Bearer {}", other(&own.secret)),
            "a typo, told by its checksum",
        ),
        (
            401,
            "credential_malformed",
            format!("Authorization: Bearer {public_part}"),
            "the public part alone",
        ),
        (
            401,
            "credential_invalid",
            format!("Authorization: Bearer {}", "a".repeat(64)),
            "64 letters nobody issued",
        ),
        (
            401,
            "credential_invalid",
            format!("Authorization: Bearer {}", other(&hex.secret)),
            "a known id with a wrong secret",
        ),
        (
            401,
            "scheme_unsupported",
            "Authorization: Digest username=\"ada\"".into(),
            "a scheme nobody claims",
        ),
        (
            401,
            "credential_malformed",
            "Authorization: Device !!!".into(),
            "no Base64",
        ),
        (
            401,
            "credential_invalid",
            format!("Authorization: Device {}", STANDARD.encode([7; 160])),
            "sealed by nobody",
        ),
        (
            401,
            "credential_invalid",
            format!("Authorization: Device {}", flipped(&sealed.secret)),
            "a flipped bit",
        ),
        (
            401,
            "credential_malformed",
            "Authorization: Basic !!!".into(),
            "Basic without Base64",
        ),
        (
            401,
            "credential_malformed",
            format!("Authorization: Basic {}", STANDARD.encode("no colon")),
            "Basic without a colon",
        ),
        (
            401,
            "credential_invalid",
            basic("ada", "wrong password"),
            "a wrong password",
        ),
        (
            401,
            "credential_invalid",
            basic("nobody", &password.secret),
            "an unknown user",
        ),
        (
            401,
            "credential_malformed",
            basic("ada", &"p".repeat(73)),
            "a password longer than bcrypt reads",
        ),
        (
            401,
            "credential_malformed",
            basic("ada", &format!("{}\0", password.secret)),
            "a password with NUL",
        ),
        (
            400,
            "credential_oversized",
            format!("Device-Token: {long}"),
            "over the bound",
        ),
        (
            400,
            "ambiguous_credentials",
            format!("Device-Token: {0}\r\nDevice-Token: {0}", uuid.secret),
            "twice",
        ),
        (
            400,
            "ambiguous_credentials",
            format!(
                "Device-Token: {}\r\nAuthorization: Bearer {}",
                uuid.secret, own.secret
            ),
            "two carriers",
        ),
        (
            400,
            "ambiguous_credentials",
            format!("Authorization: Bearer {0}, Bearer {0}", own.secret),
            "a list",
        ),
    ];
    let mut client = door.connect();
    for (status, reason, header, why) in &rows {
        for _ in 0..2 {
            refused(&mut client, "/data", &[header], *status, reason, why);
        }
    }
    assert_eq!(
        upstream.connections(),
        0,
        "the upstream was not even connected to"
    );

    let same = |a: &str, b: &str| {
        let answers = [a, b].map(|header| {
            let answer = door.get("/data", &[header]);
            let mut body = answer.json();
            body.as_object_mut()
                .expect("an object")
                .retain(|name, _| !name.contains("request") && name != "instance");
            (
                answer.status,
                answer.header("www-authenticate").map(str::to_owned),
                body,
            )
        });
        assert_eq!(answers[0], answers[1]);
    };
    // Unknown and wrong look the same from outside (S12).
    same(
        &basic("ada", "wrong password"),
        &basic("nobody", "wrong password"),
    );
    let (wrong, unknown) = (other(&hex.secret), "b".repeat(64));
    same(&format!("X-API-Key: {wrong}"), &format!("X-API-Key: {unknown}"));
}

/// The token with one bit of its last byte changed.
fn flipped(sealed: &str) -> String {
    let at = sealed.len() / 2;
    let letter = if &sealed[at..=at] == "A" { "B" } else { "A" };
    format!("{}{letter}{}", &sealed[..at], &sealed[at + 1..])
}

#[test]
fn a_credential_is_held_to_its_own_limits() {
    let upstream = Upstream::start(Reply::Ok("hello"));
    let folder = std::sync::Arc::new(tempfile::TempDir::new().expect("a folder"));
    let listener = "{ name: public, address: 127.0.0.1:0, trusted_proxies: [127.0.0.1] }";
    let door = Doorward::start_listening(folder, listener, &config(&upstream), &[]);
    let api = |more: serde_json::Value| {
        let mut wanted = json!({ "kind": "api_token", "for": "backup" });
        let more = more.as_object().expect("an object").clone();
        wanted.as_object_mut().expect("an object").extend(more);
        format!("Authorization: Bearer {}", door.issue(wanted).secret)
    };
    let reader = api(json!({ "permission": "read" }));
    let writer = api(json!({ "permission": "write" }));
    let read_scope = api(json!({ "scopes": ["read"] }));
    let reporter = api(json!({ "scopes": ["report", "read"] }));
    let office = api(json!({ "networks": ["10.0.0.0/8", "2001:db8::/32"] }));
    let careful = api(json!({ "https_only": true }));
    let free = api(json!({}));

    let from = |address: &str| format!("X-Forwarded-For: {address}");
    let (https, nothing) = ("X-Forwarded-Proto: https".to_owned(), "X-Nothing: 1".to_owned());
    let rows: Vec<(&str, &str, &str, &String, String, &str)> = vec![
        ("GET", "/data", "", &reader, nothing.clone(), "a read token reads"),
        (
            "POST",
            "/data",
            "method_not_permitted",
            &reader,
            nothing.clone(),
            "and cannot POST",
        ),
        (
            "DELETE",
            "/data",
            "method_not_permitted",
            &reader,
            nothing.clone(),
            "nor DELETE",
        ),
        (
            "POST",
            "/data",
            "",
            &writer,
            nothing.clone(),
            "a write token writes",
        ),
        (
            "GET",
            "/data",
            "method_not_permitted",
            &writer,
            nothing.clone(),
            "and cannot read",
        ),
        (
            "GET",
            "/data",
            "",
            &read_scope,
            nothing.clone(),
            "the scope read reads",
        ),
        (
            "PUT",
            "/data",
            "method_not_permitted",
            &read_scope,
            nothing.clone(),
            "and cannot PUT",
        ),
        (
            "GET",
            "/reports/1",
            "",
            &reporter,
            nothing.clone(),
            "the scope that the route wants",
        ),
        (
            "GET",
            "/reports/1",
            "scope_missing",
            &read_scope,
            nothing.clone(),
            "another scope",
        ),
        (
            "GET",
            "/reports/1",
            "",
            &free,
            nothing.clone(),
            "no scopes of its own: the principal's rights",
        ),
        ("GET", "/data", "", &office, from("10.1.2.3"), "from its network"),
        (
            "GET",
            "/data",
            "",
            &office,
            from("::ffff:10.1.2.3"),
            "from its network, v4-mapped",
        ),
        (
            "GET",
            "/data",
            "",
            &office,
            from("2001:db8::7"),
            "from its other network",
        ),
        (
            "GET",
            "/data",
            "credential_address_denied",
            &office,
            from("192.168.1.1"),
            "from elsewhere",
        ),
        (
            "GET",
            "/data",
            "credential_address_denied",
            &office,
            nothing.clone(),
            "from this machine",
        ),
        (
            "GET",
            "/data",
            "credential_address_denied",
            &office,
            from("10.1.2.3, 192.168.1.1"),
            "only the right-most hop counts",
        ),
        (
            "GET",
            "/data",
            "https_required",
            &careful,
            nothing.clone(),
            "over plain HTTP",
        ),
        (
            "GET",
            "/data",
            "",
            &careful,
            https.clone(),
            "over HTTPS, as the trusted proxy says",
        ),
        (
            "GET",
            "/secure/1",
            "https_required",
            &free,
            nothing.clone(),
            "a route that wants HTTPS",
        ),
        ("GET", "/secure/1", "", &free, https, "and gets it"),
        (
            "GET",
            "/jwt-only/1",
            "kind_not_accepted",
            &free,
            nothing.clone(),
            "a kind the route does not take",
        ),
    ];
    let mut client = door.connect();
    for (method, target, reason, token, header, why) in &rows {
        let before = upstream.seen().len();
        let answer = client.request(method, target, &[token.as_str(), header.as_str()], b"");
        if reason.is_empty() {
            assert_eq!(answer.status, 200, "{why}: {}", answer.text());
            assert_eq!(upstream.seen().len(), before + 1, "{why}");
        } else {
            let status = if *reason == "kind_not_accepted" { 401 } else { 403 };
            assert_eq!(
                (answer.status, answer.json()["reason"].as_str()),
                (status, Some(*reason)),
                "{why}"
            );
            assert_eq!(answer.header("location"), None, "{why}: no redirect");
            assert_eq!(upstream.seen().len(), before, "{why}");
        }
    }
    let answer = client.get("/reports/1", &[&read_scope]);
    let challenge = answer.header("www-authenticate").expect("a challenge");
    assert!(
        challenge.contains("insufficient_scope") && challenge.contains("report"),
        "{challenge}"
    );
}

#[test]
fn a_token_that_has_expired_is_refused_although_it_is_remembered() {
    let (door, upstream) = start();
    let expires = json!({ "kind": "api_token", "for": "backup", "expires": "1s" });
    let token = format!("Authorization: Bearer {}", door.issue(expires).secret);
    let mut client = door.connect();
    assert_eq!(client.get("/data", &[&token]).status, 200, "good for a second");
    let answer = loop {
        let answer = client.get("/data", &[&token]);
        if answer.status != 200 {
            break answer;
        }
    };
    assert_eq!(
        (answer.status, answer.json()["reason"].as_str()),
        (401, Some("credential_expired"))
    );
    let forwarded = upstream.seen().len();
    refused(
        &mut client,
        "/data",
        &[&token],
        401,
        "credential_expired",
        "and stays so",
    );
    assert_eq!(upstream.seen().len(), forwarded);
    let past = json!({ "kind": "api_token", "for": "backup", "expires": "2020-01-01" });
    let (status, answer) = door.call("POST", "/api/v1/tokens", Some(&past));
    assert_eq!(
        status, 400,
        "one that ends before it begins is not made: {answer}"
    );
}

#[test]
fn a_verdict_is_not_shared_between_routes() {
    let (door, upstream) = start();
    let issue = |scope: &str| {
        let wanted = json!({ "kind": "api_token", "for": "backup", "scopes": [scope, "read"] });
        format!("Authorization: Bearer {}", door.issue(wanted).secret)
    };
    let (reporter, auditor) = (issue("report"), issue("audit"));
    let mut client = door.connect();
    for turn in 0..3 {
        for (token, good, bad) in [
            (&reporter, "/reports/1", "/audits/1"),
            (&auditor, "/audits/1", "/reports/1"),
        ] {
            assert_eq!(client.get(good, &[token]).status, 200, "turn {turn}");
            refused(
                &mut client,
                bad,
                &[token],
                403,
                "scope_missing",
                "remembered, and judged by this route",
            );
            refused(
                &mut client,
                "/jwt-only/1",
                &[token],
                401,
                "kind_not_accepted",
                "remembered, not accepted here",
            );
        }
    }
    assert_eq!(upstream.seen().len(), 6);
    assert_eq!(
        door.metric("doorward_cache_misses_total"),
        ["doorward_cache_misses_total 2"],
        "the rest was remembered"
    );
}

#[test]
fn a_compatible_sealed_token_made_elsewhere_opens_with_the_key_from_the_environment() {
    use doorward::authn::kinds::sealed_device_token::Settings;
    use doorward::authn::kinds::sealed_device_token::issue::issue_compatible;
    use doorward::crypto::{CompatibleCipher, Keyring, SealingCipher, SharedKeyring, key_to_base64, random};
    use doorward::domain::clock::UnixMillis;
    use doorward::domain::ids::KeyId;

    let upstream = Upstream::start(Reply::Ok("hello"));
    let folder = std::sync::Arc::new(tempfile::TempDir::new().expect("a folder"));
    let key = random::key().expect("a key");
    let text = key_to_base64(&key);
    let environment = [("DEVICE_TOKEN_MASTER_KEY", text.as_str())];
    let door = Doorward::start_in(folder, &config(&upstream), &environment);
    let elsewhere = |key| {
        let own = SealingCipher::new(&random::key().expect("a key"));
        let ring = Keyring::single(KeyId::parse("k1").expect("a key id"), own);
        Settings::new(Some(CompatibleCipher::new(key)), SharedKeyring::new(ring))
    };
    let now = UnixMillis::from_secs(crate::support::jwt::now());
    let sealed = |key, at| issue_compatible(&elsewhere(key), "  device-0001 ", at).expect("sealed");
    let good = sealed(&key, now);
    let mut client = door.connect();
    let standard = good.token.expose().to_owned();
    let respelled = standard.replace('+', "-").replace('/', "_").replace('=', "");
    for (what, token) in [
        ("as it was made", &standard),
        ("URL-safe and unpadded", &respelled),
    ] {
        let answer = client.get("/data", &[&format!("Authorization: Device {token}")]);
        assert_eq!(answer.status, 200, "{what}: {}", answer.text());
        let seen = upstream.last();
        assert_eq!(
            seen.header("x-auth-credential"),
            Some("sealed_device_token"),
            "{what}"
        );
        assert_eq!(
            seen.header("x-auth-device-id"),
            Some(good.device.as_str()),
            "{what}"
        );
        assert_eq!(seen.header("x-auth-write-access"), Some("false"), "{what}");
    }
    let old = sealed(&key, UnixMillis(now.0 - 2 * 86_400_000));
    let foreign = sealed(&random::key().expect("a key"), now);
    let seen = upstream.seen().len();
    for (reason, token, why) in [
        (
            "credential_expired",
            old.token.expose(),
            "of the day before yesterday",
        ),
        ("credential_invalid", foreign.token.expose(), "under another key"),
    ] {
        let line = format!("Authorization: Device {token}");
        refused(&mut client, "/data", &[&line], 401, reason, why);
    }
    // Revoked in one spelling, refused in each.
    door.revoke(json!({ "token": standard }));
    for token in [&standard, &respelled] {
        let line = format!("Authorization: Device {token}");
        refused(
            &mut client,
            "/data",
            &[&line],
            401,
            "credential_revoked",
            "revoked",
        );
    }
    assert_eq!(upstream.seen().len(), seen);
}
