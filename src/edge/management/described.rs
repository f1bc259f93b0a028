//! Bodies and queries held against their own description: what the OpenAPI document says of a type is what is
//! checked, so the two cannot differ, and everything that is wrong is told at once.
//!
//! Reads the part of JSON Schema 2020-12 that our wire types use. Values are never repeated in a message, names of
//! fields are. Whether a text can be an id, a network or an expiry is not looked at here. Pure.

use serde_json::{Map, Value};
use utoipa::openapi::RefOr;
use utoipa::openapi::schema::Schema;
use utoipa::{IntoParams, ToSchema};

use super::problem::{Fault, MAX_FAULTS, Place, escaped};

/// Longest name of an unknown field that is repeated, in letters.
const MAX_NAME: usize = 64;

/// What is wrong with a body of this type.
pub fn faults_of<T: ToSchema>(body: &Value) -> Vec<Fault> {
    let mut parts = Vec::new();
    T::schemas(&mut parts);
    let parts = parts.into_iter().map(|(name, schema)| (name, json(&schema)));
    let mut check = Check {
        parts: parts.collect(),
        faults: Vec::new(),
    };
    check.value(&json(&T::schema()), body, "");
    check.faults
}

/// The parameters of this type: their names and schemas.
pub fn parameters<T: IntoParams>() -> Map<String, Value> {
    let parameters = T::into_params(|| None).into_iter();
    parameters
        .map(|p| (p.name.clone(), p.schema.as_ref().map_or(Value::Null, json)))
        .collect()
}

/// What is wrong with a parameter's text, and its value when it is a number.
pub fn parameter(name: &str, schema: &Value, text: &str) -> Result<Value, Fault> {
    let value = if is(schema, "integer") {
        text.parse::<u64>().map_or(Value::Null, Value::from)
    } else if is(schema, "boolean") {
        text.parse::<bool>().map_or(Value::Null, Value::from)
    } else {
        Value::from(text)
    };
    let mut check = Check::default();
    let place = Place::Parameter(name.to_owned());
    if value.is_null() {
        return Err(Fault::new(place, "another type", expected(schema)));
    }
    check.value(schema, &value, "");
    match check.faults.pop() {
        None => Ok(value),
        Some(fault) => Err(Fault { place, ..fault }),
    }
}

fn json(schema: &RefOr<Schema>) -> Value {
    serde_json::to_value(schema).unwrap_or_default()
}

#[derive(Default)]
struct Check {
    parts: Map<String, Value>,
    faults: Vec<Fault>,
}

impl Check {
    fn fault(&mut self, pointer: &str, found: &str, expected: impl std::fmt::Display) {
        if self.faults.len() < MAX_FAULTS {
            let place = Place::Body(pointer.to_owned());
            self.faults.push(Fault::new(place, found, expected));
        }
    }

    fn value(&mut self, schema: &Value, value: &Value, pointer: &str) {
        if let Some(name) = at(schema, "$ref").as_str().and_then(|r| r.rsplit('/').next()) {
            let part = self.parts.get(name).cloned().unwrap_or_default();
            return self.value(&part, value, pointer);
        }
        if let Some(choices) = at(schema, "oneOf").as_array() {
            return self.choice(choices, value, pointer);
        }
        for part in at(schema, "allOf").as_array().into_iter().flatten() {
            self.value(part, value, pointer);
        }
        if !fits(schema, value) {
            return self.fault(pointer, "a value of another type", expected(schema));
        }
        match value {
            Value::Object(fields) => self.object(schema, fields, pointer),
            Value::Array(items) => self.list(schema, items, pointer),
            Value::String(text) => self.text(schema, text, pointer),
            Value::Number(number) => {
                let (least, most) = (at(schema, "minimum").as_f64(), at(schema, "maximum").as_f64());
                let number = number.as_f64().unwrap_or(f64::NAN);
                if least.is_some_and(|least| number < least) || most.is_some_and(|most| number > most) {
                    let bound = |side: &Value| side.as_u64().map(|n| n.to_string()).unwrap_or_default();
                    let expected = format!(
                        "{} to {}",
                        bound(at(schema, "minimum")),
                        bound(at(schema, "maximum"))
                    );
                    self.fault(pointer, "a number out of range", expected);
                }
            }
            Value::Null | Value::Bool(_) => {}
        }
    }

    /// Null or one other thing; or objects that are told apart by their one field.
    fn choice(&mut self, choices: &[Value], value: &Value, pointer: &str) {
        let (nulls, others): (Vec<_>, Vec<_>) = choices.iter().partition(|c| is(c, "null"));
        if value.is_null() && !nulls.is_empty() {
            return;
        }
        if let [only] = others.as_slice() {
            return self.value(only, value, pointer);
        }
        let fields = value.as_object();
        let named = fields.filter(|f| f.len() == 1).and_then(|f| f.keys().next());
        let fitting = named.and_then(|name| {
            let mut others = others.iter();
            others.find(|c| !at(at(c, "properties"), name).is_null())
        });
        match fitting {
            Some(choice) => self.value(choice, value, pointer),
            None => {
                let names = others.iter().filter_map(|c| at(c, "properties").as_object());
                let names: Vec<&str> = names.flat_map(|p| p.keys()).map(String::as_str).collect();
                let found = match fields.map(Map::len) {
                    None => "a value of another type",
                    Some(0) => "nothing",
                    Some(1) => "an unknown field",
                    Some(_) => "several fields",
                };
                self.fault(pointer, found, format!("exactly one of {}", names.join(", ")));
            }
        }
    }

    fn object(&mut self, schema: &Value, fields: &Map<String, Value>, pointer: &str) {
        let empty = Map::new();
        let known = at(schema, "properties").as_object().unwrap_or(&empty);
        for name in at(schema, "required")
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(Value::as_str)
        {
            if !fields.contains_key(name) {
                let wanted = known.get(name).map_or_else(String::new, |s| self.told(s));
                self.fault(&format!("{pointer}/{}", escaped(name)), "nothing", wanted);
            }
        }
        for (name, value) in fields {
            let below = format!("{pointer}/{}", escaped(name));
            match known.get(name) {
                Some(schema) => self.value(schema, value, &below),
                None => match at(schema, "additionalProperties") {
                    Value::Bool(false) => {
                        let shown: String = name.chars().take(MAX_NAME).collect();
                        let names: Vec<&str> = known.keys().map(String::as_str).collect();
                        let found = format!("unknown field `{shown}`");
                        self.fault(pointer, &found, format!("some of {}", names.join(", ")));
                    }
                    Value::Object(_) => self.value(at(schema, "additionalProperties"), value, &below),
                    _ => {}
                },
            }
        }
        if let Some(most) = at(schema, "maxProperties").as_u64()
            && fields.len() as u64 > most
        {
            self.fault(
                pointer,
                &format!("{} fields", fields.len()),
                format!("at most {most}"),
            );
        }
    }

    fn list(&mut self, schema: &Value, items: &[Value], pointer: &str) {
        if let Some(most) = at(schema, "maxItems").as_u64()
            && items.len() as u64 > most
        {
            return self.fault(pointer, &items.len().to_string(), format!("at most {most}"));
        }
        for (index, item) in items.iter().enumerate() {
            self.value(at(schema, "items"), item, &format!("{pointer}/{index}"));
        }
    }

    fn text(&mut self, schema: &Value, text: &str, pointer: &str) {
        if let Some(words) = at(schema, "enum").as_array() {
            if !words.iter().any(|w| w.as_str() == Some(text)) {
                self.fault(pointer, "another word", expected(schema));
            }
            return;
        }
        let length = text.chars().count() as u64;
        let (least, most) = (at(schema, "minLength").as_u64(), at(schema, "maxLength").as_u64());
        if least.is_some_and(|least| length < least) || most.is_some_and(|most| length > most) {
            let found = if length == 0 {
                "nothing".to_owned()
            } else {
                format!("{length} letters")
            };
            let bounds = match (least, most) {
                (Some(least), Some(most)) => format!("{least} to {most} letters"),
                (Some(least), None) => format!("at least {least} letters"),
                (None, most) => format!("at most {} letters", most.unwrap_or_default()),
            };
            self.fault(pointer, &found, bounds);
        }
    }

    fn told(&self, schema: &Value) -> String {
        let name = at(schema, "$ref").as_str().and_then(|r| r.rsplit('/').next());
        expected(name.and_then(|name| self.parts.get(name)).unwrap_or(schema))
    }
}

/// What a schema says under this name; null: nothing.
fn at<'a>(schema: &'a Value, name: &str) -> &'a Value {
    schema.get(name).unwrap_or(&Value::Null)
}

/// Whether a schema names this type.
fn is(schema: &Value, wanted: &str) -> bool {
    match at(schema, "type") {
        Value::String(one) => one == wanted,
        Value::Array(some) => some.iter().any(|t| t == wanted),
        _ => false,
    }
}

/// Whether a value is of a type that the schema names; one that names none takes all.
fn fits(schema: &Value, value: &Value) -> bool {
    if at(schema, "type").is_null() {
        return true;
    }
    match value {
        Value::Null => is(schema, "null"),
        Value::Bool(_) => is(schema, "boolean"),
        Value::Number(n) => is(schema, "number") || (is(schema, "integer") && (n.is_u64() || n.is_i64())),
        Value::String(_) => is(schema, "string"),
        Value::Array(_) => is(schema, "array"),
        Value::Object(_) => is(schema, "object"),
    }
}

/// What a schema wants, in words.
fn expected(schema: &Value) -> String {
    if let Some(words) = at(schema, "enum").as_array() {
        let words: Vec<&str> = words.iter().filter_map(Value::as_str).collect();
        return format!("one of {}", words.join(", "));
    }
    let named = [
        ("string", "a text"),
        ("integer", "a whole number"),
        ("number", "a number"),
        ("boolean", "true or false"),
        ("array", "a list"),
        ("object", "an object"),
    ];
    let mut named = named.into_iter();
    let found = named.find(|(name, _)| is(schema, name));
    found.map_or("something else", |(_, words)| words).to_owned()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::wire::{CreatePrincipal, CreateToken, OfferedConfig, Revoke};
    use super::*;

    fn told(faults: Vec<Fault>) -> Vec<String> {
        let place = |place| match place {
            Place::Body(pointer) => pointer,
            Place::Parameter(name) => name,
        };
        faults
            .into_iter()
            .map(|f| format!("{} {}", place(f.place), f.message))
            .collect()
    }

    #[test]
    fn everything_that_is_wrong_is_told_at_once_by_its_place_and_without_its_value() {
        let body = json!({
            "kind": "hunter2", "scopes": ["read", 7, {"hunter2": 1}], "networks": "hunter2", "https_only": "hunter2",
            "password": ["hunter2"], "exires": "hunter2", "a/b~c": 1,
        });
        let told = told(faults_of::<CreateToken>(&body));
        let expected = [
            "/kind found another word, expected one of sealed_device_token",
            "/scopes/1 found a value of another type, expected a text",
            "/scopes/2 found a value of another type, expected a text",
            "/networks found a value of another type, expected a list",
            "/https_only found a value of another type, expected true or false",
            "/password found a value of another type, expected a text",
            " found unknown field `exires`, expected some of ",
            " found unknown field `a/b~c`, expected some of ",
        ];
        for expected in expected {
            assert!(
                told.iter().any(|t| t.starts_with(expected)),
                "{expected}: {told:#?}"
            );
        }
        assert_eq!(told.len(), expected.len(), "{told:#?}");
        assert!(!told.concat().contains("hunter2"), "{told:#?}");
    }

    #[test]
    fn what_is_missing_too_long_or_too_much_is_told() {
        let body = json!({"external_id": "", "roles": vec!["R"; 65], "name": "x".repeat(256)});
        let told = told(faults_of::<CreatePrincipal>(&body));
        for expected in [
            "/kind found nothing, expected one of",
            "/external_id found nothing, expected 1 to 255 letters",
            "/roles found 65, expected at most 64",
            "/name found 256 letters",
        ] {
            assert!(
                told.iter().any(|t| t.starts_with(expected)),
                "{expected}: {told:#?}"
            );
        }
    }

    #[test]
    fn one_of_several_is_told_apart_by_its_field() {
        for (body, expected) in [
            (json!({"credential": "x"}), None),
            (json!({"all": "everything"}), None),
            (
                json!({}),
                Some(" found nothing, expected exactly one of credential, token"),
            ),
            (json!({"all": "x", "device": "y"}), Some(" found several fields")),
            (json!({"hunter2": 1}), Some(" found an unknown field")),
            (json!([]), Some(" found a value of another type")),
            (
                json!({"token": 3}),
                Some("/token found a value of another type, expected a text"),
            ),
        ] {
            let told = told(faults_of::<Revoke>(&body));
            match expected {
                None => assert!(told.is_empty(), "{body}: {told:?}"),
                Some(expected) => assert!(told.concat().starts_with(expected), "{body}: {told:?}"),
            }
        }
        assert!(faults_of::<Option<OfferedConfig>>(&Value::Null).is_empty());
        let told = told(faults_of::<Option<OfferedConfig>>(&json!({"name": "x"})));
        assert_eq!(told, ["/text found nothing, expected a text"]);
    }

    #[test]
    fn faults_are_bounded() {
        let many: Map<String, Value> = (0..1000).map(|n| (format!("f{n}"), Value::Null)).collect();
        assert_eq!(faults_of::<CreateToken>(&Value::Object(many)).len(), MAX_FAULTS);
    }
}
