//! Imports: statements of a hundred rows, one transaction for each batch.
//!
//! A statement that the store's rules refuse is undone by SQLite as a whole, and only then are its rows tried one by
//! one: the usual batch, which contradicts nothing, costs one statement for a hundred rows. The writing connection
//! gets a larger page cache for as long as the process lives: a tool's life is one import.

use std::collections::HashSet;

use async_trait::async_trait;
use sqlx::sqlite::SqliteConnection;
use sqlx::{QueryBuilder, Row, Sqlite};

use super::credentials::{insert_tags, limits_text, transport};
use super::{SqliteStore, audit, rows};
use crate::domain::ids::{CredentialId, CustomerId, PrincipalId, TenantId};
use crate::store::{
    AuditDraft, Bulk, CredentialRecord, CustomerRecord, ImportOutcome, ImportRow, PositionOf,
    PrincipalRecord, Result, StoreError, TenantRecord,
};

/// Rows of one statement. More gain nothing, and SQLite's bound on parameters is 32766.
const AT_ONCE: usize = 100;
/// Pages held by the connection that imports, in KiB; the indexes of a million rows do not fit, their upper levels do.
const CACHE: &str = "PRAGMA cache_size = -65536";
/// Pages of the log before it is written back: a batch changes thousands.
const CHECKPOINT: &str = "PRAGMA wal_autocheckpoint = 16384";

#[async_trait]
impl Bulk for SqliteStore {
    async fn import(
        &self,
        batch: &[ImportRow],
        source: &str,
        position: PositionOf<'_>,
        act: &AuditDraft,
    ) -> Result<ImportOutcome> {
        {
            // Outside of a transaction, where alone they take effect.
            let mut conn = self.connections.writer.acquire().await?;
            for pragma in [CACHE, CHECKPOINT] {
                sqlx::query(pragma).execute(&mut *conn).await?;
            }
        }
        let mut change = self.connections.begin().await?;
        let work = import(change.conn()?, batch, (source, position), act).await;
        change.finish(work).await
    }

    async fn import_position(&self, source: &str) -> Result<Option<String>> {
        let row = self
            .connections
            .within(
                sqlx::query("SELECT position FROM imports WHERE source = ?1")
                    .bind(source)
                    .fetch_optional(&self.connections.readers),
            )
            .await?;
        row.map(|row| rows::plain(&row, "position")).transpose()
    }
}

async fn import(
    conn: &mut SqliteConnection,
    batch: &[ImportRow],
    (source, position): (&str, PositionOf<'_>),
    act: &AuditDraft,
) -> Result<ImportOutcome> {
    let mut outcome = ImportOutcome::default();
    let tenants: Vec<_> = each_once(batch, |r| r.tenant.as_ref(), |t| t.id.as_str());
    outcome.added.tenants = owners(conn, &tenants, &mut outcome.refused, push_tenants).await?;
    let customers: Vec<_> = each_once(batch, |r| r.customer.as_ref(), |c| c.id.as_str());
    outcome.added.customers = owners(conn, &customers, &mut outcome.refused, push_customers).await?;
    let holders: Vec<_> = each_once(batch, |r| r.principal.as_ref(), |p| p.id.as_str());
    outcome.added.principals = owners(conn, &holders, &mut outcome.refused, push_principals).await?;
    principal_tags(conn, &holders).await?;
    let credentials: Vec<_> = batch
        .iter()
        .filter_map(|row| Some((row.line, row.credential.as_ref()?)))
        .collect();
    for chunk in credentials.chunks(AT_ONCE) {
        credential_chunk(conn, chunk, &mut outcome).await?;
    }
    sqlx::query(
        "INSERT INTO imports (source, position, at) VALUES (?1, ?2, ?3)
         ON CONFLICT (source) DO UPDATE SET position = excluded.position, at = excluded.at",
    )
    .bind(source)
    .bind(position(&outcome))
    .bind(act.at.0)
    .execute(&mut *conn)
    .await?;
    audit::append(conn, &[with_numbers(act, &outcome)]).await?;
    outcome.refused.sort_by_key(|(line, _)| *line);
    Ok(outcome)
}

fn with_numbers(act: &AuditDraft, outcome: &ImportOutcome) -> AuditDraft {
    let mut act = act.clone();
    if let Some(detail) = act.detail.as_object_mut() {
        let numbers = [
            ("tenants", outcome.added.tenants),
            ("customers", outcome.added.customers),
            ("principals", outcome.added.principals),
            ("credentials", outcome.added.credentials),
            ("known", outcome.known),
            (
                "refused",
                u64::try_from(outcome.refused.len()).unwrap_or(u64::MAX),
            ),
        ];
        detail.extend(numbers.map(|(name, number)| (name.to_owned(), number.into())));
    }
    act
}

/// The owners that a batch speaks of, each where it is named first.
fn each_once<'a, T>(
    batch: &'a [ImportRow],
    of: impl Fn(&'a ImportRow) -> Option<&'a T>,
    id: impl Fn(&'a T) -> &'a str,
) -> Vec<(u64, &'a T)> {
    let mut seen = HashSet::new();
    let named = batch.iter().filter_map(|row| Some((row.line, of(row)?)));
    named.filter(|(_, owner)| seen.insert(id(owner))).collect()
}

/// Adds owners that are not there, and says how many were added.
async fn owners<T>(
    conn: &mut SqliteConnection,
    all: &[(u64, &T)],
    refused: &mut Vec<(u64, String)>,
    push: impl Fn(&mut QueryBuilder<Sqlite>, &[(u64, &T)]),
) -> Result<u64> {
    let mut added = 0_u64;
    let statement = |rows: &[(u64, &T)]| {
        let mut query = QueryBuilder::new("INSERT INTO ");
        push(&mut query, rows);
        query.push(" ON CONFLICT (id) DO NOTHING");
        query
    };
    for chunk in all.chunks(AT_ONCE) {
        match statement(chunk).build().execute(&mut *conn).await {
            Ok(done) => added = added.saturating_add(done.rows_affected()),
            Err(error) => {
                refusable(error.into())?;
                for one in chunk {
                    let alone = std::slice::from_ref(one);
                    match statement(alone).build().execute(&mut *conn).await {
                        Ok(done) => added = added.saturating_add(done.rows_affected()),
                        Err(error) => refused.push((one.0, refusable(error.into())?)),
                    }
                }
            }
        }
    }
    Ok(added)
}

/// Of those that were there before, only the tags that they had are kept: for them this changes nothing.
async fn principal_tags(conn: &mut SqliteConnection, all: &[(u64, &PrincipalRecord)]) -> Result<()> {
    for (_, principal) in all {
        for tag in &principal.about.tags {
            sqlx::query(
                "INSERT INTO principal_tags (tag, created_at, principal)
                 SELECT ?1, created_at, id FROM principals
                 WHERE id = ?2 AND instr(' ' || tags || ' ', ' ' || ?1 || ' ') > 0
                 ON CONFLICT DO NOTHING",
            )
            .bind(tag)
            .bind(principal.id.as_str())
            .execute(&mut *conn)
            .await?;
        }
    }
    Ok(())
}

async fn credential_chunk(
    conn: &mut SqliteConnection,
    chunk: &[(u64, &CredentialRecord)],
    outcome: &mut ImportOutcome,
) -> Result<()> {
    let statement = |rows: &[(u64, &CredentialRecord)]| {
        let mut query = QueryBuilder::new("INSERT INTO ");
        push_credentials(&mut query, rows);
        query
    };
    let mut added: Vec<&CredentialRecord> = Vec::with_capacity(chunk.len());
    match statement(chunk).build().execute(&mut *conn).await {
        Ok(_) => added.extend(chunk.iter().map(|(_, credential)| *credential)),
        Err(error) => {
            refusable(error.into())?;
            for one in chunk {
                let alone = std::slice::from_ref(one);
                let Err(error) = statement(alone).build().execute(&mut *conn).await else {
                    added.push(one.1);
                    continue;
                };
                let why = refusable(error.into())?;
                match is_known(conn, &one.1.id).await? {
                    true => outcome.known = outcome.known.saturating_add(1),
                    false => outcome.refused.push((one.0, why)),
                }
            }
        }
    }
    for credential in &added {
        insert_tags(conn, credential).await?;
    }
    let count = u64::try_from(added.len()).unwrap_or(u64::MAX);
    outcome.added.credentials = outcome.added.credentials.saturating_add(count);
    Ok(())
}

async fn is_known(conn: &mut SqliteConnection, id: &CredentialId) -> Result<bool> {
    let found = sqlx::query("SELECT EXISTS (SELECT 1 FROM credentials WHERE id = ?1)")
        .bind(id.as_str())
        .fetch_one(conn)
        .await?;
    Ok(found.try_get::<bool, _>(0)?)
}

/// Why a row was refused; every other error ends the batch.
fn refusable(error: StoreError) -> Result<String> {
    match error {
        StoreError::Conflict(why) => Ok(why),
        StoreError::NotFound(_) => {
            Ok("what it belongs to (its principal, tenant, customer or network) is not there".to_owned())
        }
        other => Err(other),
    }
}

fn push_tenants(query: &mut QueryBuilder<Sqlite>, all: &[(u64, &TenantRecord)]) {
    query.push("tenants (id, name, enabled, created_at, description, metadata, tags, version) ");
    query.push_values(all, |mut row, (_, tenant)| {
        row.push_bind(tenant.id.as_str())
            .push_bind(tenant.name.as_str())
            .push_bind(rows::switch(tenant.enabled))
            .push_bind(tenant.created_at.0)
            .push_bind(tenant.about.description.as_str())
            .push_bind(rows::metadata(&tenant.about))
            .push_bind(rows::joined(&tenant.about.tags))
            .push_bind(rows::stored(tenant.version));
    });
}

fn push_customers(query: &mut QueryBuilder<Sqlite>, all: &[(u64, &CustomerRecord)]) {
    query.push("customers (id, tenant, name, enabled, created_at, description, metadata, tags, version) ");
    query.push_values(all, |mut row, (_, customer)| {
        row.push_bind(customer.id.as_str())
            .push_bind(customer.tenant.as_str())
            .push_bind(customer.name.as_str())
            .push_bind(rows::switch(customer.enabled))
            .push_bind(customer.created_at.0)
            .push_bind(customer.about.description.as_str())
            .push_bind(rows::metadata(&customer.about))
            .push_bind(rows::joined(&customer.about.tags))
            .push_bind(rows::stored(customer.version));
    });
}

fn push_principals(query: &mut QueryBuilder<Sqlite>, all: &[(u64, &PrincipalRecord)]) {
    query.push(
        "principals (id, kind, tenant, customer, name, external_id, roles, enabled, created_at, description, \
         metadata, tags, network, serial, version) ",
    );
    query.push_values(all, |mut row, (_, principal)| {
        row.push_bind(principal.id.as_str())
            .push_bind(principal.kind.as_str())
            .push_bind(principal.tenant.as_ref().map(TenantId::as_str))
            .push_bind(principal.customer.as_ref().map(CustomerId::as_str))
            .push_bind(principal.name.as_str())
            .push_bind(principal.external_id.as_deref())
            .push_bind(rows::joined(principal.roles.iter().map(|r| r.as_str())))
            .push_bind(rows::switch(principal.enabled))
            .push_bind(principal.created_at.0)
            .push_bind(principal.about.description.as_str())
            .push_bind(rows::metadata(&principal.about))
            .push_bind(rows::joined(&principal.about.tags))
            .push_bind(principal.network.as_ref().map(PrincipalId::as_str))
            .push_bind(principal.serial.as_deref())
            .push_bind(rows::stored(principal.version));
    });
}

fn push_credentials(query: &mut QueryBuilder<Sqlite>, all: &[(u64, &CredentialRecord)]) {
    query.push(
        "credentials (id, kind, principal, name, public_id, keyed_digest, lookup_key, slow_digest, scopes, \
         permission, networks, transport, enabled, expires_at, revoked_at, created_at, description, metadata, tags, \
         version, environment, limits, sealed_secret, replaced_by, deleted_at, tenant, customer) ",
    );
    query.push_values(all, |mut row, (_, credential)| {
        let keyed = credential.keyed_digest.as_ref();
        row.push_bind(credential.id.as_str())
            .push_bind(credential.kind.as_str())
            .push_bind(credential.principal.as_str())
            .push_bind(credential.name.as_str())
            .push_bind(credential.public_id.as_deref())
            .push_bind(keyed.map(|k| k.digest.as_slice()))
            .push_bind(keyed.map(|k| k.key.as_str()))
            .push_bind(credential.slow_digest.as_deref())
            .push_bind(rows::joined(credential.scopes.iter().map(|s| s.as_str())))
            .push_bind(credential.permission.as_str())
            .push_bind(rows::joined(credential.networks.iter().map(ToString::to_string)))
            .push_bind(transport(credential.transport))
            .push_bind(rows::switch(credential.enabled))
            .push_bind(credential.expires_at.map(|at| at.0))
            .push_bind(credential.revoked_at.map(|at| at.0))
            .push_bind(credential.created_at.0)
            .push_bind(credential.about.description.as_str())
            .push_bind(rows::metadata(&credential.about))
            .push_bind(rows::joined(&credential.about.tags))
            .push_bind(rows::stored(credential.version))
            .push_bind(credential.environment.as_deref())
            .push_bind(credential.limits.as_ref().map(limits_text))
            .push_bind(credential.sealed_secret.as_deref())
            .push_bind(credential.replaced_by.as_ref().map(CredentialId::as_str))
            .push_bind(credential.deleted_at.map(|at| at.0));
        for owner in ["tenant", "customer"] {
            row.push(format_args!("(SELECT p.{owner} FROM principals p WHERE p.id = "))
                .push_bind_unseparated(credential.principal.as_str())
                .push_unseparated(")");
        }
    });
}
