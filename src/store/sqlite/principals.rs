//! Tenants, customers and principals.

use async_trait::async_trait;
use sqlx::sqlite::{SqliteConnection, SqliteRow};
use sqlx::{QueryBuilder, Sqlite};

use super::errors::or_missing;
use super::{SqliteStore, audit, revocations, rows};
use crate::domain::clock::UnixMillis;
use crate::domain::identity::PrincipalKind;
use crate::domain::ids::{CustomerId, PrincipalId, TenantId};
use crate::store::{
    AuditDraft, CustomerRecord, Enabled, NewRevocation, Page, PrincipalFilter, PrincipalRecord, Principals,
    Result, RevocationRecord, RevocationTarget, StoreError, TenantRecord,
};

/// A query for principals.
macro_rules! select {
    ($condition:literal) => {
        concat!(
            "SELECT id AS p_id, kind AS p_kind, tenant AS p_tenant, customer AS p_customer, name AS p_name, \
             external_id AS p_external_id, roles AS p_roles, enabled AS p_enabled, \
             created_at AS p_created_at FROM principals WHERE ",
            $condition
        )
    };
}

#[async_trait]
impl Principals for SqliteStore {
    async fn insert_tenant(&self, tenant: &TenantRecord, act: &AuditDraft) -> Result<()> {
        let mut change = self.connections.begin().await?;
        let work = insert_tenant(change.conn()?, tenant, act).await;
        change.finish(work).await
    }

    async fn tenant(&self, id: &TenantId) -> Result<Option<TenantRecord>> {
        let row = self
            .connections
            .within(
                sqlx::query("SELECT id, name, enabled, created_at FROM tenants WHERE id = ?1")
                    .bind(id.as_str())
                    .fetch_optional(&self.connections.readers),
            )
            .await?;
        row.as_ref().map(tenant_record).transpose()
    }

    async fn insert_customer(&self, customer: &CustomerRecord, act: &AuditDraft) -> Result<()> {
        let mut change = self.connections.begin().await?;
        let work = insert_customer(change.conn()?, customer, act).await;
        change.finish(work).await
    }

    async fn customer(&self, id: &CustomerId) -> Result<Option<CustomerRecord>> {
        let row = self
            .connections
            .within(
                sqlx::query("SELECT id, tenant, name, enabled, created_at FROM customers WHERE id = ?1")
                    .bind(id.as_str())
                    .fetch_optional(&self.connections.readers),
            )
            .await?;
        row.as_ref().map(customer_record).transpose()
    }

    async fn insert_principal(&self, principal: &PrincipalRecord, act: &AuditDraft) -> Result<()> {
        let mut change = self.connections.begin().await?;
        let work = insert_principal(change.conn()?, principal, act).await;
        change.finish(work).await
    }

    async fn principal(&self, id: &PrincipalId) -> Result<Option<PrincipalRecord>> {
        let row = self
            .connections
            .within(
                sqlx::query(select!("id = ?1"))
                    .bind(id.as_str())
                    .fetch_optional(&self.connections.readers),
            )
            .await?;
        row.as_ref().map(record).transpose()
    }

    async fn list_principals(&self, filter: &PrincipalFilter, page: &Page) -> Result<Vec<PrincipalRecord>> {
        let mut query = QueryBuilder::<Sqlite>::new(select!("TRUE"));
        if let Some(kind) = filter.kind {
            query.push(" AND kind = ").push_bind(kind.as_str());
        }
        if let Some(tenant) = &filter.tenant {
            query.push(" AND tenant = ").push_bind(tenant.as_str());
        }
        if let Some(external_id) = &filter.external_id {
            query.push(" AND external_id = ").push_bind(external_id.as_str());
        }
        if let Some(after) = &page.after {
            let created_at: Option<i64> = self
                .connections
                .within(
                    sqlx::query_scalar("SELECT created_at FROM principals WHERE id = ?1")
                        .bind(after)
                        .fetch_optional(&self.connections.readers),
                )
                .await?;
            let created_at = created_at.ok_or(StoreError::NotFound("principal to continue after"))?;
            query
                .push(" AND (created_at, id) > (")
                .push_bind(created_at)
                .push(", ")
                .push_bind(after.as_str())
                .push(")");
        }
        query
            .push(" ORDER BY created_at, id LIMIT ")
            .push_bind(i64::from(page.limit));
        let found = self
            .connections
            .within(query.build().fetch_all(&self.connections.readers))
            .await?;
        found.iter().map(record).collect()
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

async fn insert_tenant(conn: &mut SqliteConnection, tenant: &TenantRecord, act: &AuditDraft) -> Result<()> {
    sqlx::query("INSERT INTO tenants (id, name, enabled, created_at) VALUES (?1, ?2, ?3, ?4)")
        .bind(tenant.id.as_str())
        .bind(&tenant.name)
        .bind(rows::switch(tenant.enabled))
        .bind(tenant.created_at.0)
        .execute(&mut *conn)
        .await?;
    audit::append(conn, std::slice::from_ref(act)).await
}

async fn insert_customer(
    conn: &mut SqliteConnection,
    customer: &CustomerRecord,
    act: &AuditDraft,
) -> Result<()> {
    sqlx::query("INSERT INTO customers (id, tenant, name, enabled, created_at) VALUES (?1, ?2, ?3, ?4, ?5)")
        .bind(customer.id.as_str())
        .bind(customer.tenant.as_str())
        .bind(&customer.name)
        .bind(rows::switch(customer.enabled))
        .bind(customer.created_at.0)
        .execute(&mut *conn)
        .await
        .map_err(|e| or_missing(e, "tenant of the customer"))?;
    audit::append(conn, std::slice::from_ref(act)).await
}

async fn insert_principal(
    conn: &mut SqliteConnection,
    principal: &PrincipalRecord,
    act: &AuditDraft,
) -> Result<()> {
    sqlx::query(
        "INSERT INTO principals (id, kind, tenant, customer, name, external_id, roles, enabled, created_at)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)",
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
    .execute(&mut *conn)
    .await
    .map_err(|e| or_missing(e, "tenant of the principal, or its customer within that tenant,"))?;
    audit::append(conn, std::slice::from_ref(act)).await
}

async fn set_enabled(
    conn: &mut SqliteConnection,
    id: &PrincipalId,
    state: Enabled,
    at: UnixMillis,
    act: &AuditDraft,
) -> Result<Option<RevocationRecord>> {
    let changed = sqlx::query("UPDATE principals SET enabled = ?2 WHERE id = ?1")
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
                target: RevocationTarget::Principal(id.clone()),
                cut_at: at,
                until: None,
            };
            revocations::append(conn, &all_of_it, act).await.map(Some)
        }
    }
}

fn tenant_record(row: &SqliteRow) -> Result<TenantRecord> {
    Ok(TenantRecord {
        id: rows::id(row, "id")?,
        name: rows::plain(row, "name")?,
        enabled: rows::enabled(row, "enabled")?,
        created_at: rows::instant(row, "created_at")?,
    })
}

fn customer_record(row: &SqliteRow) -> Result<CustomerRecord> {
    Ok(CustomerRecord {
        id: rows::id(row, "id")?,
        tenant: rows::id(row, "tenant")?,
        name: rows::plain(row, "name")?,
        enabled: rows::enabled(row, "enabled")?,
        created_at: rows::instant(row, "created_at")?,
    })
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
    })
}
