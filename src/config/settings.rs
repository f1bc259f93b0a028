//! The configuration as resolved: plain data, every default filled, every reference checked.
//!
//! Made by `resolve` from what was written; read by composition, which hands each room its part. Holds no
//! serde type; secrets are [`SecretText`] or keys and cannot be printed.

use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use crate::audit::{AuditSettings, UsageSettings};
use crate::authn::cache::CacheSettings;
use crate::authn::throttle::ThrottleSettings;
use crate::authz::policy::RoutePolicy;
use crate::crypto::{BcryptCost, KeyBytes};
use crate::domain::identity::{PrincipalKind, WriteAccess};
use crate::domain::net::NetworkSet;
use crate::domain::secret::SecretText;
use crate::telemetry::logging::{LogFormat, LogLevel};

/// Everything that was configured.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Folder of the store, the keys and the admin socket.
    pub data_dir: PathBuf,
    /// Worker threads; `None`: one per core.
    pub workers: Option<NonZeroUsize>,
    /// Addresses of the proxy; never empty.
    pub listeners: Vec<ListenerSettings>,
    /// The admin door.
    pub admin: AdminSettings,
    /// The status door's address.
    pub status_address: SocketAddr,
    /// The store.
    pub store: StoreSettings,
    /// The apps behind us, by name, sorted.
    pub upstreams: Vec<UpstreamSettings>,
    /// Credential kinds.
    pub credentials: CredentialSettings,
    /// What is remembered.
    pub cache: CacheSettings,
    /// The failed-credential throttle.
    pub throttle: ThrottleSettings,
    /// The bcrypt pool.
    pub slow_hash: SlowHashSettings,
    /// The revocation feed.
    pub revocation: RevocationSettings,
    /// `iss` of assertions.
    pub assertion_issuer: Arc<str>,
    /// How the process stops.
    pub drain: DrainSettings,
    /// What is logged.
    pub log: LogSettings,
    /// The audit trail.
    pub audit: AuditSettings,
    /// Use of credentials.
    pub usage: UsageSettings,
    /// The routes, in order; never empty.
    pub routes: Vec<Arc<RoutePolicy>>,
    /// What is allowed but should be known; printed at start.
    pub warnings: Vec<Warning>,
}

/// Something allowed that should be known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Warning {
    /// Key path it is about.
    pub key: String,
    /// A sentence or two.
    pub text: String,
}

/// One address of the proxy.
#[derive(Debug, Clone)]
pub struct ListenerSettings {
    /// Unique name.
    pub name: Arc<str>,
    /// Where it listens.
    pub address: SocketAddr,
    /// Peers whose forwarded headers are believed.
    pub trusted_proxies: NetworkSet,
    /// Most connections at once.
    pub max_connections: usize,
    /// How long a whole head may take.
    pub head_timeout: Duration,
    /// Longest head.
    pub max_head_bytes: usize,
    /// Most header fields.
    pub max_head_fields: usize,
    /// How long a connection may be idle between requests.
    pub keep_alive_timeout: Duration,
    /// How long a request body may stand still.
    pub body_idle_timeout: Duration,
}

/// The admin door.
#[derive(Debug, Clone)]
pub struct AdminSettings {
    /// Its TCP address, if it has one.
    pub address: Option<SocketAddr>,
    /// Its Unix socket.
    pub socket: PathBuf,
}

/// The store.
#[derive(Debug, Clone)]
pub enum StoreSettings {
    /// An SQLite file.
    Sqlite {
        /// Its path.
        path: PathBuf,
    },
}

/// One app behind us.
#[derive(Debug, Clone)]
pub struct UpstreamSettings {
    /// Unique name.
    pub name: Arc<str>,
    /// Host name or address, IPv6 in brackets.
    pub host: String,
    /// Port.
    pub port: u16,
    /// How long connecting may take.
    pub connect_timeout: Duration,
    /// How long it may take to begin its answer.
    pub response_timeout: Duration,
    /// How long an unused connection is kept.
    pub idle_timeout: Duration,
    /// Most idle connections kept per worker thread.
    pub max_idle_connections: usize,
}

/// Credential kinds.
#[derive(Debug, Clone)]
pub struct CredentialSettings {
    /// Sealed device tokens.
    pub sealed_device_token: SealedDeviceTokenSettings,
    /// Form of new device tokens: `uuid`, `alphanumeric` or `prefixed`.
    pub device_token_form: DeviceTokenForm,
    /// API tokens.
    pub api_token: ApiTokenSettings,
    /// JWT issuers.
    pub jwt_issuers: Vec<IssuerSettings>,
    /// bcrypt cost of passwords.
    pub basic_bcrypt_cost: BcryptCost,
}

/// Sealed device tokens.
#[derive(Debug, Clone)]
pub struct SealedDeviceTokenSettings {
    /// Key of tokens made elsewhere, when there is one.
    pub key: Option<KeyBytes>,
    /// How long issued tokens are good.
    pub lifetime: Duration,
    /// What the upstream is told about writing.
    pub write_access: WriteAccess,
    /// Shortest device identifier.
    pub min_identifier_length: usize,
}

/// Form of new device tokens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DeviceTokenForm {
    /// UUID version 4.
    Uuid,
    /// 20 letters and digits.
    Alphanumeric,
    /// `dwt_` and 32 letters and digits.
    Prefixed,
}

/// API tokens.
#[derive(Debug, Clone)]
pub struct ApiTokenSettings {
    /// Accepted prefixes without `_`; the first is issued. Never empty.
    pub prefixes: Vec<String>,
    /// Whether 64 hexadecimal letters are an API token.
    pub hex: HexTokens,
    /// Which digests a new token gets.
    pub digest: TokenDigest,
    /// bcrypt cost.
    pub bcrypt_cost: BcryptCost,
}

/// Whether 64 hexadecimal letters are taken for an API token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HexTokens {
    /// They are.
    Accepted,
    /// They are not.
    Refused,
}

/// Which digests a new API token gets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TokenDigest {
    /// bcrypt and keyed.
    BcryptAndKeyed,
    /// Keyed only.
    Keyed,
}

/// One issuer of JWTs.
#[derive(Debug, Clone)]
pub struct IssuerSettings {
    /// Unique name.
    pub name: Arc<str>,
    /// Required `iss`; `None` only when waived.
    pub issuer: Option<String>,
    /// Accepted `aud`; empty only when waived.
    pub audience: Vec<String>,
    /// Where its keys come from.
    pub keys: IssuerKeys,
    /// Accepted algorithm names; empty: whatever the keys are made for.
    pub algorithms: Vec<&'static str>,
    /// How far clocks may differ.
    pub leeway: Duration,
    /// Claims that may be missing.
    pub waived: Vec<WaivedClaim>,
    /// How claims are read.
    pub profile: ClaimProfile,
}

/// Where an issuer's keys come from.
#[derive(Debug, Clone)]
pub enum IssuerKeys {
    /// This installation's signing keys.
    Own,
    /// A JWK Set, fetched.
    JwksUrl {
        /// From here.
        url: String,
        /// How often.
        refresh: Duration,
        /// How long the last good one is used.
        max_age: Duration,
        /// Least time between two fetches that unknown key ids cause.
        cooldown: Duration,
    },
    /// A JWK Set in a file: its content.
    Jwks(String),
    /// A public key: its PEM text.
    Pem(String),
    /// A shared secret in Base64, at least 32 bytes long.
    Hmac(SecretText),
}

/// A claim that may be missing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WaivedClaim {
    /// `iss`.
    Issuer,
    /// `aud`.
    Audience,
    /// `sub`.
    Subject,
}

/// How claims are read.
#[derive(Debug, Clone)]
pub enum ClaimProfile {
    /// As we write them ourselves; with [`IssuerKeys::Own`] only.
    Own,
    /// RFC 7519 and RFC 9068, claims by name.
    Standard(ClaimNames),
    /// ThingsBoard's.
    ThingsBoard,
}

/// Which claims say what: `roles`, or `realm_access.roles` for a member of an object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClaimNames {
    /// The principal's id.
    pub subject: String,
    /// The tenant's id.
    pub tenant: Option<String>,
    /// The customer's id.
    pub customer: Option<String>,
    /// Roles.
    pub roles: Option<String>,
    /// Scopes: the first of these that is there.
    pub scopes: Vec<String>,
    /// What a token without any scope may do.
    pub unscoped: Unscoped,
    /// What the principals are.
    pub principal: PrincipalKind,
}

/// What a token without any scope may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unscoped {
    /// Nothing that a scope is required for.
    GrantsNothing,
    /// Whatever its roles allow.
    Unrestricted,
}

/// The bcrypt pool.
#[derive(Debug, Clone)]
pub struct SlowHashSettings {
    /// Threads; `None`: half of the cores.
    pub workers: Option<NonZeroUsize>,
    /// Most hashes that wait.
    pub queue: usize,
}

/// The revocation feed.
#[derive(Debug, Clone)]
pub struct RevocationSettings {
    /// How often the store is asked.
    pub poll_interval: Duration,
    /// Most revocations kept one by one.
    pub max_entries: usize,
    /// How long verdicts are trusted without news; `None`: no bound.
    pub max_staleness: Option<Duration>,
}

/// How the process stops.
#[derive(Debug, Clone)]
pub struct DrainSettings {
    /// How long requests are still accepted.
    pub delay: Duration,
    /// How long running ones may take after that.
    pub timeout: Duration,
}

/// What is logged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LogSettings {
    /// Least severe level.
    pub level: LogLevel,
    /// Form of the lines.
    pub format: LogFormat,
}
