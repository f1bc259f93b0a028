//! Where a target of an upstream is, as it was written: a host or an address and a port, in the open or over
//! TLS, or a Unix socket. Resolves nothing.

use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::sync::Arc;

use http::HeaderValue;

use crate::edge::proxy::screen::is_host;

/// Longest path of a Unix socket that systems take, its end included.
const MAX_SOCKET_PATH: usize = 107;

/// Where a target is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UpstreamAddress {
    place: Place,
    security: Security,
    authority: HeaderValue,
}

/// What is connected to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// This address.
    Ip(SocketAddr),
    /// Whatever this name stands for at the time.
    Name {
        /// A host name in lower case.
        host: Arc<str>,
        /// The port.
        port: u16,
    },
    /// A Unix socket.
    Unix(Arc<Path>),
}

/// How the connection is protected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Security {
    /// Not at all.
    Plain,
    /// By TLS.
    Tls,
}

impl Security {
    /// The port that is not written.
    pub fn default_port(self) -> u16 {
        match self {
            Self::Plain => 80,
            Self::Tls => 443,
        }
    }
}

/// Not where anything could listen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a place; expected a host name or an address, or the absolute path of a socket")]
pub struct InvalidAddress;

impl UpstreamAddress {
    /// A name, an IPv4 address, or an IPv6 address (with or without brackets), and a port.
    pub fn new(security: Security, host: &str, port: u16) -> Result<Self, InvalidAddress> {
        let host = host.trim_start_matches('[').trim_end_matches(']');
        let usual = port == security.default_port();
        let authority = match (host.contains(':'), usual) {
            (true, true) => format!("[{host}]"),
            (true, false) => format!("[{host}]:{port}"),
            (false, true) => host.to_owned(),
            (false, false) => format!("{host}:{port}"),
        };
        if !is_host(authority.as_bytes()) {
            return Err(InvalidAddress);
        }
        let place = match host.parse::<IpAddr>() {
            Ok(ip) => Place::Ip(SocketAddr::new(ip, port)),
            Err(_) if host.contains(':') => return Err(InvalidAddress),
            Err(_) => Place::Name {
                host: host.to_ascii_lowercase().into(),
                port,
            },
        };
        Ok(Self {
            place,
            security,
            authority: HeaderValue::from_str(&authority).map_err(|_| InvalidAddress)?,
        })
    }

    /// A Unix socket, by its absolute path.
    pub fn unix(path: &str) -> Result<Self, InvalidAddress> {
        if !path.starts_with('/')
            || path.ends_with('/')
            || path.len() > MAX_SOCKET_PATH
            || path.contains('\0')
        {
            return Err(InvalidAddress);
        }
        Ok(Self {
            place: Place::Unix(Path::new(path).into()),
            security: Security::Plain,
            authority: HeaderValue::from_static("localhost"),
        })
    }

    /// What is connected to.
    pub fn place(&self) -> &Place {
        &self.place
    }

    /// How the connection is protected.
    pub fn security(&self) -> Security {
        self.security
    }

    /// The value of `Host` for requests that came without one.
    pub fn authority(&self) -> &HeaderValue {
        &self.authority
    }

    /// The address as it is written in a configuration.
    pub fn text(&self) -> String {
        let scheme = match self.security {
            Security::Plain => "http",
            Security::Tls => "https",
        };
        match &self.place {
            Place::Ip(address) => format!("{scheme}://{address}"),
            Place::Name { host, port } => format!("{scheme}://{host}:{port}"),
            Place::Unix(path) => format!("unix:{}", path.display()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_upstream_without_a_clients_host_is_told_its_own() {
        for (security, host, port, authority) in [
            (Security::Plain, "127.0.0.1", 9000, Some("127.0.0.1:9000")),
            (Security::Plain, "app", 80, Some("app")),
            (Security::Tls, "app", 80, Some("app:80")),
            (Security::Tls, "app", 443, Some("app")),
            (Security::Plain, "[::1]", 9000, Some("[::1]:9000")),
            (Security::Plain, "::1", 80, Some("[::1]")),
            (Security::Plain, "", 80, None),
            (Security::Plain, "a b", 80, None),
            (Security::Plain, "a/b", 80, None),
        ] {
            let address = UpstreamAddress::new(security, host, port).ok();
            let found = address.map(|a| a.authority().to_str().expect("ASCII").to_owned());
            assert_eq!(found.as_deref(), authority, "{host} {port}");
        }
    }

    #[test]
    fn a_socket_has_an_absolute_path_of_bounded_length() {
        let long = format!("/{}", "x".repeat(MAX_SOCKET_PATH));
        let longest = format!("/{}", "x".repeat(MAX_SOCKET_PATH - 1));
        for (path, expected) in [
            ("/run/app.sock", true),
            ("run/app.sock", false),
            ("", false),
            ("/run/", false),
            ("/run/a\0b", false),
            (&long, false),
            (&longest, true),
        ] {
            assert_eq!(UpstreamAddress::unix(path).is_ok(), expected, "{path:?}");
        }
    }
}
