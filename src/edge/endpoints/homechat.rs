//! HomeChat's endpoints for the holder of a token: `auth/refresh`, `auth/sessions`, `auth/sessions/{id}`.
//!
//! A session is an API token of the caller's. Bodies, texts and statuses are the original's; ids are texts here
//! where it has numbers.

use std::sync::Arc;

use async_trait::async_trait;
use http::header::ALLOW;
use http::{HeaderMap, HeaderValue, Method, StatusCode};
use serde::Serialize;

use super::{Answer, Asked, Endpoint, Refused, Trouble, after, json};
use crate::accounts::{NotDone, OwnToken, OwnTokens, TokenPlace, TurnedAway};
use crate::domain::clock::UnixMillis;
use crate::domain::reason::Reason;

/// `POST auth/refresh`: a new token in the place of the one presented.
pub struct Refresh(pub Arc<OwnTokens>);

/// `GET auth/sessions`: the caller's tokens.
pub struct Sessions(pub Arc<OwnTokens>);

/// `DELETE auth/sessions/{id}`: ends another token of the caller's.
pub struct Session(pub Arc<OwnTokens>);

#[derive(Serialize)]
struct Refreshed<'a> {
    success: bool,
    token: &'a str,
}

#[derive(Serialize)]
struct Listed {
    success: bool,
    sessions: Vec<Row>,
}

#[derive(Serialize)]
struct Row {
    id: String,
    name: String,
    token_prefix: String,
    last_used_at: Option<String>,
    expires_at: Option<String>,
    created_at: String,
    is_current: bool,
}

#[derive(Serialize)]
struct Done {
    success: bool,
}

#[derive(Serialize)]
struct Failed<'a> {
    success: bool,
    error: &'a str,
}

#[derive(Serialize)]
struct Error<'a> {
    error: &'a str,
}

fn failed(status: StatusCode, error: &str) -> Answer {
    let success = false;
    json(status, &Failed { success, error })
}

fn error(status: StatusCode, error: &str) -> Answer {
    json(status, &Error { error })
}

fn admit(wanted: &Method, method: &Method) -> Result<(), Refused> {
    if method == wanted {
        return Ok(());
    }
    let mut answer = error(StatusCode::METHOD_NOT_ALLOWED, "Method Not Allowed");
    if let Ok(allowed) = HeaderValue::from_str(wanted.as_str()) {
        answer.headers_mut().insert(ALLOW, allowed);
    }
    Err(answer.into())
}

fn trouble(trouble: Trouble) -> Answer {
    error(trouble.status(), trouble.text())
}

fn not_done(why: &NotDone) -> Answer {
    match why {
        NotDone::TurnedAway(turned_away) => unauthorized(turned_away),
        NotDone::NotAllowed => error(StatusCode::FORBIDDEN, "Forbidden - Insufficient scope"),
        NotDone::NoSuchToken => failed(StatusCode::NOT_FOUND, "Session not found"),
        NotDone::Presented => failed(
            StatusCode::UNPROCESSABLE_ENTITY,
            "Cannot revoke your current session. Use signout instead.",
        ),
        NotDone::Failed(reason) => {
            tracing::warn!(error = %reason, "a token's holder could not be served");
            after(
                error(StatusCode::SERVICE_UNAVAILABLE, "Service Unavailable"),
                Some(1),
            )
        }
    }
}

fn unauthorized(turned_away: &TurnedAway) -> Answer {
    let TurnedAway {
        reason,
        retry_after_secs,
        ..
    } = *turned_away;
    let status = reason.status();
    let answer = match status {
        StatusCode::UNAUTHORIZED if reason == Reason::CredentialExpired => {
            failed(status, "Token has expired. Please sign in again.")
        }
        StatusCode::UNAUTHORIZED => error(status, "Unauthorized - Invalid or missing API token"),
        StatusCode::FORBIDDEN => {
            let text = reason.text().trim_end_matches('.');
            error(status, &format!("Forbidden - {text}"))
        }
        StatusCode::TOO_MANY_REQUESTS => error(status, "Rate limit exceeded. Please try again later."),
        _ => error(status, reason.text()),
    };
    after(answer, retry_after_secs)
}

#[async_trait]
impl Endpoint for Refresh {
    fn admit(&self, method: &Method, _: &HeaderMap) -> Result<(), Refused> {
        admit(&Method::POST, method)
    }

    async fn answer(&self, asked: Asked) -> Answer {
        match self.0.refresh(&asked.call()).await {
            Ok(issued) => json(
                StatusCode::OK,
                &Refreshed {
                    success: true,
                    token: issued.secret.expose(),
                },
            ),
            Err(why) => not_done(&why),
        }
    }

    fn trouble(&self, why: Trouble) -> Answer {
        trouble(why)
    }
}

#[async_trait]
impl Endpoint for Sessions {
    fn admit(&self, method: &Method, _: &HeaderMap) -> Result<(), Refused> {
        admit(&Method::GET, method)
    }

    async fn answer(&self, asked: Asked) -> Answer {
        match self.0.list(&asked.call()).await {
            Ok(tokens) => json(
                StatusCode::OK,
                &Listed {
                    success: true,
                    sessions: tokens.iter().map(row).collect(),
                },
            ),
            Err(why) => not_done(&why),
        }
    }

    fn trouble(&self, why: Trouble) -> Answer {
        trouble(why)
    }
}

fn row(token: &OwnToken) -> Row {
    // The original writes whole seconds.
    let told = |at: UnixMillis| UnixMillis::from_secs(at.as_secs()).rfc3339();
    let record = &token.record;
    Row {
        id: record.id.as_str().to_owned(),
        name: record.name.clone(),
        token_prefix: format!("{}...", record.public_id.as_deref().unwrap_or_default()),
        last_used_at: token.last_used_at.map(told),
        expires_at: record.expires_at.map(told),
        created_at: told(record.created_at),
        is_current: token.place == TokenPlace::Presented,
    }
}

#[async_trait]
impl Endpoint for Session {
    fn admit(&self, method: &Method, _: &HeaderMap) -> Result<(), Refused> {
        admit(&Method::DELETE, method)
    }

    async fn answer(&self, asked: Asked) -> Answer {
        let id = asked.tail.as_deref().unwrap_or_default();
        match self.0.end(id, &asked.call()).await {
            Ok(()) => json(StatusCode::OK, &Done { success: true }),
            Err(why) => not_done(&why),
        }
    }

    fn trouble(&self, why: Trouble) -> Answer {
        trouble(why)
    }
}
