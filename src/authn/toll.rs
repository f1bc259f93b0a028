//! The toll before a slow hash: who causes one, and whether they may.
//!
//! A slow hash is the only work of a look-up that a caller can make dear, so leave for it is asked right
//! before it is paid, and not for the whole look-up: what a keyed digest or a signature proves never needs
//! it. Made by `service` for each look-up, asked by the kinds that keep slow digests. Does not count what
//! failed: only the verdict tells.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::throttle::{FailedCredentialThrottle, Leave};
use super::verifier::Rejection;
use crate::audit::{SecurityEvents, Sighting};
use crate::domain::clock::Now;
use crate::domain::net::ClientIp;
use crate::domain::reason::Reason;
use crate::runtime::slow_pool::{Party, SlowPool, SlowPoolError};
use crate::store::CredentialRecord;
use crate::telemetry::labels::SecurityEventKind;
use crate::telemetry::metrics::Metrics;

/// What one look-up may spend on slow hashes, and whom it tells of what it sees on the way.
pub struct Toll {
    events: Option<(SecurityEvents, ClientIp)>,
    party: Party,
    gate: Option<TollGate>,
    paid: AtomicBool,
}

/// Who asks, and who is asked.
pub(in crate::authn) struct TollGate {
    pub(in crate::authn) throttle: Arc<FailedCredentialThrottle>,
    pub(in crate::authn) metrics: Arc<Metrics>,
    pub(in crate::authn) from: ClientIp,
    pub(in crate::authn) public_id: Option<u64>,
}

impl TollGate {
    /// Whether a slow hash may be paid.
    pub(in crate::authn) fn leave(&self, now: Now) -> Result<(), Rejection> {
        let leave = self.throttle.leave_to_hash(self.from, self.public_id, now.mono);
        let Leave::Refused { by, retry_after_secs } = leave else {
            return Ok(());
        };
        self.metrics.throttle_refused.inc(by);
        Err(Rejection::throttled(retry_after_secs))
    }
}

impl Toll {
    /// For whoever manages this installation: no throttle applies.
    pub fn waived() -> Self {
        Self::new(Party::Operator, None)
    }

    /// For a client. Without a gate the throttle is not asked, but the client's share of the pool holds.
    pub(in crate::authn) fn of(
        from: ClientIp,
        gate: Option<TollGate>,
        events: Option<SecurityEvents>,
    ) -> Self {
        Self {
            events: events.map(|events| (events, from)),
            ..Self::new(Party::Client(from.throttle_key()), gate)
        }
    }

    /// Tells of a credential that a client proved to hold.
    pub(in crate::authn) fn saw(&self, kind: SecurityEventKind, row: &CredentialRecord, now: Now) {
        let Some((events, from)) = &self.events else {
            return;
        };
        let sighting = Sighting {
            principal: Some(row.principal.clone()),
            from: Some(*from),
            ..Sighting::of(kind, &row.id)
        };
        events.tell(sighting, now);
    }

    fn new(party: Party, gate: Option<TollGate>) -> Self {
        Self {
            events: None,
            party,
            gate,
            paid: AtomicBool::new(false),
        }
    }

    /// Runs a slow hash, when the throttle and the pool have room for it.
    pub async fn pay<T: Send + 'static>(
        &self,
        pool: &SlowPool,
        now: Now,
        job: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, Rejection> {
        if let Some(gate) = &self.gate {
            gate.leave(now)?;
        }
        // A pool that is full, or a job that ended without a verdict, is our fault.
        let result = pool.run(self.party, job).await.map_err(|error| {
            Rejection::ours(match error {
                SlowPoolError::Overloaded => Reason::Overloaded,
                SlowPoolError::Ended => Reason::CannotDecide,
            })
        })?;
        self.paid.store(true, Ordering::Relaxed);
        Ok(result)
    }

    /// Whether a slow hash was paid.
    pub(in crate::authn) fn was_paid(&self) -> bool {
        self.paid.load(Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_operators_call_is_bound_by_no_clients_share_of_the_pool() {
        assert_eq!(Toll::waived().party, Party::Operator);
        let client = ClientIp::new(std::net::IpAddr::from([192, 0, 2, 1]));
        assert_eq!(
            Toll::of(client, None, None).party,
            Party::Client(client.throttle_key())
        );
    }
}
