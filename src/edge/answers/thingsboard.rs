//! ThingsBoard: `{"status","message","errorCode","timestamp"}`. Its web page refreshes an access token
//! only on 401 with code 11, so that code is for JWTs that a refresh can replace, and for them only.

use bytes::Bytes;
use http::StatusCode;
use serde::Serialize;

use super::{BodyFacts, json};
use crate::domain::identity::CredentialKind;
use crate::domain::reason::Reason;

const GENERAL: u8 = 2;
const AUTHENTICATION: u8 = 10;
const JWT_TOKEN_EXPIRED: u8 = 11;
const PERMISSION_DENIED: u8 = 20;
const BAD_REQUEST_PARAMS: u8 = 31;
const ITEM_NOT_FOUND: u8 = 32;
const TOO_MANY_REQUESTS: u8 = 33;

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Body<'a> {
    status: u16,
    message: &'a str,
    error_code: u8,
    timestamp: i64,
    reason: &'a str,
    request_id: &'a str,
}

pub(super) fn body(facts: &BodyFacts<'_>) -> Bytes {
    let (error_code, message) = code_and_message(facts);
    json(&Body {
        status: facts.status.as_u16(),
        message,
        error_code,
        timestamp: facts.timestamp_ms,
        reason: facts.refusal.reason.code(),
        request_id: facts.request_id,
    })
}

/// ThingsBoard's error code and text of a refusal.
pub(super) fn code_and_message(facts: &BodyFacts<'_>) -> (u8, &'static str) {
    let reason = facts.refusal.reason;
    match facts.status {
        StatusCode::UNAUTHORIZED => unauthorized(reason, facts.refusal.presented),
        StatusCode::FORBIDDEN => (
            PERMISSION_DENIED,
            "You don't have permission to perform this operation!",
        ),
        StatusCode::NOT_FOUND => (ITEM_NOT_FOUND, "Requested item wasn't found!"),
        StatusCode::TOO_MANY_REQUESTS => (TOO_MANY_REQUESTS, reason.text()),
        status if status.is_client_error() => (BAD_REQUEST_PARAMS, reason.text()),
        _ => (GENERAL, reason.text()),
    }
}

fn unauthorized(reason: Reason, presented: Option<CredentialKind>) -> (u8, &'static str) {
    match (reason, presented) {
        // Wrong signature and revoked count as expired there.
        (
            Reason::CredentialExpired | Reason::CredentialInvalid | Reason::CredentialRevoked,
            Some(CredentialKind::Jwt),
        ) => (JWT_TOKEN_EXPIRED, "Token has expired"),
        (Reason::CredentialExpired, Some(CredentialKind::ApiToken)) => (AUTHENTICATION, "API key is expired"),
        (Reason::CredentialExpired, _) => (AUTHENTICATION, "Token is outdated"),
        (Reason::CredentialDisabled | Reason::PrincipalDisabled, _) => {
            (AUTHENTICATION, "User account is not active")
        }
        (Reason::CredentialInvalid | Reason::CredentialRevoked | Reason::CredentialMalformed, _) => {
            (AUTHENTICATION, "Invalid username or password")
        }
        _ => (AUTHENTICATION, "Authentication failed"),
    }
}
