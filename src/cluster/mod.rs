//! News between instances: which revocations happened, wherever they were made.
//!
//! The store's sequence of revocations is the truth; a push would only be a hint to read it. One
//! follower per process reads everything after the last number it applied, at a fixed interval, and
//! hands it to the sink. It never decides what a revocation means. Called by `app`; `accounts` applies
//! its own revocations at once and does not wait for the follower.

mod follow;

pub use follow::{FeedState, Follower};

use crate::store::RevocationRecord;

/// Where revocations take effect.
pub trait RevocationSink: Send + Sync {
    /// Makes a revocation effective before it returns. Applying a record twice is harmless.
    fn apply(&self, record: &RevocationRecord);

    /// The highest sequence number applied.
    fn applied_seq(&self) -> u64;
}
