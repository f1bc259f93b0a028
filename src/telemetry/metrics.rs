//! Every metric, declared once. `docs/metrics.md` lists them for people; a test compares the two.
//!
//! A plain struct that is passed around, no statics: tests make their own. It measures nothing by
//! itself; the rooms hold handles and count. Names carry the prefix `doorward_`, counters end in
//! `_total`, units are base units (Prometheus' naming rules, which `promtool check metrics` knows).

use std::time::Duration;

use prometheus::process_collector::ProcessCollector;
use prometheus::{Gauge, Histogram, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Registry, TextEncoder};

use super::declaration::{Declaration, Description, MetricsError};
use super::handles::{CounterBy, HistogramBy, ListenerMetrics, RouteMetrics, UpstreamMetrics};
use super::labels::{
    DeliveryOutcome, FetchOutcome, FlushOutcome, IssueOutcome, ReloadOutcome, SecurityEventKind, Stage,
    StoreErrorClass, ThrottledBy,
};
use crate::domain::clock::UnixMillis;
use crate::domain::identity::CredentialKind;
use crate::domain::reason::Reason;

/// The media type of [`Metrics::render`]'s text.
pub const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

const REQUEST_BUCKETS: &[f64] = &[0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 5.0, 30.0];
const DECISION_BUCKETS: &[f64] = &[
    0.000_002, 0.000_005, 0.000_02, 0.000_1, 0.000_5, 0.0025, 0.01, 0.05, 0.25, 1.0, 5.0,
];
const STORE_BUCKETS: &[f64] = &[0.000_1, 0.000_5, 0.001, 0.0025, 0.01, 0.05, 0.25, 1.0, 5.0];
const LAG_BUCKETS: &[f64] = &[0.01, 0.05, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 10.0, 60.0];

/// Every metric of the process.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    descriptions: Vec<Description>,
    requests: IntCounterVec,
    rejections: Box<[IntCounter]>,
    issued: Box<[CounterBy<IssueOutcome>]>,
    /// From the request's head to the end of the answer.
    pub request_duration: Histogram,
    /// Parts of decisions.
    pub decision_duration: HistogramBy<Stage>,
    /// Verified credentials found in the cache.
    pub cache_hits: IntCounter,
    /// Credentials not found in the cache.
    pub cache_misses: IntCounter,
    /// Refusals answered from the negative cache.
    pub cache_negative_hits: IntCounter,
    /// Entries in the cache.
    pub cache_entries: IntGauge,
    /// Their weight.
    pub cache_weight_bytes: IntGauge,
    /// Slow hashes being computed.
    pub slow_hash_running: IntGauge,
    /// Slow hashes waiting for a worker.
    pub slow_hash_queued: IntGauge,
    /// Slow hashes refused because the queue, or the address's share of it, was full.
    pub slow_hash_refused: IntCounter,
    /// Tries refused by the failed-credential throttle.
    pub throttle_refused: CounterBy<ThrottledBy>,
    /// From the writing of a revocation to its effect here.
    pub revocation_lag: Histogram,
    /// Highest sequence number applied.
    pub revocation_sequence: IntGauge,
    /// Seconds since the revocation feed was last read to its end.
    pub revocation_feed_age_seconds: Gauge,
    /// Revocations held in memory.
    pub revocations_held: IntGauge,
    /// Failed store calls.
    pub store_call_errors: CounterBy<StoreErrorClass>,
    /// Duration of store calls.
    pub store_call_duration: Histogram,
    jwks_age: IntGaugeVec,
    jwks_fetches: IntCounterVec,
    upstream_connects: IntCounterVec,
    upstream_failures: IntCounterVec,
    upstream_connections: IntGaugeVec,
    upstream_tls_handshakes: IntCounterVec,
    upstream_resolutions: IntCounterVec,
    upstream_health_checks: IntCounterVec,
    upstream_retries: IntCounterVec,
    upstream_endpoints: IntGaugeVec,
    upstream_endpoints_healthy: IntGaugeVec,
    upstream_tunnels: IntGaugeVec,
    upstream_tunnels_ended: IntCounterVec,
    connections: IntGaugeVec,
    connections_accepted: IntCounterVec,
    connections_refused: IntCounterVec,
    connections_ended: IntCounterVec,
    tls_certificate_expiry: IntGaugeVec,
    /// Security events not written: the queue was full, the flood bound was reached, or the store failed.
    pub audit_events_dropped: IntCounter,
    /// Security events by what happened.
    pub security_events: CounterBy<SecurityEventKind>,
    /// Deliveries to the webhook.
    pub webhook_deliveries: CounterBy<DeliveryOutcome>,
    /// Credentials that the rotation schedule asks to be replaced.
    pub credentials_rotation_due: IntGauge,
    /// Log lines not written because the sink did not keep up.
    pub log_lines_dropped: IntCounter,
    /// Lines of the access log not written because the sink did not keep up.
    pub access_lines_dropped: IntCounter,
    /// Batches of usage written.
    pub usage_flushes: CounterBy<FlushOutcome>,
    /// Whether the configuration in force is the last one that was offered: 1 or 0.
    pub config_last_reload_successful: IntGauge,
    /// Reloads by outcome.
    pub config_reloads: CounterBy<ReloadOutcome>,
    /// When a configuration was last taken into force, in seconds since the epoch.
    pub config_last_reload_success_timestamp_seconds: Gauge,
    /// Times the wall clock was found set forward or back.
    pub clock_jumps: IntCounter,
    /// Panics caught.
    pub panics: IntCounter,
}

impl Metrics {
    /// Declares and registers every metric.
    pub fn new() -> Result<Self, MetricsError> {
        let mut d = Declaration::default();
        let rejections = d.counters("rejections_total", "Refused requests by reason.", &["reason"])?;
        let issued = d.counters(
            "issued_total",
            "Attempts to make a credential, by kind and outcome.",
            &["kind", "outcome"],
        )?;
        let build_info = d.gauges(
            "build_info",
            "Always 1; its labels say what is running.",
            &["version", "architecture"],
        )?;
        build_info
            .with_label_values(&[env!("CARGO_PKG_VERSION"), std::env::consts::ARCH])
            .set(1);
        let decisions = d.histograms(
            "decision_duration_seconds",
            "Duration of decisions, and of the waits within them, by stage.",
            &["stage"],
            DECISION_BUCKETS,
        )?;
        let throttled = d.counters(
            "throttle_refused_total",
            "Tries refused by a throttle, by what it recognized.",
            &["by"],
        )?;
        let store_errors = d.counters(
            "store_call_errors_total",
            "Failed store calls by class.",
            &["class"],
        )?;
        let flushes = d.counters(
            "usage_flushes_total",
            "Batches of usage written, by outcome.",
            &["outcome"],
        )?;
        let security_events = d.counters(
            "security_events_total",
            "Security events about credentials, by what happened.",
            &["event"],
        )?;
        let deliveries = d.counters(
            "webhook_deliveries_total",
            "Deliveries of security events to the webhook, by outcome.",
            &["outcome"],
        )?;
        let reloads = d.counters(
            "config_reloads_total",
            "Configurations offered after the start, by outcome.",
            &["outcome"],
        )?;
        let metrics = Self {
            config_reloads: CounterBy::build(|outcome| reloads.with_label_values(&[outcome])),
            requests: d.counters(
                "requests_total",
                "Requests by route, credential kind and outcome.",
                &["route", "kind", "outcome"],
            )?,
            rejections: Reason::ALL
                .iter()
                .map(|r| rejections.with_label_values(&[r.code()]))
                .collect(),
            issued: CredentialKind::ALL
                .iter()
                .map(|k| CounterBy::build(|outcome| issued.with_label_values(&[k.as_str(), outcome])))
                .collect(),
            request_duration: d.histogram(
                "request_duration_seconds",
                "Duration of requests, from the end of the head to the end of the answer.",
                REQUEST_BUCKETS,
            )?,
            decision_duration: HistogramBy::build(|stage| decisions.with_label_values(&[stage])),
            cache_hits: d.counter("cache_hits_total", "Verified credentials found in the cache.")?,
            cache_misses: d.counter("cache_misses_total", "Credentials not found in the cache.")?,
            cache_negative_hits: d.counter(
                "cache_negative_hits_total",
                "Refusals answered from the negative cache.",
            )?,
            cache_entries: d.gauge("cache_entries", "Verified credentials in the cache.")?,
            cache_weight_bytes: d.gauge(
                "cache_weight_bytes",
                "Memory that the cached credentials are reckoned to take.",
            )?,
            slow_hash_running: d.gauge("slow_hash_running", "Slow hashes being computed.")?,
            slow_hash_queued: d.gauge("slow_hash_queued", "Slow hashes waiting for a worker.")?,
            slow_hash_refused: d.counter(
                "slow_hash_refused_total",
                "Slow hashes refused because the queue, or the address's share of it, was full.",
            )?,
            throttle_refused: CounterBy::build(|by| throttled.with_label_values(&[by])),
            revocation_lag: d.histogram(
                "revocation_lag_seconds",
                "From the writing of a revocation to its effect in this process.",
                LAG_BUCKETS,
            )?,
            revocation_sequence: d.gauge(
                "revocation_sequence",
                "Highest revocation sequence number applied.",
            )?,
            revocation_feed_age_seconds: d.real_gauge(
                "revocation_feed_age_seconds",
                "Time since the revocation feed was last read to its end.",
            )?,
            revocations_held: d.gauge("revocations_held", "Revocations held in memory.")?,
            store_call_errors: CounterBy::build(|class| store_errors.with_label_values(&[class])),
            store_call_duration: d.histogram(
                "store_call_duration_seconds",
                "Duration of store calls.",
                STORE_BUCKETS,
            )?,
            jwks_age: d.gauges(
                "jwks_age_seconds",
                "Time since an issuer's key set was last fetched.",
                &["issuer"],
            )?,
            jwks_fetches: d.counters(
                "jwks_fetches_total",
                "Fetches of an issuer's key set by outcome.",
                &["issuer", "outcome"],
            )?,
            upstream_connects: d.counters(
                "upstream_connects_total",
                "Attempts to connect to an upstream by outcome.",
                &["upstream", "outcome"],
            )?,
            upstream_failures: d.counters(
                "upstream_failures_total",
                "Permitted requests that got no whole answer from their upstream, by reason.",
                &["upstream", "reason"],
            )?,
            upstream_connections: d.gauges(
                "upstream_connections",
                "Open connections to an upstream, idle ones too.",
                &["upstream"],
            )?,
            upstream_tls_handshakes: d.counters(
                "upstream_tls_handshakes_total",
                "TLS handshakes with an upstream that succeeded, by kind.",
                &["upstream", "kind"],
            )?,
            upstream_resolutions: d.counters(
                "upstream_resolutions_total",
                "Look-ups of the names of an upstream by outcome.",
                &["upstream", "outcome"],
            )?,
            upstream_health_checks: d.counters(
                "upstream_health_checks_total",
                "Health checks of an upstream's addresses by outcome.",
                &["upstream", "outcome"],
            )?,
            upstream_retries: d.counters(
                "upstream_retries_total",
                "Tries after the first, of requests of which nothing had reached the upstream.",
                &["upstream"],
            )?,
            upstream_endpoints: d.gauges(
                "upstream_endpoints",
                "Addresses that an upstream's targets stand for.",
                &["upstream"],
            )?,
            upstream_endpoints_healthy: d.gauges(
                "upstream_endpoints_healthy",
                "Addresses of an upstream that pass their health check, or have none.",
                &["upstream"],
            )?,
            upstream_tunnels: d.gauges(
                "upstream_tunnels",
                "Open tunnels to an upstream: WebSockets and other switches of protocols.",
                &["upstream"],
            )?,
            upstream_tunnels_ended: d.counters(
                "upstream_tunnels_ended_total",
                "Tunnels that ended, by who or what ended them.",
                &["upstream", "by"],
            )?,
            connections: d.gauges("connections", "Open client connections.", &["listener"])?,
            connections_accepted: d.counters(
                "connections_accepted_total",
                "Client connections accepted.",
                &["listener"],
            )?,
            connections_refused: d.counters(
                "connections_refused_total",
                "Client connections closed without serving them, by reason.",
                &["listener", "reason"],
            )?,
            connections_ended: d.counters(
                "connections_ended_total",
                "Client connections ended for what their clients did on them, by reason.",
                &["listener", "reason"],
            )?,
            tls_certificate_expiry: d.gauges(
                "tls_certificate_expiry_seconds",
                "When a certificate that is shown to clients ends, in seconds since the epoch.",
                &["listener", "file"],
            )?,
            audit_events_dropped: d.counter(
                "audit_events_dropped_total",
                "Security events that were not written to the audit trail.",
            )?,
            security_events: CounterBy::build(|kind| security_events.with_label_values(&[kind])),
            webhook_deliveries: CounterBy::build(|outcome| deliveries.with_label_values(&[outcome])),
            credentials_rotation_due: d.gauge(
                "credentials_rotation_due",
                "Living credentials that are older than the rotation schedule of their environment allows.",
            )?,
            log_lines_dropped: d.counter(
                "log_lines_dropped_total",
                "Log lines not written because the sink did not keep up.",
            )?,
            access_lines_dropped: d.counter(
                "access_lines_dropped_total",
                "Lines of the access log not written because the sink did not keep up.",
            )?,
            usage_flushes: CounterBy::build(|outcome| flushes.with_label_values(&[outcome])),
            config_last_reload_successful: d.gauge(
                "config_last_reload_successful",
                "1 when the last configuration offered is in force, else 0.",
            )?,
            config_last_reload_success_timestamp_seconds: d.real_gauge(
                "config_last_reload_success_timestamp_seconds",
                "When a configuration was last taken into force.",
            )?,
            clock_jumps: d.counter(
                "clock_jumps_total",
                "Times the wall clock was set by 2 s or more; a machine that slept counts too.",
            )?,
            panics: d.counter("panics_total", "Panics caught: each is a bug.")?,
            registry: d.registry,
            descriptions: d.descriptions,
        };
        metrics
            .registry
            .register(Box::new(ProcessCollector::for_self()))?;
        Ok(metrics)
    }

    /// Counts one refusal.
    pub fn reject(&self, reason: Reason) {
        if let Some(counter) = self.rejections.get(reason.index()) {
            counter.inc();
        }
    }

    /// Refusals counted so far.
    pub fn rejections(&self, reason: Reason) -> u64 {
        self.rejections.get(reason.index()).map_or(0, IntCounter::get)
    }

    /// Counts one attempt to make a credential.
    pub fn issue(&self, kind: CredentialKind, outcome: IssueOutcome) {
        if let Some(counters) = self.issued.get(kind as usize) {
            counters.inc(outcome);
        }
    }

    /// Handles for one route, named by the configuration.
    pub fn for_route(&self, route: &str) -> RouteMetrics {
        RouteMetrics::build(|kind, outcome| self.requests.with_label_values(&[route, kind, outcome]))
    }

    /// Handles for one upstream, named by the configuration.
    pub fn for_upstream(&self, upstream: &str) -> UpstreamMetrics {
        UpstreamMetrics {
            connects: CounterBy::build(|o| self.upstream_connects.with_label_values(&[upstream, o])),
            failures: CounterBy::build(|r| self.upstream_failures.with_label_values(&[upstream, r])),
            connections: self.upstream_connections.with_label_values(&[upstream]),
            tls_handshakes: CounterBy::build(|k| {
                self.upstream_tls_handshakes.with_label_values(&[upstream, k])
            }),
            resolutions: CounterBy::build(|o| self.upstream_resolutions.with_label_values(&[upstream, o])),
            health_checks: CounterBy::build(|o| {
                self.upstream_health_checks.with_label_values(&[upstream, o])
            }),
            retries: self.upstream_retries.with_label_values(&[upstream]),
            endpoints: self.upstream_endpoints.with_label_values(&[upstream]),
            endpoints_healthy: self.upstream_endpoints_healthy.with_label_values(&[upstream]),
            tunnels: self.upstream_tunnels.with_label_values(&[upstream]),
            tunnel_ends: CounterBy::build(|by| {
                self.upstream_tunnels_ended.with_label_values(&[upstream, by])
            }),
        }
    }

    /// Handles for one listener, named by the configuration.
    pub fn for_listener(&self, listener: &str) -> ListenerMetrics {
        ListenerMetrics {
            connections: self.connections.with_label_values(&[listener]),
            accepted: self.connections_accepted.with_label_values(&[listener]),
            refused: CounterBy::build(|r| self.connections_refused.with_label_values(&[listener, r])),
            ended: CounterBy::build(|r| self.connections_ended.with_label_values(&[listener, r])),
        }
    }

    /// Notes when a certificate of a listener ends. Listener and file are named by the configuration.
    pub fn set_certificate_expiry(&self, listener: &str, file: &str, at: UnixMillis) {
        let gauge = self.tls_certificate_expiry.with_label_values(&[listener, file]);
        gauge.set(at.as_secs());
    }

    /// Counts fetches of an external issuer's key set; issuers are named by the configuration.
    pub fn jwks_fetches(&self, issuer: &str) -> CounterBy<FetchOutcome> {
        CounterBy::build(|o| self.jwks_fetches.with_label_values(&[issuer, o]))
    }

    /// Sets how old an external issuer's key set is. Before the first there is no age, and no sample.
    pub fn set_jwks_age(&self, issuer: &str, age: Duration) {
        let seconds = i64::try_from(age.as_secs()).unwrap_or(i64::MAX);
        self.jwks_age.with_label_values(&[issuer]).set(seconds);
    }

    /// Every metric in Prometheus' text format, with those of the process itself.
    pub fn render(&self) -> Result<String, MetricsError> {
        Ok(TextEncoder::new().encode_to_string(&self.registry.gather())?)
    }

    /// What is declared, in order of declaration.
    pub fn descriptions(&self) -> &[Description] {
        &self.descriptions
    }
}

mod forget;
#[cfg(test)]
mod tests;
