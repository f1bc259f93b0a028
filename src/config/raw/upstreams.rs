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
    #[serde(skip_serializing_if = "Option::is_none")]
    pub url: Option<UpstreamUrl>,
    /// Several places where the same app is, instead of `url`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 64))]
    pub targets: Option<Vec<Target>>,
    /// Which of several targets, or of several addresses of one, a request goes to.
    pub balance: BalanceChoice,
    /// Asks every target whether it is well. Default: none is asked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub health: Option<Health>,
    /// Which version of HTTP it is spoken to in.
    pub protocol: ProtocolChoice,
    /// Most requests at once on one HTTP/2 connection; more open another.
    #[schemars(range(min = 1, max = 10_000))]
    pub max_streams: u32,
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
            targets: None,
            balance: BalanceChoice::default(),
            health: None,
            protocol: ProtocolChoice::default(),
            max_streams: 100,
            tls: UpstreamTls::default(),
            timeouts: Timeouts::default(),
            max_idle_connections: 64,
        }
    }
}

/// One of several places where an app is.
#[derive(Debug, Clone, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Target {
    /// As the `url` of an upstream.
    #[schemars(extend("x-required" = true))]
    pub url: Option<UpstreamUrl>,
    /// Its share of the requests, beside those of the others.
    #[schemars(range(min = 1, max = 1000))]
    pub weight: u32,
}

impl Default for Target {
    fn default() -> Self {
        Self { url: None, weight: 1 }
    }
}

/// Which of several targets a request goes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum BalanceChoice {
    /// One after the other, by weight.
    #[default]
    RoundRobin,
    /// Requests of one client address go to the same (consistent hashing).
    HashClientAddress,
    /// Requests of one principal go to the same; anonymous ones by client address.
    HashSubject,
}

/// Which version of HTTP an upstream is spoken to in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ProtocolChoice {
    /// HTTP/1.1.
    #[default]
    Http1,
    /// HTTP/2; without TLS by prior knowledge.
    Http2,
    /// Over TLS whichever the upstream prefers, else HTTP/1.1.
    Auto,
}

/// How targets are asked whether they are well.
#[derive(Debug, Clone, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Health {
    /// What is asked for by GET.
    #[schemars(length(min = 1, max = 2048))]
    pub path: String,
    /// How often.
    #[schemars(extend("x-least" = "10ms", "x-most" = "1h"))]
    pub interval: Span,
    /// How long one check may take.
    #[schemars(extend("x-least" = "10ms", "x-most" = "1h"))]
    pub timeout: Span,
    /// Checks in a row that a target must pass to be used again.
    #[schemars(range(min = 1, max = 100))]
    pub healthy_after: u32,
    /// Checks in a row that it must fail to be used no more.
    #[schemars(range(min = 1, max = 100))]
    pub unhealthy_after: u32,
    /// Status codes that pass. Empty: 200 to 299.
    #[schemars(length(max = 32))]
    pub expect_status: Vec<u16>,
}

impl Default for Health {
    fn default() -> Self {
        Self {
            path: "/".to_owned(),
            interval: Span::from_secs(5),
            timeout: Span::from_secs(2),
            healthy_after: 2,
            unhealthy_after: 3,
            expect_status: Vec::new(),
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
    /// To end it, counted from the request; then 504, or the answer breaks off. Default: no bound.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("x-least" = "1ms", "x-most" = "24h"))]
    pub total: Option<Span>,
    /// How long an unused connection is kept, and the body of an answer may stand still.
    #[schemars(extend("x-least" = "1ms", "x-most" = "24h"))]
    pub idle: Span,
    /// How long a WebSocket or another tunnel may stand still in both directions; then it is closed.
    #[schemars(extend("x-least" = "1ms", "x-most" = "24h"))]
    pub tunnel_idle: Span,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            connect: Span::from_secs(5),
            response: Span::from_secs(30),
            total: None,
            idle: Span::from_secs(60),
            tunnel_idle: Span::from_secs(60 * 60),
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
