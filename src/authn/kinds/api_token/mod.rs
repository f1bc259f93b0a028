//! Credential kind api_token.
