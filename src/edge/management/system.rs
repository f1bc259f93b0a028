//! `/api/v1/keys`, `/api/v1/audit`, `/api/v1/version`, `/api/v1/health`.

use std::sync::Arc;

use axum::Extension;
use axum::extract::{Path, Query, State};
use axum::http::{StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use serde::Deserialize;

use super::input::{self, Json};
use super::problem::Problem;
use super::show;
use super::wire::{AuditVerdict, Listing, Rotate, Version};
use crate::accounts::{Accounts, Actor, KeyPurpose, LookupRotation};

type Reply = Result<Response, Problem>;

pub(super) async fn keys(State(accounts): State<Arc<Accounts>>) -> Reply {
    let items = accounts.vault().list().await?;
    let listing = Listing {
        items: items.into_iter().map(show::key).collect(),
        next: None,
    };
    Ok(axum::Json(listing).into_response())
}

pub(super) async fn rotate(
    State(accounts): State<Arc<Accounts>>,
    Extension(actor): Extension<Actor>,
    Path(purpose): Path<String>,
    Json(how): Json<Rotate>,
) -> Reply {
    let purpose = KeyPurpose::parse(&purpose).ok_or_else(|| {
        let names: Vec<&str> = KeyPurpose::ALL.iter().map(|p| p.as_str()).collect();
        Problem::bad("purpose", "another word", format!("one of {}", names.join(", ")))
    })?;
    let lookup = if how.anyway {
        LookupRotation::Anyway
    } else {
        LookupRotation::Careful
    };
    let key = accounts.rotate_key(purpose, lookup, &actor).await?;
    Ok((StatusCode::CREATED, axum::Json(show::key(key))).into_response())
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct AuditQuery {
    before: Option<u64>,
    limit: Option<u32>,
}

pub(super) async fn audit(State(accounts): State<Arc<Accounts>>, uri: Uri) -> Reply {
    let Query(query) = Query::<AuditQuery>::try_from_uri(&uri).map_err(|_| {
        Problem::bad(
            "query",
            "an unknown or malformed parameter",
            "before and limit, numbers",
        )
    })?;
    let limit = input::limit(query.limit)?;
    let rows = accounts.list_audit(query.before, limit).await?;
    let listing = show::listing(rows, limit, |row| row.seq.to_string(), show::audit_row);
    Ok(axum::Json(listing).into_response())
}

pub(super) async fn verify_audit(State(accounts): State<Arc<Accounts>>) -> Reply {
    let first_bad = accounts.verify_audit().await?;
    Ok(axum::Json(AuditVerdict { first_bad }).into_response())
}

pub(super) async fn version() -> Response {
    let version = env!("CARGO_PKG_VERSION").to_owned();
    axum::Json(Version { version }).into_response()
}

pub(super) async fn health(State(accounts): State<Arc<Accounts>>) -> Reply {
    accounts.ping().await?;
    Ok(axum::Json(serde_json::json!({"store": "ok"})).into_response())
}
