//! Texts with a meaning: durations, sizes, addresses, names, secrets.
//!
//! Each type knows its own form, says what it expected when a text does not have it, and reads back what it
//! prints. The name of its form stands as `format` in the schema, by which the walk over the file finds
//! the same check ([`check_format`]): so every bad value is found, not only the first. Nothing here reads
//! a file or knows another key.

mod addresses;
mod names;

use std::borrow::Cow;
use std::fmt;
use std::time::Duration;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use crate::domain::secret::SecretText;

pub use addresses::{
    Address, AdminAddress, EVERYBODY, FetchUrl, ListenAddress, Network, PinText, ServerNameText, StoreUrl,
    TrustedNetwork, UpstreamUrl,
};
pub use names::{
    ExpireTime, FileMode, HeaderText, HostText, LogDestination, MethodText, Name, PathText, PrefixText,
    ProtocolText, RoleText, ScopeText, SubjectPrefix,
};

/// A value that is written as one word.
pub trait TextValue: Sized {
    /// Name of the form in the schema.
    const FORMAT: &'static str;
    /// What a text of this form looks like, after "expected".
    const EXPECTED: &'static str;
    /// Reads the text; the error says what to do about it.
    fn parse(text: &str) -> Result<Self, String>;
    /// The text that reads back as this value.
    fn text(&self) -> String;
}

/// What a text lacks to be of a form.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Misfit {
    /// What the form looks like.
    pub expected: &'static str,
    /// What to do.
    pub remedy: String,
}

fn check<T: TextValue>(text: &str) -> Option<Misfit> {
    T::parse(text).err().map(|remedy| Misfit {
        expected: T::EXPECTED,
        remedy,
    })
}

macro_rules! text_values {
    ($($type:ident),*) => {
        /// Checks a text against the form of this name; an unknown form misfits nothing.
        pub fn check_format(format: &str, text: &str) -> Option<Misfit> {
            match format {
                $(<$type as TextValue>::FORMAT => check::<$type>(text),)*
                _ => None,
            }
        }
        $(
            impl<'de> Deserialize<'de> for $type {
                fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
                    let text = Cow::<'de, str>::deserialize(from)?;
                    <$type as TextValue>::parse(&text).map_err(de::Error::custom)
                }
            }
            impl Serialize for $type {
                fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
                    to.serialize_str(&TextValue::text(self))
                }
            }
            impl JsonSchema for $type {
                fn schema_name() -> Cow<'static, str> {
                    <$type as TextValue>::FORMAT.into()
                }
                fn json_schema(_: &mut SchemaGenerator) -> Schema {
                    json_schema!({ "type": "string", "format": <$type as TextValue>::FORMAT })
                }
            }
        )*
    };
}

text_values!(
    Span,
    Size,
    Address,
    AdminAddress,
    ListenAddress,
    FileMode,
    LogDestination,
    Network,
    TrustedNetwork,
    UpstreamUrl,
    ServerNameText,
    PinText,
    FetchUrl,
    Name,
    ProtocolText,
    SubjectPrefix,
    ScopeText,
    RoleText,
    MethodText,
    HeaderText,
    PathText,
    ExpireTime,
    HostText,
    PrefixText,
    StoreUrl
);

/// A duration: a whole number and its unit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Span(pub Duration);

/// Units of durations, longest first, in milliseconds.
const SPAN_UNITS: [(&str, u64); 5] = [
    ("d", 86_400_000),
    ("h", 3_600_000),
    ("m", 60_000),
    ("s", 1000),
    ("ms", 1),
];

/// Longest duration accepted: ten years, so that no sum of ours can overflow.
const MAX_SPAN_MS: u64 = 3_650 * 86_400_000;

impl Span {
    /// A duration of this many milliseconds.
    pub const fn from_millis(ms: u64) -> Self {
        Self(Duration::from_millis(ms))
    }

    /// A duration of this many seconds.
    pub const fn from_secs(secs: u64) -> Self {
        Self(Duration::from_secs(secs))
    }
}

impl TextValue for Span {
    const FORMAT: &'static str = "duration";
    const EXPECTED: &'static str = "a duration such as 500ms, 30s, 5m, 24h or 7d";

    fn parse(text: &str) -> Result<Self, String> {
        let (number, unit) = split_unit(text);
        let Ok(number) = number.parse::<u64>() else {
            return Err("write one whole number and its unit, without a space or a fraction".to_owned());
        };
        if unit.is_empty() {
            return Err(format!("add the unit, for example {number}s for seconds"));
        }
        let Some((_, ms)) = SPAN_UNITS.iter().find(|(u, _)| *u == unit) else {
            return Err("use one of the units ms, s, m, h and d".to_owned());
        };
        match number.checked_mul(*ms) {
            Some(ms) if ms <= MAX_SPAN_MS => Ok(Self::from_millis(ms)),
            _ => Err("use at most 3650d".to_owned()),
        }
    }

    fn text(&self) -> String {
        let ms = u64::try_from(self.0.as_millis()).unwrap_or(MAX_SPAN_MS);
        // A single day reads better as 24h.
        let whole =
            |name: &str, unit: u64| ms >= unit && ms.is_multiple_of(unit) && !(name == "d" && ms == unit);
        match SPAN_UNITS.iter().find(|(name, unit)| whole(name, *unit)) {
            Some((name, unit)) => format!("{}{name}", ms.checked_div(*unit).unwrap_or(0)),
            None => "0s".to_owned(),
        }
    }
}

/// A number of bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Size(pub u64);

/// Units of sizes, largest first.
const SIZE_UNITS: [(&str, u64); 4] = [("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10), ("B", 1)];

impl TextValue for Size {
    const FORMAT: &'static str = "size";
    const EXPECTED: &'static str = "a size such as 512B, 64KiB, 64MiB or 1GiB";

    fn parse(text: &str) -> Result<Self, String> {
        let (number, unit) = split_unit(text);
        let Ok(number) = number.parse::<u64>() else {
            return Err("write one whole number and its unit, without a space or a fraction".to_owned());
        };
        let unit = if unit.is_empty() { "B" } else { unit };
        let Some((_, bytes)) = SIZE_UNITS.iter().find(|(u, _)| *u == unit) else {
            return Err("use one of the units B, KiB, MiB and GiB (1 KiB is 1024 bytes)".to_owned());
        };
        match number.checked_mul(*bytes) {
            Some(bytes) if bytes <= 1 << 50 => Ok(Self(bytes)),
            _ => Err("use at most 1048576GiB".to_owned()),
        }
    }

    fn text(&self) -> String {
        match SIZE_UNITS
            .iter()
            .find(|(_, unit)| self.0 > 0 && self.0.is_multiple_of(*unit))
        {
            Some((name, unit)) => format!("{}{name}", self.0.checked_div(*unit).unwrap_or(0)),
            None => "0B".to_owned(),
        }
    }
}

/// Splits a text after its leading digits.
fn split_unit(text: &str) -> (&str, &str) {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    text.split_at_checked(digits).unwrap_or((text, ""))
}

/// A secret written into the file or the environment. Prints as `(redacted)`, is never shown by a problem.
#[derive(Clone)]
pub struct Secret(pub SecretText);

/// What stands for a secret wherever the configuration is printed.
pub const REDACTED: &str = "(redacted)";

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(REDACTED)
    }
}

impl<'de> Deserialize<'de> for Secret {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        Ok(Self(SecretText::new(String::deserialize(from)?)))
    }
}

impl Serialize for Secret {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(REDACTED)
    }
}

impl JsonSchema for Secret {
    fn schema_name() -> Cow<'static, str> {
        "secret".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "writeOnly": true })
    }
}
