//! The order of checks, once. Every front door asks the same question here and gets a `Verdict`.
//!
//! Nothing is decided anywhere else. The gate does no protocol work: it borrows the facts of a request,
//! answers, and leaves forwarding (which needs the `Permit` it handed out) to the door.

pub mod assertion;
pub mod client_address;
pub mod decide;
pub mod dialect;
pub mod facts;
pub mod path;
pub mod routes;
pub mod upstream_headers;
pub mod verdict;

pub use decide::{Gate, Snapshot};
pub use facts::{Facts, Scheme};
pub use verdict::{Forwarding, Refusal, Verdict};

/// How a request came, and what forwarding demands; the latter is made by `authz` alone.
pub use crate::authz::{Encryption, Permit};
