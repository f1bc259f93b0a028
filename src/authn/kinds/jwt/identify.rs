//! From verified claims to an identity: who it is, with which scopes and roles, under which id it can be
//! revoked.
//!
//! Runs after the signature and `claims::judge`. A claim that is there but cannot be read refuses the
//! token: passing over a scope or role that we cannot express could widen what is left. Pure.

use serde_json::Value;
use sha2::{Digest, Sha256};

use super::claims::accepted_until;
use super::format::{Claims, Compact};
use super::settings::{ClaimMapping, ClaimPath, Issuer, Profile, Unscoped};
use crate::domain::clock::UnixMillis;
use crate::domain::identity::{CredentialKind, Identity, PrincipalKind, WriteAccess};
use crate::domain::ids::{CredentialId, CustomerId, InvalidId, PrincipalId, TenantId};
use crate::domain::reason::Reason;
use crate::domain::scope::{MAX_SCOPES, MethodClass, Permission, Role, ScopeSet};

/// ThingsBoard's id of nothing.
const NULL_UUID: &str = "13814000-1dd2-11b2-8080-808080808080";

/// A claim is missing or cannot stand in an identity.
struct Unreadable;

impl From<InvalidId> for Unreadable {
    fn from(_: InvalidId) -> Self {
        Self
    }
}

type Read<T> = Result<T, Unreadable>;

/// What a profile reads from claims.
struct Party {
    principal: PrincipalId,
    kind: PrincipalKind,
    tenant: Option<TenantId>,
    customer: Option<CustomerId>,
    roles: Vec<Role>,
    scopes: ScopeSet,
    permission: Permission,
    category: Option<Role>,
}

/// The identity that verified claims state.
pub(super) fn identify(issuer: &Issuer, token: &Compact<'_>, claims: &Claims) -> Result<Identity, Reason> {
    if issuer.profile == Profile::ThingsBoard && claims.get("enabled") == Some(&Value::Bool(false)) {
        return Err(Reason::PrincipalDisabled);
    }
    let prefix = &*issuer.subject_prefix;
    let party = match &issuer.profile {
        Profile::Own => own(claims),
        Profile::ThingsBoard => thingsboard(prefix, claims),
        Profile::Mapped(mapping) => mapped(prefix, mapping, claims),
    }
    .map_err(|Unreadable| Reason::CredentialMalformed)?;
    let credential =
        credential_id(issuer, token, claims).map_err(|Unreadable| Reason::CredentialMalformed)?;
    let writes =
        party.scopes.allows_method(MethodClass::Write) && party.permission.allows_method(MethodClass::Write);
    Ok(Identity {
        device_id: (party.kind == PrincipalKind::Device).then(|| party.principal.clone()),
        principal: party.principal,
        principal_kind: party.kind,
        credential_kind: CredentialKind::Jwt,
        credential,
        tenant: party.tenant,
        customer: party.customer,
        scopes: party.scopes,
        roles: party.roles,
        permission: party.permission,
        write_access: if writes {
            WriteAccess::Granted
        } else {
            WriteAccess::Withheld
        },
        category: party.category,
        issued_at: issued_at(issuer, claims),
        expires_at: Some(accepted_until(issuer, claims)),
    })
}

/// `<issuer>:<jti>`, else the digest of what is signed. Never of the signature, which can be re-spelled.
fn credential_id(issuer: &Issuer, token: &Compact<'_>, claims: &Claims) -> Read<CredentialId> {
    let by_jti = claims
        .text("jti")
        .filter(|jti| !jti.is_empty())
        .and_then(|jti| CredentialId::parse(&format!("{}:{jti}", issuer.name)).ok());
    match by_jti {
        Some(id) => Ok(id),
        None => Ok(CredentialId::parse(&hex::encode(Sha256::digest(
            token.signing_input,
        )))?),
    }
}

/// `iat`, to the millisecond where the token is ours (so that a cut within its second tells before from
/// after).
fn issued_at(issuer: &Issuer, claims: &Claims) -> Option<UnixMillis> {
    let iat = claims.iat?;
    let exact = claims
        .get("iat_ms")
        .and_then(Value::as_i64)
        .filter(|ms| issuer.profile == Profile::Own && ms.div_euclid(1000) == iat);
    Some(exact.map_or(UnixMillis::from_secs(iat), UnixMillis))
}

fn own(claims: &Claims) -> Read<Party> {
    let scopes = match claims.get("scope") {
        None => ScopeSet::default(),
        Some(value) => scope_set(value, Unscoped::GrantsNothing)?,
    };
    let permission = match claims.get("permission") {
        None => Permission::Full,
        Some(value) => value.as_str().and_then(Permission::parse).ok_or(Unreadable)?,
    };
    Ok(Party {
        principal: PrincipalId::parse(claims.text("sub").ok_or(Unreadable)?)?,
        kind: claims
            .text("principal")
            .and_then(PrincipalKind::parse)
            .ok_or(Unreadable)?,
        tenant: id(claims.get("tenant"), TenantId::parse)?,
        customer: id(claims.get("customer"), CustomerId::parse)?,
        roles: roles(claims.get("roles"))?,
        scopes,
        permission,
        category: None,
    })
}

fn thingsboard(prefix: &str, claims: &Claims) -> Read<Party> {
    let public = match claims.get("isPublic") {
        Some(Value::Bool(public)) => *public,
        _ => return Err(Unreadable),
    };
    // A user is named by the lasting `userId` (`sub` is a mail address that can change); a public
    // customer has none and is named by `sub`, its public id.
    let user = claims.text("userId").filter(|id| *id != NULL_UUID && !public);
    let principal = principal(prefix, user.or(claims.text("sub")).ok_or(Unreadable)?)?;
    let authority = claims
        .get("scopes")
        .and_then(Value::as_array)
        .and_then(|list| list.first())
        .and_then(Value::as_str)
        .ok_or(Unreadable)?;
    let tenant = claims.get("tenantId").filter(|v| v.as_str() != Some(NULL_UUID));
    let customer = claims.get("customerId").filter(|v| v.as_str() != Some(NULL_UUID));
    Ok(Party {
        principal,
        kind: PrincipalKind::User,
        tenant: id(tenant, TenantId::parse)?,
        customer: id(customer, CustomerId::parse)?,
        roles: vec![Role::parse(authority)?],
        scopes: ScopeSet::default(),
        permission: Permission::Full,
        category: if public {
            Some(Role::parse("public")?)
        } else {
            None
        },
    })
}

fn mapped(prefix: &str, mapping: &ClaimMapping, claims: &Claims) -> Read<Party> {
    let find = |path: &ClaimPath| at(claims, path);
    let subject = find(&mapping.subject).and_then(Value::as_str).ok_or(Unreadable)?;
    let scopes = match mapping.scopes.iter().find_map(find) {
        Some(value) => scope_set(value, mapping.unscoped)?,
        None => unscoped(mapping.unscoped),
    };
    Ok(Party {
        principal: principal(prefix, subject)?,
        kind: mapping.principal_kind,
        tenant: id(mapping.tenant.as_ref().and_then(find), TenantId::parse)?,
        customer: id(mapping.customer.as_ref().and_then(find), CustomerId::parse)?,
        roles: roles(mapping.roles.as_ref().and_then(find))?,
        scopes,
        permission: Permission::Full,
        category: None,
    })
}

/// The principal's id of an issuer's subject. An empty subject names nobody, whatever the prefix.
fn principal(prefix: &str, subject: &str) -> Read<PrincipalId> {
    let subject = PrincipalId::parse(subject)?;
    match prefix {
        "" => Ok(subject),
        _ => Ok(PrincipalId::parse(&format!("{prefix}{subject}"))?),
    }
}

fn at<'c>(claims: &'c Claims, path: &ClaimPath) -> Option<&'c Value> {
    let mut names = path.names();
    let first = claims.get(names.next()?)?;
    names.try_fold(first, |value, name| value.get(name))
}

/// An optional id. `null` counts as absent: some issuers write every claim.
fn id<T>(value: Option<&Value>, parse: impl Fn(&str) -> Result<T, InvalidId>) -> Read<Option<T>> {
    match value {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) => Ok(Some(parse(text)?)),
        Some(_) => Err(Unreadable),
    }
}

/// A list of words, or a text with words separated by spaces.
fn words(value: &Value) -> Read<Vec<&str>> {
    match value {
        Value::String(text) => Ok(text.split(' ').filter(|w| !w.is_empty()).collect()),
        Value::Array(list) => list.iter().map(|v| v.as_str().ok_or(Unreadable)).collect(),
        _ => Err(Unreadable),
    }
}

fn scope_set(value: &Value, when_empty: Unscoped) -> Read<ScopeSet> {
    let words = words(value)?;
    if words.is_empty() {
        return Ok(unscoped(when_empty));
    }
    Ok(ScopeSet::parse(words)?)
}

fn unscoped(unscoped: Unscoped) -> ScopeSet {
    match unscoped {
        Unscoped::GrantsNothing => ScopeSet::nothing(),
        Unscoped::Unrestricted => ScopeSet::default(),
    }
}

fn roles(value: Option<&Value>) -> Read<Vec<Role>> {
    let Some(value) = value.filter(|v| !v.is_null()) else {
        return Ok(Vec::new());
    };
    let words = words(value)?;
    if words.len() > MAX_SCOPES {
        return Err(Unreadable);
    }
    let roles: Result<Vec<Role>, InvalidId> = words.into_iter().map(Role::parse).collect();
    Ok(roles?)
}
