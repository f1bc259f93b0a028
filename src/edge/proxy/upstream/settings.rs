//! Resolved settings of an upstream. `config` makes them.

use std::sync::Arc;
use std::time::Duration;

use http::HeaderValue;

use super::address::UpstreamAddress;
use super::tls::TlsSettings;

/// One app behind us.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UpstreamSettings {
    /// The name that routes use.
    pub name: Arc<str>,
    /// Where it is; never empty.
    pub targets: Vec<Target>,
    /// How TLS targets are verified, and who we are to them.
    pub tls: Arc<TlsSettings>,
    /// Time to connect, the TLS handshake included.
    pub connect_timeout: Duration,
    /// Time from the request to the head of the answer; a route may set its own.
    pub response_timeout: Duration,
    /// Most idle connections kept per data thread and address.
    pub max_idle_per_thread: usize,
    /// Longest time a connection is kept idle, and the body of an answer may stand still.
    pub idle_timeout: Duration,
    /// How often names are looked up again.
    pub dns_refresh: Duration,
}

/// One place where the app is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// Where.
    pub address: UpstreamAddress,
}

impl UpstreamSettings {
    /// An upstream of one target with the default bounds.
    pub fn new(name: &str, address: UpstreamAddress) -> Self {
        Self {
            name: name.into(),
            targets: vec![Target { address }],
            tls: Arc::new(TlsSettings::default()),
            connect_timeout: Duration::from_secs(5),
            response_timeout: Duration::from_secs(30),
            max_idle_per_thread: 64,
            idle_timeout: Duration::from_secs(60),
            dns_refresh: Duration::from_secs(5),
        }
    }

    /// The value of `Host` for requests that came without one.
    pub fn authority(&self) -> HeaderValue {
        let first = self.targets.first().map(|t| t.address.authority().clone());
        first.unwrap_or(HeaderValue::from_static("localhost"))
    }
}
