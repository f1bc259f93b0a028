//! Resolved settings of the proxy: bounds of client connections, and upstreams. `config` makes them.

use std::sync::Arc;
use std::time::Duration;

use http::HeaderValue;

use super::screen::is_host;
use crate::domain::net::NetworkSet;
use crate::gate::Scheme;

/// What a listener says about the connections it accepts.
#[derive(Debug, Clone)]
pub struct ListenerProfile {
    /// The listener's name.
    pub name: Arc<str>,
    /// Peers whose forwarded headers are believed.
    pub trusted_proxies: NetworkSet,
    /// How requests reach the listener.
    pub scheme: Scheme,
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

/// One app behind us.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UpstreamSettings {
    /// The name that routes use.
    pub name: Arc<str>,
    /// Where it listens.
    pub address: UpstreamAddress,
    /// Time to resolve its name and connect.
    pub connect_timeout: Duration,
    /// Time from the request to the head of the answer; a route may set its own.
    pub response_timeout: Duration,
    /// Most idle connections kept per data thread.
    pub max_idle_per_thread: usize,
    /// Longest time a connection is kept idle, and the body of an answer may stand still.
    pub idle_timeout: Duration,
}

impl UpstreamSettings {
    /// An upstream with the default bounds.
    pub fn new(name: &str, address: UpstreamAddress) -> Self {
        Self {
            name: name.into(),
            address,
            connect_timeout: Duration::from_secs(5),
            response_timeout: Duration::from_secs(30),
            max_idle_per_thread: 64,
            idle_timeout: Duration::from_secs(60),
        }
    }
}

/// Host and port of an upstream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UpstreamAddress {
    host: Arc<str>,
    port: u16,
    authority: HeaderValue,
}

/// The host has a character that no host has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a host; expected a name or an address")]
pub struct InvalidHost;

impl UpstreamAddress {
    /// A name, an IPv4 address, or an IPv6 address (with or without brackets), and a port.
    pub fn new(host: &str, port: u16) -> Result<Self, InvalidHost> {
        let host = host.trim_start_matches('[').trim_end_matches(']');
        let authority = match (host.contains(':'), port) {
            (true, 80) => format!("[{host}]"),
            (true, _) => format!("[{host}]:{port}"),
            (false, 80) => host.to_owned(),
            (false, _) => format!("{host}:{port}"),
        };
        if !is_host(authority.as_bytes()) {
            return Err(InvalidHost);
        }
        Ok(Self {
            host: host.into(),
            port,
            authority: HeaderValue::from_str(&authority).map_err(|_| InvalidHost)?,
        })
    }

    /// The host to resolve, without brackets.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The port.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The value of `Host` for requests that came without one.
    pub fn authority(&self) -> &HeaderValue {
        &self.authority
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_upstream_without_a_clients_host_is_told_its_own() {
        for (host, port, authority) in [
            ("127.0.0.1", 9000, Some("127.0.0.1:9000")),
            ("app", 80, Some("app")),
            ("[::1]", 9000, Some("[::1]:9000")),
            ("::1", 80, Some("[::1]")),
            ("", 80, None),
            ("a b", 80, None),
            ("a/b", 80, None),
        ] {
            let address = UpstreamAddress::new(host, port).ok();
            let found = address.map(|a| a.authority().to_str().expect("ASCII").to_owned());
            assert_eq!(found.as_deref(), authority, "{host} {port}");
        }
    }
}
