//! From settings to running rooms: everything below the doors.
//!
//! The order is the order of dependence: data folder, store, keys, verifiers, revocations, authn, accounts.
//! Both the server and a management command on a resting store build their rooms here; they differ in how
//! they open the store. Starts background tasks but opens no door.

use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use arc_swap::ArcSwap;

use super::convert;
use super::kinds::Kinds;
use crate::accounts::{self, Accounts, GenerationCounts, KeyHandles, KeyVault};
use crate::audit::webhook::Webhook;
use crate::audit::{AuditQueue, SecurityEvents, UsageRecorder, retain};
use crate::authn::Authn;
use crate::authn::nonces::NonceLedger;
use crate::authn::proof::DeviceProofs;
use crate::authn::revocation::RevocationIndex;
use crate::cluster::{FeedState, Follower};
use crate::config::Settings;
use crate::config::settings::LifecycleSettings;
use crate::crypto::{CacheDigester, random};
use crate::domain::clock::{Clock, JumpDetector};
use crate::edge::endpoints::Endpoints;
use crate::edge::management;
use crate::gate::assertion::AssertionSigner;
use crate::gate::routes::RouteTable;
use crate::gate::upstream_headers::{RequestIds, UpstreamHeaders};
use crate::gate::{Gate, Snapshot};
use crate::runtime::slow_pool::SlowPool;
use crate::runtime::tasks::Tasks;
use crate::store::sqlite::{OpenAs, SqliteStore};
use crate::store::{AuditLog, Nonces, Store};
use crate::telemetry::Metrics;

/// How often revocations are forgotten that nothing can be presented against any more.
const PRUNE_EVERY: Duration = Duration::from_secs(60);

/// What credential kinds are built on; it stays while they come and go.
pub(super) struct Ground {
    pub(super) store: Arc<dyn Store>,
    pub(super) keys: KeyHandles,
    pub(super) slow_pool: SlowPool,
    pub(super) open_as: OpenAs,
    pub(super) tasks: Tasks,
    pub(super) metrics: Arc<Metrics>,
    pub(super) clock: Clock,
}

/// How often credentials are looked through for what time brings.
const UPKEEP_EVERY: Duration = Duration::from_secs(600);

/// Everything below the doors.
pub struct Rooms {
    /// The store.
    pub store: Arc<dyn Store>,
    /// The same, for what only the embedded one has: the right to be its server.
    pub embedded: Arc<SqliteStore>,
    /// Verifies credentials.
    pub authn: Arc<Authn>,
    /// The use cases.
    pub accounts: Arc<Accounts>,
    /// Security events.
    pub audit: AuditQueue,
    /// The credential kinds in force.
    pub kinds: Arc<ArcSwap<Kinds>>,
    /// What the next ones are built on.
    pub(super) ground: Ground,
    /// What the generation endpoint made lately.
    pub(super) generated: Arc<GenerationCounts>,
    /// Which nonces were spent.
    pub(super) nonces: Arc<NonceLedger>,
    /// The public auth endpoints at the admin door.
    pub(super) admin_endpoints: management::endpoints::Mounted,
    /// How fresh the revocation feed is.
    pub feed: Arc<FeedState>,
    /// Slow digests.
    pub slow_pool: SlowPool,
    /// The metrics.
    pub metrics: Arc<Metrics>,
    /// The time.
    pub clock: Clock,
}

/// Where security events are told, and in the webhook where there is one.
fn events(
    settings: &Settings,
    audit: AuditQueue,
    metrics: &Arc<Metrics>,
    clock: &Clock,
    tasks: &Tasks,
) -> anyhow::Result<SecurityEvents> {
    let webhook = settings.webhook.clone().map(|webhook| {
        Webhook::spawn(webhook, clock.clone(), Arc::clone(metrics), tasks).context("preparing the webhook")
    });
    Ok(SecurityEvents::new(
        audit,
        webhook.transpose()?,
        Arc::clone(metrics),
    ))
}

impl Rooms {
    /// Builds them. Fails with what was found, what was expected and what to do. A server that follows another one
    /// brings that one's `lock` on the store.
    pub async fn build(
        settings: &Settings,
        open_as: OpenAs,
        tasks: &Tasks,
        metrics: Arc<Metrics>,
        clock: Clock,
        lock: Option<OwnedFd>,
    ) -> anyhow::Result<Self> {
        if let Some(warning) = accounts::data_folder::prepare(&settings.data_dir)? {
            tracing::warn!("{warning}");
        }
        let path = convert::store_path(settings);
        let embedded = match lock {
            None => SqliteStore::open(path, open_as).await?,
            Some(lock) => SqliteStore::open_following(path, lock).await?,
        };
        embedded.measured_by(&metrics);
        let store: Arc<dyn Store> = embedded.clone();
        let (vault, warning) =
            KeyVault::open(Arc::clone(&store), &settings.data_dir, clock.now().wall).await?;
        if let Some(warning) = warning {
            tracing::warn!("{warning}");
        }
        let slow_pool = SlowPool::new(tasks.handle().clone(), convert::slow_pool(settings))
            .measured_by(Arc::clone(&metrics));

        let ground = Ground {
            store: Arc::clone(&store),
            keys: vault.handles().clone(),
            slow_pool: slow_pool.clone(),
            open_as,
            tasks: tasks.clone(),
            metrics: Arc::clone(&metrics),
            clock: clock.clone(),
        };
        let kinds = Kinds::build(settings, &ground)?;

        let revocations = Arc::new(RevocationIndex::new(settings.revocation.max_entries));
        let follower = Follower::new(store.clone(), revocations.clone(), clock.clone());
        follower.catch_up().await.context("reading the revocations")?;
        let follower = follower.measuring(metrics.revocation_lag.clone());
        let feed = Arc::clone(follower.state());
        let audit = AuditQueue::spawn(&settings.audit, store.clone(), metrics.clone(), tasks);
        let events = events(settings, audit.clone(), &metrics, &clock, tasks)?;
        let usage = UsageRecorder::spawn(&settings.usage, store.clone(), metrics.clone(), tasks);
        usage.tell(events.clone(), clock.clone());
        let authn = Authn::new(
            Arc::clone(&kinds.verifiers),
            CacheDigester::random()?,
            Arc::clone(&revocations),
            Arc::clone(&feed),
            usage,
            convert::authn(settings),
            tasks.clone(),
            clock.clone(),
            Arc::clone(&metrics),
        );
        let created = {
            let authn = Arc::clone(&authn);
            Arc::new(move || authn.cache().credential_created())
        };
        let parts = accounts::Parts {
            store: Arc::clone(&store),
            vault,
            revocations,
            feed: Arc::clone(&feed),
            created,
            slow_pool: slow_pool.clone(),
            metrics: Arc::clone(&metrics),
            clock: clock.clone(),
        };
        let accounts = Arc::new(Accounts::new(parts, kinds.for_accounts(settings, &ground)));
        let nonces = Arc::clone(&store) as Arc<dyn Nonces>;
        authn.tell(events.clone());
        let rooms = Self {
            store,
            embedded,
            authn,
            accounts,
            audit,
            kinds: Arc::new(ArcSwap::from_pointee(kinds)),
            ground,
            generated: Arc::default(),
            nonces: NonceLedger::spawn(nonces, tasks),
            admin_endpoints: Arc::new(ArcSwap::from_pointee(Endpoints::none())),
            feed,
            slow_pool,
            metrics,
            clock,
        };
        if open_as == OpenAs::Server {
            let log = Arc::clone(&rooms.store) as Arc<dyn AuditLog>;
            let retention = settings.audit.retention;
            let stop = tasks.shutdown().clone();
            tasks.spawn(
                "audit-retention",
                retain(retention, log, rooms.clock.clone(), stop),
            );
            rooms.follow(follower, settings.revocation.poll_interval, tasks);
            rooms.keep_up(settings.lifecycle.clone(), events, tasks);
        }
        Ok(rooms)
    }

    /// Puts other kinds in force, for all but the proxy: its gate has them already.
    pub(super) fn replace_kinds(&self, kinds: Kinds, settings: &Settings) {
        self.authn.replace_verifiers(Arc::clone(&kinds.verifiers));
        self.accounts
            .replace_kinds(kinds.for_accounts(settings, &self.ground));
        self.kinds.store(Arc::new(kinds));
    }

    /// A gate over these rooms, by the configured routes and with these kinds.
    pub fn gate(&self, settings: &Settings, kinds: &Kinds) -> anyhow::Result<Gate> {
        let mut seed = [0; 16];
        random::fill(&mut seed)?;
        let request_ids = RequestIds::new(seed);
        let rules = settings.routes.iter().map(|r| &r.upstream_headers);
        let snapshot = Snapshot {
            upstream_headers: Arc::new(UpstreamHeaders::new(rules, request_ids.clone())),
            routes: RouteTable::new(settings.routes.clone()),
            shapes: convert::shapes(settings),
            verifiers: Arc::clone(&kinds.verifiers),
            proofs: self.proofs(settings),
        };
        let keys = self.accounts.vault().handles().assertion.clone();
        let assertions = AssertionSigner::new(settings.assertion_issuer.as_ref(), keys);
        Ok(Gate::new(
            snapshot,
            Arc::clone(&self.authn),
            self.audit.clone(),
            assertions,
            request_ids,
            Arc::clone(&self.metrics),
        ))
    }

    /// Who checks proofs of possession, where there is a secret for them.
    pub(super) fn proofs(&self, settings: &Settings) -> Option<Arc<DeviceProofs>> {
        let written = settings.credentials.sealed_device_token.proof.clone()?;
        Some(Arc::new(DeviceProofs::new(written, Arc::clone(&self.nonces))))
    }

    /// Looks after credentials as time passes, until the tasks are stopped.
    fn keep_up(&self, settings: LifecycleSettings, events: SecurityEvents, tasks: &Tasks) {
        let (accounts, metrics) = (Arc::clone(&self.accounts), Arc::clone(&self.metrics));
        let shutdown = tasks.shutdown().clone();
        tasks.spawn("upkeep", async move {
            let mut timer = tokio::time::interval(UPKEEP_EVERY);
            timer.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
            loop {
                tokio::select! {
                    () = shutdown.cancelled() => return,
                    _ = timer.tick() => {}
                }
                match accounts.tell_rotation_due(&settings.rotation, &events).await {
                    Ok(due) => metrics
                        .credentials_rotation_due
                        .set(i64::try_from(due).unwrap_or(i64::MAX)),
                    Err(error) => tracing::warn!(%error, "looking for credentials due for rotation failed"),
                }
                match accounts.forget_deleted(settings.deleted_grace).await {
                    Ok(0) => {}
                    Ok(rows) => tracing::info!(rows, "forgot credentials that were deleted"),
                    Err(error) => {
                        tracing::warn!(%error, "forgetting deleted credentials failed; tried again later")
                    }
                }
            }
        });
    }

    /// Follows the store's revocations and keys that another process rotated, until the tasks are stopped.
    fn follow(&self, follower: Follower, every: Duration, tasks: &Tasks) {
        tasks.spawn("revocation-feed", follower.run(every, tasks.shutdown().clone()));
        let (accounts, authn) = (Arc::clone(&self.accounts), Arc::clone(&self.authn));
        let (kinds, metrics) = (Arc::clone(&self.kinds), Arc::clone(&self.metrics));
        let (store, clock, shutdown) = (
            Arc::clone(&self.store),
            self.clock.clone(),
            tasks.shutdown().clone(),
        );
        let mut jumps = JumpDetector::new(clock.now());
        tasks.spawn("housekeeping", async move {
            let mut keys = tokio::time::interval(every);
            let mut pruning = tokio::time::interval(PRUNE_EVERY);
            for timer in [&mut keys, &mut pruning] {
                timer.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
            }
            let changes_of = |kinds: &Kinds| (Arc::clone(&kinds.jwt), kinds.jwt.key_changes());
            let mut known = changes_of(&kinds.load());
            loop {
                tokio::select! {
                    () = shutdown.cancelled() => return,
                    _ = keys.tick() => {
                        if let Some(by_ms) = jumps.look(clock.now()) {
                            metrics.clock_jumps.inc();
                            tracing::warn!(by_ms, "the wall clock was set; credentials' own times follow it");
                        }
                        let (before, changes) = std::mem::replace(&mut known, changes_of(&kinds.load()));
                        // Another verifier begins without verdicts.
                        if Arc::ptr_eq(&before, &known.0) && changes != known.1 {
                            authn.revocations().void_all();
                        }
                        if let Err(error) = accounts.refresh_keys().await {
                            tracing::warn!(%error, "looking for rotated keys failed; the present ones stay");
                        }
                    }
                    _ = pruning.tick() => {
                        let now = clock.now().wall;
                        authn.revocations().prune(now);
                        if let Err(error) = store.prune_revocations(now).await {
                            tracing::warn!(%error, "pruning revocations failed; tried again later");
                        }
                        if let Err(error) = store.prune_nonces(now).await {
                            tracing::warn!(%error, "pruning nonces failed; tried again later");
                        }
                    }
                }
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::accounts::Actor;
    use crate::config::{Environment, load_text};
    use crate::domain::clock::{ManualClock, UnixMillis};
    use crate::domain::ids::PrincipalId;

    #[tokio::test]
    async fn the_revocations_are_read_before_anything_can_be_asked() {
        let folder = tempfile::tempdir().expect("a folder");
        let text = format!(
            "version: 1\ndata_dir: {}\nupstreams: {{ api: {{ url: 'http://127.0.0.1:9000' }} }}\n\
             routes: [{{ path: /, upstream: api }}]\n",
            folder.path().join("data").display()
        );
        let loaded = load_text("doorward.yaml", &text, &Environment::default());
        let settings = loaded.expect("good settings").settings;
        let tasks = Tasks::on(tokio::runtime::Handle::current());
        // As a tool, which follows nothing later.
        let build = async || {
            let metrics = Arc::new(Metrics::new().expect("metrics"));
            Rooms::build(&settings, OpenAs::Tool, &tasks, metrics, Clock::System, None)
                .await
                .expect("built")
        };
        let before = build().await;
        let somebody = PrincipalId::parse("p1").expect("an id");
        before
            .accounts
            .revoke_principal(&somebody, &Actor::local(1000))
            .await
            .expect("revoked");
        before.store.close().await;
        let after = build().await;
        assert_eq!(after.authn.revocations().len(), 1);
        after.store.close().await;
    }

    #[tokio::test]
    async fn a_wall_clock_that_is_set_is_counted() {
        let folder = tempfile::tempdir().expect("a folder");
        let text = format!(
            "version: 1\ndata_dir: {}\nrevocation: {{ poll_interval: 50ms }}\nupstreams: {{ api: {{ url: 'http://127.0.0.1:9000' }} }}\n\
             routes: [{{ path: /, upstream: api }}]\n",
            folder.path().join("data").display()
        );
        let loaded = load_text("doorward.yaml", &text, &Environment::default());
        let settings = loaded.expect("good settings").settings;
        let tasks = Tasks::on(tokio::runtime::Handle::current());
        let hand = ManualClock::at(Clock::System.now().wall);
        let metrics = Arc::new(Metrics::new().expect("metrics"));
        let clock = Clock::Manual(hand.clone());
        let rooms = Rooms::build(
            &settings,
            OpenAs::Server,
            &tasks,
            Arc::clone(&metrics),
            clock,
            None,
        )
        .await
        .expect("built");
        hand.set_wall(UnixMillis(hand.now().wall.0 - 3_600_000));
        let counted = async {
            while metrics.clock_jumps.get() == 0 {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(Duration::from_secs(10), counted)
            .await
            .expect("counted");
        tasks.stop(Duration::from_secs(5)).await;
        rooms.store.close().await;
    }
}
