//! A refusal as gRPC clients read it: HTTP 200 and nothing but a head, with the status of the call in it
//! ("Trailers-Only" in gRPC over HTTP/2). They take any other HTTP answer for a broken server and show none
//! of its body. The door decides who speaks gRPC; the configured dialect does not count for such a client.

use std::fmt::Write as _;

use bytes::Bytes;
use http::header::{CONTENT_TYPE, WWW_AUTHENTICATE};
use http::{HeaderName, HeaderValue, Response};

use super::{X_REQUEST_ID, challenge};
use crate::gate::Refusal;

const GRPC: HeaderValue = HeaderValue::from_static("application/grpc");
const GRPC_STATUS: HeaderName = HeaderName::from_static("grpc-status");
const GRPC_MESSAGE: HeaderName = HeaderName::from_static("grpc-message");
/// The stable code of the reason: what stands in the bodies of other dialects.
const REASON: HeaderName = HeaderName::from_static("doorward-reason");

/// Whether a request with this media type comes from a gRPC client. gRPC-Web is another protocol, whose
/// clients read HTTP's own status.
pub fn is_spoken_by(content_type: &HeaderValue) -> bool {
    let Some((kind, rest)) = content_type.as_bytes().split_at_checked(GRPC.len()) else {
        return false;
    };
    kind.eq_ignore_ascii_case(GRPC.as_bytes()) && matches!(rest.first(), None | Some(b'+' | b';' | b' '))
}

/// Renders the whole answer.
pub fn render(refusal: &Refusal) -> Response<Bytes> {
    let mut response = Response::new(Bytes::new());
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, GRPC);
    headers.insert(
        GRPC_STATUS,
        HeaderValue::from(u16::from(refusal.reason.grpc_code())),
    );
    if let Ok(message) = HeaderValue::from_str(&encoded(refusal.reason.text())) {
        headers.insert(GRPC_MESSAGE, message);
    }
    headers.insert(REASON, HeaderValue::from_static(refusal.reason.code()));
    headers.insert(X_REQUEST_ID, refusal.request_id.clone());
    if let Some(challenge) = challenge(refusal) {
        headers.insert(WWW_AUTHENTICATE, challenge);
    }
    response
}

/// gRPC's own percent-encoding: everything but visible ASCII and spaces, and the percent sign.
fn encoded(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b' '..=b'~' if byte != b'%' => out.push(char::from(byte)),
            // Writing to a String cannot fail.
            _ => _ = write!(out, "%{byte:02X}"),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn grpc_is_known_by_its_media_type_alone() {
        for (text, is_grpc) in [
            ("application/grpc", true),
            ("application/grpc+proto", true),
            ("Application/gRPC;charset=utf-8", true),
            ("application/grpc ; x", true),
            ("application/grpc-web", false),
            ("application/grpc-web+proto", false),
            ("application/grpcs", false),
            ("application/json", false),
            ("", false),
        ] {
            assert_eq!(is_spoken_by(&HeaderValue::from_static(text)), is_grpc, "{text}");
        }
    }

    #[test]
    fn a_message_is_one_that_a_field_can_hold() {
        assert_eq!(encoded("100 % of it\nü"), "100 %25 of it%0A%C3%BC");
    }
}
