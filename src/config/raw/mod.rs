//! The configuration as written: one struct per section, defaults beside their keys.
//!
//! These types are the only source of the JSON Schema, of the check of the file and of `config print`: a
//! key exists when it stands here. Unknown keys are refused. What no default can fill is an `Option`; a key
//! that must be written is marked `x-required`, a secret is `writeOnly`. Whether values fit together is
//! `resolve`'s business; what they mean at run time is in [`super::settings`].

pub mod access_log;
pub mod credentials;
pub mod doors;
pub mod endpoints;
pub mod engine;
pub mod lifecycle;
pub mod listeners;
pub mod routes;
pub mod upstreams;
pub mod values;

use std::collections::BTreeMap;
use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use access_log::AccessLog;
pub use credentials::Credentials;
pub use doors::{Admin, Status, Store};
pub use endpoints::Endpoints;
pub use engine::{Assertion, Audit, Cache, Drain, Log, Revocation, SlowHash, Throttle, Usage};
pub use lifecycle::{Events, Lifecycle};
pub use listeners::Listener;
pub use routes::Route;
pub use upstreams::{Dns, Upstream};

/// The whole file.
#[derive(Debug, Clone, Default, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Version of this form. Always 1.
    #[schemars(range(min = 1, max = 1), extend("x-required" = true))]
    pub version: Option<u32>,
    /// Folder of the store, the keys and the admin socket; made with mode 0700 when missing.
    pub data_dir: DataDir,
    /// Worker threads that carry requests. Default: one per core, or the cgroup's quota.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1024))]
    pub workers: Option<u16>,
    /// Addresses that the proxy listens on. Default: one named `public` at 0.0.0.0:8080.
    pub listeners: Vec<Listener>,
    /// The admin door.
    pub admin: Admin,
    /// The status door.
    pub status: Status,
    /// Where principals, credentials, revocations and audit rows are kept.
    pub store: Store,
    /// The apps behind us, by name.
    #[schemars(extend("x-required" = true))]
    pub upstreams: BTreeMap<String, Upstream>,
    /// How names of upstreams are looked up.
    pub dns: Dns,
    /// Settings of the credential kinds.
    pub credentials: Credentials,
    /// The public auth endpoints. Each is off until it has a path.
    pub endpoints: Endpoints,
    /// What is remembered of verified credentials.
    pub cache: Cache,
    /// Slows down callers that present bad credentials.
    pub throttle: Throttle,
    /// The pool that computes bcrypt.
    pub slow_hash: SlowHash,
    /// How revocations made elsewhere are followed.
    pub revocation: Revocation,
    /// The signed statement of identity that routes may send to their upstream.
    pub assertion: Assertion,
    /// How the process stops.
    pub drain: Drain,
    /// What is logged, and how.
    pub log: Log,
    /// One line for each request.
    pub access_log: AccessLog,
    /// The audit trail.
    pub audit: Audit,
    /// First and last use and count of each credential.
    pub usage: Usage,
    /// What becomes of credentials with time.
    pub lifecycle: Lifecycle,
    /// Security events about credentials.
    pub events: Events,
    /// Which request goes where, and who may make it. The first match wins.
    #[schemars(extend("x-required" = true))]
    pub routes: Vec<Route>,
}

/// A folder with a default of its own.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(transparent)]
#[schemars(transparent)]
pub struct DataDir(pub PathBuf);

impl Default for DataDir {
    fn default() -> Self {
        Self(PathBuf::from("./data"))
    }
}
