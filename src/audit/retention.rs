//! How long the audit trail is kept: a task that removes refusals that are too old or too many, and
//! management acts where that was asked for.
//!
//! In batches, each a short transaction, so that no act waits long behind it; what one round leaves the next
//! one takes. The chain stays checkable: the store leaves the digests that are needed (`store::chain`).

use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::queue::REFUSAL;
use crate::domain::clock::{Clock, UnixMillis};
use crate::store::{AuditLog, AuditTrim, Result, TrimmedActs};

/// How often the trail is looked through.
const EVERY: Duration = Duration::from_secs(600);
/// Rows removed in one transaction.
const BATCH: u32 = 500;
/// Transactions of one round and rule.
const MAX_BATCHES: u32 = 200;

/// What of the audit trail is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RetentionSettings {
    /// How long refusals are kept.
    pub refusals_for: Duration,
    /// How many refusals are kept.
    pub max_refusals: u64,
    /// How long management acts are kept; `None`: for ever.
    pub acts_for: Option<Duration>,
}

impl Default for RetentionSettings {
    fn default() -> Self {
        Self {
            refusals_for: Duration::from_secs(30 * 24 * 60 * 60),
            max_refusals: 1_000_000,
            acts_for: None,
        }
    }
}

/// Looks through the trail now and every ten minutes, until told to stop.
pub async fn retain(
    settings: RetentionSettings,
    log: Arc<dyn AuditLog>,
    clock: Clock,
    shutdown: CancellationToken,
) {
    let mut timer = tokio::time::interval(EVERY);
    timer.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = shutdown.cancelled() => return,
            _ = timer.tick() => {}
        }
        match round(&settings, log.as_ref(), clock.now().wall, &shutdown).await {
            Ok(0) => {}
            Ok(rows) => tracing::info!(rows, "removed audit rows past their retention"),
            Err(error) => tracing::warn!(%error, "trimming the audit trail failed; tried again later"),
        }
    }
}

/// Removes what is past its retention, and says how many rows that were.
async fn round(
    settings: &RetentionSettings,
    log: &dyn AuditLog,
    now: UnixMillis,
    shutdown: &CancellationToken,
) -> Result<u64> {
    let mut removed: u64 = 0;
    for rule in rules(settings, now) {
        for _ in 0..MAX_BATCHES {
            let rows = log.trim_audit(&rule, BATCH).await?;
            removed = removed.saturating_add(rows);
            if rows < u64::from(BATCH) || shutdown.is_cancelled() {
                break;
            }
        }
    }
    Ok(removed)
}

fn rules(settings: &RetentionSettings, now: UnixMillis) -> Vec<AuditTrim> {
    let since = |kept_for: Duration| {
        let ms = i64::try_from(kept_for.as_millis()).unwrap_or(i64::MAX);
        Some(UnixMillis(now.0.saturating_sub(ms)))
    };
    let refusals = AuditTrim {
        acts: TrimmedActs::Only(REFUSAL),
        before: since(settings.refusals_for),
        keep_newest: Some(settings.max_refusals),
    };
    let acts = settings.acts_for.map(|kept_for| AuditTrim {
        acts: TrimmedActs::AllBut(REFUSAL),
        before: since(kept_for),
        keep_newest: None,
    });
    std::iter::once(refusals).chain(acts).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refusals_go_by_age_and_number_and_acts_only_when_asked_for() {
        let now = UnixMillis(100_000_000_000);
        let by_default = RetentionSettings::default();
        let refusals = AuditTrim {
            acts: TrimmedActs::Only("request.refuse"),
            before: Some(UnixMillis(100_000_000_000 - 2_592_000_000)),
            keep_newest: Some(1_000_000),
        };
        assert_eq!(rules(&by_default, now), std::slice::from_ref(&refusals));
        let asked = RetentionSettings {
            acts_for: Some(Duration::from_secs(1)),
            ..by_default
        };
        let acts = AuditTrim {
            acts: TrimmedActs::AllBut("request.refuse"),
            before: Some(UnixMillis(99_999_999_000)),
            keep_newest: None,
        };
        assert_eq!(rules(&asked, now), [refusals, acts]);
    }
}
