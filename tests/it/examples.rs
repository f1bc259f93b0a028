//! The set-ups under `examples/`, each started as its README says; only ports are others. A real browser where the
//! example is for one.

use std::io::{BufRead, BufReader};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::{Arc, Mutex};

use serde_json::Value;
use tempfile::TempDir;

use crate::support::Doorward;
use crate::support::http::get;
use crate::support::wait::until;

/// A process of a test's own, ended with it, and what it has said.
struct Running(Child, Arc<Mutex<String>>);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A copy of an example in a folder of its own, with ports that are free.
struct Example {
    readme: String,
    app: Running,
    door: Doorward,
    token: String,
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The commands of a README, as they are typed.
fn commands(readme: &str) -> Vec<&str> {
    readme.lines().filter_map(|l| l.strip_prefix("$ ")).collect()
}

fn free_port() -> u16 {
    let parked = TcpListener::bind("127.0.0.1:0").expect("a port");
    parked.local_addr().expect("an address").port()
}

impl Example {
    /// Starts the app, the door, and makes the token, with the first three commands of the README.
    fn start(name: &str, app: &[&str]) -> Self {
        let source = root().join("examples").join(name);
        let folder = Arc::new(TempDir::new().expect("a folder"));
        let app_port = free_port();
        let here = |text: &str| text.replace("127.0.0.1:9000", &format!("127.0.0.1:{app_port}"));
        for entry in std::fs::read_dir(&source).expect("the example") {
            let path = entry.expect("an entry").path();
            let text = std::fs::read_to_string(&path).expect("text");
            let text = here(&text).replace("127.0.0.1:8080", "127.0.0.1:0");
            let to = folder.path().join(path.file_name().expect("a name"));
            std::fs::write(to, text).expect("written");
        }
        let readme = std::fs::read_to_string(source.join("README.md")).expect("a README");
        let typed = commands(&readme);
        let started = |n: usize| {
            let command = typed[n].strip_suffix(" &").unwrap_or(typed[n]);
            command.split(' ').collect::<Vec<_>>()
        };
        assert_eq!(started(0)[..app.len()], *app, "the README starts the app first");
        assert_eq!(typed[1], "doorward serve --config doorward.yaml &");

        let port = app_port.to_string();
        let arguments = started(0)
            .into_iter()
            .map(|a| if a == "9000" { port.clone() } else { here(a) });
        let arguments: Vec<String> = arguments.collect();
        let app = run(folder.path(), &arguments);
        let mut serve = Command::new(env!("CARGO_BIN_EXE_doorward"));
        serve
            .args(&started(1)[1..])
            .current_dir(folder.path())
            .env("DOORWARD_STATUS__ADDRESS", "127.0.0.1:0")
            .env("DOORWARD_ADMIN__ADDRESS", "127.0.0.1:0")
            .env("DOORWARD_LOG__FORMAT", "json");
        let door = Doorward::spawn(Arc::clone(&folder), serve);
        let made = Command::new(env!("CARGO_BIN_EXE_doorward"))
            .args(&started(2)[1..])
            .arg("--json")
            .current_dir(folder.path())
            .output()
            .expect("the binary runs");
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        let made: Value = serde_json::from_slice(&made.stdout).expect("JSON");
        let token = made["secret"].as_str().expect("a secret").to_owned();
        Self {
            readme,
            app,
            door,
            token,
        }
    }

    /// A command of the README, with what stands in it for the reader to replace.
    fn typed(&self, number: usize) -> Vec<String> {
        let command = commands(&self.readme)[number];
        let command = command
            .replace("TOKEN", &self.token)
            .replace("127.0.0.1:8080", &self.door.proxy.to_string());
        // Words, and what stands in quotes.
        let parts = command.split('"').enumerate();
        parts
            .flat_map(|(n, part)| match n % 2 {
                1 => vec![part.to_owned()],
                _ => part.split_whitespace().map(str::to_owned).collect(),
            })
            .collect()
    }

    /// What the page of the example shows in a browser.
    fn page(&self) -> String {
        let profile = TempDir::new().expect("a folder");
        let output = Command::new("chromium")
            .args(["--headless", "--disable-gpu", "--disable-dev-shm-usage"])
            // Tests run as root in containers, where its sandbox does not.
            .args(["--no-sandbox", "--virtual-time-budget=5000", "--dump-dom"])
            .arg(format!("--user-data-dir={}", profile.path().display()))
            .arg(format!("http://{}/#{}", self.door.proxy, self.token))
            .stdin(Stdio::null())
            .output()
            .expect("chromium is installed (`scripts/setup.sh test` installs it)");
        let page = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(!page.is_empty(), "{}", String::from_utf8_lossy(&output.stderr));
        page
    }
}

/// Starts an app and waits until it listens.
fn run(folder: &Path, arguments: &[String]) -> Running {
    let (program, arguments) = program(arguments);
    let child = Command::new(&program)
        .args(arguments)
        .current_dir(folder)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap_or_else(|e| panic!("{}: {e}", program.display()));
    let mut running = Running(child, Arc::default());
    let mut said = BufReader::new(running.0.stdout.take().expect("piped"));
    let mut line = String::new();
    said.read_line(&mut line).expect("a line");
    assert!(line.contains(" on "), "{line:?}");
    // Read on, or the app would wait for whoever reads.
    let text = Arc::clone(&running.1);
    std::thread::spawn(move || {
        for line in said.lines().map_while(Result::ok) {
            text.lock().expect("not poisoned").push_str(&line);
        }
    });
    running
}

/// What is run, and with what: `cargo run --example NAME --` is an example that is built first.
fn program(arguments: &[String]) -> (PathBuf, &[String]) {
    let is_cargo = arguments.first().is_some_and(|a| a == "cargo");
    if !is_cargo {
        return (PathBuf::from(&arguments[0]), &arguments[1..]);
    }
    let name = &arguments[3];
    let built = Command::new(env!("CARGO"))
        .args(["build", "--quiet", "--example", name])
        .current_dir(root())
        .output()
        .expect("cargo runs");
    assert!(
        built.status.success(),
        "{}",
        String::from_utf8_lossy(&built.stderr)
    );
    let tests = std::env::current_exe().expect("this test");
    let target = tests.ancestors().nth(2).expect("the folder of the profile");
    (target.join("examples").join(name), &arguments[5..])
}

fn text_of(output: &Output) -> String {
    format!(
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    )
}

#[test]
fn websocket_runs_as_written_and_in_a_browser() {
    let example = Example::start("websocket", &["python3", "app.py"]);
    assert_eq!(get(example.door.proxy, "/ws", &[]).status, 401, "without a token");
    let page = example.page();
    assert!(page.contains(" said: hello</p>"), "{page}");
    assert!(!page.contains("nobody said"), "the app is told who it is: {page}");
    until("the browser's tunnel has ended", || {
        let lines = example.door.metric("doorward_upstream_tunnels{");
        lines.iter().all(|l| l.ends_with(" 0"))
    });
    let forwarded = example.door.log_text();
    assert!(!forwarded.contains(&example.token), "no token in any log");
}

#[test]
fn sse_runs_as_written_and_in_a_browser() {
    let example = Example::start("sse", &["python3", "app.py"]);
    let typed = example.typed(3);
    assert_eq!(typed[0], "curl");
    let mut curl = Command::new("curl")
        .args(&typed[1..])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .map(|child| Running(child, Arc::default()))
        .expect("curl is installed (`scripts/setup.sh test` installs it)");
    let mut events = BufReader::new(curl.0.stdout.take().expect("piped")).lines();
    let mut data = events
        .by_ref()
        .map_while(Result::ok)
        .filter(|l| l.starts_with("data: "));
    for n in 1..=3 {
        let event = data.next().expect("an event");
        assert!(event.starts_with(&format!("data: event {n} for ")), "{event}");
        assert!(!event.ends_with("nobody"), "{event}");
    }
    drop(curl);
    let page = example.page();
    assert!(
        page.contains("event 5 for ") && !page.contains("nobody"),
        "{page}"
    );
    until("every listener is gone for the app too", || {
        let said = example.app.1.lock().expect("not poisoned");
        said.matches("a listener left").count() == 2
    });
}

#[test]
fn grpc_runs_as_written() {
    let example = Example::start("grpc", &["cargo", "run", "--example", "grpc", "--", "serve"]);
    let typed = example.typed(3);
    let (program, arguments) = program(&typed);
    let called = Command::new(&program).args(arguments).output().expect("runs");
    let said = text_of(&called);
    assert!(called.status.success(), "{said}");
    // Line by line what the README shows, but for the caller's id.
    let (_, shown) = example.readme.split_once("TOKEN\nunary").expect("an output");
    let shown = shown.split("```").next().expect("to its end");
    let without_caller = |text: &str| {
        text.rsplit_once(": ")
            .map_or(text.to_owned(), |(_, last)| last.to_owned())
    };
    let lines = |text: &str| text.trim().lines().map(without_caller).collect::<Vec<_>>();
    assert_eq!(lines(&said), lines(shown));
    let mut wrong = arguments.to_vec();
    wrong[2] = "dw_wrong".to_owned();
    let refused = Command::new(&program).args(&wrong).output().expect("runs");
    assert!(
        text_of(&refused).contains("Unauthenticated"),
        "{}",
        text_of(&refused)
    );
}

#[test]
fn every_example_is_listed() {
    let folder = root().join("examples");
    let list = std::fs::read_to_string(folder.join("README.md")).expect("a list");
    for entry in std::fs::read_dir(&folder).expect("the folder") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            let name = path.file_name().and_then(|n| n.to_str()).expect("a name");
            assert!(
                list.contains(&format!("[{name}]({name}/)")),
                "{name} is not in examples/README.md"
            );
        }
    }
}
