//! Faults: a store that another process locks, a disk that is full, power cuts under load, an upstream that
//! is down, slow or gone in the middle.

use std::net::{TcpListener, TcpStream};
use std::process::Command;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::json;
use tempfile::TempDir;

use crate::support::manage::{call, issued};
use crate::support::process::write_config;
use crate::support::{Doorward, Issued, Reply, Upstream};

fn config(upstream: &str) -> String {
    format!(
        "upstreams: {{ api: {{ url: \"http://{upstream}\", timeouts: {{ connect: 2s, response: 300ms }} }} }}\n\
         throttle: {{ failures_per_address: 1000000, failures_per_id: 1000000, lookups_per_address: 1000000 }}\n\
         credentials: {{ api_token: {{ digest: keyed, bcrypt_cost: 4 }} }}\n\
         routes: [{{ path: /open/, access: public, upstream: api }}, {{ path: /, upstream: api }}]\n"
    )
}

fn api_token(door: &Doorward) -> Issued {
    door.issue(json!({ "kind": "api_token", "for": "backup" }))
}

fn status_of(door: &Doorward, token: &Issued) -> u16 {
    door.get("/data", &[&format!("X-API-Key: {}", token.secret)])
        .status
}

#[test]
fn an_upstream_that_is_down_is_told_apart_from_one_that_is_slow() {
    // A port that nobody listens on, until somebody does.
    let parked = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = parked.local_addr().expect("an address");
    drop(parked);
    let door = Doorward::start(&config(&address.to_string()));
    let mut client = door.connect();
    for _ in 0..3 {
        let answer = client.get("/open/1", &[]);
        assert_eq!(
            (answer.status, answer.json()["reason"].as_str()),
            (502, Some("upstream_unreachable"))
        );
    }
    let failures = door.metric("doorward_upstream_failures_total");
    assert!(
        failures
            .iter()
            .any(|l| l.contains("reason=\"unreachable\"") && l.ends_with(" 3")),
        "{failures:?}"
    );

    let slow = Upstream::start(Reply::Silence);
    let door = Doorward::start(&config(&slow.address.to_string()));
    let answer = door.get("/open/1", &[]);
    assert_eq!(
        (answer.status, answer.json()["reason"].as_str()),
        (504, Some("upstream_timeout"))
    );
    assert_eq!(
        slow.seen().len(),
        1,
        "what may have been acted upon is not repeated"
    );

    let gone = Upstream::start(Reply::RawThenClose(b"HTTP/1.1 200 OK\r\nContent-Le".to_vec()));
    let door = Doorward::start(&config(&gone.address.to_string()));
    let answer = door.get("/open/1", &[]);
    assert_eq!(
        (answer.status, answer.json()["reason"].as_str()),
        (502, Some("upstream_invalid_answer"))
    );
    assert_eq!(gone.seen().len(), 1, "nor this");
}

/// A listener whose queue is full, so that whoever connects hears nothing; and those who fill it.
fn deaf() -> (TcpListener, Vec<TcpStream>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    rustix::net::listen(&listener, 0).expect("a short queue");
    let address = listener.local_addr().expect("an address");
    let mut queued = Vec::new();
    while let Ok(stream) = TcpStream::connect_timeout(&address, Duration::from_millis(300)) {
        queued.push(stream);
        assert!(queued.len() < 1000, "its queue does not fill");
    }
    (listener, queued)
}

#[test]
fn a_connect_that_takes_too_long_is_told_apart_from_one_refused_and_from_a_late_answer() {
    let (deaf, _queued) = deaf();
    let silent = Upstream::start(Reply::Silence);
    let parked = TcpListener::bind("127.0.0.1:0").expect("a port");
    let closed = parked.local_addr().expect("an address");
    drop(parked);
    let bounds = "timeouts: { connect: 200ms, response: 200ms }";
    let door = Doorward::start(&format!(
        "upstreams:\n\
         \x20 deaf: {{ url: \"http://{}\", {bounds} }}\n\
         \x20 silent: {{ url: \"http://{}\", {bounds} }}\n\
         \x20 closed: {{ url: \"http://{closed}\", {bounds} }}\n\
         routes:\n\
         \x20 - {{ path: /deaf, access: public, upstream: deaf }}\n\
         \x20 - {{ path: /silent, access: public, upstream: silent }}\n\
         \x20 - {{ path: /closed, access: public, upstream: closed }}\n",
        deaf.local_addr().expect("an address"),
        silent.address,
    ));
    for (name, status, reason, failure) in [
        ("deaf", 504, "upstream_timeout", "connect_timeout"),
        ("silent", 504, "upstream_timeout", "response_timeout"),
        ("closed", 502, "upstream_unreachable", "unreachable"),
    ] {
        let answer = door.get(&format!("/{name}"), &[]);
        assert_eq!(
            (answer.status, answer.json()["reason"].as_str()),
            (status, Some(reason)),
            "{name}"
        );
        let counted = door.metric("doorward_upstream_failures_total");
        let mine = counted
            .iter()
            .filter(|l| l.contains(&format!("upstream=\"{name}\"")));
        let not_zero: Vec<_> = mine.filter(|l| !l.ends_with(" 0")).collect();
        assert_eq!(not_zero.len(), 1, "{name}: {counted:?}");
        assert!(
            not_zero[0].contains(&format!("reason=\"{failure}\"")) && not_zero[0].ends_with(" 1"),
            "{name}: {counted:?}"
        );
    }
    assert_eq!(
        silent.seen().len(),
        1,
        "what may have been acted upon is not repeated"
    );
}

#[test]
fn an_upstream_that_comes_back_is_found_again() {
    let upstream = Upstream::with(|seen| {
        if seen.target() == "/open/end" {
            Reply::RawThenClose(Vec::new())
        } else {
            Reply::Ok("hello")
        }
    });
    let door = Doorward::start(&config(&upstream.address.to_string()));
    for _ in 0..3 {
        assert_eq!(door.get("/open/1", &[]).status, 200);
        assert_eq!(door.get("/open/end", &[]).status, 502);
    }
    assert_eq!(door.get("/open/1", &[]).status, 200);
}

#[test]
fn a_store_that_another_process_locks_stops_changes_and_nothing_else() {
    use sqlx::Connection;
    let upstream = Upstream::start(Reply::Ok("hello"));
    let door = Doorward::start(&config(&upstream.address.to_string()));
    let (known, fresh) = (api_token(&door), api_token(&door));
    assert_eq!(status_of(&door, &known), 200);
    let url = format!("sqlite:{}", door.folder().join("data/doorward.db").display());
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime");
    let mut thief = runtime.block_on(async {
        let mut connection = sqlx::SqliteConnection::connect(&url).await.expect("opened");
        sqlx::raw_sql("BEGIN IMMEDIATE")
            .execute(&mut connection)
            .await
            .expect("locked");
        connection
    });
    let waiting = {
        let socket = door.folder().join("data/admin.sock");
        let wanted = json!({ "kind": "api_token", "for": "backup" });
        std::thread::spawn(move || call(&socket, "POST", "/api/v1/tokens", Some(&wanted)).expect("an answer"))
    };
    assert_eq!(status_of(&door, &known), 200, "remembered");
    assert_eq!(status_of(&door, &fresh), 200, "looked up");
    assert_eq!(
        door.get("/data", &["Device-Token: unknown"]).status,
        401,
        "unknown"
    );
    let (status, answer) = waiting.join().expect("no panic");
    assert_eq!(status, 503, "a bounded wait: {answer}");
    assert!(
        answer["message"].as_str().is_some_and(|m| m.contains("lock")),
        "{answer}"
    );
    runtime.block_on(async {
        sqlx::raw_sql("ROLLBACK")
            .execute(&mut thief)
            .await
            .expect("unlocked")
    });
    assert_eq!(
        status_of(&door, &api_token(&door)),
        200,
        "works again without a restart"
    );
    assert_eq!(
        door.manage("GET", "/api/v1/audit/verify", None)["first_bad"],
        json!(null)
    );
}

/// Sets how long a file the process may write; `None` for no bound.
fn limit_files(door: &Doorward, bytes: Option<u64>) -> bool {
    let limit = bytes.map_or("unlimited".to_owned(), |b| b.to_string());
    let done = Command::new("prlimit")
        .args(["--pid", &door.pid().to_string(), &format!("--fsize={limit}:")])
        .status();
    done.is_ok_and(|status| status.success())
}

#[test]
fn a_full_disk_stops_changes_with_a_clear_text_and_loses_nothing() {
    let upstream = Upstream::start(Reply::Ok("hello"));
    let folder = Arc::new(TempDir::new().expect("a folder"));
    let path = write_config(
        folder.path(),
        "{ name: public, address: 127.0.0.1:0 }",
        &config(&upstream.address.to_string()),
    );
    let mut command = Command::new("sh");
    // A file may not grow beyond its limit: the write fails, as on a full disk. The signal is switched off.
    command
        .args([
            "-c",
            "trap '' XFSZ; exec \"$@\"",
            "sh",
            env!("CARGO_BIN_EXE_doorward"),
            "serve",
            "--config",
        ])
        .arg(path);
    let door = Doorward::spawn(Arc::clone(&folder), command);
    let (known, fresh) = (api_token(&door), api_token(&door));
    assert_eq!(status_of(&door, &known), 200);
    // Full: not one more page fits into the journal.
    let journal = std::fs::metadata(folder.path().join("data/doorward.db-wal"))
        .expect("a journal")
        .len();
    if !limit_files(&door, Some(journal)) {
        eprintln!("skipped: prlimit cannot set a limit here");
        return;
    }
    for _ in 0..3 {
        let wanted = json!({ "kind": "api_token", "for": "backup" });
        let (status, answer) = door.call("POST", "/api/v1/tokens", Some(&wanted));
        assert!(matches!(status, 507 | 503), "{status}: {answer}");
        assert!(
            answer["message"].as_str().is_some_and(|m| !m.is_empty()),
            "{answer}"
        );
        assert!(answer.get("secret").is_none(), "{answer}");
    }
    let revocation = json!({ "credential": known.id });
    let (status, answer) = door.call("POST", "/api/v1/revocations", Some(&revocation));
    assert!(matches!(status, 507 | 503), "{status}: {answer}");
    assert_eq!(
        status_of(&door, &known),
        200,
        "not acknowledged, not in force; remembered"
    );
    assert_eq!(status_of(&door, &fresh), 200, "looked up");
    assert_eq!(
        door.get("/data", &["Device-Token: unknown"]).status,
        401,
        "unknown"
    );
    assert!(limit_files(&door, None));
    let later = api_token(&door);
    door.revoke(revocation);
    assert_eq!(
        [status_of(&door, &later), status_of(&door, &known)],
        [200, 401],
        "works again without a restart"
    );
    assert_eq!(
        door.manage("GET", "/api/v1/audit/verify", None)["first_bad"],
        json!(null)
    );
    let door = Doorward::start_in(door.kill(), &config(&upstream.address.to_string()), &[]);
    let after = [
        status_of(&door, &fresh),
        status_of(&door, &later),
        status_of(&door, &known),
    ];
    assert_eq!(after, [200, 200, 401], "and all of it is there after a power cut");
}

/// What was acknowledged before the power cut.
#[derive(Default)]
struct Acknowledged {
    good: Vec<Issued>,
    revoked: Vec<Issued>,
}

#[test]
fn power_cuts_under_load_lose_nothing_that_was_acknowledged() {
    let upstream = Upstream::start(Reply::Ok("hello"));
    let config = config(&upstream.address.to_string());
    let mut door = Doorward::start(&config);
    let mut all = Acknowledged::default();
    for round in 0..10 {
        let now = Arc::new(Mutex::new(Acknowledged::default()));
        let writers: Vec<_> = (0..3)
            .map(|_| {
                let (socket, now) = (door.folder().join("data/admin.sock"), Arc::clone(&now));
                std::thread::spawn(move || write_until_it_ends(&socket, &now))
            })
            .collect();
        let enough = 3 + round % 4;
        crate::support::wait::until("some are acknowledged", || {
            now.lock().expect("not poisoned").revoked.len() >= enough
        });
        door = Doorward::start_in(door.kill(), &config, &[]);
        for writer in writers {
            writer.join().expect("no panic");
        }
        let now = std::mem::take(&mut *now.lock().expect("not poisoned"));
        for token in &now.good {
            assert_eq!(
                status_of(&door, token),
                200,
                "round {round}: an acknowledged token"
            );
        }
        for token in &now.revoked {
            assert_eq!(
                status_of(&door, token),
                401,
                "round {round}: an acknowledged revocation"
            );
        }
        all.good.extend(now.good);
        all.revoked.extend(now.revoked);
        assert_eq!(
            door.manage("GET", "/api/v1/audit/verify", None)["first_bad"],
            json!(null),
            "round {round}"
        );
    }
    let rows = audit_targets(&door);
    for token in all.good.iter().chain(&all.revoked) {
        assert!(rows.contains(&token.id), "the audit row of {}", token.id);
    }
}

/// Makes tokens and revokes every other one, until the server is gone. One whose revocation was not
/// acknowledged may be either, so it is not counted.
fn write_until_it_ends(socket: &std::path::Path, now: &Mutex<Acknowledged>) {
    for turn in 0_u32.. {
        let wanted = json!({ "kind": "api_token", "for": "backup" });
        let Ok((201, made)) = call(socket, "POST", "/api/v1/tokens", Some(&wanted)) else {
            return;
        };
        let made = issued(&made);
        if turn % 2 == 0 {
            now.lock().expect("not poisoned").good.push(made);
            continue;
        }
        let what = json!({ "credential": made.id });
        let Ok((201, _)) = call(socket, "POST", "/api/v1/revocations", Some(&what)) else {
            return;
        };
        now.lock().expect("not poisoned").revoked.push(made);
    }
}

fn audit_targets(door: &Doorward) -> std::collections::HashSet<String> {
    let mut targets = std::collections::HashSet::new();
    let mut path = "/api/v1/audit?limit=1000".to_owned();
    loop {
        let page = door.manage("GET", &path, None);
        let rows = page["items"].as_array().expect("rows");
        targets.extend(
            rows.iter()
                .filter_map(|row| row["target"].as_str().map(str::to_owned)),
        );
        let Some(next) = page["next"].as_str() else {
            return targets;
        };
        path = format!("/api/v1/audit?limit=1000&before={next}");
    }
}
