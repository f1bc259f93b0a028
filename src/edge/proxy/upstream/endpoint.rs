//! One thing that a connection can be opened to, and how it has been lately. Shared by all threads.

use std::fmt;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

use super::balance::key_of;
use super::settings::HealthSettings;
use crate::domain::clock::MonoMillis;
use crate::telemetry::labels::CheckOutcome;

/// How long an endpoint is avoided after a connect that failed; twice as long after each further one.
const AVOIDED: Duration = Duration::from_secs(1);
/// At most this many times twice.
const MOST_DOUBLINGS: u32 = 5;

/// An address of a target.
#[derive(Debug)]
pub struct Endpoint {
    door: Door,
    target: usize,
    hash: u64,
    /// Connects that failed since the last one that succeeded.
    failed_connects: AtomicU32,
    /// Until when it is avoided, where there is another; 0 when it is not. Monotonic milliseconds.
    avoided_until: AtomicU64,
    /// What the health check says.
    healthy: AtomicBool,
    /// Checks in a row that said otherwise. Only the checker writes it.
    otherwise: AtomicU32,
}

/// Where the connection goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Door {
    /// A TCP address.
    Tcp(SocketAddr),
    /// A Unix socket.
    Unix(Arc<Path>),
}

impl fmt::Display for Door {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => address.fmt(f),
            Self::Unix(path) => path.display().fmt(f),
        }
    }
}

impl Endpoint {
    /// An endpoint of the target with this index.
    pub fn new(target: usize, door: Door) -> Self {
        Self {
            hash: key_of(door.to_string().as_bytes()),
            door,
            target,
            failed_connects: AtomicU32::new(0),
            avoided_until: AtomicU64::new(0),
            healthy: AtomicBool::new(true),
            otherwise: AtomicU32::new(0),
        }
    }

    /// The same for another target, as well as this one is.
    pub fn succeeded_by(&self, target: usize) -> Self {
        Self {
            healthy: AtomicBool::new(self.is_healthy()),
            ..Self::new(target, self.door.clone())
        }
    }

    /// Where the connection goes.
    pub fn door(&self) -> &Door {
        &self.door
    }

    /// Index of the target it belongs to.
    pub fn target(&self) -> usize {
        self.target
    }

    /// What it is known by where requests stick to one; the same in every process.
    pub fn hash(&self) -> u64 {
        self.hash
    }

    /// Notes a connect that succeeded.
    pub fn connected(&self) {
        if self.failed_connects.load(Ordering::Relaxed) > 0 {
            self.failed_connects.store(0, Ordering::Relaxed);
            self.avoided_until.store(0, Ordering::Relaxed);
        }
    }

    /// Notes a connect that failed. Whether it is the first one.
    pub fn failed(&self, now: MonoMillis) -> Change {
        let before = self.failed_connects.fetch_add(1, Ordering::Relaxed);
        let factor = 1_u32 << before.min(MOST_DOUBLINGS);
        let until = now.plus(AVOIDED.saturating_mul(factor));
        self.avoided_until.store(until.0, Ordering::Relaxed);
        match before {
            0 => Change::First,
            _ => Change::None,
        }
    }

    /// Whether there was a failed connect lately. The clock is read only when there was one.
    pub fn is_avoided(&self, now: impl FnOnce() -> MonoMillis) -> bool {
        match self.avoided_until.load(Ordering::Relaxed) {
            0 => false,
            until => now().0 < until,
        }
    }

    /// Whether the health check, if there is one, says that it may be used.
    pub fn is_healthy(&self) -> bool {
        self.healthy.load(Ordering::Relaxed)
    }

    /// Notes how a check ended. Whether that changed the verdict: so many in a row must say otherwise.
    pub fn checked(&self, outcome: CheckOutcome, settings: &HealthSettings) -> Change {
        let passed = outcome == CheckOutcome::Passed;
        if passed == self.is_healthy() {
            self.otherwise.store(0, Ordering::Relaxed);
            return Change::None;
        }
        let needed = match outcome {
            CheckOutcome::Passed => settings.healthy_after,
            CheckOutcome::Failed => settings.unhealthy_after,
        };
        let otherwise = self.otherwise.load(Ordering::Relaxed).saturating_add(1);
        if otherwise < needed {
            self.otherwise.store(otherwise, Ordering::Relaxed);
            return Change::None;
        }
        self.otherwise.store(0, Ordering::Relaxed);
        self.healthy.store(passed, Ordering::Relaxed);
        Change::First
    }
}

/// Whether something is as it was; what is told aloud is told once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    /// As before.
    None,
    /// The first of its sort.
    First,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn endpoint() -> Endpoint {
        Endpoint::new(0, Door::Tcp(([127, 0, 0, 1], 80).into()))
    }

    #[test]
    fn a_verdict_changes_after_so_many_checks_in_a_row_and_not_before() {
        use CheckOutcome::{Failed, Passed};
        let settings = HealthSettings {
            path: http::uri::PathAndQuery::from_static("/"),
            interval: Duration::from_secs(1),
            timeout: Duration::from_secs(1),
            healthy_after: 2,
            unhealthy_after: 3,
            expect_status: Vec::new(),
        };
        let endpoint = endpoint();
        for (outcome, healthy, change, why) in [
            (Passed, true, Change::None, "well from the start"),
            (Failed, true, Change::None, "once"),
            (Failed, true, Change::None, "twice"),
            (Passed, true, Change::None, "not in a row"),
            (Failed, true, Change::None, "once again"),
            (Failed, true, Change::None, "twice"),
            (Failed, false, Change::First, "three in a row"),
            (Failed, false, Change::None, "still"),
            (Passed, false, Change::None, "once is not enough"),
            (Failed, false, Change::None, "not in a row"),
            (Passed, false, Change::None, "once"),
            (Passed, true, Change::First, "twice in a row"),
        ] {
            assert_eq!(endpoint.checked(outcome, &settings), change, "{why}");
            assert_eq!(endpoint.is_healthy(), healthy, "{why}");
        }
    }

    #[test]
    fn a_verdict_takes_so_many_checks_each_way_and_none_is_counted_twice() {
        use CheckOutcome::{Failed, Passed};
        for needed in [1, 2, 3] {
            let settings = HealthSettings {
                path: http::uri::PathAndQuery::from_static("/"),
                interval: Duration::from_secs(1),
                timeout: Duration::from_secs(1),
                healthy_after: needed,
                unhealthy_after: needed,
                expect_status: Vec::new(),
            };
            let endpoint = endpoint();
            // Each way at once behind the other: nothing that led to one verdict counts for the next.
            for (outcome, before) in [(Failed, true), (Passed, false), (Failed, true)] {
                for n in 1..=needed {
                    assert_eq!(endpoint.is_healthy(), before, "{n} of {needed} {outcome:?}");
                    let change = endpoint.checked(outcome, &settings);
                    assert_eq!(
                        change == Change::First,
                        n == needed,
                        "{n} of {needed} {outcome:?}"
                    );
                }
                assert_eq!(endpoint.is_healthy(), !before, "{needed} {outcome:?}");
            }
        }
    }

    #[test]
    fn a_failed_connect_is_avoided_for_longer_each_time_until_one_succeeds() {
        let endpoint = endpoint();
        let mut now = MonoMillis(1000);
        assert!(!endpoint.is_avoided(|| now));
        for (failure, seconds) in [1, 2, 4, 8, 16, 32, 32].into_iter().enumerate() {
            let change = endpoint.failed(now);
            assert_eq!(change == Change::First, failure == 0);
            now = now.plus(Duration::from_millis(seconds * 1000 - 1));
            assert!(endpoint.is_avoided(|| now), "{seconds} seconds");
            now = now.plus(Duration::from_millis(1));
            assert!(!endpoint.is_avoided(|| now), "{seconds} seconds");
        }
        endpoint.failed(now);
        endpoint.connected();
        assert!(!endpoint.is_avoided(|| now));
        assert_eq!(endpoint.failed(now), Change::First, "told again");
    }
}
