//! What a verified credential leaves behind: the proof, and everything a request needs from it.
//!
//! Built once per verification and shared by every request that presents the same credential, so the
//! upstream's header values are rendered here and never again. Which of them a route sends, and under
//! which names, is `gate::upstream_headers`'s business.

use std::fmt::{self, Write as _};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use http::HeaderValue;

use super::revocation::RevocationEpoch;
use super::verifier::Verified;
use crate::audit::UsageCell;
use crate::domain::clock::{MonoMillis, UnixMillis};
use crate::domain::identity::{Identity, IdentityField, WriteAccess};
use crate::domain::net::{ClientIp, NetworkSet};
use crate::store::Transport;

/// Rules that travel with a credential, checked on every use, after the cache.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct CredentialRules {
    /// Networks the credential may be used from; empty means anywhere.
    pub networks: NetworkSet,
    /// Whether it is refused over plain HTTP.
    pub transport: Transport,
}

/// Proof that a credential was verified and not revoked when this was handed out.
#[derive(Debug, Clone)]
pub struct Authenticated {
    material: Arc<Material>,
}

#[derive(Debug)]
pub(in crate::authn) struct Material {
    identity: Identity,
    rules: CredentialRules,
    values: IdentityValues,
    /// Monotonic time up to which the verdict is believed without asking again.
    believed_until: MonoMillis,
    /// The revocation epoch as of which the verdict was last found good.
    good_at: AtomicU64,
    /// Where uses of a stored credential are counted.
    usage: Option<Arc<UsageCell>>,
}

impl Material {
    /// Renders the header values of the identity. `since` is the epoch read before the look-up began.
    pub(in crate::authn) fn new(
        verified: Verified,
        believed_until: MonoMillis,
        since: RevocationEpoch,
        usage: Option<Arc<UsageCell>>,
    ) -> Self {
        let values = IdentityValues::render(&verified.identity);
        Self {
            identity: verified.identity,
            rules: verified.rules,
            values,
            believed_until,
            good_at: AtomicU64::new(since.raw()),
            usage,
        }
    }

    pub(in crate::authn) fn identity(&self) -> &Identity {
        &self.identity
    }

    pub(in crate::authn) fn believed_until(&self) -> MonoMillis {
        self.believed_until
    }

    pub(in crate::authn) fn good_at(&self) -> RevocationEpoch {
        RevocationEpoch::from_raw(self.good_at.load(Ordering::Acquire))
    }

    /// Epochs only rise: a slower thread cannot take back what a faster one has seen.
    pub(in crate::authn) fn found_good_at(&self, epoch: RevocationEpoch) {
        self.good_at.fetch_max(epoch.raw(), Ordering::AcqRel);
    }

    /// Estimated memory of this verdict with its cache entry, in bytes.
    pub(in crate::authn) fn weight_bytes(&self) -> u32 {
        let i = &self.identity;
        let texts = i.principal.as_str().len()
            + i.credential.as_str().len()
            + i.tenant.as_ref().map_or(0, |t| t.as_str().len())
            + i.customer.as_ref().map_or(0, |t| t.as_str().len())
            + i.scopes.iter().map(|s| s.as_str().len() + 32).sum::<usize>()
            + i.roles.iter().map(|r| r.as_str().len() + 32).sum::<usize>();
        // Each text stands in the identity and among the rendered values; moka takes about 300 bytes.
        let fixed = size_of::<Self>() + 300 + self.rules.networks.iter().count() * 32;
        u32::try_from(fixed + 2 * texts).unwrap_or(u32::MAX)
    }
}

impl Authenticated {
    /// Only the authn room can say that something was verified.
    pub(in crate::authn) fn new(material: Arc<Material>) -> Self {
        Self { material }
    }

    /// Who it is.
    pub fn identity(&self) -> &Identity {
        &self.material.identity
    }

    /// The credential's own rules.
    pub fn rules(&self) -> &CredentialRules {
        &self.material.rules
    }

    /// Counts one use, where uses of this kind are counted. A few atomics.
    pub fn used(&self, now: UnixMillis, client: ClientIp, agent: Option<&[u8]>) {
        if let Some(usage) = &self.material.usage {
            if let Some(agent) = agent {
                usage.touched_by(agent);
            }
            usage.touch(now, client);
        }
    }

    /// The identity as header values.
    pub fn values(&self) -> &IdentityValues {
        &self.material.values
    }
}

/// An identity as header values, one per [`IdentityField`]; what is not known is not there.
///
/// All rendered values share one buffer, so a cached credential costs one allocation for them and a
/// request none.
#[derive(Clone, Default)]
pub struct IdentityValues([Option<HeaderValue>; IdentityField::ALL.len()]);

impl IdentityValues {
    /// Renders them.
    pub fn render(identity: &Identity) -> Self {
        let mut text = String::with_capacity(160);
        let ends = IdentityField::ALL.map(|field| {
            // Writing to a String cannot fail.
            let _ = write_field(&mut text, identity, field);
            text.len()
        });
        let buffer = Bytes::from(text.into_bytes());
        let mut values = Self::default();
        let mut start = 0;
        for ((field, end), slot) in IdentityField::ALL.into_iter().zip(ends).zip(&mut values.0) {
            *slot = match fixed(identity, field) {
                Some(text) => Some(HeaderValue::from_static(text)),
                None if end > start => HeaderValue::from_maybe_shared(buffer.slice(start..end)).ok(),
                None => None,
            };
            start = end;
        }
        values
    }

    /// The value of one field, if it is known.
    pub fn value(&self, field: IdentityField) -> Option<&HeaderValue> {
        self.0.get(field as usize).and_then(Option::as_ref)
    }
}

/// Values that come from a closed list.
fn fixed(identity: &Identity, field: IdentityField) -> Option<&'static str> {
    match field {
        IdentityField::Principal => Some(identity.principal_kind.as_str()),
        IdentityField::Credential => Some(identity.credential_kind.as_str()),
        IdentityField::WriteAccess => Some(match identity.write_access {
            WriteAccess::Granted => "true",
            WriteAccess::Withheld => "false",
        }),
        _ => None,
    }
}

fn write_field(out: &mut String, identity: &Identity, field: IdentityField) -> fmt::Result {
    match field {
        IdentityField::Subject => out.write_str(identity.principal.as_str()),
        IdentityField::CredentialId => out.write_str(identity.credential.as_str()),
        IdentityField::Tenant => out.write_str(identity.tenant.as_ref().map_or("", |t| t.as_str())),
        IdentityField::Customer => out.write_str(identity.customer.as_ref().map_or("", |c| c.as_str())),
        IdentityField::Scopes => write!(out, "{}", identity.scopes),
        IdentityField::Roles => identity.roles.iter().enumerate().try_for_each(|(i, role)| {
            out.write_str(if i == 0 { "" } else { " " })?;
            out.write_str(role.as_str())
        }),
        IdentityField::DeviceId => out.write_str(identity.device_id.as_ref().map_or("", |d| d.as_str())),
        IdentityField::Category => out.write_str(identity.category.as_ref().map_or("", |c| c.as_str())),
        IdentityField::Expires => match identity.expires_at {
            Some(at) => write!(out, "{}", at.as_secs()),
            None => Ok(()),
        },
        IdentityField::Principal | IdentityField::Credential | IdentityField::WriteAccess => Ok(()),
    }
}

impl fmt::Debug for IdentityValues {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.0.iter().flatten()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::identity::{CredentialKind, PrincipalKind};
    use crate::domain::ids::{CredentialId, PrincipalId, TenantId};
    use crate::domain::scope::{Permission, Role, ScopeSet};

    #[test]
    fn known_fields_are_rendered_and_unknown_ones_are_absent() {
        let identity = Identity {
            principal: PrincipalId::parse("device-7").expect("an id"),
            principal_kind: PrincipalKind::Device,
            credential_kind: CredentialKind::DeviceToken,
            credential: CredentialId::parse("row-1").expect("an id"),
            tenant: Some(TenantId::parse("acme").expect("an id")),
            customer: None,
            scopes: ScopeSet::parse(["read", "channel:12:write"]).expect("scopes"),
            roles: vec![
                Role::parse("A").expect("a role"),
                Role::parse("B").expect("a role"),
            ],
            permission: Permission::Full,
            write_access: WriteAccess::Withheld,
            device_id: None,
            category: Some(Role::parse("device").expect("a category")),
            issued_at: None,
            expires_at: Some(UnixMillis(1_700_000_000_999)),
        };
        let values = IdentityValues::render(&identity);
        for (field, expected) in [
            (IdentityField::Subject, Some("device-7")),
            (IdentityField::Principal, Some("device")),
            (IdentityField::Credential, Some("device_token")),
            (IdentityField::CredentialId, Some("row-1")),
            (IdentityField::Tenant, Some("acme")),
            (IdentityField::Customer, None),
            (IdentityField::Scopes, Some("read channel:12:write")),
            (IdentityField::Roles, Some("A B")),
            (IdentityField::WriteAccess, Some("false")),
            (IdentityField::DeviceId, None),
            (IdentityField::Category, Some("device")),
            (IdentityField::Expires, Some("1700000000")),
        ] {
            assert_eq!(
                values.value(field).map(|v| v.to_str().expect("ASCII")),
                expected,
                "{field:?}"
            );
        }
    }
}
