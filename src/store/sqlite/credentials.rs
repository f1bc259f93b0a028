//! Stored credentials. A look-up is one indexed query that reads the credential with its principal and the
//! state of its tenant and customer; its text is fixed, so each connection prepares it once.

use async_trait::async_trait;
use sqlx::sqlite::{SqliteConnection, SqliteRow};

use super::errors::{damaged, or_missing};
use super::{SqliteStore, audit, credential_change, credential_list, principals, revocations, rows};
use crate::domain::clock::UnixMillis;
use crate::domain::identity::CredentialKind;
use crate::domain::ids::{CredentialId, KeyId};
use crate::domain::scope::Permission;
use crate::store::{
    AuditDraft, CredentialContext, CredentialFilter, CredentialLimits, CredentialRecord, Credentials, Effect,
    KeyedDigest, NewRevocation, Page, Result, RevocationRecord, RevocationTarget, StoreError, Transport,
};

/// A credential's columns.
macro_rules! columns {
    () => {
        "c.id, c.kind, c.principal, c.name, c.public_id, c.keyed_digest, c.lookup_key, c.slow_digest, \
         c.scopes, c.permission, c.networks, c.transport, c.enabled, c.expires_at, c.revoked_at, c.created_at, \
         c.description, c.metadata, c.tags, c.version, c.environment, c.limits, c.sealed_secret, \
         c.replaced_by, c.deleted_at"
    };
}
pub(super) use columns;

/// A query for credentials with all that decides whether they are good.
macro_rules! with_context {
    ($condition:literal) => {
        concat!(
            "SELECT ",
            columns!(),
            ", ",
            principals::columns!(),
            ", ",
            principals::owners_enabled!(),
            " FROM credentials c JOIN principals p ON p.id = c.principal \
             LEFT JOIN tenants t ON t.id = p.tenant LEFT JOIN customers u ON u.id = p.customer ",
            $condition
        )
    };
}

pub(super) const BY_DIGEST: &str = with_context!("WHERE c.keyed_digest = ?1 AND c.kind = ?2");
pub(super) const BY_PUBLIC_ID: &str = with_context!(
    "WHERE c.public_id = ?1 AND c.kind = ?2 \
     ORDER BY c.revoked_at IS NOT NULL, c.created_at, c.id LIMIT ?3"
);
const BY_ID: &str = with_context!("WHERE c.id = ?1");

#[async_trait]
impl Credentials for SqliteStore {
    async fn insert_credential(&self, credential: &CredentialRecord, act: &AuditDraft) -> Result<()> {
        let mut change = self.connections.begin().await?;
        let work = insert(change.conn()?, credential, act).await;
        change.finish(work).await
    }

    async fn find_by_digest(
        &self,
        kind: CredentialKind,
        digest: &[u8; 32],
    ) -> Result<Option<CredentialContext>> {
        let row = self
            .connections
            .within(
                sqlx::query(BY_DIGEST)
                    .bind(digest.as_slice())
                    .bind(kind.as_str())
                    .fetch_optional(&self.connections.readers),
            )
            .await?;
        row.as_ref().map(context).transpose()
    }

    async fn find_by_public_id(
        &self,
        kind: CredentialKind,
        public_id: &str,
        limit: u32,
    ) -> Result<Vec<CredentialContext>> {
        let found = self
            .connections
            .within(
                sqlx::query(BY_PUBLIC_ID)
                    .bind(public_id)
                    .bind(kind.as_str())
                    .bind(i64::from(limit))
                    .fetch_all(&self.connections.readers),
            )
            .await?;
        found.iter().map(context).collect()
    }

    async fn credential(&self, id: &CredentialId) -> Result<Option<CredentialContext>> {
        let row = self
            .connections
            .within(
                sqlx::query(BY_ID)
                    .bind(id.as_str())
                    .fetch_optional(&self.connections.readers),
            )
            .await?;
        row.as_ref().map(context).transpose()
    }

    async fn list_credentials(
        &self,
        filter: &CredentialFilter,
        page: &Page,
    ) -> Result<Vec<CredentialRecord>> {
        let mut query = credential_list::query(filter, page)?;
        let found = self
            .connections
            .within(query.build().fetch_all(&self.connections.readers))
            .await?;
        found.iter().map(record).collect()
    }

    async fn set_keyed_digest(&self, id: &CredentialId, digest: &[u8; 32], key: &KeyId) -> Result<()> {
        let mut change = self.connections.begin().await?;
        let done = sqlx::query("UPDATE credentials SET keyed_digest = ?2, lookup_key = ?3 WHERE id = ?1")
            .bind(id.as_str())
            .bind(digest.as_slice())
            .bind(key.as_str())
            .execute(change.conn()?)
            .await;
        let work = match done {
            Ok(done) if done.rows_affected() == 0 => Err(StoreError::NotFound("credential")),
            Ok(_) => Ok(()),
            Err(error) => Err(error.into()),
        };
        change.finish(work).await
    }

    async fn replace_credential(
        &self,
        old: &CredentialId,
        new: &CredentialRecord,
        at: UnixMillis,
        act: &AuditDraft,
    ) -> Result<RevocationRecord> {
        let mut change = self.connections.begin().await?;
        let work = replace(change.conn()?, old, new, at, act).await;
        change.finish(work).await
    }

    async fn update_credential(
        &self,
        credential: &CredentialRecord,
        act: &AuditDraft,
    ) -> Result<RevocationRecord> {
        let mut change = self.connections.begin().await?;
        let work = credential_change::update(change.conn()?, credential, act).await;
        change.finish(work).await
    }

    async fn succeed_credential(
        &self,
        old: &CredentialRecord,
        new: &CredentialRecord,
        act: &AuditDraft,
    ) -> Result<RevocationRecord> {
        let mut change = self.connections.begin().await?;
        let work = credential_change::succeed(change.conn()?, old, new, act).await;
        change.finish(work).await
    }

    async fn revoke_credentials(
        &self,
        ids: &[CredentialId],
        at: UnixMillis,
        act: &AuditDraft,
    ) -> Result<Vec<RevocationRecord>> {
        let mut change = self.connections.begin().await?;
        let work = credential_change::revoke_many(change.conn()?, ids, at, act).await;
        change.finish(work).await
    }

    async fn delete_credential(
        &self,
        id: &CredentialId,
        at: UnixMillis,
        act: &AuditDraft,
    ) -> Result<RevocationRecord> {
        let mut change = self.connections.begin().await?;
        let work = credential_change::delete(change.conn()?, id, at, act).await;
        change.finish(work).await
    }

    async fn purge_credentials(&self, until: UnixMillis, limit: u32, act: &AuditDraft) -> Result<u64> {
        let mut change = self.connections.begin().await?;
        let work = credential_change::purge(change.conn()?, until, limit, act).await;
        change.finish(work).await
    }
}

async fn insert(conn: &mut SqliteConnection, credential: &CredentialRecord, act: &AuditDraft) -> Result<()> {
    insert_row(conn, credential).await?;
    audit::append(conn, std::slice::from_ref(act)).await
}

pub(super) async fn insert_row(conn: &mut SqliteConnection, credential: &CredentialRecord) -> Result<()> {
    let keyed = credential.keyed_digest.as_ref();
    sqlx::query(
        "INSERT INTO credentials (id, kind, principal, name, public_id, keyed_digest, lookup_key,
             slow_digest, scopes, permission, networks, transport, enabled, expires_at, revoked_at,
             created_at, description, metadata, tags, version, environment, limits, sealed_secret,
             replaced_by, deleted_at, tenant, customer)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18, ?19, ?20, ?21,
             ?22, ?23, ?24, ?25, (SELECT tenant FROM principals WHERE id = ?3),
             (SELECT customer FROM principals WHERE id = ?3))",
    )
    .bind(credential.id.as_str())
    .bind(credential.kind.as_str())
    .bind(credential.principal.as_str())
    .bind(&credential.name)
    .bind(&credential.public_id)
    .bind(keyed.map(|k| k.digest.as_slice()))
    .bind(keyed.map(|k| k.key.as_str()))
    .bind(&credential.slow_digest)
    .bind(rows::joined(credential.scopes.iter().map(|s| s.as_str())))
    .bind(credential.permission.as_str())
    .bind(rows::joined(credential.networks.iter().map(ToString::to_string)))
    .bind(transport(credential.transport))
    .bind(rows::switch(credential.enabled))
    .bind(credential.expires_at.map(|at| at.0))
    .bind(credential.revoked_at.map(|at| at.0))
    .bind(credential.created_at.0)
    .bind(&credential.about.description)
    .bind(rows::metadata(&credential.about))
    .bind(rows::joined(&credential.about.tags))
    .bind(rows::stored(credential.version))
    .bind(&credential.environment)
    .bind(credential.limits.as_ref().map(limits_text))
    .bind(&credential.sealed_secret)
    .bind(credential.replaced_by.as_ref().map(CredentialId::as_str))
    .bind(credential.deleted_at.map(|at| at.0))
    .execute(&mut *conn)
    .await
    .map_err(|e| or_missing(e, "principal of the credential"))?;
    insert_tags(conn, credential).await
}

pub(super) async fn insert_tags(conn: &mut SqliteConnection, credential: &CredentialRecord) -> Result<()> {
    for tag in &credential.about.tags {
        sqlx::query("INSERT INTO credential_tags (tag, created_at, credential) VALUES (?1, ?2, ?3)")
            .bind(tag)
            .bind(credential.created_at.0)
            .bind(credential.id.as_str())
            .execute(&mut *conn)
            .await?;
    }
    Ok(())
}

/// A transport as stored.
pub(super) fn transport(transport: Transport) -> &'static str {
    match transport {
        Transport::Any => "any",
        Transport::HttpsOnly => "https_only",
    }
}

/// Limits as stored.
pub(super) fn limits_text(limits: &CredentialLimits) -> String {
    serde_json::json!({
        "requests": limits.requests,
        "data_points": limits.data_points,
        "bytes": limits.bytes,
        "connections": limits.connections,
    })
    .to_string()
}

fn limits(row: &SqliteRow) -> Result<Option<CredentialLimits>> {
    if rows::plain::<Option<&str>>(row, "limits")?.is_none() {
        return Ok(None);
    }
    let stored: serde_json::Value = rows::json(row, "limits")?;
    let window = |name: &str| stored.get(name).and_then(|v| v.as_str()).map(str::to_owned);
    Ok(Some(CredentialLimits {
        requests: window("requests"),
        data_points: window("data_points"),
        bytes: window("bytes"),
        connections: stored
            .get("connections")
            .and_then(serde_json::Value::as_u64)
            .and_then(|n| u32::try_from(n).ok()),
    }))
}

async fn replace(
    conn: &mut SqliteConnection,
    old: &CredentialId,
    new: &CredentialRecord,
    at: UnixMillis,
    act: &AuditDraft,
) -> Result<RevocationRecord> {
    let row = sqlx::query("SELECT principal, expires_at, revoked_at FROM credentials WHERE id = ?1")
        .bind(old.as_str())
        .fetch_optional(&mut *conn)
        .await?
        .ok_or(StoreError::NotFound("credential to replace"))?;
    if rows::plain::<&str>(&row, "principal")? != new.principal.as_str() {
        return Err(StoreError::Conflict(
            "a credential can only be replaced by one of the same principal".to_owned(),
        ));
    }
    // Of two replacements at once the second finds this: one credential never becomes two.
    if rows::optional_instant(&row, "revoked_at")?.is_some() {
        return Err(StoreError::Conflict(
            "the credential to replace is revoked already".to_owned(),
        ));
    }
    let end_of_old = NewRevocation {
        effect: Effect::Ends,
        target: RevocationTarget::Credential(old.clone()),
        cut_at: at,
        until: rows::optional_instant(&row, "expires_at")?,
    };
    // First the end of the old one, which gives a user name free for the new one.
    let revocation = revocations::append(conn, &end_of_old, act).await?;
    insert_row(conn, new).await?;
    Ok(revocation)
}

fn record(row: &SqliteRow) -> Result<CredentialRecord> {
    let keyed_digest = match rows::optional_id::<KeyId>(row, "lookup_key")? {
        None => None,
        Some(key) => Some(KeyedDigest {
            digest: rows::digest(row, "keyed_digest")?,
            key,
        }),
    };
    Ok(CredentialRecord {
        id: rows::id(row, "id")?,
        kind: rows::named(row, "kind", CredentialKind::parse)?,
        principal: rows::id(row, "principal")?,
        name: rows::plain(row, "name")?,
        public_id: rows::plain(row, "public_id")?,
        keyed_digest,
        slow_digest: rows::plain(row, "slow_digest")?,
        scopes: rows::scopes(row, "scopes")?,
        permission: rows::named(row, "permission", Permission::parse)?,
        networks: rows::list(row, "networks", |text| text.parse().ok())?,
        transport: match rows::plain(row, "transport")? {
            "any" => Transport::Any,
            "https_only" => Transport::HttpsOnly,
            _ => return Err(damaged("transport")),
        },
        enabled: rows::enabled(row, "enabled")?,
        expires_at: rows::optional_instant(row, "expires_at")?,
        revoked_at: rows::optional_instant(row, "revoked_at")?,
        created_at: rows::instant(row, "created_at")?,
        about: rows::about(row, ["description", "metadata", "tags"])?,
        environment: rows::plain(row, "environment")?,
        limits: limits(row)?,
        sealed_secret: rows::plain(row, "sealed_secret")?,
        replaced_by: rows::optional_id(row, "replaced_by")?,
        deleted_at: rows::optional_instant(row, "deleted_at")?,
        version: rows::natural(row, "version")?,
    })
}

fn context(row: &SqliteRow) -> Result<CredentialContext> {
    Ok(CredentialContext {
        credential: record(row)?,
        principal: principals::record(row)?,
        tenant_enabled: rows::enabled(row, "tenant_enabled")?,
        customer_enabled: rows::enabled(row, "customer_enabled")?,
    })
}
