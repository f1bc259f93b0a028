//! The command line as it is typed: the real binary on an empty folder, and beside a running server.

use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::sync::Arc;

use serde_json::Value;
use tempfile::TempDir;

use crate::support::{Doorward, Reply, Upstream};

/// Runs a command on a data folder of its own, without a configuration file.
fn doorward(folder: &Path, arguments: &[&str], stdin: &str) -> Output {
    let mut child = Command::new(env!("CARGO_BIN_EXE_doorward"))
        .current_dir(folder)
        .args(arguments)
        .env_remove("DOORWARD_CONFIG")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the binary starts");
    // A command that does not read may be gone already.
    let _ = child.stdin.take().expect("piped").write_all(stdin.as_bytes());
    child.wait_with_output().expect("it ends")
}

fn json(folder: &Path, arguments: &[&str]) -> Value {
    let output = doorward(folder, &[arguments, &["--json"]].concat(), "");
    assert!(output.status.success(), "{arguments:?}: {}", stderr(&output));
    serde_json::from_slice(&output.stdout).expect("JSON on standard output, and nothing else")
}

fn stdout(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn a_token_is_made_listed_shown_and_revoked_on_an_empty_folder() {
    let folder = TempDir::new().expect("a folder");
    let here = folder.path();
    let made = doorward(
        here,
        &[
            "token",
            "create",
            "--for",
            "ci",
            "--scope",
            "read,write",
            "--expires",
            "30d",
        ],
        "",
    );
    assert!(made.status.success(), "{}", stderr(&made));
    let secret = stdout(&made).trim().to_owned();
    assert!(
        secret.starts_with("dw_"),
        "the secret stands alone on standard output: {secret}"
    );
    assert!(stderr(&made).contains("shown only now"));

    let listed = json(here, &["token", "list", "--kind", "api_token"]);
    let token = &listed["items"][0];
    assert_eq!(token["scopes"], serde_json::json!(["read", "write"]));
    let id = token["id"].as_str().expect("an id");
    let shown = json(here, &["token", "show", id]);
    assert_eq!(
        (&shown["state"], &shown["owner"]["name"]),
        (&"active".into(), &"ci".into())
    );
    for answer in [
        stdout(&doorward(here, &["token", "list"], "")),
        stdout(&doorward(here, &["token", "show", id], "")),
    ] {
        assert!(answer.contains(id) && !answer.contains(&secret), "{answer}");
    }

    let revoked = doorward(here, &["token", "revoke", "--stdin"], &format!("{secret}\n"));
    assert!(revoked.status.success(), "{}", stderr(&revoked));
    assert!(stdout(&revoked).contains(id));
    assert_eq!(json(here, &["token", "show", id])["state"], "revoked");
    assert_eq!(json(here, &["audit", "verify"])["first_bad"], Value::Null);
}

#[test]
fn what_the_first_command_makes_is_its_owners_alone() {
    let folder = TempDir::new().expect("a folder");
    json(folder.path(), &["key", "list"]);
    let data = folder.path().join("data");
    let mut pending = vec![data];
    while let Some(path) = pending.pop() {
        let mode = std::fs::metadata(&path).expect("there").permissions().mode() & 0o7777;
        if path.is_dir() {
            assert_eq!(mode, 0o700, "{}", path.display());
            pending.extend(
                std::fs::read_dir(&path)
                    .expect("a folder")
                    .map(|e| e.expect("an entry").path()),
            );
        } else {
            assert_eq!(mode, 0o600, "{}", path.display());
        }
    }
}

#[test]
fn devices_and_every_kind_of_credential() {
    let folder = TempDir::new().expect("a folder");
    let here = folder.path();
    let device = json(here, &["device", "create", "serial-0001", "--name", "Pump"]);
    let first = json(
        here,
        &[
            "device",
            "token",
            "serial-0001",
            "--format",
            "alnum20",
            "--permission",
            "read",
        ],
    );
    assert_eq!(first["secret"].as_str().expect("a secret").len(), 20);
    assert_eq!(first["principal"], device["id"]);
    let second = json(here, &["device", "regenerate", "serial-0001"]);
    let first_id = first["id"].as_str().expect("an id");
    assert_eq!(json(here, &["token", "show", first_id])["state"], "revoked");
    assert_eq!(
        json(here, &["token", "show", second["id"].as_str().expect("an id")])["permission"],
        "read"
    );
    for arguments in [
        &["--kind", "jwt", "--for", "ci"][..],
        &["--kind", "sealed_device_token", "--device", "serial-0001"],
        &["--kind", "basic", "--for", "ci", "--user", "ci-user"],
        &[
            "--kind",
            "device_token",
            "--device",
            "serial-0001",
            "--https-only",
        ],
        &[
            "--kind",
            "api_token",
            "--for",
            "ci",
            "--network",
            "10.0.0.0/8",
            "--name",
            "nightly",
        ],
    ] {
        let made = json(here, &[&["token", "create"], arguments].concat());
        assert_eq!(made["kind"], arguments[1]);
    }
    let password = "correct horse battery\n";
    let arguments = [
        "token",
        "create",
        "--kind",
        "basic",
        "--for",
        "ci",
        "--user",
        "other",
        "--password-stdin",
    ];
    assert_eq!(stdout(&doorward(here, &arguments, password)), password);

    let key = json(here, &["key", "rotate", "jwt"]);
    assert_eq!(key["state"], "current");
    for arguments in [
        &["device", "revoke", "serial-0001"][..],
        &["revoke", "--principal", "auth0|somebody"],
        &["revoke", "--tenant", "acme"],
        &["revoke", "--all", "--yes"],
    ] {
        assert!(json(here, arguments)["seq"].as_u64().is_some(), "{arguments:?}");
    }
    let rows = json(here, &["token", "list"]);
    let rows = rows["items"].as_array().expect("rows");
    assert!(!rows.is_empty() && rows.iter().all(|t| t["state"] == "revoked"));
    assert_eq!(
        json(here, &["audit", "list", "--limit", "1"])["items"][0]["act"],
        "all.revoke"
    );
    assert_eq!(json(here, &["version"])["version"], env!("CARGO_PKG_VERSION"));
}

#[test]
fn exit_codes_and_remedies() {
    let folder = TempDir::new().expect("a folder");
    let here = folder.path();
    std::fs::write(here.join("bad.yaml"), "version: 1\nlisteners: 7\nroute: []\n").expect("written");
    for (arguments, code, part) in [
        (&["nonsense"][..], 2, "unrecognized subcommand"),
        (&["token", "revoke"], 2, "--stdin"),
        (
            &["token", "create", "--for", "a", "--device", "b"],
            2,
            "cannot be used with",
        ),
        (
            &["token", "create", "--for", "ci", "--expires", "soon"],
            2,
            "expected `never`",
        ),
        (
            &["token", "create", "--for", "ci", "--password-stdin"],
            2,
            "--kind basic",
        ),
        (
            &["token", "show", "0190-unknown"],
            1,
            "there is no credential `0190-unknown`",
        ),
        (
            &["device", "token", "serial-0009"],
            1,
            "there is no device `serial-0009`",
        ),
        (&["revoke", "--all"], 2, "--yes"),
        (&["revoke"], 2, "--principal"),
        (
            &["key", "rotate", "keys"],
            2,
            "device_token, lookup, jwt, assertion",
        ),
        (&["check"], 2, "--config"),
        (&["serve"], 2, "--upstream"),
        (
            &["serve", "--json", "--upstream", "http://127.0.0.1:1"],
            2,
            "log.format",
        ),
        (&["check", "--config", "bad.yaml"], 2, "did you mean"),
        (
            &["config", "print", "--config", "missing.yaml"],
            2,
            "missing.yaml",
        ),
    ] {
        let output = doorward(here, arguments, "");
        assert_eq!(
            output.status.code(),
            Some(code),
            "{arguments:?}: {}",
            stderr(&output)
        );
        assert!(
            stderr(&output).contains(part),
            "{arguments:?}: {}",
            stderr(&output)
        );
        assert!(output.stdout.is_empty(), "{arguments:?}: a fault is no result");
    }
    let problems = doorward(here, &["check", "--config", "bad.yaml", "--json"], "");
    let problems: Value = serde_json::from_slice(&problems.stdout).expect("JSON");
    assert!(
        problems["problems"].as_array().is_some_and(|p| p.len() >= 2),
        "all at once: {problems}"
    );
    assert!(doorward(here, &["--help"], "").status.success());
    let checked = doorward(here, &["check", "--upstream", "http://127.0.0.1:9000"], "");
    assert!(
        checked.status.success() && stdout(&checked).contains("127.0.0.1"),
        "{}",
        stderr(&checked)
    );
    assert!(json(here, &["config", "schema"])["properties"].is_object());
    assert!(
        !here.join("data").join("doorward.db.lock").exists(),
        "nothing was served"
    );
}

#[test]
fn beside_a_running_server_commands_go_over_its_socket_and_act_at_once() {
    let upstream = Upstream::start(Reply::Ok("ok"));
    let config = format!(
        "upstreams: {{ app: {{ url: \"http://{}\" }} }}\nroutes: [{{ path: /, upstream: app }}]",
        upstream.address
    );
    let server = Doorward::start(&config);
    let folder = Arc::clone(&server.shared_folder());
    let socket = folder.path().join("data/admin.sock");
    let mode = std::fs::metadata(&socket).expect("there").permissions().mode() & 0o7777;
    assert_eq!(mode, 0o600);
    let administrator = folder.path().join("data/administrator.token");
    let mode = std::fs::metadata(&administrator)
        .expect("there")
        .permissions()
        .mode()
        & 0o7777;
    assert_eq!(mode, 0o600, "nobody watched the start");

    let made = server.cli(&["token", "create", "--for", "ci"]);
    let bearer = format!(
        "Authorization: Bearer {}",
        made["secret"].as_str().expect("a secret")
    );
    assert_eq!(server.get("/", &[&bearer]).status, 200);
    server.cli(&["token", "revoke", made["id"].as_str().expect("an id")]);
    assert_eq!(
        server.get("/", &[&bearer]).status,
        401,
        "dead when the command returned"
    );

    let token = std::fs::read_to_string(&administrator).expect("read");
    let log = server.log_text();
    for secret in [token.trim(), made["secret"].as_str().expect("a secret")] {
        assert!(!log.contains(secret), "a secret is in the log");
    }
}
