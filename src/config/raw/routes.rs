//! Routes, as written.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::values::{
    HeaderText, HostText, MethodText, Name, Network, PathText, ProtocolText, RoleText, ScopeText, Size, Span,
};

/// One route.
#[derive(Debug, Clone, Default, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Route {
    /// Name for logs and metrics. Default: made of the path.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<Name>,
    /// Host that was asked for. Default: any.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub host: Option<HostText>,
    /// `/x` exactly, `/x/` and all below it, `/x/{name}/y` and `/x/{*rest}` as patterns.
    #[schemars(extend("x-required" = true))]
    pub path: Option<PathText>,
    /// Methods. Default: all.
    pub methods: Vec<MethodText>,
    /// Who gets through.
    pub access: AccessChoice,
    /// Name of the upstream it goes to. Required but for `access: deny`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub upstream: Option<String>,
    /// A system whose clients call here: sets `dialect`, `precedence`, `https` and `headers` where they are
    /// not written.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub profile: Option<RouteProfile>,
    /// Credential kinds that are accepted. Default: every kind.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub accept: Option<Vec<KindName>>,
    /// What the credential must have.
    pub require: Require,
    /// Only these clients. Default: all.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub allow_from: Option<Vec<Network>>,
    /// Never these clients; wins over `allow_from`.
    pub deny_from: Vec<Network>,
    /// Whether plain HTTP is refused. Default: `optional`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub https: Option<HttpsChoice>,
    /// Path forms let through although servers read them in different ways.
    pub allow_in_path: Vec<PathForm>,
    /// Whether letter case in paths does not count, as the upstream reads it.
    pub ignore_case: bool,
    /// The path before a token that stands in the path, such as `/api/v1/`. Default: none does.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub path_token_after: Option<PathText>,
    /// Query parameters read as credentials, and removed before forwarding.
    #[schemars(length(max = 16))]
    pub query_credentials: Vec<Name>,
    /// What happens when a request carries several credentials. Default: `refuse`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub precedence: Option<PrecedenceChoice>,
    /// Whether the upstream gets the credential too.
    pub forward_credential: bool,
    /// Names of the headers that tell the upstream who it is.
    pub headers: Headers,
    /// Whether the upstream gets a signed statement of the identity.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub assertion: Option<AssertionChoice>,
    /// Shape of error bodies. Default: `auto`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dialect: Option<DialectName>,
    /// Longest request body. Default: unbounded.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_body: Option<Size>,
    /// How long the upstream may take to begin its answer. Default: the upstream's own.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("x-least" = "1ms", "x-most" = "24h"))]
    pub response_timeout: Option<Span>,
    /// How long the body of an answer may stand still. Default: the upstream's own.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("x-least" = "1ms", "x-most" = "24h"))]
    pub idle_timeout: Option<Span>,
    /// Protocols that a client may ask to switch to. Default: `websocket`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 16))]
    pub upgrades: Option<Vec<ProtocolText>>,
}

/// Who gets through a route.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum AccessChoice {
    /// Whoever presents a good credential.
    #[default]
    Authenticated,
    /// Everyone, anonymously.
    Public,
    /// Nobody.
    Deny,
}

/// Systems whose clients are served as they are used to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum RouteProfile {
    /// HomeChat: its error bodies, and HTTPS only but from the same machine.
    Homechat,
    /// ThingsBoard: its error bodies, and `X-Authorization` before `Authorization`.
    Thingsboard,
    /// TagoIO: its error bodies and its order of token headers.
    Tagoio,
    /// A NestJS app with device tokens: its error bodies and header names.
    Nest,
}

/// Credential kinds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum KindName {
    /// Sealed device tokens.
    SealedDeviceToken,
    /// Opaque device tokens.
    DeviceToken,
    /// Prefixed API tokens.
    ApiToken,
    /// JSON Web Tokens.
    Jwt,
    /// User names and passwords.
    Basic,
}

/// What a credential must have.
#[derive(Debug, Clone, Default, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Require {
    /// All of these scopes.
    pub scopes: Vec<ScopeText>,
    /// One of these scopes.
    pub any_scopes: Vec<ScopeText>,
    /// One of these roles.
    pub roles: Vec<RoleText>,
    /// Write access.
    pub write_access: bool,
    /// A proof of possession with each sealed device token.
    pub device_proof: bool,
}

/// Whether plain HTTP is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum HttpsChoice {
    /// It is not.
    #[default]
    Optional,
    /// It is.
    Required,
    /// It is, but for clients on the same machine.
    RequiredExceptLoopback,
}

/// Ambiguous path forms.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum PathForm {
    /// `%2F`.
    EncodedSlash,
    /// `;`.
    Semicolon,
    /// `//`.
    EmptySegment,
}

/// What happens when several credentials come in one request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum PrecedenceChoice {
    /// It is refused.
    #[default]
    Refuse,
    /// One is taken in TagoIO's order.
    Tagoio,
    /// One is taken in ThingsBoard's order.
    Thingsboard,
}

/// Header names, each one or `off`.
#[derive(Debug, Clone, Default, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Headers {
    /// Principal id. Default: `X-Auth-Subject`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub subject: Option<HeaderText>,
    /// `device`, `user` or `service`. Default: `X-Auth-Principal`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub principal: Option<HeaderText>,
    /// Credential kind. Default: `X-Auth-Credential`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub credential: Option<HeaderText>,
    /// Credential id. Default: `X-Auth-Credential-Id`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub credential_id: Option<HeaderText>,
    /// Tenant id. Default: `X-Auth-Tenant`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tenant: Option<HeaderText>,
    /// Customer id. Default: `X-Auth-Customer`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub customer: Option<HeaderText>,
    /// Scopes, space-separated. Default: `X-Auth-Scopes`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub scopes: Option<HeaderText>,
    /// Roles, space-separated. Default: `X-Auth-Roles`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub roles: Option<HeaderText>,
    /// `true` or `false`. Default: `X-Auth-Write-Access`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub write_access: Option<HeaderText>,
    /// Device id. Default: `X-Auth-Device-Id`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub device_id: Option<HeaderText>,
    /// Category, such as `device`. Default: `X-Auth-Category`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub category: Option<HeaderText>,
    /// Expiry of the credential in seconds since 1970. Default: `X-Auth-Expires`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expires: Option<HeaderText>,
}

/// Whether a signed statement is sent, and for whom.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(untagged)]
pub enum AssertionChoice {
    /// `true`: for the upstream's name. `false`: none is sent.
    Switch(bool),
    /// For a stated audience.
    For(AssertionFor),
}

/// A signed statement for a stated audience.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct AssertionFor {
    /// Its `aud`.
    #[schemars(extend("x-required" = true), length(min = 1, max = 255))]
    pub audience: Option<String>,
}

/// Shapes of error bodies.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum DialectName {
    /// By the credential presented, else `problem`.
    #[default]
    Auto,
    /// RFC 9457.
    Problem,
    /// NestJS.
    Nest,
    /// ThingsBoard.
    Thingsboard,
    /// TagoIO.
    Tagoio,
    /// HomeChat.
    Homechat,
    /// What every SDK digests at once.
    Union,
}
