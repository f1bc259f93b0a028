//! Who does something, for the audit trail. Every use case that changes something takes one.

use crate::domain::clock::UnixMillis;
use crate::domain::ids::PrincipalId;
use crate::domain::net::ClientIp;
use crate::domain::scope::{Scope, ScopeSet};
use crate::store::AuditDraft;

/// Who acts, and from where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Actor {
    name: String,
    from: Option<String>,
    scopes: ScopeSet,
}

impl Actor {
    /// The program itself, such as at its first start.
    pub fn system() -> Self {
        Self {
            name: "system".to_owned(),
            from: None,
            scopes: ScopeSet::default(),
        }
    }

    /// A user of this machine: over the admin socket, or at the command line.
    pub fn local(uid: u32) -> Self {
        Self {
            name: format!("local:{uid}"),
            from: None,
            scopes: ScopeSet::default(),
        }
    }

    /// An administrator with a credential of these scopes.
    pub fn principal(id: &PrincipalId, from: ClientIp, scopes: ScopeSet) -> Self {
        Self {
            name: id.as_str().to_owned(),
            from: Some(from.to_string()),
            scopes,
        }
    }

    /// Whether its credential is good for what needs this scope. Without scopes, or with `admin`, it is good for
    /// everything that its principal may do.
    pub fn may(&self, wanted: &Scope) -> bool {
        let all = || Scope::parse("admin").is_ok_and(|admin| self.scopes.grants(&admin));
        self.scopes.grants(wanted) || all()
    }

    /// Somebody who proved nothing, such as a device that asks for its first token.
    pub fn unproven(from: ClientIp) -> Self {
        Self {
            name: "anonymous".to_owned(),
            from: Some(from.to_string()),
            scopes: ScopeSet::nothing(),
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
