//! The admin and status doors, the store and the upstreams, as written.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::values::{Address, AdminAddress, Span, StoreUrl, UpstreamUrl};

/// The admin door: the management API. Its Unix socket is always `admin.sock` in `data_dir`.
#[derive(Debug, Clone, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Admin {
    /// IP address and port, or `off` to leave only the Unix socket.
    pub address: AdminAddress,
}

impl Default for Admin {
    fn default() -> Self {
        Self {
            address: AdminAddress::At(loopback(9901)),
        }
    }
}

/// The status door: probes and metrics.
#[derive(Debug, Clone, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Status {
    /// IP address and port. Also settable as `DOORWARD_STATUS_ADDRESS`.
    pub address: Address,
}

impl Default for Status {
    fn default() -> Self {
        Self {
            address: Address(loopback(9902)),
        }
    }
}

/// The store.
#[derive(Debug, Clone, Default, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Store {
    /// `sqlite:` and a path. Default: `doorward.db` in `data_dir`.
    #[schemars(extend("writeOnly" = true))]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub url: Option<StoreUrl>,
    /// A file that holds the url.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub url_file: Option<PathBuf>,
}

/// One app behind us.
#[derive(Debug, Clone, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Upstream {
    /// `http://`, a host name or address, and a port.
    #[schemars(extend("x-required" = true))]
    pub url: Option<UpstreamUrl>,
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
            timeouts: Timeouts::default(),
            max_idle_connections: 64,
        }
    }
}

/// How long an upstream may take.
#[derive(Debug, Clone, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Timeouts {
    /// To accept a connection; then 502.
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

fn loopback(port: u16) -> SocketAddr {
    SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), port)
}
