//! The NestJS device token's endpoints over sockets: bodies, texts and statuses of the original byte for byte,
//! who gets a token in which mode, and what never reaches the upstream.

use std::process::Command;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use crate::support::{Answer, Client, Doorward, Reply, Upstream, fixtures};

const GENERATE: [&str; 2] = ["/auth/device/generate-token", "/api/v1/auth/initialize"];
const VALIDATE: [&str; 2] = ["/auth/device/validate-token", "/api/v1/auth/validate"];
const UUID: &str = "550e8400-e29b-41d4-a716-446655440000";
const JSON: &str = "Content-Type: application/json";

/// Both endpoints at both their paths.
fn config(upstream: &Upstream, settings: &str) -> String {
    let base = fixtures::config(upstream, &["{ name: all, path: /, upstream: api }"]);
    let (generate, validate) = (GENERATE.join(", "), VALIDATE.join(", "));
    format!(
        "{base}endpoints:\n  device_token:\n    generate: [{generate}]\n    validate: [{validate}]\n{settings}"
    )
}

/// Limits that no test of something else meets.
const WIDE: &str = "    limits: { per_address: 100000, per_device: 100000, overall: 100000 }\n";

fn start(settings: &str) -> (Doorward, Upstream) {
    let upstream = Upstream::start(Reply::Ok("hello"));
    let door = Doorward::start(&config(&upstream, settings));
    (door, upstream)
}

fn post(client: &mut Client, path: &str, headers: &[&str], body: &str) -> Answer {
    let mut all = vec![JSON];
    all.extend(headers);
    client.request("POST", path, &all, body.as_bytes())
}

fn generate(door: &Doorward, headers: &[&str], identifier: &str) -> Answer {
    let body = json!({ "deviceId": identifier }).to_string();
    post(&mut door.connect(), GENERATE[0], headers, &body)
}

fn token(answer: &Answer) -> String {
    assert_eq!(answer.status, 200, "{}", answer.text());
    answer.json()["token"].as_str().expect("a token").to_owned()
}

fn device(token: &str) -> String {
    format!("Authorization: Device {token}")
}

fn digest(text: &str) -> String {
    hex::encode(<sha2::Sha256 as sha2::Digest>::digest(text.as_bytes()))
}

#[test]
fn the_original_conversation_goes_as_its_document_says_at_both_its_paths() {
    let (door, upstream) = start(&format!("    mode: open\n{WIDE}"));
    let mut client = door.connect();
    for (generate, validate) in GENERATE.iter().zip(VALIDATE) {
        let body = format!("{{\"deviceId\": \"  {UUID}\\n\"}}");
        let answer = post(&mut client, generate, &[], &body);
        assert_eq!(answer.status, 200, "{}", answer.text());
        assert_eq!(
            answer.header("content-type"),
            Some("application/json; charset=utf-8")
        );
        assert_eq!(answer.header("cache-control"), Some("no-store"));
        let made = answer.json();
        let (token, expires_at) = (
            made["token"].as_str().expect("a token"),
            made["expiresAt"].as_i64().expect("a time"),
        );
        let expected = format!(
            "{{\"token\":\"{token}\",\"expiresAt\":{expires_at},\"deviceId\":\"{}\",\"success\":true,\
             \"message\":\"Token generated successfully\"}}",
            digest(UUID)
        );
        assert_eq!(answer.text(), expected, "every byte, in the original's order");
        assert!(STANDARD.decode(token).is_ok_and(|bytes| bytes.len() > 32));

        let forwarded = client.get("/", &[&device(token)]);
        assert_eq!(forwarded.status, 200, "{}", forwarded.text());
        assert_eq!(
            upstream.last().header("x-auth-device-id"),
            Some(digest(UUID).as_str())
        );

        let answer = post(&mut client, validate, &[], &json!({ "token": token }).to_string());
        let timestamp = answer.json()["payload"]["timestamp"].as_i64().expect("a time");
        assert_eq!(timestamp + 86_400_000, expires_at, "24 hours");
        let expected = format!(
            "{{\"valid\":true,\"payload\":{{\"deviceId\":\"{}\",\"timestamp\":{timestamp},\"expiresAt\":{expires_at}}},\
             \"message\":\"Token is valid\"}}",
            digest(UUID)
        );
        assert_eq!(answer.text(), expected);
    }
}

#[test]
fn what_cannot_be_is_refused_in_the_originals_words() {
    let (door, upstream) = start(&format!("    mode: open\n{WIDE}"));
    let mut client = door.connect();
    let required = "{\"statusCode\":400,\"message\":\"Device ID is required\",\"error\":\"Bad Request\"}";
    let short = "{\"statusCode\":400,\"message\":\"Device ID must be at least 8 characters long\",\"error\":\"Bad Request\"}";
    let long = "{\"statusCode\":400,\"message\":\"Device ID must be at most 255 characters long\",\"error\":\"Bad Request\"}";
    let no_json = "{\"statusCode\":400,\"message\":\"The body is not valid JSON\",\"error\":\"Bad Request\"}";
    let too_long = json!({ "deviceId": "x".repeat(256) }).to_string();
    for (body, expected, why) in [
        ("{}", required, "nothing"),
        ("[]", required, "no object"),
        ("{\"deviceId\":\"\"}", required, "empty"),
        ("{\"deviceId\":null}", required, "null"),
        ("{\"deviceId\":12345678}", required, "no text"),
        ("{\"deviceid\":\"12345678\"}", required, "another name"),
        ("{\"deviceId\":\"1234567\"}", short, "seven letters"),
        (
            "{\"deviceId\":\" 1234567 \"}",
            short,
            "seven letters after trimming",
        ),
        ("{\"deviceId\":\"        \"}", short, "none after trimming"),
        (too_long.as_str(), long, "more than the bound"),
        ("{\"deviceId\":\"12345678\"", no_json, "cut off"),
        ("deviceId=12345678", no_json, "a form in JSON's clothes"),
    ] {
        let answer = post(&mut client, GENERATE[0], &[], body);
        assert_eq!((answer.status, answer.text().as_str()), (400, expected), "{why}");
    }
    for (body, message) in [
        ("{}", "Token is required"),
        ("{\"token\":\"\"}", "Token is required"),
        ("{\"token\":17}", "Token is required"),
        ("{\"token\":\"x\"}", "Token is invalid or expired"),
        (
            "{\"token\":\"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\"}",
            "Token is invalid or expired",
        ),
    ] {
        let answer = post(&mut client, VALIDATE[1], &[], body);
        let expected = format!("{{\"valid\":false,\"message\":\"{message}\"}}");
        assert_eq!((answer.status, answer.text()), (200, expected), "{body}");
    }
    for path in [GENERATE[1], VALIDATE[0]] {
        let answer = client.get(path, &[]);
        assert_eq!((answer.status, answer.header("allow")), (405, Some("POST")));
        assert_eq!(answer.json()["statusCode"], 405);
        let answer = client.request("POST", path, &["Content-Type: text/plain"], b"{}");
        assert_eq!(
            answer.status, 415,
            "a foreign page could send this without asking"
        );
        let answer = client.request("POST", path, &[], b"{}");
        assert_eq!(answer.status, 415, "no type at all");
    }
    assert_eq!(upstream.seen().len(), 0);
}

#[test]
fn a_body_beyond_the_bound_is_refused_announced_or_not() {
    let (door, upstream) = start(&format!("    mode: open\n{WIDE}"));
    let huge = format!("{{\"deviceId\":\"{}\"}}", "x".repeat(40_000));
    let answer = post(&mut door.connect(), GENERATE[0], &[], &huge);
    assert_eq!(answer.status, 413);
    assert_eq!(answer.json()["error"], "Payload Too Large");
    let mut client = door.connect();
    let head = "POST /auth/device/generate-token HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\n\
                Transfer-Encoding: chunked\r\n\r\n";
    client.write(head);
    // The answer may come before all of it is written.
    for _ in 0..10 {
        if client
            .try_write(format!("2000\r\n{}\r\n", "x".repeat(0x2000)))
            .is_err()
        {
            break;
        }
    }
    assert_eq!(client.answer().status, 413);
    assert_eq!(upstream.seen().len(), 0);
}

#[test]
fn no_spelling_of_an_endpoint_reaches_the_upstream_and_one_that_is_off_does() {
    let (door, upstream) = start(&format!("    mode: open\n{WIDE}"));
    let mut client = door.connect();
    let credential = fixtures::bearer("ada");
    for path in [
        "/auth/device/generate%2Dtoken",
        "/auth/device/generate-token/",
        "/Auth/Device/Generate-Token",
        "/auth/device/validat%65-token",
        "/auth/device/generate-token?x=1",
        "/API/v1/auth/initialize",
    ] {
        let answer = post(&mut client, path, &[&credential], "{}");
        assert!(
            answer.text().contains("Device ID is required") || answer.text().contains("Token is required"),
            "{path}: {}",
            answer.text()
        );
    }
    assert_eq!(upstream.seen().len(), 0);

    let off = Doorward::start(&fixtures::config(
        &upstream,
        &["{ name: all, path: /, upstream: api }"],
    ));
    let mut client = off.connect();
    assert_eq!(
        post(&mut client, GENERATE[0], &[], "{}").status,
        401,
        "off: the gate's"
    );
    assert_eq!(post(&mut client, GENERATE[0], &[&credential], "{}").status, 200);
    assert_eq!(upstream.seen().len(), 1);
}

#[test]
fn registered_devices_get_a_token_and_nobody_else() {
    let (door, _upstream) = start(&format!("    mode: registered\n{WIDE}"));
    let id = door.device("DEVICE-0042");
    let answer = generate(&door, &[], " DEVICE-0042 ");
    let first = token(&answer);
    assert_eq!(answer.json()["deviceId"], id.as_str());
    assert_eq!(door.get("/", &[&device(&first)]).status, 200);
    let failed = "{\"statusCode\":400,\"message\":\"Failed to generate token\",\"error\":\"Bad Request\"}";
    for identifier in ["DEVICE-0043", "device-0042", id.as_str()] {
        let answer = generate(&door, &[], identifier);
        assert_eq!(
            (answer.status, answer.text().as_str()),
            (400, failed),
            "{identifier}"
        );
    }
    door.manage("POST", &format!("/api/v1/principals/{id}/disable"), None);
    let answer = generate(&door, &[], "DEVICE-0042");
    assert_eq!(
        (answer.status, answer.text().as_str()),
        (400, failed),
        "switched off"
    );
    let body = json!({ "token": first }).to_string();
    let answer = post(&mut door.connect(), VALIDATE[0], &[], &body);
    assert_eq!(answer.json()["valid"], false, "its tokens are ended too");
    door.manage("POST", &format!("/api/v1/principals/{id}/enable"), None);
    assert_eq!(
        door.get("/", &[&device(&token(&generate(&door, &[], "DEVICE-0042")))])
            .status,
        200
    );
    let rows = door.manage("GET", "/api/v1/audit", None);
    let issued = rows["items"].as_array().expect("rows").iter();
    let issued = issued.filter(|r| r["act"] == "sealed_device_token.issue");
    assert!(
        issued.clone().count() == 2
            && issued
                .clone()
                .all(|r| r["actor"] == "anonymous" && r["from"] == "127.0.0.1"),
        "each token has its row: {rows}"
    );
}

#[test]
fn a_device_proves_another_credential_of_its_own_and_a_good_token_refreshes_itself() {
    let (door, _upstream) = start(WIDE);
    let id = door.device("DEVICE-0042");
    door.device("DEVICE-0043");
    let issue = |device: &str, more: Value| {
        let mut wanted = json!({ "kind": "device_token", "device": device });
        for (name, value) in more.as_object().expect("an object") {
            wanted[name] = value.clone();
        }
        door.issue(wanted)
    };
    let own = issue("DEVICE-0042", json!({}));
    let others = issue("DEVICE-0043", json!({}));
    let refused = |headers: &[&str], message: &str, why: &str| {
        let answer = generate(&door, headers, "DEVICE-0042");
        let expected = format!("{{\"statusCode\":401,\"message\":\"{message}\",\"error\":\"Unauthorized\"}}");
        assert_eq!((answer.status, answer.text()), (401, expected), "{why}");
    };
    let device_message = "Invalid device token or not authorized to access";
    refused(&[], "Missing authorization token", "nothing presented");
    refused(
        &["Authorization: Basic"],
        "Invalid authorization header format",
        "a scheme alone",
    );
    refused(
        &["Authorization: Digest x"],
        "Unsupported authorization scheme. Use Bearer or Device",
        "another scheme",
    );
    refused(
        &["Authorization: Bearer dw_x"],
        "Invalid bearer token or not authorized to access",
        "a bad bearer token",
    );
    refused(
        &[&format!("Device-Token: {}", others.secret)],
        device_message,
        "another device's",
    );
    refused(
        &[&fixtures::bearer(&id)],
        device_message,
        "a user that is called like the device",
    );
    for (more, why) in [
        (json!({ "permission": "read" }), "it may only read"),
        (
            json!({ "scopes": ["read"] }),
            "it has scopes, which the form cannot carry",
        ),
        (
            json!({ "networks": ["127.0.0.0/8"] }),
            "it holds in a network only",
        ),
    ] {
        let restricted = issue("DEVICE-0042", more);
        refused(
            &[&format!("Device-Token: {}", restricted.secret)],
            device_message,
            why,
        );
    }

    let first = token(&generate(
        &door,
        &[&format!("Device-Token: {}", own.secret)],
        "DEVICE-0042",
    ));
    let second = token(&generate(&door, &[&device(&first)], "DEVICE-0042"));
    assert_ne!(first, second);
    assert_eq!(door.get("/", &[&device(&second)]).status, 200, "the refresh");
    refused(&[&device("AAAA")], device_message, "no token");
    door.revoke(json!({ "device": "DEVICE-0042" }));
    refused(
        &[&device(&second)],
        device_message,
        "a revoked one refreshes nothing",
    );
    refused(
        &[&format!("Device-Token: {}", own.secret)],
        device_message,
        "nor does the first",
    );
}

#[test]
fn our_own_form_carries_scopes_and_grants_no_more_than_what_it_was_made_with() {
    let (door, upstream) = start(&format!("    format: own\n    extra_fields: true\n{WIDE}"));
    door.device("DEVICE-0042");
    let restricted =
        door.issue(json!({ "kind": "device_token", "device": "DEVICE-0042", "scopes": ["read"] }));
    let answer = generate(&door, &[&format!("token: {}", restricted.secret)], "DEVICE-0042");
    let made = token(&answer);
    let (issued_at, expires_at) = (
        answer.json()["issuedAt"].as_i64(),
        answer.json()["expiresAt"].as_i64(),
    );
    assert_eq!(answer.json()["expiresIn"], 86_400_000);
    assert_eq!(issued_at.map(|at| at + 86_400_000), expires_at);
    let mut client = door.connect();
    assert_eq!(client.get("/", &[&device(&made)]).status, 200);
    assert_eq!(upstream.last().header("x-auth-scopes"), Some("read"));
    let written = client.request("POST", "/", &[&device(&made)], b"x");
    assert_eq!(written.json()["reason"], "method_not_permitted");
    let again = token(&generate(&door, &[&device(&made)], "DEVICE-0042"));
    let written = door.connect().request("POST", "/", &[&device(&again)], b"x");
    assert_eq!(
        written.json()["reason"],
        "method_not_permitted",
        "nor after a refresh"
    );
}

#[test]
fn identifiers_may_have_to_be_uuids() {
    let (door, _upstream) = start(&format!(
        "    mode: open\n    identifier: uuid\n    max_identifier_length: 36\n{WIDE}"
    ));
    assert_eq!(generate(&door, &[], UUID).status, 200);
    assert_eq!(generate(&door, &[], &UUID.to_uppercase()).status, 200);
    for identifier in [
        "DEVICE-0042",
        "550e8400e29b41d4a716446655440000",
        "550e8400-e29b-41d4-a716-44665544000g",
    ] {
        let answer = generate(&door, &[], identifier);
        assert_eq!(
            (answer.status, answer.json()["message"].as_str()),
            (400, Some("Device ID must be a UUID"))
        );
    }
}

#[test]
fn each_address_each_device_and_everybody_have_their_share() {
    let (door, _upstream) =
        start("    mode: open\n    limits: { window: 1h, per_address: 3, per_device: 2, overall: 4 }\n");
    let listed = "trusted_proxies: [127.0.0.0/8]";
    let upstream = Upstream::start(Reply::Ok("hello"));
    let behind = Doorward::start_listening(
        std::sync::Arc::new(tempfile::TempDir::new().expect("a folder")),
        &format!("{{ name: public, address: 127.0.0.1:0, {listed} }}"),
        &config(
            &upstream,
            "    mode: open\n    limits: { window: 1h, per_address: 3, per_device: 2, overall: 4 }\n",
        ),
        &[],
    );
    // The client says nothing that is believed: it is one address.
    let from = |n: u8| format!("X-Forwarded-For: 203.0.113.{n}");
    let throttled = |answer: &Answer, why: &str| {
        let expected = "{\"statusCode\":429,\"message\":\"Too many requests. Try again later.\",\"error\":\"Too Many Requests\"}";
        assert_eq!((answer.status, answer.text().as_str()), (429, expected), "{why}");
        let seconds: u32 = answer
            .header("retry-after")
            .and_then(|s| s.parse().ok())
            .expect("seconds");
        assert!((1..=3600).contains(&seconds), "{seconds}");
    };
    for n in 1..=3 {
        assert_eq!(
            generate(&door, &[&from(n)], &format!("DEVICE-000{n}")).status,
            200
        );
    }
    throttled(&generate(&door, &[&from(9)], "DEVICE-0009"), "an address's share");
    assert_eq!(
        door.metric("doorward_throttle_refused_total{by=\"issues_per_address\"}"),
        ["doorward_throttle_refused_total{by=\"issues_per_address\"} 1"]
    );
    for n in 1..=2 {
        assert_eq!(generate(&behind, &[&from(n)], "DEVICE-0001").status, 200);
    }
    throttled(&generate(&behind, &[&from(3)], "DEVICE-0001"), "a device's share");
    for n in 4..=5 {
        assert_eq!(
            generate(&behind, &[&from(n)], &format!("DEVICE-000{n}")).status,
            200
        );
    }
    throttled(
        &generate(&behind, &[&from(6)], "DEVICE-0006"),
        "everybody's share",
    );
}

#[test]
fn open_generation_is_warned_about_and_what_has_no_effect_is_refused() {
    let folder = tempfile::tempdir().expect("a folder");
    let check = |settings: &str| {
        let base = "version: 1\nupstreams: { api: { url: 'http://127.0.0.1:9000' } }\nroutes: [{ path: /, upstream: api }]\n";
        let path = folder.path().join("doorward.yaml");
        std::fs::write(&path, format!("{base}{settings}")).expect("written");
        let output = Command::new(env!("CARGO_BIN_EXE_doorward"))
            .args(["check", "--config"])
            .arg(&path)
            .output()
            .expect("it runs");
        let text = [output.stdout, output.stderr].concat();
        (output.status.code(), String::from_utf8(text).expect("UTF-8"))
    };
    let (code, text) = check("endpoints: { device_token: { generate: [/g], format: own, mode: open } }\n");
    assert!(
        code == Some(0) && text.contains("any stranger becomes any device"),
        "{text}"
    );
    let (code, text) = check("endpoints: { device_token: { generate: [/g] } }\n");
    assert!(
        code == Some(2) && text.contains("without a key to seal with"),
        "{text}"
    );
    let (code, text) = check("endpoints: { device_token: { mode: open, limits: { per_device: 1 } } }\n");
    assert!(
        code == Some(2) && text.contains("device_token.mode") && text.contains("device_token.limits"),
        "{text}"
    );
    for path in [
        "/a/",
        "/{id}",
        "/a/../b",
        "/%41",
        "/.well-known/doorward/jwks.json",
        "/V",
    ] {
        let (code, text) = check(&format!(
            "endpoints: {{ device_token: {{ validate: [/v, '{path}'] }} }}\n"
        ));
        assert!(code == Some(2) && text.contains("validate[1]"), "{path}: {text}");
    }
}
