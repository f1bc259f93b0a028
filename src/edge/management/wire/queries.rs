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
    /// Only this tenant's.
    #[param(min_length = 1, max_length = 255)]
    pub tenant: Option<String>,
    /// Only this customer's.
    #[param(min_length = 1, max_length = 255)]
    pub customer: Option<String>,
    /// Only those in this state.
    #[param(schema_with = words::credential_state)]
    pub state: Option<String>,
    /// Only those that bear this tag.
    #[param(min_length = 1, max_length = 64)]
    pub tag: Option<String>,
    /// Only those with this label.
    #[param(min_length = 1, max_length = 64)]
    pub environment: Option<String>,
    /// Only those whose public part begins so, in the order of public parts.
    #[param(min_length = 1, max_length = 255)]
    pub prefix: Option<String>,
    /// Only those whose name begins so, in the order of names.
    #[param(min_length = 1, max_length = 255)]
    pub name: Option<String>,
    /// Only those that end within this span, such as `30d`, the first to end first.
    #[param(min_length = 1, max_length = 64)]
    pub expires_within: Option<String>,
    /// Only those that were made, and last used, longer ago than this span.
    #[param(min_length = 1, max_length = 64)]
    pub unused_for: Option<String>,
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
    /// Only this tenant's.
    #[param(min_length = 1, max_length = 255)]
    pub tenant: Option<String>,
    /// Only this customer's.
    #[param(min_length = 1, max_length = 255)]
    pub customer: Option<String>,
    /// Only devices of this network.
    #[param(min_length = 1, max_length = 255)]
    pub network: Option<String>,
    /// Only those that bear this tag.
    #[param(min_length = 1, max_length = 64)]
    pub tag: Option<String>,
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
    /// Only this tenant's.
    #[param(min_length = 1, max_length = 255)]
    pub tenant: Option<String>,
    /// Only this customer's.
    #[param(min_length = 1, max_length = 255)]
    pub customer: Option<String>,
    /// Only devices of this network.
    #[param(min_length = 1, max_length = 255)]
    pub network: Option<String>,
    /// Only those that bear this tag.
    #[param(min_length = 1, max_length = 64)]
    pub tag: Option<String>,
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

/// Which page.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct PageQuery {
    /// At most this many rows.
    #[param(minimum = 1, maximum = 1000)]
    pub limit: Option<u32>,
    /// Go on behind the page that gave this `next`.
    #[param(min_length = 1, max_length = 1024)]
    pub after: Option<String>,
}

/// Which customers to list.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct CustomerQuery {
    /// At most this many rows.
    #[param(minimum = 1, maximum = 1000)]
    pub limit: Option<u32>,
    /// Go on behind the page that gave this `next`.
    #[param(min_length = 1, max_length = 1024)]
    pub after: Option<String>,
    /// Only this tenant's.
    #[param(min_length = 1, max_length = 255)]
    pub tenant: Option<String>,
}
