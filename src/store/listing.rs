//! How rows are listed: which ones, in which order, and where a page begins.
//!
//! A page continues behind a [`Cursor`], which names a place and not a row, so that a row that was deleted
//! meanwhile breaks nothing. Every order has an index of its own in each engine: a page costs the same at the
//! beginning and at the end of a million rows.

use crate::domain::clock::UnixMillis;
use crate::domain::identity::{CredentialKind, PrincipalKind};
use crate::domain::ids::{CustomerId, PrincipalId, TenantId};

use super::{CredentialRecord, CustomerRecord, PrincipalRecord, TenantRecord};

/// A place in a listing: what it is ordered by, then the id.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cursor {
    /// What the listing is ordered by: milliseconds since 1970, or a text.
    pub key: String,
    /// The row's id.
    pub id: String,
}

impl Cursor {
    /// The place of a row of this age.
    pub fn of_age(created_at: UnixMillis, id: &str) -> Self {
        Self {
            key: created_at.0.to_string(),
            id: id.to_owned(),
        }
    }

    /// Reads what [`std::fmt::Display`] wrote.
    pub fn parse(text: &str) -> Option<Self> {
        let (key, id) = text.rsplit_once('~')?;
        let fits = !id.is_empty() && text.len() <= MAX_CURSOR_BYTES;
        fits.then(|| Self {
            key: key.to_owned(),
            id: id.to_owned(),
        })
    }

    /// The key of a listing that is ordered by a time.
    pub fn instant(&self) -> Option<UnixMillis> {
        self.key.parse().ok().map(UnixMillis)
    }
}

/// The wire form: `KEY~ID`. An id of ours never holds a tilde.
impl std::fmt::Display for Cursor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}~{}", self.key, self.id)
    }
}

/// Longest text of a cursor.
const MAX_CURSOR_BYTES: usize = 1024;

/// A page of a listing.
#[derive(Debug, Clone, Default)]
pub struct Page {
    /// Where the page before ended; `None`: the first page.
    pub after: Option<Cursor>,
    /// At most this many rows.
    pub limit: u32,
}

impl Page {
    /// The first page.
    pub fn first(limit: u32) -> Self {
        Self { after: None, limit }
    }
}

/// Which tenants to list, oldest first. `None` means any.
#[derive(Debug, Clone, Default)]
pub struct TenantFilter {
    /// Only this one.
    pub id: Option<TenantId>,
}

/// Which customers to list, oldest first. `None` means any.
#[derive(Debug, Clone, Default)]
pub struct CustomerFilter {
    /// Only this tenant's.
    pub tenant: Option<TenantId>,
}

/// Which principals to list, oldest first. `None` means any.
#[derive(Debug, Clone, Default)]
pub struct PrincipalFilter {
    /// Only this kind.
    pub kind: Option<PrincipalKind>,
    /// Only this tenant's.
    pub tenant: Option<TenantId>,
    /// Only this customer's.
    pub customer: Option<CustomerId>,
    /// Only the one with this external id.
    pub external_id: Option<String>,
    /// Only devices of this network.
    pub network: Option<PrincipalId>,
    /// Only those that bear this tag.
    pub tag: Option<String>,
}

/// In which order credentials are listed; always by id within the same key.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum CredentialOrder {
    /// Oldest first.
    #[default]
    Age,
    /// Those whose public part begins so, in the order of their public parts.
    PublicId(String),
    /// Those whose name begins so, in the order of their names; case matters.
    Name(String),
    /// Those that end before this instant, the first to end first.
    EndBefore(UnixMillis),
}

impl CredentialOrder {
    /// The place of a row in this order.
    pub fn cursor(&self, row: &CredentialRecord) -> Cursor {
        let key = match self {
            Self::Age => row.created_at.0.to_string(),
            Self::PublicId(_) => row.public_id.clone().unwrap_or_default(),
            Self::Name(_) => row.name.clone(),
            Self::EndBefore(_) => row.expires_at.map_or(0, |at| at.0).to_string(),
        };
        Cursor {
            key,
            id: row.id.to_string(),
        }
    }
}

/// Where a credential stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CredentialState {
    /// Good now, and not replaced.
    Active,
    /// Good now, but replaced by another: it ends soon.
    Expiring,
    /// Switched off; it can be switched on again.
    Disabled,
    /// Its time is over.
    Expired,
    /// Ended for good.
    Revoked,
    /// Ended, and to be forgotten.
    Deleted,
}

impl CredentialState {
    /// Every state.
    pub const ALL: [Self; 6] = [
        Self::Active,
        Self::Expiring,
        Self::Disabled,
        Self::Expired,
        Self::Revoked,
        Self::Deleted,
    ];

    /// The name in the API.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Expiring => "expiring",
            Self::Disabled => "disabled",
            Self::Expired => "expired",
            Self::Revoked => "revoked",
            Self::Deleted => "deleted",
        }
    }

    /// The state of this name.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|s| s.as_str() == text)
    }

    /// Where this credential stands now. What is for good is named first.
    pub fn of(row: &CredentialRecord, now: UnixMillis) -> Self {
        if row.deleted_at.is_some() {
            Self::Deleted
        } else if row.revoked_at.is_some() {
            Self::Revoked
        } else if row.expires_at.is_some_and(|end| end <= now) {
            Self::Expired
        } else if row.enabled == super::Enabled::No {
            Self::Disabled
        } else if row.replaced_by.is_some() {
            Self::Expiring
        } else {
            Self::Active
        }
    }
}

/// Which credentials to list. `None` means any.
#[derive(Debug, Clone, Default)]
pub struct CredentialFilter {
    /// In which order, and which part of it.
    pub order: CredentialOrder,
    /// Only this kind.
    pub kind: Option<CredentialKind>,
    /// Only this principal's.
    pub principal: Option<PrincipalId>,
    /// Only those of this tenant's principals.
    pub tenant: Option<TenantId>,
    /// Only those of this customer's principals.
    pub customer: Option<CustomerId>,
    /// Only those in this state at this instant.
    pub state: Option<(CredentialState, UnixMillis)>,
    /// Only those that bear this tag.
    pub tag: Option<String>,
    /// Only those with this label.
    pub environment: Option<String>,
    /// Only those that were made, and last used, before this instant.
    pub unused_since: Option<UnixMillis>,
}

/// What has a place in a listing by age.
pub trait Aged {
    /// Its place.
    fn cursor(&self) -> Cursor;
}

macro_rules! aged {
    ($($record:ty),*) => {
        $(impl Aged for $record {
            fn cursor(&self) -> Cursor {
                Cursor::of_age(self.created_at, self.id.as_str())
            }
        })*
    };
}
aged!(TenantRecord, CustomerRecord, PrincipalRecord);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_comes_back_from_its_text_and_nonsense_does_not() {
        for (key, id) in [("1700000000000", "0190-abc"), ("dw_1a~2b", "x"), ("", "x")] {
            let cursor = Cursor {
                key: key.to_owned(),
                id: id.to_owned(),
            };
            assert_eq!(Cursor::parse(&cursor.to_string()), Some(cursor));
        }
        for nonsense in ["", "no-tilde", "key~"] {
            assert_eq!(Cursor::parse(nonsense), None, "{nonsense:?}");
        }
        assert_eq!(
            Cursor::parse(&format!("{}~x", "k".repeat(1024))),
            None,
            "too long"
        );
    }
}
