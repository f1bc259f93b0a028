//! More than one request, and requests that ask for more than an answer: pipelines, refused bodies,
//! upgrades, `Expect`, HTTP/1.0 (RFC 9112 section 9, RFC 9110 sections 7.8 and 10.1.1).

use super::row::{Row, SMUGGLED, Then, get, marked_len, passes, post, row};

pub fn rows() -> Vec<Row> {
    let second = "GET /~2 HTTP/1.1\r\nHost: a\r\n\r\n";
    let denied = "POST /closed/~ HTTP/1.1\r\nHost: a\r\n";
    let both = &["GET /~", "GET /~2"];
    vec![
        passes("two requests at once", format!("{}{second}", get("X: y")), both),
        passes(
            "five requests at once",
            format!("{}{second}{second}{second}{second}", get("X: y")),
            &["GET /~", "GET /~2", "GET /~2", "GET /~2", "GET /~2"],
        ),
        passes(
            "an empty line between two, as old clients send",
            format!("{}\r\n{second}", get("X: y")),
            both,
        ),
        passes(
            "an empty line behind a body, as old clients send",
            format!("{}hello\r\n{second}", post("Content-Length: 5")),
            &["POST /~ hello", "GET /~2"],
        ),
        row(
            "two empty lines between two",
            format!("{}\r\n\r\n{second}", get("X: y")),
            &["GET /~", "400 malformed_request"],
            Then::Closes,
        ),
        row(
            "a good one, then a bad one, then a good one that nobody may see",
            format!(
                "{}GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n{SMUGGLED}",
                get("X: y")
            ),
            &["GET /~", "400 malformed_request"],
            Then::Closes,
        ),
        row(
            "a bad one, then a good one that nobody may see",
            format!("{}{SMUGGLED}", get("X : y")),
            &["400 ambiguous_framing"],
            Then::Closes,
        ),
        passes(
            "a body that is a request",
            format!(
                "{}{SMUGGLED}{second}",
                post(&format!("Content-Length: {}", marked_len(SMUGGLED)))
            ),
            &["POST /~ GET /smuggled~ HTTP/1.1\r\nHost: a\r\n\r\n", "GET /~2"],
        ),
        row(
            "a byte more than the length says is the start of the next request",
            format!("{}hello!{second}", post("Content-Length: 5")),
            &["POST /~ hello", "!GET /~2"],
            Then::Lives,
        ),
        row(
            "a byte of no method more than the length says",
            format!("{}hello({second}", post("Content-Length: 5")),
            &["POST /~ hello", "400 malformed_request"],
            Then::Closes,
        ),
        passes(
            "a body without a length is the next request",
            format!("{}{second}", post("X: y")),
            &["POST /~", "GET /~2"],
        ),
        passes(
            "a body that a GET did not announce is the next request",
            format!("{}GET /~2 HTTP/1.1\r\nHost: a\r\nX: y\r\n\r\n", get("X: y")),
            both,
        ),
        passes(
            "a HEAD with a body, then another request",
            format!("HEAD /~ HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello{second}"),
            &["HEAD /~ hello", "GET /~2"],
        ),
        passes(
            "a refused body of known length is read past, and is no request",
            format!(
                "{denied}Content-Length: {}\r\n\r\n{SMUGGLED}{second}",
                marked_len(SMUGGLED)
            ),
            &["401 credential_missing", "GET /~2"],
        ),
        row(
            "a refused chunked body ends the connection, and is no request",
            format!("{denied}Transfer-Encoding: chunked\r\n\r\n23\r\n{SMUGGLED}\r\n0\r\n\r\n{SMUGGLED}"),
            &["401 credential_missing"],
            Then::Closes,
        ),
        row(
            "a refused body of great length ends the connection",
            format!("{denied}Content-Length: 9999999\r\n\r\n{SMUGGLED}"),
            &["401 credential_missing"],
            Then::Closes,
        ),
        row(
            "a refused body that was asked about first ends the connection without a 100",
            format!(
                "{denied}Content-Length: {}\r\nExpect: 100-continue\r\n\r\n{SMUGGLED}",
                marked_len(SMUGGLED)
            ),
            &["401 credential_missing"],
            Then::Closes,
        ),
        passes(
            "a refused request without a body keeps the connection",
            format!("{denied}\r\n{second}"),
            &["401 credential_missing", "GET /~2"],
        ),
        passes(
            "a refused path with a body keeps the connection, and the body is no request",
            format!(
                "POST /~//x HTTP/1.1\r\nHost: a\r\nContent-Length: {}\r\n\r\n{SMUGGLED}{second}",
                marked_len(SMUGGLED)
            ),
            &["400 ambiguous_path", "GET /~2"],
        ),
        row(
            "nothing is read behind a request that closes",
            format!("{}{SMUGGLED}", get("Connection: close")),
            &["GET /~"],
            Then::Closes,
        ),
        row(
            "close in a list and in odd letters",
            format!("{}{SMUGGLED}", get("Connection: x, CLOSE")),
            &["GET /~"],
            Then::Closes,
        ),
        passes(
            "an upgrade to HTTP/2 is not passed on: what follows is HTTP/1.1",
            format!(
                "{}{second}",
                get("Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk")
            ),
            both,
        ),
        row(
            "the preface behind an upgrade to HTTP/2 is a request of another version",
            format!(
                "{}PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n{SMUGGLED}",
                get("Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk")
            ),
            &["GET /~", "505 http_version_unsupported"],
            Then::Closes,
        ),
        passes(
            "an upgrade that Connection does not name is not passed on either",
            format!("{}{second}", get("Upgrade: h2c\r\nHTTP2-Settings: AAMAAABk")),
            both,
        ),
        passes(
            "an upgrade to HTTP/2 with a body",
            format!(
                "{}hello{second}",
                post(
                    "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\nContent-Length: 5"
                )
            ),
            &["POST /~ hello", "GET /~2"],
        ),
        passes(
            "an upgrade to TLS is not passed on",
            format!(
                "{}{second}",
                get("Connection: Upgrade\r\nUpgrade: TLS/1.2, HTTP/1.1")
            ),
            both,
        ),
        passes(
            "a web socket that the app does not want: the next request is one",
            format!(
                "{}{second}",
                get(
                    "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=="
                )
            ),
            both,
        ),
        passes(
            "a web socket of a version that nobody speaks",
            format!(
                "{}{second}",
                get(
                    "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 777\r\nSec-WebSocket-Key: x"
                )
            ),
            both,
        ),
        passes(
            "a body behind a wish for a web socket is a body",
            format!(
                "{}{SMUGGLED}{second}",
                get(&format!(
                    "Connection: Upgrade\r\nUpgrade: websocket\r\nContent-Length: {}",
                    marked_len(SMUGGLED)
                ))
            ),
            &["GET /~ GET /smuggled~ HTTP/1.1\r\nHost: a\r\n\r\n", "GET /~2"],
        ),
        row(
            "a refused wish for a web socket opens nothing",
            format!(
                "GET /closed/~ HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n{second}"
            ),
            &["401 credential_missing", "GET /~2"],
            Then::Lives,
        ),
        passes(
            "100 comes when the body is wanted",
            format!("{}hello", post("Content-Length: 5\r\nExpect: 100-continue")),
            &["100", "POST /~ hello"],
        ),
        passes(
            "100 in odd letters",
            format!("{}hello", post("Content-Length: 5\r\nExpect: 100-Continue")),
            &["100", "POST /~ hello"],
        ),
        passes("no 100 without a body", get("Expect: 100-continue"), &["GET /~"]),
        passes(
            "an expectation that nobody knows is not passed on",
            format!("{}hello", post("Content-Length: 5\r\nExpect: x")),
            &["POST /~ hello"],
        ),
        row(
            "HTTP/1.0 closes",
            format!("GET /~ HTTP/1.0\r\nHost: a\r\n\r\n{SMUGGLED}"),
            &["GET /~"],
            Then::Closes,
        ),
        row(
            "HTTP/1.0 with a body closes",
            format!("POST /~ HTTP/1.0\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello{SMUGGLED}"),
            &["POST /~ hello"],
            Then::Closes,
        ),
        row(
            "HTTP/1.0 without a length has no body: nothing is read to the end of the connection",
            format!("POST /~ HTTP/1.0\r\nHost: a\r\n\r\n{SMUGGLED}"),
            &["POST /~"],
            Then::Closes,
        ),
        passes(
            "HTTP/1.0 with keep-alive goes on",
            format!("GET /~ HTTP/1.0\r\nHost: a\r\nConnection: keep-alive\r\n\r\n{second}"),
            both,
        ),
        row(
            "HTTP/1.0 expects nothing",
            "POST /~ HTTP/1.0\r\nHost: a\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\nhello",
            &["POST /~ hello"],
            Then::Closes,
        ),
        row(
            "HTTP/1.1 first, then HTTP/1.0, then nothing",
            format!("{}GET /~2 HTTP/1.0\r\nHost: a\r\n\r\n{SMUGGLED}", get("X: y")),
            both,
            Then::Closes,
        ),
        passes(
            "fields that concern one connection end here",
            get(
                "Connection: x-mine\r\nX-Mine: 1\r\nKeep-Alive: timeout=5\r\nProxy-Connection: keep-alive\r\nTE: trailers\r\nTrailer: X",
            ),
            &["GET /~"],
        ),
        passes(
            "keep-alive, said aloud",
            format!("{}{second}", get("Connection: keep-alive")),
            both,
        ),
    ]
}
