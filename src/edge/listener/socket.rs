//! Listening sockets, bound before anything else starts so that a busy address is told at once.

use std::fmt;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;

use socket2::{Domain, Protocol, Socket, Type};

use super::entrance::Profile;

/// Connections that the kernel keeps for us while we are busy.
const BACKLOG: i32 = 1024;

/// One address to listen on.
#[derive(Debug, Clone)]
pub struct ListenSettings {
    /// Where.
    pub address: SocketAddr,
    /// Most connections at once; more are closed unserved.
    pub max_connections: usize,
    /// What its connections are told about themselves.
    pub profile: Arc<Profile>,
}

/// An address could not be bound.
#[derive(Debug, thiserror::Error)]
pub struct BindError {
    listener: Arc<str>,
    address: SocketAddr,
    source: io::Error,
}

impl fmt::Display for BindError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (listener, address) = (&self.listener, self.address);
        let remedy = match self.source.kind() {
            io::ErrorKind::AddrInUse => "another process listens there; stop it or choose another port",
            io::ErrorKind::PermissionDenied => "ports below 1024 need a privilege; choose a higher one",
            io::ErrorKind::AddrNotAvailable => "the address is not one of this machine's",
            _ => "check the address",
        };
        write!(f, "listener {listener} cannot listen on {address}: {remedy}")
    }
}

/// A bound socket.
#[derive(Debug)]
pub struct Bound {
    pub(super) settings: ListenSettings,
    pub(super) socket: TcpListener,
    address: SocketAddr,
}

impl Bound {
    /// Binds and listens. The kernel queues connections from here on.
    pub fn bind(settings: ListenSettings) -> Result<Self, BindError> {
        let bind_error = |source| BindError {
            listener: settings.profile.proxy.name.clone(),
            address: settings.address,
            source,
        };
        let socket = open(settings.address).map_err(bind_error)?;
        let address = socket.local_addr().map_err(bind_error)?;
        Ok(Self {
            settings,
            socket,
            address,
        })
    }

    /// Where it listens; the port is the real one when 0 was asked for.
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

fn open(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    // Accepted sockets inherit it on Linux: one call for all of them.
    socket.set_tcp_nodelay(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

/// Profiles for tests.
#[cfg(test)]
pub(super) mod testing {
    use super::*;
    use crate::edge::listener::{AddressBound, ProxyProtocol};
    use crate::edge::proxy::{ConnectionSettings, ListenerProfile};
    use crate::telemetry::Metrics;

    /// A plain listener that nothing is known of.
    pub(in crate::edge::listener) fn profile() -> Profile {
        Profile {
            proxy: Arc::new(ListenerProfile {
                name: "public".into(),
                trusted_proxies: Default::default(),
                connection: ConnectionSettings::default(),
            }),
            tls: None,
            proxy_protocol: ProxyProtocol::Off,
            per_address: AddressBound::new(1000),
            metrics: Metrics::new().expect("metrics").for_listener("public"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_busy_address_is_told_with_its_remedy() {
        let settings = |address| ListenSettings {
            address,
            max_connections: 1,
            profile: Arc::new(testing::profile()),
        };
        let first = Bound::bind(settings(([127, 0, 0, 1], 0).into())).expect("bound");
        let error = Bound::bind(settings(first.address()))
            .expect_err("busy")
            .to_string();
        let expected = format!(
            "listener public cannot listen on {}: another process",
            first.address()
        );
        assert!(error.starts_with(&expected), "{error}");
    }
}
