//! Prometheus' own programs read the shipped configuration and alerts, and scrape a running door.

use std::collections::BTreeSet;
use std::fs::File;
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use doorward::telemetry::Metrics;
use serde_json::Value;
use tempfile::TempDir;

use super::{documents, path, read, run};
use crate::support::wait::until;
use crate::support::{Doorward, Reply, Upstream, http};

const CONFIG: &str = "deploy/prometheus/prometheus.yml";
const ALERTS: &str = "deploy/prometheus/alerts.yml";
const TESTS: &str = "deploy/prometheus/alerts.test.yml";

#[test]
fn promtool_finds_configuration_and_alerts_good_and_the_alerts_do_as_their_tests_say() {
    for (arguments, file) in [
        (["check", "config"], CONFIG),
        (["check", "rules"], ALERTS),
        (["test", "rules"], TESTS),
    ] {
        let (good, said) = run(Command::new("promtool").args(arguments).arg(path(file)));
        assert!(good && said.contains("SUCCESS"), "{arguments:?}: {said}");
    }
}

#[test]
fn every_alert_is_tested_both_ways_and_asks_for_metrics_that_exist() {
    let alerts = documents(ALERTS);
    let rules = alerts[0]["groups"][0]["rules"].as_array().expect("rules");
    let tests = documents(TESTS);
    let tests = tests[0]["tests"].as_array().expect("tests");
    let declared: BTreeSet<String> = Metrics::new()
        .expect("metrics")
        .descriptions()
        .iter()
        .map(|d| d.name.clone())
        .collect();
    for rule in rules {
        let name = rule["alert"].as_str().expect("a name");
        for said in [
            &rule["annotations"]["summary"],
            &rule["annotations"]["action"],
            &rule["labels"]["severity"],
        ] {
            assert!(
                said.as_str().is_some_and(|t| !t.is_empty()),
                "{name} says what to do"
            );
        }
        let cases = tests
            .iter()
            .map(|t| &t["alert_rule_test"][0])
            .filter(|t| t["alertname"] == name);
        let raised: Vec<bool> = cases
            .map(|t| t["exp_alerts"].as_array().is_some_and(|a| !a.is_empty()))
            .collect();
        assert_eq!(
            raised,
            [true, false],
            "{name}: one that raises it, one that does not"
        );
        let expression = rule["expr"].as_str().expect("an expression");
        let words = expression.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
        for metric in words.filter(|w| w.starts_with("doorward_")) {
            assert!(declared.contains(metric), "{name}: there is no metric {metric}");
        }
    }
}

/// A real Prometheus on a free loopback port; ended with the test.
struct Prometheus {
    child: Child,
    address: SocketAddr,
}

impl Prometheus {
    fn start(folder: &Path, config: &str) -> Self {
        let file = folder.join("prometheus.yml");
        std::fs::write(&file, config).expect("written");
        std::fs::copy(path(ALERTS), folder.join("alerts.yml")).expect("copied");
        let log = folder.join("log");
        let child = Command::new("prometheus")
            .arg(format!("--config.file={}", file.display()))
            .arg(format!("--storage.tsdb.path={}", folder.join("data").display()))
            .arg("--web.listen-address=127.0.0.1:0")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(File::create(&log).expect("a file"))
            .spawn()
            .expect("prometheus is installed (scripts/setup.sh test)");
        let mut this = Self {
            child,
            address: ([127, 0, 0, 1], 1).into(),
        };
        let read = || std::fs::read_to_string(&log).unwrap_or_default();
        let listening = || {
            let log = read();
            let line = log.lines().find(|l| l.contains("Listening on"))?;
            line.split("address=").nth(1)?.split(' ').next()?.parse().ok()
        };
        until("Prometheus listens", || listening().is_some());
        this.address = listening().expect("just seen");
        until("Prometheus is ready", || {
            http::get(this.address, "/-/ready", &[]).status == 200
        });
        this
    }

    fn api(&self, target: &str) -> Value {
        http::get(self.address, &format!("/api/v1/{target}"), &[]).json()["data"].clone()
    }
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn a_real_prometheus_scrapes_the_door_as_the_shipped_file_says() {
    let upstream = Upstream::start(Reply::Ok("hello"));
    let door = Doorward::start(&format!(
        "upstreams: {{ api: {{ url: \"http://{}\" }} }}\nroutes: [{{ name: all, path: /, upstream: api }}]\n",
        upstream.address
    ));
    assert_eq!(door.get("/", &[]).status, 401);
    let shipped = read(CONFIG);
    assert!(shipped.contains("127.0.0.1:9902") && shipped.contains("interval: 15s"));
    let config = shipped
        .replace("127.0.0.1:9902", &door.status.to_string())
        .replace("interval: 15s", "interval: 200ms");
    let folder = TempDir::new().expect("a folder");
    let prometheus = Prometheus::start(folder.path(), &config);

    until("the target is up", || {
        let targets = prometheus.api("targets");
        targets["activeTargets"][0]["health"] == "up"
    });
    let refused = "query?query=doorward_rejections_total%7Breason%3D%22credential_missing%22%7D";
    until("the refusal is counted", || {
        let found = prometheus.api(refused);
        found["result"][0]["metric"]["job"] == "doorward" && found["result"][0]["value"][1] == "1"
    });
    let rules = prometheus.api("rules");
    let loaded = rules["groups"][0]["rules"].as_array().map_or(0, Vec::len);
    assert!(loaded > 10, "the alerts are loaded: {rules}");
    until("every alert was evaluated without a fault", || {
        let rules = prometheus.api("rules");
        let rules = rules["groups"][0]["rules"]
            .as_array()
            .cloned()
            .unwrap_or_default();
        !rules.is_empty() && rules.iter().all(|r| r["health"] == "ok")
    });
}
