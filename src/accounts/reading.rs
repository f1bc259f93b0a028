//! What an administrator may look at: credentials with their use, and the audit trail. Never a secret.

use super::actor::Actor;
use super::error::{AccountsError, Result};
use super::{
    Accounts, AuditRecord, CredentialContext, CredentialFilter, CredentialRecord, KeyInfo, Page, UsageRecord,
};
use crate::domain::ids::CredentialId;

impl Accounts {
    /// A page of stored credentials, in the order of the filter.
    pub async fn list_credentials(
        &self,
        filter: &CredentialFilter,
        page: &Page,
        actor: &Actor,
    ) -> Result<Vec<CredentialRecord>> {
        self.rows(actor).list_credentials(filter, page).await
    }

    /// One stored credential, whom it belongs to, and how it was used.
    pub async fn credential(
        &self,
        id: &CredentialId,
        actor: &Actor,
    ) -> Result<(CredentialContext, Option<UsageRecord>)> {
        let rows = self.rows(actor);
        let found = rows.credential(id).await?;
        let found = found.ok_or_else(|| AccountsError::not_found("credential", id.as_str()))?;
        let usage = rows.usage(&found).await?;
        Ok((found, usage))
    }

    /// A page of audit rows, newest first, with numbers below `before`.
    pub async fn list_audit(
        &self,
        before: Option<u64>,
        limit: u32,
        actor: &Actor,
    ) -> Result<Vec<AuditRecord>> {
        self.rows(actor).list_audit(before, limit).await
    }

    /// Recomputes the chain of audit rows; the number of the first row that does not fit, if any.
    pub async fn verify_audit(&self, actor: &Actor) -> Result<Option<u64>> {
        self.rows(actor).verify_audit().await
    }

    /// Every key, oldest first, without its material.
    pub async fn list_keys(&self, actor: &Actor) -> Result<Vec<KeyInfo>> {
        actor.must_reach_all("every key")?;
        self.parts.vault.list().await
    }

    /// Whether the store answers.
    pub async fn ping(&self) -> Result<()> {
        self.rows.ping().await
    }
}
