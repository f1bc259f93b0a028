//! Making credentials that have no row: sealed device tokens and our own access tokens.
//!
//! Only the audit row says that they were made, so it is written before the token is handed out. Nothing in
//! the store could refuse them later: whoever is switched off gets none.

use std::time::Duration;

use super::actor::Actor;
use super::error::{AccountsError, Result};
use super::issuing::Issued;
use super::{Accounts, Enabled, PrincipalRecord};
use crate::authn::kinds::jwt::AccessTokenGrant;
use crate::authn::kinds::sealed_device_token;
use crate::domain::clock::UnixMillis;
use crate::domain::identity::CredentialKind;
use crate::domain::ids::TenantId;
use crate::domain::scope::{Permission, ScopeSet};

/// Longest life of an access token that we sign: it cannot be listed, so it shall not be forgotten for long.
const MAX_ACCESS_TOKEN_LIFETIME: Duration = Duration::from_secs(366 * 24 * 3600);
/// Which form of sealed device token.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum SealedForm {
    /// The NestJS-compatible one.
    Compatible,
    /// Ours, with tenant and scopes.
    #[default]
    Own,
}

/// A sealed device token to be made.
#[derive(Debug, Clone)]
pub struct NewSealedToken {
    /// What the device calls itself.
    pub identifier: String,
    /// Which form.
    pub form: SealedForm,
    /// Its tenant; our own form only.
    pub tenant: Option<TenantId>,
    /// Its scopes; our own form only.
    pub scopes: ScopeSet,
}

/// An access token to be signed.
#[derive(Debug, Clone)]
pub struct NewAccessToken {
    /// Its scopes; empty means the principal's rights.
    pub scopes: ScopeSet,
    /// Its permission.
    pub permission: Permission,
    /// How long it is good.
    pub lifetime: Duration,
}

impl Accounts {
    /// Seals a token for a device, registered or not. Nothing but the audit row is stored.
    pub async fn issue_sealed(&self, new: NewSealedToken, actor: &Actor) -> Result<Issued> {
        let now = self.parts.clock.now().wall;
        self.issue_sealed_at(new, now, actor).await
    }

    /// The same, made at this instant: one from before whatever vouched for the device was looked at, so that
    /// a revocation that comes between the two ends the token too.
    pub(super) async fn issue_sealed_at(
        &self,
        new: NewSealedToken,
        now: UnixMillis,
        actor: &Actor,
    ) -> Result<Issued> {
        let made = self.seal(new, now, actor).await;
        self.counted(CredentialKind::SealedDeviceToken, made)
    }

    async fn seal(&self, new: NewSealedToken, now: UnixMillis, actor: &Actor) -> Result<Issued> {
        use sealed_device_token::issue::{self, IssueError};
        let kinds = self.kinds();
        let settings = kinds.issuers.sealed_device_token.as_ref();
        if new.form == SealedForm::Compatible && (new.tenant.is_some() || !new.scopes.is_empty()) {
            return Err(AccountsError::bad(
                "format",
                "the compatible form with a tenant or scopes",
                "form v2, or neither of them: the compatible form cannot carry them",
            ));
        }
        let tenant = actor.home(new.tenant)?.filter(|_| new.form == SealedForm::Own);
        let token = match new.form {
            SealedForm::Compatible => issue::issue_compatible(settings, &new.identifier, now),
            SealedForm::Own => {
                issue::issue_own(settings, &new.identifier, tenant.as_ref(), &new.scopes, now)
            }
        }
        .map_err(|error| match error {
            IssueError::IdentifierTooShort { found, expected } => AccountsError::bad(
                "identifier",
                format!("{found} characters"),
                format!("at least {expected}"),
            ),
            IssueError::IdentifierTooLong => {
                AccountsError::bad("identifier", "more than 4096 bytes", "at most 4096 bytes")
            }
            IssueError::TooLong => AccountsError::bad("scopes", "too many", "a token of at most 16 KiB"),
            IssueError::NoCompatibleKey => AccountsError::NotConfigured(
                "no key is configured for the compatible form; set credentials.sealed_device_token.key_file, or \
                 ask for form v2",
            ),
            IssueError::UnusableKeyId | IssueError::Id(_) => AccountsError::Unusable(error.to_string()),
            IssueError::Seal(e) => e.into(),
        })?;
        // A device that was switched off shall not get a token that nothing in the store could refuse.
        let rows = self.rows(actor);
        if let Some(found) = rows.principal(&token.device).await? {
            must_be_enabled(&found)?;
        }
        let detail = serde_json::json!({
            "device": token.device.as_str(),
            "expires_at": token.expires_at.rfc3339(),
        });
        let act = "sealed_device_token.issue";
        let draft = actor.draft(now, act, token.credential.as_str(), detail);
        rows.note_issued(&token.device, &new.scopes, draft).await?;
        Ok(Issued {
            secret: token.token,
            kind: CredentialKind::SealedDeviceToken,
            id: token.credential,
            principal: token.device,
            public_id: None,
            expires_at: Some(token.expires_at),
        })
    }

    /// Signs an access token of our own for a principal. Nothing but the audit row is stored.
    pub async fn issue_access_token(
        &self,
        principal: &PrincipalRecord,
        new: NewAccessToken,
        actor: &Actor,
    ) -> Result<Issued> {
        let made = self.sign(principal, new, actor).await;
        self.counted(CredentialKind::Jwt, made)
    }

    async fn sign(&self, principal: &PrincipalRecord, new: NewAccessToken, actor: &Actor) -> Result<Issued> {
        let kinds = self.kinds();
        let issuer = kinds.issuers.access_token.as_ref();
        let issuer = issuer.ok_or(AccountsError::NotConfigured(
            "no own issuer is configured; add one with `keys: own` to credentials.jwt.issuers",
        ))?;
        must_be_enabled(principal)?;
        if new.lifetime.is_zero() || new.lifetime > MAX_ACCESS_TOKEN_LIFETIME {
            return Err(AccountsError::bad(
                "expires",
                format!("a life of {} seconds", new.lifetime.as_secs()),
                "at most a year: access tokens are not stored and cannot be listed",
            ));
        }
        let now = self.parts.clock.now();
        let grant = AccessTokenGrant {
            principal: principal.id.clone(),
            principal_kind: principal.kind,
            tenant: principal.tenant.clone(),
            customer: principal.customer.clone(),
            roles: principal.roles.clone(),
            scopes: new.scopes,
            permission: new.permission,
            lifetime: new.lifetime,
        };
        let token = issuer
            .issue(&grant, now)
            .map_err(|e| AccountsError::Unusable(e.to_string()))?;
        let detail = serde_json::json!({
            "principal": principal.id.as_str(),
            "scopes": grant.scopes.to_string(),
            "expires_at": token.expires_at.rfc3339(),
        });
        let draft = actor.draft(now.wall, "jwt.issue", token.id.as_str(), detail);
        self.rows(actor)
            .note_issued(&principal.id, &grant.scopes, draft)
            .await?;
        Ok(Issued {
            secret: token.token,
            kind: CredentialKind::Jwt,
            id: token.id,
            principal: principal.id.clone(),
            public_id: None,
            expires_at: Some(token.expires_at),
        })
    }
}

/// Nothing in the store refuses a token that is not in it.
fn must_be_enabled(principal: &PrincipalRecord) -> Result<()> {
    match principal.enabled {
        Enabled::Yes => Ok(()),
        Enabled::No => Err(AccountsError::Conflict(format!(
            "{} is switched off; switch it on before issuing tokens for it",
            principal.id
        ))),
    }
}
