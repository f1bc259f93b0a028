//! Making sealed device tokens: nothing is stored, the token carries everything.

use super::format::{self, CompatiblePayload, OWN_ASSOCIATED, OwnPayload};
use super::settings::Settings;
use crate::authn::presented::MAX_CREDENTIAL_BYTES;
use crate::crypto::aead::{COMPATIBLE_IV_BYTES, NONCE_BYTES};
use crate::crypto::{self, NoRandomness, SealError, random};
use crate::domain::clock::UnixMillis;
use crate::domain::ids::{CredentialId, InvalidId, PrincipalId, TenantId};
use crate::domain::scope::ScopeSet;
use crate::domain::secret::SecretText;

/// Longest identifier accepted, in bytes.
const MAX_IDENTIFIER_BYTES: usize = 4096;

/// Why no token was made.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum IssueError {
    /// Fewer characters than the settings ask for.
    #[error("the device identifier has {found} characters after trimming, expected at least {expected}")]
    IdentifierTooShort {
        /// How many it has.
        found: usize,
        /// How many it needs.
        expected: usize,
    },
    /// More bytes than any identifier needs.
    #[error("the device identifier is longer than 4096 bytes")]
    IdentifierTooLong,
    /// The compatible form was asked for and has no key.
    #[error("no key is configured for the compatible form (credentials.sealed_device_token.key_file)")]
    NoCompatibleKey,
    /// The current key's id cannot stand in a token.
    #[error(
        "the id of the current device token key cannot stand in a token; expected letters, digits, - and _"
    )]
    UnusableKeyId,
    /// More scopes than a credential may be long.
    #[error("the token would be longer than 16 KiB; give it fewer scopes")]
    TooLong,
    /// Sealing failed.
    #[error(transparent)]
    Seal(#[from] SealError),
    /// An id of ours could not be made of a digest.
    #[error(transparent)]
    Id(#[from] InvalidId),
}

impl From<NoRandomness> for IssueError {
    fn from(error: NoRandomness) -> Self {
        Self::Seal(error.into())
    }
}

/// A new sealed token.
#[derive(Debug)]
pub struct IssuedToken {
    /// The token, to be handed to the device.
    pub token: SecretText,
    /// The device's stable id.
    pub device: PrincipalId,
    /// The token's id, by which it can be revoked.
    pub credential: CredentialId,
    /// When it was made.
    pub issued_at: UnixMillis,
    /// The last instant at which it is good.
    pub expires_at: UnixMillis,
}

/// The stable id of a device: lower-case hexadecimal SHA-256 of its trimmed identifier.
pub fn device_id(settings: &Settings, identifier: &str) -> Result<PrincipalId, IssueError> {
    let trimmed = trimmed(identifier);
    if trimmed.len() > MAX_IDENTIFIER_BYTES {
        return Err(IssueError::IdentifierTooLong);
    }
    let (found, expected) = (trimmed.chars().count(), settings.min_identifier_chars);
    if found < expected {
        return Err(IssueError::IdentifierTooShort { found, expected });
    }
    Ok(PrincipalId::parse(&hex::encode(crypto::sha256(
        trimmed.as_bytes(),
    )))?)
}

/// An identifier without what JavaScript's `trim` removes: Unicode's white space with U+FEFF and without U+0085.
pub fn trimmed(text: &str) -> &str {
    text.trim_matches(|c: char| c == '\u{feff}' || (c.is_whitespace() && c != '\u{85}'))
}

/// A new token in the compatible form.
pub fn issue_compatible(
    settings: &Settings,
    identifier: &str,
    now: UnixMillis,
) -> Result<IssuedToken, IssueError> {
    let cipher = settings.v1_key.as_ref().ok_or(IssueError::NoCompatibleKey)?;
    let device = device_id(settings, identifier)?;
    let expires_at = now.plus(settings.lifetime);
    let mut iv = [0_u8; COMPATIBLE_IV_BYTES];
    random::fill(&mut iv)?;
    let mut text = CompatiblePayload::write(device.as_str(), now.0, expires_at.0);
    let tag = cipher.seal(&iv, b"", &mut text)?;
    finish(
        format::encode_compatible(&iv, &tag, &text),
        device,
        now,
        expires_at,
    )
}

/// A new token in our own form, with its tenant and scopes.
pub fn issue_own(
    settings: &Settings,
    identifier: &str,
    tenant: Option<&TenantId>,
    scopes: &ScopeSet,
    now: UnixMillis,
) -> Result<IssuedToken, IssueError> {
    let device = device_id(settings, identifier)?;
    let expires_at = now.plus(settings.lifetime);
    let scopes = (!scopes.is_empty()).then(|| scopes.to_string());
    let payload = OwnPayload {
        device: device.as_str().into(),
        issued_at_ms: now.0,
        expires_at_ms: expires_at.0,
        tenant: tenant.map(|t| t.as_str().into()),
        scopes: scopes.as_deref().map(Into::into),
    };
    let mut text = serde_json::to_vec(&payload).map_err(|_| IssueError::TooLong)?;
    let ring = settings.v2_keys.load();
    let key = ring.current();
    if !format::is_key_id(key.id.as_str()) {
        return Err(IssueError::UnusableKeyId);
    }
    let mut nonce = [0_u8; NONCE_BYTES];
    random::fill(&mut nonce)?;
    let tag = key.key.seal(&nonce, OWN_ASSOCIATED, &mut text)?;
    finish(
        format::encode_own(key.id.as_str(), &nonce, &text, &tag),
        device,
        now,
        expires_at,
    )
}

fn finish(
    (token, sealed): (String, Vec<u8>),
    device: PrincipalId,
    issued_at: UnixMillis,
    expires_at: UnixMillis,
) -> Result<IssuedToken, IssueError> {
    if token.len() > MAX_CREDENTIAL_BYTES {
        return Err(IssueError::TooLong);
    }
    Ok(IssuedToken {
        token: SecretText::new(token),
        device,
        credential: super::credential_id(&sealed)?,
        issued_at,
        expires_at,
    })
}
