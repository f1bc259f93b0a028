//! API tokens: found by a public prefix, proved by a digest of the whole token.
//!
//! The keyed digest (HMAC-SHA-256 under a lookup key) answers nearly every look-up. A portable digest (bcrypt, or
//! what another program made) proves rows that come from elsewhere or have outlived their lookup key: it runs on
//! the slow pool, and the keyed digest is then written back, so that a token pays for it once. An unknown id is refused without
//! a slow hash, for the same reason as a wrong secret: ids are public, and a decoy would be a lever for floods.

pub mod format;
pub mod issue;
pub mod settings;

use std::sync::Arc;

use async_trait::async_trait;

pub use self::settings::{DigestMode, HexTokens, InvalidPrefix, Layout, Prefix, Settings};
use super::{FileTable, stored};
use crate::authn::presented::{Presented, PresentedOwned};
use crate::authn::toll::Toll;
use crate::authn::verifier::{Inspection, Price, Rejection, Verified, Verifier};
use crate::crypto::{Comparison, Keyring, LookupKey, SharedKeyring, equal, portable_digest};
use crate::domain::clock::Now;
use crate::domain::identity::CredentialKind;
use crate::domain::reason::Reason;
use crate::domain::secret::SecretBytes;
use crate::runtime::slow_pool::SlowPool;
use crate::store::{CredentialContext, CredentialRecord, Credentials, StoreError};

const KIND: CredentialKind = CredentialKind::ApiToken;
/// Most rows of one public id that are compared. Ids are random: two are rare, three a sign of trouble.
const MAX_CANDIDATES: u32 = 16;
/// Most slow digests that one look-up pays for.
const MAX_SLOW_CANDIDATES: usize = 4;

/// Verifies API tokens.
pub struct ApiTokens {
    settings: Arc<Settings>,
    store: Arc<dyn Credentials>,
    lookup_keys: SharedKeyring<LookupKey>,
    pool: SlowPool,
    file: Arc<FileTable>,
}

impl ApiTokens {
    /// Looks rows up here, by digests under these keys; slow digests are computed on this pool.
    pub fn new(
        settings: Arc<Settings>,
        store: Arc<dyn Credentials>,
        lookup_keys: SharedKeyring<LookupKey>,
        pool: SlowPool,
    ) -> Self {
        Self {
            settings,
            store,
            lookup_keys,
            pool,
            file: Arc::default(),
        }
    }

    /// Looks in this file first.
    #[must_use]
    pub fn with_file(self, file: Arc<FileTable>) -> Self {
        Self { file, ..self }
    }

    /// The rows that this credential may belong to. One of another program that noted no public part has a fast
    /// digest with a pepper in its place, which is looked for only when nothing else is there.
    async fn candidates(
        &self,
        public_id: &str,
        credential: &SecretBytes,
    ) -> Result<Vec<CredentialContext>, StoreError> {
        let rows = self
            .store
            .find_by_public_id(KIND, public_id, MAX_CANDIDATES)
            .await?;
        match &self.settings.pepper {
            Some(pepper) if rows.is_empty() => {
                let digest =
                    portable_digest::sha256_pepper_text(credential.expose(), pepper.expose().as_bytes());
                self.store.find_by_public_id(KIND, &digest, MAX_CANDIDATES).await
            }
            _ => Ok(rows),
        }
    }

    /// The row that a portable digest proves, among those without a keyed digest that we could check.
    async fn find_slowly(
        &self,
        rows: Vec<CredentialContext>,
        ring: &Keyring<LookupKey>,
        credential: &SecretBytes,
        toll: &Toll,
        now: Now,
    ) -> Result<Option<CredentialContext>, Rejection> {
        let candidates = rows
            .into_iter()
            .filter(|row| usable_digest(&row.credential, ring).is_none());
        for row in candidates.take(MAX_SLOW_CANDIDATES) {
            let Some(digest) = row.credential.slow_digest.clone() else {
                continue;
            };
            let (secret, pepper) = (credential.clone(), self.settings.pepper.clone());
            let job = move || {
                let pepper = pepper.as_ref().map(|p| p.expose().as_bytes());
                portable_digest::verify(secret.expose(), &digest, pepper)
            };
            match toll.pay(&self.pool, now, job).await? {
                Ok(Comparison::Equal) => return Ok(Some(row)),
                Ok(Comparison::Different) => {}
                Err(error) => stored::unusable_digest(&row.credential, error),
            }
        }
        Ok(None)
    }
}

/// A row's keyed digest and the key it was made with, when we hold that key.
fn usable_digest<'a>(
    row: &'a CredentialRecord,
    ring: &'a Keyring<LookupKey>,
) -> Option<(&'a [u8; 32], &'a LookupKey)> {
    let stored = row.keyed_digest.as_ref()?;
    let named = ring.find(stored.key.as_str())?;
    Some((&stored.digest, &named.key))
}

/// Whether a row's keyed digest is the presented credential's.
fn fits(row: &CredentialRecord, ring: &Keyring<LookupKey>, credential: &[u8]) -> Comparison {
    usable_digest(row, ring).map_or(Comparison::Different, |(stored, key)| {
        equal(stored, &key.digest(credential))
    })
}

#[async_trait]
impl Verifier for ApiTokens {
    fn kind(&self) -> CredentialKind {
        KIND
    }

    fn inspect(&self, presented: &Presented<'_>, _now: Now) -> Inspection {
        match format::public_id(&self.settings, presented.credential) {
            Ok(id) => Inspection::LookUp {
                public_id: Some(stored::public_id_hash(id)),
                price: Price::Cheap,
            },
            Err(format::Malformed) => Inspection::Refused(Rejection::caller(Reason::CredentialMalformed)),
        }
    }

    async fn look_up(
        &self,
        presented: &PresentedOwned,
        toll: &Toll,
        now: Now,
    ) -> Result<Verified, Rejection> {
        let credential = &presented.credential;
        let public_id = format::public_id(&self.settings, credential.expose())
            .map_err(|_| Rejection::caller(Reason::CredentialMalformed))?;
        if let Some(context) = self.file.token(KIND, credential.expose()) {
            return stored::decide(context, toll, now);
        }
        let rows = self.candidates(public_id, credential).await;
        let mut rows = rows.map_err(|e| stored::store_failed(KIND, &e))?;
        let ring = self.lookup_keys.load_full();
        let proved = rows
            .iter()
            .position(|row| fits(&row.credential, &ring, credential.expose()) == Comparison::Equal);
        let row = match proved {
            Some(at) => rows.swap_remove(at),
            None => self
                .find_slowly(rows, &ring, credential, toll, now)
                .await?
                .ok_or(Rejection::caller(Reason::CredentialInvalid))?,
        };
        let current = ring.current();
        let key_of_row = row.credential.keyed_digest.as_ref().map(|k| &k.key);
        if key_of_row != Some(&current.id) {
            let digest = current.key.digest(credential.expose());
            stored::keep_digest(self.store.as_ref(), &row.credential, &digest, &current.id).await;
        }
        stored::decide(row, toll, now)
    }
}

#[cfg(test)]
mod tests;
