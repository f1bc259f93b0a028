//! Which refusals are worth a row: all of them at human pace, a sample under flood.
//!
//! One token bucket per reason and route. Pure but for the locks; time is an argument. The table is
//! bounded: routes beyond [`MAX_ROUTES`] share a bucket per reason.

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::Mutex;

use super::settings::AuditSettings;
use crate::domain::clock::MonoMillis;
use crate::domain::reason::Reason;

/// Routes told apart per reason.
const MAX_ROUTES: usize = 1024;

/// What becomes of one refusal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Sampled {
    /// Kept; so many like it were skipped since the last one kept.
    Keep {
        /// How many.
        skipped_before: u64,
    },
    /// Skipped.
    Skip,
}

/// The buckets. A lock per reason, held for a look-up in a small map.
#[derive(Debug)]
pub(super) struct Sampler {
    reasons: Box<[Mutex<Routes>]>,
    burst: u64,
    refill_ms: u64,
}

type Routes = HashMap<Arc<str>, Bucket, foldhash::fast::RandomState>;

#[derive(Debug)]
struct Bucket {
    left: u64,
    refilled_at: MonoMillis,
    skipped: u64,
}

impl Sampler {
    pub(super) fn new(settings: &AuditSettings) -> Self {
        Self {
            reasons: Reason::ALL.iter().map(|_| Mutex::default()).collect(),
            burst: u64::from(settings.burst.max(1)),
            refill_ms: u64::try_from(settings.refill.as_millis())
                .unwrap_or(u64::MAX)
                .max(1),
        }
    }

    /// Decides about one refusal.
    pub(super) fn sample(&self, reason: Reason, route: &Arc<str>, now: MonoMillis) -> Sampled {
        let Some(routes) = self.reasons.get(reason.index()) else {
            return Sampled::Skip;
        };
        let mut routes = routes.lock();
        if let Some(bucket) = routes.get_mut(route) {
            return bucket.sample(now, self.burst, self.refill_ms);
        }
        let key = if routes.len() < MAX_ROUTES {
            route.clone()
        } else {
            Arc::from("")
        };
        routes
            .entry(key)
            .or_insert_with(|| Bucket {
                left: self.burst,
                refilled_at: now,
                skipped: 0,
            })
            .sample(now, self.burst, self.refill_ms)
    }
}

impl Bucket {
    fn sample(&mut self, now: MonoMillis, burst: u64, refill_ms: u64) -> Sampled {
        let earned = now.since(self.refilled_at) / refill_ms;
        if earned > 0 {
            self.left = self.left.saturating_add(earned).min(burst);
            self.refilled_at = MonoMillis(
                self.refilled_at
                    .0
                    .saturating_add(earned.saturating_mul(refill_ms)),
            );
        }
        match self.left.checked_sub(1) {
            Some(left) => {
                self.left = left;
                Sampled::Keep {
                    skipped_before: std::mem::take(&mut self.skipped),
                }
            }
            None => {
                self.skipped = self.skipped.saturating_add(1);
                Sampled::Skip
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::clock::{ManualClock, UnixMillis};
    use std::time::Duration;

    fn sampler(burst: u32) -> Sampler {
        Sampler::new(&AuditSettings {
            burst,
            refill: Duration::from_secs(1),
            ..AuditSettings::default()
        })
    }

    fn kept(sampler: &Sampler, reason: Reason, route: &str, clock: &ManualClock, tries: usize) -> usize {
        let route: Arc<str> = route.into();
        let keep = |_: &usize| sampler.sample(reason, &route, clock.now().mono) != Sampled::Skip;
        (0..tries).filter(keep).count()
    }

    #[test]
    fn a_flood_is_sampled_and_a_trickle_is_kept_whole() {
        let clock = ManualClock::at(UnixMillis(0));
        let sampler = sampler(5);
        assert_eq!(
            kept(&sampler, Reason::CredentialInvalid, "a", &clock, 1000),
            5,
            "the burst"
        );
        for _ in 0..10 {
            clock.advance(Duration::from_millis(500));
            kept(&sampler, Reason::CredentialInvalid, "a", &clock, 100);
        }
        clock.advance(Duration::from_secs(3600));
        assert_eq!(
            kept(&sampler, Reason::CredentialInvalid, "a", &clock, 1000),
            5,
            "never more than the burst"
        );
        for _ in 0..100 {
            clock.advance(Duration::from_secs(1));
            assert_eq!(kept(&sampler, Reason::CredentialInvalid, "a", &clock, 1), 1);
        }
    }

    #[test]
    fn a_rate_per_second_is_kept_per_reason_and_route() {
        let clock = ManualClock::at(UnixMillis(0));
        let sampler = Sampler::new(&AuditSettings::keeping(10, 100));
        let mut total = 0;
        for _ in 0..100 {
            total += kept(&sampler, Reason::CredentialInvalid, "a", &clock, 100);
            clock.advance(Duration::from_millis(100));
        }
        assert_eq!(total, 10 + 99, "the burst, then ten in each second");
    }

    #[test]
    fn half_seconds_add_up() {
        let clock = ManualClock::at(UnixMillis(0));
        let sampler = sampler(1);
        let mut total = 0;
        for _ in 0..10 {
            total += kept(&sampler, Reason::CredentialInvalid, "a", &clock, 3);
            clock.advance(Duration::from_millis(500));
        }
        assert_eq!(
            total, 5,
            "one at once and one for each whole second but the last half"
        );
    }

    #[test]
    fn a_flooded_reason_or_route_does_not_silence_another() {
        let clock = ManualClock::at(UnixMillis(0));
        let sampler = sampler(2);
        assert_eq!(kept(&sampler, Reason::CredentialInvalid, "a", &clock, 100), 2);
        assert_eq!(kept(&sampler, Reason::CredentialInvalid, "b", &clock, 100), 2);
        assert_eq!(kept(&sampler, Reason::AddressDenied, "a", &clock, 100), 2);
    }

    #[test]
    fn the_next_one_kept_says_how_many_were_skipped() {
        let clock = ManualClock::at(UnixMillis(0));
        let sampler = sampler(1);
        kept(&sampler, Reason::CredentialInvalid, "a", &clock, 8);
        clock.advance(Duration::from_secs(1));
        let route: Arc<str> = "a".into();
        assert_eq!(
            sampler.sample(Reason::CredentialInvalid, &route, clock.now().mono),
            Sampled::Keep { skipped_before: 7 }
        );
    }

    #[test]
    fn the_table_is_bounded() {
        let clock = ManualClock::at(UnixMillis(0));
        let sampler = sampler(1);
        for n in 0..MAX_ROUTES * 2 {
            kept(&sampler, Reason::CredentialInvalid, &format!("r{n}"), &clock, 1);
        }
        let routes = sampler.reasons[Reason::CredentialInvalid.index()].lock();
        assert_eq!(routes.len(), MAX_ROUTES + 1);
    }
}
