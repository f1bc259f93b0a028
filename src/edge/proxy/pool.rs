//! Connections to one upstream, kept by one data thread for itself.
//!
//! A connection goes back when the *body* of its answer has ended, not right after the head: so only
//! connections that are free (or free within the same poll) wait here, the bound on idle ones means what
//! it says, and an exchange that was broken off never comes back. `take` still asks hyper whether the
//! connection is ready: the end of the *request* may be outstanding after an early answer.
//! Names are resolved at each connect, on the thread's blocking helper; addresses need no helper.

use std::cell::{Cell, RefCell};
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;

use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

use super::body::RequestBody;
use super::settings::UpstreamSettings;
use crate::domain::clock::{Clock, MonoMillis};
use crate::runtime::workers::spawn_here;
use crate::telemetry::labels::{ConnectOutcome, UpstreamFailure};
use crate::telemetry::{Held, UpstreamMetrics};

/// Most bytes read, or held to be written, at once; also the longest head of an answer.
const MAX_BUFFER: usize = 64 * 1024;
/// Most addresses of one name that are tried.
const MAX_ADDRESSES: usize = 8;

/// One upstream, as one thread sees it.
#[derive(Debug)]
pub struct Upstream {
    settings: UpstreamSettings,
    metrics: UpstreamMetrics,
    clock: Clock,
    idle: RefCell<Vec<Idle>>,
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
    upstream: Rc<Upstream>,
    /// Whether it was used before: only then can the upstream have closed it meanwhile.
    reused: Cell<bool>,
}

impl Lease {
    /// hyper's end of the connection.
    pub fn sender(&mut self) -> &mut SendRequest<RequestBody> {
        &mut self.sender
    }

    /// Keeps the connection for the next request.
    pub fn give_back(self) {
        let upstream = self.upstream.clone();
        upstream.keep(self.sender);
    }

    /// Counts that the exchange on it failed.
    pub fn failed(&self, failure: UpstreamFailure) {
        self.upstream.metrics.failures.inc(failure);
    }

    /// Whether it carried a request before.
    pub fn is_reused(&self) -> bool {
        self.reused.get()
    }
}

impl Upstream {
    /// An upstream without connections.
    pub fn new(settings: UpstreamSettings, metrics: UpstreamMetrics, clock: Clock) -> Rc<Self> {
        Rc::new(Self {
            settings,
            metrics,
            clock,
            idle: RefCell::new(Vec::new()),
        })
    }

    /// Its settings.
    pub fn settings(&self) -> &UpstreamSettings {
        &self.settings
    }

    /// Its metrics.
    pub fn metrics(&self) -> &UpstreamMetrics {
        &self.metrics
    }

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
                    upstream: self.clone(),
                    reused: Cell::new(true),
                });
            }
        }
        None
    }

    fn keep(&self, sender: SendRequest<RequestBody>) {
        let mut idle = self.idle.borrow_mut();
        if !sender.is_closed() && idle.len() < self.settings.max_idle_per_thread {
            let since = self.clock.now().mono;
            idle.push(Idle { sender, since });
        }
    }

    /// Closes what has been idle for too long. Called now and then.
    pub fn prune(&self) {
        let now = self.clock.now().mono;
        let bound = self.settings.idle_timeout.as_millis();
        self.idle
            .borrow_mut()
            .retain(|entry| !entry.sender.is_closed() && u128::from(now.since(entry.since)) < bound);
    }

    /// Connections that wait.
    pub fn idle(&self) -> usize {
        self.idle.borrow().len()
    }

    /// Opens a new connection within the upstream's bound.
    pub async fn connect(self: &Rc<Self>) -> Result<Lease, UpstreamFailure> {
        let opened = tokio::time::timeout(self.settings.connect_timeout, self.open()).await;
        match opened {
            Ok(Ok(sender)) => {
                self.metrics.connects.inc(ConnectOutcome::Connected);
                Ok(Lease {
                    sender,
                    upstream: self.clone(),
                    reused: Cell::new(false),
                })
            }
            Ok(Err(error)) => {
                self.metrics.connects.inc(ConnectOutcome::Failed);
                tracing::debug!(upstream = &*self.settings.name, %error, "connecting failed");
                Err(UpstreamFailure::Unreachable)
            }
            Err(_) => {
                self.metrics.connects.inc(ConnectOutcome::TimedOut);
                Err(UpstreamFailure::ConnectTimeout)
            }
        }
    }

    async fn open(&self) -> io::Result<SendRequest<RequestBody>> {
        let target = (self.settings.address.host(), self.settings.address.port());
        let addresses: Vec<SocketAddr> = tokio::net::lookup_host(target)
            .await?
            .take(MAX_ADDRESSES)
            .collect();
        let mut failure = io::Error::from(io::ErrorKind::NotFound);
        for address in addresses {
            match TcpStream::connect(address).await {
                Ok(stream) => return self.greet(stream).await,
                Err(error) => failure = error,
            }
        }
        Err(failure)
    }

    async fn greet(&self, stream: TcpStream) -> io::Result<SendRequest<RequestBody>> {
        stream.set_nodelay(true)?;
        let (sender, connection) = http1::Builder::new()
            .max_buf_size(MAX_BUFFER)
            .handshake(TokioIo::new(stream))
            .await
            .map_err(io::Error::other)?;
        let held = Held::in_gauge(&self.metrics.connections);
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
