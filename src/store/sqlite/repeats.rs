//! Requests that came with a key of their sender's: claimed under the write lock, so that of two at once one wins.

use async_trait::async_trait;
use sqlx::sqlite::{SqliteConnection, SqliteRow};

use super::{SqliteStore, rows};
use crate::domain::clock::UnixMillis;
use crate::store::{Claimed, Repeats, RequestClaim, Result};

/// Rows forgotten by one claim, so that none takes long.
const FORGET_AT_ONCE: u32 = 100;

#[async_trait]
impl Repeats for SqliteStore {
    async fn claim_request(
        &self,
        claim: &RequestClaim,
        forget_before: UnixMillis,
        most: u32,
    ) -> Result<Claimed> {
        let mut change = self.connections.begin().await?;
        let work = make_claim(change.conn()?, claim, forget_before, most).await;
        change.finish(work).await
    }

    async fn keep_answer(&self, actor: &str, key: &str, answer: &str) -> Result<()> {
        let mut change = self.connections.begin().await?;
        let kept = sqlx::query("UPDATE repeats SET answer = ?3 WHERE actor = ?1 AND key = ?2")
            .bind(actor)
            .bind(key)
            .bind(answer)
            .execute(change.conn()?)
            .await;
        change.finish(kept.map(drop).map_err(Into::into)).await
    }

    async fn release_request(&self, actor: &str, key: &str) -> Result<()> {
        let mut change = self.connections.begin().await?;
        let gone = sqlx::query("DELETE FROM repeats WHERE actor = ?1 AND key = ?2 AND answer IS NULL")
            .bind(actor)
            .bind(key)
            .execute(change.conn()?)
            .await;
        change.finish(gone.map(drop).map_err(Into::into)).await
    }
}

async fn make_claim(
    conn: &mut SqliteConnection,
    claim: &RequestClaim,
    forget_before: UnixMillis,
    most: u32,
) -> Result<Claimed> {
    sqlx::query(
        "DELETE FROM repeats WHERE (actor = ?1 AND key = ?2 AND at < ?3) OR (actor, key) IN
             (SELECT actor, key FROM repeats WHERE at < ?3 ORDER BY at LIMIT ?4)",
    )
    .bind(&claim.actor)
    .bind(&claim.key)
    .bind(forget_before.0)
    .bind(FORGET_AT_ONCE)
    .execute(&mut *conn)
    .await?;
    let known = sqlx::query("SELECT digest, answer FROM repeats WHERE actor = ?1 AND key = ?2")
        .bind(&claim.actor)
        .bind(&claim.key)
        .fetch_optional(&mut *conn)
        .await?;
    if let Some(row) = known {
        return found(&row, claim);
    }
    let held: i64 = sqlx::query_scalar("SELECT count(*) FROM repeats WHERE actor = ?1")
        .bind(&claim.actor)
        .fetch_one(&mut *conn)
        .await?;
    if held >= i64::from(most) {
        return Ok(Claimed::TooMany);
    }
    sqlx::query("INSERT INTO repeats (actor, key, digest, at) VALUES (?1, ?2, ?3, ?4)")
        .bind(&claim.actor)
        .bind(&claim.key)
        .bind(claim.digests.first().map_or(&[][..], |digest| &digest[..]))
        .bind(claim.at.0)
        .execute(&mut *conn)
        .await?;
    Ok(Claimed::Yours)
}

fn found(row: &SqliteRow, claim: &RequestClaim) -> Result<Claimed> {
    let digest: Vec<u8> = rows::plain(row, "digest")?;
    if !claim.digests.iter().any(|d| d[..] == digest[..]) {
        return Ok(Claimed::Another);
    }
    Ok(match rows::plain(row, "answer")? {
        Some(answer) => Claimed::Answered(answer),
        None => Claimed::UnderWay,
    })
}
