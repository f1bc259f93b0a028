//! Use cases without HTTP: devices, tokens, keys, revocation.
