//! Prebuilt handles to metrics, so that the hot path increments an atomic and looks nothing up.
//!
//! Made by `Metrics::for_route` and its siblings when a configuration is built, kept beside the thing
//! they count.

use std::marker::PhantomData;

use prometheus::{Histogram, IntCounter, IntGauge};

use super::labels::{
    CheckOutcome, ConnectOutcome, ConnectionEnd, ConnectionRefusal, Label, RequestOutcome, ResolveOutcome,
    TlsHandshake, TunnelEnd, UpstreamFailure,
};
use crate::domain::identity::CredentialKind;

/// One counter for each value of a label.
#[derive(Debug, Clone)]
pub struct CounterBy<L> {
    counters: Box<[IntCounter]>,
    label: PhantomData<L>,
}

impl<L: Label> CounterBy<L> {
    /// Makes the counters of all values.
    pub(super) fn build(counter: impl Fn(&'static str) -> IntCounter) -> Self {
        Self {
            counters: L::ALL.iter().map(|l| counter(l.as_str())).collect(),
            label: PhantomData,
        }
    }

    /// Counts one.
    pub fn inc(&self, label: L) {
        if let Some(counter) = self.counters.get(label.index()) {
            counter.inc();
        }
    }

    /// What was counted so far.
    pub fn count(&self, label: L) -> u64 {
        self.counters.get(label.index()).map_or(0, IntCounter::get)
    }
}

/// One histogram for each value of a label.
#[derive(Debug, Clone)]
pub struct HistogramBy<L> {
    histograms: Box<[Histogram]>,
    label: PhantomData<L>,
}

impl<L: Label> HistogramBy<L> {
    /// Makes the histograms of all values.
    pub(super) fn build(histogram: impl Fn(&'static str) -> Histogram) -> Self {
        Self {
            histograms: L::ALL.iter().map(|l| histogram(l.as_str())).collect(),
            label: PhantomData,
        }
    }

    /// Adds one duration.
    pub fn observe(&self, label: L, duration: std::time::Duration) {
        if let Some(histogram) = self.histograms.get(label.index()) {
            histogram.observe(duration.as_secs_f64());
        }
    }
}

/// The name of a credential kind as a label; `none` when nothing was recognized.
pub(super) fn kind_label(kind: Option<CredentialKind>) -> &'static str {
    kind.map_or("none", CredentialKind::as_str)
}

/// The counters of one route: by credential kind and outcome.
#[derive(Debug, Clone)]
pub struct RouteMetrics {
    /// Kinds in the order of the registry, then none.
    kinds: Box<[CounterBy<RequestOutcome>]>,
}

impl RouteMetrics {
    pub(super) fn build(counter: impl Fn(&'static str, &'static str) -> IntCounter) -> Self {
        let kinds = CredentialKind::ALL.into_iter().map(Some).chain([None]);
        Self {
            kinds: kinds
                .map(|kind| CounterBy::build(|outcome| counter(kind_label(kind), outcome)))
                .collect(),
        }
    }

    fn of(&self, kind: Option<CredentialKind>) -> Option<&CounterBy<RequestOutcome>> {
        match kind {
            Some(kind) => self.kinds.get(kind as usize),
            None => self.kinds.last(),
        }
    }

    /// Counts one request.
    pub fn inc(&self, kind: Option<CredentialKind>, outcome: RequestOutcome) {
        if let Some(counters) = self.of(kind) {
            counters.inc(outcome);
        }
    }

    /// What was counted so far.
    pub fn count(&self, kind: Option<CredentialKind>, outcome: RequestOutcome) -> u64 {
        self.of(kind).map_or(0, |counters| counters.count(outcome))
    }
}

/// The metrics of one upstream.
#[derive(Debug, Clone)]
pub struct UpstreamMetrics {
    /// Attempts to open a connection.
    pub connects: CounterBy<ConnectOutcome>,
    /// Permitted requests that got no answer.
    pub failures: CounterBy<UpstreamFailure>,
    /// Open connections, idle ones too.
    pub connections: IntGauge,
    /// TLS handshakes that succeeded.
    pub tls_handshakes: CounterBy<TlsHandshake>,
    /// Look-ups of names.
    pub resolutions: CounterBy<ResolveOutcome>,
    /// Health checks.
    pub health_checks: CounterBy<CheckOutcome>,
    /// Requests that were tried again, none of which had reached the app.
    pub retries: IntCounter,
    /// Addresses of its targets.
    pub endpoints: IntGauge,
    /// Those of them that pass their health check.
    pub endpoints_healthy: IntGauge,
    /// Open tunnels.
    pub tunnels: IntGauge,
    /// Tunnels that ended.
    pub tunnel_ends: CounterBy<TunnelEnd>,
}

/// The metrics of one listener.
#[derive(Debug, Clone)]
pub struct ListenerMetrics {
    /// Open connections.
    pub connections: IntGauge,
    /// Connections taken from the system so far.
    pub accepted: IntCounter,
    /// Connections closed without serving them.
    pub refused: CounterBy<ConnectionRefusal>,
    /// Connections ended for what their clients did on them.
    pub ended: CounterBy<ConnectionEnd>,
}

/// One more in a gauge for as long as it lives.
#[derive(Debug)]
#[must_use = "the gauge goes down again when this is dropped"]
pub struct Held(IntGauge);

impl Held {
    /// Raises the gauge until this is dropped.
    pub fn in_gauge(gauge: &IntGauge) -> Self {
        gauge.inc();
        Self(gauge.clone())
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.0.dec();
    }
}
