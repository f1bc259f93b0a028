//! Single flight: many requests with one unknown credential cause one look-up.
//!
//! The look-up runs as a task of its own, so a client that goes away takes nothing from those who wait.
//! The number of flights is bounded; one more is refused as `overloaded`.

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::watch;

use super::cache::CacheKey;
use super::material::Material;
use super::verifier::Rejection;

/// What a look-up found.
pub(in crate::authn) type Outcome = Result<Arc<Material>, Rejection>;

/// Look-ups under way.
pub(in crate::authn) struct Flights {
    under_way: Mutex<HashMap<CacheKey, watch::Receiver<Option<Outcome>>>>,
    max: usize,
}

/// How a request takes part in a look-up.
pub(in crate::authn) enum Part {
    /// Another request has begun it: wait.
    Wait(watch::Receiver<Option<Outcome>>),
    /// This request begins it, and lands it when it is done.
    Lead(watch::Receiver<Option<Outcome>>, Landing),
    /// Too many are under way.
    Full,
}

/// The duty to end a flight. Dropping it without an outcome (a panic) ends it for everyone who waits.
pub(in crate::authn) struct Landing {
    flights: Arc<Flights>,
    key: CacheKey,
    outcome: watch::Sender<Option<Outcome>>,
}

impl Flights {
    pub(in crate::authn) fn new(max: usize) -> Arc<Self> {
        Arc::new(Self {
            under_way: Mutex::default(),
            max: max.max(1),
        })
    }

    pub(in crate::authn) fn join(self: &Arc<Self>, key: CacheKey) -> Part {
        let mut under_way = self.under_way.lock();
        if let Some(flight) = under_way.get(&key) {
            return Part::Wait(flight.clone());
        }
        if under_way.len() >= self.max {
            return Part::Full;
        }
        let (outcome, receiver) = watch::channel(None);
        under_way.insert(key, receiver.clone());
        Part::Lead(
            receiver,
            Landing {
                flights: Arc::clone(self),
                key,
                outcome,
            },
        )
    }

    #[cfg(test)]
    pub(in crate::authn) fn len(&self) -> usize {
        self.under_way.lock().len()
    }
}

impl Landing {
    /// Whoever comes from here on begins a look-up of its own: a verdict that proves void must not be met again.
    pub(in crate::authn) fn land(self, outcome: Outcome) {
        self.flights.under_way.lock().remove(&self.key);
        self.outcome.send_replace(Some(outcome));
    }
}

impl Drop for Landing {
    fn drop(&mut self) {
        let mut under_way = self.flights.under_way.lock();
        // Another flight may have begun under the same key since this one landed.
        if under_way
            .get(&self.key)
            .is_some_and(|f| f.same_channel(&self.outcome.subscribe()))
        {
            under_way.remove(&self.key);
        }
    }
}
