//! The addresses that the proxy listens on, as written.

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::values::{FileMode, ListenAddress, Name, Size, Span, TrustedNetwork};

/// One address that the proxy listens on.
#[derive(Debug, Clone, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Listener {
    /// Name for logs and metrics.
    #[schemars(extend("x-required" = true))]
    pub name: Option<Name>,
    /// IP address and port, or `unix:` and a path.
    #[schemars(extend("x-required" = true))]
    pub address: Option<ListenAddress>,
    /// Permission bits of a Unix socket. Default: 0600.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub socket_mode: Option<FileMode>,
    /// TLS. Default: none, the listener is plain.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tls: Option<Tls>,
    /// Peers whose `X-Forwarded-For` and `X-Forwarded-Proto` are believed; `Forwarded` is never read. Empty: nobody.
    pub trusted_proxies: Vec<TrustedNetwork>,
    /// Whether connections begin with a PROXY header.
    pub proxy_protocol: ProxyProtocol,
    /// Most connections at once; more are closed unserved.
    #[schemars(range(min = 1, max = 1_000_000))]
    pub max_connections: u32,
    /// Most connections at once from one client address (IPv6: per /64); this machine and trusted proxies
    /// are not counted.
    #[schemars(range(min = 1, max = 1_000_000))]
    pub max_connections_per_address: u32,
    /// Most connections that come within a second; more are closed unserved. Default: any number.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 10_000_000))]
    pub max_connections_per_second: Option<u32>,
    /// Most connections that come within a second from one client address (IPv6: per /64); this machine and
    /// trusted proxies are not counted.
    #[schemars(range(min = 1, max = 10_000_000))]
    pub max_connections_per_address_per_second: u32,
    /// How long a client may take to send a whole head.
    #[schemars(extend("x-least" = "1ms", "x-most" = "10m"))]
    pub head_timeout: Span,
    /// Longest request head, request line included.
    #[schemars(extend("x-least" = "1KiB", "x-most" = "1MiB"))]
    pub max_head_bytes: Size,
    /// Most header fields in a request head.
    #[schemars(range(min = 1, max = 1000))]
    pub max_head_fields: u16,
    /// How long a connection may be idle between requests.
    #[schemars(extend("x-least" = "1ms", "x-most" = "24h"))]
    pub keep_alive_timeout: Span,
    /// How long a request body may stand still, and an answer that the client does not read.
    #[schemars(extend("x-least" = "1ms", "x-most" = "24h"))]
    pub body_idle_timeout: Span,
    /// HTTP/2.
    pub http2: Http2,
}

/// The PROXY protocol (versions 1 and 2) on one listener.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ProxyProtocol {
    /// Connections begin with the client's own bytes.
    #[default]
    Off,
    /// Every connection begins with its header, and comes from one of `trusted_proxies`.
    Required,
}

/// TLS on one listener.
#[derive(Debug, Clone, Default, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Tls {
    /// What clients are shown, by the name they ask for; the first one when no name fits.
    #[schemars(extend("x-required" = true), length(max = 1000))]
    pub certificates: Vec<CertificateFiles>,
    /// The oldest version that is spoken.
    pub min_version: MinVersion,
}

/// A certificate and its key.
#[derive(Debug, Clone, Default, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct CertificateFiles {
    /// A file with the certificate and its chain, as PEM, the server's own first.
    #[schemars(extend("x-required" = true))]
    pub cert_file: Option<PathBuf>,
    /// A file with its private key, as PEM, with mode 0600.
    #[schemars(extend("x-required" = true))]
    pub key_file: Option<PathBuf>,
}

/// A version of TLS.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, Serialize, JsonSchema)]
pub enum MinVersion {
    /// TLS 1.2.
    #[default]
    #[serde(rename = "tls1.2")]
    Tls12,
    /// TLS 1.3.
    #[serde(rename = "tls1.3")]
    Tls13,
}

/// HTTP/2 on one listener: agreed in the TLS handshake, or begun by clients that know it beforehand.
#[derive(Debug, Clone, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Http2 {
    /// Whether it is spoken.
    pub enabled: bool,
    /// Most requests at once on one connection.
    #[schemars(range(min = 1, max = 10_000))]
    pub max_concurrent_streams: u32,
}

impl Default for Http2 {
    fn default() -> Self {
        Self {
            enabled: true,
            max_concurrent_streams: 100,
        }
    }
}

impl Default for Listener {
    fn default() -> Self {
        Self {
            name: None,
            address: None,
            socket_mode: None,
            tls: None,
            trusted_proxies: Vec::new(),
            proxy_protocol: ProxyProtocol::default(),
            max_connections: 10_000,
            max_connections_per_address: 1_000,
            // A crowd that comes back after an outage is honest, however many they are.
            max_connections_per_second: None,
            // As many as one address may have open: whoever may have them may also open them all at once, as an
            // office does whose line was cut. A client that keeps its connections needs a few.
            max_connections_per_address_per_second: 1_000,
            head_timeout: Span::from_secs(10),
            max_head_bytes: Size(32 << 10),
            max_head_fields: 100,
            keep_alive_timeout: Span::from_secs(75),
            body_idle_timeout: Span::from_secs(60),
            http2: Http2::default(),
        }
    }
}
