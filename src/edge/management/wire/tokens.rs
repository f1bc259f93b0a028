//! Credentials on the wire: to be made, just made, and as they are stored.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use utoipa::ToSchema;

use super::{Limits, Notes, Principal, Secret, words};

/// A credential to be made. Which fields a kind takes is said in its documentation; others are refused.
#[derive(Debug, Default, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CreateToken {
    /// `api_token`, `device_token`, `sealed_device_token`, `jwt` or `basic`.
    #[schema(schema_with = words::credential_kind)]
    pub kind: String,
    /// Name of a service account; it is made when there is none.
    #[serde(default, rename = "for", skip_serializing_if = "Option::is_none")]
    #[schema(min_length = 1, max_length = 255)]
    pub service: Option<String>,
    /// Id of the principal it is for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(min_length = 1, max_length = 255)]
    pub principal: Option<String>,
    /// Id or identifier of the device it is for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(min_length = 1, max_length = 255)]
    pub device: Option<String>,
    /// Its form, by kind.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(min_length = 1, max_length = 255)]
    pub format: Option<String>,
    /// Its name for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(min_length = 1, max_length = 255)]
    pub name: Option<String>,
    /// Its scopes.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schema(max_items = 64)]
    pub scopes: Vec<String>,
    /// `full`, `read` or `write`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(schema_with = words::permission)]
    pub permission: Option<String>,
    /// Networks it may be used from.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schema(max_items = 64)]
    pub networks: Vec<String>,
    /// Whether it is refused over plain HTTP.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub https_only: bool,
    /// When it ends.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(min_length = 1, max_length = 255)]
    pub expires: Option<String>,
    /// Its tenant (sealed device tokens).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(min_length = 1, max_length = 255)]
    pub tenant: Option<String>,
    /// User name (basic).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(min_length = 1, max_length = 255)]
    pub user: Option<String>,
    /// Password (basic); a random one is made when there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub password: Option<Secret>,
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
    /// Where it is used, such as `production`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(min_length = 1, max_length = 64)]
    pub environment: Option<String>,
    /// How much it may be used.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limits: Option<Limits>,
    /// Keep a copy of the secret, sealed, that can be read back (device tokens).
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub revealable: bool,
}

/// A device's token to be replaced.
#[derive(Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Regenerate {
    /// Which one; needed when the device has several.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(min_length = 1, max_length = 255)]
    pub token: Option<String>,
    /// The new one's form.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(min_length = 1, max_length = 255)]
    pub format: Option<String>,
}

/// A credential that was just made.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct Created {
    /// Its id, by which it is revoked.
    pub id: String,
    /// Which kind.
    #[schema(schema_with = words::credential_kind)]
    pub kind: String,
    /// Whom it belongs to.
    pub principal: String,
    /// What its holder presents. In this answer only, and not when it is given again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret: Option<Secret>,
    /// The public part it is found by; the user name of a basic credential.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub public_id: Option<String>,
    /// When it ends.
    #[schema(format = DateTime)]
    pub expires_at: Option<String>,
}

/// A stored credential.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct Token {
    /// Its id.
    pub id: String,
    /// Which kind.
    #[schema(schema_with = words::credential_kind)]
    pub kind: String,
    /// Whom it belongs to.
    pub principal: String,
    /// Its name for people.
    pub name: String,
    /// The public part it is found by.
    pub public_id: Option<String>,
    /// Where it stands.
    #[schema(schema_with = words::credential_state)]
    pub state: String,
    /// Its scopes.
    pub scopes: Vec<String>,
    /// Its permission.
    #[schema(schema_with = words::permission)]
    pub permission: String,
    /// Networks it may be used from; empty: anywhere.
    pub networks: Vec<String>,
    /// Whether it is refused over plain HTTP.
    pub https_only: bool,
    /// When it ends.
    #[schema(format = DateTime)]
    pub expires_at: Option<String>,
    /// When it was revoked.
    #[schema(format = DateTime)]
    pub revoked_at: Option<String>,
    /// When it was made.
    #[schema(format = DateTime)]
    pub created_at: String,
    /// What people wrote on it.
    #[serde(flatten)]
    pub notes: Notes,
    /// Where it is used.
    pub environment: Option<String>,
    /// How much it may be used.
    pub limits: Option<Limits>,
    /// Whether its secret can be read back.
    pub revealable: bool,
    /// The credential that takes its place; it ends soon.
    pub replaced_by: Option<String>,
    /// When it was deleted.
    #[schema(format = DateTime)]
    pub deleted_at: Option<String>,
    /// Raised by every change; also the `ETag`.
    pub version: u64,
}

/// A stored credential with whom it belongs to and how it was used.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct TokenDetails {
    /// The credential.
    #[serde(flatten)]
    pub token: Token,
    /// Whom it belongs to.
    pub owner: Principal,
    /// How it was used; absent: never.
    pub usage: Option<Usage>,
}

/// How a credential was used.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct Usage {
    /// Requests.
    pub count: u64,
    /// First use.
    #[schema(format = DateTime)]
    pub first_used_at: String,
    /// Last use.
    #[schema(format = DateTime)]
    pub last_used_at: String,
    /// Recent addresses, most recent first.
    pub recent_addresses: Vec<String>,
}
