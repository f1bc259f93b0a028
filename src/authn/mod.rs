//! Who is it: from the bytes of a request to a proof that a credential was verified.
//!
//! `extract` finds what was presented, `cache` answers what is known, a kind verifies what is not, and
//! `revocation` has the last word on every use. `Authenticated` can be made in this room only; whoever
//! holds one knows that verification happened. Knows nothing of routes or policy.

pub mod cache;
pub mod extract;
mod flights;
pub mod kinds;
pub mod material;
pub mod nonces;
pub mod presented;
pub mod proof;
pub mod revocation;
pub mod service;
pub mod throttle;
pub mod toll;
pub mod verifier;
pub mod verifiers;
pub mod windows;

#[cfg(test)]
pub mod testing;

pub use material::{Authenticated, CredentialRules};
pub use presented::{Carrier, Presented};
pub use service::{Authn, AuthnSettings, Question, Recall};
pub use toll::Toll;
pub use verifier::{Inspection, Price, Rejection, Verified, Verifier};
pub use verifiers::{Verdicts, Verifiers};

/// A credential's own rule about transports, as its row says it.
pub use crate::store::Transport;
