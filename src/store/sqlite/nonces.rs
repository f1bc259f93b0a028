//! Nonces: written under the write lock, a batch at a time, so that of two processes one is the first.

use async_trait::async_trait;
use sqlx::sqlite::SqliteConnection;

use super::SqliteStore;
use crate::domain::clock::UnixMillis;
use crate::store::{NonceRecord, Nonces, Result, Spent};

#[async_trait]
impl Nonces for SqliteStore {
    async fn spend_nonces(&self, batch: &[NonceRecord]) -> Result<Vec<Spent>> {
        if batch.is_empty() {
            return Ok(Vec::new());
        }
        let mut change = self.connections.begin().await?;
        let work = spend(change.conn()?, batch).await;
        change.finish(work).await
    }

    async fn prune_nonces(&self, now: UnixMillis) -> Result<u64> {
        let mut change = self.connections.begin().await?;
        let work = prune(change.conn()?, now).await;
        change.finish(work).await
    }
}

async fn spend(conn: &mut SqliteConnection, batch: &[NonceRecord]) -> Result<Vec<Spent>> {
    let mut spent = Vec::with_capacity(batch.len());
    for nonce in batch {
        let done = sqlx::query("INSERT INTO nonces (digest, until) VALUES (?1, ?2) ON CONFLICT DO NOTHING")
            .bind(nonce.digest.as_slice())
            .bind(nonce.until.0)
            .execute(&mut *conn)
            .await?;
        spent.push(match done.rows_affected() {
            0 => Spent::Before,
            _ => Spent::Now,
        });
    }
    Ok(spent)
}

async fn prune(conn: &mut SqliteConnection, now: UnixMillis) -> Result<u64> {
    let done = sqlx::query("DELETE FROM nonces WHERE until < ?1")
        .bind(now.0)
        .execute(conn)
        .await?;
    Ok(done.rows_affected())
}
