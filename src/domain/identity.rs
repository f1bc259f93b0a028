//! Who a request comes from: the principal, and everything the upstream is told about it.
//!
//! Plain data. An `Identity` alone proves nothing: proof is `authn::Authenticated`, which only the
//! authn room can make.

use std::fmt;

use super::clock::UnixMillis;
use super::ids::{CredentialId, CustomerId, PrincipalId, TenantId};
use super::scope::{Permission, Role, ScopeSet};

/// Which kind of credential was presented. Each has a folder in `authn/kinds`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub enum CredentialKind {
    /// AES-256-GCM sealed token, `Authorization: Device …`.
    SealedDeviceToken,
    /// Opaque token of a device, looked up by keyed digest.
    DeviceToken,
    /// Prefixed token, looked up by its public prefix.
    ApiToken,
    /// JSON Web Token (RFC 7519).
    Jwt,
    /// User name and password (RFC 7617).
    Basic,
}

impl CredentialKind {
    /// Every kind, in the order of the registry.
    pub const ALL: [Self; 5] = [
        Self::SealedDeviceToken,
        Self::DeviceToken,
        Self::ApiToken,
        Self::Jwt,
        Self::Basic,
    ];

    /// The name in configuration, headers, metrics and records.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::SealedDeviceToken => "sealed_device_token",
            Self::DeviceToken => "device_token",
            Self::ApiToken => "api_token",
            Self::Jwt => "jwt",
            Self::Basic => "basic",
        }
    }

    /// The kind of this name.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|k| k.as_str() == text)
    }
}

impl fmt::Display for CredentialKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A set of credential kinds: what a route accepts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KindSet(u16);

impl KindSet {
    /// No kind.
    pub const NONE: Self = Self(0);
    /// Every kind.
    pub const ALL: Self = Self((1 << CredentialKind::ALL.len()) - 1);

    /// This set and one more kind.
    #[must_use]
    pub fn with(self, kind: CredentialKind) -> Self {
        Self(self.0 | 1 << kind as u8)
    }

    /// Whether the kind is in the set.
    pub fn contains(self, kind: CredentialKind) -> bool {
        self.0 & (1 << kind as u8) != 0
    }
}

/// What sort of party a principal is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum PrincipalKind {
    /// A machine in the field.
    Device,
    /// A person.
    User,
    /// A program.
    Service,
    /// Nobody in particular: public routes.
    Anonymous,
}

impl PrincipalKind {
    /// The name in headers, metrics and records.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Device => "device",
            Self::User => "user",
            Self::Service => "service",
            Self::Anonymous => "anonymous",
        }
    }

    /// The kind of this name; `anonymous` is no stored kind and is not parsed.
    pub fn parse(text: &str) -> Option<Self> {
        [Self::Device, Self::User, Self::Service]
            .into_iter()
            .find(|k| k.as_str() == text)
    }
}

/// The verified facts about a request's principal and credential; what the upstream is told.
#[derive(Debug, Clone, PartialEq)]
pub struct Identity {
    /// `X-Auth-Subject`.
    pub principal: PrincipalId,
    /// `X-Auth-Principal`.
    pub principal_kind: PrincipalKind,
    /// `X-Auth-Credential`.
    pub credential_kind: CredentialKind,
    /// `X-Auth-Credential-Id`.
    pub credential: CredentialId,
    /// `X-Auth-Tenant`.
    pub tenant: Option<TenantId>,
    /// `X-Auth-Customer`.
    pub customer: Option<CustomerId>,
    /// `X-Auth-Scopes`; empty means unrestricted.
    pub scopes: ScopeSet,
    /// `X-Auth-Roles`.
    pub roles: Vec<Role>,
    /// The credential's own permission.
    pub permission: Permission,
    /// `X-Auth-Write-Access`.
    pub write_access: WriteAccess,
    /// `X-Auth-Device-Id`: the stable id of the device, when the principal is one.
    pub device_id: Option<PrincipalId>,
    /// `X-Auth-Category`, such as `device`.
    pub category: Option<Role>,
    /// When the credential was issued, where that is known. Revocation cuts compare against it.
    pub issued_at: Option<UnixMillis>,
    /// `X-Auth-Expires`: when the credential ends, if ever.
    pub expires_at: Option<UnixMillis>,
}

/// What the upstream is told about writing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WriteAccess {
    /// `true`.
    Granted,
    /// `false`.
    Withheld,
}

/// One fact about an identity that may stand in a header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(usize)]
pub enum IdentityField {
    /// Principal id.
    Subject,
    /// `device|user|service|anonymous`.
    Principal,
    /// Credential kind.
    Credential,
    /// Credential id.
    CredentialId,
    /// Tenant id.
    Tenant,
    /// Customer id.
    Customer,
    /// Scopes, space-separated.
    Scopes,
    /// Roles, space-separated.
    Roles,
    /// `true|false`.
    WriteAccess,
    /// Stable device id.
    DeviceId,
    /// Category.
    Category,
    /// Epoch seconds.
    Expires,
}

impl IdentityField {
    /// Every field, in header order.
    pub const ALL: [Self; 12] = [
        Self::Subject,
        Self::Principal,
        Self::Credential,
        Self::CredentialId,
        Self::Tenant,
        Self::Customer,
        Self::Scopes,
        Self::Roles,
        Self::WriteAccess,
        Self::DeviceId,
        Self::Category,
        Self::Expires,
    ];

    /// The default header name, lower case.
    pub const fn default_name(self) -> &'static str {
        match self {
            Self::Subject => "x-auth-subject",
            Self::Principal => "x-auth-principal",
            Self::Credential => "x-auth-credential",
            Self::CredentialId => "x-auth-credential-id",
            Self::Tenant => "x-auth-tenant",
            Self::Customer => "x-auth-customer",
            Self::Scopes => "x-auth-scopes",
            Self::Roles => "x-auth-roles",
            Self::WriteAccess => "x-auth-write-access",
            Self::DeviceId => "x-auth-device-id",
            Self::Category => "x-auth-category",
            Self::Expires => "x-auth-expires",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_have_unique_names_and_bits() {
        let mut set = KindSet::NONE;
        for kind in CredentialKind::ALL {
            assert!(!set.contains(kind), "{kind} shares a bit");
            set = set.with(kind);
            assert_eq!(CredentialKind::parse(kind.as_str()), Some(kind));
        }
        assert_eq!(set, KindSet::ALL);
        assert_eq!(PrincipalKind::parse("anonymous"), None);
    }
}
