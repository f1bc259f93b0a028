//! Credential kind basic.
