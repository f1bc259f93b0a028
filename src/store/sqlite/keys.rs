//! Our own keys. The material comes sealed and stays sealed.

use async_trait::async_trait;
use sqlx::sqlite::{SqliteConnection, SqliteRow};

use super::{SqliteStore, audit, rows};
use crate::domain::ids::KeyId;
use crate::store::{AuditDraft, KeyPurpose, KeyRecord, KeyState, Keys, Result, StoreError};

#[async_trait]
impl Keys for SqliteStore {
    async fn list_keys(&self) -> Result<Vec<KeyRecord>> {
        let found = self
            .connections
            .within(
                sqlx::query("SELECT id, purpose, state, sealed, created_at FROM keys ORDER BY seq")
                    .fetch_all(&self.connections.readers),
            )
            .await?;
        found.iter().map(record).collect()
    }

    async fn rotate_key(
        &self,
        expected_current: Option<&KeyId>,
        new: &KeyRecord,
        act: &AuditDraft,
    ) -> Result<()> {
        let mut change = self.connections.begin().await?;
        let work = rotate(change.conn()?, expected_current, new, act).await;
        change.finish(work).await
    }
}

async fn rotate(
    conn: &mut SqliteConnection,
    expected_current: Option<&KeyId>,
    new: &KeyRecord,
    act: &AuditDraft,
) -> Result<()> {
    let purpose = new.purpose.as_str();
    let current: Option<String> =
        sqlx::query_scalar("SELECT id FROM keys WHERE purpose = ?1 AND state = 'current'")
            .bind(purpose)
            .fetch_optional(&mut *conn)
            .await?;
    if current.as_deref() != expected_current.map(KeyId::as_str) {
        return Err(StoreError::Conflict(format!(
            "the current {purpose} key is {}, not {}: another process was faster; read the keys again",
            current.as_deref().unwrap_or("missing"),
            expected_current.map_or("missing", KeyId::as_str),
        )));
    }
    // One step down for each, the older first.
    sqlx::query(
        "UPDATE keys SET state = CASE state WHEN 'current' THEN 'previous' ELSE 'retired' END
         WHERE purpose = ?1 AND state <> 'retired'",
    )
    .bind(purpose)
    .execute(&mut *conn)
    .await?;
    sqlx::query("INSERT INTO keys (id, purpose, state, sealed, created_at) VALUES (?1, ?2, ?3, ?4, ?5)")
        .bind(new.id.as_str())
        .bind(purpose)
        .bind(KeyState::Current.as_str())
        .bind(&new.sealed)
        .bind(new.created_at.0)
        .execute(&mut *conn)
        .await?;
    audit::append(conn, std::slice::from_ref(act)).await
}

fn record(row: &SqliteRow) -> Result<KeyRecord> {
    Ok(KeyRecord {
        id: rows::id(row, "id")?,
        purpose: rows::named(row, "purpose", KeyPurpose::parse)?,
        state: rows::named(row, "state", KeyState::parse)?,
        sealed: rows::plain(row, "sealed")?,
        created_at: rows::instant(row, "created_at")?,
    })
}
