//! The failed-credential throttle: how often an address, or a public id, may fail before the work that
//! its failures cause is refused.
//!
//! Two kinds of work are counted apart. Slow hashes are costly, and are what passwords are guessed with: few
//! failures are tolerated, by address and by public id. A read of the store or the check of a signature is
//! cheap, and what it looks for cannot be guessed: only what would be a flood is refused, by address alone.
//!
//! ```text
//!   fails < limit        fails = limit                  window over
//!  ┌──────────────┐     ┌──────────────────────────┐
//!  │   counting   │ ──▶ │ refused until window ends│ ──▶ (forgotten)
//!  └──────────────┘     └──────────────────────────┘
//! ```
//!
//! It stands behind the cache: what is cached, or was good when it was last looked up, is never asked
//! about. Asked by `service` before a look-up and by `toll` before a slow hash. Sans-I/O: time is an
//! argument. Memory is bounded (`windows`).

use std::net::IpAddr;
use std::time::Duration;

use super::windows::Windows;
use crate::domain::clock::MonoMillis;
use crate::domain::net::ClientIp;
use crate::telemetry::labels::ThrottledBy;

/// How many failures are tolerated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ThrottleSettings {
    /// Slow hashes of one address (IPv6: one /64) that failed within a window.
    pub per_address: u32,
    /// Slow hashes for one public id (token prefix, user name) that failed within a window.
    pub per_public_id: u32,
    /// Look-ups of any cost of one address that failed within a window.
    pub look_ups_per_address: u32,
    /// Length of a window, from its first failure.
    pub window: Duration,
    /// Entries remembered of each kind.
    pub max_entries: usize,
}

impl Default for ThrottleSettings {
    fn default() -> Self {
        Self {
            per_address: 100,
            per_public_id: 50,
            look_ups_per_address: 10_000,
            window: Duration::from_secs(60),
            max_entries: 100_000,
        }
    }
}

/// Whether something may be tried.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Leave {
    /// It may.
    Granted,
    /// It may not, for this many more seconds.
    Refused {
        /// Which bound.
        by: ThrottledBy,
        /// Whole seconds, rounded up.
        retry_after_secs: u32,
    },
}

/// Counts failures.
pub struct FailedCredentialThrottle {
    settings: ThrottleSettings,
    hashes_by_address: Windows<IpAddr>,
    hashes_by_public_id: Windows<u64>,
    look_ups_by_address: Windows<IpAddr>,
}

impl FailedCredentialThrottle {
    /// Nothing has failed yet.
    pub fn new(settings: ThrottleSettings) -> Self {
        let max_entries = settings.max_entries;
        Self {
            settings,
            hashes_by_address: Windows::new(max_entries),
            hashes_by_public_id: Windows::new(max_entries),
            look_ups_by_address: Windows::new(max_entries),
        }
    }

    /// Whether a look-up from this address may be tried.
    pub fn leave_to_look_up(&self, from: ClientIp, now: MonoMillis) -> Leave {
        let (limit, window) = (self.settings.look_ups_per_address, self.settings.window);
        let left = self
            .look_ups_by_address
            .left(&from.throttle_key(), limit, window, now);
        left.map_or(Leave::Granted, |left| refused(ThrottledBy::LookUps, left))
    }

    /// Whether a slow hash may be paid for this address and this id.
    pub fn leave_to_hash(&self, from: ClientIp, public_id: Option<u64>, now: MonoMillis) -> Leave {
        let ThrottleSettings {
            per_address,
            per_public_id,
            window,
            ..
        } = self.settings;
        let by_address = &self.hashes_by_address;
        if let Some(left) = by_address.left(&from.throttle_key(), per_address, window, now) {
            return refused(ThrottledBy::Address, left);
        }
        let by_id = &self.hashes_by_public_id;
        match public_id.and_then(|id| by_id.left(&id, per_public_id, window, now)) {
            Some(left) => refused(ThrottledBy::PublicId, left),
            None => Leave::Granted,
        }
    }

    /// Counts a look-up that failed.
    pub fn look_up_failed(&self, from: ClientIp, now: MonoMillis) {
        self.look_ups_by_address
            .count(from.throttle_key(), self.settings.window, now);
    }

    /// Counts a slow hash that was paid and did not fit.
    pub fn hash_failed(&self, from: ClientIp, public_id: Option<u64>, now: MonoMillis) {
        self.hashes_by_address
            .count(from.throttle_key(), self.settings.window, now);
        if let Some(id) = public_id {
            self.hashes_by_public_id.count(id, self.settings.window, now);
        }
    }

    /// How many addresses and ids are remembered.
    pub fn entries(&self) -> usize {
        let by_address = self.hashes_by_address.entries() + self.look_ups_by_address.entries();
        by_address + self.hashes_by_public_id.entries()
    }
}

fn refused(by: ThrottledBy, left_ms: u64) -> Leave {
    Leave::Refused {
        by,
        retry_after_secs: u32::try_from(left_ms.div_ceil(1000)).unwrap_or(u32::MAX).max(1),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(text: &str) -> ClientIp {
        ClientIp::new(text.parse().expect("an address"))
    }

    fn throttle(per_address: u32, per_public_id: u32, max_entries: usize) -> FailedCredentialThrottle {
        FailedCredentialThrottle::new(ThrottleSettings {
            per_address,
            per_public_id,
            look_ups_per_address: 5,
            window: Duration::from_secs(60),
            max_entries,
        })
    }

    #[test]
    fn an_address_is_refused_at_its_limit_and_forgiven_when_the_window_ends() {
        let t = throttle(3, 100, 100);
        let at = |secs: u64| MonoMillis(secs * 1000);
        for _ in 0..3 {
            assert_eq!(t.leave_to_hash(ip("192.0.2.1"), None, at(10)), Leave::Granted);
            t.hash_failed(ip("192.0.2.1"), None, at(10));
        }
        assert_eq!(
            t.leave_to_hash(ip("192.0.2.1"), None, at(20)),
            Leave::Refused {
                by: ThrottledBy::Address,
                retry_after_secs: 50
            }
        );
        assert_eq!(
            t.leave_to_hash(ip("192.0.2.2"), None, at(20)),
            Leave::Granted,
            "the neighbor is free"
        );
        assert_eq!(t.leave_to_hash(ip("192.0.2.1"), None, at(70)), Leave::Granted);
    }

    #[test]
    fn a_public_id_is_refused_from_every_address() {
        let t = throttle(100, 2, 100);
        t.hash_failed(ip("192.0.2.1"), Some(7), MonoMillis(0));
        t.hash_failed(ip("192.0.2.2"), Some(7), MonoMillis(0));
        let refused = t.leave_to_hash(ip("192.0.2.3"), Some(7), MonoMillis(1));
        assert!(matches!(
            refused,
            Leave::Refused {
                by: ThrottledBy::PublicId,
                ..
            }
        ));
        assert_eq!(
            t.leave_to_hash(ip("192.0.2.3"), Some(8), MonoMillis(1)),
            Leave::Granted
        );
    }

    #[test]
    fn look_ups_and_slow_hashes_are_counted_apart() {
        let t = throttle(2, 100, 100);
        let (here, now) = (ip("192.0.2.1"), MonoMillis(0));
        for _ in 0..5 {
            assert_eq!(t.leave_to_look_up(here, now), Leave::Granted);
            t.look_up_failed(here, now);
        }
        assert_eq!(
            t.leave_to_look_up(here, now),
            Leave::Refused {
                by: ThrottledBy::LookUps,
                retry_after_secs: 60
            }
        );
        assert_eq!(t.leave_to_look_up(ip("192.0.2.2"), now), Leave::Granted);
        assert_eq!(
            t.leave_to_hash(here, Some(7), now),
            Leave::Granted,
            "none was paid"
        );
        t.hash_failed(ip("192.0.2.2"), None, now);
        t.hash_failed(ip("192.0.2.2"), None, now);
        assert_eq!(t.leave_to_look_up(ip("192.0.2.2"), now), Leave::Granted);
    }

    #[test]
    fn ipv6_neighbors_within_a_64_share_a_count() {
        let t = throttle(1, 100, 100);
        t.hash_failed(ip("2001:db8::1"), None, MonoMillis(0));
        assert!(matches!(
            t.leave_to_hash(ip("2001:db8::ffff"), None, MonoMillis(1)),
            Leave::Refused { .. }
        ));
        assert_eq!(
            t.leave_to_hash(ip("2001:db8:0:1::1"), None, MonoMillis(1)),
            Leave::Granted
        );
    }

    #[test]
    fn a_flood_of_new_addresses_does_not_grow_memory() {
        let t = throttle(1, 1, 160);
        for i in 0..10_000_u32 {
            let (from, now) = (
                ClientIp::new(IpAddr::from(i.to_be_bytes())),
                MonoMillis(u64::from(i)),
            );
            t.hash_failed(from, Some(u64::from(i)), now);
            t.look_up_failed(from, now);
        }
        assert!(t.entries() <= 3 * 160, "{} entries", t.entries());
    }
}
