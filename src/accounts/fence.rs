//! The fence: the one way from the use cases to the rows, for one actor.
//!
//! Whoever administers one tenant sees and changes nothing of another. That is not checked by each use case, which
//! could be forgotten: [`Rows`] keeps the store to itself, and hands out [`Fenced`] for an actor only, whose calls
//! leave out what lies outside, or refuse. Rows of another tenant are not found, acts on the whole installation are
//! not allowed. It also stands here that nobody hands out more administration than he has. Knows no HTTP and no
//! credential's form; the store below knows no actor.

use std::sync::Arc;

use super::actor::{Actor, Reach};
use super::administrators::{ADMINISTRATOR_ROLE, administers};
use super::error::{AccountsError, Result};
use crate::domain::clock::UnixMillis;
use crate::domain::identity::CredentialKind;
use crate::domain::ids::{CredentialId, CustomerId, PrincipalId, TenantId};
use crate::domain::scope::ScopeSet;
use crate::store::{
    AuditDraft, AuditRecord, Claimed, CredentialContext, CredentialFilter, CredentialRecord, CustomerFilter,
    CustomerRecord, Enabled, Holdings, NewRevocation, Page, PrincipalFilter, PrincipalRecord, RequestClaim,
    RevocationRecord, RevocationTarget, Store, TenantFilter, TenantRecord, UsageRecord,
};

/// The rows, which nobody reaches but through a fence.
pub(super) struct Rows(Arc<dyn Store>);

impl Rows {
    /// Keeps them.
    pub(super) fn new(store: Arc<dyn Store>) -> Self {
        Self(store)
    }

    /// What this actor may see and change of them.
    pub(super) fn fenced<'a>(&'a self, actor: &'a Actor) -> Fenced<'a> {
        Fenced {
            store: self.0.as_ref(),
            actor,
        }
    }

    /// All of them at once, for imports and exports by whoever administers the whole installation.
    pub(super) fn in_bulk(&self, actor: &Actor) -> Result<&dyn Store> {
        actor.must_reach_all("moving credentials in bulk")?;
        Ok(self.0.as_ref())
    }

    /// What ended, whoever it belonged to: for this process's own index, which shows nobody anything.
    pub(super) async fn revocations_after(&self, after: u64, limit: u32) -> Result<Vec<RevocationRecord>> {
        Ok(self.0.revocations_after(after, limit).await?)
    }

    /// Whether the store answers; no row is looked at.
    pub(super) async fn ping(&self) -> Result<()> {
        Ok(self.0.ping().await?)
    }
}

/// The rows within an actor's reach.
pub(super) struct Fenced<'a> {
    store: &'a dyn Store,
    actor: &'a Actor,
}

/// Seeing.
impl Fenced<'_> {
    /// Whether what belongs to this tenant lies within reach.
    fn reaches(&self, tenant: Option<&TenantId>) -> bool {
        match self.actor.reach() {
            Reach::Installation => true,
            Reach::Tenant(own) => tenant == Some(own),
        }
    }

    /// Narrows a filter's tenant; `None`: nothing that it names is within reach.
    fn narrowed(&self, wanted: Option<TenantId>) -> Option<Option<TenantId>> {
        match (self.actor.reach(), wanted) {
            (Reach::Installation, wanted) => Some(wanted),
            (Reach::Tenant(own), None) => Some(Some(own.clone())),
            (Reach::Tenant(own), Some(wanted)) => (*own == wanted).then_some(Some(wanted)),
        }
    }

    pub(super) async fn tenant(&self, id: &TenantId) -> Result<Option<TenantRecord>> {
        if !self.reaches(Some(id)) {
            return Ok(None);
        }
        Ok(self.store.tenant(id).await?)
    }

    pub(super) async fn list_tenants(&self, filter: &TenantFilter, page: &Page) -> Result<Vec<TenantRecord>> {
        match self.narrowed(filter.id.clone()) {
            None => Ok(Vec::new()),
            Some(id) => Ok(self.store.list_tenants(&TenantFilter { id }, page).await?),
        }
    }

    pub(super) async fn customer(&self, id: &CustomerId) -> Result<Option<CustomerRecord>> {
        let found = self.store.customer(id).await?;
        Ok(found.filter(|c| self.reaches(Some(&c.tenant))))
    }

    pub(super) async fn list_customers(
        &self,
        filter: &CustomerFilter,
        page: &Page,
    ) -> Result<Vec<CustomerRecord>> {
        match self.narrowed(filter.tenant.clone()) {
            None => Ok(Vec::new()),
            Some(tenant) => Ok(self
                .store
                .list_customers(&CustomerFilter { tenant }, page)
                .await?),
        }
    }

    pub(super) async fn principal(&self, id: &PrincipalId) -> Result<Option<PrincipalRecord>> {
        let found = self.store.principal(id).await?;
        Ok(found.filter(|p| self.reaches(p.tenant.as_ref())))
    }

    pub(super) async fn list_principals(
        &self,
        filter: &PrincipalFilter,
        page: &Page,
    ) -> Result<Vec<PrincipalRecord>> {
        let Some(tenant) = self.narrowed(filter.tenant.clone()) else {
            return Ok(Vec::new());
        };
        let filter = PrincipalFilter {
            tenant,
            ..filter.clone()
        };
        Ok(self.store.list_principals(&filter, page).await?)
    }

    pub(super) async fn credential(&self, id: &CredentialId) -> Result<Option<CredentialContext>> {
        let found = self.store.credential(id).await?;
        Ok(found.filter(|c| self.reaches(c.principal.tenant.as_ref())))
    }

    /// The credential of this digest.
    pub(super) async fn find_by_digest(
        &self,
        kind: CredentialKind,
        digest: &[u8; 32],
    ) -> Result<Option<CredentialContext>> {
        let found = self.store.find_by_digest(kind, digest).await?;
        Ok(found.filter(|c| self.reaches(c.principal.tenant.as_ref())))
    }

    pub(super) async fn list_credentials(
        &self,
        filter: &CredentialFilter,
        page: &Page,
    ) -> Result<Vec<CredentialRecord>> {
        let Some(tenant) = self.narrowed(filter.tenant.clone()) else {
            return Ok(Vec::new());
        };
        let filter = CredentialFilter {
            tenant,
            ..filter.clone()
        };
        Ok(self.store.list_credentials(&filter, page).await?)
    }

    /// How a credential was used that was seen within the fence.
    pub(super) async fn usage(&self, of: &CredentialContext) -> Result<Option<UsageRecord>> {
        Ok(self.store.usage(&of.credential.id).await?)
    }

    pub(super) async fn list_audit(&self, before: Option<u64>, limit: u32) -> Result<Vec<AuditRecord>> {
        self.actor.must_reach_all("the audit trail")?;
        Ok(self.store.list_audit(before, limit).await?)
    }

    pub(super) async fn verify_audit(&self) -> Result<Option<u64>> {
        self.actor.must_reach_all("the audit trail")?;
        Ok(self.store.verify_audit().await?)
    }
}

/// What must hold before something is changed.
impl Fenced<'_> {
    fn tenant_within(&self, tenant: &TenantId) -> Result<()> {
        if self.reaches(Some(tenant)) {
            return Ok(());
        }
        Err(AccountsError::not_found("tenant", tenant.as_str()))
    }

    async fn customer_within(&self, id: &CustomerId) -> Result<()> {
        match self.actor.reach() {
            Reach::Installation => Ok(()),
            Reach::Tenant(_) => match self.customer(id).await? {
                Some(_) => Ok(()),
                None => Err(AccountsError::not_found("customer", id.as_str())),
            },
        }
    }

    /// The principal to be changed. Who administers one tenant does not change those that administer all.
    async fn principal_within(&self, id: &PrincipalId) -> Result<Option<PrincipalRecord>> {
        let found = self.principal(id).await?;
        match (self.actor.reach(), &found) {
            (Reach::Tenant(_), None) => Err(AccountsError::not_found("principal", id.as_str())),
            (Reach::Tenant(_), Some(p)) if p.roles.iter().any(|r| r.as_str() == ADMINISTRATOR_ROLE) => {
                Err(AccountsError::Forbidden(
                    "this principal administers the whole installation; only who does so too may change it"
                        .to_owned(),
                ))
            }
            _ => Ok(found),
        }
    }

    async fn credential_within(&self, id: &CredentialId) -> Result<()> {
        match (self.actor.reach(), self.credential(id).await?) {
            (Reach::Installation, _) => Ok(()),
            (Reach::Tenant(_), None) => Err(AccountsError::not_found("credential", id.as_str())),
            (Reach::Tenant(_), Some(context)) => self.principal_within(&context.principal.id).await.map(drop),
        }
    }

    /// Where a principal shall stand, and with which roles. `before` is its row, when it has one.
    fn may_become(&self, record: &PrincipalRecord, before: Option<&PrincipalRecord>) -> Result<()> {
        if let Reach::Tenant(_) = self.actor.reach() {
            match &record.tenant {
                Some(tenant) => self.tenant_within(tenant)?,
                None => {
                    return Err(AccountsError::Forbidden(
                        "what you make belongs to your own tenant".to_owned(),
                    ));
                }
            }
        }
        let new = |role: &&crate::domain::scope::Role| before.is_none_or(|b| !b.roles.contains(role));
        for role in record.roles.iter().filter(|r| administers(r)).filter(new) {
            self.actor.must_administer()?;
            if role.as_str() == ADMINISTRATOR_ROLE {
                self.actor.must_reach_all("this role")?;
            }
        }
        Ok(())
    }

    /// A credential of an administrator is good for no more than whoever makes it.
    fn may_hand_out(&self, holder: &PrincipalRecord, scopes: &ScopeSet) -> Result<()> {
        if !holder.roles.iter().any(administers) || self.actor.administers() {
            return Ok(());
        }
        if !scopes.is_empty() && scopes.iter().all(|scope| self.actor.may(scope)) {
            return Ok(());
        }
        Err(AccountsError::Forbidden("a credential of an administrator can have no other scopes than the one that makes it: name some of yours".to_owned()))
    }

    async fn may_keep(&self, record: &CredentialRecord) -> Result<()> {
        match self.principal_within(&record.principal).await? {
            Some(holder) => self.may_hand_out(&holder, &record.scopes),
            // The store says so in its own words.
            None => Ok(()),
        }
    }
}

/// Changing.
impl Fenced<'_> {
    pub(super) async fn insert_tenant(&self, tenant: &TenantRecord, act: &AuditDraft) -> Result<()> {
        self.actor.must_reach_all("making tenants")?;
        Ok(self.store.insert_tenant(tenant, act).await?)
    }

    pub(super) async fn update_tenant(
        &self,
        tenant: &TenantRecord,
        act: &AuditDraft,
    ) -> Result<Option<RevocationRecord>> {
        self.tenant_within(&tenant.id)?;
        Ok(self.store.update_tenant(tenant, act).await?)
    }

    pub(super) async fn delete_tenant(&self, id: &TenantId, act: &AuditDraft) -> Result<()> {
        self.tenant_within(id)?;
        self.actor.must_reach_all("deleting tenants")?;
        Ok(self.store.delete_tenant(id, act).await?)
    }

    pub(super) async fn insert_customer(&self, customer: &CustomerRecord, act: &AuditDraft) -> Result<()> {
        self.tenant_within(&customer.tenant)?;
        Ok(self.store.insert_customer(customer, act).await?)
    }

    pub(super) async fn update_customer(
        &self,
        customer: &CustomerRecord,
        act: &AuditDraft,
    ) -> Result<Option<RevocationRecord>> {
        self.customer_within(&customer.id).await?;
        Ok(self.store.update_customer(customer, act).await?)
    }

    pub(super) async fn delete_customer(&self, id: &CustomerId, act: &AuditDraft) -> Result<()> {
        self.customer_within(id).await?;
        Ok(self.store.delete_customer(id, act).await?)
    }

    pub(super) async fn insert_principal(&self, principal: &PrincipalRecord, act: &AuditDraft) -> Result<()> {
        self.may_become(principal, None)?;
        if let Some(network) = &principal.network {
            self.principal_within(network).await?;
        }
        Ok(self.store.insert_principal(principal, act).await?)
    }

    pub(super) async fn update_principal(
        &self,
        principal: &PrincipalRecord,
        holdings: Holdings,
        act: &AuditDraft,
    ) -> Result<RevocationRecord> {
        let before = self.principal_within(&principal.id).await?;
        self.may_become(principal, before.as_ref())?;
        if let Some(network) = &principal.network {
            self.principal_within(network).await?;
        }
        Ok(self.store.update_principal(principal, holdings, act).await?)
    }

    pub(super) async fn delete_principal(
        &self,
        id: &PrincipalId,
        act: &AuditDraft,
    ) -> Result<RevocationRecord> {
        self.principal_within(id).await?;
        Ok(self.store.delete_principal(id, act).await?)
    }

    pub(super) async fn set_principal_enabled(
        &self,
        id: &PrincipalId,
        state: Enabled,
        at: UnixMillis,
        act: &AuditDraft,
    ) -> Result<Option<RevocationRecord>> {
        self.principal_within(id).await?;
        Ok(self.store.set_principal_enabled(id, state, at, act).await?)
    }

    pub(super) async fn insert_credential(&self, new: &CredentialRecord, act: &AuditDraft) -> Result<()> {
        self.may_keep(new).await?;
        Ok(self.store.insert_credential(new, act).await?)
    }

    pub(super) async fn update_credential(
        &self,
        credential: &CredentialRecord,
        act: &AuditDraft,
    ) -> Result<RevocationRecord> {
        self.credential_within(&credential.id).await?;
        self.may_keep(credential).await?;
        Ok(self.store.update_credential(credential, act).await?)
    }

    pub(super) async fn succeed_credential(
        &self,
        old: &CredentialRecord,
        new: &CredentialRecord,
        act: &AuditDraft,
    ) -> Result<RevocationRecord> {
        self.credential_within(&old.id).await?;
        self.may_keep(new).await?;
        Ok(self.store.succeed_credential(old, new, act).await?)
    }

    pub(super) async fn replace_credential(
        &self,
        old: &CredentialId,
        new: &CredentialRecord,
        at: UnixMillis,
        act: &AuditDraft,
    ) -> Result<RevocationRecord> {
        self.credential_within(old).await?;
        self.may_keep(new).await?;
        Ok(self.store.replace_credential(old, new, at, act).await?)
    }

    pub(super) async fn delete_credential(
        &self,
        id: &CredentialId,
        at: UnixMillis,
        act: &AuditDraft,
    ) -> Result<RevocationRecord> {
        self.credential_within(id).await?;
        Ok(self.store.delete_credential(id, at, act).await?)
    }

    pub(super) async fn purge_credentials(
        &self,
        until: UnixMillis,
        limit: u32,
        act: &AuditDraft,
    ) -> Result<u64> {
        self.actor.must_reach_all("forgetting what was deleted")?;
        Ok(self.store.purge_credentials(until, limit, act).await?)
    }

    pub(super) async fn revoke_credentials(
        &self,
        ids: &[CredentialId],
        at: UnixMillis,
        act: &AuditDraft,
    ) -> Result<Vec<RevocationRecord>> {
        if let Reach::Tenant(_) = self.actor.reach() {
            for id in ids {
                self.credential_within(id).await?;
            }
        }
        Ok(self.store.revoke_credentials(ids, at, act).await?)
    }

    /// Ends something. `tenant` is that of a credential without a row which was verified.
    pub(super) async fn revoke(
        &self,
        revocation: &NewRevocation,
        tenant: Option<&TenantId>,
        act: &AuditDraft,
    ) -> Result<RevocationRecord> {
        match &revocation.target {
            RevocationTarget::All => self.actor.must_reach_all("ending everything")?,
            RevocationTarget::Tenant(id) => self.tenant_within(id)?,
            RevocationTarget::Principal(id) => {
                self.principal_within(id).await?;
            }
            RevocationTarget::Credential(_) if tenant.is_some() && self.reaches(tenant) => {}
            RevocationTarget::Credential(id) => self.credential_within(id).await?,
        }
        Ok(self.store.revoke(revocation, act).await?)
    }

    /// Notes that a token without a row was made for this principal, before it is handed out. A device that nobody
    /// registered belongs to no tenant.
    pub(super) async fn note_issued(
        &self,
        of: &PrincipalId,
        scopes: &ScopeSet,
        act: AuditDraft,
    ) -> Result<()> {
        if let Some(holder) = self.principal_within(of).await? {
            self.may_hand_out(&holder, scopes)?;
        }
        Ok(self.store.append_events(&[act]).await?)
    }

    /// Notes that a secret of a stored credential is read back, before it is.
    pub(super) async fn note_revealed(&self, of: &CredentialId, act: AuditDraft) -> Result<()> {
        self.credential_within(of).await?;
        Ok(self.store.append_events(&[act]).await?)
    }

    pub(super) async fn claim_request(
        &self,
        claim: &RequestClaim,
        forget_before: UnixMillis,
        most: u32,
    ) -> Result<Claimed> {
        Ok(self.store.claim_request(claim, forget_before, most).await?)
    }

    pub(super) async fn keep_answer(&self, key: &str, answer: &str) -> Result<()> {
        Ok(self.store.keep_answer(self.actor.name(), key, answer).await?)
    }

    pub(super) async fn release_request(&self, key: &str) -> Result<()> {
        Ok(self.store.release_request(self.actor.name(), key).await?)
    }
}
