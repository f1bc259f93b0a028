//! `/api/v1/config/reload` and `/api/v1/config/diff`: the configuration of the process that answers.
//!
//! Served on the Unix socket alone: the configuration is the business of this machine's owner, and an answer may
//! say which files there are. What a reload does is `app`'s to know.

use std::sync::Arc;

use async_trait::async_trait;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::input::Json;
use super::problem::Problem;
use super::wire::{ConfigChanges, OfferedConfig, ProblemBody};

/// The configuration of a running process.
#[async_trait]
pub trait Configuration: Send + Sync {
    /// Reads it again and takes it into force; gives what changed.
    async fn reload(&self) -> Result<ConfigChanges, Declined>;

    /// What would change if this were offered; `None`: what a reload would read.
    async fn compare(&self, offered: Option<OfferedConfig>) -> Result<ConfigChanges, Declined>;
}

/// Why a configuration was not taken, or not compared, in words for people.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Declined {
    /// It has these problems.
    Problems(String),
    /// It changes keys that a running process cannot change.
    NeedsRestart(String),
    /// It could not be built.
    Failed(String),
    /// This process reads no configuration any more, or never did.
    NotHere,
}

impl From<Declined> for Problem {
    fn from(declined: Declined) -> Self {
        let (status, message) = match declined {
            Declined::Problems(text) => (StatusCode::UNPROCESSABLE_ENTITY, text),
            Declined::NeedsRestart(text) => (StatusCode::CONFLICT, text),
            Declined::Failed(text) => (StatusCode::INTERNAL_SERVER_ERROR, text),
            Declined::NotHere => (
                StatusCode::SERVICE_UNAVAILABLE,
                "this process reads no configuration: it is leaving, or never had one".to_owned(),
            ),
        };
        Self::new(status, message)
    }
}

/// The operations, below `/api/v1`.
pub(super) fn operations() -> OpenApiRouter<Arc<dyn Configuration>> {
    OpenApiRouter::default()
        .routes(routes!(reload))
        .routes(routes!(diff))
}

/// Let the server read its configuration again
///
/// Returns when it is in force. Over the admin socket only.
#[utoipa::path(
    post, path = "/config/reload", tag = "configuration",
    responses(
        (status = 200, description = "What changed", body = ConfigChanges),
        (status = 422, description = "It has problems", body = ProblemBody, content_type = "application/problem+json"),
    ),
)]
async fn reload(State(configuration): State<Arc<dyn Configuration>>) -> Result<Response, Problem> {
    let changes = configuration.reload().await?;
    Ok(axum::Json(changes).into_response())
}

/// What another configuration would change
///
/// With `null`: what a reload would. Over the admin socket only.
#[utoipa::path(
    post, path = "/config/diff", tag = "configuration", request_body = Option<OfferedConfig>,
    responses(
        (status = 200, description = "What would change", body = ConfigChanges),
        (status = 422, description = "It has problems", body = ProblemBody, content_type = "application/problem+json"),
    ),
)]
async fn diff(
    State(configuration): State<Arc<dyn Configuration>>,
    Json(offered): Json<Option<OfferedConfig>>,
) -> Result<Response, Problem> {
    let changes = configuration.compare(offered).await?;
    Ok(axum::Json(changes).into_response())
}
