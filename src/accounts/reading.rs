//! What an administrator may look at: credentials with their use, and the audit trail. Never a secret.

use super::error::{AccountsError, Result};
use super::{
    Accounts, AuditRecord, CredentialContext, CredentialFilter, CredentialRecord, Page, UsageRecord,
};
use crate::domain::ids::CredentialId;

impl Accounts {
    /// A page of stored credentials, in the order of the filter.
    pub async fn list_credentials(
        &self,
        filter: &CredentialFilter,
        page: &Page,
    ) -> Result<Vec<CredentialRecord>> {
        Ok(self.store().list_credentials(filter, page).await?)
    }

    /// One stored credential, whom it belongs to, and how it was used.
    pub async fn credential(&self, id: &CredentialId) -> Result<(CredentialContext, Option<UsageRecord>)> {
        let found = self.store().credential(id).await?;
        let found = found.ok_or_else(|| AccountsError::not_found("credential", id.as_str()))?;
        Ok((found, self.store().usage(id).await?))
    }

    /// A page of audit rows, newest first, with numbers below `before`.
    pub async fn list_audit(&self, before: Option<u64>, limit: u32) -> Result<Vec<AuditRecord>> {
        Ok(self.store().list_audit(before, limit).await?)
    }

    /// Recomputes the chain of audit rows; the number of the first row that does not fit, if any.
    pub async fn verify_audit(&self) -> Result<Option<u64>> {
        Ok(self.store().verify_audit().await?)
    }

    /// Whether the store answers.
    pub async fn ping(&self) -> Result<()> {
        Ok(self.store().ping().await?)
    }
}
