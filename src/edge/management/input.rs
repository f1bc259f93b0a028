//! Requests become values: bounded bodies, queries, ids, limits of credentials. Pure but for reading a body.

use std::time::Duration;

use axum::body::{Body, to_bytes};
use axum::extract::{FromRequest, FromRequestParts, Path, Query as Pairs, Request};
use axum::http::request::Parts;
use axum::http::{StatusCode, header};
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};
use utoipa::{IntoParams, ToSchema};

use super::described;
use super::problem::{Fault, Faults, Place, Problem};
use super::wire::{CreateToken, Limits, Matching};
use crate::accounts::{
    About, CredentialFilter, CredentialLimits, CredentialOrder, CredentialState, Cursor, DeviceTokenForm,
    Enabled, NewCredential, Page, Revealable, Transport, expiry,
};
use crate::domain::clock::UnixMillis;
use crate::domain::identity::CredentialKind;
use crate::domain::ids::InvalidId;
use crate::domain::net::parse_network;
use crate::domain::scope::{Permission, Role, ScopeSet};

/// Longest body, in bytes.
pub const MAX_BODY_BYTES: usize = 64 * 1024;
/// Rows in a page when nothing is said.
const DEFAULT_PAGE: u32 = 100;

/// A JSON body of at most [`MAX_BODY_BYTES`], sent as such, that keeps to the description of its type.
pub struct Json<T>(pub T);

impl<T: DeserializeOwned + ToSchema, S: Send + Sync> FromRequest<S> for Json<T> {
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
        let wrong = |error: &serde_json::Error| {
            let place = Place::Body(String::new());
            Problem::from(Fault::new(place, describe(error), "the documented JSON"))
        };
        let value: Value = serde_json::from_slice(&body).map_err(|e| wrong(&e))?;
        let faults = described::faults_of::<T>(&value);
        if !faults.is_empty() {
            return Err(faults.into());
        }
        // Read again from the text: a field that stands there twice is not seen in a value.
        serde_json::from_slice(&body).map(Self).map_err(|e| wrong(&e))
    }
}

/// Reads a body within its bound.
pub async fn read(body: Body) -> Result<bytes::Bytes, Problem> {
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
    let what = match error.classify() {
        serde_json::error::Category::Data if text.starts_with("duplicate field") => text,
        serde_json::error::Category::Data => "a value of another type".to_owned(),
        _ => "something that is not JSON".to_owned(),
    };
    format!("{what} (line {}, column {})", error.line(), error.column())
}

/// The parameters of a query that keep to the description of their type.
pub struct Query<T>(pub T);

impl<T: DeserializeOwned + IntoParams, S: Send + Sync> FromRequestParts<S> for Query<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        let broken = || Problem::parameter("query", "something that is no query", "name=value&…");
        let Pairs(pairs) = Pairs::<Vec<(String, String)>>::try_from_uri(&parts.uri).map_err(|_| broken())?;
        let known = described::parameters::<T>();
        let (mut faults, mut found) = (Faults::default(), Map::new());
        for (name, text) in pairs {
            let place = || Place::Parameter(name.chars().take(64).collect());
            match known.get(&name) {
                None => {
                    let names: Vec<&str> = known.keys().map(String::as_str).collect();
                    let expected = format!("some of {}", names.join(", "));
                    faults.add(Fault::new(place(), "an unknown parameter", expected));
                }
                Some(_) if found.contains_key(&name) => {
                    faults.add(Fault::new(place(), "several values", "one"));
                }
                Some(schema) => {
                    let value = described::parameter(&name, schema, &text).map_err(Problem::from);
                    found.insert(name, faults.take(value).unwrap_or_default());
                }
            }
        }
        faults.none()?;
        let query = serde_json::from_value(Value::Object(found)).map_err(|_| broken())?;
        Ok(Self(query))
    }
}

/// The one variable segment of a path.
pub struct Segment(pub String);

impl<S: Send + Sync> FromRequestParts<S> for Segment {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        match Path::<String>::from_request_parts(parts, state).await {
            Ok(Path(text)) => Ok(Self(text)),
            Err(_) => Err(Problem::parameter("path", "a segment that is no text", "UTF-8")),
        }
    }
}

/// Which page.
pub fn page(after: Option<&str>, limit: Option<u32>) -> Result<Page, Problem> {
    let cursor = |text| {
        Cursor::parse(text)
            .ok_or_else(|| Problem::parameter("after", "something else", "the `next` of the page before"))
    };
    Ok(Page {
        after: after.map(cursor).transpose()?,
        limit: rows(limit),
    })
}

/// The size of a page.
pub fn rows(limit: Option<u32>) -> u32 {
    limit.unwrap_or(DEFAULT_PAGE)
}

/// Reads an id in the body.
pub fn id<T: std::str::FromStr<Err = InvalidId>>(field: &str, text: &str) -> Result<T, Problem> {
    text.parse()
        .map_err(|e| Problem::bad(field, "a text that is no id", e))
}

/// Reads an id in the path or query.
pub fn named_id<T: std::str::FromStr<Err = InvalidId>>(parameter: &str, text: &str) -> Result<T, Problem> {
    text.parse()
        .map_err(|e| Problem::parameter(parameter, "a text that is no id", e))
}

/// Reads scopes.
pub fn scopes(texts: &[String]) -> Result<ScopeSet, Problem> {
    const EXPECTED: &str =
        "a word such as `read` or `channel:12:write`, without spaces, quotes and backslashes";
    let mut faults = Faults::default();
    for (index, text) in texts.iter().enumerate() {
        if ScopeSet::parse([text.as_str()]).is_err() {
            faults.add(Fault::new(
                Place::item("scopes", index),
                "a text that is no scope",
                EXPECTED,
            ));
        }
    }
    faults.none()?;
    ScopeSet::parse(texts.iter().map(String::as_str))
        .map_err(|_| Problem::bad("scopes", "too many", "at most 64"))
}

/// Reads roles.
pub fn roles(texts: &[String]) -> Result<Vec<Role>, Problem> {
    const EXPECTED: &str = "a word such as TENANT_ADMIN, without spaces, quotes and backslashes";
    let mut faults = Faults::default();
    let mut roles = Vec::new();
    for (index, text) in texts.iter().enumerate() {
        match Role::parse(text) {
            Ok(role) => roles.push(role),
            Err(_) => faults.add(Fault::new(
                Place::item("roles", index),
                "a text that is no role",
                EXPECTED,
            )),
        }
    }
    faults.none()?;
    Ok(roles)
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

pub fn networks(texts: &[String]) -> Result<Vec<ipnet::IpNet>, Problem> {
    let mut faults = Faults::default();
    let mut networks = Vec::new();
    for (index, text) in texts.iter().enumerate() {
        match parse_network(text) {
            Ok(network) => networks.push(network),
            Err(error) => faults.add(Fault::new(
                Place::item("networks", index),
                "a text that is no network",
                error,
            )),
        }
    }
    faults.none()?;
    Ok(networks)
}

/// Reads the limits of a stored credential.
pub fn limits(wanted: &CreateToken, now: UnixMillis) -> Result<NewCredential, Problem> {
    let mut faults = Faults::default();
    let networks = faults.take(networks(&wanted.networks));
    let scopes = faults.take(scopes(&wanted.scopes));
    let permission = faults.take(permission(wanted.permission.as_deref()));
    let expires = wanted.expires.as_deref().map(|text| expiry::parse(text, now));
    let expires_at = faults.take(expires.transpose().map_err(Problem::from));
    faults.none()?;
    Ok(NewCredential {
        name: wanted.name.clone(),
        scopes: scopes.unwrap_or_default(),
        permission: permission.unwrap_or_default(),
        networks: networks.unwrap_or_default(),
        transport: transport(wanted.https_only),
        expires_at: expires_at.flatten().flatten(),
        about: about(
            wanted.description.clone(),
            wanted.metadata.clone(),
            wanted.tags.clone(),
        ),
        environment: wanted.environment.clone(),
        limits: wanted.limits.clone().map(usage_limits),
        revealable: match wanted.revealable {
            true => Revealable::Yes,
            false => Revealable::No,
        },
    })
}

/// What people write on a thing.
pub fn about(
    description: Option<String>,
    metadata: Option<Map<String, Value>>,
    tags: Option<Vec<String>>,
) -> About {
    About {
        description: description.unwrap_or_default(),
        metadata: metadata.unwrap_or_default(),
        tags: tags.unwrap_or_default(),
    }
}

/// Whether something is switched on.
pub fn enabled(on: bool) -> Enabled {
    match on {
        true => Enabled::Yes,
        false => Enabled::No,
    }
}

/// Which transports a credential may come over.
pub fn transport(https_only: bool) -> Transport {
    match https_only {
        true => Transport::HttpsOnly,
        false => Transport::Any,
    }
}

/// How much a credential may be used.
pub fn usage_limits(limits: Limits) -> CredentialLimits {
    CredentialLimits {
        requests: limits.requests,
        data_points: limits.data_points,
        bytes: limits.bytes,
        connections: limits.connections,
    }
}

/// Reads a span of time, such as `30d`.
pub fn span(place: Place, text: &str, now: UnixMillis) -> Result<Duration, Problem> {
    let end = expiry::parse(text, now).ok().flatten();
    let ms = end.and_then(|at| u64::try_from(at.0.saturating_sub(now.0)).ok());
    ms.map(Duration::from_millis).ok_or_else(|| {
        Fault::new(
            place,
            "something else",
            "a span of time such as `30d`, `3 hours` or `1 month`",
        )
        .into()
    })
}

/// Reads which credentials are meant. `place` says where its parts stand in the request.
pub fn filter(
    wanted: &Matching,
    now: UnixMillis,
    place: fn(&str) -> Place,
) -> Result<CredentialFilter, Problem> {
    fn id<T: std::str::FromStr<Err = InvalidId>>(
        place: Place,
        text: Option<&String>,
    ) -> Result<Option<T>, Problem> {
        let read = |text: &String| {
            let read = text.parse();
            read.map_err(|e| Problem::from(Fault::new(place, "a text that is no id", e)))
        };
        text.map(read).transpose()
    }
    let mut faults = Faults::default();
    let ago = |name: &str, text: &Option<String>| match text {
        None => Ok(None),
        Some(text) => span(place(name), text, now).map(Some),
    };
    let principal = faults.take(id(place("principal"), wanted.principal.as_ref()));
    let tenant = faults.take(id(place("tenant"), wanted.tenant.as_ref()));
    let customer = faults.take(id(place("customer"), wanted.customer.as_ref()));
    let within = faults
        .take(ago("expires_within", &wanted.expires_within))
        .flatten();
    let unused = faults.take(ago("unused_for", &wanted.unused_for)).flatten();
    let order = match (&wanted.prefix, &wanted.name, within) {
        (None, None, None) => CredentialOrder::Age,
        (Some(prefix), None, None) => CredentialOrder::PublicId(prefix.clone()),
        (None, Some(name), None) => CredentialOrder::Name(name.clone()),
        (None, None, Some(span)) => CredentialOrder::EndBefore(now.plus(span)),
        _ => {
            let found = "several of prefix, name and expires_within";
            faults.add(Fault::new(place("prefix"), found, "one of them"));
            CredentialOrder::Age
        }
    };
    faults.none()?;
    Ok(CredentialFilter {
        order,
        kind: wanted.kind.as_deref().and_then(CredentialKind::parse),
        principal: principal.flatten(),
        tenant: tenant.flatten(),
        customer: customer.flatten(),
        state: wanted
            .state
            .as_deref()
            .and_then(CredentialState::parse)
            .map(|state| (state, now)),
        tag: wanted.tag.clone(),
        environment: wanted.environment.clone(),
        unused_since: unused.map(|span| {
            UnixMillis(
                now.0
                    .saturating_sub(i64::try_from(span.as_millis()).unwrap_or(i64::MAX)),
            )
        }),
    })
}
