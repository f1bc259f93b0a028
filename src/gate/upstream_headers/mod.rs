//! What the upstream is told: the only writer of identity and forwarded headers (S1).
//!
//! First everything that looks like one of them is removed, and every credential carrier unless the route
//! forwards it; then they are set, only from the `Permit` and from what the gate found out. Runs after
//! `strip_hop_by_hop`, so no `Connection` option can name a header of ours. Identity values were rendered
//! when the credential was verified: here they are cloned. RFC 9110 section 7.6, RFC 7239, W3C Trace
//! Context. Makes no decision, signs nothing (`gate::assertion` does).

use std::fmt::Write as _;
use std::net::IpAddr;

use bytes::Bytes;
use http::header::{CONNECTION, FORWARDED, HOST, VIA};
use http::{HeaderMap, HeaderName, HeaderValue, Version};

use super::facts::Scheme;
use super::verdict::Forwarding;
use crate::authn::material::IdentityValues;
use crate::authz::policy::{IdentityField, Requirement, UpstreamHeaderRules};
use crate::domain::net::ClientIp;

mod ids;
mod strip;
#[cfg(test)]
mod tests;

pub use ids::{RequestIds, TRACEPARENT, TRACESTATE, TraceId, X_REQUEST_ID, trace_id};
pub use strip::{NameClass, StripSet, may_carry_identity};

/// The signed identity, on routes that want one.
pub const X_AUTH_ASSERTION: HeaderName = HeaderName::from_static("x-auth-assertion");

const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const X_FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
const X_FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");

const ANONYMOUS: HeaderValue = HeaderValue::from_static("anonymous");

/// Fields set at most: room is made for them once.
const MOST_FIELDS_SET: usize = IdentityField::ALL.len() + 8;

/// The writer of one snapshot's upstream headers.
#[derive(Debug)]
pub struct UpstreamHeaders {
    strip: StripSet,
    ids: RequestIds,
}

impl UpstreamHeaders {
    /// `rules` of every route of the snapshot: a name that any route uses is stripped on all of them.
    pub fn new<'a>(rules: impl IntoIterator<Item = &'a UpstreamHeaderRules>, ids: RequestIds) -> Self {
        Self {
            strip: StripSet::new(rules),
            ids,
        }
    }

    /// Makes a received head into the head to forward. `headers` still holds the client's `Host` and has
    /// been through [`strip_hop_by_hop`].
    pub fn apply(
        &self,
        forwarding: &Forwarding,
        received: Version,
        assertion: Option<HeaderValue>,
        headers: &mut HeaderMap,
    ) {
        let permit = &forwarding.permit;
        let rules = &permit.route().upstream_headers;
        let trace = self.ids.continued_trace(headers);
        self.strip.remove_from(headers, rules.forward_credential);
        let _ = headers.try_reserve(MOST_FIELDS_SET);
        set_identity(headers, permit.authentication().map(|a| a.values()), rules);
        if let Some(assertion) = assertion {
            headers.insert(X_AUTH_ASSERTION, assertion);
        }
        set_forwarded(headers, forwarding.client, forwarding.scheme);
        headers.insert(VIA, via(received));
        headers.insert(X_REQUEST_ID, forwarding.request_id.clone());
        match trace {
            Some(trace) => {
                headers.insert(TRACEPARENT, trace);
            }
            // W3C Trace Context section 3.3: it is not to be read where its parent cannot be.
            None => {
                headers.remove(TRACESTATE);
            }
        }
    }

    /// Removes from trailers what may not stand there: everything that would be stripped from a head.
    pub fn strip_trailers(&self, trailers: &mut HeaderMap) {
        self.strip.remove_from(trailers, Requirement::No);
    }

    /// Whether a name is an identity, assertion, forwarded or credential header in any spelling.
    pub fn is_protected_name(&self, name: &HeaderName) -> bool {
        self.strip.class_of(name).is_some()
    }
}

/// `None` is anonymous: the upstream is told that and nothing else.
fn set_identity(headers: &mut HeaderMap, values: Option<&IdentityValues>, rules: &UpstreamHeaderRules) {
    let Some(values) = values else {
        if let Some(Some(name)) = rules.names.get(IdentityField::Principal as usize) {
            headers.insert(name.clone(), ANONYMOUS);
        }
        return;
    };
    for (field, name) in IdentityField::ALL.into_iter().zip(&rules.names) {
        if let (Some(name), Some(value)) = (name, values.value(field)) {
            headers.insert(name.clone(), value.clone());
        }
    }
}

/// Whom a request came through, and in which version of HTTP we received it (RFC 9110 section 7.6.3).
fn via(received: Version) -> HeaderValue {
    HeaderValue::from_static(match received {
        Version::HTTP_2 => "2.0 doorward",
        Version::HTTP_10 => "1.0 doorward",
        _ => "1.1 doorward",
    })
}

fn set_forwarded(headers: &mut HeaderMap, client: ClientIp, scheme: Scheme) {
    let host = headers.get(HOST).cloned();
    // One buffer for both values: the address is written once and shared.
    let mut text = String::with_capacity(128);
    // RFC 7239 section 6: an IPv6 address stands in brackets and quotes.
    let (before, after) = match client.ip() {
        IpAddr::V4(_) => ("for=", ";proto="),
        IpAddr::V6(_) => ("for=\"[", "]\";proto="),
    };
    text.push_str(before);
    push_address(&mut text, client.ip());
    let address = before.len()..text.len();
    text.push_str(after);
    text.push_str(scheme.as_str());
    if let Some(host) = host.as_ref().and_then(|h| h.to_str().ok())
        && !host.bytes().any(|b| matches!(b, b'"' | b'\\'))
    {
        text.push_str(";host=\"");
        text.push_str(host);
        text.push('"');
    }
    let text = Bytes::from(text);
    if let Ok(value) = HeaderValue::from_maybe_shared(text.slice(address)) {
        headers.insert(X_FORWARDED_FOR, value);
    }
    if let Ok(value) = HeaderValue::from_maybe_shared(text) {
        headers.insert(FORWARDED, value);
    }
    headers.insert(X_FORWARDED_PROTO, HeaderValue::from_static(scheme.as_str()));
    if let Some(host) = host {
        headers.insert(X_FORWARDED_HOST, host);
    }
}

/// Writes an address as its `Display` does: that one takes ten times as many instructions for IPv4.
fn push_address(text: &mut String, address: IpAddr) {
    let IpAddr::V4(address) = address else {
        // Writing to a String cannot fail.
        let _ = write!(text, "{address}");
        return;
    };
    for (i, octet) in address.octets().into_iter().enumerate() {
        if i > 0 {
            text.push('.');
        }
        for (least, unit) in [(100, 100), (10, 10), (0, 1)] {
            if octet >= least {
                text.push(char::from(b'0' + octet / unit % 10));
            }
        }
    }
}

/// Fields between two neighbors only (RFC 9110 section 7.6.1), beside what `Connection` names.
pub fn is_hop_by_hop(name: &str) -> bool {
    matches!(
        name,
        "http2-settings"
            | "keep-alive"
            | "proxy-authenticate"
            | "proxy-authorization"
            | "proxy-connection"
            | "te"
            | "trailer"
            | "transfer-encoding"
            | "upgrade"
    )
}

/// Fields that a `Connection` option cannot remove: the message would mean something else without them.
const END_TO_END: [HeaderName; 10] = [
    HOST,
    http::header::CONTENT_LENGTH,
    http::header::CONTENT_TYPE,
    http::header::CONTENT_ENCODING,
    http::header::CONTENT_RANGE,
    http::header::CACHE_CONTROL,
    http::header::COOKIE,
    http::header::SET_COOKIE,
    http::header::AUTHORIZATION,
    http::header::WWW_AUTHENTICATE,
];

/// Removes hop-by-hop fields and those that `Connection` names; for requests and answers alike, before
/// anything of ours is set.
pub fn strip_hop_by_hop(headers: &mut HeaderMap) {
    if headers.contains_key(CONNECTION) {
        let lines: Vec<HeaderValue> = headers.get_all(CONNECTION).iter().cloned().collect();
        headers.remove(CONNECTION);
        let options = lines.iter().flat_map(|l| l.as_bytes().split(|b| *b == b','));
        for option in options.map(<[u8]>::trim_ascii) {
            // Far the most frequent ones name no field.
            if option.eq_ignore_ascii_case(b"close") || option.eq_ignore_ascii_case(b"keep-alive") {
                continue;
            }
            if let Ok(name) = HeaderName::from_bytes(option)
                && !END_TO_END.contains(&name)
            {
                headers.remove(name);
            }
        }
    }
    remove_where(headers, |name| is_hop_by_hop(name.as_str()));
}

/// Removes fields by name. A map cannot lose fields while it is walked, and a list would be allocated: each
/// round removes a handful, and a request of this world needs one.
fn remove_where(headers: &mut HeaderMap, is_doomed: impl Fn(&HeaderName) -> bool) {
    const ROUND: usize = 8;
    loop {
        let mut doomed: [Option<HeaderName>; ROUND] = Default::default();
        let found = headers.keys().filter(|name| is_doomed(name));
        let found = doomed
            .iter_mut()
            .zip(found)
            .map(|(slot, name)| *slot = Some(name.clone()))
            .count();
        for name in doomed.iter().flatten() {
            headers.remove(name);
        }
        if found < ROUND {
            return;
        }
    }
}
