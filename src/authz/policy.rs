//! A route's rules, resolved: what is checked before and after authentication, and what happens to the
//! request on the way on. Plain data made by `config`; `admit` and `authorize` read it.

use std::sync::Arc;
use std::time::Duration;

use http::HeaderName;

use crate::domain::dialect::Dialect;
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

/// Carriers beyond the plain headers, and precedence.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct CarrierRules {
    /// `/api/v1/<token>/…`: the path prefix before the token, such as `/api/v1/`.
    pub path_token_after: Option<String>,
    /// Query parameters read as credentials, and removed before forwarding.
    pub query_parameters: Vec<String>,
    /// What happens when several carriers speak.
    pub precedence: Precedence,
}

/// What happens when several carriers speak (COMPAT 0.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Precedence {
    /// `ambiguous_credentials`.
    #[default]
    Refuse,
    /// TagoIO's order.
    TagoIo,
    /// ThingsBoard's order: `X-Authorization` before `Authorization`, blank counts as absent.
    ThingsBoard,
}

/// Ambiguous path forms that a route allows by name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct PathAllowances {
    /// `%2F` (kept as it is).
    pub encoded_slash: Requirement,
    /// `;`.
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

/// One fact about an identity that may stand in a header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(usize)]
pub enum IdentityField {
    /// Principal id.
    Subject,
    /// `device|user|service|anonymous`.
    Principal,
    /// Credential kind.
    Credential,
    /// Credential id.
    CredentialId,
    /// Tenant id.
    Tenant,
    /// Customer id.
    Customer,
    /// Scopes, space-separated.
    Scopes,
    /// Roles, space-separated.
    Roles,
    /// `true|false`.
    WriteAccess,
    /// Stable device id.
    DeviceId,
    /// Category.
    Category,
    /// Epoch seconds.
    Expires,
}

impl IdentityField {
    /// Every field, in header order.
    pub const ALL: [Self; 12] = [
        Self::Subject,
        Self::Principal,
        Self::Credential,
        Self::CredentialId,
        Self::Tenant,
        Self::Customer,
        Self::Scopes,
        Self::Roles,
        Self::WriteAccess,
        Self::DeviceId,
        Self::Category,
        Self::Expires,
    ];

    /// The default header name, lower case.
    pub const fn default_name(self) -> &'static str {
        match self {
            Self::Subject => "x-auth-subject",
            Self::Principal => "x-auth-principal",
            Self::Credential => "x-auth-credential",
            Self::CredentialId => "x-auth-credential-id",
            Self::Tenant => "x-auth-tenant",
            Self::Customer => "x-auth-customer",
            Self::Scopes => "x-auth-scopes",
            Self::Roles => "x-auth-roles",
            Self::WriteAccess => "x-auth-write-access",
            Self::DeviceId => "x-auth-device-id",
            Self::Category => "x-auth-category",
            Self::Expires => "x-auth-expires",
        }
    }
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
