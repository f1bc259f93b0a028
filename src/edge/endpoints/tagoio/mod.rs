//! TagoIO's device API, as far as it is about credentials: a device's own view, and the tokens of devices, in
//! the shapes that its SDKs send and read (`docs/guides/tagoio.md`).
//!
//! A refusal never comes with 200 and always has its `message` at the top: one of the SDKs takes a 200 for
//! success whatever it says, the other looks nowhere else. Who may do what is `accounts`' business.

mod info;
mod query;
mod tokens;

use http::header::{ALLOW, WWW_AUTHENTICATE};
use http::{HeaderMap, HeaderValue, Method, StatusCode};
use serde::Serialize;
use serde_json::{Map, Value, json};

pub use self::info::Info;
pub use self::tokens::{CreateToken, TokensOf};
use super::read::is_of_type;
use super::{Answer, Refused, Trouble, after};
use crate::accounts::{AccountsError, NotManaged, TurnedAway};

const DENIED: &str = "Authorization denied";

/// `{"status":true,"result":...}`. A result is never null: one of the SDKs takes that for a failure.
fn success(status: StatusCode, result: &impl Serialize) -> Answer {
    super::json(status, &json!({ "status": true, "result": result }))
}

fn failure(status: StatusCode, message: &str) -> Answer {
    let mut body = json!({ "status": false, "message": message });
    if status == StatusCode::UNAUTHORIZED
        && let Some(members) = body.as_object_mut()
    {
        members.insert("result".to_owned(), message.into());
    }
    super::json(status, &body)
}

/// What is wrong with which members of a request.
#[derive(Debug, Default)]
struct Faults(Map<String, Value>);

impl Faults {
    fn add(&mut self, field: &str, text: impl Into<String>) {
        self.0.insert(field.to_owned(), text.into().into());
    }

    fn none(&self) -> bool {
        self.0.is_empty()
    }

    fn answer(self) -> Answer {
        let told: Vec<String> = self
            .0
            .iter()
            .map(|(field, text)| format!("{field}: {}", text.as_str().unwrap_or_default()))
            .collect();
        let message = format!("Invalid parameters. {}", told.join("; "));
        let body = json!({ "status": false, "message": message, "field_errors": self.0 });
        super::json(StatusCode::BAD_REQUEST, &body)
    }
}

fn not_managed(why: &NotManaged) -> Answer {
    match why {
        NotManaged::TurnedAway(turned_away) => turned_away_answer(turned_away),
        NotManaged::NotAllowed => failure(
            StatusCode::FORBIDDEN,
            "Authorization denied: this token lacks the right to manage tokens",
        ),
        NotManaged::Failed(error) => failed(error),
    }
}

fn turned_away_answer(why: &TurnedAway) -> Answer {
    let status = why.reason.status();
    match (status, why.retry_after_secs) {
        (StatusCode::UNAUTHORIZED, _) => {
            let mut answer = failure(status, DENIED);
            let challenge = HeaderValue::from_static("Bearer");
            answer.headers_mut().insert(WWW_AUTHENTICATE, challenge);
            answer
        }
        (StatusCode::TOO_MANY_REQUESTS, Some(secs)) => {
            let text = format!("Too many requests (Retry-After: {secs})");
            after(failure(status, &text), Some(secs))
        }
        (_, seconds) => after(failure(status, why.reason.text()), seconds),
    }
}

fn failed(error: &AccountsError) -> Answer {
    match error {
        AccountsError::BadInput { field, expected, .. } => {
            let mut faults = Faults::default();
            faults.add(field, format!("expected {expected}"));
            faults.answer()
        }
        AccountsError::NotFound { what: "device", .. } => failure(StatusCode::NOT_FOUND, "Device not found"),
        AccountsError::NotFound { .. } => failure(StatusCode::NOT_FOUND, "Token not found"),
        AccountsError::Conflict(_) | AccountsError::Outdated { .. } => {
            failure(StatusCode::CONFLICT, "It was changed meanwhile; try again")
        }
        AccountsError::Forbidden(_) => failure(
            StatusCode::FORBIDDEN,
            "Authorization denied: this token lacks the right for that",
        ),
        AccountsError::NotConfigured(text) => failure(StatusCode::BAD_REQUEST, text),
        AccountsError::Overloaded | AccountsError::Full(_) | AccountsError::Unavailable(_) => {
            tracing::warn!(%error, "a request about tokens could not be answered");
            after(
                failure(StatusCode::SERVICE_UNAVAILABLE, "Try again in a moment"),
                Some(1),
            )
        }
        AccountsError::Unusable(_) => {
            tracing::error!(%error, "a request about tokens could not be answered");
            failure(StatusCode::INTERNAL_SERVER_ERROR, Trouble::Internal.text())
        }
    }
}

fn trouble(trouble: Trouble) -> Answer {
    failure(trouble.status(), trouble.text())
}

/// Lets these methods through, and bodies that say they are JSON.
fn admit(allowed: &'static str, method: &Method, headers: &HeaderMap) -> Result<(), Refused> {
    if !allowed.split(", ").any(|name| name == method.as_str()) {
        let mut answer = failure(
            StatusCode::METHOD_NOT_ALLOWED,
            &format!("Only {allowed} is answered here"),
        );
        answer
            .headers_mut()
            .insert(ALLOW, HeaderValue::from_static(allowed));
        return Err(answer.into());
    }
    if matches!(*method, Method::POST | Method::PUT) && !is_of_type(headers, "application/json") {
        let text = "Send the body as JSON, with Content-Type: application/json";
        return Err(failure(StatusCode::UNSUPPORTED_MEDIA_TYPE, text).into());
    }
    Ok(())
}

#[cfg(test)]
mod tests;
