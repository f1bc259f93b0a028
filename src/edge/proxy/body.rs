//! Bodies on their way through: streamed, never collected, without a box on the fast path.
//!
//! A request's body is counted against its route's bound while it streams, and tells the upstream's clock
//! whose turn it is (`exchange`). An answer's body gives its upstream connection back to the pool when it ends,
//! and closes it when it does not. What passes of trailers `trailers` says.

use std::cell::Cell;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Buf, Bytes};
use http_body::{Body as HttpBody, Frame, SizeHint};
use hyper::body::Incoming;

use super::access::{Ended, Noted};
use super::exchange::Exchange;
use super::http2::Stream;
use super::lease::Lease;
use super::observe::Observed;
use super::screen::Busy;
use super::trailers::Trailers;
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
    /// The client's body stood still for too long, after its answer.
    #[error("the client's body stood still for too long")]
    ClientIdle,
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
    /// The client's end of it; `None` for a copy of one that was empty.
    incoming: Option<Incoming>,
    /// Bytes the route still allows.
    left: u64,
    /// Says whose turn it is.
    exchange: Rc<Exchange>,
    /// How long the upstream may take to answer what it has.
    turn: Duration,
    /// More was awaited from the client when its answer was out already.
    waited: bool,
    /// The client's clock, where the screen has none.
    stream: Option<Rc<Stream>>,
    trailers: Trailers,
    /// Where it is told how it ended, when nobody else says so: over HTTP/2 hyper keeps that to itself.
    fault: Option<Rc<Cell<Option<Fault>>>>,
    /// Where its bytes are counted, when somebody wants to know.
    noted: Option<Rc<Noted>>,
    ended: bool,
}

impl RequestBody {
    /// Streams `incoming`, at most `max_bytes` of it.
    pub(super) fn new(
        incoming: Incoming,
        max_bytes: Option<u64>,
        exchange: Rc<Exchange>,
        turn: Duration,
        stream: Option<Rc<Stream>>,
    ) -> Self {
        let ended = incoming.is_end_stream();
        Self {
            incoming: Some(incoming),
            left: max_bytes.unwrap_or(u64::MAX),
            exchange,
            turn,
            waited: false,
            stream,
            trailers: Trailers::Dropped,
            fault: None,
            noted: None,
            ended,
        }
    }

    /// Nothing at all, for the same exchange.
    pub(super) fn nothing(&self) -> Self {
        Self {
            incoming: None,
            left: 0,
            exchange: Rc::clone(&self.exchange),
            turn: self.turn,
            waited: false,
            stream: None,
            trailers: Trailers::Dropped,
            fault: None,
            noted: None,
            ended: true,
        }
    }

    /// The same body, whose bytes are counted here.
    #[must_use]
    pub(super) fn noting(self, noted: Option<Rc<Noted>>) -> Self {
        Self { noted, ..self }
    }

    /// The same body, whose trailers go this way.
    #[must_use]
    pub fn with_trailers(self, trailers: Trailers) -> Self {
        Self { trailers, ..self }
    }

    /// Whose fault it will be, should it not arrive whole. Known while it is sent and after.
    pub(super) fn watch(&mut self) -> Rc<Cell<Option<Fault>>> {
        Rc::clone(self.fault.get_or_insert_default())
    }

    /// The client's turn. Over HTTP/1 it has a clock of its own, below hyper; over HTTP/2 its stream's, which
    /// is gone once the answer is out.
    fn wait(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        self.exchange.request_waits();
        let Some(stream) = &self.stream else {
            return Poll::Pending;
        };
        if self.exchange.is_clients_turn() {
            stream.clients_turn();
        }
        ready!(
            self.exchange
                .poll_leftover(cx, stream.idle_timeout(), &mut self.waited)
        );
        self.fail(BodyError::ClientIdle)
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
    pub fn into_incoming(self) -> Option<Incoming> {
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
        let Some(incoming) = &mut this.incoming else {
            return Poll::Ready(None);
        };
        let Poll::Ready(frame) = Pin::new(incoming).poll_frame(cx) else {
            return this.wait(cx);
        };
        this.waited = false;
        if let Some(stream) = this.stream.as_ref().filter(|_| this.exchange.is_clients_turn()) {
            stream.our_turn();
        }
        this.exchange.request_moved(this.turn);
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
                let trailers = trailers.and_then(|fields| this.trailers.pass(fields));
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
        if let Some(noted) = &this.noted {
            noted.passed_in(data.len());
        }
        Poll::Ready(Some(Ok(Frame::data(data))))
    }

    fn is_end_stream(&self) -> bool {
        self.ended
            || self
                .incoming
                .as_ref()
                .is_none_or(|incoming| incoming.is_end_stream())
    }

    fn size_hint(&self) -> SizeHint {
        let incoming = self.incoming.as_ref();
        incoming.map_or(SizeHint::with_exact(0), |incoming| incoming.size_hint())
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
    exchange: Rc<Exchange>,
    trailers: Trailers,
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
    pub(super) fn upstream(
        incoming: Incoming,
        lease: Lease,
        exchange: Rc<Exchange>,
        trailers: Trailers,
    ) -> Self {
        if incoming.is_end_stream() {
            lease.give_back();
            exchange.answered();
            return Self::empty();
        }
        Self {
            source: Source::Upstream(Upstream {
                incoming,
                lease: Some(lease),
                exchange,
                trailers,
            }),
            tail: None,
        }
    }

    /// The same body, with what is to be done once it is out.
    pub fn ending_with(mut self, busy: Option<Busy>, observed: Observed) -> Self {
        if let Some(noted) = observed.noted()
            && (self.is_end_stream() || noted.is_head())
        {
            noted.ends(Ended::Whole);
        }
        self.tail = Some((busy, observed));
        self
    }

    fn poll_source(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        match &mut self.source {
            Source::Upstream(upstream) => upstream.poll_data(cx),
            Source::Empty => Poll::Ready(None),
            Source::Full(bytes) => {
                let bytes = std::mem::take(bytes);
                self.source = Source::Empty;
                Poll::Ready(Some(Ok(Frame::data(bytes))))
            }
        }
    }
}

/// What the access log is told of a piece of an answer; after the last one hyper does not ask again.
fn note(noted: &Noted, piece: Option<&Result<Frame<Bytes>, BodyError>>, is_last: impl Fn() -> bool) {
    match piece {
        Some(Ok(frame)) => {
            noted.passed_out(frame.data_ref().map_or(0, Bytes::len));
            if is_last() {
                noted.ends(Ended::Whole);
            }
        }
        Some(Err(_)) => noted.ends(Ended::UpstreamBroke),
        None => noted.ends(Ended::Whole),
    }
}

impl Upstream {
    fn poll_data(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        if self.exchange.is_over() {
            self.failed(UpstreamFailure::TotalTimeout);
            return Poll::Ready(Some(Err(BodyError::Total)));
        }
        let Poll::Ready(frame) = Pin::new(&mut self.incoming).poll_frame(cx) else {
            ready!(self.exchange.poll_answer(cx));
            let (failure, error) = match self.exchange.is_over() {
                true => (UpstreamFailure::TotalTimeout, BodyError::Total),
                false => (UpstreamFailure::IdleTimeout, BodyError::UpstreamIdle),
            };
            self.failed(failure);
            return Poll::Ready(Some(Err(error)));
        };
        self.exchange.answer_moved();
        match frame {
            Some(Ok(frame)) => match frame.into_data() {
                Ok(data) => Poll::Ready(Some(Ok(Frame::data(data)))),
                // Trailers come last.
                Err(last) => {
                    self.give_back();
                    let trailers = last.into_trailers().ok();
                    Poll::Ready(trailers.and_then(|fields| self.trailers.pass(fields)).map(Ok))
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
        self.exchange.answered();
    }
}

impl HttpBody for Body {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let this = self.get_mut();
        let polled = this.poll_source(cx);
        if let (Poll::Ready(piece), Some((_, observed))) = (&polled, &this.tail)
            && let Some(noted) = observed.noted()
        {
            note(noted, piece.as_ref(), || this.is_end_stream());
        }
        polled
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
