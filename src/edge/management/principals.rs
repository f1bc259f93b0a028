//! `/api/v1/devices` and `/api/v1/principals`.

use std::sync::Arc;

use axum::Extension;
use axum::extract::{Path, State};
use axum::http::{StatusCode, Uri};
use axum::response::{IntoResponse, Response};

use super::input::{self, Json};
use super::problem::Problem;
use super::show;
use super::wire::{CreateDevice, CreatePrincipal, Regenerate};
use crate::accounts::{Accounts, Actor, Aged, Enabled, NewPrincipal, PrincipalFilter};
use crate::domain::identity::PrincipalKind;
use crate::domain::ids::CredentialId;
use crate::domain::scope::Role;

type Reply = Result<Response, Problem>;

/// Most roles of one principal.
const MAX_ROLES: usize = 64;

pub(super) async fn list_devices(State(accounts): State<Arc<Accounts>>, uri: Uri) -> Reply {
    list(&accounts, &uri, Some(PrincipalKind::Device)).await
}

pub(super) async fn list_all(State(accounts): State<Arc<Accounts>>, uri: Uri) -> Reply {
    list(&accounts, &uri, None).await
}

async fn list(accounts: &Accounts, uri: &Uri, only: Option<PrincipalKind>) -> Reply {
    let wanted = input::page(uri)?;
    let kind = match (only, wanted.kind.as_deref()) {
        (only, None) => only,
        (None, Some(text)) => Some(kind(text)?),
        (Some(_), Some(_)) => return Err(Problem::bad("kind", "a value", "none: these are devices")),
    };
    if wanted.principal.is_some() {
        return Err(Problem::bad(
            "principal",
            "a value",
            "none: ask for the principal by its id",
        ));
    }
    let filter = PrincipalFilter {
        kind,
        external_id: wanted.external_id,
        ..PrincipalFilter::default()
    };
    let rows = accounts.list_principals(&filter, &wanted.page).await?;
    let listing = show::listing(
        rows,
        wanted.page.limit,
        |row| row.cursor().to_string(),
        show::principal,
    );
    Ok(axum::Json(listing).into_response())
}

pub(super) async fn create_device(
    State(accounts): State<Arc<Accounts>>,
    Extension(actor): Extension<Actor>,
    Json(wanted): Json<CreateDevice>,
) -> Reply {
    let new = NewPrincipal {
        kind: PrincipalKind::Device,
        external_id: wanted.identifier,
        name: wanted.name,
        roles: Vec::new(),
    };
    let made = accounts.create_principal(new, &actor).await?;
    Ok((StatusCode::CREATED, axum::Json(show::principal(made))).into_response())
}

pub(super) async fn create(
    State(accounts): State<Arc<Accounts>>,
    Extension(actor): Extension<Actor>,
    Json(wanted): Json<CreatePrincipal>,
) -> Reply {
    if wanted.roles.len() > MAX_ROLES {
        return Err(Problem::bad(
            "roles",
            wanted.roles.len(),
            format!("at most {MAX_ROLES}"),
        ));
    }
    let roles: Result<Vec<_>, _> = wanted.roles.iter().map(|text| Role::parse(text)).collect();
    let kind = kind(&wanted.kind)?;
    if kind == PrincipalKind::Device {
        return Err(Problem::bad(
            "kind",
            "`device`",
            "user or service; devices have /api/v1/devices",
        ));
    }
    let new = NewPrincipal {
        kind,
        external_id: Some(wanted.external_id),
        name: wanted.name,
        roles: roles.map_err(|_| {
            Problem::bad(
                "roles",
                "a role that cannot be one",
                "words such as TENANT_ADMIN, without spaces, quotes and backslashes",
            )
        })?,
    };
    let made = accounts.create_principal(new, &actor).await?;
    Ok((StatusCode::CREATED, axum::Json(show::principal(made))).into_response())
}

pub(super) async fn device(State(accounts): State<Arc<Accounts>>, Path(device): Path<String>) -> Reply {
    let found = accounts.registered_device(&device).await?;
    Ok(axum::Json(show::principal(found)).into_response())
}

pub(super) async fn one(State(accounts): State<Arc<Accounts>>, Path(id): Path<String>) -> Reply {
    let found = accounts.principal(&input::id("id", &id)?).await?;
    Ok(axum::Json(show::principal(found)).into_response())
}

pub(super) async fn enable(
    State(accounts): State<Arc<Accounts>>,
    Extension(actor): Extension<Actor>,
    Path(id): Path<String>,
) -> Reply {
    let changed = accounts
        .set_enabled(&input::id("id", &id)?, Enabled::Yes, &actor)
        .await?;
    Ok(axum::Json(show::principal(changed)).into_response())
}

pub(super) async fn disable(
    State(accounts): State<Arc<Accounts>>,
    Extension(actor): Extension<Actor>,
    Path(id): Path<String>,
) -> Reply {
    let changed = accounts
        .set_enabled(&input::id("id", &id)?, Enabled::No, &actor)
        .await?;
    Ok(axum::Json(show::principal(changed)).into_response())
}

pub(super) async fn regenerate(
    State(accounts): State<Arc<Accounts>>,
    Extension(actor): Extension<Actor>,
    Path(device): Path<String>,
    Json(wanted): Json<Regenerate>,
) -> Reply {
    let device = accounts.registered_device(&device).await?;
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
