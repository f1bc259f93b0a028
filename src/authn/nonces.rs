//! Which nonces were spent: in memory, for a quick no, and in the store, for a sure yes.
//!
//! ```text
//!   nonce ─▶ memory: seen? ─▶ refused
//!              │ new                       a batch          one transaction
//!              └────────▶ queue ─▶ writer ─────────▶ store ─▶ first? ─▶ spent
//! ```
//!
//! Memory is this process's own and ends with it; the store is asked about everything that memory has not seen,
//! so that neither a restart nor a second process takes a nonce twice. What the store cannot say is refused.
//! The writer gathers what came meanwhile into one transaction, so that a commit is shared by all who wait.
//! Bounded: a memory that is full and a queue that is full refuse. Both forget what no message that bears it
//! would be believed for.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;

use super::verifier::Rejection;
use crate::domain::clock::MonoMillis;
use crate::domain::reason::Reason;
use crate::runtime::tasks::Tasks;
use crate::store::{NonceRecord, Nonces, Spent};

/// Nonces that may wait for the writer.
const QUEUE: usize = 4096;
/// Most of them in one transaction.
const BATCH: usize = 512;
/// How long a request waits for the store.
const DEADLINE: Duration = Duration::from_secs(5);

/// Spends nonces. One for the life of a process.
pub struct NonceLedger {
    memory: Mutex<Memory>,
    waiting: mpsc::Sender<Waiting>,
}

/// Digests in two generations: the older one is forgotten when the newer one has lasted long enough.
#[derive(Default)]
struct Memory {
    newer: HashSet<[u8; 32], foldhash::fast::RandomState>,
    older: HashSet<[u8; 32], foldhash::fast::RandomState>,
    /// When the newer one began.
    began: Option<MonoMillis>,
}

struct Waiting {
    nonce: NonceRecord,
    told: oneshot::Sender<Option<Spent>>,
}

/// How many are remembered, and for how long.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NonceBounds {
    /// Most of them.
    pub max: usize,
    /// At least for so long.
    pub keep: Duration,
}

impl NonceLedger {
    /// A ledger over this store; its writer runs until the tasks are stopped.
    pub fn spawn(store: Arc<dyn Nonces>, tasks: &Tasks) -> Arc<Self> {
        let (waiting, queued) = mpsc::channel(QUEUE);
        tasks.spawn("nonce-writer", write(store, queued, tasks.shutdown().clone()));
        Arc::new(Self {
            memory: Mutex::default(),
            waiting,
        })
    }

    /// Spends a nonce, or says why not. When this returns well, nobody spends it again.
    pub async fn spend(
        &self,
        nonce: NonceRecord,
        bounds: NonceBounds,
        now: MonoMillis,
    ) -> Result<(), Rejection> {
        self.memory.lock().spend(nonce.digest, bounds, now)?;
        let (told, answer) = oneshot::channel();
        let waiting = Waiting { nonce, told };
        if self.waiting.try_send(waiting).is_err() {
            return Err(Rejection::ours(Reason::Overloaded));
        }
        match tokio::time::timeout(DEADLINE, answer).await {
            Ok(Ok(Some(Spent::Now))) => Ok(()),
            Ok(Ok(Some(Spent::Before))) => Err(Rejection::caller(Reason::ProofNonceUsed)),
            // The store failed, the process ends, or it took too long.
            Ok(Ok(None) | Err(_)) | Err(_) => Err(Rejection::ours(Reason::CannotDecide)),
        }
    }
}

impl Memory {
    fn spend(&mut self, digest: [u8; 32], bounds: NonceBounds, now: MonoMillis) -> Result<(), Rejection> {
        let began = *self.began.get_or_insert(now);
        if now >= began.plus(bounds.keep) {
            // After a longer silence nothing of either is needed.
            let both = now >= began.plus(2 * bounds.keep);
            self.older = std::mem::take(&mut self.newer);
            if both {
                self.older.clear();
            }
            self.began = Some(now);
        }
        if self.newer.contains(&digest) || self.older.contains(&digest) {
            return Err(Rejection::caller(Reason::ProofNonceUsed));
        }
        if self.newer.len().saturating_add(self.older.len()) >= bounds.max {
            return Err(Rejection::ours(Reason::Overloaded));
        }
        self.newer.insert(digest);
        Ok(())
    }
}

async fn write(store: Arc<dyn Nonces>, mut queued: mpsc::Receiver<Waiting>, end: CancellationToken) {
    let mut batch = Vec::with_capacity(BATCH);
    loop {
        let count = tokio::select! {
            count = queued.recv_many(&mut batch, BATCH) => count,
            () = end.cancelled() => return,
        };
        if count == 0 {
            return;
        }
        let nonces: Vec<NonceRecord> = batch.iter().map(|w| w.nonce.clone()).collect();
        let spent = store.spend_nonces(&nonces).await.unwrap_or_else(|error| {
            tracing::warn!(%error, "the store could not note nonces; their requests are refused");
            Vec::new()
        });
        let mut spent = spent.into_iter();
        for waiting in batch.drain(..) {
            // Nobody waits any more when the request is gone.
            let _ = waiting.told.send(spent.next());
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

    use async_trait::async_trait;
    use tokio::runtime::Handle;

    use super::*;
    use crate::domain::clock::UnixMillis;
    use crate::store::StoreError;

    #[derive(Default)]
    struct Store {
        seen: Mutex<HashSet<[u8; 32]>>,
        calls: AtomicUsize,
        broken: AtomicBool,
    }

    #[async_trait]
    impl Nonces for Store {
        async fn spend_nonces(&self, batch: &[NonceRecord]) -> crate::store::Result<Vec<Spent>> {
            self.calls.fetch_add(1, Ordering::SeqCst);
            if self.broken.load(Ordering::SeqCst) {
                return Err(StoreError::Unavailable("broken for the test".to_owned()));
            }
            let mut seen = self.seen.lock();
            let spend = |n: &NonceRecord| match seen.insert(n.digest) {
                true => Spent::Now,
                false => Spent::Before,
            };
            Ok(batch.iter().map(spend).collect())
        }

        async fn prune_nonces(&self, _: UnixMillis) -> crate::store::Result<u64> {
            Ok(0)
        }
    }

    const BOUNDS: NonceBounds = NonceBounds {
        max: 4,
        keep: Duration::from_secs(600),
    };

    fn nonce(n: u8) -> NonceRecord {
        NonceRecord {
            digest: [n; 32],
            until: UnixMillis(0),
        }
    }

    async fn spend(ledger: &NonceLedger, n: u8, at_s: u64) -> Result<(), Reason> {
        let spent = ledger.spend(nonce(n), BOUNDS, MonoMillis(at_s * 1000)).await;
        spent.map_err(|r| r.reason)
    }

    #[tokio::test]
    async fn what_another_process_or_an_earlier_life_spent_is_spent() {
        let (store, tasks) = (Arc::new(Store::default()), Tasks::on(Handle::current()));
        let (one, other) = (
            NonceLedger::spawn(store.clone(), &tasks),
            NonceLedger::spawn(store.clone(), &tasks),
        );
        assert_eq!(spend(&one, 1, 0).await, Ok(()));
        assert_eq!(spend(&one, 1, 0).await, Err(Reason::ProofNonceUsed));
        assert_eq!(spend(&other, 1, 0).await, Err(Reason::ProofNonceUsed));
        store.broken.store(true, Ordering::SeqCst);
        assert_eq!(spend(&one, 2, 0).await, Err(Reason::CannotDecide), "never a pass");
        tasks.stop(Duration::from_secs(5)).await;
        assert!(spend(&one, 3, 0).await.is_err(), "nor when nobody writes");
    }

    #[tokio::test]
    async fn a_full_memory_refuses_and_what_is_old_makes_room() {
        let (store, tasks) = (Arc::new(Store::default()), Tasks::on(Handle::current()));
        let ledger = NonceLedger::spawn(store.clone(), &tasks);
        for n in 0..4 {
            assert_eq!(spend(&ledger, n, 0).await, Ok(()));
        }
        assert_eq!(spend(&ledger, 4, 599).await, Err(Reason::Overloaded));
        assert_eq!(
            spend(&ledger, 5, 600).await,
            Err(Reason::Overloaded),
            "kept a while more"
        );
        assert_eq!(spend(&ledger, 0, 601).await, Err(Reason::ProofNonceUsed));
        assert_eq!(spend(&ledger, 6, 1200).await, Ok(()), "forgotten");
        assert_eq!(
            spend(&ledger, 0, 1200).await,
            Err(Reason::ProofNonceUsed),
            "the store knows"
        );
        store.seen.lock().clear();
        assert_eq!(spend(&ledger, 7, 10_000).await, Ok(()), "after a long silence");
    }

    #[tokio::test]
    async fn those_who_wait_share_a_transaction_and_of_many_at_once_one_succeeds() {
        let (store, tasks) = (Arc::new(Store::default()), Tasks::on(Handle::current()));
        let ledgers = [
            NonceLedger::spawn(store.clone(), &tasks),
            NonceLedger::spawn(store.clone(), &tasks),
        ];
        let all = (0..100).map(|n| spend(ledgers.get(n % 2).expect("two"), 1, 0));
        let spent = futures::future::join_all(all).await;
        assert_eq!(spent.iter().filter(|s| s.is_ok()).count(), 1);
        let before = store.calls.load(Ordering::SeqCst);
        let wide = NonceBounds { max: 1000, ..BOUNDS };
        let one = ledgers.first().expect("two");
        let all = (10..110).map(|n| one.spend(nonce(n), wide, MonoMillis(0)));
        let spent = futures::future::join_all(all).await;
        assert!(spent.iter().all(Result::is_ok));
        let calls = store.calls.load(Ordering::SeqCst) - before;
        assert!(calls < 10, "{calls} transactions for 100 nonces");
    }
}
