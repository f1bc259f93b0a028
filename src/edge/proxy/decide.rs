//! What the proxy asks of the gate, and nothing more: tests and benches can stand in for it with a table.

use std::future::Future;

use http::HeaderMap;

use crate::domain::clock::Now;
use crate::domain::reason::Reason;
use crate::gate::{Facts, Forwarding, Refusal, Verdict};

/// The gate, as the proxy sees it.
pub trait Decide: Send + Sync + 'static {
    /// The gate's whole answer. Ready at once on a cache hit.
    fn decide(&self, facts: &Facts<'_>, now: Now) -> impl Future<Output = Verdict>;

    /// Makes a received head, hop-by-hop fields already removed, into the head to forward.
    fn write_head(&self, forwarding: &Forwarding, now: Now, headers: &mut HeaderMap);

    /// The refusal of a request about which the gate was not asked: its head was refused by the screen.
    fn refuse_unasked(&self, facts: &Facts<'_>, reason: Reason) -> Refusal;

    /// The refusal of a request that was permitted but could not be forwarded.
    fn refuse_permitted(&self, forwarding: &Forwarding, reason: Reason) -> Refusal;
}
