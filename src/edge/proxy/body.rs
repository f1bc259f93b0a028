//! Bodies on their way through: streamed, never collected, without a box on the fast path.
//!
//! A request's body is counted against its route's bound while it streams, and tells the upstream's clock
//! whose turn it is. An answer's body gives its upstream connection back to the pool when it ends, and
//! closes it when it does not. Trailers end here: they would carry fields past every check.

use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Buf, Bytes};
use http_body::{Body as HttpBody, Frame, SizeHint};
use hyper::body::Incoming;

use super::http2::Stream;
use super::observe::Observed;
use super::pool::Lease;
use super::screen::Busy;
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
            ended,
        }
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
            Ok(frame) => frame.and_then(|frame| frame.into_data().ok()),
            Err(error) => return Poll::Ready(Some(Err(error))),
        };
        let Some(data) = frame else {
            this.ended = true;
            return Poll::Ready(None);
        };
        match this.left.checked_sub(data.len() as u64) {
            Some(left) => this.left = left,
            None => return Poll::Ready(Some(Err(BodyError::TooLarge))),
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
    waits: bool,
}

impl Body {
    /// Of our own making.
    pub fn full(bytes: Bytes) -> Self {
        let source = match bytes.is_empty() {
            true => Source::Empty,
            false => Source::Full(bytes),
        };
        Self { source, tail: None }
    }

    /// The upstream's, whose connection goes back to the pool at its end.
    pub fn upstream(incoming: Incoming, lease: Lease, clock: Rc<Deadline>, idle_timeout: Duration) -> Self {
        if incoming.is_end_stream() {
            lease.give_back();
            return Self {
                source: Source::Empty,
                tail: None,
            };
        }
        Self {
            source: Source::Upstream(Upstream {
                incoming,
                lease: Some(lease),
                clock,
                idle_timeout,
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
        let Poll::Ready(frame) = Pin::new(&mut self.incoming).poll_frame(cx) else {
            if !self.waits {
                self.waits = true;
                self.clock.set(self.idle_timeout);
            }
            ready!(self.clock.poll_expired(cx));
            self.failed(UpstreamFailure::IdleTimeout);
            return Poll::Ready(Some(Err(BodyError::UpstreamIdle)));
        };
        if std::mem::take(&mut self.waits) {
            self.clock.clear();
        }
        match frame {
            Some(Ok(frame)) => match frame.into_data() {
                Ok(data) => Poll::Ready(Some(Ok(Frame::data(data)))),
                // Trailers come last.
                Err(_) => self.end(),
            },
            Some(Err(error)) => {
                self.failed(UpstreamFailure::InvalidAnswer);
                Poll::Ready(Some(Err(BodyError::Upstream(error))))
            }
            None => self.end(),
        }
    }

    /// The answer stays incomplete; its connection is not used again.
    fn failed(&mut self, failure: UpstreamFailure) {
        if let Some(lease) = self.lease.take() {
            lease.failed(failure);
        }
    }

    fn end(&mut self) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        if let Some(lease) = self.lease.take() {
            lease.give_back();
        }
        Poll::Ready(None)
    }
}

impl Drop for Upstream {
    /// hyper does not ask for the end of a body whose length it knows.
    fn drop(&mut self) {
        if self.incoming.is_end_stream()
            && let Some(lease) = self.lease.take()
        {
            lease.give_back();
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
