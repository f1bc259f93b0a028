//! File, environment and flags to [`Settings`], or to every problem there is.
//!
//! Flags win over the environment, the environment wins over the file. Called at start, by `check` and by
//! `config print`; prints nothing and makes nothing.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use super::complete::complete;
use super::environment::{self, Environment, Flags};
use super::named::{Content, NamedFile, Noted};
use super::problems::{Origin, Problems, Report};
use super::raw::Config;
use super::resolve::resolve;
use super::schema::shape;
use super::settings::Settings;
use super::tree::{self, Node};
use super::walk::walk;

/// A configuration without problems.
#[derive(Debug)]
pub struct Loaded {
    /// What takes effect.
    pub settings: Settings,
    /// The same as it would be written, for [`super::print`].
    pub effective: Config,
    /// The files it names, and its secrets, by digest.
    pub noted: Noted,
}

/// A configuration that was read, good or not.
#[derive(Debug)]
pub struct Offer {
    /// Every file that was read for it, or could not be; first the configuration file itself.
    pub files: Vec<NamedFile>,
    /// What came of it.
    pub outcome: Result<Loaded, Problems>,
}

/// Loads the configuration that flags and environment describe.
pub fn load(flags: &Flags, environment: &Environment) -> Result<Loaded, Problems> {
    offer(flags, environment).outcome
}

/// The same, with the files that were looked at on the way.
pub fn offer(flags: &Flags, environment: &Environment) -> Offer {
    let mut report = Report::default();
    let name = flags.config.as_ref().map(|p| p.display().to_string());
    let tree = match &flags.config {
        None => Some(Node::empty(Origin::Flag("--upstream".to_owned()))),
        Some(path) => read_file(path, &mut report).and_then(|text| tree::read(&text, &mut report)),
    };
    finish(tree, flags, environment, report, name)
}

/// Loads a configuration from a text, such as a file of this name.
pub fn load_text(name: &str, text: &str, environment: &Environment) -> Result<Loaded, Problems> {
    let flags = Flags {
        config: Some(name.into()),
        ..Flags::default()
    };
    load_text_with(text, &flags, environment)
}

/// Loads a configuration from a text, in place of the file that the flags name.
pub fn load_text_with(text: &str, flags: &Flags, environment: &Environment) -> Result<Loaded, Problems> {
    let mut report = Report::default();
    let name = flags.config.as_ref().map(|p| p.display().to_string());
    let tree = tree::read(text, &mut report);
    finish(tree, flags, environment, report, name).outcome
}

fn finish(
    tree: Option<Node>,
    flags: &Flags,
    environment: &Environment,
    mut report: Report,
    name: Option<String>,
) -> Offer {
    let report_to = &mut report;
    let loaded = tree.and_then(|mut tree| {
        let shape = shape();
        environment::overlay(environment, &shape, &mut tree, report_to);
        environment::flags(flags, &mut tree, report_to)?;
        let json = walk("", &shape, &tree, report_to)?;
        // What the walk handed on fits the types; anything else is a mistake of ours, and told as one.
        let mut effective: Config = match serde_json::from_value(json) {
            Ok(config) => config,
            Err(error) => {
                let expected = "values that fit together with their keys";
                report_to.add_at(
                    "",
                    None,
                    error.to_string(),
                    expected,
                    "please report this as a bug",
                );
                return None;
            }
        };
        complete(&mut effective, report_to);
        let settings = resolve(&effective, environment.surroundings(), report_to);
        let noted = report_to.noted().clone();
        Some(Loaded {
            settings,
            effective,
            noted,
        })
    });
    let files = report.noted().files.clone();
    let outcome = report.finish(name.clone()).and_then(|()| {
        // A tree that cannot be read has left a problem.
        loaded.ok_or(Problems {
            file: name,
            problems: Vec::new(),
        })
    });
    Offer { files, outcome }
}

fn read_file(path: &Path, report: &mut Report) -> Option<String> {
    let mut text = String::new();
    let most = u64::try_from(tree::MAX_FILE_BYTES).unwrap_or(u64::MAX);
    let file = File::open(path);
    let read = file
        .as_ref()
        .map_err(|error| io::Error::new(error.kind(), error.to_string()))
        .and_then(|f| f.take(most.saturating_add(1)).read_to_string(&mut text));
    let read_from = file.as_ref().ok().filter(|_| read.is_ok());
    let content = read_from.and_then(|file| Content::of_file(file, text.as_bytes()));
    report.note_file("", path, content);
    match read {
        Ok(_) => Some(text),
        Err(error) => {
            let remedy = "check the path and who may read it";
            report.add_at(
                "",
                None,
                error.to_string(),
                "a configuration file in UTF-8",
                remedy,
            );
            None
        }
    }
}
