//! The request inputs of llhttp's own tests, where they are at hand: in `$DOORWARD_VECTORS`, or in
//! `shared/vectors` beside the checkout. What its strict mode refuses is refused here too, and what it takes
//! is taken, but for what is listed with its reason.

use std::collections::HashSet;
use std::path::PathBuf;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

use super::readers::screened;
use super::reference::{self, Message};

/// Refused by llhttp and let through: by a part of the name, and why that does no harm.
const WIDER: [(&str, &str); 4] = [
    ("ANNOUNCE method", "any token is a method; the app decides"),
    ("/Invalid method", "any token is a method; the app decides"),
    (
        "No extension after semicolon",
        "extensions go no further, and any visible text ends at the same CRLF",
    ),
    (
        "Unbalanced chunk extensions quoting",
        "the same: no quote hides a line end",
    ),
];

/// Taken by llhttp and refused: by a part of the name, and why.
const STRICTER: [(&str, &str); 21] = [
    (
        "CRLF between requests",
        "the collection ran several inputs into one, text included",
    ),
    (
        "Multiple tokens with folding",
        "bytes of another protocol before anybody agreed to it",
    ),
    (
        "Emitting part of body",
        "bytes of another protocol before anybody agreed to it",
    ),
    (
        "Upgrade GET",
        "bytes of another protocol before anybody agreed to it",
    ),
    (
        "Upgrade POST",
        "bytes of another protocol before anybody agreed to it",
    ),
    (
        "`Content-Length` with zeroes",
        "zeros before a length could be octal",
    ),
    (
        "`Content-Length` with follow-up",
        "zeros before a length could be octal",
    ),
    ("CONNECT", "no tunnels"),
    ("Underscore in hostname", "no tunnels"),
    ("M-SEARCH", "the asterisk is for OPTIONS alone"),
    ("with ICE", "another protocol"),
    ("with RTSP", "another protocol"),
    ("curl GET", "an equals sign in a host"),
    ("Firefox GET", "an equals sign in a host"),
    ("No HTTP version", "HTTP/0.9"),
    ("as last transfer-encoding", "codings beside chunked"),
    ("Quotes in URI", "quotes in a query"),
    (
        "terminated by a query string",
        "absolute form without a slash behind the host",
    ),
    (
        "terminated by a space",
        "absolute form for another host than Host names",
    ),
    ("Fragment in URI", "a fragment is not sent"),
    ("basic auth", "a user in the target"),
];

fn inputs() -> Vec<Value> {
    let folder = std::env::var_os("DOORWARD_VECTORS").map_or_else(
        || PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../shared/vectors"),
        PathBuf::from,
    );
    match std::fs::read(folder.join("llhttp_requests.json")) {
        Ok(bytes) => serde_json::from_slice(&bytes).expect("JSON"),
        Err(_) => {
            println!("skipped: no test vectors at hand (llhttp_requests.json)");
            Vec::new()
        }
    }
}

/// The input as a client could send it: with the `Host` that llhttp does not ask for, and each of the line
/// ends that the collection may have left out.
fn completed(input: &[u8]) -> Vec<Vec<u8>> {
    let mut bytes = input.to_vec();
    let has_host = input.to_ascii_lowercase().windows(7).any(|w| w == b"\r\nhost:");
    let line = b" HTTP/1.1\r\n";
    let mut from = 0;
    while let Some(at) = bytes[from..].windows(line.len()).position(|w| w == line) {
        from += at + line.len();
        if !has_host {
            bytes.splice(from..from, *b"Host: a\r\n");
        }
    }
    let ends: [&[u8]; 3] = [b"", b"\r\n", b"\r\n\r\n"];
    ends.map(|end| [&bytes, end].concat()).to_vec()
}

/// The messages that come out, when everything passes.
fn taken(bytes: &[u8]) -> Option<Vec<Message>> {
    let screened = screened(&[bytes.to_vec()]);
    let reading = reference::read(&screened.bytes);
    assert_eq!(reading.offence, None, "{}", bytes.escape_ascii());
    let passes = screened.refusal.is_none() && !screened.broken && screened.bytes == bytes;
    (passes && !reading.messages.is_empty()).then_some(reading.messages)
}

#[test]
fn what_llhttp_refuses_is_refused_and_what_it_takes_is_taken() {
    let inputs = inputs();
    let mut surprises = Vec::new();
    let mut listed: HashSet<&str> = HashSet::new();
    for row in inputs.iter().filter(|row| row["type"] == "request") {
        let name = row["name"].as_str().expect("a name");
        let bytes = STANDARD
            .decode(row["input_b64"].as_str().expect("an input"))
            .expect("Base64");
        let (list, by_llhttp) = match row["error"].is_null() {
            true => (&STRICTER[..], true),
            false => (&WIDER[..], false),
        };
        let exception = list.iter().find(|(part, _)| name.contains(part));
        listed.extend(exception.map(|(part, _)| *part));
        // The collection leaves out bodies as well: what llhttp takes may lack one here.
        let is_enough = |message: &Message| message.complete || by_llhttp;
        let taken = completed(&bytes)
            .iter()
            .filter_map(|bytes| taken(bytes))
            .any(|messages| messages.iter().all(is_enough));
        if taken != (by_llhttp != exception.is_some()) {
            surprises.push(format!("{name} ({}): {}", row["error"], bytes.escape_ascii()));
        }
    }
    assert!(surprises.is_empty(), "{}", surprises.join("\n"));
    assert!(
        inputs.is_empty() || listed.len() == WIDER.len() + STRICTER.len(),
        "some exceptions are needed no longer; these are: {listed:?}"
    );
}
