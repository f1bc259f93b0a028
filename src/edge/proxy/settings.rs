//! Resolved settings of the proxy: bounds of client connections, and upstreams. `config` makes them.

use std::fmt;
use std::num::NonZeroUsize;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use http::HeaderValue;

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
    /// Time a request body may stand still while the upstream waits for it.
    pub body_idle_timeout: Duration,
}

impl Default for ConnectionSettings {
    fn default() -> Self {
        Self {
            head_max_bytes: 32 * 1024,
            head_max_fields: 100,
            head_timeout: Duration::from_secs(10),
            keep_alive_timeout: Duration::from_secs(75),
            body_idle_timeout: Duration::from_secs(60),
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
    pub max_idle_per_thread: NonZeroUsize,
    /// Longest time a connection is kept idle. Keep it below the upstream's own keep-alive timeout.
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
            max_idle_per_thread: NonZeroUsize::new(64).unwrap_or(NonZeroUsize::MIN),
            idle_timeout: Duration::from_secs(30),
        }
    }
}

/// `http://host:port` of an upstream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UpstreamAddress {
    host: Arc<str>,
    port: u16,
    authority: HeaderValue,
}

/// Why a text is no upstream address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidUpstreamAddress {
    /// Not a URL with a host.
    #[error("not a URL; expected http://host:port")]
    Syntax,
    /// A scheme that is not spoken to upstreams.
    #[error("scheme is not supported; expected http://host:port")]
    Scheme,
    /// A path, query or user would be ignored, so it is refused.
    #[error("has a path, query or user; expected http://host:port and nothing after it")]
    Extra,
}

impl UpstreamAddress {
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

impl FromStr for UpstreamAddress {
    type Err = InvalidUpstreamAddress;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let uri: http::Uri = text.parse().map_err(|_| InvalidUpstreamAddress::Syntax)?;
        match uri.scheme_str() {
            Some("http") => {}
            Some(_) => return Err(InvalidUpstreamAddress::Scheme),
            None => return Err(InvalidUpstreamAddress::Syntax),
        }
        let authority = uri.authority().ok_or(InvalidUpstreamAddress::Syntax)?;
        let extra = uri.path() != "/" || uri.query().is_some() || text.contains(['@', '#']);
        if extra {
            return Err(InvalidUpstreamAddress::Extra);
        }
        let host = authority.host().trim_start_matches('[').trim_end_matches(']');
        let port_is_readable = authority.port().is_none() || authority.port_u16().is_some();
        if host.is_empty() || !port_is_readable {
            return Err(InvalidUpstreamAddress::Syntax);
        }
        Ok(Self {
            host: host.into(),
            port: authority.port_u16().unwrap_or(80),
            authority: HeaderValue::from_str(authority.as_str())
                .map_err(|_| InvalidUpstreamAddress::Syntax)?,
        })
    }
}

impl fmt::Display for UpstreamAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(f, "http://[{}]:{}", self.host, self.port)
        } else {
            write!(f, "http://{}:{}", self.host, self.port)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn upstream_addresses_are_parsed_or_refused() {
        for (text, expected) in [
            ("http://127.0.0.1:9000", Ok("http://127.0.0.1:9000")),
            ("http://app", Ok("http://app:80")),
            ("http://app:81/", Ok("http://app:81")),
            ("http://[::1]:9000", Ok("http://[::1]:9000")),
            ("https://app:443", Err(InvalidUpstreamAddress::Scheme)),
            ("app:9000", Err(InvalidUpstreamAddress::Syntax)),
            ("/path", Err(InvalidUpstreamAddress::Syntax)),
            ("", Err(InvalidUpstreamAddress::Syntax)),
            ("http://app:99999", Err(InvalidUpstreamAddress::Syntax)),
            ("http://app:9000/api", Err(InvalidUpstreamAddress::Extra)),
            ("http://app:9000?x=1", Err(InvalidUpstreamAddress::Extra)),
            ("http://user:pass@app:9000", Err(InvalidUpstreamAddress::Extra)),
        ] {
            let parsed = text.parse::<UpstreamAddress>().map(|a| a.to_string());
            assert_eq!(parsed, expected.map(str::to_owned), "{text}");
        }
    }
}
