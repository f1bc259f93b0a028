//! The verdict on a row, state by state.

use super::*;
use crate::authn::kinds::test_store::{context, principal};
use crate::domain::ids::{CustomerId, TenantId};

const NOW: UnixMillis = UnixMillis(1_700_000_000_000);

fn row() -> CredentialContext {
    context(
        Grant::full(principal("p1").id, "a token").into_record(
            CredentialKind::ApiToken,
            FoundBy::default(),
            UnixMillis(1),
        ),
        principal("p1"),
    )
}

#[test]
fn every_state_of_a_row_has_its_verdict() {
    type Change = fn(&mut CredentialContext);
    let rows: [(&str, Change, Result<(), Reason>); 14] = [
        ("as made", |_| {}, Ok(())),
        (
            "ends in a millisecond",
            |c| c.credential.expires_at = Some(UnixMillis(NOW.0 + 1)),
            Ok(()),
        ),
        (
            "ends now",
            |c| c.credential.expires_at = Some(NOW),
            Err(Reason::CredentialExpired),
        ),
        (
            "ended",
            |c| c.credential.expires_at = Some(UnixMillis(1)),
            Err(Reason::CredentialExpired),
        ),
        (
            "revoked",
            |c| c.credential.revoked_at = Some(UnixMillis(1)),
            Err(Reason::CredentialRevoked),
        ),
        (
            "revoked in what this clock calls the future",
            |c| c.credential.revoked_at = Some(UnixMillis(NOW.0 + 9_999)),
            Err(Reason::CredentialRevoked),
        ),
        (
            "revoked and expired",
            |c| {
                c.credential.revoked_at = Some(UnixMillis(1));
                c.credential.expires_at = Some(UnixMillis(1));
            },
            Err(Reason::CredentialRevoked),
        ),
        (
            "disabled",
            |c| c.credential.enabled = Enabled::No,
            Err(Reason::CredentialDisabled),
        ),
        (
            "disabled and expired",
            |c| {
                c.credential.enabled = Enabled::No;
                c.credential.expires_at = Some(UnixMillis(1));
            },
            Err(Reason::CredentialExpired),
        ),
        (
            "principal disabled",
            |c| c.principal.enabled = Enabled::No,
            Err(Reason::PrincipalDisabled),
        ),
        (
            "tenant disabled",
            |c| c.tenant_enabled = Enabled::No,
            Err(Reason::PrincipalDisabled),
        ),
        (
            "customer disabled",
            |c| c.customer_enabled = Enabled::No,
            Err(Reason::PrincipalDisabled),
        ),
        (
            "credential and principal disabled",
            |c| {
                c.credential.enabled = Enabled::No;
                c.principal.enabled = Enabled::No;
            },
            Err(Reason::CredentialDisabled),
        ),
        ("without any digest", |c| c.credential.keyed_digest = None, Ok(())),
    ];
    for (what, change, expected) in rows {
        let mut context = row();
        change(&mut context);
        let got = decide(context, &Toll::waived(), at_now()).map(|_| ());
        assert_eq!(got, expected.map_err(Rejection::caller), "{what}");
    }
}

#[test]
fn the_identity_says_what_the_row_says() {
    let mut context = row();
    context.credential.scopes = ScopeSet::parse(["read", "channel:12:read"]).expect("scopes");
    context.credential.networks = vec!["10.0.0.0/8".parse().expect("a network")];
    context.credential.transport = Transport::HttpsOnly;
    context.credential.expires_at = Some(UnixMillis(NOW.0 + 5));
    context.principal.tenant = TenantId::parse("t1").ok();
    context.principal.customer = CustomerId::parse("c1").ok();
    context.principal.roles = vec![Role::parse("TENANT_ADMIN").expect("a role")];
    let verified = decide(context.clone(), &Toll::waived(), at_now()).expect("good");
    let identity = verified.identity;
    assert_eq!(identity.principal, context.principal.id);
    assert_eq!(identity.credential, context.credential.id);
    assert_eq!(identity.credential_kind, CredentialKind::ApiToken);
    assert_eq!(identity.tenant, context.principal.tenant);
    assert_eq!(identity.customer, context.principal.customer);
    assert_eq!(identity.roles, context.principal.roles);
    assert_eq!(identity.scopes, context.credential.scopes);
    assert_eq!(identity.issued_at, Some(context.credential.created_at));
    assert_eq!(identity.expires_at, context.credential.expires_at);
    assert_eq!((identity.device_id, identity.category), (None, None));
    assert!(
        verified
            .rules
            .networks
            .contains("10.1.2.3".parse().expect("an address"))
    );
    assert!(
        !verified
            .rules
            .networks
            .contains("11.1.2.3".parse().expect("an address"))
    );
    assert_eq!(verified.rules.transport, Transport::HttpsOnly);
}

#[test]
fn a_device_is_known_by_its_outside_name_where_that_fits_a_header() {
    for (external, expected) in [
        (Some("SN-0042"), "SN-0042"),
        (Some("has space"), "p1"),
        (Some("line\r\nbreak"), "p1"),
        (Some(""), "p1"),
        (None, "p1"),
    ] {
        let mut context = row();
        context.principal.kind = PrincipalKind::Device;
        context.principal.external_id = external.map(str::to_owned);
        let identity = decide(context, &Toll::waived(), at_now()).expect("good").identity;
        assert_eq!(
            identity.device_id.map(|d| d.as_str().to_owned()).as_deref(),
            Some(expected),
            "{external:?}"
        );
        assert_eq!(identity.category.as_ref().map(Role::as_str), Some("device"));
        assert_eq!(identity.principal.as_str(), "p1");
    }
}

#[test]
fn write_access_needs_a_permission_and_scopes_that_write() {
    use Permission::{Full, Read, Write};
    use WriteAccess::{Granted, Withheld};
    for (permission, scopes, expected) in [
        (Full, vec![], Granted),
        (Write, vec![], Granted),
        (Read, vec![], Withheld),
        (Full, vec!["read"], Withheld),
        (Full, vec!["read", "write"], Granted),
        (Read, vec!["write"], Withheld),
        (Full, vec!["channel:1:read"], Granted),
    ] {
        let set = ScopeSet::parse(scopes.iter().copied()).expect("scopes");
        assert_eq!(
            write_access(permission, &set),
            expected,
            "{permission:?} {scopes:?}"
        );
    }
}

fn at_now() -> Now {
    Now {
        wall: NOW,
        mono: crate::domain::clock::MonoMillis(0),
    }
}
