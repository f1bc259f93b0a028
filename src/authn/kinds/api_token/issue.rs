//! Making API tokens: a random text to be shown once, and a row with its digests.

use super::format;
use super::settings::{DigestMode, HexTokens, Prefix, Settings};
use crate::authn::kinds::stored::{FoundBy, Grant, IssuedCredential};
use crate::crypto::{LookupKey, NoRandomness, SharedKeyring, SlowDigestError, slow_digest};
use crate::domain::clock::UnixMillis;
use crate::domain::identity::CredentialKind;
use crate::domain::secret::SecretText;
use crate::runtime::slow_pool::{Party, SlowPool, SlowPoolError};
use crate::store::KeyedDigest;

/// In which form a new token is made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum IssueForm {
    /// With this prefix, in its layout.
    Prefixed(Prefix),
    /// 64 hexadecimal letters.
    Hex,
}

/// Why no token was made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum IssueError {
    /// The form would not be recognized when presented.
    #[error("this form of API token is not accepted here; register it in credentials.api_token first")]
    NotAccepted,
    /// No randomness.
    #[error(transparent)]
    NoRandomness(#[from] NoRandomness),
    /// The slow digest could not be made now.
    #[error(transparent)]
    SlowPool(#[from] SlowPoolError),
    /// The slow digest could not be made at all.
    #[error(transparent)]
    SlowDigest(#[from] SlowDigestError),
}

/// A new API token. ThingsBoard's layout is longer than what bcrypt reads (72 bytes), so its row has the keyed
/// digest alone in either mode.
pub async fn issue(
    settings: &Settings,
    form: &IssueForm,
    lookup_keys: &SharedKeyring<LookupKey>,
    pool: &SlowPool,
    grant: Grant,
    now: UnixMillis,
) -> Result<IssuedCredential, IssueError> {
    let token = match form {
        IssueForm::Prefixed(prefix) if settings.prefixes.contains(prefix) => format::random_token(prefix)?,
        IssueForm::Hex if settings.hex == HexTokens::Accepted => format::random_hex_token()?,
        IssueForm::Prefixed(_) | IssueForm::Hex => return Err(IssueError::NotAccepted),
    };
    let public_id = format::public_id(settings, token.as_bytes()).map_err(|_| IssueError::NotAccepted)?;
    let slow_digest = match settings.digest {
        DigestMode::BcryptAndKeyed if slow_digest::check_secret(token.as_bytes()).is_ok() => {
            let (secret, cost) = (token.clone(), settings.bcrypt_cost);
            let job = move || slow_digest::bcrypt_hash(secret.as_bytes(), cost);
            Some(pool.run(Party::Operator, job).await??)
        }
        DigestMode::BcryptAndKeyed | DigestMode::Keyed => None,
    };
    let ring = lookup_keys.load_full();
    let key = ring.current();
    let found_by = FoundBy {
        public_id: Some(public_id.to_owned()),
        keyed_digest: Some(KeyedDigest {
            digest: key.key.digest(token.as_bytes()),
            key: key.id.clone(),
        }),
        slow_digest,
    };
    Ok(IssuedCredential {
        secret: SecretText::new(token.as_str().to_owned()),
        record: grant.into_record(CredentialKind::ApiToken, found_by, now),
    })
}
