//! Composition: settings to running rooms.
