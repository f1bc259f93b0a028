//! The public auth endpoints that are mounted beside the management API, on its TCP address.
//!
//! They are before the door's guard: their callers are no administrators, and prove themselves to the endpoint.
//! A page in a browser gets nowhere here either: what it asks of this machine comes with an `Origin`.

use std::sync::Arc;

use arc_swap::ArcSwap;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::{StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use http_body_util::{BodyExt, LengthLimitError, Limited};

use super::guard::From;
use super::problem::Problem;
use crate::accounts::Channel;
use crate::edge::endpoints::{Asked, Endpoints, MAX_BODY_BYTES, Trouble};

/// What is mounted at the moment; a reload replaces it.
pub type Mounted = Arc<ArcSwap<Endpoints>>;

/// Answers a request for an endpoint; any other goes on to the door.
pub async fn answer(State(mounted): State<Mounted>, request: Request, next: Next) -> Response {
    let endpoints = mounted.load_full();
    let Some(found) = endpoints.find(request.uri().path()) else {
        return next.run(request).await;
    };
    let Some(From(from)) = request.extensions().get::<From>().copied() else {
        return Problem::from(crate::domain::reason::Reason::InternalError).into_response();
    };
    if request.headers().contains_key(header::ORIGIN) {
        let text = "this door does not answer web pages: leave out the Origin header";
        return Problem::new(StatusCode::FORBIDDEN, text).into_response();
    }
    let endpoint = Arc::clone(found.endpoint());
    let (parts, body) = request.into_parts();
    if let Err(refused) = endpoint.admit(&parts.method, &parts.headers) {
        return (*refused).map(Body::from);
    }
    let body = match Limited::new(body, MAX_BODY_BYTES).collect().await {
        Ok(body) => body.to_bytes(),
        Err(error) => {
            let trouble = match error.is::<LengthLimitError>() {
                true => Trouble::BodyTooLarge,
                false => Trouble::BodyBroken,
            };
            return endpoint.trouble(trouble).map(Body::from);
        }
    };
    let asked = Asked {
        query: parts.uri.query().map(Into::into),
        method: parts.method,
        headers: parts.headers,
        tail: found.tail.clone(),
        body,
        client: from,
        // Plain HTTP: what is encrypted on no wire at all is as good.
        channel: match from.ip().is_loopback() {
            true => Channel::Encrypted,
            false => Channel::Open,
        },
    };
    endpoints.ask(endpoint, asked).await.map(Body::from)
}
