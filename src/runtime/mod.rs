//! Threads and tasks: the only room that spawns. Open to every room.

pub mod deadlines;
pub mod drain;
pub mod hand_over;
pub mod lines;
pub mod log_file;
pub mod readiness;
pub mod regular_file;
pub mod service_manager;
pub mod side_door;
pub mod slow_pool;
pub mod sockets;
pub mod tasks;
pub mod unix_socket;
pub mod watch;
pub mod workers;
