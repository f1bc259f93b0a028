//! Rows for the follower: what is read, what is missed, what is read again.

use std::sync::atomic::AtomicBool;

use async_trait::async_trait;
use parking_lot::Mutex;

use super::*;
use crate::domain::clock::{ManualClock, UnixMillis};
use crate::store::{AuditDraft, Effect, NewRevocation, RevocationRecord, RevocationTarget, StoreError};

/// Rows that another process writes, and a reader who takes a second each time.
struct Rows {
    rows: Mutex<Vec<RevocationRecord>>,
    down: AtomicBool,
    clock: ManualClock,
}

#[async_trait]
impl Revocations for Rows {
    async fn revoke(&self, _: &NewRevocation, _: &AuditDraft) -> Result<RevocationRecord> {
        Err(StoreError::Unavailable("nobody writes here".to_owned()))
    }

    async fn revocations_after(&self, after: u64, limit: u32) -> Result<Vec<RevocationRecord>> {
        self.clock.advance(Duration::from_secs(1));
        if self.down.load(Ordering::SeqCst) {
            return Err(StoreError::Unavailable("gone".to_owned()));
        }
        let rows = self.rows.lock();
        let after = rows.iter().filter(|row| row.seq > after);
        Ok(after.take(limit as usize).cloned().collect())
    }

    async fn prune_revocations(&self, _: UnixMillis) -> Result<u64> {
        Ok(0)
    }
}

/// Notes what is applied.
#[derive(Default)]
struct Noted(Mutex<Vec<u64>>);

impl RevocationSink for Noted {
    fn apply(&self, record: &RevocationRecord) {
        self.0.lock().push(record.seq);
    }

    fn applied_seq(&self) -> u64 {
        self.0.lock().iter().copied().max().unwrap_or(0)
    }
}

fn row(seq: u64) -> RevocationRecord {
    RevocationRecord {
        seq,
        revocation: NewRevocation {
            effect: Effect::Ends,
            target: RevocationTarget::All,
            cut_at: UnixMillis(1),
            until: None,
        },
        created_at: UnixMillis(1),
    }
}

fn follower(seqs: impl IntoIterator<Item = u64>) -> (Follower, Arc<Rows>, Arc<Noted>) {
    let clock = ManualClock::at(UnixMillis(1_000_000));
    let rows = Arc::new(Rows {
        rows: Mutex::new(seqs.into_iter().map(row).collect()),
        down: AtomicBool::new(false),
        clock: clock.clone(),
    });
    let noted = Arc::new(Noted::default());
    let follower = Follower::new(rows.clone(), noted.clone(), Clock::Manual(clock));
    (follower, rows, noted)
}

#[tokio::test]
async fn everything_new_is_applied_once_in_order_and_to_the_end() {
    let (follower, rows, noted) = follower(1..=2500);
    follower.catch_up().await.expect("read");
    assert_eq!(*noted.0.lock(), (1..=2500).collect::<Vec<_>>());
    follower.catch_up().await.expect("read");
    assert_eq!(noted.0.lock().len(), 2500, "nothing new");
    rows.rows.lock().push(row(2501));
    follower.catch_up().await.expect("read");
    assert_eq!(noted.0.lock().len(), 2501);
    assert_eq!(follower.state().position(), 2501);
}

#[tokio::test]
async fn what_this_process_applied_itself_hides_nothing_of_a_lower_number() {
    let (follower, _rows, noted) = follower([9]);
    noted.apply(&row(10));
    follower.catch_up().await.expect("read");
    assert_eq!(*noted.0.lock(), [10, 9]);
}

#[tokio::test]
async fn the_feed_is_as_old_as_the_beginning_of_the_last_reading_that_succeeded() {
    let (follower, rows, noted) = follower([1]);
    let began = rows.clock.now().mono;
    follower.catch_up().await.expect("read");
    assert_eq!(follower.state().read_at(), began, "not when it ended");
    rows.down.store(true, Ordering::SeqCst);
    rows.rows.lock().push(row(2));
    follower.catch_up().await.expect_err("gone");
    assert_eq!(
        (follower.state().read_at(), follower.state().position()),
        (began, 1)
    );
    rows.down.store(false, Ordering::SeqCst);
    follower.catch_up().await.expect("read");
    assert_eq!(*noted.0.lock(), [1, 2], "and goes on where it was");
}
