//! Request ids and trace parents: names for a request, not secrets.
//!
//! An id is a counter run through two invertible mixers under a random start, so it never repeats within
//! a process, cannot be guessed from outside by accident, and costs one atomic addition. Traces are
//! continued, never begun: we export no spans, and a parent that we invented would take the decision to
//! sample away from the upstream's own tracing.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use http::{HeaderMap, HeaderName, HeaderValue};

use crate::gate::client_address::is_trusted_peer;
use crate::gate::facts::Facts;

/// Names the request, in both directions.
pub const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
/// W3C Trace Context.
pub const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");

/// Vendors' part of it, which means nothing without it.
pub const TRACESTATE: HeaderName = HeaderName::from_static("tracestate");

/// The id of a W3C trace: 32 hexadecimal digits, whatever the client sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TraceId([u8; 32]);

impl TraceId {
    /// The digits.
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).unwrap_or_default()
    }
}

/// The trace that a request says it belongs to, in a valid way.
pub fn trace_id(headers: &HeaderMap) -> Option<TraceId> {
    let (trace, _) = received_trace(headers)?;
    trace.try_into().ok().map(TraceId)
}

/// Trace id and flags of the one valid `traceparent`.
fn received_trace(headers: &HeaderMap) -> Option<(&[u8], &[u8])> {
    let mut received = headers.get_all(&TRACEPARENT).iter();
    let parsed = parse_traceparent(received.next()?.as_bytes())?;
    received.next().is_none().then_some(parsed)
}

/// Longest id taken over from a trusted proxy.
const MAX_REQUEST_ID_BYTES: usize = 128;

/// Where ids come from. Clones share the counter.
#[derive(Debug, Clone)]
pub struct RequestIds(Arc<State>);

#[derive(Debug)]
struct State {
    seed: (u64, u64),
    next: AtomicU64,
}

impl RequestIds {
    /// Ids that differ from those of every other process, given 16 random bytes.
    pub fn new(random: [u8; 16]) -> Self {
        let random = u128::from_le_bytes(random);
        let half = |n: u128| u64::try_from(n & u128::from(u64::MAX)).unwrap_or_default();
        Self(Arc::new(State {
            seed: (half(random), half(random >> 64)),
            next: AtomicU64::new(0),
        }))
    }

    /// The id of a request: a trusted proxy's, when it is well formed, else a new one.
    pub fn request_id(&self, facts: &Facts<'_>) -> HeaderValue {
        if is_trusted_peer(facts)
            && let Some(given) = facts.headers.get(&X_REQUEST_ID)
            && is_request_id(given.as_bytes())
        {
            return given.clone();
        }
        self.new_id()
    }

    /// A new id.
    pub fn new_id(&self) -> HeaderValue {
        let (a, b) = self.next();
        render(&[(a, 16), (b, 16)], b"", b"")
    }

    /// The `traceparent` that continues a valid received one: the same trace and flags, a new parent.
    pub(super) fn continued_trace(&self, headers: &HeaderMap) -> Option<HeaderValue> {
        let (trace, flags) = received_trace(headers)?;
        let (parent, _) = self.next();
        let mut start = [0; 36];
        let (version, rest) = start.split_at_mut_checked(3)?;
        version.copy_from_slice(b"00-");
        let (id, dash) = rest.split_at_mut_checked(32)?;
        id.copy_from_slice(trace);
        dash.copy_from_slice(b"-");
        let mut end = *b"-00";
        let (_, digits) = end.split_at_mut_checked(1)?;
        digits.copy_from_slice(flags);
        // All zeros would be invalid.
        Some(render(&[(parent.max(1), 16)], &start, &end))
    }

    fn next(&self) -> (u64, u64) {
        let n = self.0.next.fetch_add(1, Ordering::Relaxed);
        (mix(self.0.seed.0.wrapping_add(n)), mix(self.0.seed.1 ^ mix(n)))
    }
}

/// SplitMix64's finalizer: a bijection.
fn mix(n: u64) -> u64 {
    let n = n.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let n = (n ^ (n >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let n = (n ^ (n >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    n ^ (n >> 31)
}

/// Hexadecimal numbers of so many digits between two texts.
fn render(numbers: &[(u64, u32)], start: &[u8], end: &[u8]) -> HeaderValue {
    // Exactly as long as the text: a buffer with room left over would be allocated twice.
    let digits: usize = numbers.iter().map(|(_, digits)| *digits as usize).sum();
    let mut text = Vec::with_capacity(start.len() + digits + end.len());
    text.extend_from_slice(start);
    for (number, digits) in numbers {
        for place in (0..*digits).rev() {
            let digit = u8::try_from((number >> (place * 4)) & 15).unwrap_or_default();
            text.push(if digit < 10 {
                b'0' + digit
            } else {
                b'a' + digit - 10
            });
        }
    }
    text.extend_from_slice(end);
    // Visible ASCII by construction.
    HeaderValue::from_maybe_shared(bytes::Bytes::from(text)).unwrap_or(HeaderValue::from_static("-"))
}

/// What may stand in logs, answers and headers as it is.
fn is_request_id(id: &[u8]) -> bool {
    (1..=MAX_REQUEST_ID_BYTES).contains(&id.len())
        && id
            .iter()
            .all(|b| b.is_ascii_alphanumeric() || b"-_.:/+=@".contains(b))
}

/// Trace id and flags of a valid value (W3C Trace Context section 3.2). A higher version may carry more
/// after the flags.
fn parse_traceparent(value: &[u8]) -> Option<(&[u8], &[u8])> {
    let mut fields = value.split(|b| *b == b'-');
    let (version, trace, parent, flags) = (fields.next()?, fields.next()?, fields.next()?, fields.next()?);
    let is_hex = |field: &[u8], length| {
        field.len() == length && field.iter().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
    };
    let is_zero = |field: &[u8]| field.iter().all(|b| *b == b'0');
    let valid = is_hex(version, 2)
        && version != b"ff"
        && is_hex(trace, 32)
        && !is_zero(trace)
        && is_hex(parent, 16)
        && !is_zero(parent)
        && is_hex(flags, 2)
        && (version != b"00" || fields.next().is_none());
    valid.then_some((trace, flags))
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use http::Method;
    use proptest::prelude::*;

    use super::*;
    use crate::domain::net::{NetworkSet, PeerAddr};
    use crate::gate::facts::Scheme;

    fn id(peer: &str, given: Option<&str>) -> String {
        let mut headers = HeaderMap::new();
        if let Some(given) = given {
            headers.insert(
                X_REQUEST_ID,
                HeaderValue::from_bytes(given.as_bytes()).expect("a value"),
            );
        }
        let trusted = NetworkSet::parse(["10.0.0.0/8"]).expect("networks");
        let value = RequestIds::new([7; 16]).request_id(&Facts {
            method: &Method::GET,
            path: "/",
            query: None,
            target: None,
            host: None,
            headers: &headers,
            peer: PeerAddr::new(peer.parse().expect("an address")),
            trusted_proxies: &trusted,
            scheme: Scheme::Http,
        });
        value.to_str().expect("ASCII").to_owned()
    }

    #[test]
    fn only_a_trusted_proxys_well_formed_id_is_kept() {
        let long = "x".repeat(129);
        for (peer, given, kept, why) in [
            ("10.0.0.1:1", Some("req-1/A:b=@."), true, "well formed"),
            ("192.0.2.1:1", Some("req-1"), false, "from a stranger"),
            ("10.0.0.1:1", Some(""), false, "blank"),
            ("10.0.0.1:1", Some(long.as_str()), false, "too long"),
            ("10.0.0.1:1", Some("a b"), false, "a space"),
            ("10.0.0.1:1", Some("a\"b"), false, "a quotation mark"),
            ("10.0.0.1:1", Some("a\u{e9}"), false, "no ASCII"),
            ("10.0.0.1:1", None, false, "none"),
        ] {
            let found = id(peer, given);
            assert_eq!(Some(found.as_str()) == given, kept, "{why}");
            if !kept {
                assert!(
                    found.len() == 32 && found.bytes().all(|b| b.is_ascii_hexdigit()),
                    "{why}: {found}"
                );
            }
        }
    }

    #[test]
    fn ids_do_not_repeat() {
        let ids = RequestIds::new([1; 16]);
        let seen: HashSet<(u64, u64)> = (0..10_000).map(|_| ids.next()).collect();
        assert_eq!(seen.len(), 10_000);
        let firsts: HashSet<u64> = seen.iter().map(|s| s.0).collect();
        assert_eq!(firsts.len(), 10_000);
    }

    #[test]
    fn a_valid_trace_is_continued_and_an_invalid_one_dropped() {
        let (trace, parent) = ("4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7");
        let valid = |version: &str, more: &str| Some(format!("{version}-{trace}-{parent}-01{more}"));
        for (value, continued, why) in [
            (valid("00", ""), true, "version 0"),
            (valid("01", "-more"), true, "a later version with more"),
            (valid("00", "-more"), false, "version 0 with more"),
            (valid("ff", ""), false, "the forbidden version"),
            (
                Some(format!("00-{}-{parent}-01", "0".repeat(32))),
                false,
                "no trace",
            ),
            (
                Some(format!("00-{trace}-{}-01", "0".repeat(16))),
                false,
                "no parent",
            ),
            (
                Some(format!("00-{}-{parent}-01", trace.to_uppercase())),
                false,
                "capitals",
            ),
            (Some(format!("00-{trace}-{parent}")), false, "no flags"),
            (Some(String::new()), false, "blank"),
            (None, false, "none"),
        ] {
            let mut headers = HeaderMap::new();
            if let Some(value) = &value {
                headers.append(TRACEPARENT, HeaderValue::from_str(value).expect("a value"));
            }
            let found = RequestIds::new([2; 16]).continued_trace(&headers);
            assert_eq!(found.is_some(), continued, "{why}");
            let told = trace_id(&headers);
            assert_eq!(
                told.map(|t| t.as_str() == trace),
                continued.then_some(true),
                "{why}"
            );
            if let Some(found) = found {
                let found = found.to_str().expect("ASCII");
                assert!(
                    found.starts_with(&format!("00-{trace}-")) && found.ends_with("-01"),
                    "{found}"
                );
                assert!(
                    parse_traceparent(found.as_bytes()).is_some() && !found.contains(parent),
                    "{found}"
                );
            }
            if let Some(value) = value {
                headers.append(TRACEPARENT, HeaderValue::from_str(&value).expect("a value"));
                assert!(
                    RequestIds::new([2; 16]).continued_trace(&headers).is_none(),
                    "{why}, doubled"
                );
            }
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_without_a_panic(value in prop::collection::vec(any::<u8>(), 0..80)) {
            let _ = parse_traceparent(&value);
        }
    }
}
