//! The image's recipe: read by a linter, its sources complete, and the command with which it checks itself.

use std::path::Path;
use std::process::Command;

use tempfile::TempDir;

use super::{path, read, run, tool};
use crate::support::wait::until;
use crate::support::{Client, Doorward, Reply, Upstream};

const RECIPE: &str = "deploy/docker/Dockerfile";
const SENT: &str = "deploy/docker/Dockerfile.dockerignore";

/// What the recipe copies from the repository.
fn copied() -> Vec<String> {
    let text = read(RECIPE);
    let lines = text.lines().filter_map(|l| l.strip_prefix("COPY "));
    let ours = lines.filter(|l| !l.starts_with("--from"));
    let sources = |line: &str| {
        let words: Vec<String> = line.split(' ').map(str::to_owned).collect();
        words[..words.len() - 1].to_vec()
    };
    ours.flat_map(sources).collect()
}

fn copy(from: &Path, to: &Path) {
    if from.is_dir() {
        std::fs::create_dir_all(to).expect("a folder");
        for entry in std::fs::read_dir(from).expect("a folder") {
            let entry = entry.expect("an entry");
            copy(&entry.path(), &to.join(entry.file_name()));
        }
    } else {
        std::fs::copy(from, to).expect("copied");
    }
}

#[test]
fn a_linter_finds_nothing_to_complain_about() {
    let (good, said) = run(tool("hadolint").arg(path(RECIPE)));
    assert!(good && said.is_empty(), "{said}");
}

#[test]
fn what_is_copied_is_there_is_sent_and_is_all_that_cargo_needs() {
    let sent = read(SENT);
    let sent: Vec<&str> = sent.lines().filter_map(|l| l.strip_prefix('!')).collect();
    let folder = TempDir::new().expect("a folder");
    for source in copied() {
        assert!(sent.contains(&source.as_str()), "{source} is not sent: {sent:?}");
        copy(&path(&source), &folder.path().join(&source));
    }
    assert_eq!(sent.len(), copied().len(), "nothing is sent that is not needed");
    // Every target of the package has its file, and nothing but the lock file is asked about versions.
    let mut cargo = Command::new(env!("CARGO"));
    cargo.args([
        "metadata",
        "--no-deps",
        "--locked",
        "--offline",
        "--format-version=1",
        "--manifest-path",
    ]);
    let (good, said) = run(cargo.arg(folder.path().join("Cargo.toml")));
    assert!(good, "{said}");
}

#[test]
fn the_image_runs_as_nobody_with_a_program_and_no_shell() {
    let text = read(RECIPE);
    let (_, last) = text.rsplit_once("\nFROM ").expect("stages");
    for needed in [
        "scratch\n",
        "\nUSER 65532:65532\n",
        "\nVOLUME [\"/data\"]\n",
        "--chown=65532:65532 /data /data\n",
        "CMD [\"/doorward\", \"health\"]\n",
        "\nENTRYPOINT [\"/doorward\"]\n",
    ] {
        assert!(last.contains(needed), "{needed}");
    }
    assert!(!last.contains("\nRUN "), "there is nothing to run with");
}

fn health(address: &str, more: &[&str]) -> (Option<i32>, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_doorward"));
    command
        .arg("health")
        .args(more)
        .env("DOORWARD_STATUS_ADDRESS", address);
    // A file that is not there: none is read.
    command.env("DOORWARD_CONFIG", "/nowhere/doorward.yaml");
    let output = command.output().expect("the binary runs");
    let said = [output.stdout, output.stderr].concat();
    (output.status.code(), String::from_utf8_lossy(&said).into_owned())
}

#[test]
fn the_program_asks_its_own_status_door() {
    let upstream = Upstream::start(Reply::Ok("hello"));
    let door = Doorward::start(&format!(
        "upstreams: {{ api: {{ url: \"http://{}\" }} }}\nroutes: [{{ path: /, upstream: api, access: public }}]\n",
        upstream.address
    ));
    let at = door.status.to_string();
    assert_eq!(health(&at, &[]).0, Some(0));
    for probe in ["live", "ready", "startup"] {
        assert_eq!(health(&at, &["--probe", probe]).0, Some(0), "{probe}");
    }
    let everywhere = format!("0.0.0.0:{}", door.status.port());
    assert_eq!(health(&everywhere, &[]).0, Some(0), "as the image has it");
    let (code, said) = health(&at, &["--json"]);
    let answer: serde_json::Value = serde_json::from_str(&said).expect("JSON");
    assert_eq!((code, &answer["healthy"]), (Some(0), &true.into()));

    let (code, said) = health("127.0.0.1:1", &[]);
    assert!(code == Some(1) && said.contains("did not answer"), "{said}");

    // While it drains it is alive and not ready. An open connection keeps it.
    let mut open = Client::connect(door.proxy);
    assert_eq!(open.get("/", &[]).status, 200);
    door.signal("TERM");
    until("it is not ready", || health(&at, &[]).0 == Some(1));
    assert_eq!(health(&at, &["--probe", "live"]).0, Some(0));
    assert!(health(&at, &[]).1.contains("draining"));
    drop(open);
}
