//! What clients send cannot forge a line, and a token in a path does not get into one.

use proptest::prelude::*;

use super::*;
use crate::edge::proxy::access::Policy;
use crate::edge::proxy::access::policy::Wanted;

fn line() -> Line<'static> {
    Line {
        at: UnixMillis(1_750_000_000_123),
        request_id: Some("r1"),
        trace_id: None,
        client: Some(ClientIp::new([192, 0, 2, 7].into())),
        listener: "public",
        protocol: Some("HTTP/1.1"),
        scheme: "http",
        method: Some("GET"),
        path: Some("/a"),
        route: Some("all"),
        outcome: Some(RequestOutcome::Forwarded),
        status: Some(200),
        reason: None,
        kind: Some("api_token"),
        principal: Some("ada"),
        upstream: Some("api"),
        bytes_in: 0,
        bytes_out: 12,
        decision: Some(Duration::from_micros(15)),
        upstream_took: Some(Duration::from_micros(1_500)),
        duration: Duration::from_micros(2_345_678),
        ended: Ended::Whole,
    }
}

fn written(line: &Line<'_>, format: LogFormat, tokens_after: &[&str]) -> String {
    let after: Vec<String> = tokens_after.iter().map(|t| (*t).to_owned()).collect();
    let mut out = String::new();
    line.write(format, Fields::of(Field::ALL.iter().copied()), &after, &mut out);
    out
}

fn with_path(path: &str, format: LogFormat) -> String {
    let line = Line {
        path: Some(path),
        ..line()
    };
    written(&line, format, &[])
}

#[test]
fn a_line_says_what_is_known_in_one_order() {
    assert_eq!(
        written(&line(), LogFormat::Json, &[]),
        r#"{"at":"2025-06-15T15:06:40.123Z","log":"access","request_id":"r1","client":"192.0.2.7","listener":"public","protocol":"HTTP/1.1","scheme":"http","method":"GET","path":"/a","route":"all","outcome":"forwarded","status":200,"kind":"api_token","principal":"ada","upstream":"api","bytes_in":0,"bytes_out":12,"decision_ms":0.015,"upstream_ms":1.500,"duration_ms":2345.678,"ended":"whole"}"#
    );
    assert_eq!(
        written(&line(), LogFormat::Text, &[]),
        "2025-06-15T15:06:40.123Z access: request_id=r1 client=192.0.2.7 listener=public protocol=HTTP/1.1 scheme=http method=GET \
         path=/a route=all outcome=forwarded status=200 kind=api_token principal=ada upstream=api bytes_in=0 bytes_out=12 \
         decision_ms=0.015 upstream_ms=1.500 duration_ms=2345.678 ended=whole"
    );
    let mut out = String::new();
    line().write(LogFormat::Json, Fields::of([Field::Status]), &[], &mut out);
    assert_eq!(
        out,
        r#"{"at":"2025-06-15T15:06:40.123Z","log":"access","status":200}"#
    );
    assert!(
        !Fields::default().has(Field::Principal),
        "who it was is nobody's business by default"
    );
}

#[test]
fn nothing_in_a_path_can_forge_a_line_or_speak_to_a_terminal() {
    // The path, how it stands in either form, and the sentence to it.
    #[rustfmt::skip]
    let rows: &[(&str, &str, &str)] = &[
        ("/a b", "\"/a b\"", "a space begins no field"),
        ("/a\"b", "\"/a\\\"b\"", "a quotation mark ends no string"),
        ("/a\\b", "\"/a\\\\b\"", "a backslash escapes nothing"),
        ("/a\nb", "\"/a\\u000ab\"", "a line feed begins no line"),
        ("/a\r\nb", "\"/a\\u000d\\u000ab\"", "nor do two of them"),
        ("/a\x1b[2Jb", "\"/a\\u001b[2Jb\"", "a terminal is not cleared"),
        ("/a\u{9b}2Jb", "\"/a\\u009b2Jb\"", "nor by one byte"),
        ("/a\x7fb\0", "\"/a\\u007fb\\u0000\"", "delete and null"),
        ("/a\u{202e}b", "\"/a\\u202eb\"", "writing keeps its direction"),
        ("/a\u{2028}b", "\"/a\\u2028b\"", "a line separator separates no lines"),
        ("/\u{1f600}", "\"/\\ud83d\\ude00\"", "beyond the first plane"),
        ("/a=b status=500", "\"/a=b status=500\"", "a field of its own"),
    ];
    for (path, expected, why) in rows {
        for format in [LogFormat::Json, LogFormat::Text] {
            let text = with_path(path, format);
            assert!(text.contains(expected), "{why}: {text}");
            assert!(text.bytes().all(|b| (b' '..=b'~').contains(&b)), "{why}: {text}");
        }
        let json: serde_json::Value = serde_json::from_str(&with_path(path, LogFormat::Json)).expect(why);
        assert_eq!(json["path"], *path, "{why}");
    }
}

#[test]
fn no_value_is_longer_than_its_bound() {
    let long = format!("/{}", "\u{1b}".repeat(100_000));
    for format in [LogFormat::Json, LogFormat::Text] {
        let text = with_path(&long, format);
        assert!(text.len() < 6 * MAX_VALUE_BYTES + 1000, "{}", text.len());
        assert!(text.contains("\\u2026\""), "what was cut says so");
    }
    let umlauts = "ä".repeat(MAX_VALUE_BYTES);
    assert!(
        with_path(&umlauts, LogFormat::Json).contains("\\u2026"),
        "cut between letters"
    );
}

proptest! {
    #[test]
    fn any_text_stays_in_its_place(path in any::<String>(), method in any::<String>()) {
        let line = Line { path: Some(&path), method: Some(&method), ..line() };
        for format in [LogFormat::Json, LogFormat::Text] {
            let text = written(&line, format, &["/t/"]);
            prop_assert!(text.bytes().all(|b| (b' '..=b'~').contains(&b)), "{}", text);
        }
        let json: serde_json::Value = serde_json::from_str(&written(&line, LogFormat::Json, &[])).expect("JSON");
        prop_assert_eq!(&json["status"], 200);
        if path.len() <= MAX_VALUE_BYTES {
            prop_assert_eq!(json["path"].as_str(), Some(path.as_str()));
        }
    }
}

#[test]
fn a_token_in_a_path_is_left_out_on_whatever_way_it_came() {
    const TOKEN: &str = "A1B2-SECRET";
    #[rustfmt::skip]
    let rows: &[(&str, &str, &str)] = &[
        ("/api/v1/A1B2-SECRET/telemetry", "/api/v1/-/telemetry", "as clients send it"),
        ("/api/v1/A1B2-SECRET", "/api/v1/-", "at the end"),
        ("/api/v1/A1B2-SECRET/", "/api/v1/-/", "with a slash"),
        ("/api/%761/A1B2-SECRET/x", "/api/v1/-/x", "a letter of the way written otherwise"),
        ("/API/V1/A1B2-SECRET/x", "/API/V1/-/x", "where case does not count"),
        ("/api/v1/%41%31B2-SECRET/x", "/api/v1/-/x", "letters of the token written otherwise"),
        ("/api/v1//A1B2-SECRET/x", "-", "an empty segment before it"),
        ("/api//v1/A1B2-SECRET", "-", "an empty segment on the way"),
        ("/api/v1;a/A1B2-SECRET", "-", "a parameter on the way"),
        ("/api%2Fv1/A1B2-SECRET", "-", "an encoded slash on the way"),
        ("/api/../api/v1/A1B2-SECRET", "-", "a way round"),
        ("/api/v1/./A1B2-SECRET", "-", "a dot"),
        ("/api/v1%2f%2fA1B2-SECRET", "-", "doubly slashed"),
        ("/api/%2576%31/A1B2-SECRET", "-", "encoded twice"),
        ("/api/v1/", "/api/v1/", "there is none"),
        ("/other/A1B2", "/other/A1B2", "another path"),
    ];
    for (path, expected, why) in rows {
        let line = Line {
            path: Some(path),
            ..line()
        };
        for format in [LogFormat::Json, LogFormat::Text] {
            let text = written(&line, format, &["/api/v1/"]);
            assert!(!text.contains(TOKEN) && !text.contains("SECRET"), "{why}: {text}");
        }
        let json: serde_json::Value =
            serde_json::from_str(&written(&line, LogFormat::Json, &["/x/", "/api/v1/"])).expect("JSON");
        assert_eq!(json["path"], *expected, "{why}");
    }
}

#[test]
fn filters_and_sampling_tell_apart_what_is_wanted() {
    let bad = Line {
        outcome: Some(RequestOutcome::Refused),
        status: Some(401),
        route: Some("-"),
        ..line()
    };
    let gone = Line {
        outcome: None,
        status: None,
        ended: Ended::ClientGone,
        ..line()
    };
    let broken = Line {
        ended: Ended::UpstreamBroke,
        ..line()
    };
    let fault = Line {
        status: Some(500),
        ..line()
    };
    let slow = Duration::from_secs(10);
    let policy = |adapt: fn(&mut Policy)| {
        let mut policy = Policy::default();
        adapt(&mut policy);
        policy
    };
    use Wanted::{Always, No, Sampled};
    #[rustfmt::skip]
    let rows: Vec<(Policy, [Wanted; 5], &str)> = vec![
        (policy(|_| {}), [Sampled, Always, Always, Always, Always], "nothing is filtered"),
        (policy(|p| p.statuses = vec![4, 5]), [No, Always, No, No, Always], "by status"),
        (policy(|p| p.routes = vec!["all".into()]), [Sampled, No, Always, Always, Always], "by route"),
        (policy(|p| p.outcomes = vec![RequestOutcome::Refused]), [No, Always, No, No, No], "by outcome"),
        (policy(|p| p.slower_than = Duration::from_secs(3)), [No, No, No, No, No], "by duration"),
        (policy(|p| p.slower_than = Duration::from_secs(2)), [Sampled, Always, Always, Always, Always], "slow enough"),
    ];
    for (policy, expected, why) in rows {
        let found = [line(), bad, gone, broken, fault].map(|l| policy.wants(&l));
        assert_eq!(found, expected, "{why}");
    }
    let late = Line {
        duration: slow,
        ..line()
    };
    assert_eq!(
        policy(|p| p.slower_than = Duration::from_secs(3)).wants(&late),
        Sampled
    );
}
