//! `doorward import` with the real binary: ended in mid-run, and beside a running server.

use std::fmt::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::Value;
use tempfile::TempDir;

use crate::support::wait::until;
use crate::support::{Doorward, Reply, Upstream, fixtures};

/// More than two batches.
const ROWS: usize = 45_000;

fn import(folder: &Path, file: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_doorward"));
    command
        .current_dir(folder)
        .args(["import", "tagoio", "--json"])
        .arg(file)
        .env_remove("DOORWARD_CONFIG")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command
}

fn tokens(folder: &Path) -> std::path::PathBuf {
    let mut text = String::new();
    for n in 0..ROWS {
        let _ = writeln!(
            text,
            "{{\"token\":\"token-number-{n}\",\"device_id\":\"device-{}\"}}",
            n % 1000
        );
    }
    let path = folder.join("tokens.jsonl");
    std::fs::write(&path, text).expect("written");
    path
}

#[test]
fn an_import_that_is_killed_neither_repeats_nor_skips() {
    let folder = TempDir::new().expect("a folder");
    let file = tokens(folder.path());
    let mut first = import(folder.path(), &file).spawn().expect("the binary starts");
    // The first batch is kept when the log of the store has grown by it.
    let wal = folder.path().join("data/doorward.db-wal");
    until("the first batch", || {
        std::fs::metadata(&wal).is_ok_and(|m| m.len() > 4 << 20)
    });
    first.kill().expect("killed");
    first.wait().expect("ended");

    let again = import(folder.path(), &file).output().expect("it runs");
    assert!(
        again.status.success(),
        "{}",
        String::from_utf8_lossy(&again.stderr)
    );
    let report: Value = serde_json::from_slice(&again.stdout).expect("JSON");
    assert_eq!(
        (&report["credentials"], &report["known"], &report["refused"]),
        (&ROWS.into(), &0.into(), &0.into()),
        "{report}"
    );
}

#[test]
fn what_is_imported_beside_a_server_comes_in_at_once() {
    let upstream = Upstream::start(Reply::Ok("hello"));
    let doorward = Doorward::start(&fixtures::config(&upstream, &["{ path: /, upstream: api }"]));
    let file = doorward.folder().join("tokens.jsonl");
    std::fs::write(
        &file,
        "{\"token\":\"5a16405f-b32c-4c91-ae39-cbb2caba18d8\",\"device_id\":\"pump\"}\nnonsense\n",
    )
    .expect("written");
    let header = ["Device-Token: 5a16405f-b32c-4c91-ae39-cbb2caba18d8"];
    let report = doorward.cli(&["import", "tagoio", &file.display().to_string()]);
    assert_eq!(
        (&report["credentials"], &report["refused"]),
        (&1.into(), &1.into())
    );
    assert_eq!(doorward.get("/", &header).status, 200);
}
