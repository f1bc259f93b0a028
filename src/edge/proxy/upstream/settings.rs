//! Resolved settings of an upstream. `config` makes them.

use std::sync::Arc;
use std::time::Duration;

use http::uri::PathAndQuery;
use http::{HeaderValue, StatusCode};

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
    /// Which version of HTTP it is spoken to in.
    pub protocol: Protocol,
    /// Most requests at once on one HTTP/2 connection; more open another.
    pub max_streams: u32,
    /// Which of several targets a request goes to.
    pub balance: Balance,
    /// How targets are asked whether they are well; `None`: they are not asked.
    pub health: Option<HealthSettings>,
    /// Time to connect, the TLS handshake included.
    pub connect_timeout: Duration,
    /// Time from the request to the head of the answer; a route may set its own.
    pub response_timeout: Duration,
    /// Time from the request to the end of the answer; `None`: as long as it moves.
    pub total_timeout: Option<Duration>,
    /// Most idle connections kept per data thread and address.
    pub max_idle_per_thread: usize,
    /// Longest time a connection is kept idle, and the body of an answer may stand still.
    pub idle_timeout: Duration,
    /// Longest time a tunnel, opened by a switch of protocols, may stand still in both directions.
    pub tunnel_idle_timeout: Duration,
    /// How often names are looked up again.
    pub dns_refresh: Duration,
}

/// Which version of HTTP an upstream is spoken to in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Protocol {
    /// HTTP/1.1, one request at a time on a connection.
    #[default]
    Http1,
    /// HTTP/2, many at once; without TLS by prior knowledge (RFC 9113 section 3.3).
    Http2,
    /// Over TLS whichever the upstream prefers (ALPN), else HTTP/1.1.
    Auto,
}

/// One place where the app is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// Where.
    pub address: UpstreamAddress,
    /// Its share of the requests, beside those of the others. At least 1.
    pub weight: u32,
}

/// Which of several targets a request goes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Balance {
    /// One after the other.
    #[default]
    RoundRobin,
    /// Requests of one client address go to the same.
    ClientAddress,
    /// Requests of one principal go to the same; anonymous ones by client address.
    Subject,
}

/// How targets are asked whether they are well.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HealthSettings {
    /// What is asked for.
    pub path: PathAndQuery,
    /// How often.
    pub interval: Duration,
    /// How long one check may take.
    pub timeout: Duration,
    /// Checks in a row that a target must pass to be used again.
    pub healthy_after: u32,
    /// Checks in a row that it must fail to be used no more.
    pub unhealthy_after: u32,
    /// Status codes that pass; empty: 200 to 299.
    pub expect_status: Vec<StatusCode>,
}

impl UpstreamSettings {
    /// An upstream of one target with the default bounds.
    pub fn new(name: &str, address: UpstreamAddress) -> Self {
        Self {
            name: name.into(),
            targets: vec![Target { address, weight: 1 }],
            balance: Balance::default(),
            health: None,
            tls: Arc::new(TlsSettings::default()),
            protocol: Protocol::default(),
            max_streams: 100,
            connect_timeout: Duration::from_secs(5),
            response_timeout: Duration::from_secs(30),
            total_timeout: None,
            max_idle_per_thread: 64,
            idle_timeout: Duration::from_secs(60),
            tunnel_idle_timeout: Duration::from_secs(60 * 60),
            dns_refresh: Duration::from_secs(5),
        }
    }

    /// The value of `Host` for requests that came without one.
    pub fn authority(&self) -> HeaderValue {
        let first = self.targets.first().map(|t| t.address.authority().clone());
        first.unwrap_or(HeaderValue::from_static("localhost"))
    }
}
