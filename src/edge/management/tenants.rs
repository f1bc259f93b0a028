//! `/api/v1/tenants` and `/api/v1/customers`.

use std::sync::Arc;

use axum::Extension;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};

use super::input::{self, Json, Query, Segment};
use super::problem::Problem;
use super::show;
use super::versions::{IfMatch, tagged};
use super::wire::{
    ChangeParty, CreateCustomer, CreateTenant, CustomerQuery, Deleted, Listing, PageQuery, Party,
};
use crate::accounts::{Accounts, Actor, Aged, CustomerFilter, PartyChange, Reach, TenantFilter};

type Reply = Result<Response, Problem>;

/// Tenants, oldest first
#[utoipa::path(
    get, path = "/tenants", tag = "tenants",
    params(PageQuery),
    responses((status = 200, description = "Found", body = Listing<Party>)),
)]
pub(super) async fn list_tenants(
    State(accounts): State<Arc<Accounts>>,
    Extension(actor): Extension<Actor>,
    Query(query): Query<PageQuery>,
) -> Reply {
    let page = input::page(query.after.as_deref(), query.limit)?;
    let rows = accounts
        .list_tenants(&TenantFilter::default(), &page, &actor)
        .await?;
    let listing = show::listing(rows, page.limit, |row| row.cursor().to_string(), show::tenant);
    Ok(axum::Json(listing).into_response())
}

/// Make a tenant
#[utoipa::path(
    post, path = "/tenants", tag = "tenants", request_body = CreateTenant,
    responses((status = 201, description = "Made", body = Party)),
)]
pub(super) async fn create_tenant(
    State(accounts): State<Arc<Accounts>>,
    Extension(actor): Extension<Actor>,
    Json(wanted): Json<CreateTenant>,
) -> Reply {
    let id = wanted
        .id
        .as_deref()
        .map(|text| input::id("id", text))
        .transpose()?;
    let about = input::about(wanted.description, wanted.metadata, wanted.tags);
    let made = accounts.create_tenant(id, &wanted.name, about, &actor).await?;
    Ok(tagged(StatusCode::CREATED, made.version, &show::tenant(made)))
}

/// A tenant
#[utoipa::path(
    get, path = "/tenants/{id}", tag = "tenants",
    params(("id" = String, Path, description = "Its id", min_length = 1, max_length = 255)),
    responses((status = 200, description = "Found", body = Party)),
)]
pub(super) async fn tenant(
    State(accounts): State<Arc<Accounts>>,
    Extension(actor): Extension<Actor>,
    Segment(id): Segment,
) -> Reply {
    let found = accounts.tenant(&input::named_id("id", &id)?, &actor).await?;
    Ok(tagged(StatusCode::OK, found.version, &show::tenant(found)))
}

/// Change a tenant
///
/// Switching it off ends everything of it that has no row (sealed tokens, JWTs) for good; its stored credentials
/// work again when it is switched on.
#[utoipa::path(
    patch, path = "/tenants/{id}", tag = "tenants", request_body = ChangeParty,
    params(("id" = String, Path, description = "Its id", min_length = 1, max_length = 255)),
    responses((status = 200, description = "Changed", body = Party)),
)]
pub(super) async fn change_tenant(
    State(accounts): State<Arc<Accounts>>,
    Extension(actor): Extension<Actor>,
    Segment(id): Segment,
    IfMatch(version): IfMatch,
    Json(wanted): Json<ChangeParty>,
) -> Reply {
    let (id, change) = (input::named_id("id", &id)?, party(wanted));
    let changed = accounts.update_tenant(&id, &change, version, &actor).await?;
    Ok(tagged(StatusCode::OK, changed.version, &show::tenant(changed)))
}

/// Delete a tenant that has nothing any more
#[utoipa::path(
    delete, path = "/tenants/{id}", tag = "tenants",
    params(("id" = String, Path, description = "Its id", min_length = 1, max_length = 255)),
    responses((status = 200, description = "Deleted", body = Deleted)),
)]
pub(super) async fn delete_tenant(
    State(accounts): State<Arc<Accounts>>,
    Extension(actor): Extension<Actor>,
    Segment(id): Segment,
) -> Reply {
    accounts
        .delete_tenant(&input::named_id("id", &id)?, &actor)
        .await?;
    Ok(axum::Json(Deleted { deleted: id }).into_response())
}

/// Customers, oldest first
#[utoipa::path(
    get, path = "/customers", tag = "customers",
    params(CustomerQuery),
    responses((status = 200, description = "Found", body = Listing<Party>)),
)]
pub(super) async fn list_customers(
    State(accounts): State<Arc<Accounts>>,
    Extension(actor): Extension<Actor>,
    Query(query): Query<CustomerQuery>,
) -> Reply {
    let page = input::page(query.after.as_deref(), query.limit)?;
    let tenant = query.tenant.as_deref();
    let filter = CustomerFilter {
        tenant: tenant.map(|text| input::named_id("tenant", text)).transpose()?,
    };
    let rows = accounts.list_customers(&filter, &page, &actor).await?;
    let listing = show::listing(rows, page.limit, |row| row.cursor().to_string(), show::customer);
    Ok(axum::Json(listing).into_response())
}

/// Make a customer of a tenant
#[utoipa::path(
    post, path = "/customers", tag = "customers", request_body = CreateCustomer,
    responses((status = 201, description = "Made", body = Party)),
)]
pub(super) async fn create_customer(
    State(accounts): State<Arc<Accounts>>,
    Extension(actor): Extension<Actor>,
    Json(wanted): Json<CreateCustomer>,
) -> Reply {
    let id = wanted
        .id
        .as_deref()
        .map(|text| input::id("id", text))
        .transpose()?;
    let tenant = match (&wanted.tenant, actor.reach()) {
        (Some(text), _) => input::id("tenant", text)?,
        (None, Reach::Tenant(own)) => own.clone(),
        (None, Reach::Installation) => {
            return Err(Problem::bad("tenant", "nothing", "the tenant that it belongs to"));
        }
    };
    let about = input::about(wanted.description, wanted.metadata, wanted.tags);
    let made = accounts
        .create_customer(id, &tenant, &wanted.name, about, &actor)
        .await?;
    Ok(tagged(StatusCode::CREATED, made.version, &show::customer(made)))
}

/// A customer
#[utoipa::path(
    get, path = "/customers/{id}", tag = "customers",
    params(("id" = String, Path, description = "Its id", min_length = 1, max_length = 255)),
    responses((status = 200, description = "Found", body = Party)),
)]
pub(super) async fn customer(
    State(accounts): State<Arc<Accounts>>,
    Extension(actor): Extension<Actor>,
    Segment(id): Segment,
) -> Reply {
    let found = accounts.customer(&input::named_id("id", &id)?, &actor).await?;
    Ok(tagged(StatusCode::OK, found.version, &show::customer(found)))
}

/// Change a customer
#[utoipa::path(
    patch, path = "/customers/{id}", tag = "customers", request_body = ChangeParty,
    params(("id" = String, Path, description = "Its id", min_length = 1, max_length = 255)),
    responses((status = 200, description = "Changed", body = Party)),
)]
pub(super) async fn change_customer(
    State(accounts): State<Arc<Accounts>>,
    Extension(actor): Extension<Actor>,
    Segment(id): Segment,
    IfMatch(version): IfMatch,
    Json(wanted): Json<ChangeParty>,
) -> Reply {
    let (id, change) = (input::named_id("id", &id)?, party(wanted));
    let changed = accounts.update_customer(&id, &change, version, &actor).await?;
    Ok(tagged(StatusCode::OK, changed.version, &show::customer(changed)))
}

/// Delete a customer to which nobody is assigned any more
#[utoipa::path(
    delete, path = "/customers/{id}", tag = "customers",
    params(("id" = String, Path, description = "Its id", min_length = 1, max_length = 255)),
    responses((status = 200, description = "Deleted", body = Deleted)),
)]
pub(super) async fn delete_customer(
    State(accounts): State<Arc<Accounts>>,
    Extension(actor): Extension<Actor>,
    Segment(id): Segment,
) -> Reply {
    accounts
        .delete_customer(&input::named_id("id", &id)?, &actor)
        .await?;
    Ok(axum::Json(Deleted { deleted: id }).into_response())
}

fn party(wanted: ChangeParty) -> PartyChange {
    PartyChange {
        name: wanted.name,
        enabled: wanted.enabled.map(input::enabled),
        description: wanted.description,
        metadata: wanted.metadata,
        tags: wanted.tags,
    }
}
