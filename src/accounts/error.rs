//! What can go wrong in a use case, by whose fault. Doors translate it; nothing here knows HTTP.
//!
//! A text says what was found, what was expected and what to do. It never holds a secret: where the
//! faulty field is one, `found` describes it.

use crate::crypto::{KeyFileError, NoRandomness, SealError, SlowDigestError};
use crate::runtime::slow_pool::SlowPoolError;
use crate::store::StoreError;

/// Why a use case was not carried out. Nothing was changed, unless the text says otherwise.
#[derive(Debug, thiserror::Error)]
pub enum AccountsError {
    /// The caller asked for something that cannot be.
    #[error("{field}: found {found}, expected {expected}")]
    BadInput {
        /// Which part of the request.
        field: &'static str,
        /// What was there; never a secret.
        found: String,
        /// What could have been there.
        expected: String,
    },
    /// What shall be changed or shown does not exist.
    #[error("there is no {what} `{id}`")]
    NotFound {
        /// What sort of thing.
        what: &'static str,
        /// Which one.
        id: String,
    },
    /// It contradicts what is there.
    #[error("{0}")]
    Conflict(String),
    /// It was changed since its changer read it.
    #[error(
        "it was changed meanwhile: its version is {found}, the change was made for another; read it again"
    )]
    Outdated {
        /// Its version now.
        found: u64,
    },
    /// It is not for this actor.
    #[error("{0}")]
    Forbidden(String),
    /// A feature that the configuration does not switch on.
    #[error("{0}")]
    NotConfigured(&'static str),
    /// Too much slow work at once; trying again helps.
    #[error("too many slow operations at once; try again in a moment")]
    Overloaded,
    /// The disk or a quota is full.
    #[error("the store is full, nothing was changed: {0}")]
    Full(String),
    /// The store did not answer.
    #[error("the store is not available: {0}")]
    Unavailable(String),
    /// Keys, files or the store are not what they must be.
    #[error("{0}")]
    Unusable(String),
}

/// Shorthand of this room.
pub type Result<T> = std::result::Result<T, AccountsError>;

impl AccountsError {
    pub(super) fn bad(field: &'static str, found: impl Into<String>, expected: impl Into<String>) -> Self {
        Self::BadInput {
            field,
            found: found.into(),
            expected: expected.into(),
        }
    }

    pub(super) fn not_found(what: &'static str, id: impl Into<String>) -> Self {
        Self::NotFound { what, id: id.into() }
    }
}

impl From<StoreError> for AccountsError {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Unavailable(text) => Self::Unavailable(text),
            StoreError::Full(text) => Self::Full(text),
            StoreError::Conflict(text) => Self::Conflict(text),
            StoreError::Outdated { found } => Self::Outdated { found },
            StoreError::NotFound(what) => Self::Conflict(format!("{what} not found")),
            StoreError::Unusable(text) => Self::Unusable(text),
        }
    }
}

impl From<KeyFileError> for AccountsError {
    fn from(error: KeyFileError) -> Self {
        Self::Unusable(error.to_string())
    }
}

impl From<NoRandomness> for AccountsError {
    fn from(error: NoRandomness) -> Self {
        Self::Unusable(error.to_string())
    }
}

impl From<SealError> for AccountsError {
    fn from(error: SealError) -> Self {
        Self::Unusable(error.to_string())
    }
}

impl From<SlowPoolError> for AccountsError {
    fn from(error: SlowPoolError) -> Self {
        match error {
            SlowPoolError::Overloaded => Self::Overloaded,
            SlowPoolError::Ended => Self::Unusable(error.to_string()),
        }
    }
}

impl From<SlowDigestError> for AccountsError {
    fn from(error: SlowDigestError) -> Self {
        match error {
            SlowDigestError::TooLong => Self::bad(
                "password",
                "more than 72 bytes",
                "at most 72 bytes: bcrypt ignores the rest",
            ),
            SlowDigestError::Nul => Self::bad("password", "a NUL byte", "a text without NUL"),
            SlowDigestError::Unusable | SlowDigestError::NoPepper => Self::Unusable(error.to_string()),
        }
    }
}
