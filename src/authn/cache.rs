//! The verdict cache: a keyed digest of the credential leads to what was found out about it.
//!
//! The key is a keyed digest over the verifier generation, the carrier and the credential, so nothing in
//! memory can be read back into a credential and no verdict is shared across carriers or changed
//! verifiers (SECURITY S10). Routes and policies are no part of it: they run after it. Good verdicts are
//! bounded by bytes and live `positive_ttl`; bad ones live in a small cache of their own and are void
//! after any creation, so that a new credential works at once. A good verdict past its time stays until
//! it is evicted: it is not believed any more, but its owner need not pass the throttle to be looked up.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use super::material::Material;
use super::verifier::Rejection;
use crate::domain::clock::MonoMillis;

/// Keyed digest of a presented credential (`crypto::digest::CacheDigester`).
pub type CacheKey = [u8; 32];

/// Bounds and lifetimes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CacheSettings {
    /// How long a good verdict is believed without asking again.
    pub positive_ttl: Duration,
    /// How long a bad verdict is repeated without asking again.
    pub negative_ttl: Duration,
    /// Memory for good verdicts, in bytes (estimated).
    pub max_bytes: u64,
    /// Bad verdicts kept.
    pub negative_max_entries: u64,
}

impl Default for CacheSettings {
    fn default() -> Self {
        Self {
            positive_ttl: Duration::from_secs(300),
            negative_ttl: Duration::from_secs(2),
            max_bytes: 64 * 1024 * 1024,
            negative_max_entries: 10_000,
        }
    }
}

#[derive(Clone, Copy)]
struct Negative {
    rejection: Rejection,
    until: MonoMillis,
    creations: u64,
}

/// What is known about a credential.
pub(in crate::authn) enum Known {
    /// Verified before.
    Good(Arc<Material>),
    /// Refused a moment ago.
    Bad(Rejection),
    /// Nothing.
    Nothing,
}

/// Verdicts by digest.
pub struct VerdictCache {
    good: moka::sync::Cache<CacheKey, Arc<Material>, foldhash::fast::RandomState>,
    bad: moka::sync::Cache<CacheKey, Negative, foldhash::fast::RandomState>,
    settings: CacheSettings,
    creations: AtomicU64,
}

impl VerdictCache {
    /// An empty cache.
    pub fn new(settings: CacheSettings) -> Self {
        let good = moka::sync::Cache::builder()
            .max_capacity(settings.max_bytes)
            .weigher(|_: &CacheKey, m: &Arc<Material>| m.weight_bytes())
            .build_with_hasher(foldhash::fast::RandomState::default());
        let bad = moka::sync::Cache::builder()
            .max_capacity(settings.negative_max_entries)
            .build_with_hasher(foldhash::fast::RandomState::default());
        Self {
            good,
            bad,
            settings,
            creations: AtomicU64::new(0),
        }
    }

    pub(in crate::authn) fn known(&self, key: &CacheKey, now: MonoMillis) -> Known {
        if let Some(material) = self.good.get(key) {
            return Known::Good(material);
        }
        match self.bad.get(key) {
            Some(bad) if now < bad.until && bad.creations == self.creations() => Known::Bad(bad.rejection),
            _ => Known::Nothing,
        }
    }

    /// The number to read before a look-up whose refusal shall be remembered.
    pub(in crate::authn) fn creations(&self) -> u64 {
        self.creations.load(Ordering::Acquire)
    }

    /// A credential was created or enabled: refusals from before prove nothing any more.
    pub fn credential_created(&self) {
        self.creations.fetch_add(1, Ordering::AcqRel);
    }

    pub(in crate::authn) fn remember_good(&self, key: CacheKey, material: Arc<Material>) {
        self.bad.invalidate(&key);
        self.good.insert(key, material);
    }

    pub(in crate::authn) fn remember_bad(
        &self,
        key: CacheKey,
        rejection: Rejection,
        creations: u64,
        now: MonoMillis,
    ) {
        self.good.invalidate(&key);
        self.bad.insert(
            key,
            Negative {
                rejection,
                until: now.plus(self.settings.negative_ttl),
                creations,
            },
        );
    }

    pub(in crate::authn) fn forget(&self, key: &CacheKey) {
        self.good.invalidate(key);
    }

    pub(in crate::authn) fn believed_until(&self, now: MonoMillis) -> MonoMillis {
        now.plus(self.settings.positive_ttl)
    }

    /// Estimated bytes held by good verdicts, for metrics. Runs pending evictions first.
    pub fn weight_bytes(&self) -> u64 {
        self.good.run_pending_tasks();
        self.good.weighted_size()
    }

    /// Good verdicts held, for metrics.
    pub fn entries(&self) -> u64 {
        self.good.entry_count()
    }

    /// Bad verdicts held, for metrics.
    pub fn negative_entries(&self) -> u64 {
        self.bad.run_pending_tasks();
        self.bad.entry_count()
    }
}
