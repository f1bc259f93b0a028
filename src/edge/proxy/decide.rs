//! What the proxy asks of the gate, and nothing more: tests and benches can stand in for it with a table.

use std::future::Future;

use crate::domain::clock::Now;
use crate::domain::net::PeerAddr;
use crate::domain::reason::Reason;
use crate::gate::{Facts, Gate, Refusal, Verdict};

/// The gate, as the proxy sees it.
pub trait Decide: Send + Sync + 'static {
    /// The gate's whole answer. Ready at once on a cache hit.
    fn decide(&self, facts: &Facts<'_>, now: Now) -> impl Future<Output = Verdict>;

    /// The refusal of a request whose head could not be read, or that ended by a bug.
    fn refuse_unread(&self, reason: Reason, peer: PeerAddr, now: Now) -> Refusal;
}

impl Decide for Gate {
    fn decide(&self, facts: &Facts<'_>, now: Now) -> impl Future<Output = Verdict> {
        Gate::decide(self, facts, now)
    }

    fn refuse_unread(&self, reason: Reason, peer: PeerAddr, now: Now) -> Refusal {
        Gate::refuse_unread(self, reason, peer, now)
    }
}
