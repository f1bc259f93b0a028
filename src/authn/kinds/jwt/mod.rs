//! Credential kind jwt.
