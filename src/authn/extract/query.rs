//! Credentials in query parameters: found by name, and removed before anything is forwarded or logged.
//!
//! Names are compared decoded, as the upstream would: `%74oken` is `token`.

use std::borrow::Cow;

use crate::domain::reason::Reason;

/// The value of the one parameter of these names; two are ambiguous.
pub(super) fn find_credential<'a>(query: &'a str, names: &[String]) -> Result<Option<&'a [u8]>, Reason> {
    let mut found = None;
    for parameter in query.split('&').filter(|p| is_named(p, names)) {
        if found.is_some() {
            return Err(Reason::AmbiguousCredentials);
        }
        let value = parameter.split_once('=').map_or("", |(_, value)| value);
        found = Some(value.as_bytes());
    }
    Ok(found)
}

/// The query without the parameters of these names; `None` when nothing is left of it.
pub fn strip_query_parameters<'a>(query: &'a str, names: &[String]) -> Option<Cow<'a, str>> {
    if !query.split('&').any(|p| is_named(p, names)) {
        return Some(Cow::Borrowed(query));
    }
    let kept: Vec<&str> = query.split('&').filter(|p| !is_named(p, names)).collect();
    (!kept.is_empty()).then(|| Cow::Owned(kept.join("&")))
}

fn is_named(parameter: &str, names: &[String]) -> bool {
    let name = parameter.split_once('=').map_or(parameter, |(name, _)| name);
    names.iter().any(|wanted| decoded(name).eq(wanted.bytes()))
}

/// The bytes of a form-encoded name.
fn decoded(text: &str) -> impl Iterator<Item = u8> {
    let mut rest = text.as_bytes();
    std::iter::from_fn(move || {
        let (byte, after) = match *rest {
            [b'%', high, low, ref after @ ..] if let Some(value) = hex_pair(high, low) => (value, after),
            [b'+', ref after @ ..] => (b' ', after),
            [byte, ref after @ ..] => (byte, after),
            [] => return None,
        };
        rest = after;
        Some(byte)
    })
}

fn hex_pair(high: u8, low: u8) -> Option<u8> {
    let digit = |b: u8| char::from(b).to_digit(16).and_then(|d| u8::try_from(d).ok());
    Some(digit(high)? << 4 | digit(low)?)
}
