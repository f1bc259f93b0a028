//! The front doors: each translates its protocol into the gate's question and knows no sibling.

pub mod answers;
pub mod endpoints;
pub mod listener;
pub mod management;
pub mod proxy;
pub mod status;
