//! What differs between two configurations, key by key, and which differences a running process can take.
//!
//! Compares what takes effect, defaults filled in, and the content of secrets and of named files by digest.
//! Items of lists that have names are told by name, so that one more route is one difference. A reload and
//! `config diff` ask the same question here; neither shows a secret, as none is in what is compared.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;
use serde_json::{Map, Value};

use super::load::Loaded;
use super::named::Content;
use super::raw::values::REDACTED;

/// A key that stays as it was when the process started.
#[derive(Debug, Clone, Copy)]
pub struct Fixed {
    /// The key; `[]` stands for any item of a list.
    pub key: &'static str,
    /// Whether the keys below it are meant too.
    pub extent: Extent,
}

/// How far a key reaches.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Extent {
    /// This key: its being there, for a section.
    Itself,
    /// And every key below it.
    AndBelow,
}

/// Every key that takes a restart or a hand-over, and no other. Why each: `docs/decisions/`.
pub const FIXED: &[Fixed] = &[
    below("data_dir"),
    below("workers"),
    below("store"),
    below("admin"),
    below("status"),
    itself("listeners[]"),
    below("listeners[].address"),
    below("listeners[].socket_mode"),
    below("cache"),
    below("throttle"),
    below("slow_hash"),
    below("revocation"),
    below("drain"),
    below("log.format"),
    below("access_log.destination"),
    below("audit"),
    below("usage"),
    below("lifecycle"),
    below("events"),
];

const fn below(key: &'static str) -> Fixed {
    Fixed {
        key,
        extent: Extent::AndBelow,
    }
}

const fn itself(key: &'static str) -> Fixed {
    Fixed {
        key,
        extent: Extent::Itself,
    }
}

/// What it takes for a difference to take effect.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Takes {
    /// A reload.
    Reload,
    /// A restart, or a hand-over to a new process.
    Restart,
}

impl Takes {
    /// The word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Reload => "reload",
            Self::Restart => "restart",
        }
    }
}

/// One difference.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Change {
    /// The key, such as `routes[api].upstream`.
    pub key: String,
    /// What it was; `None`: nothing.
    pub old: Option<String>,
    /// What it would be; `None`: nothing.
    pub new: Option<String>,
    /// What it takes to take effect.
    pub takes: Takes,
}

/// Every difference between two configurations, in the order of their keys.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct Changes(Vec<Change>);

impl Changes {
    /// What differs.
    pub fn between(old: &Loaded, new: &Loaded) -> Self {
        let (before, after) = (tree(old), tree(new));
        let mut out = Vec::new();
        differ("", Some(&before), Some(&after), &mut out);
        let secrets = |loaded: &Loaded, tree: &Value| -> BTreeMap<String, Content> {
            let named = loaded.noted.secrets.iter();
            named
                .map(|(key, content)| (by_name(key, tree), *content))
                .collect()
        };
        secrets_differ(&secrets(old, &before), &secrets(new, &after), &mut out);
        let files = |loaded: &Loaded, tree: &Value| {
            let named = loaded.noted.files.iter().filter(|f| !f.key.is_empty());
            let entry =
                |f: &super::named::NamedFile| Some(((by_name(&f.key, tree), f.path.clone()), f.content?));
            named.filter_map(entry).collect::<BTreeMap<_, _>>()
        };
        let (files_before, files_after) = (files(old, &before), files(new, &after));
        for ((key, path), content) in &files_after {
            let known = files_before.get(&(key.clone(), path.clone()));
            if known.is_some_and(|known| known != content) {
                let path = path.display();
                out.push(change(
                    key,
                    Some(format!("{path}")),
                    Some(format!("{path}, with another content")),
                ));
            }
        }
        out.sort_by(|a, b| a.key.cmp(&b.key));
        Self(out)
    }

    /// Whether some key, or one below it, is among them.
    pub fn touch(&self, key: &str) -> bool {
        self.0.iter().any(|c| is_below(&c.key, key))
    }

    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = &Change> {
        self.0.iter()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Those that no reload can take.
    pub fn fixed(&self) -> impl Iterator<Item = &Change> {
        self.0.iter().filter(|c| c.takes == Takes::Restart)
    }
}

/// The effective configuration. It is our own type and holds nothing that JSON cannot say.
fn tree(loaded: &Loaded) -> Value {
    serde_json::to_value(&loaded.effective).unwrap_or_default()
}

fn change(key: &str, old: Option<String>, new: Option<String>) -> Change {
    Change {
        takes: takes(key),
        key: key.to_owned(),
        old,
        new,
    }
}

/// What it takes for a difference in this key.
pub(super) fn takes(key: &str) -> Takes {
    let general = generalized(key);
    let fixed = FIXED.iter().any(|fixed| match fixed.extent {
        Extent::Itself => general == fixed.key,
        Extent::AndBelow => is_below(&general, fixed.key),
    });
    if fixed { Takes::Restart } else { Takes::Reload }
}

/// Whether a key is this one or stands below it.
fn is_below(key: &str, above: &str) -> bool {
    key.strip_prefix(above)
        .is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '[']))
}

/// A key without saying which item of a list is meant.
fn generalized(key: &str) -> String {
    let mut out = String::with_capacity(key.len());
    let mut rest = key;
    while let Some((before, after)) = rest.split_once('[') {
        out.push_str(before);
        out.push_str("[]");
        rest = after.split_once(']').map_or("", |(_, after)| after);
    }
    out.push_str(rest);
    out
}

/// Secrets that are there before and after, and are not the same.
fn secrets_differ(old: &BTreeMap<String, Content>, new: &BTreeMap<String, Content>, out: &mut Vec<Change>) {
    for (key, content) in new {
        if old.get(key).is_some_and(|known| known != content) {
            let redacted = || Some(REDACTED.to_owned());
            out.push(change(key, redacted(), redacted()));
        }
    }
}

fn differ(key: &str, old: Option<&Value>, new: Option<&Value>, out: &mut Vec<Change>) {
    if old == new {
        return;
    }
    match (old, new) {
        (Some(Value::Object(a)), Some(Value::Object(b))) => {
            let names: BTreeSet<&String> = a.keys().chain(b.keys()).collect();
            for name in names {
                let below = match key {
                    "" => name.clone(),
                    key => format!("{key}.{name}"),
                };
                differ(&below, a.get(name), b.get(name), out);
            }
        }
        (Some(Value::Array(a)), Some(Value::Array(b))) => match (names(a), names(b)) {
            (Some(a), Some(b)) => by_names(key, &a, &b, out),
            _ if a.iter().chain(b).any(Value::is_object) => {
                for at in 0..a.len().max(b.len()) {
                    differ(&format!("{key}[{at}]"), a.get(at), b.get(at), out);
                }
            }
            _ => out.push(change(key, old.map(shown), new.map(shown))),
        },
        _ => out.push(change(key, old.map(shown), new.map(shown))),
    }
}

/// The items of a list with their names, when each has one of its own.
fn names(list: &[Value]) -> Option<Vec<(&str, &Value)>> {
    let named: Option<Vec<(&str, &Value)>> = list.iter().map(|item| Some((name_of(item)?, item))).collect();
    let named = named?;
    let distinct: BTreeSet<&str> = named.iter().map(|(name, _)| *name).collect();
    (distinct.len() == named.len()).then_some(named)
}

fn name_of(item: &Value) -> Option<&str> {
    item.as_object()?.get("name")?.as_str()
}

fn by_names(key: &str, old: &[(&str, &Value)], new: &[(&str, &Value)], out: &mut Vec<Change>) {
    let find = |list: &[(&str, &Value)], name: &str| {
        let mut items = list.iter();
        items.find(|(n, _)| *n == name).map(|(_, item)| (*item).clone())
    };
    let all: BTreeSet<&str> = old.iter().chain(new).map(|(name, _)| *name).collect();
    for name in &all {
        let (a, b) = (find(old, name), find(new, name));
        differ(&format!("{key}[{name}]"), a.as_ref(), b.as_ref(), out);
    }
    let order = |list: &[(&str, &Value)], other: &[(&str, &Value)]| {
        let common = list.iter().map(|(name, _)| *name);
        let common = common.filter(|name| other.iter().any(|(n, _)| n == name));
        common.collect::<Vec<_>>().join(", ")
    };
    let (a, b) = (order(old, new), order(new, old));
    if a != b {
        out.push(change(
            key,
            Some(format!("in the order {a}")),
            Some(format!("in the order {b}")),
        ));
    }
}

/// A value as people write it.
fn shown(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

/// A key with the names of items in place of their numbers.
fn by_name(key: &str, tree: &Value) -> String {
    let none = Value::Object(Map::new());
    let (mut out, mut rest, mut at) = (String::new(), key, tree);
    while !rest.is_empty() {
        let end = rest.find(['.', '[']).unwrap_or(rest.len());
        let (word, after) = rest.split_at_checked(end).unwrap_or((rest, ""));
        out.push_str(word);
        at = at.get(word).unwrap_or(&none);
        rest = after;
        while let Some((number, after)) = rest.strip_prefix('[').and_then(|r| r.split_once(']')) {
            let item = number
                .parse::<usize>()
                .ok()
                .and_then(|n| at.get(n))
                .unwrap_or(&none);
            let siblings = at.as_array().and_then(|list| names(list));
            let name = siblings.and_then(|_| name_of(item)).unwrap_or(number);
            out.push_str(&format!("[{name}]"));
            at = item;
            rest = after;
        }
        if let Some(after) = rest.strip_prefix('.') {
            out.push('.');
            rest = after;
        }
    }
    out
}
