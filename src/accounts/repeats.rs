//! Requests that are sent again under a key of their sender's: carried out once, answered as often as they come,
//! for a day. Doors say what a request is and what of its answer may be kept; nothing here knows HTTP.

use std::time::Duration;

use super::Accounts;
use super::actor::Actor;
use super::error::Result;
use crate::domain::clock::UnixMillis;
use crate::store::{Claimed, RequestClaim};

/// How long an answer is kept.
const KEPT: Duration = Duration::from_secs(24 * 3600);
/// Most keys of one actor within that time.
const MOST: u32 = 10_000;

impl Accounts {
    /// Claims a key for this request. Whoever gets [`Claimed::Yours`] carries it out and then calls
    /// [`Accounts::keep_answer`], or [`Accounts::release_request`] when it made nothing.
    pub async fn claim_request(&self, key: &str, request: &[u8], actor: &Actor) -> Result<Claimed> {
        let now = self.now();
        // Keyed, since a request may hold a password; a key that was rotated meanwhile still recognizes it.
        let keys = self.parts.vault.handles().lookup.load_full();
        let claim = RequestClaim {
            actor: actor.name().to_owned(),
            key: key.to_owned(),
            digests: keys.iter().map(|named| named.key.digest(request)).collect(),
            at: now,
        };
        let kept = i64::try_from(KEPT.as_millis()).unwrap_or(i64::MAX);
        let forget_before = UnixMillis(now.0.saturating_sub(kept));
        self.rows(actor).claim_request(&claim, forget_before, MOST).await
    }

    /// Keeps what was answered. It must hold no secret.
    pub async fn keep_answer(&self, key: &str, answer: &str, actor: &Actor) -> Result<()> {
        self.rows(actor).keep_answer(key, answer).await
    }

    /// Forgets a request that made nothing.
    pub async fn release_request(&self, key: &str, actor: &Actor) -> Result<()> {
        self.rows(actor).release_request(key).await
    }
}
