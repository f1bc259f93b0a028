//! A bounded pool for slow hashes, so that they can neither starve the machine nor pile up.
//!
//! At most `workers` jobs run and at most `queue` wait; beyond that a caller is told so at once and nobody
//! waits without bound (SECURITY R1). No client can fill the pool: it is given a place only while it holds
//! fewer than are free, so a newcomer always finds one, and the parties that wait take turns. May be called
//! from any runtime's thread: the work itself runs on the control runtime's blocking threads. Knows nothing
//! of what it runs.

use std::collections::{HashMap, VecDeque};
use std::net::IpAddr;
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::runtime::Handle;
use tokio::sync::oneshot;

use crate::domain::clock::Stopwatch;
use crate::telemetry::Metrics;
use crate::telemetry::labels::Stage;

/// Why a job has no result.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SlowPoolError {
    /// All workers are busy, and the queue or the client's share of it is full; nothing was run.
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

/// For whom a job is done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Party {
    /// Whoever manages this installation: bounded by the pool alone.
    Operator,
    /// The clients behind one address.
    Client(IpAddr),
}

/// Runs slow jobs within bounds. Clones share one pool.
#[derive(Debug, Clone)]
pub struct SlowPool {
    handle: Handle,
    limits: SlowPoolLimits,
    line: Arc<Line>,
    metrics: Option<Arc<Metrics>>,
}

impl SlowPool {
    /// A pool whose jobs run on this runtime's blocking threads.
    pub fn new(handle: Handle, limits: SlowPoolLimits) -> Self {
        let limits = SlowPoolLimits {
            workers: limits.workers.max(1),
            ..limits
        };
        Self {
            handle,
            limits,
            line: Arc::new(Line {
                limits,
                state: Mutex::default(),
            }),
            metrics: None,
        }
    }

    /// Measures the jobs, and counts those that are refused for want of a place.
    #[must_use]
    pub fn measured_by(self, metrics: Arc<Metrics>) -> Self {
        Self {
            metrics: Some(metrics),
            ..self
        }
    }

    /// Runs a job and waits for its result; refuses at once when there is no place for this party. A caller
    /// that stops waiting gives its place in the queue back; a job that runs already runs to its end and
    /// keeps its worker until then.
    pub async fn run<T: Send + 'static>(
        &self,
        party: Party,
        job: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, SlowPoolError> {
        let (place, turn) = self.line.join(party).inspect_err(|_| {
            if let Some(metrics) = &self.metrics {
                metrics.slow_hash_refused.inc();
            }
        })?;
        let worker = match turn {
            Turn::Now(worker) => worker,
            Turn::Later(granted) => granted.await.map_err(|_| SlowPoolError::Ended)?,
        };
        let metrics = self.metrics.clone();
        let running = self.handle.spawn_blocking(move || {
            let watch = Stopwatch::start();
            let result = job();
            if let Some(metrics) = metrics {
                metrics
                    .decision_duration
                    .observe(Stage::SlowHash, watch.elapsed());
            }
            drop((worker, place));
            result
        });
        running.await.map_err(|_| SlowPoolError::Ended)
    }

    /// Jobs that run now.
    pub fn running(&self) -> usize {
        self.line.state.lock().running
    }

    /// Jobs that wait for a worker now.
    pub fn queued(&self) -> usize {
        let state = self.line.state.lock();
        state.taken.saturating_sub(state.running)
    }

    /// The pool's bounds.
    pub fn limits(&self) -> SlowPoolLimits {
        self.limits
    }
}

/// Who runs and who waits.
#[derive(Debug)]
struct Line {
    limits: SlowPoolLimits,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// Jobs that hold a worker.
    running: usize,
    /// Places given away: jobs that run or wait.
    taken: usize,
    /// Of those, by party.
    held: HashMap<Party, usize>,
    /// Who waits, the party whose turn is next in front.
    waiting: VecDeque<(Party, VecDeque<Waiting>)>,
    next_ticket: u64,
}

#[derive(Debug)]
struct Waiting {
    ticket: u64,
    grant: oneshot::Sender<Worker>,
}

/// When a job may run.
enum Turn {
    Now(Worker),
    Later(oneshot::Receiver<Worker>),
}

impl Line {
    fn join(self: &Arc<Self>, party: Party) -> Result<(Place, Turn), SlowPoolError> {
        let mut state = self.state.lock();
        let places = self.limits.workers.saturating_add(self.limits.queue);
        let free = places.saturating_sub(state.taken);
        let held = state.held.get(&party).copied().unwrap_or(0);
        if free == 0 || (party != Party::Operator && held >= free) {
            return Err(SlowPoolError::Overloaded);
        }
        let ticket = state.next_ticket;
        state.next_ticket = ticket.wrapping_add(1);
        let turn = if state.running < self.limits.workers {
            state.running = state.running.saturating_add(1);
            Turn::Now(Worker(Some(Arc::clone(self))))
        } else {
            let (grant, granted) = oneshot::channel();
            state.wait(party, Waiting { ticket, grant });
            Turn::Later(granted)
        };
        state.taken = state.taken.saturating_add(1);
        state.held.insert(party, held.saturating_add(1));
        let place = Place {
            line: Arc::clone(self),
            party,
            ticket,
        };
        Ok((place, turn))
    }

    /// Gives a free worker to the next who waits for one.
    fn hand_on(self: Arc<Self>) {
        loop {
            let Some(next) = self.state.lock().next_or_rest() else {
                return;
            };
            match next.send(Worker(Some(Arc::clone(&self)))) {
                Ok(()) => return,
                // Nobody waits there any more: the next one.
                Err(mut worker) => worker.0 = None,
            }
        }
    }
}

impl State {
    fn wait(&mut self, party: Party, waiting: Waiting) {
        match self.waiting.iter_mut().find(|(who, _)| *who == party) {
            Some((_, queue)) => queue.push_back(waiting),
            None => self.waiting.push_back((party, VecDeque::from([waiting]))),
        }
    }

    /// Whose turn it is; the party goes to the end of the line. A worker that nobody waits for rests.
    fn next_or_rest(&mut self) -> Option<oneshot::Sender<Worker>> {
        while let Some((party, mut queue)) = self.waiting.pop_front() {
            if let Some(next) = queue.pop_front() {
                if !queue.is_empty() {
                    self.waiting.push_back((party, queue));
                }
                return Some(next.grant);
            }
        }
        self.running = self.running.saturating_sub(1);
        None
    }

    fn leave(&mut self, party: Party, ticket: u64) {
        self.taken = self.taken.saturating_sub(1);
        match self.held.get_mut(&party) {
            Some(held) if *held > 1 => *held = held.saturating_sub(1),
            _ => drop(self.held.remove(&party)),
        }
        if let Some((_, queue)) = self.waiting.iter_mut().find(|(who, _)| *who == party) {
            queue.retain(|waiting| waiting.ticket != ticket);
        }
    }
}

/// A place in the pool, running or waiting; dropping it gives it back.
struct Place {
    line: Arc<Line>,
    party: Party,
    ticket: u64,
}

impl Drop for Place {
    fn drop(&mut self) {
        self.line.state.lock().leave(self.party, self.ticket);
    }
}

/// The right to run a job; dropping it hands it on.
#[derive(Debug)]
struct Worker(Option<Arc<Line>>);

impl Drop for Worker {
    fn drop(&mut self) {
        if let Some(line) = self.0.take() {
            line.hand_on();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use futures::future::{join_all, poll_immediate, select_all};

    use super::*;

    fn pool(workers: usize, queue: usize) -> SlowPool {
        SlowPool::new(Handle::current(), SlowPoolLimits { workers, queue })
    }

    #[tokio::test]
    async fn a_full_queue_refuses_at_once_and_recovers() {
        let pool = pool(1, 1);
        let (release, blocked) = mpsc::channel::<()>();
        let mut first = Box::pin(pool.run(Party::Operator, move || blocked.recv().is_ok()));
        assert!(poll_immediate(&mut first).await.is_none());
        let mut second = Box::pin(pool.run(Party::Operator, || 2));
        assert!(poll_immediate(&mut second).await.is_none());
        assert_eq!((pool.running(), pool.queued()), (1, 1));

        let third = poll_immediate(Box::pin(pool.run(Party::Operator, || 3))).await;
        assert_eq!(third, Some(Err(SlowPoolError::Overloaded)), "must not wait");

        release.send(()).expect("the first job waits");
        assert_eq!(first.await, Ok(true));
        assert_eq!(second.await, Ok(2));
        assert_eq!((pool.running(), pool.queued()), (0, 0));
        assert_eq!(pool.run(Party::Operator, || 4).await, Ok(4));
    }

    #[tokio::test]
    async fn no_more_than_its_workers_run_at_once() {
        let pool = pool(2, 8);
        let (started, starts) = mpsc::channel();
        let (release, gate) = mpsc::channel::<()>();
        let gate = Arc::new(Mutex::new(gate));
        let mut jobs: Vec<_> = (0..6)
            .map(|_| {
                let (started, gate, pool_now) = (started.clone(), Arc::clone(&gate), pool.clone());
                Box::pin(pool.run(Party::Operator, move || {
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
        let mut first = Box::pin(pool.run(Party::Operator, move || blocked.recv().is_ok()));
        assert!(poll_immediate(&mut first).await.is_none());
        let mut second = Box::pin(pool.run(Party::Operator, || 2));
        assert!(poll_immediate(&mut second).await.is_none());
        drop(second);
        assert_eq!(pool.queued(), 0);
        // A running job whose caller left keeps its worker: the machine is still busy with it.
        drop(first);
        assert_eq!(pool.running(), 1);
        let mut third = Box::pin(pool.run(Party::Operator, || 3));
        assert!(poll_immediate(&mut third).await.is_none());
        release.send(()).expect("the first job waits");
        assert_eq!(third.await, Ok(3));
    }

    fn client(last: u8) -> Party {
        Party::Client(IpAddr::from([192, 0, 2, last]))
    }

    #[tokio::test]
    async fn one_address_cannot_fill_the_pool_and_a_newcomer_does_not_wait_for_all_of_it() {
        let pool = pool(1, 7);
        let (release, blocked) = mpsc::channel::<()>();
        let mut running = Box::pin(pool.run(client(1), move || blocked.recv().is_ok()));
        assert!(poll_immediate(&mut running).await.is_none());
        let order = Arc::new(Mutex::new(Vec::new()));
        let mut waiting = Vec::new();
        let mut enter = |last: u8| {
            let order = Arc::clone(&order);
            let mut job = Box::pin(pool.run(client(last), move || order.lock().push(last)));
            let entered = futures::FutureExt::now_or_never(&mut job);
            if entered.is_none() {
                waiting.push(job);
            }
            entered
        };
        let refused = Some(Err(SlowPoolError::Overloaded));
        for (last, expected, why) in [
            (1, None, "2 of 8"),
            (1, None, "3 of 8"),
            (1, None, "4 of 8"),
            (1, refused, "holds as many as are free"),
            (2, None, "a newcomer finds a place"),
            (3, None, "and another"),
            (2, None, "and a second one, of two that are free"),
            (3, refused, "holds as many as are free"),
        ] {
            assert_eq!(enter(last), expected, "{last}: {why}");
        }
        release.send(()).expect("the first job waits");
        assert_eq!(running.await, Ok(true));
        let outcomes = join_all(waiting).await;
        assert!(outcomes.iter().all(Result::is_ok), "{outcomes:?}");
        assert_eq!(*order.lock(), [1, 2, 3, 1, 2, 1], "they take turns");
        assert_eq!((pool.running(), pool.queued()), (0, 0));
        assert!(pool.line.state.lock().held.is_empty(), "nothing is kept of them");
    }

    #[tokio::test]
    async fn a_panic_ends_its_job_alone() {
        let pool = pool(1, 0);
        let outcome: Result<(), _> = pool.run(Party::Operator, || panic!("a bug")).await;
        assert_eq!(outcome, Err(SlowPoolError::Ended));
        assert_eq!(pool.run(Party::Operator, || 1).await, Ok(1));
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
        assert_eq!(data.block_on(pool.run(Party::Operator, || 5)), Ok(5));
    }
}
