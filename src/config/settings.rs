//! The configuration as resolved: plain data, every default filled, every reference checked.
//!
//! Made by `resolve` from what was written; read by composition, which hands each room its part. Holds no
//! serde type; secrets cannot be printed.

use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use crate::accounts::{GenerationSettings, Schedule};
use crate::audit::webhook::WebhookSettings;
use crate::audit::{AuditSettings, UsageSettings};
use crate::authn::cache::CacheSettings;
use crate::authn::kinds::device_token::settings::IssueForm;
use crate::authn::kinds::jwt::{AlgorithmSet, Issuer, KeySource, OwnKeys, Profile, Waived};
use crate::authn::kinds::{FileTable, api_token, basic};
use crate::authn::proof::ProofSettings;
use crate::authn::throttle::ThrottleSettings;
use crate::authz::policy::RoutePolicy;
use crate::crypto::KeyBytes;
use crate::domain::identity::WriteAccess;
use crate::domain::net::NetworkSet;
use crate::edge::endpoints::nest::ExtraFields;
use crate::edge::listener::tls::TlsSettings;
use crate::edge::listener::{ListenAddress, ProxyProtocol, Rates};
use crate::edge::proxy::access::AccessSettings;
use crate::edge::proxy::settings::ConnectionSettings;
use crate::edge::proxy::upstream::UpstreamSettings;
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
    /// The public auth endpoints.
    pub endpoints: EndpointSettings,
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
    /// Where each request gets a line; `None`: nowhere.
    pub access_log: Option<AccessSettings>,
    /// The audit trail.
    pub audit: AuditSettings,
    /// Use of credentials.
    pub usage: UsageSettings,
    /// What becomes of credentials with time.
    pub lifecycle: LifecycleSettings,
    /// Where security events are sent; `None`: nowhere.
    pub webhook: Option<WebhookSettings>,
    /// The routes, in order; never empty.
    pub routes: Vec<Arc<RoutePolicy>>,
    /// What is allowed but should be known; printed at start.
    pub warnings: Vec<Warning>,
}

/// What becomes of credentials with time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LifecycleSettings {
    /// How long a deleted credential is kept.
    pub deleted_grace: Duration,
    /// How old credentials may become.
    pub rotation: Vec<Schedule>,
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
    pub address: ListenAddress,
    /// TLS; `None`: plain.
    pub tls: Option<TlsSettings>,
    /// Peers whose forwarded headers are believed.
    pub trusted_proxies: NetworkSet,
    /// Whether connections begin with a PROXY header.
    pub proxy_protocol: ProxyProtocol,
    /// Most connections at once.
    pub max_connections: usize,
    /// Most connections at once from one client address.
    pub max_connections_per_address: usize,
    /// Most connections that come within a second.
    pub rates: Rates,
    /// Bounds of each connection.
    pub connection: ConnectionSettings,
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

/// Credential kinds.
#[derive(Debug, Clone)]
pub struct CredentialSettings {
    /// Sealed device tokens.
    pub sealed_device_token: SealedDeviceTokenSettings,
    /// Form of new device tokens.
    pub device_token_form: IssueForm,
    /// API tokens.
    pub api_token: api_token::Settings,
    /// JWT issuers.
    pub jwt_issuers: Vec<IssuerSettings>,
    /// User names and passwords.
    pub basic: basic::Settings,
    /// Those that stand in a file.
    pub file: Arc<FileTable>,
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
    /// How proofs of possession are checked, where there is a secret for them.
    pub proof: Option<ProofSettings>,
}

/// One issuer of JWTs; our own keys are not the configuration's to know.
#[derive(Debug, Clone)]
pub struct IssuerSettings {
    /// Unique name.
    pub name: Arc<str>,
    /// Required `iss`; `None` only when waived.
    pub issuer: Option<String>,
    /// Accepted `aud`; empty only when waived.
    pub audiences: Vec<String>,
    /// Where its keys come from.
    pub keys: IssuerKeys,
    /// What its keys may be used with; `None`: whatever they are made for.
    pub algorithms: Option<AlgorithmSet>,
    /// How far clocks may differ.
    pub leeway: Duration,
    /// Claims that may be missing.
    pub waived: Waived,
    /// How claims are read.
    pub profile: Profile,
    /// Stands before each subject in the principal's id.
    pub subject_prefix: Arc<str>,
}

/// Where an issuer's keys come from.
#[derive(Debug, Clone)]
pub enum IssuerKeys {
    /// This installation's signing keys.
    Own,
    /// From elsewhere.
    Given(KeySource),
}

impl IssuerSettings {
    /// Whether its keys are fetched over the network, again and again.
    pub fn is_fetched(&self) -> bool {
        matches!(self.keys, IssuerKeys::Given(KeySource::JwksUrl(_)))
    }

    /// The issuer as the kind takes it, with this installation's signing keys where they are meant.
    pub fn with(&self, own: &OwnKeys) -> Issuer {
        self.with_source(match &self.keys {
            IssuerKeys::Own => KeySource::Own(own.clone()),
            IssuerKeys::Given(source) => source.clone(),
        })
    }

    /// The issuer as the kind takes it, with these keys.
    pub fn with_source(&self, keys: KeySource) -> Issuer {
        Issuer {
            name: Arc::clone(&self.name),
            issuer: self.issuer.clone(),
            audiences: self.audiences.clone(),
            keys,
            algorithms: self.algorithms,
            leeway: self.leeway,
            waived: self.waived,
            profile: self.profile.clone(),
            subject_prefix: Arc::clone(&self.subject_prefix),
        }
    }
}

/// The public auth endpoints.
#[derive(Debug, Clone)]
pub struct EndpointSettings {
    /// Those of sealed device tokens.
    pub device_token: DeviceTokenEndpointSettings,
    /// What the holder of an API token can do with its own tokens.
    pub homechat: HomechatEndpointSettings,
    /// Token introspection.
    pub introspection: ClientEndpointSettings,
    /// Token revocation.
    pub revocation: ClientEndpointSettings,
    /// TagoIO's device API.
    pub tagoio: TagoIoSettings,
}

/// TagoIO's device API.
#[derive(Debug, Clone)]
pub struct TagoIoSettings {
    /// The parts that are answered here.
    pub serve: Vec<TagoIoPart>,
    /// When a new token ends when nothing is said, as people write it.
    pub expire_time: Box<str>,
}

/// Parts of TagoIO's device API.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TagoIoPart {
    /// `GET /info`.
    Info,
    /// `/device/token`.
    DeviceToken,
}

impl TagoIoPart {
    /// The path it begins at.
    pub fn path(self) -> &'static str {
        match self {
            Self::Info => "/info",
            Self::DeviceToken => "/device/token",
        }
    }

    /// What stands before a credential in its paths.
    pub fn path_token_after(self) -> Option<&'static str> {
        match self {
            Self::Info => None,
            Self::DeviceToken => Some("/device/token/"),
        }
    }
}

/// HomeChat's endpoints for the holder of a token.
#[derive(Debug, Clone)]
pub struct HomechatEndpointSettings {
    /// Where a token is replaced.
    pub refresh: Vec<Box<str>>,
    /// Where tokens are listed and, below, ended.
    pub sessions: Vec<Box<str>>,
    /// How long a new token is good.
    pub token_lifetime: Duration,
}

/// An endpoint for programs with a credential of their own.
#[derive(Debug, Clone)]
pub struct ClientEndpointSettings {
    /// Its paths; empty: it is off.
    pub paths: Vec<Box<str>>,
    /// Where it stands.
    pub door: EndpointDoor,
}

/// Doors that an endpoint may stand at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EndpointDoor {
    /// The proxy's listeners.
    Proxy,
    /// The admin door's TCP address.
    Admin,
}

/// Endpoints of sealed device tokens.
#[derive(Debug, Clone)]
pub struct DeviceTokenEndpointSettings {
    /// Where tokens are generated.
    pub generate: Vec<Box<str>>,
    /// Where tokens are validated.
    pub validate: Vec<Box<str>>,
    /// What is told of a new token.
    pub extra_fields: ExtraFields,
    /// How tokens are generated.
    pub generation: GenerationSettings,
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
    /// How long running ones may take after that, with the last flush still within the grace period.
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
