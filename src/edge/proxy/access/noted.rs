//! What is noted of one request while it is served. Whoever works for it has a hold on it (its answer's body,
//! its own body on the way to the upstream, a tunnel); its line is written when the last one lets go.

use std::cell::{Cell, OnceCell};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use http::uri::PathAndQuery;
use http::{HeaderValue, Method, StatusCode, Version, request};

use super::super::observe::Record;
use super::super::screen::REFUSED_METHOD;
use super::super::service::Client;
use super::{Ended, Field, Line, Policy, Writer};
use crate::domain::clock::{Stopwatch, UnixMillis};
use crate::domain::ids::PrincipalId;
use crate::domain::net::ClientIp;
use crate::domain::reason::Reason;
use crate::gate::Verdict;
use crate::gate::upstream_headers::{TraceId, trace_id};

/// One request's notes.
#[derive(Debug)]
pub(in crate::edge::proxy) struct Noted {
    writer: Rc<Writer>,
    policy: Arc<Policy>,
    at: UnixMillis,
    started: Stopwatch,
    /// What the client asked for; `None` when its head could not be read.
    asked: Option<(Method, Option<PathAndQuery>)>,
    version: Version,
    listener: Arc<str>,
    scheme: &'static str,
    trace_id: Option<TraceId>,
    client: Cell<ClientIp>,
    request_id: OnceCell<HeaderValue>,
    record: OnceCell<Record>,
    status: Cell<Option<StatusCode>>,
    reason: Cell<Option<Reason>>,
    principal: OnceCell<PrincipalId>,
    upstream: OnceCell<Arc<str>>,
    decision: Cell<Option<Duration>>,
    upstream_took: Cell<Option<Duration>>,
    took: Cell<Option<Duration>>,
    bytes_in: Cell<u64>,
    bytes_out: Cell<u64>,
    ended: Cell<Ended>,
    /// A tunnel goes on after the answer.
    lasts: Cell<bool>,
}

impl Noted {
    /// A request whose head has arrived.
    pub(in crate::edge::proxy) fn begin(
        writer: &Rc<Writer>,
        policy: Arc<Policy>,
        client: &Client,
        parts: &request::Parts,
        started: Stopwatch,
        at: UnixMillis,
    ) -> Rc<Self> {
        // The screen hands on a head of its own making in the place of one that it refused.
        let readable = parts.method.as_str() != REFUSED_METHOD;
        Rc::new(Self {
            writer: Rc::clone(writer),
            policy,
            at,
            started,
            asked: readable.then(|| (parts.method.clone(), parts.uri.path_and_query().cloned())),
            version: parts.version,
            listener: Arc::clone(&client.listener.name),
            scheme: client.scheme().as_str(),
            trace_id: trace_id(&parts.headers),
            client: Cell::new(ClientIp::new(client.peer.ip())),
            request_id: OnceCell::new(),
            record: OnceCell::new(),
            status: Cell::new(None),
            reason: Cell::new(None),
            principal: OnceCell::new(),
            upstream: OnceCell::new(),
            decision: Cell::new(None),
            upstream_took: Cell::new(None),
            took: Cell::new(None),
            bytes_in: Cell::new(0),
            bytes_out: Cell::new(0),
            ended: Cell::new(Ended::ClientGone),
            lasts: Cell::new(false),
        })
    }

    /// The gate has spoken.
    pub(in crate::edge::proxy) fn decided(&self, verdict: &Verdict) {
        self.decision.set(Some(self.started.elapsed()));
        match verdict {
            Verdict::Forward(forwarding) => {
                self.client.set(forwarding.client);
                let _ = self.request_id.set(forwarding.request_id.clone());
                if let Some(upstream) = &forwarding.permit.route().upstream {
                    let _ = self.upstream.set(Arc::clone(upstream));
                }
                if let Some(who) = forwarding.permit.authentication()
                    && self.policy.fields.has(Field::Principal)
                {
                    let _ = self.principal.set(who.identity().principal.clone());
                }
            }
            Verdict::Refuse(refusal) => {
                self.client.set(refusal.client);
                self.reason.set(Some(refusal.reason));
                let _ = self.request_id.set(refusal.request_id.clone());
            }
        }
    }

    /// The upstream has begun its answer, or will not.
    pub(in crate::edge::proxy) fn upstream_took(&self, watch: Stopwatch) {
        self.upstream_took.set(Some(watch.elapsed()));
    }

    /// There is an answer.
    pub(in crate::edge::proxy) fn answered(&self, record: &Record, status: StatusCode) {
        if let Some(failure) = record.failure {
            self.reason.set(Some(failure));
        }
        let _ = self.record.set(record.clone());
        self.status.set(Some(status));
    }

    /// More of the client's body goes to the upstream.
    pub(in crate::edge::proxy) fn passed_in(&self, bytes: usize) {
        self.bytes_in
            .set(self.bytes_in.get().saturating_add(bytes as u64));
    }

    /// More of the answer's body goes to the client.
    pub(in crate::edge::proxy) fn passed_out(&self, bytes: usize) {
        self.bytes_out
            .set(self.bytes_out.get().saturating_add(bytes as u64));
    }

    /// The last that is known of how the answer ends.
    pub(in crate::edge::proxy) fn ends(&self, how: Ended) {
        if !self.lasts.get() {
            self.ended.set(how);
        }
    }

    /// The answer is not the end of it: a tunnel follows, and [`Self::tunnel_ended`].
    pub(in crate::edge::proxy) fn becomes_a_tunnel(&self) {
        self.lasts.set(true);
    }

    /// The tunnel that followed has ended, after so many bytes.
    pub(in crate::edge::proxy) fn tunnel_ended(&self, bytes_in: u64, bytes_out: u64, how: Ended) {
        self.bytes_in.set(bytes_in);
        self.bytes_out.set(bytes_out);
        self.ended.set(how);
    }

    /// Whether an answer to it has a body at all (RFC 9110 section 9.3.2).
    pub(in crate::edge::proxy) fn is_head(&self) -> bool {
        self.asked
            .as_ref()
            .is_some_and(|(method, _)| *method == Method::HEAD)
    }

    /// The answer is out, or given up.
    pub(in crate::edge::proxy) fn over(&self) {
        if !self.lasts.get() {
            self.took.set(Some(self.started.elapsed()));
        }
    }
}

impl Drop for Noted {
    fn drop(&mut self) {
        let record = self.record.get();
        let line = Line {
            at: self.at,
            request_id: self.request_id.get().and_then(|id| id.to_str().ok()),
            trace_id: self.trace_id.as_ref().map(TraceId::as_str),
            client: Some(self.client.get()),
            listener: &self.listener,
            protocol: Some(version_name(self.version)),
            scheme: self.scheme,
            method: self.asked.as_ref().map(|(method, _)| method.as_str()),
            path: self
                .asked
                .as_ref()
                .map(|(_, target)| target.as_ref().map_or("*", PathAndQuery::path)),
            route: record.map(|r| &*r.route),
            outcome: record.map(|r| r.outcome),
            status: self.status.get().map(|s| s.as_u16()),
            reason: self.reason.get().map(Reason::code),
            kind: record.and_then(|r| r.kind).map(|k| k.as_str()),
            principal: self.principal.get().map(PrincipalId::as_str),
            upstream: self.upstream.get().map(|u| &**u),
            bytes_in: self.bytes_in.get(),
            bytes_out: self.bytes_out.get(),
            decision: self.decision.get(),
            upstream_took: self.upstream_took.get(),
            duration: self.took.get().unwrap_or_else(|| self.started.elapsed()),
            ended: self.ended.get(),
        };
        self.writer.write(&self.policy, &line);
    }
}

fn version_name(version: Version) -> &'static str {
    match version {
        Version::HTTP_10 => "HTTP/1.0",
        Version::HTTP_2 => "HTTP/2",
        _ => "HTTP/1.1",
    }
}

/// The time in which a connection's request has no answer yet. However that ends, its notes are let go of.
pub(in crate::edge::proxy) struct Turn<'a> {
    client: &'a Client,
}

impl<'a> Turn<'a> {
    /// The client's next request, if notes are taken of it.
    pub(in crate::edge::proxy) fn of(client: &'a Client, noted: Option<Rc<Noted>>) -> Self {
        if noted.is_some() {
            *client.noted.borrow_mut() = noted;
        }
        Self { client }
    }

    /// The notes, for whoever gives the answer.
    pub(in crate::edge::proxy) fn end(self) -> Option<Rc<Noted>> {
        self.client.noted.borrow_mut().take()
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        drop(self.client.noted.borrow_mut().take());
    }
}
