//! Credential kind device_token.
