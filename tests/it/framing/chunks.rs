//! Chunked bodies (RFC 9112 section 7.1): sizes, extensions, data, trailers, and what stands behind them.

use super::row::{Row, SMUGGLED, Then, breaks, chunked, passes, row};

pub fn rows() -> Vec<Row> {
    let mut rows = Vec::new();
    for (why, body, answer) in [
        ("one chunk", "5\r\nhello\r\n0\r\n\r\n", "POST /~ hello"),
        ("two chunks", "2\r\nhe\r\n3\r\nllo\r\n0\r\n\r\n", "POST /~ hello"),
        ("no chunk", "0\r\n\r\n", "POST /~"),
        (
            "a size in upper case",
            "A\r\n0123456789\r\n0\r\n\r\n",
            "POST /~ 0123456789",
        ),
        (
            "a size in lower case",
            "a\r\n0123456789\r\n0\r\n\r\n",
            "POST /~ 0123456789",
        ),
        (
            "zeros before a size",
            "0005\r\nhello\r\n0\r\n\r\n",
            "POST /~ hello",
        ),
        (
            "several zeros at the end",
            "5\r\nhello\r\n0000\r\n\r\n",
            "POST /~ hello",
        ),
        (
            "fifteen digits",
            "000000000000005\r\nhello\r\n0\r\n\r\n",
            "POST /~ hello",
        ),
        ("an extension", "5;a\r\nhello\r\n0\r\n\r\n", "POST /~ hello"),
        (
            "an extension with a value",
            "5;a=b\r\nhello\r\n0\r\n\r\n",
            "POST /~ hello",
        ),
        (
            "an extension with a quoted value",
            "5;a=\"b c;d\"\r\nhello\r\n0\r\n\r\n",
            "POST /~ hello",
        ),
        (
            "an extension on the last chunk",
            "5\r\nhello\r\n0;last\r\n\r\n",
            "POST /~ hello",
        ),
        (
            "an extension that looks like a size",
            "5;6\r\nhello\r\n0\r\n\r\n",
            "POST /~ hello",
        ),
        ("an empty extension", "5;\r\nhello\r\n0\r\n\r\n", "POST /~ hello"),
        (
            "data that looks like a chunk",
            "7\r\n0\r\n\r\n0\r\r\n0\r\n\r\n",
            "POST /~ 0\r\n\r\n0\r",
        ),
        (
            "data that looks like a request",
            "e\r\nGET / HTTP/1.1\r\n0\r\n\r\n",
            "POST /~ GET / HTTP/1.1",
        ),
        ("a trailer", "5\r\nhello\r\n0\r\nX: y\r\n\r\n", "POST /~ hello"),
        (
            "an empty trailer",
            "5\r\nhello\r\n0\r\nX:\r\n\r\n",
            "POST /~ hello",
        ),
        (
            "a length as a trailer changes nothing",
            "5\r\nhello\r\n0\r\nContent-Length: 3\r\n\r\n",
            "POST /~ hello",
        ),
        (
            "a coding as a trailer changes nothing",
            "5\r\nhello\r\n0\r\nTransfer-Encoding: x\r\n\r\n",
            "POST /~ hello",
        ),
        (
            "an identity as a trailer goes no further",
            "0\r\nX-Auth-Subject: root\r\nHost: b\r\n\r\n",
            "POST /~",
        ),
    ] {
        rows.push(passes(why, chunked(body), &[answer]));
    }
    for (why, body) in [
        ("no size", "\r\nhello\r\n0\r\n\r\n"),
        ("an extension without a size", ";a\r\nhello\r\n0\r\n\r\n"),
        ("no hexadecimal digit", "g\r\nhello\r\n0\r\n\r\n"),
        ("digits and a letter that is none", "5g\r\nhello\r\n0\r\n\r\n"),
        ("the notation of C", "0x5\r\nhello\r\n0\r\n\r\n"),
        ("the notation of C in upper case", "0X5\r\nhello\r\n0\r\n\r\n"),
        ("an h behind the digits", "5h\r\nhello\r\n0\r\n\r\n"),
        ("a plus", "+5\r\nhello\r\n0\r\n\r\n"),
        ("a minus", "-5\r\nhello\r\n0\r\n\r\n"),
        ("a negative zero as the last chunk", "5\r\nhello\r\n-0\r\n\r\n"),
        ("an underscore between digits", "0_5\r\nhello\r\n0\r\n\r\n"),
        ("a comma", "5,\r\nhello\r\n0\r\n\r\n"),
        ("a dot", "5.0\r\nhello\r\n0\r\n\r\n"),
        ("a space before the size", " 5\r\nhello\r\n0\r\n\r\n"),
        ("a space behind the size", "5 \r\nhello\r\n0\r\n\r\n"),
        ("a tab behind the size", "5\t\r\nhello\r\n0\r\n\r\n"),
        ("a space before an extension", "5 ;a\r\nhello\r\n0\r\n\r\n"),
        ("a word behind a space", "5 a\r\nhello\r\n0\r\n\r\n"),
        ("a vertical tab before the size", "\u{b}5\r\nhello\r\n0\r\n\r\n"),
        ("NUL behind the size", "5\0\r\nhello\r\n0\r\n\r\n"),
        ("a digit of another script", "\u{665}\r\nhello\r\n0\r\n\r\n"),
        ("sixteen digits", "0000000000000005\r\nhello\r\n0\r\n\r\n"),
        ("a size of 2^60", "1000000000000000\r\nhello\r\n0\r\n\r\n"),
        (
            "a size of 2^64 and five",
            "10000000000000005\r\nhello\r\n0\r\n\r\n",
        ),
        (
            "the largest 64-bit size",
            "ffffffffffffffff\r\nhello\r\n0\r\n\r\n",
        ),
        (
            "three hundred zeros",
            &*format!("{}5\r\nhello\r\n0\r\n\r\n", "0".repeat(300)),
        ),
        ("a bare LF behind the size", "5\nhello\r\n0\r\n\r\n"),
        ("a bare CR behind the size", "5\rhello\r\n0\r\n\r\n"),
        ("two CR behind the size", "5\r\r\nhello\r\n0\r\n\r\n"),
        ("a bare LF in an extension", "5;a\nhello\r\n0\r\n\r\n"),
        (
            "a bare LF in an extension, then CRLF",
            "5;a\n\r\nhello\r\n0\r\n\r\n",
        ),
        ("a bare CR in an extension", "5;a\rb\r\nhello\r\n0\r\n\r\n"),
        (
            "a line end in a quoted extension",
            "5;a=\"\r\n\"\r\nhello\r\n0\r\n\r\n",
        ),
        ("NUL in an extension", "5;a\0\r\nhello\r\n0\r\n\r\n"),
        ("a tab in an extension", "5;\ta\r\nhello\r\n0\r\n\r\n"),
        (
            "a letter outside ASCII in an extension",
            "5;\u{e9}\r\nhello\r\n0\r\n\r\n",
        ),
        (
            "an extension of 300 bytes",
            &*format!("5;{}\r\nhello\r\n0\r\n\r\n", "a".repeat(300)),
        ),
        ("more data than the size says", "3\r\nhello\r\n0\r\n\r\n"),
        ("less data than the size says", "6\r\nhello\r\n0\r\n\r\n"),
        ("no line end behind the data", "5\r\nhello0\r\n\r\n"),
        ("a bare LF behind the data", "5\r\nhello\n0\r\n\r\n"),
        ("a bare CR behind the data", "5\r\nhello\r0\r\n\r\n"),
        (
            "LF and CR in the wrong order behind the data",
            "5\r\nhello\n\r0\r\n\r\n",
        ),
        ("an empty line behind the data", "5\r\nhello\r\n\r\n0\r\n\r\n"),
        ("a space behind the data", "5\r\nhello \r\n0\r\n\r\n"),
        ("a bare LF behind the last chunk", "5\r\nhello\r\n0\n\r\n"),
        ("a bare LF as the empty line", "5\r\nhello\r\n0\r\n\n"),
        ("a bare CR as the empty line", "5\r\nhello\r\n0\r\n\rX"),
        ("a trailer without a name", "0\r\n: y\r\n\r\n"),
        ("a trailer without a colon", "0\r\nX\r\n\r\n"),
        ("a trailer with a space before the colon", "0\r\nX : y\r\n\r\n"),
        ("a folded trailer", "0\r\nX: y\r\n z\r\n\r\n"),
        ("a space before the first trailer", "0\r\n X: y\r\n\r\n"),
        ("a trailer with NUL", "0\r\nX: \0\r\n\r\n"),
        ("a trailer with a bare LF", "0\r\nX: y\nZ: a\r\n\r\n"),
        ("a trailer with a bare CR", "0\r\nX: y\rZ: a\r\n\r\n"),
        (
            "a request line as a trailer",
            "0\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n",
        ),
        (
            "trailers beyond the bound",
            &*format!("0\r\nX: {}\r\n\r\n", "y".repeat(9 * 1024)),
        ),
        (
            "more trailers than a head may have fields",
            &*format!("0\r\n{}\r\n", "X: y\r\n".repeat(101)),
        ),
    ] {
        // Behind the offence stands a request that nobody may see.
        rows.push(breaks(why, format!("{}{SMUGGLED}", chunked(body))));
    }
    for (why, body) in [
        (
            "a size of 2^32 and five does not become five",
            "100000005\r\nhello\r\n0\r\n\r\n",
        ),
        (
            "a size of 2^31 and five is not negative",
            "80000005\r\nhello\r\n0\r\n\r\n",
        ),
        ("a body without its last chunk", "5\r\nhello\r\n"),
        ("a body without its empty line", "5\r\nhello\r\n0\r\n"),
        ("a body that ends within a chunk", "5\r\nhel"),
    ] {
        rows.push(row(why, chunked(body), &[], Then::Waits));
    }
    rows.push(passes(
        "a request behind a chunked body",
        format!(
            "{}GET /~2 HTTP/1.1\r\nHost: a\r\n\r\n",
            chunked("5\r\nhello\r\n0\r\n\r\n")
        ),
        &["POST /~ hello", "GET /~2"],
    ));
    rows.push(passes(
        "a request behind a trailer",
        format!(
            "{}GET /~2 HTTP/1.1\r\nHost: a\r\n\r\n",
            chunked("0\r\nX: y\r\n\r\n")
        ),
        &["POST /~", "GET /~2"],
    ));
    rows.push(row(
        "a byte behind a chunked body is the start of a request",
        format!("{}x{SMUGGLED}", chunked("5\r\nhello\r\n0\r\n\r\n")),
        &["POST /~ hello", "xGET /smuggled~"],
        Then::Lives,
    ));
    rows.push(row(
        "a NUL behind a chunked body is the start of no request",
        format!("{}\0{SMUGGLED}", chunked("5\r\nhello\r\n0\r\n\r\n")),
        &["POST /~ hello", "400 malformed_request"],
        Then::Closes,
    ));
    rows
}
