//! The metrics as Prometheus' own tool and the documentation see them.

use std::collections::BTreeSet;
use std::io::Write;
use std::process::{Command, Stdio};

use doorward::telemetry::Metrics;

/// Metrics with a handle of each sort in existence, so that every family shows.
fn populated() -> Metrics {
    let metrics = Metrics::new().expect("metrics");
    metrics.for_route("main");
    metrics.for_upstream("api");
    metrics.for_listener("public");
    metrics.for_issuer("corp");
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
