//! Threads and tasks: the only room that spawns. Open to every room.

pub mod lines;
pub mod readiness;
pub mod slow_pool;
pub mod tasks;
