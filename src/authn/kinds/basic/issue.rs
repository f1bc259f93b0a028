//! Making basic credentials: a row with the slow digest of a chosen or a random password.

use super::format::{self, Malformed};
use super::settings::Settings;
use crate::authn::kinds::stored::{FoundBy, Grant, IssuedCredential};
use crate::crypto::{Alphabet, NoRandomness, SlowDigestError, random, slow_digest};
use crate::domain::clock::UnixMillis;
use crate::domain::identity::CredentialKind;
use crate::domain::secret::SecretText;
use crate::runtime::slow_pool::{Party, SlowPool, SlowPoolError};

/// Letters of a random password: 142 bits.
const RANDOM_LETTERS: usize = 24;

/// Which password the new credential gets.
#[derive(Debug, Clone)]
pub enum Password {
    /// A random one, shown once.
    Random,
    /// A chosen one.
    Chosen(SecretText),
}

/// Why no credential was made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum IssueError {
    /// The user name cannot be presented.
    #[error("the user name must have 1 to 255 bytes, without a colon or a control character")]
    InvalidUser,
    /// The chosen password is too short.
    #[error("the password has {found} characters, expected at least {expected}")]
    PasswordTooShort {
        /// How many it has.
        found: usize,
        /// How many it needs.
        expected: usize,
    },
    /// The chosen password cannot be presented.
    #[error("the password contains a control character")]
    InvalidPassword,
    /// bcrypt would not read the chosen password whole.
    #[error(transparent)]
    SlowDigest(#[from] SlowDigestError),
    /// No randomness.
    #[error(transparent)]
    NoRandomness(#[from] NoRandomness),
    /// The slow digest could not be made now.
    #[error(transparent)]
    SlowPool(#[from] SlowPoolError),
}

impl From<Malformed> for IssueError {
    fn from(Malformed: Malformed) -> Self {
        Self::InvalidUser
    }
}

/// A new basic credential. The secret handed back is the password.
pub async fn issue(
    settings: &Settings,
    user: &str,
    password: Password,
    pool: &SlowPool,
    grant: Grant,
    now: UnixMillis,
) -> Result<IssuedCredential, IssueError> {
    format::check_user(user)?;
    let password = match password {
        Password::Random => {
            let letters = random::text(Alphabet::Base62, RANDOM_LETTERS)?;
            SecretText::new(letters.as_str().to_owned())
        }
        Password::Chosen(password) => check_password(settings, password)?,
    };
    let (secret, cost) = (password.clone(), settings.bcrypt_cost);
    let job = move || slow_digest::bcrypt_hash(secret.expose().as_bytes(), cost);
    let found_by = FoundBy {
        public_id: Some(user.to_owned()),
        slow_digest: Some(pool.run(Party::Operator, job).await??),
        ..FoundBy::default()
    };
    Ok(IssuedCredential {
        secret: password,
        record: grant.into_record(CredentialKind::Basic, found_by, now),
    })
}

fn check_password(settings: &Settings, password: SecretText) -> Result<SecretText, IssueError> {
    let (found, expected) = (password.expose().chars().count(), settings.min_password_chars);
    if found < expected {
        return Err(IssueError::PasswordTooShort { found, expected });
    }
    slow_digest::check_secret(password.expose().as_bytes())?;
    if password.expose().chars().any(char::is_control) {
        return Err(IssueError::InvalidPassword);
    }
    Ok(password)
}
