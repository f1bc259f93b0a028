//! Fields that frame nothing, line ends, empty lines, bounds (RFC 9110 section 5, RFC 9112 sections 2 and 5).

use super::row::{Row, Then, ambiguous, get, malformed, passes, row};

pub fn rows() -> Vec<Row> {
    let served = &["GET /~"];
    let mut rows = vec![
        passes(
            "one empty line before a request (RFC 9112 section 2.2)",
            "\r\nGET /~ HTTP/1.1\r\nHost: a\r\n\r\n",
            served,
        ),
        malformed(
            "two empty lines before a request",
            "\r\n\r\nGET /~ HTTP/1.1\r\nHost: a\r\n\r\n",
        ),
        malformed("a TLS hello", "\u{16}\u{3}\u{1}\u{2}\0\u{1}\0"),
        malformed("an SSH greeting", "SSH-2.0-OpenSSH_9.7\r\n"),
        malformed("a mail client", "EHLO example.com\r\n"),
        malformed(
            "a PROXY header from nobody who was listed",
            "PROXY TCP4 1.2.3.4 5.6.7.8 1 2\r\nGET /~ HTTP/1.1\r\n\r\n",
        ),
        malformed(
            "a binary PROXY header from nobody who was listed",
            b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c\x01\x02\x03\x04\x05\x06\x07\x08\0\x01\0\x02",
        ),
        row(
            "a head beyond the bound",
            get(&format!("X: {}", "x".repeat(33 * 1024))),
            &["431 head_too_large"],
            Then::Closes,
        ),
        row(
            "a head beyond the bound in many fields",
            get(&vec!["X: y"; 100].join("\r\n")),
            &["431 head_too_large"],
            Then::Closes,
        ),
        passes("a hundred fields", get(&vec!["X: y"; 99].join("\r\n")), served),
        passes(
            "a field of 30 kB",
            get(&format!("X: {}", "x".repeat(30 * 1024))),
            served,
        ),
        row(
            "a target beyond the bound",
            format!("GET /~{} HTTP/1.1\r\nHost: a\r\n\r\n", "x".repeat(33 * 1024)),
            &["431 head_too_large"],
            Then::Closes,
        ),
        row(
            "a line that never ends",
            format!("GET /~ HTTP/1.1\r\nX: {}", "x".repeat(33 * 1024)),
            &["431 head_too_large"],
            Then::Closes,
        ),
    ];
    for (why, lines) in [
        ("an empty value", "X:"),
        ("a value of white space", "X: \t "),
        ("a colon in a value", "X: a:b"),
        ("a value that looks like a field", "X: Content-Length: 5"),
        ("a tab in a value", "X: a\tb"),
        ("a name of marks", "!#$%&'*+-.^_`|~0: y"),
        ("a name of one letter, twice", "X: a\r\nX: b"),
        ("a comma in a value", "X: a, b"),
        ("quotes that do not close", "X: \"a"),
        ("a number as a name", "5: y"),
        ("a name in odd letters", "x-LoNg-NaMe: y"),
    ] {
        rows.push(passes(why, get(lines), served));
    }
    rows.push(passes(
        "every byte outside ASCII in a value",
        [
            &b"GET /~ HTTP/1.1\r\nHost: a\r\nX: "[..],
            &(0x80..=0xff).collect::<Vec<u8>>(),
            b"\r\n\r\n",
        ]
        .concat(),
        served,
    ));
    for (why, lines) in [
        ("no name", ": y"),
        ("nothing but a colon", ":"),
        ("no colon", "X"),
        ("a pseudo-header of HTTP/2", ":path: /x"),
        ("a bracket in a name", "X(y): z"),
        ("a comma in a name", "X,Y: z"),
        ("a slash in a name", "X/Y: z"),
        ("an at sign in a name", "X@Y: z"),
        ("a quote in a name", "\"X\": z"),
        ("a backslash in a name", "X\\Y: z"),
        ("NUL in a name", "X\0: y"),
        ("DEL in a name", "X\u{7f}: y"),
        ("a letter outside ASCII in a name", "\u{e9}: y"),
        ("NUL in a value", "X: a\0b"),
        ("NUL at the end of a value", "X: a\0"),
        ("a bell in a value", "X: \u{7}"),
        ("a backspace in a value", "X: \u{8}"),
        ("a vertical tab in a value", "X: a\u{b}b"),
        ("a form feed in a value", "X: a\u{c}b"),
        ("an escape character in a value", "X: \u{1b}[2J"),
        ("a unit separator in a value", "X: \u{1f}"),
        ("DEL in a value", "X: a\u{7f}"),
        ("a request line for a field", "/ HTTP/1.1"),
    ] {
        rows.push(malformed(why, get(lines)));
    }
    for (why, lines) in [
        (
            "a request line as a field has a space before its colon",
            "GET http://a/ HTTP/1.1",
        ),
        ("a space before the colon", "X : y"),
        ("a tab before the colon", "X\t: y"),
        ("a space within a name", "X Y: z"),
        ("a line folded by a space", "X: a\r\n b"),
        ("a line folded by a tab", "X: a\r\n\tb"),
        ("a folded line of nothing but a space", "X: a\r\n \r\nY: b"),
        ("a line folded twice", "X: a\r\n b\r\n c"),
        ("a bare CR in a value", "X: a\rb"),
        ("a bare CR at the start of a value", "X:\ra"),
        ("a bare CR at the end of a value", "X: a\r"),
        ("a bare CR in a name", "X\rY: z"),
        ("a bare CR at the start of a line", "\rX: y"),
        ("a bare LF as a line end", "X: a\nY: b"),
        ("a bare LF at the start of a line", "\nX: y"),
        ("LF and CR in the wrong order", "X: a\n\rY: b"),
        ("an empty line by bare LF", "X: a\n\nGET /~ HTTP/1.1\r\nHost: a"),
        (
            "an empty line by LF, CR, LF",
            "X: a\n\r\nGET /~ HTTP/1.1\r\nHost: a",
        ),
        ("an empty line by CR, CR", "X: a\r\rGET /~ HTTP/1.1\r\nHost: a"),
    ] {
        rows.push(ambiguous(why, get(lines)));
    }
    rows.push(ambiguous(
        "a bare LF as the empty line",
        "GET /~ HTTP/1.1\r\nHost: a\r\n\n",
    ));
    rows.push(ambiguous("bare LF throughout", "GET /~ HTTP/1.1\nHost: a\n\n"));
    rows.push(ambiguous(
        "a folded line before any field",
        "GET /~ HTTP/1.1\r\n X: y\r\nHost: a\r\n\r\n",
    ));
    rows.push(ambiguous(
        "CR, CR, LF as the line end",
        "GET /~ HTTP/1.1\r\r\nHost: a\r\n\r\n",
    ));
    rows
}
