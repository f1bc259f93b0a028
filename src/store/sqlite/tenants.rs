//! Tenants and their customers.

use async_trait::async_trait;
use sqlx::sqlite::{SqliteConnection, SqliteRow};
use sqlx::{QueryBuilder, Sqlite};

use super::errors::or_missing;
use super::{SqliteStore, audit, revocations, rows};
use crate::domain::ids::{CustomerId, TenantId};
use crate::store::{
    AuditDraft, CustomerFilter, CustomerRecord, Enabled, Page, Result, RevocationRecord, RevocationTarget,
    StoreError, TenantFilter, TenantRecord, Tenants,
};

const TENANTS: &str =
    "SELECT id, name, enabled, created_at, description, metadata, tags, version FROM tenants t";
const CUSTOMERS: &str =
    "SELECT id, tenant, name, enabled, created_at, description, metadata, tags, version FROM customers t";

#[async_trait]
impl Tenants for SqliteStore {
    async fn insert_tenant(&self, tenant: &TenantRecord, act: &AuditDraft) -> Result<()> {
        let mut change = self.connections.begin().await?;
        let work = insert_tenant(change.conn()?, tenant, act).await;
        change.finish(work).await
    }

    async fn tenant(&self, id: &TenantId) -> Result<Option<TenantRecord>> {
        let filter = TenantFilter { id: Some(id.clone()) };
        Ok(self.list_tenants(&filter, &Page::first(1)).await?.pop())
    }

    async fn list_tenants(&self, filter: &TenantFilter, page: &Page) -> Result<Vec<TenantRecord>> {
        let mut query = QueryBuilder::<Sqlite>::new(TENANTS);
        query.push(" WHERE TRUE");
        if let Some(id) = &filter.id {
            query.push(" AND t.id = ").push_bind(id.as_str());
        }
        rows::page_by_age(&mut query, "t", page)?;
        let found = self
            .connections
            .within(query.build().fetch_all(&self.connections.readers))
            .await?;
        found.iter().map(tenant_record).collect()
    }

    async fn update_tenant(
        &self,
        tenant: &TenantRecord,
        act: &AuditDraft,
    ) -> Result<Option<RevocationRecord>> {
        let mut change = self.connections.begin().await?;
        let work = update_tenant(change.conn()?, tenant, act).await;
        change.finish(work).await
    }

    async fn delete_tenant(&self, id: &TenantId, act: &AuditDraft) -> Result<()> {
        let mut change = self.connections.begin().await?;
        let work = delete(
            change.conn()?,
            Deletion {
                what: "tenant",
                sql: "DELETE FROM tenants WHERE id = ?1",
                held: "the tenant still has customers or principals; delete or move them first",
            },
            id.as_str(),
            act,
        )
        .await;
        change.finish(work).await
    }

    async fn insert_customer(&self, customer: &CustomerRecord, act: &AuditDraft) -> Result<()> {
        let mut change = self.connections.begin().await?;
        let work = insert_customer(change.conn()?, customer, act).await;
        change.finish(work).await
    }

    async fn customer(&self, id: &CustomerId) -> Result<Option<CustomerRecord>> {
        let mut query = QueryBuilder::<Sqlite>::new(CUSTOMERS);
        query.push(" WHERE t.id = ").push_bind(id.as_str());
        let row = self
            .connections
            .within(query.build().fetch_optional(&self.connections.readers))
            .await?;
        row.as_ref().map(customer_record).transpose()
    }

    async fn list_customers(&self, filter: &CustomerFilter, page: &Page) -> Result<Vec<CustomerRecord>> {
        let mut query = QueryBuilder::<Sqlite>::new(CUSTOMERS);
        query.push(" WHERE TRUE");
        if let Some(tenant) = &filter.tenant {
            query.push(" AND t.tenant = ").push_bind(tenant.as_str());
        }
        rows::page_by_age(&mut query, "t", page)?;
        let found = self
            .connections
            .within(query.build().fetch_all(&self.connections.readers))
            .await?;
        found.iter().map(customer_record).collect()
    }

    async fn update_customer(
        &self,
        customer: &CustomerRecord,
        act: &AuditDraft,
    ) -> Result<Option<RevocationRecord>> {
        let mut change = self.connections.begin().await?;
        let work = update_customer(change.conn()?, customer, act).await;
        change.finish(work).await
    }

    async fn delete_customer(&self, id: &CustomerId, act: &AuditDraft) -> Result<()> {
        let mut change = self.connections.begin().await?;
        let work = delete(
            change.conn()?,
            Deletion {
                what: "customer",
                sql: "DELETE FROM customers WHERE id = ?1",
                held: "principals are assigned to the customer; delete or move them first",
            },
            id.as_str(),
            act,
        )
        .await;
        change.finish(work).await
    }
}

async fn insert_tenant(conn: &mut SqliteConnection, tenant: &TenantRecord, act: &AuditDraft) -> Result<()> {
    sqlx::query(
        "INSERT INTO tenants (id, name, enabled, created_at, description, metadata, tags, version)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
    )
    .bind(tenant.id.as_str())
    .bind(&tenant.name)
    .bind(rows::switch(tenant.enabled))
    .bind(tenant.created_at.0)
    .bind(&tenant.about.description)
    .bind(rows::metadata(&tenant.about))
    .bind(rows::joined(&tenant.about.tags))
    .bind(rows::stored(tenant.version))
    .execute(&mut *conn)
    .await?;
    audit::append(conn, std::slice::from_ref(act)).await
}

async fn insert_customer(
    conn: &mut SqliteConnection,
    customer: &CustomerRecord,
    act: &AuditDraft,
) -> Result<()> {
    sqlx::query(
        "INSERT INTO customers (id, tenant, name, enabled, created_at, description, metadata, tags, version)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)",
    )
    .bind(customer.id.as_str())
    .bind(customer.tenant.as_str())
    .bind(&customer.name)
    .bind(rows::switch(customer.enabled))
    .bind(customer.created_at.0)
    .bind(&customer.about.description)
    .bind(rows::metadata(&customer.about))
    .bind(rows::joined(&customer.about.tags))
    .bind(rows::stored(customer.version))
    .execute(&mut *conn)
    .await
    .map_err(|e| or_missing(e, "tenant of the customer"))?;
    audit::append(conn, std::slice::from_ref(act)).await
}

async fn update_tenant(
    conn: &mut SqliteConnection,
    tenant: &TenantRecord,
    act: &AuditDraft,
) -> Result<Option<RevocationRecord>> {
    let before = sqlx::query("SELECT version, enabled FROM tenants WHERE id = ?1")
        .bind(tenant.id.as_str())
        .fetch_optional(&mut *conn)
        .await?
        .ok_or(StoreError::NotFound("tenant"))?;
    rows::same_version(&before, tenant.version)?;
    sqlx::query(
        "UPDATE tenants SET name = ?2, enabled = ?3, description = ?4, metadata = ?5, tags = ?6, version = ?7
         WHERE id = ?1",
    )
    .bind(tenant.id.as_str())
    .bind(&tenant.name)
    .bind(rows::switch(tenant.enabled))
    .bind(&tenant.about.description)
    .bind(rows::metadata(&tenant.about))
    .bind(rows::joined(&tenant.about.tags))
    .bind(rows::next_version(tenant.version))
    .execute(&mut *conn)
    .await?;
    if rows::enabled(&before, "enabled")? == Enabled::Yes && tenant.enabled == Enabled::No {
        let all_of_it = revocations::ended(RevocationTarget::Tenant(tenant.id.clone()), act);
        return revocations::append(conn, &all_of_it, act).await.map(Some);
    }
    audit::append(conn, std::slice::from_ref(act)).await?;
    Ok(None)
}

async fn update_customer(
    conn: &mut SqliteConnection,
    customer: &CustomerRecord,
    act: &AuditDraft,
) -> Result<Option<RevocationRecord>> {
    let before = sqlx::query("SELECT version, enabled FROM customers WHERE id = ?1")
        .bind(customer.id.as_str())
        .fetch_optional(&mut *conn)
        .await?
        .ok_or(StoreError::NotFound("customer"))?;
    rows::same_version(&before, customer.version)?;
    sqlx::query(
        "UPDATE customers SET name = ?2, enabled = ?3, description = ?4, metadata = ?5, tags = ?6, version = ?7
         WHERE id = ?1",
    )
    .bind(customer.id.as_str())
    .bind(&customer.name)
    .bind(rows::switch(customer.enabled))
    .bind(&customer.about.description)
    .bind(rows::metadata(&customer.about))
    .bind(rows::joined(&customer.about.tags))
    .bind(rows::next_version(customer.version))
    .execute(&mut *conn)
    .await?;
    if rows::enabled(&before, "enabled")? != customer.enabled {
        // Nothing is remembered by customer: every verdict is made again.
        let all = revocations::changed(RevocationTarget::All, act);
        return revocations::append(conn, &all, act).await.map(Some);
    }
    audit::append(conn, std::slice::from_ref(act)).await?;
    Ok(None)
}

/// What is deleted, and what it means when something still refers to it.
struct Deletion {
    what: &'static str,
    sql: &'static str,
    held: &'static str,
}

async fn delete(conn: &mut SqliteConnection, deletion: Deletion, id: &str, act: &AuditDraft) -> Result<()> {
    let done = sqlx::query(deletion.sql)
        .bind(id)
        .execute(&mut *conn)
        .await
        .map_err(|e| rows::or_held(e, deletion.held))?;
    if done.rows_affected() == 0 {
        return Err(StoreError::NotFound(deletion.what));
    }
    audit::append(conn, std::slice::from_ref(act)).await
}

const ABOUT: [&str; 3] = ["description", "metadata", "tags"];

fn tenant_record(row: &SqliteRow) -> Result<TenantRecord> {
    Ok(TenantRecord {
        id: rows::id(row, "id")?,
        name: rows::plain(row, "name")?,
        enabled: rows::enabled(row, "enabled")?,
        created_at: rows::instant(row, "created_at")?,
        about: rows::about(row, ABOUT)?,
        version: rows::natural(row, "version")?,
    })
}

fn customer_record(row: &SqliteRow) -> Result<CustomerRecord> {
    Ok(CustomerRecord {
        id: rows::id(row, "id")?,
        tenant: rows::id(row, "tenant")?,
        name: rows::plain(row, "name")?,
        enabled: rows::enabled(row, "enabled")?,
        created_at: rows::instant(row, "created_at")?,
        about: rows::about(row, ABOUT)?,
        version: rows::natural(row, "version")?,
    })
}
