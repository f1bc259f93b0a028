//! TagoIO: `{"status":false,"message"}`. `message` stands at the top, where both SDKs look; a refusal of
//! the credential repeats it as `result`, where its own server puts it.

use bytes::Bytes;
use http::StatusCode;
use serde::Serialize;

use super::{BodyFacts, json};

const DENIED: &str = "Authorization denied";

#[derive(Serialize)]
struct Body<'a> {
    status: Failed,
    message: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    result: Option<&'a str>,
    reason: &'a str,
    request_id: &'a str,
}

/// Always `false`: a refusal that says otherwise is taken for success.
struct Failed;

impl Serialize for Failed {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bool(false)
    }
}

pub(super) fn body(facts: &BodyFacts<'_>) -> Bytes {
    let reason = facts.refusal.reason;
    let limited;
    let (message, result) = match (facts.status, facts.retry_after_secs) {
        (StatusCode::UNAUTHORIZED, _) => (DENIED, Some(DENIED)),
        (StatusCode::TOO_MANY_REQUESTS, Some(secs)) => {
            limited = format!("Too many requests (Retry-After: {secs})");
            (limited.as_str(), None)
        }
        _ => (reason.text(), None),
    };
    json(&Body {
        status: Failed,
        message,
        result,
        reason: reason.code(),
        request_id: facts.request_id,
    })
}
