//! The way out: from the first signal to the moment the process may end.
//!
//! ```text
//! SIGTERM ─▶ not ready ─ delay ─▶ closing ─ soft ─▶ idle ones closed ─ rest of timeout ─▶ flush ─▶ end
//! SIGINT  ─▶ the same without the delay        a second signal: skip what is left and flush
//! SIGQUIT ─▶ a successor serves ─▶ closing, as above      (no successor: the process goes on)
//! SIGHUP  ─▶ whatever the app does then; the process goes on
//! ```
//! Closing is soft for a while first: every answer ends its connection, so that a client learns of it from
//! an answer and not from a lost request. What stays silent through that is idle and is closed.

use std::future::Future;
use std::time::Duration;

use futures::future::{BoxFuture, pending};

use super::signals::{Signal, Signals};
use crate::runtime::drain::{Drain, Emptied, Stage};

/// How long idle connections are left alone after closing began, within the drain's timeout.
const SOFT: Duration = Duration::from_secs(2);
/// How long what has no end of its own, such as tunnels, may take to close.
const LAST: Duration = Duration::from_millis(500);
/// How long the last flush may take.
pub const FLUSH: Duration = Duration::from_secs(10);

/// How long leaving takes at most.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DrainTimes {
    /// Time to be seen as not ready while everything is still served.
    pub delay: Duration,
    /// Time for running requests after that.
    pub timeout: Duration,
}

/// What signals do that do not end the process, or not by themselves.
pub struct Hooks {
    /// SIGHUP. Called on the thread that reads signals, so it must not wait: it tells a task.
    pub on_hangup: Box<dyn Fn() + Send + Sync>,
    /// SIGQUIT: tries to hand over. Dropped when an order to leave comes first.
    pub on_quit: Box<dyn Fn() -> BoxFuture<'static, HandOver> + Send + Sync>,
}

/// How a hand-over went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HandOver {
    /// A successor serves.
    Done,
    /// Nobody does but us.
    Failed,
}

/// Why the process leaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Order {
    Terminate,
    Interrupt,
    HandedOver,
}

/// Waits for the order to leave and goes the whole way; the process may end when this returns.
pub(super) async fn leave(
    signals: &mut impl Signals,
    drain: &Drain,
    times: DrainTimes,
    hooks: &Hooks,
    flush: impl Future<Output = ()>,
) {
    let order = order(signals, hooks).await;
    if order != Order::HandedOver {
        tracing::info!("leaving: not ready any more");
        drain.advance(Stage::Leaving);
    }
    let delay = match order {
        Order::Terminate => times.delay,
        Order::Interrupt | Order::HandedOver => Duration::ZERO,
    };
    let way = async {
        tokio::time::sleep(delay).await;
        tracing::info!("leaving: no new connections");
        drain.advance(Stage::Closing);
        let soft = SOFT.min(times.timeout / 2);
        if drain.empty(soft).await != Emptied::All {
            drain.advance(Stage::Ended);
            if let Emptied::TimedOut { open } = drain.empty(times.timeout.saturating_sub(soft)).await {
                tracing::warn!(open, "leaving: some connections did not end in time");
            }
        }
    };
    tokio::select! {
        () = way => {}
        () = told_again(signals) => tracing::warn!("leaving: told twice, skipping the rest"),
    }
    drain.advance(Stage::Over);
    drain.empty(LAST).await;
    if tokio::time::timeout(FLUSH, flush).await.is_err() {
        tracing::error!("leaving: the last flush did not end in time");
    }
}

/// The next signal that means leaving.
async fn order(signals: &mut impl Signals, hooks: &Hooks) -> Order {
    let mut handing_over = None;
    loop {
        let handed_over = async {
            match &mut handing_over {
                Some(attempt) => attempt.await,
                None => pending().await,
            }
        };
        tokio::select! {
            signal = signals.next() => match signal {
                Signal::Terminate => return Order::Terminate,
                Signal::Interrupt => return Order::Interrupt,
                Signal::Hangup => (hooks.on_hangup)(),
                Signal::Quit if handing_over.is_some() => {
                    tracing::info!("SIGQUIT: a hand-over is under way already");
                }
                Signal::Quit => handing_over = Some((hooks.on_quit)()),
            },
            outcome = handed_over => match outcome {
                HandOver::Done => return Order::HandedOver,
                HandOver::Failed => handing_over = None,
            },
        }
    }
}

/// Waits for another order to leave.
async fn told_again(signals: &mut impl Signals) {
    loop {
        match signals.next().await {
            Signal::Terminate | Signal::Interrupt => return,
            Signal::Hangup | Signal::Quit => {
                tracing::info!("the process is leaving: signals for a running one do nothing");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;
    use crate::runtime::readiness::Readiness;
    use tokio::sync::mpsc;

    impl Signals for mpsc::Receiver<Signal> {
        async fn next(&mut self) -> Signal {
            match self.recv().await {
                Some(signal) => signal,
                None => std::future::pending().await,
            }
        }
    }

    const LONG: Duration = Duration::from_secs(600);
    const SHORT: Duration = Duration::from_millis(20);

    fn told(signals: &[Signal]) -> mpsc::Receiver<Signal> {
        let (told, signals_in) = mpsc::channel(8);
        signals.iter().for_each(|s| told.try_send(*s).expect("room"));
        // Kept open: a closed channel would not mean anything either, see above.
        drop(told);
        signals_in
    }

    fn times(delay: Duration, timeout: Duration) -> DrainTimes {
        DrainTimes { delay, timeout }
    }

    /// Nothing happens, and nobody is handed over to.
    fn hooks() -> Hooks {
        handing_over(HandOver::Failed)
    }

    fn handing_over(outcome: HandOver) -> Hooks {
        Hooks {
            on_hangup: Box::new(|| ()),
            on_quit: Box::new(move || Box::pin(async move { outcome })),
        }
    }

    #[tokio::test]
    async fn a_hand_over_ends_the_process_without_delay_and_a_failed_one_changes_nothing() {
        let readiness = Readiness::new();
        let drain = Drain::new(readiness.clone());
        let mut signals = told(&[Signal::Quit]);
        let hooks = handing_over(HandOver::Done);
        leave(&mut signals, &drain, times(LONG, LONG), &hooks, async {}).await;
        assert_eq!(drain.stage(), Stage::Over);

        let (tell, mut signals) = mpsc::channel(8);
        let (attempted, mut attempts) = mpsc::channel(8);
        let hooks = Hooks {
            on_hangup: Box::new(|| ()),
            on_quit: Box::new(move || {
                let attempted = attempted.clone();
                Box::pin(async move {
                    attempted.send(()).await.expect("heard");
                    HandOver::Failed
                })
            }),
        };
        let drain = Drain::new(Readiness::new());
        let telling = async {
            for _ in 0..2 {
                tell.send(Signal::Quit).await.expect("heard");
                attempts.recv().await.expect("tried each time");
                assert_eq!(drain.stage(), Stage::Serving);
            }
            tell.send(Signal::Interrupt).await.expect("heard");
        };
        let (left, ()) = tokio::join!(
            leave(&mut signals, &drain, times(LONG, LONG), &hooks, async {}),
            telling
        );
        assert_eq!((left, drain.stage()), ((), Stage::Over));
    }

    #[tokio::test]
    async fn an_order_to_leave_ends_a_hand_over_that_is_under_way() {
        struct Ended(Arc<AtomicUsize>);
        impl Drop for Ended {
            fn drop(&mut self) {
                self.0.fetch_add(1, Ordering::Relaxed);
            }
        }
        let (ended, drain) = (Arc::new(AtomicUsize::new(0)), Drain::new(Readiness::new()));
        let counted = ended.clone();
        let hooks = Hooks {
            on_hangup: Box::new(|| ()),
            on_quit: Box::new(move || {
                let offer = Ended(counted.clone());
                Box::pin(async move {
                    let _offer = offer;
                    pending().await
                })
            }),
        };
        let mut signals = told(&[Signal::Quit, Signal::Quit, Signal::Interrupt]);
        leave(&mut signals, &drain, times(LONG, LONG), &hooks, async {}).await;
        assert_eq!((drain.stage(), ended.load(Ordering::Relaxed)), (Stage::Over, 1));
    }

    #[tokio::test]
    async fn terminate_is_seen_as_not_ready_before_listeners_close() {
        let readiness = Readiness::new();
        let drain = Drain::new(readiness.clone());
        let mut signals = told(&[Signal::Terminate]);
        let (leaving, check) = (drain.clone(), drain.clone());
        let flushed = std::cell::Cell::new(false);
        let hooks = hooks();
        let left = leave(&mut signals, &leaving, times(SHORT, LONG), &hooks, async {
            flushed.set(true)
        });
        let seen = async {
            check.reached(Stage::Leaving).await;
            (check.stage(), readiness.held().len())
        };
        let ((), seen) = tokio::join!(left, seen);
        assert_eq!(seen, (Stage::Leaving, 1));
        assert!(flushed.get());
        assert_eq!(drain.stage(), Stage::Over);
    }

    #[tokio::test]
    async fn interrupt_has_no_delay_and_hangup_is_no_order() {
        let drain = Drain::new(Readiness::new());
        let mut signals = told(&[Signal::Hangup, Signal::Hangup, Signal::Interrupt, Signal::Hangup]);
        let heard = Arc::new(AtomicUsize::new(0));
        let hearing = heard.clone();
        let hooks = Hooks {
            on_hangup: Box::new(move || {
                hearing.fetch_add(1, Ordering::Relaxed);
            }),
            ..hooks()
        };
        leave(&mut signals, &drain, times(LONG, LONG), &hooks, async {}).await;
        assert_eq!(drain.stage(), Stage::Over);
        assert_eq!(
            heard.load(Ordering::Relaxed),
            2,
            "each one, but none once it is leaving"
        );
    }

    #[tokio::test]
    async fn a_second_order_skips_the_rest_but_not_the_flush() {
        let drain = Drain::new(Readiness::new());
        let _open = drain.connection();
        let mut signals = told(&[Signal::Terminate, Signal::Terminate]);
        let flushed = std::cell::Cell::new(false);
        leave(&mut signals, &drain, times(LONG, LONG), &hooks(), async {
            flushed.set(true)
        })
        .await;
        assert!(flushed.get());
    }

    #[tokio::test]
    async fn running_requests_get_their_time_and_no_more() {
        let drain = Drain::new(Readiness::new());
        let _stuck = drain.connection();
        let mut signals = told(&[Signal::Interrupt]);
        leave(&mut signals, &drain, times(LONG, SHORT), &hooks(), async {}).await;
        assert_eq!(drain.connections(), 1);
    }
}
