//! RFC 9457 problem details, the default. `type` is absent (`about:blank`), so `title` is the status
//! phrase; `reason` is the code to program against.

use bytes::Bytes;
use serde::Serialize;

use super::{BodyFacts, json};

#[derive(Serialize)]
struct Body<'a> {
    title: &'a str,
    status: u16,
    detail: &'a str,
    reason: &'a str,
    message: &'a str,
    request_id: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    retry_after: Option<u32>,
}

pub(super) fn body(facts: &BodyFacts<'_>) -> Bytes {
    let reason = facts.refusal.reason;
    json(&Body {
        title: facts.phrase,
        status: facts.status.as_u16(),
        detail: reason.text(),
        reason: reason.code(),
        message: reason.text(),
        request_id: facts.request_id,
        retry_after: facts.retry_after_secs,
    })
}
