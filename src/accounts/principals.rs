//! Devices, users and service accounts: made, found, switched off and on.
//!
//! A device is known by what it calls itself (a serial number, say); its id is the SHA-256 of that, which
//! sealed device tokens carry too. So one device is one principal, whichever credential it presents.

use super::actor::Actor;
use super::error::{AccountsError, Result};
use super::{About, Accounts, Enabled, Page, PrincipalFilter, PrincipalRecord};
use crate::authn::revocation::RevocationIndex;
use crate::cluster::RevocationSink;
use crate::crypto;
use crate::domain::identity::PrincipalKind;
use crate::domain::ids::PrincipalId;
use crate::domain::scope::Role;

/// Longest name for people and longest name in outside systems, in bytes.
const MAX_NAME_BYTES: usize = 255;

/// A principal to be made.
#[derive(Debug, Clone)]
pub struct NewPrincipal {
    /// What it is; never anonymous.
    pub kind: PrincipalKind,
    /// What outside systems call it: a serial number, a login name. Unique per kind.
    pub external_id: Option<String>,
    /// Its name for people; what outside systems call it when there is none.
    pub name: Option<String>,
    /// Its roles.
    pub roles: Vec<Role>,
}

/// What a device was found by.
#[derive(Debug, Clone, PartialEq)]
#[expect(
    clippy::large_enum_variant,
    reason = "one at a time, on its way from a look-up to its use"
)]
pub enum DeviceName {
    /// A registered device.
    Registered(PrincipalRecord),
    /// Nobody registered it; its sealed tokens would carry this id.
    Unregistered(PrincipalId),
}

/// The id of the device of this name: lower-case hexadecimal SHA-256, as sealed device tokens carry it.
pub(super) fn device_id(name: &str) -> Result<PrincipalId> {
    PrincipalId::parse(&hex::encode(crypto::sha256(name.as_bytes())))
        .map_err(|e| AccountsError::Unusable(e.to_string()))
}

/// A name that fits a line: trimmed, not empty, bounded, without control characters.
pub(super) fn name(field: &'static str, text: &str) -> Result<String> {
    let text = text.trim();
    let expected = "1 to 255 bytes without control characters";
    if text.is_empty() {
        return Err(AccountsError::bad(field, "nothing", expected));
    }
    if text.len() > MAX_NAME_BYTES {
        return Err(AccountsError::bad(
            field,
            format!("{} bytes", text.len()),
            expected,
        ));
    }
    if text.chars().any(char::is_control) {
        return Err(AccountsError::bad(field, "a control character", expected));
    }
    Ok(text.to_owned())
}

impl Accounts {
    /// Makes a device, user or service account.
    pub async fn create_principal(&self, new: NewPrincipal, actor: &Actor) -> Result<PrincipalRecord> {
        let external_id = new
            .external_id
            .map(|text| name("external_id", &text))
            .transpose()?;
        let shown = match (&new.name, &external_id) {
            (Some(text), _) => name("name", text)?,
            (None, Some(external_id)) => external_id.clone(),
            (None, None) => {
                return Err(AccountsError::bad(
                    "name",
                    "nothing",
                    "a name, or what other systems call it",
                ));
            }
        };
        let id = match (new.kind, &external_id) {
            (PrincipalKind::Anonymous, _) => {
                return Err(AccountsError::bad(
                    "kind",
                    "`anonymous`",
                    "device, user or service",
                ));
            }
            (PrincipalKind::Device, Some(external_id)) => device_id(external_id)?,
            _ => PrincipalId::random(),
        };
        let record = PrincipalRecord {
            id,
            kind: new.kind,
            tenant: None,
            customer: None,
            name: shown,
            external_id,
            roles: new.roles,
            enabled: Enabled::Yes,
            created_at: self.parts.clock.now().wall,
            about: About::default(),
            network: None,
            serial: None,
            version: 1,
        };
        let roles: Vec<&str> = record.roles.iter().map(Role::as_str).collect();
        let detail = serde_json::json!({"name": record.name, "roles": roles});
        let act = format!("{}.create", record.kind.as_str());
        let draft = actor.draft(record.created_at, &act, record.id.as_str(), detail);
        self.store().insert_principal(&record, &draft).await?;
        Ok(record)
    }

    /// One principal by id.
    pub async fn principal(&self, id: &PrincipalId) -> Result<PrincipalRecord> {
        let found = self.store().principal(id).await?;
        found.ok_or_else(|| AccountsError::not_found("principal", id.as_str()))
    }

    /// The principal of this kind that outside systems call so.
    pub async fn principal_called(
        &self,
        kind: PrincipalKind,
        external_id: &str,
    ) -> Result<Option<PrincipalRecord>> {
        let filter = PrincipalFilter {
            kind: Some(kind),
            external_id: Some(external_id.to_owned()),
            ..PrincipalFilter::default()
        };
        Ok(self
            .store()
            .list_principals(&filter, &Page::first(1))
            .await?
            .pop())
    }

    /// The service account of this name; made when there is none.
    pub async fn service_account(&self, called: &str, actor: &Actor) -> Result<PrincipalRecord> {
        let called = name("for", called)?;
        if let Some(found) = self.principal_called(PrincipalKind::Service, &called).await? {
            return Ok(found);
        }
        let new = NewPrincipal {
            kind: PrincipalKind::Service,
            external_id: Some(called.clone()),
            name: None,
            roles: Vec::new(),
        };
        match self.create_principal(new, actor).await {
            // Somebody else made it in the meantime.
            Err(AccountsError::Conflict(_)) => self
                .principal_called(PrincipalKind::Service, &called)
                .await?
                .ok_or_else(|| AccountsError::not_found("service account", called)),
            made => made,
        }
    }

    /// The device of this id or name.
    pub async fn device(&self, id_or_name: &str) -> Result<DeviceName> {
        let text = name("device", id_or_name)?;
        if let Ok(id) = PrincipalId::parse(&text)
            && let Some(found) = self.store().principal(&id).await?
        {
            return match found.kind {
                PrincipalKind::Device => Ok(DeviceName::Registered(found)),
                other => Err(AccountsError::bad(
                    "device",
                    format!("the id of a principal of kind {}", other.as_str()),
                    "the id or name of a device",
                )),
            };
        }
        if let Some(found) = self.principal_called(PrincipalKind::Device, &text).await? {
            return Ok(DeviceName::Registered(found));
        }
        let is_id = text.len() == 64 && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
        if is_id {
            let id = PrincipalId::parse(&text).map_err(|e| AccountsError::Unusable(e.to_string()))?;
            return Ok(DeviceName::Unregistered(id));
        }
        Ok(DeviceName::Unregistered(device_id(&text)?))
    }

    /// The registered device of this id or name.
    pub async fn registered_device(&self, id_or_name: &str) -> Result<PrincipalRecord> {
        match self.device(id_or_name).await? {
            DeviceName::Registered(found) => Ok(found),
            DeviceName::Unregistered(_) => Err(AccountsError::not_found("device", id_or_name.trim())),
        }
    }

    /// A page of principals, oldest first.
    pub async fn list_principals(
        &self,
        filter: &PrincipalFilter,
        page: &Page,
    ) -> Result<Vec<PrincipalRecord>> {
        Ok(self.store().list_principals(filter, page).await?)
    }

    /// Switches a principal off or on. Switching off ends everything it holds that has no row (sealed
    /// tokens, JWTs) for good; its stored credentials work again when it is switched on.
    pub async fn set_enabled(
        &self,
        id: &PrincipalId,
        state: Enabled,
        actor: &Actor,
    ) -> Result<PrincipalRecord> {
        self.principal(id).await?;
        let now = self.parts.clock.now().wall;
        let act = match state {
            Enabled::Yes => "principal.enable",
            Enabled::No => "principal.disable",
        };
        let draft = actor.draft(now, act, id.as_str(), serde_json::Value::Null);
        let revoked = self.store().set_principal_enabled(id, state, now, &draft).await?;
        match revoked {
            Some(record) => RevocationIndex::apply(&self.parts.revocations, &record),
            None => (self.parts.created)(),
        }
        self.principal(id).await
    }
}
