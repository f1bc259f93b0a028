//! docs/secret-scanning.md holds what it says: its expressions against tokens that were issued, its script against
//! their checksums.

use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

use tempfile::TempDir;

const DOCUMENT: &str = include_str!("../../docs/secret-scanning.md");

fn issue(folder: &Path, arguments: &[&str]) -> String {
    let output = Command::new(env!("CARGO_BIN_EXE_doorward"))
        .current_dir(folder)
        .args(arguments)
        .env_remove("DOORWARD_CONFIG")
        .env("DOORWARD_CREDENTIALS__API_TOKEN__BCRYPT_COST", "4")
        .output()
        .expect("the binary runs");
    let text = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    assert!(output.status.success() && !text.is_empty(), "{arguments:?}");
    text
}

fn filter(program: &str, arguments: &[&str], stdin: &str) -> String {
    let mut child = Command::new(program)
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("it starts");
    child
        .stdin
        .take()
        .expect("piped")
        .write_all(stdin.as_bytes())
        .expect("written");
    String::from_utf8_lossy(&child.wait_with_output().expect("ends").stdout).into_owned()
}

/// The second cell of each row of the table, as it is written.
fn expressions() -> Vec<&'static str> {
    let rows = DOCUMENT.lines().filter(|line| line.starts_with("| "));
    let cells = rows.filter_map(|row| {
        row.split("| ")
            .nth(2)?
            .trim()
            .strip_prefix('`')?
            .strip_suffix('`')
    });
    cells.collect()
}

#[test]
fn every_expression_finds_its_form_and_no_other() {
    let folder = TempDir::new().expect("a folder");
    let here = folder.path();
    issue(here, &["device", "create", "pump-0001"]);
    let tokens = [
        issue(here, &["token", "create", "--for", "ci"]),
        issue(here, &["device", "token", "pump-0001", "--format", "dwt"]),
        issue(
            here,
            &[
                "token",
                "create",
                "--kind",
                "sealed_device_token",
                "--device",
                "pump-0001",
                "--format",
                "v2",
            ],
        ),
        issue(here, &["token", "create", "--for", "ci", "--format", "homechat"]),
        issue(
            here,
            &["token", "create", "--for", "ci", "--format", "thingsboard"],
        ),
    ];
    let expressions = expressions();
    assert_eq!(
        expressions.len(),
        tokens.len(),
        "a row for each form: {expressions:?}"
    );
    let all = tokens.join("\n");
    for (expression, token) in expressions.into_iter().zip(&tokens) {
        let found = filter("grep", &["-xE", expression], &all);
        assert_eq!(found.trim(), token, "{expression}");
    }
}

#[test]
fn the_documented_script_knows_the_checksum() {
    let folder = TempDir::new().expect("a folder");
    let token = issue(folder.path(), &["token", "create", "--for", "ci"]);
    let example = "dw_1a2b3c4d_ABCDEFGHIJKLMNOPQRSTUVWXYZ01234543S1Y5";
    assert!(DOCUMENT.contains(example));
    let script = DOCUMENT
        .split("```python\n")
        .nth(1)
        .and_then(|s| s.split("```").next());
    let typo = format!("{}{}", &token[..token.len() - 7], "0000000");
    let found = filter(
        "python3",
        &["-c", script.expect("a script")],
        &format!("{token}\n{typo}\n{example}\n"),
    );
    assert_eq!(found, format!("{token}\n{example}\n"));
}
