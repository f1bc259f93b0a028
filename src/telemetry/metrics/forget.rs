//! What goes with a thing that a reload took away: its samples. Handles that are still held count on into
//! nothing.

use std::collections::HashMap;

use prometheus::core::{Collector, MetricVec, MetricVecBuilder};

use super::Metrics;

impl Metrics {
    /// Forgets a route that is no more.
    pub fn forget_route(&self, route: &str) {
        forget(&self.requests, "route", route);
    }

    /// Forgets an external issuer whose keys are not fetched any more.
    pub fn forget_issuer(&self, issuer: &str) {
        forget(&self.jwks_age, "issuer", issuer);
        forget(&self.jwks_fetches, "issuer", issuer);
    }

    /// Forgets an upstream that is no more.
    pub fn forget_upstream(&self, upstream: &str) {
        for counters in [
            &self.upstream_connects,
            &self.upstream_failures,
            &self.upstream_tls_handshakes,
            &self.upstream_resolutions,
            &self.upstream_health_checks,
            &self.upstream_retries,
            &self.upstream_tunnels_ended,
        ] {
            forget(counters, "upstream", upstream);
        }
        for gauges in [
            &self.upstream_connections,
            &self.upstream_endpoints,
            &self.upstream_endpoints_healthy,
            &self.upstream_tunnels,
        ] {
            forget(gauges, "upstream", upstream);
        }
    }

    /// Forgets a certificate that is not shown any more.
    pub fn forget_certificate(&self, listener: &str, file: &str) {
        // An error says that it was not known.
        let _ = self.tls_certificate_expiry.remove_label_values(&[listener, file]);
    }
}

/// Removes every sample on which this label has this value.
fn forget<B: MetricVecBuilder>(metrics: &MetricVec<B>, label: &str, value: &str) {
    for family in metrics.collect() {
        for metric in family.get_metric() {
            let labels = metric.get_label().iter().map(|l| (l.name(), l.value()));
            let labels: HashMap<&str, &str> = labels.collect();
            if labels.get(label) == Some(&value) {
                // An error says that somebody else removed it.
                let _ = metrics.remove(&labels);
            }
        }
    }
}
