//! The management door without a server: what the command line speaks to when none runs.
//!
//! The same rooms as a server's on the same store; a server may start beside it at any moment, and sees
//! through the store what is done here. Opens no door and lets nobody in.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use bytes::Bytes;
use http::{Request, StatusCode};
use http_body_util::{BodyExt, Full};
use tokio::runtime::Handle;
use tower::ServiceExt;

use super::rooms::Rooms;
use crate::accounts::{Accounts, Actor};
use crate::config::Settings;
use crate::domain::clock::Clock;
use crate::edge::management;
use crate::runtime::tasks::Tasks;
use crate::store::sqlite::OpenAs;
use crate::telemetry::Metrics;

/// How long background tasks may take to end.
const STOP_TASKS: Duration = Duration::from_secs(5);

/// The management door on a resting store.
pub struct Tool {
    routes: Router,
    actor: Actor,
    rooms: Rooms,
    tasks: Tasks,
}

impl Tool {
    /// Opens the store; the first call ever makes data folder, store and keys. Needs a running runtime.
    pub async fn open(settings: &Settings) -> anyhow::Result<Self> {
        let tasks = Tasks::on(Handle::current());
        let metrics = Arc::new(Metrics::new()?);
        let rooms = Rooms::build(settings, OpenAs::Tool, &tasks, metrics, Clock::System, None).await?;
        let actor = Actor::local(rustix::process::geteuid().as_raw());
        Ok(Self {
            routes: management::local(Arc::clone(&rooms.accounts), actor.clone()),
            actor,
            rooms,
            tasks,
        })
    }

    /// Answers a request as a server would over its admin socket.
    pub async fn call(&self, request: Request<Full<Bytes>>) -> anyhow::Result<(StatusCode, Bytes)> {
        let Ok(response) = self.routes.clone().oneshot(request.map(Body::new)).await;
        let status = response.status();
        Ok((status, response.into_body().collect().await?.to_bytes()))
    }

    /// The use cases themselves, for work by the million rows that is no request, and who does it.
    pub fn accounts(&self) -> (&Accounts, &Actor) {
        (&self.rooms.accounts, &self.actor)
    }

    /// Closes the store.
    pub async fn close(self) {
        self.tasks.stop(STOP_TASKS).await;
        self.rooms.store.close().await;
    }
}
