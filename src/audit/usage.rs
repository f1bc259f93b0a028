//! Usage per credential: counted beside the cached credential, written in batches.
//!
//! A request that uses a credential touches its [`UsageCell`]: a few atomics, no allocation. The first
//! touch since the last write also puts the cell on the list of the [`UsageRecorder`], whose task
//! writes every interval and at stop, at most one row per credential each time. What could not be
//! written is kept and added to the next batch. Called by authn (holds the cells) and the gate.

use std::collections::HashMap;
use std::hash::BuildHasher;
use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use parking_lot::Mutex;
use tokio_util::sync::CancellationToken;

use super::events::SecurityEvents;
use super::habits::Habits;
use super::settings::UsageSettings;
use crate::domain::clock::{Clock, UnixMillis};
use crate::domain::ids::CredentialId;
use crate::domain::net::ClientIp;
use crate::runtime::tasks::Tasks;
use crate::store::{MAX_RECENT_ADDRESSES, Usage, UsageDelta, UsageRecord};
use crate::telemetry::Metrics;
use crate::telemetry::labels::FlushOutcome;

/// Most rows written in one transaction.
const ROWS_PER_WRITE: usize = 1000;

/// What one credential was used for since the last write. Lives beside the verified material.
#[derive(Debug)]
pub struct UsageCell {
    credential: CredentialId,
    count: AtomicU64,
    first_used_at: AtomicI64,
    last_used_at: AtomicI64,
    /// The last address in short form, so that a client that stays costs no lock.
    last_address: AtomicU64,
    listed: AtomicBool,
    addresses: Mutex<RecentAddresses>,
    /// The last agent in short form, as for addresses.
    last_agent: AtomicU64,
    agents: Mutex<Vec<String>>,
    dirty: Arc<DirtyCells>,
}

impl UsageCell {
    /// Counts one use. Never waits: an address that meets a held lock is left out.
    pub fn touch(self: &Arc<Self>, now: UnixMillis, client: ClientIp) {
        if self.first_used_at.load(Ordering::Relaxed) > now.0 {
            self.first_used_at.fetch_min(now.0, Ordering::Relaxed);
        }
        if self.last_used_at.load(Ordering::Relaxed) < now.0 {
            self.last_used_at.fetch_max(now.0, Ordering::Relaxed);
        }
        // Release: whoever takes this count sees the times above.
        self.count.fetch_add(1, Ordering::Release);
        let short = short_form(client.ip());
        if self.last_address.load(Ordering::Relaxed) != short
            && let Some(mut addresses) = self.addresses.try_lock()
        {
            addresses.see(client.ip());
            self.last_address.store(short, Ordering::Relaxed);
        }
        if !self.listed.load(Ordering::Relaxed) && !self.listed.swap(true, Ordering::AcqRel) {
            self.dirty.list(self);
        }
    }

    /// Notes which agent used it. A few atomics while it stays the same.
    pub fn touched_by(&self, agent: &[u8]) {
        let short = AGENT_HASH.hash_one(agent);
        if self.last_agent.load(Ordering::Relaxed) != short
            && let Some(mut agents) = self.agents.try_lock()
        {
            see(&mut agents, shown(agent));
            self.last_agent.store(short, Ordering::Relaxed);
        }
    }

    /// Takes what was counted, if anything was.
    fn take(&self) -> Option<UsageDelta> {
        // Before the count is taken: a touch after it lists the cell again.
        self.listed.store(false, Ordering::Release);
        let count = self.count.swap(0, Ordering::Acquire);
        if count == 0 {
            return None;
        }
        let last = self.last_used_at.load(Ordering::Relaxed);
        let first = self.first_used_at.swap(i64::MAX, Ordering::Relaxed).min(last);
        self.last_address.store(NO_ADDRESS, Ordering::Relaxed);
        Some(UsageDelta {
            credential: self.credential.clone(),
            count,
            first_used_at: UnixMillis(first),
            last_used_at: UnixMillis(last),
            addresses: self.addresses.lock().take(),
            agents: {
                self.last_agent.store(0, Ordering::Relaxed);
                std::mem::take(&mut *self.agents.lock())
            },
        })
    }
}

const NO_ADDRESS: u64 = u64::MAX;
/// Tells agents apart; nothing depends on nobody finding two of one hash.
const AGENT_HASH: foldhash::fast::FixedState = foldhash::fast::FixedState::with_seed(0);
/// How much of an agent's name is kept, in bytes.
const MAX_AGENT_BYTES: usize = 96;

/// An agent's name as it can stand in a row or a line.
fn shown(agent: &[u8]) -> String {
    let kept = agent.get(..MAX_AGENT_BYTES).unwrap_or(agent);
    let visible = |b: &u8| {
        if (0x20..0x7f).contains(b) {
            char::from(*b)
        } else {
            '?'
        }
    };
    kept.iter().map(visible).collect()
}

/// Moves a text to the front of a short list.
fn see(list: &mut Vec<String>, text: String) {
    list.retain(|known| *known != text);
    list.truncate(MAX_RECENT_ADDRESSES - 1);
    list.insert(0, text);
}

/// Tells addresses apart well enough: exact for IPv4; two IPv6 addresses of one short form that take
/// turns would be seen as one.
fn short_form(ip: IpAddr) -> u64 {
    match ip {
        IpAddr::V4(v4) => u64::from(v4.to_bits()),
        IpAddr::V6(v6) => {
            let bits = v6.to_bits();
            let (high, low) = ((bits >> 64) as u64, bits as u64);
            (high.rotate_left(29) ^ low) | 1 << 63
        }
    }
}

/// The last few addresses, most recent first.
#[derive(Debug, Default)]
struct RecentAddresses([Option<IpAddr>; MAX_RECENT_ADDRESSES]);

impl RecentAddresses {
    fn see(&mut self, ip: IpAddr) {
        let known = self.0.iter().position(|a| *a == Some(ip) || a.is_none());
        let place = known.unwrap_or(MAX_RECENT_ADDRESSES - 1);
        if let Some(moved) = self.0.get_mut(..=place) {
            moved.rotate_right(1);
        }
        if let Some(first) = self.0.first_mut() {
            *first = Some(ip);
        }
    }

    fn take(&mut self) -> Vec<String> {
        let taken = std::mem::take(&mut self.0);
        taken.iter().flatten().map(IpAddr::to_string).collect()
    }
}

/// Cells with unwritten usage.
#[derive(Debug)]
struct DirtyCells {
    cells: Mutex<Vec<Arc<UsageCell>>>,
    max: usize,
    /// Who is told of what is unusual.
    told: OnceLock<(SecurityEvents, Clock)>,
}

impl DirtyCells {
    /// Lists a cell; when the list is full the cell keeps its count and tries at its next touch.
    fn list(&self, cell: &Arc<UsageCell>) {
        let mut cells = self.cells.lock();
        if cells.len() < self.max {
            cells.push(cell.clone());
        } else {
            cell.listed.store(false, Ordering::Release);
        }
    }
}

/// Makes cells, and writes what they counted. Clones share one list.
#[derive(Debug, Clone)]
pub struct UsageRecorder(Arc<DirtyCells>);

impl UsageRecorder {
    /// A recorder whose writer runs as a task until the tasks are stopped, and then writes once more.
    pub fn spawn(
        settings: &UsageSettings,
        store: Arc<dyn Usage>,
        metrics: Arc<Metrics>,
        tasks: &Tasks,
    ) -> Self {
        let (recorder, writer) = Self::with_writer(settings, store, metrics);
        let shutdown = tasks.shutdown().clone();
        tasks.spawn("usage-writer", writer.run(settings.interval, shutdown));
        recorder
    }

    fn with_writer(settings: &UsageSettings, store: Arc<dyn Usage>, metrics: Arc<Metrics>) -> (Self, Writer) {
        let dirty = Arc::new(DirtyCells {
            cells: Mutex::default(),
            max: settings.max_pending.max(1),
            told: OnceLock::new(),
        });
        let writer = Writer {
            dirty: dirty.clone(),
            unwritten: HashMap::default(),
            store,
            metrics,
            habits: Habits::new(settings.interval),
        };
        (Self(dirty), writer)
    }

    /// Tells of unusual use from now on.
    pub fn tell(&self, events: SecurityEvents, clock: Clock) {
        // A recorder serves one process, so a second call can only bring the same.
        let _same = self.0.told.set((events, clock));
    }

    /// A cell for a credential, to be kept as long as its material.
    pub fn cell(&self, credential: CredentialId) -> Arc<UsageCell> {
        Arc::new(UsageCell {
            credential,
            count: AtomicU64::new(0),
            first_used_at: AtomicI64::new(i64::MAX),
            last_used_at: AtomicI64::new(i64::MIN),
            last_address: AtomicU64::new(NO_ADDRESS),
            listed: AtomicBool::new(false),
            addresses: Mutex::default(),
            last_agent: AtomicU64::new(0),
            agents: Mutex::default(),
            dirty: self.0.clone(),
        })
    }
}

/// Writes batches of usage.
struct Writer {
    dirty: Arc<DirtyCells>,
    unwritten: HashMap<CredentialId, UsageDelta, foldhash::fast::RandomState>,
    store: Arc<dyn Usage>,
    metrics: Arc<Metrics>,
    habits: Habits,
}

impl Writer {
    async fn run(mut self, interval: Duration, shutdown: CancellationToken) {
        while tokio::time::timeout(interval, shutdown.cancelled())
            .await
            .is_err()
        {
            self.flush().await;
        }
        self.flush().await;
    }

    /// Writes what is unwritten. What fails is kept for the next time.
    async fn flush(&mut self) {
        self.gather();
        let mut rows: Vec<UsageDelta> = self.unwritten.drain().map(|(_, delta)| delta).collect();
        while !rows.is_empty() {
            let batch = rows.split_off(rows.len().saturating_sub(ROWS_PER_WRITE));
            match self.store.add_usage(&batch).await {
                Ok(known) => {
                    self.metrics.usage_flushes.inc(FlushOutcome::Written);
                    self.tell(&known, &batch);
                }
                Err(error) => {
                    self.metrics.usage_flushes.inc(FlushOutcome::Failed);
                    tracing::warn!(%error, rows = batch.len(), "usage not written, kept for the next batch");
                    let kept = rows.drain(..).chain(batch);
                    self.unwritten = kept.map(|delta| (delta.credential.clone(), delta)).collect();
                }
            }
        }
    }

    /// Tells of what is unusual in a batch, given what was stored before it.
    fn tell(&mut self, known: &[Option<UsageRecord>], batch: &[UsageDelta]) {
        let Some((events, clock)) = self.dirty.told.get() else {
            return;
        };
        let now = clock.now();
        for (before, delta) in known.iter().zip(batch) {
            for sighting in self.habits.notice(before.as_ref(), delta) {
                events.tell(sighting, now);
            }
        }
    }

    /// Takes the counts of all listed cells, adding up those of one credential. Cells that would make
    /// too many stay listed.
    fn gather(&mut self) {
        let mut cells = std::mem::take(&mut *self.dirty.cells.lock());
        let room = self.dirty.max.saturating_sub(self.unwritten.len());
        let left = cells.split_off(cells.len().min(room));
        for delta in cells.iter().filter_map(|cell| cell.take()) {
            match self.unwritten.get_mut(&delta.credential) {
                Some(sum) => add(sum, delta),
                None => {
                    self.unwritten.insert(delta.credential.clone(), delta);
                }
            }
        }
        for cell in left {
            self.dirty.list(&cell);
        }
    }
}

/// Adds a later delta of the same credential.
fn add(sum: &mut UsageDelta, later: UsageDelta) {
    sum.count = sum.count.saturating_add(later.count);
    sum.first_used_at = sum.first_used_at.min(later.first_used_at);
    sum.last_used_at = sum.last_used_at.max(later.last_used_at);
    for (sum, later) in [
        (&mut sum.addresses, later.addresses),
        (&mut sum.agents, later.agents),
    ] {
        let earlier = std::mem::replace(sum, later);
        for text in earlier {
            if sum.len() < MAX_RECENT_ADDRESSES && !sum.contains(&text) {
                sum.push(text);
            }
        }
    }
}

#[cfg(test)]
mod tests;
