//! Promises of the log: allow-listed fields, our events only, one line per event, a level that changes.

use super::*;
use parking_lot::Mutex;
use serde_json::{Value, json};

#[derive(Default)]
struct Kept(Mutex<Vec<String>>);

impl LineSink for Kept {
    fn line(&self, line: &str) {
        self.0.lock().push(line.to_owned());
    }
}

fn logged(format: LogFormat, level: LogLevel, work: impl FnOnce(&LogControl)) -> Vec<String> {
    let kept = Arc::new(Kept::default());
    let (subscriber, control) = subscriber(format, level, kept.clone());
    tracing::subscriber::with_default(subscriber, || work(&control));
    kept.0.lock().clone()
}

fn parsed(lines: &[String]) -> Vec<Value> {
    lines
        .iter()
        .map(|l| serde_json::from_str(l).expect("JSON"))
        .collect()
}

#[test]
fn json_lines_hold_the_allowed_fields() {
    let lines = logged(LogFormat::Json, LogLevel::Info, |_| {
        tracing::warn!(route = "main", rows = 3_u64, error = %"broken", "it {}", "broke");
    });
    let mut line = parsed(&lines).remove(0);
    let at = line
        .as_object_mut()
        .expect("an object")
        .remove("at")
        .expect("a time");
    assert!(at.as_str().is_some_and(|at| at.ends_with('Z')), "{at}");
    assert_eq!(
        line,
        json!({
            "level": "warn", "room": "doorward::telemetry::logging::tests", "message": "it broke",
            "route": "main", "rows": 3, "error": "broken",
        })
    );
}

#[test]
fn a_field_that_is_not_allowed_is_withheld_in_both_formats() {
    for format in [LogFormat::Json, LogFormat::Text] {
        let lines = logged(format, LogLevel::Info, |_| {
            tracing::info!(authorization = "Bearer marked-secret", "one");
            tracing::info!(password = ?"marked-secret", "two");
            tracing::info!(pin = 4711, "three");
        });
        let all = lines.join("\n");
        assert!(!all.contains("marked-secret") && !all.contains("4711"), "{all}");
        assert_eq!(all.matches("(withheld)").count(), 3, "{all}");
    }
}

#[test]
fn events_of_dependencies_are_not_written() {
    let lines = logged(LogFormat::Json, LogLevel::Trace, |_| {
        tracing::error!(target: "hyper::proto", "saw a header");
        tracing::error!(target: "pingora_core::listeners", "handshake failed");
        tracing::trace!(target: "doorward::gate", "ours");
    });
    let rooms: Vec<Value> = parsed(&lines).iter().map(|l| l["room"].clone()).collect();
    assert!(rooms.contains(&json!("doorward::gate")), "{rooms:?}");
    assert!(!rooms.contains(&json!("hyper::proto")) && !rooms.contains(&json!("pingora_core::listeners")));
}

#[test]
fn the_level_changes_at_run_time() {
    let lines = logged(LogFormat::Json, LogLevel::Warn, |control| {
        tracing::info!("unseen");
        control.set(LogLevel::Debug).expect("changed");
        tracing::debug!("seen");
        control.set(LogLevel::Error).expect("changed");
        tracing::warn!("unseen again");
    });
    let messages: Vec<Value> = parsed(&lines).iter().map(|l| l["message"].clone()).collect();
    assert_eq!(messages, [json!("seen")]);
}

#[test]
fn a_value_cannot_forge_a_line_or_leave_its_field() {
    let lines = logged(LogFormat::Text, LogLevel::Info, |_| {
        tracing::info!(route = "a\n2026 ERROR forged", "first\nsecond\u{1b}[31m");
        tracing::info!(route = "x upstream=forged", "third");
        tracing::info!(route = "", "fourth");
    });
    assert_eq!(lines.len(), 3);
    assert!(
        lines.iter().all(|l| !l.chars().any(char::is_control)),
        "{lines:?}"
    );
    assert!(
        lines[1].ends_with(r#"third route="x upstream=forged""#),
        "{}",
        lines[1]
    );
    assert!(lines[2].ends_with(r#"fourth route="""#), "{}", lines[2]);
}

#[test]
fn a_field_cannot_stand_in_for_the_line_s_own_keys() {
    let lines = logged(LogFormat::Json, LogLevel::Info, |_| {
        tracing::info!(level = "forged", "real");
    });
    assert_eq!(parsed(&lines)[0]["level"], "info");
}

#[test]
fn long_values_are_cut() {
    let lines = logged(LogFormat::Json, LogLevel::Info, |_| {
        tracing::info!(error = "é".repeat(5000), "{}", "m".repeat(100_000));
    });
    assert!(lines[0].len() < 2 * MAX_VALUE_BYTES + 300, "{}", lines[0].len());
}

#[test]
fn the_allow_list_is_sorted_and_level_names_parse() {
    assert!(ALLOWED_FIELDS.is_sorted());
    for level in LogLevel::ALL {
        assert_eq!(LogLevel::parse(level.as_str()), Some(level));
    }
    assert_eq!(LogLevel::parse("verbose"), None);
}

#[test]
fn a_panic_is_counted_and_its_place_logged_but_not_its_message() {
    let metrics = Arc::new(Metrics::new().expect("metrics"));
    let before = std::panic::take_hook();
    hook_panics(metrics.clone());
    let lines = logged(LogFormat::Json, LogLevel::Info, |_| {
        let panicked = std::panic::catch_unwind(|| panic!("it was marked-secret"));
        assert!(panicked.is_err());
    });
    std::panic::set_hook(before);
    // At least: another test of this process may panic meanwhile.
    assert!(metrics.panics.get() >= 1);
    assert_eq!(lines.len(), 1);
    assert!(!lines[0].contains("marked-secret"), "{}", lines[0]);
    let place = parsed(&lines)[0]["location"].clone();
    assert!(
        place.as_str().is_some_and(|l| l.contains("logging/tests.rs:")),
        "{place}"
    );
}
