//! Sealed device tokens: everything is in the token, sealed with AES-256-GCM.
//!
//! Opened by arithmetic alone on the data thread (about a microsecond), so verdicts are not cached and no
//! store is read; revocation by token, device or all is the surrounding room's. Two forms, told apart in
//! `format`: the NestJS-compatible one, and ours with key ids, tenant and scopes.

pub mod format;
pub mod issue;
pub mod settings;

use std::time::Duration;

use async_trait::async_trait;

use self::format::{CompatiblePayload, Malformed, OWN_ASSOCIATED, OwnPayload, Shape};
pub use self::settings::Settings;
use super::stored::device_category;
use crate::authn::material::CredentialRules;
use crate::authn::presented::{Presented, PresentedOwned};
use crate::authn::toll::Toll;
use crate::authn::verifier::{Inspection, Rejection, Verified, Verifier};
use crate::crypto;
use crate::domain::clock::{Now, UnixMillis};
use crate::domain::identity::{CredentialKind, Identity, PrincipalKind};
use crate::domain::ids::{CredentialId, InvalidId, PrincipalId, TenantId};
use crate::domain::reason::Reason;
use crate::domain::scope::{Permission, Role, ScopeSet};

/// What an opened token says.
#[derive(Debug, Clone, PartialEq)]
pub struct Opened {
    /// The device's stable id.
    pub device: PrincipalId,
    /// The token's id: a digest of its decoded bytes, so that a re-spelled Base64 is the same token.
    pub credential: CredentialId,
    /// When it was made.
    pub issued_at: UnixMillis,
    /// The last instant at which it is good.
    pub expires_at: UnixMillis,
    /// Its tenant, in our own form.
    pub tenant: Option<TenantId>,
    /// Its scopes, in our own form.
    pub scopes: ScopeSet,
}

impl From<Malformed> for Reason {
    fn from(Malformed: Malformed) -> Self {
        Self::CredentialMalformed
    }
}

/// How far a sealer's clock may be ahead of ours. What says that it was made later than that is refused: a
/// cut ends what was made before it, and would spare a token from the future.
pub const MAX_AHEAD: Duration = Duration::from_secs(30);

/// Opens a token and checks its times.
pub fn open(settings: &Settings, credential: &[u8], now: UnixMillis) -> Result<Opened, Reason> {
    let opened = match format::shape(credential)? {
        Shape::Compatible { encoded } => open_compatible(settings, encoded)?,
        Shape::Own { key_id, encoded } => open_own(settings, key_id, encoded)?,
    };
    // The original accepts the very millisecond of `expiresAt`.
    if now > opened.expires_at {
        return Err(Reason::CredentialExpired);
    }
    if opened.issued_at > now.plus(MAX_AHEAD) {
        return Err(Reason::CredentialNotYetValid);
    }
    Ok(opened)
}

fn open_compatible(settings: &Settings, encoded: &str) -> Result<Opened, Reason> {
    let sealed = format::decode(encoded)?;
    let (iv, tag, text) = format::split_compatible(&sealed).ok_or(Malformed)?;
    let cipher = settings.v1_key.as_ref().ok_or(Reason::CredentialInvalid)?;
    let mut text = text.to_vec();
    cipher
        .open(iv, tag, b"", &mut text)
        .map_err(|_| Reason::CredentialInvalid)?;
    let payload = CompatiblePayload::parse(&text)?;
    Ok(Opened {
        device: id(PrincipalId::parse(&payload.device))?,
        credential: id(credential_id(&sealed))?,
        issued_at: UnixMillis(payload.issued_at_ms),
        expires_at: UnixMillis(payload.expires_at_ms),
        tenant: None,
        scopes: ScopeSet::default(),
    })
}

fn open_own(settings: &Settings, key_id: &str, encoded: &str) -> Result<Opened, Reason> {
    let sealed = format::decode_own(encoded)?;
    let (nonce, text, tag) = format::split_own(&sealed).ok_or(Malformed)?;
    let ring = settings.v2_keys.load();
    let key = ring.find(key_id).ok_or(Reason::CredentialInvalid)?;
    let mut text = text.to_vec();
    key.key
        .open(nonce, tag, OWN_ASSOCIATED, &mut text)
        .map_err(|_| Reason::CredentialInvalid)?;
    let payload: OwnPayload<'_> = serde_json::from_slice(&text).map_err(|_| Malformed)?;
    let scopes = payload.scopes.as_deref().unwrap_or_default();
    Ok(Opened {
        device: id(PrincipalId::parse(&payload.device))?,
        credential: id(credential_id(&sealed))?,
        issued_at: UnixMillis(payload.issued_at_ms),
        expires_at: UnixMillis(payload.expires_at_ms),
        tenant: payload
            .tenant
            .as_deref()
            .map(|t| id(TenantId::parse(t)))
            .transpose()?,
        scopes: id(ScopeSet::parse(scopes.split_ascii_whitespace()))?,
    })
}

/// An authentic token with an id that we could not have written: sealed by somebody else's program.
fn id<T>(parsed: Result<T, InvalidId>) -> Result<T, Reason> {
    parsed.map_err(|_| Reason::CredentialMalformed)
}

/// The id of a token, from its decoded bytes.
fn credential_id(sealed: &[u8]) -> Result<CredentialId, InvalidId> {
    let mut text = [0_u8; 64];
    hex::encode_to_slice(crypto::sha256(sealed), &mut text).map_err(|_| InvalidId::TooLong)?;
    CredentialId::parse(std::str::from_utf8(&text).map_err(|_| InvalidId::BadCharacter)?)
}

/// Verifies sealed device tokens.
#[derive(Debug)]
pub struct SealedDeviceTokens {
    settings: std::sync::Arc<Settings>,
    category: Option<Role>,
}

impl SealedDeviceTokens {
    /// Shares its settings, and so its keys, with those who issue.
    pub fn new(settings: std::sync::Arc<Settings>) -> Self {
        Self {
            settings,
            category: device_category(),
        }
    }

    fn verify(&self, credential: &[u8], now: Now) -> Result<Verified, Rejection> {
        let opened = open(&self.settings, credential, now.wall).map_err(Rejection::caller)?;
        Ok(Verified {
            identity: Identity {
                principal: opened.device.clone(),
                principal_kind: PrincipalKind::Device,
                credential_kind: CredentialKind::SealedDeviceToken,
                credential: opened.credential,
                tenant: opened.tenant,
                customer: None,
                scopes: opened.scopes,
                roles: Vec::new(),
                permission: Permission::Full,
                write_access: self.settings.write_access,
                device_id: Some(opened.device),
                category: self.category.clone(),
                issued_at: Some(opened.issued_at),
                expires_at: Some(opened.expires_at),
            },
            rules: CredentialRules::default(),
        })
    }
}

#[async_trait]
impl Verifier for SealedDeviceTokens {
    fn kind(&self) -> CredentialKind {
        CredentialKind::SealedDeviceToken
    }

    fn inspect(&self, presented: &Presented<'_>, now: Now) -> Inspection {
        match self.verify(presented.credential, now) {
            Ok(verified) => Inspection::Verified(Box::new(verified)),
            Err(rejection) => Inspection::Refused(rejection),
        }
    }

    fn cached(&self) -> bool {
        false
    }

    async fn look_up(
        &self,
        presented: &PresentedOwned,
        _toll: &Toll,
        now: Now,
    ) -> Result<Verified, Rejection> {
        self.verify(presented.credential.expose(), now)
    }
}

#[cfg(test)]
mod tests;
