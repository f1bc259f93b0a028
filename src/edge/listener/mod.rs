//! Listening sockets and the life of the process around them: accept, hand to a data thread, drain, end.
//!
//! pingora's server hosts one service of ours with one acceptor per address. `entrance` leads a socket through
//! the PROXY protocol and TLS to the proxy, on the data thread that serves it. Nothing here serves a request or knows HTTP: `proxy`
//! does. Signals are ours from the first to the last.

mod acceptor;
mod addresses;
mod entrance;
mod leave;
mod proxy_protocol;
mod rate;
mod server;
mod signals;
mod socket;
pub mod tls;

pub use addresses::AddressBound;
pub use entrance::{Entrance, Profile, ProxyProtocol};
pub use leave::{DrainTimes, FLUSH, HandOver, Hooks};
pub use rate::{RateBound, Rates};
pub use server::{Serving, run};
pub use signals::UnixSignals;
pub use socket::{BindError, Bound, ListenAddress, ListenSettings};
