//! Changes of stored credentials after they were made: what may change, successors, ends by the hundred,
//! deletion. Each is one transaction with its audit row and its news for everybody's remembered verdicts.

use sqlx::AssertSqlSafe;
use sqlx::sqlite::SqliteConnection;

use super::credentials::{insert_row, insert_tags, limits_text, transport};
use super::{audit, revocations, rows};
use crate::domain::clock::UnixMillis;
use crate::domain::ids::CredentialId;
use crate::store::{
    AuditDraft, CredentialRecord, Effect, NewRevocation, Result, RevocationRecord, RevocationTarget,
    StoreError,
};

/// Writes what may change over the row of the same version.
pub(super) async fn update(
    conn: &mut SqliteConnection,
    credential: &CredentialRecord,
    act: &AuditDraft,
) -> Result<RevocationRecord> {
    let before = sqlx::query("SELECT version, revoked_at FROM credentials WHERE id = ?1")
        .bind(credential.id.as_str())
        .fetch_optional(&mut *conn)
        .await?
        .ok_or(StoreError::NotFound("credential"))?;
    // What is over stays as it was; it is said before the version, which its end did not raise.
    if rows::optional_instant(&before, "revoked_at")?.is_some() {
        return Err(StoreError::Conflict(
            "the credential was revoked: it cannot be changed any more".to_owned(),
        ));
    }
    rows::same_version(&before, credential.version)?;
    sqlx::query(
        "UPDATE credentials SET name = ?2, scopes = ?3, permission = ?4, networks = ?5, transport = ?6, enabled = ?7,
             expires_at = ?8, description = ?9, metadata = ?10, tags = ?11, version = ?12, environment = ?13,
             limits = ?14, sealed_secret = ?15, replaced_by = ?16
         WHERE id = ?1",
    )
    .bind(credential.id.as_str())
    .bind(&credential.name)
    .bind(rows::joined(credential.scopes.iter().map(|s| s.as_str())))
    .bind(credential.permission.as_str())
    .bind(rows::joined(credential.networks.iter().map(ToString::to_string)))
    .bind(transport(credential.transport))
    .bind(rows::switch(credential.enabled))
    .bind(credential.expires_at.map(|at| at.0))
    .bind(&credential.about.description)
    .bind(rows::metadata(&credential.about))
    .bind(rows::joined(&credential.about.tags))
    .bind(rows::next_version(credential.version))
    .bind(&credential.environment)
    .bind(credential.limits.as_ref().map(limits_text))
    .bind(&credential.sealed_secret)
    .bind(credential.replaced_by.as_ref().map(CredentialId::as_str))
    .execute(&mut *conn)
    .await?;
    sqlx::query("DELETE FROM credential_tags WHERE credential = ?1")
        .bind(credential.id.as_str())
        .execute(&mut *conn)
        .await?;
    insert_tags(conn, credential).await?;
    let news = revocations::changed(RevocationTarget::Credential(credential.id.clone()), act);
    revocations::append(conn, &news, act).await
}

/// Changes the old one and adds its successor.
pub(super) async fn succeed(
    conn: &mut SqliteConnection,
    old: &CredentialRecord,
    new: &CredentialRecord,
    act: &AuditDraft,
) -> Result<RevocationRecord> {
    if old.principal != new.principal {
        return Err(StoreError::Conflict(
            "a credential can only be replaced by one of the same principal".to_owned(),
        ));
    }
    let news = update(conn, old, act).await?;
    insert_row(conn, new).await?;
    Ok(news)
}

/// Ends those of these that are stored and not ended.
pub(super) async fn revoke_many(
    conn: &mut SqliteConnection,
    ids: &[CredentialId],
    at: UnixMillis,
    act: &AuditDraft,
) -> Result<Vec<RevocationRecord>> {
    let mut ended = Vec::with_capacity(ids.len());
    for id in ids {
        let row = sqlx::query("SELECT expires_at FROM credentials WHERE id = ?1 AND revoked_at IS NULL")
            .bind(id.as_str())
            .fetch_optional(&mut *conn)
            .await?;
        if let Some(row) = row {
            let end = end_of(id, at, rows::optional_instant(&row, "expires_at")?);
            ended.push(revocations::append_silently(conn, &end, act.at).await?);
        }
    }
    audit::append(conn, std::slice::from_ref(act)).await?;
    Ok(ended)
}

/// Ends a credential and marks it as deleted.
pub(super) async fn delete(
    conn: &mut SqliteConnection,
    id: &CredentialId,
    at: UnixMillis,
    act: &AuditDraft,
) -> Result<RevocationRecord> {
    let row = sqlx::query("SELECT expires_at, deleted_at FROM credentials WHERE id = ?1")
        .bind(id.as_str())
        .fetch_optional(&mut *conn)
        .await?
        .ok_or(StoreError::NotFound("credential"))?;
    if rows::optional_instant(&row, "deleted_at")?.is_some() {
        return Err(StoreError::Conflict(
            "the credential is deleted already".to_owned(),
        ));
    }
    let end = end_of(id, at, rows::optional_instant(&row, "expires_at")?);
    let ended = revocations::append(conn, &end, act).await?;
    // What can be read back of it is gone at once.
    sqlx::query("UPDATE credentials SET deleted_at = ?2, sealed_secret = NULL WHERE id = ?1")
        .bind(id.as_str())
        .bind(at.0)
        .execute(&mut *conn)
        .await?;
    Ok(ended)
}

/// Forgets what was deleted long enough ago.
pub(super) async fn purge(
    conn: &mut SqliteConnection,
    until: UnixMillis,
    limit: u32,
    act: &AuditDraft,
) -> Result<u64> {
    let old = "SELECT id FROM credentials WHERE deleted_at <= ?1 ORDER BY deleted_at, id LIMIT ?2";
    let mut forgotten = 0;
    // The rows themselves last: they say whose usage goes.
    for table in ["usage WHERE credential", "credentials WHERE id"] {
        forgotten = sqlx::query(AssertSqlSafe(format!("DELETE FROM {table} IN ({old})")))
            .bind(until.0)
            .bind(i64::from(limit))
            .execute(&mut *conn)
            .await?
            .rows_affected();
    }
    if forgotten > 0 {
        audit::append(conn, std::slice::from_ref(act)).await?;
    }
    Ok(forgotten)
}

fn end_of(id: &CredentialId, at: UnixMillis, until: Option<UnixMillis>) -> NewRevocation {
    NewRevocation {
        effect: Effect::Ends,
        target: RevocationTarget::Credential(id.clone()),
        cut_at: at,
        until,
    }
}
