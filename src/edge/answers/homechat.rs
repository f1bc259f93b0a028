//! HomeChat: `{"error"}` with its texts, and a `message` beside it.

use std::borrow::Cow;

use bytes::Bytes;
use http::StatusCode;
use serde::Serialize;

use super::{BodyFacts, json};
use crate::domain::reason::Reason;

#[derive(Serialize)]
struct Body<'a> {
    error: Cow<'a, str>,
    message: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    retry_after: Option<u32>,
    reason: &'a str,
    request_id: &'a str,
}

pub(super) fn body(facts: &BodyFacts<'_>) -> Bytes {
    let reason = facts.refusal.reason;
    json(&Body {
        error: error(facts),
        message: reason.text(),
        retry_after: facts.retry_after_secs,
        reason: reason.code(),
        request_id: facts.request_id,
    })
}

fn error(facts: &BodyFacts<'_>) -> Cow<'static, str> {
    let reason = facts.refusal.reason;
    match (facts.status, reason) {
        (StatusCode::UNAUTHORIZED, _) => "Unauthorized - Invalid or missing API token".into(),
        (_, Reason::ScopeMissing | Reason::RoleMissing | Reason::MethodNotPermitted) => {
            "Forbidden - Insufficient scope".into()
        }
        (StatusCode::FORBIDDEN, _) => format!("Forbidden - {}", reason.text().trim_end_matches('.')).into(),
        (StatusCode::TOO_MANY_REQUESTS, _) => "Rate limit exceeded. Please try again later.".into(),
        _ => facts.phrase.into(),
    }
}
