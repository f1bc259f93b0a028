//! From a request's head to the one credential it presents, by carrier, scheme and shape.
//!
//! Pure, borrowed, one pass over the headers. Each input is claimed by at most one kind; nothing is
//! verified and nobody is asked. Two credentials are never resolved by picking one (S7), unless the
//! route names a precedence. RFC 6750, RFC 7617; the carriers of other systems stand in
//! `docs/compatibility.md`. `shape` tells a credential's kind by its bytes, `query` reads and removes
//! credentials in query parameters.

use http::{HeaderMap, HeaderName};

use super::presented::{Carrier, CarrierRules, MAX_CREDENTIAL_BYTES, Precedence, Presented};
use crate::domain::identity::CredentialKind;
use crate::domain::reason::Reason;

mod query;
mod shape;
#[cfg(test)]
mod tests;

pub use query::strip_query_parameters;
pub use shape::{HexTokens, Shapes};

/// The header fields that are credential carriers, in the order of the TagoIO precedence.
const CARRIER_HEADERS: [&str; 9] = [
    "account-token",
    "profile-token",
    "device-token",
    "public-token",
    "analysis-token",
    "token",
    "x-authorization",
    "authorization",
    "x-api-key",
];

/// Every header field that may carry a credential and is removed before forwarding.
pub fn carrier_headers() -> impl Iterator<Item = &'static str> {
    CARRIER_HEADERS.into_iter()
}

/// Where a value was found. Declared in the order of the TagoIO precedence.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Source {
    Platform,
    Device,
    Token,
    XAuthorization,
    Authorization,
    XApiKey,
    Query,
    Path,
}

/// A value as found, before it is looked into.
#[derive(Clone, Copy)]
struct Found<'a> {
    source: Source,
    /// Place in the TagoIO precedence; the lowest speaks.
    rank: usize,
    value: &'a [u8],
}

/// Finds the credential that a request presents. `path` is the normalized path, `query` the query as
/// received. `Ok(None)`: there is none.
pub fn extract<'a>(
    headers: &'a HeaderMap,
    query: Option<&'a str>,
    path: &'a str,
    rules: &CarrierRules,
    shapes: &Shapes,
) -> Result<Option<Presented<'a>>, Reason> {
    let mut chosen: Option<Found<'a>> = None;
    let mut seen = 0_u16;
    for (name, value) in headers {
        let Some((rank, source)) = source_of(name) else {
            continue;
        };
        // The same field twice is two credentials whatever the precedence says.
        if seen & (1 << rank) != 0 {
            return Err(Reason::AmbiguousCredentials);
        }
        seen |= 1 << rank;
        let found = Found {
            source,
            rank,
            value: value.as_bytes().trim_ascii(),
        };
        chosen = Some(prefer(chosen, found, rules.precedence)?).filter(|f| !is_absent(f, rules.precedence));
    }
    if !rules.query_parameters.is_empty()
        && let Some(query) = query
        && let Some(value) = query::find_credential(query, &rules.query_parameters)?
    {
        let found = Found {
            source: Source::Query,
            rank: CARRIER_HEADERS.len(),
            value,
        };
        chosen = Some(prefer(chosen, found, rules.precedence)?);
    }
    if let Some(prefix) = &rules.path_token_after
        && let Some(token) = path_token(path, prefix)
    {
        let found = Found {
            source: Source::Path,
            rank: CARRIER_HEADERS.len().saturating_add(1),
            value: token.as_bytes(),
        };
        chosen = Some(prefer(chosen, found, rules.precedence)?);
    }
    match chosen {
        Some(found) if !is_absent(&found, rules.precedence) => claim(found, shapes).map(Some),
        _ => Ok(None),
    }
}

/// Which carrier a header field is. By length first: nearly every field of a request is dismissed by it.
fn source_of(name: &HeaderName) -> Option<(usize, Source)> {
    let name = name.as_str();
    let (rank, source) = match name.len() {
        5 => (5, Source::Token),
        9 => (8, Source::XApiKey),
        12 if name.starts_with('d') => (2, Source::Device),
        12 => (3, Source::Platform),
        13 if name.starts_with("au") => (7, Source::Authorization),
        13 if name.starts_with('a') => (0, Source::Platform),
        13 => (1, Source::Platform),
        14 => (4, Source::Platform),
        15 => (6, Source::XAuthorization),
        _ => return None,
    };
    (CARRIER_HEADERS.get(rank) == Some(&name)).then_some((rank, source))
}

/// Of two values the one that speaks, where a precedence says so.
fn prefer<'a>(one: Option<Found<'a>>, other: Found<'a>, precedence: Precedence) -> Result<Found<'a>, Reason> {
    let Some(one) = one else {
        return Ok(other);
    };
    if is_absent(&other, precedence) {
        return Ok(one);
    }
    match precedence {
        Precedence::TagoIo => Ok(if one.rank < other.rank { one } else { other }),
        Precedence::ThingsBoard => match (one.source, other.source) {
            (Source::XAuthorization, Source::Authorization) => Ok(one),
            (Source::Authorization, Source::XAuthorization) => Ok(other),
            _ => Err(Reason::AmbiguousCredentials),
        },
        Precedence::Refuse => Err(Reason::AmbiguousCredentials),
    }
}

/// What counts as nothing under a precedence: blank to ThingsBoard, the word `null` to TagoIO.
fn is_absent(found: &Found<'_>, precedence: Precedence) -> bool {
    match precedence {
        Precedence::Refuse => false,
        Precedence::ThingsBoard => found.value.is_empty(),
        Precedence::TagoIo => found.value == b"null",
    }
}

/// The segment after the prefix: `/api/v1/<token>/telemetry`.
/// The token in a path, `prefix` being what stands before it.
pub fn path_token<'a>(path: &'a str, prefix: &str) -> Option<&'a str> {
    let rest = path.strip_prefix(prefix)?;
    let token = rest.split('/').next()?;
    (!token.is_empty()).then_some(token)
}

/// Reads a value by its carrier.
fn claim<'a>(found: Found<'a>, shapes: &Shapes) -> Result<Presented<'a>, Reason> {
    match found.source {
        Source::Authorization => authorization(found.value, shapes),
        Source::XAuthorization => x_authorization(found.value, shapes),
        Source::XApiKey => present(Carrier::XApiKey, found.value, |c| shapes.api_token(c)),
        Source::Device => present(Carrier::DeviceToken, found.value, |c| Some(shapes.any(c))),
        Source::Token => present(Carrier::Token, found.value, |c| Some(shapes.any(c))),
        Source::Platform => present(Carrier::PlatformToken, found.value, |c| Some(shapes.any(c))),
        // A percent sign would have to be decoded into memory of its own; no credential we issue has one.
        Source::Query | Source::Path if found.value.contains(&b'%') => Err(Reason::CredentialMalformed),
        Source::Query => present(Carrier::Query, found.value, |c| Some(shapes.any(c))),
        Source::Path => present(Carrier::Path, found.value, |c| Some(shapes.any(c))),
    }
}

fn authorization<'a>(value: &'a [u8], shapes: &Shapes) -> Result<Presented<'a>, Reason> {
    let Some((scheme, credential)) = split_scheme(value) else {
        // A scheme with nothing behind it is no bare token.
        return match scheme_of(value) {
            Some(_) => Err(Reason::CredentialMalformed),
            None => present(Carrier::AuthorizationBare, value, |c| Some(shapes.any(c))),
        };
    };
    match scheme_of(scheme) {
        Some(Scheme::Device) => present(Carrier::AuthorizationDevice, credential, |_| {
            Some(CredentialKind::SealedDeviceToken)
        }),
        Some(Scheme::Bearer) => present(Carrier::AuthorizationBearer, credential, |c| shapes.bearer(c)),
        Some(Scheme::Basic) => present(Carrier::AuthorizationBasic, credential, |_| {
            Some(CredentialKind::Basic)
        }),
        Some(Scheme::ApiKey) => present(Carrier::AuthorizationApiKey, credential, |c| shapes.api_token(c)),
        None => Err(unknown_scheme(scheme)),
    }
}

fn x_authorization<'a>(value: &'a [u8], shapes: &Shapes) -> Result<Presented<'a>, Reason> {
    let Some((scheme, credential)) = split_scheme(value) else {
        return Err(Reason::CredentialMalformed);
    };
    match scheme_of(scheme) {
        Some(Scheme::Bearer) => present(Carrier::XAuthorizationBearer, credential, |c| shapes.bearer(c)),
        Some(Scheme::ApiKey) => present(Carrier::XAuthorizationApiKey, credential, |c| shapes.api_token(c)),
        Some(Scheme::Device | Scheme::Basic) => Err(Reason::SchemeUnsupported),
        None => Err(unknown_scheme(scheme)),
    }
}

/// Checks the bytes, then asks for the kind. A well formed credential that no kind claims is as good as
/// an unknown one.
fn present<'a>(
    carrier: Carrier,
    credential: &'a [u8],
    kind: impl FnOnce(&[u8]) -> Option<CredentialKind>,
) -> Result<Presented<'a>, Reason> {
    if credential.len() > MAX_CREDENTIAL_BYTES {
        return Err(Reason::CredentialOversized);
    }
    let (mut comma, mut foreign) = (false, credential.is_empty());
    for &byte in credential {
        comma |= byte == b',';
        foreign |= !byte.is_ascii_graphic();
    }
    // Proxies join doubled fields with a comma; no credential of any kind contains one.
    if comma {
        return Err(Reason::AmbiguousCredentials);
    }
    if foreign {
        return Err(Reason::CredentialMalformed);
    }
    Ok(Presented {
        carrier,
        kind: kind(credential).ok_or(Reason::CredentialInvalid)?,
        credential,
    })
}

/// An authorization scheme that some kind claims (RFC 9110 section 11.1: without regard to case).
enum Scheme {
    Device,
    Bearer,
    Basic,
    ApiKey,
}

fn scheme_of(word: &[u8]) -> Option<Scheme> {
    match word.len() {
        5 if word.eq_ignore_ascii_case(b"basic") => Some(Scheme::Basic),
        6 if word.eq_ignore_ascii_case(b"bearer") => Some(Scheme::Bearer),
        6 if word.eq_ignore_ascii_case(b"device") => Some(Scheme::Device),
        6 if word.eq_ignore_ascii_case(b"apikey") => Some(Scheme::ApiKey),
        _ => None,
    }
}

/// Parts `<scheme> <credential>`; `None` for a single word.
fn split_scheme(value: &[u8]) -> Option<(&[u8], &[u8])> {
    let space = value.iter().position(|b| *b == b' ')?;
    let (scheme, rest) = value.split_at_checked(space)?;
    Some((scheme, rest.trim_ascii_start()))
}

/// Why the first of several words is no scheme of ours.
fn unknown_scheme(word: &[u8]) -> Reason {
    if word.contains(&b',') {
        Reason::AmbiguousCredentials
    } else if !word.is_empty() && word.iter().all(|b| is_token_byte(*b)) {
        Reason::SchemeUnsupported
    } else {
        Reason::CredentialMalformed
    }
}

/// RFC 9110 `tchar`.
fn is_token_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}
