//! What is unusual about the use of a credential, seen from the batches of usage: a network or an agent that
//! was not seen before, and a sudden change of rate. Pure but for its memory, which is bounded and ends with
//! the process.

use std::collections::HashMap;
use std::net::IpAddr;
use std::time::Duration;

use super::events::Sighting;
use crate::domain::clock::UnixMillis;
use crate::domain::ids::CredentialId;
use crate::domain::net::ClientIp;
use crate::store::{UsageDelta, UsageRecord};
use crate::telemetry::labels::SecurityEventKind;

/// Most credentials whose rate is remembered.
const MAX_RATES: usize = 100_000;
/// Batches that must have been seen before a rate counts as known.
const BATCHES_BEFORE: u32 = 6;
/// Requests of one batch below which no rate is worth an event.
const LEAST_REQUESTS: u64 = 100;
/// How many times the usual rate is a sudden change.
const TIMES: f64 = 10.0;
/// The weight of one batch in the usual rate.
const WEIGHT: f64 = 0.2;

/// What is usual.
#[derive(Debug)]
pub(super) struct Habits {
    interval: Duration,
    rates: HashMap<CredentialId, Rate>,
}

#[derive(Debug, Clone, Copy)]
struct Rate {
    usual_per_second: f64,
    batches: u32,
    at: UnixMillis,
}

impl Habits {
    /// Nothing is known yet; a batch is what was counted in such an interval.
    pub(super) fn new(interval: Duration) -> Self {
        Self {
            interval,
            rates: HashMap::new(),
        }
    }

    /// What is unusual about a batch, given what was stored before it. A credential's first use is not.
    pub(super) fn notice(&mut self, before: Option<&UsageRecord>, delta: &UsageDelta) -> Vec<Sighting> {
        let mut seen = Vec::new();
        if let Some(before) = before {
            seen.extend(new_network(before, delta));
            seen.extend(new_agent(before, delta));
        }
        seen.extend(self.rate(delta));
        seen
    }

    fn rate(&mut self, delta: &UsageDelta) -> Option<Sighting> {
        let seconds = |ms: i64| (ms as f64 / 1000.0).max(self.interval.as_secs_f64()).max(0.001);
        let count = delta.count as f64;
        let span = delta.last_used_at.0.saturating_sub(delta.first_used_at.0);
        let now = count / seconds(span);
        if self.rates.len() >= MAX_RATES && !self.rates.contains_key(&delta.credential) {
            // Whoever was not used for longest is least missed.
            let oldest = self.rates.values().map(|r| r.at).min().unwrap_or(UnixMillis(0));
            self.rates.retain(|_, rate| rate.at > oldest);
        }
        let Some(rate) = self.rates.get_mut(&delta.credential) else {
            let first = Rate {
                usual_per_second: now,
                batches: 1,
                at: delta.last_used_at,
            };
            self.rates.insert(delta.credential.clone(), first);
            return None;
        };
        let usual = rate.usual_per_second;
        let known = rate.batches >= BATCHES_BEFORE;
        // Silence counts: the average is over all the time since the batch before.
        let average = count / seconds(delta.last_used_at.0.saturating_sub(rate.at.0));
        *rate = Rate {
            usual_per_second: usual + WEIGHT * (average - usual),
            batches: rate.batches.saturating_add(1),
            at: rate.at.max(delta.last_used_at),
        };
        (known && delta.count >= LEAST_REQUESTS && now > TIMES * usual).then(|| {
            Sighting::of(SecurityEventKind::RateChanged, &delta.credential)
                .with("requests_per_second", rounded(now))
                .with("usual_per_second", rounded(usual))
        })
    }
}

fn rounded(rate: f64) -> f64 {
    (rate * 1000.0).round() / 1000.0
}

/// The part of an address that stays when a client's address changes as addresses do: /24, or /48.
fn network(text: &str) -> Option<IpAddr> {
    match ClientIp::new(text.parse().ok()?).ip() {
        IpAddr::V4(v4) => Some(IpAddr::from((v4.to_bits() & !0xff).to_be_bytes())),
        IpAddr::V6(v6) => Some(IpAddr::from((v6.to_bits() >> 80 << 80).to_be_bytes())),
    }
}

fn new_network(before: &UsageRecord, delta: &UsageDelta) -> Option<Sighting> {
    if before.recent_addresses.is_empty() {
        return None;
    }
    let known: Vec<IpAddr> = before
        .recent_addresses
        .iter()
        .filter_map(|a| network(a))
        .collect();
    let new = delta
        .addresses
        .iter()
        .find(|address| network(address).is_some_and(|n| !known.contains(&n)))?;
    Some(Sighting {
        from: new.parse().ok().map(ClientIp::new),
        ..Sighting::of(SecurityEventKind::UsedFromNewNetwork, &delta.credential)
    })
}

fn new_agent(before: &UsageRecord, delta: &UsageDelta) -> Option<Sighting> {
    if before.recent_agents.is_empty() {
        return None;
    }
    let new = delta.agents.iter().find(|a| !before.recent_agents.contains(a))?;
    Some(Sighting::of(SecurityEventKind::UsedByNewAgent, &delta.credential).with("agent", new.as_str()))
}

#[cfg(test)]
#[path = "habits_tests.rs"]
mod tests;
