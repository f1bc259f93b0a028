//! The HTTP proxy: a client's request becomes the gate's question, and what the gate permits is streamed to
//! the upstream and back.
//!
//! `screen` stands below hyper and lets no ambiguous request through; `connection` drives one client
//! connection; `service` answers one request; `forward` is the exchange with the upstream and cannot be
//! called without the gate's `Forwarding` in hand. HTTP/1.1 and 1.0; nothing here decides who may do what.

pub mod body;
mod connection;
pub mod decide;
mod forward;
pub mod observe;
pub mod own_pages;
pub mod pool;
pub mod screen;
pub mod service;
pub mod settings;
#[cfg(test)]
mod tests;
mod unread;

pub use decide::Decide;
pub use own_pages::OwnPages;
pub use service::{Engine, EngineParts};
pub use settings::{ConnectionSettings, ListenerProfile, UpstreamAddress, UpstreamSettings};
