//! Time: the only place in the process that reads a clock.
//!
//! Token checks follow the wall clock; cache lifetimes, deadlines and throttles follow the
//! monotonic one, so that a clock set back does not keep a verdict alive (SECURITY section 3).
//! Both are read from the kernel's coarse clocks: a few nanoseconds, a resolution of at most
//! 10 ms, which no decision of ours needs finer. Durations for metrics use [`Stopwatch`].

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use rustix::time::{ClockId, clock_gettime};

/// A point of wall time: milliseconds since 1970-01-01T00:00:00Z.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct UnixMillis(pub i64);

impl UnixMillis {
    /// Whole seconds since the epoch, rounded down.
    pub fn as_secs(self) -> i64 {
        self.0.div_euclid(1000)
    }

    /// From whole seconds, saturating.
    pub fn from_secs(secs: i64) -> Self {
        Self(secs.saturating_mul(1000))
    }

    /// This instant plus a duration, saturating.
    pub fn plus(self, d: Duration) -> Self {
        Self(
            self.0
                .saturating_add(i64::try_from(d.as_millis()).unwrap_or(i64::MAX)),
        )
    }

    /// RFC 3339 text in UTC, for people and JSON.
    pub fn rfc3339(self) -> String {
        self.to_string()
    }
}

/// RFC 3339 in UTC.
impl fmt::Display for UnixMillis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match jiff::Timestamp::from_millisecond(self.0) {
            Ok(at) => write!(f, "{at}"),
            Err(_) => f.write_str("out-of-range"),
        }
    }
}

/// A point of monotonic time: milliseconds since an arbitrary start. Never shown to anyone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MonoMillis(pub u64);

impl MonoMillis {
    /// This instant plus a duration, saturating.
    pub fn plus(self, d: Duration) -> Self {
        Self(
            self.0
                .saturating_add(u64::try_from(d.as_millis()).unwrap_or(u64::MAX)),
        )
    }

    /// Milliseconds since an earlier instant (0 when it is later).
    pub fn since(self, earlier: Self) -> u64 {
        self.0.saturating_sub(earlier.0)
    }
}

/// Both clocks, read together once per request and passed down.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Now {
    /// Wall time: token expiry, audit, usage.
    pub wall: UnixMillis,
    /// Monotonic time: cache lifetimes, throttles, deadlines.
    pub mono: MonoMillis,
}

/// Notices that the wall clock was set: between two looks it went on by something else than the monotonic
/// one. A machine that slept looks alike, as the monotonic clock stands still meanwhile.
#[derive(Debug, Clone, Copy)]
pub struct JumpDetector(Now);

impl JumpDetector {
    /// The least difference that is told: far above the clocks' resolution and what time services slew.
    pub const LEAST: Duration = Duration::from_secs(2);

    /// Begins at this time.
    pub fn new(now: Now) -> Self {
        Self(now)
    }

    /// By how many milliseconds the wall clock jumped since the last look (back: negative), if it did.
    pub fn look(&mut self, now: Now) -> Option<i64> {
        let before = std::mem::replace(&mut self.0, now);
        let went_on = i64::try_from(now.mono.since(before.mono)).unwrap_or(i64::MAX);
        let jump = now.wall.0.saturating_sub(before.wall.0).saturating_sub(went_on);
        (u128::from(jump.unsigned_abs()) >= Self::LEAST.as_millis()).then_some(jump)
    }
}

/// Where `Now` comes from: the system, or a hand in a test.
#[derive(Debug, Clone, Default)]
pub enum Clock {
    /// The kernel's clocks.
    #[default]
    System,
    /// A clock that a test sets.
    Manual(ManualClock),
}

impl Clock {
    /// Reads both clocks.
    pub fn now(&self) -> Now {
        match self {
            Self::System => {
                let wall = clock_gettime(ClockId::RealtimeCoarse);
                let mono = clock_gettime(ClockId::MonotonicCoarse);
                Now {
                    wall: UnixMillis(
                        wall.tv_sec
                            .saturating_mul(1000)
                            .saturating_add(wall.tv_nsec / 1_000_000),
                    ),
                    mono: MonoMillis(
                        u64::try_from(
                            mono.tv_sec
                                .saturating_mul(1000)
                                .saturating_add(mono.tv_nsec / 1_000_000),
                        )
                        .unwrap_or(0),
                    ),
                }
            }
            Self::Manual(manual) => manual.now(),
        }
    }
}

/// A clock moved by hand. Clones share the time.
#[derive(Debug, Clone)]
pub struct ManualClock(Arc<(AtomicI64, AtomicU64)>);

impl ManualClock {
    /// A clock standing at this wall time, with monotonic time at one hour.
    pub fn at(wall: UnixMillis) -> Self {
        Self(Arc::new((AtomicI64::new(wall.0), AtomicU64::new(3_600_000))))
    }

    /// The time it stands at.
    pub fn now(&self) -> Now {
        Now {
            wall: UnixMillis(self.0.0.load(Ordering::SeqCst)),
            mono: MonoMillis(self.0.1.load(Ordering::SeqCst)),
        }
    }

    /// Lets both clocks go on.
    pub fn advance(&self, d: Duration) {
        let ms = u64::try_from(d.as_millis()).unwrap_or(u64::MAX);
        self.0
            .0
            .fetch_add(i64::try_from(ms).unwrap_or(i64::MAX), Ordering::SeqCst);
        self.0.1.fetch_add(ms, Ordering::SeqCst);
    }

    /// Sets the wall clock alone, as an administrator or NTP would.
    pub fn set_wall(&self, wall: UnixMillis) {
        self.0.0.store(wall.0, Ordering::SeqCst);
    }
}

/// Time since the system's start by its precise monotonic clock, as service managers compare it.
pub fn precise_monotonic() -> Duration {
    let now = clock_gettime(ClockId::Monotonic);
    let (secs, nanos) = (u64::try_from(now.tv_sec), u32::try_from(now.tv_nsec));
    Duration::new(secs.unwrap_or(0), nanos.unwrap_or(0))
}

/// Measures a duration for a metric; never used to decide anything.
#[derive(Debug, Clone, Copy)]
pub struct Stopwatch(Instant);

impl Stopwatch {
    /// Starts measuring.
    #[expect(
        clippy::disallowed_methods,
        reason = "the one place that reads a precise clock"
    )]
    pub fn start() -> Self {
        Self(Instant::now())
    }

    /// Time since the start.
    pub fn elapsed(&self) -> Duration {
        self.0.elapsed()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_system_clock_agrees_with_std_to_a_second() {
        let ours = Clock::System.now().wall.0;
        let std = std::time::SystemTime::UNIX_EPOCH
            .elapsed()
            .expect("after 1970")
            .as_millis();
        assert!((i128::from(ours) - i128::try_from(std).expect("fits")).abs() < 1000);
    }

    #[test]
    fn setting_the_wall_clock_leaves_the_monotonic_one_alone() {
        let clock = ManualClock::at(UnixMillis(1_000_000));
        let before = clock.now();
        clock.set_wall(UnixMillis(0));
        assert_eq!(clock.now().mono, before.mono);
        clock.advance(Duration::from_secs(2));
        assert_eq!(clock.now().mono.since(before.mono), 2000);
        assert_eq!(clock.now().wall, UnixMillis(2000));
    }

    #[test]
    fn a_wall_clock_that_is_set_is_noticed_once_and_one_that_goes_on_is_not() {
        let clock = ManualClock::at(UnixMillis(10_000_000));
        let mut detector = JumpDetector::new(clock.now());
        clock.advance(Duration::from_secs(3600));
        assert_eq!(detector.look(clock.now()), None, "both went on");
        for (by, jump) in [
            (3_600_000, Some(3_600_000)),
            (-3_600_000, Some(-3_600_000)),
            (2000, Some(2000)),
            (1999, None),
            (-1999, None),
        ] {
            clock.set_wall(UnixMillis(clock.now().wall.0 + by));
            assert_eq!(detector.look(clock.now()), jump, "{by}");
            assert_eq!(detector.look(clock.now()), None, "told once");
        }
    }
}
