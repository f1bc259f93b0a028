//! HTTP/1 over sockets: connections that live on, bodies both ways, refusals that never become requests,
//! upstreams that are down, slow or wrong, and the bodies of answers (S17b).

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;

use tempfile::TempDir;

use crate::support::fixtures::{bearer, config, config_at};
use crate::support::http::PATIENCE;
use crate::support::{Answer, Client, Doorward, Reply, Upstream, http};

const ALL: [&str; 1] = ["{ path: /, upstream: api }"];
const DENIED: &str = "GET /denied HTTP/1.1\r\nHost: a\r\n\r\n";

fn start(reply: Reply) -> (Upstream, Doorward) {
    let upstream = Upstream::start(reply);
    let doorward = Doorward::start(&config(&upstream, &ALL));
    (upstream, doorward)
}

fn reason(answer: &Answer) -> String {
    answer.json()["reason"].as_str().expect("a reason").to_owned()
}

#[test]
fn a_connection_survives_refusals() {
    let (upstream, doorward) = start(Reply::Ok("ok"));
    let good = bearer("ada");
    let mut client = doorward.connect();
    for round in 0..5 {
        let refused = client.get("/", &[]);
        assert_eq!(
            (refused.status, refused.header("connection")),
            (401, None),
            "round {round}"
        );
        let refused = client.get("/", &["Authorization: Bearer a.b.c", "Authorization: x"]);
        assert_eq!(
            (refused.status, refused.header("connection")),
            (400, None),
            "round {round}"
        );
        let refused = client.get("/a//b", &[&good]);
        assert_eq!(
            (refused.status, refused.header("connection")),
            (400, None),
            "round {round}"
        );
        let answer = client.get("/", &[&good]);
        assert_eq!(
            (answer.status, answer.text().as_str()),
            (200, "ok"),
            "round {round}"
        );
    }
    assert_eq!(
        upstream.connections(),
        1,
        "the upstream's connection is used again as well"
    );
}

#[test]
fn pipelined_requests_are_answered_in_their_order() {
    let (upstream, doorward) = start(Reply::Ok("ok"));
    let good = bearer("ada");
    let forwarded = |n| format!("GET /{n} HTTP/1.1\r\nHost: a\r\n{good}\r\n\r\n");
    let mut client = doorward.connect();
    client.write(format!(
        "{}{DENIED}{}{DENIED}{}",
        forwarded(1),
        forwarded(2),
        forwarded(3)
    ));
    let statuses: Vec<u16> = (0..5).map(|_| client.answer().status).collect();
    assert_eq!(statuses, [200, 401, 200, 401, 200]);
    let seen = upstream.seen();
    assert_eq!(
        seen.iter().map(|s| s.target()).collect::<Vec<_>>(),
        ["/1", "/2", "/3"]
    );
}

#[test]
fn http_1_0_clients_are_served() {
    let (upstream, doorward) = start(Reply::Raw(
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n".to_vec(),
    ));
    let good = bearer("ada");
    let mut client = doorward.connect();
    client.write(format!("GET / HTTP/1.0\r\n{good}\r\n\r\n"));
    let answer = String::from_utf8(client.rest()).expect("UTF-8");
    assert!(
        answer.starts_with("HTTP/1.0 200") && answer.ends_with("\r\n\r\nok"),
        "no chunks: {answer}"
    );
    let seen = upstream.last();
    assert!(seen.request_line().ends_with("HTTP/1.1"));
    assert_eq!(
        seen.header("host"),
        Some(upstream.address.to_string().as_str()),
        "it named none"
    );
    let mut client = doorward.connect();
    client.write("GET / HTTP/1.0\r\n\r\n");
    let refused = String::from_utf8(client.rest()).expect("UTF-8");
    assert!(
        refused.starts_with("HTTP/1.0 401") && refused.contains("credential_missing"),
        "{refused}"
    );
}

#[test]
fn continue_comes_after_the_decision_and_never_before_a_refusal() {
    let (upstream, doorward) = start(Reply::Ok("ok"));
    let good = bearer("ada");
    let expecting = |credential: &str| {
        format!("PUT / HTTP/1.1\r\nHost: a\r\n{credential}Expect: 100-continue\r\nContent-Length: 5\r\n\r\n")
    };
    let mut client = doorward.connect();
    client.write(expecting(""));
    let refused = client.answer();
    assert_eq!(
        (refused.status, refused.header("connection")),
        (401, Some("close")),
        "no 100 before it"
    );
    // A client that sends its body all the same speaks to nobody.
    let _ = client.try_write("hello");
    assert!(client.rest().is_empty());
    assert!(upstream.seen().is_empty());

    let mut client = doorward.connect();
    client.write(expecting(&format!("{good}\r\n")));
    assert_eq!(client.answer().status, 100);
    client.write("hello");
    assert_eq!(client.answer().status, 200);
    let seen = upstream.last();
    assert_eq!(
        (seen.body.as_slice(), seen.header("expect")),
        (&b"hello"[..], None)
    );
}

#[test]
fn a_refused_body_never_becomes_a_request() {
    let (upstream, doorward) = start(Reply::Ok("ok"));
    let good = bearer("ada");
    let smuggled = format!("GET /smuggled HTTP/1.1\r\nHost: a\r\n{good}\r\n\r\n");
    let length = smuggled.len();
    let mut client = doorward.connect();
    // A short body of known length is read past, whenever it comes; the connection lives.
    for (now, later) in [
        (smuggled.as_str(), ""),
        ("", smuggled.as_str()),
        smuggled.split_at(30),
    ] {
        client.write(format!(
            "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: {length}\r\n\r\n{now}"
        ));
        let refused = client.answer();
        assert_eq!((refused.status, refused.header("connection")), (401, None));
        client.write(later);
    }
    // So does one behind a path, a route, an address that is refused.
    client.write(format!(
        "POST /a//b HTTP/1.1\r\nHost: a\r\nContent-Length: {length}\r\n\r\n{smuggled}"
    ));
    assert_eq!(client.answer().status, 400);
    assert_eq!(client.get("/real", &[&good]).status, 200);
    // A body of unknown or great length ends the connection, and says so.
    for framing in [
        "Transfer-Encoding: chunked",
        "Content-Length: 1048577",
        "Content-Length: 5\r\nExpect: 100-continue",
    ] {
        let mut client = doorward.connect();
        client.write(format!("POST / HTTP/1.1\r\nHost: a\r\n{framing}\r\n\r\n"));
        let refused = client.answer();
        assert_eq!(
            (refused.status, refused.header("connection")),
            (401, Some("close")),
            "{framing}"
        );
        let _ = client.try_write(&smuggled);
        assert!(client.rest().is_empty(), "{framing}");
    }
    let targets: Vec<String> = upstream.seen().iter().map(|s| s.target().to_owned()).collect();
    assert_eq!(targets, ["/real"]);
}

#[test]
fn large_bodies_arrive_whole_both_ways() {
    const LARGE: usize = 4 * 1024 * 1024;
    let body: Vec<u8> = (0..LARGE)
        .map(|i| u8::try_from(i % 251).expect("small"))
        .collect();
    let mut answer = format!("HTTP/1.1 200 OK\r\nContent-Length: {LARGE}\r\n\r\n").into_bytes();
    answer.extend_from_slice(&body);
    let (upstream, doorward) = start(Reply::Raw(answer));
    let good = bearer("ada");
    let mut client = doorward.connect();
    let got = client.request("POST", "/", &[&good], &body);
    assert_eq!(got.status, 200);
    assert!(got.body == body, "the answer's body");
    assert!(upstream.last().body == body, "the request's body");
    // The same in chunks.
    client.write(format!(
        "POST / HTTP/1.1\r\nHost: a\r\n{good}\r\nTransfer-Encoding: chunked\r\n\r\n"
    ));
    for chunk in body.chunks(100_000) {
        client
            .write(format!("{:x}\r\n", chunk.len()))
            .write(chunk)
            .write("\r\n");
    }
    client.write("0\r\n\r\n");
    let got = client.answer();
    assert!(got.status == 200 && got.body == body);
    let seen = upstream.last();
    assert!(seen.body == body);
    assert_eq!(seen.header("transfer-encoding"), Some("chunked"));
}

/// An upstream in the hand of the test.
struct ByHand(TcpListener);

impl ByHand {
    fn listen() -> Self {
        Self(TcpListener::bind("127.0.0.1:0").expect("a free port"))
    }

    fn address(&self) -> SocketAddr {
        self.0.local_addr().expect("an address")
    }

    /// Accepts and reads a head.
    fn accept(&self) -> BufReader<TcpStream> {
        let (stream, _) = self.0.accept().expect("a connection");
        stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
        stream.set_nodelay(true).expect("no delay");
        let mut reader = BufReader::new(stream);
        let mut line = String::new();
        while line != "\r\n" {
            line.clear();
            assert!(
                reader.read_line(&mut line).expect("a line") > 0,
                "the head ended early"
            );
        }
        reader
    }
}

fn read_exactly(reader: &mut impl Read, wanted: &str) {
    let mut bytes = vec![0; wanted.len()];
    reader.read_exact(&mut bytes).expect("reads");
    assert_eq!(String::from_utf8_lossy(&bytes), wanted);
}

#[test]
fn bodies_stream_both_ways_while_neither_has_ended() {
    let by_hand = ByHand::listen();
    let doorward = Doorward::start(&config_at(by_hand.address(), "", &ALL));
    let stream = TcpStream::connect(doorward.proxy).expect("connects");
    stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
    stream.set_nodelay(true).expect("no delay");
    let mut client = BufReader::new(stream);
    let good = bearer("ada");
    let head = format!("POST / HTTP/1.1\r\nHost: a\r\n{good}\r\nTransfer-Encoding: chunked\r\n\r\n");
    client.get_mut().write_all(head.as_bytes()).expect("writes");
    let mut upstream = by_hand.accept();
    let answer = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
    upstream.get_mut().write_all(answer).expect("writes");
    let mut line = String::new();
    while line != "\r\n" {
        line.clear();
        assert!(client.read_line(&mut line).expect("a line") > 0);
    }
    for word in ["one", "two", "six"] {
        let chunk = format!("3\r\n{word}\r\n");
        client.get_mut().write_all(chunk.as_bytes()).expect("writes");
        read_exactly(&mut upstream, &chunk);
        upstream.get_mut().write_all(chunk.as_bytes()).expect("writes");
        read_exactly(&mut client, &chunk);
    }
}

#[test]
fn an_early_answer_reaches_a_client_that_is_still_sending() {
    let early =
        b"HTTP/1.1 413 Content Too Large\r\nContent-Length: 2\r\nConnection: close\r\n\r\nno".to_vec();
    let (_upstream, doorward) = start(Reply::Early(early));
    let good = bearer("ada");
    let mut client = doorward.connect();
    client.write(format!(
        "POST / HTTP/1.1\r\nHost: a\r\n{good}\r\nContent-Length: 1000000\r\n\r\nstart"
    ));
    let answer = client.answer();
    assert_eq!((answer.status, answer.text().as_str()), (413, "no"));
}

/// A port where nobody listens.
fn nobody() -> SocketAddr {
    ByHand::listen().address()
}

#[test]
fn an_upstream_that_is_down_is_a_502_and_the_connection_lives() {
    let doorward = Doorward::start(&config_at(nobody(), "", &ALL));
    let good = bearer("ada");
    let mut client = doorward.connect();
    for body in [&b""[..], b"a body that nobody read"] {
        let answer = client.request("POST", "/", &[&good], body);
        assert_eq!(
            (answer.status, reason(&answer).as_str()),
            (502, "upstream_unreachable")
        );
        assert_eq!(answer.header("connection"), None);
        assert_eq!(answer.header("www-authenticate"), None, "the credential was good");
    }
    assert_eq!(
        client.get("/", &[]).status,
        401,
        "whoever may not come in learns nothing of the upstream"
    );
}

#[test]
fn an_upstream_that_does_not_answer_is_a_504() {
    let upstream = Upstream::start(Reply::Silence);
    let slow = [
        "{ path: /hasty/, upstream: api, response_timeout: 50ms }",
        "{ path: /, upstream: api }",
    ];
    let doorward = Doorward::start(&config_at(
        upstream.address,
        ", timeouts: { response: 200ms }",
        &slow,
    ));
    let good = bearer("ada");
    for target in ["/", "/hasty/"] {
        for (method, body) in [("GET", &b""[..]), ("POST", b"hello")] {
            let answer = doorward.connect().request(method, target, &[&good], body);
            assert_eq!(
                (answer.status, reason(&answer).as_str()),
                (504, "upstream_timeout"),
                "{method} {target}"
            );
        }
    }
    assert_eq!(upstream.seen().len(), 4, "none was sent twice");
    let failures = doorward.metric("doorward_upstream_failures_total{reason=\"response_timeout\"");
    assert!(failures.iter().any(|l| l.ends_with(" 4")), "{failures:?}");
}

#[test]
fn a_wrong_answer_is_a_502_and_nothing_of_it_reaches_the_client() {
    let ok = "HTTP/1.1 200 OK\r\n";
    let answers: Vec<(String, &str)> = vec![
        ("EVIL\r\n\r\n".into(), "no HTTP at all"),
        (String::new(), "an end without an answer"),
        ("HTTP/1.1 200 OK\r\nX-Half: EV".into(), "an end within the head"),
        (
            "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: upgrade\r\n\r\nEVIL"
                .into(),
            "a switch that nobody asked for",
        ),
        (
            format!("{ok}Content-Length: 4\r\nContent-Length: 5\r\n\r\nEVIL"),
            "two lengths",
        ),
        (
            format!("{ok}Content-Length: 4, 4\r\n\r\nEVIL"),
            "a list of lengths",
        ),
        (format!("{ok}Content-Length: -4\r\n\r\nEVIL"), "a signed length"),
        (
            format!("{ok}Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nEVIL\r\n0\r\n\r\n"),
            "length and chunks",
        ),
        (
            format!("{ok}Transfer-Encoding: gzip, chunked\r\n\r\n4\r\nEVIL\r\n0\r\n\r\n"),
            "another coding",
        ),
        (
            format!("{ok}X-Space : EVIL\r\nContent-Length: 0\r\n\r\n"),
            "a space before the colon",
        ),
        (format!("{ok}X-Nul: EV\0IL\r\nContent-Length: 0\r\n\r\n"), "NUL"),
        (
            format!("{ok}X-Large: {}\r\n\r\n", "EVIL".repeat(200_000)),
            "a head without an end",
        ),
    ];
    let count = answers.len();
    let table: Vec<String> = answers.iter().map(|(answer, _)| answer.clone()).collect();
    let upstream = Upstream::with(move |seen| {
        let row: usize = seen.target().trim_start_matches('/').parse().expect("a number");
        Reply::RawThenClose(table[row].clone().into_bytes())
    });
    let doorward = Doorward::start(&config(&upstream, &ALL));
    let good = bearer("ada");
    for (row, (_, why)) in answers.iter().enumerate() {
        let answer = doorward
            .connect()
            .request("POST", &format!("/{row}"), &[&good], b"hello");
        assert_eq!(
            (answer.status, reason(&answer).as_str()),
            (502, "upstream_invalid_answer"),
            "{why}"
        );
        assert!(!answer.text().contains("EVIL"), "{why}");
    }
    assert_eq!(upstream.seen().len(), count, "none of them was sent twice");
}

#[test]
fn a_request_that_may_have_reached_the_app_is_sent_once() {
    let upstream = Upstream::with(|seen| match seen.request_line().split(' ').next() {
        Some("GET") => Reply::Ok("ok"),
        // Read by the app, which dies of it.
        _ => Reply::RawThenClose(Vec::new()),
    });
    let doorward = Doorward::start(&config(&upstream, &ALL));
    let good = bearer("ada");
    let mut client = doorward.connect();
    for round in 1..=3_usize {
        // The connection is warm, so that it could have been closed by the app meanwhile.
        assert_eq!(client.get("/", &[&good]).status, 200);
        let answer = client.request("POST", "/pay", &[&good], b"100");
        assert_eq!(
            (answer.status, reason(&answer).as_str()),
            (502, "upstream_invalid_answer")
        );
        let paid = upstream.seen().iter().filter(|s| s.target() == "/pay").count();
        assert_eq!(paid, round, "each was sent once");
        client = doorward.connect();
    }
}

#[test]
fn a_connection_that_the_app_closed_while_idle_costs_no_request() {
    let upstream = Upstream::start(Reply::RawThenClose(
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok".to_vec(),
    ));
    let doorward = Doorward::start(&config(&upstream, &ALL));
    let good = bearer("ada");
    let mut client = doorward.connect();
    for round in 1..=20 {
        let answer = client.get("/", &[&good]);
        // Closed in the very moment of sending, it may have been read: then it is not repeated.
        assert!(
            matches!(answer.status, 200 | 502),
            "round {round}: {}",
            answer.text()
        );
    }
    assert!(upstream.seen().len() <= 20, "none was sent twice");
}

#[test]
fn a_body_that_breaks_off_breaks_off_for_the_client_too() {
    let (_upstream, doorward) = start(Reply::RawThenClose(
        b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf".to_vec(),
    ));
    let good = bearer("ada");
    let mut client = doorward.connect();
    client.write(format!("GET / HTTP/1.1\r\nHost: a\r\n{good}\r\n\r\n"));
    let got = String::from_utf8(client.rest()).expect("UTF-8");
    assert!(
        got.starts_with("HTTP/1.1 200") && got.ends_with("half"),
        "never made whole: {got}"
    );
}

#[test]
fn bytes_behind_an_answer_reach_nobody() {
    let (upstream, doorward) = start(Reply::Raw(
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nokHTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nEVIL"
            .to_vec(),
    ));
    let good = bearer("ada");
    let mut client = doorward.connect();
    for _ in 0..3 {
        assert_eq!(client.get("/", &[&good]).text(), "ok");
    }
    assert_eq!(upstream.connections(), 3, "each such connection is dropped");
}

#[test]
fn what_concerns_one_connection_ends_here() {
    let (upstream, doorward) = start(Reply::Raw(
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: x-theirs\r\nX-Theirs: 1\r\nKeep-Alive: timeout=5\r\n\
          Proxy-Authenticate: Basic\r\nUpgrade: h2c\r\nX-Kept: 1\r\n\r\nok"
            .to_vec(),
    ));
    let good = bearer("ada");
    let answer = http::get(
        doorward.proxy,
        "/",
        &[
            &good,
            "Connection: x-mine, upgrade, HTTP2-Settings",
            "X-Mine: 1",
            "Keep-Alive: 5",
            "Upgrade: h2c",
            "HTTP2-Settings: AAMAAABk",
            "TE: trailers",
            "Proxy-Authorization: Basic YTpi",
            "Proxy-Connection: keep-alive",
            "X-Kept: 1",
        ],
    );
    assert_eq!(
        (answer.status, answer.header("x-kept")),
        (200, Some("1")),
        "{}",
        answer.text()
    );
    for name in [
        "connection",
        "x-theirs",
        "keep-alive",
        "proxy-authenticate",
        "upgrade",
    ] {
        assert_eq!(answer.header(name), None, "{name}");
    }
    let seen = upstream.last();
    assert_eq!(seen.header("x-kept"), Some("1"));
    for name in [
        "connection",
        "x-mine",
        "keep-alive",
        "upgrade",
        "http2-settings",
        "te",
        "proxy-authorization",
        "proxy-connection",
    ] {
        assert_eq!(seen.header(name), None, "{name}");
    }
}

#[test]
fn answers_without_a_body_keep_their_shape() {
    let upstream = Upstream::with(|seen| {
        Reply::Raw(
            match seen.target() {
                "/head" => "HTTP/1.1 200 OK\r\nContent-Length: 1234\r\n\r\n",
                "/204" => "HTTP/1.1 204 No Content\r\n\r\n",
                "/304" => "HTTP/1.1 304 Not Modified\r\nETag: \"x\"\r\n\r\n",
                "/103" => "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
                _ => "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
            }
            .into(),
        )
    });
    let doorward = Doorward::start(&config(&upstream, &ALL));
    let good = bearer("ada");
    let mut client = doorward.connect();
    for (method, target, status, length) in [
        ("HEAD", "/head", 200, Some("1234")),
        ("GET", "/204", 204, None),
        ("GET", "/304", 304, None),
        ("GET", "/empty", 200, Some("0")),
        ("GET", "/103", 200, Some("2")),
    ] {
        let answer = client.request(method, target, &[&good], b"");
        assert_eq!(
            (answer.status, answer.header("content-length")),
            (status, length),
            "{method} {target}"
        );
    }
    // A refusal of HEAD has no body, and the connection goes on.
    assert_eq!(client.request("HEAD", "/head", &[], b"").status, 401);
    assert_eq!(client.get("/empty", &[&good]).status, 200);
    assert_eq!(upstream.connections(), 1);
}

#[test]
fn a_chunked_request_arrives_in_chunks_whatever_its_method() {
    let (upstream, doorward) = start(Reply::Ok("ok"));
    let good = bearer("ada");
    let mut client = doorward.connect();
    for method in ["POST", "GET", "DELETE", "FROB"] {
        client.write(format!(
            "{method} / HTTP/1.1\r\nHost: a\r\n{good}\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n3\r\n-ho\r\n0\r\n\r\n"
        ));
        assert_eq!(client.answer().status, 200, "{method}");
        let seen = upstream.last();
        assert_eq!(
            (seen.body.as_slice(), seen.header("content-length")),
            (&b"hi-ho"[..], None),
            "{method}"
        );
    }
}

#[test]
fn a_body_beyond_the_routes_bound_is_refused() {
    let upstream = Upstream::start(Reply::Ok("ok"));
    let doorward = Doorward::start(&config(&upstream, &["{ path: /, upstream: api, max_body: 10B }"]));
    let good = bearer("ada");
    let mut client = doorward.connect();
    assert_eq!(client.request("POST", "/", &[&good], b"0123456789").status, 200);
    let answer = client.request("POST", "/", &[&good], b"0123456789X");
    assert_eq!(
        (answer.status, reason(&answer).as_str()),
        (413, "body_too_large"),
        "declared"
    );
    client.write(format!(
        "POST / HTTP/1.1\r\nHost: a\r\n{good}\r\nTransfer-Encoding: chunked\r\n\r\n6\r\n012345\r\n6\r\n6789AB\r\n0\r\n\r\n"
    ));
    let answer = client.answer();
    assert_eq!(
        (answer.status, reason(&answer).as_str()),
        (413, "body_too_large"),
        "counted"
    );
    assert_eq!(upstream.seen().len(), 1, "no app saw the end of it");
}

#[test]
fn heads_that_are_late_large_or_ambiguous_get_their_status() {
    let upstream = Upstream::start(Reply::Ok("ok"));
    let listener = "{ name: public, address: 127.0.0.1:0, head_timeout: 200ms, max_head_bytes: 2KiB, max_head_fields: 12, http2: { enabled: false } }";
    let folder = Arc::new(TempDir::new().expect("a folder"));
    let doorward = Doorward::start_listening(folder, listener, &config(&upstream, &ALL), &[]);
    let good = bearer("ada");
    let line = "GET /smuggled HTTP/1.1\r\nHost: a\r\n";
    for (head, status, expected, why) in [
        (
            "GET / HTTP/1.1\r\nHo".to_owned(),
            408,
            "head_timeout",
            "half a head",
        ),
        (
            format!("{line}X: {}\r\n\r\n", "x".repeat(3000)),
            431,
            "head_too_large",
            "many bytes",
        ),
        (
            format!("{line}{}\r\n", "X: y\r\n".repeat(13)),
            431,
            "head_too_large",
            "many fields",
        ),
        (
            format!("GET /{} HTTP/1.1\r\nHost: a\r\n\r\n", "x".repeat(3000)),
            431,
            "head_too_large",
            "a long target",
        ),
        (
            format!("{line}Content-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n"),
            400,
            "ambiguous_framing",
            "two framings",
        ),
        (
            format!("{line}Content-Length: 1\r\nContent-Length: 1\r\n\r\n"),
            400,
            "ambiguous_framing",
            "two lengths",
        ),
        (
            format!("{line}Content-Length: +1\r\n\r\n"),
            400,
            "ambiguous_framing",
            "a signed length",
        ),
        (
            format!("{line}Content_Length: 1\r\n\r\n"),
            400,
            "ambiguous_framing",
            "a spelling of the length",
        ),
        (
            format!("{line}Transfer-Encoding: chunked, identity\r\n\r\n"),
            400,
            "ambiguous_framing",
            "a list of codings",
        ),
        (
            format!("{line}Transfer-Encoding : chunked\r\n\r\n"),
            400,
            "ambiguous_framing",
            "a space before the colon",
        ),
        (
            format!("{line}X: a\r\n b\r\n\r\n"),
            400,
            "ambiguous_framing",
            "a folded line",
        ),
        (
            format!("{line}X: a\n\r\n"),
            400,
            "ambiguous_framing",
            "a bare line feed",
        ),
        (
            format!("{line}X: a\rY: b\r\n\r\n"),
            400,
            "ambiguous_framing",
            "a bare carriage return",
        ),
        (format!("{line}X: \0\r\n\r\n"), 400, "malformed_request", "NUL"),
        (
            format!("{line}Host: b\r\n\r\n"),
            400,
            "malformed_request",
            "two hosts",
        ),
        (
            "GET / HTTP/1.1\r\n\r\n".to_owned(),
            400,
            "malformed_request",
            "no host",
        ),
        (
            "GET http://b/ HTTP/1.1\r\nHost: a\r\n\r\n".to_owned(),
            400,
            "ambiguous_framing",
            "another host in the target",
        ),
        (
            "CONNECT a:443 HTTP/1.1\r\nHost: a\r\n\r\n".to_owned(),
            400,
            "malformed_request",
            "a tunnel",
        ),
        (
            "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_owned(),
            505,
            "http_version_unsupported",
            "HTTP/2",
        ),
        ("\u{16}\u{3}\u{1}".to_owned(), 400, "malformed_request", "TLS"),
    ] {
        let mut client = doorward.connect();
        client.write(&head);
        // Whatever follows a bad head is not read.
        let _ = client.try_write(if status == 408 {
            String::new()
        } else {
            format!("{line}{good}\r\n\r\n")
        });
        let answer = client.answer();
        assert_eq!(
            (answer.status, reason(&answer).as_str()),
            (status, expected),
            "{why}"
        );
        assert_eq!(answer.header("connection"), Some("close"), "{why}");
        assert!(answer.json()["request_id"].is_string(), "{why}");
        assert!(client.rest().is_empty(), "{why}");
    }
    assert!(upstream.seen().is_empty(), "nothing of it was forwarded");
}

#[test]
fn a_bad_chunk_ends_the_connection_on_both_sides() {
    let (upstream, doorward) = start(Reply::Ok("ok"));
    let good = bearer("ada");
    for bad in [
        "5 \r\nhello\r\n",
        "0x5\r\nhello\r\n",
        "5;a=b\nhello\r\n",
        "fffffffffffffffff\r\n",
        "5\r\nhelloX\r\n",
        "-5\r\n",
    ] {
        let mut client = doorward.connect();
        client.write(format!(
            "POST / HTTP/1.1\r\nHost: a\r\n{good}\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n"
        ));
        let _ = client.try_write(format!(
            "{bad}0\r\n\r\nGET /smuggled HTTP/1.1\r\nHost: a\r\n{good}\r\n\r\n"
        ));
        let got = String::from_utf8(client.rest()).expect("UTF-8");
        assert!(!got.contains("HTTP/1.1 200"), "{bad:?}: {got}");
    }
    assert!(upstream.seen().is_empty(), "no app saw a whole request");
}

#[test]
fn every_refusal_is_told_in_the_clients_own_dialect() {
    let upstream = Upstream::start(Reply::Ok("ok"));
    let routes = [
        "{ path: /union/, upstream: api, dialect: union }",
        "{ path: /nest/, upstream: api, dialect: nest }",
        "{ path: /homechat/, upstream: api, dialect: homechat }",
        "{ path: /tagoio/, upstream: api, dialect: tagoio }",
        "{ path: /thingsboard/, upstream: api, dialect: thingsboard }",
        "{ path: /problem/, upstream: api, dialect: problem }",
        "{ path: /, upstream: api }",
    ];
    let doorward = Doorward::start(&config(&upstream, &routes));
    let mut client = doorward.connect();
    for (target, header, keys) in [
        // Named by the route.
        (
            "/union/",
            "",
            "error errorCode message reason requestId status statusCode timestamp",
        ),
        ("/nest/", "", "error message reason requestId statusCode"),
        ("/homechat/", "", "error message reason request_id"),
        ("/tagoio/", "", "message reason request_id result status"),
        (
            "/thingsboard/",
            "",
            "errorCode message reason requestId status timestamp",
        ),
        ("/problem/", "", "detail message reason request_id status title"),
        // Chosen by what was presented.
        ("/", "", "detail message reason request_id status title"),
        (
            "/",
            "Authorization: Bearer a.b.c",
            "detail message reason request_id status title",
        ),
        (
            "/",
            "Authorization: Device abc",
            "error message reason requestId statusCode",
        ),
        (
            "/",
            "Device-Token: unknown",
            "message reason request_id result status",
        ),
        ("/", "token: unknown", "message reason request_id result status"),
        (
            "/",
            "Authorization: unknown-word",
            "message reason request_id result status",
        ),
        (
            "/",
            "X-Authorization: Bearer a.b.c",
            "errorCode message reason requestId status timestamp",
        ),
        (
            "/",
            "X-API-Key: hc_a1b2c3d4_0123456789abcdef0123456789abcdef",
            "error message reason request_id",
        ),
        // The route's word is stronger.
        (
            "/nest/",
            "token: unknown",
            "error message reason requestId statusCode",
        ),
    ] {
        let headers: Vec<&str> = [header].into_iter().filter(|h| !h.is_empty()).collect();
        let answer = client.get(target, &headers);
        assert_eq!(answer.status, 401, "{target} {header}");
        let json = answer.json();
        let mut found: Vec<&str> = json
            .as_object()
            .expect("an object")
            .keys()
            .map(String::as_str)
            .collect();
        found.sort_unstable();
        assert_eq!(found.join(" "), keys, "{target} {header}");
        assert!(
            json["message"].as_str().is_some_and(|m| !m.is_empty()),
            "{target} {header}"
        );
        let content_type = answer.header("content-type").expect("a type");
        let is_problem = keys.starts_with("detail");
        assert_eq!(
            content_type,
            if is_problem {
                "application/problem+json"
            } else {
                "application/json"
            }
        );
        assert_eq!(answer.header("cache-control"), Some("no-store"));
        assert_eq!(answer.header("x-content-type-options"), Some("nosniff"));
    }
    assert_eq!(
        client.get("/tagoio/", &[]).json()["status"],
        false,
        "never taken for success"
    );
}

#[test]
fn failures_of_the_upstream_are_told_in_the_dialect_too() {
    let doorward = Doorward::start(&config_at(nobody(), "", &["{ path: /, upstream: api }"]));
    let device = doorward.cli(&["device", "create", "thermometer-7"]);
    let token = doorward.cli(&["device", "token", device["id"].as_str().expect("an id")]);
    let token = format!("Device-Token: {}", token["secret"].as_str().expect("a secret"));
    let answer: Answer = Client::connect(doorward.proxy).get("/", &[&token]);
    assert_eq!(
        (answer.status, &answer.json()["status"]),
        (502, &false.into()),
        "{}",
        answer.text()
    );
    let answer = http::get(doorward.proxy, "/", &[&bearer("ada")]);
    assert_eq!(
        (answer.status, &answer.json()["status"]),
        (502, &502.into()),
        "{}",
        answer.text()
    );
}
