//! Listings of credentials: one query, built from what is asked for. Each order has an index, so that a page is
//! read from the place where it begins; filters that are narrow have one too (the migrations say which).

use sqlx::{QueryBuilder, Sqlite};

use super::credentials::columns;
use super::rows::{self, FOREIGN_CURSOR};
use crate::store::{CredentialFilter, CredentialOrder, CredentialState, Page, Result};

/// The query for a page.
pub(super) fn query(filter: &CredentialFilter, page: &Page) -> Result<QueryBuilder<Sqlite>> {
    let mut query = QueryBuilder::new(concat!("SELECT ", columns!(), " FROM credentials c WHERE TRUE"));
    narrow(&mut query, filter);
    match &filter.order {
        CredentialOrder::Age => rows::page_by_age(&mut query, "c", page)?,
        CredentialOrder::PublicId(prefix) => by_text(&mut query, "public_id", prefix, page),
        CredentialOrder::Name(prefix) => by_text(&mut query, "name", prefix, page),
        CredentialOrder::EndBefore(end) => {
            query.push(" AND c.expires_at < ").push_bind(end.0);
            if let Some(after) = &page.after {
                let at = after.instant().ok_or(FOREIGN_CURSOR)?;
                query
                    .push(" AND (c.expires_at, c.id) > (")
                    .push_bind(at.0)
                    .push(", ")
                    .push_bind(after.id.clone())
                    .push(")");
            }
            query
                .push(" ORDER BY c.expires_at, c.id LIMIT ")
                .push_bind(i64::from(page.limit));
        }
    }
    Ok(query)
}

/// The rows whose text begins with the prefix: from it up to the first text behind all of them.
fn by_text(query: &mut QueryBuilder<Sqlite>, column: &'static str, prefix: &str, page: &Page) {
    let column = format!("c.{column}");
    query
        .push(format_args!(" AND {column} >= "))
        .push_bind(prefix.to_owned());
    if let Some(end) = behind(prefix) {
        query.push(format_args!(" AND {column} < ")).push_bind(end);
    }
    if let Some(after) = &page.after {
        query
            .push(format_args!(" AND ({column}, c.id) > ("))
            .push_bind(after.key.clone())
            .push(", ")
            .push_bind(after.id.clone())
            .push(")");
    }
    query
        .push(format_args!(" ORDER BY {column}, c.id LIMIT "))
        .push_bind(i64::from(page.limit));
}

/// The first text behind every text that begins so. `None`: there is no such text.
fn behind(prefix: &str) -> Option<String> {
    let mut letters: Vec<char> = prefix.chars().collect();
    while let Some(last) = letters.pop() {
        // The next character: behind the last one before the surrogates comes the first one after them.
        let next = (u32::from(last) + 1..=0x0010_ffff).find_map(char::from_u32);
        if let Some(next) = next {
            letters.push(next);
            return Some(letters.into_iter().collect());
        }
    }
    None
}

fn narrow(query: &mut QueryBuilder<Sqlite>, filter: &CredentialFilter) {
    if let Some(kind) = filter.kind {
        query.push(" AND c.kind = ").push_bind(kind.as_str());
    }
    if let Some(principal) = &filter.principal {
        query
            .push(" AND c.principal = ")
            .push_bind(principal.as_str().to_owned());
    }
    if let Some(tenant) = &filter.tenant {
        query
            .push(" AND c.tenant = ")
            .push_bind(tenant.as_str().to_owned());
    }
    if let Some(customer) = &filter.customer {
        query
            .push(" AND c.customer = ")
            .push_bind(customer.as_str().to_owned());
    }
    if let Some(environment) = &filter.environment {
        query.push(" AND c.environment = ").push_bind(environment.clone());
    }
    if let Some(tag) = &filter.tag {
        query
            .push(" AND c.id IN (SELECT g.credential FROM credential_tags g WHERE g.tag = ")
            .push_bind(tag.clone())
            .push(")");
    }
    if let Some(before) = filter.unused_since {
        query
            .push(" AND c.created_at < ")
            .push_bind(before.0)
            .push(" AND NOT EXISTS (SELECT 1 FROM usage s WHERE s.credential = c.id AND s.last_used_at >= ")
            .push_bind(before.0)
            .push(")");
    }
    if let Some((state, now)) = filter.state {
        // As `CredentialState::of` has it.
        match state {
            CredentialState::Deleted => query.push(" AND c.deleted_at IS NOT NULL"),
            CredentialState::Revoked => query.push(" AND c.deleted_at IS NULL AND c.revoked_at IS NOT NULL"),
            CredentialState::Expired => query
                .push(" AND c.revoked_at IS NULL AND c.expires_at <= ")
                .push_bind(now.0),
            CredentialState::Disabled | CredentialState::Expiring | CredentialState::Active => query
                .push(" AND c.revoked_at IS NULL AND (c.expires_at IS NULL OR c.expires_at > ")
                .push_bind(now.0)
                .push(match state {
                    CredentialState::Disabled => ") AND c.enabled = 0",
                    CredentialState::Expiring => ") AND c.enabled = 1 AND c.replaced_by IS NOT NULL",
                    _ => ") AND c.enabled = 1 AND c.replaced_by IS NULL",
                }),
        };
    }
}

#[cfg(test)]
mod tests {
    use super::behind;

    #[test]
    fn the_end_of_a_prefix_lies_behind_everything_that_begins_so() {
        for (prefix, end) in [
            ("dw_", Some("dw`")),
            ("a\u{d7ff}", Some("a\u{e000}")),
            ("a\u{10ffff}", Some("b")),
            ("\u{10ffff}", None),
            ("", None),
        ] {
            assert_eq!(behind(prefix).as_deref(), end, "{prefix:?}");
        }
    }
}
