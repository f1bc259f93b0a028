//! What a request over HTTP/2 must be beyond what h2 checks itself (RFC 9113 section 8), so that it has one
//! reading when it is written down as HTTP/1 for the app.
//!
//! h2 resets streams whose pseudo-header fields are wrong, whose names have capitals, that carry
//! connection-specific fields, or whose body is not as long as they say. The rest is refused here, in our words,
//! by the same rules as HTTP/1 heads, and the request is brought into the form that the service knows.

use http::header::{CONNECTION, CONTENT_LENGTH, COOKIE, HOST, TE, TRANSFER_ENCODING, UPGRADE};
use http::{HeaderMap, HeaderName, HeaderValue, Method, request};

use super::super::screen::{
    MAX_METHOD_BYTES, content_length, is_host, is_path_and_query, is_refused_method, is_spelling_of,
};
use crate::domain::reason::Reason;

/// Fields that speak of a connection, which HTTP/2 does not have.
const CONNECTION_SPECIFIC: [HeaderName; 6] = [
    CONNECTION,
    TRANSFER_ENCODING,
    UPGRADE,
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("proxy-connection"),
    HeaderName::from_static("http2-settings"),
];

/// Checks a request and settles it: `host` is what `:authority` says, cookies stand in one field.
pub(in crate::edge::proxy) fn settle(parts: &mut request::Parts, max_fields: usize) -> Result<(), Reason> {
    let method = parts.method.as_str().as_bytes();
    if method.len() > MAX_METHOD_BYTES || is_refused_method(method) {
        return Err(Reason::MalformedRequest);
    }
    if parts.headers.len() > max_fields {
        return Err(Reason::HeadTooLarge);
    }
    check_target(parts)?;
    check_fields(&parts.headers)?;
    settle_host(parts)?;
    join_cookies(&mut parts.headers)
}

fn check_target(parts: &request::Parts) -> Result<(), Reason> {
    let target = parts.uri.path_and_query().map_or("", |target| target.as_str());
    let good = is_path_and_query(target.as_bytes()) || (target == "*" && parts.method == Method::OPTIONS);
    good.then_some(()).ok_or(Reason::MalformedRequest)
}

fn check_fields(headers: &HeaderMap) -> Result<(), Reason> {
    if CONNECTION_SPECIFIC.iter().any(|name| headers.contains_key(name)) {
        return Err(Reason::MalformedRequest);
    }
    if headers.get_all(TE).iter().any(|te| te != "trailers") {
        return Err(Reason::MalformedRequest);
    }
    if headers.get_all(CONTENT_LENGTH).iter().count() > 1 {
        return Err(Reason::AmbiguousFraming);
    }
    for (name, value) in headers {
        let (name, value) = (name.as_str().as_bytes(), value.as_bytes());
        let edges = [value.first(), value.last()];
        // RFC 9113 section 8.2.1; HTTP/1 has no way to write such a value down.
        if edges.iter().any(|edge| matches!(edge, Some(b' ' | b'\t'))) {
            return Err(Reason::MalformedRequest);
        }
        match name.len() {
            14 if is_spelling_of(name, b"content-length") => {
                content_length(name, value).ok_or(Reason::AmbiguousFraming)?;
            }
            17 if is_spelling_of(name, b"transfer-encoding") => return Err(Reason::AmbiguousFraming),
            _ => {}
        }
    }
    Ok(())
}

/// RFC 9113 section 8.3.1: `:authority` rules, `host` may not say otherwise; one of them there must be.
fn settle_host(parts: &mut request::Parts) -> Result<(), Reason> {
    let mut hosts = parts.headers.get_all(HOST).iter();
    let (host, another) = (hosts.next(), hosts.next());
    let good = another.is_none() && host.is_none_or(|host| is_host(host.as_bytes()));
    if !good {
        return Err(Reason::MalformedRequest);
    }
    let authority = match (parts.uri.authority(), host) {
        (None, None) => return Err(Reason::MalformedRequest),
        (None, Some(_)) => return Ok(()),
        (Some(authority), host) => {
            let text = authority.as_str().as_bytes();
            if !is_host(text) {
                return Err(Reason::MalformedRequest);
            }
            match host {
                Some(host) if host.as_bytes().eq_ignore_ascii_case(text) => return Ok(()),
                Some(_) => return Err(Reason::AmbiguousFraming),
                None => HeaderValue::from_bytes(text).map_err(|_| Reason::MalformedRequest)?,
            }
        }
    };
    parts.headers.insert(HOST, authority);
    Ok(())
}

/// RFC 9113 section 8.2.3: crumbs are joined before anyone else reads them.
fn join_cookies(headers: &mut HeaderMap) -> Result<(), Reason> {
    let crumbs = headers.get_all(COOKIE);
    if crumbs.iter().nth(1).is_none() {
        return Ok(());
    }
    let crumbs: Vec<&[u8]> = crumbs.iter().map(HeaderValue::as_bytes).collect();
    let joined = HeaderValue::from_bytes(&crumbs.join(&b"; "[..])).map_err(|_| Reason::MalformedRequest)?;
    headers.insert(COOKIE, joined);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Method, URI, fields, why it is refused, and the sentence to it.
    type Row<'a> = (
        &'a str,
        &'a str,
        &'a [(&'a str, &'a str)],
        Option<Reason>,
        &'a str,
    );

    fn parts(method: &str, uri: &str, fields: &[(&str, &str)]) -> request::Parts {
        let mut request = http::Request::builder().method(method).uri(uri);
        for (name, value) in fields {
            request = request.header(*name, *value);
        }
        request.body(()).expect("a request").into_parts().0
    }

    #[test]
    fn what_has_more_than_one_reading_as_http1_is_refused() {
        use Reason::{AmbiguousFraming as Ambiguous, HeadTooLarge, MalformedRequest as Malformed};
        const GOOD: &str = "https://app.example/a?b";
        let many: Vec<(&str, &str)> = vec![("x", "y"); 101];
        #[rustfmt::skip]
        let rows: &[Row] = &[
            ("GET", GOOD, &[], None, "as a browser asks"),
            ("GET", GOOD, &[("host", "app.example")], None, "host says the same"),
            ("GET", GOOD, &[("host", "APP.example")], None, "letters of hosts have no case"),
            ("GET", "/a", &[("host", "app.example")], None, "host alone, as from HTTP/1 translated"),
            ("OPTIONS", "*", &[("host", "a")], None, "the server itself"),
            ("POST", GOOD, &[("content-length", "0"), ("te", "trailers")], None, "as gRPC asks"),
            ("GET", GOOD, &[("host", "admin.example")], Some(Ambiguous), "two hosts"),
            ("GET", GOOD, &[("host", "app.example:443")], Some(Ambiguous), "a port in one of them"),
            ("GET", GOOD, &[("host", "app.example"), ("host", "app.example")], Some(Malformed), "host twice"),
            ("GET", GOOD, &[("host", "")], Some(Malformed), "an empty host"),
            ("GET", "/a", &[], Some(Malformed), "no host at all"),
            ("GET", "/a", &[("host", "a b")], Some(Malformed), "no host's letters"),
            ("GET", "https://user@app.example/", &[], Some(Malformed), "a user in the authority"),
            ("CONNECT", "app.example:443", &[], Some(Malformed), "a tunnel"),
            ("TRACE", GOOD, &[], Some(Malformed), "an echo of what we add"),
            ("X-DOORWARD-REFUSED", GOOD, &[], Some(Malformed), "our own mark"),
            ("ABCDEFGHIJKLMNOPQRSTUVWXYZABCDEFG", GOOD, &[], Some(Malformed), "a method of 33 letters"),
            ("GET", "*", &[("host", "a")], Some(Malformed), "an asterisk for another method"),
            ("GET", GOOD, &[("connection", "x")], Some(Malformed), "connection-specific"),
            ("GET", GOOD, &[("keep-alive", "1")], Some(Malformed), "connection-specific"),
            ("GET", GOOD, &[("proxy-connection", "close")], Some(Malformed), "connection-specific"),
            ("GET", GOOD, &[("upgrade", "websocket")], Some(Malformed), "connection-specific"),
            ("GET", GOOD, &[("http2-settings", "AAA")], Some(Malformed), "connection-specific"),
            ("POST", GOOD, &[("transfer-encoding", "chunked")], Some(Malformed), "HTTP/1's framing"),
            ("POST", GOOD, &[("transfer_encoding", "chunked")], Some(Ambiguous), "the same to some servers"),
            ("POST", GOOD, &[("content_length", "3")], Some(Ambiguous), "the same to some servers"),
            ("POST", GOOD, &[("content-length", "+3")], Some(Ambiguous), "a sign"),
            ("POST", GOOD, &[("content-length", "03")], Some(Ambiguous), "a zero ahead"),
            ("POST", GOOD, &[("content-length", "3, 3")], Some(Ambiguous), "a list"),
            ("POST", GOOD, &[("content-length", "3"), ("content-length", "3")], Some(Ambiguous), "twice"),
            ("GET", GOOD, &[("te", "gzip")], Some(Malformed), "a coding that HTTP/2 has not"),
            ("GET", GOOD, &[("x", " a")], Some(Malformed), "white space before a value"),
            ("GET", GOOD, &[("x", "a\t")], Some(Malformed), "white space after a value"),
            ("GET", GOOD, &many, Some(HeadTooLarge), "too many fields"),
        ];
        for (method, uri, fields, expected, why) in rows {
            let found = settle(&mut parts(method, uri, fields), 100).err();
            assert_eq!(found, *expected, "{method} {uri} {fields:?}: {why}");
        }
    }

    #[test]
    fn the_app_is_told_one_host_and_one_line_of_cookies() {
        let crumbs = [
            ("cookie", "a=1"),
            ("x", "y"),
            ("cookie", "b=2"),
            ("cookie", "c=3; d=4"),
        ];
        let mut request = parts("GET", "https://app.example:8443/", &crumbs);
        settle(&mut request, 100).expect("good");
        let all = |name: &HeaderName| {
            let all = request.headers.get_all(name).iter();
            all.map(|v| v.to_str().expect("ASCII").to_owned())
                .collect::<Vec<_>>()
        };
        assert_eq!(all(&COOKIE), ["a=1; b=2; c=3; d=4"]);
        assert_eq!(all(&HOST), ["app.example:8443"]);
    }
}
