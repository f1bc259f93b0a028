//! The clock of one exchange with an upstream: whose turn it is, told by both of its bodies.
//!
//! Until the answer begins, the upstream has its turn while it has all that the client has sent, and the client
//! while more is awaited from it (then its own clock runs, not this one). Once the answer has begun both may
//! speak at once, as in a gRPC call: then the exchange stands still only when nothing moves in either direction
//! while the answer is awaited. After the answer's end what is left of the request is the client's to send.

use std::cell::Cell;
use std::fmt;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use crate::runtime::deadlines::Deadline;

/// The clock. One for each client connection, or stream; used again by its next request.
pub(super) struct Exchange {
    clock: Deadline,
    phase: Cell<Phase>,
    /// Who sends the rest of a request whose answer is out.
    leftover: Cell<Option<Waker>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// No answer yet.
    Asking,
    /// The answer is under way, and the upstream is not waited for.
    Answering { idle: Duration },
    /// More of the answer is awaited, for so long unless something moves.
    Awaiting { idle: Duration },
    /// The answer is out.
    Answered,
}

impl fmt::Debug for Exchange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Exchange")
            .field("phase", &self.phase.get())
            .finish_non_exhaustive()
    }
}

impl Exchange {
    pub(super) fn new(clock: Deadline) -> Self {
        Self {
            clock,
            phase: Cell::new(Phase::Asking),
            leftover: Cell::new(None),
        }
    }

    /// A request begins. `total` bounds all of it.
    pub(super) fn begin(&self, total: Option<Duration>) {
        self.phase.set(Phase::Asking);
        self.leftover.set(None);
        self.clock.set_last(total);
    }

    /// The clock itself, for what comes when HTTP has ended.
    pub(super) fn end(&self) -> &Deadline {
        self.clock.set_last(None);
        &self.clock
    }

    /// Waits for the answer's head. `None`: it was not there in time.
    pub(super) async fn answer_within<F: Future>(&self, after: Duration, answer: F) -> Option<F::Output> {
        self.clock.bound(after, answer).await
    }

    /// The answer's head is there; its body may stand still for so long.
    pub(super) fn answers(&self, idle: Duration) {
        self.phase.set(Phase::Answering { idle });
    }

    /// The answer is out, or given up.
    pub(super) fn answered(&self) {
        self.clock.clear();
        self.phase.set(Phase::Answered);
        if let Some(waker) = self.leftover.take() {
            waker.wake();
        }
    }

    /// Whether the client alone is waited for when more of its request is.
    pub(super) fn is_clients_turn(&self) -> bool {
        matches!(self.phase.get(), Phase::Asking | Phase::Answered)
    }

    /// Something of the request came: the upstream has `turn` for its answer, or goes on with it.
    pub(super) fn request_moved(&self, turn: Duration) {
        match self.phase.get() {
            Phase::Asking => self.clock.set(turn),
            Phase::Awaiting { idle } => self.clock.set(idle),
            Phase::Answering { .. } => {}
            Phase::Answered => self.clock.clear(),
        }
    }

    /// More of the request is awaited from the client.
    pub(super) fn request_waits(&self) {
        if self.phase.get() == Phase::Asking {
            self.clock.clear();
        }
    }

    /// The same after the answer's end, where no clock of the connection's runs: ready when the client has
    /// sent nothing for so long. `waited`: whether it was awaited already. Until then the task is noted,
    /// to be woken at the answer's end.
    pub(super) fn poll_leftover(&self, cx: &mut Context<'_>, idle: Duration, waited: &mut bool) -> Poll<()> {
        if self.phase.get() != Phase::Answered {
            self.leftover.set(Some(cx.waker().clone()));
            return Poll::Pending;
        }
        if !std::mem::replace(waited, true) {
            self.clock.set(idle);
        }
        self.clock.poll_expired(cx)
    }

    /// More of the answer came.
    pub(super) fn answer_moved(&self) {
        if let Phase::Awaiting { idle } = self.phase.get() {
            self.phase.set(Phase::Answering { idle });
            self.clock.clear();
        }
    }

    /// More of the answer is awaited. Ready when that took too long.
    pub(super) fn poll_answer(&self, cx: &mut Context<'_>) -> Poll<()> {
        if let Phase::Answering { idle } = self.phase.get() {
            self.phase.set(Phase::Awaiting { idle });
            self.clock.set(idle);
        }
        self.clock.poll_expired(cx)
    }

    /// Whether the bound on all of it has passed.
    pub(super) fn is_over(&self) -> bool {
        self.clock.is_over()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::task::Wake;

    use super::*;
    use crate::runtime::deadlines::Deadlines;

    const TURN: Duration = Duration::from_secs(5);
    const IDLE: Duration = Duration::from_secs(2);

    fn exchange() -> (Deadlines, Exchange) {
        let deadlines = Deadlines::new(Duration::from_secs(1));
        let exchange = Exchange::new(deadlines.register());
        exchange.begin(None);
        (deadlines, exchange)
    }

    fn ticks(deadlines: &Deadlines, ticks: u32) {
        (0..ticks).for_each(|_| deadlines.advance());
    }

    fn poll_answer(exchange: &Exchange) -> Poll<()> {
        exchange.poll_answer(&mut Context::from_waker(Waker::noop()))
    }

    #[test]
    fn before_the_answer_the_upstreams_time_runs_only_while_it_has_all_there_is() {
        let (deadlines, exchange) = exchange();
        exchange.request_moved(TURN);
        ticks(&deadlines, 3);
        exchange.request_waits();
        ticks(&deadlines, 100);
        assert!(!exchange.clock.is_expired(), "the client had its turn");
        exchange.request_moved(TURN);
        ticks(&deadlines, 6);
        assert!(exchange.clock.is_expired());
    }

    #[test]
    fn within_the_answer_only_what_stands_still_both_ways_ends() {
        let (deadlines, exchange) = exchange();
        exchange.request_moved(TURN);
        exchange.answers(IDLE);
        assert!(poll_answer(&exchange).is_pending());
        for _ in 0..10 {
            ticks(&deadlines, 2);
            exchange.request_moved(TURN);
            exchange.request_waits();
            assert!(poll_answer(&exchange).is_pending(), "the request moves");
        }
        for _ in 0..10 {
            ticks(&deadlines, 2);
            exchange.answer_moved();
            assert!(poll_answer(&exchange).is_pending(), "the answer moves");
        }
        exchange.request_waits();
        ticks(&deadlines, 3);
        assert!(poll_answer(&exchange).is_ready(), "nothing moves");
    }

    #[test]
    fn a_client_that_takes_nothing_of_the_answer_costs_the_upstream_no_time() {
        let (deadlines, exchange) = exchange();
        exchange.answers(IDLE);
        assert!(poll_answer(&exchange).is_pending());
        exchange.answer_moved();
        ticks(&deadlines, 100);
        assert!(poll_answer(&exchange).is_pending(), "nobody asked for more");
    }

    /// Counts how often it was woken.
    #[derive(Default)]
    struct Woken(AtomicUsize);

    impl Wake for Woken {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::SeqCst);
        }
    }

    #[test]
    fn whoever_sends_what_is_left_is_woken_at_the_answers_end_and_only_then() {
        let (deadlines, exchange) = exchange();
        let woken = Arc::new(Woken::default());
        let waker = Waker::from(Arc::clone(&woken));
        let count = || woken.0.load(Ordering::SeqCst);
        let mut waited = false;
        let mut poll = || exchange.poll_leftover(&mut Context::from_waker(&waker), IDLE, &mut waited);
        exchange.answers(IDLE);
        assert!(poll().is_pending(), "its clock is the answer's as yet");
        assert_eq!(count(), 0);
        exchange.answered();
        assert_eq!(
            count(),
            1,
            "or nobody would set a clock for it, and it could stand still for ever"
        );
        assert!(poll().is_pending());
        ticks(&deadlines, 3);
        assert!(poll().is_ready());
        // Left over from a request whose answer never came.
        exchange.begin(None);
        assert!(poll().is_pending());
        let before = count();
        exchange.begin(None);
        exchange.answered();
        assert_eq!(count(), before, "the next request's end is none of its business");
    }

    #[test]
    fn what_is_left_after_the_answer_has_the_clients_time_and_the_next_request_a_fresh_clock() {
        let (deadlines, exchange) = exchange();
        let mut waited = false;
        let mut poll = |exchange: &Exchange| {
            let cx = &mut Context::from_waker(Waker::noop());
            exchange.poll_leftover(cx, IDLE, &mut waited)
        };
        exchange.answers(IDLE);
        assert!(poll(&exchange).is_pending(), "not yet");
        exchange.answered();
        assert!(poll(&exchange).is_pending());
        ticks(&deadlines, 2);
        assert!(poll(&exchange).is_pending());
        ticks(&deadlines, 1);
        assert!(poll(&exchange).is_ready());
        exchange.begin(Some(TURN));
        assert!(!exchange.clock.is_expired() && exchange.is_clients_turn());
        ticks(&deadlines, 6);
        assert!(exchange.is_over(), "the bound on all of it");
    }
}
