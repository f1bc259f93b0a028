//! Lines of our own export. A credential's digest under a lookup key is good only where that key is; elsewhere its
//! portable digest counts, and a row that has neither is refused: nobody could come in with it.

use serde_json::Value;

use super::fields::{self, Fault};
use super::making::Making;
use super::source::Fields;
use crate::accounts::portable::{Credential, Line, Misfit, VERSION};
use crate::crypto::portable_digest::{self, Recipe};
use crate::domain::identity::CredentialKind;
use crate::store::{CredentialRecord, ImportRow};

/// One line; `None`: it says nothing that is kept.
pub(super) fn row(line: u64, fields: Fields, making: &Making) -> Result<Option<ImportRow>, Fault> {
    let parsed: Line = serde_json::from_value(Value::Object(fields)).map_err(|e| unreadable(&e))?;
    let mut row = ImportRow {
        line,
        ..ImportRow::default()
    };
    let misfit = |Misfit(field): Misfit| format!("{field}: not what it should be");
    match parsed {
        Line::Doorward(header) if header.version == VERSION => return Ok(None),
        Line::Doorward(header) => {
            return Err(format!("version {}, expected {VERSION}", header.version));
        }
        Line::Tenant(tenant) => row.tenant = Some(tenant.into_record().map_err(misfit)?),
        Line::Customer(customer) => row.customer = Some(customer.into_record().map_err(misfit)?),
        Line::Principal(principal) => row.principal = Some(principal.into_record().map_err(misfit)?),
        Line::Credential(credential) => row.credential = Some(provable(*credential, making)?),
    }
    Ok(Some(row))
}

fn provable(written: Credential, making: &Making) -> Result<CredentialRecord, Fault> {
    let mut row = written
        .into_record()
        .map_err(|Misfit(field)| format!("{field}: not what it should be"))?;
    row.name = fields::name(&row.name);
    let recipe = match row.slow_digest.as_deref() {
        None => None,
        Some(text) => Some(portable_digest::recipe(text).map_err(|e| format!("digest: {e}"))?),
    };
    let held = |row: &CredentialRecord| {
        let keyed = row.keyed_digest.as_ref();
        keyed.is_some_and(|k| making.ring.find(k.key.as_str()).is_some())
    };
    if !held(&row) {
        row.keyed_digest = None;
    }
    let lost = || {
        "its digest was made under a lookup key that this installation does not hold, and it has no other"
            .to_owned()
    };
    match (row.kind, recipe) {
        (CredentialKind::ApiToken, _) if row.public_id.is_none() => {
            return Err("public_id: an api_token is found by it".to_owned());
        }
        (CredentialKind::ApiToken, Some(_)) => {}
        (CredentialKind::ApiToken | CredentialKind::DeviceToken, None) if row.keyed_digest.is_some() => {}
        (CredentialKind::DeviceToken, Some(Recipe::Sha256 | Recipe::Sha3)) => {
            // What it is found by until it was used once.
            row.public_id.clone_from(&row.slow_digest);
        }
        (CredentialKind::DeviceToken, Some(_)) => {
            return Err("digest: a device_token is found by its sha256: or sha3-256: digest".to_owned());
        }
        (CredentialKind::ApiToken | CredentialKind::DeviceToken, None) => return Err(lost()),
        (CredentialKind::Basic, Some(Recipe::Bcrypt)) if row.public_id.is_some() => {}
        (CredentialKind::Basic, _) => {
            return Err(
                "a basic credential needs a public_id (its user name) and a bcrypt digest".to_owned(),
            );
        }
        _ => return Err(format!("kind: a {} has no row", row.kind.as_str())),
    }
    Ok(row)
}

/// What is wrong with a line, without its values.
fn unreadable(error: &serde_json::Error) -> Fault {
    let text = error.to_string();
    let names_only = ["unknown field", "missing field", "duplicate field"];
    if names_only.iter().any(|start| text.starts_with(start)) {
        text
    } else {
        "no line of an export: its type, or a field's, is another one".to_owned()
    }
}
