//! The management door: the use cases of `accounts` as JSON over HTTP, for administrators and for the command
//! line.
//!
//! Served on a Unix socket for this machine's owner and on a TCP address for holders of an administrator's
//! token; the command line also calls [`local`] in its own process when no server runs, so there is one way
//! to do each thing. What there is stands in one table (`operations`), is described by the OpenAPI document
//! (`document`), and is held against that description (`described`). No end-user endpoint lives here, and nothing
//! here decides about proxied requests.

mod configuration;
mod described;
mod document;
pub mod endpoints;
mod guard;
mod input;
mod lifecycle;
mod listen;
pub mod operations;
mod principals;
mod problem;
mod repeated;
mod show;
mod system;
mod tenants;
#[cfg(test)]
mod tests;
mod tokens;
mod versions;
mod viewer;
pub mod wire;

use std::sync::Arc;

use axum::Router;
use axum::http::{HeaderValue, StatusCode, header};
use axum::middleware::{from_fn, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use serde_json::Value;
use utoipa::openapi::OpenApi;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

pub use self::configuration::{Configuration, Declined};
pub use self::guard::{From, TcpGuard};
pub use self::input::MAX_BODY_BYTES;
pub use self::listen::{AdminSocket, serve_tcp};
use self::problem::Problem;
use crate::accounts::{Accounts, Actor};

/// Below what every operation is.
pub const BASE: &str = "/api/v1";

/// The routes for somebody who is known already.
pub fn local(accounts: Arc<Accounts>, actor: Actor) -> Router {
    routes(accounts).layer(axum::Extension(actor))
}

/// The routes as they are served over TCP. Each request must carry a [`From`].
pub fn guarded(accounts: Arc<Accounts>, guard: TcpGuard) -> Router {
    let open =
        viewer::routes(&document()).layer(from_fn_with_state(guard.address, guard::over_tcp_for_anybody));
    routes(accounts)
        .layer(from_fn_with_state(guard, guard::over_tcp))
        .merge(open)
        .layer(axum::middleware::map_response(no_store))
}

/// The OpenAPI document of everything that is served.
pub fn document() -> Value {
    let configuration = configuration::operations().split_for_parts().1;
    document::of([operations_api().split_for_parts().1, based(configuration)])
}

/// The routes; each request must carry its actor.
fn routes(accounts: Arc<Accounts>) -> Router {
    routes_with(accounts, Router::new())
}

/// The same with the configuration's and the document, for this machine's owner.
fn owners_routes(accounts: Arc<Accounts>, of: Arc<dyn Configuration>) -> Router {
    let configuration = Router::from(configuration::operations()).with_state(of);
    routes_with(accounts, Router::new().nest(BASE, configuration)).merge(viewer::routes(&document()))
}

fn routes_with(accounts: Arc<Accounts>, more: Router) -> Router {
    Router::from(operations_api())
        .with_state(Arc::clone(&accounts))
        .merge(more)
        .layer(from_fn_with_state(accounts, repeated::once))
        .layer(from_fn(guard::by_scope))
        .fallback(|| async {
            Problem::new(
                StatusCode::NOT_FOUND,
                "there is no such endpoint; all are below /api/v1/",
            )
        })
        .method_not_allowed_fallback(no_such_method)
        .layer(axum::middleware::map_response(no_store))
}

/// The operations on the accounts, with what their handlers say of themselves.
fn operations_api() -> OpenApiRouter<Arc<Accounts>> {
    let api = OpenApiRouter::default()
        .routes(routes!(system::version))
        .routes(routes!(system::health))
        .routes(routes!(principals::list_devices, principals::create_device))
        .routes(routes!(principals::device))
        .routes(routes!(principals::regenerate))
        .routes(routes!(principals::transfer))
        .routes(routes!(principals::list_all, principals::create))
        .routes(routes!(principals::one, principals::change, principals::delete))
        .routes(routes!(principals::enable))
        .routes(routes!(principals::disable))
        .routes(routes!(tokens::list, tokens::create))
        .routes(routes!(tokens::details, lifecycle::change, lifecycle::delete))
        .routes(routes!(lifecycle::regenerate))
        .routes(routes!(lifecycle::reroll))
        .routes(routes!(lifecycle::reveal))
        .routes(routes!(lifecycle::purge))
        .routes(routes!(tokens::revoke))
        .routes(routes!(lifecycle::revoke_matching))
        .routes(routes!(tenants::list_tenants, tenants::create_tenant))
        .routes(routes!(
            tenants::tenant,
            tenants::change_tenant,
            tenants::delete_tenant
        ))
        .routes(routes!(tenants::list_customers, tenants::create_customer))
        .routes(routes!(
            tenants::customer,
            tenants::change_customer,
            tenants::delete_customer
        ))
        .routes(routes!(system::keys))
        .routes(routes!(system::rotate))
        .routes(routes!(system::audit))
        .routes(routes!(system::verify_audit));
    OpenApiRouter::default().nest(BASE, api)
}

fn based(api: OpenApi) -> OpenApi {
    OpenApi::default().nest(BASE, api)
}

async fn no_such_method() -> Response {
    Problem::new(StatusCode::METHOD_NOT_ALLOWED, "this endpoint has no such method").into_response()
}

/// Answers may hold secrets: nobody on the way keeps them.
async fn no_store(mut response: Response) -> Response {
    response
        .headers_mut()
        .insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}
