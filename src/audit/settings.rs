//! Bounds and intervals of the audit room, resolved. Made by `config`.

use std::time::Duration;

use super::retention::RetentionSettings;

/// How security events are sampled, queued and written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AuditSettings {
    /// Events that may wait for the store; more are dropped and counted.
    pub queue_length: usize,
    /// Most events written in one transaction.
    pub batch_length: usize,
    /// How long the writer gathers events before it writes them.
    pub gather: Duration,
    /// How long the writer waits after the store refused a batch.
    pub retry_after: Duration,
    /// Refusals of one reason on one route that are kept at once; then `refill` rules.
    pub burst: u32,
    /// Time after which one more refusal of a flooded reason and route is kept.
    pub refill: Duration,
    /// What is kept of what was written.
    pub retention: RetentionSettings,
}

impl AuditSettings {
    /// Keeps so many refusals per second of one reason on one route, and queues so many events.
    pub fn keeping(refusals_per_second: u32, queue_length: usize) -> Self {
        let per_second = refusals_per_second.max(1);
        Self {
            queue_length,
            burst: per_second,
            refill: Duration::from_secs(1) / per_second,
            ..Self::default()
        }
    }
}

impl Default for AuditSettings {
    fn default() -> Self {
        Self {
            queue_length: 4096,
            batch_length: 256,
            gather: Duration::from_millis(250),
            retry_after: Duration::from_secs(1),
            burst: 20,
            refill: Duration::from_secs(10),
            retention: RetentionSettings::default(),
        }
    }
}

/// How usage is gathered and written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UsageSettings {
    /// Time between two writes.
    pub interval: Duration,
    /// Most credentials with unwritten usage; the counts of others wait in their cells.
    pub max_pending: usize,
}

impl Default for UsageSettings {
    fn default() -> Self {
        Self {
            interval: Duration::from_secs(10),
            max_pending: 100_000,
        }
    }
}
