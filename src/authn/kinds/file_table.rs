//! Credentials that stand in a file instead of the store: found by SHA-256 of the token, or by user name.
//!
//! A table is made once for each content of the file and never changed: a credential is revoked by taking it out of the
//! file, and the verifiers of the next configuration have another table and none of this one's verdicts. SHA-256
//! without a key is enough for random tokens, and only those are in it; passwords have bcrypt (docs/decisions/0017).
//! Asked before the store by `device_token`, `api_token` and `basic`; made by `config`.

use std::collections::HashMap;

use crate::crypto::portable_digest;
use crate::domain::identity::CredentialKind;
use crate::store::CredentialContext;

/// The credentials of one file.
#[derive(Debug, Clone, Default)]
pub struct FileTable {
    /// By kind and digest, or user name.
    rows: HashMap<(CredentialKind, String), CredentialContext>,
}

impl FileTable {
    /// Of these, each found by its user name where it has one, else by its digest.
    pub fn new(rows: impl IntoIterator<Item = CredentialContext>) -> Self {
        let named = rows.into_iter().filter_map(|row| {
            let credential = &row.credential;
            let name = match credential.kind {
                CredentialKind::Basic => credential.public_id.clone(),
                _ => credential.slow_digest.clone(),
            };
            Some(((credential.kind, name?), row))
        });
        Self {
            rows: named.collect(),
        }
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// The credential that is this token.
    pub fn token(&self, kind: CredentialKind, token: &[u8]) -> Option<CredentialContext> {
        if self.rows.is_empty() {
            return None;
        }
        self.rows
            .get(&(kind, portable_digest::sha256_text(token)))
            .cloned()
    }

    /// The credential of this user name; its password is yet to be proved.
    pub fn user(&self, name: &str) -> Option<CredentialContext> {
        if self.rows.is_empty() {
            return None;
        }
        self.rows.get(&(CredentialKind::Basic, name.to_owned())).cloned()
    }
}
