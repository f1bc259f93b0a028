//! Principals: devices, users, service accounts, and which network may speak for which device.

use async_trait::async_trait;
use sqlx::sqlite::{SqliteConnection, SqliteRow};
use sqlx::{QueryBuilder, Sqlite};

use super::errors::or_missing;
use super::{SqliteStore, audit, revocations, rows};
use crate::domain::clock::UnixMillis;
use crate::domain::identity::PrincipalKind;
use crate::domain::ids::{CustomerId, PrincipalId, TenantId};
use crate::store::{
    AuditDraft, Enabled, Holdings, NewRevocation, Page, PrincipalContext, PrincipalFilter, PrincipalRecord,
    Principals, Result, RevocationRecord, RevocationTarget, StoreError,
};

/// A principal's columns, named so that a joined query can hold them too.
macro_rules! columns {
    () => {
        "p.id AS p_id, p.kind AS p_kind, p.tenant AS p_tenant, p.customer AS p_customer, p.name AS p_name, \
         p.external_id AS p_external_id, p.roles AS p_roles, p.enabled AS p_enabled, \
         p.created_at AS p_created_at, p.description AS p_description, p.metadata AS p_metadata, \
         p.tags AS p_tags, p.network AS p_network, p.serial AS p_serial, p.version AS p_version"
    };
}
pub(super) use columns;

/// Whether the tenant and the customer of `p` are on, given `t` and `u` joined to the left. One that should be
/// there and is not counts as switched off.
macro_rules! owners_enabled {
    () => {
        "iif(p.tenant IS NULL, 1, coalesce(t.enabled, 0)) AS tenant_enabled, \
         iif(p.customer IS NULL, 1, coalesce(u.enabled, 0)) AS customer_enabled"
    };
}
pub(super) use owners_enabled;

const BY_SERIAL: &str = concat!(
    "SELECT ",
    columns!(),
    ", ",
    owners_enabled!(),
    " FROM principals p LEFT JOIN tenants t ON t.id = p.tenant LEFT JOIN customers u ON u.id = p.customer \
     WHERE p.network = ?1 AND p.serial = ?2 AND p.kind = 'device'"
);

#[async_trait]
impl Principals for SqliteStore {
    async fn insert_principal(&self, principal: &PrincipalRecord, act: &AuditDraft) -> Result<()> {
        let mut change = self.connections.begin().await?;
        let work = insert_principal(change.conn()?, principal, act).await;
        change.finish(work).await
    }

    async fn principal(&self, id: &PrincipalId) -> Result<Option<PrincipalRecord>> {
        let row = self
            .connections
            .within(
                sqlx::query(concat!(
                    "SELECT ",
                    columns!(),
                    " FROM principals p WHERE p.id = ?1"
                ))
                .bind(id.as_str())
                .fetch_optional(&self.connections.readers),
            )
            .await?;
        row.as_ref().map(record).transpose()
    }

    async fn device_of_network(
        &self,
        network: &PrincipalId,
        serial: &str,
    ) -> Result<Option<PrincipalContext>> {
        let row = self
            .connections
            .within(
                sqlx::query(BY_SERIAL)
                    .bind(network.as_str())
                    .bind(serial)
                    .fetch_optional(&self.connections.readers),
            )
            .await?;
        row.as_ref().map(context).transpose()
    }

    async fn list_principals(&self, filter: &PrincipalFilter, page: &Page) -> Result<Vec<PrincipalRecord>> {
        let mut query =
            QueryBuilder::<Sqlite>::new(concat!("SELECT ", columns!(), " FROM principals p WHERE TRUE"));
        if let Some(kind) = filter.kind {
            query.push(" AND p.kind = ").push_bind(kind.as_str());
        }
        if let Some(tenant) = &filter.tenant {
            query.push(" AND p.tenant = ").push_bind(tenant.as_str());
        }
        if let Some(customer) = &filter.customer {
            query.push(" AND p.customer = ").push_bind(customer.as_str());
        }
        if let Some(external_id) = &filter.external_id {
            query
                .push(" AND p.external_id = ")
                .push_bind(external_id.as_str());
        }
        if let Some(network) = &filter.network {
            query.push(" AND p.network = ").push_bind(network.as_str());
        }
        if let Some(tag) = &filter.tag {
            query
                .push(" AND p.id IN (SELECT g.principal FROM principal_tags g WHERE g.tag = ")
                .push_bind(tag.as_str())
                .push(")");
        }
        rows::page_by_age(&mut query, "p", page)?;
        let found = self
            .connections
            .within(query.build().fetch_all(&self.connections.readers))
            .await?;
        found.iter().map(record).collect()
    }

    async fn update_principal(
        &self,
        principal: &PrincipalRecord,
        holdings: Holdings,
        act: &AuditDraft,
    ) -> Result<RevocationRecord> {
        let mut change = self.connections.begin().await?;
        let work = update(change.conn()?, principal, holdings, act).await;
        change.finish(work).await
    }

    async fn delete_principal(&self, id: &PrincipalId, act: &AuditDraft) -> Result<RevocationRecord> {
        let mut change = self.connections.begin().await?;
        let work = delete(change.conn()?, id, act).await;
        change.finish(work).await
    }

    async fn set_principal_enabled(
        &self,
        id: &PrincipalId,
        state: Enabled,
        at: UnixMillis,
        act: &AuditDraft,
    ) -> Result<Option<RevocationRecord>> {
        let mut change = self.connections.begin().await?;
        let work = set_enabled(change.conn()?, id, state, at, act).await;
        change.finish(work).await
    }
}

async fn insert_principal(
    conn: &mut SqliteConnection,
    principal: &PrincipalRecord,
    act: &AuditDraft,
) -> Result<()> {
    sqlx::query(
        "INSERT INTO principals (id, kind, tenant, customer, name, external_id, roles, enabled, created_at,
             description, metadata, tags, network, serial, version)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15)",
    )
    .bind(principal.id.as_str())
    .bind(principal.kind.as_str())
    .bind(principal.tenant.as_ref().map(TenantId::as_str))
    .bind(principal.customer.as_ref().map(CustomerId::as_str))
    .bind(&principal.name)
    .bind(&principal.external_id)
    .bind(rows::joined(principal.roles.iter().map(|r| r.as_str())))
    .bind(rows::switch(principal.enabled))
    .bind(principal.created_at.0)
    .bind(&principal.about.description)
    .bind(rows::metadata(&principal.about))
    .bind(rows::joined(&principal.about.tags))
    .bind(principal.network.as_ref().map(PrincipalId::as_str))
    .bind(&principal.serial)
    .bind(rows::stored(principal.version))
    .execute(&mut *conn)
    .await
    .map_err(|e| or_missing(e, OWNERS))?;
    insert_tags(conn, principal).await?;
    audit::append(conn, std::slice::from_ref(act)).await
}

/// What a principal refers to.
const OWNERS: &str = "tenant of the principal, its customer within that tenant, or its network";

async fn insert_tags(conn: &mut SqliteConnection, principal: &PrincipalRecord) -> Result<()> {
    for tag in &principal.about.tags {
        sqlx::query("INSERT INTO principal_tags (tag, created_at, principal) VALUES (?1, ?2, ?3)")
            .bind(tag)
            .bind(principal.created_at.0)
            .bind(principal.id.as_str())
            .execute(&mut *conn)
            .await?;
    }
    Ok(())
}

async fn update(
    conn: &mut SqliteConnection,
    principal: &PrincipalRecord,
    holdings: Holdings,
    act: &AuditDraft,
) -> Result<RevocationRecord> {
    let before = sqlx::query("SELECT version, enabled FROM principals WHERE id = ?1")
        .bind(principal.id.as_str())
        .fetch_optional(&mut *conn)
        .await?
        .ok_or(StoreError::NotFound("principal"))?;
    rows::same_version(&before, principal.version)?;
    sqlx::query(
        "UPDATE principals SET tenant = ?2, customer = ?3, name = ?4, external_id = ?5, roles = ?6, enabled = ?7,
             description = ?8, metadata = ?9, tags = ?10, network = ?11, serial = ?12, version = ?13
         WHERE id = ?1",
    )
    .bind(principal.id.as_str())
    .bind(principal.tenant.as_ref().map(TenantId::as_str))
    .bind(principal.customer.as_ref().map(CustomerId::as_str))
    .bind(&principal.name)
    .bind(&principal.external_id)
    .bind(rows::joined(principal.roles.iter().map(|r| r.as_str())))
    .bind(rows::switch(principal.enabled))
    .bind(&principal.about.description)
    .bind(rows::metadata(&principal.about))
    .bind(rows::joined(&principal.about.tags))
    .bind(principal.network.as_ref().map(PrincipalId::as_str))
    .bind(&principal.serial)
    .bind(rows::next_version(principal.version))
    .execute(&mut *conn)
    .await
    .map_err(|e| or_missing(e, OWNERS))?;
    for sql in [
        "DELETE FROM principal_tags WHERE principal = ?1",
        // Kept beside each credential, so that listings find it.
        "UPDATE credentials SET (tenant, customer) =
             (SELECT p.tenant, p.customer FROM principals p WHERE p.id = ?1) WHERE principal = ?1",
    ] {
        sqlx::query(sql)
            .bind(principal.id.as_str())
            .execute(&mut *conn)
            .await?;
    }
    insert_tags(conn, principal).await?;
    let target = RevocationTarget::Principal(principal.id.clone());
    let off = rows::enabled(&before, "enabled")? == Enabled::Yes && principal.enabled == Enabled::No;
    let news = match holdings {
        Holdings::Keep if !off => revocations::changed(target, act),
        Holdings::Keep => revocations::ended(target, act),
        Holdings::End => {
            let ended = revocations::ended(target, act);
            revocations::mark_rows(conn, &ended).await?;
            ended
        }
    };
    revocations::append(conn, &news, act).await
}

async fn delete(conn: &mut SqliteConnection, id: &PrincipalId, act: &AuditDraft) -> Result<RevocationRecord> {
    for sql in [
        "DELETE FROM usage WHERE credential IN (SELECT id FROM credentials WHERE principal = ?1)",
        "DELETE FROM credentials WHERE principal = ?1",
    ] {
        sqlx::query(sql).bind(id.as_str()).execute(&mut *conn).await?;
    }
    let done = sqlx::query("DELETE FROM principals WHERE id = ?1")
        .bind(id.as_str())
        .execute(&mut *conn)
        .await
        .map_err(|e| rows::or_held(e, "devices belong to this network; move or delete them first"))?;
    if done.rows_affected() == 0 {
        return Err(StoreError::NotFound("principal"));
    }
    let all_of_it = revocations::ended(RevocationTarget::Principal(id.clone()), act);
    revocations::append(conn, &all_of_it, act).await
}

async fn set_enabled(
    conn: &mut SqliteConnection,
    id: &PrincipalId,
    state: Enabled,
    at: UnixMillis,
    act: &AuditDraft,
) -> Result<Option<RevocationRecord>> {
    let changed = sqlx::query("UPDATE principals SET enabled = ?2, version = version + 1 WHERE id = ?1")
        .bind(id.as_str())
        .bind(rows::switch(state))
        .execute(&mut *conn)
        .await?;
    if changed.rows_affected() == 0 {
        return Err(StoreError::NotFound("principal"));
    }
    match state {
        Enabled::Yes => {
            audit::append(conn, std::slice::from_ref(act)).await?;
            Ok(None)
        }
        Enabled::No => {
            let all_of_it = NewRevocation {
                cut_at: at,
                ..revocations::ended(RevocationTarget::Principal(id.clone()), act)
            };
            revocations::append(conn, &all_of_it, act).await.map(Some)
        }
    }
}

/// A principal, from columns named `p_…` so that a joined query can hold them too.
pub(super) fn record(row: &SqliteRow) -> Result<PrincipalRecord> {
    Ok(PrincipalRecord {
        id: rows::id(row, "p_id")?,
        kind: rows::named(row, "p_kind", PrincipalKind::parse)?,
        tenant: rows::optional_id(row, "p_tenant")?,
        customer: rows::optional_id(row, "p_customer")?,
        name: rows::plain(row, "p_name")?,
        external_id: rows::plain(row, "p_external_id")?,
        roles: rows::roles(row, "p_roles")?,
        enabled: rows::enabled(row, "p_enabled")?,
        created_at: rows::instant(row, "p_created_at")?,
        about: rows::about(row, ["p_description", "p_metadata", "p_tags"])?,
        network: rows::optional_id(row, "p_network")?,
        serial: rows::plain(row, "p_serial")?,
        version: rows::natural(row, "p_version")?,
    })
}

fn context(row: &SqliteRow) -> Result<PrincipalContext> {
    Ok(PrincipalContext {
        principal: record(row)?,
        tenant_enabled: rows::enabled(row, "tenant_enabled")?,
        customer_enabled: rows::enabled(row, "customer_enabled")?,
    })
}
