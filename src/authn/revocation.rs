//! The last word on every use of a credential: what has been ended, held in memory and bounded.
//!
//! For stored credentials the row is the truth and this index only says which cached verdicts are void.
//! For stateless ones (sealed device tokens, JWTs) this index is the truth: a token is dead when it was
//! named, or when it was issued at or before the cut of its principal, its tenant or everything.
//!
//! Every applied revocation raises a generation. A verdict remembers the generation read *before* its
//! look-up began, and is compared on every use: equal means nothing was revoked since, one atomic load.
//! So a look-up that was running while a revocation came cannot bring the verdict back. When the index
//! is full it forgets nothing: it raises a floor below which every stateless credential is dead and
//! every cached verdict void (SECURITY S11, R4). Fed by `cluster`; never reads the store itself.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

use parking_lot::{Mutex, RwLock};

use crate::cluster::RevocationSink;
use crate::domain::clock::UnixMillis;
use crate::domain::identity::{CredentialKind, Identity};
use crate::domain::ids::{CredentialId, PrincipalId, TenantId};
use crate::store::{Effect, RevocationRecord, RevocationTarget};

/// How many revocations had been applied: a verdict's age in revocations.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct RevocationEpoch(u64);

impl RevocationEpoch {
    pub(in crate::authn) fn from_raw(raw: u64) -> Self {
        Self(raw)
    }

    pub(in crate::authn) fn raw(self) -> u64 {
        self.0
    }
}

/// Whether a verdict still stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// It does, as of this epoch.
    Good(RevocationEpoch),
    /// The credential is revoked, for good.
    Revoked,
    /// Something that may touch it happened: ask the store again.
    Void,
}

#[derive(Debug, Clone, Copy)]
struct Entry {
    seq: u64,
    epoch: u64,
    cut_at: UnixMillis,
    until: Option<UnixMillis>,
}

/// Everything that has been revoked and could still be presented.
#[derive(Debug)]
pub struct RevocationIndex {
    epoch: AtomicU64,
    applied_seq: AtomicU64,
    credentials: RwLock<HashMap<CredentialId, Entry>>,
    principals: RwLock<HashMap<PrincipalId, Entry>>,
    tenants: RwLock<HashMap<TenantId, Entry>>,
    /// Stateless credentials issued at or before this are dead (wall ms; `i64::MIN`: none).
    floor: AtomicI64,
    /// Verdicts whose look-up began before this epoch are void.
    void_below: AtomicU64,
    max_entries: usize,
    /// Serializes writers, so that epochs appear in the order in which entries become visible.
    writer: Mutex<()>,
}

impl RevocationIndex {
    /// An empty index that holds at most this many entries per kind of target.
    pub fn new(max_entries: usize) -> Self {
        Self {
            epoch: AtomicU64::new(0),
            applied_seq: AtomicU64::new(0),
            credentials: RwLock::default(),
            principals: RwLock::default(),
            tenants: RwLock::default(),
            floor: AtomicI64::new(i64::MIN),
            void_below: AtomicU64::new(0),
            max_entries: max_entries.max(1),
            writer: Mutex::new(()),
        }
    }

    /// The epoch to remember before a look-up begins.
    pub fn epoch(&self) -> RevocationEpoch {
        RevocationEpoch(self.epoch.load(Ordering::Acquire))
    }

    /// How many entries are held.
    pub fn len(&self) -> usize {
        self.credentials.read().len() + self.principals.read().len() + self.tenants.read().len()
    }

    /// Whether nothing is held.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Judges a verdict whose look-up began at `since`, or that was last judged good then.
    /// One atomic load when nothing was revoked in between.
    pub fn standing(&self, identity: &Identity, since: RevocationEpoch) -> Standing {
        let now = self.epoch();
        if now == since {
            return Standing::Good(now);
        }
        if is_stateless(identity.credential_kind) {
            return match self.standing_of_fresh(identity) {
                // The key that signed it may count no longer.
                Standing::Good(_) if since.0 < self.void_below.load(Ordering::Acquire) => Standing::Void,
                judged => judged,
            };
        }
        if since.0 < self.void_below.load(Ordering::Acquire) || self.touched(identity, since) {
            return Standing::Void;
        }
        Standing::Good(now)
    }

    /// Judges what was verified this very moment by arithmetic alone. A stored credential is judged by
    /// its row, which the look-up has just read.
    pub fn standing_of_fresh(&self, identity: &Identity) -> Standing {
        let now = self.epoch();
        if is_stateless(identity.credential_kind) && self.ends_stateless(identity) {
            return Standing::Revoked;
        }
        Standing::Good(now)
    }

    fn ends_stateless(&self, identity: &Identity) -> bool {
        if self.credentials.read().contains_key(&identity.credential) {
            return true;
        }
        // Without an issue time nothing shows that the token is younger than the cut.
        let issued_at = identity.issued_at.unwrap_or(UnixMillis(i64::MIN));
        let floor = self.floor.load(Ordering::Acquire);
        if floor != i64::MIN && issued_at.0 <= floor {
            return true;
        }
        let cut = |entry: Option<&Entry>| entry.is_some_and(|e| issued_at <= e.cut_at);
        cut(self.principals.read().get(&identity.principal))
            || identity
                .tenant
                .as_ref()
                .is_some_and(|t| cut(self.tenants.read().get(t)))
    }

    fn touched(&self, identity: &Identity, since: RevocationEpoch) -> bool {
        let newer = |entry: Option<&Entry>| entry.is_some_and(|e| e.epoch > since.0);
        newer(self.credentials.read().get(&identity.credential))
            || newer(self.principals.read().get(&identity.principal))
            || identity
                .tenant
                .as_ref()
                .is_some_and(|t| newer(self.tenants.read().get(t)))
    }

    /// Voids every cached verdict: they are looked up again at their next use. For changes that are no
    /// revocation, such as a rotated key.
    pub fn void_all(&self) {
        let _one_writer = self.writer.lock();
        let next = self.next_epoch();
        self.void_below.fetch_max(next, Ordering::AcqRel);
        self.epoch.store(next, Ordering::Release);
    }

    /// Forgets what can no longer be presented.
    pub fn prune(&self, now: UnixMillis) {
        let live = |e: &Entry| e.until.is_none_or(|until| until >= now);
        self.credentials.write().retain(|_, e| live(e));
        self.principals.write().retain(|_, e| live(e));
        self.tenants.write().retain(|_, e| live(e));
    }

    fn next_epoch(&self) -> u64 {
        self.epoch.load(Ordering::Acquire).saturating_add(1)
    }

    /// Inserts, or raises the floor when the map is full.
    fn put<K: Eq + Hash>(&self, map: &RwLock<HashMap<K, Entry>>, key: K, entry: Entry) {
        let mut map = map.write();
        let full = map.len() >= self.max_entries;
        match map.get_mut(&key) {
            Some(old) => {
                *old = Entry {
                    seq: entry.seq.max(old.seq),
                    epoch: entry.epoch,
                    cut_at: entry.cut_at.max(old.cut_at),
                    until: old.until.zip(entry.until).map(|(a, b)| a.max(b)),
                };
            }
            None if !full => {
                map.insert(key, entry);
            }
            // No room to remember what was changed: everything is asked again.
            None if entry.cut_at == NO_CUT => self.raise_floor(NO_CUT, entry.epoch),
            None => {
                tracing::error!(
                    held = map.len(),
                    "the revocation index is full; every stateless credential issued until now is ended instead. \
                     Raise revocation.max_entries or shorten token lifetimes"
                );
                self.raise_floor(entry.cut_at.max(newest_cut(&map)), entry.epoch);
                map.clear();
            }
        }
    }

    fn raise_floor(&self, cut_at: UnixMillis, epoch: u64) {
        self.floor.fetch_max(cut_at.0, Ordering::AcqRel);
        self.void_below.fetch_max(epoch, Ordering::AcqRel);
    }

    fn seen(&self, record: &RevocationRecord) -> bool {
        let at_least = |e: Option<&Entry>| e.is_some_and(|e| e.seq >= record.seq);
        match &record.revocation.target {
            RevocationTarget::Credential(id) => at_least(self.credentials.read().get(id)),
            RevocationTarget::Principal(id) => at_least(self.principals.read().get(id)),
            RevocationTarget::Tenant(id) => at_least(self.tenants.read().get(id)),
            RevocationTarget::All => false,
        }
    }
}

fn newest_cut<K>(map: &HashMap<K, Entry>) -> UnixMillis {
    map.values().map(|e| e.cut_at).max().unwrap_or(NO_CUT)
}

/// A cut that ends nothing.
const NO_CUT: UnixMillis = UnixMillis(i64::MIN);

/// Whether a kind has no row that could say it is revoked.
pub(in crate::authn) fn is_stateless(kind: CredentialKind) -> bool {
    matches!(kind, CredentialKind::SealedDeviceToken | CredentialKind::Jwt)
}

impl RevocationSink for RevocationIndex {
    /// Takes effect before it returns. Applying a record twice is harmless.
    fn apply(&self, record: &RevocationRecord) {
        let _one_writer = self.writer.lock();
        self.applied_seq.fetch_max(record.seq, Ordering::AcqRel);
        if self.seen(record) {
            return;
        }
        let epoch = self.next_epoch();
        let r = &record.revocation;
        let entry = Entry {
            seq: record.seq,
            epoch,
            // A change ends nothing that has no row.
            cut_at: match r.effect {
                Effect::Ends => r.cut_at,
                Effect::Changes => NO_CUT,
            },
            until: r.until,
        };
        match &r.target {
            RevocationTarget::Credential(id) => self.put(&self.credentials, id.clone(), entry),
            RevocationTarget::Principal(id) => self.put(&self.principals, id.clone(), entry),
            RevocationTarget::Tenant(id) => self.put(&self.tenants, id.clone(), entry),
            RevocationTarget::All => self.raise_floor(entry.cut_at, epoch),
        }
        // Last: whoever reads the new epoch also finds the entry.
        self.epoch.store(epoch, Ordering::Release);
    }

    fn applied_seq(&self) -> u64 {
        self.applied_seq.load(Ordering::Acquire)
    }
}

#[cfg(test)]
mod tests;
