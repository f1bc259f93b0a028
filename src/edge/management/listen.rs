//! Where the door listens: a Unix socket for this machine's owner, and a TCP address for administrators.

use std::io;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixListener as StdUnixListener;
use std::path::Path;
use std::sync::Arc;

use axum::Router;
use axum::middleware::from_fn_with_state;
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, UnixListener, UnixStream};
use tokio_util::sync::CancellationToken;

use super::configuration::Configuration;
use super::endpoints::{self, Mounted};
use super::guard::{self, From, LocalCaller, TcpGuard};
use crate::accounts::{Accounts, Actor, Administrators};
use crate::domain::net::{ClientIp, PeerAddr};
use crate::runtime::hand_over::Possessions;
use crate::runtime::side_door::{self, Bounds};
use crate::runtime::tasks::Tasks;
use crate::runtime::unix_socket::{self, SocketFile};

/// For the owner alone.
const MODE: u32 = 0o600;
/// Connections that the kernel keeps while all places are taken.
const BACKLOG: i32 = 128;

/// The admin socket, listening; its file is removed on drop.
#[derive(Debug)]
pub struct AdminSocket {
    listener: Arc<UnixListener>,
    file: SocketFile,
}

impl AdminSocket {
    /// What it is called when it is handed over.
    pub fn possession(path: &Path) -> String {
        format!("admin socket {}", path.display())
    }

    /// Listens at this path, mode 0600 from the first instant. A file left by a server that is gone is
    /// replaced; one that somebody answers at is refused. Must be called on a runtime.
    pub fn bind(path: &Path, possessions: &Possessions) -> io::Result<Self> {
        Self::of(
            path,
            unix_socket::listen(path, MODE, BACKLOG, possessions)?,
            possessions,
        )
    }

    /// Goes on listening with a predecessor's. Must be called on a runtime.
    pub fn inherit(socket: OwnedFd, path: &Path, possessions: &Possessions) -> io::Result<Self> {
        Self::of(
            path,
            unix_socket::inherit(socket, path, MODE, possessions)?,
            possessions,
        )
    }

    fn of(
        path: &Path,
        (listener, file): (StdUnixListener, SocketFile),
        possessions: &Possessions,
    ) -> io::Result<Self> {
        let listener = Arc::new(UnixListener::from_std(listener)?);
        possessions.add(Self::possession(path), &listener);
        Ok(Self { listener, file })
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

fn caller(peer: &UnixStream, owner: u32) -> LocalCaller {
    match peer.peer_cred() {
        Ok(cred) if cred.uid() == owner || cred.uid() == 0 => LocalCaller::Owner(Actor::local(cred.uid())),
        _ => LocalCaller::Stranger,
    }
}

/// Serves administrators over TCP until `end` is cancelled.
pub async fn serve_tcp(
    listener: Arc<TcpListener>,
    address: SocketAddr,
    accounts: Arc<Accounts>,
    administrators: Arc<Administrators>,
    mounted: Mounted,
    tasks: Tasks,
    end: CancellationToken,
) {
    let guard = TcpGuard {
        administrators,
        address,
    };
    let routes = super::guarded(accounts, guard);
    let routes = routes.layer(from_fn_with_state(mounted, endpoints::answer));
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
