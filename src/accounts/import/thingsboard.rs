//! Rows of ThingsBoard's tables `api_key` and `device_credentials`, told apart by their columns. Values that stand
//! there in plain are digested here and go no further.
//!
//! A row may be joined with its owners (`docs/import.md` has the statements): `tenant_id`, `customer_id`, their titles,
//! a device's name, a user's e-mail address and authority. MQTT user names with passwords become basic credentials,
//! whose passwords cost a bcrypt each. What this program has no kind for (certificates, LwM2M) is refused.

use serde_json::Value;

use super::fields::{self, Fault};
use super::making::Making;
use super::source::Fields;
use crate::authn::kinds::{api_token, basic, device_token};
use crate::domain::clock::UnixMillis;
use crate::domain::identity::{CredentialKind, PrincipalKind};
use crate::domain::scope::Role;
use crate::store::{About, CredentialRecord, CustomerRecord, Enabled, ImportRow, PrincipalRecord};

/// ThingsBoard's mark of "nobody".
const NULL_UUID: &str = "13814000-1dd2-11b2-8080-808080808080";

/// One row.
pub(super) fn row(line: u64, fields: &Fields, making: &Making) -> Result<ImportRow, Fault> {
    let (principal, credential) = if fields::value(fields, &["credentials_type"]).is_some() {
        device(fields, making)?
    } else {
        api_key(fields, making)?
    };
    owned(line, fields, making, principal, credential)
}

fn api_key(fields: &Fields, making: &Making) -> Result<(PrincipalRecord, CredentialRecord), Fault> {
    let value = fields::required(fields, &["value"])?;
    let public_id = api_token::format::public_id(&making.api, value.as_bytes()).map_err(
        |_| "value: no API token of a form that is accepted here (credentials.api_token.prefixes)",
    )?;
    let user = fields::required(fields, &["user_id"])?;
    let name = fields::text(fields, &["email"])?.unwrap_or_else(|| format!("ThingsBoard user {user}"));
    let mut principal = making.principal(fields::id("user_id", &user)?, PrincipalKind::User, &name);
    if let Some(authority) = fields::text(fields, &["authority"])? {
        principal.roles = vec![Role::parse(&authority).map_err(|e| format!("authority: {e}"))?];
    }
    let id = fields::required(fields, &["id"])?;
    let description = fields::text(fields, &["description"])?.unwrap_or_default();
    let mut credential = making.credential(
        fields::id("id", &id)?,
        CredentialKind::ApiToken,
        principal.id.clone(),
        &description,
    );
    credential.public_id = Some(public_id.to_owned());
    credential.keyed_digest = Some(making.keyed(&value));
    credential.enabled = fields::switch(fields, &["enabled"])?;
    // Zero means never.
    credential.expires_at = fields::instant(fields, &["expiration_time"])?.filter(|at| *at > UnixMillis(0));
    credential.created_at = fields::instant(fields, &["created_time"])?.unwrap_or(making.now);
    Ok((principal, credential))
}

fn device(fields: &Fields, making: &Making) -> Result<(PrincipalRecord, CredentialRecord), Fault> {
    let device = fields::required(fields, &["device_id"])?;
    let name = fields::text(fields, &["device_name", "name"])?;
    let name = name.unwrap_or_else(|| format!("ThingsBoard device {device}"));
    let principal = making.principal(fields::id("device_id", &device)?, PrincipalKind::Device, &name);
    let id = match fields::text(fields, &["id"])? {
        Some(id) => id,
        None => format!("thingsboard-{device}"),
    };
    let id = fields::id("id", &id)?;
    let of = |kind| making.credential(id, kind, principal.id.clone(), "imported from ThingsBoard");
    let kind = fields::required(fields, &["credentials_type"])?;
    let mut credential = match kind.as_str() {
        "ACCESS_TOKEN" => {
            let token = fields::required(fields, &["credentials_id"])?;
            if !device_token::format::is_device_token(token.as_bytes()) {
                return Err("credentials_id: expected visible ASCII without spaces".to_owned());
            }
            let mut credential = of(CredentialKind::DeviceToken);
            credential.keyed_digest = Some(making.keyed(&token));
            credential
        }
        "MQTT_BASIC" => mqtt_basic(fields, making, of(CredentialKind::Basic))?,
        "X509_CERTIFICATE" | "LWM2M_CREDENTIALS" => {
            return Err(format!("credentials_type: this program has no kind for {kind}"));
        }
        _ => return Err("credentials_type: expected ACCESS_TOKEN or MQTT_BASIC".to_owned()),
    };
    credential.created_at = fields::instant(fields, &["created_time"])?.unwrap_or(making.now);
    Ok((principal, credential))
}

fn mqtt_basic(
    fields: &Fields,
    making: &Making,
    mut credential: CredentialRecord,
) -> Result<CredentialRecord, Fault> {
    let expected = "credentials_value: expected an object with userName and password";
    let value = match fields::value(fields, &["credentials_value"]) {
        Some(Value::Object(map)) => map.clone(),
        Some(Value::String(text)) => serde_json::from_str(text).map_err(|_| expected)?,
        // The digest in `credentials_id` names the client; it does not prove a password.
        _ => return Err(expected.to_owned()),
    };
    let user = fields::text(&value, &["userName"])?
        .ok_or("credentials_value: no userName; a client id alone is no credential here")?;
    let password = fields::text(&value, &["password"])?
        .ok_or("credentials_value: no password; whoever knows the user name could come in")?;
    if !basic::format::is_user(&user) {
        return Err("credentials_value: userName must have 1 to 255 bytes, without a colon".to_owned());
    }
    credential.slow_digest = Some(making.password(&password)?);
    credential.public_id = Some(user);
    if let Some(client) = fields::text(&value, &["clientId"])? {
        credential
            .about
            .metadata
            .insert("mqtt_client_id".to_owned(), client.into());
    }
    Ok(credential)
}

/// Puts the row's owners into its place.
fn owned(
    line: u64,
    fields: &Fields,
    making: &Making,
    mut principal: PrincipalRecord,
    credential: CredentialRecord,
) -> Result<ImportRow, Fault> {
    let one = |names: &[&str]| -> Result<Option<String>, Fault> {
        Ok(fields::text(fields, names)?.filter(|text| text != NULL_UUID))
    };
    let tenant = match (&making.tenant, one(&["tenant_id"])?) {
        // What was asked for wins.
        (Some(_), _) => making.given_tenant(),
        (None, Some(id)) => {
            let name = one(&["tenant_name", "tenant_title"])?.unwrap_or_else(|| id.clone());
            Some(making.tenant(fields::id("tenant_id", &id)?, &name))
        }
        (None, None) => None,
    };
    let customer = match (&tenant, one(&["customer_id"])?) {
        (Some(tenant), Some(id)) => Some(CustomerRecord {
            id: fields::id("customer_id", &id)?,
            tenant: tenant.id.clone(),
            name: fields::name(&one(&["customer_name", "customer_title"])?.unwrap_or_else(|| id.clone())),
            enabled: Enabled::Yes,
            created_at: making.now,
            about: About::default(),
            version: 1,
        }),
        (None, Some(_)) => return Err("customer_id without a tenant_id".to_owned()),
        (_, None) => None,
    };
    principal.tenant = tenant.as_ref().map(|t| t.id.clone());
    principal.customer = customer.as_ref().map(|c| c.id.clone());
    Ok(ImportRow {
        line,
        tenant,
        customer,
        principal: Some(principal),
        credential: Some(credential),
    })
}
