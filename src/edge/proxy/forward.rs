//! The exchange with the upstream, for requests the gate permitted: without a `Forwarding`, which holds the
//! gate's `Permit`, there is no function to call.
//!
//! A request is sent again only when nothing of it can have reached the app: hyper hands it back untouched, or it has
//! no body and the upstream says over HTTP/2 that it did nothing with it. The upstream's clock runs while it is the upstream's turn: not while the client is still sending.

use std::cell::Cell;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use http::header::{CONTENT_LENGTH, EXPECT, HOST, TRANSFER_ENCODING};
use http::{HeaderMap, HeaderValue, Request, Response, StatusCode, Uri, Version, request};
use http_body::Body as _;
use hyper::body::Incoming;

use super::body::{Body, BodyError, Fault, RequestBody};
use super::causes::{Untouched, cause_of};
use super::decide::Decide;
use super::endpoint_pool::Pool;
use super::in_force::View;
use super::lease::Lease;
use super::pool::{NoEndpoint, Upstream};
use super::service::{Client, Engine};
use super::trailers::{self, Trailers};
use super::upgrade::Wish;
use super::upstream::Balance;
use super::upstream::balance::{key_of, key_of_address};
use crate::domain::reason::Reason;
use crate::gate::Forwarding;
use crate::gate::upstream_headers::strip_hop_by_hop;
use crate::telemetry::labels::UpstreamFailure;

/// Connections tried for one request; the last one is always fresh.
const MAX_TRIES: u8 = 3;

/// Why a permitted request was not answered by its upstream.
#[derive(Debug)]
pub(super) struct Failure {
    pub(super) reason: Reason,
    /// The client's body, when nothing was read of it.
    pub(super) unread: Option<Incoming>,
}

impl Failure {
    pub(super) fn after_body(reason: Reason) -> Self {
        Self { reason, unread: None }
    }
}

impl<D: Decide> Engine<D> {
    /// Forwards one permitted request.
    pub(super) async fn forward(
        &self,
        client: &Client,
        view: &View<D>,
        forwarding: &mut Forwarding,
        parts: request::Parts,
        incoming: Incoming,
    ) -> Result<Response<Body>, Failure> {
        let route = Arc::clone(forwarding.permit.route());
        let Some(upstream) = route.upstream.as_ref().and_then(|name| view.upstream(name)) else {
            tracing::error!(route = &*route.name, "a route was permitted that has no upstream");
            return Err(Failure {
                reason: Reason::InternalError,
                unread: Some(incoming),
            });
        };
        let declared = incoming.size_hint().exact();
        if let (Some(bound), Some(declared)) = (route.max_body_bytes, declared)
            && declared > bound
        {
            return Err(Failure {
                reason: Reason::BodyTooLarge,
                unread: Some(incoming),
            });
        }
        let settings = upstream.settings();
        let response_timeout = route.response_timeout.unwrap_or(settings.response_timeout);
        let wish = Wish::of(&parts, &incoming, &route.upgrades, settings.protocol);
        let mut headers = parts.headers;
        let takes_trailers = trailers::are_taken(&headers, parts.version);
        let passed = |may_come: bool| match may_come {
            true => Trailers::Passed(Arc::clone(forwarding.writer())),
            false => Trailers::Dropped,
        };
        // Over HTTP/2 they need not be announced; a body of known length over HTTP/1 has none.
        let is_stream = client.wire.stream().is_some();
        let of_request = passed(is_stream || declared.is_none());
        let of_answer = passed(is_stream || takes_trailers);
        let announced = match declared {
            None => trailers::announced(&headers),
            Some(_) => None,
        };
        prepare_head(forwarding, parts.version, &parts.uri, &mut headers);
        of_request.announce(announced, &mut headers);
        if takes_trailers {
            trailers::take(&mut headers);
        }
        if let Some(wish) = &wish {
            wish.write(&mut headers);
        }
        headers.entry(HOST).or_insert_with(|| settings.authority());
        if declared.is_none() {
            // Said aloud, or hyper would drop the body of a GET.
            headers.insert(TRANSFER_ENCODING, HeaderValue::from_static("chunked"));
        }
        let body = RequestBody::new(
            incoming,
            route.max_body_bytes,
            client.exchange.clone(),
            response_timeout,
            client.wire.stream().cloned(),
        )
        .with_trailers(of_request)
        .noting(client.noted.borrow().clone());
        let mut request = Request::new(body);
        *request.method_mut() = parts.method;
        *request.uri_mut() = Uri::from(forwarding.target.clone());
        *request.version_mut() = Version::HTTP_11;
        *request.headers_mut() = headers;

        client.exchange.begin(settings.total_timeout);
        let needs = wish.as_ref().map_or(Needs::Any, |_| Needs::Switchable);
        let exchanged = exchange(forwarding, upstream, client, request, response_timeout, needs);
        let (response, lease) = exchanged.await?;
        if let Some(wish) = wish.filter(|_| response.status() == StatusCode::SWITCHING_PROTOCOLS) {
            // In a box of its own: ordinary requests do not carry the room for it.
            return Box::pin(self.switch(client, upstream, &wish, response, lease)).await;
        }
        let (mut parts, incoming) = response.into_parts();
        if !is_valid_answer(parts.status, &parts.headers) {
            upstream.metrics().failures.inc(UpstreamFailure::InvalidAnswer);
            return Err(Failure::after_body(Reason::UpstreamInvalidAnswer));
        }
        let announced = match (&of_answer, incoming.size_hint().exact()) {
            (Trailers::Passed(_), None) => trailers::announced(&parts.headers),
            _ => None,
        };
        strip_hop_by_hop(&mut parts.headers);
        of_answer.announce(announced, &mut parts.headers);
        parts.version = Version::HTTP_11;
        client
            .exchange
            .answers(route.idle_timeout.unwrap_or(settings.idle_timeout));
        let body = Body::upstream(incoming, lease, client.exchange.clone(), of_answer);
        Ok(Response::from_parts(parts, body))
    }
}

fn prepare_head(forwarding: &Forwarding, received: Version, uri: &Uri, headers: &mut HeaderMap) {
    strip_hop_by_hop(headers);
    // The decision is made: hyper asks the client for the body as soon as the upstream wants it.
    headers.remove(EXPECT);
    if let Some(authority) = uri.authority()
        && !headers.contains_key(HOST)
        && let Ok(host) = HeaderValue::from_str(authority.as_str())
    {
        headers.insert(HOST, host);
    }
    forwarding.write_head(received, headers);
}

/// What a request needs of its connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Needs {
    /// Any will do.
    Any,
    /// One of its own that may come to speak another protocol.
    Switchable,
}

/// One request, one answer. The permit is not looked at: having it is the point.
async fn exchange(
    forwarding: &Forwarding,
    upstream: &Rc<Upstream>,
    client: &Client,
    mut request: Request<RequestBody>,
    response_timeout: Duration,
    needs: Needs,
) -> Result<(Response<Incoming>, Lease), Failure> {
    // Endpoints that no connection could be opened to; nearly always none.
    let mut tried: Vec<Rc<Pool>> = Vec::new();
    let mut failure = UpstreamFailure::Unreachable;
    let affinity = affinity(upstream.settings().balance, forwarding);
    for attempt in 1..=MAX_TRIES {
        let chosen = match upstream.choose(affinity, &tried) {
            Err(NoEndpoint::None) => {
                upstream.looked_up().await;
                upstream.choose(affinity, &tried)
            }
            chosen => chosen,
        };
        let pool = match chosen {
            Ok(pool) => pool,
            Err(NoEndpoint::Other) => break,
            Err(NoEndpoint::None) => {
                failure = UpstreamFailure::Unresolved;
                break;
            }
            Err(NoEndpoint::Healthy) => {
                failure = UpstreamFailure::Unhealthy;
                break;
            }
        };
        if attempt > 1 {
            upstream.metrics().retries.inc();
        }
        let connected = match needs {
            // In a box, as it is rare.
            Needs::Switchable => Box::pin(pool.connect_to_switch()).await,
            Needs::Any => match (attempt < MAX_TRIES).then(|| pool.take()).flatten() {
                Some(lease) => Ok(lease),
                None => pool.connect().await,
            },
        };
        let mut lease = match connected {
            Ok(lease) => lease,
            Err(error) => {
                failure = error;
                tried.push(pool);
                continue;
            }
        };
        let fault = lease.prepare(&mut request).map_err(|error| {
            tracing::error!(%error, "a request could not be brought into its upstream's version of HTTP");
            Failure::after_body(Reason::InternalError)
        })?;
        // What hyper has of a body is on its way; a request without one can be kept, to be sent again.
        let (sent, kept) = match attempt < MAX_TRIES && lease.is_shared() && request.body().is_end_stream() {
            true => (without_body(&request), Some(request)),
            false => (request, None),
        };
        let sending = lease.send(sent);
        match client.exchange.answer_within(response_timeout, sending).await {
            Some(Ok(response)) => return Ok((response, lease)),
            Some(Err(mut error)) => {
                let untouched = error.take_message();
                let error = error.into_error();
                request = match (untouched, kept, Untouched::of(&error)) {
                    (Some(untouched), None, _) => untouched,
                    (Some(_), Some(kept), _) | (None, Some(kept), Some(Untouched::Refused)) => kept,
                    (None, Some(kept), Some(Untouched::GoesAway)) => {
                        lease.distrust();
                        kept
                    }
                    (None, ..) => return Err(broken_off(upstream, &error, fault)),
                };
            }
            None => {
                lease.distrust();
                upstream.metrics().failures.inc(match client.exchange.is_over() {
                    true => UpstreamFailure::TotalTimeout,
                    false => UpstreamFailure::ResponseTimeout,
                });
                return Err(Failure::after_body(Reason::UpstreamTimeout));
            }
        }
    }
    upstream.metrics().failures.inc(failure);
    Err(Failure {
        reason: match failure {
            UpstreamFailure::ConnectTimeout => Reason::UpstreamTimeout,
            UpstreamFailure::Unhealthy => Reason::UpstreamUnavailable,
            _ => Reason::UpstreamUnreachable,
        },
        unread: request.into_body().into_incoming(),
    })
}

/// A copy of a request that has no body. Paid on HTTP/2 only.
fn without_body(request: &Request<RequestBody>) -> Request<RequestBody> {
    let mut copy = Request::new(request.body().nothing());
    *copy.method_mut() = request.method().clone();
    *copy.uri_mut() = request.uri().clone();
    *copy.version_mut() = request.version();
    *copy.headers_mut() = request.headers().clone();
    copy
}

/// What requests have in common that go to the same place.
fn affinity(balance: Balance, forwarding: &Forwarding) -> Option<u64> {
    match balance {
        Balance::RoundRobin => None,
        Balance::ClientAddress => Some(key_of_address(forwarding.client.ip())),
        Balance::Subject => Some(match forwarding.permit.authentication() {
            Some(known) => key_of(known.identity().principal.as_str().as_bytes()),
            // Nobody in particular: then by where it comes from.
            None => key_of_address(forwarding.client.ip()),
        }),
    }
}

/// Whose fault it was that an exchange ended without an answer.
fn broken_off(upstream: &Upstream, error: &hyper::Error, fault: Option<Rc<Cell<Option<Fault>>>>) -> Failure {
    let fault = match (fault.and_then(|fault| fault.get()), cause_of::<BodyError>(error)) {
        (Some(fault), _) => Some(fault),
        (None, Some(BodyError::TooLarge)) => Some(Fault::TooLarge),
        (None, Some(_)) => Some(Fault::Client),
        (None, None) => None,
    };
    match fault {
        Some(Fault::TooLarge) => Failure::after_body(Reason::BodyTooLarge),
        // The client broke off: nobody will read this, but it is no fault of the upstream.
        Some(Fault::Client) => Failure::after_body(Reason::MalformedRequest),
        // In TLS 1.3 an upstream that does not take our certificate says so after the handshake.
        None if cause_of::<rustls::Error>(error).is_some() => {
            let name = &*upstream.settings().name;
            tracing::warn!(upstream = name, %error, "the upstream ended a TLS session");
            upstream.metrics().failures.inc(UpstreamFailure::TlsFailed);
            Failure::after_body(Reason::UpstreamUnreachable)
        }
        None => {
            tracing::debug!(upstream = &*upstream.settings().name, %error, "an exchange broke off");
            upstream.metrics().failures.inc(UpstreamFailure::InvalidAnswer);
            Failure::after_body(Reason::UpstreamInvalidAnswer)
        }
    }
}

/// What hyper lets pass and a client behind us could read differently (S17c): a switch of protocols that
/// nobody asked for, codings other than chunked, several lengths, or a length beside chunks.
fn is_valid_answer(status: StatusCode, headers: &HeaderMap) -> bool {
    if status.is_informational() {
        return false;
    }
    let mut codings = headers.get_all(TRANSFER_ENCODING).iter();
    let mut lengths = headers.get_all(CONTENT_LENGTH).iter();
    let (coding, length) = (codings.next(), lengths.next());
    let several = codings.next().is_some() || lengths.next().is_some();
    let length_is_plain = length.is_none_or(|l| !l.is_empty() && l.as_bytes().iter().all(u8::is_ascii_digit));
    let coding_is_plain = coding.is_none_or(|c| c.as_bytes().eq_ignore_ascii_case(b"chunked"));
    !several && length_is_plain && coding_is_plain && (coding.is_none() || length.is_none())
}
