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
    refusal_text(facts.refusal.reason, facts.refusal.presented)
}

/// What the original's guard says to a refusal.
pub fn refusal_text(reason: Reason, presented: Option<CredentialKind>) -> &'static str {
    match (reason, presented) {
        (Reason::CredentialMissing, _) => "Missing authorization token",
        (Reason::SchemeUnsupported, _) => "Unsupported authorization scheme. Use Bearer or Device",
        (Reason::CredentialMalformed, None) => "Invalid authorization header format",
        (Reason::ProofNonceMissing, _) => "Missing x-device-nonce header for device token authentication",
        (Reason::ProofNonceMalformed, _) => "Invalid nonce format",
        (Reason::ProofNonceUsed, _) => {
            "Nonce validation failed: Nonce has already been used (replay attack detected)"
        }
        (Reason::ProofSignatureMissing, _) => {
            "HMAC signature validation failed: Missing X-HMAC-Signature header"
        }
        (Reason::ProofSignatureMalformed, _) => {
            "HMAC signature validation failed: Invalid HMAC signature format"
        }
        (Reason::ProofSignatureMismatch, _) => "HMAC signature validation failed: HMAC signature mismatch",
        (Reason::ProofTimestampMissing, _) => "HMAC signature validation failed: Missing X-Timestamp header",
        (Reason::ProofTooOld, _) => "HMAC signature validation failed: HMAC signature timestamp is too old",
        (Reason::ProofTooEarly, _) => {
            "HMAC signature validation failed: HMAC signature timestamp is too far in the future"
        }
        _ if reason.status() != http::StatusCode::UNAUTHORIZED => reason.text(),
        (_, Some(CredentialKind::SealedDeviceToken | CredentialKind::DeviceToken)) => {
            "Invalid device token or not authorized to access"
        }
        _ => "Invalid bearer token or not authorized to access",
    }
}
