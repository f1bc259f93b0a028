//! The status door.
