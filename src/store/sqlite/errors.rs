//! From SQLite's and the driver's errors to the store's: whose fault it is. Never the values involved:
//! SQLite's messages name tables and columns only.

use std::io;

use sqlx::error::ErrorKind;

use crate::store::StoreError;

// Result codes of SQLite (sqlite.org/rescode.html). The low byte is the primary code.
const BUSY: i32 = 5;
const LOCKED: i32 = 6;
const CORRUPT: i32 = 11;
const IOERR: i32 = 10;
const FULL: i32 = 13;
const NOTADB: i32 = 26;
/// I/O errors that happen while making room or writing: what a quota or a full disk says besides `FULL`.
const WRITING: [i32; 6] = [
    IOERR | 3 << 8,  // WRITE
    IOERR | 4 << 8,  // FSYNC
    IOERR | 5 << 8,  // DIR_FSYNC
    IOERR | 6 << 8,  // TRUNCATE
    IOERR | 18 << 8, // SHMOPEN
    IOERR | 19 << 8, // SHMSIZE
];

/// What a broken uniqueness rule means, by the column that SQLite names.
const TAKEN: [(&str, &str); 9] = [
    ("credentials.keyed_digest", "this credential is stored already"),
    (
        "credentials.public_id",
        "a credential with this user name exists; replace or revoke that one",
    ),
    ("credentials.id", "a credential with this id exists"),
    (
        "principals.external_id",
        "a principal of this kind with this external id exists",
    ),
    ("principals.id", "a principal with this id exists"),
    ("customers.id", "a customer with this id exists"),
    ("tenants.id", "a tenant with this id exists"),
    ("keys.id", "a key with this id exists"),
    ("keys.purpose", "this purpose has a current key already"),
];

impl From<sqlx::Error> for StoreError {
    fn from(error: sqlx::Error) -> Self {
        match error {
            sqlx::Error::Database(error) => from_database(&*error),
            sqlx::Error::PoolTimedOut => Self::Unavailable(
                "no connection became free in time; another process holds the store's write lock, or the \
                 disk is slow"
                    .to_owned(),
            ),
            sqlx::Error::PoolClosed => Self::Unavailable("it was closed".to_owned()),
            sqlx::Error::Io(error) => from_io("reading or writing the store", &error),
            error @ (sqlx::Error::ColumnDecode { .. } | sqlx::Error::Decode(_)) => {
                Self::Unusable(format!("the store holds a value that cannot be read: {error}"))
            }
            other => Self::Unavailable(other.to_string()),
        }
    }
}

fn from_database(error: &dyn sqlx::error::DatabaseError) -> StoreError {
    let text = error.message().to_owned();
    match error.kind() {
        ErrorKind::UniqueViolation => {
            let meaning = TAKEN.iter().find(|(column, _)| text.contains(column));
            return StoreError::Conflict(meaning.map_or(text, |(_, meaning)| (*meaning).to_owned()));
        }
        ErrorKind::CheckViolation | ErrorKind::NotNullViolation => {
            return StoreError::Conflict(format!("the store's rules do not allow this row: {text}"));
        }
        ErrorKind::ForeignKeyViolation => return StoreError::NotFound("the row this one belongs to"),
        _ => {}
    }
    let code: i32 = error.code().and_then(|c| c.parse().ok()).unwrap_or_default();
    match code & 0xff {
        FULL => StoreError::Full(text),
        IOERR if WRITING.contains(&code) => StoreError::Full(format!("{text} (code {code})")),
        BUSY | LOCKED => StoreError::Unavailable(format!("another process holds its lock: {text}")),
        CORRUPT | NOTADB => StoreError::Unusable(format!(
            "the store's file is damaged: {text}; stop the server and restore a backup"
        )),
        _ => StoreError::Unavailable(format!("{text} (code {code})")),
    }
}

/// An error of the file system while doing `what`.
pub(super) fn from_io(what: &str, error: &io::Error) -> StoreError {
    match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
            StoreError::Full(format!("{what}: {error}"))
        }
        _ => StoreError::Unavailable(format!("{what}: {error}")),
    }
}

/// Says what was missing when a foreign key was broken.
pub(super) fn or_missing(error: sqlx::Error, what: &'static str) -> StoreError {
    match StoreError::from(error) {
        StoreError::NotFound(_) => StoreError::NotFound(what),
        other => other,
    }
}

/// A stored value that this program did not write.
pub(super) fn damaged(column: &str) -> StoreError {
    StoreError::Unusable(format!(
        "the store holds a value in column {column} that this program did not write; restore a backup"
    ))
}
