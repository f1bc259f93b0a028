//! Changes of principals and credentials on the wire, and acts on many of them.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use utoipa::ToSchema;

use super::parties::given;
use super::{Created, Limits, Principal, Secret, words};

/// What shall be different of a principal; what is left out stays.
#[derive(Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ChangePrincipal {
    /// Its name for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(min_length = 1, max_length = 255)]
    pub name: Option<String>,
    /// Whether it may come in. Switching it off ends what it holds that has no row.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub enabled: Option<bool>,
    /// Its roles; replaces all of them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(max_items = 64)]
    pub roles: Option<Vec<String>>,
    /// A sentence or two.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(max_length = 1024)]
    pub description: Option<String>,
    /// Facts for other programs; replaces all of them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    pub metadata: Option<Map<String, Value>>,
    /// Words to find it by; replaces all of them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(max_items = 32)]
    pub tags: Option<Vec<String>>,
}

/// To whom a device goes.
#[derive(Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Transfer {
    /// Its new tenant; none when left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(min_length = 1, max_length = 255)]
    pub tenant: Option<String>,
    /// Its new customer within that tenant; none when left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(min_length = 1, max_length = 255)]
    pub customer: Option<String>,
}

/// A device that was handed over.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct Transferred {
    /// The device.
    pub device: Principal,
    /// A token for its new owner, when it had one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token: Option<Created>,
}

/// What shall be different of a credential; what is left out stays.
#[derive(Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ChangeToken {
    /// Its name for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(min_length = 1, max_length = 255)]
    pub name: Option<String>,
    /// A sentence or two.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(max_length = 1024)]
    pub description: Option<String>,
    /// Facts for other programs; replaces all of them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    pub metadata: Option<Map<String, Value>>,
    /// Words to find it by; replaces all of them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(max_items = 32)]
    pub tags: Option<Vec<String>>,
    /// Where it is used, such as `production`; null takes the label away.
    #[serde(default, deserialize_with = "given", skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, min_length = 1, max_length = 64)]
    pub environment: Option<Option<String>>,
    /// Its scopes; replaces all of them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(max_items = 64)]
    pub scopes: Option<Vec<String>>,
    /// `full`, `read` or `write`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(schema_with = words::permission)]
    pub permission: Option<String>,
    /// Networks it may be used from; replaces all of them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(max_items = 64)]
    pub networks: Option<Vec<String>>,
    /// Whether it is refused over plain HTTP.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub https_only: Option<bool>,
    /// When it ends: `never`, a date, or a span from now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(min_length = 1, max_length = 255)]
    pub expires: Option<String>,
    /// How much it may be used; null takes the limits away.
    #[serde(default, deserialize_with = "given", skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Limits>)]
    pub limits: Option<Option<Limits>>,
    /// Whether it is switched on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub enabled: Option<bool>,
}

/// How to replace a credential while the old one lives on for a while.
#[derive(Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Reroll {
    /// How long the old one lives on, such as `10 minutes`; never past its own end.
    #[schema(min_length = 1, max_length = 64)]
    pub overlap: String,
    /// When the new one ends; as the old one when left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(min_length = 1, max_length = 255)]
    pub expires: Option<String>,
}

/// Which credentials are meant: those that every given filter names.
#[derive(Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Matching {
    /// Only this kind.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(schema_with = words::credential_kind)]
    pub kind: Option<String>,
    /// Only this principal's, by its id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(min_length = 1, max_length = 255)]
    pub principal: Option<String>,
    /// Only this tenant's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(min_length = 1, max_length = 255)]
    pub tenant: Option<String>,
    /// Only this customer's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(min_length = 1, max_length = 255)]
    pub customer: Option<String>,
    /// Only those in this state.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(schema_with = words::credential_state)]
    pub state: Option<String>,
    /// Only those that bear this tag.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(min_length = 1, max_length = 64)]
    pub tag: Option<String>,
    /// Only those with this label.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(min_length = 1, max_length = 64)]
    pub environment: Option<String>,
    /// Only those whose public part begins so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(min_length = 1, max_length = 255)]
    pub prefix: Option<String>,
    /// Only those whose name begins so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(min_length = 1, max_length = 255)]
    pub name: Option<String>,
    /// Only those that end within this span.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(min_length = 1, max_length = 64)]
    pub expires_within: Option<String>,
    /// Only those that were made, and last used, longer ago than this span.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(min_length = 1, max_length = 64)]
    pub unused_for: Option<String>,
}

/// How many credentials were ended.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct Ended {
    /// So many.
    pub ended: u64,
}

/// What is to be forgotten.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Purge {
    /// Credentials that were deleted longer ago than this span, such as `30d`.
    #[schema(min_length = 1, max_length = 64)]
    pub deleted_for: String,
}

/// How many credentials were forgotten.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct Forgotten {
    /// So many.
    pub forgotten: u64,
}

/// What the holder of a credential presents.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct Revealed {
    /// The secret.
    pub secret: Secret,
}
