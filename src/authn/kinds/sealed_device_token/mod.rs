//! Credential kind sealed_device_token.
