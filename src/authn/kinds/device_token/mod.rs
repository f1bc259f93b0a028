//! Opaque device tokens: found by their keyed digest, under the current lookup key and then the previous
//! ones; the row decides everything else.
//!
//! A look-up costs one indexed read (two while a rotation of the lookup key overlaps) and no slow hash: a
//! random token of 119 bits or more needs none. An unknown token costs two more, because imported rows may have the
//! digest of another program; such a row gets ours when it is first used.

pub mod format;
pub mod issue;
pub mod settings;

use std::sync::Arc;

use async_trait::async_trait;

pub use self::settings::IssueForm;
use super::{FileTable, stored};
use crate::authn::presented::{Presented, PresentedOwned};
use crate::authn::toll::Toll;
use crate::authn::verifier::{Inspection, Price, Rejection, Verified, Verifier};
use crate::crypto::{LookupKey, SharedKeyring, portable_digest};
use crate::domain::clock::Now;
use crate::domain::identity::CredentialKind;
use crate::domain::reason::Reason;
use crate::store::{CredentialContext, Credentials};

const KIND: CredentialKind = CredentialKind::DeviceToken;

/// Verifies device tokens.
pub struct DeviceTokens {
    store: Arc<dyn Credentials>,
    lookup_keys: SharedKeyring<LookupKey>,
    file: Arc<FileTable>,
}

impl DeviceTokens {
    /// Looks rows up here, by digests under these keys.
    pub fn new(store: Arc<dyn Credentials>, lookup_keys: SharedKeyring<LookupKey>) -> Self {
        Self {
            store,
            lookup_keys,
            file: Arc::default(),
        }
    }

    /// Looks in this file first.
    #[must_use]
    pub fn with_file(self, file: Arc<FileTable>) -> Self {
        Self { file, ..self }
    }

    /// A row that was imported with a digest of another program's: its public id is that digest's text, so to
    /// find it is to prove it. Tokens are random; a digest of 256 bits is as good as ours.
    async fn find_imported(&self, credential: &[u8]) -> Result<Option<CredentialContext>, Rejection> {
        for text in [
            portable_digest::sha256_text(credential),
            portable_digest::sha3_text(credential),
        ] {
            let found = self.store.find_by_public_id(KIND, &text, 1).await;
            let found = found.map_err(|e| stored::store_failed(KIND, &e))?;
            if let Some(context) = found.into_iter().next() {
                return Ok(Some(context));
            }
        }
        Ok(None)
    }
}

#[async_trait]
impl Verifier for DeviceTokens {
    fn kind(&self) -> CredentialKind {
        KIND
    }

    fn inspect(&self, presented: &Presented<'_>, _now: Now) -> Inspection {
        if format::is_device_token(presented.credential) {
            Inspection::LookUp {
                public_id: None,
                price: Price::Cheap,
            }
        } else {
            Inspection::Refused(Rejection::caller(Reason::CredentialMalformed))
        }
    }

    async fn look_up(
        &self,
        presented: &PresentedOwned,
        toll: &Toll,
        now: Now,
    ) -> Result<Verified, Rejection> {
        let credential = presented.credential.expose();
        if let Some(context) = self.file.token(KIND, credential) {
            return stored::decide(context, toll, now);
        }
        let ring = self.lookup_keys.load_full();
        let current = ring.current();
        for named in ring.iter() {
            let digest = named.key.digest(credential);
            let found = self.store.find_by_digest(KIND, &digest).await;
            let Some(context) = found.map_err(|e| stored::store_failed(KIND, &e))? else {
                continue;
            };
            if named.id != current.id {
                let digest = current.key.digest(credential);
                stored::keep_digest(self.store.as_ref(), &context.credential, &digest, &current.id).await;
            }
            return stored::decide(context, toll, now);
        }
        match self.find_imported(credential).await? {
            Some(context) => {
                let digest = current.key.digest(credential);
                stored::keep_digest(self.store.as_ref(), &context.credential, &digest, &current.id).await;
                stored::decide(context, toll, now)
            }
            None => Err(Rejection::caller(Reason::CredentialInvalid)),
        }
    }
}

#[cfg(test)]
mod tests;
