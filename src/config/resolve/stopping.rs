//! How the process stops, held against how long it is given to.
//!
//! What is killed before its last flush loses usage counts and audit rows that nobody can bring back, while a
//! request that is cut off can be made again: so within a known grace period the flush has its time first.

use std::time::Duration;

use super::super::environment::Surroundings;
use super::super::raw::Drain;
use super::super::raw::values::{Span, TextValue};
use super::super::settings::DrainSettings;
use super::Notes;
use crate::edge::listener::FLUSH;

/// What a pod is given that does not say otherwise.
const KUBERNETES_GRACE: Duration = Duration::from_secs(30);

/// How the process stops. Warns when it is not given the time for it.
pub(super) fn resolve(drain: &Drain, surroundings: Surroundings, notes: &mut Notes<'_>) -> DrainSettings {
    let (delay, timeout) = (drain.delay.0, drain.timeout.0);
    let needed = delay.saturating_add(timeout).saturating_add(FLUSH);
    let text = |span: Duration| Span(span).text();
    let Some(Span(grace)) = drain.grace_period else {
        if surroundings == Surroundings::Pod && needed > KUBERNETES_GRACE {
            notes.warn(
                "drain.grace_period",
                format!(
                    "stopping takes up to {needed} (delay {delay}, timeout {timeout}, last flush {flush}), and a pod \
                     is killed after {grace} unless terminationGracePeriodSeconds gives more: set it, and say here \
                     what it is",
                    needed = text(needed),
                    delay = text(delay),
                    timeout = text(timeout),
                    flush = text(FLUSH),
                    grace = text(KUBERNETES_GRACE),
                ),
            );
        }
        return DrainSettings { delay, timeout };
    };
    let left = grace.saturating_sub(delay.saturating_add(FLUSH));
    if needed > grace {
        notes.warn(
            "drain.grace_period",
            format!(
                "stopping takes up to {needed} (delay {delay}, timeout {timeout}, last flush {flush}), and the process \
                 is killed after {grace}: running requests get {left} instead of {timeout}. Raise the grace period \
                 here and where it is set, or lower drain.timeout or drain.delay",
                needed = text(needed),
                delay = text(delay),
                timeout = text(timeout),
                flush = text(FLUSH),
                grace = text(grace),
                left = text(left),
            ),
        );
    }
    DrainSettings {
        delay,
        timeout: timeout.min(left),
    }
}
