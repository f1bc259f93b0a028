//! Names that HTTP, policy or the file itself gives meaning: scopes, roles, methods, headers, paths, hosts.

use super::TextValue;
use crate::accounts::expiry;
use crate::authn::kinds::api_token::Prefix;
use crate::domain::clock::UnixMillis;
use crate::domain::scope::{Role, Scope};
use crate::gate::upstream_headers::may_carry_identity;

/// Permission bits of a socket, as `chmod` takes them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FileMode(pub u32);

impl TextValue for FileMode {
    const FORMAT: &'static str = "file-mode";
    const EXPECTED: &'static str = "permission bits such as \"0660\"";

    fn parse(text: &str) -> Result<Self, String> {
        let digits = text.strip_prefix('0').unwrap_or(text);
        match u32::from_str_radix(digits, 8) {
            Ok(mode) if digits.len() == 3 && mode & 0o111 == 0 && mode & 0o600 == 0o600 => Ok(Self(mode)),
            Ok(_) if digits.len() == 3 => Err("give the owner 6, and others 6, 4, 2 or 0".to_owned()),
            _ => Err("write three octal digits after a 0".to_owned()),
        }
    }

    fn text(&self) -> String {
        format!("0{:o}", self.0)
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

/// When a credential ends, counted from its making: `never`, or a span of the calendar.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExpireTime(pub String);

impl TextValue for ExpireTime {
    const FORMAT: &'static str = "expire-time";
    const EXPECTED: &'static str = "never, or a span such as 3 hours, 30d or 1 month";

    fn parse(text: &str) -> Result<Self, String> {
        let at = |day: i64| expiry::parse(text, UnixMillis(day * 86_400_000));
        match (at(0), at(1)) {
            (Ok(None), _) => Ok(Self(text.to_owned())),
            // A date would be over one day.
            (Ok(one), Ok(other)) if one != other => Ok(Self(text.to_owned())),
            _ => Err("write a number and a unit, at most 100 years".to_owned()),
        }
    }

    fn text(&self) -> String {
        self.0.clone()
    }
}

/// What stands before the subjects of an issuer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SubjectPrefix(pub String);

impl TextValue for SubjectPrefix {
    const FORMAT: &'static str = "subject-prefix";
    const EXPECTED: &'static str = "1 to 64 visible ASCII characters such as \"corp:\"";

    fn parse(text: &str) -> Result<Self, String> {
        match text.len() {
            1..=64 if text.bytes().all(|b| b.is_ascii_graphic()) => Ok(Self(text.to_owned())),
            _ => Err("choose another prefix; it stands in a header's value".to_owned()),
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

/// A protocol that a connection may switch to (RFC 9110 section 7.8).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProtocolText(pub http::HeaderValue);

impl TextValue for ProtocolText {
    const FORMAT: &'static str = "protocol";
    const EXPECTED: &'static str = "a protocol such as websocket";

    fn parse(text: &str) -> Result<Self, String> {
        let text = text.to_ascii_lowercase();
        let (name, version) = text.split_once('/').unwrap_or((&text, "0"));
        let is_token = |part: &str| !part.is_empty() && part.bytes().all(is_token);
        if text.len() > 64 || !is_token(name) || !is_token(version) {
            return Err("use 1 to 64 letters and digits, and a version after / where it has one".to_owned());
        }
        match name {
            "h2c" | "http" => Err("remove it: HTTP/2 is spoken without a switch of protocols".to_owned()),
            "tls" => Err("remove it: a listener speaks TLS from the start".to_owned()),
            _ => http::HeaderValue::from_str(&text)
                .map(Self)
                .map_err(|error| error.to_string()),
        }
    }

    fn text(&self) -> String {
        self.0.to_str().unwrap_or_default().to_owned()
    }
}

/// The letters of a token (RFC 9110 section 5.6.2).
fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
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
        if !may_carry_identity(&name) {
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
pub struct PrefixText(pub Prefix);

impl TextValue for PrefixText {
    const FORMAT: &'static str = "token-prefix";
    const EXPECTED: &'static str = "a token prefix such as dw: 1 to 16 lower-case letters and digits";

    fn parse(text: &str) -> Result<Self, String> {
        match text {
            "dwd" | "dwt" => return Err("choose another prefix: device tokens have this one".to_owned()),
            _ if text.ends_with('_') => {
                return Err(format!("write {}: the _ is added", text.trim_end_matches('_')));
            }
            _ => {}
        }
        Prefix::parse(text)
            .map(Self)
            .map_err(|_| "begin with a lower-case letter; then lower-case letters and digits".to_owned())
    }

    fn text(&self) -> String {
        self.0.as_str().to_owned()
    }
}

/// Where lines of a log go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LogDestination {
    /// Nowhere.
    Off,
    /// Standard error.
    Stderr,
    /// Standard output.
    Stdout,
    /// A file.
    File(String),
}

impl TextValue for LogDestination {
    const FORMAT: &'static str = "log-destination";
    const EXPECTED: &'static str =
        "off, stderr, stdout, or the path of a file such as /var/log/doorward/access.log";

    fn parse(text: &str) -> Result<Self, String> {
        match text {
            "off" => Ok(Self::Off),
            "stderr" => Ok(Self::Stderr),
            "stdout" => Ok(Self::Stdout),
            // A misspelled word shall not become a file.
            _ if text.contains('/') && !text.ends_with('/') => Ok(Self::File(text.to_owned())),
            _ => Err(
                "write a path with a slash in it: ./access.log is a file in the working directory".to_owned(),
            ),
        }
    }

    fn text(&self) -> String {
        match self {
            Self::Off => "off".to_owned(),
            Self::Stderr => "stderr".to_owned(),
            Self::Stdout => "stdout".to_owned(),
            Self::File(path) => path.clone(),
        }
    }
}
