//! Request lines: methods, targets, versions (RFC 9112 section 3).

use super::row::{Row, Then, ambiguous, malformed, passes, row, target};

pub fn rows() -> Vec<Row> {
    let line = |line: &str| format!("{line}\r\nHost: a\r\n\r\n");
    let mut rows = vec![
        passes("a path", target("/~"), &["GET /~"]),
        passes("a query", target("/~?a=b&c"), &["GET /~?a=b&c"]),
        passes("an empty query", target("/~?"), &["GET /~?"]),
        passes("two question marks", target("/~?a?b"), &["GET /~?a?b"]),
        passes("a slash in a query", target("/~?/../x"), &["GET /~?/../x"]),
        passes(
            "a letter outside ASCII, encoded",
            target("/~/%C3%A9"),
            &["GET /~/%C3%A9"],
        ),
        passes(
            "marks that paths may have",
            target("/~/-._~!$&'()*+,=:@"),
            &["GET /~/-._~!$&'()*+,=:@"],
        ),
        passes(
            "an encoded line end in a query stays encoded",
            target("/~?a=%0d%0aX:%20y"),
            &["GET /~?a=%0d%0aX:%20y"],
        ),
        passes("a colon in the first segment", target("/~:80"), &["GET /~:80"]),
        passes(
            "a target that names a host in its path",
            target("/~/http:a"),
            &["GET /~/http:a"],
        ),
        passes(
            "a HEAD has an answer without a body",
            line("HEAD /~ HTTP/1.1"),
            &["HEAD /~"],
        ),
        passes(
            "an uncommon method",
            line("M-SEARCH /~ HTTP/1.1"),
            &["M-SEARCH /~"],
        ),
        passes("a method of one letter", line("X /~ HTTP/1.1"), &["X /~"]),
        passes(
            "a method of marks",
            line("!#$%&'*+.^_`| /~ HTTP/1.1"),
            &["!#$%&'*+.^_`| /~"],
        ),
        passes("OPTIONS of a path", line("OPTIONS /~ HTTP/1.1"), &["OPTIONS /~"]),
        passes(
            "OPTIONS of the server itself is for no app",
            line("OPTIONS * HTTP/1.1"),
            &["400 ambiguous_path"],
        ),
        passes("PURGE", line("PURGE /~ HTTP/1.1"), &["PURGE /~"]),
        row(
            "HTTP/1.0 is answered and closed",
            line("GET /~ HTTP/1.0"),
            &["GET /~"],
            Then::Closes,
        ),
        passes(
            "a dot segment is the gate's to refuse",
            target("/~/../x"),
            &["400 ambiguous_path"],
        ),
        passes("so is a backslash", target("/~\\x"), &["400 ambiguous_path"]),
        passes("so are two slashes", target("//~"), &["400 ambiguous_path"]),
        passes("so is an encoded NUL", target("/~%00"), &["400 ambiguous_path"]),
        passes(
            "so is an encoded line end in a path",
            target("/~%0d%0aX"),
            &["400 ambiguous_path"],
        ),
        passes("so is a broken escape", target("/~%"), &["400 ambiguous_path"]),
    ];
    for (why, text) in [
        ("a fragment", "/~#b"),
        ("an empty fragment", "/~#"),
        ("a fragment behind a query", "/~?a#b"),
        ("nothing but a fragment", "#~"),
        ("no slash", "~"),
        ("a dot for a slash", "./~"),
        ("nothing but a query", "?~"),
        ("a backslash for a slash", "\\~"),
        ("a host and a port, which is CONNECT's form", "a:80"),
        ("the asterisk with GET", "*"),
        ("the asterisk and a path", "*/~"),
        ("a letter outside ASCII", "/~\u{e9}"),
        ("a letter outside ASCII in a query", "/~?\u{e9}"),
        ("a no-break space", "/~\u{a0}"),
        ("NUL", "/~\0"),
        ("NUL in a query", "/~?\0"),
        ("a tab", "/~\tx"),
        ("a vertical tab", "/~\u{b}"),
        ("a form feed", "/~\u{c}"),
        ("an escape character", "/~\u{1b}"),
        ("DEL", "/~\u{7f}"),
        ("a space", "/~ x"),
        ("a bare CR", "/~\rx"),
        ("a bare CR at its end", "/~\r"),
        ("an angle bracket", "/~<x"),
        ("an angle bracket in a query", "/~?<x"),
        ("a quote in a query", "/~?\"x"),
    ] {
        rows.push(malformed(why, target(text)));
    }
    for (why, text) in [
        ("a tunnel", "CONNECT a:443 HTTP/1.1"),
        ("a tunnel with a path", "CONNECT /~ HTTP/1.1"),
        ("a tunnel in absolute form", "CONNECT http://a/~ HTTP/1.1"),
        (
            "TRACE, which an app would echo our fields to",
            "TRACE /~ HTTP/1.1",
        ),
        ("our own mark from outside", "X-DOORWARD-REFUSED / HTTP/1.1"),
        (
            "our own mark in absolute form",
            "X-DOORWARD-REFUSED http://a/ HTTP/1.1",
        ),
        ("the asterisk with POST", "POST * HTTP/1.1"),
        (
            "a method longer than any",
            "ABCDEFGHIJKLMNOPQRSTUVWXYZABCDEFG /~ HTTP/1.1",
        ),
        ("a method with a bracket", "G(T /~ HTTP/1.1"),
        ("a method with a slash", "G/T /~ HTTP/1.1"),
        ("a method with a colon", "GET: /~ HTTP/1.1"),
        ("a method in quotes", "\"GET\" /~ HTTP/1.1"),
        ("a method outside ASCII", "G\u{c9}T /~ HTTP/1.1"),
        ("a method with NUL", "GET\0 /~ HTTP/1.1"),
        ("no method", " /~ HTTP/1.1"),
        ("no target", "GET HTTP/1.1"),
        ("an empty target", "GET  HTTP/1.1"),
        ("two spaces behind the method", "GET  /~ HTTP/1.1"),
        ("two spaces before the version", "GET /~  HTTP/1.1"),
        ("a space behind the version", "GET /~ HTTP/1.1 "),
        ("a tab behind the version", "GET /~ HTTP/1.1\t"),
        ("tabs for spaces", "GET\t/~\tHTTP/1.1"),
        ("a tab before the target", "GET \t/~ HTTP/1.1"),
        ("a vertical tab for a space", "GET\u{b}/~ HTTP/1.1"),
        ("a form feed for a space", "GET /~\u{c}HTTP/1.1"),
        ("a no-break space for a space", "GET\u{a0}/~ HTTP/1.1"),
        ("a space before the method", " GET /~ HTTP/1.1"),
        ("a word behind the version", "GET /~ HTTP/1.1 x"),
        ("HTTP/0.9", "GET /~"),
        ("HTTP/0.9 with a space", "GET /~ "),
        ("a version in lower case", "GET /~ http/1.1"),
        ("a version of mixed case", "GET /~ Http/1.1"),
        ("another protocol", "GET /~ HTTPS/1.1"),
        ("yet another protocol", "GET /~ ICY/1.1"),
        ("no protocol", "GET /~ 1.1"),
        ("no number", "GET /~ HTTP/"),
        ("no number and no slash", "GET /~ HTTP"),
        ("a zero before the number", "GET /~ HTTP/01.1"),
        ("a zero behind the number", "GET /~ HTTP/1.10"),
        ("a zero before the minor number", "GET /~ HTTP/1.01"),
        ("a comma in the number", "GET /~ HTTP/1,1"),
        ("a space in the number", "GET /~ HTTP/1 .1"),
        ("a sign", "GET /~ HTTP/+1.1"),
        ("a negative number", "GET /~ HTTP/-1.1"),
        ("letters for the number", "GET /~ HTTP/x.y"),
        ("a number of three parts", "GET /~ HTTP/1.1.1"),
        ("nothing behind the dot", "GET /~ HTTP/1."),
        ("digits of full width", "GET /~ HTTP/\u{ff11}.\u{ff11}"),
        ("a byte-order mark before the method", "\u{feff}GET /~ HTTP/1.1"),
        ("a status line", "HTTP/1.1 200 OK"),
    ] {
        rows.push(malformed(why, line(text)));
    }
    for (why, version) in [
        ("HTTP/0.9, spelled out", "HTTP/0.9"),
        ("HTTP/1.2", "HTTP/1.2"),
        ("HTTP/1.9", "HTTP/1.9"),
        ("HTTP/2.0 in the form of 1.1", "HTTP/2.0"),
        ("HTTP/2", "HTTP/2"),
        ("HTTP/3", "HTTP/3"),
        ("HTTP/9.9", "HTTP/9.9"),
        ("HTTP/1", "HTTP/1"),
        ("HTTP/0.0", "HTTP/0.0"),
    ] {
        rows.push(row(
            why,
            line(&format!("GET /~ {version}")),
            &["505 http_version_unsupported"],
            Then::Closes,
        ));
    }
    for (why, text) in [
        ("a bare CR behind the version", "GET /~ HTTP/1.1\r"),
        ("a bare CR for the line end", "GET /~ HTTP/1.1\rX: y"),
        ("a bare LF for the line end", "GET /~ HTTP/1.1\nX: y"),
        ("a bare LF in the target", "GET /~\nx HTTP/1.1"),
        ("a bare LF before the request", "\nGET /~ HTTP/1.1"),
        (
            "a line of the other kind before the request",
            "\n\rGET /~ HTTP/1.1",
        ),
    ] {
        rows.push(ambiguous(why, line(text)));
    }
    rows
}
