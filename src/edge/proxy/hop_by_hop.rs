//! Fields that concern one connection only and end here, in both directions (RFC 9110 section 7.6.1).
//!
//! Runs before identity headers are written, so that a client's `Connection` can remove nothing of ours.
//! Framing is hyper's business: it writes its own `Transfer-Encoding`.

use http::header::{self, HeaderMap, HeaderName};

/// Always removed. `Proxy-*` by name: the rest of that family has no meaning to an app.
static ALWAYS: [HeaderName; 10] = [
    header::CONNECTION,
    header::TE,
    header::TRAILER,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
    header::PROXY_AUTHENTICATE,
    header::PROXY_AUTHORIZATION,
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("proxy-connection"),
    HeaderName::from_static("http2-settings"),
];

/// Never removed because somebody nominated them: without them the message means something else.
static PROTECTED: [HeaderName; 4] = [
    header::HOST,
    header::CONTENT_LENGTH,
    header::CONTENT_TYPE,
    header::CONTENT_ENCODING,
];

/// Removes what concerns one connection: the known fields, and those that `Connection` nominates.
pub fn strip(headers: &mut HeaderMap) {
    if headers.contains_key(header::CONNECTION) {
        for name in nominated(headers) {
            headers.remove(name);
        }
    }
    for name in &ALWAYS {
        headers.remove(name);
    }
}

/// Allocates only when something is nominated beyond `close` and `keep-alive`.
fn nominated(headers: &HeaderMap) -> Vec<HeaderName> {
    headers
        .get_all(header::CONNECTION)
        .iter()
        .flat_map(|value| value.as_bytes().split(|b| *b == b','))
        .map(<[u8]>::trim_ascii)
        .filter(|option| {
            !option.eq_ignore_ascii_case(b"close") && !option.eq_ignore_ascii_case(b"keep-alive")
        })
        .filter_map(|option| HeaderName::from_bytes(option).ok())
        .filter(|name| !PROTECTED.contains(name))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;

    #[test]
    fn what_concerns_one_connection_ends_here() {
        let mut headers = HeaderMap::new();
        for (name, value) in [
            ("connection", "close, X-Private"),
            ("connection", " upgrade ,host,content-length, content-type"),
            ("keep-alive", "timeout=5"),
            ("te", "trailers"),
            ("trailer", "x-sum"),
            ("transfer-encoding", "chunked"),
            ("upgrade", "h2c"),
            ("http2-settings", "AAMAAABk"),
            ("proxy-connection", "keep-alive"),
            ("proxy-authorization", "Basic xyz"),
            ("proxy-authenticate", "Basic"),
            ("x-private", "1"),
            ("x-private", "2"),
            ("host", "a"),
            ("content-length", "5"),
            ("content-type", "text/plain"),
            ("x-kept", "1"),
        ] {
            headers.append(name, HeaderValue::from_static(value));
        }
        strip(&mut headers);
        let mut left: Vec<_> = headers.keys().map(HeaderName::as_str).collect();
        left.sort_unstable();
        assert_eq!(left, ["content-length", "content-type", "host", "x-kept"]);
    }
}
