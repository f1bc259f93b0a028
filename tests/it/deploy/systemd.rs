//! The systemd unit, as systemd's own tools read it.

use std::process::Command;
use std::sync::Arc;

use tempfile::TempDir;

use super::{read, run, start, warnings};
use crate::support::{Reply, Upstream, http};

const UNIT: &str = "deploy/systemd/doorward.service";
const CONFIG: &str = "deploy/systemd/doorward.yaml";

/// The unit with this program in the place of an installed one, in a folder of its own.
fn installed(folder: &TempDir) -> std::path::PathBuf {
    let text = read(UNIT).replace("/usr/local/bin/doorward", env!("CARGO_BIN_EXE_doorward"));
    let unit = folder.path().join("doorward.service");
    std::fs::write(&unit, text).expect("written");
    unit
}

fn setting(name: &str) -> String {
    let unit = read(UNIT);
    let line = unit.lines().find_map(|l| l.strip_prefix(name)?.strip_prefix('='));
    line.unwrap_or_else(|| panic!("{name} stands in the unit"))
        .to_owned()
}

#[test]
fn systemd_understands_the_unit() {
    let folder = TempDir::new().expect("a folder");
    let (good, said) = run(Command::new("systemd-analyze")
        .arg("verify")
        .arg(installed(&folder)));
    assert!(good && said.is_empty(), "{said}");
    // The check sees what is wrong: otherwise it would prove nothing.
    let unit = installed(&folder);
    let broken = std::fs::read_to_string(&unit).expect("read");
    std::fs::write(&unit, broken.replace("ProtectClock", "ProtectClocks")).expect("written");
    let (_, said) = run(Command::new("systemd-analyze").arg("verify").arg(&unit));
    assert!(said.contains("ProtectClocks"), "{said}");
}

#[test]
fn the_unit_takes_away_what_the_program_never_needs() {
    let folder = TempDir::new().expect("a folder");
    // Exposure in tenths: 0 is nothing at all, 100 everything. Under 20 systemd says OK.
    let mut analyze = Command::new("systemd-analyze");
    analyze.args(["security", "--offline=true", "--threshold=15", "--no-pager"]);
    let (good, said) = run(analyze.arg(installed(&folder)));
    assert!(good, "{said}");
}

#[test]
fn the_unit_gives_the_time_that_stopping_takes() {
    let folder = TempDir::new().expect("a folder");
    let text = read(CONFIG);
    let stop = setting("TimeoutStopSec");
    assert!(
        text.contains(&format!("grace_period: {stop}")),
        "TimeoutStopSec={stop} is what the configuration says"
    );
    let config = folder.path().join("doorward.yaml");
    std::fs::write(&config, &text).expect("written");
    let about_time = |w: &String| w.starts_with("drain");
    assert!(!warnings(&config, &[]).iter().any(about_time));
    std::fs::write(
        &config,
        text.replace(&format!("grace_period: {stop}"), "grace_period: 30s"),
    )
    .expect("written");
    assert!(
        warnings(&config, &[]).iter().any(about_time),
        "30s are too little"
    );
}

#[test]
fn the_configuration_of_the_unit_serves() {
    let upstream = Upstream::start(Reply::Ok("hello"));
    let folder = Arc::new(TempDir::new().expect("a folder"));
    let state = format!("/var/lib/{}", setting("StateDirectory"));
    let text = read(CONFIG);
    assert!(
        text.contains(&format!("data_dir: {state}")),
        "what the unit lets it write to"
    );
    let text = text
        .replace(&state, &folder.path().join("state").display().to_string())
        .replace("0.0.0.0:8080", "127.0.0.1:0")
        .replace("127.0.0.1:9000", &upstream.address.to_string());
    let door = start(&folder, &format!("{text}admin: {{ address: off }}\n"));
    assert_eq!(http::get(door.status, "/readyz", &[]).status, 200);
    assert_eq!(door.get("/", &[]).status, 401);
}
