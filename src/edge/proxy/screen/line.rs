//! What the screen and the service of one connection tell each other.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use crate::domain::reason::Reason;
use crate::runtime::deadlines::Deadline;

/// What the screen and the service of one connection tell each other. All on one thread; atomic because
/// the screen must be `Send` for upgrades.
#[derive(Debug)]
pub struct Line {
    /// `Reason::index` + 1 of an offence.
    pub(super) refused: AtomicUsize,
    /// A request is being answered: the connection is not idle, however quiet.
    pub(super) busy: AtomicBool,
    /// A head is incomplete: its clock must not be touched.
    pub(super) in_head: AtomicBool,
    /// Heads that were let through and whose requests have not begun to be answered.
    pub(super) ahead: AtomicUsize,
    /// The connection leaves HTTP: nothing more is read through the screen.
    pub(super) switched: AtomicBool,
    pub(super) clock: Deadline,
    pub(super) keep_alive_timeout: Duration,
}

impl Line {
    /// Of a fresh connection, which is idle.
    pub(super) fn new(clock: Deadline, keep_alive_timeout: Duration) -> Self {
        let line = Self {
            refused: AtomicUsize::new(0),
            busy: AtomicBool::new(false),
            in_head: AtomicBool::new(false),
            ahead: AtomicUsize::new(0),
            switched: AtomicBool::new(false),
            clock,
            keep_alive_timeout,
        };
        line.idle_clock();
        line
    }

    /// Why the head was refused, once one was.
    pub fn refusal(&self) -> Option<Reason> {
        let index = self.refused.load(Ordering::Relaxed).checked_sub(1)?;
        Reason::ALL.get(index).copied()
    }

    /// Marks the connection busy with its next request until the guard is dropped.
    pub fn busy(self: &Arc<Self>) -> Busy {
        self.busy.store(true, Ordering::Relaxed);
        let ahead = self.ahead.load(Ordering::Relaxed);
        self.ahead.store(ahead.saturating_sub(1), Ordering::Relaxed);
        Busy(self.clone())
    }

    /// Takes the connection out of HTTP, behind the request that is being answered: nothing more is read
    /// through the screen. False, and nothing done, when the client has sent anything behind that request:
    /// it did not wait to be told (S17b).
    pub fn switch(&self) -> bool {
        let is_quiet = self.ahead.load(Ordering::Relaxed) == 0
            && self.refused.load(Ordering::Relaxed) == 0
            && !self.in_head.load(Ordering::Relaxed);
        self.switched.store(is_quiet, Ordering::Relaxed);
        is_quiet
    }

    fn idle_clock(&self) {
        if !self.in_head.load(Ordering::Relaxed) {
            self.clock.set(self.keep_alive_timeout);
        }
    }
}

/// Lives as long as one request is answered; afterwards the connection counts as idle.
#[derive(Debug)]
pub struct Busy(Arc<Line>);

impl Drop for Busy {
    fn drop(&mut self) {
        self.0.busy.store(false, Ordering::Relaxed);
        self.0.idle_clock();
    }
}
