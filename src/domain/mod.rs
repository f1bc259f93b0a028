//! The nouns: plain data and pure functions that every room shares. No I/O, no async, no policy.

pub mod clock;
pub mod dialect;
pub mod identity;
pub mod ids;
pub mod net;
pub mod reason;
pub mod scope;
pub mod secret;
