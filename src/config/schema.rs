//! The JSON Schema of the configuration, and the same in a form that the walk can follow.
//!
//! Both come from the [`raw`](super::raw) types alone, so what is documented, completed by editors, checked
//! and read is one thing.

use std::collections::BTreeMap;

use schemars::generate::SchemaSettings;
use serde_json::{Map, Value};

use super::raw::Config;

/// The JSON Schema (draft 2020-12) of a configuration file.
pub fn json_schema() -> Value {
    let generator = SchemaSettings::draft2020_12()
        .with(|s| s.inline_subschemas = true)
        .into_generator();
    let mut schema = generator.into_root_schema_for::<Config>().to_value();
    tidy(&mut schema);
    if let Value::Object(root) = &mut schema {
        root.insert("title".to_owned(), "Doorward configuration".into());
    }
    schema
}

/// Makes the generated schema say what is accepted: an optional key is absent, never null, and what must be
/// written is required.
fn tidy(schema: &mut Value) {
    let Value::Object(object) = schema else {
        return;
    };
    if let Some(Value::Array(types)) = object.get_mut("type") {
        types.retain(|t| t != "null");
        if let [only] = types.as_slice() {
            let only = only.clone();
            object.insert("type".to_owned(), only);
        }
    }
    if let Some(Value::Array(values)) = object.get_mut("enum") {
        values.retain(|v| !v.is_null());
    }
    if let Some(Value::Array(options)) = object.get_mut("anyOf") {
        options.retain(|o| o.get("type").is_none_or(|t| t != "null"));
        if options.len() == 1
            && let Some(Value::Object(only)) = options.pop()
        {
            object.remove("anyOf");
            for (key, value) in only {
                object.entry(key).or_insert(value);
            }
        }
    }
    if object
        .get("default")
        .is_some_and(|d| d.is_null() || d.is_object())
    {
        object.remove("default");
    }
    if let Some(Value::Object(properties)) = object.get_mut("properties") {
        let mut required = Vec::new();
        for (name, property) in properties.iter_mut() {
            tidy(property);
            if property
                .as_object_mut()
                .and_then(|p| p.remove("x-required"))
                .is_some()
            {
                if let Some(p) = property.as_object_mut() {
                    p.remove("default");
                }
                required.push(Value::from(name.as_str()));
            }
        }
        if !required.is_empty() {
            object.insert("required".to_owned(), required.into());
        }
    }
    for key in ["items", "additionalProperties"] {
        if let Some(child) = object.get_mut(key) {
            tidy(child);
        }
    }
    for key in ["anyOf", "oneOf"] {
        if let Some(Value::Array(children)) = object.get_mut(key) {
            children.iter_mut().for_each(tidy);
        }
    }
}

/// What may stand at a place.
#[derive(Debug, Clone, PartialEq)]
pub enum Shape {
    /// A mapping of known keys.
    Object(BTreeMap<String, Field>),
    /// A mapping of names that the user chooses.
    Named(Box<Shape>),
    /// A list of at least and at most so many items.
    List(Box<Shape>, u64, u64),
    /// One of these words.
    Word(Vec<String>),
    /// A text.
    Text(TextShape),
    /// A whole number from and to.
    Integer(i64, i64),
    /// `true` or `false`.
    Switch,
    /// One or the other, told apart by being a mapping or not.
    Either(Vec<Shape>),
}

/// A known key.
#[derive(Debug, Clone, PartialEq)]
pub struct Field {
    /// What its value is.
    pub shape: Shape,
    /// Whether it must be written.
    pub need: Need,
    /// Its default, where it has a plain one.
    pub default: Option<Value>,
}

/// Whether a key must be written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Need {
    /// It must.
    Required,
    /// It may be left out.
    Optional,
}

/// A text and its form.
#[derive(Debug, Clone, PartialEq)]
pub struct TextShape {
    /// Name of the form, if it has one.
    pub format: Option<String>,
    /// Whether problems may show it.
    pub secrecy: Secrecy,
    /// Longest text, in bytes.
    pub max_len: u64,
    /// Least value, in the notation of its form.
    pub least: Option<String>,
    /// Greatest value.
    pub most: Option<String>,
}

/// Whether a text may be shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Secrecy {
    /// It may.
    Open,
    /// Never.
    Secret,
}

/// Longest text without a bound of its own.
const MAX_TEXT_BYTES: u64 = 4096;

/// The shape of another file, from its type.
pub(super) fn shape_for<T: schemars::JsonSchema>() -> Option<Shape> {
    let generator = SchemaSettings::draft2020_12()
        .with(|s| s.inline_subschemas = true)
        .into_generator();
    let mut schema = generator.into_root_schema_for::<T>().to_value();
    tidy(&mut schema);
    shape_of(&schema)
}

/// The shape of a configuration file.
pub fn shape() -> Shape {
    // The schema is made of our own types; `every_key_of_the_schema_has_a_shape` proves this total.
    shape_of(&json_schema()).unwrap_or(Shape::Object(BTreeMap::new()))
}

pub(super) fn shape_of(schema: &Value) -> Option<Shape> {
    let object = schema.as_object()?;
    if let Some(options) = object.get("anyOf").and_then(Value::as_array) {
        return options
            .iter()
            .map(shape_of)
            .collect::<Option<Vec<_>>>()
            .map(Shape::Either);
    }
    if let Some(options) = object.get("oneOf").and_then(Value::as_array) {
        let words = options
            .iter()
            .map(|o| o.get("const").and_then(Value::as_str).map(str::to_owned));
        return words.collect::<Option<Vec<_>>>().map(Shape::Word);
    }
    if let Some(words) = object.get("enum").and_then(Value::as_array) {
        let words = words.iter().map(|w| w.as_str().map(str::to_owned));
        return words.collect::<Option<Vec<_>>>().map(Shape::Word);
    }
    let number = |key: &str| object.get(key).and_then(Value::as_u64);
    let text = |key: &str| object.get(key).and_then(Value::as_str).map(str::to_owned);
    match object.get("type")?.as_str()? {
        "object" => match object.get("properties") {
            Some(properties) => fields(object, properties.as_object()?).map(Shape::Object),
            None => Some(Shape::Named(Box::new(shape_of(
                object.get("additionalProperties")?,
            )?))),
        },
        "array" => Some(Shape::List(
            Box::new(shape_of(object.get("items")?)?),
            number("minItems").unwrap_or(0),
            number("maxItems").unwrap_or(1000),
        )),
        "string" => Some(Shape::Text(TextShape {
            format: text("format"),
            secrecy: match object.get("writeOnly") {
                Some(Value::Bool(true)) => Secrecy::Secret,
                _ => Secrecy::Open,
            },
            max_len: number("maxLength").unwrap_or(MAX_TEXT_BYTES),
            least: text("x-least"),
            most: text("x-most"),
        })),
        "integer" => {
            let bound = |key: &str| object.get(key).and_then(Value::as_i64);
            Some(Shape::Integer(bound("minimum")?, bound("maximum")?))
        }
        "boolean" => Some(Shape::Switch),
        _ => None,
    }
}

fn fields(object: &Map<String, Value>, properties: &Map<String, Value>) -> Option<BTreeMap<String, Field>> {
    let required = object.get("required").and_then(Value::as_array);
    let need = |name: &str| match required {
        Some(names) if names.iter().any(|n| n == name) => Need::Required,
        _ => Need::Optional,
    };
    let field = |(name, schema): (&String, &Value)| {
        Some((
            name.clone(),
            Field {
                shape: shape_of(schema)?,
                need: need(name),
                default: schema.get("default").cloned(),
            },
        ))
    };
    properties.iter().map(field).collect()
}
