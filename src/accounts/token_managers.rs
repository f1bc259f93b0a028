//! Device tokens, managed by a program at the proxy's door: as another platform's own API would let it.
//!
//! Whoever calls proves an API token of a user or service account; a device never manages tokens, its own
//! neither. It needs the scope `tokens:read` or `tokens:write`, spelled out on the credential, or the role
//! `TENANT_ADMIN` or `SYS_ADMIN` with a credential that is not restricted to other scopes. It sees its tenant (and
//! its customer, where it has one) and nothing else; without a tenant it sees what has none, and everything only
//! as `SYS_ADMIN`. What lies beyond answers as what does not exist. Called by the dialects in `edge::endpoints`.

use std::sync::Arc;

use super::actor::{Actor, Reach};
use super::callers::{Call, Callers, TurnedAway};
use super::error::{AccountsError, Result};
use super::issuing::{Issued, NewCredential};
use super::{Accounts, CredentialFilter, CredentialRecord, Page, PrincipalRecord, UsageRecord};
use crate::authn::Authenticated;
use crate::domain::clock::UnixMillis;
use crate::domain::identity::{CredentialKind, Identity, PrincipalKind};
use crate::domain::ids::{CredentialId, CustomerId};
use crate::domain::net::ClientIp;
use crate::domain::scope::{MethodClass, Scope};
use crate::store::CredentialContext;

/// Most device tokens of one device that are looked through.
const MAX_TOKENS_PER_DEVICE: u32 = 1000;

/// What a caller wants to do with tokens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Managing {
    /// Look at them.
    Read,
    /// Make them.
    Write,
    /// End them.
    Delete,
}

impl Managing {
    fn scope(self) -> &'static str {
        match self {
            Self::Read => "tokens:read",
            Self::Write | Self::Delete => "tokens:write",
        }
    }

    fn method(self) -> MethodClass {
        match self {
            Self::Read => MethodClass::Read,
            Self::Write => MethodClass::Write,
            Self::Delete => MethodClass::Delete,
        }
    }
}

/// Why nothing was managed.
#[derive(Debug)]
pub enum NotManaged {
    /// The caller did not prove itself.
    TurnedAway(TurnedAway),
    /// It may not do this.
    NotAllowed,
    /// It could not be done.
    Failed(AccountsError),
}

impl From<AccountsError> for NotManaged {
    fn from(error: AccountsError) -> Self {
        Self::Failed(error)
    }
}

/// A caller that may manage tokens.
#[derive(Debug)]
pub struct Manager {
    actor: Actor,
    sight: Sight,
}

/// Whose tokens a manager sees, within the fence of its tenant.
#[derive(Debug, PartialEq, Eq)]
enum Sight {
    Everything,
    Customer(CustomerId),
    WithoutTenant,
}

impl Sight {
    fn of(identity: &Identity) -> Self {
        match (&identity.tenant, &identity.customer) {
            (_, Some(customer)) => Self::Customer(customer.clone()),
            (Some(_), None) => Self::Everything,
            (None, None) if has_role(identity, &["SYS_ADMIN"]) => Self::Everything,
            (None, None) => Self::WithoutTenant,
        }
    }

    fn sees(&self, principal: &PrincipalRecord) -> bool {
        match self {
            Self::Everything => true,
            Self::WithoutTenant => principal.tenant.is_none(),
            Self::Customer(customer) => principal.customer.as_ref() == Some(customer),
        }
    }
}

/// A caller as who it is; the fence around its actor keeps it in its tenant.
pub(super) fn actor_of(identity: &Identity, from: ClientIp) -> Actor {
    let reach = match &identity.tenant {
        Some(tenant) => Reach::Tenant(tenant.clone()),
        None => Reach::Installation,
    };
    Actor::principal(&identity.principal, from, identity.scopes.clone(), reach)
}

fn has_role(identity: &Identity, wanted: &[&str]) -> bool {
    identity.roles.iter().any(|role| wanted.contains(&role.as_str()))
}

/// Whether this identity may do that with tokens at all.
fn may(identity: &Identity, wanted: Managing) -> bool {
    let program = matches!(
        identity.principal_kind,
        PrincipalKind::User | PrincipalKind::Service
    );
    let scopes = &identity.scopes;
    let granted = Scope::parse(wanted.scope()).is_ok_and(|scope| scopes.grants(&scope));
    identity.credential_kind == CredentialKind::ApiToken
        && program
        && identity.permission.allows_method(wanted.method())
        && granted
        // No scopes at all are the principal's own rights: then a role must say what those are.
        && (!scopes.is_empty() || has_role(identity, &["TENANT_ADMIN", "SYS_ADMIN"]))
}

/// Somebody's own view of itself.
#[derive(Debug)]
pub struct Party {
    /// Its proof.
    pub proof: Authenticated,
    /// Its row; principals that nobody registered have none.
    pub record: Option<PrincipalRecord>,
    /// When the credential it presents was last used before, as far as that is written.
    pub last_used_at: Option<UnixMillis>,
}

/// Manages device tokens for callers.
pub struct TokenManagers {
    accounts: Arc<Accounts>,
    callers: Callers,
}

impl TokenManagers {
    /// With these use cases below.
    pub fn new(accounts: Arc<Accounts>, callers: Callers) -> Self {
        Self { accounts, callers }
    }

    /// The time.
    pub fn now(&self) -> UnixMillis {
        self.accounts.now()
    }

    /// Who calls, as it may know itself.
    pub async fn party(&self, call: &Call<'_>) -> std::result::Result<Party, NotManaged> {
        let proof = self.callers.of(call).await.map_err(NotManaged::TurnedAway)?;
        let identity = proof.identity();
        let actor = actor_of(identity, call.from);
        let usage = match self.accounts.credential(&identity.credential, &actor).await {
            Ok((_, usage)) => usage,
            Err(AccountsError::NotFound { .. }) => None,
            Err(error) => return Err(error.into()),
        };
        let record = match self.accounts.principal(&identity.principal, &actor).await {
            Ok(record) => Some(record),
            Err(AccountsError::NotFound { .. }) => None,
            Err(error) => return Err(error.into()),
        };
        Ok(Party {
            record,
            last_used_at: usage.map(|usage| usage.last_used_at),
            proof,
        })
    }

    /// Lets a caller manage tokens.
    pub async fn admit(&self, wanted: Managing, call: &Call<'_>) -> std::result::Result<Manager, NotManaged> {
        if wanted != Managing::Read {
            // What is made outlives the credential it is made with: one that was ended elsewhere makes nothing.
            self.accounts.read_revocations().await?;
        }
        let proof = self.callers.of(call).await.map_err(NotManaged::TurnedAway)?;
        let identity = proof.identity();
        if !may(identity, wanted) {
            return Err(NotManaged::NotAllowed);
        }
        Ok(Manager {
            actor: actor_of(identity, call.from),
            sight: Sight::of(identity),
        })
    }

    /// The registered device of this id or name, within the manager's reach.
    pub async fn device(&self, manager: &Manager, id_or_name: &str) -> Result<PrincipalRecord> {
        match self.accounts.registered_device(id_or_name, &manager.actor).await {
            Ok(device) if manager.sight.sees(&device) => Ok(device),
            // Of another tenant, no device, unreadable: all of them do not exist.
            Ok(_) | Err(AccountsError::NotFound { .. } | AccountsError::BadInput { .. }) => {
                Err(AccountsError::not_found("device", "of this id"))
            }
            Err(error) => Err(error),
        }
    }

    /// The tokens of a device that are not over, oldest first, at most 1000.
    pub async fn tokens(&self, manager: &Manager, device: &str) -> Result<Vec<CredentialRecord>> {
        let device = self.device(manager, device).await?;
        let filter = CredentialFilter {
            kind: Some(CredentialKind::DeviceToken),
            principal: Some(device.id),
            ..CredentialFilter::default()
        };
        let page = Page::first(MAX_TOKENS_PER_DEVICE);
        let mut rows = self
            .accounts
            .list_credentials(&filter, &page, &manager.actor)
            .await?;
        let now = self.now();
        rows.retain(|row| {
            row.revoked_at.is_none() && row.deleted_at.is_none() && row.expires_at.is_none_or(|at| at > now)
        });
        Ok(rows)
    }

    /// How a token was used.
    pub async fn usage(&self, manager: &Manager, id: &CredentialId) -> Result<Option<UsageRecord>> {
        let (_, usage) = self.accounts.credential(id, &manager.actor).await?;
        Ok(usage)
    }

    /// Makes a token of a device that the manager was shown.
    pub async fn create(
        &self,
        manager: &Manager,
        device: &PrincipalRecord,
        new: NewCredential,
    ) -> Result<Issued> {
        let form = self.accounts.device_token_form();
        self.accounts
            .create_device_token(device, form, new, &manager.actor)
            .await
    }

    /// Ends a device token, named by itself or by its id.
    pub async fn end(&self, manager: &Manager, token_or_id: &str) -> Result<()> {
        let found = self
            .named(manager, CredentialKind::DeviceToken, token_or_id)
            .await?;
        let found = found
            .filter(|found| found.credential.deleted_at.is_none() && manager.sight.sees(&found.principal));
        match found {
            Some(found) => {
                let id = &found.credential.id;
                self.accounts.delete_credential(id, &manager.actor).await
            }
            None => Err(AccountsError::not_found("token", "of this text or id")),
        }
    }

    /// The stored credential of this kind that is, or has the id of, this text.
    async fn named(
        &self,
        manager: &Manager,
        kind: CredentialKind,
        text: &str,
    ) -> Result<Option<CredentialContext>> {
        let rows = self.accounts.rows(&manager.actor);
        let ring = self.accounts.vault().handles().lookup.load_full();
        for key in ring.iter() {
            let digest = key.key.digest(text.as_bytes());
            let found = rows.find_by_digest(kind, &digest).await?;
            if found.is_some() {
                return Ok(found);
            }
        }
        let Ok(id) = CredentialId::parse(text) else {
            return Ok(None);
        };
        let found = rows.credential(&id).await?;
        Ok(found.filter(|found| found.credential.kind == kind))
    }
}
