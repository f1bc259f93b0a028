//! What every credential kind does: inspect without I/O, then look up when that is not enough.
//!
//! A kind never reads a clock, never caches a verdict, never checks revocation and never sees a route:
//! the room around it does. Its refusal is a `Reason`, nothing more; details go to the log without the
//! credential.

use async_trait::async_trait;

use super::material::CredentialRules;
use super::presented::{Presented, PresentedOwned};
use super::toll::Toll;
use crate::domain::clock::Now;
use crate::domain::identity::{CredentialKind, Identity};
use crate::domain::reason::Reason;

/// Authentication failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rejection {
    /// Why.
    pub reason: Reason,
    /// Whether a credential of this form cost us work and so counts against the caller in the
    /// failed-credential throttle. `cannot_decide` and the like are our fault and do not count.
    pub blame: Blame,
    /// Seconds after which trying again makes sense.
    pub retry_after_secs: Option<u32>,
}

/// Whose fault a rejection is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Blame {
    /// The caller's: counts in the throttle and may be remembered by the negative cache.
    Caller,
    /// Ours or the store's: never cached, never counted.
    Ours,
}

impl Rejection {
    /// A rejection by the caller's fault.
    pub fn caller(reason: Reason) -> Self {
        Self {
            reason,
            blame: Blame::Caller,
            retry_after_secs: None,
        }
    }

    /// A rejection by our fault.
    pub fn ours(reason: Reason) -> Self {
        Self {
            reason,
            blame: Blame::Ours,
            retry_after_secs: Some(1),
        }
    }

    /// Refused by the failed-credential throttle, without any work.
    pub fn throttled(retry_after_secs: u32) -> Self {
        Self {
            reason: Reason::TooManyFailures,
            blame: Blame::Ours,
            retry_after_secs: Some(retry_after_secs),
        }
    }
}

/// What a kind found out: who it is and under which rules. Not yet a proof: revocation is checked next.
#[derive(Debug, Clone, PartialEq)]
pub struct Verified {
    /// Who it is.
    pub identity: Identity,
    /// Rules that travel with the credential.
    pub rules: CredentialRules,
}

/// The outcome of an inspection without I/O.
#[derive(Debug)]
pub enum Inspection {
    /// Refused by its form or by arithmetic alone; no store work was or will be done.
    Refused(Rejection),
    /// Verified by arithmetic alone, cheaply enough that no cache is needed (sealed device tokens).
    Verified(Box<Verified>),
    /// Well formed; `look_up` must decide, and its verdict may be cached.
    LookUp {
        /// The public part (prefix, user name), by which the throttle also counts slow hashes that failed.
        public_id: Option<u64>,
        /// What the look-up will cost at least.
        price: Price,
    },
}

/// What a look-up costs at least.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Price {
    /// A read of the store or the check of a signature.
    Cheap,
    /// A slow hash, whoever asks.
    SlowHash,
}

/// One credential kind's verification.
#[async_trait]
pub trait Verifier: Send + Sync {
    /// Which kind it is.
    fn kind(&self) -> CredentialKind;

    /// Decides what can be decided from the bytes alone, on the data thread: bounded, no I/O, at most a
    /// few microseconds. Runs before the cache only for kinds whose verdicts are not cached.
    fn inspect(&self, presented: &Presented<'_>, now: Now) -> Inspection;

    /// Whether verdicts of this kind are cached (false: `inspect` alone decides).
    fn cached(&self) -> bool {
        true
    }

    /// Decides with the store, a slow hash or a signature; runs off the data threads. Slow hashes are paid
    /// through the toll, and nowhere else.
    async fn look_up(&self, presented: &PresentedOwned, toll: &Toll, now: Now)
    -> Result<Verified, Rejection>;
}
