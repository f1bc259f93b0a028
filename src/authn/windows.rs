//! Counts by key within windows of time: what the throttle of failures and the bounds on issuing count with.
//!
//! A window of a key begins with its first count. Sans-I/O: time is an argument. Memory is bounded: a full
//! shard first forgets windows that are over, then any one. Decides nothing beyond "how many".

use std::collections::HashMap;
use std::hash::{BuildHasher, Hash};
use std::time::Duration;

use parking_lot::Mutex;

use crate::domain::clock::MonoMillis;

const SHARDS: usize = 16;

type Shard<K> = Mutex<HashMap<K, Window, foldhash::fast::RandomState>>;

#[derive(Debug, Clone, Copy)]
struct Window {
    began: MonoMillis,
    count: u32,
}

/// Counts by key.
pub struct Windows<K> {
    shards: [Shard<K>; SHARDS],
    hasher: foldhash::fast::RandomState,
    per_shard: usize,
}

impl<K: Hash + Eq + Copy> Windows<K> {
    /// Nothing was counted yet. At most about `max_entries` keys are remembered.
    pub fn new(max_entries: usize) -> Self {
        Self {
            shards: Default::default(),
            hasher: foldhash::fast::RandomState::default(),
            per_shard: max_entries.div_ceil(SHARDS).max(1),
        }
    }

    fn shard(&self, key: &K) -> &Shard<K> {
        let slot = usize::try_from(self.hasher.hash_one(key) % SHARDS as u64).unwrap_or(0);
        // The slot is below SHARDS by the remainder; `first` only satisfies the type.
        self.shards.get(slot).unwrap_or(&self.shards[0])
    }

    /// When this key has had `limit` counts within its window: the milliseconds until the window ends.
    pub fn left(&self, key: &K, limit: u32, window: Duration, now: MonoMillis) -> Option<u64> {
        let shard = self.shard(key).lock();
        let entry = shard.get(key)?;
        let ends = entry.began.plus(window);
        (entry.count >= limit && now < ends).then(|| ends.since(now))
    }

    /// Counts one.
    pub fn count(&self, key: K, window: Duration, now: MonoMillis) {
        let mut shard = self.shard(&key).lock();
        let entry = self.entry(&mut shard, key, window, now);
        entry.count = entry.count.saturating_add(1);
    }

    /// Counts one, unless there were `limit` already: then the milliseconds until the window ends. Of many at
    /// once no more than `limit` succeed.
    pub fn take(&self, key: K, limit: u32, window: Duration, now: MonoMillis) -> Result<(), u64> {
        let mut shard = self.shard(&key).lock();
        let entry = self.entry(&mut shard, key, window, now);
        if entry.count >= limit {
            return Err(entry.began.plus(window).since(now));
        }
        entry.count = entry.count.saturating_add(1);
        Ok(())
    }

    /// The key's window, a new one when its last is over.
    fn entry<'a>(
        &self,
        shard: &'a mut HashMap<K, Window, foldhash::fast::RandomState>,
        key: K,
        window: Duration,
        now: MonoMillis,
    ) -> &'a mut Window {
        if !shard.contains_key(&key) && shard.len() >= self.per_shard {
            shard.retain(|_, w| now < w.began.plus(window));
            if shard.len() >= self.per_shard
                && let Some(any) = shard.keys().next().copied()
            {
                shard.remove(&any);
            }
        }
        let fresh = Window { began: now, count: 0 };
        let entry = shard.entry(key).or_insert(fresh);
        if now >= entry.began.plus(window) {
            *entry = fresh;
        }
        entry
    }

    /// How many keys are remembered.
    pub fn entries(&self) -> usize {
        self.shards.iter().map(|s| s.lock().len()).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WINDOW: Duration = Duration::from_secs(60);

    #[test]
    fn no_more_are_taken_than_the_limit_and_the_next_window_is_fresh() {
        let windows = Windows::new(100);
        for n in 0..3 {
            assert_eq!(windows.take(7_u64, 3, WINDOW, MonoMillis(n)), Ok(()), "take {n}");
        }
        assert_eq!(
            windows.take(7, 3, WINDOW, MonoMillis(1000)),
            Err(59_000),
            "the rest of the window"
        );
        assert_eq!(
            windows.take(8, 3, WINDOW, MonoMillis(1000)),
            Ok(()),
            "another key"
        );
        assert_eq!(windows.take(7, 3, WINDOW, MonoMillis(60_000)), Ok(()));
    }

    #[test]
    fn of_many_threads_at_once_no_more_succeed_than_the_limit() {
        let windows = Windows::new(100);
        let taken = std::thread::scope(|scope| {
            let take = || {
                (0..100)
                    .filter(|_| windows.take(1_u64, 50, WINDOW, MonoMillis(0)).is_ok())
                    .count()
            };
            let threads: Vec<_> = (0..4).map(|_| scope.spawn(take)).collect();
            threads
                .into_iter()
                .map(|t| t.join().expect("joined"))
                .sum::<usize>()
        });
        assert_eq!(taken, 50);
    }

    #[test]
    fn keys_that_are_remembered_are_bounded() {
        let windows = Windows::new(160);
        for key in 0..10_000_u64 {
            let _ = windows.take(key, 1, WINDOW, MonoMillis(0));
        }
        assert!(windows.entries() <= 160, "{}", windows.entries());
    }
}
