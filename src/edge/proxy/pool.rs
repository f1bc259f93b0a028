//! Connections to one upstream, kept by one data thread for itself, by endpoint.
//!
//! A connection goes back when the *body* of its answer has ended, not right after the head: so only
//! connections that are free (or free within the same poll) wait here, the bound on idle ones means what
//! it says, and an exchange that was broken off never comes back. `take` still asks hyper whether the
//! connection is ready: the end of the *request* may be outstanding after an early answer.
//! Which endpoints there are is the directory's to know; connections to one that vanished are not used again.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;

use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use rustls::HandshakeKind;
use tokio::sync::watch;

use super::body::RequestBody;
use super::upstream::{Change, DialError, Directory, Endpoint, Endpoints, Stream, UpstreamSettings, dial};
use crate::domain::clock::{Clock, MonoMillis};
use crate::runtime::workers::spawn_here;
use crate::telemetry::labels::{ConnectOutcome, TlsHandshake, UpstreamFailure};
use crate::telemetry::{Held, UpstreamMetrics};

/// Most bytes read, or held to be written, at once; also the longest head of an answer.
const MAX_BUFFER: usize = 64 * 1024;

/// One upstream, as one thread sees it.
#[derive(Debug)]
pub struct Upstream {
    directory: Arc<Directory>,
    clock: Clock,
    news: RefCell<watch::Receiver<Endpoints>>,
    pools: RefCell<Vec<Rc<Pool>>>,
    /// Where the next choice among several begins.
    turn: Cell<usize>,
}

/// The connections to one endpoint.
#[derive(Debug)]
pub struct Pool {
    directory: Arc<Directory>,
    endpoint: Arc<Endpoint>,
    clock: Clock,
    idle: RefCell<Vec<Idle>>,
    /// Set when the upstream no longer has this endpoint.
    vanished: Cell<bool>,
}

#[derive(Debug)]
struct Idle {
    sender: SendRequest<RequestBody>,
    since: MonoMillis,
}

/// A connection in use. Dropped, it is closed; given back, it waits for the next request.
#[derive(Debug)]
pub struct Lease {
    sender: SendRequest<RequestBody>,
    pool: Rc<Pool>,
}

impl Lease {
    /// hyper's end of the connection.
    pub fn sender(&mut self) -> &mut SendRequest<RequestBody> {
        &mut self.sender
    }

    /// Keeps the connection for the next request.
    pub fn give_back(self) {
        self.pool.keep(self.sender);
    }

    /// Counts that the exchange on it failed.
    pub fn failed(&self, failure: UpstreamFailure) {
        self.pool.directory.metrics().failures.inc(failure);
    }
}

impl Upstream {
    /// An upstream without connections.
    pub fn new(directory: Arc<Directory>, clock: Clock) -> Rc<Self> {
        let upstream = Self {
            news: RefCell::new(directory.watch()),
            directory,
            clock,
            pools: RefCell::default(),
            turn: Cell::new(0),
        };
        upstream.learn();
        Rc::new(upstream)
    }

    /// Its settings.
    pub fn settings(&self) -> &UpstreamSettings {
        self.directory.settings()
    }

    /// Its metrics.
    pub fn metrics(&self) -> &UpstreamMetrics {
        self.directory.metrics()
    }

    /// The endpoint for the next request, but none of these. `None`: there is no other.
    pub fn choose(&self, tried: &[Rc<Pool>]) -> Option<Rc<Pool>> {
        // An error would mean that the directory is gone, which is ours.
        if self.news.borrow().has_changed().unwrap_or(false) {
            self.learn();
        }
        let pools = self.pools.borrow();
        if let ([only], []) = (pools.as_slice(), tried) {
            return Some(Rc::clone(only));
        }
        let untried = |pool: &&Rc<Pool>| !tried.iter().any(|t| Rc::ptr_eq(t, pool));
        let turn = self.turn.get();
        self.turn.set(turn.wrapping_add(1));
        let from = turn.checked_rem(pools.len())?;
        let chosen = pools.iter().cycle().skip(from).take(pools.len()).find(untried);
        chosen.cloned()
    }

    /// Waits until the names were looked up for the first time, within the bound for connecting.
    pub async fn looked_up(&self) {
        if self.directory.is_looked_up() {
            return;
        }
        let mut news = self.directory.watch();
        let waiting = async { while !self.directory.is_looked_up() && news.changed().await.is_ok() {} };
        let _ = tokio::time::timeout(self.settings().connect_timeout, waiting).await;
    }

    /// Takes over what the directory knows now. Endpoints that stay keep their connections.
    fn learn(&self) {
        let endpoints = self.news.borrow_mut().borrow_and_update().clone();
        let mut pools = self.pools.borrow_mut();
        let mut before = std::mem::take(&mut *pools);
        for endpoint in endpoints.iter() {
            let known = before.iter().position(|p| Arc::ptr_eq(&p.endpoint, endpoint));
            pools.push(match known {
                Some(at) => before.swap_remove(at),
                None => Rc::new(Pool {
                    directory: Arc::clone(&self.directory),
                    endpoint: Arc::clone(endpoint),
                    clock: self.clock.clone(),
                    idle: RefCell::default(),
                    vanished: Cell::new(false),
                }),
            });
        }
        before.iter().for_each(|pool| pool.vanish());
    }

    /// Closes what has been idle for too long, and what leads to vanished addresses. Called now and then.
    pub fn prune(&self) {
        if self.news.borrow().has_changed().unwrap_or(false) {
            self.learn();
        }
        self.pools.borrow().iter().for_each(|pool| pool.prune());
    }

    /// Connections that wait.
    pub fn idle(&self) -> usize {
        self.pools.borrow().iter().map(|p| p.idle.borrow().len()).sum()
    }
}

impl Pool {
    /// A connection that waits and is ready, newest first.
    pub fn take(self: &Rc<Self>) -> Option<Lease> {
        let mut idle = self.idle.borrow_mut();
        let mut at = idle.len();
        while let Some(candidate) = at.checked_sub(1) {
            at = candidate;
            let entry = idle.get(candidate)?;
            if entry.sender.is_closed() {
                idle.swap_remove(candidate);
            } else if entry.sender.is_ready() {
                return Some(Lease {
                    sender: idle.swap_remove(candidate).sender,
                    pool: self.clone(),
                });
            }
        }
        None
    }

    fn keep(&self, sender: SendRequest<RequestBody>) {
        let mut idle = self.idle.borrow_mut();
        let bound = self.directory.settings().max_idle_per_thread;
        if !sender.is_closed() && !self.vanished.get() && idle.len() < bound {
            let since = self.clock.now().mono;
            idle.push(Idle { sender, since });
        }
    }

    /// Connections in use end with their answer, the others now.
    fn vanish(&self) {
        self.vanished.set(true);
        self.idle.borrow_mut().clear();
    }

    fn prune(&self) {
        let now = self.clock.now().mono;
        let bound = self.directory.settings().idle_timeout.as_millis();
        self.idle
            .borrow_mut()
            .retain(|entry| !entry.sender.is_closed() && u128::from(now.since(entry.since)) < bound);
    }

    /// Opens a new connection within the upstream's bound.
    pub async fn connect(self: &Rc<Self>) -> Result<Lease, UpstreamFailure> {
        let bound = self.directory.settings().connect_timeout;
        let opened = tokio::time::timeout(bound, dial(&self.directory, &self.endpoint)).await;
        let (outcome, failure, error) = match opened {
            Ok(Ok(dialed)) => {
                if let Some(kind) = dialed.handshake {
                    let kind = match kind {
                        HandshakeKind::Resumed => TlsHandshake::Resumed,
                        HandshakeKind::Full | HandshakeKind::FullWithHelloRetryRequest => TlsHandshake::Full,
                    };
                    self.directory.metrics().tls_handshakes.inc(kind);
                }
                match self.greet(dialed.stream).await {
                    Ok(sender) => {
                        self.directory.metrics().connects.inc(ConnectOutcome::Connected);
                        self.endpoint.connected();
                        return Ok(Lease {
                            sender,
                            pool: self.clone(),
                        });
                    }
                    Err(error) => (
                        ConnectOutcome::Failed,
                        UpstreamFailure::Unreachable,
                        error.to_string(),
                    ),
                }
            }
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
        self.directory.metrics().connects.inc(outcome);
        self.tell(&error);
        Err(failure)
    }

    /// Once per row of failures: an app that is down is down for every request.
    fn tell(&self, error: &str) {
        let upstream = &*self.directory.settings().name;
        let endpoint = self.endpoint.door();
        match self.endpoint.failed() {
            Change::First => tracing::warn!(upstream, %endpoint, error, "no connection to the upstream"),
            Change::None => tracing::debug!(upstream, %endpoint, error, "no connection to the upstream"),
        }
    }

    async fn greet(&self, stream: Stream) -> hyper::Result<SendRequest<RequestBody>> {
        let (sender, connection) = http1::Builder::new()
            .max_buf_size(MAX_BUFFER)
            .handshake(TokioIo::new(stream))
            .await?;
        let held = Held::in_gauge(&self.directory.metrics().connections);
        spawn_here(async move {
            // Ends when the upstream closes, when the exchange breaks, or when the pool lets go of it.
            if let Err(error) = connection.await {
                tracing::debug!(%error, "an upstream connection ended badly");
            }
            drop(held);
        });
        Ok(sender)
    }
}
