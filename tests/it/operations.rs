//! The process in operation: probes, metrics, logs, audit, usage, how it stops, how it starts on nothing,
//! and what it refuses to start on.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex};

use serde_json::json;
use tempfile::TempDir;

use crate::support::http::get;
use crate::support::process::write_config;
use crate::support::wait::until;
use crate::support::{Client, Doorward, Reply, Upstream};

fn config(upstream: &Upstream) -> String {
    format!(
        "upstreams: {{ api: {{ url: \"http://{}\" }} }}\n\
         credentials: {{ api_token: {{ digest: keyed, bcrypt_cost: 4 }} }}\n\
         routes: [{{ name: open, path: /open/, access: public, upstream: api }}, {{ name: all, path: /, upstream: api }}]\n",
        upstream.address
    )
}

fn start() -> (Doorward, Upstream) {
    let upstream = Upstream::start(Reply::Ok("hello"));
    let door = Doorward::start(&config(&upstream));
    (door, upstream)
}

/// An upstream that holds every request until it is let go.
#[derive(Clone, Default)]
struct Gate(Arc<(Mutex<bool>, Condvar)>);

impl Gate {
    fn upstream(&self) -> Upstream {
        let gate = self.clone();
        Upstream::with(move |_| {
            let open = gate.0.0.lock().expect("not poisoned");
            drop(gate.0.1.wait_while(open, |open| !*open).expect("not poisoned"));
            Reply::Ok("late")
        })
    }

    fn open(&self) {
        *self.0.0.lock().expect("not poisoned") = true;
        self.0.1.notify_all();
    }
}

#[test]
fn a_running_request_is_finished_while_probes_tell_that_the_end_has_begun() {
    let gate = Gate::default();
    let upstream = gate.upstream();
    let door = Doorward::start(&config(&upstream));
    for path in ["/livez", "/readyz", "/startupz", "/readyz?verbose"] {
        assert_eq!(get(door.status, path, &[]).status, 200, "{path}");
    }
    let mut running = door.connect();
    running.write("GET /open/slow HTTP/1.1\r\nHost: a\r\n\r\n");
    until("it reached the upstream", || upstream.connections() == 1);
    door.signal("TERM");
    until("not ready any more", || {
        get(door.status, "/readyz", &[]).status == 503
    });
    assert!(
        get(door.status, "/readyz?verbose", &[])
            .text()
            .contains("waiting for"),
        "and says why"
    );
    assert_eq!(get(door.status, "/livez", &[]).status, 200, "alive to the last");
    gate.open();
    let answer = running.answer();
    assert_eq!((answer.status, answer.text().as_str()), (200, "late"));
    assert_eq!(answer.header("connection"), Some("close"));
    assert_eq!(door.wait(), Some(0), "and then it ends well");
}

#[test]
fn a_second_order_to_stop_does_not_wait_for_what_is_running() {
    let gate = Gate::default();
    let upstream = gate.upstream();
    let door = Doorward::start(&config(&upstream));
    let mut running = door.connect();
    running.write("GET /open/slow HTTP/1.1\r\nHost: a\r\n\r\n");
    until("it reached the upstream", || upstream.connections() == 1);
    door.signal("TERM");
    until("not ready any more", || {
        get(door.status, "/readyz", &[]).status == 503
    });
    door.signal("TERM");
    assert_eq!(door.wait(), Some(0));
}

#[test]
fn a_client_that_honors_readiness_loses_no_request_when_it_stops_under_load() {
    let upstream = Upstream::start(Reply::Ok("hello"));
    let folder = Arc::new(TempDir::new().expect("a folder"));
    let door = Doorward::start_in(folder, &config(&upstream), &[("DOORWARD_DRAIN__DELAY", "700ms")]);
    let token = format!(
        "X-API-Key: {}",
        door.issue(json!({ "kind": "api_token", "for": "load" })).secret
    );
    let (stopping, served) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
    let threads: Vec<_> = (0..4)
        .map(|_| {
            let (proxy, token, served, stopping) = (
                door.proxy,
                token.clone(),
                Arc::clone(&served),
                Arc::clone(&stopping),
            );
            std::thread::spawn(move || {
                // What a load balancer does: it knows of readiness, and keeps to `Connection: close`.
                while !stopping.load(Ordering::SeqCst) {
                    let mut client = Client::connect(proxy);
                    loop {
                        let answer = client.get("/data", &[&token]);
                        assert_eq!(answer.status, 200, "{}", answer.text());
                        served.fetch_add(1, Ordering::SeqCst);
                        if stopping.load(Ordering::SeqCst) || answer.header("connection") == Some("close") {
                            break;
                        }
                    }
                }
            })
        })
        .collect();
    until("they are being served", || served.load(Ordering::SeqCst) > 50);
    door.signal("TERM");
    until("not ready any more", || {
        get(door.status, "/readyz", &[]).status == 503
    });
    let before = served.load(Ordering::SeqCst);
    until("and served all the same, until everybody has seen it", || {
        served.load(Ordering::SeqCst) > before + 50
    });
    stopping.store(true, Ordering::SeqCst);
    for thread in threads {
        thread.join().expect("no request failed");
    }
    assert_eq!(door.wait(), Some(0));
}

#[test]
fn metrics_of_a_process_that_has_worked_please_promtool() {
    let (door, _upstream) = start();
    let token = door.issue(json!({ "kind": "api_token", "for": "x" })).secret;
    let mut client = door.connect();
    client.get("/data", &[&format!("X-API-Key: {token}")]);
    client.get("/data", &["X-API-Key: nonsense"]);
    client.get("/open/1", &[]);
    let text = get(door.status, "/metrics", &[]).text();
    for part in [
        "doorward_requests_total{kind=\"api_token\",outcome=\"forwarded\",route=\"all\"} 1",
        "doorward_requests_total{kind=\"none\",outcome=\"forwarded\",route=\"open\"} 1",
        "doorward_issued_total{kind=\"api_token\",outcome=\"issued\"}",
        "doorward_connections{listener=\"public\"} 1",
    ] {
        assert!(text.contains(part), "{part}:\n{text}");
    }
    let mut promtool = Command::new("promtool")
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("promtool is installed (`make test` installs it)");
    std::io::Write::write_all(&mut promtool.stdin.take().expect("a pipe"), text.as_bytes()).expect("written");
    let output = promtool.wait_with_output().expect("ended");
    let said = format!(
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    assert!(output.status.success() && said.is_empty(), "{said}");
}

#[test]
fn each_log_line_is_a_json_object_with_time_level_and_message() {
    let (door, _upstream) = start();
    door.get("/data", &["X-API-Key: nonsense"]);
    door.signal("TERM");
    door.wait_for_line(|line| line["message"] == "stopped");
    let (text, lines) = (door.log_text(), door.log_lines());
    assert_eq!(text.lines().count(), lines.len(), "only JSON:\n{text}");
    for line in &lines {
        for name in ["at", "level", "message", "room"] {
            assert!(line[name].is_string(), "{name}: {line}");
        }
    }
    let public = lines
        .iter()
        .any(|l| l["message"].as_str().is_some_and(|m| m.contains("public")) && l["route"] == "open");
    assert!(public, "public routes are told at the start:\n{text}");
}

#[test]
fn management_acts_and_refusals_are_in_the_audit_trail_and_its_chain_is_whole() {
    let (door, _upstream) = start();
    let token = door.issue(json!({ "kind": "api_token", "for": "backup" }));
    door.revoke(json!({ "credential": token.id }));
    door.get("/data", &[&format!("X-API-Key: {}", token.secret)]);
    door.get("/nothing", &["X-Nothing: 1"]);
    let rows = || door.manage("GET", "/api/v1/audit?limit=1000", None)["items"].clone();
    let find = |act: &str, target: Option<&str>| {
        let rows = rows();
        let rows = rows.as_array().expect("rows").clone();
        rows.into_iter()
            .find(|row| row["act"] == act && target.is_none_or(|t| row["target"] == t))
    };
    assert!(find("api_token.create", Some(&token.id)).is_some(), "{}", rows());
    let ended = find("credential.revoke", Some(&token.id)).expect("the revocation");
    assert!(ended["actor"].as_str().is_some_and(|a| !a.is_empty()), "{ended}");
    until("refusals are written", || find("request.refuse", None).is_some());
    let refusal = find("request.refuse", None).expect("a refusal");
    assert!(
        refusal.to_string().contains("127.0.0.1") && refusal.to_string().contains("credential_"),
        "{refusal}"
    );
    assert_eq!(door.cli(&["audit", "verify"])["first_bad"], json!(null));

    let folder = door.kill();
    let store = folder.path().join("data/doorward.db");
    sql(
        &store,
        "UPDATE audit SET actor = 'nobody' WHERE act = 'credential.revoke'",
    );
    let door = Doorward::start_in(folder, &config(&Upstream::start(Reply::Ok(""))), &[]);
    let verdict = door.manage("GET", "/api/v1/audit/verify", None);
    assert_eq!(verdict["first_bad"], ended["seq"], "a changed row is found");
}

#[test]
fn refusals_past_their_retention_are_removed_and_the_chain_is_still_whole() {
    let upstream = Upstream::start(Reply::Ok(""));
    let door = Doorward::start(&config(&upstream));
    let token = door.issue(json!({ "kind": "api_token", "for": "backup" }));
    fn told(door: &Doorward, act: &str) -> usize {
        let rows = door.manage("GET", "/api/v1/audit?limit=1000", None)["items"].clone();
        let rows = rows.as_array().expect("rows").clone();
        rows.iter().filter(|row| row["act"] == act).count()
    }
    for _ in 0..8 {
        door.get("/data", &["Device-Token: unknown"]);
    }
    until("refusals are written", || told(&door, "request.refuse") >= 8);
    door.revoke(json!({ "credential": token.id }));
    let made = told(&door, "api_token.create");
    let folder = door.kill();
    let kept = format!("{}audit: {{ refusal_max_rows: 3 }}\n", config(&upstream));
    let door = Doorward::start_in(folder, &kept, &[]);
    until("the oldest are removed", || told(&door, "request.refuse") == 3);
    assert_eq!(told(&door, "api_token.create"), made, "acts are kept");
    assert_eq!(door.cli(&["audit", "verify"])["first_bad"], json!(null));
}

/// Runs a statement on a store that nobody serves.
fn sql(store: &Path, statement: &'static str) {
    use sqlx::Connection;
    let url = format!("sqlite:{}", store.display());
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime");
    runtime.block_on(async {
        let mut connection = sqlx::SqliteConnection::connect(&url).await.expect("opened");
        sqlx::raw_sql(statement)
            .execute(&mut connection)
            .await
            .expect("done");
        connection.close().await.expect("closed");
    });
}

#[test]
fn what_was_used_before_the_end_is_counted_after_it() {
    let upstream = Upstream::start(Reply::Ok("hello"));
    let door = Doorward::start(&config(&upstream));
    let token = door.issue(json!({ "kind": "api_token", "for": "backup" }));
    let mut client = door.connect();
    for _ in 0..5 {
        assert_eq!(
            client
                .get("/data", &[&format!("X-API-Key: {}", token.secret)])
                .status,
            200
        );
    }
    drop(client);
    let folder = door.shared_folder();
    door.signal("TERM");
    assert_eq!(door.wait(), Some(0));
    let door = Doorward::start_in(folder, &config(&upstream), &[]);
    let shown = door.cli(&["token", "show", &token.id]);
    assert_eq!(shown["usage"]["count"], 5, "{shown}");
    assert_eq!(
        shown["usage"]["recent_addresses"],
        json!(["127.0.0.1"]),
        "{shown}"
    );
}

/// Serves on this folder's configuration, which must fail, and returns the exit code and what was said.
fn fails(folder: &Path) -> (Option<i32>, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_doorward"))
        .args(["serve", "--config"])
        .arg(folder.join("doorward.yaml"))
        .stdin(Stdio::null())
        .output()
        .expect("it runs");
    let said = format!(
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    (output.status.code(), said)
}

const LISTENER: &str = "{ name: public, address: 127.0.0.1:0 }";

#[test]
fn a_second_server_on_the_same_store_is_refused_and_the_first_serves_on() {
    let (door, _upstream) = start();
    let (code, said) = fails(door.folder());
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("server") && said.contains("doorward.db"), "{said}");
    assert_eq!(door.get("/open/1", &[]).status, 200);
    assert_eq!(
        door.cli(&["token", "list"])["items"].as_array().map(Vec::len),
        Some(1),
        "its socket still answers"
    );
}

#[test]
fn a_store_file_that_is_not_ours_or_from_the_future_is_refused_and_left_as_it_is() {
    let upstream = Upstream::start(Reply::Ok("hello"));
    let own = Doorward::start(&config(&upstream)).kill();
    let newer = own.path().join("data/doorward.db");
    sql(
        &newer,
        "PRAGMA wal_checkpoint(TRUNCATE); PRAGMA user_version = 999",
    );
    let newer = fs::read(newer).expect("readable");
    let foreign_database = {
        let folder = TempDir::new().expect("a folder");
        let path = folder.path().join("other.db");
        fs::write(&path, "").expect("written");
        sql(&path, "CREATE TABLE photos (id INTEGER)");
        fs::read(path).expect("readable")
    };
    for (what, bytes) in [
        ("a text", b"Dear diary, this is no database.\n".to_vec()),
        ("somebody else's database", foreign_database),
        ("a newer store", newer.clone()),
        ("half of a store", newer[..newer.len() / 2].to_vec()),
    ] {
        let folder = TempDir::new().expect("a folder");
        write_config(folder.path(), LISTENER, &config(&upstream));
        let data = folder.path().join("data");
        fs::create_dir(&data).expect("made");
        let file = data.join("doorward.db");
        fs::write(&file, &bytes).expect("written");
        let (code, said) = fails(folder.path());
        assert_eq!(code, Some(1), "{what}: {said}");
        assert!(
            said.contains("doorward.db") && said.contains("Nothing was changed"),
            "{what}: {said}"
        );
        assert!(
            fs::read(&file).expect("readable") == bytes,
            "{what}: it was changed"
        );
    }
}

#[test]
fn a_bad_configuration_is_told_as_a_whole_and_starts_nothing() {
    let folder = TempDir::new().expect("a folder");
    let bad = "upstreams: { api: { url: \"ftp://127.0.0.1:1\" } }\n\
               rutes: []\n\
               cache: { positive_ttl: soon }\n\
               throttle: { window: 1m, windw: 2m }\n\
               routes: [{ path: /, upstream: nowhere, accept: [jwtt] }]\n";
    write_config(
        folder.path(),
        "{ name: public, address: 127.0.0.1:0, trusted_proxies: [0.0.0.0/0] }",
        bad,
    );
    let (code, said) = fails(folder.path());
    assert_eq!(code, Some(2), "{said}");
    for part in [
        "doorward.yaml",
        "upstreams.api.url",
        "rutes",
        "did you mean",
        "cache.positive_ttl",
        "throttle.windw",
        "routes[0].upstream",
        "routes[0].accept",
        "trusted_proxies",
    ] {
        assert!(said.contains(part), "{part}:\n{said}");
    }
    assert!(!folder.path().join("data").exists(), "nothing was started");
}

/// A start on an empty folder with nothing but the address of the app.
fn zero_set_up(folder: &Arc<TempDir>, upstream: &Upstream) -> Doorward {
    let mut command = Command::new(env!("CARGO_BIN_EXE_doorward"));
    command
        .current_dir(folder.path())
        .args(["serve", "--listen", "127.0.0.1:0", "--upstream"])
        .arg(format!("http://{}", upstream.address))
        .env("DOORWARD_ADMIN__ADDRESS", "127.0.0.1:0")
        .env("DOORWARD_STATUS_ADDRESS", "127.0.0.1:0")
        .env("DOORWARD_DRAIN__DELAY", "0s");
    Doorward::spawn(Arc::clone(folder), command)
}

#[test]
fn a_start_on_nothing_makes_all_it_needs_for_its_owner_alone() {
    let upstream = Upstream::start(Reply::Ok("hello"));
    let folder = Arc::new(TempDir::new().expect("a folder"));
    let door = zero_set_up(&folder, &upstream);
    let token = door.issue(json!({ "kind": "api_token", "for": "x" })).secret;
    assert_eq!(door.get("/", &[&format!("X-API-Key: {token}")]).status, 200);
    assert_eq!(door.get("/", &[]).status, 401);

    let mode = |path: &Path| fs::symlink_metadata(path).expect("there").permissions().mode() & 0o7777;
    let mut folders = vec![folder.path().join("data")];
    let mut files = 0;
    while let Some(inner) = folders.pop() {
        assert_eq!(mode(&inner), 0o700, "{}", inner.display());
        for entry in fs::read_dir(&inner).expect("readable").flatten() {
            let path = entry.path();
            if entry.file_type().expect("a type").is_dir() {
                folders.push(path);
            } else {
                assert_eq!(mode(&path), 0o600, "{}", path.display());
                files += 1;
            }
        }
    }
    assert!(files >= 4, "store, key, socket and the administrator's token");
    let file = folder.path().join("data/administrator.token");
    let administrator = fs::read_to_string(&file).expect("without a terminal it stands in a file");
    let administrator = administrator.trim().to_owned();
    assert!(!door.log_text().contains(&administrator), "and never in the log");

    at_the_admin_door(&door, &administrator, &token);
    door.signal("TERM");
    assert_eq!(door.wait(), Some(0));
    let door = zero_set_up(&folder, &upstream);
    let after = fs::read_to_string(&file).expect("still there");
    assert_eq!(
        after.trim(),
        administrator,
        "a second start makes no second administrator"
    );
    assert_eq!(
        door.get("/", &[&format!("X-API-Key: {token}")]).status,
        200,
        "and knows the token"
    );
}

/// What the admin door lets in over TCP (S15).
fn at_the_admin_door(door: &Doorward, administrator: &str, ordinary: &str) {
    let address = door.admin.expect("an admin door");
    let bearer = |token: &str| format!("Authorization: Bearer {token}\r\n");
    let good = bearer(administrator);
    let rows: [(u16, &str, String, &str); 12] = [
        (200, "localhost", good.clone(), "the administrator"),
        (200, "127.0.0.1:9901", good.clone(), "by address"),
        (
            401,
            "localhost",
            String::new(),
            "nobody, although on this machine",
        ),
        (403, "localhost", bearer(ordinary), "an ordinary token"),
        (401, "localhost", bearer("nonsense"), "no token"),
        (
            401,
            "localhost",
            format!("X-API-Key: {administrator}\r\n"),
            "in another header",
        ),
        (421, "evil.example", good.clone(), "a name that points here"),
        (
            421,
            "localhost@evil.example",
            good.clone(),
            "user information before a name",
        ),
        (
            403,
            "localhost",
            format!("{good}Origin: http://localhost:3000\r\n"),
            "from another web page of this machine",
        ),
        (
            403,
            "localhost",
            format!("{good}Origin: null\r\n"),
            "from an opaque origin",
        ),
        (400, "localhost", format!("{good}{good}"), "two credentials"),
        (421, "localhost\r\nHost: evil.example", good.clone(), "two hosts"),
    ];
    for (status, host, lines, why) in rows {
        let mut client = Client::connect(address);
        client.write(format!(
            "GET /api/v1/keys HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n{lines}\r\n"
        ));
        let answer = client.answer();
        assert_eq!(answer.status, status, "{why}: {}", answer.text());
    }
    let mut client = Client::connect(address);
    let body = json!({ "kind": "api_token", "for": "x" }).to_string();
    client.write(format!(
        "POST /api/v1/tokens HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Type: text/plain\r\n\
         Content-Length: {}\r\n{good}\r\n{body}",
        body.len()
    ));
    assert_eq!(
        client.answer().status,
        415,
        "what a form of a foreign page can send is no command"
    );
    let proxied = door.get("/api/v1/keys", &[&format!("X-API-Key: {ordinary}")]);
    assert_eq!(
        proxied.text(),
        "hello",
        "the proxy's door has no management on it"
    );
}
