//! File, environment and flags to [`Settings`], or to every problem there is.
//!
//! Flags win over the environment, the environment wins over the file. Called at start, by `check` and by
//! `config print`; prints nothing and makes nothing.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use super::complete::complete;
use super::environment::{self, Environment, Flags};
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
}

/// Loads the configuration that flags and environment describe.
pub fn load(flags: &Flags, environment: &Environment) -> Result<Loaded, Problems> {
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
    let mut report = Report::default();
    let flags = Flags {
        config: Some(name.into()),
        ..Flags::default()
    };
    let tree = tree::read(text, &mut report);
    finish(tree, &flags, environment, report, Some(name.to_owned()))
}

fn finish(
    tree: Option<Node>,
    flags: &Flags,
    environment: &Environment,
    mut report: Report,
    name: Option<String>,
) -> Result<Loaded, Problems> {
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
        Some(Loaded { settings, effective })
    });
    report.finish(name.clone())?;
    // A tree that cannot be read has left a problem.
    loaded.ok_or(Problems {
        file: name,
        problems: Vec::new(),
    })
}

fn read_file(path: &Path, report: &mut Report) -> Option<String> {
    let mut text = String::new();
    let most = u64::try_from(tree::MAX_FILE_BYTES).unwrap_or(u64::MAX);
    let read = File::open(path).and_then(|f| f.take(most.saturating_add(1)).read_to_string(&mut text));
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
