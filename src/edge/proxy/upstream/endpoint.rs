//! One thing that a connection can be opened to, and how it has been lately. Shared by all threads.

use std::fmt;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

/// An address of a target.
#[derive(Debug)]
pub struct Endpoint {
    door: Door,
    target: usize,
    /// Connects that failed since the last one that succeeded.
    failed_connects: AtomicU32,
}

/// Where the connection goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Door {
    /// A TCP address.
    Tcp(SocketAddr),
    /// A Unix socket.
    Unix(Arc<Path>),
}

impl fmt::Display for Door {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => address.fmt(f),
            Self::Unix(path) => path.display().fmt(f),
        }
    }
}

impl Endpoint {
    /// An endpoint of the target with this index.
    pub fn new(target: usize, door: Door) -> Self {
        Self {
            door,
            target,
            failed_connects: AtomicU32::new(0),
        }
    }

    /// Where the connection goes.
    pub fn door(&self) -> &Door {
        &self.door
    }

    /// Index of the target it belongs to.
    pub fn target(&self) -> usize {
        self.target
    }

    /// Notes a connect that succeeded. Whether it is the first one after failures.
    pub fn connected(&self) -> Change {
        match self.failed_connects.load(Ordering::Relaxed) {
            0 => Change::None,
            _ if self.failed_connects.swap(0, Ordering::Relaxed) > 0 => Change::First,
            _ => Change::None,
        }
    }

    /// Notes a connect that failed. Whether it is the first one.
    pub fn failed(&self) -> Change {
        match self.failed_connects.fetch_add(1, Ordering::Relaxed) {
            0 => Change::First,
            _ => Change::None,
        }
    }
}

/// Whether something is as it was; what is told aloud is told once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    /// As before.
    None,
    /// The first of its sort.
    First,
}
