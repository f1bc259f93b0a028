//! The union: what every SDK digests at once, for routes with mixed clients. `status` is a number here;
//! hand-written TagoIO code that tests `!status` needs its own dialect.

use bytes::Bytes;
use serde::Serialize;

use super::{BodyFacts, json, thingsboard};

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Body<'a> {
    status: u16,
    status_code: u16,
    message: &'a str,
    error: &'a str,
    error_code: u8,
    timestamp: i64,
    reason: &'a str,
    request_id: &'a str,
}

pub(super) fn body(facts: &BodyFacts<'_>) -> Bytes {
    let reason = facts.refusal.reason;
    json(&Body {
        status: facts.status.as_u16(),
        status_code: facts.status.as_u16(),
        message: reason.text(),
        error: facts.phrase,
        error_code: thingsboard::code_and_message(facts).0,
        timestamp: facts.timestamp_ms,
        reason: reason.code(),
        request_id: facts.request_id,
    })
}
