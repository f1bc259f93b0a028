//! Where the door listens: a Unix socket for this machine's owner, and a TCP address for administrators.

use std::fs;
use std::io;
use std::net::SocketAddr;
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::os::unix::net::UnixStream as StdUnixStream;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use axum::Router;
use axum::middleware::from_fn_with_state;
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, UnixListener, UnixStream};
use tokio_util::sync::CancellationToken;

use super::configuration::Configuration;
use super::guard::{self, From, LocalCaller, TcpGuard};
use crate::accounts::{Accounts, Actor, Administrators};
use crate::domain::net::{ClientIp, PeerAddr};
use crate::runtime::side_door::{self, Bounds};
use crate::runtime::tasks::Tasks;

/// The admin socket, listening; its file is removed on drop.
#[derive(Debug)]
pub struct AdminSocket {
    listener: UnixListener,
    file: SocketFile,
}

#[derive(Debug)]
struct SocketFile(PathBuf);

impl Drop for SocketFile {
    fn drop(&mut self) {
        // The next start replaces a file that stays behind.
        let _gone = fs::remove_file(&self.0);
    }
}

impl AdminSocket {
    /// Listens at this path, mode 0600 from the first instant. A file left by a server that is gone is
    /// replaced; one that somebody answers at is refused. Must be called on a runtime.
    pub fn bind(path: &Path) -> io::Result<Self> {
        make_way(path)?;
        let mut beside = path.as_os_str().to_owned();
        beside.push(format!(".{}", std::process::id()));
        let beside = PathBuf::from(beside);
        match fs::remove_file(&beside) {
            Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(e),
            _ => {}
        }
        let listener = UnixListener::bind(&beside)?;
        let scratch = SocketFile(beside);
        fs::set_permissions(&scratch.0, fs::Permissions::from_mode(0o600))?;
        fs::rename(&scratch.0, path)?;
        Ok(Self {
            listener,
            file: SocketFile(path.to_owned()),
        })
    }

    /// Serves until `end` is cancelled.
    pub async fn serve(
        self,
        accounts: Arc<Accounts>,
        configuration: Arc<dyn Configuration>,
        tasks: Tasks,
        end: CancellationToken,
    ) {
        let routes = super::owners_routes(accounts, configuration);
        let owner = rustix::process::geteuid().as_raw();
        let Self { listener, file } = self;
        side_door::serve(
            listener,
            "admin-socket",
            Bounds::default(),
            tasks,
            end,
            move |peer| {
                let caller = caller(peer, owner);
                service(
                    routes
                        .clone()
                        .layer(from_fn_with_state(caller, guard::over_socket)),
                )
            },
        )
        .await;
        drop(file);
    }
}

fn make_way(path: &Path) -> io::Result<()> {
    let found = match fs::symlink_metadata(path) {
        Ok(found) => found,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(e) => return Err(e),
    };
    if !found.file_type().is_socket() {
        return Err(io::Error::new(
            io::ErrorKind::AlreadyExists,
            format!("{} is there and is no socket; move it away", path.display()),
        ));
    }
    match StdUnixStream::connect(path) {
        Ok(_) => Err(io::Error::new(
            io::ErrorKind::AddrInUse,
            format!("another server answers at {}", path.display()),
        )),
        Err(e) if e.kind() == io::ErrorKind::ConnectionRefused => fs::remove_file(path),
        Err(e) => Err(e),
    }
}

fn caller(peer: &UnixStream, owner: u32) -> LocalCaller {
    match peer.peer_cred() {
        Ok(cred) if cred.uid() == owner || cred.uid() == 0 => LocalCaller::Owner(Actor::local(cred.uid())),
        _ => LocalCaller::Stranger,
    }
}

/// Serves administrators over TCP until `end` is cancelled.
pub async fn serve_tcp(
    listener: TcpListener,
    address: SocketAddr,
    accounts: Arc<Accounts>,
    administrators: Arc<Administrators>,
    tasks: Tasks,
    end: CancellationToken,
) {
    let guard = TcpGuard {
        administrators,
        address,
    };
    let routes = super::guarded(accounts, guard);
    side_door::serve(
        listener,
        "admin-door",
        Bounds::default(),
        tasks,
        end,
        move |peer| {
            let from = peer
                .peer_addr()
                .map(|a| From(ClientIp::new(PeerAddr::new(a).ip())));
            service(match from {
                Ok(from) => routes.clone().layer(axum::Extension(from)),
                // The client is gone already; without an address nobody is let in.
                Err(_) => routes.clone(),
            })
        },
    )
    .await;
}

fn service(router: Router) -> TowerToHyperService<Router> {
    TowerToHyperService::new(router)
}
