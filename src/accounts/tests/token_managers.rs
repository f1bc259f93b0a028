//! Who manages whose tokens: the fences between tenants and customers, and what is no credential for it.

use std::sync::Arc;

use http::HeaderMap;

use super::super::testing::{Folder, Instance, actor, client};
use super::super::{
    About, AccountsError, ApiTokenForm, Call, Callers, Channel, Managing, NewCredential, NewPrincipal,
    NotManaged, Place, TokenManagers,
};
use super::{device_token, jwt};
use crate::authn::extract::{HexTokens, Shapes};
use crate::domain::clock::Clock;
use crate::domain::identity::PrincipalKind;
use crate::domain::ids::{CustomerId, TenantId};
use crate::domain::scope::{Role, ScopeSet};
use crate::store::sqlite::OpenAs;

fn managers(on: &Instance) -> TokenManagers {
    let shapes = Shapes::new(["dw"], HexTokens::ApiToken);
    let clock = Clock::Manual(on.clock.clone());
    let callers = Callers::new(Arc::clone(&on.authn), shapes, clock, Arc::clone(&on.metrics));
    TokenManagers::new(Arc::clone(&on.accounts), callers)
}

fn headers(token: &str) -> HeaderMap {
    let mut headers = HeaderMap::new();
    headers.insert(
        "authorization",
        format!("Bearer {token}").parse().expect("a value"),
    );
    headers
}

fn call(headers: &HeaderMap) -> Call<'_> {
    Call {
        headers,
        from: client(),
        channel: Channel::Open,
    }
}

fn place(tenant: Option<&str>, customer: Option<&str>) -> Place {
    Place {
        tenant: tenant.map(|t| TenantId::parse(t).expect("an id")),
        customer: customer.map(|c| CustomerId::parse(c).expect("an id")),
        ..Place::default()
    }
}

async fn principal(on: &Instance, new: NewPrincipal) -> super::PrincipalRecord {
    on.accounts
        .create_principal(new, &actor())
        .await
        .expect("a principal")
}

#[tokio::test]
async fn a_manager_reaches_its_tenant_and_customer_and_sees_nothing_beyond() {
    let folder = Folder::new();
    let by = actor();
    let on = Instance::on(&folder, OpenAs::Server).await;
    for tenant in ["acme", "rival"] {
        let id = TenantId::parse(tenant).expect("an id");
        let made = on
            .accounts
            .create_tenant(Some(id.clone()), tenant, About::default(), &by);
        made.await.expect("a tenant");
        for customer in ["shop", "mill"] {
            let name = CustomerId::parse(&format!("{tenant}-{customer}")).expect("an id");
            let made = on
                .accounts
                .create_customer(Some(name), &id, customer, About::default(), &by);
            made.await.expect("a customer");
        }
    }
    let devices = [
        ("plain", None, None),
        ("acme-1", Some("acme"), None),
        ("acme-2", Some("acme"), Some("acme-shop")),
        ("acme-3", Some("acme"), Some("acme-mill")),
        ("rival-1", Some("rival"), Some("rival-shop")),
    ];
    let mut tokens = Vec::new();
    for (name, tenant, customer) in devices {
        let new = NewPrincipal {
            external_id: Some(name.to_owned()),
            place: place(tenant, customer),
            ..NewPrincipal::of(PrincipalKind::Device)
        };
        let made = principal(&on, new).await;
        tokens.push((name, device_token(&on, &made).await));
    }
    let managers = managers(&on);
    for (role, tenant, customer, reached, why) in [
        (
            None,
            None,
            None,
            vec!["plain"],
            "no tenant and no role: what has no tenant",
        ),
        (
            Some("SYS_ADMIN"),
            None,
            None,
            vec!["plain", "acme-1", "acme-2", "acme-3", "rival-1"],
            "the administrator of everything",
        ),
        (
            Some("TENANT_ADMIN"),
            Some("acme"),
            None,
            vec!["acme-1", "acme-2", "acme-3"],
            "a tenant's",
        ),
        (
            Some("SYS_ADMIN"),
            Some("acme"),
            None,
            vec!["acme-1", "acme-2", "acme-3"],
            "a tenant is a fence",
        ),
        (
            None,
            Some("acme"),
            Some("acme-shop"),
            vec!["acme-2"],
            "a customer's",
        ),
    ] {
        let new = NewPrincipal {
            external_id: Some(format!("manager: {why}")),
            roles: role.iter().map(|r| Role::parse(r).expect("a role")).collect(),
            place: place(tenant, customer),
            ..NewPrincipal::of(PrincipalKind::Service)
        };
        let owner = principal(&on, new).await;
        let rights = NewCredential {
            scopes: ScopeSet::parse(["tokens:read", "tokens:write"]).expect("scopes"),
            ..NewCredential::default()
        };
        let made = on
            .accounts
            .create_api_token(&owner, &ApiTokenForm::Default, rights, &by);
        let headers = headers(made.await.expect("a token").secret.expose());
        let manager = managers
            .admit(Managing::Delete, &call(&headers))
            .await
            .expect(why);
        for (name, token) in &tokens {
            let within = reached.contains(name);
            let listed = managers.tokens(&manager, name).await;
            let found = managers.device(&manager, name).await;
            assert_eq!((listed.is_ok(), found.is_ok()), (within, within), "{why}: {name}");
            if within {
                continue;
            }
            for named in [token.secret.expose(), token.id.as_str()] {
                let ended = managers.end(&manager, named).await;
                assert!(
                    matches!(ended, Err(AccountsError::NotFound { .. })),
                    "{why}: {name}"
                );
            }
            let (row, _) = on.accounts.credential(&token.id, &by).await.expect("a row");
            assert_eq!(row.credential.deleted_at, None, "{why}: {name}");
        }
        let of_another_kind = managers.device(&manager, owner.id.as_str()).await;
        let unknown = managers.device(&manager, "nobody").await;
        assert_eq!(
            of_another_kind.map_err(|e| e.to_string()),
            unknown.map_err(|e| e.to_string()),
            "{why}: an id that is no device's answers like one that is nobody's"
        );
    }
}

#[tokio::test]
async fn a_jwt_manages_nothing_whatever_it_says_and_what_is_over_is_not_listed() {
    let folder = Folder::new();
    let by = actor();
    let on = Instance::on(&folder, OpenAs::Server).await;
    let new = NewPrincipal {
        external_id: Some("ada".to_owned()),
        roles: vec![Role::parse("SYS_ADMIN").expect("a role")],
        ..NewPrincipal::of(PrincipalKind::User)
    };
    let ada = principal(&on, new).await;
    let managers = managers(&on);
    let presented = headers(jwt(&on, &ada).await.secret.expose());
    let refused = managers.admit(Managing::Read, &call(&presented)).await;
    assert!(matches!(refused, Err(NotManaged::NotAllowed)), "{refused:?}");
    let made = on
        .accounts
        .create_api_token(&ada, &ApiTokenForm::Default, NewCredential::default(), &by);
    let presented = headers(made.await.expect("a token").secret.expose());
    let manager = managers
        .admit(Managing::Delete, &call(&presented))
        .await
        .expect("ada");
    let meter = super::device(&on, "meter-0001").await;
    let (revoked, deleted) = (device_token(&on, &meter).await, device_token(&on, &meter).await);
    let living = device_token(&on, &meter).await;
    on.accounts
        .revoke_credential(&revoked.id, &by)
        .await
        .expect("revoked");
    managers
        .end(&manager, deleted.secret.expose())
        .await
        .expect("deleted");
    let rows = managers.tokens(&manager, "meter-0001").await.expect("rows");
    let ids: Vec<_> = rows.into_iter().map(|row| row.id).collect();
    assert_eq!(ids, [living.id]);
    // An API token is no device token, though it has a row.
    let (row, _) = on.accounts.credential(&revoked.id, &by).await.expect("a row");
    assert!(row.credential.revoked_at.is_some());
    let own = managers.end(&manager, "no-such-token").await;
    assert!(matches!(own, Err(AccountsError::NotFound { .. })), "{own:?}");
}
