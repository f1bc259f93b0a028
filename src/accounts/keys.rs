//! Our keys of all purposes: rows sealed under the data key, and live handles that rotations reach.
//!
//! The store's rows are the truth. [`KeyVault::open`] makes the first key of each purpose; of two processes
//! that start at once one makes it and both use it. A rotation puts the new key in place in this process
//! before it returns; another process sees it at its next [`KeyVault::refresh`]. The key before stays for
//! checking, the one before that no longer counts: rotating twice ends what a leaked key could make.

use std::path::Path;
use std::sync::Arc;

use tokio::sync::Mutex;

use super::actor::Actor;
use super::data_folder::{self, SealedRows};
use super::error::{AccountsError, Result};
use crate::authn::kinds::jwt::{OwnKeys, SigningAlgorithm, SigningKey, SigningKeys, generate_signing_key};
use crate::crypto::{
    Alphabet, DataKey, KeyBytes, KeyFileWarning, Keyring, LookupKey, NamedKey, SealingCipher, SharedKeyring,
    random,
};
use crate::domain::clock::UnixMillis;
use crate::domain::ids::{CredentialId, KeyId};
use crate::domain::secret::{SecretBytes, SecretText};
use crate::store::{KeyPurpose, KeyRecord, KeyState, Store, StoreError};

/// Letters of a key's id: 62 bits, short enough to stand in every token.
const ID_LETTERS: usize = 12;

/// Our keys.
pub struct KeyVault {
    store: Arc<dyn Store>,
    data_key: DataKey,
    handles: KeyHandles,
    /// Ids and states that the handles hold. Held while they are replaced, so that an older reading of the
    /// rows cannot come after a newer one.
    loaded: Mutex<Vec<(KeyId, KeyState)>>,
}

/// Live handles: clones see a rotation at once.
#[derive(Clone)]
pub struct KeyHandles {
    /// Keyed digests of stored credentials.
    pub lookup: SharedKeyring<LookupKey>,
    /// Seals device tokens of our own form.
    pub device_token: SharedKeyring<SealingCipher>,
    /// Signs our own access tokens.
    pub jwt: OwnKeys,
    /// Signs identity assertions for upstreams.
    pub assertion: OwnKeys,
}

/// Whether the rows differ from what the handles held.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refreshed {
    /// They do not.
    Unchanged,
    /// They did; the handles hold the new ones.
    Replaced,
}

/// A key, without its material.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyInfo {
    /// Its id (`kid`).
    pub id: KeyId,
    /// What it is for.
    pub purpose: KeyPurpose,
    /// Where it stands.
    pub state: KeyState,
    /// When it was made.
    pub created_at: UnixMillis,
}

impl KeyVault {
    /// Loads the keys, and makes what is missing: the data key and the first key of each purpose. Also
    /// hands back what the operator should be told about the data key's file.
    pub async fn open(
        store: Arc<dyn Store>,
        data_dir: &Path,
        now: UnixMillis,
    ) -> Result<(Self, Option<KeyFileWarning>)> {
        let rows = store.list_keys().await?;
        let sealed = if rows.is_empty() {
            SealedRows::None
        } else {
            SealedRows::Some
        };
        let file = data_folder::data_key(data_dir, sealed)?;
        let data_key = DataKey::new(&file.key);
        for purpose in KeyPurpose::ALL {
            if !rows.iter().any(|row| row.purpose == purpose) {
                let first = new_key(&data_key, purpose, now)?;
                match insert(store.as_ref(), None, &first, &Actor::system()).await {
                    // Another process made it in the meantime: read below like any other.
                    Ok(()) | Err(StoreError::Conflict(_)) => {}
                    Err(error) => return Err(error.into()),
                }
            }
        }
        let rows = store.list_keys().await?;
        let handles = KeyHandles {
            lookup: SharedKeyring::new(keyring(&data_key, &rows, KeyPurpose::Lookup, LookupKey::new)?),
            device_token: SharedKeyring::new(keyring(&data_key, &rows, KeyPurpose::DeviceToken, |bytes| {
                SealingCipher::new(&bytes)
            })?),
            jwt: OwnKeys::new(signing_keys(&data_key, &rows, KeyPurpose::Jwt)?),
            assertion: OwnKeys::new(signing_keys(&data_key, &rows, KeyPurpose::Assertion)?),
        };
        let vault = Self {
            store,
            data_key,
            handles,
            loaded: Mutex::new(fingerprint(&rows)),
        };
        Ok((vault, file.warning))
    }

    /// The live handles.
    pub fn handles(&self) -> &KeyHandles {
        &self.handles
    }

    /// Every key, oldest first.
    pub(super) async fn list(&self) -> Result<Vec<KeyInfo>> {
        let rows = self.store.list_keys().await?;
        Ok(rows
            .into_iter()
            .map(|row| KeyInfo {
                id: row.id,
                purpose: row.purpose,
                state: row.state,
                created_at: row.created_at,
            })
            .collect())
    }

    /// Puts keys in place that another process made. One small query when nothing changed.
    pub async fn refresh(&self) -> Result<Refreshed> {
        let mut loaded = self.loaded.lock().await;
        let rows = self.store.list_keys().await?;
        let found = fingerprint(&rows);
        if *loaded == found {
            return Ok(Refreshed::Unchanged);
        }
        // All or nothing: every ring is made before the first is put in place.
        let lookup = keyring(&self.data_key, &rows, KeyPurpose::Lookup, LookupKey::new)?;
        let device_token = keyring(&self.data_key, &rows, KeyPurpose::DeviceToken, |bytes| {
            SealingCipher::new(&bytes)
        })?;
        let jwt = signing_keys(&self.data_key, &rows, KeyPurpose::Jwt)?;
        let assertion = signing_keys(&self.data_key, &rows, KeyPurpose::Assertion)?;
        self.handles.lookup.replace(lookup);
        self.handles.device_token.replace(device_token);
        self.handles.jwt.replace(jwt);
        self.handles.assertion.replace(assertion);
        *loaded = found;
        Ok(Refreshed::Replaced)
    }

    /// Seals what the holder of a credential presents, for that credential's row alone.
    pub(super) fn seal_secret(&self, of: &CredentialId, secret: &SecretText) -> Result<Vec<u8>> {
        Ok(self
            .data_key
            .seal(&secret_purpose(of), secret.expose().as_bytes())?)
    }

    /// Opens what was sealed for this credential.
    pub(super) fn open_secret(&self, of: &CredentialId, sealed: &[u8]) -> Result<SecretText> {
        let opened = self.data_key.open(&secret_purpose(of), sealed).ok();
        let text = opened.and_then(|bytes| String::from_utf8(bytes.expose().to_vec()).ok());
        text.map(SecretText::new).ok_or_else(|| {
            AccountsError::Unusable(
                "the stored secret was sealed under another data key, or for another credential; restore the data \
                 key that belongs to this store"
                    .to_owned(),
            )
        })
    }

    /// Makes a new current key of this purpose; in use here when the call returns.
    pub(super) async fn rotate(
        &self,
        purpose: KeyPurpose,
        actor: &Actor,
        now: UnixMillis,
    ) -> Result<KeyInfo> {
        actor.must_reach_all("every key")?;
        let rows = self.store.list_keys().await?;
        let current = rows
            .iter()
            .find(|row| row.purpose == purpose && row.state == KeyState::Current)
            .map(|row| row.id.clone());
        let new = new_key(&self.data_key, purpose, now)?;
        insert(self.store.as_ref(), current.as_ref(), &new, actor).await?;
        self.refresh().await?;
        Ok(KeyInfo {
            id: new.id,
            purpose,
            state: KeyState::Current,
            created_at: now,
        })
    }
}

fn secret_purpose(of: &CredentialId) -> String {
    format!("credential {of}")
}

async fn insert(
    store: &dyn Store,
    expected_current: Option<&KeyId>,
    new: &KeyRecord,
    actor: &Actor,
) -> std::result::Result<(), StoreError> {
    let detail = serde_json::json!({"purpose": new.purpose.as_str()});
    let draft = actor.draft(new.created_at, "key.rotate", new.id.as_str(), detail);
    store.rotate_key(expected_current, new, &draft).await
}

fn new_key(data_key: &DataKey, purpose: KeyPurpose, now: UnixMillis) -> Result<KeyRecord> {
    let letters = random::text(Alphabet::LowerBase36, ID_LETTERS)?;
    let id = KeyId::parse(&letters).map_err(|e| AccountsError::Unusable(e.to_string()))?;
    let material = match purpose {
        KeyPurpose::Lookup | KeyPurpose::DeviceToken => SecretBytes::new(random::key()?.expose().to_vec()),
        KeyPurpose::Jwt | KeyPurpose::Assertion => generate_signing_key(SigningAlgorithm::default())
            .map_err(|e| AccountsError::Unusable(e.to_string()))?,
    };
    let sealed = data_key.seal(&seal_purpose(purpose, &id), material.expose())?;
    Ok(KeyRecord {
        id,
        purpose,
        state: KeyState::Current,
        sealed,
        created_at: now,
    })
}

/// Bound to purpose and id: a row cannot be passed off as another.
fn seal_purpose(purpose: KeyPurpose, id: &KeyId) -> String {
    format!("key {} {id}", purpose.as_str())
}

fn fingerprint(rows: &[KeyRecord]) -> Vec<(KeyId, KeyState)> {
    rows.iter().map(|row| (row.id.clone(), row.state)).collect()
}

/// The keys of one purpose that count: the current one, and previous ones newest first.
fn opened(
    data_key: &DataKey,
    rows: &[KeyRecord],
    purpose: KeyPurpose,
) -> Result<(NamedKey<SecretBytes>, Vec<NamedKey<SecretBytes>>)> {
    let mut current = None;
    let mut previous = Vec::new();
    for row in rows.iter().rev().filter(|row| row.purpose == purpose) {
        if row.state == KeyState::Retired {
            continue;
        }
        let key = data_key
            .open(&seal_purpose(purpose, &row.id), &row.sealed)
            .map_err(|_| {
                AccountsError::Unusable(format!(
                    "the {} key {} cannot be opened with the data key: keys/data.key is not the one this store was \
                     made with. Restore that file from a backup",
                    purpose.as_str(),
                    row.id
                ))
            })?;
        let named = NamedKey {
            id: row.id.clone(),
            key,
        };
        match row.state {
            KeyState::Current => current = Some(named),
            KeyState::Previous | KeyState::Retired => previous.push(named),
        }
    }
    let current = current.ok_or_else(|| {
        AccountsError::Unusable(format!("the store has no current {} key", purpose.as_str()))
    })?;
    Ok((current, previous))
}

fn keyring<K>(
    data_key: &DataKey,
    rows: &[KeyRecord],
    purpose: KeyPurpose,
    make: impl Fn(KeyBytes) -> K,
) -> Result<Keyring<K>> {
    let (current, previous) = opened(data_key, rows, purpose)?;
    let read = |named: NamedKey<SecretBytes>| {
        let bytes = KeyBytes::from_slice(named.key.expose()).ok_or_else(|| {
            AccountsError::Unusable(format!("the {} key {} is damaged", purpose.as_str(), named.id))
        })?;
        Ok(NamedKey {
            id: named.id,
            key: make(bytes),
        })
    };
    let previous: Result<Vec<_>> = previous.into_iter().map(read).collect();
    Keyring::new(read(current)?, previous?).map_err(|e| AccountsError::Unusable(e.to_string()))
}

fn signing_keys(data_key: &DataKey, rows: &[KeyRecord], purpose: KeyPurpose) -> Result<SigningKeys> {
    let (current, previous) = opened(data_key, rows, purpose)?;
    let read = |named: NamedKey<SecretBytes>| {
        SigningKey::from_pkcs8(named.id.clone(), &named.key).map_err(|error| {
            AccountsError::Unusable(format!("the {} key {}: {error}", purpose.as_str(), named.id))
        })
    };
    let previous: Result<Vec<_>> = previous.into_iter().map(read).collect();
    Ok(SigningKeys::new(read(current)?, previous?))
}
