//! Tenants and their customers on the wire, and what people write on things.

use serde::{Deserialize, Deserializer, Serialize};
use serde_json::{Map, Value};
use utoipa::ToSchema;

/// Tells a field that was given as `null` from one that was not given.
pub(super) fn given<'de, D: Deserializer<'de>, T: Deserialize<'de>>(
    deserializer: D,
) -> Result<Option<Option<T>>, D::Error> {
    Option::deserialize(deserializer).map(Some)
}

/// A tenant to be made.
#[derive(Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CreateTenant {
    /// Its id; a random one when there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(min_length = 1, max_length = 255)]
    pub id: Option<String>,
    /// Its name for people.
    #[schema(min_length = 1, max_length = 255)]
    pub name: String,
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

/// A customer to be made.
#[derive(Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CreateCustomer {
    /// Its id; a random one when there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(min_length = 1, max_length = 255)]
    pub id: Option<String>,
    /// Its tenant; a tenant's administrator may leave it out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(min_length = 1, max_length = 255)]
    pub tenant: Option<String>,
    /// Its name for people.
    #[schema(min_length = 1, max_length = 255)]
    pub name: String,
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

/// What shall be different of a tenant or customer; what is left out stays.
#[derive(Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ChangeParty {
    /// Its name for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(min_length = 1, max_length = 255)]
    pub name: Option<String>,
    /// Whether its principals may come in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub enabled: Option<bool>,
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

/// A tenant, or a customer of one.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct Party {
    /// Its id.
    pub id: String,
    /// The tenant that a customer belongs to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tenant: Option<String>,
    /// Its name for people.
    pub name: String,
    /// Whether its principals may come in.
    pub enabled: bool,
    /// What people wrote on it.
    #[serde(flatten)]
    pub notes: Notes,
    /// Raised by every change; also the `ETag`.
    pub version: u64,
    /// When it was made.
    #[schema(format = DateTime)]
    pub created_at: String,
}

/// What people wrote on a thing.
#[derive(Debug, Default, Clone, Serialize, Deserialize, ToSchema)]
pub struct Notes {
    /// A sentence or two.
    pub description: String,
    /// Facts for other programs, by name.
    #[schema(value_type = Object)]
    pub metadata: Map<String, Value>,
    /// Words to find it by.
    pub tags: Vec<String>,
}

/// What was deleted.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct Deleted {
    /// Its id.
    pub deleted: String,
}

/// How much a credential may be used: `100:1,2000:60` is at most 100 in a second and 2000 in a minute.
#[derive(Debug, Default, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Limits {
    /// Requests.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(min_length = 3, max_length = 255)]
    pub requests: Option<String>,
    /// Items of JSON arrays in bodies.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(min_length = 3, max_length = 255)]
    pub data_points: Option<String>,
    /// Bytes of bodies.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(min_length = 3, max_length = 255)]
    pub bytes: Option<String>,
    /// Connections at the same time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 1, maximum = 4294967295u32)]
    pub connections: Option<u32>,
}
