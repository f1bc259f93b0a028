//! Opaque device tokens: found by their keyed digest, under the current lookup key and then the previous
//! ones; the row decides everything else.
//!
//! A look-up costs one indexed read (two while a rotation of the lookup key overlaps) and no slow hash: a
//! random token of 119 bits or more needs none.

pub mod format;
pub mod issue;
pub mod settings;

use std::sync::Arc;

use async_trait::async_trait;

pub use self::settings::IssueForm;
use super::stored;
use crate::authn::presented::{Presented, PresentedOwned};
use crate::authn::toll::Toll;
use crate::authn::verifier::{Inspection, Price, Rejection, Verified, Verifier};
use crate::crypto::{LookupKey, SharedKeyring};
use crate::domain::clock::Now;
use crate::domain::identity::CredentialKind;
use crate::domain::reason::Reason;
use crate::store::Credentials;

const KIND: CredentialKind = CredentialKind::DeviceToken;

/// Verifies device tokens.
pub struct DeviceTokens {
    store: Arc<dyn Credentials>,
    lookup_keys: SharedKeyring<LookupKey>,
}

impl DeviceTokens {
    /// Looks rows up here, by digests under these keys.
    pub fn new(store: Arc<dyn Credentials>, lookup_keys: SharedKeyring<LookupKey>) -> Self {
        Self { store, lookup_keys }
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
        Err(Rejection::caller(Reason::CredentialInvalid))
    }
}

#[cfg(test)]
mod tests;
