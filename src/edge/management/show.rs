//! Records become answers. No digest and no secret is among what is shown.

use super::wire::{
    AuditRow, Created, Key, Limits, Listing, Notes, Party, Principal, Revoked, Secret, Token, Usage,
};
use crate::accounts::{
    self, About, AuditRecord, CredentialLimits, CredentialRecord, CredentialState, CustomerRecord, Enabled,
    Issued, KeyInfo, Known, PrincipalRecord, TenantRecord, Transport, UsageRecord,
};
use crate::domain::clock::UnixMillis;

/// A page of something; `id` says after what to go on.
pub fn listing<R, T>(
    rows: Vec<R>,
    limit: u32,
    id: impl Fn(&R) -> String,
    show: impl Fn(R) -> T,
) -> Listing<T> {
    let full = u32::try_from(rows.len()).is_ok_and(|n| n >= limit);
    let next = rows.last().filter(|_| full).map(id);
    Listing {
        items: rows.into_iter().map(show).collect(),
        next,
    }
}

/// A principal.
pub fn principal(record: PrincipalRecord) -> Principal {
    Principal {
        id: record.id.to_string(),
        kind: record.kind.as_str().to_owned(),
        external_id: record.external_id,
        name: record.name,
        tenant: record.tenant.map(|t| t.to_string()),
        customer: record.customer.map(|c| c.to_string()),
        roles: record.roles.iter().map(|r| r.as_str().to_owned()).collect(),
        enabled: record.enabled == Enabled::Yes,
        created_at: record.created_at.rfc3339(),
        network: record.network.map(|id| id.to_string()),
        serial: record.serial,
        notes: notes(record.about),
        version: record.version,
    }
}

/// A tenant.
pub fn tenant(record: TenantRecord) -> Party {
    Party {
        id: record.id.to_string(),
        tenant: None,
        name: record.name,
        enabled: record.enabled == Enabled::Yes,
        notes: notes(record.about),
        version: record.version,
        created_at: record.created_at.rfc3339(),
    }
}

/// A customer.
pub fn customer(record: CustomerRecord) -> Party {
    Party {
        id: record.id.to_string(),
        tenant: Some(record.tenant.to_string()),
        name: record.name,
        enabled: record.enabled == Enabled::Yes,
        notes: notes(record.about),
        version: record.version,
        created_at: record.created_at.rfc3339(),
    }
}

fn notes(about: About) -> Notes {
    Notes {
        description: about.description,
        metadata: about.metadata,
        tags: about.tags,
    }
}

fn limits(limits: CredentialLimits) -> Limits {
    Limits {
        requests: limits.requests,
        data_points: limits.data_points,
        bytes: limits.bytes,
        connections: limits.connections,
    }
}

/// A stored credential.
pub fn token(record: CredentialRecord, now: UnixMillis) -> Token {
    let state = CredentialState::of(&record, now);
    Token {
        id: record.id.to_string(),
        kind: record.kind.as_str().to_owned(),
        principal: record.principal.to_string(),
        name: record.name,
        public_id: record.public_id,
        state: state.as_str().to_owned(),
        scopes: record.scopes.iter().map(|s| s.as_str().to_owned()).collect(),
        permission: record.permission.as_str().to_owned(),
        networks: record.networks.iter().map(ToString::to_string).collect(),
        https_only: record.transport == Transport::HttpsOnly,
        expires_at: record.expires_at.map(UnixMillis::rfc3339),
        revoked_at: record.revoked_at.map(UnixMillis::rfc3339),
        created_at: record.created_at.rfc3339(),
        notes: notes(record.about),
        environment: record.environment,
        limits: record.limits.map(limits),
        revealable: record.sealed_secret.is_some(),
        replaced_by: record.replaced_by.map(|id| id.to_string()),
        deleted_at: record.deleted_at.map(UnixMillis::rfc3339),
        version: record.version,
    }
}

/// How a credential was used.
pub fn usage(record: UsageRecord) -> Usage {
    Usage {
        count: record.count,
        first_used_at: record.first_used_at.rfc3339(),
        last_used_at: record.last_used_at.rfc3339(),
        recent_addresses: record.recent_addresses,
    }
}

/// A credential that was just made, with its secret.
pub fn created(issued: Issued) -> Created {
    Created {
        id: issued.id.to_string(),
        kind: issued.kind.as_str().to_owned(),
        principal: issued.principal.to_string(),
        secret: Some(Secret(issued.secret.expose().to_owned())),
        public_id: issued.public_id,
        expires_at: issued.expires_at.map(UnixMillis::rfc3339),
    }
}

/// What was ended.
pub fn revoked(revoked: accounts::Revoked) -> Revoked {
    Revoked {
        seq: revoked.seq,
        target: revoked.target,
        stored: revoked.known == Known::Stored,
    }
}

/// A key.
pub fn key(info: KeyInfo) -> Key {
    Key {
        id: info.id.to_string(),
        purpose: info.purpose.as_str().to_owned(),
        state: info.state.as_str().to_owned(),
        created_at: info.created_at.rfc3339(),
    }
}

/// An audit row.
pub fn audit_row(record: AuditRecord) -> AuditRow {
    AuditRow {
        seq: record.seq,
        at: record.entry.at.rfc3339(),
        actor: record.entry.actor,
        act: record.entry.act,
        target: record.entry.target,
        from: record.entry.from,
        detail: record.entry.detail,
        digest: hex::encode(record.digest),
    }
}
