//! The machinery behind the doors, as written: cache, throttle, hashing, revocation, stop, log, audit, usage.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::values::{Size, Span};

/// What is remembered of verified credentials.
#[derive(Debug, Clone, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Cache {
    /// How long a good credential is remembered; never beyond its own expiry.
    pub positive_ttl: Span,
    /// How long a bad one is remembered.
    pub negative_ttl: Span,
    /// Memory for good ones.
    pub max_bytes: Size,
    /// Most bad ones remembered.
    #[schemars(range(min = 1, max = 10_000_000))]
    pub negative_max_entries: u32,
}

impl Default for Cache {
    fn default() -> Self {
        Self {
            positive_ttl: Span::from_secs(300),
            negative_ttl: Span::from_secs(2),
            max_bytes: Size(64 << 20),
            negative_max_entries: 16_384,
        }
    }
}

/// The failed-credential throttle. Good cached credentials are never slowed by it.
#[derive(Debug, Clone, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Throttle {
    /// Length of the window in which failures count.
    pub window: Span,
    /// Failures per window and client address (IPv6: per /64).
    #[schemars(range(min = 1, max = 1_000_000))]
    pub failures_per_address: u32,
    /// Failures per window and public id (token id, user name, key id).
    #[schemars(range(min = 1, max = 1_000_000))]
    pub failures_per_id: u32,
    /// Most addresses and ids watched at once.
    #[schemars(range(min = 1, max = 10_000_000))]
    pub max_entries: u32,
}

impl Default for Throttle {
    fn default() -> Self {
        Self {
            window: Span::from_secs(60),
            failures_per_address: 60,
            failures_per_id: 20,
            max_entries: 65_536,
        }
    }
}

/// The pool that computes bcrypt.
#[derive(Debug, Clone, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct SlowHash {
    /// Threads. Default: half of the cores, at least one.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 256))]
    pub workers: Option<u16>,
    /// Most hashes that wait for a thread; more are answered 503.
    #[schemars(range(min = 1, max = 100_000))]
    pub queue: u32,
}

impl Default for SlowHash {
    fn default() -> Self {
        Self {
            workers: None,
            queue: 64,
        }
    }
}

/// How revocations made by another process are followed.
#[derive(Debug, Clone, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Revocation {
    /// How often the store is asked for news.
    pub poll_interval: Span,
    /// Most revocations kept one by one; beyond it everything older is voided at once.
    #[schemars(range(min = 1, max = 100_000_000))]
    pub max_entries: u32,
    /// How long cached verdicts are trusted without news, at least 1s. Default for SQLite: no bound.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_staleness: Option<Span>,
}

impl Default for Revocation {
    fn default() -> Self {
        Self {
            poll_interval: Span::from_millis(500),
            max_entries: 1_000_000,
            max_staleness: None,
        }
    }
}

/// Signed statements of identity (`X-Auth-Assertion`). They live 60 seconds.
#[derive(Debug, Clone, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Assertion {
    /// Their `iss`.
    #[schemars(length(min = 1, max = 255))]
    pub issuer: String,
}

impl Default for Assertion {
    fn default() -> Self {
        Self {
            issuer: "doorward".to_owned(),
        }
    }
}

/// How the process stops after SIGTERM.
#[derive(Debug, Clone, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Drain {
    /// How long requests are still accepted after `/readyz` turned 503.
    pub delay: Span,
    /// How long running requests may take after that.
    pub timeout: Span,
}

impl Default for Drain {
    fn default() -> Self {
        Self {
            delay: Span::from_secs(5),
            timeout: Span::from_secs(20),
        }
    }
}

/// What is logged, and how.
#[derive(Debug, Clone, Default, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Log {
    /// The least severe lines that are written.
    pub level: LogLevel,
    /// Form of the lines.
    pub format: LogFormat,
}

/// How much is logged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum LogLevel {
    /// Only errors.
    Error,
    /// Warnings too.
    Warn,
    /// What an operator wants to know.
    #[default]
    Info,
    /// What a developer wants to know.
    Debug,
    /// Everything.
    Trace,
}

/// Form of log lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum LogFormat {
    /// One JSON object per line.
    #[default]
    Json,
    /// Text for people.
    Text,
}

/// The audit trail. Management acts are always kept; refusals are sampled.
#[derive(Debug, Clone, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Audit {
    /// Most refusals kept per second; 0 keeps none.
    #[schemars(range(min = 0, max = 100_000))]
    pub refusals_per_second: u32,
    /// Most events that wait to be written; more are dropped and counted.
    #[schemars(range(min = 1, max = 1_000_000))]
    pub queue: u32,
}

impl Default for Audit {
    fn default() -> Self {
        Self {
            refusals_per_second: 10,
            queue: 1024,
        }
    }
}

/// First and last use and count of each credential.
#[derive(Debug, Clone, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Usage {
    /// How often it is written to the store.
    pub flush_interval: Span,
}

impl Default for Usage {
    fn default() -> Self {
        Self {
            flush_interval: Span::from_secs(10),
        }
    }
}
