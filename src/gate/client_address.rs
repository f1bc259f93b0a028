//! Gate: client_address.
