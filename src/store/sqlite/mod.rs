//! The embedded store: one SQLite file, nothing to set up.
//!
//! One file of code per aggregate, its queries beside it. Here: opening and closing. No rule of the
//! business, no cache, no clock. Called through the traits of `store` by everyone, and by app and cli to
//! open it.

mod audit;
mod audit_trim;
mod bulk;
mod connection;
mod credential_change;
mod credential_list;
mod credentials;
mod errors;
mod keys;
mod nonces;
mod opening;
mod principals;
mod repeats;
mod revocations;
mod rows;
mod schema;
mod tenants;
#[cfg(test)]
mod tests;
mod usage;

use std::fs::File;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::sync::Arc;

use async_trait::async_trait;
use parking_lot::Mutex;

use self::connection::Connections;
use self::opening::{Age, Found, Holders, ServerLock};
use self::schema::Steps;
use super::{Result, Store};
use crate::telemetry::Metrics;

/// As what a store is opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OpenAs {
    /// The one server of this store: a second one is refused.
    Server,
    /// The command line: welcome beside a running server.
    Tool,
}

/// A store in one SQLite file.
#[derive(Debug)]
pub struct SqliteStore {
    connections: Connections,
    server_lock: Mutex<Option<ServerLock>>,
}

impl SqliteStore {
    /// Opens the store at `path`, made first when nothing is there, migrated when it is older. A file that
    /// is not a sound store of this or an older version is refused with `Unusable`, and not changed.
    pub async fn open(path: &Path, access: OpenAs) -> Result<Arc<Self>> {
        Self::open_at(path, access, schema::STEPS).await
    }

    /// Opens the store as the successor of the server that handed over its lock, while that one still serves.
    pub async fn open_following(path: &Path, lock: OwnedFd) -> Result<Arc<Self>> {
        opening::look(path)?;
        let lock = ServerLock::inherit(path, lock)?;
        Self::open_with(path, Some(lock), schema::STEPS).await
    }

    /// Opens a store whose schema is made by these steps.
    async fn open_at(path: &Path, access: OpenAs, steps: Steps) -> Result<Arc<Self>> {
        opening::make_folder(path)?;
        // Looked at before anything is made beside it: a foreign file may lie in a foreign folder.
        let found = opening::look(path)?;
        let server_lock = match access {
            OpenAs::Server => Some(ServerLock::take(path, opening::ONE_SERVER)?),
            OpenAs::Tool => None,
        };
        if found == Found::Nothing {
            opening::create(path, steps).await?;
        }
        Self::open_with(path, server_lock, steps).await
    }

    async fn open_with(path: &Path, server_lock: Option<ServerLock>, steps: Steps) -> Result<Arc<Self>> {
        if opening::probe(path, steps).await? == Age::Older {
            // A running server must not find its schema changed under it.
            let borrowed = match server_lock.as_ref().map(ServerLock::holders) {
                Some(Holders::Us) => None,
                Some(Holders::PredecessorToo) => return Err(opening::older_server(path)),
                None => Some(ServerLock::take(path, opening::SERVER_FIRST)?),
            };
            opening::bring_up(path, steps).await?;
            drop(borrowed);
        }
        Ok(Arc::new(Self {
            connections: Connections::open(path).await?,
            server_lock: Mutex::new(server_lock),
        }))
    }

    /// The locked file that makes this process the store's server, for handing it on. `None` for tools.
    pub fn server_lock(&self) -> Option<Arc<File>> {
        let lock = self.server_lock.lock();
        lock.as_ref().map(|lock| lock.file().clone())
    }

    /// Notes that this process is the server now, which another one was before.
    pub fn sign_lock(&self) {
        if let Some(Err(error)) = self.server_lock.lock().as_ref().map(ServerLock::sign) {
            tracing::warn!(%error, "the store's lock file does not name this process");
        }
    }

    /// Counts calls and measures them from now on.
    pub fn measured_by(&self, metrics: &Arc<Metrics>) {
        self.connections.measured_by(metrics);
    }
}

#[async_trait]
impl Store for SqliteStore {
    async fn ping(&self) -> Result<()> {
        self.connections
            .within(sqlx::query("SELECT 1 FROM audit_head").execute(&self.connections.readers))
            .await?;
        Ok(())
    }

    async fn close(&self) {
        self.connections.close().await;
        drop(self.server_lock.lock().take());
    }
}
