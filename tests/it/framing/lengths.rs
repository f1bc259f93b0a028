//! `Content-Length` in every spelling (RFC 9110 section 8.6, RFC 9112 section 6.2).

use super::row::{Row, Then, ambiguous, malformed, passes, post, row};

pub fn rows() -> Vec<Row> {
    let with = |line: &str| format!("{}hello", post(line));
    let hello = &["POST /~ hello"];
    let mut rows = vec![
        passes(
            "a length as everybody writes it",
            with("Content-Length: 5"),
            hello,
        ),
        passes("no length is no body", post("X: y"), &["POST /~"]),
        passes("a length of nothing", post("Content-Length: 0"), &["POST /~"]),
        passes("lower case", with("content-length: 5"), hello),
        passes("upper case", with("CONTENT-LENGTH: 5"), hello),
        passes("no space after the colon", with("Content-Length:5"), hello),
        passes("spaces around the value", with("Content-Length:   5  "), hello),
        passes("tabs around the value", with("Content-Length:\t5\t"), hello),
        passes(
            "two digits",
            format!("{}hello hello", post("Content-Length: 11")),
            &["POST /~ hello hello"],
        ),
        passes(
            "a body with a GET",
            "GET /~ HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello",
            &["GET /~ hello"],
        ),
        passes(
            "a body with a DELETE",
            "DELETE /~ HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello",
            &["DELETE /~ hello"],
        ),
        row(
            "the longest length that is taken, on a route that refuses it",
            "POST /closed/~ HTTP/1.1\r\nHost: a\r\nContent-Length: 999999999999999999\r\n\r\n",
            &["401 credential_missing"],
            Then::Closes,
        ),
        row(
            "a body that ends before its length",
            post("Content-Length: 6") + "hello",
            &[],
            Then::Waits,
        ),
        passes(
            "a name like it but longer is none",
            post("X-Content-Length: 5"),
            &["POST /~"],
        ),
        passes(
            "the same name without its hyphen is none",
            post("ContentLength: 5"),
            &["POST /~"],
        ),
        passes(
            "a client cannot have it taken away by Connection",
            with("Content-Length: 5\r\nConnection: content-length"),
            hello,
        ),
    ];
    for (why, line) in [
        (
            "two lengths that differ",
            "Content-Length: 5\r\nContent-Length: 6",
        ),
        (
            "two lengths, the first shorter",
            "Content-Length: 0\r\nContent-Length: 5",
        ),
        (
            "the same length twice: the next server may see one",
            "Content-Length: 5\r\nContent-Length: 5",
        ),
        (
            "the same length twice in different cases",
            "Content-Length: 5\r\nCONTENT-length: 5",
        ),
        (
            "twice with another field between",
            "Content-Length: 5\r\nX: y\r\nContent-Length: 5",
        ),
        (
            "three of them",
            "Content-Length: 5\r\nContent-Length: 5\r\nContent-Length: 5",
        ),
        ("a list of equal lengths", "Content-Length: 5, 5"),
        ("a list without a space", "Content-Length: 5,5"),
        ("a list of different lengths", "Content-Length: 5, 6"),
        ("a comma behind the length", "Content-Length: 5,"),
        ("a comma before the length", "Content-Length: ,5"),
        ("a plus", "Content-Length: +5"),
        ("a minus", "Content-Length: -5"),
        ("a negative zero", "Content-Length: -0"),
        ("an empty length", "Content-Length:"),
        ("nothing but spaces", "Content-Length:   "),
        ("hexadecimal by prefix", "Content-Length: 0x5"),
        ("hexadecimal digits", "Content-Length: a"),
        ("a number that could be octal", "Content-Length: 05"),
        ("several zeros", "Content-Length: 00"),
        ("zeros before a length", "Content-Length: 0000000005"),
        ("binary by prefix", "Content-Length: 0b101"),
        ("a fraction", "Content-Length: 5.0"),
        ("an exponent", "Content-Length: 5e0"),
        (
            "an underscore between digits, as some languages write",
            "Content-Length: 1_0",
        ),
        ("quotes", "Content-Length: \"5\""),
        ("apostrophes", "Content-Length: '5'"),
        ("a space between digits", "Content-Length: 1 1"),
        ("a tab between digits", "Content-Length: 1\t1"),
        ("a parameter", "Content-Length: 5;q=1"),
        ("a unit", "Content-Length: 5B"),
        ("a word", "Content-Length: five"),
        ("more than 2^64", "Content-Length: 18446744073709551621"),
        ("exactly 2^64", "Content-Length: 18446744073709551616"),
        (
            "the largest 64-bit number",
            "Content-Length: 18446744073709551615",
        ),
        ("more than 2^63", "Content-Length: 9223372036854775813"),
        (
            "2^32 times a number that wraps to five",
            "Content-Length: 79228162514264337593543950341",
        ),
        ("a digit of another script", "Content-Length: \u{665}"),
        ("a digit of full width", "Content-Length: \u{ff15}"),
        ("a no-break space", "Content-Length: \u{a0}5"),
        ("a byte-order mark", "Content-Length: \u{feff}5"),
        ("a space before the colon", "Content-Length : 5"),
        ("a space for the colon", "Content-Length 5"),
        ("a tab before the colon", "Content-Length\t: 5"),
        ("an underscore, which CGI and WSGI fold", "Content_Length: 5"),
        (
            "an underscore beside the true one",
            "Content-Length: 5\r\nContent_Length: 6",
        ),
        ("a dot, which some frameworks fold", "Content.Length: 5"),
        (
            "an exclamation mark, which some frameworks fold",
            "Content!Length: 5",
        ),
        ("a folded length", "Content-Length:\r\n 5"),
        ("a folded length by tab", "Content-Length:\r\n\t5"),
        (
            "a length that goes on in the next line",
            "Content-Length: 1\r\n 1",
        ),
        (
            "a folded field whose second line is a length",
            "X: y\r\n Content-Length: 5",
        ),
        ("a space before the name", " Content-Length: 5"),
        ("a space within the name", "Content Length: 5"),
        ("a bare CR before the value", "Content-Length: \r5"),
        ("a bare CR behind the value", "Content-Length: 5\r\r"),
        ("a bare LF before the value", "Content-Length:\n5"),
        ("a length behind a bare LF", "X: y\nContent-Length: 5"),
        ("a length behind a bare CR", "X: y\rContent-Length: 5"),
        (
            "chunks beside it",
            "Content-Length: 5\r\nTransfer-Encoding: chunked",
        ),
        (
            "chunks before it",
            "Transfer-Encoding: chunked\r\nContent-Length: 5",
        ),
        (
            "chunks beside a length of nothing",
            "Content-Length: 0\r\nTransfer-Encoding: chunked",
        ),
        (
            "chunks in odd letters beside it",
            "content-length: 5\r\ntRANSFER-eNCODING: cHUNKED",
        ),
        (
            "identity beside it",
            "Content-Length: 5\r\nTransfer-Encoding: identity",
        ),
        (
            "an unknown coding beside it",
            "Content-Length: 5\r\nTransfer-Encoding: x",
        ),
        (
            "an empty coding beside it",
            "Content-Length: 5\r\nTransfer-Encoding:",
        ),
    ] {
        rows.push(ambiguous(why, with(line)));
    }
    for (why, line) in [
        ("a vertical tab before the value", "Content-Length: \u{b}5"),
        ("a form feed behind the value", "Content-Length: 5\u{c}"),
        ("NUL behind the value", "Content-Length: 5\0"),
        ("NUL in the name", "Content-Length\0: 5"),
        ("a backspace in the value", "Content-Length: 6\u{8}5"),
        ("DEL in the value", "Content-Length: 5\u{7f}"),
        ("an equals sign for the colon", "Content-Length=5"),
        ("a semicolon for the colon", "Content-Length; 5"),
        ("a colon before the name", ":Content-Length: 5"),
        ("a hyphen of another script", "Content\u{2010}Length: 5"),
        ("a letter of another script", "\u{421}ontent-Length: 5"),
    ] {
        rows.push(malformed(why, with(line)));
    }
    rows
}
