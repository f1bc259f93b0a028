//! The process's signals. Every one that means something to us has a handler from the first moment of the start:
//! the kernel drops signals for process 1 that have none, and kills other processes with them.
//!
//! As process 1 of a container this is also who inherits orphans: what is left behind by `kubectl exec`, say. They
//! are reaped when they end. Elsewhere no child is waited for here: it belongs to whoever started it.

use std::future::Future;
use std::io;

use rustix::process::{WaitOptions, getpid, wait};
use tokio::signal::unix::{Signal as Stream, SignalKind, signal};

/// What the process was told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Signal {
    /// SIGTERM: leave in good order.
    Terminate,
    /// SIGINT: leave without delay.
    Interrupt,
    /// SIGHUP: look at the configuration again.
    Hangup,
    /// SIGQUIT: hand over to a successor.
    Quit,
}

/// The process's signals, or a test's.
pub(super) trait Signals: Send {
    /// The next one.
    fn next(&mut self) -> impl Future<Output = Signal> + Send;
}

/// The real ones. Once made, none of them kills the process, and none that comes is lost.
#[derive(Debug)]
pub struct UnixSignals {
    terminate: Stream,
    interrupt: Stream,
    hangup: Stream,
    quit: Stream,
    /// For process 1 only.
    child: Option<Stream>,
}

impl UnixSignals {
    /// Installs the handlers. Must be called on a runtime, which must live as long as the signals.
    pub fn install() -> io::Result<Self> {
        let child = match getpid().is_init() {
            true => Some(signal(SignalKind::child())?),
            false => None,
        };
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hangup: signal(SignalKind::hangup())?,
            quit: signal(SignalKind::quit())?,
            child,
        })
    }
}

impl Signals for UnixSignals {
    async fn next(&mut self) -> Signal {
        loop {
            tokio::select! {
                _ = self.terminate.recv() => return Signal::Terminate,
                _ = self.interrupt.recv() => return Signal::Interrupt,
                _ = self.hangup.recv() => return Signal::Hangup,
                _ = self.quit.recv() => return Signal::Quit,
                () = ended(&mut self.child) => reap(),
            }
        }
    }
}

async fn ended(child: &mut Option<Stream>) {
    match child {
        Some(stream) => {
            stream.recv().await;
        }
        None => std::future::pending().await,
    }
}

/// Takes note of every child that has ended, so that none stays a zombie.
fn reap() {
    while let Ok(Some((pid, _))) = wait(WaitOptions::NOHANG) {
        tracing::debug!(pid = pid.as_raw_nonzero().get(), "an orphan has ended");
    }
}
