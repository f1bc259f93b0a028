//! The status door: is the process alive, started, ready; and its metrics.
//!
//! For probes and Prometheus, on a listener of its own, without credentials: nothing it says names a
//! principal or a secret, and nothing it offers changes anything. It keeps answering while the process
//! drains (`/readyz` 503 then), so it ends last. `?verbose` lists what holds it back. Opened by `app`.

use std::fmt::Write as _;
use std::sync::Arc;

use axum::Router;
use axum::extract::{RawQuery, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use hyper_util::service::TowerToHyperService;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::runtime::readiness::Readiness;
use crate::runtime::side_door::{self, Bounds};
use crate::runtime::tasks::Tasks;
use crate::telemetry::Metrics;
use crate::telemetry::metrics::CONTENT_TYPE;

/// Brings gauges up to date that are read rather than counted, such as the cache's size. Called once
/// before each rendering; must be quick and must not wait.
pub type Refresh = Arc<dyn Fn(&Metrics) + Send + Sync>;

/// What the status door tells of.
#[derive(Clone)]
pub struct StatusDoor {
    /// Latches that hold back readiness.
    pub readiness: Readiness,
    /// The metrics.
    pub metrics: Arc<Metrics>,
    /// Called before metrics are rendered.
    pub refresh: Refresh,
}

impl StatusDoor {
    /// The routes.
    pub fn router(self) -> Router {
        Router::new()
            .route("/livez", get(livez))
            .route("/readyz", get(readyz))
            .route("/startupz", get(startupz))
            .route("/metrics", get(metrics))
            .method_not_allowed_fallback(|| async { text(StatusCode::METHOD_NOT_ALLOWED, "use GET\n") })
            .fallback(|| async {
                text(
                    StatusCode::NOT_FOUND,
                    "not here: this door has /livez, /readyz, /startupz and /metrics\n",
                )
            })
            .with_state(self)
    }

    /// Serves until `end` is cancelled.
    pub async fn serve(self, listener: Arc<TcpListener>, tasks: Tasks, end: CancellationToken) {
        let service = TowerToHyperService::new(self.router());
        side_door::serve(
            listener,
            "status-door",
            Bounds::default(),
            tasks,
            end,
            move |_| service.clone(),
        )
        .await;
    }
}

async fn livez(RawQuery(query): RawQuery) -> Response {
    report("alive", "", &[], Detail::of(query.as_deref()))
}

async fn readyz(State(door): State<StatusDoor>, RawQuery(query): RawQuery) -> Response {
    let held = door.readiness.held();
    report("ready", "not ready", &held, Detail::of(query.as_deref()))
}

async fn startupz(State(door): State<StatusDoor>, RawQuery(query): RawQuery) -> Response {
    let held = door.readiness.held_startup();
    report("started", "not started", &held, Detail::of(query.as_deref()))
}

async fn metrics(State(door): State<StatusDoor>) -> Response {
    (door.refresh)(&door.metrics);
    match door.metrics.render() {
        Ok(rendered) => (
            [(header::CONTENT_TYPE, HeaderValue::from_static(CONTENT_TYPE))],
            rendered,
        )
            .into_response(),
        Err(error) => {
            tracing::error!(%error, "metrics could not be rendered");
            text(
                StatusCode::INTERNAL_SERVER_ERROR,
                "metrics could not be rendered\n",
            )
        }
    }
}

/// How much an answer says.
#[derive(Clone, Copy, PartialEq)]
enum Detail {
    Brief,
    Verbose,
}

impl Detail {
    fn of(query: Option<&str>) -> Self {
        let mut names = query.into_iter().flat_map(|q| q.split('&'));
        if names.any(|pair| pair.split('=').next() == Some("verbose")) {
            Self::Verbose
        } else {
            Self::Brief
        }
    }
}

fn report(good: &str, bad: &str, held: &[Arc<str>], detail: Detail) -> Response {
    let (status, verdict) = if held.is_empty() {
        (StatusCode::OK, good)
    } else {
        (StatusCode::SERVICE_UNAVAILABLE, bad)
    };
    let mut body = format!("{verdict}\n");
    if detail == Detail::Verbose {
        for name in held {
            // Writing to a string does not fail.
            let _ = writeln!(body, "waiting for: {name}");
        }
        let _ = writeln!(body, "version: {}", env!("CARGO_PKG_VERSION"));
    }
    text(status, body)
}

fn text(status: StatusCode, body: impl Into<String>) -> Response {
    (status, [(header::CACHE_CONTROL, "no-store")], body.into()).into_response()
}

#[cfg(test)]
mod tests;
