//! The parameters of listings. What stands here is what is taken: any other name is refused.

use serde::Deserialize;
use utoipa::IntoParams;

use super::words;

/// Which credentials to list.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct TokenQuery {
    /// At most this many rows.
    #[param(minimum = 1, maximum = 1000)]
    pub limit: Option<u32>,
    /// Go on behind the page that gave this `next`.
    #[param(min_length = 1, max_length = 1024)]
    pub after: Option<String>,
    /// Only this kind.
    #[param(schema_with = words::credential_kind)]
    pub kind: Option<String>,
    /// Only this principal's, by its id.
    #[param(min_length = 1, max_length = 255)]
    pub principal: Option<String>,
}

/// Which principals to list.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct PrincipalQuery {
    /// At most this many rows.
    #[param(minimum = 1, maximum = 1000)]
    pub limit: Option<u32>,
    /// Go on behind the page that gave this `next`.
    #[param(min_length = 1, max_length = 1024)]
    pub after: Option<String>,
    /// Only this kind.
    #[param(schema_with = words::principal_kind)]
    pub kind: Option<String>,
    /// Only what outside systems call so.
    #[param(min_length = 1, max_length = 255)]
    pub external_id: Option<String>,
}

/// Which devices to list.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct DeviceQuery {
    /// At most this many rows.
    #[param(minimum = 1, maximum = 1000)]
    pub limit: Option<u32>,
    /// Go on behind the page that gave this `next`.
    #[param(min_length = 1, max_length = 1024)]
    pub after: Option<String>,
    /// Only the one that calls itself so.
    #[param(min_length = 1, max_length = 255)]
    pub external_id: Option<String>,
}

/// Which audit rows to list.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct AuditQuery {
    /// At most this many rows.
    #[param(minimum = 1, maximum = 1000)]
    pub limit: Option<u32>,
    /// Only rows with a lower number.
    #[param(minimum = 0)]
    pub before: Option<u64>,
}
