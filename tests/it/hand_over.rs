//! SIGQUIT: the listening sockets go to a successor, and nobody notices.

use std::fs;
use std::io::Write;
use std::net::{SocketAddr, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use serde_json::json;
use tempfile::TempDir;

use crate::service_manager::Manager;
use crate::support::http::get;
use crate::support::process::{cli, write_config};
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

/// A server that is started through a name, so that what has this name can be exchanged, as an update does.
struct World {
    door: Doorward,
    upstream: Upstream,
    program: PathBuf,
    socket: PathBuf,
}

fn start(environment: &[(&str, &str)], folder: Arc<TempDir>) -> World {
    let upstream = Upstream::start(Reply::Ok("hello"));
    let socket = folder.path().join("s");
    let listeners = format!(
        "{{ name: public, address: 127.0.0.1:0 }}, {{ name: unix, address: \"unix:{}\" }}",
        socket.display()
    );
    let path = write_config(folder.path(), &listeners, &config(&upstream));
    let program = folder.path().join("doorward");
    std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_doorward"), &program).expect("a name for it");
    // As a service manager says it: the watchdog's word is for this process alone.
    let mut command = Command::new("sh");
    command
        .args(["-c", "WATCHDOG_PID=$$ exec \"$0\" \"$@\""])
        .arg(&program)
        .args(["serve", "--config"])
        .arg(path)
        .envs(environment.iter().copied());
    World {
        door: Doorward::spawn(folder, command),
        upstream,
        program,
        socket,
    }
}

fn alone() -> World {
    start(&[], Arc::new(TempDir::new().expect("a folder")))
}

/// Puts a script in the program's place. Not written by this process: a file that is open for writing in one of its
/// children cannot be run.
fn exchange(program: &Path, text: &str) {
    let exchanged = Command::new("sh")
        .args([
            "-c",
            "printf %s \"$1\" > \"$2.new\" && chmod 700 \"$2.new\" && mv \"$2.new\" \"$2\"",
            "sh",
            text,
        ])
        .arg(program)
        .status();
    assert!(exchanged.expect("sh runs").success());
}

/// A process that nobody waits for; ended with the test at the latest.
struct Stray(u32);

impl Stray {
    fn signal(&self, name: &str) {
        let _ = Command::new("kill")
            .arg(format!("-{name}"))
            .arg(self.0.to_string())
            .status();
    }

    fn lives(&self) -> bool {
        let status = fs::read_to_string(format!("/proc/{}/status", self.0)).unwrap_or_default();
        !status.is_empty() && !status.contains("State:\tZ")
    }
}

impl Drop for Stray {
    fn drop(&mut self) {
        if self.lives() {
            self.signal("KILL");
        }
    }
}

/// The process that said it is ready, and is not the first.
fn successor(door: &Doorward) -> Stray {
    let first = door.pid();
    let second = |line: &serde_json::Value| line["message"] == "ready" && line["pid"] != first;
    door.wait_for_line(second);
    let lines = door.log_lines();
    let pid = lines
        .iter()
        .find(|line| second(line))
        .and_then(|line| line["pid"].as_u64());
    Stray(u32::try_from(pid.expect("a number")).expect("a process"))
}

fn ask_unix(path: &Path) -> String {
    let mut stream = UnixStream::connect(path).expect("somebody listens");
    stream
        .write_all(b"GET /open/x HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
        .expect("written");
    std::io::read_to_string(stream).expect("an answer")
}

/// Asks until told to stop; every request has its answer.
type Load = fn(SocketAddr, &str, &AtomicUsize, &AtomicBool);

fn keep_alive(proxy: SocketAddr, token: &str, served: &AtomicUsize, stop: &AtomicBool) {
    while !stop.load(Ordering::SeqCst) {
        let mut client = Client::connect(proxy);
        loop {
            let answer = client.get("/x", &[token]);
            assert_eq!((answer.status, &*answer.text()), (200, "hello"));
            served.fetch_add(1, Ordering::SeqCst);
            if answer.header("connection") == Some("close") || stop.load(Ordering::SeqCst) {
                break;
            }
        }
    }
}

fn connection_per_request(proxy: SocketAddr, token: &str, served: &AtomicUsize, stop: &AtomicBool) {
    while !stop.load(Ordering::SeqCst) {
        let answer = get(proxy, "/x", &[token, "Connection: close"]);
        assert_eq!((answer.status, &*answer.text()), (200, "hello"));
        served.fetch_add(1, Ordering::SeqCst);
    }
}

#[test]
fn a_hand_over_under_load_loses_no_request_and_forgets_no_revocation() {
    let World {
        mut door,
        upstream,
        socket,
        ..
    } = alone();
    let issue = |who: &str| {
        let token = door.issue(json!({ "kind": "api_token", "for": who }));
        (format!("X-API-Key: {}", token.secret), token.id)
    };
    let (good, _) = issue("load");
    let (before, before_id) = issue("ended by the first");
    let (after, after_id) = issue("ended by the second");
    // Its verdicts are remembered by the first process.
    let mut old = door.connect();
    for token in [&before, &after] {
        assert_eq!(old.get("/x", &[token]).status, 200);
    }

    let stop = Arc::new(AtomicBool::new(false));
    let loads: [Load; 2] = [keep_alive, connection_per_request];
    let threads: Vec<_> = loads
        .into_iter()
        .map(|load| {
            let (proxy, stop, served) = (door.proxy, Arc::clone(&stop), Arc::new(AtomicUsize::new(0)));
            let (counted, token) = (Arc::clone(&served), good.clone());
            (
                served,
                std::thread::spawn(move || load(proxy, &token, &counted, &stop)),
            )
        })
        .collect();
    let counts = || -> Vec<usize> { threads.iter().map(|(n, _)| n.load(Ordering::SeqCst)).collect() };
    let further = |before: &[usize]| {
        counts()
            .iter()
            .zip(before)
            .all(|(now, before)| *now > before + 20)
    };
    until("they are being served", || further(&[0; 2]));
    let mut upload = door.connect();
    upload.write(format!(
        "POST /x HTTP/1.1\r\nHost: a\r\n{good}\r\nContent-Length: 10\r\n\r\nhello"
    ));

    door.signal("QUIT");
    door.wait_for_line(|line| line["message"] == "SIGQUIT: a successor was started");
    // Through whichever of the two: the successor may have taken the doors over already.
    door.cli(&["token", "revoke", &before_id]);
    let stray = successor(&door);
    door.wait_for_line(|line| line["message"] == "a successor serves from now on");
    let input = fs::read_link(format!("/proc/{}/fd/0", stray.0)).expect("readable");
    assert_eq!(input, Path::new("/dev/null"), "it has let go of the link");
    let at = counts();
    until("and are served on", || further(&at));
    until("a revocation by the first holds in the second", || {
        get(door.proxy, "/x", &[&before]).status == 401
    });
    door.cli(&["token", "revoke", &after_id]);
    assert_eq!(
        get(door.proxy, "/x", &[&after]).status,
        401,
        "at once where it was made"
    );
    // The upload still is with the first, and so is its end.
    upload.write("world");
    let answer = upload.answer();
    assert_eq!((answer.status, &*answer.text()), (200, "hello"));
    assert_eq!(answer.header("connection"), Some("close"));
    assert!(upstream.seen().iter().any(|seen| seen.body == b"helloworld"));
    assert!(
        ask_unix(&socket).ends_with("hello"),
        "the Unix socket is there as well"
    );

    assert_eq!(door.wait_here(), Some(0), "the first one ends");
    let at = counts();
    until("without it", || further(&at));
    stop.store(true, Ordering::SeqCst);
    for (_, thread) in threads {
        thread.join().expect("no request failed");
    }
    assert!(
        socket.exists() && ask_unix(&socket).ends_with("hello"),
        "it took no socket with it"
    );
    assert_eq!(get(door.status, "/readyz", &[]).status, 200);
    stray.signal("TERM");
    until("the second ends as well", || !stray.lives());
    assert!(!socket.exists(), "and cleans up");
}

/// The socket that listens at this address, as the kernel numbers it.
fn listening_socket(address: SocketAddr) -> String {
    let table = fs::read_to_string("/proc/net/tcp").expect("readable");
    let port = format!("0100007F:{:04X}", address.port());
    let of_ours = |line: &&str| {
        let mut words = line.split_whitespace().skip(1);
        words.next() == Some(&*port) && words.nth(1) == Some("0A")
    };
    let line = table.lines().find(of_ours).expect("somebody listens");
    format!("socket:[{}]", line.split_whitespace().nth(9).expect("a number"))
}

#[test]
fn the_doors_beside_the_proxy_are_let_go_of_at_once() {
    let World { mut door, .. } = alone();
    let socket = listening_socket(door.status);
    let first = door.pid();
    let holds = || {
        let all = fs::read_dir(format!("/proc/{first}/fd")).expect("readable");
        all.filter_map(Result::ok)
            .any(|entry| fs::read_link(entry.path()).is_ok_and(|to| to.as_os_str() == &*socket))
    };
    assert!(holds());
    // Keeps the first one there.
    let mut upload = door.connect();
    upload.write("POST /open/x HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nhello");
    door.signal("QUIT");
    let stray = successor(&door);
    until("it is the second that answers there", || !holds());
    upload.write("world");
    assert_eq!(upload.answer().status, 200, "and the first has not ended yet");
    assert_eq!(get(door.status, "/readyz", &[]).status, 200);
    assert_eq!(door.wait_here(), Some(0));
    stray.signal("TERM");
    until("it ends", || !stray.lives());
}

#[test]
fn a_revocation_reaches_what_the_first_still_serves() {
    let World { door, .. } = alone();
    let token = door.issue(json!({ "kind": "api_token", "for": "x" }));
    let header = format!("X-API-Key: {}", token.secret);
    // Idle connections of the first process; each answer of the drain ends one of them.
    let mut old: Vec<_> = (0..40).map(|_| door.connect()).collect();
    for client in &mut old {
        assert_eq!(client.get("/x", &[&header]).status, 200);
    }
    door.signal("QUIT");
    let _stray = successor(&door);
    door.wait_for_line(|line| line["message"] == "a successor serves from now on");
    door.cli(&["token", "revoke", &token.id]);
    let mut last = None;
    for client in &mut old {
        let answer = client.get("/x", &[&header]);
        assert_eq!(
            answer.header("connection"),
            Some("close"),
            "it is the first that answers"
        );
        last = Some(answer.status);
        if last == Some(401) {
            break;
        }
        std::thread::park_timeout(std::time::Duration::from_millis(25));
    }
    assert_eq!(last, Some(401), "within a second");
}

#[test]
fn a_successor_that_fails_changes_nothing() {
    let World {
        door,
        program,
        socket,
        ..
    } = alone();
    let token = door.issue(json!({ "kind": "api_token", "for": "x" })).secret;
    let header = format!("X-API-Key: {token}");
    let mut client = door.connect();
    assert_eq!(client.get("/x", &[&header]).status, 200);
    let failures = |door: &Doorward| {
        // By text: a successor that fails writes to the same place.
        door.log_text().matches("nothing was handed over").count()
    };
    let real = env!("CARGO_BIN_EXE_doorward");
    let rows = [
        ("no program at all".to_owned(), "it cannot be started"),
        ("#!/bin/sh\nexit 3\n".to_owned(), "it fails at once"),
        (
            "#!/bin/sh\necho ready >&0\n".to_owned(),
            "it speaks another language",
        ),
        (
            format!("#!/bin/sh\nexec {real} serve --config /nowhere.yaml --take-over\n"),
            "its configuration is bad",
        ),
        (
            format!(
                "#!/bin/sh\nexport DOORWARD_STATUS_ADDRESS={}\nexec {real} \"$@\"\n",
                door.proxy
            ),
            "an address that it wants and did not get is taken",
        ),
    ];
    for (i, (text, why)) in rows.into_iter().enumerate() {
        exchange(&program, &text);
        door.signal("QUIT");
        until("it is told", || failures(&door) > i);
        let answer = client.get("/x", &[&header]);
        assert_eq!((answer.status, answer.header("connection")), (200, None), "{why}");
        assert_eq!(door.get("/x", &[&header]).status, 200, "{why}");
        assert!(ask_unix(&socket).ends_with("hello"), "{why}");
        assert_eq!(get(door.status, "/readyz", &[]).status, 200, "{why}");
        door.cli(&["token", "list"]);
    }
    // And then it works.
    exchange(&program, &format!("#!/bin/sh\nexec {real} \"$@\"\n"));
    door.signal("QUIT");
    let stray = successor(&door);
    assert_eq!(client.get("/x", &[&header]).status, 200);
    assert_eq!(door.wait(), Some(0));
    stray.signal("TERM");
    until("it ends", || !stray.lives());
}

/// Lets the store of a running server say that so many steps were applied to it.
fn say_version(folder: &Path, version: u32) -> u32 {
    use sqlx::Connection;
    let url = format!("sqlite:{}", folder.join("data/doorward.db").display());
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.expect("a runtime").block_on(async {
        let mut connection = sqlx::SqliteConnection::connect(&url).await.expect("opened");
        let before = sqlx::query_scalar("PRAGMA user_version")
            .fetch_one(&mut connection)
            .await;
        sqlx::raw_sql(sqlx::AssertSqlSafe(format!("PRAGMA user_version = {version}")))
            .execute(&mut connection)
            .await
            .expect("said");
        connection.close().await.expect("closed");
        before.expect("a number")
    })
}

#[test]
fn a_successor_with_another_schema_is_refused_and_the_first_serves_on() {
    let World { door, socket, .. } = alone();
    let token = door.issue(json!({ "kind": "api_token", "for": "x" }));
    let header = format!("X-API-Key: {}", token.secret);
    let mut client = door.connect();
    assert_eq!(client.get("/x", &[&header]).status, 200);
    let ours = say_version(door.folder(), 1);
    assert!(ours > 1, "there is a step to take");
    // As a newer and as an older program find it: what a file says is all that they go by.
    for (i, (version, words, why)) in [
        (
            1,
            "without a hand-over",
            "it would change the schema under the one that runs",
        ),
        (
            ours + 1,
            "a store of a newer Doorward",
            "it does not know this schema",
        ),
    ]
    .into_iter()
    .enumerate()
    {
        say_version(door.folder(), version);
        door.signal("QUIT");
        // By text: the successor writes to the same place.
        let count = |text: &str| door.log_text().matches(text).count();
        until("it is told", || count("nothing was handed over") > i);
        assert!(count(words) > 0, "{why}: {}", door.log_text());
        assert_eq!(
            say_version(door.folder(), version),
            version,
            "{why}: nobody changed it"
        );
        let answer = client.get("/x", &[&header]);
        assert_eq!((answer.status, answer.header("connection")), (200, None), "{why}");
        assert_eq!(door.get("/x", &[&header]).status, 200, "{why}");
        assert!(ask_unix(&socket).ends_with("hello"), "{why}");
        assert_eq!(get(door.status, "/readyz", &[]).status, 200, "{why}");
    }
    say_version(door.folder(), ours);
    door.signal("QUIT");
    let stray = successor(&door);
    assert_eq!(client.get("/x", &[&header]).status, 200);
    assert_eq!(door.wait(), Some(0));
    stray.signal("TERM");
    until("it ends", || !stray.lives());
}

#[test]
fn an_order_to_leave_ends_a_successor_in_the_making_too() {
    let World { door, program, .. } = alone();
    let note = door.folder().join("pid");
    let text = format!(
        "#!/bin/sh\necho $$ > {0}.new; mv {0}.new {0}\nexec sleep 600\n",
        note.display()
    );
    exchange(&program, &text);
    door.signal("QUIT");
    until("it was started", || note.exists());
    let pid = fs::read_to_string(&note).expect("a number");
    let stray = Stray(pid.trim().parse().expect("a number"));
    assert!(stray.lives());
    door.signal("TERM");
    assert_eq!(door.wait(), Some(0));
    assert!(!stray.lives());
}

#[test]
fn a_second_server_still_is_refused_before_during_and_after() {
    let World { mut door, .. } = alone();
    let refused = |door: &Doorward, holder: u32| {
        let output = Command::new(env!("CARGO_BIN_EXE_doorward"))
            .args(["serve", "--config"])
            .arg(door.folder().join("doorward.yaml"))
            .output()
            .expect("it runs");
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        let expected = format!("in use by another Doorward server (process {holder})");
        assert!(
            output.status.code() == Some(1) && said.contains(&expected),
            "{said}"
        );
    };
    refused(&door, door.pid());
    door.signal("QUIT");
    let stray = successor(&door);
    refused(&door, stray.0);
    assert_eq!(door.wait_here(), Some(0));
    let output = cli(door.folder(), &["token", "list"]);
    assert!(output.status.success(), "the command line may");
    stray.signal("TERM");
    until("it ends", || !stray.lives());
}

#[test]
fn systemd_is_told_who_the_service_is_now() {
    let folder = Arc::new(TempDir::new().expect("a folder"));
    let manager = Manager::listen(&folder);
    let socket = manager.path.display().to_string();
    let environment = [("NOTIFY_SOCKET", &*socket), ("WATCHDOG_USEC", "600000")];
    let World { mut door, .. } = start(&environment, folder);
    assert_eq!(manager.hear_news(), "READY=1\nSTATUS=serving");
    door.signal("QUIT");
    let stray = successor(&door);
    assert_eq!(manager.hear_news(), format!("MAINPID={}", stray.0));
    assert_eq!(
        manager.hear_news(),
        "READY=1\nSTATUS=serving",
        "from the successor"
    );
    assert_eq!(door.wait_here(), Some(0));
    for _ in 0..3 {
        assert_eq!(
            manager.hear(),
            "WATCHDOG=1",
            "the first says no word of stopping, the second lives"
        );
    }
    stray.signal("TERM");
    assert!(manager.hear_news().starts_with("STOPPING=1\n"));
    until("it ends", || !stray.lives());
}

#[test]
fn taking_over_from_nobody_is_refused_in_words() {
    let World { door, .. } = alone();
    let output = Command::new(env!("CARGO_BIN_EXE_doorward"))
        .args(["serve", "--take-over", "--config"])
        .arg(door.folder().join("doorward.yaml"))
        .stdin(std::process::Stdio::null())
        .output()
        .expect("it runs");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(
        output.status.code() == Some(1) && said.contains("SIGQUIT"),
        "{said}"
    );
    TcpStream::connect(door.proxy).expect("the server serves on");
}
