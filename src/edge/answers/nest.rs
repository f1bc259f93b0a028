//! NestJS: `{"statusCode","message","error"}` with the texts of its device token guard.

use bytes::Bytes;
use serde::Serialize;

use super::{BodyFacts, json};
use crate::domain::identity::CredentialKind;
use crate::domain::reason::Reason;

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Body<'a> {
    status_code: u16,
    message: &'a str,
    error: &'a str,
    reason: &'a str,
    request_id: &'a str,
}

pub(super) fn body(facts: &BodyFacts<'_>) -> Bytes {
    json(&Body {
        status_code: facts.status.as_u16(),
        message: message(facts),
        error: facts.phrase,
        reason: facts.refusal.reason.code(),
        request_id: facts.request_id,
    })
}

fn message(facts: &BodyFacts<'_>) -> &'static str {
    let reason = facts.refusal.reason;
    match (reason, facts.refusal.presented) {
        (Reason::CredentialMissing, _) => "Missing authorization token",
        (Reason::SchemeUnsupported, _) => "Unsupported authorization scheme. Use Bearer or Device",
        (Reason::CredentialMalformed, None) => "Invalid authorization header format",
        _ if facts.status != http::StatusCode::UNAUTHORIZED => reason.text(),
        (_, Some(CredentialKind::SealedDeviceToken | CredentialKind::DeviceToken)) => {
            "Invalid device token or not authorized to access"
        }
        _ => "Invalid bearer token or not authorized to access",
    }
}
