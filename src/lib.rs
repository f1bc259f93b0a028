//! Doorward: a reverse-proxy authentication sidecar.

pub mod accounts;
pub mod app;
pub mod audit;
pub mod authn;
pub mod authz;
pub mod cli;
pub mod cluster;
pub mod config;
pub mod crypto;
pub mod domain;
pub mod edge;
pub mod gate;
pub mod runtime;
pub mod store;
pub mod telemetry;
