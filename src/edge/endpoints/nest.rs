//! The NestJS device token's endpoints: `generate-token` and `validate-token`, in the bodies, texts and statuses
//! of the original (`docs/guides/device-tokens.md`).
//!
//! The original answers what it cannot do with 400 `Failed to generate token`, and says no more; neither do we.
//! What it has no answer for (another method, another media type, a caller's credential, too many requests)
//! is answered in the same shape.

use std::sync::Arc;

use async_trait::async_trait;
use http::header::{ALLOW, CONTENT_TYPE};
use http::{HeaderMap, HeaderValue, Method, StatusCode};
use serde::Serialize;

use super::read::{is_of_type, json_object};
use super::{Answer, Asked, Endpoint, Refused, Trouble, after, json};
use crate::accounts::{DeviceTokens, Generated, NotGenerated, TurnedAway, Validity};
use crate::edge::answers::nest::refusal_text;

/// Whether fields are answered that a later version of the original has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ExtraFields {
    /// `expiresIn` and `issuedAt`, in milliseconds.
    Sent,
    /// The original's.
    LeftOut,
}

/// Makes a token.
pub struct Generate {
    /// Who makes it.
    pub tokens: Arc<DeviceTokens>,
    /// Whether more is told than the original does.
    pub extra: ExtraFields,
}

/// Says what a token is worth.
pub struct Validate {
    /// Who knows.
    pub tokens: Arc<DeviceTokens>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct GeneratedBody<'a> {
    token: &'a str,
    expires_at: i64,
    device_id: &'a str,
    success: bool,
    message: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    expires_in: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    issued_at: Option<i64>,
}

#[derive(Serialize)]
struct ValidatedBody<'a> {
    valid: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    payload: Option<Payload<'a>>,
    message: &'static str,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Payload<'a> {
    device_id: &'a str,
    timestamp: i64,
    expires_at: i64,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ErrorBody<'a> {
    status_code: u16,
    message: &'a str,
    error: &'a str,
}

fn utf8(mut answer: Answer) -> Answer {
    let json = HeaderValue::from_static("application/json; charset=utf-8");
    answer.headers_mut().insert(CONTENT_TYPE, json);
    answer
}

fn error(status: StatusCode, message: &str) -> Answer {
    utf8(json(
        status,
        &ErrorBody {
            status_code: status.as_u16(),
            message,
            error: status.canonical_reason().unwrap_or("Error"),
        },
    ))
}

fn bad_request(message: &str) -> Answer {
    error(StatusCode::BAD_REQUEST, message)
}

fn admit(method: &Method, headers: &HeaderMap) -> Result<(), Refused> {
    if method != Method::POST {
        let mut answer = error(StatusCode::METHOD_NOT_ALLOWED, "Only POST is answered here");
        answer
            .headers_mut()
            .insert(ALLOW, HeaderValue::from_static("POST"));
        return Err(answer.into());
    }
    if !is_of_type(headers, "application/json") {
        let text = "Send the body as JSON, with Content-Type: application/json";
        return Err(error(StatusCode::UNSUPPORTED_MEDIA_TYPE, text).into());
    }
    Ok(())
}

fn trouble(trouble: Trouble) -> Answer {
    error(trouble.status(), trouble.text())
}

/// The text of a member; `None` for what JavaScript takes for nothing, and for what is no text.
fn text<'a>(body: &'a serde_json::Map<String, serde_json::Value>, member: &str) -> Option<&'a str> {
    let text = body.get(member)?.as_str()?;
    (!text.is_empty()).then_some(text)
}

const NO_JSON: &str = "The body is not valid JSON";

#[async_trait]
impl Endpoint for Generate {
    fn admit(&self, method: &Method, headers: &HeaderMap) -> Result<(), Refused> {
        admit(method, headers)
    }

    async fn answer(&self, asked: Asked) -> Answer {
        let Some(body) = json_object(&asked.body) else {
            return bad_request(NO_JSON);
        };
        let Some(identifier) = text(&body, "deviceId") else {
            return bad_request("Device ID is required");
        };
        match self.tokens.generate(identifier, &asked.call()).await {
            Ok(generated) => self.made(&generated),
            Err(why) => not_generated(&why),
        }
    }

    fn trouble(&self, why: Trouble) -> Answer {
        trouble(why)
    }
}

impl Generate {
    fn made(&self, generated: &Generated) -> Answer {
        let (issued_at, expires_at) = (generated.issued_at.0, generated.expires_at.0);
        let sent = self.extra == ExtraFields::Sent;
        utf8(json(
            StatusCode::OK,
            &GeneratedBody {
                token: generated.issued.secret.expose(),
                expires_at,
                device_id: generated.issued.principal.as_str(),
                success: true,
                message: "Token generated successfully",
                expires_in: sent.then(|| expires_at.saturating_sub(issued_at)),
                issued_at: sent.then_some(issued_at),
            },
        ))
    }
}

fn not_generated(why: &NotGenerated) -> Answer {
    match why {
        NotGenerated::TooShort(least) => {
            bad_request(&format!("Device ID must be at least {least} characters long"))
        }
        NotGenerated::TooLong(most) => {
            bad_request(&format!("Device ID must be at most {most} characters long"))
        }
        NotGenerated::NoUuid => bad_request("Device ID must be a UUID"),
        NotGenerated::Throttled(seconds) => after(
            error(
                StatusCode::TOO_MANY_REQUESTS,
                "Too many requests. Try again later.",
            ),
            Some(*seconds),
        ),
        NotGenerated::TurnedAway(turned_away) => unauthorized(turned_away),
        NotGenerated::NotForThisCaller => error(
            StatusCode::UNAUTHORIZED,
            "Invalid device token or not authorized to access",
        ),
        NotGenerated::NoSuchDevice => bad_request("Failed to generate token"),
        NotGenerated::Failed(reason) => {
            tracing::warn!(error = %reason, "a device token could not be generated");
            bad_request("Failed to generate token")
        }
    }
}

fn unauthorized(turned_away: &TurnedAway) -> Answer {
    let TurnedAway {
        reason,
        presented,
        retry_after_secs,
    } = *turned_away;
    after(
        error(reason.status(), refusal_text(reason, presented)),
        retry_after_secs,
    )
}

#[async_trait]
impl Endpoint for Validate {
    fn admit(&self, method: &Method, headers: &HeaderMap) -> Result<(), Refused> {
        admit(method, headers)
    }

    async fn answer(&self, asked: Asked) -> Answer {
        let Some(body) = json_object(&asked.body) else {
            return bad_request(NO_JSON);
        };
        let bad = |message| validated(None, message);
        let Some(token) = text(&body, "token") else {
            return bad("Token is required");
        };
        match self.tokens.validate(token, asked.client).await {
            Validity::Good {
                device,
                issued_at,
                expires_at,
            } => {
                let payload = Payload {
                    device_id: device.as_str(),
                    timestamp: issued_at.0,
                    expires_at: expires_at.0,
                };
                validated(Some(payload), "Token is valid")
            }
            Validity::Bad => bad("Token is invalid or expired"),
            Validity::Unknown => bad("Token validation failed"),
        }
    }

    fn trouble(&self, why: Trouble) -> Answer {
        trouble(why)
    }
}

/// Always 200, as the original's.
fn validated(payload: Option<Payload<'_>>, message: &'static str) -> Answer {
    utf8(json(
        StatusCode::OK,
        &ValidatedBody {
            valid: payload.is_some(),
            payload,
            message,
        },
    ))
}
