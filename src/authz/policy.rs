//! A route's rules, resolved: what is checked before and after authentication, and what happens to the
//! request on the way on. Plain data made by `config`; `admit` and `authorize` read it.

use std::sync::Arc;
use std::time::Duration;

use http::{HeaderName, HeaderValue};

pub use crate::authn::presented::{CarrierRules, Precedence};
use crate::domain::dialect::Dialect;
pub use crate::domain::identity::IdentityField;
use crate::domain::identity::KindSet;
use crate::domain::net::NetworkSet;
use crate::domain::scope::{Role, Scope};

/// One route. First match wins.
#[derive(Debug, Clone, PartialEq)]
pub struct RoutePolicy {
    /// Name for logs and metrics; unique.
    pub name: Arc<str>,
    /// What it matches.
    pub matches: RouteMatch,
    /// Who gets through.
    pub access: Access,
    /// Where it goes; `None` only for `Access::Deny`.
    pub upstream: Option<Arc<str>>,
    /// Credential kinds it accepts.
    pub accept: KindSet,
    /// Which carriers beyond headers it reads, and what it does when several speak.
    pub carriers: CarrierRules,
    /// Scopes that are all required.
    pub require_all_scopes: Vec<Scope>,
    /// Scopes of which one is required; empty means none is.
    pub require_any_scope: Vec<Scope>,
    /// Roles of which one is required; empty means none is.
    pub require_any_role: Vec<Role>,
    /// Whether the upstream's write access must have been granted.
    pub require_write_access: Requirement,
    /// Whether a sealed device token must come with a proof of possession.
    pub require_device_proof: Requirement,
    /// Only these clients; empty means all.
    pub allow_from: NetworkSet,
    /// Never these clients; wins over `allow_from`.
    pub deny_from: NetworkSet,
    /// Whether plain HTTP is refused.
    pub https: HttpsRule,
    /// Path forms allowed although servers may read them differently.
    pub allow_in_path: PathAllowances,
    /// What the upstream is sent.
    pub upstream_headers: UpstreamHeaderRules,
    /// Error bodies: a fixed dialect, or by the credential presented.
    pub dialect: DialectChoice,
    /// Longest request body in bytes; `None` means unbounded.
    pub max_body_bytes: Option<u64>,
    /// How long the upstream may take to begin its answer; `None`: the upstream's own setting.
    pub response_timeout: Option<Duration>,
    /// How long the body of an answer may stand still; `None`: the upstream's own setting.
    pub idle_timeout: Option<Duration>,
    /// Protocols that a client may ask to switch to (RFC 9110 section 7.8), in lower case.
    pub upgrades: Vec<HeaderValue>,
}

/// What a route matches: host, path and method, all of them.
#[derive(Debug, Clone, PartialEq)]
pub struct RouteMatch {
    /// Lower-case host without port; `*.example.com` for any single label; `None` for any host.
    pub host: Option<String>,
    /// Path rule.
    pub path: PathMatch,
    /// Methods; empty means all.
    pub methods: Vec<http::Method>,
    /// Whether the path is compared without regard to ASCII case.
    pub case: PathCase,
}

/// How a path is matched, always against its normalized form.
#[derive(Debug, Clone, PartialEq)]
pub enum PathMatch {
    /// The path is exactly this.
    Exact(String),
    /// The path begins with this, which ends in `/`; `/api/` also matches `/api` itself never.
    Prefix(String),
    /// Segments with `{name}` for one segment and a final `{*rest}` for any number.
    Pattern(Vec<PatternSegment>),
}

/// One segment of a pattern.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PatternSegment {
    /// This text.
    Literal(String),
    /// Any one non-empty segment.
    Any(String),
    /// Everything that is left, at least nothing; last only.
    Rest(String),
}

/// Whether case counts in paths.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum PathCase {
    /// It does.
    #[default]
    Sensitive,
    /// It does not, as the upstream reads it.
    Ignored,
}

/// Who gets through a route.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// Whoever presents a good credential.
    Authenticated,
    /// Everyone, anonymously; credentials are not read.
    Public,
    /// Nobody.
    Deny,
}

/// Whether something is required.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Requirement {
    /// It is not.
    #[default]
    No,
    /// It is.
    Yes,
}

/// Whether plain HTTP is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum HttpsRule {
    /// Plain HTTP is fine.
    #[default]
    Optional,
    /// Only HTTPS.
    Required,
    /// Only HTTPS, but a loopback client may use plain HTTP.
    RequiredExceptLoopback,
}

/// Ambiguous path forms that a route allows by name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct PathAllowances {
    /// `%2F` (kept as it is).
    pub encoded_slash: Requirement,
    /// `;` and `%3B` (kept as they are).
    pub semicolon: Requirement,
    /// Empty inner segments (`//`).
    pub empty_segment: Requirement,
}

/// Which header names carry the identity to the upstream, and what else it gets.
#[derive(Debug, Clone, PartialEq)]
pub struct UpstreamHeaderRules {
    /// Names, in [`IdentityField::ALL`] order; `None`: not sent (and still stripped from requests).
    pub names: [Option<HeaderName>; IdentityField::ALL.len()],
    /// Whether the credential itself is forwarded.
    pub forward_credential: Requirement,
    /// Audience of the signed `X-Auth-Assertion`, when the route wants one.
    pub assertion_audience: Option<Arc<str>>,
}

impl Default for UpstreamHeaderRules {
    fn default() -> Self {
        Self {
            names: IdentityField::ALL.map(|f| Some(HeaderName::from_static(f.default_name()))),
            forward_credential: Requirement::No,
            assertion_audience: None,
        }
    }
}

/// How a route's error bodies are shaped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum DialectChoice {
    /// By the credential presented, else `problem`.
    #[default]
    Auto,
    /// Always the same.
    Fixed(Dialect),
}

/// Routes for unit tests of any room.
#[cfg(test)]
pub mod testing {
    use super::*;

    /// A plain authenticated route that accepts every kind and goes to `api`. `/x/` is a prefix,
    /// anything else exact.
    pub fn route(path: &str) -> RoutePolicy {
        RoutePolicy {
            name: Arc::from(path),
            matches: RouteMatch {
                host: None,
                path: match path.ends_with('/') {
                    true => PathMatch::Prefix(path.to_owned()),
                    false => PathMatch::Exact(path.to_owned()),
                },
                methods: Vec::new(),
                case: PathCase::Sensitive,
            },
            access: Access::Authenticated,
            upstream: Some(Arc::from("api")),
            accept: KindSet::ALL,
            carriers: CarrierRules::default(),
            require_all_scopes: Vec::new(),
            require_any_scope: Vec::new(),
            require_any_role: Vec::new(),
            require_write_access: Requirement::No,
            require_device_proof: Requirement::No,
            allow_from: NetworkSet::default(),
            deny_from: NetworkSet::default(),
            https: HttpsRule::Optional,
            allow_in_path: PathAllowances::default(),
            upstream_headers: UpstreamHeaderRules::default(),
            dialect: DialectChoice::Auto,
            max_body_bytes: None,
            response_timeout: None,
            idle_timeout: None,
            upgrades: vec![HeaderValue::from_static("websocket")],
        }
    }
}
