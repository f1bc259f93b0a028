//! The rows, as plain data. Texts are kept as the domain's newtypes; digests as bytes.

use crate::domain::clock::UnixMillis;
use crate::domain::identity::{CredentialKind, PrincipalKind};
use crate::domain::ids::{CredentialId, CustomerId, KeyId, PrincipalId, TenantId};
use crate::domain::scope::{Permission, Role, ScopeSet};

/// What people wrote on a thing. It decides nothing.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct About {
    /// A sentence or two.
    pub description: String,
    /// Facts for other programs, by name.
    pub metadata: serde_json::Map<String, serde_json::Value>,
    /// Words to find it by, without spaces; sorted, each once.
    pub tags: Vec<String>,
}

/// Whether a thing is switched on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Enabled {
    /// In use.
    Yes,
    /// Switched off by an administrator.
    No,
}

/// A tenant.
#[derive(Debug, Clone, PartialEq)]
pub struct TenantRecord {
    /// Its id.
    pub id: TenantId,
    /// Its name for people.
    pub name: String,
    /// Whether its principals may come in.
    pub enabled: Enabled,
    /// When it was made.
    pub created_at: UnixMillis,
    /// What people wrote on it.
    pub about: About,
    /// Raised by every change, from 1.
    pub version: u64,
}

/// A customer of a tenant.
#[derive(Debug, Clone, PartialEq)]
pub struct CustomerRecord {
    /// Its id.
    pub id: CustomerId,
    /// The tenant it belongs to.
    pub tenant: TenantId,
    /// Its name for people.
    pub name: String,
    /// Whether its principals may come in.
    pub enabled: Enabled,
    /// When it was made.
    pub created_at: UnixMillis,
    /// What people wrote on it.
    pub about: About,
    /// Raised by every change, from 1.
    pub version: u64,
}

/// A device, user or service account.
#[derive(Debug, Clone, PartialEq)]
pub struct PrincipalRecord {
    /// Its id.
    pub id: PrincipalId,
    /// Device, user or service; never anonymous.
    pub kind: PrincipalKind,
    /// The tenant it belongs to.
    pub tenant: Option<TenantId>,
    /// The customer it is assigned to.
    pub customer: Option<CustomerId>,
    /// Its name for people.
    pub name: String,
    /// What outside systems call it: a device's serial number, a user's login name. Unique per kind.
    pub external_id: Option<String>,
    /// Its roles.
    pub roles: Vec<Role>,
    /// Whether it may come in.
    pub enabled: Enabled,
    /// When it was made.
    pub created_at: UnixMillis,
    /// What people wrote on it.
    pub about: About,
    /// The network (a service account) that may speak for this device.
    pub network: Option<PrincipalId>,
    /// What its network calls this device. Unique within the network.
    pub serial: Option<String>,
    /// Raised by every change, from 1.
    pub version: u64,
}

/// A stored credential. Holds digests only, never the secret.
#[derive(Debug, Clone, PartialEq)]
pub struct CredentialRecord {
    /// Row id.
    pub id: CredentialId,
    /// Which kind.
    pub kind: CredentialKind,
    /// Whom it belongs to.
    pub principal: PrincipalId,
    /// Its name for people.
    pub name: String,
    /// The public part it is found by: `dw_1a2b3c4d`, the first letters of a token without a prefix, or
    /// a user name.
    pub public_id: Option<String>,
    /// HMAC-SHA-256 of the whole credential under a lookup key.
    pub keyed_digest: Option<KeyedDigest>,
    /// A portable slow digest in its own text form (`$2b$12$…`).
    pub slow_digest: Option<String>,
    /// Its scopes; empty means the principal's rights.
    pub scopes: ScopeSet,
    /// Its permission.
    pub permission: Permission,
    /// Networks it may be used from, in CIDR form; empty means anywhere.
    pub networks: Vec<ipnet::IpNet>,
    /// Whether it is refused over plain HTTP.
    pub transport: Transport,
    /// Whether it is switched on.
    pub enabled: Enabled,
    /// When it ends, if ever.
    pub expires_at: Option<UnixMillis>,
    /// When it was revoked, if it was.
    pub revoked_at: Option<UnixMillis>,
    /// When it was made.
    pub created_at: UnixMillis,
    /// What people wrote on it.
    pub about: About,
    /// Where it is used, such as `production`: the label that rotation schedules go by.
    pub environment: Option<String>,
    /// How much it may be used.
    pub limits: Option<CredentialLimits>,
    /// A copy of the secret, sealed under the data key, where the kind and its maker allow it to be read back.
    pub sealed_secret: Option<Vec<u8>>,
    /// The credential that takes its place; it ends soon.
    pub replaced_by: Option<CredentialId>,
    /// When it was deleted; it is forgotten after a while.
    pub deleted_at: Option<UnixMillis>,
    /// Raised by every change, from 1.
    pub version: u64,
}

/// How much a credential may be used, in the words of the configuration's limits: `100:1,2000:60` is at most
/// 100 in a second and 2000 in a minute.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct CredentialLimits {
    /// Requests.
    pub requests: Option<String>,
    /// Items of JSON arrays in bodies.
    pub data_points: Option<String>,
    /// Bytes of bodies.
    pub bytes: Option<String>,
    /// Connections at the same time.
    pub connections: Option<u32>,
}

/// A keyed digest and the key it was made with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyedDigest {
    /// HMAC-SHA-256 output.
    pub digest: [u8; 32],
    /// The lookup key's id.
    pub key: KeyId,
}

/// Which transports a credential may come over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Transport {
    /// Any.
    #[default]
    Any,
    /// HTTPS only.
    HttpsOnly,
}

/// A credential with all that decides whether it is good: one look-up reads it.
#[derive(Debug, Clone, PartialEq)]
pub struct CredentialContext {
    /// The credential.
    pub credential: CredentialRecord,
    /// Whom it belongs to.
    pub principal: PrincipalRecord,
    /// The tenant's state; `Yes` when there is no tenant.
    pub tenant_enabled: Enabled,
    /// The customer's state; `Yes` when there is no customer.
    pub customer_enabled: Enabled,
}

/// A principal with what decides whether it may come in.
#[derive(Debug, Clone, PartialEq)]
pub struct PrincipalContext {
    /// The principal.
    pub principal: PrincipalRecord,
    /// The tenant's state; `Yes` when there is no tenant.
    pub tenant_enabled: Enabled,
    /// The customer's state; `Yes` when there is no customer.
    pub customer_enabled: Enabled,
}

/// What becomes of everything a principal holds when it is changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Holdings {
    /// It stays.
    Keep,
    /// It ends.
    End,
}

/// What a revocation ends.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum RevocationTarget {
    /// One credential: row id, `jti`, or digest of a stateless token.
    Credential(CredentialId),
    /// Everything a principal (device, user, service) holds.
    Principal(PrincipalId),
    /// Everything of a tenant.
    Tenant(TenantId),
    /// Everything.
    All,
}

/// What a row in the sequence of revocations does to its target.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Effect {
    /// It ends it.
    #[default]
    Ends,
    /// Its row was changed: remembered verdicts about it are void, and are made again from the row.
    Changes,
}

/// A revocation to be written.
#[derive(Debug, Clone, PartialEq)]
pub struct NewRevocation {
    /// What it does.
    pub effect: Effect,
    /// What it ends.
    pub target: RevocationTarget,
    /// The cut: stateless tokens issued at or before this instant die; later ones live. Credential
    /// revocations end their target whenever it was issued.
    pub cut_at: UnixMillis,
    /// When nothing it ends can be presented any more, if that is known.
    pub until: Option<UnixMillis>,
}

/// A revocation as stored.
#[derive(Debug, Clone, PartialEq)]
pub struct RevocationRecord {
    /// Strictly increasing in order of commit.
    pub seq: u64,
    /// What it ends and when.
    pub revocation: NewRevocation,
    /// When it was written (wall clock of the writer), for the lag metric.
    pub created_at: UnixMillis,
}

/// What a key is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum KeyPurpose {
    /// Seals device tokens (v2).
    DeviceToken,
    /// Keyed digests of opaque credentials.
    Lookup,
    /// Signs our own JWTs.
    Jwt,
    /// Signs identity assertions for upstreams.
    Assertion,
}

impl KeyPurpose {
    /// Every purpose.
    pub const ALL: [Self; 4] = [Self::DeviceToken, Self::Lookup, Self::Jwt, Self::Assertion];

    /// The name in records and on the command line.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::DeviceToken => "device_token",
            Self::Lookup => "lookup",
            Self::Jwt => "jwt",
            Self::Assertion => "assertion",
        }
    }

    /// The purpose of this name.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|p| p.as_str() == text)
    }
}

/// Where a key stands in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyState {
    /// Makes and checks.
    Current,
    /// Checks only.
    Previous,
    /// Kept for the record, unused.
    Retired,
}

impl KeyState {
    /// The name in records and on the command line.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Current => "current",
            Self::Previous => "previous",
            Self::Retired => "retired",
        }
    }

    /// The state of this name.
    pub fn parse(text: &str) -> Option<Self> {
        [Self::Current, Self::Previous, Self::Retired]
            .into_iter()
            .find(|s| s.as_str() == text)
    }
}

/// A key as stored: sealed under the data key.
#[derive(Debug, Clone, PartialEq)]
pub struct KeyRecord {
    /// Its id (`kid`).
    pub id: KeyId,
    /// What it is for.
    pub purpose: KeyPurpose,
    /// Where it stands.
    pub state: KeyState,
    /// Key material, sealed by `crypto::keyring`.
    pub sealed: Vec<u8>,
    /// When it was made.
    pub created_at: UnixMillis,
}

/// An audit row to be written.
#[derive(Debug, Clone, PartialEq)]
pub struct AuditDraft {
    /// When it happened.
    pub at: UnixMillis,
    /// Who did it: a principal id, `local:<uid>` over the admin socket, or `system`.
    pub actor: String,
    /// What was done, such as `credential.create`.
    pub act: String,
    /// What it was done to: an id, never a secret.
    pub target: String,
    /// From which address, where there is one.
    pub from: Option<String>,
    /// More facts, allow-listed by the writer; never a secret.
    pub detail: serde_json::Value,
}

/// An audit row as stored.
#[derive(Debug, Clone, PartialEq)]
pub struct AuditRecord {
    /// Strictly increasing.
    pub seq: u64,
    /// The row.
    pub entry: AuditDraft,
    /// SHA-256 over the previous row's digest and this row.
    pub digest: [u8; 32],
}

/// Which audit rows retention removes: those of these acts that are too old, or too many.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuditTrim {
    /// Rows of which acts.
    pub acts: TrimmedActs,
    /// Those from before this instant.
    pub before: Option<UnixMillis>,
    /// All but so many, the newest.
    pub keep_newest: Option<u64>,
}

/// Which acts retention looks at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TrimmedActs {
    /// This one.
    Only(&'static str),
    /// Every other.
    AllBut(&'static str),
}
