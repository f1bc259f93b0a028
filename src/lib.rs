//! Doorward: a reverse-proxy authentication sidecar.
//!
//! The rooms in reading order, and what each may import (`tests/it/architecture.rs` holds it; `domain`,
//! `telemetry` and `runtime` are open to all rooms below them):
//!
//! | room | one sentence | uses |
//! | --- | --- | --- |
//! | [`domain`] | the nouns, plain data and pure functions | - |
//! | [`telemetry`] | metrics declared once, logging with allow-listed fields | domain |
//! | [`runtime`] | threads and tasks: the only spawner | domain telemetry |
//! | [`crypto`] | keys and primitives | - |
//! | [`store`] | persistence behind one trait per aggregate | - |
//! | [`cluster`] | news between processes | store |
//! | [`audit`] | security events and usage, never in a request's way | crypto store |
//! | [`authn`] | who is it: a proof that a credential was verified | crypto store cluster audit |
//! | [`authz`] | may it: a permit | authn |
//! | [`gate`] | the order of checks, once | authn authz audit crypto |
//! | [`accounts`] | use cases without HTTP | crypto store cluster authn audit |
//! | [`edge`] | the front doors | gate accounts |
//! | [`config`] | from what was written to each room's settings | every room's settings |
//! | [`app`] | composition and the life of the process | everything but cli |
//! | [`cli`] | the command line | app config accounts edge |
//!
//! A request: `edge::listener` accepts, a data thread serves, `edge::proxy` turns the head into
//! `gate::Facts`, [`gate::Gate::decide`] answers with a `Verdict`, and `edge::proxy` forwards with the
//! `Permit` in hand. The longer story stands in `docs/architecture.md`.

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
