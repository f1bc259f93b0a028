//! Issuing our own access tokens (RFC 9068: `typ: at+jwt`).
//!
//! A token states whom it is for and what it may do; everything is checked again when it comes back,
//! under the own issuer. Storing, auditing and refreshing are the use cases' business (`accounts`).

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Map, Value, json};

use super::settings::{Issuer, KeySource};
use super::signing::{OwnKeys, SigningFailed};
use crate::domain::clock::{Now, UnixMillis};
use crate::domain::identity::PrincipalKind;
use crate::domain::ids::{CredentialId, CustomerId, PrincipalId, TenantId};
use crate::domain::scope::{Permission, Role, ScopeSet};
use crate::domain::secret::SecretText;

/// What a new access token states.
#[derive(Debug, Clone)]
pub struct AccessTokenGrant {
    /// Whom it is for.
    pub principal: PrincipalId,
    /// What sort of party that is.
    pub principal_kind: PrincipalKind,
    /// Its tenant.
    pub tenant: Option<TenantId>,
    /// Its customer.
    pub customer: Option<CustomerId>,
    /// Its roles.
    pub roles: Vec<Role>,
    /// Scopes; empty means whatever the principal may do.
    pub scopes: ScopeSet,
    /// Permission.
    pub permission: Permission,
    /// How long it is good.
    pub lifetime: Duration,
}

/// A new access token.
#[derive(Debug)]
pub struct IssuedAccessToken {
    /// The token: shown to the caller once.
    pub token: SecretText,
    /// Its id for revocation.
    pub id: CredentialId,
    /// When it ends.
    pub expires_at: UnixMillis,
}

/// Issues access tokens as the own issuer.
#[derive(Debug, Clone)]
pub struct AccessTokenIssuer {
    name: Arc<str>,
    issuer: String,
    audience: Value,
    keys: OwnKeys,
}

impl AccessTokenIssuer {
    /// Issues what the own issuer's settings accept; `None` when the issuer is an external one.
    pub fn new(issuer: &Issuer) -> Option<Self> {
        let KeySource::Own(keys) = &issuer.keys else {
            return None;
        };
        let audience = match issuer.audiences.as_slice() {
            [one] => json!(one),
            many => json!(many),
        };
        Some(Self {
            name: Arc::clone(&issuer.name),
            issuer: issuer.issuer.clone()?,
            audience,
            keys: keys.clone(),
        })
    }

    /// Signs a new access token.
    pub fn issue(&self, grant: &AccessTokenGrant, now: Now) -> Result<IssuedAccessToken, SigningFailed> {
        let jti = CredentialId::random();
        let expires_at = UnixMillis::from_secs(now.wall.plus(grant.lifetime).as_secs());
        let mut claims = Map::new();
        let mut state = |name: &str, value: Value| claims.insert(name.to_owned(), value);
        state("iss", json!(self.issuer));
        state("aud", self.audience.clone());
        state("sub", json!(grant.principal.as_str()));
        state("iat", json!(now.wall.as_secs()));
        state("iat_ms", json!(now.wall.0));
        state("exp", json!(expires_at.as_secs()));
        state("jti", json!(jti.as_str()));
        state("token_use", json!("access"));
        state("principal", json!(grant.principal_kind.as_str()));
        if let Some(tenant) = &grant.tenant {
            state("tenant", json!(tenant.as_str()));
        }
        if let Some(customer) = &grant.customer {
            state("customer", json!(customer.as_str()));
        }
        if !grant.roles.is_empty() {
            let roles: Vec<&str> = grant.roles.iter().map(Role::as_str).collect();
            state("roles", json!(roles));
        }
        // Absent: no restriction. Empty: nothing granted.
        if !grant.scopes.is_empty() {
            state("scope", json!(grant.scopes.to_string()));
        }
        if grant.permission != Permission::Full {
            state("permission", json!(grant.permission.as_str()));
        }
        let token = self
            .keys
            .with_current(|key| key.sign("at+jwt", &Value::Object(claims)))?;
        // Both parts are ours and short; were they not an id, the token could not be revoked by it.
        let id = CredentialId::parse(&format!("{}:{jti}", self.name)).map_err(|_| SigningFailed)?;
        Ok(IssuedAccessToken {
            token,
            id,
            expires_at,
        })
    }
}
