//! JSON in which a member can stand only once, at any depth.
//!
//! Two parsers that meet `{"sub":"a","sub":"b"}` may disagree about who it is (RFC 8259 section 4 leaves
//! it open, RFC 7519 section 4 lets us refuse it), so we refuse. Depth is bounded by serde_json (128).
//! Called for JOSE headers, claims and fetched key sets. Does not know what the members mean.

use std::fmt;

use serde::de::{Deserialize, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};

/// Parses one JSON object that fills the whole input and repeats no member anywhere.
pub(super) fn object(bytes: &[u8]) -> Option<Map<String, Value>> {
    match serde_json::from_slice::<Strict>(bytes) {
        Ok(Strict(Value::Object(map))) => Some(map),
        _ => None,
    }
}

struct Strict(Value);

impl<'de> Deserialize<'de> for Strict {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(StrictVisitor).map(Self)
    }
}

struct StrictVisitor;

impl<'de> Visitor<'de> for StrictVisitor {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON without repeated members")
    }

    fn visit_unit<E: Error>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E: Error>(self, v: bool) -> Result<Value, E> {
        Ok(Value::Bool(v))
    }

    fn visit_i64<E: Error>(self, v: i64) -> Result<Value, E> {
        Ok(Value::Number(v.into()))
    }

    fn visit_u64<E: Error>(self, v: u64) -> Result<Value, E> {
        Ok(Value::Number(v.into()))
    }

    fn visit_f64<E: Error>(self, v: f64) -> Result<Value, E> {
        Number::from_f64(v)
            .map(Value::Number)
            .ok_or_else(|| E::custom("not a finite number"))
    }

    fn visit_str<E: Error>(self, v: &str) -> Result<Value, E> {
        Ok(Value::String(v.to_owned()))
    }

    fn visit_string<E: Error>(self, v: String) -> Result<Value, E> {
        Ok(Value::String(v))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Value, A::Error> {
        let mut list = Vec::new();
        while let Some(Strict(value)) = seq.next_element()? {
            list.push(value);
        }
        Ok(Value::Array(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Value, A::Error> {
        let mut map = Map::new();
        while let Some(name) = members.next_key::<String>()? {
            let Strict(value) = members.next_value()?;
            if map.insert(name, value).is_some() {
                return Err(A::Error::custom("a member is repeated"));
            }
        }
        Ok(Value::Object(map))
    }
}

#[cfg(test)]
mod tests {
    use super::object;

    #[test]
    fn a_repeated_member_is_refused_at_any_depth() {
        for (text, accepted, why) in [
            (r#"{"a":1,"b":[{"c":null}]}"#, true, "plain"),
            (r#"{"a":1,"a":1}"#, false, "repeated with the same value"),
            (r#"{"a":1,"\u0061":2}"#, false, "repeated in another spelling"),
            (r#"{"x":{"a":1,"a":2}}"#, false, "repeated inside an object"),
            (r#"{"x":[{"a":1,"a":2}]}"#, false, "repeated inside a list"),
            (r#"[1]"#, false, "a list is not an object"),
            (r#"{"a":1}{"b":2}"#, false, "two values"),
            (r#"{"a":1} "#, true, "white space after it"),
            ("\u{feff}{\"a\":1}", false, "a byte order mark"),
            (r#"{"a":1e999}"#, false, "not a finite number"),
            ("", false, "nothing"),
        ] {
            assert_eq!(object(text.as_bytes()).is_some(), accepted, "{why}");
        }
        let deep = format!("{}1{}", "{\"a\":".repeat(200), "}".repeat(200));
        assert!(object(deep.as_bytes()).is_none(), "nesting is bounded");
        assert!(object(b"{\"a\":\"\xff\"}").is_none(), "not UTF-8");
    }
}
