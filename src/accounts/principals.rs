//! Devices, users and service accounts: made, found, switched off and on.
//!
//! A device is known by what it calls itself (a serial number, say); its id is the SHA-256 of that, which
//! sealed device tokens carry too. So one device is one principal, whichever credential it presents.

use super::actor::Actor;
use super::error::{AccountsError, Result};
use super::issuing::{Issued, NewCredential, must_be_device};
use super::tenants::PartyChange;
use super::{
    About, Accounts, CredentialFilter, CredentialState, Enabled, Page, PrincipalFilter, PrincipalRecord,
    noting,
};
use crate::authn::revocation::RevocationIndex;
use crate::cluster::RevocationSink;
use crate::crypto;
use crate::domain::identity::{CredentialKind, PrincipalKind};
use crate::domain::ids::{CustomerId, PrincipalId, TenantId};
use crate::domain::scope::Role;
use crate::store::{AuditDraft, Holdings};

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
    /// Where it belongs.
    pub place: Place,
    /// What people wrote on it.
    pub about: About,
}

impl NewPrincipal {
    /// One of this kind that has nothing yet.
    pub fn of(kind: PrincipalKind) -> Self {
        Self {
            kind,
            external_id: None,
            name: None,
            roles: Vec::new(),
            place: Place::default(),
            about: About::default(),
        }
    }
}

/// Where a principal belongs.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Place {
    /// Its tenant.
    pub tenant: Option<TenantId>,
    /// Its customer, within the tenant.
    pub customer: Option<CustomerId>,
    /// The network (a service account) that may speak for it; devices only.
    pub network: Option<PrincipalId>,
    /// What the network calls it; with a network only.
    pub serial: Option<String>,
}

/// What shall be different of a principal; `None` leaves it as it is.
#[derive(Debug, Clone, Default)]
pub struct PrincipalChange {
    /// Name, state and notes.
    pub party: PartyChange,
    /// Its roles; replaces all of them.
    pub roles: Option<Vec<Role>>,
    /// Its network and serial number; `Some((None, None))` takes it out of its network.
    pub network: Option<(Option<PrincipalId>, Option<String>)>,
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

/// A serial number needs a network, and only devices belong to one.
fn check_network(kind: PrincipalKind, network: Option<&PrincipalId>, serial: Option<&str>) -> Result<()> {
    match (network, serial) {
        (None, None) => Ok(()),
        (Some(_), Some(text)) if kind == PrincipalKind::Device => name("serial", text).map(drop),
        (Some(_), Some(_)) => Err(AccountsError::bad(
            "network",
            "a value",
            "none: only devices belong to networks",
        )),
        (Some(_), None) => Err(AccountsError::bad(
            "serial",
            "nothing",
            "what the network calls the device",
        )),
        (None, Some(_)) => Err(AccountsError::bad(
            "network",
            "nothing",
            "the network that calls the device so",
        )),
    }
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
        let place = new.place;
        check_network(new.kind, place.network.as_ref(), place.serial.as_deref())?;
        let record = PrincipalRecord {
            id,
            kind: new.kind,
            tenant: actor.home(place.tenant)?,
            customer: place.customer,
            name: shown,
            external_id,
            roles: new.roles,
            enabled: Enabled::Yes,
            created_at: self.parts.clock.now().wall,
            about: noting::about(new.about)?,
            network: place.network,
            serial: place.serial,
            version: 1,
        };
        let roles: Vec<&str> = record.roles.iter().map(Role::as_str).collect();
        let detail = serde_json::json!({
            "name": record.name,
            "roles": roles,
            "tenant": record.tenant.as_ref().map(TenantId::as_str),
        });
        let act = format!("{}.create", record.kind.as_str());
        let draft = actor.draft(record.created_at, &act, record.id.as_str(), detail);
        self.rows(actor).insert_principal(&record, &draft).await?;
        Ok(record)
    }

    /// One principal by id.
    pub async fn principal(&self, id: &PrincipalId, actor: &Actor) -> Result<PrincipalRecord> {
        let found = self.rows(actor).principal(id).await?;
        found.ok_or_else(|| AccountsError::not_found("principal", id.as_str()))
    }

    /// The principal of this kind that outside systems call so.
    pub async fn principal_called(
        &self,
        kind: PrincipalKind,
        external_id: &str,
        actor: &Actor,
    ) -> Result<Option<PrincipalRecord>> {
        let filter = PrincipalFilter {
            kind: Some(kind),
            external_id: Some(external_id.to_owned()),
            ..PrincipalFilter::default()
        };
        Ok(self
            .rows(actor)
            .list_principals(&filter, &Page::first(1))
            .await?
            .pop())
    }

    /// The service account of this name; made when there is none.
    pub async fn service_account(&self, called: &str, actor: &Actor) -> Result<PrincipalRecord> {
        let called = name("for", called)?;
        if let Some(found) = self
            .principal_called(PrincipalKind::Service, &called, actor)
            .await?
        {
            return Ok(found);
        }
        let new = NewPrincipal {
            external_id: Some(called.clone()),
            ..NewPrincipal::of(PrincipalKind::Service)
        };
        match self.create_principal(new, actor).await {
            // Somebody else made it in the meantime.
            Err(AccountsError::Conflict(_)) => self
                .principal_called(PrincipalKind::Service, &called, actor)
                .await?
                .ok_or_else(|| AccountsError::not_found("service account", called)),
            made => made,
        }
    }

    /// The device of this id or name.
    pub async fn device(&self, id_or_name: &str, actor: &Actor) -> Result<DeviceName> {
        let text = name("device", id_or_name)?;
        if let Ok(id) = PrincipalId::parse(&text)
            && let Some(found) = self.rows(actor).principal(&id).await?
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
        if let Some(found) = self.principal_called(PrincipalKind::Device, &text, actor).await? {
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
    pub async fn registered_device(&self, id_or_name: &str, actor: &Actor) -> Result<PrincipalRecord> {
        match self.device(id_or_name, actor).await? {
            DeviceName::Registered(found) => Ok(found),
            DeviceName::Unregistered(_) => Err(AccountsError::not_found("device", id_or_name.trim())),
        }
    }

    /// A page of principals, oldest first.
    pub async fn list_principals(
        &self,
        filter: &PrincipalFilter,
        page: &Page,
        actor: &Actor,
    ) -> Result<Vec<PrincipalRecord>> {
        self.rows(actor).list_principals(filter, page).await
    }

    /// Changes a principal of this version; whatever its version when none is given. Switching it off ends
    /// everything it holds that has no row.
    pub async fn update_principal(
        &self,
        id: &PrincipalId,
        change: &PrincipalChange,
        version: Option<u64>,
        actor: &Actor,
    ) -> Result<PrincipalRecord> {
        let mut record = self.principal(id, actor).await?;
        record.version = version.unwrap_or(record.version);
        change
            .party
            .apply(&mut record.name, &mut record.enabled, &mut record.about)?;
        let mut told = change.party.told();
        if let Some(roles) = &change.roles {
            record.roles.clone_from(roles);
            let texts: Vec<&str> = roles.iter().map(Role::as_str).collect();
            told.insert("roles".to_owned(), texts.into());
        }
        if let Some((network, serial)) = &change.network {
            check_network(record.kind, network.as_ref(), serial.as_deref())?;
            told.insert(
                "network".to_owned(),
                network.as_ref().map(PrincipalId::as_str).into(),
            );
            record.network.clone_from(network);
            record.serial.clone_from(serial);
        }
        let act = format!("{}.update", record.kind.as_str());
        let draft = actor.draft(self.now(), &act, id.as_str(), told.into());
        self.keep_principal(&record, Holdings::Keep, &draft, actor).await
    }

    /// Hands a device over to another tenant and customer: everything it held is over when this returns. A
    /// token for the new owner is made when the device had a living one.
    pub async fn transfer_device(
        &self,
        id: &PrincipalId,
        tenant: Option<TenantId>,
        customer: Option<CustomerId>,
        actor: &Actor,
    ) -> Result<(PrincipalRecord, Option<Issued>)> {
        let before = self.principal(id, actor).await?;
        must_be_device(&before)?;
        let filter = CredentialFilter {
            kind: Some(CredentialKind::DeviceToken),
            principal: Some(id.clone()),
            state: Some((CredentialState::Active, self.now())),
            ..CredentialFilter::default()
        };
        let had = self
            .rows(actor)
            .list_credentials(&filter, &Page::first(1))
            .await?;
        let record = PrincipalRecord {
            tenant: actor.home(tenant)?,
            customer,
            // The old owner's network speaks for it no more.
            network: None,
            serial: None,
            ..before
        };
        let detail = serde_json::json!({
            "tenant": record.tenant.as_ref().map(TenantId::as_str),
            "customer": record.customer.as_ref().map(CustomerId::as_str),
        });
        let draft = actor.draft(self.now(), "device.transfer", id.as_str(), detail);
        let moved = self.keep_principal(&record, Holdings::End, &draft, actor).await?;
        let issued = match had.first() {
            None => None,
            Some(_) => {
                let form = self.device_token_form();
                let new = NewCredential::default();
                Some(self.create_device_token(&moved, form, new, actor).await?)
            }
        };
        Ok((moved, issued))
    }

    /// Deletes a principal and everything it holds.
    pub async fn delete_principal(&self, id: &PrincipalId, actor: &Actor) -> Result<()> {
        let record = self.principal(id, actor).await?;
        let act = format!("{}.delete", record.kind.as_str());
        // No name: what was deleted shall not live on in the trail.
        let draft = actor.draft(self.now(), &act, id.as_str(), serde_json::Value::Null);
        let ended = self.rows(actor).delete_principal(id, &draft).await?;
        self.parts.revocations.apply(&ended);
        Ok(())
    }

    async fn keep_principal(
        &self,
        record: &PrincipalRecord,
        holdings: Holdings,
        draft: &AuditDraft,
        actor: &Actor,
    ) -> Result<PrincipalRecord> {
        let news = self.rows(actor).update_principal(record, holdings, draft).await?;
        self.parts.revocations.apply(&news);
        (self.parts.created)();
        self.principal(&record.id, actor).await
    }

    /// Switches a principal off or on. Switching off ends everything it holds that has no row (sealed
    /// tokens, JWTs) for good; its stored credentials work again when it is switched on.
    pub async fn set_enabled(
        &self,
        id: &PrincipalId,
        state: Enabled,
        actor: &Actor,
    ) -> Result<PrincipalRecord> {
        self.principal(id, actor).await?;
        let now = self.parts.clock.now().wall;
        let act = match state {
            Enabled::Yes => "principal.enable",
            Enabled::No => "principal.disable",
        };
        let draft = actor.draft(now, act, id.as_str(), serde_json::Value::Null);
        let revoked = self
            .rows(actor)
            .set_principal_enabled(id, state, now, &draft)
            .await?;
        match revoked {
            Some(record) => RevocationIndex::apply(&self.parts.revocations, &record),
            None => (self.parts.created)(),
        }
        self.principal(id, actor).await
    }
}
