//! Texts with a meaning: durations, sizes, addresses, names, secrets.
//!
//! Each type knows its own form, says what it expected when a text does not have it, and reads back what it
//! prints. The name of its form stands as `format` in the schema, by which the walk over the file finds
//! the same check ([`check_format`]): so every bad value is found, not only the first. Nothing here reads
//! a file or knows another key.

use std::borrow::Cow;
use std::fmt;
use std::net::SocketAddr;
use std::time::Duration;

use ipnet::IpNet;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use crate::domain::net::parse_network;
use crate::domain::scope::{Role, Scope};
use crate::domain::secret::SecretText;

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
    Network,
    UpstreamUrl,
    FetchUrl,
    Name,
    ScopeText,
    RoleText,
    MethodText,
    HeaderText,
    PathText,
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
        match SPAN_UNITS
            .iter()
            .find(|(_, unit)| ms > 0 && ms.is_multiple_of(*unit))
        {
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

/// An IP address and a port to listen on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Address(pub SocketAddr);

impl TextValue for Address {
    const FORMAT: &'static str = "ip-and-port";
    const EXPECTED: &'static str = "an IP address and a port such as 127.0.0.1:8080 or [::1]:8080";

    fn parse(text: &str) -> Result<Self, String> {
        if let Ok(address) = text.parse() {
            return Ok(Self(address));
        }
        let (host, port) = text.rsplit_once(':').unwrap_or((text, ""));
        Err(match (host, port) {
            (_, port) if port.parse::<u16>().is_err() => {
                "add a port from 0 to 65535 after the address".to_owned()
            }
            ("localhost", port) => format!("write 127.0.0.1:{port}"),
            ("" | "*", port) => {
                format!("write 0.0.0.0:{port} for every IPv4 address, [::]:{port} for every address")
            }
            (host, port) if host.contains(':') => {
                format!("put an IPv6 address into brackets: [{host}]:{port}")
            }
            _ => "write an IP address: names are not resolved for listening".to_owned(),
        })
    }

    fn text(&self) -> String {
        self.0.to_string()
    }
}

/// Where the admin door listens besides its Unix socket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AdminAddress {
    /// Nowhere.
    Off,
    /// Here.
    At(SocketAddr),
}

impl TextValue for AdminAddress {
    const FORMAT: &'static str = "ip-and-port-or-off";
    const EXPECTED: &'static str = "an IP address and a port such as 127.0.0.1:9901, or off";

    fn parse(text: &str) -> Result<Self, String> {
        match text {
            "off" => Ok(Self::Off),
            _ => Address::parse(text).map(|a| Self::At(a.0)),
        }
    }

    fn text(&self) -> String {
        match self {
            Self::Off => "off".to_owned(),
            Self::At(address) => address.to_string(),
        }
    }
}

/// An address or a network in CIDR form.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Network(pub IpNet);

impl TextValue for Network {
    const FORMAT: &'static str = "network";
    const EXPECTED: &'static str = "an address or a network such as 10.0.0.0/8 or 2001:db8::/32";

    fn parse(text: &str) -> Result<Self, String> {
        parse_network(text).map(Self).map_err(|e| e.to_string())
    }

    fn text(&self) -> String {
        self.0.to_string()
    }
}

/// Where an upstream is: `http://host:port`, nothing else.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UpstreamUrl {
    /// Host name or address, IPv6 in brackets, as written.
    pub host: String,
    /// Port; 80 when none is written.
    pub port: u16,
}

impl TextValue for UpstreamUrl {
    const FORMAT: &'static str = "upstream-url";
    const EXPECTED: &'static str = "an address such as http://127.0.0.1:9000";

    fn parse(text: &str) -> Result<Self, String> {
        let Some(authority) = text.strip_prefix("http://") else {
            return Err("begin with http://, which is the only scheme upstreams are spoken to in".to_owned());
        };
        let authority = authority.strip_suffix('/').unwrap_or(authority);
        if authority.contains('@') {
            return Err("remove the user name and password".to_owned());
        }
        if authority.contains(['/', '?', '#']) {
            return Err("remove everything after the port: paths are forwarded as they come".to_owned());
        }
        let parsed: http::uri::Authority = authority
            .parse()
            .map_err(|_| "write a host name or an IP address and a port".to_owned())?;
        if parsed.host().is_empty() || authority.ends_with(':') || parsed.port_u16() == Some(0) {
            return Err("write a host name or an IP address and a port".to_owned());
        }
        Ok(Self {
            host: parsed.host().to_ascii_lowercase(),
            port: parsed.port_u16().unwrap_or(80),
        })
    }

    fn text(&self) -> String {
        format!("http://{}:{}", self.host, self.port)
    }
}

/// Where something is fetched from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FetchUrl(pub String);

impl TextValue for FetchUrl {
    const FORMAT: &'static str = "fetch-url";
    const EXPECTED: &'static str = "an address such as https://idp.example.com/jwks";

    fn parse(text: &str) -> Result<Self, String> {
        let uri: http::Uri = text
            .parse()
            .map_err(|_| "write a whole http:// or https:// address".to_owned())?;
        let authority = uri.authority().map_or("", |a| a.as_str());
        match uri.scheme_str() {
            _ if authority.is_empty() => Err("write a whole http:// or https:// address".to_owned()),
            _ if authority.contains('@') => Err("remove the user name and password".to_owned()),
            Some("https" | "http") => Ok(Self(text.to_owned())),
            _ => Err("begin with https:// or http://".to_owned()),
        }
    }

    fn text(&self) -> String {
        self.0.clone()
    }
}

/// A name given in the file: of a listener, an upstream, an issuer, a route.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Name(pub String);

impl TextValue for Name {
    const FORMAT: &'static str = "name";
    const EXPECTED: &'static str = "a name of 1 to 64 letters, digits, - and _";

    fn parse(text: &str) -> Result<Self, String> {
        let fits = text
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_'));
        match text.len() {
            1..=64 if fits => Ok(Self(text.to_owned())),
            _ => Err("choose another name; it stands in metrics and logs".to_owned()),
        }
    }

    fn text(&self) -> String {
        self.0.clone()
    }
}

/// A scope that a route requires.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ScopeText(pub Scope);

impl TextValue for ScopeText {
    const FORMAT: &'static str = "scope";
    const EXPECTED: &'static str = "a scope such as read or channel:12:write";

    fn parse(text: &str) -> Result<Self, String> {
        Scope::parse(text)
            .map(Self)
            .map_err(|_| "use 1 to 128 visible ASCII characters without quotes and backslashes".to_owned())
    }

    fn text(&self) -> String {
        self.0.as_str().to_owned()
    }
}

/// A role that a route requires.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RoleText(pub Role);

impl TextValue for RoleText {
    const FORMAT: &'static str = "role";
    const EXPECTED: &'static str = "a role such as TENANT_ADMIN";

    fn parse(text: &str) -> Result<Self, String> {
        Role::parse(text)
            .map(Self)
            .map_err(|_| "use 1 to 128 visible ASCII characters without quotes and backslashes".to_owned())
    }

    fn text(&self) -> String {
        self.0.as_str().to_owned()
    }
}

/// An HTTP method.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MethodText(pub http::Method);

impl TextValue for MethodText {
    const FORMAT: &'static str = "method";
    const EXPECTED: &'static str = "an HTTP method such as GET or POST";

    fn parse(text: &str) -> Result<Self, String> {
        if text.bytes().any(|b| b.is_ascii_lowercase()) {
            return Err(format!(
                "methods tell case apart: write {}",
                text.to_ascii_uppercase()
            ));
        }
        http::Method::from_bytes(text.as_bytes())
            .map(Self)
            .map_err(|_| "use the letters that RFC 9110 allows in a method".to_owned())
    }

    fn text(&self) -> String {
        self.0.as_str().to_owned()
    }
}

/// The name of a header that the upstream gets, or `off`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HeaderText(pub Option<http::HeaderName>);

impl TextValue for HeaderText {
    const FORMAT: &'static str = "header-or-off";
    const EXPECTED: &'static str = "a header name such as X-Auth-Subject, or off";

    fn parse(text: &str) -> Result<Self, String> {
        if text == "off" {
            return Ok(Self(None));
        }
        let name = http::HeaderName::from_bytes(text.as_bytes())
            .map_err(|_| "use letters, digits and - only".to_owned())?;
        if RESERVED_HEADERS.contains(&name.as_str()) || name.as_str().starts_with("x-forwarded-") {
            return Err("choose another name: HTTP or Doorward itself gives this one its meaning".to_owned());
        }
        Ok(Self(Some(name)))
    }

    fn text(&self) -> String {
        self.0
            .as_ref()
            .map_or_else(|| "off".to_owned(), |n| n.as_str().to_owned())
    }
}

/// Names that carry framing, routing or credentials, and so never an identity.
const RESERVED_HEADERS: [&str; 22] = [
    "host",
    "connection",
    "content-length",
    "content-type",
    "content-encoding",
    "transfer-encoding",
    "te",
    "trailer",
    "upgrade",
    "keep-alive",
    "proxy-connection",
    "expect",
    "authorization",
    "proxy-authorization",
    "x-authorization",
    "x-api-key",
    "cookie",
    "forwarded",
    "via",
    "x-request-id",
    "traceparent",
    "x-auth-assertion",
];

/// A path rule, as written: it is understood in `resolve::paths`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PathText(pub String);

impl TextValue for PathText {
    const FORMAT: &'static str = "path";
    const EXPECTED: &'static str = "a path that begins with /";

    fn parse(text: &str) -> Result<Self, String> {
        match text {
            _ if !text.starts_with('/') => Err(format!("write /{text}")),
            _ if text.len() > 2048 => Err("use at most 2048 characters".to_owned()),
            _ => Ok(Self(text.to_owned())),
        }
    }

    fn text(&self) -> String {
        self.0.clone()
    }
}

/// A host, or `*.` and a domain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostText(pub String);

impl TextValue for HostText {
    const FORMAT: &'static str = "host";
    const EXPECTED: &'static str = "a host such as api.example.com or *.example.com, without a port";

    fn parse(text: &str) -> Result<Self, String> {
        let bare = text.strip_prefix("*.").unwrap_or(text);
        let fits = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_');
        let bracketed = text
            .strip_prefix('[')
            .and_then(|t| t.strip_suffix(']'))
            .is_some_and(|t| t.parse::<std::net::Ipv6Addr>().is_ok());
        match bare {
            _ if bracketed => Ok(Self(text.to_ascii_lowercase())),
            _ if bare.contains(':') => Err("remove the port: rules hold for every port".to_owned()),
            "" => Err("name a host".to_owned()),
            _ if bare.len() > 253 || !bare.bytes().all(fits) || bare.contains("..") => {
                Err("use letters, digits, - and . only (write other alphabets as xn--…)".to_owned())
            }
            _ => Ok(Self(text.trim_end_matches('.').to_ascii_lowercase())),
        }
    }

    fn text(&self) -> String {
        self.0.clone()
    }
}

/// The prefix of an API token, without its `_`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PrefixText(pub String);

impl TextValue for PrefixText {
    const FORMAT: &'static str = "token-prefix";
    const EXPECTED: &'static str = "a token prefix of 1 to 16 letters and digits such as dw";

    fn parse(text: &str) -> Result<Self, String> {
        match text {
            _ if text.ends_with('_') => Err(format!("write {}: the _ is added", text.trim_end_matches('_'))),
            "dwd" | "dwt" => Err("choose another prefix: device tokens have this one".to_owned()),
            _ if !(1..=16).contains(&text.len()) || !text.bytes().all(|b| b.is_ascii_alphanumeric()) => {
                Err("use 1 to 16 letters and digits".to_owned())
            }
            _ => Ok(Self(text.to_owned())),
        }
    }

    fn text(&self) -> String {
        self.0.clone()
    }
}

/// Which store: `sqlite:` and the path of its file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoreUrl(pub String);

impl TextValue for StoreUrl {
    const FORMAT: &'static str = "store-url";
    const EXPECTED: &'static str = "sqlite: and the path of a file, such as sqlite:data/doorward.db";

    fn parse(text: &str) -> Result<Self, String> {
        match text.strip_prefix("sqlite:") {
            None => Err("begin with sqlite:, the only store there is".to_owned()),
            Some("" | ":memory:") => {
                Err("name a file: a store in memory would forget revocations".to_owned())
            }
            Some(path) if path.starts_with("//") => {
                Err(format!("write sqlite:{}", path.trim_start_matches("//")))
            }
            Some(path) if path.contains(['?', '#']) => Err("remove everything from ? or # on".to_owned()),
            Some(path) => Ok(Self(path.to_owned())),
        }
    }

    fn text(&self) -> String {
        format!("sqlite:{}", self.0)
    }
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
