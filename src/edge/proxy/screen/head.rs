//! One request head, line by line, strictly (RFC 9112 sections 2 to 6): whatever two servers could read in
//! two ways is an offence.
//!
//! Resumable: a head split over reads is scanned on from where it stopped, each byte once. What it learns
//! is where the head ends and how its body is framed; hyper parses the same bytes again for their meaning.

use std::ops::Range;

use super::syntax::{is_field_value, is_host, is_path_and_query, is_token, trim};
use crate::domain::reason::Reason;

/// Longest method.
pub(in crate::edge::proxy) const MAX_METHOD_BYTES: usize = 32;
/// Most digits of a Content-Length: nobody sends an exabyte.
const MAX_LENGTH_DIGITS: usize = 18;

/// Bounds of a head.
#[derive(Debug, Clone, Copy)]
pub(super) struct HeadBounds {
    pub(super) max_bytes: usize,
    pub(super) max_fields: usize,
}

/// State between two reads. Positions count from the head's first byte.
#[derive(Debug, Default)]
pub(super) struct HeadScan {
    /// Start of the first line that is not complete yet.
    line: usize,
    /// No line end before this position remains to be found.
    searched: usize,
    fields: usize,
    request: Option<RequestLine>,
    /// Whether one empty line before the request line was passed (RFC 9112 section 2.2).
    blank: bool,
    host: Option<Range<usize>>,
    length: Option<u64>,
    chunked: bool,
}

#[derive(Debug)]
struct RequestLine {
    version: Version,
    /// The authority of an absolute-form target.
    authority: Option<Range<usize>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Version {
    Http10,
    Http11,
}

/// How the body is framed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Framing {
    /// This many bytes.
    Length(u64),
    /// Chunks.
    Chunked,
}

/// What a stretch of bytes brought.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Progress {
    /// The head is not complete.
    More,
    /// The head is this long and good; its body follows.
    Complete(usize, Framing),
    /// The head must not be passed on.
    Offence(Reason),
}

impl HeadScan {
    /// Scans on. `bytes` begins at the head's first byte each time.
    pub(super) fn advance(&mut self, bytes: &[u8], bounds: HeadBounds) -> Progress {
        // Something that is no HTTP at all (a TLS hello, say) may never send a line end.
        if bytes.first().is_some_and(|b| !is_token(*b) && *b != b'\r') {
            return Progress::Offence(match bytes.first() {
                Some(b'\n') => Reason::AmbiguousFraming,
                _ => Reason::MalformedRequest,
            });
        }
        loop {
            let unsearched = bytes.get(self.searched..).unwrap_or_default();
            let Some(found) = memchr::memchr(b'\n', unsearched) else {
                self.searched = bytes.len();
                return match bytes.len() > bounds.max_bytes {
                    true => Progress::Offence(Reason::HeadTooLarge),
                    false => Progress::More,
                };
            };
            let end = self.searched.saturating_add(found);
            let next = end.saturating_add(1);
            if next > bounds.max_bytes {
                return Progress::Offence(Reason::HeadTooLarge);
            }
            let start = std::mem::replace(&mut self.line, next);
            self.searched = next;
            let line = bytes.get(start..end).unwrap_or_default();
            let Some(line) = line.strip_suffix(b"\r") else {
                return Progress::Offence(Reason::AmbiguousFraming);
            };
            match self.line(line, start, bytes, bounds) {
                Ok(None) => {}
                Ok(Some(framing)) => return Progress::Complete(next, framing),
                Err(reason) => return Progress::Offence(reason),
            }
        }
    }

    fn line(
        &mut self,
        line: &[u8],
        start: usize,
        bytes: &[u8],
        bounds: HeadBounds,
    ) -> Result<Option<Framing>, Reason> {
        let Some(request) = &self.request else {
            if line.is_empty() && !self.blank {
                self.blank = true;
                return Ok(None);
            }
            self.request = Some(request_line(line, start)?);
            return Ok(None);
        };
        if line.is_empty() {
            return self.finish(request, bytes).map(Some);
        }
        self.fields = self.fields.saturating_add(1);
        if self.fields > bounds.max_fields {
            return Err(Reason::HeadTooLarge);
        }
        let version = request.version;
        self.field(line, start, version).map(|()| None)
    }

    fn field(&mut self, line: &[u8], start: usize, version: Version) -> Result<(), Reason> {
        let colon = line.iter().position(|b| !is_token(*b)).unwrap_or(line.len());
        let (name, rest) = line.split_at(colon);
        let value = match rest {
            [b':', value @ ..] if !name.is_empty() => value,
            // A folded line, or white space before the colon: read in two ways for decades.
            [b' ' | b'\t', ..] => return Err(Reason::AmbiguousFraming),
            [b'\r', ..] => return Err(Reason::AmbiguousFraming),
            _ => return Err(Reason::MalformedRequest),
        };
        if let Some(bad) = value.iter().find(|b| !is_field_value(**b)) {
            return Err(match bad {
                b'\r' => Reason::AmbiguousFraming,
                _ => Reason::MalformedRequest,
            });
        }
        // Names are told apart by length first; only a handful is compared at all.
        match name.len() {
            4 if name.eq_ignore_ascii_case(b"host") => {
                let trimmed = trim(value);
                if self.host.is_some() || !is_host(trimmed) {
                    return Err(Reason::MalformedRequest);
                }
                let lead = value.len().saturating_sub(trim_start_len(value));
                let from = start.saturating_add(colon).saturating_add(1).saturating_add(lead);
                self.host = Some(from..from.saturating_add(trimmed.len()));
            }
            14 if is_spelling_of(name, b"content-length") => {
                let length = content_length(name, trim(value)).ok_or(Reason::AmbiguousFraming)?;
                // Twice is an offence even when equal: the next server may see only one of them.
                if self.length.replace(length).is_some() {
                    return Err(Reason::AmbiguousFraming);
                }
            }
            17 if is_spelling_of(name, b"transfer-encoding") => {
                let only_chunked = name.contains(&b'-') && trim(value).eq_ignore_ascii_case(b"chunked");
                if !only_chunked || self.chunked || version == Version::Http10 {
                    return Err(Reason::AmbiguousFraming);
                }
                self.chunked = true;
            }
            _ => {}
        }
        Ok(())
    }

    fn finish(&self, request: &RequestLine, bytes: &[u8]) -> Result<Framing, Reason> {
        let text = |range: &Range<usize>| bytes.get(range.clone()).unwrap_or_default();
        match (&self.host, &request.authority) {
            (None, _) if request.version == Version::Http11 => return Err(Reason::MalformedRequest),
            (Some(host), Some(authority)) if !text(host).eq_ignore_ascii_case(text(authority)) => {
                return Err(Reason::AmbiguousFraming);
            }
            _ => {}
        }
        match (self.chunked, self.length) {
            (true, Some(_)) => Err(Reason::AmbiguousFraming),
            (true, None) => Ok(Framing::Chunked),
            (false, length) => Ok(Framing::Length(length.unwrap_or(0))),
        }
    }
}

/// `Content_Length` and `Content.Length` are no framing fields to us, but some servers fold what is neither
/// letter nor digit to one symbol: they are refused below.
pub(in crate::edge::proxy) fn is_spelling_of(name: &[u8], canonical: &[u8]) -> bool {
    name.iter()
        .zip(canonical)
        .all(|(b, c)| b.eq_ignore_ascii_case(c) || (*c == b'-' && !b.is_ascii_alphanumeric()))
}

/// A length that has one reading, under the one spelling of its name.
pub(in crate::edge::proxy) fn content_length(name: &[u8], value: &[u8]) -> Option<u64> {
    let good = name.contains(&b'-')
        && (1..=MAX_LENGTH_DIGITS).contains(&value.len())
        && value.iter().all(u8::is_ascii_digit)
        && (value.len() == 1 || value.first() != Some(&b'0'));
    good.then_some(())?;
    std::str::from_utf8(value).ok()?.parse().ok()
}

fn trim_start_len(value: &[u8]) -> usize {
    value
        .iter()
        .position(|b| !matches!(b, b' ' | b'\t'))
        .map_or(0, |lead| value.len().saturating_sub(lead))
}

fn request_line(line: &[u8], start: usize) -> Result<RequestLine, Reason> {
    let mut parts = line.splitn(3, |b| *b == b' ');
    let (Some(method), Some(target), Some(version)) = (parts.next(), parts.next(), parts.next()) else {
        return Err(Reason::MalformedRequest);
    };
    if method.is_empty() || method.len() > MAX_METHOD_BYTES || !method.iter().all(|b| is_token(*b)) {
        return Err(Reason::MalformedRequest);
    }
    let version = match version {
        b"HTTP/1.1" => Version::Http11,
        b"HTTP/1.0" => Version::Http10,
        [b'H', b'T', b'T', b'P', b'/', digits @ ..] if is_version_number(digits) => {
            return Err(Reason::HttpVersionUnsupported);
        }
        _ if line.contains(&b'\r') => return Err(Reason::AmbiguousFraming),
        _ => return Err(Reason::MalformedRequest),
    };
    // A tunnel to anywhere is no business of a proxy in front of known apps; an app that echoes a TRACE would
    // tell the client what we told the app; our own mark for refused heads must not come from outside.
    if is_refused_method(method) {
        return Err(Reason::MalformedRequest);
    }
    let authority = if is_path_and_query(target) || (target == b"*" && method == b"OPTIONS") {
        None
    } else {
        let at = absolute_form(target).ok_or(Reason::MalformedRequest)?;
        let target_at = start.saturating_add(method.len()).saturating_add(1);
        Some(target_at.saturating_add(at.start)..target_at.saturating_add(at.end))
    };
    Ok(RequestLine { version, authority })
}

/// Methods that nobody behind us is asked.
pub(in crate::edge::proxy) fn is_refused_method(method: &[u8]) -> bool {
    [&b"CONNECT"[..], b"TRACE", super::REFUSED_METHOD.as_bytes()].contains(&method)
}

/// `1`, `1.2`, `2.0` …
fn is_version_number(text: &[u8]) -> bool {
    match text {
        [major] => major.is_ascii_digit(),
        [major, b'.', minor] => major.is_ascii_digit() && minor.is_ascii_digit(),
        _ => false,
    }
}

/// Where the authority of an absolute-form target stands; `None` when it is anything else.
fn absolute_form(target: &[u8]) -> Option<Range<usize>> {
    let scheme = [&b"http://"[..], b"https://"]
        .into_iter()
        .find(|scheme| {
            target
                .get(..scheme.len())
                .is_some_and(|t| t.eq_ignore_ascii_case(scheme))
        })?
        .len();
    let after = target.get(scheme..)?;
    let authority = memchr::memchr(b'/', after).unwrap_or(after.len());
    let (host, path) = after.split_at(authority);
    let good = is_host(host) && (path.is_empty() || is_path_and_query(path));
    good.then_some(scheme..scheme.saturating_add(authority))
}
