//! The audit trail. Rows are appended in the transaction of the act they tell of, after the act: whoever
//! holds the write lock also holds the end of the chain.

use async_trait::async_trait;
use sqlx::Row;
use sqlx::sqlite::{SqliteConnection, SqliteRow};

use super::audit_trim::{self, Gap};
use super::{SqliteStore, rows};
use crate::store::chain::{ChainedRow, GENESIS, detail_text};
use crate::store::{AuditDraft, AuditLog, AuditRecord, AuditTrim, Result};

/// Rows read at once while the chain is checked: bounds memory, and lets the log be written back between.
const CHECKED_AT_ONCE: i64 = 1000;

/// Appends rows to the chain, within the caller's transaction.
pub(super) async fn append(conn: &mut SqliteConnection, drafts: &[AuditDraft]) -> Result<()> {
    let (mut seq, mut digest) = head(&sqlx::query(HEAD).fetch_one(&mut *conn).await?)?;
    for draft in drafts {
        seq = seq.saturating_add(1);
        let detail = detail_text(&draft.detail);
        digest = ChainedRow::of(seq, draft, &detail).digest(&digest);
        sqlx::query(
            "INSERT INTO audit (seq, at, actor, act, target, origin, detail, digest)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
        )
        .bind(rows::stored(seq))
        .bind(draft.at.0)
        .bind(&draft.actor)
        .bind(&draft.act)
        .bind(&draft.target)
        .bind(&draft.from)
        .bind(detail)
        .bind(digest.as_slice())
        .execute(&mut *conn)
        .await?;
    }
    sqlx::query("UPDATE audit_head SET seq = ?1, digest = ?2")
        .bind(rows::stored(seq))
        .bind(digest.as_slice())
        .execute(conn)
        .await?;
    Ok(())
}

const HEAD: &str = "SELECT seq, digest FROM audit_head";

fn head(row: &SqliteRow) -> Result<(u64, [u8; 32])> {
    Ok((rows::natural(row, "seq")?, rows::digest(row, "digest")?))
}

#[async_trait]
impl AuditLog for SqliteStore {
    async fn append_events(&self, events: &[AuditDraft]) -> Result<()> {
        if events.is_empty() {
            return Ok(());
        }
        let mut change = self.connections.begin().await?;
        let work = append(change.conn()?, events).await;
        change.finish(work).await
    }

    async fn list_audit(&self, before: Option<u64>, limit: u32) -> Result<Vec<AuditRecord>> {
        let found = self
            .connections
            .within(
                sqlx::query(
                    "SELECT seq, at, actor, act, target, origin, detail, digest FROM audit
                 WHERE seq < ?1 ORDER BY seq DESC LIMIT ?2",
                )
                .bind(before.map_or(i64::MAX, rows::stored))
                .bind(i64::from(limit))
                .fetch_all(&self.connections.readers),
            )
            .await?;
        found.iter().map(record).collect()
    }

    async fn trim_audit(&self, rule: &AuditTrim, limit: u32) -> Result<u64> {
        let mut change = self.connections.begin().await?;
        let work = audit_trim::trim(change.conn()?, rule, limit).await;
        change.finish(work).await
    }

    async fn verify_audit(&self) -> Result<Option<u64>> {
        // The head first: rows appended meanwhile lie beyond it and are not looked at.
        let (end, end_digest) = head(
            &self
                .connections
                .within(sqlx::query(HEAD).fetch_one(&self.connections.readers))
                .await?,
        )?;
        let (mut seq, mut digest) = (0_u64, GENESIS);
        while seq < end {
            let began = seq;
            let (chunk, gaps) = (self.rows_after(seq, end).await?, self.gaps_after(seq).await?);
            let (mut chunk, mut gaps) = (chunk.iter().peekable(), gaps.iter().peekable());
            while seq < end {
                let expected = seq.saturating_add(1);
                // A gap that was merged meanwhile may have passed over some that were read before.
                while gaps.next_if(|gap| gap.last < expected).is_some() {}
                while chunk.next_if(|row| number(row) < expected).is_some() {}
                if let Some(row) = chunk.next_if(|row| number(row) == expected) {
                    match fits(row, expected, &digest) {
                        Some(next) => (seq, digest) = (expected, next),
                        None => return Ok(Some(expected)),
                    }
                } else if let Some(gap) = gaps.next_if(|gap| gap.first <= expected) {
                    (seq, digest) = (gap.last, gap.digest);
                } else {
                    break;
                }
            }
            if seq == began {
                return Ok(Some(seq.saturating_add(1)));
            }
        }
        if seq > end {
            // A gap reaches beyond what was the end when the check began.
            return Ok(None);
        }
        // Every row fits its neighbor, but the last is not the one that was written last.
        Ok((digest != end_digest).then_some(end))
    }
}

impl SqliteStore {
    async fn rows_after(&self, seq: u64, end: u64) -> Result<Vec<SqliteRow>> {
        self.connections
            .within(
                sqlx::query(
                    "SELECT seq, at, actor, act, target, origin, detail, digest FROM audit
                     WHERE seq > ?1 AND seq <= ?2 ORDER BY seq LIMIT ?3",
                )
                .bind(rows::stored(seq))
                .bind(rows::stored(end))
                .bind(CHECKED_AT_ONCE)
                .fetch_all(&self.connections.readers),
            )
            .await
    }

    async fn gaps_after(&self, seq: u64) -> Result<Vec<Gap>> {
        let found = self
            .connections
            .within(
                sqlx::query(
                    "SELECT first, last, digest FROM audit_gaps WHERE last > ?1 ORDER BY last LIMIT ?2",
                )
                .bind(rows::stored(seq))
                .bind(CHECKED_AT_ONCE)
                .fetch_all(&self.connections.readers),
            )
            .await?;
        found.iter().map(audit_trim::gap).collect()
    }
}

/// A row's number; one that cannot be read is none of the chain's.
fn number(row: &SqliteRow) -> u64 {
    rows::natural(row, "seq").unwrap_or(u64::MAX)
}

/// The row's digest, when it is the next of the chain.
fn fits(row: &SqliteRow, seq: u64, previous: &[u8; 32]) -> Option<[u8; 32]> {
    let chained = ChainedRow {
        seq: rows::natural(row, "seq").ok().filter(|found| *found == seq)?,
        at: rows::instant(row, "at").ok()?,
        actor: row.try_get("actor").ok()?,
        act: row.try_get("act").ok()?,
        target: row.try_get("target").ok()?,
        from: row.try_get("origin").ok()?,
        detail: row.try_get("detail").ok()?,
    };
    let digest = chained.digest(previous);
    (rows::digest(row, "digest").ok()? == digest).then_some(digest)
}

fn record(row: &SqliteRow) -> Result<AuditRecord> {
    Ok(AuditRecord {
        seq: rows::natural(row, "seq")?,
        entry: AuditDraft {
            at: rows::instant(row, "at")?,
            actor: rows::plain(row, "actor")?,
            act: rows::plain(row, "act")?,
            target: rows::plain(row, "target")?,
            from: rows::plain(row, "origin")?,
            detail: rows::named(row, "detail", |text| serde_json::from_str(text).ok())?,
        },
        digest: rows::digest(row, "digest")?,
    })
}
