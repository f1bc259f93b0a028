//! Making device tokens: a random text to be shown once, and a row with its keyed digest.

use super::format;
use super::settings::IssueForm;
use crate::authn::kinds::stored::{FoundBy, Grant, IssuedCredential};
use crate::crypto::{LookupKey, NoRandomness, SharedKeyring};
use crate::domain::clock::UnixMillis;
use crate::domain::identity::CredentialKind;
use crate::domain::secret::SecretText;
use crate::store::KeyedDigest;

/// A new device token.
pub fn issue(
    form: IssueForm,
    lookup_keys: &SharedKeyring<LookupKey>,
    grant: Grant,
    now: UnixMillis,
) -> Result<IssuedCredential, NoRandomness> {
    let token = format::random_token(form)?;
    let ring = lookup_keys.load();
    let key = ring.current();
    let found_by = FoundBy {
        keyed_digest: Some(KeyedDigest {
            digest: key.key.digest(token.as_bytes()),
            key: key.id.clone(),
        }),
        ..FoundBy::default()
    };
    Ok(IssuedCredential {
        secret: SecretText::new(token.as_str().to_owned()),
        record: grant.into_record(CredentialKind::DeviceToken, found_by, now),
    })
}
