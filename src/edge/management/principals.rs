//! `/api/v1/devices` and `/api/v1/principals`.

use std::sync::Arc;

use axum::Extension;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};

use super::input::{self, Json, Query, Segment};
use super::problem::{Faults, Problem};
use super::show;
use super::versions::{IfMatch, tagged};
use super::wire::{
    ChangePrincipal, CreateDevice, CreatePrincipal, Created, Deleted, DeviceQuery, Listing, Principal,
    PrincipalQuery, Regenerate, Transfer, Transferred,
};
use crate::accounts::{
    Accounts, Actor, Aged, Enabled, NewPrincipal, Page, PartyChange, Place as Belongs, PrincipalChange,
    PrincipalFilter, PrincipalRecord,
};
use crate::domain::identity::PrincipalKind;
use crate::domain::ids::{CredentialId, InvalidId};

type Reply = Result<Response, Problem>;

/// Registered devices, oldest first
#[utoipa::path(
    get, path = "/devices", tag = "devices",
    params(DeviceQuery),
    responses((status = 200, description = "Found", body = Listing<Principal>)),
)]
pub(super) async fn list_devices(
    State(accounts): State<Arc<Accounts>>,
    Extension(actor): Extension<Actor>,
    Query(query): Query<DeviceQuery>,
) -> Reply {
    let filter = PrincipalFilter {
        kind: Some(PrincipalKind::Device),
        external_id: query.external_id,
        tenant: named("tenant", query.tenant.as_deref())?,
        customer: named("customer", query.customer.as_deref())?,
        network: named("network", query.network.as_deref())?,
        tag: query.tag,
    };
    let page = input::page(query.after.as_deref(), query.limit)?;
    list(&accounts, &filter, &page, &actor).await
}

/// Devices, users and service accounts, oldest first
#[utoipa::path(
    get, path = "/principals", tag = "principals",
    params(PrincipalQuery),
    responses((status = 200, description = "Found", body = Listing<Principal>)),
)]
pub(super) async fn list_all(
    State(accounts): State<Arc<Accounts>>,
    Extension(actor): Extension<Actor>,
    Query(query): Query<PrincipalQuery>,
) -> Reply {
    let filter = PrincipalFilter {
        kind: query.kind.as_deref().map(kind).transpose()?,
        external_id: query.external_id,
        tenant: named("tenant", query.tenant.as_deref())?,
        customer: named("customer", query.customer.as_deref())?,
        network: named("network", query.network.as_deref())?,
        tag: query.tag,
    };
    let page = input::page(query.after.as_deref(), query.limit)?;
    list(&accounts, &filter, &page, &actor).await
}

async fn list(accounts: &Accounts, filter: &PrincipalFilter, page: &Page, actor: &Actor) -> Reply {
    let rows = accounts.list_principals(filter, page, actor).await?;
    let place = |row: &PrincipalRecord| row.cursor().to_string();
    let listing = show::listing(rows, page.limit, place, show::principal);
    Ok(axum::Json(listing).into_response())
}

/// Register a device
#[utoipa::path(
    post, path = "/devices", tag = "devices",
    request_body = CreateDevice,
    responses((status = 201, description = "Registered", body = Principal)),
)]
pub(super) async fn create_device(
    State(accounts): State<Arc<Accounts>>,
    Extension(actor): Extension<Actor>,
    Json(wanted): Json<CreateDevice>,
) -> Reply {
    let new = NewPrincipal {
        external_id: wanted.identifier,
        name: wanted.name,
        place: Belongs {
            network: asked("network", wanted.network.as_deref())?,
            serial: wanted.serial,
            ..place(wanted.tenant.as_deref(), wanted.customer.as_deref())?
        },
        about: input::about(wanted.description, wanted.metadata, wanted.tags),
        ..NewPrincipal::of(PrincipalKind::Device)
    };
    let made = accounts.create_principal(new, &actor).await?;
    Ok(tagged(StatusCode::CREATED, made.version, &show::principal(made)))
}

/// Make a user or service account
#[utoipa::path(
    post, path = "/principals", tag = "principals",
    request_body = CreatePrincipal,
    responses((status = 201, description = "Made", body = Principal)),
)]
pub(super) async fn create(
    State(accounts): State<Arc<Accounts>>,
    Extension(actor): Extension<Actor>,
    Json(wanted): Json<CreatePrincipal>,
) -> Reply {
    let kind = kind(&wanted.kind)?;
    if kind == PrincipalKind::Device {
        return Err(Problem::bad(
            "kind",
            "`device`",
            "user or service; devices have /api/v1/devices",
        ));
    }
    let new = NewPrincipal {
        external_id: Some(wanted.external_id),
        name: wanted.name,
        roles: input::roles(&wanted.roles)?,
        place: place(wanted.tenant.as_deref(), wanted.customer.as_deref())?,
        about: input::about(wanted.description, wanted.metadata, wanted.tags),
        ..NewPrincipal::of(kind)
    };
    let made = accounts.create_principal(new, &actor).await?;
    Ok(tagged(StatusCode::CREATED, made.version, &show::principal(made)))
}

/// A registered device
#[utoipa::path(
    get, path = "/devices/{device}", tag = "devices",
    params(("device" = String, Path, description = "Its id, or what it calls itself", min_length = 1, max_length = 255)),
    responses((status = 200, description = "Found", body = Principal)),
)]
pub(super) async fn device(
    State(accounts): State<Arc<Accounts>>,
    Extension(actor): Extension<Actor>,
    Segment(device): Segment,
) -> Reply {
    let found = accounts.registered_device(&device, &actor).await?;
    Ok(tagged(StatusCode::OK, found.version, &show::principal(found)))
}

/// A device, user or service account
#[utoipa::path(
    get, path = "/principals/{id}", tag = "principals",
    params(("id" = String, Path, description = "Its id", min_length = 1, max_length = 255)),
    responses((status = 200, description = "Found", body = Principal)),
)]
pub(super) async fn one(
    State(accounts): State<Arc<Accounts>>,
    Extension(actor): Extension<Actor>,
    Segment(id): Segment,
) -> Reply {
    let found = accounts.principal(&input::named_id("id", &id)?, &actor).await?;
    Ok(tagged(StatusCode::OK, found.version, &show::principal(found)))
}

/// Switch a principal on
#[utoipa::path(
    post, path = "/principals/{id}/enable", tag = "principals",
    params(("id" = String, Path, description = "Its id", min_length = 1, max_length = 255)),
    responses((status = 200, description = "It is on", body = Principal)),
)]
pub(super) async fn enable(
    State(accounts): State<Arc<Accounts>>,
    Extension(actor): Extension<Actor>,
    Segment(id): Segment,
) -> Reply {
    let changed = accounts
        .set_enabled(&input::named_id("id", &id)?, Enabled::Yes, &actor)
        .await?;
    Ok(tagged(StatusCode::OK, changed.version, &show::principal(changed)))
}

/// Switch a principal off
///
/// Ends everything it holds that has no row (sealed tokens, JWTs) for good; its stored credentials work again
/// when it is switched on.
#[utoipa::path(
    post, path = "/principals/{id}/disable", tag = "principals",
    params(("id" = String, Path, description = "Its id", min_length = 1, max_length = 255)),
    responses((status = 200, description = "It is off", body = Principal)),
)]
pub(super) async fn disable(
    State(accounts): State<Arc<Accounts>>,
    Extension(actor): Extension<Actor>,
    Segment(id): Segment,
) -> Reply {
    let changed = accounts
        .set_enabled(&input::named_id("id", &id)?, Enabled::No, &actor)
        .await?;
    Ok(tagged(StatusCode::OK, changed.version, &show::principal(changed)))
}

/// Change a device, user or service account
///
/// Switching it off ends everything it holds that has no row (sealed tokens, JWTs) for good.
#[utoipa::path(
    patch, path = "/principals/{id}", tag = "principals", request_body = ChangePrincipal,
    params(("id" = String, Path, description = "Its id", min_length = 1, max_length = 255)),
    responses((status = 200, description = "Changed", body = Principal)),
)]
pub(super) async fn change(
    State(accounts): State<Arc<Accounts>>,
    Extension(actor): Extension<Actor>,
    Segment(id): Segment,
    IfMatch(version): IfMatch,
    Json(wanted): Json<ChangePrincipal>,
) -> Reply {
    let roles = wanted.roles.as_deref().map(input::roles).transpose()?;
    let change = PrincipalChange {
        party: PartyChange {
            name: wanted.name,
            enabled: wanted.enabled.map(input::enabled),
            description: wanted.description,
            metadata: wanted.metadata,
            tags: wanted.tags,
        },
        roles,
        network: None,
    };
    let id = input::named_id("id", &id)?;
    let changed = accounts.update_principal(&id, &change, version, &actor).await?;
    Ok(tagged(StatusCode::OK, changed.version, &show::principal(changed)))
}

/// Delete a principal and everything it holds
#[utoipa::path(
    delete, path = "/principals/{id}", tag = "principals",
    params(("id" = String, Path, description = "Its id", min_length = 1, max_length = 255)),
    responses((status = 200, description = "Deleted", body = Deleted)),
)]
pub(super) async fn delete(
    State(accounts): State<Arc<Accounts>>,
    Extension(actor): Extension<Actor>,
    Segment(id): Segment,
) -> Reply {
    accounts
        .delete_principal(&input::named_id("id", &id)?, &actor)
        .await?;
    Ok(axum::Json(Deleted { deleted: id }).into_response())
}

/// Hand a device over to another tenant and customer
///
/// Everything it held is over when the call returns; a token for the new owner is made when it had one.
#[utoipa::path(
    post, path = "/devices/{device}/transfer", tag = "devices", request_body = Transfer,
    params(("device" = String, Path, description = "Its id, or what it calls itself", min_length = 1, max_length = 255)),
    responses((status = 200, description = "Handed over", body = Transferred)),
)]
pub(super) async fn transfer(
    State(accounts): State<Arc<Accounts>>,
    Extension(actor): Extension<Actor>,
    Segment(device): Segment,
    Json(wanted): Json<Transfer>,
) -> Reply {
    let device = accounts.registered_device(&device, &actor).await?;
    let to = place(wanted.tenant.as_deref(), wanted.customer.as_deref())?;
    let (moved, issued) = accounts
        .transfer_device(&device.id, to.tenant, to.customer, &actor)
        .await?;
    let transferred = Transferred {
        device: show::principal(moved),
        token: issued.map(show::created),
    };
    Ok(axum::Json(transferred).into_response())
}

fn named<T: std::str::FromStr<Err = InvalidId>>(
    name: &str,
    text: Option<&str>,
) -> Result<Option<T>, Problem> {
    text.map(|text| input::named_id(name, text)).transpose()
}

fn asked<T: std::str::FromStr<Err = InvalidId>>(
    field: &str,
    text: Option<&str>,
) -> Result<Option<T>, Problem> {
    text.map(|text| input::id(field, text)).transpose()
}

fn place(tenant: Option<&str>, customer: Option<&str>) -> Result<Belongs, Problem> {
    let mut faults = Faults::default();
    let tenant = faults.take(asked("tenant", tenant));
    let customer = faults.take(asked("customer", customer));
    faults.none()?;
    Ok(Belongs {
        tenant: tenant.flatten(),
        customer: customer.flatten(),
        ..Belongs::default()
    })
}

/// Replace a device's token
///
/// The old one is dead when the call returns; the new one has the same rules.
#[utoipa::path(
    post, path = "/devices/{device}/regenerate", tag = "devices",
    params(("device" = String, Path, description = "Its id, or what it calls itself", min_length = 1, max_length = 255)),
    request_body = Regenerate,
    responses((status = 201, description = "Replaced", body = Created)),
)]
pub(super) async fn regenerate(
    State(accounts): State<Arc<Accounts>>,
    Extension(actor): Extension<Actor>,
    Segment(device): Segment,
    Json(wanted): Json<Regenerate>,
) -> Reply {
    let device = accounts.registered_device(&device, &actor).await?;
    let which: Option<CredentialId> = wanted
        .token
        .as_deref()
        .map(|text| input::id("token", text))
        .transpose()?;
    let form = input::device_token_form(wanted.format.as_deref(), accounts.device_token_form())?;
    let issued = accounts
        .regenerate_device_token(&device, which.as_ref(), form, &actor)
        .await?;
    Ok((StatusCode::CREATED, axum::Json(show::created(issued))).into_response())
}

fn kind(text: &str) -> Result<PrincipalKind, Problem> {
    PrincipalKind::parse(text).ok_or_else(|| Problem::bad("kind", "another word", "device, user or service"))
}
