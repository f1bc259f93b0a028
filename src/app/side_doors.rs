//! The doors beside the proxy: the admin socket, the admin door and the status door. Bound first, so that a port that is
//! taken stops the start, and opened once this process is the one that serves.

use std::net::SocketAddr;
use std::sync::Arc;

use anyhow::Context;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use super::gauges;
use super::hand_over::Inherited;
use super::rooms::Rooms;
use crate::accounts::Administrators;
use crate::config::Settings;
use crate::edge::management::{self, AdminSocket, Configuration};
use crate::edge::status::StatusDoor;
use crate::runtime::readiness::Readiness;
use crate::runtime::tasks::Tasks;

/// The doors, bound.
pub(super) struct SideDoors {
    socket: AdminSocket,
    admin: Option<(Arc<TcpListener>, SocketAddr)>,
    status: Arc<TcpListener>,
    ends: [CancellationToken; 2],
}

impl SideDoors {
    /// Binds them, or takes over what is listening there.
    ///
    /// They end with these tasks; the status door has tasks of its own, since it answers to the last.
    pub(super) async fn bind(
        settings: &Settings,
        inherited: &mut Inherited,
        tasks: &Tasks,
        status_tasks: &Tasks,
    ) -> anyhow::Result<Self> {
        let path = &settings.admin.socket;
        let socket = match inherited.take(&AdminSocket::possession(path)) {
            Some(socket) => AdminSocket::inherit(socket, path, inherited.possessions()),
            None => AdminSocket::bind(path, inherited.possessions()),
        };
        let admin = match settings.admin.address {
            Some(address) => Some(bind("admin", "admin.address", address, inherited).await?),
            None => None,
        };
        let (status, _) = bind("status", "status.address", settings.status_address, inherited).await?;
        Ok(Self {
            socket: socket.context("the admin socket")?,
            admin,
            status,
            ends: [tasks, status_tasks].map(|tasks| tasks.shutdown().child_token()),
        })
    }

    /// Ends them before that, when another process opens them.
    pub(super) fn ends(&self) -> [CancellationToken; 2] {
        self.ends.clone()
    }

    /// Opens them on the tasks that they end with.
    pub(super) fn open(
        self,
        rooms: &Arc<Rooms>,
        readiness: Readiness,
        configuration: Arc<dyn Configuration>,
        tasks: &Tasks,
        status_tasks: &Tasks,
    ) {
        let [end, status_end] = self.ends;
        tasks.spawn(
            "admin-socket",
            self.socket.serve(
                Arc::clone(&rooms.accounts),
                configuration,
                tasks.clone(),
                end.clone(),
            ),
        );
        if let Some((listener, address)) = self.admin {
            let administrators = Administrators::new(Arc::clone(&rooms.authn), rooms.clock.clone());
            let door = management::serve_tcp(
                listener,
                address,
                Arc::clone(&rooms.accounts),
                Arc::new(administrators),
                Arc::clone(&rooms.admin_endpoints),
                tasks.clone(),
                end,
            );
            tasks.spawn("admin-door", door);
        }
        let watched = Arc::clone(rooms);
        let status = StatusDoor {
            readiness,
            metrics: Arc::clone(&rooms.metrics),
            refresh: Arc::new(move |metrics| gauges::refresh(&watched, metrics)),
        };
        let door = status.serve(self.status, status_tasks.clone(), status_end);
        status_tasks.spawn("status-door", door);
    }
}

async fn bind(
    door: &str,
    key: &str,
    address: SocketAddr,
    inherited: &mut Inherited,
) -> anyhow::Result<(Arc<TcpListener>, SocketAddr)> {
    let possession = format!("{door} door {address}");
    let listener = match inherited.take(&possession) {
        Some(socket) => {
            let socket = std::net::TcpListener::from(socket);
            socket.set_nonblocking(true)?;
            TcpListener::from_std(socket)
        }
        None => TcpListener::bind(address).await,
    };
    let listener = listener.with_context(|| {
        format!("{key}: cannot listen on {address}; stop what listens there or choose another port")
    })?;
    let address = listener.local_addr()?;
    let listener = Arc::new(listener);
    inherited.possessions().add(possession, &listener);
    tracing::info!(door, %address, "listening");
    Ok((listener, address))
}
