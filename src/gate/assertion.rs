//! `X-Auth-Assertion`: a short-lived JWT that proves an identity to an upstream which does not trust the
//! network in between (`typ: doorward-assertion+jwt`, `aud` = the upstream's name, 60 s).
//!
//! Signed once per identity and upstream and reused until less than 20 s are left, so the fast path pays
//! a look-up in a small sharded map. The whole identity is compared on reuse: an assertion never says
//! what is no longer so. Keys are the assertion keys, never those of our access tokens, and an assertion
//! is refused wherever an access token is asked for. Does not decide whether a route wants one.

use std::collections::HashMap;
use std::fmt;
use std::hash::{BuildHasher, Hash};
use std::sync::Arc;
use std::time::Duration;

use http::HeaderValue;
use parking_lot::Mutex;
use serde_json::{Map, Value, json};

use crate::authn::kinds::jwt::{OwnKeys, SigningFailed};
use crate::domain::clock::{Now, UnixMillis};
use crate::domain::identity::{Identity, WriteAccess};
use crate::domain::ids::KeyId;
use crate::domain::scope::Role;

/// The `typ` of an assertion's header.
pub const ASSERTION_TYPE: &str = "doorward-assertion+jwt";
/// How long an assertion is good.
const LIFETIME: Duration = Duration::from_secs(60);
/// An assertion with less than this left is signed anew, so that the upstream has time to check it.
const LEAST_LEFT: Duration = Duration::from_secs(20);
const SHARDS: usize = 16;
/// Assertions kept per shard.
const SHARD_CAPACITY: usize = 512;

/// Signs assertions and remembers the recent ones.
pub struct AssertionSigner {
    issuer: String,
    keys: OwnKeys,
    hasher: foldhash::fast::RandomState,
    shards: [Mutex<HashMap<u64, Slot, foldhash::fast::RandomState>>; SHARDS],
}

/// A signed assertion, for exactly this identity, audience and key.
struct Slot {
    identity: Identity,
    audience: Arc<str>,
    key: KeyId,
    signed_at: UnixMillis,
    reusable_until: UnixMillis,
    assertion: HeaderValue,
}

impl AssertionSigner {
    /// Signs as this issuer with these keys.
    pub fn new(issuer: impl Into<String>, keys: OwnKeys) -> Self {
        Self {
            issuer: issuer.into(),
            keys,
            hasher: foldhash::fast::RandomState::default(),
            shards: std::array::from_fn(|_| Mutex::default()),
        }
    }

    /// The keys, for publishing them.
    pub fn keys(&self) -> &OwnKeys {
        &self.keys
    }

    /// The assertion of this identity for this upstream, as a header value marked sensitive.
    pub fn assertion(
        &self,
        identity: &Identity,
        audience: &Arc<str>,
        now: Now,
    ) -> Result<HeaderValue, SigningFailed> {
        let place = self.place(identity, audience);
        let Some(shard) = self.shard(place) else {
            return Err(SigningFailed);
        };
        let key = self.keys.current_id();
        if let Some(slot) = shard.lock().get(&place)
            && slot.fits(identity, audience, &key, now)
        {
            return Ok(slot.assertion.clone());
        }
        // Signed outside of the lock: two requests may do it twice, none waits for another's.
        let slot = self.sign(identity, audience, now)?;
        let assertion = slot.assertion.clone();
        keep(&mut shard.lock(), place, slot, now);
        Ok(assertion)
    }

    fn place(&self, identity: &Identity, audience: &Arc<str>) -> u64 {
        self.hasher.hash_one(Place {
            credential: identity.credential.as_str(),
            audience,
        })
    }

    fn shard(&self, place: u64) -> Option<&Mutex<HashMap<u64, Slot, foldhash::fast::RandomState>>> {
        // The top bits, since the map inside uses the others.
        self.shards.get(usize::try_from(place >> 60).ok()?)
    }

    fn sign(&self, identity: &Identity, audience: &Arc<str>, now: Now) -> Result<Slot, SigningFailed> {
        let full_end = UnixMillis::from_secs(now.wall.plus(LIFETIME).as_secs());
        // Never longer than the credential itself; then it is reused to its end.
        let (ends_at, reusable_until) = match identity.expires_at {
            Some(credential) if credential < full_end => (credential, credential),
            _ => (
                full_end,
                UnixMillis(full_end.0.saturating_sub(millis(LEAST_LEFT))),
            ),
        };
        let claims = self.claims(identity, audience, now, ends_at);
        let (key, token) = self
            .keys
            .with_current(|key| (key.id().clone(), key.sign(ASSERTION_TYPE, &claims)));
        let mut assertion = HeaderValue::from_str(token?.expose()).map_err(|_| SigningFailed)?;
        assertion.set_sensitive(true);
        Ok(Slot {
            identity: identity.clone(),
            audience: Arc::clone(audience),
            key,
            signed_at: now.wall,
            reusable_until,
            assertion,
        })
    }

    fn claims(&self, identity: &Identity, audience: &str, now: Now, ends_at: UnixMillis) -> Value {
        let mut claims = Map::new();
        let mut state = |name: &str, value: Value| claims.insert(name.to_owned(), value);
        state("iss", json!(self.issuer));
        state("aud", json!(audience));
        state("sub", json!(identity.principal.as_str()));
        state("iat", json!(now.wall.as_secs()));
        state("exp", json!(ends_at.as_secs()));
        state("token_use", json!("assertion"));
        state("principal", json!(identity.principal_kind.as_str()));
        state("credential", json!(identity.credential_kind.as_str()));
        state("credential_id", json!(identity.credential.as_str()));
        state("permission", json!(identity.permission.as_str()));
        state(
            "write_access",
            json!(identity.write_access == WriteAccess::Granted),
        );
        if let Some(tenant) = &identity.tenant {
            state("tenant", json!(tenant.as_str()));
        }
        if let Some(customer) = &identity.customer {
            state("customer", json!(customer.as_str()));
        }
        if !identity.scopes.is_empty() {
            state("scope", json!(identity.scopes.to_string()));
        }
        if !identity.roles.is_empty() {
            let roles: Vec<&str> = identity.roles.iter().map(Role::as_str).collect();
            state("roles", json!(roles));
        }
        if let Some(device) = &identity.device_id {
            state("device_id", json!(device.as_str()));
        }
        if let Some(category) = &identity.category {
            state("category", json!(category.as_str()));
        }
        if let Some(expires_at) = identity.expires_at {
            state("credential_expires", json!(expires_at.as_secs()));
        }
        Value::Object(claims)
    }
}

#[derive(Hash)]
struct Place<'a> {
    credential: &'a str,
    audience: &'a str,
}

impl Slot {
    /// The place is only a digest, so everything is compared.
    fn fits(&self, identity: &Identity, audience: &str, key: &KeyId, now: Now) -> bool {
        // A clock set back makes an assertion from the future: signed anew.
        (self.signed_at..self.reusable_until).contains(&now.wall)
            && *self.audience == *audience
            && self.key == *key
            && self.identity == *identity
    }
}

/// Puts an assertion in its place; when the shard is full, what is over goes, else any other one.
fn keep(shard: &mut HashMap<u64, Slot, foldhash::fast::RandomState>, place: u64, slot: Slot, now: Now) {
    if shard.len() >= SHARD_CAPACITY && !shard.contains_key(&place) {
        shard.retain(|_, s| now.wall < s.reusable_until);
        if shard.len() >= SHARD_CAPACITY
            && let Some(any) = shard.keys().next().copied()
        {
            shard.remove(&any);
        }
    }
    shard.insert(place, slot);
}

fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

impl fmt::Debug for AssertionSigner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "AssertionSigner({:?}, {:?})", self.issuer, self.keys)
    }
}

#[cfg(test)]
#[path = "assertion_tests.rs"]
mod tests;
