//! Environment variables and flags, laid over what the file says.
//!
//! A key `a.b` of the file is the variable `DOORWARD_A__B`; keys below lists and chosen names have none.
//! Two more names are kept for systems that know them. A variable of ours that no key has is a problem: a
//! typo must not silently become a default.

use std::collections::BTreeMap;

use super::problems::{Origin, Report, did_you_mean};
use super::schema::Shape;
use super::tree::{Node, Value};

/// What every variable of ours begins with.
const PREFIX: &str = "DOORWARD_";

/// Names that stand for a key beside its own.
const OTHER_NAMES: [(&str, &[&str]); 2] = [
    ("DOORWARD_STATUS_ADDRESS", &["status", "address"]),
    (
        "DEVICE_TOKEN_MASTER_KEY",
        &["credentials", "sealed_device_token", "key"],
    ),
];

/// Kubernetes sets it in every container.
const KUBERNETES: &str = "KUBERNETES_SERVICE_HOST";

/// Where the process runs, as far as it matters to whether settings make sense.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Surroundings {
    /// In a container of a pod.
    Pod,
    /// Anywhere else.
    Elsewhere,
}

/// Environment variables, the process's or a test's.
#[derive(Debug, Clone, Default)]
pub struct Environment(BTreeMap<String, Option<String>>);

impl Environment {
    /// The variables of this process that may be ours. A value that is no UTF-8 is remembered as such.
    pub fn of_process() -> Self {
        let ours = |(name, value): (std::ffi::OsString, std::ffi::OsString)| {
            let name = name.into_string().ok()?;
            let known = name.starts_with(PREFIX)
                || name == KUBERNETES
                || OTHER_NAMES.iter().any(|(other, _)| *other == name);
            known.then(|| (name, value.into_string().ok()))
        };
        Self(std::env::vars_os().filter_map(ours).collect())
    }

    /// What they tell of where the process runs.
    pub(super) fn surroundings(&self) -> Surroundings {
        match self.0.contains_key(KUBERNETES) {
            true => Surroundings::Pod,
            false => Surroundings::Elsewhere,
        }
    }

    /// These variables.
    pub fn of<'a>(pairs: impl IntoIterator<Item = (&'a str, &'a str)>) -> Self {
        let owned = |(name, value): (&str, &str)| (name.to_owned(), Some(value.to_owned()));
        Self(pairs.into_iter().map(owned).collect())
    }
}

/// What the command line says about the configuration.
#[derive(Debug, Clone, Default)]
pub struct Flags {
    /// The file to read.
    pub config: Option<std::path::PathBuf>,
    /// Where the app is, for a start without a file.
    pub upstream: Option<String>,
    /// Where to listen, for a start without a file.
    pub listen: Option<String>,
    /// The data folder, with or without a file.
    pub data_dir: Option<String>,
}

/// Every variable and the key it stands for.
fn variables(shape: &Shape) -> BTreeMap<String, Vec<String>> {
    let mut out = BTreeMap::new();
    collect(shape, &mut Vec::new(), &mut out);
    for (name, path) in OTHER_NAMES {
        out.insert(name.to_owned(), path.iter().map(|p| (*p).to_owned()).collect());
    }
    out
}

fn collect(shape: &Shape, path: &mut Vec<String>, out: &mut BTreeMap<String, Vec<String>>) {
    match shape {
        Shape::Object(fields) => {
            for (name, field) in fields {
                path.push(name.clone());
                collect(&field.shape, path, out);
                path.pop();
            }
        }
        Shape::Word(_) | Shape::Text(_) | Shape::Integer(..) | Shape::Switch => {
            out.insert(
                format!("{PREFIX}{}", path.join("__").to_uppercase()),
                path.clone(),
            );
        }
        Shape::Named(_) | Shape::List(..) | Shape::Either(_) => {}
    }
}

/// Lays the environment over the tree.
pub(super) fn overlay(environment: &Environment, shape: &Shape, tree: &mut Node, report: &mut Report) {
    let variables = variables(shape);
    let mut set: BTreeMap<&[String], &str> = BTreeMap::new();
    for (name, value) in &environment.0 {
        let origin = Origin::Environment(name.clone());
        let Some(path) = variables.get(name) else {
            // Without a double underscore it may be anybody's: Kubernetes makes DOORWARD_SERVICE_HOST.
            if name.starts_with(PREFIX) && name.contains("__") {
                let remedy = match did_you_mean(name, variables.keys().map(String::as_str)) {
                    Some(meant) => format!("did you mean {meant}?"),
                    None => "unset it; lists and named entries are set in the file only".to_owned(),
                };
                report.add_at(
                    "",
                    Some(origin),
                    "an unknown variable",
                    "DOORWARD_ and a key, levels joined by __",
                    remedy,
                );
            }
            continue;
        };
        let key = path.join(".");
        let Some(value) = value else {
            report.add_at(
                &key,
                Some(origin),
                "bytes that are no text",
                "UTF-8",
                "set it again, or unset it",
            );
            continue;
        };
        if let Some(other) = set.insert(path, name) {
            report.add_at(
                &key,
                Some(origin),
                format!("{other} and {name}"),
                "one of the two",
                "unset one of the two",
            );
            continue;
        }
        let path: Vec<&str> = path.iter().map(String::as_str).collect();
        // A secret from the environment replaces the file that the configuration names for it, and back.
        if let Some((last, above)) = path.split_last() {
            let sibling = match last.strip_suffix("_file") {
                Some(bare) => bare.to_owned(),
                None => format!("{last}_file"),
            };
            tree.remove(&[above, &[sibling.as_str()]].concat());
        }
        tree.set(&path, value.clone(), &origin);
    }
}

/// Lays the flags over the tree. Without a file, `--upstream` alone makes a whole configuration; without both
/// there is none.
pub(super) fn flags(flags: &Flags, tree: &mut Node, report: &mut Report) -> Option<()> {
    let with_file = flags.config.is_some();
    for (name, value) in [("--upstream", &flags.upstream), ("--listen", &flags.listen)] {
        if with_file && value.is_some() {
            let origin = Some(Origin::Flag(name.to_owned()));
            let found = format!("{name} and a configuration file");
            report.add_at(
                "",
                origin,
                found,
                "one of the two",
                format!("leave {name} out and write it into the file"),
            );
        }
    }
    if let Some(folder) = &flags.data_dir {
        tree.set(
            &["data_dir"],
            folder.clone(),
            &Origin::Flag("--data-dir".to_owned()),
        );
    }
    if with_file {
        return Some(());
    }
    let Some(upstream) = &flags.upstream else {
        let expected = "a configuration file, or the address of the app";
        let remedy = "give --config FILE, or --upstream http://127.0.0.1:9000 for a start without a file";
        report.add_at("", None, "neither --config nor --upstream", expected, remedy);
        return None;
    };
    let origin = Origin::Flag("--upstream".to_owned());
    tree.set(&["version"], "1".to_owned(), &origin);
    tree.set(&["upstreams", "default", "url"], upstream.clone(), &origin);
    let route = mapping(
        &origin,
        [("name", "default"), ("path", "/"), ("upstream", "default")],
    );
    tree.put(&["routes"], Value::List(vec![route]), &origin);
    let mut own = mapping(
        &origin,
        [("name", "own"), ("issuer", "doorward"), ("keys", "own")],
    );
    let audience = Node {
        origin: origin.clone(),
        value: Value::Text("doorward".to_owned()),
    };
    own.put(&["audience"], Value::List(vec![audience]), &origin);
    tree.put(
        &["credentials", "jwt", "issuers"],
        Value::List(vec![own]),
        &origin,
    );
    if let Some(address) = &flags.listen {
        let origin = Origin::Flag("--listen".to_owned());
        let listener = mapping(&origin, [("name", "public"), ("address", address)]);
        tree.put(&["listeners"], Value::List(vec![listener]), &origin);
    }
    Some(())
}

/// A mapping of texts.
fn mapping<const N: usize>(origin: &Origin, pairs: [(&str, &str); N]) -> Node {
    let mut node = Node::empty(origin.clone());
    for (key, text) in pairs {
        node.set(&[key], text.to_owned(), origin);
    }
    node
}
