//! The management door: the use cases of `accounts` as JSON over HTTP, for administrators and for the command
//! line.
//!
//! Served on a Unix socket for this machine's owner and on a TCP address for holders of an administrator's
//! token; the command line also calls [`local`] in its own process when no server runs, so there is one way
//! to do each thing. No end-user endpoint lives here, and nothing here decides about proxied requests.

mod configuration;
mod guard;
mod input;
mod listen;
mod principals;
mod problem;
mod show;
mod system;
#[cfg(test)]
mod tests;
mod tokens;
pub mod wire;

use std::sync::Arc;

use axum::Router;
use axum::http::{HeaderValue, StatusCode, header};
use axum::middleware::from_fn_with_state;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};

pub use self::configuration::{Configuration, Declined};
pub use self::guard::{From, TcpGuard};
pub use self::input::MAX_BODY_BYTES;
pub use self::listen::{AdminSocket, serve_tcp};
use self::problem::Problem;
use crate::accounts::{Accounts, Actor};

/// The routes for somebody who is known already.
pub fn local(accounts: Arc<Accounts>, actor: Actor) -> Router {
    routes(accounts).layer(axum::Extension(actor))
}

/// The routes as they are served over TCP. Each request must carry a [`From`].
pub fn guarded(accounts: Arc<Accounts>, guard: TcpGuard) -> Router {
    routes(accounts)
        .layer(from_fn_with_state(guard, guard::over_tcp))
        .layer(axum::middleware::map_response(no_store))
}

/// The routes; each request must carry its actor.
fn routes(accounts: Arc<Accounts>) -> Router {
    routes_with(accounts, Router::new())
}

/// The same with the configuration's, for this machine's owner.
fn owners_routes(accounts: Arc<Accounts>, of: Arc<dyn Configuration>) -> Router {
    routes_with(accounts, Router::new().nest("/config", configuration::routes(of)))
}

fn routes_with(accounts: Arc<Accounts>, more: Router) -> Router {
    let api = Router::new()
        .route("/version", get(system::version))
        .route("/health", get(system::health))
        .route(
            "/devices",
            get(principals::list_devices).post(principals::create_device),
        )
        .route("/devices/{device}", get(principals::device))
        .route("/devices/{device}/regenerate", post(principals::regenerate))
        .route("/principals", get(principals::list_all).post(principals::create))
        .route("/principals/{id}", get(principals::one))
        .route("/principals/{id}/enable", post(principals::enable))
        .route("/principals/{id}/disable", post(principals::disable))
        .route("/tokens", get(tokens::list).post(tokens::create))
        .route("/tokens/{id}", get(tokens::details).delete(tokens::revoke_by_id))
        .route("/revocations", post(tokens::revoke))
        .route("/keys", get(system::keys))
        .route("/keys/{purpose}/rotate", post(system::rotate))
        .route("/audit", get(system::audit))
        .route("/audit/verify", get(system::verify_audit))
        .with_state(accounts)
        .merge(more);
    Router::new()
        .nest("/api/v1", api)
        .fallback(|| async {
            Problem::new(
                StatusCode::NOT_FOUND,
                "there is no such endpoint; all are below /api/v1/",
            )
        })
        .method_not_allowed_fallback(|| async {
            Problem::new(StatusCode::METHOD_NOT_ALLOWED, "this endpoint has no such method").into_response()
        })
        .layer(axum::middleware::map_response(no_store))
}

/// Answers may hold secrets: nobody on the way keeps them.
async fn no_store(mut response: Response) -> Response {
    response
        .headers_mut()
        .insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}
