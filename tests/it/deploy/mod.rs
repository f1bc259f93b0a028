//! What `deploy/` ships, held against the tools that will read it and against the program.
//!
//! An image cannot be built here and a cluster cannot be started: their files are checked by linters and
//! schemas, and the configurations in them are started as they are, but for addresses and paths.

/// The image's recipe and the command it checks itself with.
mod image;
/// Kubernetes manifests.
mod kubernetes;
/// Prometheus' configuration and alerts.
mod prometheus;
/// The systemd unit.
mod systemd;

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::Arc;

use serde_json::Value;
use tempfile::TempDir;

use crate::support::Doorward;

/// A file of the repository.
fn path(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(name)
}

fn read(name: &str) -> String {
    std::fs::read_to_string(path(name)).unwrap_or_else(|e| panic!("{name}: {e}"))
}

/// A tool that `scripts/setup.sh test` puts into the project's own folder.
fn tool(name: &str) -> Command {
    Command::new(path("target/tools/bin").join(name))
}

/// Runs to the end; what it said, and whether it was content.
fn run(command: &mut Command) -> (bool, String) {
    let output: Output = command
        .stdin(Stdio::null())
        .output()
        .unwrap_or_else(|e| panic!("{command:?}: {e}; scripts/setup.sh test installs it"));
    let said = [output.stdout, output.stderr].concat();
    (
        output.status.success(),
        String::from_utf8_lossy(&said).into_owned(),
    )
}

/// Every document of a YAML file, as another reader than ours understands it.
fn documents(name: &str) -> Vec<Value> {
    let script = "import json, sys, yaml\nprint(json.dumps(list(yaml.safe_load_all(open(sys.argv[1])))))";
    let (good, said) = run(tool("python").args(["-c", script]).arg(path(name)));
    assert!(good, "{name}: {said}");
    serde_json::from_str(&said).unwrap_or_else(|e| panic!("{name}: {e}: {said}"))
}

/// What `doorward check` warns about, or panics with its problems.
fn warnings(config: &Path, environment: &[(&str, &str)]) -> Vec<String> {
    let (good, said) = run(Command::new(env!("CARGO_BIN_EXE_doorward"))
        .args(["check", "--config"])
        .arg(config)
        .envs(environment.iter().copied()));
    assert!(good, "{}: {said}", config.display());
    let warned = said.lines().filter_map(|l| l.strip_prefix("warning"));
    warned.map(|l| l.trim().to_owned()).collect()
}

/// Starts a shipped configuration, on ports of our own.
fn start(folder: &Arc<TempDir>, text: &str) -> Doorward {
    let config = folder.path().join("doorward.yaml");
    std::fs::write(&config, text).expect("written");
    let mut command = Command::new(env!("CARGO_BIN_EXE_doorward"));
    command
        .args(["serve", "--config"])
        .arg(&config)
        .env("DOORWARD_STATUS_ADDRESS", "127.0.0.1:0");
    Doorward::spawn(Arc::clone(folder), command)
}
