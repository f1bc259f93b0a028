//! Whether settings fit where the process runs: grace periods, and doors of a pod.

use std::time::Duration;

use super::route;
use crate::config::{Environment, load_text};

/// The warnings about these keys, and the time that running requests get.
fn judged(text: &str, environment: &[(&str, &str)]) -> (Vec<String>, Duration) {
    let environment = Environment::of(environment.iter().copied());
    let text = format!("{}{text}\n", route("path: /, upstream: api"));
    let loaded = load_text("doorward.yaml", &text, &environment).unwrap_or_else(|p| panic!("{text}\n{p}"));
    let ours = |key: &str| key.starts_with("drain") || key.starts_with("status");
    let warned = loaded.settings.warnings.iter();
    let warned = warned
        .filter(|w| ours(&w.key) || w.text.contains("every listener is on loopback"))
        .map(|w| format!("{}: {}", w.key, w.text))
        .collect();
    (warned, loaded.settings.drain.timeout)
}

const POD: (&str, &str) = ("KUBERNETES_SERVICE_HOST", "10.96.0.1");
const OPEN: (&str, &str) = ("DOORWARD_STATUS_ADDRESS", "0.0.0.0:9902");

#[test]
fn stopping_fits_the_grace_period_or_that_is_said_and_the_flush_has_its_time() {
    // Keys, whether in a pod, what is warned about, seconds for running requests, and the sentence to it.
    #[rustfmt::skip]
    let rows: &[(&str, bool, Option<&str>, u64, &str)] = &[
        ("", false, None, 20, "nobody said how long there is"),
        ("", true, Some("killed after 30s unless"), 20, "5s and 20s and 10s are more than Kubernetes gives"),
        ("drain: { timeout: 15s }", true, None, 15, "exactly what Kubernetes gives"),
        ("drain: { grace_period: 35s }", true, None, 20, "exactly what was asked for"),
        ("drain: { grace_period: 35s }", false, None, 20, "the same under systemd"),
        ("drain: { grace_period: 34s }", false, Some("requests get 19s instead of 20s"), 19, "a second too little"),
        ("drain: { grace_period: 12s }", false, Some("requests get 0s instead of 20s"), 0, "only the flush fits"),
        ("drain: { delay: 0s, timeout: 24h, grace_period: 1m }", true, Some("requests get 50s instead of 24h"), 50, "long streams"),
    ];
    for (keys, pod, expected, seconds, why) in rows {
        let environment: &[_] = if *pod { &[POD, OPEN] } else { &[OPEN] };
        let (warned, timeout) = judged(keys, environment);
        match expected {
            None => assert!(warned.is_empty(), "{keys} {why}: {warned:?}"),
            Some(text) => assert!(
                warned.len() == 1 && warned[0].starts_with("drain.grace_period") && warned[0].contains(text),
                "{keys} {why}: {warned:?}"
            ),
        }
        assert_eq!(timeout, Duration::from_secs(*seconds), "{keys} {why}");
    }
}

#[test]
fn doors_of_a_pod_that_nobody_can_reach_are_told_of() {
    const FITS: &str = "drain: { timeout: 1s }";
    let (warned, _) = judged(FITS, &[POD]);
    assert!(
        warned.len() == 1 && warned[0].starts_with("status.address") && warned[0].contains("0.0.0.0:9902"),
        "{warned:?}"
    );
    assert_eq!(judged(FITS, &[]).0, Vec::<String>::new(), "no pod");
    assert_eq!(
        judged(FITS, &[POD, OPEN]).0,
        Vec::<String>::new(),
        "everything open"
    );
    let local = format!("{FITS}\nlisteners: [{{ name: a, address: '127.0.0.1:80' }}]");
    let (warned, _) = judged(&local, &[POD, OPEN]);
    assert!(
        warned.len() == 1 && warned[0].starts_with("listeners"),
        "{warned:?}"
    );
    assert_eq!(judged(&local, &[OPEN]).0, Vec::<String>::new(), "no pod");
    let socket = format!("{FITS}\nlisteners: [{{ name: a, address: 'unix:/shared/doorward.sock' }}]");
    assert_eq!(
        judged(&socket, &[POD, OPEN]).0,
        Vec::<String>::new(),
        "a socket is shared on a volume"
    );
}
