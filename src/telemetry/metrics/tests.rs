//! What the metrics promise: names, help, and counts that arrive in the text.

use super::super::declaration::PREFIX;
use super::*;
use crate::telemetry::Held;
use crate::telemetry::labels::{
    ConnectOutcome, ConnectionRefusal, FetchOutcome, RequestOutcome, UpstreamFailure,
};

fn metrics() -> Metrics {
    Metrics::new().expect("every metric can be declared")
}

#[test]
fn names_follow_the_rules_of_prometheus() {
    for about in metrics().descriptions() {
        assert!(about.name.starts_with(PREFIX), "{}", about.name);
        assert_eq!(
            about.name.ends_with("_total"),
            about.sort == "counter",
            "{} is a {}",
            about.name,
            about.sort
        );
        if about.sort == "histogram" {
            assert!(about.name.ends_with("_seconds"), "{}: base units", about.name);
        }
        assert!(about.help.ends_with('.'), "{}: help is a sentence", about.name);
        for forbidden in ["subject", "credential_id", "principal", "token", "path", "host"] {
            assert!(
                !about.labels.contains(&forbidden),
                "{} has {forbidden}",
                about.name
            );
        }
    }
}

#[test]
fn every_declared_metric_shows_in_the_text_once_its_handles_exist() {
    let metrics = metrics();
    metrics.for_route("main");
    metrics.for_upstream("api");
    metrics.for_listener("public");
    metrics.jwks_fetches("corp");
    metrics.set_jwks_age("corp", Duration::ZERO);
    metrics.set_certificate_expiry("public", "cert.pem", UnixMillis(0));
    let text = metrics.render().expect("rendered");
    for about in metrics.descriptions() {
        assert!(
            text.contains(&format!("# HELP {} {}", about.name, about.help)),
            "{}",
            about.name
        );
        assert!(
            text.contains(&format!("# TYPE {} {}", about.name, about.sort)),
            "{}",
            about.name
        );
    }
    assert!(
        text.contains("process_resident_memory_bytes"),
        "the process itself"
    );
}

#[test]
fn counts_arrive_under_their_labels() {
    let metrics = metrics();
    let route = metrics.for_route("main");
    route.inc(Some(CredentialKind::Jwt), RequestOutcome::Forwarded);
    route.inc(None, RequestOutcome::Refused);
    route.inc(None, RequestOutcome::Refused);
    metrics.reject(Reason::CredentialExpired);
    metrics.issue(CredentialKind::ApiToken, IssueOutcome::Issued);
    let upstream = metrics.for_upstream("api");
    upstream.connects.inc(ConnectOutcome::TimedOut);
    upstream.failures.inc(UpstreamFailure::InvalidAnswer);
    let listener = metrics.for_listener("public");
    listener.refused.inc(ConnectionRefusal::Limit);
    let held = Held::in_gauge(&listener.connections);
    metrics.jwks_fetches("corp").inc(FetchOutcome::Failed);
    metrics.throttle_refused.inc(ThrottledBy::Address);
    metrics
        .decision_duration
        .observe(Stage::Decide, Duration::from_micros(3));

    let text = metrics.render().expect("rendered");
    for line in [
        r#"doorward_requests_total{kind="jwt",outcome="forwarded",route="main"} 1"#,
        r#"doorward_requests_total{kind="none",outcome="refused",route="main"} 2"#,
        r#"doorward_requests_total{kind="basic",outcome="forwarded",route="main"} 0"#,
        r#"doorward_rejections_total{reason="credential_expired"} 1"#,
        r#"doorward_issued_total{kind="api_token",outcome="issued"} 1"#,
        r#"doorward_upstream_connects_total{outcome="timed_out",upstream="api"} 1"#,
        r#"doorward_upstream_failures_total{reason="invalid_answer",upstream="api"} 1"#,
        r#"doorward_connections_refused_total{listener="public",reason="limit"} 1"#,
        r#"doorward_connections{listener="public"} 1"#,
        r#"doorward_jwks_fetches_total{issuer="corp",outcome="failed"} 1"#,
        r#"doorward_throttle_refused_total{by="address"} 1"#,
        r#"doorward_decision_duration_seconds_bucket{stage="decide",le="0.000005"} 1"#,
    ] {
        assert!(text.lines().any(|l| l == line), "missing: {line}\n{text}");
    }
    assert_eq!(route.count(None, RequestOutcome::Refused), 2);
    drop(held);
    assert_eq!(listener.connections.get(), 0);
}

#[test]
fn two_handles_of_one_route_share_their_counters() {
    let metrics = metrics();
    metrics.for_route("main").inc(None, RequestOutcome::Failed);
    assert_eq!(metrics.for_route("main").count(None, RequestOutcome::Failed), 1);
}

#[test]
fn what_a_reload_took_away_leaves_no_sample_and_its_neighbors_stay() {
    let metrics = Metrics::new().expect("metrics");
    for name in ["gone", "kept"] {
        let route = metrics.for_route(name);
        route.inc(None, RequestOutcome::Refused);
        drop(metrics.for_upstream(name));
        drop(metrics.jwks_fetches(name));
        metrics.set_jwks_age(name, Duration::from_secs(1));
        metrics.set_certificate_expiry("public", name, UnixMillis(0));
    }
    let samples = |name: &str| {
        let text = metrics.render().expect("text");
        text.lines()
            .filter(|l| l.contains(&format!("\"{name}\"")))
            .count()
    };
    assert_eq!(samples("gone"), samples("kept"));
    let all = samples("kept");
    metrics.forget_route("gone");
    metrics.forget_upstream("gone");
    metrics.forget_issuer("gone");
    metrics.forget_certificate("public", "gone");
    assert_eq!((samples("gone"), samples("kept")), (0, all));
}
