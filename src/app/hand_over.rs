//! Following another process, and being followed by one (SIGQUIT). The two speak in `runtime::hand_over`; here is
//! what is handed over under which name, and what else changes at the moment in which the successor becomes the server.

use std::io;
use std::os::fd::OwnedFd;
use std::time::Duration;

use futures::future::BoxFuture;
use rustix::process::getpid;
use tokio_util::sync::CancellationToken;

use crate::edge::listener::HandOver;
use crate::runtime::hand_over::{Inheritance, Offer, Possessions, Successor};
use crate::runtime::service_manager::ServiceManager;

/// How long a successor may take for its start.
const READY_WITHIN: Duration = Duration::from_secs(60);
/// How long a successor that is ready waits for the word; longer than any wait of the other side.
const WORD_WITHIN: Duration = Duration::from_secs(30);

/// The embedded store's right to be served.
pub(super) const STORE_LOCK: &str = "store lock";

/// What this process may have from the one before it.
#[derive(Debug)]
pub(super) struct Inherited {
    inheritance: Option<Inheritance>,
    possessions: Possessions,
}

impl Inherited {
    pub(super) fn new(inheritance: Option<Inheritance>) -> Self {
        let possessions = match inheritance {
            None => Possessions::own(),
            Some(_) => Possessions::expected(),
        };
        Self {
            inheritance,
            possessions,
        }
    }

    /// What this process will have to hand over.
    pub(super) fn possessions(&self) -> &Possessions {
        &self.possessions
    }

    /// What was handed over under this name.
    pub(super) fn take(&mut self, name: &str) -> Option<OwnedFd> {
        self.inheritance.as_mut()?.take(name)
    }

    /// Whether another process serves until this one says that it is ready.
    pub(super) fn follows(&self) -> bool {
        self.inheritance.is_some()
    }

    /// Everything stands: becomes the server.
    pub(super) fn accept(self) -> io::Result<()> {
        if let Some(inheritance) = self.inheritance {
            inheritance.accept(WORD_WITHIN)?;
            self.possessions.now_ours();
        }
        Ok(())
    }
}

/// What it takes to hand over.
#[derive(Debug, Clone)]
pub(super) struct Succession {
    /// How a successor is started; `None`: this process has none.
    pub(super) successor: Option<Successor>,
    pub(super) possessions: Possessions,
    pub(super) manager: ServiceManager,
    /// Ends the doors beside the proxy, which the successor opens.
    pub(super) side_doors: [CancellationToken; 2],
}

impl Succession {
    /// SIGQUIT.
    pub(super) fn hand_over(&self) -> BoxFuture<'static, HandOver> {
        let this = self.clone();
        Box::pin(async move {
            match this.attempt().await {
                Ok(pid) => {
                    tracing::info!(pid, "a successor serves from now on");
                    HandOver::Done
                }
                Err(error) => {
                    tracing::error!(%error, "SIGQUIT: nothing was handed over; this process serves on");
                    HandOver::Failed
                }
            }
        })
    }

    async fn attempt(&self) -> io::Result<u32> {
        if getpid().is_init() {
            return Err(io::Error::other(
                "when process 1 ends, its successor ends with it; start another container instead",
            ));
        }
        let Some(successor) = &self.successor else {
            return Err(io::Error::other("this command has no successor"));
        };
        let mut offer = Offer::make(successor, &self.possessions)?;
        let pid = offer.pid();
        tracing::info!(pid, "SIGQUIT: a successor was started");
        offer.ready(READY_WITHIN).await?;
        // Told by us, the main process: a manager that listens to nobody else then listens to the successor.
        self.manager.main_process(pid);
        if let Err(error) = offer.give() {
            self.manager.main_process(std::process::id());
            return Err(error);
        }
        self.manager.fall_silent();
        self.possessions.given_away();
        self.side_doors.iter().for_each(CancellationToken::cancel);
        Ok(pid)
    }
}
