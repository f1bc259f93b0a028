//! Coarse deadlines for one data thread: many of them, set and cleared by a plain store.
//!
//! A timer per read or per request costs more than the request's own checks. Here each connection owns
//! a slot or two for its whole life; arming one is a relaxed store, and a single sweep per tick wakes
//! whoever is late. Deadlines fire up to one tick after their time, never before it. Nothing here reads a clock.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use futures::task::AtomicWaker;
use parking_lot::Mutex;

const OFF: u64 = u64::MAX;

/// The deadlines of one thread. Clones share them.
#[derive(Debug, Clone)]
pub struct Deadlines(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    tick: Duration,
    /// The same, at least 1.
    tick_micros: u64,
    now: AtomicU64,
    slots: Mutex<Vec<Arc<Slot>>>,
}

#[derive(Debug)]
struct Slot {
    at: AtomicU64,
    /// Never later than this, whatever is set.
    last: AtomicU64,
    waker: AtomicWaker,
}

/// One deadline, off until it is set. Dropping it frees its place at the next sweep.
#[derive(Debug)]
pub struct Deadline {
    slot: Arc<Slot>,
    shared: Arc<Shared>,
}

impl Deadlines {
    /// Deadlines that are checked once per tick.
    pub fn new(tick: Duration) -> Self {
        let tick = tick.max(Duration::from_millis(1));
        Self(Arc::new(Shared {
            tick,
            tick_micros: micros(tick).max(1),
            now: AtomicU64::new(0),
            slots: Mutex::new(Vec::new()),
        }))
    }

    /// A new deadline. Allocates and locks: once per connection, not per request.
    pub fn register(&self) -> Deadline {
        let slot = Arc::new(Slot {
            at: AtomicU64::new(OFF),
            last: AtomicU64::new(OFF),
            waker: AtomicWaker::new(),
        });
        self.0.slots.lock().push(slot.clone());
        Deadline {
            slot,
            shared: self.0.clone(),
        }
    }

    /// Ticks until dropped. Each data thread runs one.
    pub async fn run(&self) {
        let mut interval = tokio::time::interval(self.0.tick);
        interval.tick().await;
        loop {
            interval.tick().await;
            self.advance();
        }
    }

    /// One tick: wakes what is late, forgets what was dropped.
    pub fn advance(&self) {
        let now = self.0.now.load(Ordering::Relaxed).saturating_add(1);
        self.0.now.store(now, Ordering::Relaxed);
        self.0.slots.lock().retain(|slot| {
            if slot.at.load(Ordering::Relaxed) <= now {
                slot.waker.wake();
            }
            Arc::strong_count(slot) > 1
        });
    }

    /// How many ticks there were. While the thread that runs them answers, they go on.
    pub fn ticks(&self) -> u64 {
        self.0.now.load(Ordering::Relaxed)
    }

    /// How many deadlines are registered (some may have been dropped since the last tick).
    pub fn len(&self) -> usize {
        self.0.slots.lock().len()
    }

    /// Whether none is registered.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl Deadline {
    /// Due this long from now, rounded up to whole ticks plus the one that is running.
    pub fn set(&self, after: Duration) {
        let last = self.slot.last.load(Ordering::Relaxed);
        self.slot
            .at
            .store(self.tick_after(after).min(last), Ordering::Relaxed);
    }

    /// Not due until set again, but for the last one, if there is one.
    pub fn clear(&self) {
        let last = self.slot.last.load(Ordering::Relaxed);
        self.slot.at.store(last, Ordering::Relaxed);
    }

    /// Due this long from now at the latest, whatever is set or cleared meanwhile; `None` ends that.
    pub fn set_last(&self, after: Option<Duration>) {
        let last = after.map_or(OFF, |after| self.tick_after(after));
        self.slot.last.store(last, Ordering::Relaxed);
        self.slot.at.store(last, Ordering::Relaxed);
    }

    /// Whether the last one has passed.
    pub fn is_over(&self) -> bool {
        self.slot.last.load(Ordering::Relaxed) <= self.shared.now.load(Ordering::Relaxed)
    }

    fn tick_after(&self, after: Duration) -> u64 {
        // In words of the machine: a division of 128 bits costs more than everything else here.
        let ticks = micros(after).div_ceil(self.shared.tick_micros);
        let now = self.shared.now.load(Ordering::Relaxed);
        now.saturating_add(ticks).saturating_add(1).min(OFF - 1)
    }

    /// Ready once the deadline has passed, and until it is set or cleared.
    pub fn poll_expired(&self, cx: &mut Context<'_>) -> Poll<()> {
        if self.is_expired() {
            return Poll::Ready(());
        }
        self.slot.waker.register(cx.waker());
        // No tick can have come in between: the sweep runs on this very thread.
        Poll::Pending
    }

    /// Whether the deadline has passed.
    pub fn is_expired(&self) -> bool {
        self.slot.at.load(Ordering::Relaxed) <= self.shared.now.load(Ordering::Relaxed)
    }

    /// Runs the future until the deadline; `None` when that came first. The deadline is cleared at the end.
    pub async fn bound<F: Future>(&self, after: Duration, future: F) -> Option<F::Output> {
        let _clear = ClearOnDrop(self);
        self.set(after);
        let mut future = std::pin::pin!(future);
        std::future::poll_fn(|cx| match future.as_mut().poll(cx) {
            Poll::Ready(output) => Poll::Ready(Some(output)),
            Poll::Pending => self.poll_expired(cx).map(|()| None),
        })
        .await
    }
}

/// Microseconds, rounded up.
fn micros(duration: Duration) -> u64 {
    let below = u64::from(duration.subsec_nanos().div_ceil(1000));
    duration.as_secs().saturating_mul(1_000_000).saturating_add(below)
}

struct ClearOnDrop<'a>(&'a Deadline);

impl Drop for ClearOnDrop<'_> {
    fn drop(&mut self) {
        self.0.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::task::Waker;

    #[test]
    fn a_deadline_fires_once_its_ticks_have_passed_and_never_before() {
        let deadlines = Deadlines::new(Duration::from_millis(100));
        let deadline = deadlines.register();
        let cx = &mut Context::from_waker(Waker::noop());
        for _ in 0..50 {
            deadlines.advance();
        }
        assert!(deadline.poll_expired(cx).is_pending(), "off until set");
        deadline.set(Duration::from_millis(250));
        for tick in 1..=3 {
            deadlines.advance();
            assert!(deadline.poll_expired(cx).is_pending(), "tick {tick}");
        }
        deadlines.advance();
        assert!(deadline.poll_expired(cx).is_ready());
        deadline.clear();
        assert!(deadline.poll_expired(cx).is_pending(), "cleared");
    }

    #[test]
    fn a_last_deadline_holds_whatever_is_set_or_cleared() {
        let deadlines = Deadlines::new(Duration::from_millis(100));
        let deadline = deadlines.register();
        deadline.set_last(Some(Duration::from_millis(300)));
        for tick in 1..=3 {
            deadlines.advance();
            deadline.set(Duration::from_secs(5));
            deadline.clear();
            assert!(!deadline.is_expired() && !deadline.is_over(), "tick {tick}");
        }
        deadlines.advance();
        assert!(deadline.is_expired() && deadline.is_over());
        deadline.set(Duration::from_secs(5));
        assert!(deadline.is_expired(), "it cannot be put off");
        deadline.set_last(None);
        assert!(!deadline.is_expired() && !deadline.is_over());
    }

    #[test]
    fn dropped_deadlines_are_forgotten_at_the_next_tick() {
        let deadlines = Deadlines::new(Duration::from_millis(100));
        let kept = deadlines.register();
        drop((0..100).map(|_| deadlines.register()).collect::<Vec<_>>());
        deadlines.advance();
        assert_eq!(deadlines.len(), 1);
        drop(kept);
        deadlines.advance();
        assert!(deadlines.is_empty());
    }

    #[tokio::test]
    async fn a_bound_future_is_dropped_when_its_deadline_comes_first() {
        let deadlines = Deadlines::new(Duration::from_millis(1));
        let deadline = deadlines.register();
        let late = deadline.bound(Duration::from_millis(5), std::future::pending::<()>());
        let outcome = tokio::select! {
            outcome = late => outcome,
            () = deadlines.run() => Some(()),
        };
        assert_eq!(outcome, None);
        assert_eq!(deadline.bound(Duration::from_secs(5), async { 7 }).await, Some(7));
    }
}
