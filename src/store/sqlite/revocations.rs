//! Revocations. SQLite has one writer at a time, so numbers given inside a transaction are in order of
//! commit, and a transaction that is undone gives its number back: there are no gaps but pruned ones.

use std::time::Duration;

use async_trait::async_trait;
use sqlx::sqlite::{SqliteConnection, SqliteRow};

use super::errors::damaged;
use super::{SqliteStore, audit, rows};
use crate::domain::clock::UnixMillis;
use crate::store::{
    AuditDraft, Effect, NewRevocation, Result, RevocationRecord, RevocationTarget, Revocations,
};

/// How long a change of a row is told. Whoever follows the sequence reads it within a second; verdicts that
/// were remembered before are forgotten after minutes by themselves.
const CHANGES_TOLD_FOR: Duration = Duration::from_secs(3600);

/// The news that a row was changed by this act.
pub(super) fn changed(target: RevocationTarget, act: &AuditDraft) -> NewRevocation {
    NewRevocation {
        effect: Effect::Changes,
        target,
        cut_at: act.at,
        until: Some(act.at.plus(CHANGES_TOLD_FOR)),
    }
}

/// The end, by this act, of everything that has no end of its own.
pub(super) fn ended(target: RevocationTarget, act: &AuditDraft) -> NewRevocation {
    NewRevocation {
        effect: Effect::Ends,
        target,
        cut_at: act.at,
        until: None,
    }
}

/// Appends a revocation with its audit row, within the caller's transaction, and marks the credential's
/// row where there is one. A row that is marked already keeps its first instant.
pub(super) async fn append(
    conn: &mut SqliteConnection,
    revocation: &NewRevocation,
    act: &AuditDraft,
) -> Result<RevocationRecord> {
    let record = append_silently(conn, revocation, act.at).await?;
    audit::append(conn, std::slice::from_ref(act)).await?;
    Ok(record)
}

/// As [`append`], for one of many that share an audit row, which the caller writes.
pub(super) async fn append_silently(
    conn: &mut SqliteConnection,
    revocation: &NewRevocation,
    at: UnixMillis,
) -> Result<RevocationRecord> {
    let (kind, target) = columns(&revocation.target);
    if let (RevocationTarget::Credential(id), Effect::Ends) = (&revocation.target, revocation.effect) {
        sqlx::query("UPDATE credentials SET revoked_at = ?2 WHERE id = ?1 AND revoked_at IS NULL")
            .bind(id.as_str())
            .bind(revocation.cut_at.0)
            .execute(&mut *conn)
            .await?;
    }
    let row = sqlx::query(
        "INSERT INTO revocations (target_kind, target_id, cut_at, until_at, created_at, effect)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6) RETURNING seq",
    )
    .bind(kind)
    .bind(target)
    .bind(revocation.cut_at.0)
    .bind(revocation.until.map(|u| u.0))
    .bind(at.0)
    .bind(match revocation.effect {
        Effect::Ends => "ends",
        Effect::Changes => "changes",
    })
    .fetch_one(&mut *conn)
    .await?;
    Ok(RevocationRecord {
        seq: rows::natural(&row, "seq")?,
        revocation: revocation.clone(),
        created_at: at,
    })
}

/// Marks the rows of everything a principal, a tenant or everyone holds. For stored credentials the row is
/// the truth, whatever is forgotten elsewhere, and the order of commits says what was there: a clock that was
/// set back would spare rows made before it was.
pub(super) async fn mark_rows(conn: &mut SqliteConnection, revocation: &NewRevocation) -> Result<()> {
    let update = match &revocation.target {
        // `append` marks the row.
        RevocationTarget::Credential(_) => return Ok(()),
        RevocationTarget::Principal(_) => {
            "UPDATE credentials SET revoked_at = ?1
             WHERE revoked_at IS NULL AND principal = ?2"
        }
        RevocationTarget::Tenant(_) => {
            "UPDATE credentials SET revoked_at = ?1
             WHERE revoked_at IS NULL
               AND principal IN (SELECT id FROM principals WHERE tenant = ?2)"
        }
        RevocationTarget::All => {
            "UPDATE credentials SET revoked_at = ?1
             WHERE revoked_at IS NULL AND ?2 IS NULL"
        }
    };
    sqlx::query(update)
        .bind(revocation.cut_at.0)
        .bind(columns(&revocation.target).1)
        .execute(conn)
        .await?;
    Ok(())
}

#[async_trait]
impl Revocations for SqliteStore {
    async fn revoke(&self, revocation: &NewRevocation, act: &AuditDraft) -> Result<RevocationRecord> {
        let mut change = self.connections.begin().await?;
        let conn = change.conn()?;
        let work = match mark_rows(conn, revocation).await {
            Ok(()) => append(conn, revocation, act).await,
            Err(error) => Err(error),
        };
        change.finish(work).await
    }

    async fn revocations_after(&self, after: u64, limit: u32) -> Result<Vec<RevocationRecord>> {
        let found = self
            .connections
            .within(
                sqlx::query(
                    "SELECT seq, target_kind, target_id, cut_at, until_at, created_at, effect FROM revocations
                 WHERE seq > ?1 ORDER BY seq LIMIT ?2",
                )
                .bind(rows::stored(after))
                .bind(i64::from(limit))
                .fetch_all(&self.connections.readers),
            )
            .await?;
        found.iter().map(record).collect()
    }

    async fn prune_revocations(&self, now: UnixMillis) -> Result<u64> {
        let mut change = self.connections.begin().await?;
        let work = sqlx::query("DELETE FROM revocations WHERE until_at < ?1")
            .bind(now.0)
            .execute(change.conn()?)
            .await
            .map(|done| done.rows_affected())
            .map_err(Into::into);
        change.finish(work).await
    }
}

fn columns(target: &RevocationTarget) -> (&'static str, Option<&str>) {
    match target {
        RevocationTarget::Credential(id) => ("credential", Some(id.as_str())),
        RevocationTarget::Principal(id) => ("principal", Some(id.as_str())),
        RevocationTarget::Tenant(id) => ("tenant", Some(id.as_str())),
        RevocationTarget::All => ("all", None),
    }
}

fn record(row: &SqliteRow) -> Result<RevocationRecord> {
    let target = match rows::plain(row, "target_kind")? {
        "credential" => RevocationTarget::Credential(rows::id(row, "target_id")?),
        "principal" => RevocationTarget::Principal(rows::id(row, "target_id")?),
        "tenant" => RevocationTarget::Tenant(rows::id(row, "target_id")?),
        "all" => RevocationTarget::All,
        _ => return Err(damaged("target_kind")),
    };
    Ok(RevocationRecord {
        seq: rows::natural(row, "seq")?,
        revocation: NewRevocation {
            effect: match rows::plain(row, "effect")? {
                "ends" => Effect::Ends,
                "changes" => Effect::Changes,
                _ => return Err(damaged("effect")),
            },
            target,
            cut_at: rows::instant(row, "cut_at")?,
            until: rows::optional_instant(row, "until_at")?,
        },
        created_at: rows::instant(row, "created_at")?,
    })
}
