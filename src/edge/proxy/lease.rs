//! A connection to an upstream while one request uses it: over HTTP/1 the whole connection, over HTTP/2 one
//! stream of it. The pool lends it and takes it back; a lease that is dropped instead ends what it holds.

use std::cell::Cell;
use std::future::Future;
use std::rc::Rc;
use std::sync::Arc;

use futures::future::Either;
use http::uri::Scheme;
use http::{Request, Response};
use http_body::Body as _;
use hyper::body::Incoming;
use hyper::client::conn::{TrySendError, http1, http2};
use tokio::sync::oneshot;

use super::body::{Fault, RequestBody};
use super::endpoint_pool::Pool;
use super::screen::Asked;
use super::upgrade::Switched;
use super::version;
use crate::domain::clock::MonoMillis;
use crate::telemetry::labels::UpstreamFailure;

/// A connection in use. Dropped, it is closed; given back, it waits for the next request.
#[derive(Debug)]
pub struct Lease {
    sender: Sender,
    pool: Rc<Pool>,
}

#[derive(Debug)]
enum Sender {
    Http1(Whole),
    /// The same, for a request that asks for another protocol: the connection comes from here when it gets it.
    Switching(Whole, oneshot::Receiver<Switched>),
    Http2(http2::SendRequest<RequestBody>, Stream),
}

/// hyper's end of an HTTP/1 connection, and what the screen below it must know of each request.
#[derive(Debug)]
pub(super) struct Whole {
    pub(super) sender: http1::SendRequest<RequestBody>,
    pub(super) asked: Arc<Asked>,
}

/// How many requests an HTTP/2 connection carries.
#[derive(Debug)]
pub(super) struct Streams {
    pub(super) open: Cell<u32>,
    pub(super) idle_since: Cell<MonoMillis>,
    /// Whether new requests go on it: not once one was left without an answer.
    pub(super) trusted: Cell<bool>,
}

/// One of them, until it is dropped.
#[derive(Debug)]
struct Stream {
    of: Rc<Streams>,
    pool: Rc<Pool>,
}

impl Drop for Stream {
    fn drop(&mut self) {
        self.of.open.set(self.of.open.get().saturating_sub(1));
        self.of.idle_since.set(self.pool.now());
    }
}

impl Lease {
    /// A whole HTTP/1 connection.
    pub(super) fn whole(sender: Whole, pool: Rc<Pool>) -> Self {
        Self {
            sender: Sender::Http1(sender),
            pool,
        }
    }

    /// A whole HTTP/1 connection that may come to speak another protocol.
    pub(super) fn switching(whole: Whole, switched: oneshot::Receiver<Switched>, pool: Rc<Pool>) -> Self {
        Self {
            sender: Sender::Switching(whole, switched),
            pool,
        }
    }

    /// A stream of an HTTP/2 connection.
    pub(super) fn stream(
        sender: http2::SendRequest<RequestBody>,
        streams: &Rc<Streams>,
        pool: Rc<Pool>,
    ) -> Self {
        streams.open.set(streams.open.get().saturating_add(1));
        let stream = Stream {
            of: Rc::clone(streams),
            pool: Rc::clone(&pool),
        };
        Self {
            sender: Sender::Http2(sender, stream),
            pool,
        }
    }

    /// Brings the request into the form that this connection wants. Over HTTP/2 it can be asked later, whose
    /// fault it was that the body did not arrive.
    pub(super) fn prepare(
        &self,
        request: &mut Request<RequestBody>,
    ) -> Result<Option<Rc<Cell<Option<Fault>>>>, http::Error> {
        match self.sender {
            Sender::Http1(_) | Sender::Switching(..) => {
                version::to_http1(request)?;
                Ok(None)
            }
            Sender::Http2(..) => {
                let scheme = match self.pool.is_over_tls() {
                    true => Scheme::HTTPS,
                    false => Scheme::HTTP,
                };
                version::to_http2(request, scheme, &self.pool.settings().authority())?;
                let has_body = !request.body().is_end_stream();
                Ok(has_body.then(|| request.body_mut().watch()))
            }
        }
    }

    /// Whether other requests share the connection: HTTP/2.
    pub(super) fn is_shared(&self) -> bool {
        matches!(self.sender, Sender::Http2(..))
    }

    /// Sends the request. An error holds the request again when nothing of it was sent.
    pub(super) fn send(
        &mut self,
        request: Request<RequestBody>,
    ) -> impl Future<Output = Result<Response<Incoming>, TrySendError<Request<RequestBody>>>> + use<> {
        match &mut self.sender {
            Sender::Http1(whole) => {
                whole.asked.expect(request.method());
                Either::Left(whole.sender.try_send_request(request))
            }
            Sender::Switching(whole, _) => {
                whole.asked.expect_switch();
                Either::Left(whole.sender.try_send_request(request))
            }
            Sender::Http2(sender, _) => Either::Right(sender.try_send_request(request)),
        }
    }

    /// Keeps the connection for the next request.
    pub fn give_back(self) {
        // A stream ends by being dropped; its connection was never away.
        if let Sender::Http1(whole) | Sender::Switching(whole, _) = self.sender {
            self.pool.keep(whole);
        }
    }

    /// The connection itself, after a 101: it is no connection of HTTP any more. `None`: it ended.
    pub(super) async fn switched(self) -> Option<Switched> {
        match self.sender {
            // hyper's end lives until the connection has left hyper.
            Sender::Switching(_whole, switched) => switched.await.ok(),
            Sender::Http1(_) | Sender::Http2(..) => None,
        }
    }

    /// No answer came, or none will: a connection that others share may be dead.
    pub(super) fn distrust(&self) {
        if let Sender::Http2(_, stream) = &self.sender {
            stream.of.trusted.set(false);
        }
    }

    /// Counts that the exchange on it failed.
    pub fn failed(&self, failure: UpstreamFailure) {
        self.pool.metrics().failures.inc(failure);
    }
}
