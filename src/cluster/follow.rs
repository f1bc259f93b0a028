//! The follower: polls the store's revocation sequence and applies what is new.
//!
//! SQLite included: the command line and a second process write there. A failed read keeps the last
//! position and tries again; how long the feed has been silent is shown to `authn`, which stops
//! trusting cached verdicts when that exceeds `max_staleness`.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use super::RevocationSink;
use crate::domain::clock::{Clock, MonoMillis};
use crate::store::{Result, Revocations};
use crate::telemetry::Histogram;

/// Most rows read in one call.
const BATCH: u32 = 1000;

/// How fresh the feed is; shared with `authn` and metrics.
#[derive(Debug, Default)]
pub struct FeedState {
    read_at: AtomicU64,
    position: AtomicU64,
}

impl FeedState {
    /// For tests of what a silent feed does.
    #[cfg(test)]
    pub(crate) fn set_read_at(&self, at: MonoMillis) {
        self.read_at.store(at.0, Ordering::Relaxed);
    }

    /// When the feed was last read to its end.
    pub fn read_at(&self) -> MonoMillis {
        MonoMillis(self.read_at.load(Ordering::Relaxed))
    }

    /// The last sequence number read from the store.
    pub fn position(&self) -> u64 {
        self.position.load(Ordering::Relaxed)
    }
}

/// Follows the store's revocations.
pub struct Follower {
    store: Arc<dyn Revocations>,
    sink: Arc<dyn RevocationSink>,
    state: Arc<FeedState>,
    clock: Clock,
    lag: Option<Histogram>,
}

impl Follower {
    /// A follower that has read nothing yet.
    pub fn new(store: Arc<dyn Revocations>, sink: Arc<dyn RevocationSink>, clock: Clock) -> Self {
        Self {
            store,
            sink,
            state: Arc::default(),
            clock,
            lag: None,
        }
    }

    /// Measures from now on how long a revocation of another process took to take effect here. What was
    /// read before, at the start, is old and says nothing of that.
    #[must_use]
    pub fn measuring(self, lag: Histogram) -> Self {
        Self {
            lag: Some(lag),
            ..self
        }
    }

    /// How fresh the feed is.
    pub fn state(&self) -> &Arc<FeedState> {
        &self.state
    }

    /// Reads everything that is new. Called once before serving, then by [`Self::run`].
    ///
    /// The position is the follower's own, not the sink's: a revocation made in this process is applied
    /// at once and may carry a higher number than one that another process committed just before.
    pub async fn catch_up(&self) -> Result<()> {
        loop {
            let from = self.state.position();
            let started = self.clock.now();
            let rows = self.store.revocations_after(from, BATCH).await?;
            for row in &rows {
                let known = row.seq <= self.sink.applied_seq();
                self.sink.apply(row);
                self.state.position.store(row.seq, Ordering::Relaxed);
                if !known && let Some(measured) = &self.lag {
                    let ms = self.clock.now().wall.0.saturating_sub(row.created_at.0);
                    let lag = Duration::from_millis(u64::try_from(ms).unwrap_or(0));
                    measured.observe(lag.as_secs_f64());
                }
            }
            if rows.len() < BATCH as usize {
                self.state.read_at.store(started.mono.0, Ordering::Relaxed);
                return Ok(());
            }
        }
    }

    /// Reads at this interval until shutdown.
    pub async fn run(self, every: Duration, shutdown: tokio_util::sync::CancellationToken) {
        let mut tick = tokio::time::interval(every);
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                () = shutdown.cancelled() => return,
                _ = tick.tick() => {}
            }
            if let Err(error) = self.catch_up().await {
                tracing::warn!(%error, "reading revocations failed; the last position is kept");
            }
        }
    }
}

#[cfg(test)]
mod tests;
