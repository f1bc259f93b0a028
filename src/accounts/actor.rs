//! Who does something: for the audit trail, and for what he may see and change. Every use case takes one; what lies
//! within his reach is held by the fence (`fence`), not by them.

use super::error::{AccountsError, Result};
use crate::domain::clock::UnixMillis;
use crate::domain::ids::{PrincipalId, TenantId};
use crate::domain::net::ClientIp;
use crate::domain::scope::{Scope, ScopeSet};
use crate::store::AuditDraft;

/// Who acts, and from where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Actor {
    name: String,
    from: Option<String>,
    scopes: ScopeSet,
    reach: Reach,
}

/// How far somebody's administration reaches.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reach {
    /// The whole installation.
    Installation,
    /// One tenant: its customers, principals and their credentials.
    Tenant(TenantId),
}

impl Actor {
    /// The program itself, such as at its first start.
    pub fn system() -> Self {
        Self {
            name: "system".to_owned(),
            from: None,
            scopes: ScopeSet::default(),
            reach: Reach::Installation,
        }
    }

    /// A user of this machine: over the admin socket, or at the command line.
    pub fn local(uid: u32) -> Self {
        Self {
            name: format!("local:{uid}"),
            from: None,
            scopes: ScopeSet::default(),
            reach: Reach::Installation,
        }
    }

    /// An administrator of this reach with a credential of these scopes.
    pub fn principal(id: &PrincipalId, from: ClientIp, scopes: ScopeSet, reach: Reach) -> Self {
        Self {
            name: id.as_str().to_owned(),
            from: Some(from.to_string()),
            scopes,
            reach,
        }
    }

    /// How far its administration reaches.
    pub fn reach(&self) -> &Reach {
        &self.reach
    }

    /// Whether its credential may do everything that its principal may.
    pub(super) fn administers(&self) -> bool {
        Scope::parse("admin").is_ok_and(|admin| self.scopes.grants(&admin))
    }

    /// Goes on only with a credential that may do everything that its principal may.
    pub(super) fn must_administer(&self) -> Result<()> {
        if self.administers() {
            return Ok(());
        }
        Err(AccountsError::Forbidden(
            "making administrators needs a credential without scopes, or with `admin`".to_owned(),
        ))
    }

    /// Goes on only when its administration reaches the whole installation.
    pub(super) fn must_reach_all(&self, for_what: &str) -> Result<()> {
        match self.reach {
            Reach::Installation => Ok(()),
            Reach::Tenant(_) => Err(AccountsError::Forbidden(format!(
                "{for_what} concerns the whole installation: it needs an administrator with the role SYS_ADMIN"
            ))),
        }
    }

    /// The tenant that something falls into which it makes, when it asks for this one.
    pub(super) fn home(&self, asked: Option<TenantId>) -> Result<Option<TenantId>> {
        match (&self.reach, asked) {
            (Reach::Installation, asked) => Ok(asked),
            (Reach::Tenant(own), None) => Ok(Some(own.clone())),
            (Reach::Tenant(own), Some(asked)) if *own == asked => Ok(Some(asked)),
            (Reach::Tenant(_), Some(asked)) => Err(AccountsError::not_found("tenant", asked.as_str())),
        }
    }

    /// Whether its credential is good for what needs this scope. Without scopes, or with `admin`, it is good for
    /// everything that its principal may do.
    pub fn may(&self, wanted: &Scope) -> bool {
        self.scopes.grants(wanted) || self.administers()
    }

    /// Somebody who proved nothing, such as a device that asks for its first token.
    pub fn unproven(from: ClientIp) -> Self {
        Self {
            name: "anonymous".to_owned(),
            from: Some(from.to_string()),
            scopes: ScopeSet::nothing(),
            reach: Reach::Installation,
        }
    }

    /// The name as it stands in the trail.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// An audit row of this actor. `detail` must be free of secrets.
    pub(super) fn draft(
        &self,
        at: UnixMillis,
        act: &str,
        target: impl Into<String>,
        detail: serde_json::Value,
    ) -> AuditDraft {
        AuditDraft {
            at,
            actor: self.name.clone(),
            act: act.to_owned(),
            target: target.into(),
            from: self.from.clone(),
            detail,
        }
    }
}
