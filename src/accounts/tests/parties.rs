//! Tenants, customers and principals after they were made.

use super::super::testing::{Folder, Instance, actor};
use super::super::{
    About, AccountsError, Enabled, NewPrincipal, PartyChange, Place, PrincipalChange, TenantRecord,
};
use super::{device, device_token, jwt};
use crate::domain::identity::PrincipalKind;
use crate::domain::reason::Reason;
use crate::domain::scope::Role;
use crate::store::sqlite::OpenAs;

async fn tenant(on: &Instance, name: &str) -> TenantRecord {
    on.accounts
        .create_tenant(None, name, About::default(), &actor())
        .await
        .expect("a tenant")
}

fn switched(enabled: Enabled) -> PartyChange {
    PartyChange {
        enabled: Some(enabled),
        ..PartyChange::default()
    }
}

#[tokio::test]
async fn nobody_of_a_tenant_or_customer_that_is_off_comes_in() {
    let folder = Folder::new();
    let on = Instance::on(&folder, OpenAs::Server).await;
    let tenant = tenant(&on, "acme").await;
    let customer = on
        .accounts
        .create_customer(None, &tenant.id, "shop", About::default(), &actor())
        .await
        .expect("a customer");
    let new = NewPrincipal {
        external_id: Some("serial-0001".to_owned()),
        place: Place {
            tenant: Some(tenant.id.clone()),
            customer: Some(customer.id.clone()),
            ..Place::default()
        },
        ..NewPrincipal::of(PrincipalKind::Device)
    };
    let device = on
        .accounts
        .create_principal(new, &actor())
        .await
        .expect("a device");
    let made = device_token(&on, &device).await;
    let refusal = || async {
        on.present(made.kind, made.secret.expose())
            .await
            .err()
            .map(|r| r.reason)
    };
    assert_eq!(refusal().await, None);
    on.accounts
        .update_customer(&customer.id, &switched(Enabled::No), Some(1), &actor())
        .await
        .expect("off");
    assert_eq!(refusal().await, Some(Reason::PrincipalDisabled));
    on.accounts
        .update_customer(&customer.id, &switched(Enabled::Yes), None, &actor())
        .await
        .expect("on");
    assert_eq!(refusal().await, None);
    on.accounts
        .update_tenant(&tenant.id, &switched(Enabled::No), Some(1), &actor())
        .await
        .expect("off");
    assert_eq!(refusal().await, Some(Reason::PrincipalDisabled));
    on.accounts
        .update_tenant(&tenant.id, &switched(Enabled::Yes), None, &actor())
        .await
        .expect("on");
    assert_eq!(refusal().await, None);
    let late = on
        .accounts
        .update_tenant(&tenant.id, &switched(Enabled::No), Some(1), &actor())
        .await;
    assert!(
        matches!(late, Err(AccountsError::Outdated { found: 3 })),
        "{late:?}"
    );
    let held = on.accounts.delete_tenant(&tenant.id, &actor()).await;
    assert!(matches!(held, Err(AccountsError::Conflict(_))), "{held:?}");
}

#[tokio::test]
async fn a_change_of_roles_holds_when_the_call_returns() {
    let folder = Folder::new();
    let on = Instance::on(&folder, OpenAs::Server).await;
    let device = device(&on, "serial-0001").await;
    let made = device_token(&on, &device).await;
    on.present(made.kind, made.secret.expose())
        .await
        .expect("remembered");
    let change = PrincipalChange {
        roles: Some(vec![Role::parse("GATEWAY").expect("a role")]),
        ..PrincipalChange::default()
    };
    let changed = on
        .accounts
        .update_principal(&device.id, &change, Some(1), &actor())
        .await
        .expect("changed");
    assert_eq!(changed.version, 2);
    let who = on
        .present(made.kind, made.secret.expose())
        .await
        .expect("accepted");
    assert_eq!(who.identity().roles.first().map(Role::as_str), Some("GATEWAY"));
    let late = on
        .accounts
        .update_principal(&device.id, &change, Some(1), &actor())
        .await;
    assert!(
        matches!(late, Err(AccountsError::Outdated { found: 2 })),
        "{late:?}"
    );
}

#[tokio::test]
async fn a_device_that_changes_hands_keeps_nothing_of_the_old_owner() {
    let folder = Folder::new();
    let on = Instance::on(&folder, OpenAs::Server).await;
    let (from, to) = (tenant(&on, "seller").await, tenant(&on, "buyer").await);
    let new = NewPrincipal {
        external_id: Some("serial-0001".to_owned()),
        place: Place {
            tenant: Some(from.id.clone()),
            ..Place::default()
        },
        ..NewPrincipal::of(PrincipalKind::Device)
    };
    let device = on
        .accounts
        .create_principal(new, &actor())
        .await
        .expect("a device");
    let old = device_token(&on, &device).await;
    on.present(old.kind, old.secret.expose())
        .await
        .expect("remembered");
    let (moved, issued) = on
        .accounts
        .transfer_device(&device.id, Some(to.id.clone()), None, &actor())
        .await
        .expect("moved");
    assert_eq!(moved.tenant.as_ref(), Some(&to.id));
    let refused = on
        .present(old.kind, old.secret.expose())
        .await
        .expect_err("the old owner's");
    assert_eq!(refused.reason, Reason::CredentialRevoked);
    let issued = issued.expect("it had a token");
    let who = on
        .present(issued.kind, issued.secret.expose())
        .await
        .expect("accepted");
    assert_eq!(who.identity().tenant.as_ref(), Some(&to.id));
    let (_, none) = on
        .accounts
        .transfer_device(
            &super::device(&on, "serial-0002").await.id,
            Some(to.id),
            None,
            &actor(),
        )
        .await
        .expect("moved");
    assert!(none.is_none(), "a device without a token gets none");
}

#[tokio::test]
async fn a_deleted_principal_is_out_with_all_it_held() {
    let folder = Folder::new();
    let on = Instance::on(&folder, OpenAs::Server).await;
    let device = device(&on, "serial-0001").await;
    let (stored, stateless) = (device_token(&on, &device).await, jwt(&on, &device).await);
    for made in [&stored, &stateless] {
        on.present(made.kind, made.secret.expose())
            .await
            .expect("remembered");
    }
    on.accounts
        .delete_principal(&device.id, &actor())
        .await
        .expect("deleted");
    for made in [&stored, &stateless] {
        assert!(
            on.present(made.kind, made.secret.expose()).await.is_err(),
            "{}",
            made.kind
        );
    }
    let gone = on.accounts.principal(&device.id, &actor()).await;
    assert!(matches!(gone, Err(AccountsError::NotFound { .. })), "{gone:?}");
}

#[tokio::test]
async fn a_serial_number_needs_a_network_and_a_device() {
    let folder = Folder::new();
    let on = Instance::on(&folder, OpenAs::Server).await;
    let network = on
        .accounts
        .service_account("lora", &actor())
        .await
        .expect("an account")
        .id;
    let placed = |kind, network: Option<&_>, serial: Option<&str>| NewPrincipal {
        external_id: Some(format!("{serial:?}{}", network.is_some())),
        place: Place {
            network: network.cloned(),
            serial: serial.map(str::to_owned),
            ..Place::default()
        },
        ..NewPrincipal::of(kind)
    };
    for (why, new) in [
        ("no network", placed(PrincipalKind::Device, None, Some("1"))),
        ("no serial", placed(PrincipalKind::Device, Some(&network), None)),
        ("a user", placed(PrincipalKind::User, Some(&network), Some("1"))),
        (
            "a line end",
            placed(PrincipalKind::Device, Some(&network), Some("1\r\n2")),
        ),
    ] {
        let refused = on.accounts.create_principal(new, &actor()).await;
        assert!(
            matches!(refused, Err(AccountsError::BadInput { .. })),
            "{why}: {refused:?}"
        );
    }
    let new = placed(PrincipalKind::Device, Some(&network), Some("1"));
    let made = on
        .accounts
        .create_principal(new, &actor())
        .await
        .expect("a device");
    let out = PrincipalChange {
        network: Some((None, None)),
        ..PrincipalChange::default()
    };
    let changed = on
        .accounts
        .update_principal(&made.id, &out, None, &actor())
        .await
        .expect("changed");
    assert_eq!((changed.network, changed.serial), (None, None));
}
