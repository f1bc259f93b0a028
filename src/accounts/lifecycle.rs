//! The life of a stored credential after it was made: changes, switching off and on, successors with and
//! without an overlap, ends by the hundred, deletion, and reading back what may be read back.
//!
//! ```text
//! active ──▶ disabled ──▶ active        switched off, restored
//! active ──▶ expiring ──▶ expired       rerolled: the old one lives a little longer
//! active ──▶ revoked                    regenerated, revoked
//! any    ──▶ deleted ──▶ forgotten      after the grace period
//! ```
//!
//! Everything here holds in this process when the call returns, elsewhere within the promise of revocations.

use std::time::Duration;

use super::actor::Actor;
use super::error::{AccountsError, Result};
use super::issuing::{Issued, shown};
use super::principals::name;
use super::{
    Accounts, CredentialFilter, CredentialLimits, CredentialRecord, Enabled, Page, Transport, noting,
};
use crate::authn::kinds::api_token::Prefix;
use crate::authn::kinds::device_token;
use crate::authn::kinds::stored::{Grant, IssuedCredential};
use crate::cluster::RevocationSink;
use crate::domain::clock::UnixMillis;
use crate::domain::identity::CredentialKind;
use crate::domain::ids::CredentialId;
use crate::domain::scope::{Permission, ScopeSet};
use crate::domain::secret::SecretText;

/// Rows ended or forgotten in one transaction.
const BATCH: u32 = 500;
/// How often a change without a version is tried again when somebody else was faster.
const TRIES: u32 = 4;

/// What shall be different; `None` leaves it as it is.
#[derive(Debug, Clone, Default)]
pub struct CredentialChange {
    /// Its name for people.
    pub name: Option<String>,
    /// A sentence or two.
    pub description: Option<String>,
    /// Facts for other programs; replaces all of them.
    pub metadata: Option<serde_json::Map<String, serde_json::Value>>,
    /// Words to find it by; replaces all of them.
    pub tags: Option<Vec<String>>,
    /// Where it is used; `Some(None)` takes the label away.
    pub environment: Option<Option<String>>,
    /// Its scopes.
    pub scopes: Option<ScopeSet>,
    /// Its permission.
    pub permission: Option<Permission>,
    /// Networks it may be used from.
    pub networks: Option<Vec<ipnet::IpNet>>,
    /// Which transports it may come over.
    pub transport: Option<Transport>,
    /// When it ends; `Some(None)` is never.
    pub expires_at: Option<Option<UnixMillis>>,
    /// How much it may be used; `Some(None)` takes the limits away.
    pub limits: Option<Option<CredentialLimits>>,
    /// Whether it is switched on.
    pub enabled: Option<Enabled>,
}

impl CredentialChange {
    /// Only this switch.
    pub fn switched(enabled: Enabled) -> Self {
        Self {
            enabled: Some(enabled),
            ..Self::default()
        }
    }

    /// The row as it shall be, and the facts of the change for the audit trail. Pure.
    fn applied(
        &self,
        row: &CredentialRecord,
        now: UnixMillis,
    ) -> Result<(CredentialRecord, serde_json::Value)> {
        let mut new = row.clone();
        let mut told = serde_json::Map::new();
        let mut tell = |field: &str, value: serde_json::Value| {
            told.insert(field.to_owned(), value);
        };
        if let Some(text) = &self.name {
            new.name = name("name", text)?;
            tell("name", new.name.clone().into());
        }
        if let Some(text) = &self.description {
            new.about.description = noting::description(text)?;
            tell("description", "changed".into());
        }
        if let Some(map) = &self.metadata {
            new.about.metadata = noting::metadata(map.clone())?;
            tell("metadata", "changed".into());
        }
        if let Some(tags) = &self.tags {
            new.about.tags = noting::tags(tags.clone())?;
            tell("tags", new.about.tags.clone().into());
        }
        if let Some(label) = &self.environment {
            new.environment = label.as_deref().map(noting::environment).transpose()?;
            tell("environment", new.environment.clone().into());
        }
        if let Some(scopes) = &self.scopes {
            new.scopes = scopes.clone();
            tell("scopes", new.scopes.to_string().into());
        }
        if let Some(permission) = self.permission {
            new.permission = permission;
            tell("permission", permission.as_str().into());
        }
        if let Some(networks) = &self.networks {
            new.networks.clone_from(networks);
            let texts: Vec<String> = networks.iter().map(ToString::to_string).collect();
            tell("networks", texts.into());
        }
        if let Some(transport) = self.transport {
            new.transport = transport;
            tell("https_only", (transport == Transport::HttpsOnly).into());
        }
        if let Some(end) = self.expires_at {
            if end.is_some_and(|at| at <= now) {
                return Err(AccountsError::bad(
                    "expires",
                    "the past",
                    "a point of time that is still to come",
                ));
            }
            new.expires_at = end;
            tell("expires_at", end.map(UnixMillis::rfc3339).into());
        }
        if let Some(limits) = &self.limits {
            new.limits = limits.clone().map(noting::limits).transpose()?;
            tell("limits", "changed".into());
        }
        if let Some(enabled) = self.enabled {
            new.enabled = enabled;
            tell("enabled", (enabled == Enabled::Yes).into());
        }
        Ok((new, told.into()))
    }

    fn act(&self) -> &'static str {
        let only_switched = self.enabled.is_some()
            && self.name.is_none()
            && self.scopes.is_none()
            && self.permission.is_none()
            && self.networks.is_none()
            && self.expires_at.is_none();
        match self.enabled {
            Some(Enabled::Yes) if only_switched => "credential.enable",
            Some(Enabled::No) if only_switched => "credential.disable",
            _ => "credential.update",
        }
    }
}

impl Accounts {
    /// Changes a credential of this version; whatever its version when none is given. It is refused once it
    /// was revoked or deleted.
    pub async fn update_credential(
        &self,
        id: &CredentialId,
        change: &CredentialChange,
        version: Option<u64>,
        actor: &Actor,
    ) -> Result<CredentialRecord> {
        let mut left = TRIES;
        loop {
            let row = self.credential_row(id, actor).await?;
            if let Some(expected) = version
                && row.version != expected
            {
                return Err(AccountsError::Outdated { found: row.version });
            }
            let now = self.now();
            let (new, told) = change.applied(&row, now)?;
            let draft = actor.draft(now, change.act(), id.as_str(), told);
            left = left.saturating_sub(1);
            match self.rows(actor).update_credential(&new, &draft).await {
                Err(AccountsError::Outdated { .. }) if version.is_none() && left > 0 => {}
                Err(error) => return Err(error),
                Ok(news) => {
                    self.parts.revocations.apply(&news);
                    // What was refused a moment ago may be good now.
                    (self.parts.created)();
                    return self.credential_row(id, actor).await;
                }
            }
        }
    }

    /// Replaces a credential: the old one is dead when this returns, the new one has the same rules.
    pub async fn regenerate_credential(&self, id: &CredentialId, actor: &Actor) -> Result<Issued> {
        let old = self.living(id, actor).await?;
        self.replaced(&old, old.expires_at, actor).await
    }

    /// The same with another end: what its holder asks for, where that is granted.
    pub(super) async fn renew_credential(
        &self,
        id: &CredentialId,
        expires_at: Option<UnixMillis>,
        actor: &Actor,
    ) -> Result<Issued> {
        let old = self.living(id, actor).await?;
        self.replaced(&old, expires_at, actor).await
    }

    async fn replaced(
        &self,
        old: &CredentialRecord,
        expires_at: Option<UnixMillis>,
        actor: &Actor,
    ) -> Result<Issued> {
        let id = &old.id;
        let made = async {
            let new = self.successor(old, expires_at).await?;
            let now = self.now();
            let detail = serde_json::json!({"replaced_by": new.record.id.as_str()});
            let act = format!("{}.regenerate", old.kind);
            let draft = actor.draft(now, &act, id.as_str(), detail);
            let ended = self
                .rows(actor)
                .replace_credential(id, &new.record, now, &draft)
                .await?;
            self.parts.revocations.apply(&ended);
            (self.parts.created)();
            Ok(shown(new))
        };
        self.counted(old.kind, made.await)
    }

    /// Replaces a credential, and lets the old one live for the overlap, never past its own end. Its use
    /// meanwhile is reported. `expires_at` is the new one's end; the old one's when nothing is said.
    pub async fn reroll_credential(
        &self,
        id: &CredentialId,
        overlap: Duration,
        expires_at: Option<Option<UnixMillis>>,
        actor: &Actor,
    ) -> Result<Issued> {
        let old = self.living(id, actor).await?;
        let made = async {
            if let Some(next) = &old.replaced_by {
                return Err(AccountsError::Conflict(format!(
                    "the credential was replaced already, by {next}; reroll that one"
                )));
            }
            let now = self.now();
            let end = now.plus(overlap);
            if expires_at.flatten().is_some_and(|at| at <= now) {
                return Err(AccountsError::bad(
                    "expires",
                    "the past",
                    "a point of time that is still to come",
                ));
            }
            let new = self.successor(&old, expires_at.unwrap_or(old.expires_at)).await?;
            let old_end = old.expires_at.map_or(end, |at| at.min(end));
            let left = CredentialRecord {
                expires_at: Some(old_end),
                replaced_by: Some(new.record.id.clone()),
                ..old.clone()
            };
            let detail = serde_json::json!({
                "replaced_by": new.record.id.as_str(),
                "old_ends_at": old_end.rfc3339(),
            });
            let act = format!("{}.reroll", old.kind);
            let draft = actor.draft(now, &act, id.as_str(), detail);
            let news = self
                .rows(actor)
                .succeed_credential(&left, &new.record, &draft)
                .await?;
            self.parts.revocations.apply(&news);
            (self.parts.created)();
            Ok(shown(new))
        };
        self.counted(old.kind, made.await)
    }

    /// Ends a credential and marks it as deleted; it is forgotten after the grace period.
    pub async fn delete_credential(&self, id: &CredentialId, actor: &Actor) -> Result<()> {
        let row = self.credential_row(id, actor).await?;
        let now = self.now();
        let act = format!("{}.delete", row.kind);
        let draft = actor.draft(now, &act, id.as_str(), serde_json::json!({"name": row.name}));
        let ended = self.rows(actor).delete_credential(id, now, &draft).await?;
        self.parts.revocations.apply(&ended);
        Ok(())
    }

    /// Forgets credentials that were deleted longer ago than this, and returns how many.
    pub async fn purge_credentials(&self, grace: Duration, actor: &Actor) -> Result<u64> {
        let now = self.now();
        let until = UnixMillis(
            now.0
                .saturating_sub(i64::try_from(grace.as_millis()).unwrap_or(i64::MAX)),
        );
        let mut forgotten = 0_u64;
        loop {
            let detail = serde_json::json!({"deleted_until": until.rfc3339()});
            let draft = actor.draft(now, "credential.purge", "deleted", detail);
            match self.rows(actor).purge_credentials(until, BATCH, &draft).await? {
                0 => return Ok(forgotten),
                some => forgotten = forgotten.saturating_add(some),
            }
        }
    }

    /// Ends every living credential that the filter names, and returns how many. What is made meanwhile may be
    /// among them. A filter that names everything is refused: that is [`Accounts::revoke_all`].
    pub async fn revoke_matching(&self, filter: &CredentialFilter, actor: &Actor) -> Result<u64> {
        if names_everything(filter) {
            return Err(AccountsError::bad(
                "filter",
                "nothing",
                "at least one of kind, principal, tenant, customer, state, tag, environment, prefix, name, \
                 expires_before, unused_for; or revoke everything",
            ));
        }
        let mut page = Page::first(BATCH);
        let mut ended = 0_u64;
        loop {
            let rows = self.rows(actor).list_credentials(filter, &page).await?;
            let Some(last) = rows.last() else { return Ok(ended) };
            page.after = Some(filter.order.cursor(last));
            let ids: Vec<CredentialId> = rows
                .iter()
                .filter(|row| row.revoked_at.is_none())
                .map(|row| row.id.clone())
                .collect();
            if ids.is_empty() {
                continue;
            }
            let now = self.now();
            let texts: Vec<&str> = ids.iter().map(CredentialId::as_str).collect();
            let draft = actor.draft(
                now,
                "credential.revoke_matching",
                "many",
                serde_json::json!({"ids": texts}),
            );
            for news in self.rows(actor).revoke_credentials(&ids, now, &draft).await? {
                self.parts.revocations.apply(&news);
                ended = ended.saturating_add(1);
            }
        }
    }

    /// What the holder of a credential presents, where it was made so that it can be read back. Each reading
    /// stands in the audit trail before the secret is handed out.
    pub async fn reveal_credential(&self, id: &CredentialId, actor: &Actor) -> Result<SecretText> {
        let row = self.living(id, actor).await?;
        let Some(sealed) = &row.sealed_secret else {
            return Err(AccountsError::Conflict(
                "this credential cannot be read back: it was not made with `revealable`; regenerate it instead"
                    .to_owned(),
            ));
        };
        let secret = self.parts.vault.open_secret(id, sealed)?;
        let act = format!("{}.reveal", row.kind);
        let draft = actor.draft(self.now(), &act, id.as_str(), serde_json::Value::Null);
        self.rows(actor).note_revealed(id, draft).await?;
        Ok(secret)
    }

    /// A stored credential's row.
    async fn credential_row(&self, id: &CredentialId, actor: &Actor) -> Result<CredentialRecord> {
        let found = self.rows(actor).credential(id).await?;
        found
            .map(|context| context.credential)
            .ok_or_else(|| AccountsError::not_found("credential", id.as_str()))
    }

    /// A stored credential that is not over.
    async fn living(&self, id: &CredentialId, actor: &Actor) -> Result<CredentialRecord> {
        let row = self.credential_row(id, actor).await?;
        if row.revoked_at.is_some() {
            return Err(AccountsError::Conflict(
                "the credential was revoked; make a new one".to_owned(),
            ));
        }
        if row.expires_at.is_some_and(|end| end <= self.now()) {
            return Err(AccountsError::Conflict(
                "the credential has expired; make a new one".to_owned(),
            ));
        }
        Ok(row)
    }

    /// A new credential of the same kind, form and rules, not yet stored.
    async fn successor(
        &self,
        old: &CredentialRecord,
        expires_at: Option<UnixMillis>,
    ) -> Result<IssuedCredential> {
        let grant = Grant {
            principal: old.principal.clone(),
            name: old.name.clone(),
            scopes: old.scopes.clone(),
            permission: old.permission,
            networks: old.networks.clone(),
            transport: old.transport,
            expires_at,
            about: old.about.clone(),
            environment: old.environment.clone(),
            limits: old.limits.clone(),
        };
        let mut new = match old.kind {
            CredentialKind::DeviceToken => {
                let lookup = &self.parts.vault.handles().lookup;
                device_token::issue::issue(self.device_token_form(), lookup, grant, self.now())?
            }
            CredentialKind::ApiToken => self.make_api_token(&self.form_of(old), grant).await?,
            CredentialKind::Basic | CredentialKind::Jwt | CredentialKind::SealedDeviceToken => {
                return Err(AccountsError::bad(
                    "credential",
                    format!("one of kind {}", old.kind),
                    "a device token or an API token: make a new one, then revoke this one",
                ));
            }
        };
        if old.sealed_secret.is_some() {
            self.make_revealable(&mut new)?;
        }
        Ok(new)
    }

    /// The form of an API token, by its public part.
    fn form_of(&self, old: &CredentialRecord) -> super::ApiTokenForm {
        let prefix = old.public_id.as_deref().and_then(|id| id.split_once('_'));
        match prefix {
            None => super::ApiTokenForm::Hex,
            Some((text, _)) if Prefix::parse(text).is_ok() => super::ApiTokenForm::Prefix(text.to_owned()),
            Some(_) => super::ApiTokenForm::Default,
        }
    }

    /// Keeps a copy of the secret, sealed for this row alone.
    pub(super) fn make_revealable(&self, made: &mut IssuedCredential) -> Result<()> {
        let sealed = self.parts.vault.seal_secret(&made.record.id, &made.secret)?;
        made.record.sealed_secret = Some(sealed);
        Ok(())
    }
}

fn names_everything(filter: &CredentialFilter) -> bool {
    let CredentialFilter {
        order,
        kind,
        principal,
        tenant,
        customer,
        state,
        tag,
        environment,
        unused_since,
    } = filter;
    let narrows = kind.is_some()
        || principal.is_some()
        || tenant.is_some()
        || customer.is_some()
        || state.is_some()
        || tag.is_some()
        || environment.is_some()
        || unused_since.is_some();
    !narrows
        && match order {
            super::CredentialOrder::Age => true,
            super::CredentialOrder::PublicId(prefix) | super::CredentialOrder::Name(prefix) => {
                prefix.is_empty()
            }
            super::CredentialOrder::EndBefore(_) => false,
        }
}
