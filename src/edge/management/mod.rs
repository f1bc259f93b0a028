//! The management door.
