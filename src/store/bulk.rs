//! Rows by the ten thousand: imports, in batches that are kept whole or not at all.
//!
//! A row that is there already is not changed, and a row that contradicts what is stored is refused by itself: the
//! others of its batch are kept. Where the import stands is written with each batch, so that whoever goes on after
//! an end in mid-run neither repeats nor skips a row.

use async_trait::async_trait;

use super::{AuditDraft, CredentialRecord, CustomerRecord, PrincipalRecord, Result, TenantRecord};

/// One row of an import, with what it needs, in the order in which it is added.
#[derive(Debug, Clone, Default)]
pub struct ImportRow {
    /// Where it stands in its file.
    pub line: u64,
    /// The tenant it speaks of.
    pub tenant: Option<TenantRecord>,
    /// The customer it speaks of.
    pub customer: Option<CustomerRecord>,
    /// The principal it speaks of.
    pub principal: Option<PrincipalRecord>,
    /// The credential it is about.
    pub credential: Option<CredentialRecord>,
}

/// Where an import stands behind a batch that had this outcome, in words of the importer's own.
pub type PositionOf<'a> = &'a (dyn Fn(&ImportOutcome) -> String + Send + Sync);

/// What became of a batch.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ImportOutcome {
    /// Rows that were added, by what they are.
    pub added: ImportCounts,
    /// Credentials that were there already, by their ids.
    pub known: u64,
    /// Rows that contradict what is stored: their lines, and why. No secret.
    pub refused: Vec<(u64, String)>,
}

/// How many of what.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ImportCounts {
    /// Tenants.
    pub tenants: u64,
    /// Customers.
    pub customers: u64,
    /// Principals.
    pub principals: u64,
    /// Credentials.
    pub credentials: u64,
}

/// Imports.
#[async_trait]
pub trait Bulk: Send + Sync {
    /// Adds these rows and notes the position in `source` (a digest of the file and of how it is read), in one transaction with one audit row, whose detail gets the numbers.
    /// Owners (tenants, customers, principals) that are there already, by their ids, stay as they are.
    async fn import(
        &self,
        rows: &[ImportRow],
        source: &str,
        position: PositionOf<'_>,
        act: &AuditDraft,
    ) -> Result<ImportOutcome>;
    /// Where the import of this file stands.
    async fn import_position(&self, source: &str) -> Result<Option<String>>;
}
