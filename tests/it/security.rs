//! `docs/security.md` against the code: each promise names the tests that hold it, and they exist.

use std::path::Path;

/// The rows that are proved today.
const ROWS: [&str; 23] = [
    "S1", "S2", "S3", "S5", "S6", "S7", "S8", "S9", "S10", "S11", "S12", "S13", "S14", "S17", "S17b", "S17c",
    "S20", "S21", "S22", "R1", "R2", "R3", "R4",
];

/// The text of every Rust file below a folder.
fn sources(folder: &Path, into: &mut String) {
    for entry in std::fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            sources(&path, into);
        } else if path.extension().is_some_and(|e| e == "rs") {
            into.push_str(&std::fs::read_to_string(&path).expect("UTF-8"));
        }
    }
}

/// Words in code letters.
fn quoted(text: &str) -> impl Iterator<Item = &str> {
    text.split('`').skip(1).step_by(2)
}

fn defines(source: &str, name: &str) -> bool {
    source.contains(&format!("fn {name}("))
}

#[test]
fn every_promise_names_tests_that_exist() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let page = std::fs::read_to_string(root.join("docs/security.md")).expect("the page");
    let mut all = String::new();
    sources(&root.join("src"), &mut all);
    sources(&root.join("tests"), &mut all);
    let mut rows = Vec::new();
    for section in page.split("\n### ").skip(1) {
        let row = section.split(' ').next().expect("a number");
        let (_, proof) = section
            .split_once("**Proved by**")
            .unwrap_or_else(|| panic!("{row} has no proof"));
        let proof = proof.split("\n\n").next().expect("a paragraph");
        let mut file: Option<String> = None;
        let mut names = 0;
        for word in quoted(proof) {
            if word.contains('/') {
                let text = std::fs::read_to_string(root.join(word));
                file = Some(text.unwrap_or_else(|e| panic!("{row}: {word}: {e}")));
                continue;
            }
            names += 1;
            let found = defines(file.as_ref().unwrap_or(&all), word);
            assert!(found, "{row}: there is no test `{word}`");
        }
        assert!(names > 0, "{row} names no test");
        rows.push(row);
    }
    assert_eq!(rows, ROWS);
}

#[test]
fn every_fault_names_a_test_that_exists() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let page = std::fs::read_to_string(root.join("docs/security.md")).expect("the page");
    let (_, faults) = page.split_once("## When something breaks").expect("the table");
    let mut rows = 0;
    for line in faults.lines().filter(|line| line.contains("`tests/it/")) {
        let words: Vec<&str> = quoted(line).collect();
        let [file, names @ ..] = words.as_slice() else {
            panic!("no file: {line}");
        };
        let source = std::fs::read_to_string(root.join(file)).expect("the file");
        assert!(!names.is_empty(), "{line}");
        for name in names {
            assert!(defines(&source, name), "{file} has no test `{name}`");
        }
        rows += 1;
    }
    assert!(rows >= 10, "rows were lost: {rows}");
}
