//! Readiness as the absence of latches: whoever is not ready yet, or no more, holds a named latch.
//!
//! Nothing here checks anything: rooms take a latch while they cannot serve (starting, store gone,
//! draining) and drop it when they can. The status door reports; `app` waits.
//! Startup latches hold back `/startupz` as well.

use std::sync::Arc;

use tokio::sync::watch;

/// Knows which latches are held. Clones share them.
#[derive(Debug, Clone)]
pub struct Readiness(Arc<watch::Sender<Held>>);

#[derive(Debug, Default)]
struct Held {
    next: u64,
    latches: Vec<Entry>,
}

#[derive(Debug)]
struct Entry {
    id: u64,
    name: Arc<str>,
    phase: Phase,
}

/// What a latch holds back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// The end of the start, and so readiness too.
    Startup,
    /// Readiness alone.
    Serving,
}

impl Readiness {
    /// Ready, until somebody takes a latch.
    pub fn new() -> Self {
        Self(Arc::new(watch::Sender::new(Held::default())))
    }

    /// Not ready for as long as the latch lives. The name tells a person why.
    pub fn latch(&self, name: &str) -> Latch {
        self.hold(name, Phase::Serving)
    }

    /// Neither started nor ready for as long as the latch lives.
    pub fn startup_latch(&self, name: &str) -> Latch {
        self.hold(name, Phase::Startup)
    }

    fn hold(&self, name: &str, phase: Phase) -> Latch {
        let mut id = 0;
        self.0.send_modify(|held| {
            id = held.next;
            held.next = held.next.wrapping_add(1);
            held.latches.push(Entry {
                id,
                name: name.into(),
                phase,
            });
        });
        Latch {
            id,
            readiness: self.clone(),
        }
    }

    /// Names of the latches that hold back readiness, oldest first. None: ready.
    pub fn held(&self) -> Vec<Arc<str>> {
        self.0.borrow().latches.iter().map(|l| l.name.clone()).collect()
    }

    /// Names of the latches that hold back the end of the start, oldest first. None: started.
    pub fn held_startup(&self) -> Vec<Arc<str>> {
        let held = self.0.borrow();
        let startup = held.latches.iter().filter(|l| l.phase == Phase::Startup);
        startup.map(|l| l.name.clone()).collect()
    }

    /// Returns when no latch is held.
    pub async fn ready(&self) {
        // The sender lives in `self`, so waiting cannot fail.
        let _ = self.0.subscribe().wait_for(|held| held.latches.is_empty()).await;
    }
}

impl Default for Readiness {
    fn default() -> Self {
        Self::new()
    }
}

/// Holds back readiness until it is dropped.
#[derive(Debug)]
#[must_use = "a latch that is dropped at once holds back nothing"]
pub struct Latch {
    id: u64,
    readiness: Readiness,
}

impl Drop for Latch {
    fn drop(&mut self) {
        self.readiness
            .0
            .send_modify(|held| held.latches.retain(|latch| latch.id != self.id));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(held: Vec<Arc<str>>) -> Vec<String> {
        held.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn ready_means_that_no_latch_is_held() {
        let readiness = Readiness::new();
        assert!(readiness.held().is_empty());
        let store = readiness.startup_latch("store");
        let first = readiness.latch("feed");
        let second = readiness.latch("feed");
        assert_eq!(names(readiness.held()), ["store", "feed", "feed"]);
        assert_eq!(names(readiness.held_startup()), ["store"]);
        drop(store);
        assert!(readiness.held_startup().is_empty(), "started");
        drop(first);
        assert_eq!(names(readiness.held()), ["feed"], "a namesake still holds");
        drop(second);
        assert!(readiness.held().is_empty());
    }

    #[tokio::test]
    async fn waiting_ends_when_the_last_latch_goes() {
        let readiness = Readiness::new();
        readiness.ready().await;
        let (one, two) = (readiness.latch("one"), readiness.latch("two"));
        let waiting = readiness.ready();
        tokio::pin!(waiting);
        assert!(futures::poll!(waiting.as_mut()).is_pending());
        drop(one);
        assert!(futures::poll!(waiting.as_mut()).is_pending());
        drop(two);
        waiting.await;
    }
}
