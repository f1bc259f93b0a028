//! The reference, the minimal file and the schema agree with the types, key by key.

use std::collections::BTreeSet;
use std::path::Path;

use crate::config::problems::Report;
use crate::config::schema::{Shape, json_schema, shape, shape_of};
use crate::config::tree::{self, Node, Value};
use crate::config::walk::walk;
use crate::config::{Environment, load_text};

fn document(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(name);
    std::fs::read_to_string(path).expect("the document")
}

/// The reference with every key that is switched off switched on.
fn switched_on() -> String {
    document("config/reference.yaml").replace("#: ", "")
}

/// Every key path of a shape; `[]` for the items of a list, `*` for chosen names.
fn keys_of(shape: &Shape, path: &str, out: &mut BTreeSet<String>) {
    match shape {
        Shape::Object(fields) => {
            for (name, field) in fields {
                let path = format!("{path}.{name}");
                out.insert(path.clone());
                keys_of(&field.shape, &path, out);
            }
        }
        Shape::Named(each) => keys_of(each, &format!("{path}.*"), out),
        Shape::List(each, ..) => keys_of(each, &format!("{path}[]"), out),
        Shape::Either(options) => options.iter().for_each(|o| keys_of(o, path, out)),
        _ => {}
    }
}

/// Every key path of a tree, in the same notation.
fn keys_in(shape: &Shape, node: &Node, path: &str, out: &mut BTreeSet<String>) {
    match (shape, &node.value) {
        (Shape::Object(fields), Value::Map(entries)) => {
            for entry in entries {
                let path = format!("{path}.{}", entry.key);
                out.insert(path.clone());
                if let Some(field) = fields.get(&entry.key) {
                    keys_in(&field.shape, &entry.node, &path, out);
                }
            }
        }
        (Shape::Named(each), Value::Map(entries)) => {
            entries
                .iter()
                .for_each(|e| keys_in(each, &e.node, &format!("{path}.*"), out));
        }
        (Shape::List(each, ..), Value::List(items)) => {
            items
                .iter()
                .for_each(|i| keys_in(each, i, &format!("{path}[]"), out));
        }
        (Shape::Either(options), _) => options.iter().for_each(|o| keys_in(o, node, path, out)),
        _ => {}
    }
}

#[test]
fn the_reference_has_every_key_and_no_other() {
    let shape = shape();
    let tree = tree::read(&switched_on(), &mut Report::default()).expect("YAML");
    let (mut expected, mut found) = (BTreeSet::new(), BTreeSet::new());
    keys_of(&shape, "", &mut expected);
    keys_in(&shape, &tree, "", &mut found);
    assert!(expected.len() > 100, "the schema is read");
    assert_eq!(
        expected.symmetric_difference(&found).collect::<Vec<_>>(),
        Vec::<&String>::new(),
        "keys only in the schema, or only in the reference"
    );
}

#[test]
fn every_value_of_the_reference_is_good_switched_on_or_off() {
    let reference = document("config/reference.yaml");
    if let Err(problems) = load_text("reference.yaml", &reference, &Environment::default()) {
        panic!("{problems}");
    }
    // Alternatives exclude each other, so with all of them only the schema holds.
    let mut report = Report::default();
    let tree = tree::read(&switched_on(), &mut report).expect("YAML");
    walk("", &shape(), &tree, &mut report);
    if let Err(problems) = report.finish(None) {
        panic!("{problems}");
    }
}

#[test]
fn the_reference_shows_the_defaults() {
    fn compare(shape: &Shape, json: &serde_json::Value, path: &str) {
        let Shape::Object(fields) = shape else {
            return;
        };
        for (name, field) in fields {
            let path = format!("{path}.{name}");
            let Some(value) = json.get(name) else {
                continue;
            };
            if let (Some(default), false) = (
                &field.default,
                matches!(field.shape, Shape::List(..)) && value[0].is_object(),
            ) {
                assert_eq!(canonical(value), canonical(default), "{path}");
            }
            match &field.shape {
                Shape::List(each, ..) => compare(each, &value[0], &path),
                Shape::Named(each) => value
                    .as_object()
                    .into_iter()
                    .flatten()
                    .for_each(|(_, v)| compare(each, v, &path)),
                inner => compare(inner, value, &path),
            }
        }
    }
    /// 60s is 1m.
    fn canonical(value: &serde_json::Value) -> serde_json::Value {
        use crate::config::raw::values::{Span, TextValue};
        match value.as_str().map(Span::parse) {
            Some(Ok(span)) => span.text().into(),
            _ => value.clone(),
        }
    }
    let mut report = Report::default();
    let shape = shape();
    let tree = tree::read(&document("config/reference.yaml"), &mut report).expect("YAML");
    let json = walk("", &shape, &tree, &mut report).expect("values");
    // The audience and the like are examples and have no default but an empty list.
    let mut json = json;
    for issuer in json["credentials"]["jwt"]["issuers"]
        .as_array_mut()
        .expect("issuers")
    {
        issuer.as_object_mut().expect("an issuer").remove("audience");
    }
    compare(&shape, &json, "");
}

#[test]
fn every_key_of_the_reference_is_commented() {
    let text = document("config/reference.yaml");
    let mut before = "";
    let mut lone: Vec<&str> = Vec::new();
    for line in text.lines() {
        let bare = line.trim_start();
        let is_key = !bare.starts_with("# ")
            && !bare.starts_with('#')
            && bare.ends_with(|c: char| c != ':')
            && bare.contains(": ");
        if is_key && !before.trim_start().trim_start_matches("- ").starts_with('#') {
            lone.push(line);
        }
        before = line;
    }
    assert_eq!(lone, Vec::<&str>::new(), "keys without a comment above them");
}

#[test]
fn the_minimal_file_loads() {
    let text = document("config/minimal.yaml");
    if let Err(problems) = load_text("minimal.yaml", &text, &Environment::default()) {
        panic!("{problems}");
    }
}

#[test]
fn every_key_of_the_schema_has_a_shape() {
    let schema = json_schema();
    assert!(shape_of(&schema).is_some());
    assert!(
        !schema.to_string().contains("null"),
        "an absent key is absent, not null"
    );
    assert_eq!(
        schema["required"],
        serde_json::json!(["routes", "upstreams", "version"])
    );
}

#[test]
fn the_example_of_the_handbook_is_what_is_printed() {
    let text = document("docs/configuration.md");
    let problem = super::bad(
        "version: 1\nupstreams:\n  api:\n    url: http://127.0.0.1:9000\nroutes:\n  - path: /\n    upstream: apy\n",
    );
    for line in problem.lines().skip(1) {
        assert!(text.contains(line), "{line}");
    }
}
