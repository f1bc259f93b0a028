//! Scopes, permissions and roles: the vocabulary of what a credential may do.
//!
//! A scope is one RFC 6749 `scope-token` whose `:`-separated segments may be `*` on the granted side:
//! `channel:*:read` grants `channel:12:read`, `*` grants everything, and in the last of several segments
//! `manage` includes `write`, which includes `read`. The four bare scopes `read`, `write` and `delete`
//! stand for HTTP methods; `admin` is only ever asked for by a route. Pure; decides nothing about routes.

use std::fmt;
use std::sync::Arc;

use super::ids::InvalidId;

/// Longest single scope or role, in bytes.
const MAX_SCOPE_BYTES: usize = 128;
/// Most scopes or roles one credential may carry.
pub const MAX_SCOPES: usize = 64;

/// One scope, such as `read` or `channel:12:write`.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Scope(Arc<str>);

impl Scope {
    /// Checks the text: RFC 6749 `scope-token`, 1 to 128 bytes.
    pub fn parse(text: &str) -> Result<Self, InvalidId> {
        parse_token(text).map(Self)
    }

    /// The text of the scope.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether holding `self` is enough where `wanted` is required.
    pub fn grants(&self, wanted: &Scope) -> bool {
        let (have, want) = (self.as_str(), wanted.as_str());
        if have == "*" || have == want {
            return true;
        }
        let mut have = have.split(':').peekable();
        let mut want = want.split(':').peekable();
        let mut position = 0_usize;
        loop {
            match (have.next(), want.next()) {
                (None, None) => return true,
                // A trailing `*` covers any number of further segments: `admin:*` grants `admin:users:read`.
                (Some("*"), Some(_)) if have.peek().is_none() => return true,
                (Some(h), Some(w)) => {
                    let last = position > 0 && have.peek().is_none() && want.peek().is_none();
                    if h != "*" && h != w && !(last && level(h) > level(w) && level(w) > 0) {
                        return false;
                    }
                }
                _ => return false,
            }
            position = position.saturating_add(1);
        }
    }
}

/// `manage` over `write` over `read`; anything else compares only with itself.
fn level(segment: &str) -> u8 {
    match segment {
        "read" => 1,
        "write" => 2,
        "manage" => 3,
        _ => 0,
    }
}

fn parse_token(text: &str) -> Result<Arc<str>, InvalidId> {
    match text.len() {
        0 => Err(InvalidId::Empty),
        n if n > MAX_SCOPE_BYTES => Err(InvalidId::TooLong),
        _ if text
            .bytes()
            .all(|b| matches!(b, 0x21 | 0x23..=0x5b | 0x5d..=0x7e)) =>
        {
            Ok(Arc::from(text))
        }
        _ => Err(InvalidId::BadCharacter),
    }
}

impl fmt::Debug for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Scope({})", &self.0)
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What an HTTP method does, as far as scopes and permissions care.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MethodClass {
    /// GET, HEAD, OPTIONS, TRACE and other safe methods.
    Read,
    /// POST, PUT, PATCH and every unknown method.
    Write,
    /// DELETE.
    Delete,
}

impl MethodClass {
    /// The class of a method name. Unknown methods count as writing.
    pub fn of(method: &http::Method) -> Self {
        match method.as_str() {
            "GET" | "HEAD" | "OPTIONS" | "TRACE" | "PROPFIND" | "REPORT" | "SEARCH" => Self::Read,
            "DELETE" => Self::Delete,
            _ => Self::Write,
        }
    }
}

/// The scopes of a credential. An empty set means "whatever the principal may do".
#[derive(Clone, PartialEq, Eq, Default)]
pub struct ScopeSet {
    scopes: Arc<[Scope]>,
    /// Whether any of the bare method scopes is present, and so methods are restricted.
    restricts_methods: MethodBits,
}

#[derive(Clone, Copy, PartialEq, Eq, Default)]
struct MethodBits(u8);

impl MethodBits {
    const READ: u8 = 1;
    const WRITE: u8 = 2;
    const DELETE: u8 = 4;
    const ALL: u8 = 8;
    const RESTRICTED: u8 = 16;
    /// No scope was granted, which is not the same as no restriction.
    const NOTHING: u8 = 32;
}

impl ScopeSet {
    /// A set of these scopes, duplicates removed. More than [`MAX_SCOPES`] are refused as too long.
    pub fn new(scopes: impl IntoIterator<Item = Scope>) -> Result<Self, InvalidId> {
        let mut list: Vec<Scope> = Vec::new();
        let mut bits = 0;
        for scope in scopes {
            bits |= match scope.as_str() {
                "read" => MethodBits::READ | MethodBits::RESTRICTED,
                "write" => MethodBits::WRITE | MethodBits::RESTRICTED,
                "delete" => MethodBits::DELETE | MethodBits::RESTRICTED,
                "admin" => MethodBits::RESTRICTED,
                "*" => MethodBits::ALL,
                _ => 0,
            };
            if !list.contains(&scope) {
                list.push(scope);
            }
            if list.len() > MAX_SCOPES {
                return Err(InvalidId::TooLong);
            }
        }
        Ok(Self {
            scopes: list.into(),
            restricts_methods: MethodBits(bits),
        })
    }

    /// The set of a credential that was granted no scope at all: it meets no scope that a route requires.
    /// (An *empty* set is the opposite: whatever the principal may do.)
    pub fn nothing() -> Self {
        Self {
            scopes: Arc::from([]),
            restricts_methods: MethodBits(MethodBits::NOTHING),
        }
    }

    /// Parses a list of scope texts.
    pub fn parse<'a>(texts: impl IntoIterator<Item = &'a str>) -> Result<Self, InvalidId> {
        let scopes: Result<Vec<_>, _> = texts.into_iter().map(Scope::parse).collect();
        Self::new(scopes?)
    }

    /// Whether the set is empty, and so restricts nothing.
    pub fn is_empty(&self) -> bool {
        self.scopes.is_empty() && self.restricts_methods.0 & MethodBits::NOTHING == 0
    }

    /// The scopes, in the order given.
    pub fn iter(&self) -> impl Iterator<Item = &Scope> {
        self.scopes.iter()
    }

    /// Whether some scope of the set grants `wanted`. An empty set grants everything.
    pub fn grants(&self, wanted: &Scope) -> bool {
        self.is_empty() || self.scopes.iter().any(|s| s.grants(wanted))
    }

    /// Whether the bare method scopes, when there are any, allow this class of method.
    pub fn allows_method(&self, class: MethodClass) -> bool {
        let bits = self.restricts_methods.0;
        if bits & MethodBits::ALL != 0 || bits & MethodBits::RESTRICTED == 0 {
            return true;
        }
        let needed = match class {
            MethodClass::Read => MethodBits::READ,
            MethodClass::Write => MethodBits::WRITE,
            MethodClass::Delete => MethodBits::DELETE,
        };
        bits & needed != 0
    }
}

impl fmt::Display for ScopeSet {
    /// Space-separated, as RFC 6749 writes a scope list.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, scope) in self.scopes.iter().enumerate() {
            if i > 0 {
                f.write_str(" ")?;
            }
            f.write_str(scope.as_str())?;
        }
        Ok(())
    }
}

impl fmt::Debug for ScopeSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ScopeSet({self})")
    }
}

/// A role of a principal, such as `TENANT_ADMIN`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Role(Arc<str>);

impl Role {
    /// Checks the text: the same alphabet and bound as a scope.
    pub fn parse(text: &str) -> Result<Self, InvalidId> {
        parse_token(text).map(Self)
    }

    /// The text of the role.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// TagoIO's permission of a token. `Write` does not include `Read`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Permission {
    /// Everything the principal may do.
    #[default]
    Full,
    /// Safe methods only.
    Read,
    /// Everything but safe methods.
    Write,
}

impl Permission {
    /// The name in records, on the command line and in answers.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Full => "full",
            Self::Read => "read",
            Self::Write => "write",
        }
    }

    /// The permission of this name.
    pub fn parse(text: &str) -> Option<Self> {
        [Self::Full, Self::Read, Self::Write]
            .into_iter()
            .find(|p| p.as_str() == text)
    }

    /// Whether the permission allows this class of method.
    pub fn allows_method(self, class: MethodClass) -> bool {
        match self {
            Self::Full => true,
            Self::Read => class == MethodClass::Read,
            Self::Write => class != MethodClass::Read,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scope(text: &str) -> Scope {
        Scope::parse(text).expect("a scope")
    }

    #[test]
    fn wildcards_and_levels_grant_what_they_say() {
        for (have, want, expected) in [
            ("*", "anything:at:all", true),
            ("channel:12:write", "channel:12:write", true),
            ("channel:*:read", "channel:12:read", true),
            ("channel:*:read", "channel:12:write", false),
            ("channel:12:write", "channel:12:read", true),
            ("channel:12:manage", "channel:12:write", true),
            ("channel:12:read", "channel:12:manage", false),
            ("channel:12:write", "channel:13:write", false),
            ("admin:*", "admin:users", true),
            ("admin:*", "admin:users:read", true),
            ("admin:*", "admin", false),
            ("admin", "admin:users", false),
            ("write", "read", false),
            ("chan*", "channel", false),
            ("bot:post", "bot:write", false),
            ("channel:12:write", "channel:12:*", false),
        ] {
            assert_eq!(scope(have).grants(&scope(want)), expected, "{have} for {want}");
        }
    }

    #[test]
    fn bare_scopes_restrict_methods() {
        let methods = [MethodClass::Read, MethodClass::Write, MethodClass::Delete];
        for (scopes, expected) in [
            (vec![], [true, true, true]),
            (vec!["read"], [true, false, false]),
            (vec!["write"], [false, true, false]),
            (vec!["read", "delete"], [true, false, true]),
            (vec!["admin"], [false, false, false]),
            (vec!["channel:12:read"], [true, true, true]),
            (vec!["*", "read"], [true, true, true]),
        ] {
            let set = ScopeSet::parse(scopes.iter().copied()).expect("scopes");
            assert_eq!(methods.map(|m| set.allows_method(m)), expected, "{scopes:?}");
        }
    }

    #[test]
    fn nothing_granted_is_not_no_restriction() {
        let wanted = scope("read");
        assert!(ScopeSet::default().is_empty() && ScopeSet::default().grants(&wanted));
        assert!(!ScopeSet::nothing().is_empty());
        assert!(!ScopeSet::nothing().grants(&wanted));
        assert!(
            ScopeSet::nothing().allows_method(MethodClass::Write),
            "methods are the roles' business"
        );
        assert_eq!(ScopeSet::nothing().to_string(), "");
    }

    #[test]
    fn unknown_methods_count_as_writing() {
        for (method, class) in [
            ("GET", MethodClass::Read),
            ("DELETE", MethodClass::Delete),
            ("PATCH", MethodClass::Write),
            ("FROBNICATE", MethodClass::Write),
            ("get", MethodClass::Write),
        ] {
            let method = http::Method::from_bytes(method.as_bytes()).expect("a method");
            assert_eq!(MethodClass::of(&method), class, "{method}");
        }
    }

    #[test]
    fn a_write_permission_does_not_include_reading() {
        assert!(!Permission::Write.allows_method(MethodClass::Read));
        assert!(Permission::Write.allows_method(MethodClass::Delete));
        assert!(!Permission::Read.allows_method(MethodClass::Write));
        assert_eq!(Permission::parse("full"), Some(Permission::Full));
        assert_eq!(Permission::parse("Full"), None);
    }

    #[test]
    fn scope_text_is_bounded() {
        for bad in ["", "two words", "quo\"te", "back\\slash", "é"] {
            assert!(Scope::parse(bad).is_err(), "{bad:?}");
        }
        assert!(Scope::parse(&"s".repeat(128)).is_ok());
        assert!(Scope::parse(&"s".repeat(129)).is_err());
        assert!(ScopeSet::new((0..65).map(|i| scope(&format!("s{i}")))).is_err());
    }
}
