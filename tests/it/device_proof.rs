//! The stronger form of sealed device tokens over sockets: what must be there, whose words refuse, and that no
//! request is believed twice, whoever sends it again, at once, after a restart or to another process.

use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::json;
use tempfile::TempDir;

use crate::support::{Answer, Doorward, Reply, Upstream, fixtures};

const SECRET: &str = "what the devices and we know, and nobody else";

fn config(upstream: &Upstream) -> String {
    let routes = [
        "{ name: plain, path: /plain/, upstream: api }",
        "{ name: all, path: /, upstream: api, dialect: nest, require: { device_proof: true } }",
    ];
    let proof = format!("    proof: {{ secret: \"{SECRET}\" }}\n");
    let base = fixtures::config(upstream, &routes);
    let line = "  sealed_device_token: {";
    // The section of the fixtures, written out.
    let (before, after) = base.split_once(line).expect("the section");
    let (key, rest) = after.split_once(" }\n").expect("its end");
    format!(
        "{before}  sealed_device_token:\n    {}\n{proof}{rest}",
        key.trim()
    )
}

fn now_ms() -> u64 {
    jsonwebtoken::get_current_timestamp() * 1000
}

/// The three header lines.
fn signed(secret: &str, token: &str, nonce: &[u8], timestamp: &str) -> [String; 3] {
    let nonce = STANDARD.encode(nonce);
    let text = format!("{token}|{nonce}|{timestamp}");
    let mac = doorward::crypto::hmac_sha256(secret.as_bytes(), text.as_bytes());
    [
        format!("X-Device-Nonce: {nonce}"),
        format!("X-HMAC-Signature: {}", STANDARD.encode(mac)),
        format!("X-Timestamp: {timestamp}"),
    ]
}

fn ask(door: &Doorward, token: &str, lines: &[String]) -> Answer {
    let device = format!("Authorization: Device {token}");
    let mut headers = vec![device.as_str()];
    headers.extend(lines.iter().map(String::as_str));
    door.get("/", &headers)
}

fn sealed(door: &Doorward) -> String {
    door.issue(json!({ "kind": "sealed_device_token", "device": "thermometer-0007", "format": "v1" }))
        .secret
}

#[test]
fn a_proof_is_wanted_where_the_route_says_so_in_the_originals_words() {
    let upstream = Upstream::start(Reply::Ok("hello"));
    let door = Doorward::start(&config(&upstream));
    let token = sealed(&door);
    let device = format!("Authorization: Device {token}");
    assert_eq!(door.get("/plain/x", &[&device]).status, 200, "not asked for here");
    assert_eq!(
        door.get("/", &[&fixtures::bearer("ada")]).status,
        200,
        "nor of other kinds"
    );
    let now = now_ms().to_string();
    let nonce = [7_u8; 16];
    let good = signed(SECRET, &token, &nonce, &now);
    let with = |at: usize, line: &str| {
        let mut lines = good.clone();
        line.clone_into(&mut lines[at]);
        lines.to_vec()
    };
    let without = |at: usize| {
        let mut lines = good.to_vec();
        lines.remove(at);
        lines
    };
    let (old, early) = ((now_ms() - 301_000).to_string(), (now_ms() + 305_000).to_string());
    let hmac = "HMAC signature validation failed: ";
    for (lines, message, why) in [
        (
            without(0),
            "Missing x-device-nonce header for device token authentication".to_owned(),
            "no nonce",
        ),
        (
            with(0, "X-Device-Nonce: AAAA"),
            "Invalid nonce format".to_owned(),
            "three bytes",
        ),
        (
            without(1),
            format!("{hmac}Missing X-HMAC-Signature header"),
            "no signature",
        ),
        (
            with(1, "X-HMAC-Signature: AAAA"),
            format!("{hmac}Invalid HMAC signature format"),
            "three bytes",
        ),
        (
            without(2),
            format!("{hmac}Missing X-Timestamp header"),
            "no timestamp",
        ),
        (
            signed(SECRET, &token, &nonce, &old).to_vec(),
            format!("{hmac}HMAC signature timestamp is too old"),
            "five minutes ago",
        ),
        (
            signed(SECRET, &token, &nonce, &early).to_vec(),
            format!("{hmac}HMAC signature timestamp is too far in the future"),
            "in five minutes",
        ),
        (
            signed("a secret of somebody else", &token, &nonce, &now).to_vec(),
            format!("{hmac}HMAC signature mismatch"),
            "another secret",
        ),
    ] {
        let answer = ask(&door, &token, &lines);
        assert_eq!(
            (answer.status, answer.json()["message"].as_str()),
            (401, Some(message.as_str())),
            "{why}"
        );
    }
    let seen = upstream.seen().len();
    assert_eq!(
        ask(&door, &token, &good).status,
        200,
        "none of these used the nonce up"
    );
    let again = ask(&door, &token, &good);
    let message = "Nonce validation failed: Nonce has already been used (replay attack detected)";
    assert_eq!(
        (again.status, again.json()["message"].as_str()),
        (401, Some(message))
    );
    assert_eq!(again.json()["reason"], "proof_nonce_used");
    assert_eq!(upstream.seen().len(), seen + 1, "one of all these reached it");
}

#[test]
fn a_request_that_is_sent_many_times_at_once_is_believed_once() {
    let upstream = Upstream::start(Reply::Ok("hello"));
    let door = Doorward::start(&config(&upstream));
    let token = sealed(&door);
    let lines = signed(SECRET, &token, &[9; 16], &now_ms().to_string());
    let statuses: Vec<u16> = std::thread::scope(|scope| {
        let all: Vec<_> = (0..16)
            .map(|_| scope.spawn(|| ask(&door, &token, &lines).status))
            .collect();
        all.into_iter().map(|t| t.join().expect("joined")).collect()
    });
    assert_eq!(statuses.iter().filter(|s| **s == 200).count(), 1, "{statuses:?}");
    assert!(statuses.iter().all(|s| matches!(s, 200 | 401)), "{statuses:?}");
    assert_eq!(upstream.seen().len(), 1);
}

#[test]
fn a_restart_forgets_no_nonce() {
    let upstream = Upstream::start(Reply::Ok("hello"));
    let folder = Arc::new(TempDir::new().expect("a folder"));
    let door = Doorward::start_in(Arc::clone(&folder), &config(&upstream), &[]);
    let token = sealed(&door);
    let lines = signed(SECRET, &token, &[5; 32], &now_ms().to_string());
    assert_eq!(ask(&door, &token, &lines).status, 200);
    door.kill();
    let door = Doorward::start_in(folder, &config(&upstream), &[]);
    let again = ask(&door, &token, &lines);
    assert_eq!(
        (again.status, again.json()["reason"].as_str()),
        (401, Some("proof_nonce_used"))
    );
    let fresh = signed(SECRET, &token, &[6; 32], &now_ms().to_string());
    assert_eq!(ask(&door, &token, &fresh).status, 200);
}

#[test]
fn a_token_that_was_listened_to_refreshes_nothing() {
    let upstream = Upstream::start(Reply::Ok("hello"));
    let endpoint = "endpoints: { device_token: { generate: [/generate] } }\n";
    let door = Doorward::start(&format!("{}{endpoint}", config(&upstream)));
    let token = sealed(&door);
    let device = format!("Authorization: Device {token}");
    let generate = |lines: &[String]| {
        let mut headers = vec!["Content-Type: application/json", device.as_str()];
        headers.extend(lines.iter().map(String::as_str));
        door.connect().request(
            "POST",
            "/generate",
            &headers,
            b"{\"deviceId\":\"thermometer-0007\"}",
        )
    };
    let refused = generate(&[]);
    let message = "Missing x-device-nonce header for device token authentication";
    assert_eq!(
        (refused.status, refused.json()["message"].as_str()),
        (401, Some(message))
    );
    let lines = signed(SECRET, &token, &[1; 16], &now_ms().to_string());
    assert_eq!(generate(&lines).status, 200);
    assert_eq!(generate(&lines).status, 401, "sent again");
}
