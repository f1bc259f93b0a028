//! The machinery behind the doors, as written: cache, throttle, hashing, revocation, stop, log, audit, usage.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::values::{Size, Span};

/// What is remembered of verified credentials.
#[derive(Debug, Clone, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Cache {
    /// How long a good credential is remembered; never beyond its own expiry.
    #[schemars(extend("x-least" = "1ms", "x-most" = "24h"))]
    pub positive_ttl: Span,
    /// How long a bad one is remembered.
    #[schemars(extend("x-least" = "1ms", "x-most" = "5m"))]
    pub negative_ttl: Span,
    /// Memory for good ones.
    #[schemars(extend("x-least" = "64KiB", "x-most" = "64GiB"))]
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
            negative_max_entries: 10_000,
        }
    }
}

/// The failed-credential throttle. Good cached credentials are never slowed by it, and what a keyed digest
/// or a signature proves only by a flood.
#[derive(Debug, Clone, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Throttle {
    /// Length of the window in which failures count.
    #[schemars(extend("x-least" = "1s", "x-most" = "24h"))]
    pub window: Span,
    /// Slow hashes (passwords, imported tokens) that may fail per window and client address (IPv6: per /64).
    #[schemars(range(min = 1, max = 1_000_000))]
    pub failures_per_address: u32,
    /// Slow hashes that may fail per window and public id (token id, user name).
    #[schemars(range(min = 1, max = 1_000_000))]
    pub failures_per_id: u32,
    /// Look-ups of any kind that may fail per window and client address (IPv6: per /64).
    #[schemars(range(min = 1, max = 100_000_000))]
    pub lookups_per_address: u32,
    /// Most addresses and ids watched at once, each.
    #[schemars(range(min = 1, max = 10_000_000))]
    pub max_entries: u32,
}

impl Default for Throttle {
    fn default() -> Self {
        Self {
            window: Span::from_secs(60),
            failures_per_address: 100,
            failures_per_id: 50,
            lookups_per_address: 10_000,
            max_entries: 100_000,
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
    #[schemars(extend("x-least" = "10ms", "x-most" = "10s"))]
    pub poll_interval: Span,
    /// Most revocations kept one by one; beyond it everything older is voided at once.
    #[schemars(range(min = 1, max = 100_000_000))]
    pub max_entries: u32,
    /// How long cached verdicts are trusted without news, at least 1s. Default for SQLite: no bound.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("x-least" = "1s", "x-most" = "24h"))]
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
    #[schemars(extend("x-least" = "0s", "x-most" = "10m"))]
    pub delay: Span,
    /// How long running requests may take after that.
    #[schemars(extend("x-least" = "0s", "x-most" = "24h"))]
    pub timeout: Span,
    /// After how long whoever sends SIGTERM kills the process: terminationGracePeriodSeconds, TimeoutStopSec.
    /// Running requests then leave the last flush its time. Default: not known.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("x-least" = "1s", "x-most" = "48h"))]
    pub grace_period: Option<Span>,
}

impl Default for Drain {
    fn default() -> Self {
        Self {
            delay: Span::from_secs(5),
            timeout: Span::from_secs(20),
            grace_period: None,
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

/// The audit trail. Management acts are always written; refusals are sampled.
#[derive(Debug, Clone, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Audit {
    /// Refusals of one reason on one route that are kept at once; then `refusal_refill` rules.
    #[schemars(range(min = 1, max = 100_000))]
    pub refusal_burst: u32,
    /// Time after which one more refusal of a flooded reason and route is kept.
    #[schemars(extend("x-least" = "1ms", "x-most" = "1h"))]
    pub refusal_refill: Span,
    /// Most events that wait to be written; more are dropped and counted.
    #[schemars(range(min = 1, max = 1_000_000))]
    pub queue: u32,
    /// How long refusals are kept.
    #[schemars(extend("x-least" = "1h", "x-most" = "3650d"))]
    pub refusal_retention: Span,
    /// Most refusals kept; the oldest go first.
    #[schemars(range(min = 1, max = 100_000_000))]
    pub refusal_max_rows: u32,
    /// How long management acts are kept, 1d to 3650d. Default: for ever.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("x-least" = "1d", "x-most" = "3650d"))]
    pub act_retention: Option<Span>,
}

impl Default for Audit {
    fn default() -> Self {
        Self {
            refusal_burst: 20,
            refusal_refill: Span::from_secs(10),
            queue: 4096,
            refusal_retention: Span::from_secs(30 * 24 * 60 * 60),
            refusal_max_rows: 1_000_000,
            act_retention: None,
        }
    }
}

/// First and last use and count of each credential.
#[derive(Debug, Clone, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Usage {
    /// How often it is written to the store.
    #[schemars(extend("x-least" = "100ms", "x-most" = "1h"))]
    pub flush_interval: Span,
}

impl Default for Usage {
    fn default() -> Self {
        Self {
            flush_interval: Span::from_secs(10),
        }
    }
}
