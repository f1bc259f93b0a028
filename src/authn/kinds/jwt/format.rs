//! The strict form of a compact JWS and of JWT claims, before any key is touched (RFC 7515, RFC 7519).
//!
//! Pure functions over bytes: no key, no clock, no issuer. Everything that two implementations could
//! read differently is refused: padding, stray bits, repeated members, `crit`, `b64`, keys carried in the
//! header, times that are not plain integers. The verifier decides from what is parsed here and nothing
//! is parsed a second time by another parser. Called by the verifier only.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Map, Value};

use super::algorithm::Algorithm;
use super::strict_json;
use crate::authn::presented::MAX_CREDENTIAL_BYTES;

/// Longest Base64url header accepted. Real ones are below 1 KiB.
const MAX_HEADER_BYTES: usize = 4096;
/// Longest key id accepted.
pub(super) const MAX_KID_BYTES: usize = 255;
/// 9999-12-31T23:59:59Z: later times are nonsense or an attempt at overflow.
const MAX_TIME_SECS: i64 = 253_402_300_799;

/// Why a token cannot be read. Holds nothing of the token.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum Malformed {
    #[error("not three Base64url parts within the bounds")]
    Parts,
    #[error("a part is not canonical Base64url without padding")]
    Base64,
    #[error("the header is not a JSON object without repeated members")]
    HeaderJson,
    #[error("the header carries `crit`, `b64`, a key or the address of a key")]
    HeaderMember,
    #[error("the header's `alg` is missing, `none` or not supported")]
    Algorithm,
    #[error("the header's `kid` or `typ` is not a short text")]
    HeaderText,
    #[error("the signature is empty or all zero")]
    Signature,
    #[error("the claims are not a JSON object without repeated members")]
    ClaimsJson,
    #[error("`exp` is missing")]
    NoExpiry,
    #[error("`exp`, `nbf` or `iat` is not a whole number of seconds between 1970 and 9999")]
    Time,
    #[error("`iss`, `sub`, `jti` or `aud` is not a text")]
    ClaimText,
}

/// What the header's `typ` says the token is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum HeaderType {
    /// No `typ`, or `JWT`.
    Plain,
    /// `at+jwt` (RFC 9068).
    AccessToken,
    /// Anything else: an assertion, a logout token, a proof, ...
    Other,
}

/// A token taken apart. Nothing of it is verified.
#[derive(Debug)]
pub(super) struct Compact<'a> {
    /// What the header claims. Only ever compared with what the key allows.
    pub(super) algorithm: Algorithm,
    pub(super) kid: Option<String>,
    pub(super) header_type: HeaderType,
    /// The decoded payload.
    pub(super) payload: Vec<u8>,
    /// The bytes under the signature.
    pub(super) signing_input: &'a [u8],
    /// The signature, still in Base64url.
    pub(super) signature: &'a str,
}

/// Takes a compact JWS apart.
pub(super) fn split(token: &[u8]) -> Result<Compact<'_>, Malformed> {
    if token.len() > MAX_CREDENTIAL_BYTES {
        return Err(Malformed::Parts);
    }
    let text = std::str::from_utf8(token).map_err(|_| Malformed::Parts)?;
    let mut parts = text.split('.');
    let (Some(header), Some(payload), Some(signature), None) =
        (parts.next(), parts.next(), parts.next(), parts.next())
    else {
        return Err(Malformed::Parts);
    };
    if header.is_empty() || header.len() > MAX_HEADER_BYTES {
        return Err(Malformed::Parts);
    }
    let signed_len = header.len().saturating_add(1).saturating_add(payload.len());
    let signing_input = token.get(..signed_len).ok_or(Malformed::Parts)?;
    let (algorithm, kid, header_type) = parse_header(&decode(header)?)?;
    let payload = decode(payload)?;
    if decode(signature)?.iter().all(|b| *b == 0) {
        return Err(Malformed::Signature);
    }
    Ok(Compact {
        algorithm,
        kid,
        header_type,
        payload,
        signing_input,
        signature,
    })
}

/// Canonical Base64url: the engine refuses padding, other alphabets and stray trailing bits.
fn decode(part: &str) -> Result<Vec<u8>, Malformed> {
    URL_SAFE_NO_PAD.decode(part).map_err(|_| Malformed::Base64)
}

fn parse_header(bytes: &[u8]) -> Result<(Algorithm, Option<String>, HeaderType), Malformed> {
    let header = strict_json::object(bytes).ok_or(Malformed::HeaderJson)?;
    // RFC 7515 section 4.1.11: we understand no extension, so `crit` in any form is a refusal; and a
    // token never brings its own key (sections 4.1.2, 4.1.3, 4.1.5, 4.1.6).
    for refused in ["crit", "b64", "jku", "jwk", "x5u", "x5c"] {
        if header.contains_key(refused) {
            return Err(Malformed::HeaderMember);
        }
    }
    let algorithm = match header.get("alg") {
        Some(Value::String(name)) => Algorithm::parse(name).ok_or(Malformed::Algorithm)?,
        _ => return Err(Malformed::Algorithm),
    };
    let kid = match header.get("kid") {
        None => None,
        Some(Value::String(kid)) if kid.len() <= MAX_KID_BYTES => Some(kid.clone()),
        Some(_) => return Err(Malformed::HeaderText),
    };
    let header_type = match header.get("typ") {
        None => HeaderType::Plain,
        Some(Value::String(typ)) => header_type(typ),
        Some(_) => return Err(Malformed::HeaderText),
    };
    Ok((algorithm, kid, header_type))
}

/// RFC 7515 section 4.1.9: a media type, compared without regard to case, `application/` optional.
fn header_type(typ: &str) -> HeaderType {
    let lower = typ.to_ascii_lowercase();
    match lower.strip_prefix("application/").unwrap_or(&lower) {
        "jwt" => HeaderType::Plain,
        "at+jwt" => HeaderType::AccessToken,
        _ => HeaderType::Other,
    }
}

/// Claims whose registered members have the right types. Meaning is judged by `claims`.
#[derive(Debug)]
pub(super) struct Claims {
    members: Map<String, Value>,
    /// `exp` in seconds.
    pub(super) exp: i64,
    /// `nbf` in seconds.
    pub(super) nbf: Option<i64>,
    /// `iat` in seconds.
    pub(super) iat: Option<i64>,
}

impl Claims {
    /// Parses the payload and checks the types of every registered claim (RFC 7519 section 4.1).
    pub(super) fn parse(payload: &[u8]) -> Result<Self, Malformed> {
        let members = strict_json::object(payload).ok_or(Malformed::ClaimsJson)?;
        for name in ["iss", "sub", "jti"] {
            if members.get(name).is_some_and(|v| !v.is_string()) {
                return Err(Malformed::ClaimText);
            }
        }
        match members.get("aud") {
            None | Some(Value::String(_)) => {}
            Some(Value::Array(list)) if list.iter().all(Value::is_string) => {}
            Some(_) => return Err(Malformed::ClaimText),
        }
        Ok(Self {
            exp: time(&members, "exp")?.ok_or(Malformed::NoExpiry)?,
            nbf: time(&members, "nbf")?,
            iat: time(&members, "iat")?,
            members,
        })
    }

    /// A claim by name.
    pub(super) fn get(&self, name: &str) -> Option<&Value> {
        self.members.get(name)
    }

    /// A claim by name, when it is a text.
    pub(super) fn text(&self, name: &str) -> Option<&str> {
        self.members.get(name).and_then(Value::as_str)
    }

    /// Every audience named; none when there is no `aud`.
    pub(super) fn audiences(&self) -> impl Iterator<Item = &str> {
        let (one, many) = match self.members.get("aud") {
            Some(Value::String(one)) => (Some(one.as_str()), &[][..]),
            Some(Value::Array(many)) => (None, many.as_slice()),
            _ => (None, &[][..]),
        };
        one.into_iter().chain(many.iter().filter_map(Value::as_str))
    }
}

fn time(members: &Map<String, Value>, name: &str) -> Result<Option<i64>, Malformed> {
    match members.get(name) {
        None => Ok(None),
        // `as_i64` is none for every number written with a fraction or an exponent.
        Some(value) => match value.as_i64() {
            Some(secs) if (0..=MAX_TIME_SECS).contains(&secs) => Ok(Some(secs)),
            _ => Err(Malformed::Time),
        },
    }
}
