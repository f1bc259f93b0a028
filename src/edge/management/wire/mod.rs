//! What the management door and its clients say to each other, as JSON.
//!
//! Unknown fields in requests are refused: a misspelled limit must not become no limit. A secret stands in
//! [`Created`] and nowhere else. Written and read by the door, and by the command line on the other side.

mod changes;
mod parties;
mod queries;
mod tokens;
pub mod words;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use utoipa::ToSchema;

pub use self::changes::*;
pub use self::parties::{ChangeParty, CreateCustomer, CreateTenant, Deleted, Limits, Notes, Party};
pub use self::queries::{AuditQuery, CustomerQuery, DeviceQuery, PageQuery, PrincipalQuery, TokenQuery};
pub use self::tokens::{CreateToken, Created, Regenerate, Token, TokenDetails, Usage};

/// A page of something.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct Listing<T> {
    /// The rows.
    pub items: Vec<T>,
    /// What to ask for next (`after`, for audit rows `before`), when there may be more.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}

/// A device to be registered.
#[derive(Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CreateDevice {
    /// What the device calls itself, such as its serial number. Unique.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(min_length = 1, max_length = 255)]
    pub identifier: Option<String>,
    /// Its name for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(max_length = 255)]
    pub name: Option<String>,
    /// Its tenant.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(min_length = 1, max_length = 255)]
    pub tenant: Option<String>,
    /// Its customer, within the tenant.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(min_length = 1, max_length = 255)]
    pub customer: Option<String>,
    /// The network (a service account's id) that may speak for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(min_length = 1, max_length = 255)]
    pub network: Option<String>,
    /// What its network calls it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(min_length = 1, max_length = 255)]
    pub serial: Option<String>,
    /// A sentence or two.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(max_length = 1024)]
    pub description: Option<String>,
    /// Facts for other programs, by name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    pub metadata: Option<Map<String, Value>>,
    /// Words to find it by.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(max_items = 32)]
    pub tags: Option<Vec<String>>,
}

/// A user or service account to be made.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CreatePrincipal {
    /// `user` or `service`.
    #[schema(schema_with = words::account_kind)]
    pub kind: String,
    /// Its login or account name. Unique per kind.
    #[schema(min_length = 1, max_length = 255)]
    pub external_id: String,
    /// Its name for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(max_length = 255)]
    pub name: Option<String>,
    /// Its roles.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schema(max_items = 64)]
    pub roles: Vec<String>,
    /// Its tenant.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(min_length = 1, max_length = 255)]
    pub tenant: Option<String>,
    /// Its customer, within the tenant.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(min_length = 1, max_length = 255)]
    pub customer: Option<String>,
    /// A sentence or two.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(max_length = 1024)]
    pub description: Option<String>,
    /// Facts for other programs, by name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    pub metadata: Option<Map<String, Value>>,
    /// Words to find it by.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(max_items = 32)]
    pub tags: Option<Vec<String>>,
}

/// A device, user or service account.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct Principal {
    /// Its id.
    pub id: String,
    /// `device`, `user` or `service`.
    #[schema(schema_with = words::principal_kind)]
    pub kind: String,
    /// What outside systems call it.
    pub external_id: Option<String>,
    /// Its name for people.
    pub name: String,
    /// Its tenant.
    pub tenant: Option<String>,
    /// Its customer.
    pub customer: Option<String>,
    /// Its roles.
    pub roles: Vec<String>,
    /// Whether it may come in.
    pub enabled: bool,
    /// When it was made.
    #[schema(format = DateTime)]
    pub created_at: String,
    /// The network that may speak for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub network: Option<String>,
    /// What its network calls it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub serial: Option<String>,
    /// What people wrote on it.
    #[serde(flatten)]
    pub notes: Notes,
    /// Raised by every change; also the `ETag`.
    pub version: u64,
}

/// A secret on the wire: it cannot be printed by accident.
#[derive(Clone, Serialize, Deserialize, ToSchema)]
#[serde(transparent)]
#[schema(format = Password)]
pub struct Secret(pub String);

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Secret(…)")
    }
}

impl Drop for Secret {
    fn drop(&mut self) {
        zeroize::Zeroize::zeroize(&mut self.0);
    }
}

/// What to end: exactly one of these.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, rename_all = "snake_case")]
pub enum Revoke {
    /// One credential, by its id.
    Credential(String),
    /// One credential, as it is presented.
    Token(Secret),
    /// Everything a principal holds.
    Principal(String),
    /// Everything a device holds, by its id or identifier.
    Device(String),
    /// Everything of a tenant.
    Tenant(String),
    /// All that there is.
    All(Everything),
}

/// The word that ends everything.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Everything {
    /// `everything`.
    Everything,
}

/// What was ended.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct Revoked {
    /// Its number in the sequence of revocations.
    pub seq: u64,
    /// The id of what was ended.
    pub target: String,
    /// Whether that id is stored. What bears an id that is not stored (sealed tokens, JWTs) is refused
    /// all the same.
    pub stored: bool,
}

/// One of our keys, without its material.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct Key {
    /// Its id (`kid`).
    pub id: String,
    /// `device_token`, `lookup`, `jwt` or `assertion`.
    #[schema(schema_with = words::key_purpose)]
    pub purpose: String,
    /// `current`, `previous` or `retired`.
    #[schema(schema_with = words::key_state)]
    pub state: String,
    /// When it was made.
    #[schema(format = DateTime)]
    pub created_at: String,
}

/// How to rotate a key.
#[derive(Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Rotate {
    /// Rotate the lookup key although that ends credentials that were not used since its last rotation.
    #[serde(default)]
    pub anyway: bool,
}

/// An audit row.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct AuditRow {
    /// Its number.
    pub seq: u64,
    /// When it happened.
    #[schema(format = DateTime)]
    pub at: String,
    /// Who did it.
    pub actor: String,
    /// What was done.
    pub act: String,
    /// What it was done to.
    pub target: String,
    /// From which address.
    pub from: Option<String>,
    /// More facts.
    pub detail: Value,
    /// SHA-256 over the row before and this one.
    pub digest: String,
}

/// Whether the audit trail is whole.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct AuditVerdict {
    /// Number of the first row that does not fit; absent: all fit.
    pub first_bad: Option<u64>,
}

/// What is running.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct Version {
    /// The program's version.
    pub version: String,
}

/// How the door is.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct Health {
    /// `ok`: the store answers.
    pub store: String,
}

/// What went wrong (RFC 9457), with a `message` that is never empty.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct ProblemBody {
    /// Always `about:blank`: the status says it.
    #[serde(rename = "type")]
    pub kind: String,
    /// The status in words.
    pub title: String,
    /// The status.
    pub status: u16,
    /// What was found, what was expected, what to do.
    pub message: String,
    /// A stable code, where the credential was the problem.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Every part of the request that was wrong.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub errors: Vec<FieldError>,
}

/// A part of a request that was wrong.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct FieldError {
    /// Where in the body, as a JSON pointer (RFC 6901).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pointer: Option<String>,
    /// Which parameter of the query or path, or which header.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parameter: Option<String>,
    /// What was found, without its value, and what was expected.
    pub message: String,
}

/// A configuration that is not where the server reads its own.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct OfferedConfig {
    /// What it is called in problems.
    pub name: String,
    /// The YAML.
    pub text: String,
}

/// What differs between two configurations.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct ConfigChanges {
    /// The differences, in the order of their keys.
    pub changes: Vec<ConfigChange>,
}

/// One difference. Secrets are `(redacted)`.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct ConfigChange {
    /// The key, such as `routes[api].upstream`.
    pub key: String,
    /// What it was; absent: nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub old: Option<String>,
    /// What it is or would be; absent: nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub new: Option<String>,
    /// What it takes to take effect: `reload` or `restart`.
    pub takes: String,
}
