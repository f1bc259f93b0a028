//! Doorward: a reverse-proxy authentication sidecar.
pub mod authn;
pub mod authz;
pub mod domain;
pub mod gate;
pub mod store;
