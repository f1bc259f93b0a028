//! Brings up to date the metrics that are read rather than counted, before each scrape.

use super::rooms::Rooms;
use crate::telemetry::Metrics;

/// Quick, and waits for nothing.
pub(super) fn refresh(rooms: &Rooms, metrics: &Metrics) {
    let gauge = |n: u64| i64::try_from(n).unwrap_or(i64::MAX);
    let now = rooms.clock.now();
    let cache = rooms.authn.cache();
    metrics.cache_weight_bytes.set(gauge(cache.weight_bytes()));
    metrics.cache_entries.set(gauge(cache.entries()));
    metrics
        .slow_hash_running
        .set(gauge(rooms.slow_pool.running() as u64));
    metrics
        .slow_hash_queued
        .set(gauge(rooms.slow_pool.queued() as u64));
    metrics
        .revocations_held
        .set(gauge(rooms.authn.revocations().len() as u64));
    metrics.revocation_sequence.set(gauge(rooms.feed.position()));
    let silent_ms = now.mono.since(rooms.feed.read_at());
    metrics
        .revocation_feed_age_seconds
        .set(std::time::Duration::from_millis(silent_ms).as_secs_f64());
    for (issuer, age) in rooms.kinds.load().jwt.jwks_ages(now) {
        if let Some(age) = age {
            metrics.set_jwks_age(&issuer, age);
        }
    }
}
