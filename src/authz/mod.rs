//! May it: the checks before and after authentication, and the `Permit` that comes of them.
//!
//! `admit` knows only where a request comes from and which route it takes; `authorize` also knows who it
//! is. `Permit` can be made in this room only; forwarding demands one. Nothing here verifies a credential.

mod admit;
mod authorize;
pub mod permit;
pub mod policy;

pub use admit::{Admitted, admit};
pub use authorize::{authorize, permit_anonymous};
pub use permit::Permit;

use crate::domain::reason::Reason;

/// Refused by policy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Denial(pub Reason);

/// Whether a request came over an encrypted transport, as far as can be believed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Encryption {
    /// Plain.
    None,
    /// Plain here, and sent on by somebody who is not believed about the way before.
    Unknown,
    /// TLS, at the listener or at a trusted proxy.
    Tls,
}
