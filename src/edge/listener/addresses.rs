//! How many connections each client address has open, so that one client cannot take them all (SECURITY R2).
//!
//! IPv6 counts by /64. Not counted: this machine itself, and trusted proxies, who carry many clients; behind the
//! PROXY protocol the client that is told of is. The map has no more entries than there are connections.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::net::IpAddr;
use std::sync::Arc;

use parking_lot::Mutex;

use crate::domain::net::{ClientIp, NetworkSet, PeerAddr};

/// The open connections of a listener by address. Clones share them.
#[derive(Debug, Clone)]
pub struct AddressBound {
    max: usize,
    open: Arc<Mutex<HashMap<IpAddr, Count>>>,
}

#[derive(Debug, Default)]
struct Count {
    open: usize,
    /// Its first refusal was logged.
    told: bool,
}

/// One counted connection; dropping it counts it out.
#[derive(Debug)]
pub(super) struct Counted {
    open: Arc<Mutex<HashMap<IpAddr, Count>>>,
    key: IpAddr,
}

/// The address has as many connections as it may.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Full;

impl AddressBound {
    /// At most so many for each address.
    pub fn new(max: usize) -> Self {
        Self {
            max,
            open: Arc::default(),
        }
    }

    /// The same connections under another bound.
    pub fn with_max(&self, max: usize) -> Self {
        Self {
            max,
            open: Arc::clone(&self.open),
        }
    }

    /// Whether both count the same connections.
    #[cfg(test)]
    pub(crate) fn counts_with(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.open, &other.open)
    }

    /// Counts a connection in; `None`: this peer is not counted.
    pub(super) fn take(
        &self,
        listener: &str,
        peer: PeerAddr,
        trusted: &NetworkSet,
    ) -> Result<Option<Counted>, Full> {
        let ip = peer.ip();
        if ip.is_loopback() || trusted.contains(ip) {
            return Ok(None);
        }
        let key = ClientIp::new(ip).throttle_key();
        let mut open = self.open.lock();
        let count = open.entry(key).or_default();
        if count.open >= self.max {
            if !std::mem::replace(&mut count.told, true) {
                tracing::warn!(listener, client = %ip, max = self.max, "a client has as many connections as it may");
            }
            return Err(Full);
        }
        count.open = count.open.saturating_add(1);
        drop(open);
        Ok(Some(Counted {
            open: self.open.clone(),
            key,
        }))
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        if let Entry::Occupied(mut count) = self.open.lock().entry(self.key) {
            count.get_mut().open = count.get().open.saturating_sub(1);
            if count.get().open == 0 {
                count.remove();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn peer(ip: &str) -> PeerAddr {
        PeerAddr::new((ip.parse::<IpAddr>().expect("an address"), 1).into())
    }

    #[test]
    fn each_address_has_its_own_bound_and_what_ends_makes_room() {
        let bound = AddressBound::new(2);
        let none = NetworkSet::default();
        let take = |ip| bound.take("public", peer(ip), &none);
        let first = take("192.0.2.1").expect("room");
        let _second = take("::ffff:192.0.2.1").expect("the same address, and room");
        assert_eq!(take("192.0.2.1").err(), Some(Full));
        assert!(take("192.0.2.2").is_ok(), "another one");
        drop(first);
        let _third = take("192.0.2.1").expect("room again");
        let _v6 = [take("2001:db8::1"), take("2001:db8::2")];
        assert_eq!(take("2001:db8::3").err(), Some(Full), "one /64 is one client");
        assert!(take("2001:db8:0:1::1").is_ok(), "the next /64 is another");
    }

    #[test]
    fn another_bound_counts_what_is_open_already() {
        let bound = AddressBound::new(9);
        let none = NetworkSet::default();
        let _open: Vec<_> = (0..2)
            .map(|_| bound.take("public", peer("192.0.2.1"), &none))
            .collect();
        let lower = bound.with_max(2);
        assert_eq!(lower.take("public", peer("192.0.2.1"), &none).err(), Some(Full));
        assert!(bound.with_max(3).take("public", peer("192.0.2.1"), &none).is_ok());
    }

    #[test]
    fn what_ended_leaves_nothing_behind() {
        let bound = AddressBound::new(9);
        let open: Vec<_> = (0..5)
            .map(|_| bound.take("public", peer("192.0.2.1"), &NetworkSet::default()))
            .collect();
        assert_eq!(bound.open.lock().len(), 1);
        drop(open);
        assert!(bound.open.lock().is_empty());
    }

    #[test]
    fn this_machine_and_trusted_proxies_are_not_counted() {
        let bound = AddressBound::new(0);
        let trusted = NetworkSet::parse(["10.0.0.0/8"]).expect("networks");
        for (ip, full) in [
            ("127.0.0.1", false),
            ("::1", false),
            ("10.1.2.3", false),
            ("11.1.2.3", true),
        ] {
            assert_eq!(bound.take("public", peer(ip), &trusted).is_err(), full, "{ip}");
        }
    }
}
