//! The access log of the running process: one line for each request, nothing of what a client sends but what is
//! listed, and nobody waits for it.

use std::io::Read;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;

use serde_json::Value;
use tempfile::TempDir;

use crate::support::process::write_config;
use crate::support::wait::until;
use crate::support::{Client, Doorward, Reply, Upstream};

const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";

/// A door that writes its access log to a file, with these keys beside that.
struct World {
    door: Doorward,
    upstream: Upstream,
}

impl World {
    fn new(access: &str) -> Self {
        let upstream = Upstream::with(|seen| match seen.target() {
            "/broken" => Reply::RawThenClose(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf".to_vec()),
            "/endless" => Reply::Raw(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf".to_vec()),
            "/head" => Reply::Raw(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n".to_vec()),
            "/silent" => Reply::Silence,
            _ => Reply::Ok("hello"),
        });
        let folder = Arc::new(TempDir::new().expect("a folder"));
        let config = config(&upstream, &file(folder.path()), access);
        Self {
            door: Doorward::start_in(folder, &config, &[]),
            upstream,
        }
    }

    fn lines(&self) -> Vec<Value> {
        lines(Path::new(&file(self.door.folder())))
    }

    /// The first line of which this holds.
    fn line(&self, what: &str, wanted: impl Fn(&Value) -> bool) -> Value {
        until(what, || self.lines().iter().any(&wanted));
        self.lines().into_iter().find(wanted).expect("just seen")
    }

    fn line_of(&self, path: &str) -> Value {
        self.line(path, |l| l["path"] == path)
    }
}

fn file(folder: &Path) -> String {
    folder.join("access.log").display().to_string()
}

fn lines(path: &Path) -> Vec<Value> {
    let text = std::fs::read_to_string(path).unwrap_or_default();
    // The last line may be on its way.
    let whole = text.rfind('\n').map_or("", |end| &text[..end]);
    let read = |l: &str| serde_json::from_str(l).unwrap_or_else(|e| panic!("{e}: {l}"));
    whole.lines().map(read).collect()
}

fn config(upstream: &Upstream, destination: &str, access: &str) -> String {
    format!(
        "access_log: {{ destination: \"{destination}\", {access} }}\n\
         upstreams: {{ api: {{ url: \"http://{}\" }} }}\n\
         routes:\n\
         \x20 - {{ name: things, path: /api/v1/, upstream: api, path_token_after: /api/v1/, accept: [device_token] }}\n\
         \x20 - {{ name: guarded, path: /guarded/, upstream: api }}\n\
         \x20 - {{ name: open, path: /, access: public, upstream: api }}\n",
        upstream.address
    )
}

#[test]
fn every_request_gets_a_line_that_says_how_it_went() {
    let world = World::new(
        "fields: [request_id, trace_id, client, listener, protocol, scheme, method, path, route, outcome, status, reason, kind, principal, upstream, bytes_in, bytes_out, decision_ms, upstream_ms, duration_ms, ended]",
    );
    let issued = world
        .door
        .issue(serde_json::json!({ "kind": "api_token", "for": "backup" }));
    let token = format!("Authorization: Bearer {}", issued.secret);
    let mut client = world.door.connect();
    let trace = format!("traceparent: 00-{TRACE}-00f067aa0ba902b7-01");
    let answer = client.request("POST", "/guarded/a?secret=query", &[&token, &trace], b"12345");
    assert_eq!(answer.status, 200);
    let line = world.line_of("/guarded/a");
    for (field, expected) in [
        ("log", Value::from("access")),
        ("client", "127.0.0.1".into()),
        ("listener", "public".into()),
        ("protocol", "HTTP/1.1".into()),
        ("scheme", "http".into()),
        ("method", "POST".into()),
        ("route", "guarded".into()),
        ("outcome", "forwarded".into()),
        ("status", 200.into()),
        ("reason", Value::Null),
        ("kind", "api_token".into()),
        ("upstream", "api".into()),
        ("bytes_in", 5.into()),
        ("bytes_out", 5.into()),
        ("ended", "whole".into()),
        ("trace_id", TRACE.into()),
    ] {
        assert_eq!(line[field], expected, "{field}: {line}");
    }
    let seen = world.upstream.last();
    assert_eq!(
        seen.header("x-request-id"),
        line["request_id"].as_str(),
        "the app's own logs find it"
    );
    assert_eq!(seen.header("x-auth-subject"), line["principal"].as_str());
    assert!(
        seen.header("traceparent").is_some_and(|t| t.contains(TRACE)),
        "the trace goes on"
    );
    for duration in ["decision_ms", "upstream_ms", "duration_ms"] {
        assert!(line[duration].as_f64() > Some(0.0), "{duration}: {line}");
    }

    assert_eq!(client.get("/guarded/b", &[]).status, 401);
    let line = world.line_of("/guarded/b");
    assert_eq!(
        (&line["outcome"], &line["reason"], &line["status"]),
        (&"refused".into(), &"credential_missing".into(), &401.into())
    );
    assert!(
        line["principal"].is_null() && line["upstream"].is_null(),
        "{line}"
    );

    assert_eq!(client.request("HEAD", "/head", &[], b"").status, 200);
    assert_eq!(world.line_of("/head")["ended"], "whole");

    let mut broken = world.door.connect();
    broken.write("GET /broken HTTP/1.1\r\nHost: a\r\n\r\n").rest();
    let line = world.line_of("/broken");
    assert_eq!(
        (&line["ended"], &line["bytes_out"], &line["status"]),
        (&"upstream_broke".into(), &4.into(), &200.into())
    );

    // A head that nobody could read has no method and no path.
    let mut bad = world.door.connect();
    bad.write("GET /x HTTP/1.1\nHost: a\r\n\r\n").rest();
    let line = world.line("the refused head", |l| l["status"] == 400);
    assert!(
        line["path"].is_null() && line["method"].is_null() && line["route"] == "-",
        "{line}"
    );
    let all = world.lines();
    assert_eq!(all.len(), 5, "one each: {all:#?}");
}

#[test]
fn a_client_that_goes_away_is_said_to_be_gone() {
    let world = World::new("");
    // Before the answer has begun.
    let mut client = world.door.connect();
    client.write("GET /silent HTTP/1.1\r\nHost: a\r\n\r\n");
    until("the app has it", || world.upstream.seen().len() == 1);
    drop(client);
    let line = world.line_of("/silent");
    assert_eq!(
        (&line["ended"], &line["status"], &line["upstream"]),
        (&"client_gone".into(), &Value::Null, &"api".into())
    );
    // In the middle of it.
    let mut client = world.door.connect();
    client.write("GET /endless HTTP/1.1\r\nHost: a\r\n\r\n");
    until("the app has it", || world.upstream.seen().len() == 2);
    drop(client);
    let line = world.line_of("/endless");
    assert_eq!(line["ended"], "client_gone", "{line}");
}

#[test]
fn a_tunnel_gets_one_line_at_its_end() {
    let upstream = Upstream::start(Reply::RawThenClose(
        b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\
          Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\nhello"
            .to_vec(),
    ));
    let folder = Arc::new(TempDir::new().expect("a folder"));
    let path = file(folder.path());
    let door = Doorward::start_in(folder, &config(&upstream, &path, ""), &[]);
    let mut client = door.connect();
    client.write(
        "GET /chat HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
    );
    let said = client.rest();
    assert!(
        said.starts_with(b"HTTP/1.1 101") && said.ends_with(b"hello"),
        "{}",
        String::from_utf8_lossy(&said)
    );
    assert_eq!(
        lines(Path::new(&path)),
        Vec::<Value>::new(),
        "it has not ended yet: the client has not"
    );
    drop(client);
    until("the line", || lines(Path::new(&path)).len() == 1);
    let line = &lines(Path::new(&path))[0];
    assert_eq!(
        (&line["status"], &line["bytes_out"], &line["ended"]),
        (&101.into(), &5.into(), &"whole".into()),
        "{line}"
    );
}

#[test]
fn no_credential_query_or_header_gets_into_a_line() {
    let world = World::new("");
    let mut client = world.door.connect();
    let marks = [
        "Authorization: Bearer dw_MARKmark_MARKmark",
        "Cookie: session=MARK",
        "User-Agent: MARK",
        "Referer: http://MARK/",
        "X-Request-Id: MARK",
        "tracestate: vendor=MARK",
        "traceparent: 00-MARK",
    ];
    for target in [
        "/guarded/x?token=MARK",
        "/api/v1/MARK-TOKEN/telemetry",
        "/api/%761/MARK-TOKEN/telemetry",
        "/api/v1//MARK-TOKEN",
    ] {
        client.get(target, &marks);
    }
    until("four lines", || world.lines().len() == 4);
    let text = std::fs::read_to_string(file(world.door.folder())).expect("read");
    assert!(!text.contains("MARK"), "{text}");
    let paths: Vec<Value> = world.lines().iter().map(|l| l["path"].clone()).collect();
    assert_eq!(
        paths,
        ["/guarded/x", "/api/v1/-/telemetry", "/api/v1/-/telemetry", "-"]
    );
}

#[test]
fn filters_and_samples_leave_out_what_is_not_wanted() {
    let world = World::new("sample_one_in: 5, fields: [path, status]");
    let mut client = world.door.connect();
    for i in 0..10 {
        assert_eq!(client.get(&format!("/well/{i}"), &[]).status, 200);
        assert_eq!(client.get(&format!("/guarded/{i}"), &[]).status, 401);
    }
    until("every refusal is there", || {
        world.lines().iter().filter(|l| l["status"] == 401).count() == 10
    });
    // One data thread serves a connection: one in five of its own.
    let well = world.lines().iter().filter(|l| l["status"] == 200).count();
    assert_eq!(well, 2, "of ten");

    let world = World::new("statuses: [4xx], routes: [guarded]");
    let mut client = world.door.connect();
    client.get("/well", &[]);
    client.get("/%2e%2e/", &[]);
    client.get("/guarded/last", &[]);
    world.line_of("/guarded/last");
    assert_eq!(world.lines().len(), 1, "{:?}", world.lines());
}

#[test]
fn a_reload_changes_what_is_logged_from_the_next_request_on() {
    let world = World::new("fields: [path]");
    let path = file(world.door.folder());
    let offer = |destination: &str, access: &str, outcome: &str| {
        let name = format!("doorward_config_reloads_total{{outcome=\"{outcome}\"}}");
        let before = world.door.metric(&name);
        let listener = "{ name: public, address: 127.0.0.1:0 }";
        write_config(
            world.door.folder(),
            listener,
            &config(&world.upstream, destination, access),
        );
        world.door.signal("HUP");
        until(outcome, || world.door.metric(&name) != before);
    };
    let reload = |access: &str| offer(&path, access, "applied");
    // On one connection from before: a request is logged by the rules that it was answered by.
    let mut client = world.door.connect();
    let mut ask = |path: &str, times: usize, status: u16| {
        (0..times).for_each(|_| assert_eq!(client.get(path, &[]).status, status));
    };
    ask("/a", 1, 200);
    world.line_of("/a");
    reload("routes: [guarded], fields: [path]");
    ask("/b", 1, 200);
    reload("sample_one_in: 5, fields: [path, method]");
    ask("/c", 10, 200);
    reload("statuses: [4xx], fields: [path, status]");
    ask("/d", 1, 200);
    ask("/guarded/e", 1, 401);
    reload("fields: [path]");
    ask("/f", 1, 200);
    // Where it goes is settled at the start: off and on again take a restart.
    offer("off", "fields: [path]", "needs_restart");
    ask("/last", 1, 200);
    world.line_of("/last");
    let found: Vec<String> = world
        .lines()
        .iter()
        .map(|line| line["path"].to_string())
        .collect();
    assert_eq!(
        found,
        ["/a", "/c", "/c", "/guarded/e", "/f", "/last"].map(|path| format!("\"{path}\""))
    );
    let (first, sampled) = (world.line_of("/a"), world.line_of("/c"));
    assert_eq!(
        (&first["method"], &sampled["method"]),
        (&Value::Null, &"GET".into())
    );
}

#[test]
fn a_file_that_is_moved_away_is_made_again() {
    let world = World::new("");
    let mut client = world.door.connect();
    client.get("/before", &[]);
    world.line_of("/before");
    let path = file(world.door.folder());
    let moved = format!("{path}.1");
    std::fs::rename(&path, &moved).expect("moved");
    client.get("/after", &[]);
    world.line_of("/after");
    assert_eq!(
        lines(Path::new(&moved)).len(),
        1,
        "what was written stays where it went"
    );
}

#[test]
fn a_file_that_cannot_be_opened_stops_the_start_and_says_why() {
    let upstream = Upstream::start(Reply::Ok("hello"));
    let folder = TempDir::new().expect("a folder");
    for destination in ["/nowhere/access.log", "/dev/full"] {
        let config = write_config(
            folder.path(),
            "{ name: public, address: 127.0.0.1:0 }",
            &config(&upstream, destination, ""),
        );
        let output = Command::new(env!("CARGO_BIN_EXE_doorward"))
            .args(["serve", "--config"])
            .arg(config)
            .output()
            .expect("runs");
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(1), "{said}");
        assert!(
            said.contains("access_log.destination") && said.contains(destination),
            "{said}"
        );
    }
}

/// Nobody reads standard output: the pipe fills up, the queue fills up, and requests go on.
#[test]
fn a_full_pipe_blocks_no_request_and_drops_are_counted() {
    let upstream = Upstream::start(Reply::Ok("hello"));
    let folder = Arc::new(TempDir::new().expect("a folder"));
    let config = write_config(
        folder.path(),
        "{ name: public, address: 127.0.0.1:0 }",
        &config(&upstream, "stdout", ""),
    );
    let mut command = Command::new(env!("CARGO_BIN_EXE_doorward"));
    command.args(["serve", "--config"]).arg(config);
    let mut door = Doorward::spawn(folder, command);
    let stdout = door.stdout();
    let dropped = || {
        let all = door.metric("doorward_access_lines_dropped_total");
        all[0]
            .rsplit_once(' ')
            .and_then(|(_, v)| v.parse::<u64>().ok())
            .expect("a number")
    };
    // Lines of a kilobyte and more each: the queue holds four megabytes, the pipe 64 kB.
    let path = format!("/{}", "x".repeat(2000));
    let one = format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n");
    let batch = one.repeat(50);
    let mut client = Client::connect(door.proxy);
    let mut asked = 0;
    while dropped() == 0 {
        assert!(asked < 20_000, "the queue has no bound");
        client.write(&batch);
        for _ in 0..50 {
            assert_eq!(client.answer().status, 200);
        }
        asked += 50;
    }
    assert_eq!(client.get("/still", &[]).status, 200, "requests go on");
    // When somebody reads again, whole lines come out, and what was not dropped is there.
    let reading = std::thread::spawn(move || {
        let mut text = String::new();
        let mut stdout = stdout;
        stdout.read_to_string(&mut text).expect("UTF-8");
        text
    });
    let lost = dropped();
    door.signal("TERM");
    assert_eq!(door.wait(), Some(0));
    let text = reading.join().expect("read");
    let lines: Vec<Value> = text
        .lines()
        .filter(|l| l.starts_with('{'))
        .map(|l| serde_json::from_str(l).expect(l))
        .collect();
    assert!(
        lines.len() + lost as usize >= asked,
        "{} written, {lost} dropped, {asked} asked",
        lines.len()
    );
}

#[test]
fn standard_error_carries_both_logs_without_tearing_lines() {
    let upstream = Upstream::start(Reply::Ok("hello"));
    let door = Doorward::start(&config(&upstream, "stderr", ""));
    let mut client = door.connect();
    for i in 0..200 {
        assert_eq!(client.get(&format!("/p/{i}"), &[]).status, 200);
    }
    door.wait_for_line(|l| l["path"] == "/p/199");
    let lines = door.log_lines();
    let access = lines.iter().filter(|l| l["log"] == "access").count();
    assert_eq!(access, 200);
    assert!(
        lines.iter().any(|l| l["message"] == "ready"),
        "the log of the process is there too"
    );
}

#[test]
fn off_is_the_default_and_says_nothing() {
    let upstream = Upstream::start(Reply::Ok("hello"));
    let door = Doorward::start(&format!(
        "upstreams: {{ api: {{ url: \"http://{}\" }} }}\nroutes: [{{ path: /, access: public, upstream: api }}]\n",
        upstream.address
    ));
    assert_eq!(door.get("/quiet", &[]).status, 200);
    door.signal("TERM");
    door.wait_for_line(|l| l["message"] == "stopped");
    assert!(!door.log_text().contains("/quiet"));
}

#[test]
fn check_names_a_route_that_does_not_exist() {
    let upstream = Upstream::start(Reply::Ok("hello"));
    let folder = TempDir::new().expect("a folder");
    let written = config(&upstream, "off", "routes: [guardet]");
    let path = write_config(folder.path(), "{ name: public, address: 127.0.0.1:0 }", &written);
    let output = Command::new(env!("CARGO_BIN_EXE_doorward"))
        .args(["check", "--config"])
        .arg(path)
        .stdin(Stdio::null())
        .output()
        .expect("runs");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(2), "{said}");
    assert!(
        said.contains("access_log.routes[0]") && said.contains("did you mean guarded"),
        "{said}"
    );
}
