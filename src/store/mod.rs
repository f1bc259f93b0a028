//! Persistence: one trait per aggregate, plain records, one error. No business rule, no cache.
//!
//! What a store promises: a call that changes something returns only when the change is durable; a
//! management act and its audit row are one transaction; revocations have strictly increasing sequence
//! numbers in order of commit, so that reading "everything after N" never misses one. Engines live in
//! sibling folders and pass one conformance suite (`conformance`). Called by authn (on misses),
//! accounts, audit and cluster; never on a cache hit.

mod bulk;
pub mod chain;
#[cfg(test)]
pub(crate) mod conformance;
mod listing;
mod records;
pub mod sqlite;
mod usage;

pub use bulk::*;
pub use listing::*;
pub use records::*;
pub use usage::*;

use async_trait::async_trait;

use crate::domain::clock::UnixMillis;
use crate::domain::identity::CredentialKind;
use crate::domain::ids::{CredentialId, CustomerId, KeyId, PrincipalId, TenantId};

/// What went wrong, by whose fault. Details are for the log and hold no secret.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The engine cannot be reached or did not answer in time: a request gets `cannot_decide`.
    #[error("the store is not available: {0}")]
    Unavailable(String),
    /// The disk or a quota is full: reads go on, the change was not made.
    #[error("the store is full, nothing was changed: {0}")]
    Full(String),
    /// The change contradicts what is stored (a duplicate name, digest or id).
    #[error("{0}")]
    Conflict(String),
    /// The row to change does not exist.
    #[error("{0} not found")]
    NotFound(&'static str),
    /// The row was changed since the caller read it.
    #[error("it was changed meanwhile: its version is {found}; read it again")]
    Outdated {
        /// Its version now.
        found: u64,
    },
    /// The file or schema is not ours, is newer than this program, or is damaged.
    #[error("{0}")]
    Unusable(String),
}

/// Shorthand of this room.
pub type Result<T> = std::result::Result<T, StoreError>;

/// Tenants and their customers.
#[async_trait]
pub trait Tenants: Send + Sync {
    /// Adds a tenant.
    async fn insert_tenant(&self, tenant: &TenantRecord, act: &AuditDraft) -> Result<()>;
    /// One tenant.
    async fn tenant(&self, id: &TenantId) -> Result<Option<TenantRecord>>;
    /// A page of tenants, oldest first (then by id).
    async fn list_tenants(&self, filter: &TenantFilter, page: &Page) -> Result<Vec<TenantRecord>>;
    /// Writes name, state and notes over a tenant of this version, which is raised. `Outdated` when it has
    /// another one. Switching off ends everything of the tenant that has no row.
    async fn update_tenant(
        &self,
        tenant: &TenantRecord,
        act: &AuditDraft,
    ) -> Result<Option<RevocationRecord>>;
    /// Deletes a tenant. `Conflict` while it has customers or principals.
    async fn delete_tenant(&self, id: &TenantId, act: &AuditDraft) -> Result<()>;
    /// Adds a customer to an existing tenant.
    async fn insert_customer(&self, customer: &CustomerRecord, act: &AuditDraft) -> Result<()>;
    /// One customer.
    async fn customer(&self, id: &CustomerId) -> Result<Option<CustomerRecord>>;
    /// A page of customers, oldest first (then by id).
    async fn list_customers(&self, filter: &CustomerFilter, page: &Page) -> Result<Vec<CustomerRecord>>;
    /// Writes name, state and notes over a customer of this version, which is raised. `Outdated` when it has
    /// another one. A change of state voids remembered verdicts.
    async fn update_customer(
        &self,
        customer: &CustomerRecord,
        act: &AuditDraft,
    ) -> Result<Option<RevocationRecord>>;
    /// Deletes a customer. `Conflict` while principals are assigned to it.
    async fn delete_customer(&self, id: &CustomerId, act: &AuditDraft) -> Result<()>;
}

/// Principals: devices, users, service accounts.
#[async_trait]
pub trait Principals: Send + Sync {
    /// Adds a principal; `Conflict` when the id, (kind, external id) or (network, serial) is taken, or it has a
    /// customer but no tenant; `NotFound` when the tenant, the customer within that tenant, or the network does
    /// not exist.
    async fn insert_principal(&self, principal: &PrincipalRecord, act: &AuditDraft) -> Result<()>;
    /// One principal by id.
    async fn principal(&self, id: &PrincipalId) -> Result<Option<PrincipalRecord>>;
    /// The device that its network calls so, with what decides whether it may come in.
    async fn device_of_network(
        &self,
        network: &PrincipalId,
        serial: &str,
    ) -> Result<Option<PrincipalContext>>;
    /// A page of principals, oldest first (then by id).
    async fn list_principals(&self, filter: &PrincipalFilter, page: &Page) -> Result<Vec<PrincipalRecord>>;
    /// Writes everything but id, kind and age over a principal of this version, which is raised. `Outdated`
    /// when it has another one. Remembered verdicts about it are void. Switching it off, and `Holdings::End`,
    /// also end what it holds that has no row; the latter marks its rows too.
    async fn update_principal(
        &self,
        principal: &PrincipalRecord,
        holdings: Holdings,
        act: &AuditDraft,
    ) -> Result<RevocationRecord>;
    /// Deletes a principal and everything it holds, which ends. `Conflict` while devices belong to it as
    /// their network.
    async fn delete_principal(&self, id: &PrincipalId, act: &AuditDraft) -> Result<RevocationRecord>;
    /// Enables or disables a principal, whatever its version. Disabling also writes a revocation of everything
    /// the principal holds, in the same transaction, whose sequence number is returned.
    async fn set_principal_enabled(
        &self,
        id: &PrincipalId,
        state: Enabled,
        at: UnixMillis,
        act: &AuditDraft,
    ) -> Result<Option<RevocationRecord>>;
}

/// Stored credentials: device tokens, API tokens, basic passwords.
#[async_trait]
pub trait Credentials: Send + Sync {
    /// Adds a credential of an existing principal; `Conflict` when a digest of the same kind, or the
    /// public id of a basic credential, is taken.
    async fn insert_credential(&self, credential: &CredentialRecord, act: &AuditDraft) -> Result<()>;
    /// The credential with this keyed digest, with its principal, tenant and customer. One look-up.
    async fn find_by_digest(
        &self,
        kind: CredentialKind,
        digest: &[u8; 32],
    ) -> Result<Option<CredentialContext>>;
    /// Every credential with this public id (prefix), at most `limit`: those not revoked before the
    /// revoked, so that no number of replaced passwords can crowd out the living one; each oldest first.
    async fn find_by_public_id(
        &self,
        kind: CredentialKind,
        public_id: &str,
        limit: u32,
    ) -> Result<Vec<CredentialContext>>;
    /// One credential by row id.
    async fn credential(&self, id: &CredentialId) -> Result<Option<CredentialContext>>;
    /// A page of credentials, in the order of the filter.
    async fn list_credentials(&self, filter: &CredentialFilter, page: &Page)
    -> Result<Vec<CredentialRecord>>;
    /// Writes the keyed digest (under a lookup key) of a row that had none or an older one. Not an act of
    /// anybody's: no audit row.
    async fn set_keyed_digest(&self, id: &CredentialId, digest: &[u8; 32], key: &KeyId) -> Result<()>;
    /// Replaces a credential by another of the same principal: the old row is revoked and the new one
    /// inserted in one transaction. `Conflict` when the old one is revoked already: of two replacements at
    /// once, one wins.
    async fn replace_credential(
        &self,
        old: &CredentialId,
        new: &CredentialRecord,
        at: UnixMillis,
        act: &AuditDraft,
    ) -> Result<RevocationRecord>;
    /// Writes what may change of a credential (name, notes, label, limits, rights, rules, state, end, sealed
    /// secret, successor) over the row of this version, which is raised; everybody's remembered verdicts about it
    /// are void. `Outdated` when it has another version, `Conflict` when it was revoked or deleted.
    async fn update_credential(
        &self,
        credential: &CredentialRecord,
        act: &AuditDraft,
    ) -> Result<RevocationRecord>;
    /// As `update_credential`, and adds the one that takes its place, in one transaction.
    async fn succeed_credential(
        &self,
        old: &CredentialRecord,
        new: &CredentialRecord,
        act: &AuditDraft,
    ) -> Result<RevocationRecord>;
    /// Ends these credentials, in one transaction with one audit row. Those that are not stored, or revoked
    /// already, are passed over.
    async fn revoke_credentials(
        &self,
        ids: &[CredentialId],
        at: UnixMillis,
        act: &AuditDraft,
    ) -> Result<Vec<RevocationRecord>>;
    /// Ends a credential and marks it as deleted.
    async fn delete_credential(
        &self,
        id: &CredentialId,
        at: UnixMillis,
        act: &AuditDraft,
    ) -> Result<RevocationRecord>;
    /// Forgets at most `limit` credentials that were deleted at or before this instant, their usage too, and
    /// returns how many. No audit row is written when there was none.
    async fn purge_credentials(&self, until: UnixMillis, limit: u32, act: &AuditDraft) -> Result<u64>;
}

/// Revocations: rows with a sequence number. A push is only a hint to read them.
#[async_trait]
pub trait Revocations: Send + Sync {
    /// Appends a revocation and marks the rows of every stored credential it ends: the one it names, or
    /// all that its principal, its tenant or everyone holds when this is committed, whatever the clock said when
    /// they were made. Durable when this returns. The target need not be stored: stateless credentials are
    /// revoked by id, or by the time they say they were issued at (`cut_at`). `created_at` is the act's time.
    async fn revoke(&self, revocation: &NewRevocation, act: &AuditDraft) -> Result<RevocationRecord>;
    /// Revocations with a sequence number above `after`, in order, at most `limit`.
    async fn revocations_after(&self, after: u64, limit: u32) -> Result<Vec<RevocationRecord>>;
    /// Deletes revocations whose `until` lies before `now`: nothing they end can still be presented.
    /// The highest sequence number ever given is kept, so numbers never repeat.
    async fn prune_revocations(&self, now: UnixMillis) -> Result<u64>;
}

/// Our own keys, sealed under the data key by the caller: the store never sees key material in plain.
#[async_trait]
pub trait Keys: Send + Sync {
    /// Every key of every purpose, oldest first.
    async fn list_keys(&self) -> Result<Vec<KeyRecord>>;
    /// Makes `new` the current key of its purpose; the one before becomes `Previous`, older ones of
    /// that purpose `Retired`, whatever `new.state` says. One transaction. Returns `Conflict` when the current key is not
    /// `expected_current`, so that two starting processes make only one first key.
    async fn rotate_key(
        &self,
        expected_current: Option<&KeyId>,
        new: &KeyRecord,
        act: &AuditDraft,
    ) -> Result<()>;
}

/// The audit trail: rows chained by digest, never changed, removed by retention only.
#[async_trait]
pub trait AuditLog: Send + Sync {
    /// Appends security events (sampled refusals and the like) in one transaction.
    async fn append_events(&self, events: &[AuditDraft]) -> Result<()>;
    /// A page of rows, newest first, with sequence numbers below `before`.
    async fn list_audit(&self, before: Option<u64>, limit: u32) -> Result<Vec<AuditRecord>>;
    /// Removes at most `limit` rows that this rule names, oldest first, and returns how many. What is left can
    /// be checked as before (see [`chain`]).
    async fn trim_audit(&self, rule: &AuditTrim, limit: u32) -> Result<u64>;
    /// Recomputes the chain (see [`chain`]); returns the first sequence number that does not fit, if any.
    async fn verify_audit(&self) -> Result<Option<u64>>;
}

/// Usage per credential, written in batches.
#[async_trait]
pub trait Usage: Send + Sync {
    /// Adds counts and raises last-used times, in one transaction. Hands back what was known of each before.
    async fn add_usage(&self, batch: &[UsageDelta]) -> Result<Vec<Option<UsageRecord>>>;
    /// Usage of one credential.
    async fn usage(&self, id: &CredentialId) -> Result<Option<UsageRecord>>;
}

/// Nonces that were used, so that no process takes one twice.
#[async_trait]
pub trait Nonces: Send + Sync {
    /// Notes each nonce, in order, in one transaction, and says which of them were noted before. Durable when this
    /// returns: of all who ever spend one nonce, in whichever process, one is told `Now`.
    async fn spend_nonces(&self, batch: &[NonceRecord]) -> Result<Vec<Spent>>;
    /// Forgets those whose time ended before `now`, and returns how many.
    async fn prune_nonces(&self, now: UnixMillis) -> Result<u64>;
}

/// Requests that come with a key of their sender's, so that one that is sent again is not carried out again.
#[async_trait]
pub trait Repeats: Send + Sync {
    /// Notes that this request is being carried out, when nothing younger than `forget_before` is known under its
    /// key and its actor has fewer than `most` of them. Older ones are forgotten.
    async fn claim_request(
        &self,
        claim: &RequestClaim,
        forget_before: UnixMillis,
        most: u32,
    ) -> Result<Claimed>;
    /// Keeps what was answered.
    async fn keep_answer(&self, actor: &str, key: &str, answer: &str) -> Result<()>;
    /// Forgets a request that was not answered.
    async fn release_request(&self, actor: &str, key: &str) -> Result<()>;
}

/// Everything a store does.
#[async_trait]
pub trait Store:
    Tenants + Principals + Credentials + Revocations + Keys + AuditLog + Usage + Nonces + Repeats + Bulk
{
    /// Whether the store answers, for readiness.
    async fn ping(&self) -> Result<()>;
    /// Flushes and closes; later calls answer `Unavailable`.
    async fn close(&self);
}
