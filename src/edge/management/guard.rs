//! Who may use the door, before any route is looked at (SECURITY S15).
//!
//! Over TCP every request needs an administrator's token, and must not come from a web page but the door's own
//! viewer: a `Host` that is a foreign name is a rebound DNS name, and only browsers send `Origin`. Over the Unix
//! socket the kernel says who is asking. A refused request's body is not read. What a token may do is compared with
//! the table of operations.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use axum::Extension;
use axum::extract::{MatchedPath, Request, State};
use axum::http::uri::Authority;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use super::operations::Operation;
use super::problem::Problem;
use crate::accounts::{Actor, Administrators};
use crate::domain::net::ClientIp;
use crate::domain::reason::Reason;
use crate::domain::scope::MethodClass;
use crate::domain::secret::SecretBytes;

/// What is checked over TCP.
#[derive(Clone)]
pub struct TcpGuard {
    /// Verifies tokens.
    pub administrators: Arc<Administrators>,
    /// The address the door listens on.
    pub address: SocketAddr,
}

/// The other end of a TCP connection.
#[derive(Debug, Clone, Copy)]
pub struct From(pub ClientIp);

/// Lets an administrator's request through, with the actor's name on it.
pub async fn over_tcp(State(guard): State<TcpGuard>, mut request: Request, next: Next) -> Response {
    let admitted = match screen(&guard, &request) {
        Ok(claim) => {
            let Claim { bearer, from, method } = claim;
            guard
                .administrators
                .authenticate(bearer.expose(), from, method)
                .await
                .map_err(Problem::from)
        }
        Err(problem) => Err(problem),
    };
    match admitted {
        Ok(actor) => {
            request.extensions_mut().insert(actor);
            next.run(request).await
        }
        Err(problem) => problem.into_response(),
    }
}

/// What a request says of itself.
struct Claim {
    bearer: SecretBytes,
    from: ClientIp,
    method: MethodClass,
}

fn screen(guard: &TcpGuard, request: &Request) -> Result<Claim, Problem> {
    check_sender(request, guard.address.ip())?;
    let Some(From(from)) = request.extensions().get::<From>().copied() else {
        return Err(Reason::InternalError.into());
    };
    Ok(Claim {
        bearer: SecretBytes::new(bearer(request.headers())?.to_vec()),
        from,
        method: MethodClass::of(request.method()),
    })
}

/// The request must be meant for this door, and come from no page but its own.
fn check_sender(request: &Request, own: IpAddr) -> Result<(), Problem> {
    check_origin(request.headers())?;
    check_host(request, own)
}

/// Programs send no `Origin`. A page of this door sends the very authority that it also asks for; whether that is
/// ours is seen from `Host`. A page of another port, scheme or name is somebody else's.
fn check_origin(headers: &HeaderMap) -> Result<(), Problem> {
    let mut origins = headers.get_all(header::ORIGIN).iter();
    let own = match (origins.next(), origins.next()) {
        (None, _) => true,
        (Some(origin), None) => {
            let authority = origin.as_bytes().strip_prefix(b"http://");
            authority.is_some() && authority == headers.get(header::HOST).map(HeaderValue::as_bytes)
        }
        (Some(_), Some(_)) => false,
    };
    if own {
        return Ok(());
    }
    Err(Problem::new(
        StatusCode::FORBIDDEN,
        "this door does not answer web pages but its own: leave out the Origin header",
    ))
}

/// Lets through what is for everybody, but not to other people's pages.
pub async fn over_tcp_for_anybody(
    State(address): State<SocketAddr>,
    request: Request,
    next: Next,
) -> Response {
    match check_sender(&request, address.ip()) {
        Ok(()) => next.run(request).await,
        Err(problem) => problem.into_response(),
    }
}

/// Lets an actor do what its scopes say. A route that the table of operations does not have is for nobody.
pub async fn by_scope(
    matched: MatchedPath,
    Extension(actor): Extension<Actor>,
    request: Request,
    next: Next,
) -> Response {
    let Some(operation) = Operation::of(request.method(), matched.as_str()) else {
        return match Operation::allowed(matched.as_str()) {
            Some(methods) => ([(header::ALLOW, methods)], super::no_such_method().await).into_response(),
            None => Problem::from(Reason::RouteDenied).into_response(),
        };
    };
    match operation.scope() {
        Some(wanted) if actor.may(&wanted) => next.run(request).await,
        Some(wanted) => Problem::scope(&wanted).into_response(),
        None => Problem::from(Reason::InternalError).into_response(),
    }
}

/// The request must name this machine: by a loopback address, `localhost`, or the address listened on.
fn check_host(request: &Request, own: IpAddr) -> Result<(), Problem> {
    let mut hosts = request.headers().get_all(header::HOST).iter();
    let named = match (hosts.next(), hosts.next()) {
        (Some(host), None) => host.to_str().ok(),
        _ => None,
    };
    let uri_host = request.uri().authority().map(|a| a.as_str());
    let ours = named.is_some_and(|host| is_ours(host, own)) && uri_host.is_none_or(|host| is_ours(host, own));
    if ours {
        return Ok(());
    }
    Err(Problem::new(
        StatusCode::MISDIRECTED_REQUEST,
        "the Host header must be localhost or this door's own address: ask for it by address, not by a name",
    ))
}

fn is_ours(authority: &str, own: IpAddr) -> bool {
    let Ok(authority) = authority.parse::<Authority>() else {
        return false;
    };
    if authority.as_str().contains('@') {
        return false;
    }
    let host = authority.host();
    if host.eq_ignore_ascii_case("localhost") {
        return true;
    }
    let bare = host
        .strip_prefix('[')
        .and_then(|h| h.strip_suffix(']'))
        .unwrap_or(host);
    match bare.parse::<IpAddr>() {
        // A page can rebind a name to our address, but cannot make a browser send an address as Host.
        Ok(ip) => ip.is_loopback() || own.is_unspecified() || ip == own,
        Err(_) => false,
    }
}

fn bearer(headers: &HeaderMap) -> Result<&[u8], Problem> {
    let mut values = headers.get_all(header::AUTHORIZATION).iter();
    let value = match (values.next(), values.next()) {
        (None, _) => return Err(Reason::CredentialMissing.into()),
        (Some(value), None) => value.as_bytes(),
        (Some(_), Some(_)) => return Err(Reason::AmbiguousCredentials.into()),
    };
    let (scheme, rest) = value.split_at_checked(7).ok_or(Reason::CredentialMalformed)?;
    if !scheme.eq_ignore_ascii_case(b"bearer ") || rest.is_empty() {
        return Err(Reason::CredentialMalformed.into());
    }
    Ok(rest.trim_ascii())
}

/// Who is at the other end of the Unix socket.
#[derive(Debug, Clone)]
pub enum LocalCaller {
    /// The user that runs this process, or root.
    Owner(Actor),
    /// Somebody else.
    Stranger,
}

/// Lets the owner's requests through.
pub async fn over_socket(State(caller): State<LocalCaller>, mut request: Request, next: Next) -> Response {
    match caller {
        LocalCaller::Owner(actor) => {
            request.extensions_mut().insert(actor);
            next.run(request).await
        }
        LocalCaller::Stranger => Problem::new(
            StatusCode::FORBIDDEN,
            "only the user that runs this server, and root, may use its admin socket",
        )
        .into_response(),
    }
}
