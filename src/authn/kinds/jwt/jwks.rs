//! A JWK set behind a URL: fetched in the background, kept through outages up to a stated bound.
//!
//! One task per URL refreshes it with jitter. A token with an unknown `kid` may ask for a fetch, but at
//! most one begins per cooldown whoever asks, one runs at a time, and waiting is bounded in time and
//! number: an unreachable issuer costs its own tokens an answer, never other issuers' and never start-up
//! (SECURITY R3). Fetches follow no redirect and are bounded in size and time. Verifies nothing itself.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use arc_swap::ArcSwapOption;
use parking_lot::Mutex;
use tokio::sync::watch;
use tokio_util::sync::{CancellationToken, DropGuard};

use super::keys::{KeyProblem, KeySet};
use super::settings::{JwksUrl, Problem};
use crate::crypto::sha256;
use crate::domain::clock::{Clock, MonoMillis, Now};
use crate::runtime::tasks::Tasks;
use crate::telemetry::labels::FetchOutcome;
use crate::telemetry::{CounterBy, Metrics};

/// Largest document read.
const MAX_DOCUMENT_BYTES: usize = 256 * 1024;
/// Most look-ups that wait for one fetch; further ones are answered at once.
const MAX_WAITING: usize = 64;

/// The keys behind one URL. Clones share them; refreshing ends with the last one.
#[derive(Clone)]
pub(super) struct RemoteKeys(
    Arc<Shared>,
    #[expect(dead_code, reason = "held for its drop")] Arc<DropGuard>,
);

struct Shared {
    issuer: Arc<str>,
    fetches: CounterBy<FetchOutcome>,
    settings: JwksUrl,
    http: reqwest::Client,
    clock: Clock,
    tasks: Tasks,
    current: ArcSwapOption<Fetched>,
    /// How often a fetched document differed from the one before it.
    changes: AtomicU64,
    gate: Mutex<Gate>,
    finished: watch::Sender<u64>,
    waiting: AtomicUsize,
}

struct Fetched {
    keys: KeySet,
    /// SHA-256 of the document they came from.
    document: [u8; 32],
    at: MonoMillis,
}

/// Whether a fetch runs and when the last one began.
#[derive(Default)]
struct Gate {
    running: Option<MonoMillis>,
    last_began: Option<MonoMillis>,
}

/// What came of asking for newer keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Refresh {
    /// A fetch ended while we waited: look again.
    Done,
    /// One began too short a time ago: what we have is what there is.
    CoolingDown,
    /// One runs and did not end in time, or too many wait for it.
    Pending,
}

#[derive(Debug, thiserror::Error)]
enum FetchError {
    #[error("not reachable")]
    Unreachable,
    #[error("status {0}; expected 200 (redirects are not followed)")]
    Status(u16),
    #[error("longer than {MAX_DOCUMENT_BYTES} bytes")]
    TooLarge,
    #[error("not complete within the timeout")]
    Timeout,
    #[error(transparent)]
    Keys(#[from] KeyProblem),
}

/// The URL, when it is one that keys can be fetched from.
pub(super) fn address(settings: &JwksUrl) -> Result<reqwest::Url, Problem> {
    let url = reqwest::Url::parse(&settings.url).map_err(|_| Problem::Url)?;
    let plain = matches!(url.scheme(), "http" | "https") && url.has_host();
    if !plain || !url.username().is_empty() || url.password().is_some() {
        return Err(Problem::Url);
    }
    Ok(url)
}

impl RemoteKeys {
    /// Begins to fetch and refresh in the background; returns at once.
    pub(super) fn start(
        issuer: &Arc<str>,
        settings: &JwksUrl,
        clock: &Clock,
        tasks: &Tasks,
        metrics: &Metrics,
    ) -> Result<Self, Problem> {
        address(settings)?;
        // A proxy from the environment would be a setting nobody wrote down.
        let http = reqwest::Client::builder()
            .redirect(reqwest::redirect::Policy::none())
            .no_proxy()
            .timeout(settings.timeout)
            .build()
            .map_err(|e| Problem::HttpClient(e.to_string()))?;
        let shared = Arc::new(Shared {
            issuer: Arc::clone(issuer),
            fetches: metrics.jwks_fetches(issuer),
            settings: settings.clone(),
            http,
            clock: clock.clone(),
            tasks: tasks.clone(),
            current: ArcSwapOption::empty(),
            changes: AtomicU64::new(0),
            gate: Mutex::default(),
            finished: watch::Sender::new(0),
            waiting: AtomicUsize::new(0),
        });
        let end = tasks.shutdown().child_token();
        tasks.spawn("jwks refresh", Arc::clone(&shared).refresh_until(end.clone()));
        Ok(Self(shared, Arc::new(end.drop_guard())))
    }

    /// Whether these are the keys that such settings of such an issuer lead to.
    pub(super) fn are_of(&self, issuer: &str, settings: &JwksUrl) -> Likeness {
        match *self.0.issuer == *issuer && self.0.settings == *settings {
            true => Likeness::Same,
            false => Likeness::Other,
        }
    }

    /// Runs something with the last good set, unless it is too old or there never was one.
    pub(super) fn with_keys<T>(&self, now: Now, work: impl FnOnce(&KeySet) -> T) -> Option<T> {
        let current = self.0.current.load();
        let fetched = current.as_ref()?;
        let age = Duration::from_millis(now.mono.since(fetched.at));
        (age <= self.0.settings.max_age).then(|| work(&fetched.keys))
    }

    /// Age of the last good set; `None` before the first.
    pub(super) fn age(&self, now: Now) -> Option<Duration> {
        let current = self.0.current.load();
        let fetched = current.as_ref()?;
        Some(Duration::from_millis(now.mono.since(fetched.at)))
    }

    /// How often the set has changed since the first: verdicts from before may rest on a key that is gone.
    pub(super) fn changes(&self) -> u64 {
        self.0.changes.load(Ordering::Acquire)
    }

    /// Asks for newer keys and waits for them within bounds.
    pub(super) async fn refresh(&self, now: Now) -> Refresh {
        let shared = &self.0;
        // Subscribed before the gate is asked, so that a fetch ending in between is not missed.
        let mut finished = shared.finished.subscribe();
        if shared.begin(now.mono) == Begin::CoolingDown {
            return Refresh::CoolingDown;
        }
        let Some(_place) = Place::take(&shared.waiting) else {
            return Refresh::Pending;
        };
        match tokio::time::timeout(shared.settings.max_wait, finished.changed()).await {
            Ok(Ok(())) => Refresh::Done,
            _ => Refresh::Pending,
        }
    }
}

/// Whether two things are one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Likeness {
    Same,
    Other,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Begin {
    /// A fetch runs: begun now or earlier.
    Running,
    CoolingDown,
}

impl Shared {
    /// Begins a fetch unless one runs or began within the cooldown.
    fn begin(self: &Arc<Self>, now: MonoMillis) -> Begin {
        {
            let mut gate = self.gate.lock();
            if gate.running.is_some() {
                return Begin::Running;
            }
            let cooling = gate
                .last_began
                .is_some_and(|at| Duration::from_millis(now.since(at)) < self.settings.cooldown);
            if cooling {
                return Begin::CoolingDown;
            }
            gate.running = Some(now);
            gate.last_began = Some(now);
        }
        let ended = Ended(Arc::clone(self));
        self.tasks.spawn("jwks fetch", async move {
            ended.0.fetch_and_keep().await;
        });
        Begin::Running
    }

    async fn fetch_and_keep(&self) {
        let fetched = tokio::time::timeout(self.settings.timeout, self.fetch());
        match fetched.await.unwrap_or(Err(FetchError::Timeout)) {
            Ok((keys, document)) => {
                let at = self.clock.now().mono;
                let fetched = Arc::new(Fetched { keys, document, at });
                let before = self.current.swap(Some(fetched));
                if before.is_some_and(|before| before.document != document) {
                    self.changes.fetch_add(1, Ordering::AcqRel);
                }
                self.fetches.inc(FetchOutcome::Fetched);
            }
            // The URL may hold an operator's secret, so only the issuer's name is logged.
            Err(error) => {
                self.fetches.inc(FetchOutcome::Failed);
                tracing::warn!(issuer = &*self.issuer, %error, "fetching the key set failed; the last good one stays in use");
            }
        }
    }

    async fn fetch(&self) -> Result<(KeySet, [u8; 32]), FetchError> {
        let request = self
            .http
            .get(&self.settings.url)
            .header("accept", "application/json");
        let mut answer = request.send().await.map_err(|_| FetchError::Unreachable)?;
        if answer.status() != reqwest::StatusCode::OK {
            return Err(FetchError::Status(answer.status().as_u16()));
        }
        let mut document = Vec::new();
        while let Some(chunk) = answer.chunk().await.map_err(|_| FetchError::Unreachable)? {
            if document.len().saturating_add(chunk.len()) > MAX_DOCUMENT_BYTES {
                return Err(FetchError::TooLarge);
            }
            document.extend_from_slice(&chunk);
        }
        Ok((KeySet::jwks(&document)?, sha256(&document)))
    }

    async fn refresh_until(self: Arc<Self>, stop: CancellationToken) {
        loop {
            let mut finished = self.finished.subscribe();
            let before = self.current.load_full();
            if self.begin(self.clock.now().mono) == Begin::Running {
                tokio::select! {
                    () = stop.cancelled() => return,
                    _ = finished.changed() => {}
                }
            }
            let after = self.current.load_full();
            let renewed = match (&before, &after) {
                (Some(before), Some(after)) => !Arc::ptr_eq(before, after),
                (None, after) => after.is_some(),
                (Some(_), None) => false,
            };
            // After a failure: as soon as the cooldown allows, and a little later than that.
            let pause = if renewed {
                self.settings.refresh_interval.mul_f64(1.0 - 0.2 * jitter())
            } else {
                self.settings.cooldown.mul_f64(1.05 + 0.2 * jitter())
            };
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(pause) => {}
            }
        }
    }
}

/// A number from 0 to 1, so that many instances do not ask an issuer at the same moment.
fn jitter() -> f64 {
    let mut byte = [128_u8];
    // Without randomness: the middle.
    let _ = getrandom::fill(&mut byte);
    f64::from(byte[0]) / 255.0
}

/// Tells the gate and everyone who waits that a fetch ended, however it ended.
struct Ended(Arc<Shared>);

impl Drop for Ended {
    fn drop(&mut self) {
        self.0.gate.lock().running = None;
        self.0.finished.send_modify(|n| *n = n.wrapping_add(1));
    }
}

/// A place among those who wait; given back on drop.
struct Place<'a>(&'a AtomicUsize);

impl<'a> Place<'a> {
    fn take(waiting: &'a AtomicUsize) -> Option<Self> {
        let place = Self(waiting);
        (waiting.fetch_add(1, Ordering::Relaxed) < MAX_WAITING).then_some(place)
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}
