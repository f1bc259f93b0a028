//! One request: asks the gate, then forwards or refuses. Runs on a data thread, for one connection at a time.
//!
//! A panic in a request is a bug, but only that request's: it is caught, counted and answered 500.

use std::cell::RefCell;
use std::convert::Infallible;
use std::panic::AssertUnwindSafe;
use std::rc::Rc;
use std::sync::Arc;

use bytes::Bytes;
use futures::FutureExt;
use http::header::{CONNECTION, CONTENT_TYPE, EXPECT, HOST};
use http::{HeaderMap, HeaderValue, Request, Response, StatusCode, Version, request};
use hyper::body::Incoming;

use super::access::{Noted, Turn, Writer};
use super::answer_here;
use super::body::Body;
use super::connection::{Arrival, Covers};
use super::decide::Decide;
use super::exchange::Exchange;
use super::forward::Failure;
use super::http2;
use super::in_force::{InForce, Standing, View, Viewer};
use super::observe::{Observer, Record};
use super::screen::{Busy, Line, REFUSED_METHOD};
use super::settings::ListenerProfile;
use super::unread::{self, Unread};
use super::upgrade::Tunnel;
use crate::domain::clock::{Clock, Now, Stopwatch};
use crate::domain::net::PeerAddr;
use crate::domain::reason::Reason;
use crate::edge::answers;
use crate::gate::client_address::effective_client;
use crate::gate::{Facts, Forwarding, Refusal, Scheme, Verdict};
use crate::runtime::deadlines::{Deadline, Deadlines};
use crate::runtime::drain::{Drain, Stage};
use crate::runtime::lines::Lines;
use crate::telemetry::Metrics;
use crate::telemetry::labels::RequestOutcome;

/// What every data thread is given to build its engine from.
#[derive(Debug)]
pub struct EngineParts<D> {
    /// The gate, the upstreams, and whatever else a reload replaces.
    pub in_force: InForce<D>,
    /// The clock.
    pub clock: Clock,
    /// How the process stops.
    pub drain: Drain,
    /// Where requests are counted.
    pub metrics: Arc<Metrics>,
    /// Where requests get a line, if anywhere.
    pub access_lines: Option<Lines>,
}

/// The proxy of one data thread, with its own connections to the upstreams.
#[derive(Debug)]
pub struct Engine<D> {
    viewer: Rc<Viewer<D>>,
    pub(super) clock: Clock,
    pub(super) drain: Drain,
    pub(super) deadlines: Deadlines,
    own_route: Arc<str>,
    pub(super) observer: Rc<Observer>,
    access: Option<Rc<Writer>>,
}

/// One client connection, or one stream of it, as its requests see it. One request at a time.
#[derive(Debug)]
pub struct Client {
    pub(super) peer: PeerAddr,
    pub(super) listener: Arc<ListenerProfile>,
    scheme: Scheme,
    covers: Option<Rc<dyn Covers>>,
    pub(super) wire: Wire,
    /// Runs while an upstream has its turn.
    pub(super) exchange: Rc<Exchange>,
    /// What the connection becomes when the answer at hand, a 101, is out.
    pub(super) tunnel: RefCell<Option<Box<Tunnel>>>,
    /// What is noted of the request that has no answer yet, where there is an access log.
    pub(super) noted: RefCell<Option<Rc<Noted>>>,
}

/// How a client reads a refusal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Tongue {
    /// By its status, and a body in some dialect.
    Http,
    /// By fields of its head.
    Grpc,
}

/// What carries the request, below.
#[derive(Debug, Clone)]
pub(super) enum Wire {
    /// A connection of its own, with the screen on it.
    Http1(Arc<Line>),
    /// A stream among others.
    Http2(Rc<http2::Stream>),
}

impl Wire {
    fn busy(&self) -> Option<Busy> {
        match self {
            Self::Http1(line) => Some(line.busy()),
            // Counted as a stream.
            Self::Http2(_) => None,
        }
    }

    /// The stream among others, if it is one.
    pub(super) fn stream(&self) -> Option<&Rc<http2::Stream>> {
        match self {
            Self::Http1(_) => None,
            Self::Http2(stream) => Some(stream),
        }
    }
}

impl<D: Decide> Engine<D> {
    /// Builds the engine of the data thread that calls this.
    pub fn new(parts: &EngineParts<D>, deadlines: &Deadlines) -> Self {
        let observer = Observer::new(parts.metrics.clone());
        Self {
            viewer: Viewer::new(&parts.in_force, &observer, &parts.clock),
            clock: parts.clock.clone(),
            drain: parts.drain.clone(),
            deadlines: deadlines.clone(),
            own_route: Arc::from("doorward"),
            observer,
            access: parts
                .access_lines
                .clone()
                .map(|lines| Rc::new(Writer::new(lines))),
        }
    }

    /// What is in force now, as this thread sees it.
    pub(super) fn view(&self) -> Rc<View<D>> {
        self.viewer.view()
    }

    /// What its clock says.
    pub fn now(&self) -> Now {
        self.clock.now()
    }

    /// Answers one request of one connection.
    pub(super) async fn answer(
        self: Rc<Self>,
        client: Rc<Client>,
        request: Request<Incoming>,
    ) -> Result<Response<Body>, Infallible> {
        let started = Stopwatch::start();
        let busy = client.wire.busy();
        let now = self.clock.now();
        let (parts, incoming) = request.into_parts();
        let version = parts.version;
        let noted = self.access.as_ref().and_then(|writer| {
            let policy = self.view().standing.access.clone()?;
            Some(Noted::begin(writer, policy, &client, &parts, started, now.wall))
        });
        let turn = Turn::of(&client, noted);
        let handled = AssertUnwindSafe(self.handle(&client, parts, incoming, now))
            .catch_unwind()
            .await;
        let (mut response, record) = handled.unwrap_or_else(|_| self.answer_to_panic(&client));
        if self.drain.stage() >= Stage::Closing && response.status() != StatusCode::SWITCHING_PROTOCOLS {
            close_after(&mut response);
        }
        // Or hyper would write `keep-alive` beside the `close` for a client of HTTP/1.0 that asked for it.
        if version == Version::HTTP_10 && response.headers().contains_key(CONNECTION) {
            *response.version_mut() = Version::HTTP_10;
        }
        let noted = turn.end();
        if let Some(noted) = &noted {
            noted.answered(&record, response.status());
        }
        let observed = self.observer.follow(started, record).noting(noted);
        Ok(response.map(|body| body.ending_with(busy, observed)))
    }

    async fn handle(
        &self,
        client: &Client,
        mut parts: request::Parts,
        incoming: Incoming,
        now: Now,
    ) -> (Response<Body>, Record) {
        // Once for the whole request, whatever is exchanged meanwhile.
        let view = self.view();
        let Standing {
            decide,
            own_pages,
            endpoints,
            ..
        } = &*view.standing;
        let offence = client.offence(&mut parts);
        let facts = client.facts(&parts, &view);
        if offence.is_none()
            && let Some(page) = own_pages.answer(&parts.method, facts.path)
        {
            let expects = expects(&parts);
            return (
                settle(page, Some(Unread { incoming, expects })),
                self.answered_here(),
            );
        }
        // Answered before routing: a request for an endpoint that is on reaches no upstream.
        if offence.is_none()
            && let Some(found) = endpoints.find(facts.path)
        {
            let client = effective_client(&facts);
            let asking = answer_here::ask(endpoints, found, client, parts, incoming);
            // Boxed, so that the future of a proxied request does not carry the room an endpoint needs.
            return (Box::pin(asking).await, self.answered_here());
        }
        let verdict = match offence {
            Some(reason) => Verdict::Refuse(Box::new(decide.refuse_unread(reason, client.peer, now))),
            None => decide.decide(&facts, now).await,
        };
        if let Some(noted) = &*client.noted.borrow() {
            noted.decided(&verdict);
        }
        let expects = expects(&parts);
        match verdict {
            Verdict::Forward(forwarding) => {
                let forwarded = self.forward_or_refuse(client, &view, forwarding, parts, incoming, now);
                forwarded.await
            }
            Verdict::Refuse(refusal) => {
                let unread = Some(Unread { incoming, expects });
                let response = self.refuse(&refusal, client.tongue(&parts.headers), unread, now);
                let record = Record {
                    route: refusal.route.clone(),
                    kind: refusal.presented,
                    outcome: RequestOutcome::Refused,
                    failure: None,
                };
                (response, record)
            }
        }
    }

    fn answered_here(&self) -> Record {
        Record {
            route: Arc::clone(&self.own_route),
            kind: None,
            outcome: RequestOutcome::Answered,
            failure: None,
        }
    }

    async fn forward_or_refuse(
        &self,
        client: &Client,
        view: &View<D>,
        mut forwarding: Forwarding,
        parts: request::Parts,
        incoming: Incoming,
        now: Now,
    ) -> (Response<Body>, Record) {
        let expects = expects(&parts);
        let tongue = client.tongue(&parts.headers);
        let noted = client.noted.borrow().clone();
        let watch = noted.as_ref().map(|_| Stopwatch::start());
        let forwarded = self.forward(client, view, &mut forwarding, parts, incoming).await;
        if let (Some(noted), Some(watch)) = (noted, watch) {
            noted.upstream_took(watch);
        }
        let record = |outcome, failure| Record {
            route: Arc::clone(&forwarding.permit.route().name),
            kind: forwarding
                .permit
                .authentication()
                .map(|a| a.identity().credential_kind),
            outcome,
            failure,
        };
        match forwarded {
            Ok(response) => (response, record(RequestOutcome::Forwarded, None)),
            Err(Failure { reason, unread }) => {
                let outcome = match reason {
                    Reason::BodyTooLarge | Reason::MalformedRequest | Reason::AmbiguousFraming => {
                        RequestOutcome::Refused
                    }
                    _ => RequestOutcome::Failed,
                };
                let unread = unread.map(|incoming| Unread { incoming, expects });
                let response = self.refuse(&forwarding.refusal(reason), tongue, unread, now);
                (response, record(outcome, Some(reason)))
            }
        }
    }

    fn refuse(&self, refusal: &Refusal, tongue: Tongue, unread: Option<Unread>, now: Now) -> Response<Body> {
        let answer = match tongue {
            Tongue::Http => answers::render(refusal, now),
            Tongue::Grpc => answers::grpc::render(refusal),
        };
        settle(answer, unread)
    }

    /// Nothing of the request is at hand any more.
    fn answer_to_panic(&self, client: &Client) -> (Response<Body>, Record) {
        self.observer.metrics().panics.inc();
        tracing::error!("a request ended by a panic; this is a bug");
        let now = self.clock.now();
        let view = self.view();
        let decide = &view.standing.decide;
        let refusal = decide.refuse_unread(Reason::InternalError, client.peer, now);
        let record = Record {
            route: refusal.route.clone(),
            kind: None,
            outcome: RequestOutcome::Failed,
            failure: None,
        };
        (self.refuse(&refusal, Tongue::Http, None, now), record)
    }
}

/// Settles what becomes of a body that nobody read. `None`: it was handed on, and how much of it was read
/// is unknown.
pub(super) fn settle(answer: Response<Bytes>, unread: Option<Unread>) -> Response<Body> {
    let mut response = answer.map(Body::full);
    let after = match unread {
        Some(unread) => unread::settle(unread),
        None => unread::After::Close,
    };
    if after == unread::After::Close {
        close_after(&mut response);
    }
    response
}

impl Client {
    /// A client whose upstream's clock this is.
    pub(super) fn new(arrival: Arrival, wire: Wire, exchange: Deadline) -> Self {
        Self {
            peer: arrival.peer,
            listener: arrival.listener,
            scheme: arrival.scheme,
            covers: arrival.covers,
            wire,
            exchange: Rc::new(Exchange::new(exchange)),
            tunnel: RefCell::new(None),
            noted: RefCell::new(None),
        }
    }

    /// Plain or TLS, as its listener has it.
    pub(super) fn scheme(&self) -> Scheme {
        self.scheme
    }

    /// Why the gate is not asked at all. Brings a request over HTTP/2 into the form that everyone knows.
    fn offence(&self, parts: &mut request::Parts) -> Option<Reason> {
        match &self.wire {
            // Earlier requests of the connection may still be on their way through: the method tells.
            Wire::Http1(line) => {
                let refused = line.refusal().filter(|_| parts.method.as_str() == REFUSED_METHOD);
                if refused.is_some() {
                    return refused;
                }
            }
            Wire::Http2(_) if parts.version == Version::HTTP_2 => {
                if let Err(reason) = http2::request::settle(parts, self.listener.connection.head_max_fields) {
                    return Some(reason);
                }
            }
            Wire::Http2(_) => return Some(Reason::MalformedRequest),
        }
        let covers = self.covers.as_ref()?;
        let host = host_of(parts)?;
        (!covers.covers(host)).then_some(Reason::MisdirectedRequest)
    }

    /// gRPC is spoken over HTTP/2 only.
    fn tongue(&self, headers: &HeaderMap) -> Tongue {
        let kind = self.wire.stream().and_then(|_| headers.get(CONTENT_TYPE));
        match kind.is_some_and(answers::grpc::is_spoken_by) {
            true => Tongue::Grpc,
            false => Tongue::Http,
        }
    }

    fn facts<'a, D>(&'a self, parts: &'a request::Parts, view: &'a View<D>) -> Facts<'a> {
        Facts {
            method: &parts.method,
            path: parts.uri.path(),
            query: parts.uri.query(),
            target: parts.uri.path_and_query(),
            host: host_of(parts),
            headers: &parts.headers,
            peer: self.peer,
            trusted_proxies: view.trusted_proxies(&self.listener),
            scheme: self.scheme,
        }
    }
}

/// Whether the client waits for `100 Continue`. A client of HTTP/1.0 does not know it (RFC 9110 section 10.1.1).
pub(super) fn expects(parts: &request::Parts) -> bool {
    parts.version != Version::HTTP_10 && parts.headers.contains_key(EXPECT)
}

/// Whom the client asked.
fn host_of(parts: &request::Parts) -> Option<&str> {
    match parts.uri.authority() {
        // The screen, or `http2::request`, made sure that it agrees with `Host`.
        Some(authority) => Some(authority.as_str()),
        None => parts.headers.get(HOST).and_then(|host| host.to_str().ok()),
    }
}

/// Over HTTP/2 hyper leaves the field out.
fn close_after(response: &mut Response<Body>) {
    response
        .headers_mut()
        .insert(CONNECTION, HeaderValue::from_static("close"));
}
