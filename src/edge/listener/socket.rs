//! Listening sockets, bound before anything else starts so that a busy address is told at once, or taken over from a
//! predecessor.

use std::fmt;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixListener;
use std::path::PathBuf;
use std::sync::Arc;

use arc_swap::ArcSwap;
use socket2::{Domain, Protocol, Socket, Type};

use super::entrance::Profile;
use crate::runtime::hand_over::Possessions;
use crate::runtime::unix_socket::{self, SocketFile};

/// Connections that the kernel keeps for us while we are busy.
pub(super) const BACKLOG: i32 = 1024;

/// Where to listen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ListenAddress {
    /// At an address of this machine.
    Tcp(SocketAddr),
    /// At a path, for this machine only.
    Unix {
        /// The socket's file.
        path: PathBuf,
        /// Who may connect, as permission bits.
        mode: u32,
    },
}

impl ListenAddress {
    /// What a socket for it is called when it is handed over. The address as it was asked for: a port 0 is asked for again.
    pub fn possession(&self) -> String {
        format!("listener {self}")
    }

    /// Whether only this machine can connect.
    pub fn is_local(&self) -> bool {
        match self {
            Self::Tcp(address) => address.ip().is_loopback(),
            Self::Unix { .. } => true,
        }
    }
}

impl fmt::Display for ListenAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => address.fmt(f),
            Self::Unix { path, .. } => write!(f, "unix:{}", path.display()),
        }
    }
}

/// One address to listen on.
#[derive(Debug, Clone)]
pub struct ListenSettings {
    /// Where.
    pub address: ListenAddress,
    /// What its connections are told about themselves. Each has the one that was there when it came.
    pub profile: Arc<ArcSwap<Profile>>,
}

/// An address could not be bound.
#[derive(Debug, thiserror::Error)]
pub struct BindError {
    listener: Arc<str>,
    address: ListenAddress,
    source: io::Error,
}

impl fmt::Display for BindError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (listener, address) = (&self.listener, &self.address);
        let remedy = match (address, self.source.kind()) {
            (ListenAddress::Tcp(_), io::ErrorKind::AddrInUse) => {
                "another process listens there; stop it or choose another port"
            }
            (ListenAddress::Tcp(_), io::ErrorKind::PermissionDenied) => {
                "ports below 1024 need a privilege; choose a higher one"
            }
            (ListenAddress::Tcp(_), io::ErrorKind::AddrNotAvailable) => {
                "the address is not one of this machine's"
            }
            (ListenAddress::Tcp(_), _) => "check the address",
            (_, io::ErrorKind::AddrInUse) => "another process answers there; stop it or choose another path",
            (_, io::ErrorKind::AlreadyExists) => "the file there is no socket; move it away",
            (_, io::ErrorKind::NotFound) => "its folder does not exist; make it",
            (_, io::ErrorKind::PermissionDenied) => "its folder may not be written to",
            _ => "check the path, which may have about 100 letters",
        };
        write!(f, "listener {listener} cannot listen on {address}: {remedy}")
    }
}

/// A listening socket of either family.
#[derive(Debug)]
pub(super) enum Listening {
    Tcp(TcpListener),
    Unix(UnixListener, SocketFile),
}

/// A bound socket.
#[derive(Debug)]
pub struct Bound {
    pub(super) settings: ListenSettings,
    pub(super) socket: Listening,
    address: ListenAddress,
}

impl Bound {
    /// Binds and listens, unless a predecessor's socket is `inherited`. The kernel queues connections from here on.
    pub fn bind(
        settings: ListenSettings,
        possessions: &Possessions,
        inherited: Option<OwnedFd>,
    ) -> Result<Self, BindError> {
        let bound = match &settings.address {
            ListenAddress::Tcp(address) => open(*address, inherited).and_then(|socket| {
                let address = ListenAddress::Tcp(socket.local_addr()?);
                Ok((Listening::Tcp(socket), address))
            }),
            ListenAddress::Unix { path, mode } => {
                let socket = match inherited {
                    None => unix_socket::listen(path, *mode, BACKLOG, possessions),
                    Some(socket) => unix_socket::inherit(socket, path, *mode, possessions),
                };
                socket.map(|(socket, file)| (Listening::Unix(socket, file), settings.address.clone()))
            }
        };
        match bound {
            Ok((socket, address)) => Ok(Self {
                settings,
                socket,
                address,
            }),
            Err(source) => Err(BindError {
                listener: settings.profile.load().proxy.name.clone(),
                address: settings.address,
                source,
            }),
        }
    }

    /// Where it listens; the port is the real one when 0 was asked for.
    pub fn address(&self) -> &ListenAddress {
        &self.address
    }
}

fn open(address: SocketAddr, inherited: Option<OwnedFd>) -> io::Result<TcpListener> {
    if let Some(socket) = inherited {
        let socket = TcpListener::from(socket);
        socket.set_nonblocking(true)?;
        return Ok(socket);
    }
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
    use crate::edge::listener::{AddressBound, ProxyProtocol, RateBound, Rates};
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
            max_connections: 1,
            per_address: AddressBound::new(1000),
            rate: RateBound::new(Rates {
                total: None,
                per_address: 1000,
            }),
            metrics: Metrics::new().expect("metrics").for_listener("public"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::PermissionsExt;
    use std::os::unix::net::UnixStream;
    use std::path::Path;

    fn bind(settings: ListenSettings) -> Result<Bound, BindError> {
        Bound::bind(settings, &Possessions::own(), None)
    }

    fn settings(address: ListenAddress) -> ListenSettings {
        ListenSettings {
            address,
            profile: Arc::new(ArcSwap::from_pointee(testing::profile())),
        }
    }

    #[test]
    fn a_busy_address_is_told_with_its_remedy() {
        let any = ListenAddress::Tcp(([127, 0, 0, 1], 0).into());
        let first = bind(settings(any)).expect("bound");
        let error = bind(settings(first.address().clone()))
            .expect_err("busy")
            .to_string();
        let expected = format!(
            "listener public cannot listen on {}: another process",
            first.address()
        );
        assert!(error.starts_with(&expected), "{error}");
    }

    #[test]
    fn a_unix_socket_has_its_mode_and_gives_way_to_nobody_who_lives() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("s");
        let at = |path: &Path| {
            let address = ListenAddress::Unix {
                path: path.to_owned(),
                mode: 0o620,
            };
            bind(settings(address))
        };
        let first = at(&path).expect("bound");
        let mode = fs::metadata(&path).expect("there").permissions().mode() & 0o777;
        assert_eq!(mode, 0o620);
        let error = at(&path).expect_err("somebody answers").to_string();
        assert!(error.contains("another process answers there"), "{error}");
        UnixStream::connect(&path).expect("the first one still does");
        drop(first);
        assert!(!path.exists(), "nothing is left behind");
        // As a process that was killed leaves it.
        drop(UnixListener::bind(&path).expect("bound"));
        assert!(path.exists());
        let _second = at(&path).expect("a stale socket is replaced");
        UnixStream::connect(&path).expect("connects");
        let file = folder.path().join("f");
        fs::write(&file, "kept").expect("writes");
        let error = at(&file).expect_err("no socket").to_string();
        assert!(error.contains("is no socket"), "{error}");
        assert_eq!(fs::read_to_string(&file).expect("still there"), "kept");
        let error = at(&folder.path().join("no/s"))
            .expect_err("no folder")
            .to_string();
        assert!(error.contains("its folder does not exist"), "{error}");
    }

    #[test]
    fn an_inherited_socket_listens_on_and_its_file_stays_until_it_is_ours() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("s");
        let address = ListenAddress::Unix {
            path: path.clone(),
            mode: 0o600,
        };
        let (of_the_first, of_the_second) = (Possessions::own(), Possessions::expected());
        let first = Bound::bind(settings(address.clone()), &of_the_first, None).expect("bound");
        let Listening::Unix(socket, _) = &first.socket else {
            panic!("a Unix socket was asked for")
        };
        let follow = || {
            let socket = socket.try_clone().expect("a copy").into();
            Bound::bind(settings(address.clone()), &of_the_second, Some(socket)).expect("taken over")
        };
        fs::set_permissions(&path, fs::Permissions::from_mode(0o666)).expect("widened");
        drop(follow());
        let mode = fs::metadata(&path).expect("there").permissions().mode() & 0o777;
        assert_eq!(mode, 0o600, "as it is configured now");
        UnixStream::connect(&path).expect("a successor that gave up took nothing away");
        let second = follow();
        of_the_first.given_away();
        of_the_second.now_ours();
        drop(first);
        UnixStream::connect(&path).expect("the successor listens there");
        drop(second);
        assert!(!path.exists());
    }

    #[test]
    fn nothing_but_a_dead_listener_gives_way_to_a_unix_socket() {
        let folder = tempfile::tempdir().expect("a folder");
        let at = |path: &Path| {
            let address = ListenAddress::Unix {
                path: path.to_owned(),
                mode: 0o600,
            };
            bind(settings(address))
        };
        let (stale, link) = (folder.path().join("stale"), folder.path().join("link"));
        drop(UnixListener::bind(&stale).expect("bound"));
        std::os::unix::fs::symlink(&stale, &link).expect("a link");
        let error = at(&link).expect_err("a link is not followed").to_string();
        assert!(error.contains("is no socket"), "{error}");
        assert!(
            fs::symlink_metadata(&link).is_ok() && stale.exists(),
            "both are still there"
        );
        // One that lives, but takes no streams.
        let other = folder.path().join("datagrams");
        let _lives = std::os::unix::net::UnixDatagram::bind(&other).expect("bound");
        at(&other).expect_err("somebody is there");
        assert!(other.exists());
        // What a process of the same number left, as in a container each is.
        let path = folder.path().join("s");
        let mut beside = path.clone().into_os_string();
        beside.push(format!(".{}", std::process::id()));
        drop(UnixListener::bind(&beside).expect("bound"));
        let _first = at(&path).expect("its traces are no hindrance");
        assert!(!Path::new(&beside).exists(), "and nothing is left beside it");
    }
}
