//! The room as a whole: what loads, what does not and how that is told, and that the documents are complete.

mod bad;
mod compare;
mod documents;
mod good;
mod hostile;
mod surroundings;

use super::{Environment, Loaded, Problems, load_text};

/// A configuration that lacks nothing but what a test adds.
const BASE: &str = "version: 1\nupstreams: { api: { url: 'http://127.0.0.1:9000' } }\n";

fn read(text: &str) -> Result<Loaded, Problems> {
    load_text("doorward.yaml", text, &Environment::default())
}

fn good(text: &str) -> Loaded {
    read(text).unwrap_or_else(|p| panic!("{text}\n{p}"))
}

fn bad(text: &str) -> String {
    read(text).expect_err("refused").to_string()
}

/// One route with these keys, on a plain base.
fn route(keys: &str) -> String {
    format!("{BASE}routes:\n  - {{ {keys} }}\n")
}
