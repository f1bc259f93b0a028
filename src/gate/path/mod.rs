//! The request path, normalized once: the form that is matched is the form that is forwarded.
//!
//! Percent-encodings of unreserved characters are decoded and all others spelled in upper case (RFC 3986
//! section 6.2.2). What servers are known to read differently is an *offence*: most are refused at once,
//! three (encoded slash, semicolon, empty segment) only when the selected route does not allow them.
//! An allowed form must still select the same route however it is read: `routes` tries the `readings`.
//! A path that is already normal is borrowed and costs one scan. Nothing here knows a route.

use std::borrow::Cow;

use http::uri::PathAndQuery;

use crate::authz::policy::{PathAllowances, Requirement};
use crate::domain::reason::Reason;

#[cfg(test)]
mod tests;

/// Forms that a route may allow by name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Offences(u8);

impl Offences {
    const ENCODED_SLASH: u8 = 1;
    const SEMICOLON: u8 = 2;
    const EMPTY_SEGMENT: u8 = 4;

    /// Whether the path has none.
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Refuses unless every offence is among the allowances.
    pub fn check(self, allow: &PathAllowances) -> Result<(), Reason> {
        let mut left = self.0;
        for (requirement, bit) in [
            (allow.encoded_slash, Self::ENCODED_SLASH),
            (allow.semicolon, Self::SEMICOLON),
            (allow.empty_segment, Self::EMPTY_SEGMENT),
        ] {
            if requirement == Requirement::Yes {
                left &= !bit;
            }
        }
        if left == 0 {
            Ok(())
        } else {
            Err(Reason::AmbiguousPath)
        }
    }
}

/// A path in its one normal form.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NormalizedPath<'a> {
    text: Cow<'a, str>,
    /// `text` decoded once, except `%2F` and `%25`; `None` when that changes nothing.
    decoded: Option<String>,
    offences: Offences,
}

impl NormalizedPath<'_> {
    /// The form that is forwarded.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The form that rules are compared with: as forwarded, but read the way every server reads it,
    /// with `%3A` as `:`. One to one with [`Self::as_str`].
    pub fn for_matching(&self) -> &str {
        self.decoded.as_deref().unwrap_or(&self.text)
    }

    /// Forms in it that only some routes allow.
    pub fn offences(&self) -> Offences {
        self.offences
    }

    /// How servers may read a path that has offences: each allowable form taken either way. Empty for
    /// a path without offences.
    pub fn readings(&self) -> Vec<String> {
        if self.offences.is_empty() {
            return Vec::new();
        }
        (1..8_u8)
            .filter(|combination| combination & !self.offences.0 == 0)
            .map(|combination| {
                let mut text = self.for_matching().to_owned();
                if combination & Offences::ENCODED_SLASH != 0 {
                    text = text.replace("%2F", "/");
                }
                if combination & Offences::SEMICOLON != 0 {
                    text = without_parameters(&text);
                }
                if combination & Offences::EMPTY_SEGMENT != 0 {
                    text = collapsed(&text);
                }
                text
            })
            .collect()
    }
}

/// Normalizes a path, refusing forms that no route can allow.
pub fn normalize(path: &str) -> Result<NormalizedPath<'_>, Reason> {
    if is_normal(path.as_bytes()) {
        return Ok(NormalizedPath {
            text: Cow::Borrowed(path),
            decoded: None,
            offences: Offences::default(),
        });
    }
    rewrite(path)
}

/// The path a rule in the configuration is compared by: percent-encodings decoded as in a request. A
/// text with a malformed encoding stays as it is, and matches nothing.
pub fn rule_form(text: &str) -> String {
    let Ok(mut parts) = Parts::read(text) else {
        return text.to_owned();
    };
    parts.keep_decoded_if_utf8().unwrap_or_else(|| text.to_owned())
}

/// The target to forward: the normalized path and what is left of the query. When that is what was
/// received, the received one is shared.
pub fn target(
    path: &str,
    query: Option<&str>,
    received: Option<&PathAndQuery>,
) -> Result<PathAndQuery, Reason> {
    if let Some(same) = received.filter(|r| r.path() == path && r.query() == query) {
        return Ok(same.clone());
    }
    let parsed = match query {
        None => PathAndQuery::try_from(path),
        Some(query) => {
            let mut whole = String::with_capacity(path.len() + 1 + query.len());
            whole.push_str(path);
            whole.push('?');
            whole.push_str(query);
            PathAndQuery::from_maybe_shared(bytes::Bytes::from(whole))
        }
    };
    parsed.map_err(|_| Reason::MalformedRequest)
}

/// RFC 3986 `unreserved`.
fn is_unreserved(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~')
}

/// What may stand in a normal path as it is: `pchar` without `;` and without encodings.
fn is_plain(byte: u8) -> bool {
    is_unreserved(byte)
        || matches!(
            byte,
            b'!' | b'$' | b'&' | b'\'' | b'(' | b')' | b'*' | b'+' | b',' | b'=' | b':' | b'@'
        )
}

/// Whether the path begins with a slash, has plain bytes only, and no segment that is empty or begins
/// with a dot. Other normal paths take the slow way and come out the same.
fn is_normal(path: &[u8]) -> bool {
    let Some((b'/', rest)) = path.split_first() else {
        return false;
    };
    let mut previous = b'/';
    for &byte in rest {
        if byte == b'/' {
            if previous == b'/' {
                return false;
            }
        } else if !is_plain(byte) || (byte == b'.' && previous == b'/') {
            return false;
        }
        previous = byte;
    }
    true
}

fn rewrite(path: &str) -> Result<NormalizedPath<'_>, Reason> {
    if !path.starts_with('/') {
        return Err(Reason::AmbiguousPath);
    }
    let mut parts = Parts::read(path)?;
    let once = std::str::from_utf8(&parts.once).map_err(|_| Reason::AmbiguousPath)?;
    // A backslash is a slash to some; a control character ends a path, a line or a log entry for others.
    if once.chars().any(|c| c.is_control() || c == '\\') || has_triplet(once.as_bytes()) {
        return Err(Reason::AmbiguousPath);
    }
    let mut offences = 0;
    if parts.encoded_slash {
        offences |= Offences::ENCODED_SLASH;
    }
    // Some cut parameters before they decode, some after: with both spellings there are too many readings.
    if parts.raw_semicolon && parts.encoded_semicolon {
        return Err(Reason::AmbiguousPath);
    }
    if once.contains(';') {
        offences |= Offences::SEMICOLON;
    }
    // Segments as the most eager reader sees them: encoded slashes separate, parameters are cut off.
    let last = once.split('/').count().saturating_sub(1);
    for (i, segment) in once.split('/').enumerate() {
        let name = segment.split(';').next().unwrap_or(segment);
        if matches!(name, "." | "..") {
            return Err(Reason::AmbiguousPath);
        }
        // A name that is nothing but parameters is empty to whoever cuts them off.
        if name.is_empty() && i > 0 && (i < last || !segment.is_empty()) {
            offences |= Offences::EMPTY_SEGMENT;
        }
    }
    let decoded = parts.keep_decoded_if_utf8().ok_or(Reason::AmbiguousPath)?;
    let text = if parts.normal == path {
        Cow::Borrowed(path)
    } else {
        Cow::Owned(parts.normal)
    };
    Ok(NormalizedPath {
        decoded: (decoded != *text).then_some(decoded),
        text,
        offences: Offences(offences),
    })
}

/// A path read byte by byte, in the three forms that are needed.
struct Parts {
    /// Decoded once, everything.
    once: Vec<u8>,
    /// Decoded once, except `%2F` and `%25`.
    kept: Vec<u8>,
    /// The normal form.
    normal: String,
    encoded_slash: bool,
    raw_semicolon: bool,
    encoded_semicolon: bool,
}

impl Parts {
    fn read(path: &str) -> Result<Self, Reason> {
        let mut parts = Self {
            once: Vec::with_capacity(path.len()),
            kept: Vec::with_capacity(path.len()),
            normal: String::with_capacity(path.len()),
            encoded_slash: false,
            raw_semicolon: false,
            encoded_semicolon: false,
        };
        let mut bytes = path.bytes();
        while let Some(byte) = bytes.next() {
            match byte {
                b'%' => {
                    let high = bytes.next().and_then(hex_value).ok_or(Reason::AmbiguousPath)?;
                    let low = bytes.next().and_then(hex_value).ok_or(Reason::AmbiguousPath)?;
                    parts.push_encoded(high << 4 | low);
                }
                // These cannot stand in a request target at all.
                b' ' | b'?' | b'#' => return Err(Reason::AmbiguousPath),
                _ if byte >= 0x80 => parts.push_encoded(byte),
                _ => parts.push_raw(byte),
            }
        }
        Ok(parts)
    }

    fn push_raw(&mut self, byte: u8) {
        self.raw_semicolon |= byte == b';';
        self.once.push(byte);
        self.kept.push(byte);
        if is_plain(byte) || matches!(byte, b'/' | b';') {
            self.normal.push(char::from(byte));
        } else {
            push_triplet(&mut self.normal, byte);
        }
    }

    fn push_encoded(&mut self, byte: u8) {
        self.once.push(byte);
        self.encoded_semicolon |= byte == b';';
        if is_unreserved(byte) {
            self.kept.push(byte);
            self.normal.push(char::from(byte));
            return;
        }
        push_triplet(&mut self.normal, byte);
        match byte {
            b'/' => {
                self.encoded_slash = true;
                self.kept.extend_from_slice(b"%2F");
            }
            b'%' => self.kept.extend_from_slice(b"%25"),
            _ => self.kept.push(byte),
        }
    }

    fn keep_decoded_if_utf8(&mut self) -> Option<String> {
        String::from_utf8(std::mem::take(&mut self.kept)).ok()
    }
}

fn push_triplet(out: &mut String, byte: u8) {
    out.push('%');
    for nibble in [byte >> 4, byte & 15] {
        out.push(char::from_digit(u32::from(nibble), 16).map_or('0', |c| c.to_ascii_uppercase()));
    }
}

fn hex_value(byte: u8) -> Option<u8> {
    char::from(byte).to_digit(16).and_then(|d| u8::try_from(d).ok())
}

/// Whether a second decoding would find something to decode.
fn has_triplet(bytes: &[u8]) -> bool {
    bytes
        .windows(3)
        .any(|w| matches!(w, [b'%', high, low] if high.is_ascii_hexdigit() && low.is_ascii_hexdigit()))
}

fn without_parameters(text: &str) -> String {
    let names: Vec<&str> = text
        .split('/')
        .map(|s| s.split(';').next().unwrap_or(s))
        .collect();
    names.join("/")
}

fn collapsed(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if c != '/' || !out.ends_with('/') {
            out.push(c);
        }
    }
    out
}
