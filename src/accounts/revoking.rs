//! Ending credentials: one, all of a device or principal, all of a tenant, everything; and rotating keys.
//!
//! Store first, so that a crash forgets nothing; then this process's index, so that it holds when the call
//! returns. Other processes follow the store's sequence (`cluster`).

use super::actor::Actor;
use super::error::{AccountsError, Result};
use super::keys::KeyInfo;
use super::principals::DeviceName;
use super::{Accounts, KeyPurpose, Page};
use crate::authn::presented::{Carrier, Presented};
use crate::authn::verifier::{Blame, Inspection, Rejection, Verified};
use crate::authn::{Toll, Verifier, kinds::jwt::MAX_LEEWAY};
use crate::cluster::RevocationSink;
use crate::domain::clock::UnixMillis;
use crate::domain::identity::{CredentialKind, Identity};
use crate::domain::ids::{CredentialId, PrincipalId, TenantId};
use crate::domain::reason::Reason;
use crate::domain::secret::SecretText;
use crate::store::{CredentialFilter, Effect, KeyState, NewRevocation, RevocationTarget};

/// Rows read at once when all are looked through.
const BATCH: u32 = 1000;

/// What was ended.
#[derive(Debug, Clone, PartialEq)]
pub struct Revoked {
    /// Its number in the store's sequence.
    pub seq: u64,
    /// The id of what was ended; `all` for everything.
    pub target: String,
    /// Whether that id has a row.
    pub known: Known,
}

/// Whether an id has a row. Sealed tokens, JWTs and the parties they name need none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Known {
    /// It has.
    Stored,
    /// It has none: what bears this id is refused from now on all the same.
    NotStored,
}

/// How careful a rotation of the lookup key is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum LookupRotation {
    /// Refused when it would end credentials whose digest was not renewed since the last rotation.
    #[default]
    Careful,
    /// Ends them.
    Anyway,
}

impl Accounts {
    /// Ends one credential by its id.
    pub async fn revoke_credential(&self, id: &CredentialId, actor: &Actor) -> Result<Revoked> {
        let row = self.rows(actor).credential(id).await?;
        let (known, until) = match &row {
            Some(context) => (Known::Stored, context.credential.expires_at),
            None if may_be_stateless(id) => (Known::NotStored, None),
            None => return Err(AccountsError::not_found("credential", id.as_str())),
        };
        let target = RevocationTarget::Credential(id.clone());
        self.revoke(target, until, known, None, actor).await
    }

    /// Ends a credential that somebody presents, such as one that was found in a public place.
    pub async fn revoke_presented(&self, secret: &SecretText, actor: &Actor) -> Result<Revoked> {
        let verified = self.identify(secret).await?;
        self.revoke_identified(&verified.identity, actor).await
    }

    /// Ends the credential that this identity was proved with.
    pub(super) async fn revoke_identified(&self, identity: &Identity, actor: &Actor) -> Result<Revoked> {
        let id = identity.credential.clone();
        let (known, until) = match identity.credential_kind {
            // Clocks differ: kept a little longer than the token can be presented.
            CredentialKind::SealedDeviceToken | CredentialKind::Jwt => (
                Known::NotStored,
                identity.expires_at.map(|at| at.plus(2 * MAX_LEEWAY)),
            ),
            CredentialKind::DeviceToken | CredentialKind::ApiToken | CredentialKind::Basic => {
                (Known::Stored, identity.expires_at)
            }
        };
        let target = RevocationTarget::Credential(id.clone());
        self.revoke(target, until, known, identity.tenant.as_ref(), actor)
            .await
    }

    /// Ends everything a principal holds. It may get new credentials.
    pub async fn revoke_principal(&self, id: &PrincipalId, actor: &Actor) -> Result<Revoked> {
        let known = match self.rows(actor).principal(id).await? {
            Some(_) => Known::Stored,
            None => Known::NotStored,
        };
        let target = RevocationTarget::Principal(id.clone());
        self.revoke(target, None, known, None, actor).await
    }

    /// Ends everything a device holds, by its id or name, registered or not.
    pub async fn revoke_device(&self, id_or_name: &str, actor: &Actor) -> Result<Revoked> {
        let (id, known) = match self.device(id_or_name, actor).await? {
            DeviceName::Registered(record) => (record.id, Known::Stored),
            DeviceName::Unregistered(id) => (id, Known::NotStored),
        };
        let target = RevocationTarget::Principal(id.clone());
        self.revoke(target, None, known, None, actor).await
    }

    /// Ends everything of a tenant.
    pub async fn revoke_tenant(&self, id: &TenantId, actor: &Actor) -> Result<Revoked> {
        let known = match self.rows(actor).tenant(id).await? {
            Some(_) => Known::Stored,
            None => Known::NotStored,
        };
        let target = RevocationTarget::Tenant(id.clone());
        self.revoke(target, None, known, None, actor).await
    }

    /// Ends every credential there is, administrators' included.
    pub async fn revoke_all(&self, actor: &Actor) -> Result<Revoked> {
        self.revoke(RevocationTarget::All, None, Known::Stored, None, actor)
            .await
    }

    /// `tenant` is that of a credential without a row which was verified.
    async fn revoke(
        &self,
        target: RevocationTarget,
        until: Option<UnixMillis>,
        known: Known,
        tenant: Option<&TenantId>,
        actor: &Actor,
    ) -> Result<Revoked> {
        let now = self.parts.clock.now().wall;
        let (act, id) = match &target {
            RevocationTarget::Credential(id) => ("credential.revoke", id.to_string()),
            RevocationTarget::Principal(id) => ("principal.revoke", id.to_string()),
            RevocationTarget::Tenant(id) => ("tenant.revoke", id.to_string()),
            RevocationTarget::All => ("all.revoke", "all".to_owned()),
        };
        let revocation = NewRevocation {
            effect: Effect::Ends,
            target,
            cut_at: now,
            until,
        };
        let draft = actor.draft(now, act, id.as_str(), serde_json::Value::Null);
        let record = self.rows(actor).revoke(&revocation, tenant, &draft).await?;
        self.parts.revocations.apply(&record);
        Ok(Revoked {
            seq: record.seq,
            target: id,
            known,
        })
    }

    /// Which credential a text is, said by the kinds themselves: a forged one has no id to revoke.
    async fn identify(&self, secret: &SecretText) -> Result<Verified> {
        let text = secret.expose().trim();
        let mut ended = None;
        let kinds = self.kinds();
        for verifier in kinds.verifiers.iter() {
            match self.ask(verifier.as_ref(), text).await {
                Ok(verified) => return Ok(verified),
                Err(rejection) if rejection.blame == Blame::Ours => {
                    return Err(AccountsError::Unavailable(rejection.reason.text().to_owned()));
                }
                Err(rejection)
                    if matches!(
                        rejection.reason,
                        Reason::CredentialExpired | Reason::CredentialRevoked
                    ) =>
                {
                    ended = Some(rejection.reason);
                }
                Err(_) => {}
            }
        }
        Err(match ended {
            Some(reason) => AccountsError::Conflict(format!(
                "nothing to revoke: the credential is refused already ({reason})"
            )),
            None => AccountsError::bad(
                "token",
                "nothing that this installation would accept",
                "a device token, API token, sealed device token or JWT as it is presented",
            ),
        })
    }

    async fn ask(&self, verifier: &dyn Verifier, text: &str) -> std::result::Result<Verified, Rejection> {
        let carrier = match verifier.kind() {
            CredentialKind::SealedDeviceToken => Carrier::AuthorizationDevice,
            CredentialKind::DeviceToken => Carrier::DeviceToken,
            CredentialKind::ApiToken | CredentialKind::Jwt => Carrier::AuthorizationBearer,
            // A user name with password is named by its id.
            CredentialKind::Basic => return Err(Rejection::caller(Reason::CredentialMalformed)),
        };
        let presented = Presented {
            carrier,
            kind: verifier.kind(),
            credential: text.as_bytes(),
        };
        let now = self.parts.clock.now();
        match verifier.inspect(&presented, now) {
            Inspection::Refused(rejection) => Err(rejection),
            Inspection::Verified(verified) => Ok(*verified),
            Inspection::LookUp { .. } => {
                verifier
                    .look_up(&presented.to_owned(), &Toll::waived(), now)
                    .await
            }
        }
    }

    /// Makes a new current key of this purpose. Remembered verdicts are made again: what the key before the
    /// last made is refused from now on.
    pub async fn rotate_key(
        &self,
        purpose: KeyPurpose,
        lookup: LookupRotation,
        actor: &Actor,
    ) -> Result<KeyInfo> {
        actor.must_reach_all("every key")?;
        if purpose == KeyPurpose::Lookup && lookup == LookupRotation::Careful {
            self.check_lookup_rotation(actor).await?;
        }
        let now = self.parts.clock.now().wall;
        let key = self.parts.vault.rotate(purpose, actor, now).await?;
        self.parts.revocations.void_all();
        Ok(key)
    }

    /// Finds a living credential that only the previous lookup key knows.
    async fn check_lookup_rotation(&self, actor: &Actor) -> Result<()> {
        let keys = self.parts.vault.list().await?;
        let current = keys
            .iter()
            .find(|k| k.purpose == KeyPurpose::Lookup && k.state == KeyState::Current)
            .map(|k| k.id.clone());
        let now = self.parts.clock.now().wall;
        let filter = CredentialFilter::default();
        let mut page = Page::first(BATCH);
        loop {
            let rows = self.rows(actor).list_credentials(&filter, &page).await?;
            let lost = rows.iter().find(|row| {
                let alive = row.revoked_at.is_none() && row.expires_at.is_none_or(|at| at > now);
                let older = row
                    .keyed_digest
                    .as_ref()
                    .is_some_and(|d| Some(&d.key) != current.as_ref());
                alive && older && row.slow_digest.is_none()
            });
            if let Some(row) = lost {
                return Err(AccountsError::Conflict(format!(
                    "rotating the lookup key now would end credentials that were not used since its last rotation, \
                     such as {} ({}); let them be used once, or rotate anyway",
                    row.id, row.name
                )));
            }
            match rows.last() {
                Some(last) if rows.len() >= BATCH as usize => page.after = Some(filter.order.cursor(last)),
                _ => return Ok(()),
            }
        }
    }
}

/// Whether an id can be that of a sealed token (a digest) or of a JWT (issuer and `jti`).
fn may_be_stateless(id: &CredentialId) -> bool {
    let text = id.as_str();
    text.contains(':') || (text.len() == 64 && text.bytes().all(|b| b.is_ascii_hexdigit()))
}
