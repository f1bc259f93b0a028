//! Takes another configuration into force while everything runs, or says why not.
//!
//! One task does it, one attempt after the other, when it is asked to (SIGHUP, `doorward reload`) and when a file
//! has another content than it had when it was last read:
//! ```text
//! asked ─▶ read all again ─▶ compare ─▶ build beside ─▶ replace, let go of the old
//!            │ problems         │ same: nothing    │ failed
//!            └─▶ told, refused  └ a fixed key      └─▶ told, refused
//! ```
//! Up to "replace" nobody notices anything, and from there on nothing can fail. What is in force is known by
//! what it was made of (`loaded`), so an attempt that is refused leaves no trace but the log and the metrics.

use std::sync::Arc;

use tokio::sync::{mpsc, oneshot};

use super::doors::Doors;
use super::rooms::Rooms;
use super::{endpoints, live, serve};
use crate::config::{self, Change, Changes, Environment, Flags, Loaded, NamedFile, Offer, Problems, Since};
use crate::edge::management::wire::OfferedConfig;
use crate::edge::proxy::InForce;
use crate::gate::Gate;
use crate::runtime::service_manager::ServiceManager;
use crate::runtime::tasks::Tasks;
use crate::runtime::watch::FileWatch;
use crate::telemetry::labels::ReloadOutcome;
use crate::telemetry::logging::LogControl;

/// Requests that may wait for the attempt under way.
const QUEUE: usize = 16;

/// Where the configuration comes from, at the start and at every reload.
#[derive(Debug, Clone)]
pub struct Source {
    /// What the command line says.
    pub flags: Flags,
    /// The environment as it was at the start: nobody can change it from outside.
    pub environment: Environment,
}

/// Why the task wakes.
enum Cause {
    Asked(Ask),
    Files,
}

/// How an attempt ended.
#[derive(Debug)]
pub enum Reloaded {
    /// This is in force now.
    Applied(Changes),
    /// What was read is what is in force.
    Unchanged,
    /// What was read is no configuration; the old one stays.
    Problems(Problems),
    /// It differs in keys that a running process cannot change; the old one stays as a whole.
    NeedsRestart(Vec<Change>),
    /// It could not be built; the old one stays.
    Failed(String),
}

impl Reloaded {
    fn outcome(&self) -> ReloadOutcome {
        match self {
            Self::Applied(_) => ReloadOutcome::Applied,
            Self::Unchanged => ReloadOutcome::Unchanged,
            Self::Problems(_) => ReloadOutcome::Invalid,
            Self::NeedsRestart(_) => ReloadOutcome::NeedsRestart,
            Self::Failed(_) => ReloadOutcome::Failed,
        }
    }
}

/// What the task is asked.
enum Ask {
    /// To read the configuration again and take it into force.
    Reload(oneshot::Sender<Reloaded>),
    /// What would change, if this were offered; `None`: what is there to be read.
    Compare(Option<OfferedConfig>, oneshot::Sender<Result<Changes, Problems>>),
}

/// Asks for reloads. Clones ask the same task.
#[derive(Clone)]
pub struct Reloads(mpsc::Sender<Ask>);

/// The other end.
pub(super) struct Asks(mpsc::Receiver<Ask>);

impl Reloads {
    /// Both ends.
    pub(super) fn channel() -> (Self, Asks) {
        let (asks, asked) = mpsc::channel(QUEUE);
        (Self(asks), Asks(asked))
    }

    /// Asks for one and goes on. When many wait already, one of them will do.
    pub fn request(&self) -> Requested {
        let (told, _) = oneshot::channel();
        match self.0.try_send(Ask::Reload(told)) {
            Err(mpsc::error::TrySendError::Closed(_)) => Requested::NobodyThere,
            _ => Requested::Heard,
        }
    }

    /// Asks for one and waits for its outcome; `None`: this process reads no configuration any more.
    pub async fn reload(&self) -> Option<Reloaded> {
        let (tell, told) = oneshot::channel();
        self.0.send(Ask::Reload(tell)).await.ok()?;
        told.await.ok()
    }

    /// Asks what would change.
    pub async fn compare(&self, offered: Option<OfferedConfig>) -> Option<Result<Changes, Problems>> {
        let (tell, told) = oneshot::channel();
        self.0.send(Ask::Compare(offered, tell)).await.ok()?;
        told.await.ok()
    }
}

/// Whether somebody takes requests.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Requested {
    /// It will be tried.
    Heard,
    /// This process reads no configuration any more, or never did.
    NobodyThere,
}

/// What reloading works on.
pub(super) struct Reloader {
    pub(super) source: Source,
    /// What is in force.
    pub(super) loaded: Loaded,
    pub(super) rooms: Arc<Rooms>,
    pub(super) in_force: InForce<Gate>,
    pub(super) doors: Doors,
    pub(super) log: LogControl,
    pub(super) manager: ServiceManager,
    pub(super) tasks: Tasks,
}

impl Reloader {
    /// Serves those who ask, and tries whenever a file has changed that the last attempt read.
    pub(super) async fn run(mut self, Asks(mut asked): Asks) {
        let end = self.tasks.shutdown().clone();
        let mut watch = FileWatch::new();
        let mut files = self.loaded.noted.files.clone();
        watch.follow(files.iter().map(|f| &*f.path));
        // They may have changed between being read and being watched.
        let mut cause = Cause::Files;
        loop {
            match cause {
                Cause::Files => {
                    // Before looking, so that nothing that comes after it is missed.
                    watch.follow(files.iter().map(|f| &*f.path));
                    if self.any_changed(&files).await == Since::Changed {
                        tracing::info!("a file of the configuration has changed: reading it again");
                        (_, files) = self.attempt().await;
                        watch.follow(files.iter().map(|f| &*f.path));
                    }
                }
                Cause::Asked(Ask::Reload(told)) => {
                    let (reloaded, read) = self.attempt().await;
                    files = read;
                    watch.follow(files.iter().map(|f| &*f.path));
                    // Whoever asked may not wait for the answer.
                    let _ = told.send(reloaded);
                }
                Cause::Asked(Ask::Compare(offered, told)) => {
                    if let Some(changes) = self.compare(offered).await {
                        let _ = told.send(changes);
                    }
                }
            }
            cause = tokio::select! {
                () = end.cancelled() => return,
                ask = asked.recv() => match ask {
                    Some(ask) => Cause::Asked(ask),
                    None => return,
                },
                () = watch.changed() => Cause::Files,
            };
        }
    }

    /// Whether some file has another content than when it was last read, whatever came of that.
    async fn any_changed(&self, files: &[NamedFile]) -> Since {
        let files = files.to_vec();
        let look = move || files.iter().any(|f| f.now() == Since::Changed);
        match self.tasks.blocking(look).await {
            Some(true) => Since::Changed,
            _ => Since::Same,
        }
    }

    async fn compare(&self, offered: Option<OfferedConfig>) -> Option<Result<Changes, Problems>> {
        let source = self.source.clone();
        let read = move || match offered {
            None => config::load(&source.flags, &source.environment),
            Some(OfferedConfig { name, text }) => {
                let flags = Flags {
                    config: Some(name.into()),
                    data_dir: source.flags.data_dir,
                    ..Flags::default()
                };
                config::load_text_with(&text, &flags, &source.environment)
            }
        };
        let loaded = self.tasks.blocking(read).await?;
        Some(loaded.map(|loaded| Changes::between(&self.loaded, &loaded)))
    }

    /// One attempt, told to the log and counted.
    async fn attempt(&mut self) -> (Reloaded, Vec<NamedFile>) {
        self.manager.reloading();
        let source = self.source.clone();
        let read = move || config::offer(&source.flags, &source.environment);
        let (reloaded, files) = match self.tasks.blocking(read).await {
            Some(Offer { files, outcome }) => (self.take(outcome), files),
            None => {
                let error = "reading the configuration ended by a panic".to_owned();
                (Reloaded::Failed(error), self.loaded.noted.files.clone())
            }
        };
        tell(&reloaded);
        let metrics = &self.rooms.metrics;
        metrics.config_reloads.inc(reloaded.outcome());
        match reloaded {
            Reloaded::Applied(_) | Reloaded::Unchanged => {
                serve::in_force(metrics, self.rooms.clock.now().wall)
            }
            _ => metrics.config_last_reload_successful.set(0),
        }
        self.manager.ready("serving");
        (reloaded, files)
    }

    fn take(&mut self, outcome: Result<Loaded, Problems>) -> Reloaded {
        let loaded = match outcome {
            Ok(loaded) => loaded,
            Err(problems) => return Reloaded::Problems(problems),
        };
        let changes = Changes::between(&self.loaded, &loaded);
        if changes.is_empty() {
            return Reloaded::Unchanged;
        }
        let fixed: Vec<Change> = changes.fixed().cloned().collect();
        if !fixed.is_empty() {
            return Reloaded::NeedsRestart(fixed);
        }
        match self.exchange(&loaded, &changes) {
            Ok(()) => {
                self.loaded = loaded;
                Reloaded::Applied(changes)
            }
            Err(error) => Reloaded::Failed(format!("{error:#}")),
        }
    }

    /// Builds everything, then replaces everything.
    fn exchange(&self, loaded: &Loaded, changes: &Changes) -> anyhow::Result<()> {
        let (rooms, settings) = (&self.rooms, &loaded.settings);
        let before = self.in_force.current();
        let kinds = rooms
            .kinds
            .load()
            .succeeded_by(settings, changes, &rooms.ground)?;
        let standing = live::build(settings, &kinds, rooms, Some(&before))?;
        let doors = self.doors.rehung(settings, changes)?;
        self.log.set(settings.log.level)?;
        // From here on nothing fails.
        live::attend(&standing, Some(&before), &self.tasks);
        self.in_force.replace(standing);
        rooms.replace_kinds(kinds, settings);
        let at_the_admin_door = endpoints::on_the_admin_door(settings, rooms);
        rooms.admin_endpoints.store(Arc::new(at_the_admin_door));
        doors.put(&rooms.metrics, rooms.clock.now().wall);
        live::dismiss(&self.in_force.current(), &before, &rooms.metrics);
        self.forget(loaded);
        serve::announce(settings, Some(&self.loaded.settings));
        Ok(())
    }

    /// The numbers of routes and issuers that are gone.
    fn forget(&self, loaded: &Loaded) {
        let (old, new) = (&self.loaded.settings, &loaded.settings);
        let metrics = &self.rooms.metrics;
        for route in &old.routes {
            if !new.routes.iter().any(|r| r.name == route.name) {
                metrics.forget_route(&route.name);
            }
        }
        let issuers = &new.credentials.jwt_issuers;
        for issuer in &old.credentials.jwt_issuers {
            if !issuers.iter().any(|i| i.name == issuer.name && i.is_fetched()) {
                metrics.forget_issuer(&issuer.name);
            }
        }
    }
}

/// Every problem by a line of its own: a log shows lines, and each names its key and what to do.
fn tell(reloaded: &Reloaded) {
    match reloaded {
        Reloaded::Applied(changes) => {
            for Change { key, .. } in changes.iter() {
                tracing::info!(key, "reload: changed");
            }
            tracing::info!(
                count = changes.iter().count(),
                "reload: the configuration is in force"
            );
        }
        Reloaded::Unchanged => tracing::info!("reload: nothing changed"),
        Reloaded::Problems(problems) => {
            let file = problems.file.as_deref().unwrap_or_default();
            for problem in &problems.problems {
                let config::Problem {
                    key,
                    found,
                    expected,
                    remedy,
                    ..
                } = problem;
                let line = problem.line();
                tracing::error!(file, line, key, found, expected, remedy, "reload: a problem");
            }
            let count = problems.problems.len();
            tracing::error!(count, "reload: refused; the configuration in force stays");
        }
        Reloaded::NeedsRestart(fixed) => {
            for Change { key, .. } in fixed {
                let remedy = "restart, or hand over to a new process; or write it as it was";
                tracing::error!(key, remedy, "reload: a running process cannot change this key");
            }
            let count = fixed.len();
            tracing::error!(
                count,
                "reload: refused as a whole; the configuration in force stays"
            );
        }
        Reloaded::Failed(error) => {
            tracing::error!(error, "reload: failed; the configuration in force stays");
        }
    }
}
