//! `Idempotency-Key` (draft-ietf-httpapi-idempotency-key-header): a request that makes something and is sent again
//! under its key makes nothing again, and gets the first one's answer without its secret.
//!
//! A request under a key is carried out to its end even when its sender goes away: he will come again and must find
//! what became of it. Failures are not kept: they made nothing. Who may ask is checked before, every time.

use std::sync::Arc;

use axum::Extension;
use axum::body::{Body, to_bytes};
use axum::extract::{MatchedPath, Request, State};
use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use serde_json::Value;
use tokio::runtime::Handle;

use super::input;
use super::operations::Operation;
use super::problem::Problem;
use crate::accounts::{Accounts, Actor, Claimed};
use crate::runtime::tasks::Tasks;

/// The header of requests.
pub const KEY: HeaderName = HeaderName::from_static("idempotency-key");
/// The header of answers that are given again.
const REPLAYED: HeaderName = HeaderName::from_static("idempotent-replayed");
/// Longest key, in bytes.
pub const MAX_KEY_BYTES: usize = 255;
/// Longest answer that is kept; ours are far shorter.
const MAX_ANSWER_BYTES: usize = 64 * 1024;

/// Carries requests with a key out once.
pub async fn once(
    State(accounts): State<Arc<Accounts>>,
    matched: MatchedPath,
    Extension(actor): Extension<Actor>,
    request: Request,
    next: Next,
) -> Response {
    let operation = Operation::of(request.method(), matched.as_str());
    let key = match key(&request) {
        Ok(None) => return next.run(request).await,
        Ok(Some(_)) if operation.is_none_or(|o| !o.makes()) => {
            return Problem::parameter("Idempotency-Key", "a value", "none: this request makes nothing")
                .into_response();
        }
        Ok(Some(key)) => key,
        Err(problem) => return problem.into_response(),
    };
    let work = async move { carried_out(&accounts, &actor, &key, request, next).await };
    let done = Tasks::on(Handle::current()).spawn("idempotent-request", work);
    match done.await {
        Ok(Ok(response)) => response,
        Ok(Err(problem)) => problem.into_response(),
        Err(_) => Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "the request broke off").into_response(),
    }
}

/// The key, as it was sent: a quoted string (RFC 8941) or, as many clients do, without quotes.
fn key(request: &Request) -> Result<Option<String>, Problem> {
    let wrong = |found: &str| {
        let expected = format!("one key of 1 to {MAX_KEY_BYTES} visible letters");
        Problem::parameter("Idempotency-Key", found, expected)
    };
    let mut values = request.headers().get_all(KEY).iter();
    let value = match (values.next(), values.next()) {
        (None, _) => return Ok(None),
        (Some(value), None) => value.to_str().map_err(|_| wrong("something that is no text"))?,
        (Some(_), Some(_)) => return Err(wrong("several values")),
    };
    let bare = value
        .strip_prefix('"')
        .and_then(|v| v.strip_suffix('"'))
        .unwrap_or(value);
    let fits =
        (1..=MAX_KEY_BYTES).contains(&bare.len()) && bare.bytes().all(|b| b.is_ascii_graphic() && b != b'"');
    if fits {
        Ok(Some(bare.to_owned()))
    } else {
        Err(wrong("something else"))
    }
}

async fn carried_out(
    accounts: &Accounts,
    actor: &Actor,
    key: &str,
    request: Request,
    next: Next,
) -> Result<Response, Problem> {
    let (parts, body) = request.into_parts();
    let body = input::read(body).await?;
    let mut asked = format!("{} {}\n", parts.method, parts.uri.path()).into_bytes();
    asked.extend_from_slice(&body);
    match accounts.claim_request(key, &asked, actor).await? {
        Claimed::Yours => {}
        Claimed::Answered(answer) => return Ok(again(answer)),
        Claimed::UnderWay => {
            return Err(Problem::new(
                StatusCode::CONFLICT,
                "a request under this Idempotency-Key is being carried out, or was when the server ended: see whether it \
                 made something before you send it under another key",
            ));
        }
        Claimed::Another => {
            return Err(Problem::new(
                StatusCode::UNPROCESSABLE_ENTITY,
                "this Idempotency-Key was used for another request: a new request needs a new key",
            ));
        }
        Claimed::TooMany => {
            return Err(Problem::new(
                StatusCode::CONFLICT,
                "too many keys within a day: send requests without Idempotency-Key, or later",
            ));
        }
    }
    let response = next.run(Request::from_parts(parts, Body::from(body))).await;
    if response.status() != StatusCode::CREATED {
        accounts.release_request(key, actor).await?;
        return Ok(response);
    }
    let (parts, body) = response.into_parts();
    let body = to_bytes(body, MAX_ANSWER_BYTES).await.unwrap_or_default();
    // It was made, whatever becomes of the note of it; a repetition is then told that it is under way.
    if let Err(error) = accounts.keep_answer(key, &without_secret(&body), actor).await {
        tracing::warn!(%error, "an answer could not be kept for its Idempotency-Key");
    }
    Ok(Response::from_parts(parts, Body::from(body)))
}

/// An answer as it may be kept.
fn without_secret(answer: &[u8]) -> String {
    let mut answer: Value = serde_json::from_slice(answer).unwrap_or_default();
    if let Value::Object(fields) = &mut answer {
        fields.remove("secret");
    }
    answer.to_string()
}

fn again(answer: String) -> Response {
    let headers = [
        (header::CONTENT_TYPE, HeaderValue::from_static("application/json")),
        (REPLAYED, HeaderValue::from_static("true")),
    ];
    (StatusCode::CREATED, headers, answer).into_response()
}
