//! What the stored kinds share: from a row to a verdict, and from a grant to a row.
//!
//! [`decide`] is the only place that says whether a stored credential is good, and in which order its
//! faults are named. It does no I/O, and says nothing about networks, transport or routes: those travel on as
//! rules. Called by `device_token`, `api_token` and `basic`.

use std::hash::{DefaultHasher, Hash, Hasher};

use crate::authn::material::CredentialRules;
use crate::authn::toll::Toll;
use crate::authn::verifier::{Rejection, Verified};
use crate::crypto::SlowDigestError;
use crate::domain::clock::{Now, UnixMillis};
use crate::domain::identity::{CredentialKind, Identity, PrincipalKind, WriteAccess};
use crate::domain::ids::{CredentialId, KeyId, PrincipalId};
use crate::domain::net::NetworkSet;
use crate::domain::reason::Reason;
use crate::domain::scope::{MethodClass, Permission, Role, ScopeSet};
use crate::domain::secret::SecretText;
use crate::store::{
    About, CredentialContext, CredentialLimits, CredentialRecord, Credentials, Enabled, KeyedDigest,
    PrincipalRecord, StoreError, Transport,
};
use crate::telemetry::labels::SecurityEventKind;

/// Decides whether a credential whose secret was proved is good now, and who it is.
///
/// A revoked credential is called revoked even when it also expired, so that a revocation can be seen to
/// have worked; what an administrator can switch back on is named last.
///
/// A client who holds what was revoked, or what was replaced, is told of: somebody has not changed over yet, or
/// should not have it.
pub fn decide(context: CredentialContext, toll: &Toll, at: Now) -> Result<Verified, Rejection> {
    let now = at.wall;
    let CredentialContext {
        credential,
        principal,
        tenant_enabled,
        customer_enabled,
    } = context;
    if credential.revoked_at.is_some() {
        toll.saw(SecurityEventKind::UsedAfterRevocation, &credential, at);
        return Err(Rejection::caller(Reason::CredentialRevoked));
    }
    if credential.expires_at.is_some_and(|end| end <= now) {
        return Err(Rejection::caller(Reason::CredentialExpired));
    }
    if credential.enabled == Enabled::No {
        return Err(Rejection::caller(Reason::CredentialDisabled));
    }
    if [principal.enabled, customer_enabled, tenant_enabled].contains(&Enabled::No) {
        return Err(Rejection::caller(Reason::PrincipalDisabled));
    }
    if credential.replaced_by.is_some() {
        toll.saw(SecurityEventKind::UsedThoughReplaced, &credential, at);
    }
    Ok(verified(credential, principal))
}

fn verified(credential: CredentialRecord, principal: PrincipalRecord) -> Verified {
    let (device_id, category) = match principal.kind {
        PrincipalKind::Device => (Some(device_id(&principal)), device_category()),
        PrincipalKind::User | PrincipalKind::Service | PrincipalKind::Anonymous => (None, None),
    };
    Verified {
        identity: Identity {
            principal: principal.id,
            principal_kind: principal.kind,
            credential_kind: credential.kind,
            credential: credential.id,
            tenant: principal.tenant,
            customer: principal.customer,
            write_access: write_access(credential.permission, &credential.scopes),
            scopes: credential.scopes,
            roles: principal.roles,
            permission: credential.permission,
            device_id,
            category,
            issued_at: Some(credential.created_at),
            expires_at: credential.expires_at,
        },
        rules: CredentialRules {
            networks: NetworkSet::new(credential.networks),
            transport: credential.transport,
        },
    }
}

/// What the upstream knows a device by: its name in outside systems, where that can stand in a header.
fn device_id(principal: &PrincipalRecord) -> PrincipalId {
    principal
        .external_id
        .as_deref()
        .and_then(|text| PrincipalId::parse(text).ok())
        .unwrap_or_else(|| principal.id.clone())
}

/// The category of every device.
pub(super) fn device_category() -> Option<Role> {
    Role::parse("device").ok()
}

fn write_access(permission: Permission, scopes: &ScopeSet) -> WriteAccess {
    if permission != Permission::Read && scopes.allows_method(MethodClass::Write) {
        WriteAccess::Granted
    } else {
        WriteAccess::Withheld
    }
}

/// The throttle's name for a public part. It need not be unforgeable: public parts are public.
pub(super) fn public_id_hash(public_id: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    public_id.hash(&mut hasher);
    hasher.finish()
}

/// A store that fails is our fault: 503, never a 401 and never a pass.
pub(super) fn store_failed(kind: CredentialKind, error: &StoreError) -> Rejection {
    tracing::warn!(kind = kind.as_str(), %error, "the store did not answer a credential look-up");
    Rejection::ours(Reason::CannotDecide)
}

/// Writes a row's keyed digest under the current lookup key, so that the next look-up is a fast one. When it
/// cannot be written the verdict stands all the same: the next look-up tries again.
pub(super) async fn keep_digest(
    store: &dyn Credentials,
    credential: &CredentialRecord,
    digest: &[u8; 32],
    key: &KeyId,
) {
    if let Err(error) = store.set_keyed_digest(&credential.id, digest, key).await {
        tracing::warn!(credential = credential.id.as_str(), %error, "a keyed digest could not be kept");
    }
}

/// A row whose slow digest we cannot or will not compute refuses its holder; the operator should know.
pub(super) fn unusable_digest(credential: &CredentialRecord, error: SlowDigestError) {
    tracing::warn!(credential = credential.id.as_str(), %error, "a stored slow digest cannot be checked");
}

/// What a new stored credential shall be allowed.
#[derive(Debug, Clone)]
pub struct Grant {
    /// Whom it is for.
    pub principal: PrincipalId,
    /// Its name for people.
    pub name: String,
    /// Its scopes; empty means the principal's rights.
    pub scopes: ScopeSet,
    /// Its permission.
    pub permission: Permission,
    /// Networks it may be used from; empty means anywhere.
    pub networks: Vec<ipnet::IpNet>,
    /// Whether it is refused over plain HTTP.
    pub transport: Transport,
    /// When it ends, if ever.
    pub expires_at: Option<UnixMillis>,
    /// What people wrote on it.
    pub about: About,
    /// Where it is used.
    pub environment: Option<String>,
    /// How much it may be used.
    pub limits: Option<CredentialLimits>,
}

impl Grant {
    /// A grant of everything the principal may do, without an end.
    pub fn full(principal: PrincipalId, name: impl Into<String>) -> Self {
        Self {
            principal,
            name: name.into(),
            scopes: ScopeSet::default(),
            permission: Permission::Full,
            networks: Vec::new(),
            transport: Transport::Any,
            expires_at: None,
            about: About::default(),
            environment: None,
            limits: None,
        }
    }

    pub(super) fn into_record(
        self,
        kind: CredentialKind,
        found_by: FoundBy,
        now: UnixMillis,
    ) -> CredentialRecord {
        CredentialRecord {
            id: CredentialId::random(),
            kind,
            principal: self.principal,
            name: self.name,
            public_id: found_by.public_id,
            keyed_digest: found_by.keyed_digest,
            slow_digest: found_by.slow_digest,
            scopes: self.scopes,
            permission: self.permission,
            networks: self.networks,
            transport: self.transport,
            enabled: Enabled::Yes,
            expires_at: self.expires_at,
            revoked_at: None,
            created_at: now,
            about: self.about,
            environment: self.environment,
            limits: self.limits,
            sealed_secret: None,
            replaced_by: None,
            deleted_at: None,
            version: 1,
        }
    }
}

/// How a new row will be found and its secret checked.
#[derive(Default)]
pub(super) struct FoundBy {
    pub(super) public_id: Option<String>,
    pub(super) keyed_digest: Option<KeyedDigest>,
    pub(super) slow_digest: Option<String>,
}

/// A new credential: the secret to be shown once, and the row to be stored.
#[derive(Debug)]
pub struct IssuedCredential {
    /// The whole credential as its holder will present it.
    pub secret: SecretText,
    /// The row, which holds digests only.
    pub record: CredentialRecord,
}

#[cfg(test)]
#[path = "stored_tests.rs"]
mod tests;
