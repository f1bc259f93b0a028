//! Checks after authentication: the credential's own rules and what the route requires of it.

use std::sync::Arc;

use super::permit::Permit;
use super::policy::{Access, Requirement, RoutePolicy};
use super::{Denial, Encryption};
use crate::authn::{Authenticated, Transport};
use crate::domain::identity::{Identity, WriteAccess};
use crate::domain::net::ClientIp;
use crate::domain::reason::Reason;
use crate::domain::scope::MethodClass;

/// Applies the rules that need a verified credential; the `Permit` names the route that granted it.
pub fn authorize(
    route: &Arc<RoutePolicy>,
    authenticated: Authenticated,
    client: ClientIp,
    encryption: Encryption,
    method: MethodClass,
) -> Result<Permit, Denial> {
    let rules = authenticated.rules();
    if !rules.networks.is_empty() && !rules.networks.contains(client.ip()) {
        return Err(Denial(Reason::CredentialAddressDenied));
    }
    if rules.transport == Transport::HttpsOnly && encryption != Encryption::Tls {
        return Err(Denial(Reason::HttpsRequired));
    }
    rights(route, authenticated.identity(), method)?;
    Ok(Permit::authenticated(authenticated, Arc::clone(route)))
}

/// The permit of a public route. Refused for any other, so that no caller can skip authentication.
pub fn permit_anonymous(route: &Arc<RoutePolicy>) -> Result<Permit, Denial> {
    match route.access {
        Access::Public => Ok(Permit::anonymous(Arc::clone(route))),
        Access::Authenticated | Access::Deny => Err(Denial(Reason::CredentialMissing)),
    }
}

/// Effective rights are the principal's roles and the credential's scopes, both.
fn rights(route: &RoutePolicy, identity: &Identity, method: MethodClass) -> Result<(), Denial> {
    if !identity.permission.allows_method(method) || !identity.scopes.allows_method(method) {
        return Err(Denial(Reason::MethodNotPermitted));
    }
    if route.require_write_access == Requirement::Yes && identity.write_access == WriteAccess::Withheld {
        return Err(Denial(Reason::MethodNotPermitted));
    }
    let scopes = &identity.scopes;
    let any = &route.require_any_scope;
    if !route
        .require_all_scopes
        .iter()
        .all(|wanted| scopes.grants(wanted))
        || !(any.is_empty() || any.iter().any(|wanted| scopes.grants(wanted)))
    {
        return Err(Denial(Reason::ScopeMissing));
    }
    let roles = &route.require_any_role;
    if !(roles.is_empty() || roles.iter().any(|wanted| identity.roles.contains(wanted))) {
        return Err(Denial(Reason::RoleMissing));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::authn::testing::identity;
    use crate::authz::policy::testing::route;
    use crate::domain::identity::CredentialKind;
    use crate::domain::scope::{Permission, Role, Scope, ScopeSet};

    fn scopes(list: &[&str]) -> ScopeSet {
        ScopeSet::parse(list.iter().copied()).expect("scopes")
    }

    #[test]
    fn the_credential_and_the_route_both_restrict() {
        use MethodClass::{Delete, Read, Write};
        // permission, scopes of the credential, scopes required (all), method, outcome
        for (permission, have, want, method, expected) in [
            (Permission::Full, &[][..], &[][..], Delete, Ok(())),
            (Permission::Read, &[], &[], Read, Ok(())),
            (Permission::Read, &[], &[], Write, Err(Reason::MethodNotPermitted)),
            (Permission::Write, &[], &[], Read, Err(Reason::MethodNotPermitted)),
            (
                Permission::Full,
                &["read"],
                &[],
                Write,
                Err(Reason::MethodNotPermitted),
            ),
            (Permission::Full, &["read", "write"], &[], Write, Ok(())),
            (
                Permission::Full,
                &["read"],
                &["admin"],
                Read,
                Err(Reason::ScopeMissing),
            ),
            (Permission::Full, &[], &["admin"], Read, Ok(())),
            (
                Permission::Full,
                &["channel:*:read"],
                &["channel:12:read"],
                Read,
                Ok(()),
            ),
            (
                Permission::Full,
                &["channel:*:read"],
                &["channel:12:write"],
                Write,
                Err(Reason::ScopeMissing),
            ),
            (
                Permission::Full,
                &["a", "b"],
                &["a", "c"],
                Read,
                Err(Reason::ScopeMissing),
            ),
        ] {
            let mut id = identity(CredentialKind::ApiToken, "c", "p", None);
            (id.permission, id.scopes) = (permission, scopes(have));
            let mut r = route("/");
            r.require_all_scopes = want.iter().map(|s| Scope::parse(s).expect("a scope")).collect();
            let got = rights(&r, &id, method).map_err(|d| d.0);
            assert_eq!(got, expected, "{permission:?} {have:?} {want:?} {method:?}");
        }
    }

    #[test]
    fn roles_any_scope_and_write_access_are_required_where_the_route_says_so() {
        let mut r = route("/");
        r.require_any_role = vec![Role::parse("TENANT_ADMIN").expect("a role")];
        let mut id = identity(CredentialKind::Jwt, "c", "p", None);
        assert_eq!(
            rights(&r, &id, MethodClass::Read),
            Err(Denial(Reason::RoleMissing))
        );
        id.roles = vec![Role::parse("TENANT_ADMIN").expect("a role")];
        assert_eq!(rights(&r, &id, MethodClass::Read), Ok(()));

        r.require_any_scope = vec![
            Scope::parse("x").expect("a scope"),
            Scope::parse("y").expect("a scope"),
        ];
        id.scopes = scopes(&["z"]);
        assert_eq!(
            rights(&r, &id, MethodClass::Read),
            Err(Denial(Reason::ScopeMissing))
        );
        id.scopes = scopes(&["y"]);
        assert_eq!(rights(&r, &id, MethodClass::Read), Ok(()));

        r.require_write_access = Requirement::Yes;
        id.write_access = WriteAccess::Withheld;
        assert_eq!(
            rights(&r, &id, MethodClass::Read),
            Err(Denial(Reason::MethodNotPermitted))
        );
    }

    #[test]
    fn only_public_routes_give_an_anonymous_permit() {
        let mut r = route("/");
        assert!(permit_anonymous(&Arc::new(r.clone())).is_err());
        r.access = Access::Deny;
        assert!(permit_anonymous(&Arc::new(r.clone())).is_err());
        r.access = Access::Public;
        assert!(permit_anonymous(&Arc::new(r)).is_ok_and(|p| p.authentication().is_none()));
    }
}
