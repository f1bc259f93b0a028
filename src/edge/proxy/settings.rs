//! Resolved settings of the proxy's client side: bounds of client connections. `config` makes them.

use std::sync::Arc;
use std::time::Duration;

use crate::domain::net::NetworkSet;

/// What a listener says about the connections it accepts.
#[derive(Debug, Clone)]
pub struct ListenerProfile {
    /// The listener's name.
    pub name: Arc<str>,
    /// Peers whose forwarded headers are believed.
    pub trusted_proxies: NetworkSet,
    /// Bounds of each connection.
    pub connection: ConnectionSettings,
}

/// Bounds of one client connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConnectionSettings {
    /// Longest request head in bytes, request line and fields together; longer ones get 431.
    pub head_max_bytes: usize,
    /// Most fields in a head (and in a trailer section); more get 431.
    pub head_max_fields: usize,
    /// Time from a head's first byte to its last; longer gets 408.
    pub head_timeout: Duration,
    /// Time a connection may stand idle before or between requests; then it is closed without a word.
    pub keep_alive_timeout: Duration,
    /// Time a request body may stand still while the upstream waits for it, and an answer while the client
    /// does not read it.
    pub body_idle_timeout: Duration,
    /// Bounds of HTTP/2; `None`: it is not spoken.
    pub http2: Option<Http2Settings>,
}

/// Bounds of one HTTP/2 connection, beside those that it shares with HTTP/1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Http2Settings {
    /// Most requests at once.
    pub max_concurrent_streams: u32,
}

impl Default for Http2Settings {
    fn default() -> Self {
        Self {
            max_concurrent_streams: 100,
        }
    }
}

impl Default for ConnectionSettings {
    fn default() -> Self {
        Self {
            head_max_bytes: 32 * 1024,
            head_max_fields: 100,
            head_timeout: Duration::from_secs(10),
            keep_alive_timeout: Duration::from_secs(75),
            body_idle_timeout: Duration::from_secs(60),
            http2: Some(Http2Settings::default()),
        }
    }
}
