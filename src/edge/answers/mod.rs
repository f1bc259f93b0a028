//! The answer to a refusal: one `Reason`, told in the dialect the client was written for.
//!
//! Bodies are always JSON with a non-empty `message`, the stable `reason` and the request's id: several
//! SDKs break on anything else, and one takes an empty refusal for success (`docs/compatibility.md`).
//! gRPC clients get theirs in a head (`grpc`). A body says no more than its reason does. One file per dialect; RFC 6750 section 3 for challenges,
//! RFC 9110 section 10.2.3 for `Retry-After`. Called by every HTTP door; decides nothing.

use std::fmt::Write as _;

use bytes::Bytes;
use http::header::{CACHE_CONTROL, CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE, X_CONTENT_TYPE_OPTIONS};
use http::{HeaderValue, Response, StatusCode};
use serde::Serialize;

use crate::domain::clock::Now;
use crate::domain::dialect::Dialect;
use crate::gate::Refusal;
use crate::gate::upstream_headers::X_REQUEST_ID;

pub mod grpc;
mod homechat;
pub mod nest;
mod problem;
mod tagoio;
#[cfg(test)]
mod tests;
mod thingsboard;
mod union;

const JSON: HeaderValue = HeaderValue::from_static("application/json");
const PROBLEM_JSON: HeaderValue = HeaderValue::from_static("application/problem+json");

/// Seconds named in `Retry-After` when a limit or an overload says nothing better.
const DEFAULT_RETRY_AFTER_SECS: u32 = 1;

/// Renders the whole answer. Connection management is the door's.
pub fn render(refusal: &Refusal, now: Now) -> Response<Bytes> {
    let facts = BodyFacts::of(refusal, now);
    let (content_type, body) = match refusal.dialect {
        Dialect::Problem => (PROBLEM_JSON, problem::body(&facts)),
        Dialect::Nest => (JSON, nest::body(&facts)),
        Dialect::ThingsBoard => (JSON, thingsboard::body(&facts)),
        Dialect::TagoIo => (JSON, tagoio::body(&facts)),
        Dialect::HomeChat => (JSON, homechat::body(&facts)),
        Dialect::Union => (JSON, union::body(&facts)),
    };
    let mut response = Response::new(body);
    *response.status_mut() = refusal.reason.status();
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, content_type);
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(X_REQUEST_ID, refusal.request_id.clone());
    if let Some(challenge) = challenge(refusal) {
        headers.insert(WWW_AUTHENTICATE, challenge);
    }
    if let Some(secs) = facts.retry_after_secs {
        headers.insert(RETRY_AFTER, HeaderValue::from(secs));
    }
    response
}

/// What the dialects write bodies from.
struct BodyFacts<'a> {
    refusal: &'a Refusal,
    status: StatusCode,
    /// The status as a phrase: `Unauthorized`.
    phrase: &'static str,
    request_id: &'a str,
    retry_after_secs: Option<u32>,
    timestamp_ms: i64,
}

impl<'a> BodyFacts<'a> {
    fn of(refusal: &'a Refusal, now: Now) -> Self {
        let status = refusal.reason.status();
        Self {
            refusal,
            status,
            phrase: status.canonical_reason().unwrap_or("Error"),
            request_id: refusal.request_id.to_str().unwrap_or("-"),
            retry_after_secs: match status {
                StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE => {
                    Some(refusal.retry_after_secs.unwrap_or(DEFAULT_RETRY_AFTER_SECS))
                }
                _ => refusal.retry_after_secs,
            },
            timestamp_ms: now.wall.0,
        }
    }
}

/// Serializes a body. The shapes have text keys only, which cannot fail; never is a body empty.
fn json(body: &impl Serialize) -> Bytes {
    serde_json::to_vec(body).map_or(
        Bytes::from_static(br#"{"message":"The request was refused."}"#),
        Bytes::from,
    )
}

/// `Bearer realm="doorward", error="invalid_token", …`. Descriptions and scopes hold neither quotes nor
/// backslashes.
fn challenge(refusal: &Refusal) -> Option<HeaderValue> {
    let error = refusal.reason.challenge()?;
    let mut text = String::from("Bearer realm=\"doorward\"");
    if let Some(error) = error.as_str() {
        // Writing to a String cannot fail.
        let _ = write!(
            text,
            ", error=\"{error}\", error_description=\"{}\"",
            refusal.reason.text()
        );
    }
    let scopes = refusal.required_scopes.as_deref().map(std::str::from_utf8);
    if let Some(Ok(scopes)) = scopes
        && !scopes.is_empty()
        && error == crate::domain::reason::BearerError::InsufficientScope
    {
        let _ = write!(text, ", scope=\"{scopes}\"");
    }
    HeaderValue::from_str(&text).ok()
}
