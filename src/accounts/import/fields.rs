//! Fields of a foreign record, read as what they should be. CSV has texts only, so a number, a switch or a list may
//! also be written as one. Faults name the field and what was expected, never the value: it may be a secret.

use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use serde_json::Value;

use super::source::Fields;
use crate::domain::clock::UnixMillis;
use crate::domain::ids::InvalidId;
use crate::domain::scope::{Scope, ScopeSet};
use crate::store::Enabled;

/// Why a row is not kept.
pub type Fault = String;

/// The first of these fields that is there: not null, not empty, not PostgreSQL's mark of null.
pub fn value<'a>(fields: &'a Fields, names: &[&str]) -> Option<&'a Value> {
    names.iter().find_map(|name| {
        fields.get(*name).filter(|value| match value {
            Value::Null => false,
            Value::String(text) => !text.is_empty() && text != "\\N",
            _ => true,
        })
    })
}

/// A text, or a number as one.
pub fn text(fields: &Fields, names: &[&str]) -> Result<Option<String>, Fault> {
    match value(fields, names) {
        None => Ok(None),
        Some(Value::String(text)) => Ok(Some(text.clone())),
        Some(Value::Number(number)) => Ok(Some(number.to_string())),
        Some(_) => Err(wrong(names, "a text")),
    }
}

/// A text that must be there.
pub fn required(fields: &Fields, names: &[&str]) -> Result<String, Fault> {
    text(fields, names)?.ok_or_else(|| format!("no {}", names.join(" or ")))
}

/// An id of ours.
pub fn id<T: std::str::FromStr<Err = InvalidId>>(name: &str, text: &str) -> Result<T, Fault> {
    text.parse().map_err(|e: InvalidId| format!("{name}: {e}"))
}

/// A switch; on when nothing is said.
pub fn switch(fields: &Fields, names: &[&str]) -> Result<Enabled, Fault> {
    match value(fields, names) {
        None | Some(Value::Bool(true)) => Ok(Enabled::Yes),
        Some(Value::Bool(false)) => Ok(Enabled::No),
        Some(Value::Number(n)) if n.as_i64() == Some(1) => Ok(Enabled::Yes),
        Some(Value::Number(n)) if n.as_i64() == Some(0) => Ok(Enabled::No),
        Some(Value::String(text)) => match text.to_ascii_lowercase().as_str() {
            "t" | "true" | "1" | "yes" => Ok(Enabled::Yes),
            "f" | "false" | "0" | "no" => Ok(Enabled::No),
            _ => Err(wrong(names, "true or false")),
        },
        Some(_) => Err(wrong(names, "true or false")),
    }
}

/// A point of time: RFC 3339, a date and time as databases print it (UTC unless it says otherwise), or milliseconds
/// since 1970.
pub fn instant(fields: &Fields, names: &[&str]) -> Result<Option<UnixMillis>, Fault> {
    let expected = "a date and time, or milliseconds since 1970";
    match value(fields, names) {
        None => Ok(None),
        Some(Value::Number(n)) => n
            .as_i64()
            .map(|ms| Some(UnixMillis(ms)))
            .ok_or_else(|| wrong(names, expected)),
        Some(Value::String(text)) => moment(text).map(Some).ok_or_else(|| wrong(names, expected)),
        Some(_) => Err(wrong(names, expected)),
    }
}

fn moment(text: &str) -> Option<UnixMillis> {
    let text = text.trim();
    if let Ok(ms) = text.parse::<i64>() {
        return Some(UnixMillis(ms));
    }
    // PostgreSQL writes `+00`, Rails ` UTC`.
    let utc = text.strip_suffix(" UTC").or_else(|| text.strip_suffix("+00"));
    if let Some(at) = utc.and_then(in_utc) {
        return Some(at);
    }
    match text.parse::<Timestamp>() {
        Ok(at) => Some(UnixMillis(at.as_millisecond())),
        Err(_) => in_utc(text),
    }
}

fn in_utc(text: &str) -> Option<UnixMillis> {
    let at: DateTime = text.trim().parse().ok()?;
    let at = at.to_zoned(TimeZone::UTC).ok()?;
    Some(UnixMillis(at.timestamp().as_millisecond()))
}

/// A list of texts: JSON, PostgreSQL's `{a,b}`, or separated by commas or spaces.
pub fn list(fields: &Fields, names: &[&str]) -> Result<Vec<String>, Fault> {
    let expected = "a list of texts";
    let items = |items: &[Value]| -> Result<Vec<String>, Fault> {
        let texts = items.iter().map(|item| item.as_str().map(str::to_owned));
        texts
            .collect::<Option<Vec<_>>>()
            .ok_or_else(|| wrong(names, expected))
    };
    match value(fields, names) {
        None => Ok(Vec::new()),
        Some(Value::Array(array)) => items(array),
        Some(Value::String(text)) => {
            let text = text.trim();
            if text.starts_with('[') || text.starts_with('"') {
                return match serde_json::from_str(text) {
                    Ok(Value::Array(array)) => items(&array),
                    // Rails may have written the JSON as a JSON text.
                    Ok(Value::String(inner)) => match serde_json::from_str(&inner) {
                        Ok(Value::Array(array)) => items(&array),
                        _ => Err(wrong(names, expected)),
                    },
                    _ => Err(wrong(names, expected)),
                };
            }
            let text = text.trim_start_matches('{').trim_end_matches('}');
            let words = text.split([',', ' ']).map(|word| word.trim_matches('"'));
            Ok(words.filter(|w| !w.is_empty()).map(str::to_owned).collect())
        }
        Some(_) => Err(wrong(names, expected)),
    }
}

/// Scopes.
pub fn scopes(texts: &[String]) -> Result<ScopeSet, Fault> {
    let parsed: Result<Vec<_>, _> = texts.iter().map(|text| Scope::parse(text)).collect();
    parsed.and_then(ScopeSet::new).map_err(|e| format!("scopes: {e}"))
}

/// A name for people: bounded, without control characters.
pub fn name(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(255).collect()
}

fn wrong(names: &[&str], expected: &str) -> Fault {
    format!("{}: expected {expected}", names.first().unwrap_or(&""))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn fields(value: Value) -> Fields {
        value.as_object().expect("an object").clone()
    }

    #[test]
    fn times_are_read_as_databases_and_programs_write_them() {
        for (written, expected) in [
            (json!("2026-03-14T00:00:03Z"), Some(1_773_446_403_000)),
            (json!("2026-03-14T02:00:03+02:00"), Some(1_773_446_403_000)),
            (json!("2026-03-14 00:00:03.250"), Some(1_773_446_403_250)),
            (json!("2026-03-14 00:00:03+00"), Some(1_773_446_403_000)),
            (json!("2026-03-14 00:00:03 UTC"), Some(1_773_446_403_000)),
            (json!("1773446403000"), Some(1_773_446_403_000)),
            (json!(1_773_446_403_000_i64), Some(1_773_446_403_000)),
            (json!(""), None),
            (json!("\\N"), None),
            (Value::Null, None),
        ] {
            let found = instant(&fields(json!({ "at": written })), &["at"]);
            assert_eq!(found, Ok(expected.map(UnixMillis)), "{written}");
        }
        let secret = instant(&fields(json!({"at": "secret"})), &["at"]).expect_err("no time");
        assert!(!secret.contains("secret"), "{secret}");
    }

    #[test]
    fn lists_and_switches_come_in_every_spelling() {
        for written in [
            json!(["a:b", "c"]),
            json!("[\"a:b\", \"c\"]"),
            json!("{a:b,c}"),
            json!("a:b c"),
            json!("\"[\\\"a:b\\\",\\\"c\\\"]\""),
        ] {
            let found = list(&fields(json!({ "s": written })), &["s"]);
            assert_eq!(found, Ok(vec!["a:b".to_owned(), "c".to_owned()]), "{written}");
        }
        for (written, expected) in [
            (json!("t"), Ok(Enabled::Yes)),
            (json!("0"), Ok(Enabled::No)),
            (json!(0), Ok(Enabled::No)),
            (json!(false), Ok(Enabled::No)),
            (Value::Null, Ok(Enabled::Yes)),
            (json!("maybe"), Err("s: expected true or false".to_owned())),
        ] {
            assert_eq!(switch(&fields(json!({ "s": written })), &["s"]), expected);
        }
    }
}
