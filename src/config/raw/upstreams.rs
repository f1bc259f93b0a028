//! The apps behind us, as written.

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::values::{PinText, ServerNameText, Span, UpstreamUrl};

/// One app behind us.
#[derive(Debug, Clone, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Upstream {
    /// `http://` or `https://`, a host name or address, and a port; or `unix:` and the path of a socket.
    #[schemars(extend("x-required" = true))]
    pub url: Option<UpstreamUrl>,
    /// How its certificate is verified, and which one is shown to it. For `https://` only.
    pub tls: UpstreamTls,
    /// How long it may take.
    pub timeouts: Timeouts,
    /// Most idle connections kept open, per worker thread.
    #[schemars(range(min = 1, max = 10_000))]
    pub max_idle_connections: u32,
}

impl Default for Upstream {
    fn default() -> Self {
        Self {
            url: None,
            tls: UpstreamTls::default(),
            timeouts: Timeouts::default(),
            max_idle_connections: 64,
        }
    }
}

/// TLS to an upstream. Its certificate is always verified, and for its name.
#[derive(Debug, Clone, Default, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct UpstreamTls {
    /// CA certificates (PEM) that alone are believed. Default: the system's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ca_file: Option<PathBuf>,
    /// The certificate we show (PEM, chain included). Default: none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cert_file: Option<PathBuf>,
    /// Its key (PEM), with mode 0600.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key_file: Option<PathBuf>,
    /// The name its certificate must be for. Default: the host of the url.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub server_name: Option<ServerNameText>,
    /// Public keys of which its certificate must have one, beside all else. Empty: any.
    #[schemars(length(max = 16))]
    pub pins: Vec<PinText>,
}

/// How long an upstream may take.
#[derive(Debug, Clone, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Timeouts {
    /// To accept a connection and finish the TLS handshake; then 504.
    #[schemars(extend("x-least" = "1ms", "x-most" = "10m"))]
    pub connect: Span,
    /// To begin its answer; then 504.
    #[schemars(extend("x-least" = "1ms", "x-most" = "24h"))]
    pub response: Span,
    /// How long an unused connection is kept, and the body of an answer may stand still.
    #[schemars(extend("x-least" = "1ms", "x-most" = "24h"))]
    pub idle: Span,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            connect: Span::from_secs(5),
            response: Span::from_secs(30),
            idle: Span::from_secs(60),
        }
    }
}

/// How names are looked up.
#[derive(Debug, Clone, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Dns {
    /// How often the names of upstreams are looked up again.
    #[schemars(extend("x-least" = "100ms", "x-most" = "24h"))]
    pub refresh: Span,
}

impl Default for Dns {
    fn default() -> Self {
        Self {
            refresh: Span::from_secs(5),
        }
    }
}
