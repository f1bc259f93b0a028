//! `Host` and the targets that name a host themselves (RFC 9112 section 3.2).

use super::row::{Row, Then, ambiguous, malformed, passes, row};

pub fn rows() -> Vec<Row> {
    let get = &["GET /~"];
    let with = |lines: &str| format!("GET /~ HTTP/1.1\r\n{lines}\r\n\r\n");
    let absolute = |target: &str, lines: &str| format!("GET {target} HTTP/1.1\r\n{lines}\r\n\r\n");
    let mut rows = vec![
        row(
            "HTTP/1.0 needs none: the upstream is told its own",
            "GET /~ HTTP/1.0\r\n\r\n",
            get,
            Then::Closes,
        ),
        row(
            "HTTP/1.0 may have one",
            "GET /~ HTTP/1.0\r\nHost: a\r\n\r\n",
            get,
            Then::Closes,
        ),
        row(
            "HTTP/1.0 with two of them is no better than HTTP/1.1",
            "GET /~ HTTP/1.0\r\nHost: a\r\nHost: b\r\n\r\n",
            &["400 malformed_request"],
            Then::Closes,
        ),
        row(
            "absolute form in HTTP/1.0 without Host",
            "GET http://a/~ HTTP/1.0\r\n\r\n",
            get,
            Then::Closes,
        ),
        row(
            "a client cannot have it taken away by Connection",
            with("Host: a\r\nConnection: host, close"),
            get,
            Then::Closes,
        ),
    ];
    for (why, lines) in [
        ("a name", "Host: a"),
        ("a name with dots", "Host: www.example.com"),
        (
            "a name with a dot at its end is another name, but one",
            "Host: a.",
        ),
        ("upper case", "HOST: A.EXAMPLE"),
        ("lower case, no space", "host:a"),
        ("white space around it", "Host: \t a \t"),
        ("a port", "Host: a:8080"),
        ("the highest port", "Host: a:65535"),
        ("an IPv4 address", "Host: 127.0.0.1"),
        ("an IPv4 address and a port", "Host: 127.0.0.1:80"),
        ("an IPv6 address", "Host: [::1]"),
        ("an IPv6 address and a port", "Host: [2001:db8::1]:8080"),
        ("an IPv6 address that ends as IPv4", "Host: [::ffff:127.0.0.1]"),
        ("an underscore, which some networks have in names", "Host: a_b"),
        ("behind other fields", "X: y\r\nHost: a"),
        ("X-Host is another field", "Host: a\r\nX-Host: b"),
        (
            "X-Forwarded-Host says nothing here",
            "Host: a\r\nX-Forwarded-Host: b",
        ),
    ] {
        rows.push(passes(why, with(lines), get));
    }
    for (why, target, lines) in [
        ("absolute form that agrees with Host", "http://a/~", "Host: a"),
        ("absolute form that agrees but for case", "http://A/~", "Host: a"),
        (
            "absolute form with the same port",
            "http://a:8080/~",
            "Host: a:8080",
        ),
        (
            "absolute form with a scheme in upper case",
            "HTTP://a/~",
            "Host: a",
        ),
        ("absolute form of https", "https://a/~", "Host: a"),
        (
            "absolute form of an IPv6 address",
            "http://[::1]/~",
            "Host: [::1]",
        ),
    ] {
        rows.push(passes(why, absolute(target, lines), get));
    }
    rows.push(passes(
        "absolute form with a query",
        absolute("http://a/~?b=http://c/", "Host: a"),
        &["GET /~?b=http://c/"],
    ));
    rows.push(passes(
        "absolute form that names a path of two slashes in its query only",
        absolute("http://a/~?//b", "Host: a"),
        &["GET /~?//b"],
    ));
    for (why, target, lines) in [
        ("absolute form for another host", "http://b/~", "Host: a"),
        (
            "absolute form with a port that Host has not",
            "http://a:80/~",
            "Host: a",
        ),
        (
            "absolute form without the port that Host has",
            "http://a/~",
            "Host: a:80",
        ),
        ("absolute form with another port", "http://a:81/~", "Host: a:80"),
        (
            "absolute form for a host that begins like Host",
            "http://a.b/~",
            "Host: a",
        ),
        ("absolute form whose host ends in a dot", "http://a./~", "Host: a"),
        (
            "https in absolute form for another host",
            "https://b/~",
            "Host: a",
        ),
        (
            "absolute form for the same address written otherwise",
            "http://[0:0::1]/~",
            "Host: [::1]",
        ),
    ] {
        rows.push(ambiguous(why, absolute(target, lines)));
    }
    for (why, target, lines) in [
        ("absolute form with a user", "http://u@a/~", "Host: a"),
        (
            "absolute form with a user and a password",
            "http://u:p@a/~",
            "Host: a",
        ),
        (
            "absolute form with a user that looks like the host",
            "http://a@b/~",
            "Host: a",
        ),
        ("absolute form without a host", "http:///~", "Host: a"),
        ("absolute form with nothing but a port", "http://:80/~", "Host: a"),
        ("absolute form with an empty port", "http://a:/~", "Host: a"),
        ("absolute form with one slash", "http:/a/~", "Host: a"),
        ("absolute form without slashes", "http:a/~", "Host: a"),
        ("absolute form with backslashes", "http:\\\\a/~", "Host: a"),
        (
            "absolute form with a backslash behind the host",
            "http://a\\/~",
            "Host: a",
        ),
        (
            "absolute form with a query behind the host",
            "http://a?/~",
            "Host: a",
        ),
        (
            "absolute form with a fragment behind the host",
            "http://a#/~",
            "Host: a",
        ),
        ("absolute form with an encoded host", "http://%61/~", "Host: a"),
        ("absolute form of ftp", "ftp://a/~", "Host: a"),
        ("absolute form of file", "file:///~", "Host: a"),
        ("absolute form of a web socket", "ws://a/~", "Host: a"),
        ("absolute form of an unknown scheme", "x://a/~", "Host: a"),
        (
            "absolute form with a port beyond all ports",
            "http://a:65536/~",
            "Host: a:65536",
        ),
        ("absolute form without Host", "http://a/~", "X: y"),
        ("a scheme-relative target", "a//b/~", "Host: a"),
    ] {
        rows.push(malformed(why, absolute(target, lines)));
    }
    for (why, lines) in [
        ("none", "X: y"),
        ("an empty one", "Host:"),
        ("one that begins in a folded line", "Host:\r\n a"),
        ("nothing but white space", "Host: \t"),
        ("the same twice", "Host: a\r\nHost: a"),
        ("two that differ", "Host: a\r\nHost: b"),
        ("two in different cases", "Host: a\r\nhOST: a"),
        ("two with a field between", "Host: a\r\nX: y\r\nHost: a"),
        ("an empty one first", "Host:\r\nHost: a"),
        ("an empty one second", "Host: a\r\nHost:"),
        ("a list", "Host: a, b"),
        ("a list without a space", "Host: a,b"),
        ("two words", "Host: a b"),
        ("a tab between two words", "Host: a\tb"),
        ("a user", "Host: u@a"),
        ("a user and a password", "Host: u:p@a"),
        ("a path", "Host: a/b"),
        ("a slash at the end", "Host: a/"),
        ("a query", "Host: a?b"),
        ("a fragment", "Host: a#b"),
        ("a backslash", "Host: a\\b"),
        ("a scheme", "Host: http://a"),
        ("a semicolon", "Host: a;b"),
        ("quotes", "Host: \"a\""),
        ("an asterisk", "Host: *"),
        ("a dollar", "Host: $a"),
        ("percent-encoding", "Host: %61"),
        ("an encoded line end", "Host: a%0d%0a"),
        ("a letter outside ASCII", "Host: \u{e9}"),
        ("a full stop of full width", "Host: a\u{ff0e}b"),
        ("an empty port", "Host: a:"),
        ("a port of letters", "Host: a:http"),
        ("a port with a sign", "Host: a:+80"),
        ("a negative port", "Host: a:-1"),
        ("a port beyond all ports", "Host: a:65536"),
        ("a port that wraps to 80", "Host: a:65616"),
        ("a port of six digits", "Host: a:000080"),
        (
            "a port with a zero before it: another spelling of one host",
            "Host: a:080",
        ),
        ("port zero", "Host: a:0"),
        ("two ports", "Host: a:80:81"),
        ("nothing but a port", "Host: :80"),
        ("a space before the port", "Host: a :80"),
        ("a path behind the port", "Host: a:80/"),
        ("an IPv6 address without brackets", "Host: ::1"),
        ("an opening bracket alone", "Host: [::1"),
        ("a closing bracket alone", "Host: ::1]"),
        ("empty brackets", "Host: []"),
        ("a name in brackets", "Host: [a.example]"),
        (
            "letters and digits in brackets that are no address",
            "Host: [abc]",
        ),
        ("too many groups in brackets", "Host: [1:2:3:4:5:6:7:8:9]"),
        ("two gaps in brackets", "Host: [1::2::3]"),
        ("an IPv4 address in brackets", "Host: [127.0.0.1]"),
        ("a zone in brackets", "Host: [fe80::1%25lo]"),
        ("an address of a future version", "Host: [v1.a]"),
        ("a name behind brackets", "Host: [::1]a"),
        ("an empty port behind brackets", "Host: [::1]:"),
        ("NUL", "Host: a\0"),
        ("a vertical tab", "Host: \u{b}a"),
        ("DEL", "Host: a\u{7f}"),
    ] {
        rows.push(malformed(why, with(lines)));
    }
    for (why, lines) in [
        ("a space before the colon", "Host : a"),
        ("one that goes on in the next line", "Host: a\r\n b"),
        ("a space before the name of the first field", " Host: a"),
        ("a second one in a folded line", "Host: a\r\nX: y\r\n Host: b"),
        ("a second one behind a bare LF", "Host: a\nHost: b"),
        ("a second one behind a bare CR", "Host: a\rHost: b"),
    ] {
        rows.push(ambiguous(why, with(lines)));
    }
    rows
}
