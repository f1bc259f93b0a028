//! Usage per credential: read, merged and written under the write lock, a batch at a time.

use async_trait::async_trait;
use sqlx::sqlite::{SqliteConnection, SqliteRow};

use super::{SqliteStore, rows};
use crate::domain::ids::CredentialId;
use crate::store::{Result, Usage, UsageDelta, UsageRecord};

const SELECT: &str = "SELECT first_used_at, last_used_at, count, recent_addresses, recent_agents FROM usage WHERE credential = ?1";

#[async_trait]
impl Usage for SqliteStore {
    async fn add_usage(&self, batch: &[UsageDelta]) -> Result<Vec<Option<UsageRecord>>> {
        if batch.is_empty() {
            return Ok(Vec::new());
        }
        let mut change = self.connections.begin().await?;
        let work = add(change.conn()?, batch).await;
        change.finish(work).await
    }

    async fn usage(&self, id: &CredentialId) -> Result<Option<UsageRecord>> {
        let row = self
            .connections
            .within(
                sqlx::query(SELECT)
                    .bind(id.as_str())
                    .fetch_optional(&self.connections.readers),
            )
            .await?;
        row.as_ref().map(record).transpose()
    }
}

async fn add(conn: &mut SqliteConnection, batch: &[UsageDelta]) -> Result<Vec<Option<UsageRecord>>> {
    let mut known = Vec::with_capacity(batch.len());
    for delta in batch {
        let before = sqlx::query(SELECT)
            .bind(delta.credential.as_str())
            .fetch_optional(&mut *conn)
            .await?;
        let before = before.as_ref().map(record).transpose()?;
        let after = UsageRecord::merged(before.clone(), delta);
        sqlx::query(
            "INSERT INTO usage (credential, first_used_at, last_used_at, count, recent_addresses,
                 recent_agents)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6)
             ON CONFLICT (credential) DO UPDATE SET first_used_at = excluded.first_used_at,
                 last_used_at = excluded.last_used_at, count = excluded.count,
                 recent_addresses = excluded.recent_addresses, recent_agents = excluded.recent_agents",
        )
        .bind(delta.credential.as_str())
        .bind(after.first_used_at.0)
        .bind(after.last_used_at.0)
        .bind(rows::stored(after.count))
        .bind(serde_json::Value::from(after.recent_addresses).to_string())
        .bind(serde_json::Value::from(after.recent_agents).to_string())
        .execute(&mut *conn)
        .await?;
        known.push(before);
    }
    Ok(known)
}

fn record(row: &SqliteRow) -> Result<UsageRecord> {
    Ok(UsageRecord {
        first_used_at: rows::instant(row, "first_used_at")?,
        last_used_at: rows::instant(row, "last_used_at")?,
        count: rows::natural(row, "count")?,
        recent_addresses: rows::json(row, "recent_addresses")?,
        recent_agents: rows::json(row, "recent_agents")?,
    })
}
