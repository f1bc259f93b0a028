//! The embedded store: one SQLite file, nothing to set up.
//!
//! One file of code per aggregate, its queries beside it. Here: opening and closing. No rule of the
//! business, no cache, no clock. Called through the traits of `store` by everyone, and by app and cli to
//! open it.

mod audit;
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

use self::connection::{Connections, within};
use self::opening::{Age, Found, ServerLock};
use super::{Result, Store};

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
        opening::make_folder(path)?;
        // Looked at before anything is made beside it: a foreign file may lie in a foreign folder.
        let found = opening::look(path)?;
        let mut server_lock = match access {
            OpenAs::Server => Some(ServerLock::take(path)?),
            OpenAs::Tool => None,
        };
        if found == Found::Nothing {
            opening::create(path).await?;
        }
        if opening::probe(path).await? == Age::Older {
            // A running server must not find its schema changed under it.
            let _only_server = match server_lock.take() {
                Some(lock) => server_lock.insert(lock),
                None => &mut ServerLock::take(path)?,
            };
            migrate(path).await?;
        }
        Ok(Arc::new(Self {
            connections: Connections::open(path).await?,
            server_lock: Mutex::new(server_lock),
        }))
    }
}

/// Brings an older file to this program's version.
async fn migrate(path: &Path) -> Result<()> {
    use sqlx::{ConnectOptions, Connection};
    let mut conn = connection::writing(path).connect().await?;
    let outcome = schema::migrate(&mut conn, schema::STEPS).await;
    conn.close().await?;
    let steps = outcome?;
    tracing::info!(steps, "the store was brought to this version's schema");
    Ok(())
}

#[async_trait]
impl Store for SqliteStore {
    async fn ping(&self) -> Result<()> {
        within(sqlx::query("SELECT 1 FROM audit_head").execute(&self.connections.readers)).await?;
        Ok(())
    }

    async fn close(&self) {
        self.connections.close().await;
        drop(self.server_lock.lock().take());
    }
}
