//! Keys and primitives: keyring, sealing, digests, random. Knows no credential kind.
