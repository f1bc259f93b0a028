//! What is wrong with a configuration: every problem at once, each with its key, place, what was found,
//! what was expected and what to do.
//!
//! A problem never holds the text of a secret. What the process does about problems (print them, end with
//! exit code 2) is the command line's business.

use std::collections::HashMap;
use std::fmt;
use std::path::Path;

use serde::Serialize;

use super::named::{Content, NamedFile, Noted};

/// Where a value was written.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Origin {
    /// In the file.
    File {
        /// Line, from 1.
        line: usize,
        /// Column, from 1.
        column: usize,
    },
    /// In an environment variable of this name.
    Environment(String),
    /// In a flag of this name.
    Flag(String),
}

/// One problem.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Problem {
    /// Key path such as `routes[2].upstream`; empty for the file as a whole.
    pub key: String,
    /// Where it was written.
    pub origin: Option<Origin>,
    /// What was found.
    pub found: String,
    /// What was expected.
    pub expected: String,
    /// What to do.
    pub remedy: String,
}

impl Problem {
    /// The line of the file that it stands on, if it stands in the file.
    pub fn line(&self) -> Option<usize> {
        match self.origin {
            Some(Origin::File { line, .. }) => Some(line),
            _ => None,
        }
    }
}

/// Every problem of one configuration, in the order of the file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Problems {
    /// Name of the file, when there is one.
    pub file: Option<String>,
    /// The problems; never empty.
    pub problems: Vec<Problem>,
}

impl Problems {
    /// The problems as JSON, for programs.
    pub fn to_json(&self) -> serde_json::Value {
        serde_json::to_value(self).unwrap_or_default()
    }
}

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for problem in &self.problems {
            let key = match problem.key.as_str() {
                "" => "the configuration",
                key => key,
            };
            match (&problem.origin, &self.file) {
                (Some(Origin::File { line, column }), Some(file)) => {
                    writeln!(f, "{file}:{line}:{column}: {key}")?
                }
                (Some(Origin::File { line, column }), None) => writeln!(f, "{line}:{column}: {key}")?,
                (Some(Origin::Environment(name)), _) => writeln!(f, "environment {name}: {key}")?,
                (Some(Origin::Flag(name)), _) => writeln!(f, "flag {name}: {key}")?,
                (None, Some(file)) => writeln!(f, "{file}: {key}")?,
                (None, None) => writeln!(f, "{key}")?,
            }
            writeln!(f, "  found     {}", problem.found)?;
            writeln!(f, "  expected  {}", problem.expected)?;
            writeln!(f, "  remedy    {}", problem.remedy)?;
        }
        match self.problems.len() {
            1 => write!(f, "1 problem"),
            n => write!(f, "{n} problems"),
        }
    }
}

impl std::error::Error for Problems {}

/// Collects problems, and knows where each key was written and what it led to.
#[derive(Debug, Default)]
pub struct Report {
    origins: HashMap<String, Origin>,
    problems: Vec<Problem>,
    noted: Noted,
}

impl Report {
    /// Remembers where a key was written.
    pub fn locate(&mut self, key: &str, origin: &Origin) {
        self.origins.insert(key.to_owned(), origin.clone());
    }

    /// Whether a key was written at all.
    pub fn wrote(&self, key: &str) -> Written {
        if self.origins.contains_key(key) {
            Written::Yes
        } else {
            Written::No
        }
    }

    /// Where a key was written, or the closest key above it that was.
    fn origin(&self, key: &str) -> Option<Origin> {
        let mut key = key;
        loop {
            if let Some(origin) = self.origins.get(key) {
                return Some(origin.clone());
            }
            if key.is_empty() {
                return None;
            }
            key = key.rfind(['.', '[']).and_then(|end| key.get(..end)).unwrap_or("");
        }
    }

    /// Adds a problem with a key, unless that key or one above it has one already: what follows from a
    /// bad value is not worth telling.
    pub fn add(
        &mut self,
        key: &str,
        found: impl Into<String>,
        expected: impl Into<String>,
        remedy: impl Into<String>,
    ) {
        let above = |known: &str| {
            key.strip_prefix(known)
                .is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '[']))
        };
        if !self.problems.iter().any(|p| !p.key.is_empty() && above(&p.key)) {
            let origin = self.origin(key);
            self.add_at(key, origin, found, expected, remedy);
        }
    }

    /// Notes a file that a key names, and what was in it.
    pub fn note_file(&mut self, key: &str, path: &Path, content: Option<Content>) {
        self.noted.files.push(NamedFile {
            key: key.to_owned(),
            path: path.to_owned(),
            content,
        });
    }

    /// Notes a secret that stands at a key.
    pub fn note_secret(&mut self, key: &str, text: &str) {
        let content = Content::of(text.as_bytes());
        self.noted.secrets.insert(key.to_owned(), content);
    }

    /// What was noted.
    pub fn noted(&self) -> &Noted {
        &self.noted
    }

    /// How many problems there are so far.
    pub fn count(&self) -> usize {
        self.problems.len()
    }

    /// Adds a problem that was found at a stated place.
    pub fn add_at(
        &mut self,
        key: &str,
        origin: Option<Origin>,
        found: impl Into<String>,
        expected: impl Into<String>,
        remedy: impl Into<String>,
    ) {
        self.problems.push(Problem {
            key: key.to_owned(),
            origin,
            found: found.into(),
            expected: expected.into(),
            remedy: remedy.into(),
        });
    }

    /// The problems in the order of the file, if there are any.
    pub fn finish(self, file: Option<String>) -> Result<(), Problems> {
        let mut problems = self.problems;
        if problems.is_empty() {
            return Ok(());
        }
        problems.sort_by(|a, b| a.origin.cmp(&b.origin));
        Err(Problems { file, problems })
    }
}

/// Whether a key was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Written {
    /// It was.
    Yes,
    /// It was not; its default holds.
    No,
}

/// Longest piece of a value that a problem shows, in characters.
const MAX_SHOWN: usize = 80;

/// A value as a problem shows it: quoted, escaped, cut. What may hold a password is not shown.
pub fn shown(text: &str) -> String {
    if text.contains('@') {
        return "a text that may hold a password, not shown".to_owned();
    }
    let cut: String = text.chars().take(MAX_SHOWN).collect();
    if cut.len() < text.len() {
        format!("{cut:?}…")
    } else {
        format!("{cut:?}")
    }
}

/// The candidate that a mistyped word most likely meant.
pub fn did_you_mean<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let plain = |text: &str| text.to_ascii_lowercase().replace(['-', ' '], "_");
    let word = plain(word);
    candidates
        .into_iter()
        .map(|c| (strsim::jaro_winkler(&word, &plain(c)), c))
        .filter(|(likeness, _)| *likeness > 0.82)
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map(|(_, c)| c)
}
