//! The real binary, started on an empty folder and free ports; ended by its id when the test ends.

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::{Arc, Condvar, Mutex};

use serde_json::Value;
use tempfile::TempDir;

use super::http::{Answer, Client, PATIENCE};

/// A running instance.
pub struct Doorward {
    child: Option<Child>,
    folder: Arc<TempDir>,
    lines: Arc<Lines>,
    pub proxy: SocketAddr,
    pub status: SocketAddr,
    pub admin: Option<SocketAddr>,
}

#[derive(Default)]
struct Lines {
    all: Mutex<Vec<String>>,
    ended: Mutex<bool>,
    more: Condvar,
}

impl Doorward {
    /// Starts with this configuration, to which data folder, free ports and JSON logs are added.
    /// `listeners`, `status`, `admin`, `log` and `data_dir` may not stand in it.
    pub fn start(config: &str) -> Self {
        Self::start_in(Arc::new(TempDir::new().expect("a folder")), config, &[])
    }

    /// Starts on a folder that another instance may have used before.
    pub fn start_in(folder: Arc<TempDir>, config: &str, environment: &[(&str, &str)]) -> Self {
        Self::start_listening(
            folder,
            "{ name: public, address: 127.0.0.1:0 }",
            config,
            environment,
        )
    }

    /// Starts with one listener written out in YAML's flow style.
    pub fn start_listening(
        folder: Arc<TempDir>,
        listener: &str,
        config: &str,
        environment: &[(&str, &str)],
    ) -> Self {
        let path = write_config(folder.path(), listener, config);
        let mut command = Command::new(env!("CARGO_BIN_EXE_doorward"));
        command
            .arg("serve")
            .arg("--config")
            .arg(&path)
            .envs(environment.iter().copied());
        Self::spawn(folder, command)
    }

    /// Starts any command line that serves, with `Stdio` set up and log lines read.
    pub fn spawn(folder: Arc<TempDir>, mut command: Command) -> Self {
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the binary starts");
        let lines = Arc::new(Lines::default());
        let pipe = BufReader::new(child.stderr.take().expect("piped"));
        let shared = Arc::clone(&lines);
        std::thread::spawn(move || {
            for line in pipe.lines().map_while(Result::ok) {
                shared.all.lock().expect("not poisoned").push(line);
                shared.more.notify_all();
            }
            *shared.ended.lock().expect("not poisoned") = true;
            shared.more.notify_all();
        });
        let mut this = Self {
            child: Some(child),
            folder,
            lines,
            proxy: ([127, 0, 0, 1], 1).into(),
            status: ([127, 0, 0, 1], 1).into(),
            admin: None,
        };
        this.proxy = this.listening("proxy");
        this.status = this.listening("status");
        this.wait_for_line(|l| l["message"] == "ready");
        this.admin = this.addresses("admin").first().copied();
        this
    }

    fn addresses(&self, door: &str) -> Vec<SocketAddr> {
        self.log_lines()
            .iter()
            .filter(|l| l["message"] == "listening" && l["door"] == door)
            .filter_map(|l| l["address"].as_str().and_then(|a| a.parse().ok()))
            .collect()
    }

    /// The proxy's TCP listeners, in the order of the configuration.
    pub fn listeners(&self) -> Vec<SocketAddr> {
        self.addresses("proxy")
    }

    fn listening(&self, door: &str) -> SocketAddr {
        self.wait_for_line(|l| l["message"] == "listening" && l["door"] == door);
        self.addresses(door)[0]
    }

    /// Every JSON line logged so far.
    pub fn log_lines(&self) -> Vec<Value> {
        let all = self.lines.all.lock().expect("not poisoned");
        all.iter().filter_map(|l| serde_json::from_str(l).ok()).collect()
    }

    /// Everything written to standard error so far.
    pub fn log_text(&self) -> String {
        self.lines.all.lock().expect("not poisoned").join("\n")
    }

    /// Waits for a log line.
    pub fn wait_for_line(&self, wanted: impl Fn(&Value) -> bool) {
        let mut all = self.lines.all.lock().expect("not poisoned");
        loop {
            if all
                .iter()
                .filter_map(|l| serde_json::from_str(l).ok())
                .any(|l| wanted(&l))
            {
                return;
            }
            let ended = *self.lines.ended.lock().expect("not poisoned");
            assert!(!ended, "it ended without the line:\n{}", all.join("\n"));
            let (guard, timeout) = self.lines.more.wait_timeout(all, PATIENCE).expect("not poisoned");
            all = guard;
            assert!(!timeout.timed_out(), "the line did not come:\n{}", all.join("\n"));
        }
    }

    /// The folder that holds configuration and data.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// The folder, to start another instance on it.
    pub fn shared_folder(&self) -> Arc<TempDir> {
        Arc::clone(&self.folder)
    }

    /// The process id.
    pub fn pid(&self) -> u32 {
        self.child.as_ref().expect("running").id()
    }

    /// A new connection to the proxy.
    pub fn connect(&self) -> Client {
        Client::connect(self.proxy)
    }

    /// One GET on a connection of its own.
    pub fn get(&self, target: &str, headers: &[&str]) -> Answer {
        self.connect().get(target, headers)
    }

    /// Runs a management command against this instance and returns its JSON.
    pub fn cli(&self, arguments: &[&str]) -> Value {
        let output = cli(self.folder(), arguments);
        assert!(
            output.status.success(),
            "{arguments:?}: {}{}",
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr)
        );
        serde_json::from_slice(&output.stdout)
            .unwrap_or_else(|e| panic!("{arguments:?}: {e}: {}", String::from_utf8_lossy(&output.stdout)))
    }

    /// One metric's samples, as `name{labels} value` lines.
    pub fn metric(&self, name: &str) -> Vec<String> {
        super::http::get(self.status, "/metrics", &[])
            .text()
            .lines()
            .filter(|l| l.starts_with(name))
            .map(str::to_owned)
            .collect()
    }

    /// The reading end of its standard output, which otherwise nobody reads.
    pub fn stdout(&mut self) -> std::process::ChildStdout {
        let child = self.child.as_mut().expect("running");
        child.stdout.take().expect("taken once")
    }

    /// Sends a signal by name, such as `TERM`.
    pub fn signal(&self, name: &str) {
        let done = Command::new("kill")
            .arg(format!("-{name}"))
            .arg(self.pid().to_string())
            .status();
        assert!(done.expect("kill runs").success());
    }

    /// Waits for the end and returns the exit code.
    pub fn wait(mut self) -> Option<i32> {
        self.wait_here()
    }

    /// The same, for whoever has more to ask it afterwards.
    pub fn wait_here(&mut self) -> Option<i32> {
        let status = self.child.take().expect("running").wait().expect("waits");
        status.code()
    }

    /// Ends it at once, as a power cut would.
    pub fn kill(mut self) -> Arc<TempDir> {
        let mut child = self.child.take().expect("running");
        child.kill().expect("kills");
        child.wait().expect("waits");
        Arc::clone(&self.folder)
    }
}

impl Drop for Doorward {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// Writes `doorward.yaml` into the folder.
pub fn write_config(folder: &Path, listener: &str, config: &str) -> PathBuf {
    let path = folder.join("doorward.yaml");
    let text = format!(
        "version: 1\ndata_dir: {data}\nlisteners: [{listener}]\nadmin: {{ address: 127.0.0.1:0 }}\n\
         status: {{ address: 127.0.0.1:0 }}\nlog: {{ format: json, level: info }}\ndrain: {{ delay: 0s, timeout: 5s }}\n{config}",
        data = folder.join("data").display(),
    );
    std::fs::write(&path, text).expect("writes");
    path
}

/// Runs a command of the real binary with the folder's configuration and `--json`.
pub fn cli(folder: &Path, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_doorward"))
        .arg("--config")
        .arg(folder.join("doorward.yaml"))
        .args(arguments)
        .arg("--json")
        .stdin(Stdio::null())
        .output()
        .expect("the binary runs")
}
