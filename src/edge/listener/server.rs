//! pingora's server around our one service, which hosts the acceptors. pingora's table of listening descriptors and its way
//! to hand them over stay unused: that one ends the process even when no successor came (`runtime::hand_over` is ours).
//!
//! pingora's own way out blocks the main thread for a fixed time and reads no more signals. So our signal
//! watch goes the whole way (`leave`) before it returns, and then asks for the fast end: nothing is left
//! to wait for, `run` returns, and the caller returns from `main`.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;

use async_trait::async_trait;
use parking_lot::Mutex;
use pingora_core::server::configuration::ServerConf;
use pingora_core::server::{ListenFds, RunArgs, Server, ShutdownSignal, ShutdownSignalWatch, ShutdownWatch};
use pingora_core::services::Service;
use tokio_util::sync::CancellationToken;

use super::acceptor::{Unnoted, accept};
use super::entrance::Profile;
use super::leave::{DrainTimes, Hooks, leave};
use super::signals::UnixSignals;
use super::socket::Bound;
use crate::domain::clock::Clock;
use crate::runtime::drain::Drain;
use crate::runtime::hand_over::Possessions;
use crate::runtime::workers::Workers;

/// What is done last, after the last connection and before the process may end.
type Flush = Pin<Box<dyn Future<Output = ()> + Send>>;

/// Everything that serving takes.
pub struct Serving {
    /// Bound sockets.
    pub listeners: Vec<Bound>,
    /// The data threads.
    pub workers: Workers<Profile>,
    /// The drain that the data threads and the status door know.
    pub drain: Drain,
    /// How long leaving takes.
    pub times: DrainTimes,
    /// The process's signals.
    pub signals: UnixSignals,
    /// What signals do that do not end the process.
    pub hooks: Hooks,
    /// Where listening sockets are noted for a successor.
    pub possessions: Possessions,
    /// What tells the time of connections.
    pub clock: Clock,
    /// What is done last.
    pub flush: Flush,
}

/// Serves until the process is told to leave and has left. Blocks; call it on the main thread, outside any
/// runtime.
pub fn run(serving: Serving) {
    let workers = Arc::new(serving.workers);
    let conf = ServerConf {
        threads: 1,
        // Neither is used: our way out ends before pingora's begins.
        grace_period_seconds: Some(0),
        graceful_shutdown_timeout_seconds: Some(1),
        ..ServerConf::default()
    };
    // A hand-over must not begin before there is everything to hand over.
    let noted = CancellationToken::new();
    let mut server = Server::new_with_opt_and_conf(None, conf);
    server.add_service(Acceptors {
        listeners: serving.listeners,
        workers: workers.clone(),
        drain: serving.drain.clone(),
        possessions: serving.possessions,
        clock: serving.clock,
        unnoted: Some(Arc::new(noted.clone().drop_guard())),
    });
    server.run(RunArgs {
        shutdown_signal: Box::new(Leaving {
            drain: serving.drain,
            times: serving.times,
            hooks: serving.hooks,
            noted,
            once: Mutex::new(Some((serving.signals, serving.flush))),
        }),
    });
    // The acceptors are gone with pingora's runtimes, unless one is stuck: then the process ends anyway.
    if let Some(workers) = Arc::into_inner(workers) {
        workers.stop();
    }
}

struct Leaving {
    drain: Drain,
    times: DrainTimes,
    hooks: Hooks,
    /// Every acceptor has noted its socket, or ended.
    noted: CancellationToken,
    /// Taken by the one call that there is.
    once: Mutex<Option<(UnixSignals, Flush)>>,
}

#[async_trait]
impl ShutdownSignalWatch for Leaving {
    async fn recv(&self) -> ShutdownSignal {
        let once = self.once.lock().take();
        self.noted.cancelled().await;
        if let Some((mut signals, flush)) = once {
            leave(&mut signals, &self.drain, self.times, &self.hooks, flush).await;
        }
        ShutdownSignal::FastShutdown
    }
}

/// One acceptor per address, on one thread: accepting is a fraction of a data thread's work.
struct Acceptors {
    listeners: Vec<Bound>,
    workers: Arc<Workers<Profile>>,
    drain: Drain,
    possessions: Possessions,
    clock: Clock,
    /// Handed to the acceptors.
    unnoted: Unnoted,
}

#[async_trait]
impl Service for Acceptors {
    async fn start_service(&mut self, _: Option<ListenFds>, _: ShutdownWatch, _per_fd: usize) {
        let (listeners, unnoted) = (std::mem::take(&mut self.listeners), self.unnoted.take());
        let this = &*self;
        // Moved in, so that it goes when every acceptor has one of its own.
        let acceptors = listeners.into_iter().map(move |bound| {
            let name = bound.settings.profile.load().proxy.name.clone();
            let (workers, drain, possessions) = (&this.workers, &this.drain, &this.possessions);
            let clock = &this.clock;
            let unnoted = unnoted.clone();
            async move {
                let ended: io::Result<()> = accept(bound, workers, drain, possessions, clock, unnoted).await;
                if let Err(error) = ended {
                    tracing::error!(listener = &*name, %error, "accepting ended");
                }
            }
        });
        futures::future::join_all(acceptors).await;
    }

    fn name(&self) -> &str {
        "acceptors"
    }

    fn threads(&self) -> Option<usize> {
        Some(1)
    }
}
