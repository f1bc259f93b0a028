//! Which received fields never go on, whatever their spelling.
//!
//! A name is *folded* before it is compared: lower case, each byte that is neither letter nor digit
//! mapped to one symbol. Gateways, CGI and WSGI turn `X_Auth_Subject`, `X.Auth.Subject` and
//! `X-Auth-Subject` into one variable; so do we. Two look-ups in bit maps dismiss nearly every field
//! of an ordinary request; nothing is allocated.

use http::header::{CONNECTION, EXPECT};
use http::{HeaderMap, HeaderName};

use super::{END_TO_END, is_hop_by_hop, remove_where};
use crate::authn::extract::carrier_headers;
use crate::authz::policy::{IdentityField, Requirement, UpstreamHeaderRules};

/// Why a field does not go on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NameClass {
    /// Identity, assertion and forwarded headers: ours alone to set.
    Ours,
    /// May carry a credential.
    Credential,
}

/// The assertion and the report-only marker; beside them what servers believe about the original address,
/// host, target or method.
const OURS: [&str; 22] = [
    "x-auth-assertion",
    "x-auth-would-deny",
    "x-forwarded",
    "x-real-ip",
    "x-client-ip",
    "x-cluster-client-ip",
    "x-original-forwarded-for",
    "x-original-host",
    "x-original-method",
    "x-original-url",
    "x-original-uri",
    "x-rewrite-url",
    // Scopes and routes go by the request line's method.
    "x-http-method",
    "x-http-method-override",
    "x-method-override",
    "true-client-ip",
    "cf-connecting-ip",
    "fastly-client-ip",
    "forwarded",
    "via",
    "x-request-id",
    "traceparent",
];

/// Who a proxy in front of a server let in, to that server; a route may tell it in one of these.
const LET_IN: [&str; 2] = ["remote-user", "x-remote-user"];

/// What begins so is ours whatever follows: `X-Forwarded-For` and all its kin, of which `-User`, `-Email`,
/// `-Groups` and `-Client-Cert` are identities to some servers; and the names of a widespread login proxy.
const OUR_PREFIXES: [&str; 2] = ["x-forwarded-", "x-auth-request-"];

/// Whether an identity field may have this name: not one that frames a message or means something to both
/// ends, not a credential's, and none that we set for another purpose. In any spelling.
pub fn may_carry_identity(name: &HeaderName) -> bool {
    let folded = |name: &str| name.bytes().map(|b| char::from(fold(b))).collect::<String>();
    let name = folded(name.as_str());
    let framing = END_TO_END.iter().chain(&[CONNECTION, EXPECT]);
    let taken = framing
        .map(HeaderName::as_str)
        .chain(OURS)
        .chain(carrier_headers());
    !(is_hop_by_hop(&name)
        || name.starts_with("x-forwarded-")
        || taken.map(folded).any(|taken| taken == name))
}

/// Names with at least this many bytes share one slot of the map.
const LENGTHS: usize = 64;

/// The folded names of a snapshot.
#[derive(Debug)]
pub struct StripSet {
    /// By length, the first symbols that names of this length begin with.
    first_symbols: [u64; LENGTHS],
    /// Sorted by length and text.
    names: Vec<(Box<[u8]>, NameClass)>,
}

impl StripSet {
    /// Default names, and every name that some route uses.
    pub fn new<'a>(rules: impl IntoIterator<Item = &'a UpstreamHeaderRules>) -> Self {
        let fold_all = |name: &str| name.bytes().map(fold).collect::<Box<[u8]>>();
        let mut names: Vec<(Box<[u8]>, NameClass)> = IdentityField::ALL
            .iter()
            .map(|field| field.default_name())
            .chain(OURS)
            .chain(LET_IN)
            .map(|name| (fold_all(name), NameClass::Ours))
            .collect();
        for rule in rules {
            for name in rule.names.iter().flatten() {
                names.push((fold_all(name.as_str()), NameClass::Ours));
            }
        }
        // After ours: a configured name wins over a carrier of the same name.
        names.extend(carrier_headers().map(|name| (fold_all(name), NameClass::Credential)));
        names.sort_by(|(a, _), (b, _)| (a.len(), a).cmp(&(b.len(), b)));
        names.dedup_by(|(later, _), (earlier, _)| later == earlier);
        let mut first_symbols = [0; LENGTHS];
        for (name, _) in &names {
            if let (Some(slot), Some(first)) = (first_symbols.get_mut(slot_of(name.len())), name.first()) {
                *slot |= symbol_bit(*first);
            }
        }
        Self { first_symbols, names }
    }

    /// What a field is, if it is one that does not go on.
    pub fn class_of(&self, name: &HeaderName) -> Option<NameClass> {
        let name = name.as_str().as_bytes();
        if name.first() == Some(&b'x') && OUR_PREFIXES.iter().any(|prefix| begins_with(name, prefix)) {
            return Some(NameClass::Ours);
        }
        let symbols = self.first_symbols.get(slot_of(name.len()))?;
        if symbols & symbol_bit(fold(*name.first()?)) == 0 {
            return None;
        }
        self.names
            .binary_search_by(|(known, _)| {
                known
                    .len()
                    .cmp(&name.len())
                    .then_with(|| known.iter().copied().cmp(name.iter().map(|b| fold(*b))))
            })
            .ok()
            .and_then(|at| self.names.get(at))
            .map(|(_, class)| *class)
    }

    /// Removes every such field; credential carriers only when they are not forwarded.
    pub(super) fn remove_from(&self, headers: &mut HeaderMap, forward_credential: Requirement) {
        remove_where(headers, |name| match self.class_of(name) {
            None => false,
            Some(NameClass::Credential) => forward_credential == Requirement::No,
            Some(NameClass::Ours) => true,
        });
    }
}

/// Whether the folded name begins with this text, which is folded already.
fn begins_with(name: &[u8], prefix: &str) -> bool {
    name.get(..prefix.len())
        .is_some_and(|start| start.iter().map(|b| fold(*b)).eq(prefix.bytes()))
}

fn slot_of(length: usize) -> usize {
    length.min(LENGTHS - 1)
}

/// Lower-case letters and digits are themselves; everything else is one symbol.
fn fold(byte: u8) -> u8 {
    let byte = byte.to_ascii_lowercase();
    if byte.is_ascii_alphanumeric() { byte } else { b'-' }
}

/// One of 37 bits for a folded byte.
fn symbol_bit(folded: u8) -> u64 {
    match folded {
        b'a'..=b'z' => 1 << (folded - b'a'),
        b'0'..=b'9' => 1 << (26 + folded - b'0'),
        _ => 1 << 36,
    }
}
