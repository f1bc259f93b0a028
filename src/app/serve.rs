//! The life of the serving process: rooms, doors, data threads, and their end.
//!
//! Doors are bound before anything is announced, so a port that is taken stops the start. A process that follows another one
//! opens none of them before that one has handed them over. The order at the end is the reverse: the proxy drains, audit and
//! usage are flushed, the store closes, the status door answers to the last.

use std::io::{IsTerminal, Write};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use tokio::runtime::Runtime;

use super::doors::Doors;
use super::hand_over::{Inherited, STORE_LOCK, Succession};
use super::reload::{Asks, Reloader, Reloads, Requested, Source};
use super::rooms::Rooms;
use super::side_doors::SideDoors;
use super::{doors, endpoints, live, logs};
use crate::accounts::{HandedOver, hand_over_administrator_token};
use crate::authz::policy::{Access, RoutePolicy};
use crate::config::{Loaded, Settings};
use crate::domain::clock::{Clock, UnixMillis};
use crate::edge::listener::{
    self, Bound, DrainTimes, Entrance, Hooks, ListenAddress, Profile, Serving, UnixSignals,
};
use crate::edge::proxy::{Engine, EngineParts, InForce};
use crate::gate::Gate;
use crate::runtime::drain::{Drain, Stage};
use crate::runtime::hand_over::{Inheritance, Successor};
use crate::runtime::lines::Lines;
use crate::runtime::readiness::{Latch, Readiness};
use crate::runtime::service_manager::{ServiceManager, ServiceManagerSettings};
use crate::runtime::tasks::{Stopped, Tasks};
use crate::runtime::workers::{Threads, Workers, default_threads};
use crate::store::sqlite::OpenAs;
use crate::telemetry::logging::LogControl;
use crate::telemetry::{Metrics, logging};

/// Threads of the control runtime: store calls, management, look-ups, hashing hand-over.
const CONTROL_THREADS: usize = 2;
/// How long background tasks may take to end.
const STOP_TASKS: Duration = Duration::from_secs(5);

/// A process whose doors are bound and whose rooms stand; it serves when it runs.
pub struct Process {
    runtime: Runtime,
    tasks: Tasks,
    rooms: Arc<Rooms>,
    log: Lines,
    access_lines: Option<Lines>,
    signals: UnixSignals,
    manager: ServiceManager,
    log_control: LogControl,
    in_force: InForce<Gate>,
    doors: Doors,
    reloads: Reloads,
    asks: Asks,
    /// What reloads begin with; `None`: there are none.
    configured: Option<(Loaded, Source)>,
    inherited: Inherited,
    /// Left to do once a predecessor has handed over.
    open_side_doors: Option<Box<dyn FnOnce() + Send>>,
    succession: Succession,
    drain: Drain,
    starting: Latch,
    listeners: Vec<Bound>,
    workers: Workers<Profile>,
    times: DrainTimes,
    /// The status door answers to the last, so it has a set of its own.
    side_tasks: Tasks,
}

/// How a process was started, beside its settings.
#[derive(Debug, Default)]
pub struct Start {
    /// What a service manager wants to be told.
    pub manager: ServiceManagerSettings,
    /// How its successor is started; `None`: it has none.
    pub successor: Option<Successor>,
    /// What its predecessor hands over, when it has one.
    pub inheritance: Option<Inheritance>,
}

/// Serves until told to stop. Reloads read the same source again.
pub fn serve(loaded: Loaded, source: Source, start: Start) -> anyhow::Result<()> {
    let process = Process::start(&loaded.settings, start)?;
    process.reloading(loaded, source).run()
}

impl Process {
    /// Builds everything and binds every door.
    pub fn start(settings: &Settings, start: Start) -> anyhow::Result<Self> {
        let mut inherited = Inherited::new(start.inheritance);
        let metrics = Arc::new(Metrics::new()?);
        let log = logs::own(&metrics)?;
        let log_control = logging::install(settings.log.format, settings.log.level, Arc::new(log.clone()))?;
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
            inherited.take(STORE_LOCK),
        );
        let rooms = Arc::new(runtime.block_on(built)?);
        if let Some(lock) = rooms.embedded.server_lock() {
            inherited.possessions().add(STORE_LOCK.to_owned(), &lock);
        }
        runtime.block_on(first_administrator(settings, &rooms))?;
        let at_the_admin_door = endpoints::on_the_admin_door(settings, &rooms);
        rooms.admin_endpoints.store(Arc::new(at_the_admin_door));
        let side_tasks = Tasks::on(runtime.handle().clone());
        let (reloads, asks) = Reloads::channel();
        let side_doors = runtime.block_on(SideDoors::bind(settings, &mut inherited, &tasks, &side_tasks))?;
        let ends = side_doors.ends();
        let open_side_doors = {
            let (rooms, tasks, side_tasks) = (Arc::clone(&rooms), tasks.clone(), side_tasks.clone());
            let owners = Arc::new(reloads.clone());
            move || side_doors.open(&rooms, readiness, owners, &tasks, &side_tasks)
        };
        // They tell how the start goes on; a predecessor's are open still.
        let open_side_doors: Option<Box<dyn FnOnce() + Send>> = match inherited.follows() {
            true => Some(Box::new(open_side_doors)),
            false => {
                open_side_doors();
                None
            }
        };

        let access_lines = logs::access(settings, &log, &metrics)?;
        let standing = live::build(settings, &rooms.kinds.load(), &rooms, None)?;
        live::attend(&standing, None, &tasks);
        let in_force = InForce::new(standing);
        let parts = EngineParts {
            in_force: in_force.clone(),
            clock,
            drain: drain.clone(),
            metrics,
            access_lines: access_lines.clone(),
        };
        let threads = settings.workers.unwrap_or_else(default_threads);
        let workers = Workers::start(threads, move |deadlines| {
            Entrance::new(Engine::new(&parts, deadlines))
        })?;
        let now = rooms.clock.now().wall;
        let (listeners, doors) = doors::bind(settings, &mut inherited, &rooms.metrics, now)?;
        announce(settings, None);
        let manager = service_manager(&start.manager, workers.threads(), &drain, &tasks, &side_tasks);
        if inherited.follows() {
            manager.fall_silent();
        }
        let succession = Succession {
            successor: start.successor,
            possessions: inherited.possessions().clone(),
            manager: manager.clone(),
            side_doors: ends,
        };
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
            access_lines,
            signals,
            manager,
            log_control,
            in_force,
            doors,
            reloads,
            asks,
            configured: None,
            inherited,
            open_side_doors,
            succession,
            drain,
            starting,
            listeners,
            workers,
            times,
        })
    }

    /// Takes up what this source says whenever that changes, beginning with what was loaded from it.
    pub fn reloading(mut self, loaded: Loaded, source: Source) -> Self {
        self.configured = Some((loaded, source));
        self
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

    /// Serves until told to stop, then stops in order. Fails only before it serves, when a predecessor does not hand
    /// over.
    pub fn run(self) -> anyhow::Result<()> {
        let Self {
            runtime,
            tasks,
            side_tasks,
            rooms,
            log,
            access_lines,
            signals,
            manager,
            log_control,
            in_force: standing,
            doors,
            reloads,
            asks,
            configured,
            inherited,
            open_side_doors,
            succession,
            drain,
            starting,
            listeners,
            workers,
            times,
        } = self;
        let follows = inherited.follows();
        inherited
            .accept()
            .context("taking over from the running server")?;
        if follows {
            manager.speak();
            rooms.embedded.sign_lock();
        }
        if let Some(open) = open_side_doors {
            open();
        }
        drop(starting);
        tracing::info!(
            version = env!("CARGO_PKG_VERSION"),
            pid = std::process::id(),
            "ready"
        );
        manager.ready("serving");
        let metrics = Arc::clone(&rooms.metrics);
        in_force(&metrics, rooms.clock.now().wall);
        if let Some((loaded, source)) = configured {
            let reloader = Reloader {
                source,
                loaded,
                rooms: Arc::clone(&rooms),
                in_force: standing,
                doors,
                log: log_control,
                manager,
                tasks: tasks.clone(),
            };
            tasks.spawn("reload", reloader.run(asks));
        }
        let clock = rooms.clock.clone();
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
            possessions: succession.possessions.clone(),
            hooks: Hooks {
                on_hangup: Box::new(move || hangup(&reloads)),
                on_quit: Box::new(move || succession.hand_over()),
            },
            clock,
            flush: Box::pin(flush),
        });
        side_tasks.shutdown().cancel();
        tracing::info!("stopped");
        runtime.shutdown_timeout(Duration::from_secs(1));
        if let Some(lines) = access_lines {
            lines.flush(Duration::from_secs(1));
        }
        log.flush(Duration::from_secs(1));
        Ok(())
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
fn hangup(reloads: &Reloads) {
    match reloads.request() {
        Requested::Heard => tracing::info!("SIGHUP: reading the configuration again"),
        Requested::NobodyThere => tracing::info!("SIGHUP: there is no configuration to read again"),
    }
}

/// The configuration is in force now.
pub(super) fn in_force(metrics: &Metrics, now: UnixMillis) {
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

/// Says what an operator should know and was not told before: public routes, and what is allowed but unusual.
pub(super) fn announce(settings: &Settings, before: Option<&Settings>) {
    let is_public = |r: &&Arc<RoutePolicy>| r.access == Access::Public;
    for route in settings.routes.iter().filter(is_public) {
        let mut known = before.iter().flat_map(|b| &b.routes).filter(is_public);
        if !known.any(|known| known.name == route.name && known.matches == route.matches) {
            tracing::info!(
                route = &*route.name,
                "public: everyone comes in without a credential"
            );
        }
    }
    for warning in &settings.warnings {
        if before.is_none_or(|before| !before.warnings.contains(warning)) {
            tracing::warn!(key = warning.key, "{}", warning.text);
        }
    }
}
