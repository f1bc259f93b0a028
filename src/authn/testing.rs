//! Identities for unit tests of any room.

use crate::domain::clock::UnixMillis;
use crate::domain::identity::{CredentialKind, Identity, PrincipalKind, WriteAccess};
use crate::domain::ids::{CredentialId, PrincipalId, TenantId};
use crate::domain::scope::{Permission, ScopeSet};

/// A plain identity of a user.
pub fn identity(kind: CredentialKind, credential: &str, principal: &str, tenant: Option<&str>) -> Identity {
    Identity {
        principal: PrincipalId::parse(principal).expect("an id"),
        principal_kind: PrincipalKind::User,
        credential_kind: kind,
        credential: CredentialId::parse(credential).expect("an id"),
        tenant: tenant.map(|t| TenantId::parse(t).expect("an id")),
        customer: None,
        scopes: ScopeSet::default(),
        roles: Vec::new(),
        permission: Permission::Full,
        write_access: WriteAccess::Granted,
        device_id: None,
        category: None,
        issued_at: Some(UnixMillis(0)),
        expires_at: None,
    }
}
