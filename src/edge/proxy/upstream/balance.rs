//! Which endpoint a request goes to: by turns, or always the same for what requests have in common. Pure.
//!
//! Turns are smooth: among weights 3 and 1 the light one comes after two of the heavy one, not after three. Sticking is
//! by rendezvous: every endpoint draws a number for the key, the best draw wins, and when an endpoint goes,
//! only its own keys move. The draws depend on nothing but addresses and keys, so every thread and every
//! process sends the same key to the same place.

use std::net::IpAddr;
use std::sync::Arc;

use super::endpoint::Endpoint;
use super::settings::Target;

/// What a target's weight is multiplied by, to be split among its addresses: a multiple of 1 to 16.
const SPLIT: u64 = 720_720;

/// An endpoint's part in a choice.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Share {
    /// How much of the requests, beside the others.
    pub weight: u64,
    /// What it draws by.
    pub hash: u64,
}

/// The shares of these endpoints: the addresses of a target share its weight.
pub fn shares(targets: &[Target], endpoints: &[Arc<Endpoint>]) -> Vec<Share> {
    let share = |endpoint: &Arc<Endpoint>| {
        let siblings = endpoints
            .iter()
            .filter(|e| e.target() == endpoint.target())
            .count();
        let weight = targets.get(endpoint.target()).map_or(1, |t| t.weight);
        let siblings = u64::try_from(siblings).unwrap_or(u64::MAX).max(1);
        Share {
            weight: u64::from(weight)
                .saturating_mul(SPLIT)
                .div_euclid(siblings)
                .max(1),
            hash: endpoint.hash(),
        }
    };
    endpoints.iter().map(share).collect()
}

/// Whose turn it is.
#[derive(Debug, Default)]
pub struct Rotation {
    /// How much each is owed, in the order of the shares.
    owed: Vec<i128>,
}

impl Rotation {
    /// The next of those that are eligible; `None` when none is.
    pub fn next(&mut self, shares: &[Share], eligible: impl Fn(usize) -> bool) -> Option<usize> {
        self.owed.resize(shares.len(), 0);
        let mut total = 0;
        let mut best: Option<(usize, i128)> = None;
        for (at, (share, owed)) in shares.iter().zip(&mut self.owed).enumerate() {
            if !eligible(at) {
                // What it missed is not made up for when it comes back.
                *owed = 0;
                continue;
            }
            let weight = i128::from(share.weight);
            total += weight;
            *owed += weight;
            if best.is_none_or(|(_, most)| *owed > most) {
                best = Some((at, *owed));
            }
        }
        let (at, _) = best?;
        if let Some(owed) = self.owed.get_mut(at) {
            *owed -= total;
        }
        Some(at)
    }
}

/// The endpoint that a key sticks to, of those that are eligible.
pub fn owner(key: u64, shares: &[Share], eligible: impl Fn(usize) -> bool) -> Option<usize> {
    let mut best: Option<(usize, f64)> = None;
    for (at, share) in shares.iter().enumerate().filter(|(at, _)| eligible(*at)) {
        // Evenly in (0, 1): the upper 53 bits are what a float can hold.
        let draw = ((mixed(key ^ share.hash) >> 11) as f64 + 0.5) / (1_u64 << 53) as f64;
        let time = -draw.ln() / share.weight as f64;
        if best.is_none_or(|(_, least)| time < least) {
            best = Some((at, time));
        }
    }
    best.map(|(at, _)| at)
}

/// The key of an address. IPv6: of its /64, as a client changes the rest at will.
pub fn key_of_address(address: IpAddr) -> u64 {
    match address {
        IpAddr::V4(v4) => key_of(&v4.octets()),
        IpAddr::V6(v6) => key_of(v6.octets().first_chunk::<8>().map_or(&[], |network| network)),
    }
}

/// The key of a text: 64-bit FNV-1a, the same in every process and version.
pub fn key_of(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3)
    })
}

/// Spreads every bit over all others (the finalizer of SplitMix64).
fn mixed(mut z: u64) -> u64 {
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn weighted(weights: &[u64]) -> Vec<Share> {
        let share = |(at, weight): (usize, &u64)| Share {
            weight: *weight,
            hash: key_of(format!("10.0.0.{at}:80").as_bytes()),
        };
        weights.iter().enumerate().map(share).collect()
    }

    #[test]
    fn turns_follow_the_weights_and_are_smooth() {
        let (shares, mut rotation) = (weighted(&[3, 1]), Rotation::default());
        let turns: Vec<_> = (0..8).filter_map(|_| rotation.next(&shares, |_| true)).collect();
        assert_eq!(turns, [0, 0, 1, 0, 0, 0, 1, 0]);
        let turns: Vec<_> = (0..4)
            .filter_map(|_| rotation.next(&shares, |at| at == 1))
            .collect();
        assert_eq!(turns, [1, 1, 1, 1], "the only one that is eligible");
        let turns: Vec<_> = (0..4).filter_map(|_| rotation.next(&shares, |_| true)).collect();
        assert_eq!(
            turns.iter().filter(|t| **t == 1).count(),
            1,
            "nothing is made up for"
        );
        assert_eq!(rotation.next(&shares, |_| false), None);
    }

    #[test]
    fn a_key_sticks_keys_spread_by_weight_and_only_those_of_a_lost_endpoint_move() {
        let shares = weighted(&[2, 1, 1]);
        let keys = || (0..4000_u32).map(|n| key_of(&n.to_be_bytes()));
        let owners: Vec<usize> = keys().filter_map(|k| owner(k, &shares, |_| true)).collect();
        let of = |at: usize| owners.iter().filter(|o| **o == at).count();
        assert!((1800..2200).contains(&of(0)), "{}", of(0));
        assert!((850..1150).contains(&of(1)), "{}", of(1));
        for (key, before) in keys().zip(&owners) {
            let after = owner(key, &shares, |at| at != 2).expect("two are left");
            assert!(*before == 2 || after == *before, "a key moved without need");
        }
        assert_eq!(owner(1, &shares, |_| false), None);
    }

    #[test]
    fn the_addresses_of_a_target_share_its_weight() {
        use super::super::address::{Security, UpstreamAddress};
        use super::super::endpoint::Door;
        let target = |weight| Target {
            address: UpstreamAddress::new(Security::Plain, "app", 80).expect("an address"),
            weight,
        };
        let endpoint =
            |target, last| Arc::new(Endpoint::new(target, Door::Tcp(([10, 0, 0, last], 80).into())));
        let endpoints = [endpoint(0, 1), endpoint(1, 2), endpoint(1, 3)];
        let weights: Vec<u64> = shares(&[target(1), target(4)], &endpoints)
            .iter()
            .map(|s| s.weight)
            .collect();
        assert_eq!(weights, [SPLIT, 2 * SPLIT, 2 * SPLIT]);
    }
}
