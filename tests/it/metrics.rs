//! The metrics as Prometheus' own tool and the documentation see them, and as the real process feeds them.

use std::collections::BTreeSet;
use std::io::Write;
use std::net::{SocketAddr, TcpListener};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use doorward::telemetry::Metrics;
use tempfile::TempDir;

use crate::support::{Client, Doorward, Reply, Upstream, cli};

/// Metrics with a handle of each sort in existence, so that every family shows.
fn populated() -> Metrics {
    let metrics = Metrics::new().expect("metrics");
    metrics.for_route("main");
    metrics.for_upstream("api");
    metrics.for_listener("public");
    metrics.jwks_fetches("corp");
    metrics.set_jwks_age("corp", Duration::ZERO);
    metrics
}

#[test]
fn promtool_finds_nothing_to_complain_about() {
    let text = populated().render().expect("rendered");
    let mut promtool = Command::new("promtool")
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("promtool is installed (scripts/setup.sh test)");
    let mut stdin = promtool.stdin.take().expect("a pipe");
    stdin.write_all(text.as_bytes()).expect("written");
    drop(stdin);
    let output = promtool.wait_with_output().expect("ended");
    let said = format!(
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    assert!(output.status.success() && said.is_empty(), "{said}");
}

#[test]
fn the_documentation_lists_every_metric_as_it_is() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/metrics.md");
    let page = std::fs::read_to_string(path).expect("docs/metrics.md");
    let documented: BTreeSet<String> = page
        .lines()
        .filter(|line| line.starts_with("| `doorward_"))
        .map(str::to_owned)
        .collect();
    let metrics = populated();
    let declared: BTreeSet<String> = metrics
        .descriptions()
        .iter()
        .map(|about| {
            let labels: Vec<String> = about.labels.iter().map(|l| format!("`{l}`")).collect();
            format!(
                "| `{}` | {} | {} | {} |",
                about.name,
                about.sort,
                labels.join(" "),
                about.help
            )
        })
        .collect();
    let missing: Vec<_> = declared.difference(&documented).collect();
    let stale: Vec<_> = documented.difference(&declared).collect();
    assert!(
        missing.is_empty() && stale.is_empty(),
        "docs/metrics.md differs.\nrows to add:\n{missing:#?}\nrows to take out:\n{stale:#?}"
    );
}

/// Nothing listens here.
fn nowhere() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    listener.local_addr().expect("an address")
}

/// Whoever did nothing wrong cannot make these move; their rooms test them.
const UNMOVED: [&str; 12] = [
    "doorward_access_lines_dropped_total",
    "doorward_clock_jumps_total",
    // Nor a client that floods: `http2_floods` shows it.
    "doorward_connections_ended_total",
    // Nor a credential that is a month old: the tests of `accounts` show it.
    "doorward_credentials_rotation_due",
    "doorward_log_lines_dropped_total",
    "doorward_panics_total",
    // Nor one that somebody should look at: `security_events` shows both.
    "doorward_security_events_total",
    "doorward_webhook_deliveries_total",
    // Without TLS there is nothing that ends: `tls` shows it.
    "doorward_tls_certificate_expiry_seconds",
    // Nor an upstream to shake hands with: `upstreams` shows it.
    "doorward_upstream_tls_handshakes_total",
    // Nor one that switches protocols: `upgrades` shows it.
    "doorward_upstream_tunnels",
    "doorward_upstream_tunnels_ended_total",
];

/// Samples that the story below must make positive, beside one of every family.
const MOVED: &[&str] = &[
    r#"doorward_requests_total{kind="api_token",outcome="forwarded",route="all"}"#,
    r#"doorward_requests_total{kind="none",outcome="refused",route="all"}"#,
    r#"doorward_requests_total{kind="none",outcome="failed",route="gone"}"#,
    r#"doorward_requests_total{kind="none",outcome="answered",route="doorward"}"#,
    r#"doorward_rejections_total{reason="credential_missing"}"#,
    r#"doorward_rejections_total{reason="credential_invalid"}"#,
    r#"doorward_rejections_total{reason="upstream_unreachable"}"#,
    r#"doorward_issued_total{kind="api_token",outcome="issued"}"#,
    r#"doorward_decision_duration_seconds_count{stage="decide"}"#,
    r#"doorward_decision_duration_seconds_count{stage="look_up"}"#,
    r#"doorward_decision_duration_seconds_count{stage="slow_hash"}"#,
    r#"doorward_throttle_refused_total{by="public_id"}"#,
    "doorward_revocation_lag_seconds_count",
    "doorward_store_call_duration_seconds_count",
    r#"doorward_store_call_errors_total{class="conflict"}"#,
    r#"doorward_jwks_fetches_total{issuer="up",outcome="fetched"}"#,
    r#"doorward_jwks_fetches_total{issuer="down",outcome="failed"}"#,
    r#"doorward_jwks_age_seconds{issuer="up"}"#,
    r#"doorward_upstream_connects_total{outcome="connected",upstream="api"}"#,
    r#"doorward_upstream_connects_total{outcome="failed",upstream="gone"}"#,
    r#"doorward_upstream_connections{upstream="api"}"#,
    r#"doorward_upstream_failures_total{reason="unreachable",upstream="gone"}"#,
    r#"doorward_upstream_failures_total{reason="response_timeout",upstream="api"}"#,
    r#"doorward_upstream_failures_total{reason="idle_timeout",upstream="api"}"#,
    r#"doorward_upstream_failures_total{reason="invalid_answer",upstream="api"}"#,
    r#"doorward_upstream_resolutions_total{outcome="resolved",upstream="group"}"#,
    r#"doorward_upstream_retries_total{upstream="group"}"#,
    r#"doorward_upstream_health_checks_total{outcome="passed",upstream="well"}"#,
    r#"doorward_connections{listener="public"}"#,
    r#"doorward_connections_accepted_total{listener="public"}"#,
    r#"doorward_connections_refused_total{listener="public",reason="limit"}"#,
    r#"doorward_usage_flushes_total{outcome="written"}"#,
    "doorward_config_last_reload_successful",
];

/// What is above zero now, without labels that tell a bucket.
fn positive(door: &Doorward) -> BTreeSet<String> {
    door.metric("doorward_")
        .iter()
        .filter_map(|line| line.rsplit_once(' '))
        .filter(|(_, value)| value.parse::<f64>().is_ok_and(|v| v > 0.0))
        .map(|(sample, _)| sample.to_owned())
        .collect()
}

/// Every family of metrics moves when what it is about happens.
#[test]
fn every_metric_is_fed_by_the_running_process() {
    let key_set = r#"{"keys":[{"kty":"OKP","crv":"Ed25519","kid":"k","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}]}"#;
    let keys = Upstream::start(Reply::Ok(key_set));
    let upstream = Upstream::with(|seen| match seen.target() {
        "/slow/head" => Reply::Silence,
        "/slow/body" => Reply::Raw(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf".to_vec()),
        "/broken" => Reply::RawThenClose(b"this is no HTTP\r\n\r\n".to_vec()),
        _ => Reply::Ok("hello"),
    });
    let config = format!(
        "upstreams:\n\
         \x20 api: {{ url: \"http://{api}\", timeouts: {{ response: 300ms, idle: 50ms }} }}\n\
         \x20 gone: {{ url: \"http://{gone}\" }}\n\
         \x20 group: {{ targets: [{{ url: \"http://{gone}\" }}, {{ url: \"http://localhost:{port}\" }}] }}\n\
         \x20 well: {{ url: \"http://{api}\", health: {{ interval: 50ms, timeout: 50ms }} }}\n\
         throttle: {{ failures_per_id: 1, failures_per_address: 100000 }}\n\
         audit: {{ refusal_burst: 1, refusal_refill: 1h }}\n\
         usage: {{ flush_interval: 100ms }}\n\
         revocation: {{ poll_interval: 20ms }}\n\
         slow_hash: {{ workers: 1, queue: 3 }}\n\
         credentials:\n\
         \x20 basic: {{ bcrypt_cost: 10 }}\n\
         \x20 jwt: {{ issuers: [\n\
         \x20   {{ name: up, issuer: a, audience: [api], jwks_url: \"http://{keys}/\", refresh: 10s, cooldown: 1s }},\n\
         \x20   {{ name: down, issuer: b, audience: [api], jwks_url: \"http://{gone}/\" }} ] }}\n\
         routes:\n\
         \x20 - {{ name: gone, path: /gone, access: public, upstream: gone }}\n\
         \x20 - {{ name: group, path: /group, access: public, upstream: group }}\n\
         \x20 - {{ name: slow, path: /slow/, access: public, upstream: api }}\n\
         \x20 - {{ name: broken, path: /broken, access: public, upstream: api }}\n\
         \x20 - {{ name: all, path: /, upstream: api, assertion: true }}\n",
        api = upstream.address,
        port = upstream.address.port(),
        gone = nowhere(),
        keys = keys.address,
    );
    let listener = "{ name: public, address: 127.0.0.1:0, max_connections: 16 }";
    let folder = Arc::new(TempDir::new().expect("a folder"));
    let door = Doorward::start_listening(folder, listener, &config, &[]);

    // Requests of every outcome; the second of a kind is answered from a cache.
    let issued = door.issue(serde_json::json!({ "kind": "api_token", "for": "backup" }));
    let token = format!("Authorization: Bearer {}", issued.secret);
    let mut client = door.connect();
    for _ in 0..2 {
        assert_eq!(client.get("/", &[&token]).status, 200);
        assert_eq!(client.get("/", &[]).status, 401);
    }
    assert_eq!(client.get("/.well-known/doorward/jwks.json", &[]).status, 200);
    assert_eq!(door.get("/gone", &[]).status, 502);
    let resolved = r#"doorward_upstream_resolutions_total{outcome="resolved",upstream="group"}"#;
    crate::support::wait::until("localhost is looked up", || positive(&door).contains(resolved));
    assert_eq!(
        door.get("/group", &[]).status,
        200,
        "the first target is down, the second is not"
    );
    assert_eq!(door.get("/broken", &[]).status, 502);
    assert_eq!(door.get("/slow/head", &[]).status, 504);
    let mut half = door.connect();
    half.write("GET /slow/body HTTP/1.1\r\nHost: a\r\n\r\n").rest();
    // A wrong password, again from the negative cache, and another one than the throttle lets through.
    let basic = |user: &str, password: &str| {
        format!(
            "Authorization: Basic {}",
            STANDARD.encode(format!("{user}:{password}"))
        )
    };
    for password in ["wrong", "wrong", "other", "third"] {
        client.get("/", &[&basic("ada", password)]);
    }
    // The same name twice.
    let created = cli(door.folder(), &["device", "create", "d-1"]);
    assert!(created.status.success());
    assert!(!cli(door.folder(), &["device", "create", "d-1"]).status.success());
    // A revocation by a process that does not find the server's socket.
    let socket = door.folder().join("data/admin.sock");
    let away = door.folder().join("data/away.sock");
    std::fs::rename(&socket, &away).expect("moved");
    door.cli(&["revoke", "--device", "d-1"]);
    std::fs::rename(&away, &socket).expect("moved back");
    door.signal("HUP");

    let families: Vec<String> = Metrics::new()
        .expect("metrics")
        .descriptions()
        .iter()
        .map(|d| d.name.clone())
        .filter(|name| !UNMOVED.contains(&name.as_str()))
        .collect();
    let mut seen = BTreeSet::new();
    for round in 0..100 {
        // More slow hashes at once than may run and wait, of users that the throttle does not know yet.
        let mut crowd: Vec<Client> = (0..4).map(|_| door.connect()).collect();
        for (i, client) in crowd.iter_mut().enumerate() {
            let line = basic(&format!("user-{round}-{i}"), "wrong");
            let _ = client.try_write(format!("GET / HTTP/1.1\r\nHost: a\r\n{line}\r\n\r\n"));
        }
        // Hashes queue and upstream connections idle for a moment only.
        for _ in 0..4 {
            client.get("/", &[&token]);
            seen.append(&mut positive(&door));
        }
        // More connections than the listener serves.
        let _held: Vec<Client> = (0..16).map(|_| door.connect()).collect();
        for client in &mut crowd {
            let _ = client.try_answer("GET");
        }
        let silent: Vec<&str> = families
            .iter()
            .map(String::as_str)
            .filter(|family| !seen.iter().any(|sample| sample.starts_with(family)))
            .chain(MOVED.iter().copied().filter(|sample| !seen.contains(*sample)))
            .collect();
        if silent.is_empty() {
            break;
        }
        assert!(round < 99, "never above zero: {silent:#?}");
    }
    let reloaded_at = door.metric("doorward_config_last_reload_success_timestamp_seconds");
    let reloaded_at: f64 = reloaded_at[0]
        .rsplit_once(' ')
        .and_then(|(_, v)| v.parse().ok())
        .expect("a time");
    let started_at = door.metric("process_start_time_seconds");
    let started_at: f64 = started_at[0]
        .rsplit_once(' ')
        .and_then(|(_, v)| v.parse().ok())
        .expect("a time");
    assert!(
        (reloaded_at - started_at).abs() < 60.0,
        "the process started {started_at}, was ready {reloaded_at}"
    );
}
