//! Bodies on their way through: streamed, never collected, without a box on the fast path.
//!
//! A request's body is counted against its route's bound while it streams, and tells the upstream's clock
//! whose turn it is. An answer's body gives its upstream connection back to the pool when it ends, and
//! closes it when it does not. Trailers end here, but where both ends speak HTTP/2: then they go on without
//! the fields that may not stand in a head either.

use std::cell::Cell;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Buf, Bytes};
use http::HeaderMap;
use http::header::{CONTENT_LENGTH, HOST};
use http_body::{Body as HttpBody, Frame, SizeHint};
use hyper::body::Incoming;

use super::http2::Stream;
use super::lease::Lease;
use super::observe::Observed;
use super::screen::Busy;
use crate::gate::upstream_headers::{UpstreamHeaders, strip_hop_by_hop};
use crate::runtime::deadlines::Deadline;
use crate::telemetry::labels::UpstreamFailure;

/// Why a body ended early.
#[derive(Debug, thiserror::Error)]
pub enum BodyError {
    /// The client sent more than the route allows.
    #[error("the request body is too large")]
    TooLarge,
    /// The client broke off or broke the framing.
    #[error("the client's body ended early")]
    Client(#[source] hyper::Error),
    /// The upstream broke off or broke the framing.
    #[error("the upstream's body ended early")]
    Upstream(#[source] hyper::Error),
    /// The upstream's body stood still for too long.
    #[error("the upstream's body stood still for too long")]
    UpstreamIdle,
    /// The whole exchange took too long.
    #[error("request and answer together took too long")]
    Total,
}

/// What becomes of trailers.
#[derive(Debug, Clone)]
pub enum Trailers {
    /// They end here.
    Dropped,
    /// They go on, without what this would strip from a head.
    Passed(Arc<UpstreamHeaders>),
}

impl Trailers {
    /// What goes on of a request's.
    fn of_request(&self, mut fields: HeaderMap) -> Option<Frame<Bytes>> {
        let Self::Passed(writer) = self else {
            return None;
        };
        strip_hop_by_hop(&mut fields);
        writer.strip_trailers(&mut fields);
        fields.remove(CONTENT_LENGTH);
        fields.remove(HOST);
        Some(Frame::trailers(fields))
    }

    /// What goes on of an answer's.
    fn of_answer(&self, mut fields: HeaderMap) -> Option<Frame<Bytes>> {
        let Self::Passed(_) = self else {
            return None;
        };
        strip_hop_by_hop(&mut fields);
        fields.remove(CONTENT_LENGTH);
        Some(Frame::trailers(fields))
    }
}

/// Whose fault it is that a request's body did not arrive whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fault {
    /// It was more than the route allows.
    TooLarge,
    /// The client broke off.
    Client,
}

/// A request's body on its way to the upstream.
#[derive(Debug)]
pub struct RequestBody {
    incoming: Incoming,
    /// Bytes the route still allows.
    left: u64,
    /// The upstream's clock: runs only while the upstream has all that the client has sent so far.
    clock: Rc<Deadline>,
    turn: Duration,
    /// The client's clock, where the screen has none.
    stream: Option<Rc<Stream>>,
    trailers: Trailers,
    /// Where it is told how it ended, when nobody else says so: over HTTP/2 hyper keeps that to itself.
    fault: Option<Rc<Cell<Option<Fault>>>>,
    ended: bool,
}

impl RequestBody {
    /// Streams `incoming`, at most `max_bytes` of it.
    pub(super) fn new(
        incoming: Incoming,
        max_bytes: Option<u64>,
        clock: Rc<Deadline>,
        turn: Duration,
        stream: Option<Rc<Stream>>,
    ) -> Self {
        let ended = incoming.is_end_stream();
        Self {
            incoming,
            left: max_bytes.unwrap_or(u64::MAX),
            clock,
            turn,
            stream,
            trailers: Trailers::Dropped,
            fault: None,
            ended,
        }
    }

    /// The same body, whose trailers go this way.
    #[must_use]
    pub fn with_trailers(self, trailers: Trailers) -> Self {
        Self { trailers, ..self }
    }

    /// What becomes of its trailers.
    pub fn trailers(&self) -> &Trailers {
        &self.trailers
    }

    /// Whose fault it will be, should it not arrive whole. Known while it is sent and after.
    pub(super) fn watch(&mut self) -> Rc<Cell<Option<Fault>>> {
        Rc::clone(self.fault.get_or_insert_default())
    }

    fn fail(&mut self, error: BodyError) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        if let Some(told) = &self.fault {
            told.set(Some(match error {
                BodyError::TooLarge => Fault::TooLarge,
                _ => Fault::Client,
            }));
        }
        Poll::Ready(Some(Err(error)))
    }

    /// The client's end of it, when nothing was sent.
    pub fn into_incoming(self) -> Incoming {
        self.incoming
    }
}

impl HttpBody for RequestBody {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let this = self.get_mut();
        let Poll::Ready(frame) = Pin::new(&mut this.incoming).poll_frame(cx) else {
            // The client's turn: over HTTP/1 it has a clock of its own below hyper.
            this.clock.clear();
            if let Some(stream) = &this.stream {
                stream.clients_turn();
            }
            return Poll::Pending;
        };
        if let Some(stream) = &this.stream {
            stream.our_turn();
        }
        this.clock.set(this.turn);
        let frame = match frame.transpose().map_err(BodyError::Client) {
            Ok(frame) => frame,
            Err(error) => return this.fail(error),
        };
        let data = match frame.map(Frame::into_data) {
            Some(Ok(data)) => data,
            // Trailers come last.
            Some(Err(last)) => {
                this.ended = true;
                let trailers = last.into_trailers().ok();
                let trailers = trailers.and_then(|fields| this.trailers.of_request(fields));
                return Poll::Ready(trailers.map(Ok));
            }
            None => {
                this.ended = true;
                return Poll::Ready(None);
            }
        };
        match this.left.checked_sub(data.len() as u64) {
            Some(left) => this.left = left,
            None => return this.fail(BodyError::TooLarge),
        }
        Poll::Ready(Some(Ok(Frame::data(data))))
    }

    fn is_end_stream(&self) -> bool {
        self.ended || self.incoming.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.incoming.size_hint()
    }
}

/// An answer's body on its way to the client.
#[derive(Debug)]
pub struct Body {
    source: Source,
    /// Dropped when the answer is out: the connection is idle from then on, and the request is counted.
    tail: Option<(Option<Busy>, Observed)>,
}

#[derive(Debug)]
enum Source {
    Empty,
    Full(Bytes),
    Upstream(Upstream),
}

#[derive(Debug)]
struct Upstream {
    incoming: Incoming,
    lease: Option<Lease>,
    clock: Rc<Deadline>,
    idle_timeout: Duration,
    trailers: Trailers,
    waits: bool,
}

impl Body {
    /// None.
    pub fn empty() -> Self {
        Self {
            source: Source::Empty,
            tail: None,
        }
    }

    /// Of our own making.
    pub fn full(bytes: Bytes) -> Self {
        let source = match bytes.is_empty() {
            true => Source::Empty,
            false => Source::Full(bytes),
        };
        Self { source, tail: None }
    }

    /// The upstream's, whose connection goes back to the pool at its end.
    pub fn upstream(
        incoming: Incoming,
        lease: Lease,
        clock: Rc<Deadline>,
        idle_timeout: Duration,
        trailers: Trailers,
    ) -> Self {
        if incoming.is_end_stream() {
            lease.give_back();
            return Self::empty();
        }
        Self {
            source: Source::Upstream(Upstream {
                incoming,
                lease: Some(lease),
                clock,
                idle_timeout,
                trailers,
                waits: false,
            }),
            tail: None,
        }
    }

    /// The same body, with what is to be done once it is out.
    pub fn ending_with(mut self, busy: Option<Busy>, observed: Observed) -> Self {
        self.tail = Some((busy, observed));
        self
    }
}

impl Upstream {
    fn poll_data(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        if self.clock.is_over() {
            self.failed(UpstreamFailure::TotalTimeout);
            return Poll::Ready(Some(Err(BodyError::Total)));
        }
        let Poll::Ready(frame) = Pin::new(&mut self.incoming).poll_frame(cx) else {
            if !self.waits {
                self.waits = true;
                self.clock.set(self.idle_timeout);
            }
            ready!(self.clock.poll_expired(cx));
            let (failure, error) = match self.clock.is_over() {
                true => (UpstreamFailure::TotalTimeout, BodyError::Total),
                false => (UpstreamFailure::IdleTimeout, BodyError::UpstreamIdle),
            };
            self.failed(failure);
            return Poll::Ready(Some(Err(error)));
        };
        if std::mem::take(&mut self.waits) {
            self.clock.clear();
        }
        match frame {
            Some(Ok(frame)) => match frame.into_data() {
                Ok(data) => Poll::Ready(Some(Ok(Frame::data(data)))),
                // Trailers come last.
                Err(last) => {
                    self.give_back();
                    let trailers = last.into_trailers().ok();
                    Poll::Ready(
                        trailers
                            .and_then(|fields| self.trailers.of_answer(fields))
                            .map(Ok),
                    )
                }
            },
            Some(Err(error)) => {
                self.failed(UpstreamFailure::InvalidAnswer);
                Poll::Ready(Some(Err(BodyError::Upstream(error))))
            }
            None => {
                self.give_back();
                Poll::Ready(None)
            }
        }
    }

    /// The answer stays incomplete; its connection is not used again.
    fn failed(&mut self, failure: UpstreamFailure) {
        if let Some(lease) = self.lease.take() {
            lease.failed(failure);
        }
    }

    fn give_back(&mut self) {
        if let Some(lease) = self.lease.take() {
            lease.give_back();
        }
    }
}

impl Drop for Upstream {
    /// hyper does not ask for the end of a body whose length it knows.
    fn drop(&mut self) {
        if self.incoming.is_end_stream() {
            self.give_back();
        }
        if self.waits {
            self.clock.clear();
        }
    }
}

impl HttpBody for Body {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let source = &mut self.get_mut().source;
        match source {
            Source::Upstream(upstream) => upstream.poll_data(cx),
            Source::Empty => Poll::Ready(None),
            Source::Full(bytes) => {
                let bytes = std::mem::take(bytes);
                *source = Source::Empty;
                Poll::Ready(Some(Ok(Frame::data(bytes))))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.source {
            Source::Empty => true,
            Source::Full(_) => false,
            Source::Upstream(upstream) => upstream.incoming.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.source {
            Source::Empty => SizeHint::with_exact(0),
            Source::Full(bytes) => SizeHint::with_exact(bytes.remaining() as u64),
            Source::Upstream(upstream) => upstream.incoming.size_hint(),
        }
    }
}
