//! Connections to one endpoint of an upstream, kept by one data thread for itself.
//!
//! HTTP/1: a connection goes back when the *body* of its answer has ended, not right after the head: so only
//! connections that are free (or free within the same poll) wait here, the bound on idle ones means what
//! it says, and an exchange that was broken off never comes back. `take` still asks hyper whether the
//! connection is ready: the end of the *request* may be outstanding after an early answer.
//! HTTP/2: a connection is shared by as many requests as the bound allows; one more opens another.
//! A request that asks for another protocol gets a fresh HTTP/1 connection, which stays here when it is refused.

use std::cell::{Cell, RefCell};
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;

use hyper::client::conn::{http1, http2};
use hyper::rt::Executor;
use hyper_util::rt::TokioIo;
use rustls::HandshakeKind;
use tokio::sync::{Mutex, oneshot};

use super::body::RequestBody;
use super::lease::{Lease, Streams, Whole};
use super::screen::{AnswerScreen, Asked};
use super::upgrade::Switched;
use super::upstream::{
    Change, DialError, Dialed, Directory, Endpoint, HttpVersion, Protocol, Security, Stream,
    UpstreamSettings, dial, dial_http1,
};
use crate::domain::clock::{Clock, MonoMillis};
use crate::runtime::workers::spawn_here;
use crate::telemetry::labels::{ConnectOutcome, TlsHandshake, UpstreamFailure};
use crate::telemetry::{Held, UpstreamMetrics};

/// Most bytes read, or held to be written, at once; also the longest head of an answer.
const MAX_BUFFER: usize = 64 * 1024;
/// Most bytes of an answer that wait for one slow client, over HTTP/2.
const STREAM_WINDOW: u32 = 128 * 1024;
/// The same for all streams of a connection: more than they can fill together, or slow clients would hold up
/// the others.
const CONNECTION_WINDOW: u32 = 16 * 1024 * 1024;

/// The connections to one endpoint.
#[derive(Debug)]
pub struct Pool {
    directory: Arc<Directory>,
    endpoint: Arc<Endpoint>,
    clock: Clock,
    idle: RefCell<Vec<Idle>>,
    shared: RefCell<Vec<Shared>>,
    /// What was spoken on the last connection.
    spoken: Cell<Option<HttpVersion>>,
    /// Held while a connection is opened that others could share: they wait for it.
    opening: Mutex<()>,
    /// Set when the upstream no longer has this endpoint.
    vanished: Cell<bool>,
}

#[derive(Debug)]
struct Idle {
    whole: Whole,
    since: MonoMillis,
}

#[derive(Debug)]
struct Shared {
    sender: http2::SendRequest<RequestBody>,
    streams: Rc<Streams>,
}

/// A connection that was opened just now.
enum Opened {
    Whole(Whole),
    Shared(http2::SendRequest<RequestBody>),
}

/// Starts hyper's tasks on the data thread.
#[derive(Debug, Clone, Copy)]
struct Here;

impl<F: Future<Output = ()> + 'static> Executor<F> for Here {
    fn execute(&self, task: F) {
        spawn_here(task);
    }
}

impl Pool {
    /// No connections yet.
    pub(super) fn new(directory: Arc<Directory>, endpoint: Arc<Endpoint>, clock: Clock) -> Rc<Self> {
        Rc::new(Self {
            directory,
            endpoint,
            clock,
            idle: RefCell::default(),
            shared: RefCell::default(),
            spoken: Cell::new(None),
            opening: Mutex::new(()),
            vanished: Cell::new(false),
        })
    }

    /// Where its connections lead.
    pub(super) fn endpoint(&self) -> &Arc<Endpoint> {
        &self.endpoint
    }

    pub(super) fn settings(&self) -> &UpstreamSettings {
        self.directory.settings()
    }

    pub(super) fn metrics(&self) -> &UpstreamMetrics {
        self.directory.metrics()
    }

    pub(super) fn now(&self) -> MonoMillis {
        self.clock.now().mono
    }

    pub(super) fn is_over_tls(&self) -> bool {
        let target = self.settings().targets.get(self.endpoint.target());
        target.is_some_and(|t| t.address.security() == Security::Tls)
    }

    /// A connection that waits and is ready, newest first; or a stream on one that is shared.
    pub fn take(self: &Rc<Self>) -> Option<Lease> {
        if self.settings().protocol != Protocol::Http1
            && let Some(stream) = self.stream()
        {
            return Some(stream);
        }
        let mut idle = self.idle.borrow_mut();
        let mut at = idle.len();
        while let Some(candidate) = at.checked_sub(1) {
            at = candidate;
            let entry = idle.get(candidate)?;
            if entry.whole.sender.is_closed() {
                idle.swap_remove(candidate);
            } else if entry.whole.sender.is_ready() {
                let whole = idle.swap_remove(candidate).whole;
                return Some(Lease::whole(whole, Rc::clone(self)));
            }
        }
        None
    }

    /// A stream on a shared connection that has room for one.
    fn stream(self: &Rc<Self>) -> Option<Lease> {
        let mut shared = self.shared.borrow_mut();
        shared.retain(|c| !c.sender.is_closed() && c.streams.trusted.get());
        let most = self.settings().max_streams;
        let free = shared.iter().find(|c| c.streams.open.get() < most)?;
        Some(Lease::stream(free.sender.clone(), &free.streams, Rc::clone(self)))
    }

    /// Takes an HTTP/1 connection back.
    pub(super) fn keep(&self, whole: Whole) {
        let mut idle = self.idle.borrow_mut();
        let bound = self.settings().max_idle_per_thread;
        if !whole.sender.is_closed() && !self.vanished.get() && idle.len() < bound {
            let since = self.now();
            idle.push(Idle { whole, since });
        }
    }

    /// Connections in use end with their answers, the others now.
    pub(super) fn vanish(&self) {
        self.vanished.set(true);
        self.idle.borrow_mut().clear();
        self.shared.borrow_mut().clear();
    }

    /// Closes what has been idle for too long.
    pub(super) fn prune(&self) {
        let now = self.now();
        let bound = self.settings().idle_timeout.as_millis();
        let young = |since: MonoMillis| u128::from(now.since(since)) < bound;
        self.idle
            .borrow_mut()
            .retain(|entry| !entry.whole.sender.is_closed() && young(entry.since));
        self.shared.borrow_mut().retain(|c| {
            !c.sender.is_closed() && (c.streams.open.get() > 0 || young(c.streams.idle_since.get()))
        });
    }

    /// Connections that wait.
    pub(super) fn idle(&self) -> usize {
        let unused = |c: &&Shared| c.streams.open.get() == 0;
        self.idle.borrow().len() + self.shared.borrow().iter().filter(unused).count()
    }

    /// Opens a new connection within the upstream's bound; or a stream on one that was opened for another
    /// request meanwhile.
    pub async fn connect(self: &Rc<Self>) -> Result<Lease, UpstreamFailure> {
        self.bounded(self.open()).await
    }

    /// Opens a new connection for a request that asks for another protocol. HTTP/1.1, whatever else could be.
    pub(super) async fn connect_to_switch(self: &Rc<Self>) -> Result<Lease, UpstreamFailure> {
        self.bounded(self.open_to_switch()).await
    }

    async fn bounded(
        &self,
        opening: impl Future<Output = Result<Lease, DialError>>,
    ) -> Result<Lease, UpstreamFailure> {
        let bound = self.settings().connect_timeout;
        let (outcome, failure, error) = match tokio::time::timeout(bound, opening).await {
            Ok(Ok(lease)) => return Ok(lease),
            Ok(Err(error @ DialError::Unreachable(_))) => (
                ConnectOutcome::Failed,
                UpstreamFailure::Unreachable,
                error.to_string(),
            ),
            Ok(Err(error @ DialError::Tls(_))) => (
                ConnectOutcome::TlsFailed,
                UpstreamFailure::TlsFailed,
                error.to_string(),
            ),
            Err(_) => (
                ConnectOutcome::TimedOut,
                UpstreamFailure::ConnectTimeout,
                "not in time".to_owned(),
            ),
        };
        self.metrics().connects.inc(outcome);
        self.tell(&error);
        Err(failure)
    }

    /// Once per row of failures: an app that is down is down for every request.
    fn tell(&self, error: &str) {
        let upstream = &*self.settings().name;
        let endpoint = self.endpoint.door();
        match self.endpoint.failed(self.now()) {
            Change::First => tracing::warn!(upstream, %endpoint, error, "no connection to the upstream"),
            Change::None => tracing::debug!(upstream, %endpoint, error, "no connection to the upstream"),
        }
    }

    async fn open(self: &Rc<Self>) -> Result<Lease, DialError> {
        let could_be_shared = match self.settings().protocol {
            Protocol::Http1 => false,
            Protocol::Http2 => true,
            Protocol::Auto => self.spoken.get() != Some(HttpVersion::One),
        };
        let mut alone = None;
        if could_be_shared {
            alone = Some(self.opening.lock().await);
            if let Some(stream) = self.stream() {
                return Ok(stream);
            }
        }
        let dialed = dial(&self.directory, &self.endpoint).await?;
        self.count_handshake(&dialed);
        let opened = self.greet(dialed).await.map_err(refused)?;
        self.metrics().connects.inc(ConnectOutcome::Connected);
        self.endpoint.connected();
        let lease = match opened {
            Opened::Whole(whole) => {
                self.spoken.set(Some(HttpVersion::One));
                Lease::whole(whole, Rc::clone(self))
            }
            Opened::Shared(sender) => {
                self.spoken.set(Some(HttpVersion::Two));
                let streams = Rc::new(Streams {
                    open: Cell::new(0),
                    idle_since: Cell::new(self.now()),
                    trusted: Cell::new(true),
                });
                let lease = Lease::stream(sender.clone(), &streams, Rc::clone(self));
                if !self.vanished.get() {
                    self.shared.borrow_mut().push(Shared { sender, streams });
                }
                lease
            }
        };
        drop(alone);
        Ok(lease)
    }

    async fn open_to_switch(self: &Rc<Self>) -> Result<Lease, DialError> {
        let dialed = dial_http1(&self.directory, &self.endpoint).await?;
        self.count_handshake(&dialed);
        let (whole, connection) = greet_http1(dialed.stream).await.map_err(refused)?;
        self.metrics().connects.inc(ConnectOutcome::Connected);
        self.endpoint.connected();
        let (hand_over, switched) = oneshot::channel();
        let counted = Held::in_gauge(&self.metrics().connections);
        spawn_here(async move {
            let mut connection = connection;
            // Not shut down at a 101, when hyper has done its part.
            match std::future::poll_fn(|cx| Pin::new(&mut connection).poll(cx)).await {
                Ok(()) => {
                    let parts = connection.into_parts();
                    // Nobody waits for it when it ends as any other.
                    let _ = hand_over.send(Switched {
                        stream: parts.io.into_inner().into_inner(),
                        read: parts.read_buf,
                        counted,
                    });
                }
                Err(error) => tracing::debug!(%error, "an upstream connection ended badly"),
            }
        });
        Ok(Lease::switching(whole, switched, Rc::clone(self)))
    }

    fn count_handshake(&self, dialed: &Dialed) {
        if let Some(kind) = dialed.handshake {
            self.metrics().tls_handshakes.inc(match kind {
                HandshakeKind::Resumed => TlsHandshake::Resumed,
                HandshakeKind::Full | HandshakeKind::FullWithHelloRetryRequest => TlsHandshake::Full,
            });
        }
    }

    async fn greet(&self, dialed: Dialed) -> hyper::Result<Opened> {
        match dialed.version {
            HttpVersion::One => {
                let (whole, connection) = greet_http1(dialed.stream).await?;
                self.drive(connection);
                Ok(Opened::Whole(whole))
            }
            HttpVersion::Two => {
                let (sender, connection) = http2::Builder::new(Here)
                    .initial_stream_window_size(STREAM_WINDOW)
                    .initial_connection_window_size(CONNECTION_WINDOW)
                    .max_header_list_size(MAX_BUFFER as u32)
                    .max_send_buf_size(MAX_BUFFER)
                    .handshake(TokioIo::new(dialed.stream))
                    .await?;
                self.drive(connection);
                Ok(Opened::Shared(sender))
            }
        }
    }

    /// Ends when the upstream closes, when the exchange breaks, or when the pool lets go of it.
    fn drive(&self, connection: impl Future<Output = hyper::Result<()>> + 'static) {
        let held = Held::in_gauge(&self.metrics().connections);
        spawn_here(async move {
            if let Err(error) = connection.await {
                tracing::debug!(%error, "an upstream connection ended badly");
            }
            drop(held);
        });
    }
}

type Http1Connection = http1::Connection<TokioIo<AnswerScreen<Stream>>, RequestBody>;

async fn greet_http1(stream: Stream) -> hyper::Result<(Whole, Http1Connection)> {
    let asked = Arc::new(Asked::default());
    let screen = TokioIo::new(AnswerScreen::new(stream, Arc::clone(&asked)));
    let mut greeting = http1::Builder::new();
    let (sender, connection) = greeting.max_buf_size(MAX_BUFFER).handshake(screen).await?;
    Ok((Whole { sender, asked }, connection))
}

fn refused(error: hyper::Error) -> DialError {
    DialError::Unreachable(std::io::Error::other(error))
}
