//! What passes the screen and what does not, each row whole, byte by byte, and behind a good request.

use std::collections::VecDeque;
use std::task::Waker;

use super::*;

/// A socket that gives one piece per read, then nothing.
struct Script(VecDeque<Vec<u8>>);

impl AsyncRead for Script {
    fn poll_read(self: Pin<&mut Self>, _: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let pieces = &mut self.get_mut().0;
        match pieces.pop_front() {
            None => Poll::Pending,
            Some(mut piece) => {
                let rest = piece.split_off(piece.len().min(buf.remaining()));
                buf.put_slice(&piece);
                if !rest.is_empty() {
                    pieces.push_front(rest);
                }
                Poll::Ready(Ok(()))
            }
        }
    }
}

/// What hyper would have read, and how it ended.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Seen {
    bytes: Vec<u8>,
    refusal: Option<Reason>,
    broken: bool,
}

fn screen(pieces: impl IntoIterator<Item = Vec<u8>>, settings: &ConnectionSettings) -> Screen<Script> {
    let deadlines = Deadlines::new(Duration::from_millis(100));
    Screen::new(Script(pieces.into_iter().collect()), settings, &deadlines)
}

fn read_all<S: AsyncRead + Unpin>(screen: &mut Screen<S>, buffer: usize) -> Seen {
    let mut seen = Seen {
        bytes: Vec::new(),
        refusal: None,
        broken: false,
    };
    let cx = &mut Context::from_waker(Waker::noop());
    loop {
        let mut space = vec![0; buffer];
        let mut buf = ReadBuf::new(&mut space);
        match Pin::new(&mut *screen).poll_read(cx, &mut buf) {
            Poll::Ready(Ok(())) if buf.filled().is_empty() => break,
            Poll::Ready(Ok(())) => seen.bytes.extend_from_slice(buf.filled()),
            Poll::Ready(Err(_)) => {
                seen.broken = true;
                break;
            }
            Poll::Pending => break,
        }
    }
    seen.refusal = screen.line().refusal();
    seen
}

/// The outcome, which must not depend on how the bytes arrive or on the reader's buffer.
fn pass(bytes: &[u8]) -> Seen {
    let settings = ConnectionSettings::default();
    let whole = read_all(&mut screen([bytes.to_vec()], &settings), 64 * 1024);
    for (piece, buffer) in [
        (1, 64 * 1024),
        (3, 8192),
        (7, 5),
        (bytes.len().max(1), 11),
        (50, 50),
    ] {
        let pieces = bytes.chunks(piece).map(<[u8]>::to_vec);
        let other = read_all(&mut screen(pieces, &settings), buffer);
        assert_eq!(
            (String::from_utf8_lossy(&other.bytes), other.refusal, other.broken),
            (String::from_utf8_lossy(&whole.bytes), whole.refusal, whole.broken),
            "in pieces of {piece}, read by {buffer}: {:?}",
            String::from_utf8_lossy(bytes)
        );
    }
    whole
}

#[test]
fn good_requests_pass_unchanged() {
    for (request, why) in [
        ("GET / HTTP/1.1\r\nHost: a\r\n\r\n", "the smallest request"),
        ("GET / HTTP/1.0\r\n\r\n", "HTTP/1.0 needs no Host"),
        (
            "\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n",
            "one empty line before a request (RFC 9112 section 2.2)",
        ),
        (
            "GET /a/b?c=d&e HTTP/1.1\r\nhOsT:a:8080\r\n\r\n",
            "a port, no space, any case",
        ),
        (
            "GET / HTTP/1.1\r\nHost: \t a \t\r\n\r\n",
            "white space around a value",
        ),
        ("GET / HTTP/1.1\r\nHost: [::1]:80\r\n\r\n", "an IPv6 host"),
        (
            "OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n",
            "OPTIONS of the server itself",
        ),
        (
            "GET http://a/b HTTP/1.1\r\nHost: A\r\n\r\n",
            "absolute form that agrees with Host",
        ),
        (
            "GET http://a HTTP/1.1\r\nHost: a\r\n\r\n",
            "absolute form without a path",
        ),
        (
            "GET http://a/ HTTP/1.0\r\n\r\n",
            "absolute form in HTTP/1.0 without Host",
        ),
        (
            "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello",
            "a body with a length",
        ),
        (
            "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n",
            "an empty body",
        ),
        (
            "POST / HTTP/1.0\r\nContent-Length: 2\r\n\r\nhi",
            "a body in HTTP/1.0",
        ),
        (
            "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: Chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
            "a chunked body",
        ),
        (
            "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1;x=y\r\na\r\n0\r\nT: v\r\n\r\n",
            "chunk extensions and trailers",
        ),
        (
            "GET /1 HTTP/1.1\r\nHost: a\r\n\r\nGET /2 HTTP/1.1\r\nHost: a\r\n\r\n",
            "two requests at once",
        ),
        (
            "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\n\n\n\0\rGET / HTTP/1.1\r\nHost: a\r\n\r\n",
            "a body that would be a bad head, and a request behind it",
        ),
        (
            "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n",
            "a request behind a chunked body",
        ),
        (
            "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\nx\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n",
            "old clients send an empty line after a body",
        ),
        (
            "GET / HTTP/1.1\r\nHost: a\r\nX:\r\nY: \u{e9}\r\n\r\n",
            "an empty value, a value outside ASCII",
        ),
        ("M-SEARCH / HTTP/1.1\r\nHost: a\r\n\r\n", "an uncommon method"),
        (
            "GET /%2e%2e/..;a\\b HTTP/1.1\r\nHost: a\r\n\r\n",
            "odd paths are the gate's to refuse",
        ),
        (
            "GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n",
            "upgrades are stripped later",
        ),
    ] {
        let seen = pass(request.as_bytes());
        assert_eq!(
            (
                String::from_utf8_lossy(&seen.bytes).as_ref(),
                seen.refusal,
                seen.broken
            ),
            (request, None, false),
            "{why}"
        );
    }
}

/// Every bad head: alone, and behind a good request that must still pass.
const BAD: &[(&str, Reason, &str)] = &[
    (
        "GET / HTTP/1.1\nHost: a\r\n\r\n",
        Reason::AmbiguousFraming,
        "a bare LF after the request line",
    ),
    (
        "GET / HTTP/1.1\r\nHost: a\n\r\n",
        Reason::AmbiguousFraming,
        "a bare LF after a field",
    ),
    (
        "GET / HTTP/1.1\r\nHost: a\r\n\n",
        Reason::AmbiguousFraming,
        "a bare LF as the empty line",
    ),
    (
        "\nGET / HTTP/1.1\r\nHost: a\r\n\r\n",
        Reason::AmbiguousFraming,
        "a bare LF before the request",
    ),
    (
        "\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n",
        Reason::MalformedRequest,
        "two empty lines before the request",
    ),
    (
        "GET / HTTP/1.1\rHost: a\r\n\r\n",
        Reason::AmbiguousFraming,
        "a bare CR in the request line",
    ),
    (
        "GET / HTTP/1.1\r\nHost: a\rX: y\r\n\r\n",
        Reason::AmbiguousFraming,
        "a bare CR in the Host value",
    ),
    (
        "GET / HTTP/1.1\r\nX: a\rY: b\r\nHost: a\r\n\r\n",
        Reason::AmbiguousFraming,
        "a bare CR in a value",
    ),
    (
        "GET / HTTP/1.1\r\nX\r: a\r\nHost: a\r\n\r\n",
        Reason::AmbiguousFraming,
        "a bare CR in a name",
    ),
    (
        "GET / HTTP/1.1\r\nHost: a\r\n X: y\r\n\r\n",
        Reason::AmbiguousFraming,
        "a folded line, by space",
    ),
    (
        "GET / HTTP/1.1\r\nHost: a\r\n\tX: y\r\n\r\n",
        Reason::AmbiguousFraming,
        "a folded line, by tab",
    ),
    (
        "GET / HTTP/1.1\r\n Host: a\r\n\r\n",
        Reason::AmbiguousFraming,
        "a space before the first field",
    ),
    (
        "GET / HTTP/1.1\r\nHost : a\r\n\r\n",
        Reason::AmbiguousFraming,
        "a space before the colon",
    ),
    (
        "GET / HTTP/1.1\r\nHost\t: a\r\n\r\n",
        Reason::AmbiguousFraming,
        "a tab before the colon",
    ),
    (
        "GET / HTTP/1.1\r\nHost: a\r\nX: \0\r\n\r\n",
        Reason::MalformedRequest,
        "NUL in a value",
    ),
    (
        "GET / HTTP/1.1\r\nHost: a\r\nX: \x7f\r\n\r\n",
        Reason::MalformedRequest,
        "DEL in a value",
    ),
    (
        "GET / HTTP/1.1\r\nHost: a\r\nX\0: a\r\n\r\n",
        Reason::MalformedRequest,
        "NUL in a name",
    ),
    (
        "GET / HTTP/1.1\r\nHost: a\r\n: a\r\n\r\n",
        Reason::MalformedRequest,
        "no name",
    ),
    (
        "GET / HTTP/1.1\r\nHost: a\r\nX\r\n\r\n",
        Reason::MalformedRequest,
        "no colon",
    ),
    (
        "GET / HTTP/1.1\r\nHost: a\r\nX(y): a\r\n\r\n",
        Reason::MalformedRequest,
        "no token as a name",
    ),
    (
        "GET / HTTP/1.1\r\nHost: a\r\nH\u{f6}st: a\r\n\r\n",
        Reason::MalformedRequest,
        "a name outside ASCII",
    ),
    (
        "GET / HTTP/1.1\r\n\r\n",
        Reason::MalformedRequest,
        "no Host in HTTP/1.1",
    ),
    (
        "GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
        Reason::MalformedRequest,
        "two Hosts",
    ),
    (
        "GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n",
        Reason::MalformedRequest,
        "two equal Hosts",
    ),
    (
        "GET / HTTP/1.0\r\nHost: a\r\nHost: a\r\n\r\n",
        Reason::MalformedRequest,
        "two Hosts in HTTP/1.0",
    ),
    (
        "GET / HTTP/1.1\r\nHost:\r\n\r\n",
        Reason::MalformedRequest,
        "an empty Host",
    ),
    (
        "GET / HTTP/1.1\r\nHost: a, b\r\n\r\n",
        Reason::MalformedRequest,
        "a list of Hosts",
    ),
    (
        "GET / HTTP/1.1\r\nHost: a@b\r\n\r\n",
        Reason::MalformedRequest,
        "a user in Host",
    ),
    (
        "GET / HTTP/1.1\r\nHost: a/b\r\n\r\n",
        Reason::MalformedRequest,
        "a path in Host",
    ),
    (
        "GET / HTTP/1.1\r\nHost: a:b\r\n\r\n",
        Reason::MalformedRequest,
        "a port that is no number",
    ),
    (
        "GET http://b/ HTTP/1.1\r\nHost: a\r\n\r\n",
        Reason::AmbiguousFraming,
        "absolute form for another host",
    ),
    (
        "GET http://a:80/ HTTP/1.1\r\nHost: a\r\n\r\n",
        Reason::AmbiguousFraming,
        "absolute form with another port",
    ),
    (
        "GET http://u@a/ HTTP/1.1\r\nHost: a\r\n\r\n",
        Reason::MalformedRequest,
        "absolute form with a user",
    ),
    (
        "GET http:///x HTTP/1.1\r\nHost: a\r\n\r\n",
        Reason::MalformedRequest,
        "absolute form without a host",
    ),
    (
        "GET ftp://a/ HTTP/1.1\r\nHost: a\r\n\r\n",
        Reason::MalformedRequest,
        "another scheme",
    ),
    (
        "GET a HTTP/1.1\r\nHost: a\r\n\r\n",
        Reason::MalformedRequest,
        "a target without a slash",
    ),
    (
        "GET * HTTP/1.1\r\nHost: a\r\n\r\n",
        Reason::MalformedRequest,
        "the asterisk with GET",
    ),
    (
        "GET /a#b HTTP/1.1\r\nHost: a\r\n\r\n",
        Reason::MalformedRequest,
        "a fragment",
    ),
    (
        "GET /?a#b HTTP/1.1\r\nHost: a\r\n\r\n",
        Reason::MalformedRequest,
        "a fragment after a query",
    ),
    (
        "GET /\u{e9} HTTP/1.1\r\nHost: a\r\n\r\n",
        Reason::MalformedRequest,
        "a target outside ASCII",
    ),
    (
        "GET /\0 HTTP/1.1\r\nHost: a\r\n\r\n",
        Reason::MalformedRequest,
        "NUL in the target",
    ),
    (
        "GET /\t HTTP/1.1\r\nHost: a\r\n\r\n",
        Reason::MalformedRequest,
        "a tab in the target",
    ),
    (
        "CONNECT a:443 HTTP/1.1\r\nHost: a:443\r\n\r\n",
        Reason::MalformedRequest,
        "CONNECT",
    ),
    (
        "CONNECT / HTTP/1.1\r\nHost: a\r\n\r\n",
        Reason::MalformedRequest,
        "CONNECT with a path",
    ),
    (
        "TRACE / HTTP/1.1\r\nHost: a\r\n\r\n",
        Reason::MalformedRequest,
        "TRACE, which an app would echo our headers to",
    ),
    (
        "X-DOORWARD-REFUSED / HTTP/1.1\r\nHost: a\r\n\r\n",
        Reason::MalformedRequest,
        "our own mark from outside",
    ),
    (
        "GET  / HTTP/1.1\r\nHost: a\r\n\r\n",
        Reason::MalformedRequest,
        "two spaces after the method",
    ),
    (
        "GET /  HTTP/1.1\r\nHost: a\r\n\r\n",
        Reason::MalformedRequest,
        "two spaces before the version",
    ),
    (
        "GET / HTTP/1.1 \r\nHost: a\r\n\r\n",
        Reason::MalformedRequest,
        "a space after the version",
    ),
    (
        "GET\t/\tHTTP/1.1\r\nHost: a\r\n\r\n",
        Reason::MalformedRequest,
        "tabs as separators",
    ),
    (
        " GET / HTTP/1.1\r\nHost: a\r\n\r\n",
        Reason::MalformedRequest,
        "a space before the method",
    ),
    ("GET /\r\n\r\n", Reason::MalformedRequest, "HTTP/0.9"),
    (
        "GET / http/1.1\r\nHost: a\r\n\r\n",
        Reason::MalformedRequest,
        "a version in lower case",
    ),
    (
        "GET / HTTP/01.1\r\nHost: a\r\n\r\n",
        Reason::MalformedRequest,
        "a version with a zero before it",
    ),
    (
        "GET / HTTP/0.9\r\nHost: a\r\n\r\n",
        Reason::HttpVersionUnsupported,
        "HTTP/0.9, spelled out",
    ),
    (
        "GET / HTTP/1.2\r\nHost: a\r\n\r\n",
        Reason::HttpVersionUnsupported,
        "HTTP/1.2",
    ),
    (
        "GET / HTTP/2.0\r\nHost: a\r\n\r\n",
        Reason::HttpVersionUnsupported,
        "HTTP/2.0 in the form of 1.1",
    ),
    (
        "GET / HTTP/2\r\nHost: a\r\n\r\n",
        Reason::HttpVersionUnsupported,
        "HTTP/2",
    ),
    (
        "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        Reason::HttpVersionUnsupported,
        "the preface of HTTP/2",
    ),
    (
        "G(T / HTTP/1.1\r\nHost: a\r\n\r\n",
        Reason::MalformedRequest,
        "no token as a method",
    ),
    (
        "\x16\x03\x01\x02\x00\x01\x00\x01\u{fc}",
        Reason::MalformedRequest,
        "a TLS hello, which has no line end",
    ),
    (
        "P / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\n",
        Reason::AmbiguousFraming,
        "two lengths",
    ),
    (
        "P / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nContent-Length: 5\r\n\r\n",
        Reason::AmbiguousFraming,
        "the same length twice",
    ),
    (
        "P / HTTP/1.1\r\nHost: a\r\nContent-Length: 5, 5\r\n\r\n",
        Reason::AmbiguousFraming,
        "a list of lengths",
    ),
    (
        "P / HTTP/1.1\r\nHost: a\r\nContent-Length: +5\r\n\r\n",
        Reason::AmbiguousFraming,
        "a signed length",
    ),
    (
        "P / HTTP/1.1\r\nHost: a\r\nContent-Length: -5\r\n\r\n",
        Reason::AmbiguousFraming,
        "a negative length",
    ),
    (
        "P / HTTP/1.1\r\nHost: a\r\nContent-Length:\r\n\r\n",
        Reason::AmbiguousFraming,
        "an empty length",
    ),
    (
        "P / HTTP/1.1\r\nHost: a\r\nContent-Length: 0x5\r\n\r\n",
        Reason::AmbiguousFraming,
        "a hexadecimal length",
    ),
    (
        "P / HTTP/1.1\r\nHost: a\r\nContent-Length: 010\r\n\r\n",
        Reason::AmbiguousFraming,
        "a length that could be octal",
    ),
    (
        "P / HTTP/1.1\r\nHost: a\r\nContent-Length: 5 5\r\n\r\n",
        Reason::AmbiguousFraming,
        "a space within a length",
    ),
    (
        "P / HTTP/1.1\r\nHost: a\r\nContent-Length: 9999999999999999999\r\n\r\n",
        Reason::AmbiguousFraming,
        "a length that overflows",
    ),
    (
        "P / HTTP/1.1\r\nHost: a\r\nContent_Length: 5\r\n\r\n",
        Reason::AmbiguousFraming,
        "a length that some servers fold into one",
    ),
    (
        "P / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n",
        Reason::AmbiguousFraming,
        "a length and chunks",
    ),
    (
        "P / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n",
        Reason::AmbiguousFraming,
        "chunks and a length",
    ),
    (
        "P / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: identity\r\n\r\n",
        Reason::AmbiguousFraming,
        "a coding that is not chunked",
    ),
    (
        "P / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip, chunked\r\n\r\n",
        Reason::AmbiguousFraming,
        "a list of codings",
    ),
    (
        "P / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked, identity\r\n\r\n",
        Reason::AmbiguousFraming,
        "chunked, but not last",
    ),
    (
        "P / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked, chunked\r\n\r\n",
        Reason::AmbiguousFraming,
        "chunked twice in a list",
    ),
    (
        "P / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n",
        Reason::AmbiguousFraming,
        "chunked twice in lines",
    ),
    (
        "P / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: xchunked\r\n\r\n",
        Reason::AmbiguousFraming,
        "a coding like chunked",
    ),
    (
        "P / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: \"chunked\"\r\n\r\n",
        Reason::AmbiguousFraming,
        "chunked in quotes",
    ),
    (
        "P / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked;q=1\r\n\r\n",
        Reason::AmbiguousFraming,
        "chunked with a parameter",
    ),
    (
        "P / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: \x0bchunked\r\n\r\n",
        Reason::MalformedRequest,
        "a vertical tab before chunked",
    ),
    (
        "P / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding:\r\n\r\n",
        Reason::AmbiguousFraming,
        "an empty coding",
    ),
    (
        "P / HTTP/1.1\r\nHost: a\r\nTransfer_Encoding: chunked\r\n\r\n",
        Reason::AmbiguousFraming,
        "a coding that some servers fold into one",
    ),
    (
        "P / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n",
        Reason::AmbiguousFraming,
        "chunks in HTTP/1.0",
    ),
];

#[test]
fn bad_heads_are_replaced_by_a_refusal_and_nothing_follows() {
    let refused = String::from_utf8_lossy(REFUSED_HEAD);
    let good = "GET /good HTTP/1.1\r\nHost: a\r\n\r\n";
    let with_body = "POST /good HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc";
    for (bad, reason, why) in BAD {
        for before in ["", good, with_body] {
            let request = format!("{before}{bad}GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n");
            let seen = pass(request.as_bytes());
            assert_eq!(
                (String::from_utf8_lossy(&seen.bytes).as_ref(), seen.refusal),
                (format!("{before}{refused}").as_str(), Some(*reason)),
                "{why}"
            );
        }
    }
}

#[test]
fn broken_chunks_end_the_connection_and_nothing_follows() {
    let head = "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n";
    for (good, bad, why) in [
        ("", "\r\n", "no size"),
        ("3\r\nabc", "XY0\r\n\r\n", "data longer than its size"),
        ("5", "\nabcde", "a bare LF"),
        ("0\r\nX", " : y\r\n\r\n", "a bad trailer"),
    ] {
        let request = format!("{head}{good}{bad}GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n");
        let seen = pass(request.as_bytes());
        assert_eq!(
            (
                String::from_utf8_lossy(&seen.bytes).as_ref(),
                seen.refusal,
                seen.broken
            ),
            (format!("{head}{good}").as_str(), None, true),
            "{why}"
        );
    }
}

#[test]
fn heads_are_bounded_in_bytes_and_fields() {
    let settings = ConnectionSettings {
        head_max_bytes: 256,
        head_max_fields: 4,
        ..ConnectionSettings::default()
    };
    let outcome = |head: String| {
        let whole = read_all(&mut screen([head.clone().into_bytes()], &settings), 8192);
        let dripped = head.bytes().map(|b| vec![b]);
        assert_eq!(whole, read_all(&mut screen(dripped, &settings), 8192));
        whole.refusal
    };
    let fill = |n: usize| format!("GET / HTTP/1.1\r\nHost: a\r\nX: {}\r\n\r\n", "x".repeat(n));
    let exact = 256 - fill(0).len();
    assert_eq!(outcome(fill(exact)), None, "as long as allowed");
    assert_eq!(
        outcome(fill(exact + 1)),
        Some(Reason::HeadTooLarge),
        "one byte more"
    );
    let endless = format!("GET /{}", "a".repeat(300));
    assert_eq!(
        outcome(endless),
        Some(Reason::HeadTooLarge),
        "a line that never ends"
    );
    let fields = |n: usize| format!("GET / HTTP/1.1\r\nHost: a\r\n{}\r\n", "X: y\r\n".repeat(n));
    assert_eq!(outcome(fields(3)), None, "as many fields as allowed");
    assert_eq!(outcome(fields(4)), Some(Reason::HeadTooLarge), "one field more");
}

/// A socket in the hand of a test, with its clock.
fn timed(pieces: &[&str]) -> (Screen<Script>, Deadlines) {
    let settings = ConnectionSettings {
        head_timeout: Duration::from_millis(1000),
        keep_alive_timeout: Duration::from_millis(3000),
        body_idle_timeout: Duration::from_millis(2000),
        ..ConnectionSettings::default()
    };
    let deadlines = Deadlines::new(Duration::from_millis(100));
    let pieces = pieces.iter().map(|p| p.as_bytes().to_vec()).collect();
    (Screen::new(Script(pieces), &settings, &deadlines), deadlines)
}

fn poll(screen: &mut Screen<Script>) -> Poll<io::Result<usize>> {
    let mut space = [0; 1024];
    let mut buf = ReadBuf::new(&mut space);
    let polled = Pin::new(screen).poll_read(&mut Context::from_waker(Waker::noop()), &mut buf);
    polled.map_ok(|()| buf.filled().len())
}

fn pass_time(deadlines: &Deadlines, ms: u64) {
    (0..ms / 100).for_each(|_| deadlines.advance());
}

#[test]
fn a_head_has_one_deadline_however_it_drips() {
    let (mut screen, deadlines) = timed(&["GET"]);
    assert!(poll(&mut screen).is_pending());
    for byte in " / HTTP".bytes() {
        pass_time(&deadlines, 100);
        screen.inner.0.push_back(vec![byte]);
        assert!(
            poll(&mut screen).is_pending(),
            "a byte buys no time, but none is up yet"
        );
    }
    pass_time(&deadlines, 500);
    assert!(matches!(poll(&mut screen), Poll::Ready(Ok(n)) if n == REFUSED_HEAD.len()));
    assert_eq!(screen.line().refusal(), Some(Reason::HeadTimeout));
    assert!(poll(&mut screen).is_pending(), "and nothing more is read");
}

#[test]
fn an_idle_connection_ends_silently_but_a_busy_one_does_not() {
    let (mut screen, deadlines) = timed(&["GET / HTTP/1.1\r\nHost: a\r\n\r\n"]);
    assert!(poll(&mut screen).is_ready());
    let busy = screen.line().busy();
    pass_time(&deadlines, 10_000);
    assert!(poll(&mut screen).is_pending(), "an answer is on its way");
    drop(busy);
    pass_time(&deadlines, 2_000);
    assert!(poll(&mut screen).is_pending(), "not idle for long enough");
    pass_time(&deadlines, 1_500);
    assert!(
        matches!(poll(&mut screen), Poll::Ready(Ok(0))),
        "the end of input, no refusal"
    );
    assert_eq!(screen.line().refusal(), None);
}

#[test]
fn a_fresh_connection_that_says_nothing_ends_silently() {
    let (mut screen, deadlines) = timed(&[]);
    assert!(poll(&mut screen).is_pending());
    pass_time(&deadlines, 3_500);
    assert!(matches!(poll(&mut screen), Poll::Ready(Ok(0))));
}

#[test]
fn a_body_may_take_long_but_not_stand_still() {
    let (mut screen, deadlines) = timed(&["POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\n"]);
    assert!(poll(&mut screen).is_ready());
    let _busy = screen.line().busy();
    for _ in 0..5 {
        assert!(poll(&mut screen).is_pending());
        pass_time(&deadlines, 1_500);
        screen.inner.0.push_back(vec![b'x']);
        assert!(matches!(poll(&mut screen), Poll::Ready(Ok(1))));
    }
    assert!(poll(&mut screen).is_pending());
    pass_time(&deadlines, 2_500);
    assert!(matches!(poll(&mut screen), Poll::Ready(Err(e)) if e.kind() == io::ErrorKind::TimedOut));
}

#[test]
fn a_pipelined_half_head_is_timed_while_an_answer_is_on_its_way() {
    let (mut screen, deadlines) = timed(&["GET / HTTP/1.1\r\nHost: a\r\n\r\nGET /2"]);
    assert!(poll(&mut screen).is_ready());
    let busy = screen.line().busy();
    assert!(poll(&mut screen).is_pending());
    drop(busy);
    pass_time(&deadlines, 1_500);
    assert!(poll(&mut screen).is_ready());
    assert_eq!(screen.line().refusal(), Some(Reason::HeadTimeout));
}

#[test]
fn an_idle_connection_holds_no_buffer() {
    let pieces = ["GET / HTTP/1.1\r\nHo", "st: a\r\n\r\n"].map(|p| p.as_bytes().to_vec());
    let mut screen = screen(pieces, &ConnectionSettings::default());
    assert!(!read_all(&mut screen, 8192).bytes.is_empty());
    assert_eq!(screen.carry.capacity(), 0);
}
