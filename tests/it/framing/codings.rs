//! `Transfer-Encoding` in every spelling (RFC 9112 section 6.1): `chunked`, once and alone, or nothing.

use super::row::{Row, Then, ambiguous, malformed, passes, post, row};

pub fn rows() -> Vec<Row> {
    let with = |line: &str| format!("{}5\r\nhello\r\n0\r\n\r\n", post(line));
    let hello = &["POST /~ hello"];
    let mut rows = vec![
        passes(
            "as everybody writes it",
            with("Transfer-Encoding: chunked"),
            hello,
        ),
        passes("another case", with("TRANSFER-encoding: Chunked"), hello),
        passes("upper case", with("Transfer-Encoding: CHUNKED"), hello),
        passes(
            "no space after the colon",
            with("Transfer-Encoding:chunked"),
            hello,
        ),
        passes(
            "white space around it",
            with("Transfer-Encoding: \t chunked \t "),
            hello,
        ),
        passes(
            "chunks with a GET",
            "GET /~ HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
            &["GET /~ hello"],
        ),
        passes(
            "a client cannot have it taken away by Connection",
            with("Transfer-Encoding: chunked\r\nConnection: transfer-encoding"),
            hello,
        ),
        passes(
            "a name like it but longer is none",
            post("X-Transfer-Encoding: chunked"),
            &["POST /~"],
        ),
        passes(
            "TE is not Transfer-Encoding, and goes no further",
            post("TE: chunked"),
            &["POST /~"],
        ),
        passes(
            "Content-Encoding says nothing about framing",
            post("Content-Encoding: chunked"),
            &["POST /~"],
        ),
        row(
            "chunks in HTTP/1.0, where some servers know none",
            "POST /~ HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
            &["400 ambiguous_framing"],
            Then::Closes,
        ),
        row(
            "chunks in HTTP/1.0 with keep-alive",
            "POST /~ HTTP/1.0\r\nHost: a\r\nConnection: keep-alive\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
            &["400 ambiguous_framing"],
            Then::Closes,
        ),
        row(
            "chunks and a length in HTTP/1.0",
            "POST /~ HTTP/1.0\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\nhello",
            &["400 ambiguous_framing"],
            Then::Closes,
        ),
    ];
    for (why, line) in [
        (
            "identity, which is gone since 2014",
            "Transfer-Encoding: identity",
        ),
        ("gzip", "Transfer-Encoding: gzip"),
        ("gzip, then chunked", "Transfer-Encoding: gzip, chunked"),
        ("chunked, then gzip", "Transfer-Encoding: chunked, gzip"),
        ("chunked, then identity", "Transfer-Encoding: chunked, identity"),
        ("identity, then chunked", "Transfer-Encoding: identity, chunked"),
        ("chunked twice", "Transfer-Encoding: chunked, chunked"),
        (
            "chunked twice without a space",
            "Transfer-Encoding: chunked,chunked",
        ),
        (
            "chunked twice in two lines",
            "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked",
        ),
        (
            "identity in a second line",
            "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity",
        ),
        (
            "identity in the first line",
            "Transfer-Encoding: identity\r\nTransfer-Encoding: chunked",
        ),
        (
            "an empty second line",
            "Transfer-Encoding: chunked\r\nTransfer-Encoding:",
        ),
        ("a comma behind", "Transfer-Encoding: chunked,"),
        ("a comma before", "Transfer-Encoding: ,chunked"),
        ("an empty value", "Transfer-Encoding:"),
        ("nothing but white space", "Transfer-Encoding: \t "),
        ("a word that begins like it", "Transfer-Encoding: chunkedx"),
        ("a word that ends like it", "Transfer-Encoding: xchunked"),
        ("a hyphen in it", "Transfer-Encoding: chun-ked"),
        ("a hyphen before it", "Transfer-Encoding: x-chunked"),
        ("a misspelling", "Transfer-Encoding: chunk"),
        ("another misspelling", "Transfer-Encoding: chuncked"),
        ("quotes", "Transfer-Encoding: \"chunked\""),
        ("apostrophes", "Transfer-Encoding: 'chunked'"),
        ("brackets", "Transfer-Encoding: [chunked]"),
        ("a parameter", "Transfer-Encoding: chunked;q=1"),
        ("an empty parameter", "Transfer-Encoding: chunked;"),
        ("a space and a word", "Transfer-Encoding: chunked x"),
        ("a space within", "Transfer-Encoding: chun ked"),
        ("a colon before it", "Transfer-Encoding: :chunked"),
        ("a second colon", "Transfer-Encoding:: chunked"),
        ("a no-break space", "Transfer-Encoding: \u{a0}chunked"),
        ("a next-line character", "Transfer-Encoding: \u{85}chunked"),
        ("a letter of another script", "Transfer-Encoding: \u{441}hunked"),
        (
            "a letter that becomes k in lower case",
            "Transfer-Encoding: chun\u{212a}ed",
        ),
        ("a byte-order mark", "Transfer-Encoding: \u{feff}chunked"),
        ("a space before the colon", "Transfer-Encoding : chunked"),
        ("a space for the colon", "Transfer-Encoding chunked"),
        ("a tab before the colon", "Transfer-Encoding\t: chunked"),
        ("a space before the name", " Transfer-Encoding: chunked"),
        ("a tab before the name", "\tTransfer-Encoding: chunked"),
        ("a space within the name", "Transfer Encoding: chunked"),
        (
            "an underscore, which CGI and WSGI fold",
            "Transfer_Encoding: chunked",
        ),
        (
            "an underscore beside the true one",
            "Transfer-Encoding: chunked\r\nTransfer_Encoding: x",
        ),
        ("a dot, which some frameworks fold", "Transfer.Encoding: chunked"),
        ("a plus, which some frameworks fold", "Transfer+Encoding: chunked"),
        ("a folded value", "Transfer-Encoding:\r\n chunked"),
        ("a folded value by tab", "Transfer-Encoding:\r\n\tchunked"),
        ("a value folded behind", "Transfer-Encoding: chunked\r\n x"),
        ("hidden in a folded field", "X: y\r\n Transfer-Encoding: chunked"),
        ("behind a bare LF", "X: y\nTransfer-Encoding: chunked"),
        ("behind a bare CR", "X: y\rTransfer-Encoding: chunked"),
        ("a bare CR before the value", "Transfer-Encoding: \rchunked"),
        ("a bare LF before the value", "Transfer-Encoding:\nchunked"),
        ("a bare LF behind the value", "Transfer-Encoding: chunked\nX: y"),
    ] {
        rows.push(ambiguous(why, with(line)));
    }
    for (why, line) in [
        (
            "a vertical tab before the value",
            "Transfer-Encoding: \u{b}chunked",
        ),
        (
            "a vertical tab behind the value",
            "Transfer-Encoding: chunked\u{b}",
        ),
        ("a form feed before the value", "Transfer-Encoding: \u{c}chunked"),
        ("NUL behind the value", "Transfer-Encoding: chunked\0"),
        ("NUL before the value", "Transfer-Encoding: \0chunked"),
        ("NUL in the name", "Transfer\0-Encoding: chunked"),
        ("DEL in the value", "Transfer-Encoding: chun\u{7f}ked"),
        (
            "a unit separator before the value",
            "Transfer-Encoding: \u{1f}chunked",
        ),
        ("a colon before the name", ":Transfer-Encoding: chunked"),
        ("a hyphen of another script", "Transfer\u{2011}Encoding: chunked"),
    ] {
        rows.push(malformed(why, with(line)));
    }
    rows
}
