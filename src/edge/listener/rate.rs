//! How many connections a listener accepts within a second, in all and of one client address (SECURITY R2): a client
//! that opens and closes as fast as it can never has many open, and each costs a handshake and a place in a queue.
//!
//! Sans-I/O: time is an argument. Counted in windows of one second, so that around the turn of a window twice as many
//! may come. As for open connections (`addresses`) IPv6 counts by /64, and this machine and trusted proxies are counted
//! only in all. Memory is bounded: once a window knows [`MAX_ADDRESSES`], those that come new are counted in all alone;
//! who can send from so many is stopped by no bound on one.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;

use crate::domain::clock::MonoMillis;
use crate::domain::net::{ClientIp, NetworkSet, PeerAddr};
use crate::telemetry::labels::ConnectionRefusal;

/// What the bounds count in.
const WINDOW: Duration = Duration::from_secs(1);
/// Most addresses known within a window: about half a megabyte.
const MAX_ADDRESSES: usize = 16_384;
/// Refusals are logged no more often than this, for a listener.
const TOLD_EVERY: Duration = Duration::from_secs(60);

/// How many connections may come within a second.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rates {
    /// To the listener; `None`: any number.
    pub total: Option<u32>,
    /// From one client address (IPv6: one /64).
    pub per_address: u32,
}

/// Counts the connections of a listener as they come.
#[derive(Debug, Clone)]
pub struct RateBound {
    rates: Rates,
    seen: Arc<Mutex<Seen>>,
}

#[derive(Debug)]
struct Seen {
    began: MonoMillis,
    total: u32,
    by_address: HashMap<IpAddr, u32>,
    told: Option<MonoMillis>,
}

impl RateBound {
    /// Nobody has come yet.
    pub fn new(rates: Rates) -> Self {
        let seen = Seen {
            began: MonoMillis(0),
            total: 0,
            by_address: HashMap::new(),
            told: None,
        };
        Self {
            rates,
            seen: Arc::new(Mutex::new(seen)),
        }
    }

    /// The same connections under other bounds.
    pub fn with_rates(&self, rates: Rates) -> Self {
        Self {
            rates,
            seen: Arc::clone(&self.seen),
        }
    }

    /// Whether both count the same connections.
    #[cfg(test)]
    pub(crate) fn counts_with(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.seen, &other.seen)
    }

    /// Counts a connection to the listener, or says why it is one too many.
    pub(super) fn arrives(&self, listener: &str, now: MonoMillis) -> Result<(), ConnectionRefusal> {
        let Some(max) = self.rates.total else {
            return Ok(());
        };
        let mut seen = self.seen.lock();
        seen.turn(now);
        if seen.total < max {
            seen.total = seen.total.saturating_add(1);
            return Ok(());
        }
        if seen.tells(now) {
            tracing::warn!(
                listener,
                max,
                "more connections come within a second than are taken"
            );
        }
        Err(ConnectionRefusal::Rate)
    }

    /// Counts a connection from this client, or says why it is one too many.
    pub(super) fn comes_from(
        &self,
        listener: &str,
        peer: PeerAddr,
        trusted: &NetworkSet,
        now: MonoMillis,
    ) -> Result<(), ConnectionRefusal> {
        let (client, max) = (peer.ip(), self.rates.per_address);
        if client.is_loopback() || trusted.contains(client) {
            return Ok(());
        }
        let key = ClientIp::new(client).throttle_key();
        let mut seen = self.seen.lock();
        seen.turn(now);
        if seen.by_address.len() >= MAX_ADDRESSES && !seen.by_address.contains_key(&key) {
            return Ok(());
        }
        let count = seen.by_address.entry(key).or_default();
        if *count < max {
            *count = count.saturating_add(1);
            return Ok(());
        }
        if seen.tells(now) {
            tracing::warn!(listener, %client, max, "a client opens more connections within a second than it may");
        }
        Err(ConnectionRefusal::AddressRate)
    }
}

impl Seen {
    /// Begins a new window when the last one is over.
    fn turn(&mut self, now: MonoMillis) {
        if now >= self.began.plus(WINDOW) {
            self.began = now;
            self.total = 0;
            self.by_address.clear();
        }
    }

    /// Whether it is time for a line in the log.
    fn tells(&mut self, now: MonoMillis) -> bool {
        let due = self.told.is_none_or(|told| now >= told.plus(TOLD_EVERY));
        if due {
            self.told = Some(now);
        }
        due
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::clock::{ManualClock, UnixMillis};

    fn bound(total: Option<u32>, per_address: u32) -> RateBound {
        RateBound::new(Rates { total, per_address })
    }

    fn clock() -> ManualClock {
        ManualClock::at(UnixMillis(0))
    }

    fn from(bound: &RateBound, ip: &str, now: MonoMillis) -> Result<(), ConnectionRefusal> {
        let peer = PeerAddr::new((ip.parse::<IpAddr>().expect("an address"), 1).into());
        let trusted = NetworkSet::parse(["10.0.0.0/8"]).expect("networks");
        bound.comes_from("public", peer, &trusted, now)
    }

    #[test]
    fn a_listener_takes_so_many_within_a_second_and_as_many_in_the_next() {
        let (bound, clock) = (bound(Some(3), 100), clock());
        let arrives = || bound.arrives("public", clock.now().mono);
        let row = |count: usize| (0..count).filter(|_| arrives().is_ok()).count();
        assert_eq!(row(5), 3);
        clock.advance(Duration::from_millis(999));
        assert_eq!(arrives(), Err(ConnectionRefusal::Rate), "the same second");
        clock.advance(Duration::from_millis(1));
        assert_eq!(row(5), 3, "what was refused costs nobody later");
        clock.advance(Duration::from_secs(3600));
        assert_eq!(row(5), 3, "quiet times are not saved up");
    }

    #[test]
    fn no_bound_in_all_refuses_nobody() {
        let (bound, clock) = (bound(None, 1), clock());
        assert!((0..100_000).all(|_| bound.arrives("public", clock.now().mono).is_ok()));
    }

    #[test]
    fn each_address_has_its_own_second_and_one_v6_network_is_one_client() {
        let (bound, clock) = (bound(None, 2), clock());
        let now = clock.now().mono;
        let refused = Err(ConnectionRefusal::AddressRate);
        for (ip, expected, why) in [
            ("192.0.2.1", Ok(()), "the first"),
            ("::ffff:192.0.2.1", Ok(()), "the same client, and the last it may"),
            ("192.0.2.1", refused, "one too many"),
            ("192.0.2.2", Ok(()), "its neighbor"),
            ("2001:db8::1", Ok(()), "a network"),
            ("2001:db8::2", Ok(()), "the same one"),
            ("2001:db8::3", refused, "and again"),
            ("2001:db8:0:1::1", Ok(()), "the next network"),
        ] {
            assert_eq!(from(&bound, ip, now), expected, "{ip}: {why}");
        }
        clock.advance(WINDOW);
        assert_eq!(from(&bound, "192.0.2.1", clock.now().mono), Ok(()));
    }

    #[test]
    fn this_machine_and_trusted_proxies_are_counted_in_all_only() {
        let (bound, clock) = (bound(Some(1), 0), clock());
        let now = clock.now().mono;
        for ip in ["127.0.0.1", "::1", "10.1.2.3"] {
            assert_eq!(from(&bound, ip, now), Ok(()), "{ip}");
        }
        assert_eq!(from(&bound, "11.1.2.3", now), Err(ConnectionRefusal::AddressRate));
        assert_eq!(bound.arrives("public", now), Ok(()), "nothing was counted so far");
        assert_eq!(bound.arrives("public", now), Err(ConnectionRefusal::Rate));
    }

    #[test]
    fn memory_is_bounded_and_a_new_window_begins_with_nobody() {
        let (bound, clock) = (bound(None, 1), clock());
        let known = |n: u32| IpAddr::from((0x0b00_0000 + n).to_be_bytes()).to_string();
        let most = u32::try_from(MAX_ADDRESSES).expect("a number");
        for n in 0..most + 100 {
            assert_eq!(from(&bound, &known(n), clock.now().mono), Ok(()));
        }
        assert_eq!(bound.seen.lock().by_address.len(), MAX_ADDRESSES);
        let refused = Err(ConnectionRefusal::AddressRate);
        assert_eq!(
            from(&bound, &known(0), clock.now().mono),
            refused,
            "who is known stays known"
        );
        clock.advance(WINDOW);
        assert_eq!(from(&bound, &known(0), clock.now().mono), Ok(()));
        assert_eq!(bound.seen.lock().by_address.len(), 1);
    }

    #[test]
    fn other_bounds_hold_for_the_second_that_has_begun() {
        let (bound, clock) = (bound(Some(9), 9), clock());
        let now = clock.now().mono;
        for _ in 0..2 {
            assert_eq!(
                (bound.arrives("public", now), from(&bound, "192.0.2.1", now)),
                (Ok(()), Ok(()))
            );
        }
        let lower = bound.with_rates(Rates {
            total: Some(2),
            per_address: 2,
        });
        assert_eq!(lower.arrives("public", now), Err(ConnectionRefusal::Rate));
        assert_eq!(
            from(&lower, "192.0.2.1", now),
            Err(ConnectionRefusal::AddressRate)
        );
    }

    #[test]
    fn a_flood_is_told_once_a_minute() {
        let (bound, clock) = (bound(Some(0), 0), clock());
        let told = || bound.seen.lock().told;
        let first = clock.now().mono;
        for _ in 0..59 {
            assert!(bound.arrives("public", clock.now().mono).is_err());
            assert_eq!(told(), Some(first));
            clock.advance(WINDOW);
        }
        clock.advance(WINDOW);
        assert!(bound.arrives("public", clock.now().mono).is_err());
        assert_eq!(told(), Some(clock.now().mono));
    }
}
