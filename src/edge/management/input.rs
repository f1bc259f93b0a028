//! Requests become values: bounded bodies, pages, ids, limits of credentials. Pure but for reading a body.

use axum::body::{Body, to_bytes};
use axum::extract::{FromRequest, Query, Request};
use axum::http::{StatusCode, Uri, header};
use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::problem::Problem;
use super::wire::CreateToken;
use crate::accounts::{Cursor, DeviceTokenForm, NewCredential, Page, Transport, expiry};
use crate::domain::clock::UnixMillis;
use crate::domain::ids::InvalidId;
use crate::domain::net::parse_network;
use crate::domain::scope::{Permission, ScopeSet};

/// Longest body, in bytes.
pub const MAX_BODY_BYTES: usize = 64 * 1024;
/// Most rows in a page.
const MAX_PAGE: u32 = 1000;
/// Rows in a page when nothing is said.
const DEFAULT_PAGE: u32 = 100;
/// Most networks of one credential.
const MAX_NETWORKS: usize = 64;

/// A JSON body of at most [`MAX_BODY_BYTES`], sent as such.
pub struct Json<T>(pub T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for Json<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, _: &S) -> Result<Self, Problem> {
        let is_json = request
            .headers()
            .get(header::CONTENT_TYPE)
            .and_then(|v| v.to_str().ok())
            .and_then(|v| v.split(';').next())
            .is_some_and(|v| v.trim().eq_ignore_ascii_case("application/json"));
        // What a foreign page's form can send is never taken for a command.
        if !is_json {
            return Err(Problem::new(
                StatusCode::UNSUPPORTED_MEDIA_TYPE,
                "send the body as JSON, with Content-Type: application/json",
            ));
        }
        let body = read(request.into_body()).await?;
        match serde_json::from_slice(&body) {
            Ok(value) => Ok(Self(value)),
            // Serde's text names fields and types; values it may quote are cut off with the rest.
            Err(error) => Err(Problem::bad(
                "body",
                describe(&error),
                "the documented JSON object",
            )),
        }
    }
}

async fn read(body: Body) -> Result<bytes::Bytes, Problem> {
    to_bytes(body, MAX_BODY_BYTES).await.map_err(|_| {
        Problem::new(
            StatusCode::PAYLOAD_TOO_LARGE,
            format!("the body is longer than {MAX_BODY_BYTES} bytes, or broke off"),
        )
    })
}

/// What is wrong, without quoting values: one of them may be a password.
fn describe(error: &serde_json::Error) -> String {
    let text = error.to_string();
    let what = if text.starts_with("unknown field")
        || text.starts_with("missing field")
        || text.starts_with("duplicate field")
        || text.starts_with("unknown variant")
    {
        text
    } else {
        match error.classify() {
            serde_json::error::Category::Data => "a value of another type".to_owned(),
            _ => "something that is not JSON".to_owned(),
        }
    };
    format!("{what} (line {}, column {})", error.line(), error.column())
}

/// Which page.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PageQuery {
    after: Option<String>,
    limit: Option<u32>,
    kind: Option<String>,
    principal: Option<String>,
    external_id: Option<String>,
}

/// A page and its filters.
pub struct Wanted {
    /// The page.
    pub page: Page,
    /// Only this kind.
    pub kind: Option<String>,
    /// Only this principal's.
    pub principal: Option<String>,
    /// Only what outside systems call so.
    pub external_id: Option<String>,
}

/// Reads a page's query; unknown parameters are refused.
pub fn page(uri: &Uri) -> Result<Wanted, Problem> {
    let Query(query) = Query::<PageQuery>::try_from_uri(uri).map_err(|_| {
        Problem::bad(
            "query",
            "an unknown or malformed parameter",
            "after, limit, kind, principal, external_id",
        )
    })?;
    Ok(Wanted {
        page: Page {
            after: cursor(query.after.as_deref())?,
            limit: limit(query.limit)?,
        },
        kind: query.kind,
        principal: query.principal,
        external_id: query.external_id,
    })
}

fn cursor(text: Option<&str>) -> Result<Option<Cursor>, Problem> {
    text.map(|text| {
        Cursor::parse(text)
            .ok_or_else(|| Problem::bad("after", "something else", "the `next` of the page before"))
    })
    .transpose()
}

/// Checks a page's size.
pub fn limit(asked: Option<u32>) -> Result<u32, Problem> {
    match asked.unwrap_or(DEFAULT_PAGE) {
        n @ 1..=MAX_PAGE => Ok(n),
        n => Err(Problem::bad("limit", n, format!("1 to {MAX_PAGE}"))),
    }
}

/// Reads an id.
pub fn id<T: std::str::FromStr<Err = InvalidId>>(field: &'static str, text: &str) -> Result<T, Problem> {
    text.parse()
        .map_err(|e| Problem::bad(field, "a text that is no id", e))
}

/// Reads scopes.
pub fn scopes(texts: &[String]) -> Result<ScopeSet, Problem> {
    ScopeSet::parse(texts.iter().map(String::as_str)).map_err(|_| {
        Problem::bad(
            "scopes",
            "a scope that cannot be one, or too many",
            "at most 64 words such as `read` or `channel:12:write`, without spaces, quotes and backslashes",
        )
    })
}

/// Reads a permission.
pub fn permission(text: Option<&str>) -> Result<Permission, Problem> {
    match text {
        None => Ok(Permission::default()),
        Some(text) => Permission::parse(text)
            .ok_or_else(|| Problem::bad("permission", "another word", "full, read or write")),
    }
}

/// Reads the form of a device token; `usual` when nothing is said.
pub fn device_token_form(text: Option<&str>, usual: DeviceTokenForm) -> Result<DeviceTokenForm, Problem> {
    match text {
        None => Ok(usual),
        Some("alnum20") => Ok(DeviceTokenForm::Alphanumeric),
        Some("dwt") => Ok(DeviceTokenForm::Prefixed),
        Some(text) => DeviceTokenForm::parse(text).ok_or_else(|| {
            Problem::bad(
                "format",
                "another word",
                "uuid, alphanumeric (alnum20) or prefixed (dwt)",
            )
        }),
    }
}

/// Reads the limits of a stored credential.
pub fn limits(wanted: &CreateToken, now: UnixMillis) -> Result<NewCredential, Problem> {
    if wanted.networks.len() > MAX_NETWORKS {
        return Err(Problem::bad(
            "networks",
            wanted.networks.len(),
            format!("at most {MAX_NETWORKS}"),
        ));
    }
    let networks: Result<Vec<_>, Problem> = wanted
        .networks
        .iter()
        .map(|text| parse_network(text).map_err(|e| Problem::bad("networks", format!("`{text}`"), e)))
        .collect();
    Ok(NewCredential {
        name: wanted.name.clone(),
        scopes: scopes(&wanted.scopes)?,
        permission: permission(wanted.permission.as_deref())?,
        networks: networks?,
        transport: if wanted.https_only {
            Transport::HttpsOnly
        } else {
            Transport::Any
        },
        expires_at: match &wanted.expires {
            None => None,
            Some(text) => expiry::parse(text, now)?,
        },
        ..NewCredential::default()
    })
}
