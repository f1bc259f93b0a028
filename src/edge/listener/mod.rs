//! Listening sockets and the life of the process around them: accept, hand to a data thread, drain, end.
//!
//! pingora's server hosts one service of ours with one acceptor per address. It never serves a request and
//! knows no HTTP: `proxy` does, on the data threads. Signals are ours from the first to the last.

mod acceptor;
mod entrance;
mod leave;
mod server;
mod socket;

pub use entrance::Entrance;
pub use leave::{DrainTimes, Signal};
pub use server::{Serving, run};
pub use socket::{BindError, Bound, ListenSettings};
