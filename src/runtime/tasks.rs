//! Named background tasks on the control runtime: the only way to spawn one.
//!
//! The control runtime is a small multi-thread runtime for everything that must never delay a request:
//! store calls, management, slow look-ups, feeds. Every task ends when `shutdown` is cancelled, and is
//! joined at stop. Data threads have runtimes of their own (`workers`).

use std::future::Future;
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::Instrument;

/// Spawns named tasks on the control runtime and joins them at stop. Clones share one set.
#[derive(Debug, Clone)]
pub struct Tasks {
    handle: Handle,
    tracker: TaskTracker,
    shutdown: CancellationToken,
}

impl Tasks {
    /// Tasks run on this runtime.
    pub fn on(handle: Handle) -> Self {
        Self {
            handle,
            tracker: TaskTracker::new(),
            shutdown: CancellationToken::new(),
        }
    }

    /// Spawns a task. A panic in it is logged with its name and ends that task alone.
    pub fn spawn<T: Send + 'static>(
        &self,
        name: &'static str,
        work: impl Future<Output = T> + Send + 'static,
    ) -> JoinHandle<T> {
        let span = tracing::debug_span!("task", name);
        self.tracker.spawn_on(work.instrument(span), &self.handle)
    }

    /// Runs something that may wait for a disk, where it holds nobody up. `None`: it panicked.
    pub async fn blocking<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> Option<T> {
        self.handle.spawn_blocking(work).await.ok()
    }

    /// Cancelled when the process is to stop. Long-lived tasks select on it.
    pub fn shutdown(&self) -> &CancellationToken {
        &self.shutdown
    }

    /// The control runtime, for running blocking entry points on it.
    pub fn handle(&self) -> &Handle {
        &self.handle
    }

    /// Cancels every task's token and waits for them, at most this long. Returns whether all ended.
    pub async fn stop(&self, at_most: Duration) -> Stopped {
        self.shutdown.cancel();
        self.tracker.close();
        match tokio::time::timeout(at_most, self.tracker.wait()).await {
            Ok(()) => Stopped::All,
            Err(_) => Stopped::TimedOut {
                still_running: self.tracker.len(),
            },
        }
    }
}

/// How a stop went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stopped {
    /// Every task ended.
    All,
    /// Some did not end in time.
    TimedOut {
        /// How many.
        still_running: usize,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn stop_waits_for_every_task() {
        let tasks = Tasks::on(Handle::current());
        let token = tasks.shutdown().clone();
        let done = tasks.spawn("waits", async move {
            token.cancelled().await;
            7
        });
        assert_eq!(tasks.stop(Duration::from_secs(5)).await, Stopped::All);
        assert_eq!(done.await.expect("joined"), 7);
    }
}
