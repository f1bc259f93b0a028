//! A bounded pool for slow hashes, so that they can neither starve the machine nor pile up.
//!
//! At most `workers` jobs run and at most `queue` wait; beyond that a caller is told so at once and nobody
//! waits without bound (SECURITY R1). May be called from any runtime's thread: the work itself runs on the
//! control runtime's blocking threads. Knows nothing of what it runs.

use std::sync::Arc;

use tokio::runtime::Handle;
use tokio::sync::Semaphore;

use crate::domain::clock::Stopwatch;
use crate::telemetry::Metrics;
use crate::telemetry::labels::Stage;

/// Why a job has no result.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SlowPoolError {
    /// All workers are busy and the queue is full; nothing was run.
    #[error("the pool for slow work is full")]
    Overloaded,
    /// The job panicked, or the process is stopping.
    #[error("the slow job ended without a result")]
    Ended,
}

/// Bounds of a pool.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SlowPoolLimits {
    /// Jobs that run at once; at least one.
    pub workers: usize,
    /// Jobs that may wait for a worker.
    pub queue: usize,
}

/// Runs slow jobs within bounds. Clones share one pool.
#[derive(Debug, Clone)]
pub struct SlowPool {
    handle: Handle,
    limits: SlowPoolLimits,
    /// One permit for each job that runs or waits.
    admission: Arc<Semaphore>,
    /// One permit for each job that runs.
    workers: Arc<Semaphore>,
    metrics: Option<Arc<Metrics>>,
}

impl SlowPool {
    /// A pool whose jobs run on this runtime's blocking threads.
    pub fn new(handle: Handle, limits: SlowPoolLimits) -> Self {
        let workers = limits.workers.clamp(1, Semaphore::MAX_PERMITS / 2);
        let queue = limits.queue.min(Semaphore::MAX_PERMITS / 2);
        Self {
            handle,
            limits: SlowPoolLimits { workers, queue },
            admission: Arc::new(Semaphore::new(workers.saturating_add(queue))),
            workers: Arc::new(Semaphore::new(workers)),
            metrics: None,
        }
    }

    /// Measures the jobs, and counts those that are refused because the queue is full.
    #[must_use]
    pub fn measured_by(self, metrics: Arc<Metrics>) -> Self {
        Self {
            metrics: Some(metrics),
            ..self
        }
    }

    /// Runs a job and waits for its result; refuses at once when the queue is full. A caller that stops
    /// waiting gives its place in the queue back; a job that runs already runs to its end and keeps its
    /// worker until then.
    pub async fn run<T: Send + 'static>(
        &self,
        job: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, SlowPoolError> {
        let admitted = Arc::clone(&self.admission).try_acquire_owned().map_err(|_| {
            if let Some(metrics) = &self.metrics {
                metrics.slow_hash_refused.inc();
            }
            SlowPoolError::Overloaded
        })?;
        let worker = Arc::clone(&self.workers)
            .acquire_owned()
            .await
            .map_err(|_| SlowPoolError::Ended)?;
        let metrics = self.metrics.clone();
        let running = self.handle.spawn_blocking(move || {
            let watch = Stopwatch::start();
            let result = job();
            if let Some(metrics) = metrics {
                metrics
                    .decision_duration
                    .observe(Stage::SlowHash, watch.elapsed());
            }
            drop((worker, admitted));
            result
        });
        running.await.map_err(|_| SlowPoolError::Ended)
    }

    /// Jobs that run now.
    pub fn running(&self) -> usize {
        self.limits
            .workers
            .saturating_sub(self.workers.available_permits())
    }

    /// Jobs that wait for a worker now.
    pub fn queued(&self) -> usize {
        let total = self.limits.workers.saturating_add(self.limits.queue);
        total
            .saturating_sub(self.admission.available_permits())
            .saturating_sub(self.running())
    }

    /// The pool's bounds.
    pub fn limits(&self) -> SlowPoolLimits {
        self.limits
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use futures::future::{poll_immediate, select_all};

    use super::*;

    fn pool(workers: usize, queue: usize) -> SlowPool {
        SlowPool::new(Handle::current(), SlowPoolLimits { workers, queue })
    }

    #[tokio::test]
    async fn a_full_queue_refuses_at_once_and_recovers() {
        let pool = pool(1, 1);
        let (release, blocked) = mpsc::channel::<()>();
        let mut first = Box::pin(pool.run(move || blocked.recv().is_ok()));
        assert!(poll_immediate(&mut first).await.is_none());
        let mut second = Box::pin(pool.run(|| 2));
        assert!(poll_immediate(&mut second).await.is_none());
        assert_eq!((pool.running(), pool.queued()), (1, 1));

        let third = poll_immediate(Box::pin(pool.run(|| 3))).await;
        assert_eq!(third, Some(Err(SlowPoolError::Overloaded)), "must not wait");

        release.send(()).expect("the first job waits");
        assert_eq!(first.await, Ok(true));
        assert_eq!(second.await, Ok(2));
        assert_eq!((pool.running(), pool.queued()), (0, 0));
        assert_eq!(pool.run(|| 4).await, Ok(4));
    }

    #[tokio::test]
    async fn no_more_than_its_workers_run_at_once() {
        let pool = pool(2, 8);
        let (started, starts) = mpsc::channel();
        let (release, gate) = mpsc::channel::<()>();
        let gate = Arc::new(parking_lot::Mutex::new(gate));
        let mut jobs: Vec<_> = (0..6)
            .map(|_| {
                let (started, gate, pool_now) = (started.clone(), Arc::clone(&gate), pool.clone());
                Box::pin(pool.run(move || {
                    started.send(pool_now.running()).expect("counted");
                    gate.lock().recv().expect("released");
                }))
            })
            .collect();
        for job in &mut jobs {
            assert!(poll_immediate(job).await.is_none());
        }
        assert_eq!((pool.running(), pool.queued()), (2, 4));
        for _ in 0..6 {
            release.send(()).expect("somebody waits");
        }
        while !jobs.is_empty() {
            let (outcome, _, rest) = select_all(jobs).await;
            assert_eq!(outcome, Ok(()));
            jobs = rest;
        }
        drop(started);
        assert!(starts.iter().all(|running| running <= 2));
    }

    #[tokio::test]
    async fn who_stops_waiting_gives_the_place_back() {
        let pool = pool(1, 1);
        let (release, blocked) = mpsc::channel::<()>();
        let mut first = Box::pin(pool.run(move || blocked.recv().is_ok()));
        assert!(poll_immediate(&mut first).await.is_none());
        let mut second = Box::pin(pool.run(|| 2));
        assert!(poll_immediate(&mut second).await.is_none());
        drop(second);
        assert_eq!(pool.queued(), 0);
        // A running job whose caller left keeps its worker: the machine is still busy with it.
        drop(first);
        assert_eq!(pool.running(), 1);
        let mut third = Box::pin(pool.run(|| 3));
        assert!(poll_immediate(&mut third).await.is_none());
        release.send(()).expect("the first job waits");
        assert_eq!(third.await, Ok(3));
    }

    #[tokio::test]
    async fn a_panic_ends_its_job_alone() {
        let pool = pool(1, 0);
        let outcome: Result<(), _> = pool.run(|| panic!("a bug")).await;
        assert_eq!(outcome, Err(SlowPoolError::Ended));
        assert_eq!(pool.run(|| 1).await, Ok(1));
    }

    #[test]
    fn runs_from_a_thread_of_another_runtime() {
        let control = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .build()
            .expect("a runtime");
        let data = tokio::runtime::Builder::new_current_thread()
            .build()
            .expect("a runtime");
        let pool = SlowPool::new(control.handle().clone(), SlowPoolLimits { workers: 1, queue: 1 });
        assert_eq!(data.block_on(pool.run(|| 5)), Ok(5));
    }
}
