//! Trailers: fields after a body (RFC 9110 section 6.5), both ways and in either version of HTTP.
//!
//! They pass without what could not stand there: fields that frame or route a message, carry a credential or an
//! identity, or change what the head said. Over HTTP/1 hyper writes only those that the head's `Trailer`
//! announced, and to a client only after its `TE: trailers`; so both fields, which concern one connection each, are
//! written anew here for the next one. What is not announced ends there.

use std::sync::Arc;

use bytes::Bytes;
use http::header::{
    AUTHORIZATION, CACHE_CONTROL, CONNECTION, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE,
    COOKIE, EXPECT, HOST, MAX_FORWARDS, RANGE, SET_COOKIE, TE, TRAILER, TRANSFER_ENCODING, WWW_AUTHENTICATE,
};
use http::{HeaderMap, HeaderName, HeaderValue, Version};
use http_body::Frame;

use super::screen::is_spelling_of;
use crate::gate::upstream_headers::{UpstreamHeaders, is_hop_by_hop, strip_hop_by_hop};

/// Fields that mean something before the body only.
const OF_HEADS: [HeaderName; 14] = [
    AUTHORIZATION,
    CACHE_CONTROL,
    CONNECTION,
    CONTENT_ENCODING,
    CONTENT_LENGTH,
    CONTENT_RANGE,
    CONTENT_TYPE,
    COOKIE,
    EXPECT,
    HOST,
    MAX_FORWARDS,
    RANGE,
    SET_COOKIE,
    WWW_AUTHENTICATE,
];

/// What becomes of trailers.
#[derive(Debug, Clone)]
pub enum Trailers {
    /// There are none, or they end here.
    Dropped,
    /// They go on, without what may not stand there.
    Passed(Arc<UpstreamHeaders>),
}

impl Trailers {
    /// What goes on of these fields.
    pub(super) fn pass(&self, mut fields: HeaderMap) -> Option<Frame<Bytes>> {
        let Self::Passed(writer) = self else {
            return None;
        };
        strip_hop_by_hop(&mut fields);
        writer.strip_trailers(&mut fields);
        OF_HEADS.iter().for_each(|name| _ = fields.remove(name));
        let spelled: Vec<HeaderName> = fields.keys().filter(|n| frames(n)).cloned().collect();
        spelled.iter().for_each(|name| _ = fields.remove(name));
        (!fields.is_empty()).then(|| Frame::trailers(fields))
    }

    /// Announces in a head which of the fields that `announced` names may come.
    pub(super) fn announce(&self, announced: Option<HeaderValue>, headers: &mut HeaderMap) {
        let (Self::Passed(writer), Some(announced)) = (self, announced) else {
            return;
        };
        let names = announced.to_str().unwrap_or_default().split(',');
        let mut kept = String::new();
        for name in names.filter_map(|n| HeaderName::from_bytes(n.trim().as_bytes()).ok()) {
            let belongs_into_a_head =
                is_hop_by_hop(name.as_str()) || OF_HEADS.contains(&name) || frames(&name);
            if belongs_into_a_head || writer.is_protected_name(&name) {
                continue;
            }
            if !kept.is_empty() {
                kept.push_str(", ");
            }
            kept.push_str(name.as_str());
        }
        if let (false, Ok(value)) = (kept.is_empty(), HeaderValue::from_maybe_shared(Bytes::from(kept))) {
            headers.insert(TRAILER, value);
        }
    }
}

/// Names that some servers read as the framing of a message.
fn frames(name: &HeaderName) -> bool {
    let name = name.as_str().as_bytes();
    match name.len() {
        14 => is_spelling_of(name, CONTENT_LENGTH.as_str().as_bytes()),
        17 => is_spelling_of(name, TRANSFER_ENCODING.as_str().as_bytes()),
        _ => false,
    }
}

/// What a head announces: the value of its only `Trailer` line.
pub(super) fn announced(headers: &HeaderMap) -> Option<HeaderValue> {
    let mut lines = headers.get_all(TRAILER).iter();
    let line = lines.next()?.clone();
    lines.next().is_none().then_some(line)
}

/// Whether the sender of this head takes trailers in the answer. Over HTTP/1 that is said to the next
/// connection only when `Connection` says so (RFC 9110 section 10.1.4).
pub(super) fn are_taken(headers: &HeaderMap, version: Version) -> bool {
    let has = |name: &HeaderName, wanted: &str| {
        let lines = headers.get_all(name).iter();
        let mut members = lines.flat_map(|line| line.as_bytes().split(|b| *b == b','));
        members.any(|m| m.trim_ascii().eq_ignore_ascii_case(wanted.as_bytes()))
    };
    has(&TE, "trailers") && (version == Version::HTTP_2 || has(&CONNECTION, "te"))
}

/// Says that trailers are taken. Over HTTP/2 `version` takes the connection's option away again.
pub(super) fn take(headers: &mut HeaderMap) {
    headers.insert(TE, HeaderValue::from_static("trailers"));
    headers.insert(CONNECTION, HeaderValue::from_static("te"));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gate::upstream_headers::RequestIds;

    fn passed() -> Trailers {
        let rules = crate::authz::policy::UpstreamHeaderRules::default();
        Trailers::Passed(Arc::new(UpstreamHeaders::new([&rules], RequestIds::new([7; 16]))))
    }

    #[test]
    fn nothing_that_belongs_into_a_head_passes_behind_a_body() {
        let bad = [
            "content-length",
            "content_length",
            "transfer-encoding",
            "transfer_encoding",
            "host",
            "te",
            "trailer",
            "connection",
            "upgrade",
            "x-auth-subject",
            "x_auth_subject",
            "x-forwarded-for",
            "forwarded",
            "x-request-id",
            "authorization",
            "x-api-key",
            "token",
            "cookie",
            "set-cookie",
            "content-type",
            "content-encoding",
            "cache-control",
        ];
        let good = [
            "grpc-status",
            "grpc-message",
            "x-checksum",
            "digest",
            "server-timing",
        ];
        let mut fields = HeaderMap::new();
        let mut announced = String::new();
        for name in bad.iter().chain(&good) {
            fields.insert(HeaderName::from_static(name), HeaderValue::from_static("1"));
            announced.push_str(name);
            announced.push(',');
        }
        let frame = passed().pass(fields.clone()).expect("some pass");
        let kept = frame.into_trailers().expect("trailers");
        let mut names: Vec<&str> = kept.keys().map(HeaderName::as_str).collect();
        names.sort_unstable();
        let mut expected = good;
        expected.sort_unstable();
        assert_eq!(names, expected);
        let mut head = HeaderMap::new();
        let announced = HeaderValue::try_from(announced).expect("a value");
        passed().announce(Some(announced.clone()), &mut head);
        assert_eq!(
            head.get(TRAILER).map(HeaderValue::as_bytes),
            Some(good.join(", ").as_bytes())
        );
        assert!(Trailers::Dropped.pass(fields).is_none());
        let mut head = HeaderMap::new();
        Trailers::Dropped.announce(Some(announced), &mut head);
        assert!(head.is_empty());
    }

    #[test]
    fn only_bad_ones_are_none_at_all() {
        let mut fields = HeaderMap::new();
        fields.insert(HOST, HeaderValue::from_static("admin.example"));
        assert!(passed().pass(fields).is_none());
    }
}
