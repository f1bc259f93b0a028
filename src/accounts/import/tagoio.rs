//! Device tokens as TagoIO's API lists them (`GET /device/token/{device}`), one object a line, or the same columns as
//! CSV. The tokens stand there in plain: they are digested here and go no further.

use super::fields::{self, Fault};
use super::making::Making;
use super::source::Fields;
use crate::accounts::expiry;
use crate::authn::kinds::device_token::format::is_device_token;
use crate::domain::clock::UnixMillis;
use crate::domain::identity::{CredentialKind, PrincipalKind};
use crate::domain::scope::Permission;
use crate::store::ImportRow;

/// Letters of a digest that make an id.
const ID_LETTERS: usize = 32;

/// One row.
pub(super) fn row(line: u64, fields: &Fields, making: &Making) -> Result<ImportRow, Fault> {
    let token = fields::required(fields, &["token"])?;
    if !is_device_token(token.as_bytes()) {
        return Err("token: expected visible ASCII without spaces".to_owned());
    }
    let owner = fields::required(fields, &["device_id", "device", "ref_id"])?;
    let kind = match fields::text(fields, &["type"])?.as_deref() {
        None | Some("device") => PrincipalKind::Device,
        Some(_) => PrincipalKind::Service,
    };
    let name = fields::text(fields, &["device_name"])?
        .unwrap_or_else(|| format!("TagoIO {kind} {owner}", kind = kind.as_str()));
    let mut principal = making.principal(fields::id("device_id", &owner)?, kind, &name);
    if let Some(serial) = fields::text(fields, &["serie_number"])? {
        principal
            .about
            .metadata
            .insert("serie_number".to_owned(), serial.into());
    }
    // The rows have no id but the token itself.
    let keyed = making.keyed(&token);
    let digest = hex::encode(keyed.digest);
    let id = format!("tagoio-{}", digest.get(..ID_LETTERS).unwrap_or(&digest));
    let mut credential = making.credential(
        fields::id("token", &id)?,
        CredentialKind::DeviceToken,
        principal.id.clone(),
        &fields::text(fields, &["name"])?.unwrap_or_default(),
    );
    credential.keyed_digest = Some(keyed);
    credential.created_at = fields::instant(fields, &["created_at"])?.unwrap_or(making.now);
    if let Some(text) = fields::text(fields, &["permission"])? {
        let expected = "permission: expected full, read or write";
        credential.permission = Permission::parse(&text).ok_or(expected)?;
    }
    credential.expires_at = end(fields, credential.created_at)?;
    Ok(ImportRow {
        line,
        tenant: making.given_tenant(),
        principal: Some(principal),
        credential: Some(credential),
        ..ImportRow::default()
    })
}

/// `never`, a date, or a span since the token was made. A token whose end lies behind it is kept as it is: expired.
fn end(fields: &Fields, created_at: UnixMillis) -> Result<Option<UnixMillis>, Fault> {
    let names = ["expire_time", "expire_date"];
    match fields::text(fields, &names)? {
        None => Ok(None),
        Some(text) if text.eq_ignore_ascii_case("never") => Ok(None),
        Some(text) => match fields::instant(fields, &names) {
            Ok(at) => Ok(at),
            Err(_) => expiry::parse(&text, created_at)
                .map_err(|_| "expire_time: expected `never`, a date, or a span such as `1 month`".to_owned()),
        },
    }
}
