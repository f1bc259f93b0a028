//! A sink for log lines that never makes anybody wait: a bounded queue and a thread that writes it.
//!
//! A full pipe or a stopped terminal blocks that thread alone. Lines that do not fit, or cannot be written,
//! are dropped and counted. The thread is the one thing that is not joined at stop, because a blocked write cannot
//! be: [`Lines::flush`] waits for it within a bound.

use std::io::{self, Write};
use std::sync::Arc;
use std::time::Duration;

use parking_lot::{Condvar, Mutex};

use crate::telemetry::IntCounter;
use crate::telemetry::logging::LineSink;

/// A queue of lines with a thread behind it. Clones share it.
#[derive(Debug, Clone)]
pub struct Lines {
    shared: Arc<Shared>,
    dropped: IntCounter,
}

#[derive(Debug)]
struct Shared {
    state: Mutex<State>,
    queued: Condvar,
    written: Condvar,
    max_bytes: usize,
}

#[derive(Debug, Default)]
struct State {
    lines: Vec<u8>,
    /// Bytes taken by the thread and not written yet.
    in_hand: usize,
}

impl Lines {
    /// Starts the thread. At most `max_bytes` wait in the queue.
    pub fn start(
        mut target: impl Write + Send + 'static,
        max_bytes: usize,
        dropped: IntCounter,
    ) -> io::Result<Self> {
        let lines = Self {
            shared: Arc::new(Shared {
                state: Mutex::default(),
                queued: Condvar::new(),
                written: Condvar::new(),
                max_bytes,
            }),
            dropped,
        };
        let (shared, unwritten) = (Arc::clone(&lines.shared), lines.dropped.clone());
        std::thread::Builder::new()
            .name("log-writer".to_owned())
            .spawn(move || {
                loop {
                    let batch = shared.take();
                    // Nobody is left to tell when the log itself cannot be written, but the metrics.
                    if target.write_all(&batch).and_then(|()| target.flush()).is_err() {
                        unwritten.inc_by(batch.iter().filter(|b| **b == b'\n').count() as u64);
                    }
                    shared.done();
                }
            })?;
        Ok(lines)
    }

    /// The same queue for lines of another sort, whose drops are counted apart.
    #[must_use]
    pub fn counting(&self, dropped: IntCounter) -> Self {
        Self {
            shared: Arc::clone(&self.shared),
            dropped,
        }
    }

    /// Waits until everything queued is written, at most this long.
    pub fn flush(&self, at_most: Duration) {
        let mut state = self.shared.state.lock();
        let _ = self.shared.written.wait_while_for(
            &mut state,
            |state| !state.lines.is_empty() || state.in_hand > 0,
            at_most,
        );
    }
}

impl LineSink for Lines {
    fn line(&self, line: &str) {
        let mut state = self.shared.state.lock();
        let waiting = state.lines.len().saturating_add(state.in_hand);
        if waiting.saturating_add(line.len()) >= self.shared.max_bytes {
            self.dropped.inc();
            return;
        }
        state.lines.extend_from_slice(line.as_bytes());
        state.lines.push(b'\n');
        drop(state);
        self.shared.queued.notify_one();
    }
}

impl Shared {
    fn take(&self) -> Vec<u8> {
        let mut state = self.state.lock();
        self.queued.wait_while(&mut state, |state| state.lines.is_empty());
        let batch = std::mem::take(&mut state.lines);
        state.in_hand = batch.len();
        batch
    }

    fn done(&self) {
        self.state.lock().in_hand = 0;
        self.written.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc;

    /// A pipe whose reader decides when a write goes on.
    struct Pipe {
        may_write: mpsc::Receiver<()>,
        written: mpsc::Sender<Vec<u8>>,
    }

    impl Write for Pipe {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.may_write.recv().map_err(io::Error::other)?;
            self.written.send(bytes.to_vec()).map_err(io::Error::other)?;
            Ok(bytes.len())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn blocked(max_bytes: usize) -> (Lines, IntCounter, mpsc::Sender<()>, mpsc::Receiver<Vec<u8>>) {
        let dropped = IntCounter::new("dropped", "Lines.").expect("a counter");
        let (go, may_write) = mpsc::channel();
        let (written, read) = mpsc::channel();
        let lines = Lines::start(Pipe { may_write, written }, max_bytes, dropped.clone()).expect("started");
        (lines, dropped, go, read)
    }

    #[test]
    fn a_blocked_sink_blocks_nobody_and_dropped_lines_are_counted() {
        let (lines, dropped, go, read) = blocked(100);
        for _ in 0..1000 {
            lines.line("0123456789");
        }
        lines.flush(Duration::from_millis(1));
        assert_eq!(
            dropped.get(),
            1000 - 9,
            "nine lines of eleven bytes fit into a hundred"
        );
        for _ in 0..9 {
            go.send(()).expect("the writer lives");
        }
        lines.flush(Duration::from_secs(30));
        let text: Vec<u8> = read.try_iter().flatten().collect();
        assert_eq!(text, b"0123456789\n".repeat(9));
    }

    #[test]
    fn sorts_that_share_a_queue_are_counted_apart_and_so_is_what_cannot_be_written() {
        let (lines, dropped, go, _read) = blocked(10);
        let other = IntCounter::new("other", "Lines.").expect("a counter");
        let sort = lines.counting(other.clone());
        lines.line("full up");
        sort.line("too long");
        assert_eq!((dropped.get(), other.get()), (0, 1));
        // The pipe breaks: what was in hand is lost, and counted.
        drop(go);
        lines.flush(Duration::from_secs(30));
        assert_eq!((dropped.get(), other.get()), (1, 1));
    }

    #[test]
    fn flush_waits_until_all_is_written() {
        let (lines, dropped, go, read) = blocked(1 << 20);
        for _ in 0..100 {
            go.send(()).expect("the writer lives");
        }
        for n in 0..100 {
            lines.line(&n.to_string());
        }
        lines.flush(Duration::from_secs(30));
        let text: Vec<u8> = read.try_iter().flatten().collect();
        assert_eq!(text.iter().filter(|b| **b == b'\n').count(), 100);
        assert_eq!(dropped.get(), 0);
    }
}
