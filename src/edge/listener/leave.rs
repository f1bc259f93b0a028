//! The way out: from the first signal to the moment the process may end.
//!
//! ```text
//! SIGTERM ─▶ not ready ─ delay ─▶ closing ─ soft ─▶ idle ones closed ─ rest of timeout ─▶ flush ─▶ end
//! SIGINT  ─▶ the same without the delay        a second signal: skip what is left and flush
//! SIGHUP  ─▶ whatever the app does then; the process goes on. Nothing once it is leaving.
//! ```
//! Closing is soft for a while first: every answer ends its connection, so that a client learns of it from
//! an answer and not from a lost request. What stays silent through that is idle and is closed.

use std::future::Future;
use std::time::Duration;

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

/// Waits for the order to leave and goes the whole way; the process may end when this returns.
pub(super) async fn leave(
    signals: &mut impl Signals,
    drain: &Drain,
    times: DrainTimes,
    on_hangup: &(dyn Fn() + Send + Sync),
    flush: impl Future<Output = ()>,
) {
    let delay = match order(signals, on_hangup).await {
        Signal::Interrupt => Duration::ZERO,
        _ => times.delay,
    };
    tracing::info!("leaving: not ready any more");
    drain.advance(Stage::Leaving);
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
        _ = order(signals, &too_late) => tracing::warn!("leaving: told twice, skipping the rest"),
    }
    drain.advance(Stage::Over);
    drain.empty(LAST).await;
    if tokio::time::timeout(FLUSH, flush).await.is_err() {
        tracing::error!("leaving: the last flush did not end in time");
    }
}

/// The next signal that means leaving.
async fn order(signals: &mut impl Signals, on_hangup: &(dyn Fn() + Send + Sync)) -> Signal {
    loop {
        match signals.next().await {
            Signal::Hangup => on_hangup(),
            order => return order,
        }
    }
}

fn too_late() {
    tracing::info!("SIGHUP: the process is leaving; its configuration stays as it is");
}

#[cfg(test)]
mod tests {
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

    #[tokio::test]
    async fn terminate_is_seen_as_not_ready_before_listeners_close() {
        let readiness = Readiness::new();
        let drain = Drain::new(readiness.clone());
        let mut signals = told(&[Signal::Terminate]);
        let (leaving, check) = (drain.clone(), drain.clone());
        let flushed = std::cell::Cell::new(false);
        let left = leave(&mut signals, &leaving, times(SHORT, LONG), &|| (), async {
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
        let heard = AtomicUsize::new(0);
        let on_hangup = || {
            heard.fetch_add(1, Ordering::Relaxed);
        };
        leave(&mut signals, &drain, times(LONG, LONG), &on_hangup, async {}).await;
        assert_eq!(drain.stage(), Stage::Over);
        assert_eq!(heard.into_inner(), 2, "each one, but none once it is leaving");
    }

    #[tokio::test]
    async fn a_second_order_skips_the_rest_but_not_the_flush() {
        let drain = Drain::new(Readiness::new());
        let _open = drain.connection();
        let mut signals = told(&[Signal::Terminate, Signal::Terminate]);
        let flushed = std::cell::Cell::new(false);
        leave(&mut signals, &drain, times(LONG, LONG), &|| (), async {
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
        leave(&mut signals, &drain, times(LONG, SHORT), &|| (), async {}).await;
        assert_eq!(drain.connections(), 1);
    }
}
