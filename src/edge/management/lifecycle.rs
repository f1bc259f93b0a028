//! The life of a credential after it was made: changes, successors, ends of many, deletion, reading back.

use std::sync::Arc;

use axum::Extension;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};

use super::input::{self, Json, Segment};
use super::problem::{Faults, Place, Problem};
use super::show;
use super::versions::{IfMatch, tagged};
use super::wire::{
    ChangeToken, Created, Deleted, Ended, Forgotten, Matching, Purge, Reroll, Revealed, Secret, Token,
};
use crate::accounts::{Accounts, Actor, CredentialChange, expiry};
use crate::domain::clock::UnixMillis;
use crate::domain::ids::CredentialId;

type Reply = Result<Response, Problem>;

/// Change a credential
///
/// Its secret stays. In force when the call returns; refused once it was revoked or deleted.
#[utoipa::path(
    patch, path = "/tokens/{id}", tag = "tokens", request_body = ChangeToken,
    params(("id" = String, Path, description = "Its id", min_length = 1, max_length = 255)),
    responses((status = 200, description = "Changed", body = Token)),
)]
pub(super) async fn change(
    State(accounts): State<Arc<Accounts>>,
    Extension(actor): Extension<Actor>,
    Segment(id): Segment,
    IfMatch(version): IfMatch,
    Json(wanted): Json<ChangeToken>,
) -> Reply {
    let id: CredentialId = input::named_id("id", &id)?;
    let change = changed(wanted, accounts.now())?;
    let row = accounts.update_credential(&id, &change, version, &actor).await?;
    Ok(tagged(
        StatusCode::OK,
        row.version,
        &show::token(row, accounts.now()),
    ))
}

fn changed(wanted: ChangeToken, now: UnixMillis) -> Result<CredentialChange, Problem> {
    let mut faults = Faults::default();
    let scopes = faults.take(wanted.scopes.as_deref().map(input::scopes).transpose());
    let networks = faults.take(wanted.networks.as_deref().map(input::networks).transpose());
    let permission = wanted.permission.as_deref();
    let permission = faults.take(permission.map(|text| input::permission(Some(text))).transpose());
    let expires = wanted.expires.as_deref().map(|text| expiry::parse(text, now));
    let expires = faults.take(expires.transpose().map_err(Problem::from));
    faults.none()?;
    Ok(CredentialChange {
        name: wanted.name,
        description: wanted.description,
        metadata: wanted.metadata,
        tags: wanted.tags,
        environment: wanted.environment,
        scopes: scopes.flatten(),
        permission: permission.flatten(),
        networks: networks.flatten(),
        transport: wanted.https_only.map(input::transport),
        expires_at: expires.flatten(),
        limits: wanted.limits.map(|limits| limits.map(input::usage_limits)),
        enabled: wanted.enabled.map(input::enabled),
    })
}

/// Replace a credential
///
/// The old one is dead when the call returns; the new one has the same rules.
#[utoipa::path(
    post, path = "/tokens/{id}/regenerate", tag = "tokens",
    params(("id" = String, Path, description = "Its id", min_length = 1, max_length = 255)),
    responses((status = 201, description = "Replaced", body = Created)),
)]
pub(super) async fn regenerate(
    State(accounts): State<Arc<Accounts>>,
    Extension(actor): Extension<Actor>,
    Segment(id): Segment,
) -> Reply {
    let id: CredentialId = input::named_id("id", &id)?;
    let issued = accounts.regenerate_credential(&id, &actor).await?;
    Ok((StatusCode::CREATED, axum::Json(show::created(issued))).into_response())
}

/// Replace a credential, and let the old one live on for a while
///
/// Never past its own end.
#[utoipa::path(
    post, path = "/tokens/{id}/reroll", tag = "tokens", request_body = Reroll,
    params(("id" = String, Path, description = "Its id", min_length = 1, max_length = 255)),
    responses((status = 201, description = "Replaced", body = Created)),
)]
pub(super) async fn reroll(
    State(accounts): State<Arc<Accounts>>,
    Extension(actor): Extension<Actor>,
    Segment(id): Segment,
    Json(wanted): Json<Reroll>,
) -> Reply {
    let id: CredentialId = input::named_id("id", &id)?;
    let now = accounts.now();
    let mut faults = Faults::default();
    let overlap = faults.take(input::span(Place::field("overlap"), &wanted.overlap, now));
    let expires = wanted.expires.as_deref().map(|text| expiry::parse(text, now));
    let expires = faults.take(expires.transpose().map_err(Problem::from));
    faults.none()?;
    let issued = accounts
        .reroll_credential(&id, overlap.unwrap_or_default(), expires.flatten(), &actor)
        .await?;
    Ok((StatusCode::CREATED, axum::Json(show::created(issued))).into_response())
}

/// Read a credential's secret back
///
/// Only device tokens that were made with `revealable`. Each reading stands in the audit trail.
#[utoipa::path(
    post, path = "/tokens/{id}/reveal", tag = "tokens",
    params(("id" = String, Path, description = "Its id", min_length = 1, max_length = 255)),
    responses((status = 200, description = "What its holder presents", body = Revealed)),
)]
pub(super) async fn reveal(
    State(accounts): State<Arc<Accounts>>,
    Extension(actor): Extension<Actor>,
    Segment(id): Segment,
) -> Reply {
    let id: CredentialId = input::named_id("id", &id)?;
    let secret = accounts.reveal_credential(&id, &actor).await?;
    let secret = Secret(secret.expose().to_owned());
    Ok(axum::Json(Revealed { secret }).into_response())
}

/// End a credential and mark it as deleted
///
/// It is forgotten when deleted credentials are purged.
#[utoipa::path(
    delete, path = "/tokens/{id}", tag = "tokens",
    params(("id" = String, Path, description = "Its id", min_length = 1, max_length = 255)),
    responses((status = 200, description = "Deleted", body = Deleted)),
)]
pub(super) async fn delete(
    State(accounts): State<Arc<Accounts>>,
    Extension(actor): Extension<Actor>,
    Segment(id): Segment,
) -> Reply {
    accounts
        .delete_credential(&input::named_id("id", &id)?, &actor)
        .await?;
    Ok(axum::Json(Deleted { deleted: id }).into_response())
}

/// Forget credentials that were deleted long enough ago
#[utoipa::path(
    post, path = "/tokens/purge", tag = "tokens", request_body = Purge,
    responses((status = 200, description = "Forgotten", body = Forgotten)),
)]
pub(super) async fn purge(
    State(accounts): State<Arc<Accounts>>,
    Extension(actor): Extension<Actor>,
    Json(wanted): Json<Purge>,
) -> Reply {
    let grace = input::span(Place::field("deleted_for"), &wanted.deleted_for, accounts.now())?;
    let forgotten = accounts.purge_credentials(grace, &actor).await?;
    Ok(axum::Json(Forgotten { forgotten }).into_response())
}

/// End every living credential that a filter names
///
/// A filter that names everything is refused.
#[utoipa::path(
    post, path = "/revocations/matching", tag = "revocations", request_body = Matching,
    responses((status = 200, description = "Ended", body = Ended)),
)]
pub(super) async fn revoke_matching(
    State(accounts): State<Arc<Accounts>>,
    Extension(actor): Extension<Actor>,
    Json(wanted): Json<Matching>,
) -> Reply {
    let filter = input::filter(&wanted, accounts.now(), Place::field)?;
    let ended = accounts.revoke_matching(&filter, &actor).await?;
    Ok(axum::Json(Ended { ended }).into_response())
}
