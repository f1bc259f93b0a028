//! What all formats make rows with: records with nothing in them yet, digests, and what no import may bring.

use std::sync::Arc;

use super::fields::{self, Fault};
use crate::accounts::administrators::administers;
use crate::authn::kinds::api_token;
use crate::crypto::{BcryptCost, Keyring, LookupKey, slow_digest};
use crate::domain::clock::UnixMillis;
use crate::domain::identity::{CredentialKind, PrincipalKind};
use crate::domain::ids::{CredentialId, PrincipalId, TenantId};
use crate::domain::scope::{Permission, ScopeSet};
use crate::store::{
    About, CredentialRecord, Enabled, ImportRow, KeyedDigest, PrincipalRecord, TenantRecord, Transport,
};

/// How the digests of a HomeChat were made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Peppered {
    /// With a pepper, which `credentials.api_token.pepper_file` holds.
    Yes,
    /// Without one.
    No,
}

/// Whether rows may bring administrators of this installation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ForeignAdministrators {
    /// They are refused.
    Refused,
    /// They may.
    Welcome,
}

/// Whether anything is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trial {
    /// Nothing: it is only told what would be.
    Dry,
    /// Everything that can be.
    Real,
}

/// What rows are made with.
pub(super) struct Making {
    pub(super) ring: Arc<Keyring<LookupKey>>,
    pub(super) api: api_token::Settings,
    pub(super) password_cost: BcryptCost,
    pub(super) tenant: Option<TenantId>,
    pub(super) peppered: Peppered,
    pub(super) administrators: ForeignAdministrators,
    pub(super) trial: Trial,
    pub(super) now: UnixMillis,
}

impl Making {
    /// A digest of a plain value under the current lookup key. The value itself goes no further.
    pub(super) fn keyed(&self, value: &str) -> KeyedDigest {
        let current = self.ring.current();
        KeyedDigest {
            digest: current.key.digest(value.as_bytes()),
            key: current.id.clone(),
        }
    }

    /// A slow digest of a password. A dry run does not pay for one.
    pub(super) fn password(&self, password: &str) -> Result<String, Fault> {
        let cost = match self.trial {
            Trial::Real => self.password_cost,
            Trial::Dry => BcryptCost::MIN,
        };
        slow_digest::bcrypt_hash(password.as_bytes(), cost).map_err(|e| e.to_string())
    }

    /// The tenant that was asked for on the command line, to be made where it is missing.
    pub(super) fn given_tenant(&self) -> Option<TenantRecord> {
        let id = self.tenant.clone()?;
        let name = id.as_str().to_owned();
        Some(self.tenant(id, &name))
    }

    /// A tenant.
    pub(super) fn tenant(&self, id: TenantId, name: &str) -> TenantRecord {
        TenantRecord {
            id,
            name: fields::name(name),
            enabled: Enabled::Yes,
            created_at: self.now,
            about: About::default(),
            version: 1,
        }
    }

    /// A principal.
    pub(super) fn principal(&self, id: PrincipalId, kind: PrincipalKind, name: &str) -> PrincipalRecord {
        PrincipalRecord {
            id,
            kind,
            tenant: self.tenant.clone(),
            customer: None,
            name: fields::name(name),
            external_id: None,
            roles: Vec::new(),
            enabled: Enabled::Yes,
            created_at: self.now,
            about: About::default(),
            network: None,
            serial: None,
            version: 1,
        }
    }

    /// A credential that cannot be proved yet.
    pub(super) fn credential(
        &self,
        id: CredentialId,
        kind: CredentialKind,
        principal: PrincipalId,
        name: &str,
    ) -> CredentialRecord {
        CredentialRecord {
            id,
            kind,
            principal,
            name: fields::name(name),
            public_id: None,
            keyed_digest: None,
            slow_digest: None,
            scopes: ScopeSet::default(),
            permission: Permission::Full,
            networks: Vec::new(),
            transport: Transport::Any,
            enabled: Enabled::Yes,
            expires_at: None,
            revoked_at: None,
            created_at: self.now,
            about: About::default(),
            environment: None,
            limits: None,
            sealed_secret: None,
            replaced_by: None,
            deleted_at: None,
            version: 1,
        }
    }

    /// Refuses what no import may bring without being told to.
    pub(super) fn judged(&self, row: ImportRow) -> Result<ImportRow, Fault> {
        let brings = row
            .principal
            .as_ref()
            .is_some_and(|p| p.roles.iter().any(administers));
        if brings && self.administrators == ForeignAdministrators::Refused {
            return Err(
                "its principal has a role that administers this installation, or a tenant of it; say --administrators \
                 if it shall"
                    .to_owned(),
            );
        }
        Ok(row)
    }
}
