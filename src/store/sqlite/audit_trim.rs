//! What retention removes from the audit trail, and what it leaves so that the chain can still be checked.
//!
//! The rows removed one after the other leave one row of `audit_gaps` behind: their numbers, and the digest
//! of the last of them, from which the next row's follows. Neighbors are merged, so there are never more
//! gaps than rows that were kept, and one. Which rows go is the caller's rule.

use sqlx::Row;
use sqlx::sqlite::{SqliteConnection, SqliteRow};

use super::rows;
use crate::domain::clock::UnixMillis;
use crate::store::{AuditTrim, Result, TrimmedActs};

/// Rows removed one after the other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Gap {
    pub(super) first: u64,
    pub(super) last: u64,
    pub(super) digest: [u8; 32],
}

/// A gap as stored.
pub(super) fn gap(row: &SqliteRow) -> Result<Gap> {
    Ok(Gap {
        first: rows::natural(row, "first")?,
        last: rows::natural(row, "last")?,
        digest: rows::digest(row, "digest")?,
    })
}

/// Removes at most `limit` rows, oldest first, within the caller's transaction.
pub(super) async fn trim(conn: &mut SqliteConnection, rule: &AuditTrim, limit: u32) -> Result<u64> {
    let Some((at, seq)) = boundary(conn, rule).await? else {
        return Ok(0);
    };
    let (comparison, act) = acts(rule.acts);
    let found = sqlx::query(sqlx::AssertSqlSafe(format!(
        "SELECT seq, digest FROM audit WHERE {comparison} AND (at, seq) <= (?2, ?3) ORDER BY at, seq LIMIT ?4"
    )))
    .bind(act)
    .bind(at)
    .bind(seq)
    .bind(i64::from(limit))
    .fetch_all(&mut *conn)
    .await?;
    let mut gone = Vec::with_capacity(found.len());
    for row in &found {
        gone.push((rows::natural(row, "seq")?, rows::digest(row, "digest")?));
    }
    gone.sort_unstable_by_key(|(seq, _)| *seq);
    for gap in runs(&gone) {
        leave(conn, gap).await?;
    }
    Ok(u64::try_from(gone.len()).unwrap_or(u64::MAX))
}

/// The newest row that goes, by time and number; everything up to it goes.
async fn boundary(conn: &mut SqliteConnection, rule: &AuditTrim) -> Result<Option<(i64, i64)>> {
    let by_age = rule
        .before
        .map(|UnixMillis(before)| (before.saturating_sub(1), i64::MAX));
    let Some(keep) = rule.keep_newest else {
        return Ok(by_age);
    };
    let (comparison, act) = acts(rule.acts);
    let found = sqlx::query(sqlx::AssertSqlSafe(format!(
        "SELECT at, seq FROM audit WHERE {comparison} ORDER BY at DESC, seq DESC LIMIT 1 OFFSET ?2"
    )))
    .bind(act)
    .bind(rows::stored(keep))
    .fetch_optional(conn)
    .await?;
    let by_count = match found {
        Some(row) => Some((row.try_get("at")?, row.try_get("seq")?)),
        None => None,
    };
    Ok(by_age.max(by_count))
}

fn acts(acts: TrimmedActs) -> (&'static str, &'static str) {
    match acts {
        TrimmedActs::Only(act) => ("act = ?1", act),
        TrimmedActs::AllBut(act) => ("act <> ?1", act),
    }
}

/// Rows in the order of their numbers, as the gaps they leave.
fn runs(gone: &[(u64, [u8; 32])]) -> Vec<Gap> {
    let mut gaps: Vec<Gap> = Vec::new();
    for &(seq, digest) in gone {
        match gaps.last_mut() {
            Some(gap) if gap.last.saturating_add(1) == seq => (gap.last, gap.digest) = (seq, digest),
            _ => gaps.push(Gap {
                first: seq,
                last: seq,
                digest,
            }),
        }
    }
    gaps
}

/// Removes the rows of a gap, and merges it with its neighbors.
async fn leave(conn: &mut SqliteConnection, mut gap: Gap) -> Result<()> {
    sqlx::query("DELETE FROM audit WHERE seq BETWEEN ?1 AND ?2")
        .bind(rows::stored(gap.first))
        .bind(rows::stored(gap.last))
        .execute(&mut *conn)
        .await?;
    let neighbors =
        sqlx::query("DELETE FROM audit_gaps WHERE last = ?1 OR first = ?2 RETURNING first, last, digest")
            .bind(rows::stored(gap.first.saturating_sub(1)))
            .bind(rows::stored(gap.last.saturating_add(1)))
            .fetch_all(&mut *conn)
            .await?;
    for row in &neighbors {
        let neighbor = self::gap(row)?;
        gap.first = gap.first.min(neighbor.first);
        if neighbor.last > gap.last {
            (gap.last, gap.digest) = (neighbor.last, neighbor.digest);
        }
    }
    sqlx::query("INSERT INTO audit_gaps (first, last, digest) VALUES (?1, ?2, ?3)")
        .bind(rows::stored(gap.first))
        .bind(rows::stored(gap.last))
        .bind(gap.digest.as_slice())
        .execute(conn)
        .await?;
    Ok(())
}
