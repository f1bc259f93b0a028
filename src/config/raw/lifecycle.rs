//! The life of credentials and what is told of it, as written: rotation, deletion, security events.

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::values::{FetchUrl, Name, Secret, Span};

/// What becomes of credentials with time.
#[derive(Debug, Clone, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Lifecycle {
    /// How long a deleted credential is kept before it is forgotten.
    #[schemars(extend("x-least" = "1m", "x-most" = "3650d"))]
    pub deleted_grace: Span,
    /// How old credentials may become, by the label of their environment. Older ones are told of as
    /// `credential_rotation_due`, and go on working.
    pub rotation: Vec<Rotation>,
}

impl Default for Lifecycle {
    fn default() -> Self {
        let rule = |environment: &str, days: u64| Rotation {
            environment: Name(environment.to_owned()),
            every: Span::from_secs(days * 24 * 60 * 60),
        };
        Self {
            deleted_grace: Span::from_secs(30 * 24 * 60 * 60),
            rotation: vec![
                rule("production", 90),
                rule("staging", 60),
                rule("development", 30),
            ],
        }
    }
}

/// How old credentials of one environment may become.
#[derive(Debug, Clone, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Rotation {
    /// The label.
    #[schemars(extend("x-required" = true))]
    pub environment: Name,
    /// The age.
    #[schemars(extend("x-required" = true, "x-least" = "1h", "x-most" = "3650d"))]
    pub every: Span,
}

/// Security events about credentials. They always stand in the audit trail.
#[derive(Debug, Clone, Default, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Events {
    /// Where they are sent as signed requests. Default: nowhere.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub webhook: Option<EventWebhook>,
}

/// An address that security events are sent to, signed as the Standard Webhooks specification has it.
#[derive(Debug, Clone, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct EventWebhook {
    /// The address.
    #[schemars(extend("x-required" = true))]
    pub url: FetchUrl,
    /// The secret that signs, at least 24 bytes; with `whsec_` before it, Base64 of them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub secret: Option<Secret>,
    /// A file that holds it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub secret_file: Option<PathBuf>,
    /// Most events that wait to be sent; more are dropped and counted.
    #[schemars(range(min = 1, max = 100_000))]
    pub queue: u32,
    /// How long one try may take.
    #[schemars(extend("x-least" = "100ms", "x-most" = "1m"))]
    pub timeout: Span,
    /// Tries of one event, with growing pauses between them.
    #[schemars(range(min = 1, max = 20))]
    pub attempts: u32,
    /// Whether the address may be one of this machine or of a private network.
    pub allow_private_addresses: bool,
}

impl Default for EventWebhook {
    fn default() -> Self {
        Self {
            url: FetchUrl(String::new()),
            secret: None,
            secret_file: None,
            queue: 1000,
            timeout: Span::from_secs(5),
            attempts: 8,
            allow_private_addresses: false,
        }
    }
}
