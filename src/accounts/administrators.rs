//! Administrators: the first one, and who may use the management door over TCP.
//!
//! An administrator is a principal with the role `SYS_ADMIN`, or `TENANT_ADMIN` for its own tenant; its credential is an API token like any other,
//! verified by the same room, with the same cache, throttle and revocation. What its scopes allow is the door's to
//! compare, operation by operation.

use std::sync::Arc;

use super::actor::{Actor, Reach};
use super::error::{AccountsError, Result};
use super::issuing::{ApiTokenForm, NewCredential};
use super::principals::NewPrincipal;
use super::{Accounts, Transport};
use crate::authn::presented::{Carrier, Presented};
use crate::authn::{Authenticated, Authn, Recall};
use crate::domain::clock::Clock;
use crate::domain::identity::{CredentialKind, Identity, PrincipalKind};
use crate::domain::net::ClientIp;
use crate::domain::reason::Reason;
use crate::domain::scope::{MethodClass, Role};
use crate::domain::secret::SecretText;

/// The role that may do everything here.
pub(super) const ADMINISTRATOR_ROLE: &str = "SYS_ADMIN";
/// The role that may do everything within its tenant.
const TENANT_ROLE: &str = "TENANT_ADMIN";
/// The service account of the first start.
const FIRST_ADMINISTRATOR: &str = "administrator";

impl Accounts {
    /// At the first start: makes the service account `administrator` and a token for it. `None` when the
    /// account is there already, even when its tokens were revoked: those do not come back by a restart.
    pub async fn ensure_administrator(&self) -> Result<Option<SecretText>> {
        let there = self
            .principal_called(PrincipalKind::Service, FIRST_ADMINISTRATOR, &Actor::system())
            .await?;
        if there.is_some() {
            return Ok(None);
        }
        let actor = Actor::system();
        let role = Role::parse(ADMINISTRATOR_ROLE).map_err(|e| AccountsError::Unusable(e.to_string()))?;
        let new = NewPrincipal {
            external_id: Some(FIRST_ADMINISTRATOR.to_owned()),
            roles: vec![role],
            ..NewPrincipal::of(PrincipalKind::Service)
        };
        let principal = match self.create_principal(new, &actor).await {
            // Another process starts at the same time and was faster.
            Err(AccountsError::Conflict(_)) => return Ok(None),
            made => made?,
        };
        let limits = NewCredential {
            name: Some("first start".to_owned()),
            ..NewCredential::default()
        };
        let issued = self
            .create_api_token(&principal, &ApiTokenForm::Default, limits, &actor)
            .await?;
        Ok(Some(issued.secret))
    }
}

/// Who may use the management door over TCP.
pub struct Administrators {
    authn: Arc<Authn>,
    clock: Clock,
}

impl Administrators {
    /// Asks this room who somebody is.
    pub fn new(authn: Arc<Authn>, clock: Clock) -> Self {
        Self { authn, clock }
    }

    /// The administrator who presents this token, or why it is none.
    pub async fn authenticate(
        &self,
        bearer: &[u8],
        from: ClientIp,
        method: MethodClass,
    ) -> std::result::Result<Actor, Reason> {
        let now = self.clock.now();
        let presented = Presented {
            carrier: Carrier::AuthorizationBearer,
            kind: CredentialKind::ApiToken,
            credential: bearer,
        };
        let answer = match self.authn.recall(&self.authn.verifiers(), &presented, from, now) {
            Recall::Decided(answer) => answer,
            Recall::Ask(question) => {
                let presented = presented.to_owned();
                self.authn.look_up(question, presented, from, now).await
            }
        };
        let authenticated = answer.map_err(|rejection| rejection.reason)?;
        permitted(&authenticated, from, method)?;
        let identity = authenticated.identity();
        let reach = reach(identity).ok_or(Reason::RoleMissing)?;
        let scopes = identity.scopes.clone();
        Ok(Actor::principal(&identity.principal, from, scopes, reach))
    }
}

/// Whether a role administers anything.
pub(super) fn administers(role: &Role) -> bool {
    [ADMINISTRATOR_ROLE, TENANT_ROLE].contains(&role.as_str())
}

/// How far somebody's roles reach here. A tenant's administrator without a tenant reaches nothing.
fn reach(identity: &Identity) -> Option<Reach> {
    let has = |name| identity.roles.iter().any(|role| role.as_str() == name);
    if has(ADMINISTRATOR_ROLE) {
        return Some(Reach::Installation);
    }
    identity
        .tenant
        .clone()
        .filter(|_| has(TENANT_ROLE))
        .map(Reach::Tenant)
}

fn permitted(
    authenticated: &Authenticated,
    from: ClientIp,
    method: MethodClass,
) -> std::result::Result<(), Reason> {
    let (identity, rules) = (authenticated.identity(), authenticated.rules());
    if !rules.networks.is_empty() && !rules.networks.contains(from.ip()) {
        return Err(Reason::CredentialAddressDenied);
    }
    // The door speaks plain HTTP: such a token stays on this machine.
    if rules.transport == Transport::HttpsOnly && !from.ip().is_loopback() {
        return Err(Reason::HttpsRequired);
    }
    if !identity.permission.allows_method(method) {
        return Err(Reason::MethodNotPermitted);
    }
    Ok(())
}
