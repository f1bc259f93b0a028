//! Our own export's lines: one JSON object each, whose `type` says what it is. Times are milliseconds since 1970.
//!
//! Holds digests, never what they were made of: a secret that can be revealed stays behind, since it is sealed under
//! a key that does not travel. The words are fixed by `version`; a field this program does not know is refused, so
//! that a newer export is not read with half of its meaning. Pure. Called by import and export.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::domain::clock::UnixMillis;
use crate::domain::identity::{CredentialKind, PrincipalKind};
use crate::domain::ids::InvalidId;
use crate::domain::scope::{Permission, Role, ScopeSet};
use crate::store::{
    About, CredentialLimits, CredentialRecord, CustomerRecord, Enabled, KeyedDigest, PrincipalRecord,
    TenantRecord, Transport,
};

/// The version of these words.
pub const VERSION: u32 = 1;

/// One line.
#[derive(Debug, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Line {
    /// The first one.
    Doorward(Header),
    /// A tenant.
    Tenant(Tenant),
    /// A customer.
    Customer(Customer),
    /// A principal.
    Principal(Principal),
    /// A credential.
    Credential(Box<Credential>),
}

/// What the file is.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Header {
    /// The version of its words.
    pub version: u32,
    /// When it was begun.
    pub at: i64,
}

/// What people wrote on a thing.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Notes {
    #[serde(skip_serializing_if = "String::is_empty")]
    description: String,
    #[serde(skip_serializing_if = "Map::is_empty")]
    metadata: Map<String, Value>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    tags: Vec<String>,
}

/// A tenant.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Tenant {
    id: String,
    name: String,
    enabled: bool,
    created_at: i64,
    #[serde(default)]
    about: Notes,
}

/// A customer.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Customer {
    id: String,
    tenant: String,
    name: String,
    enabled: bool,
    created_at: i64,
    #[serde(default)]
    about: Notes,
}

/// A principal.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Principal {
    id: String,
    kind: String,
    name: String,
    enabled: bool,
    created_at: i64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    tenant: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    customer: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    external_id: Option<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    roles: Vec<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    network: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    serial: Option<String>,
    #[serde(default)]
    about: Notes,
}

/// A credential.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Credential {
    id: String,
    kind: String,
    principal: String,
    name: String,
    created_at: i64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    public_id: Option<String>,
    /// The digest under a lookup key: good where that key is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    keyed_digest: Option<Keyed>,
    /// A digest that is good anywhere (`crypto::portable_digest` has its forms).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    digest: Option<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    scopes: Vec<String>,
    #[serde(default = "full")]
    permission: String,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    networks: Vec<ipnet::IpNet>,
    #[serde(default)]
    https_only: bool,
    #[serde(default = "yes")]
    enabled: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    expires_at: Option<i64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    revoked_at: Option<i64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    deleted_at: Option<i64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    environment: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    limits: Option<Limits>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    replaced_by: Option<String>,
    #[serde(default)]
    about: Notes,
}

/// A digest under a lookup key.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Keyed {
    key: String,
    digest: String,
}

/// How much a credential may be used.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Limits {
    requests: Option<String>,
    data_points: Option<String>,
    bytes: Option<String>,
    connections: Option<u32>,
}

fn full() -> String {
    Permission::Full.as_str().to_owned()
}

fn yes() -> bool {
    true
}

/// A field that does not hold what it should: its name, never its value.
#[derive(Debug, PartialEq, Eq)]
pub struct Misfit(pub &'static str);

fn id<T: std::str::FromStr<Err = InvalidId>>(field: &'static str, text: &str) -> Result<T, Misfit> {
    text.parse().map_err(|_| Misfit(field))
}

fn maybe<T: std::str::FromStr<Err = InvalidId>>(
    field: &'static str,
    text: Option<&String>,
) -> Result<Option<T>, Misfit> {
    text.map(|text| id(field, text)).transpose()
}

fn switch(on: bool) -> Enabled {
    if on { Enabled::Yes } else { Enabled::No }
}

fn about(notes: Notes) -> Result<About, Misfit> {
    super::noting::about(About {
        description: notes.description,
        metadata: notes.metadata,
        tags: notes.tags,
    })
    .map_err(|_| Misfit("about"))
}

fn notes(about: About) -> Notes {
    Notes {
        description: about.description,
        metadata: about.metadata,
        tags: about.tags,
    }
}

impl Tenant {
    /// As a row.
    pub fn into_record(self) -> Result<TenantRecord, Misfit> {
        Ok(TenantRecord {
            id: id("id", &self.id)?,
            name: self.name,
            enabled: switch(self.enabled),
            created_at: UnixMillis(self.created_at),
            about: about(self.about)?,
            version: 1,
        })
    }
}

impl From<TenantRecord> for Line {
    fn from(row: TenantRecord) -> Self {
        Self::Tenant(Tenant {
            id: row.id.to_string(),
            name: row.name,
            enabled: row.enabled == Enabled::Yes,
            created_at: row.created_at.0,
            about: notes(row.about),
        })
    }
}

impl Customer {
    /// As a row.
    pub fn into_record(self) -> Result<CustomerRecord, Misfit> {
        Ok(CustomerRecord {
            id: id("id", &self.id)?,
            tenant: id("tenant", &self.tenant)?,
            name: self.name,
            enabled: switch(self.enabled),
            created_at: UnixMillis(self.created_at),
            about: about(self.about)?,
            version: 1,
        })
    }
}

impl From<CustomerRecord> for Line {
    fn from(row: CustomerRecord) -> Self {
        Self::Customer(Customer {
            id: row.id.to_string(),
            tenant: row.tenant.to_string(),
            name: row.name,
            enabled: row.enabled == Enabled::Yes,
            created_at: row.created_at.0,
            about: notes(row.about),
        })
    }
}

impl Principal {
    /// As a row.
    pub fn into_record(self) -> Result<PrincipalRecord, Misfit> {
        let roles = self.roles.iter().map(|text| Role::parse(text));
        Ok(PrincipalRecord {
            id: id("id", &self.id)?,
            kind: PrincipalKind::parse(&self.kind).ok_or(Misfit("kind"))?,
            tenant: maybe("tenant", self.tenant.as_ref())?,
            customer: maybe("customer", self.customer.as_ref())?,
            name: self.name,
            external_id: self.external_id,
            roles: roles.collect::<Result<_, _>>().map_err(|_| Misfit("roles"))?,
            enabled: switch(self.enabled),
            created_at: UnixMillis(self.created_at),
            about: about(self.about)?,
            network: maybe("network", self.network.as_ref())?,
            serial: self.serial,
            version: 1,
        })
    }
}

impl From<PrincipalRecord> for Line {
    fn from(row: PrincipalRecord) -> Self {
        Self::Principal(Principal {
            id: row.id.to_string(),
            kind: row.kind.as_str().to_owned(),
            name: row.name,
            enabled: row.enabled == Enabled::Yes,
            created_at: row.created_at.0,
            tenant: row.tenant.map(|t| t.to_string()),
            customer: row.customer.map(|c| c.to_string()),
            external_id: row.external_id,
            roles: row.roles.iter().map(|r| r.as_str().to_owned()).collect(),
            network: row.network.map(|n| n.to_string()),
            serial: row.serial,
            about: notes(row.about),
        })
    }
}

impl Credential {
    /// As a row.
    pub fn into_record(self) -> Result<CredentialRecord, Misfit> {
        let scopes = ScopeSet::parse(self.scopes.iter().map(String::as_str));
        let limits = self.limits.map(|limits| CredentialLimits {
            requests: limits.requests,
            data_points: limits.data_points,
            bytes: limits.bytes,
            connections: limits.connections,
        });
        Ok(CredentialRecord {
            id: id("id", &self.id)?,
            kind: CredentialKind::parse(&self.kind).ok_or(Misfit("kind"))?,
            principal: id("principal", &self.principal)?,
            name: self.name,
            public_id: self.public_id,
            keyed_digest: self.keyed_digest.map(keyed).transpose()?,
            slow_digest: self.digest,
            scopes: scopes.map_err(|_| Misfit("scopes"))?,
            permission: Permission::parse(&self.permission).ok_or(Misfit("permission"))?,
            networks: self.networks,
            transport: if self.https_only {
                Transport::HttpsOnly
            } else {
                Transport::Any
            },
            enabled: switch(self.enabled),
            expires_at: self.expires_at.map(UnixMillis),
            revoked_at: self.revoked_at.map(UnixMillis),
            created_at: UnixMillis(self.created_at),
            about: about(self.about)?,
            environment: self.environment,
            limits: limits
                .map(super::noting::limits)
                .transpose()
                .map_err(|_| Misfit("limits"))?,
            sealed_secret: None,
            replaced_by: maybe("replaced_by", self.replaced_by.as_ref())?,
            deleted_at: self.deleted_at.map(UnixMillis),
            version: 1,
        })
    }
}

fn keyed(written: Keyed) -> Result<KeyedDigest, Misfit> {
    let mut digest = [0; 32];
    hex::decode_to_slice(&written.digest, &mut digest).map_err(|_| Misfit("keyed_digest.digest"))?;
    Ok(KeyedDigest {
        digest,
        key: id("keyed_digest.key", &written.key)?,
    })
}

impl From<CredentialRecord> for Line {
    fn from(row: CredentialRecord) -> Self {
        Self::Credential(Box::new(Credential {
            id: row.id.to_string(),
            kind: row.kind.as_str().to_owned(),
            principal: row.principal.to_string(),
            name: row.name,
            created_at: row.created_at.0,
            public_id: row.public_id,
            keyed_digest: row.keyed_digest.map(|k| Keyed {
                key: k.key.to_string(),
                digest: hex::encode(k.digest),
            }),
            digest: row.slow_digest,
            scopes: row.scopes.iter().map(|s| s.as_str().to_owned()).collect(),
            permission: row.permission.as_str().to_owned(),
            networks: row.networks,
            https_only: row.transport == Transport::HttpsOnly,
            enabled: row.enabled == Enabled::Yes,
            expires_at: row.expires_at.map(|at| at.0),
            revoked_at: row.revoked_at.map(|at| at.0),
            deleted_at: row.deleted_at.map(|at| at.0),
            environment: row.environment,
            limits: row.limits.map(|limits| Limits {
                requests: limits.requests,
                data_points: limits.data_points,
                bytes: limits.bytes,
                connections: limits.connections,
            }),
            replaced_by: row.replaced_by.map(|id| id.to_string()),
            about: notes(row.about),
        }))
    }
}
