//! How the process stops serving: stages that connections and doors read cheaply.
//!
//! ```text
//! Serving ──▶ Leaving ──▶ Closing ──▶ Ended ──▶ Over
//!   │           │            │           │        └ no more time: tunnels are closed, the rest is dropped
//!   │           │            │           └ idle connections are closed; running requests may finish
//!   │           │            └ listeners closed; each answer says `Connection: close`
//!   │           └ /readyz is 503; everything is served as before (load balancers look away)
//!   └ normal
//! ```
//! Closing is soft on purpose: closing an idle HTTP/1 connection races with the client's next request,
//! so clients are told with an answer first and only the silent rest is closed at the end. Nothing here
//! waits for signals or exits: `edge::listener` walks through the stages.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicUsize, Ordering};
use std::time::Duration;

use tokio::sync::{Notify, watch};

use super::readiness::{Latch, Readiness};

/// Where the process stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum Stage {
    /// Normal.
    Serving = 0,
    /// Not ready any more; still serving everything.
    Leaving = 1,
    /// No new connections; answers end their connections.
    Closing = 2,
    /// Idle connections are closed.
    Ended = 3,
    /// The time is over: what has no end of its own is closed.
    Over = 4,
}

/// The drain's state. Clones share it.
#[derive(Debug, Clone)]
pub struct Drain(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    /// The stage again, readable without the channel's lock: once per answer.
    stage: AtomicU8,
    changes: watch::Sender<Stage>,
    connections: AtomicUsize,
    none_left: Notify,
    readiness: Readiness,
    latch: parking_lot::Mutex<Option<Latch>>,
}

/// One open connection; dropping it counts it out.
#[derive(Debug)]
pub struct ConnectionGuard(Arc<Shared>);

impl Drain {
    /// Serving; leaving will take a latch on this readiness.
    pub fn new(readiness: Readiness) -> Self {
        Self(Arc::new(Shared {
            stage: AtomicU8::new(Stage::Serving as u8),
            changes: watch::Sender::new(Stage::Serving),
            connections: AtomicUsize::new(0),
            none_left: Notify::new(),
            readiness,
            latch: parking_lot::Mutex::new(None),
        }))
    }

    /// The stage; one relaxed load.
    pub fn stage(&self) -> Stage {
        match self.0.stage.load(Ordering::Relaxed) {
            0 => Stage::Serving,
            1 => Stage::Leaving,
            2 => Stage::Closing,
            3 => Stage::Ended,
            _ => Stage::Over,
        }
    }

    /// Goes on to a later stage; an earlier one changes nothing.
    pub fn advance(&self, to: Stage) {
        let before = self.0.stage.fetch_max(to as u8, Ordering::SeqCst);
        if before >= to as u8 {
            return;
        }
        self.0
            .latch
            .lock()
            .get_or_insert_with(|| self.0.readiness.latch("draining"));
        self.0.changes.send_replace(to);
    }

    /// Waits until this stage or a later one is reached.
    pub async fn reached(&self, stage: Stage) {
        let mut changes = self.0.changes.subscribe();
        // The sender lives as long as `self`: the wait cannot fail.
        let _ = changes.wait_for(|at| *at >= stage).await;
    }

    /// Counts a connection in.
    pub fn connection(&self) -> ConnectionGuard {
        self.0.connections.fetch_add(1, Ordering::Relaxed);
        ConnectionGuard(self.0.clone())
    }

    /// Connections that are open now.
    pub fn connections(&self) -> usize {
        self.0.connections.load(Ordering::Relaxed)
    }

    /// Waits until no connection is open, at most this long.
    pub async fn empty(&self, at_most: Duration) -> Emptied {
        let wait = async {
            loop {
                let notified = self.0.none_left.notified();
                let mut notified = std::pin::pin!(notified);
                notified.as_mut().enable();
                if self.connections() == 0 {
                    return;
                }
                notified.await;
            }
        };
        match tokio::time::timeout(at_most, wait).await {
            Ok(()) => Emptied::All,
            Err(_) => Emptied::TimedOut {
                open: self.connections(),
            },
        }
    }
}

/// How a wait for the last connection went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Emptied {
    /// None is open.
    All,
    /// Some are.
    TimedOut {
        /// How many.
        open: usize,
    },
}

impl Drop for ConnectionGuard {
    fn drop(&mut self) {
        if self.0.connections.fetch_sub(1, Ordering::SeqCst) == 1 {
            self.0.none_left.notify_waiters();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn leaving_takes_readiness_away_and_stages_never_go_back() {
        let readiness = Readiness::new();
        let drain = Drain::new(readiness.clone());
        assert_eq!((drain.stage(), readiness.held().len()), (Stage::Serving, 0));
        drain.advance(Stage::Leaving);
        assert_eq!(readiness.held().len(), 1);
        drain.advance(Stage::Closing);
        drain.advance(Stage::Leaving);
        assert_eq!((drain.stage(), readiness.held().len()), (Stage::Closing, 1));
        drain.reached(Stage::Closing).await;
        drain.reached(Stage::Leaving).await;
    }

    #[tokio::test]
    async fn empty_waits_for_the_last_connection() {
        let drain = Drain::new(Readiness::new());
        let (a, b) = (drain.connection(), drain.connection());
        assert_eq!(
            drain.empty(Duration::from_millis(1)).await,
            Emptied::TimedOut { open: 2 }
        );
        drop(a);
        let waiting = drain.empty(Duration::from_secs(10));
        let (outcome, ()) = tokio::join!(waiting, async { drop(b) });
        assert_eq!(outcome, Emptied::All);
    }
}
