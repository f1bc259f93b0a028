//! The admin and status doors, and the store, as written.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::values::{Address, AdminAddress, StoreUrl};

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

fn loopback(port: u16) -> SocketAddr {
    SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), port)
}
