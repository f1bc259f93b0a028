//! `/api/v1/keys`, `/api/v1/audit`, `/api/v1/version`, `/api/v1/health`.

use std::sync::Arc;

use axum::Extension;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};

use super::input::{self, Json, Query, Segment};
use super::problem::Problem;
use super::show;
use super::wire::{AuditQuery, AuditRow, AuditVerdict, Health, Key, Listing, Rotate, Version};
use crate::accounts::{Accounts, Actor, KeyPurpose, LookupRotation};

type Reply = Result<Response, Problem>;

/// The installation's keys, without their material
#[utoipa::path(
    get, path = "/keys", tag = "keys",
    responses((status = 200, description = "Found", body = Listing<Key>)),
)]
pub(super) async fn keys(State(accounts): State<Arc<Accounts>>, Extension(actor): Extension<Actor>) -> Reply {
    let items = accounts.list_keys(&actor).await?;
    let listing = Listing {
        items: items.into_iter().map(show::key).collect(),
        next: None,
    };
    Ok(axum::Json(listing).into_response())
}

/// Make a new current key of a purpose
///
/// The one before still verifies; the one before that no longer does.
#[utoipa::path(
    post, path = "/keys/{purpose}/rotate", tag = "keys",
    params(("purpose" = String, Path, description = "device_token, lookup, jwt or assertion", min_length = 1, max_length = 255)),
    request_body = Rotate,
    responses((status = 201, description = "Made", body = Key)),
)]
pub(super) async fn rotate(
    State(accounts): State<Arc<Accounts>>,
    Extension(actor): Extension<Actor>,
    Segment(purpose): Segment,
    Json(how): Json<Rotate>,
) -> Reply {
    let purpose = KeyPurpose::parse(&purpose).ok_or_else(|| {
        let names: Vec<&str> = KeyPurpose::ALL.iter().map(|p| p.as_str()).collect();
        Problem::parameter("purpose", "another word", format!("one of {}", names.join(", ")))
    })?;
    let lookup = if how.anyway {
        LookupRotation::Anyway
    } else {
        LookupRotation::Careful
    };
    let key = accounts.rotate_key(purpose, lookup, &actor).await?;
    Ok((StatusCode::CREATED, axum::Json(show::key(key))).into_response())
}

/// What administrators did, newest first
#[utoipa::path(
    get, path = "/audit", tag = "audit",
    params(AuditQuery),
    responses((status = 200, description = "Found", body = Listing<AuditRow>)),
)]
pub(super) async fn audit(
    State(accounts): State<Arc<Accounts>>,
    Extension(actor): Extension<Actor>,
    Query(query): Query<AuditQuery>,
) -> Reply {
    let limit = input::rows(query.limit);
    let rows = accounts.list_audit(query.before, limit, &actor).await?;
    let listing = show::listing(rows, limit, |row| row.seq.to_string(), show::audit_row);
    Ok(axum::Json(listing).into_response())
}

/// Recompute the chain of digests of the audit trail
#[utoipa::path(
    get, path = "/audit/verify", tag = "audit",
    responses((status = 200, description = "Checked", body = AuditVerdict)),
)]
pub(super) async fn verify_audit(
    State(accounts): State<Arc<Accounts>>,
    Extension(actor): Extension<Actor>,
) -> Reply {
    let first_bad = accounts.verify_audit(&actor).await?;
    Ok(axum::Json(AuditVerdict { first_bad }).into_response())
}

/// What is running
#[utoipa::path(
    get, path = "/version", tag = "health",
    responses((status = 200, description = "Found", body = Version)),
)]
pub(super) async fn version() -> Response {
    let version = env!("CARGO_PKG_VERSION").to_owned();
    axum::Json(Version { version }).into_response()
}

/// Whether the store answers
#[utoipa::path(
    get, path = "/health", tag = "health",
    responses((status = 200, description = "It does", body = Health)),
)]
pub(super) async fn health(State(accounts): State<Arc<Accounts>>) -> Reply {
    accounts.ping().await?;
    Ok(axum::Json(Health {
        store: "ok".to_owned(),
    })
    .into_response())
}
