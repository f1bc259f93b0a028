//! Rows of HomeChat's table `api_tokens`. Their digests are kept: bcrypt, or SHA-256 in older rows, of token and
//! pepper. A row of the older sort may have no prefix; then it is found by its digest.

use super::fields::{self, Fault};
use super::making::{Making, Peppered};
use super::source::Fields;
use crate::crypto::portable_digest;
use crate::domain::identity::{CredentialKind, PrincipalKind};
use crate::store::ImportRow;

/// Letters of a prefix.
const PREFIX_LETTERS: usize = 8;

/// One row.
pub(super) fn row(line: u64, fields: &Fields, making: &Making) -> Result<ImportRow, Fault> {
    let id = fields::required(fields, &["id"])?;
    let user = fields::required(fields, &["user_id"])?;
    let name = fields::text(fields, &["name"])?.unwrap_or_default();
    let username = fields::text(fields, &["username"])?;
    let written = fields::required(fields, &["token_digest", "digest"])?;
    let digest = match making.peppered {
        Peppered::Yes => portable_digest::peppered(&written),
        Peppered::No => portable_digest::plain(&written),
    };
    let digest = digest.map_err(|e| format!("token_digest: {e}"))?;

    let principal_id = fields::id("user_id", &format!("homechat-user-{user}"))?;
    let display = username
        .clone()
        .unwrap_or_else(|| format!("HomeChat user {user}"));
    let principal = making.principal(principal_id, PrincipalKind::User, &display);

    let mut credential = making.credential(
        fields::id("id", &format!("homechat-token-{id}"))?,
        CredentialKind::ApiToken,
        principal.id.clone(),
        &name,
    );
    credential.public_id = Some(match public_id(fields)? {
        Some(prefix) => prefix,
        None if !written.starts_with('$') && making.peppered == Peppered::Yes => digest.clone(),
        None => return Err("no token_prefix, and its digest does not tell by itself whose it is".to_owned()),
    });
    credential.slow_digest = Some(digest);
    credential.scopes = fields::scopes(&fields::list(fields, &["scopes"])?)?;
    credential.enabled = fields::switch(fields, &["active"])?;
    credential.expires_at = fields::instant(fields, &["expires_at"])?;
    credential.created_at = fields::instant(fields, &["created_at"])?.unwrap_or(making.now);
    if let Some(kind) = fields::text(fields, &["token_type"])? {
        credential
            .about
            .metadata
            .insert("homechat_type".to_owned(), kind.into());
    }
    Ok(ImportRow {
        line,
        tenant: making.given_tenant(),
        principal: Some(principal),
        credential: Some(credential),
        ..ImportRow::default()
    })
}

/// The first letters of the token, as the program notes them; the document's form has a prefix of its own.
fn public_id(fields: &Fields) -> Result<Option<String>, Fault> {
    let fits = |text: &str| {
        let letters = text.strip_prefix("hc_").unwrap_or(text);
        letters.len() == PREFIX_LETTERS && letters.bytes().all(|b| b.is_ascii_alphanumeric())
    };
    let wrong = || "token_prefix: expected 8 letters".to_owned();
    if let Some(text) = fields::text(fields, &["token_prefix"])? {
        return if fits(&text) { Ok(Some(text)) } else { Err(wrong()) };
    }
    match fields::text(fields, &["prefix"])? {
        Some(text) if !fits(&text) => Err(wrong()),
        Some(text) if text.starts_with("hc_") => Ok(Some(text)),
        Some(text) => Ok(Some(format!("hc_{text}"))),
        None => Ok(None),
    }
}
