//! The bytes of a device token: opaque. We issue few forms and verify any visible ASCII.

use zeroize::Zeroizing;

use super::settings::IssueForm;
use crate::authn::presented::MAX_CREDENTIAL_BYTES;
use crate::crypto::{Alphabet, NoRandomness, random};

/// Start of the prefixed form.
const PREFIX: &str = "dwt_";

/// Whether the bytes can be a device token: 1 byte to 16 KiB of visible ASCII.
pub fn is_device_token(credential: &[u8]) -> bool {
    (1..=MAX_CREDENTIAL_BYTES).contains(&credential.len()) && credential.iter().all(u8::is_ascii_graphic)
}

/// A new random token.
pub(super) fn random_token(form: IssueForm) -> Result<Zeroizing<String>, NoRandomness> {
    match form {
        IssueForm::Uuid => {
            let mut bytes = Zeroizing::new([0_u8; 16]);
            random::fill(bytes.as_mut_slice())?;
            let uuid = uuid::Builder::from_random_bytes(*bytes).into_uuid();
            Ok(Zeroizing::new(uuid.hyphenated().to_string()))
        }
        IssueForm::Alphanumeric => random::text(Alphabet::Base62, 20),
        IssueForm::Prefixed => {
            let mut token = Zeroizing::new(String::with_capacity(36));
            token.push_str(PREFIX);
            token.push_str(&random::text(Alphabet::Base62, 32)?);
            Ok(token)
        }
    }
}
