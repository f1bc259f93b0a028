//! The schema's versions and the way from one to the next. Every step that is missing is applied in one
//! transaction; `user_version` says how many were. Who calls: the opener, on a file it knows to be ours.

use sqlx::sqlite::SqliteConnection;
use sqlx::{AssertSqlSafe, Connection};

use crate::store::Result;

/// Marks our files: "DWRD" in `PRAGMA application_id`.
pub(super) const APPLICATION_ID: u32 = 0x4457_5244;

/// Migrations, first to last. The version of a file is the number of steps applied to it.
pub(super) type Steps = &'static [&'static str];

/// This program's steps.
pub(super) const STEPS: Steps = &[
    include_str!("migrations/0001_initial.sql"),
    include_str!("migrations/0002_audit_trimming.sql"),
    include_str!("migrations/0003_lifecycle.sql"),
    include_str!("migrations/0004_nonces.sql"),
    include_str!("migrations/0005_repeats.sql"),
];

/// Tables every store has from its first version on; a file without them is not ours whatever it calls itself.
const TABLES: [&str; 8] = [
    "audit",
    "audit_head",
    "credentials",
    "customers",
    "keys",
    "principals",
    "revocations",
    "tenants",
];

/// The version this program writes.
pub(super) fn latest(steps: Steps) -> u32 {
    u32::try_from(steps.len()).unwrap_or(u32::MAX)
}

/// The version of an open file. It is 32 bits wide; a negative one is nobody's and counts as the newest.
pub(super) async fn version(conn: &mut SqliteConnection) -> sqlx::Result<u32> {
    let version: i64 = sqlx::query_scalar("PRAGMA user_version").fetch_one(conn).await?;
    Ok(u32::try_from(version).unwrap_or(u32::MAX))
}

/// The first of our tables that an open file lacks.
pub(super) async fn missing_table(conn: &mut SqliteConnection) -> sqlx::Result<Option<&'static str>> {
    let present: Vec<String> = sqlx::query_scalar("SELECT name FROM sqlite_schema WHERE type = 'table'")
        .fetch_all(conn)
        .await?;
    Ok(TABLES
        .into_iter()
        .find(|table| !present.iter().any(|p| p == table)))
}

/// Applies the steps that are missing, all or none, and returns how many were.
pub(super) async fn migrate(conn: &mut SqliteConnection, steps: Steps) -> Result<u32> {
    // The write lock is taken before the version is read: of two processes, one migrates.
    let mut tx = conn.begin_with("BEGIN IMMEDIATE").await?;
    let found = version(&mut tx).await?;
    let missing = steps
        .get(usize::try_from(found).unwrap_or(usize::MAX)..)
        .unwrap_or_default();
    for step in missing {
        sqlx::raw_sql(*step).execute(&mut *tx).await?;
    }
    if !missing.is_empty() {
        let pragmas = format!(
            "PRAGMA application_id = {APPLICATION_ID}; PRAGMA user_version = {}",
            latest(steps)
        );
        sqlx::raw_sql(AssertSqlSafe(pragmas)).execute(&mut *tx).await?;
    }
    tx.commit().await?;
    Ok(latest(steps).saturating_sub(found))
}
