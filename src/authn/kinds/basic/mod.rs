//! User name and password (RFC 7617): found by the name, proved by bcrypt on the slow pool.
//!
//! A password is chosen by people, so every look-up pays the slow hash, and an unknown user pays the same
//! against a decoy: neither the answer nor its time tells whether a name exists (SECURITY S12). Good verdicts
//! are cached by the surrounding room, so a device that keeps its password pays once per cache lifetime.

pub mod format;
pub mod issue;
pub mod settings;

use std::sync::Arc;

use async_trait::async_trait;

use self::format::{Malformed, UserPassword};
pub use self::settings::Settings;
use super::{FileTable, stored};
use crate::authn::presented::{Presented, PresentedOwned};
use crate::authn::toll::Toll;
use crate::authn::verifier::{Inspection, Price, Rejection, Verified, Verifier};
use crate::crypto::{Comparison, NoRandomness, slow_digest};
use crate::domain::clock::Now;
use crate::domain::identity::CredentialKind;
use crate::domain::reason::Reason;
use crate::runtime::slow_pool::SlowPool;
use crate::store::{CredentialContext, Credentials};

const KIND: CredentialKind = CredentialKind::Basic;

/// Verifies user names with passwords.
pub struct BasicPasswords {
    store: Arc<dyn Credentials>,
    pool: SlowPool,
    /// What unknown users' passwords are compared with.
    decoy: Arc<str>,
    file: Arc<FileTable>,
}

impl BasicPasswords {
    /// Looks rows up here; digests are computed on this pool.
    pub fn new(
        settings: &Settings,
        store: Arc<dyn Credentials>,
        pool: SlowPool,
    ) -> Result<Self, NoRandomness> {
        Ok(Self {
            store,
            pool,
            decoy: slow_digest::decoy(settings.bcrypt_cost)?.into(),
            file: Arc::default(),
        })
    }

    /// Looks in this file first.
    #[must_use]
    pub fn with_file(self, file: Arc<FileTable>) -> Self {
        Self { file, ..self }
    }

    /// The digest to compare with: the row's when there is a usable one, else the decoy's.
    fn digest_of(&self, row: Option<&CredentialContext>) -> Arc<str> {
        row.and_then(|row| {
            let digest = row.credential.slow_digest.as_deref()?;
            match slow_digest::check_digest(digest) {
                Ok(_) => Some(Arc::from(digest)),
                Err(error) => {
                    stored::unusable_digest(&row.credential, error);
                    None
                }
            }
        })
        .unwrap_or_else(|| Arc::clone(&self.decoy))
    }
}

#[async_trait]
impl Verifier for BasicPasswords {
    fn kind(&self) -> CredentialKind {
        KIND
    }

    fn inspect(&self, presented: &Presented<'_>, _now: Now) -> Inspection {
        match UserPassword::parse(presented.credential) {
            Ok(parsed) => Inspection::LookUp {
                public_id: Some(stored::public_id_hash(parsed.user())),
                price: Price::SlowHash,
            },
            Err(Malformed) => Inspection::Refused(Rejection::caller(Reason::CredentialMalformed)),
        }
    }

    async fn look_up(
        &self,
        presented: &PresentedOwned,
        toll: &Toll,
        now: Now,
    ) -> Result<Verified, Rejection> {
        let parsed = UserPassword::parse(presented.credential.expose())
            .map_err(|_| Rejection::caller(Reason::CredentialMalformed))?;
        let row = match self.file.user(parsed.user()) {
            Some(row) => Some(row),
            None => {
                // The store keeps a basic credential's public id unique.
                let rows = self.store.find_by_public_id(KIND, parsed.user(), 1).await;
                let rows = rows.map_err(|e| stored::store_failed(KIND, &e))?;
                rows.into_iter().next()
            }
        };
        let digest = self.digest_of(row.as_ref());
        let job = move || slow_digest::bcrypt_verify(parsed.password().as_bytes(), &digest);
        let outcome = toll.pay(&self.pool, now, job).await?;
        match (outcome, row) {
            (Ok(Comparison::Equal), Some(row)) => stored::decide(row, toll, now),
            _ => Err(Rejection::caller(Reason::CredentialInvalid)),
        }
    }
}

#[cfg(test)]
mod tests;
