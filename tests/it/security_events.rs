//! Security events about credentials, from a request to the signed delivery at a real receiver.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use doorward::crypto::hmac_sha256;
use serde_json::{Value, json};

use crate::support::wait::until;
use crate::support::{Client, Doorward, Reply, Upstream};

const SECRET: &str = "a secret of more than twenty-four bytes";

fn config(upstream: &Upstream, receiver: &Upstream, more: &str) -> String {
    format!(
        "upstreams: {{ api: {{ url: \"http://{}\" }} }}\n\
         credentials: {{ api_token: {{ digest: keyed }} }}\n\
         usage: {{ flush_interval: 100ms }}\n\
         events:\n\
         \x20 webhook:\n\
         \x20   url: \"http://{}/hook\"\n\
         \x20   secret: \"{SECRET}\"\n\
         \x20   allow_private_addresses: true\n\
         routes: [{{ path: /, upstream: api }}]\n{more}",
        upstream.address, receiver.address
    )
}

/// The events that came in, each with its type and data.
fn events(receiver: &Upstream) -> Vec<Value> {
    receiver
        .seen()
        .iter()
        .map(|seen| serde_json::from_slice(&seen.body).expect("JSON"))
        .collect()
}

#[test]
fn a_revoked_token_that_is_used_and_a_new_agent_are_told_of_in_a_signed_delivery() {
    let (upstream, receiver) = (
        Upstream::start(Reply::Ok("hello")),
        Upstream::start(Reply::Ok("")),
    );
    let door = Doorward::start(&config(&upstream, &receiver, ""));
    let made = door.issue(json!({"kind": "api_token", "for": "ci"}));
    let line = format!("Authorization: Bearer {}", made.secret);
    let mut client = Client::connect(door.proxy);
    let get = |client: &mut Client, agent: &str| {
        let agent = format!("User-Agent: {agent}");
        client.get("/", &[&line, &agent]).status
    };
    assert_eq!(get(&mut client, "curl/8.0"), 200);
    // The first agent is known when it was written.
    until("the first use is written", || {
        let lines = door.metric("doorward_usage_flushes_total{outcome=\"written\"}");
        lines.iter().any(|line| !line.ends_with(" 0"))
    });
    assert_eq!(get(&mut client, "stranger/1.0"), 200);
    until("the new agent is told of", || {
        events(&receiver)
            .iter()
            .any(|e| e["type"] == "credential_used_by_new_agent")
    });
    door.revoke(json!({"credential": made.id}));
    assert_eq!(get(&mut client, "curl/8.0"), 401);
    assert_eq!(get(&mut client, "curl/8.0"), 401, "told once");
    until("the use of what was revoked is told of", || {
        events(&receiver)
            .iter()
            .any(|e| e["type"] == "credential_used_after_revocation")
    });
    for seen in receiver.seen() {
        let (id, stamp) = (seen.header("webhook-id"), seen.header("webhook-timestamp"));
        let (id, stamp) = (id.expect("an id"), stamp.expect("a stamp"));
        let signed = [id.as_bytes(), b".", stamp.as_bytes(), b".", &seen.body].concat();
        let expected = format!("v1,{}", STANDARD.encode(hmac_sha256(SECRET.as_bytes(), &signed)));
        assert_eq!(seen.header("webhook-signature"), Some(expected.as_str()));
    }
    let told = events(&receiver);
    assert_eq!(told.len(), 2, "{told:?}");
    let revoked = &told[1]["data"];
    assert_eq!(
        (&revoked["credential"], &revoked["address"]),
        (&json!(made.id), &json!("127.0.0.1"))
    );
    assert!(
        !told.iter().any(|e| e.to_string().contains(&made.secret)),
        "no secret"
    );
    let counted = door.metric("doorward_security_events_total{event=\"credential_used_after_revocation\"}");
    assert!(counted.iter().any(|line| line.ends_with(" 1")), "{counted:?}");
    until("both deliveries are counted", || {
        let delivered = door.metric("doorward_webhook_deliveries_total{outcome=\"delivered\"}");
        delivered.iter().any(|line| line.ends_with(" 2"))
    });
}
