//! A tenant's administrator sees and changes its own tenant and nothing of another, whichever way it asks; and a
//! token of few scopes cannot make one of more.

use super::*;
use crate::accounts::{About, Actor, ApiTokenForm, NewCredential, NewPrincipal, Place, Reach};
use crate::domain::identity::PrincipalKind;
use crate::domain::ids::{PrincipalId, TenantId};
use crate::domain::scope::{Role, ScopeSet};
use crate::edge::management::BASE;
use crate::edge::management::operations::{Door as At, OPERATIONS, Operation};

fn tenant(id: &str) -> TenantId {
    TenantId::parse(id).expect("an id")
}

fn administrator(scopes: &[&str], reach: Reach) -> Actor {
    let scopes = ScopeSet::parse(scopes.iter().copied()).expect("scopes");
    Actor::principal(
        &PrincipalId::parse("admin").expect("an id"),
        client(),
        scopes,
        reach,
    )
}

/// Something of everything in one tenant.
struct Belongings {
    device: String,
    service: String,
    token: String,
    device_token: String,
    secret: String,
    customer: String,
}

async fn furnish(door: &Door, of: &str) -> Belongings {
    let (accounts, us) = (&door.instance.accounts, actor());
    accounts
        .create_tenant(Some(tenant(of)), of, About::default(), &actor())
        .await
        .expect("a tenant");
    let home = tenant(of);
    let made = accounts.create_customer(None, &home, "c", About::default(), &us);
    let customer = made.await.expect("a customer").id.to_string();
    let new = |kind, name: String| NewPrincipal {
        external_id: Some(name),
        place: Place {
            tenant: Some(tenant(of)),
            ..Place::default()
        },
        ..NewPrincipal::of(kind)
    };
    let device = new(PrincipalKind::Device, format!("serial-{of}"));
    let device = accounts
        .create_principal(device, &actor())
        .await
        .expect("a device");
    let service = new(PrincipalKind::Service, format!("ci-{of}"));
    let service = accounts
        .create_principal(service, &actor())
        .await
        .expect("an account");
    let limits = NewCredential::default;
    let token = accounts.create_api_token(&service, &ApiTokenForm::Default, limits(), &us);
    let token = token.await.expect("a token");
    let form = accounts.device_token_form();
    let device_token = accounts.create_device_token(&device, form, limits(), &us);
    Belongings {
        device_token: device_token.await.expect("a token").id.to_string(),
        device: device.id.to_string(),
        service: service.id.to_string(),
        secret: token.secret.expose().to_owned(),
        token: token.id.to_string(),
        customer,
    }
}

/// What to ask of an operation so that it would touch what belongs to somebody: paths and bodies.
fn asked(operation: &Operation, of: &str, theirs: &Belongings) -> Vec<(String, Value)> {
    let Belongings {
        device,
        service,
        token,
        device_token,
        secret,
        customer,
    } = theirs;
    let serial = format!("serial-{of}");
    match (operation.method, operation.path) {
        ("GET", "/devices/{device}") => vec![
            (format!("/devices/{device}"), Value::Null),
            (format!("/devices/{serial}"), Value::Null),
        ],
        ("POST", "/devices/{device}/regenerate") => vec![
            (format!("/devices/{serial}/regenerate"), json!({})),
            (
                format!("/devices/{device}/regenerate"),
                json!({"token": device_token}),
            ),
        ],
        ("GET", "/principals/{id}") => vec![(format!("/principals/{service}"), Value::Null)],
        ("POST", "/principals/{id}/enable") => vec![(format!("/principals/{device}/enable"), Value::Null)],
        ("POST", "/principals/{id}/disable") => vec![(format!("/principals/{service}/disable"), Value::Null)],
        ("GET" | "DELETE", "/tokens/{id}") => vec![(format!("/tokens/{token}"), Value::Null)],
        ("PATCH", "/tokens/{id}") => vec![(format!("/tokens/{token}"), json!({"name": "x"}))],
        ("POST", "/tokens/{id}/reroll") => {
            vec![(format!("/tokens/{device_token}/reroll"), json!({"overlap": "1h"}))]
        }
        ("POST", "/tokens/{id}/regenerate") => vec![(format!("/tokens/{token}/regenerate"), Value::Null)],
        ("POST", "/tokens/{id}/reveal") => vec![(format!("/tokens/{device_token}/reveal"), Value::Null)],
        ("POST", "/devices/{device}/transfer") => {
            vec![(format!("/devices/{serial}/transfer"), json!({"tenant": of}))]
        }
        ("PATCH", "/principals/{id}") => vec![(format!("/principals/{service}"), json!({"name": "x"}))],
        ("DELETE", "/principals/{id}") => vec![(format!("/principals/{service}"), Value::Null)],
        ("GET", "/tenants/{id}") => vec![(format!("/tenants/{of}"), Value::Null)],
        ("PATCH", "/tenants/{id}") => vec![(format!("/tenants/{of}"), json!({"name": "x"}))],
        ("POST", "/customers") => vec![("/customers".to_owned(), json!({"tenant": of, "name": "x"}))],
        ("GET" | "DELETE", "/customers/{id}") => vec![(format!("/customers/{customer}"), Value::Null)],
        ("PATCH", "/customers/{id}") => vec![(format!("/customers/{customer}"), json!({"name": "x"}))],
        ("POST", "/tokens") => {
            let bodies = [
                json!({"kind": "api_token", "principal": service}),
                json!({"kind": "device_token", "device": serial}),
                json!({"kind": "device_token", "device": device}),
                json!({"kind": "basic", "principal": service, "user": "zoe"}),
                json!({"kind": "jwt", "principal": service}),
                json!({"kind": "sealed_device_token", "device": serial, "tenant": of}),
                json!({"kind": "sealed_device_token", "device": serial, "format": "v1"}),
            ];
            bodies.map(|body| ("/tokens".to_owned(), body)).to_vec()
        }
        ("POST", "/revocations") => {
            let bodies = [
                json!({"credential": token}),
                json!({"token": secret}),
                json!({"principal": service}),
                json!({"device": serial}),
                json!({"device": device}),
                json!({"tenant": of}),
            ];
            bodies.map(|body| ("/revocations".to_owned(), body)).to_vec()
        }
        (method, path) => panic!("no row says how {method} {path} could touch another tenant's"),
    }
}

/// Operations that list or make something, and name nothing that is there.
const OF_NOBODY: &[(&str, &str)] = &[
    ("GET", "/devices"),
    ("POST", "/devices"),
    ("GET", "/principals"),
    ("POST", "/principals"),
    ("GET", "/tokens"),
    ("GET", "/version"),
    ("GET", "/health"),
    ("GET", "/tenants"),
    ("GET", "/customers"),
    ("POST", "/revocations/matching"),
];
/// Operations on the whole installation.
const OF_ALL: &[(&str, &str, &str)] = &[
    ("GET", "/keys", "/keys"),
    ("POST", "/keys/{purpose}/rotate", "/keys/jwt/rotate"),
    ("GET", "/audit", "/audit"),
    ("GET", "/audit/verify", "/audit/verify"),
    ("POST", "/tenants", "/tenants"),
    ("DELETE", "/tenants/{id}", "/tenants/acme"),
    ("POST", "/tokens/purge", "/tokens/purge"),
];

async fn ask(router: &Router, method: &str, path: &str, body: &Value) -> Answer {
    let request = Request::builder()
        .method(method)
        .uri(format!("{BASE}{path}"))
        .header(header::CONTENT_TYPE, "application/json")
        .body(Body::from(body.to_string()));
    send(router, request.expect("a request")).await
}

#[tokio::test]
async fn another_tenants_things_are_not_there_on_every_route() {
    let door = door().await;
    let (ours, theirs) = (furnish(&door, "acme").await, furnish(&door, "other").await);
    let acme = administrator(&[], Reach::Tenant(tenant("acme")));
    let as_acme = local(Arc::clone(&door.instance.accounts), acme);
    let before = door
        .instance
        .store
        .revocations_after(0, 1000)
        .await
        .expect("rows")
        .len();
    for operation in OPERATIONS.iter().filter(|o| o.door == At::Both) {
        let name = (operation.method, operation.path);
        if OF_NOBODY.contains(&name) || OF_ALL.iter().any(|(m, p, _)| (*m, *p) == name) {
            continue;
        }
        for (path, body) in asked(operation, "other", &theirs) {
            let refused = ask(&as_acme, operation.method, &path, &body).await;
            assert_eq!(
                refused.status,
                StatusCode::NOT_FOUND,
                "{path} {body}: {}",
                refused.body
            );
        }
    }
    for (method, _, path) in OF_ALL {
        let body = match *path {
            "/tenants" => json!({"name": "x"}),
            "/tokens/purge" => json!({"deleted_for": "30d"}),
            _ => json!({}),
        };
        let refused = ask(&as_acme, method, path, &body).await;
        assert_eq!(refused.status, StatusCode::FORBIDDEN, "{path}: {}", refused.body);
    }
    let everything = ask(&as_acme, "POST", "/revocations", &json!({"all": "everything"})).await;
    assert_eq!(everything.status, StatusCode::FORBIDDEN, "{}", everything.body);
    for (filter, status, ended) in [
        (json!({"kind": "api_token", "tenant": "other"}), 200, 0),
        (json!({"principal": theirs.service}), 200, 0),
        (json!({}), 400, 0),
    ] {
        let answer = ask(&as_acme, "POST", "/revocations/matching", &filter).await;
        assert_eq!(answer.status.as_u16(), status, "{filter}: {}", answer.body);
        assert_eq!(
            answer.body["ended"].as_u64().unwrap_or_default(),
            ended,
            "{filter}"
        );
    }
    let after = door
        .instance
        .store
        .revocations_after(0, 1000)
        .await
        .expect("rows")
        .len();
    assert_eq!(after, before, "nothing was ended");

    let lists = [
        "/devices",
        "/principals",
        "/tokens",
        "/tenants",
        "/customers",
        "/customers?tenant=other",
        "/tokens?tenant=other",
        "/principals?tenant=other",
        "/devices?external_id=serial-other",
    ];
    for path in lists
        .map(str::to_owned)
        .into_iter()
        .chain([format!("/tokens?principal={}", theirs.service)])
    {
        let page = ask(&as_acme, "GET", &path, &Value::Null).await;
        assert_eq!(page.status, StatusCode::OK);
        let text = page.body.to_string();
        for foreign in [
            &theirs.device,
            &theirs.service,
            &theirs.token,
            &theirs.device_token,
            &theirs.customer,
            &"administrator".to_owned(),
        ] {
            assert!(!text.contains(foreign.as_str()), "{path} shows {foreign}: {text}");
        }
    }
    // The same requests about its own things are good.
    for operation in OPERATIONS.iter().filter(|o| o.door == At::Both) {
        let name = (operation.method, operation.path);
        if OF_NOBODY.contains(&name) || OF_ALL.iter().any(|(m, p, _)| (*m, *p) == name) {
            continue;
        }
        if operation.method == "DELETE" {
            continue;
        }
        for (path, body) in asked(operation, "acme", &ours) {
            let taken = ask(&as_acme, operation.method, &path, &body).await;
            // Earlier rows may have ended or regenerated what a later one names.
            assert!(
                taken.status.is_success()
                    || taken.status == StatusCode::CONFLICT
                    || body.get("token").is_some(),
                "{path} {body}: {} {}",
                taken.status,
                taken.body
            );
        }
    }
}

#[tokio::test]
async fn what_a_tenants_administrator_makes_falls_into_its_tenant() {
    let door = door().await;
    furnish(&door, "acme").await;
    furnish(&door, "other").await;
    let acme = administrator(&[], Reach::Tenant(tenant("acme")));
    let as_acme = local(Arc::clone(&door.instance.accounts), acme);
    let device = ask(&as_acme, "POST", "/devices", &json!({"identifier": "new"})).await;
    assert_eq!(
        (device.status, &device.body["tenant"]),
        (StatusCode::CREATED, &json!("acme"))
    );
    let user = json!({"kind": "user", "external_id": "zoe", "roles": ["TENANT_ADMIN"]});
    let user = ask(&as_acme, "POST", "/principals", &user).await;
    assert_eq!(
        (user.status, &user.body["tenant"]),
        (StatusCode::CREATED, &json!("acme"))
    );
    let token = ask(
        &as_acme,
        "POST",
        "/tokens",
        &json!({"kind": "api_token", "for": "builds"}),
    )
    .await;
    assert_eq!(token.status, StatusCode::CREATED, "{}", token.body);
    let made = ask(&as_acme, "GET", "/principals?external_id=builds", &Value::Null).await;
    assert_eq!(made.body["items"][0]["tenant"], "acme");
    for (why, path, body, status) in [
        (
            "no administrator of all",
            "/principals",
            json!({"kind": "service", "external_id": "x", "roles": ["SYS_ADMIN"]}),
            403,
        ),
        (
            "no token for a device that is not its own",
            "/tokens",
            json!({"kind": "sealed_device_token", "device": "unregistered-1"}),
            404,
        ),
        (
            "not in another tenant",
            "/tokens",
            json!({"kind": "sealed_device_token", "device": "serial-acme", "tenant": "other"}),
            404,
        ),
        (
            "a name that another tenant has",
            "/devices",
            json!({"identifier": "serial-other"}),
            409,
        ),
    ] {
        let refused = ask(&as_acme, "POST", path, &body).await;
        assert_eq!(refused.status.as_u16(), status, "{why}: {}", refused.body);
    }
}

#[tokio::test]
async fn who_administers_all_from_within_a_tenant_is_not_its_administrators_to_change() {
    let door = door().await;
    furnish(&door, "acme").await;
    let accounts = &door.instance.accounts;
    let boss = NewPrincipal {
        external_id: Some("boss".to_owned()),
        roles: vec![Role::parse("SYS_ADMIN").expect("a role")],
        place: Place {
            tenant: Some(tenant("acme")),
            ..Place::default()
        },
        ..NewPrincipal::of(PrincipalKind::Service)
    };
    let boss = accounts.create_principal(boss, &actor()).await.expect("made");
    let limits = NewCredential::default();
    let token = accounts
        .create_api_token(&boss, &ApiTokenForm::Default, limits, &actor())
        .await;
    let token = token.expect("a token").id;
    let as_acme = local(
        Arc::clone(accounts),
        administrator(&[], Reach::Tenant(tenant("acme"))),
    );
    for (method, path, body) in [
        (
            "POST",
            "/tokens".to_owned(),
            json!({"kind": "api_token", "for": "boss"}),
        ),
        (
            "POST",
            "/tokens".to_owned(),
            json!({"kind": "jwt", "principal": boss.id.to_string()}),
        ),
        ("POST", format!("/principals/{}/disable", boss.id), Value::Null),
        ("DELETE", format!("/tokens/{token}"), Value::Null),
        (
            "POST",
            "/revocations".to_owned(),
            json!({"principal": boss.id.to_string()}),
        ),
    ] {
        let refused = ask(&as_acme, method, &path, &body).await;
        assert_eq!(refused.status, StatusCode::FORBIDDEN, "{path}: {}", refused.body);
    }
}

#[tokio::test]
async fn a_token_of_few_scopes_makes_none_of_more() {
    let door = door().await;
    let accounts = &door.instance.accounts;
    accounts.ensure_administrator().await.expect("made");
    let scopes = ["tokens:write", "principals:write"];
    let few = local(Arc::clone(accounts), administrator(&scopes, Reach::Installation));
    let admin = |scopes: &[&str]| json!({"kind": "api_token", "for": "administrator", "scopes": scopes});
    let account = |roles: &[&str]| json!({"kind": "service", "external_id": "new", "roles": roles});
    for (why, path, body, status) in [
        ("all rights of an administrator", "/tokens", admin(&[]), 403),
        ("all of them by name", "/tokens", admin(&["admin"]), 403),
        ("all of them by pattern", "/tokens", admin(&["*"]), 403),
        (
            "one that it has not",
            "/tokens",
            admin(&["tokens:write", "keys:write"]),
            403,
        ),
        ("one that it has", "/tokens", admin(&["tokens:write"]), 201),
        ("less than it has", "/tokens", admin(&["tokens:read"]), 201),
        ("an administrator", "/principals", account(&["SYS_ADMIN"]), 403),
        (
            "a tenant's administrator",
            "/principals",
            account(&["TENANT_ADMIN"]),
            403,
        ),
        (
            "a role of the app's",
            "/principals",
            account(&["CUSTOMER_USER"]),
            201,
        ),
        (
            "a token of one that administers nothing",
            "/tokens",
            json!({"kind": "api_token", "for": "ci"}),
            201,
        ),
        (
            "a signed one of an administrator",
            "/tokens",
            json!({"kind": "jwt", "for": "administrator"}),
            403,
        ),
    ] {
        let answer = ask(&few, "POST", path, &body).await;
        assert_eq!(answer.status.as_u16(), status, "{why}: {}", answer.body);
    }
}

#[tokio::test]
async fn roles_and_tenant_of_a_token_say_how_far_it_reaches() {
    let door = door().await;
    furnish(&door, "acme").await;
    let accounts = &door.instance.accounts;
    let guard = TcpGuard {
        administrators: door.instance.administrators(),
        address: "127.0.0.1:9901".parse().expect("an address"),
    };
    let router = guarded(Arc::clone(accounts), guard).layer(axum::Extension(From(client())));
    for (name, role, home, devices, keys) in [
        ("a", "SYS_ADMIN", None, 200, 200),
        ("b", "SYS_ADMIN", Some("acme"), 200, 200),
        ("c", "TENANT_ADMIN", Some("acme"), 200, 403),
        ("d", "TENANT_ADMIN", None, 403, 403),
        ("e", "CUSTOMER_USER", Some("acme"), 403, 403),
        ("f", "SYS_ADMIN_", None, 403, 403),
    ] {
        let new = NewPrincipal {
            external_id: Some(name.to_owned()),
            roles: vec![Role::parse(role).expect("a role")],
            place: Place {
                tenant: home.map(tenant),
                ..Place::default()
            },
            ..NewPrincipal::of(PrincipalKind::Service)
        };
        let who = accounts.create_principal(new, &actor()).await.expect("made");
        let limits = NewCredential::default();
        let us = actor();
        let token = accounts.create_api_token(&who, &ApiTokenForm::Default, limits, &us);
        let bearer = format!("Bearer {}", token.await.expect("a token").secret.expose());
        for (path, status) in [("/devices", devices), ("/keys", keys)] {
            let request = Request::get(format!("{BASE}{path}"))
                .header(header::HOST, "127.0.0.1:9901")
                .header(header::AUTHORIZATION, &bearer)
                .body(Body::empty());
            let answer = send(&router, request.expect("a request")).await;
            assert_eq!(
                answer.status.as_u16(),
                status,
                "{role} {home:?} {path}: {}",
                answer.body
            );
        }
    }
}
