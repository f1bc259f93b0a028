//! The HTTP proxy: a client's request becomes the gate's question, and what the gate permits is streamed to
//! the upstream and back.
//!
//! `screen` stands below hyper and lets no ambiguous request through; `connection` drives one client
//! connection, `http2` one that speaks HTTP/2, `upgrade` one that turns into a tunnel; `in_force` is what a reload
//! replaces; `service` answers one request; `forward` is the exchange with
//! the upstream and cannot be called without the gate's `Forwarding` in hand. Nothing here decides who may do
//! what, or how a connection came to us: `listener` does the latter.

pub mod access;
mod answer_here;
pub mod body;
mod causes;
mod connection;
pub mod decide;
mod endpoint_pool;
mod exchange;
mod forward;
mod http2;
pub mod in_force;
mod lease;
pub mod observe;
pub mod own_pages;
pub mod pool;
mod prefixed;
pub mod screen;
pub mod service;
pub mod settings;
#[cfg(test)]
mod tests;
mod trailers;
mod unread;
mod upgrade;
pub mod upstream;
mod version;

pub use connection::{Arrival, Covers, Protocol};
pub use decide::Decide;
pub use in_force::{InForce, Standing};
pub use own_pages::OwnPages;
pub use prefixed::Prefixed;
pub use service::{Engine, EngineParts};
pub use settings::{ConnectionSettings, Http2Settings, ListenerProfile};
