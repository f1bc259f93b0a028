//! The life of the serving process: rooms, doors, data threads, and their end.
//!
//! Doors are bound before anything is announced, so a port that is taken stops the start. The order at the
//! end is the reverse: the proxy drains, audit and usage are flushed, the store closes, the status door
//! answers to the last.

use std::io::{IsTerminal, Write};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use tokio::net::TcpListener;
use tokio::runtime::Runtime;

use super::rooms::Rooms;
use super::{convert, doors, gauges};
use crate::accounts::{Administrators, HandedOver, hand_over_administrator_token};
use crate::authn::kinds::jwt;
use crate::authz::policy::Access;
use crate::config::Settings;
use crate::config::settings::IssuerKeys;
use crate::domain::clock::{Clock, UnixMillis};
use crate::edge::listener::{
    self, Bound, DrainTimes, Entrance, ListenAddress, Profile, Serving, UnixSignals,
};
use crate::edge::management::{self, AdminSocket};
use crate::edge::proxy::own_pages::PublicKeys;
use crate::edge::proxy::{Engine, EngineParts, OwnPages};
use crate::edge::status::StatusDoor;
use crate::runtime::drain::{Drain, Stage};
use crate::runtime::lines::Lines;
use crate::runtime::readiness::{Latch, Readiness};
use crate::runtime::service_manager::{ServiceManager, ServiceManagerSettings};
use crate::runtime::tasks::{Stopped, Tasks};
use crate::runtime::workers::{Threads, Workers, default_threads};
use crate::store::sqlite::OpenAs;
use crate::telemetry::{Metrics, logging};

/// Threads of the control runtime: store calls, management, look-ups, hashing hand-over.
const CONTROL_THREADS: usize = 2;
/// Log lines that may wait for a slow sink.
const LOG_QUEUE_BYTES: usize = 1024 * 1024;
/// How long background tasks may take to end.
const STOP_TASKS: Duration = Duration::from_secs(5);

/// A process whose doors are bound and whose rooms stand; it serves when it runs.
pub struct Process {
    runtime: Runtime,
    tasks: Tasks,
    rooms: Arc<Rooms>,
    log: Lines,
    signals: UnixSignals,
    manager: ServiceManager,
    drain: Drain,
    starting: Latch,
    listeners: Vec<Bound>,
    workers: Workers<Profile>,
    times: DrainTimes,
    /// The status door answers to the last, so it has a set of its own.
    side_tasks: Tasks,
}

/// Serves until told to stop.
pub fn serve(settings: &Settings, manager: &ServiceManagerSettings) -> anyhow::Result<()> {
    Process::start(settings, manager)?.run();
    Ok(())
}

impl Process {
    /// Builds everything and binds every door.
    pub fn start(settings: &Settings, manager: &ServiceManagerSettings) -> anyhow::Result<Self> {
        let metrics = Arc::new(Metrics::new()?);
        let log = Lines::start(
            std::io::stderr(),
            LOG_QUEUE_BYTES,
            metrics.log_lines_dropped.clone(),
        )?;
        logging::install(settings.log.format, settings.log.level, Arc::new(log.clone()))?;
        logging::hook_panics(Arc::clone(&metrics));
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(CONTROL_THREADS)
            .thread_name("control")
            .enable_all()
            .build()?;
        // Before anything that takes time: a signal of these first moments is heard when serving begins.
        let signals = {
            let _on_runtime = runtime.enter();
            UnixSignals::install().context("handling signals")?
        };
        let tasks = Tasks::on(runtime.handle().clone());
        let readiness = Readiness::new();
        let starting = readiness.startup_latch("starting");
        let drain = Drain::new(readiness.clone());
        let clock = Clock::System;

        let built = Rooms::build(
            settings,
            OpenAs::Server,
            &tasks,
            Arc::clone(&metrics),
            clock.clone(),
        );
        let rooms = Arc::new(runtime.block_on(built)?);
        runtime.block_on(first_administrator(settings, &rooms))?;
        let side_tasks = Tasks::on(runtime.handle().clone());
        runtime.block_on(side_doors(settings, &rooms, readiness, &tasks, &side_tasks))?;

        let gate = Arc::new(rooms.gate(settings)?);
        let upstreams = convert::upstreams(settings, &metrics, &tasks)?;
        let parts = EngineParts {
            own_pages: own_pages(settings, &rooms),
            decide: gate,
            upstreams,
            clock,
            drain: drain.clone(),
            metrics,
        };
        let threads = settings.workers.unwrap_or_else(default_threads);
        let workers = Workers::start(threads, move |deadlines| {
            Entrance::new(Engine::new(&parts, deadlines))
        })?;
        let listeners = doors::bind(settings, &rooms.metrics, rooms.clock.now().wall)?;
        announce(settings);
        let manager = service_manager(manager, workers.threads(), &drain, &tasks, &side_tasks);
        let times = DrainTimes {
            delay: settings.drain.delay,
            timeout: settings.drain.timeout,
        };
        Ok(Self {
            runtime,
            tasks,
            side_tasks,
            rooms,
            log,
            signals,
            manager,
            drain,
            starting,
            listeners,
            workers,
            times,
        })
    }

    /// The addresses of the proxy over TCP.
    pub fn addresses(&self) -> Vec<SocketAddr> {
        let tcp = |bound: &Bound| match bound.address() {
            ListenAddress::Tcp(address) => Some(*address),
            ListenAddress::Unix { .. } => None,
        };
        self.listeners.iter().filter_map(tcp).collect()
    }

    /// The rooms below the doors.
    pub fn rooms(&self) -> &Arc<Rooms> {
        &self.rooms
    }

    /// The control runtime's tasks.
    pub fn tasks(&self) -> &Tasks {
        &self.tasks
    }

    /// Serves until told to stop, then stops in order.
    pub fn run(self) {
        let Self {
            runtime,
            tasks,
            side_tasks,
            rooms,
            log,
            signals,
            manager,
            drain,
            starting,
            listeners,
            workers,
            times,
        } = self;
        drop(starting);
        tracing::info!(
            version = env!("CARGO_PKG_VERSION"),
            pid = std::process::id(),
            "ready"
        );
        manager.ready("serving");
        let metrics = Arc::clone(&rooms.metrics);
        in_force(&metrics, rooms.clock.now().wall);
        let flush = async move {
            if let Stopped::TimedOut { still_running } = tasks.stop(STOP_TASKS).await {
                tracing::error!(still_running, "background tasks did not end in time");
            }
            rooms.store.close().await;
        };
        listener::run(Serving {
            listeners,
            workers,
            drain,
            times,
            signals,
            on_hangup: Box::new(hangup),
            flush: Box::pin(flush),
        });
        side_tasks.shutdown().cancel();
        tracing::info!("stopped");
        runtime.shutdown_timeout(Duration::from_secs(1));
        log.flush(Duration::from_secs(1));
    }
}

/// The line to the service manager, which is told when leaving begins, and as often as it asks that all is well.
fn service_manager(
    settings: &ServiceManagerSettings,
    threads: Threads,
    drain: &Drain,
    tasks: &Tasks,
    side_tasks: &Tasks,
) -> ServiceManager {
    let Some(socket) = &settings.socket else {
        return ServiceManager::none();
    };
    let manager = match ServiceManager::at(socket) {
        Ok(manager) => manager,
        Err(error) => {
            tracing::warn!(%error, "NOTIFY_SOCKET cannot be used: the service manager is told nothing");
            return ServiceManager::none();
        }
    };
    let (leaving, at, end) = (manager.clone(), drain.clone(), tasks.shutdown().clone());
    tasks.spawn("service-manager", async move {
        tokio::select! {
            () = at.reached(Stage::Leaving) => leaving.stopping("finishing what is under way"),
            () = end.cancelled() => {}
        }
    });
    if let Some(within) = settings.watchdog {
        // To the last: whoever is slow to leave is alive.
        let end = side_tasks.shutdown().clone();
        side_tasks.spawn("watchdog", manager.clone().keep_alive(within, threads, end));
    }
    manager
}

/// What SIGHUP does.
fn hangup() {
    tracing::info!("SIGHUP: the configuration is read at the start only; restart to change it");
}

/// The configuration is in force now.
fn in_force(metrics: &Metrics, now: UnixMillis) {
    metrics.config_last_reload_successful.set(1);
    let since_epoch = Duration::from_millis(u64::try_from(now.0).unwrap_or(0));
    metrics
        .config_last_reload_success_timestamp_seconds
        .set(since_epoch.as_secs_f64());
}

/// Makes the first administrator and hands its token to whoever started us.
async fn first_administrator(settings: &Settings, rooms: &Rooms) -> anyhow::Result<()> {
    let Some(token) = rooms.accounts.ensure_administrator().await? else {
        return Ok(());
    };
    let mut out = std::io::stdout();
    let terminal = out.is_terminal().then_some(&mut out as &mut dyn Write);
    let handed = hand_over_administrator_token(&token, &settings.data_dir, terminal);
    if let HandedOver::File(path) = handed.context("handing over the administrator token")? {
        tracing::info!(file = %path.display(), "the first administrator's token was written to a file");
    }
    Ok(())
}

/// Opens the management and status doors.
async fn side_doors(
    settings: &Settings,
    rooms: &Arc<Rooms>,
    readiness: Readiness,
    tasks: &Tasks,
    side_tasks: &Tasks,
) -> anyhow::Result<()> {
    let end = tasks.shutdown();
    let socket = AdminSocket::bind(&settings.admin.socket).context("the admin socket")?;
    tasks.spawn(
        "admin-socket",
        socket.serve(Arc::clone(&rooms.accounts), tasks.clone(), end.clone()),
    );
    if let Some(address) = settings.admin.address {
        let (listener, address) = bind("admin.address", address).await?;
        tracing::info!(door = "admin", %address, "listening");
        let administrators = Arc::new(Administrators::new(Arc::clone(&rooms.authn), rooms.clock.clone()));
        let accounts = Arc::clone(&rooms.accounts);
        let door = management::serve_tcp(
            listener,
            address,
            accounts,
            administrators,
            tasks.clone(),
            end.clone(),
        );
        tasks.spawn("admin-door", door);
    }
    let (listener, address) = bind("status.address", settings.status_address).await?;
    tracing::info!(door = "status", %address, "listening");
    let watched = Arc::clone(rooms);
    let status = StatusDoor {
        readiness,
        metrics: Arc::clone(&rooms.metrics),
        refresh: Arc::new(move |metrics| gauges::refresh(&watched, metrics)),
    };
    let end = side_tasks.shutdown().clone();
    side_tasks.spawn("status-door", status.serve(listener, side_tasks.clone(), end));
    Ok(())
}

async fn bind(key: &str, address: SocketAddr) -> anyhow::Result<(TcpListener, SocketAddr)> {
    let listener = TcpListener::bind(address).await.with_context(|| {
        format!("{key}: cannot listen on {address}; stop what listens there or choose another port")
    })?;
    let bound = listener.local_addr()?;
    Ok((listener, bound))
}

/// The public keys are published when something is signed with them.
fn own_pages(settings: &Settings, rooms: &Rooms) -> OwnPages {
    let asserts = settings
        .routes
        .iter()
        .any(|r| r.upstream_headers.assertion_audience.is_some());
    let issues = settings
        .credentials
        .jwt_issuers
        .iter()
        .any(|i| matches!(i.keys, IssuerKeys::Own));
    if !asserts && !issues {
        return OwnPages::default();
    }
    let keys = rooms.accounts.vault().handles().clone();
    let jwks: PublicKeys = Arc::new(move || jwt::public_jwks(&[&keys.jwt, &keys.assertion]));
    OwnPages { jwks: Some(jwks) }
}

/// Says at start what an operator should know: public routes, and what is allowed but unusual.
fn announce(settings: &Settings) {
    for route in settings.routes.iter().filter(|r| r.access == Access::Public) {
        tracing::info!(
            route = &*route.name,
            "public: everyone comes in without a credential"
        );
    }
    for warning in &settings.warnings {
        tracing::warn!(key = warning.key, "{}", warning.text);
    }
}
