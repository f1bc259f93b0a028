//! Listening sockets, bound before anything else starts so that a busy address is told at once.
//!
//! A Unix socket is made beside its path and moved there once it has its mode, so that nobody meets it wider than it
//! should be. A file left by a process that is gone is replaced; one that somebody answers at is not.

use std::fmt;
use std::fs;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::os::fd::{AsRawFd, RawFd};
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arc_swap::ArcSwap;
use socket2::{Domain, Protocol, Socket, Type};

use super::entrance::Profile;

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

/// The file of a Unix socket, removed on drop.
#[derive(Debug)]
pub(super) struct SocketFile(PathBuf);

impl Drop for SocketFile {
    fn drop(&mut self) {
        // The next start replaces a file that stays behind.
        let _gone = fs::remove_file(&self.0);
    }
}

/// A bound socket.
#[derive(Debug)]
pub struct Bound {
    pub(super) settings: ListenSettings,
    pub(super) socket: Listening,
    address: ListenAddress,
}

impl Bound {
    /// Binds and listens. The kernel queues connections from here on.
    pub fn bind(settings: ListenSettings) -> Result<Self, BindError> {
        let bound = match &settings.address {
            ListenAddress::Tcp(address) => open(*address).and_then(|socket| {
                let address = ListenAddress::Tcp(socket.local_addr()?);
                Ok((Listening::Tcp(socket), address))
            }),
            ListenAddress::Unix { path, mode } => {
                open_unix(path, *mode).map(|socket| (socket, settings.address.clone()))
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

    pub(super) fn as_raw_fd(&self) -> RawFd {
        match &self.socket {
            Listening::Tcp(socket) => socket.as_raw_fd(),
            Listening::Unix(socket, _) => socket.as_raw_fd(),
        }
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

fn open_unix(path: &Path, mode: u32) -> io::Result<Listening> {
    make_way(path)?;
    let mut beside = path.as_os_str().to_owned();
    beside.push(format!(".{}", std::process::id()));
    let scratch = SocketFile(PathBuf::from(beside));
    match fs::remove_file(&scratch.0) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
    socket.set_nonblocking(true)?;
    socket.bind(&socket2::SockAddr::unix(&scratch.0)?)?;
    fs::set_permissions(&scratch.0, fs::Permissions::from_mode(mode))?;
    socket.listen(BACKLOG)?;
    fs::rename(&scratch.0, path)?;
    Ok(Listening::Unix(socket.into(), SocketFile(path.to_owned())))
}

/// Removes a socket that nobody answers at.
fn make_way(path: &Path) -> io::Result<()> {
    let found = match fs::symlink_metadata(path) {
        Ok(found) => found,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
    };
    if !found.file_type().is_socket() {
        return Err(io::ErrorKind::AlreadyExists.into());
    }
    match UnixStream::connect(path) {
        Ok(_) => Err(io::ErrorKind::AddrInUse.into()),
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => fs::remove_file(path),
        Err(error) => Err(error),
    }
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
            max_connections: 1,
            per_address: AddressBound::new(1000),
            metrics: Metrics::new().expect("metrics").for_listener("public"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(address: ListenAddress) -> ListenSettings {
        ListenSettings {
            address,
            profile: Arc::new(ArcSwap::from_pointee(testing::profile())),
        }
    }

    #[test]
    fn a_busy_address_is_told_with_its_remedy() {
        let any = ListenAddress::Tcp(([127, 0, 0, 1], 0).into());
        let first = Bound::bind(settings(any)).expect("bound");
        let error = Bound::bind(settings(first.address().clone()))
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
            Bound::bind(settings(address))
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
}
