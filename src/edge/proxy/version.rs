//! One request in the form of the HTTP version that its upstream connection speaks.
//!
//! `forward` writes it in the form of HTTP/1.1; HTTP/2 knows neither `Host` nor chunks and wants the whole address
//! (RFC 9113 section 8.3.1). Both directions, since a request that nothing of was sent may go out again on
//! a connection of the other version. Nothing is added or lost on the way.

use http::header::{CONNECTION, HOST, TE, TRANSFER_ENCODING};
use http::uri::{Authority, Scheme};
use http::{HeaderValue, Request, Uri, Version};
use http_body::Body as _;

use super::body::RequestBody;
use super::trailers;

/// Makes the request one of HTTP/2. `own`: the upstream's authority, for a request whose host is none.
pub(super) fn to_http2(
    request: &mut Request<RequestBody>,
    scheme: Scheme,
    own: &HeaderValue,
) -> Result<(), http::Error> {
    if request.version() == Version::HTTP_2 {
        return Ok(());
    }
    let headers = request.headers_mut();
    headers.remove(TRANSFER_ENCODING);
    headers.remove(CONNECTION);
    let host = headers.remove(HOST);
    let authority = match host.map(|host| Authority::try_from(host.as_bytes())) {
        Some(Ok(authority)) => authority,
        _ => Authority::try_from(own.as_bytes())?,
    };
    let mut parts = std::mem::take(request.uri_mut()).into_parts();
    parts.scheme = Some(scheme);
    parts.authority = Some(authority);
    *request.uri_mut() = Uri::from_parts(parts)?;
    *request.version_mut() = Version::HTTP_2;
    Ok(())
}

/// Makes the request one of HTTP/1.1 again.
pub(super) fn to_http1(request: &mut Request<RequestBody>) -> Result<(), http::Error> {
    if request.version() == Version::HTTP_11 {
        return Ok(());
    }
    let mut parts = std::mem::take(request.uri_mut()).into_parts();
    parts.scheme = None;
    let host = parts.authority.take();
    *request.uri_mut() = Uri::from_parts(parts)?;
    let chunked = request.body().size_hint().exact().is_none();
    let headers = request.headers_mut();
    if headers.contains_key(TE) {
        trailers::take(headers);
    }
    if let Some(host) = host.and_then(|host| HeaderValue::from_str(host.as_str()).ok()) {
        headers.insert(HOST, host);
    }
    if chunked {
        headers.insert(TRANSFER_ENCODING, HeaderValue::from_static("chunked"));
    }
    *request.version_mut() = Version::HTTP_11;
    Ok(())
}
