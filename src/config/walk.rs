//! Holds what was written against the schema: every unknown key, wrong type and bad value at once.
//!
//! What is good is handed on as a JSON value for deserialization; what is bad is left out of it, after a
//! problem was reported, so that later checks see the rest. Which values fit together is not checked here.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value as Json};

use super::problems::{Report, did_you_mean, shown};
use super::raw::values::{Size, Span, TextValue, check_format};
use super::schema::{Field, Need, Secrecy, Shape, TextShape};
use super::tree::{Entry, Node, Value};

/// Walks a node at a key path.
pub fn walk(key: &str, shape: &Shape, node: &Node, report: &mut Report) -> Option<Json> {
    report.locate(key, &node.origin);
    match (shape, &node.value) {
        (Shape::Object(fields), Value::Map(entries)) => Some(object(key, fields, entries, report)),
        (Shape::Object(fields), Value::Nothing) => Some(object(key, fields, &[], report)),
        (Shape::Named(each), Value::Map(entries)) => Some(named(key, each, entries, report)),
        (Shape::List(each, least, most), Value::List(items)) => {
            let count = u64::try_from(items.len()).unwrap_or(u64::MAX);
            if count < *least || count > *most {
                let expected = format!("a list of {least} to {most} values");
                report.add(
                    key,
                    format!("a list of {count}"),
                    expected,
                    "add or remove values",
                );
                return None;
            }
            Some(list(key, each, items, report))
        }
        (Shape::Word(words), Value::Text(text)) if words.contains(text) => Some(text.as_str().into()),
        (Shape::Text(form), Value::Text(text)) => checked(key, form, text, report).map(Json::from),
        (Shape::Integer(least, most), Value::Text(text)) => {
            let number = text.parse::<i64>().ok().filter(|n| (least..=most).contains(&n));
            if number.is_none() {
                misfit(key, shape, node, report);
            }
            number.map(Json::from)
        }
        (Shape::Switch, Value::Text(text)) if text == "true" => Some(true.into()),
        (Shape::Switch, Value::Text(text)) if text == "false" => Some(false.into()),
        (Shape::Either(options), value) => {
            let fits = |option: &&Shape| matches!(option, Shape::Object(_)) == matches!(value, Value::Map(_));
            match options.iter().find(fits) {
                Some(option) => walk(key, option, node, report),
                None => misfit(key, shape, node, report),
            }
        }
        _ => misfit(key, shape, node, report),
    }
}

/// A key path and one more key; a key that could forge a line is escaped.
fn join(key: &str, name: &str) -> String {
    let plain = name.len() <= 64 && name.bytes().all(|b| b.is_ascii_graphic());
    let name = if plain { name.to_owned() } else { shown(name) };
    if key.is_empty() {
        name
    } else {
        format!("{key}.{name}")
    }
}

/// Each key once, the first time it stands.
fn once(entries: &[Entry]) -> BTreeMap<&str, &Entry> {
    let mut seen = BTreeMap::new();
    for entry in entries {
        seen.entry(entry.key.as_str()).or_insert(entry);
    }
    seen
}

/// Reports keys that were written twice.
fn doubled(key: &str, entries: &[Entry], report: &mut Report) {
    let mut seen: BTreeSet<&str> = BTreeSet::new();
    for entry in entries {
        if !seen.insert(&entry.key) {
            report.add_at(
                &join(key, &entry.key),
                Some(entry.origin.clone()),
                "a key that was written before",
                "each key once",
                "remove one of the two",
            );
        }
    }
}

fn object(key: &str, fields: &BTreeMap<String, Field>, entries: &[Entry], report: &mut Report) -> Json {
    let mut out = Map::new();
    let written = once(entries);
    let mut mistyped: BTreeSet<&str> = BTreeSet::new();
    for (name, entry) in &written {
        let path = join(key, name);
        let Some(field) = fields.get(*name) else {
            let names = fields.keys().map(String::as_str);
            let meant = did_you_mean(name, names.clone().filter(|n| !written.contains_key(n)));
            mistyped.extend(meant);
            let remedy = meant.map_or_else(
                || "remove it".to_owned(),
                |meant| format!("did you mean {meant}?"),
            );
            let expected = format!("one of the keys {}", names.collect::<Vec<_>>().join(", "));
            let origin = Some(entry.origin.clone());
            report.add_at(&path, origin, "an unknown key", expected, remedy);
            continue;
        };
        if let Some(value) = walk(&path, &field.shape, &entry.node, report) {
            out.insert((*name).to_owned(), value);
        }
    }
    doubled(key, entries, report);
    for (name, field) in fields {
        let there = written.contains_key(name.as_str()) || mistyped.contains(name.as_str());
        if field.need == Need::Required && !there {
            report.add(
                &join(key, name),
                "nothing",
                missing(&field.shape),
                format!("add the key {name}"),
            );
        }
    }
    out.into()
}

/// What a missing value looks like; long lists of keys are no help there.
fn missing(shape: &Shape) -> String {
    match shape {
        Shape::List(..) => "a list".to_owned(),
        other => described(other),
    }
}

fn named(key: &str, each: &Shape, entries: &[Entry], report: &mut Report) -> Json {
    let mut out = Map::new();
    doubled(key, entries, report);
    for (name, entry) in once(entries) {
        let path = join(key, name);
        if let Some(misfit) = check_format("name", name) {
            let origin = Some(entry.origin.clone());
            report.add_at(&path, origin, shown(name), misfit.expected, misfit.remedy);
        }
        if let Some(value) = walk(&path, each, &entry.node, report) {
            out.insert(name.to_owned(), value);
        }
    }
    out.into()
}

fn list(key: &str, each: &Shape, items: &[Node], report: &mut Report) -> Json {
    let mut out = Vec::new();
    for (i, item) in items.iter().enumerate() {
        match walk(&format!("{key}[{i}]"), each, item, report) {
            Some(value) => out.push(value),
            // Keeps the numbers of the items behind it.
            None if matches!(each, Shape::Object(_)) => out.push(Map::new().into()),
            None => {}
        }
    }
    out.into()
}

fn checked(key: &str, form: &TextShape, text: &str, report: &mut Report) -> Option<String> {
    let found = match form.secrecy {
        Secrecy::Secret if text.is_empty() => "an empty text".to_owned(),
        Secrecy::Secret => "a value that is not shown".to_owned(),
        Secrecy::Open => shown(text),
    };
    if text.is_empty() {
        report.add(
            key,
            found,
            described(&Shape::Text(form.clone())),
            "write a value, or remove the key",
        );
        return None;
    }
    if u64::try_from(text.len()).unwrap_or(u64::MAX) > form.max_len {
        let expected = format!("a text of at most {} bytes", form.max_len);
        report.add(
            key,
            format!("a text of {} bytes", text.len()),
            expected,
            "shorten it",
        );
        return None;
    }
    let format = form.format.as_deref().unwrap_or("");
    if let Some(misfit) = check_format(format, text) {
        report.add(key, found, misfit.expected, misfit.remedy);
        return None;
    }
    if form.secrecy == Secrecy::Secret {
        report.note_secret(key, text);
    }
    let too_little = form
        .least
        .as_deref()
        .is_some_and(|least| measure(format, text) < measure(format, least));
    let too_much = form
        .most
        .as_deref()
        .is_some_and(|most| measure(format, text) > measure(format, most));
    if too_little || too_much {
        report.add(
            key,
            found,
            described(&Shape::Text(form.clone())),
            "choose a value within these bounds",
        );
        return None;
    }
    Some(text.to_owned())
}

/// The magnitude of a text whose form has one.
fn measure(format: &str, text: &str) -> Option<u128> {
    match format {
        Span::FORMAT => Span::parse(text).ok().map(|s| s.0.as_millis()),
        Size::FORMAT => Size::parse(text).ok().map(|s| u128::from(s.0)),
        _ => None,
    }
}

/// Reports a value of the wrong type.
fn misfit(key: &str, shape: &Shape, node: &Node, report: &mut Report) -> Option<Json> {
    let found = match &node.value {
        Value::Nothing => "nothing".to_owned(),
        Value::Text(text) if hides(shape) => format!("a text of {} bytes", text.len()),
        Value::Text(text) => shown(text),
        Value::List(_) => "a list".to_owned(),
        Value::Map(_) => "a mapping of keys".to_owned(),
    };
    let remedy = match (shape, &node.value) {
        (Shape::List(..), Value::Nothing) => "write [] for an empty list, or remove the key".to_owned(),
        (_, Value::Nothing) => "write a value, or remove the key".to_owned(),
        (Shape::List(..), Value::Text(_)) => "put the value into brackets: […]".to_owned(),
        (Shape::List(..), Value::Map(_)) => "begin each item with a dash".to_owned(),
        (Shape::Word(words), Value::Text(text)) => match did_you_mean(text, words.iter().map(String::as_str))
        {
            Some(meant) => format!("did you mean {meant}?"),
            None => "choose one of these words".to_owned(),
        },
        (Shape::Integer(least, most), Value::Text(_)) if least == most => format!("write {least}"),
        (Shape::Integer(..), Value::Text(_)) => {
            "write a number within these bounds, without a unit".to_owned()
        }
        (Shape::Switch, Value::Text(_)) => "write true or false".to_owned(),
        (Shape::Object(_) | Shape::Named(_), _) => "write keys beneath it, indented".to_owned(),
        _ => "write one value".to_owned(),
    };
    report.add(key, found, described(shape), remedy);
    None
}

/// Whether a secret may have slipped to where this shape stands: a section that holds one.
fn hides(shape: &Shape) -> bool {
    match shape {
        Shape::Text(form) => form.secrecy == Secrecy::Secret,
        Shape::Object(fields) => fields.values().any(|f| hides(&f.shape)),
        Shape::Named(each) | Shape::List(each, ..) => hides(each),
        _ => false,
    }
}

/// What a shape looks like, after "expected".
fn described(shape: &Shape) -> String {
    match shape {
        Shape::Object(fields) => {
            format!(
                "a mapping of the keys {}",
                fields.keys().cloned().collect::<Vec<_>>().join(", ")
            )
        }
        Shape::Named(_) => "a mapping of names".to_owned(),
        Shape::List(each, ..) => format!("a list, each item {}", described(each)),
        Shape::Word(words) => match words.as_slice() {
            [only] => format!("the word {only}"),
            words => format!("one of the words {}", words.join(", ")),
        },
        Shape::Text(form) => {
            let mut out = form
                .format
                .as_deref()
                .and_then(|format| check_format(format, ""))
                .map_or_else(|| "a text".to_owned(), |m| m.expected.to_owned());
            match (&form.least, &form.most) {
                (Some(least), Some(most)) => out.push_str(&format!(", from {least} to {most}")),
                (Some(least), None) => out.push_str(&format!(", at least {least}")),
                (None, Some(most)) => out.push_str(&format!(", at most {most}")),
                (None, None) => {}
            }
            out
        }
        Shape::Integer(least, most) if least == most => format!("the number {least}"),
        Shape::Integer(least, most) => format!("a whole number from {least} to {most}"),
        Shape::Switch => "true or false".to_owned(),
        Shape::Either(options) => options.iter().map(described).collect::<Vec<_>>().join(", or "),
    }
}
