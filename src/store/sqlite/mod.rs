//! The embedded store: one SQLite file, nothing to set up.
//!
//! One file of code per aggregate, its queries beside it. Here: opening and closing. No rule of the
//! business, no cache, no clock. Called through the traits of `store` by everyone, and by app and cli to
//! open it.

mod audit;
mod audit_trim;
mod connection;
mod credentials;
mod errors;
mod keys;
mod opening;
mod principals;
mod revocations;
mod rows;
mod schema;
#[cfg(test)]
mod tests;
mod usage;

use std::path::Path;
use std::sync::Arc;

use async_trait::async_trait;
use parking_lot::Mutex;

use self::connection::Connections;
use self::opening::{Age, Found, ServerLock};
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
        if opening::probe(path, steps).await? == Age::Older {
            // A running server must not find its schema changed under it.
            let borrowed = match &server_lock {
                Some(_) => None,
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
