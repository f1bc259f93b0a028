//! From columns to the domain's types and back. What does not parse was not written by this program and is
//! reported with its column, never with its content.

use sqlx::sqlite::SqliteRow;
use sqlx::{QueryBuilder, Row, Sqlite};

use super::errors::damaged;
use crate::domain::clock::UnixMillis;
use crate::domain::ids::InvalidId;
use crate::domain::scope::{Role, ScopeSet};
use crate::store::{About, Enabled, Page, Result, StoreError};

/// A column of a type the driver knows.
pub(super) fn plain<'r, T>(row: &'r SqliteRow, column: &'static str) -> Result<T>
where
    T: sqlx::Decode<'r, Sqlite> + sqlx::Type<Sqlite>,
{
    row.try_get(column).map_err(|_| damaged(column))
}

/// An id.
pub(super) fn id<T: std::str::FromStr<Err = InvalidId>>(row: &SqliteRow, column: &'static str) -> Result<T> {
    plain::<&str>(row, column)?.parse().map_err(|_| damaged(column))
}

/// An id that may be absent.
pub(super) fn optional_id<T: std::str::FromStr<Err = InvalidId>>(
    row: &SqliteRow,
    column: &'static str,
) -> Result<Option<T>> {
    plain::<Option<&str>>(row, column)?
        .map(|text| text.parse().map_err(|_| damaged(column)))
        .transpose()
}

/// One of a closed list of names.
pub(super) fn named<T>(
    row: &SqliteRow,
    column: &'static str,
    parse: impl FnOnce(&str) -> Option<T>,
) -> Result<T> {
    parse(plain(row, column)?).ok_or_else(|| damaged(column))
}

/// An instant.
pub(super) fn instant(row: &SqliteRow, column: &'static str) -> Result<UnixMillis> {
    plain(row, column).map(UnixMillis)
}

/// An instant that may be absent.
pub(super) fn optional_instant(row: &SqliteRow, column: &'static str) -> Result<Option<UnixMillis>> {
    Ok(plain::<Option<i64>>(row, column)?.map(UnixMillis))
}

/// A count or sequence number.
pub(super) fn natural(row: &SqliteRow, column: &'static str) -> Result<u64> {
    u64::try_from(plain::<i64>(row, column)?).map_err(|_| damaged(column))
}

/// 32 bytes.
pub(super) fn digest(row: &SqliteRow, column: &'static str) -> Result<[u8; 32]> {
    plain::<&[u8]>(row, column)?
        .try_into()
        .map_err(|_| damaged(column))
}

/// A switch.
pub(super) fn enabled(row: &SqliteRow, column: &'static str) -> Result<Enabled> {
    match plain::<i64>(row, column)? {
        0 => Ok(Enabled::No),
        1 => Ok(Enabled::Yes),
        _ => Err(damaged(column)),
    }
}

/// A switch as stored.
pub(super) fn switch(enabled: Enabled) -> i64 {
    match enabled {
        Enabled::No => 0,
        Enabled::Yes => 1,
    }
}

/// A count or sequence number as stored. SQLite's integers end at 2^63 - 1, which no count reaches.
pub(super) fn stored(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

/// A list of things whose texts hold no space.
pub(super) fn list<T>(
    row: &SqliteRow,
    column: &'static str,
    parse: impl Fn(&str) -> Option<T>,
) -> Result<Vec<T>> {
    plain::<&str>(row, column)?
        .split_ascii_whitespace()
        .map(|text| parse(text).ok_or_else(|| damaged(column)))
        .collect()
}

/// A list as stored.
pub(super) fn joined(texts: impl IntoIterator<Item = impl AsRef<str>>) -> String {
    let mut all = String::new();
    for text in texts {
        if !all.is_empty() {
            all.push(' ');
        }
        all.push_str(text.as_ref());
    }
    all
}

/// Scopes.
pub(super) fn scopes(row: &SqliteRow, column: &'static str) -> Result<ScopeSet> {
    ScopeSet::parse(plain::<&str>(row, column)?.split_ascii_whitespace()).map_err(|_| damaged(column))
}

/// Roles.
pub(super) fn roles(row: &SqliteRow, column: &'static str) -> Result<Vec<Role>> {
    list(row, column, |text| Role::parse(text).ok())
}

/// JSON of a known shape.
pub(super) fn json<T: serde::de::DeserializeOwned>(row: &SqliteRow, column: &'static str) -> Result<T> {
    serde_json::from_str(plain(row, column)?).map_err(|_| damaged(column))
}

/// What people wrote on a thing, from its three columns.
pub(super) fn about(row: &SqliteRow, columns: [&'static str; 3]) -> Result<About> {
    let [description, metadata, tags] = columns;
    Ok(About {
        description: plain(row, description)?,
        metadata: json(row, metadata)?,
        tags: list(row, tags, |text| Some(text.to_owned()))?,
    })
}

/// Metadata as stored.
pub(super) fn metadata(about: &About) -> String {
    serde_json::Value::from(about.metadata.clone()).to_string()
}

/// A version as stored, raised by one.
pub(super) fn next_version(version: u64) -> i64 {
    stored(version.saturating_add(1))
}

/// The row must still be of the version that its changer read.
pub(super) fn same_version(row: &SqliteRow, expected: u64) -> Result<()> {
    match natural(row, "version")? {
        found if found == expected => Ok(()),
        found => Err(StoreError::Outdated { found }),
    }
}

/// Says what else refers to a row that was to be deleted.
pub(super) fn or_held(error: sqlx::Error, held: &str) -> StoreError {
    match StoreError::from(error) {
        StoreError::NotFound(_) => StoreError::Conflict(held.to_owned()),
        other => other,
    }
}

/// The cursor does not belong to this listing.
pub(super) const FOREIGN_CURSOR: StoreError = StoreError::NotFound("page to continue after");

/// Continues a query for the rows of `table` by age: behind the page's cursor, in order, no more than asked for.
pub(super) fn page_by_age(query: &mut QueryBuilder<Sqlite>, table: &str, page: &Page) -> Result<()> {
    if let Some(after) = &page.after {
        let created_at = after.instant().ok_or(FOREIGN_CURSOR)?;
        query
            .push(format_args!(" AND ({table}.created_at, {table}.id) > ("))
            .push_bind(created_at.0)
            .push(", ")
            .push_bind(after.id.clone())
            .push(")");
    }
    query
        .push(format_args!(" ORDER BY {table}.created_at, {table}.id LIMIT "))
        .push_bind(i64::from(page.limit));
    Ok(())
}
