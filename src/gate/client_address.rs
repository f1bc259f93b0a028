//! The effective client: who sent the request, as far as trusted proxies and the socket say (S5).
//!
//! `X-Forwarded-For` is believed only when the socket peer is a trusted proxy, and then only as far as
//! trusted proxies wrote it: all its lines are read as one list from the right, trusted hops are skipped,
//! and the first other one is the client. Whatever cannot be read stops the search and the socket peer
//! stands. `X-Forwarded-Proto` likewise, its right-most value. RFC 7239 `Forwarded` is not read: one
//! source, or a client could fill the one that a proxy leaves alone. Both are rewritten on the way on.

use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use http::HeaderName;
use http::header::{FORWARDED, VIA};

use super::facts::{Facts, Scheme};
use crate::authz::Encryption;
use crate::domain::clock::MonoMillis;
use crate::domain::net::ClientIp;

/// Hops looked at before giving up: more proxies in a row than anyone runs.
const MAX_HOPS: usize = 32;

/// How often the log says that a proxy is not listed.
const SAID_EVERY: Duration = Duration::from_secs(60);

const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const X_FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");

/// Who sent the request, and how.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EffectiveClient {
    /// The client's address.
    pub address: ClientIp,
    /// The scheme the client used.
    pub scheme: Scheme,
    /// Whether the whole way was encrypted.
    pub encryption: Encryption,
}

/// Finds the effective client.
pub fn effective_client(facts: &Facts<'_>) -> EffectiveClient {
    let peer = facts.peer.ip();
    let (address, scheme, believed) = match is_trusted_peer(facts) {
        true => (
            forwarded_for(facts).unwrap_or(peer),
            forwarded_proto(facts).unwrap_or(facts.scheme),
            true,
        ),
        false => (peer, facts.scheme, false),
    };
    EffectiveClient {
        address: ClientIp::new(address),
        scheme,
        encryption: match scheme {
            Scheme::Https => Encryption::Tls,
            // Somebody who is not believed but says that he forwards for others hides what they used: a proxy
            // on this machine that nobody listed must not make every client a local one.
            Scheme::Http if !believed && forwards(facts) => Encryption::Unknown,
            Scheme::Http => Encryption::None,
        },
    }
}

/// Whether the peer says that it sends on what others asked.
fn forwards(facts: &Facts<'_>) -> bool {
    facts.headers.contains_key(X_FORWARDED_FOR)
        || facts.headers.contains_key(FORWARDED)
        || facts.headers.contains_key(VIA)
}

/// Whether what the socket peer says about others is believed.
pub fn is_trusted_peer(facts: &Facts<'_>) -> bool {
    !facts.trusted_proxies.is_empty() && facts.trusted_proxies.contains(facts.peer.ip())
}

/// Says now and then that a proxy nobody listed stands in front: its clients then have one address, and
/// share every rule, throttle and limit that goes by address.
#[derive(Debug, Default)]
pub(super) struct UnlistedProxies {
    silent_until: AtomicU64,
}

impl UnlistedProxies {
    /// Says so in the log when this request came through one, at most once in `SAID_EVERY`.
    pub(super) fn notice(&self, facts: &Facts<'_>, now: MonoMillis) {
        if !facts.headers.contains_key(&X_FORWARDED_FOR) || is_trusted_peer(facts) {
            return;
        }
        if self.claim(now) == Said::Now {
            tracing::warn!(
                address = %facts.peer.ip(),
                remedy = "if this is a proxy of yours, list it under trusted_proxies of the listener",
                "a peer that is not listed sends X-Forwarded-For, which is not believed: all who come through it \
                 count as one client"
            );
        }
    }

    /// One of many threads may speak.
    fn claim(&self, now: MonoMillis) -> Said {
        let silent_until = self.silent_until.load(Ordering::Relaxed);
        if now.0 < silent_until {
            return Said::Lately;
        }
        let next = now.plus(SAID_EVERY).0;
        let claimed =
            self.silent_until
                .compare_exchange(silent_until, next, Ordering::Relaxed, Ordering::Relaxed);
        claimed.map_or(Said::Lately, |_| Said::Now)
    }
}

/// Whether a warning is due.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Said {
    Now,
    Lately,
}

/// The right-most untrusted hop; the left-most hop when all are trusted; `None` when there is none or
/// one on the way cannot be read.
fn forwarded_for(facts: &Facts<'_>) -> Option<IpAddr> {
    let mut nearest = None;
    let hops = facts
        .headers
        .get_all(&X_FORWARDED_FOR)
        .iter()
        .rev()
        .flat_map(|line| line.as_bytes().rsplit(|b| *b == b','))
        .map(<[u8]>::trim_ascii)
        // RFC 9110 section 5.6.1: empty list elements are ignored.
        .filter(|hop| !hop.is_empty());
    for (count, hop) in hops.enumerate() {
        if count >= MAX_HOPS {
            return None;
        }
        let ip = parse_hop(hop)?;
        nearest = Some(ip);
        if !facts.trusted_proxies.contains(ip) {
            break;
        }
    }
    nearest
}

/// The right-most value; anything but the two schemes is not believed.
fn forwarded_proto(facts: &Facts<'_>) -> Option<Scheme> {
    let line = facts.headers.get_all(&X_FORWARDED_PROTO).iter().next_back()?;
    let value = line.as_bytes().rsplit(|b| *b == b',').next()?.trim_ascii();
    if value.eq_ignore_ascii_case(b"https") {
        Some(Scheme::Https)
    } else if value.eq_ignore_ascii_case(b"http") {
        Some(Scheme::Http)
    } else {
        None
    }
}

/// One hop: an address with or without port, brackets or quotes. Names, `unknown` and `_hidden` are no
/// addresses.
fn parse_hop(hop: &[u8]) -> Option<IpAddr> {
    let text = std::str::from_utf8(hop).ok()?;
    let text = match text.strip_prefix('"') {
        Some(rest) => rest.strip_suffix('"')?,
        None => text,
    };
    if let Ok(ip) = text.parse::<IpAddr>() {
        return Some(ip.to_canonical());
    }
    if let Ok(address) = text.parse::<SocketAddr>() {
        return Some(address.ip().to_canonical());
    }
    let inner = text.strip_prefix('[')?.strip_suffix(']')?;
    inner
        .parse::<std::net::Ipv6Addr>()
        .ok()
        .map(|ip| IpAddr::V6(ip).to_canonical())
}

#[cfg(test)]
mod tests {
    use http::{HeaderMap, HeaderValue, Method};
    use proptest::prelude::*;

    use super::*;
    use crate::domain::net::{NetworkSet, PeerAddr};

    const PROXY: &str = "10.0.0.9:4711";
    const STRANGER: &str = "203.0.113.5:4711";

    fn client(peer: &str, trusted: &[&str], lines: &[&str], proto: &[&str]) -> (String, Scheme) {
        let trusted = NetworkSet::parse(trusted.iter().copied()).expect("networks");
        let mut headers = HeaderMap::new();
        for line in lines {
            headers.append(
                X_FORWARDED_FOR,
                HeaderValue::from_bytes(line.as_bytes()).expect("a value"),
            );
        }
        for line in proto {
            headers.append(X_FORWARDED_PROTO, HeaderValue::from_str(line).expect("a value"));
        }
        let found = effective_client(&Facts {
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
        (found.address.to_string(), found.scheme)
    }

    #[test]
    fn a_stranger_is_not_believed() {
        for trusted in [&[][..], &["10.0.0.0/8"]] {
            let found = client(STRANGER, trusted, &["127.0.0.1"], &["https"]);
            assert_eq!(found, ("203.0.113.5".to_owned(), Scheme::Http), "{trusted:?}");
        }
    }

    #[test]
    fn the_right_most_untrusted_hop_is_the_client() {
        let trusted = &["10.0.0.0/8", "2001:db8:ffff::/48"];
        for (lines, expected, why) in [
            (&[][..], "10.0.0.9", "no header: the proxy itself asks"),
            (&["192.0.2.1"], "192.0.2.1", "one hop"),
            (
                &["127.0.0.1, 192.0.2.1"],
                "192.0.2.1",
                "what the client claimed stands to the left",
            ),
            (&["127.0.0.1", "192.0.2.1"], "192.0.2.1", "lines are one list"),
            (
                &["192.0.2.1", "10.1.1.1, 10.2.2.2"],
                "192.0.2.1",
                "trusted hops are skipped over lines",
            ),
            (
                &["6.6.6.6, 192.0.2.1, 10.1.1.1"],
                "192.0.2.1",
                "trusted hops are skipped",
            ),
            (
                &["10.3.3.3, 10.1.1.1"],
                "10.3.3.3",
                "all trusted: the left-most one",
            ),
            (&["192.0.2.1:55"], "192.0.2.1", "with a port"),
            (&["[2001:db8::1]"], "2001:db8::1", "in brackets"),
            (&["[2001:db8::1]:55"], "2001:db8::1", "in brackets, with a port"),
            (&["\"[2001:db8::1]:55\""], "2001:db8::1", "quoted"),
            (&["2001:db8::1"], "2001:db8::1", "bare"),
            (&["::ffff:192.0.2.1"], "192.0.2.1", "v4-mapped"),
            (&["1.1.1.1, ::ffff:10.1.1.1"], "1.1.1.1", "v4-mapped and trusted"),
            (&["1.1.1.1, [2001:db8:ffff::7]:80"], "1.1.1.1", "trusted IPv6"),
            (&["192.0.2.1,,"], "192.0.2.1", "empty elements are ignored"),
            (&["192.0.2.1", ""], "192.0.2.1", "empty lines are ignored"),
            (&["192.0.2.1, unknown"], "10.0.0.9", "unknown: the socket peer"),
            (&["192.0.2.1, _hidden"], "10.0.0.9", "obfuscated: the socket peer"),
            (&["192.0.2.1, localhost"], "10.0.0.9", "a name: the socket peer"),
            (&["192.0.2.1 10.1.1.1"], "10.0.0.9", "two in one element"),
            (&["010.0.0.1"], "10.0.0.9", "octal is read differently by many"),
            (&["127.1"], "10.0.0.9", "a short form"),
            (&["[192.0.2.1]"], "10.0.0.9", "brackets are for IPv6"),
            (&["fe80::1%eth0"], "10.0.0.9", "a zone"),
            (&["\"192.0.2.1"], "10.0.0.9", "half a quotation"),
            (&["192.0.2.1:99999"], "10.0.0.9", "an impossible port"),
            (
                &["junk, 192.0.2.1"],
                "192.0.2.1",
                "junk behind the client is never looked at",
            ),
            (&["192.0.2.1\u{e9}"], "10.0.0.9", "no ASCII"),
        ] {
            assert_eq!(client(PROXY, trusted, lines, &[]).0, expected, "{lines:?}: {why}");
        }
    }

    #[test]
    fn hops_are_bounded() {
        let list = |n: usize| format!("192.0.2.1{}", ", 10.0.0.1".repeat(n));
        assert_eq!(
            client(PROXY, &["10.0.0.0/8"], &[&list(MAX_HOPS - 1)], &[]).0,
            "192.0.2.1"
        );
        assert_eq!(
            client(PROXY, &["10.0.0.0/8"], &[&list(MAX_HOPS)], &[]).0,
            "10.0.0.9"
        );
    }

    #[test]
    fn the_scheme_is_the_nearest_proxys_word() {
        for (proto, expected, why) in [
            (&[][..], Scheme::Http, "nothing said: the socket's"),
            (&["https"], Scheme::Https, "said"),
            (&["HTTPS"], Scheme::Https, "in capitals"),
            (&["https, http"], Scheme::Http, "the right-most value"),
            (&["https", "http"], Scheme::Http, "of the last line"),
            (&["http", "https"], Scheme::Https, "of the last line"),
            (&["wss"], Scheme::Http, "another scheme"),
            (&["https,"], Scheme::Http, "nothing after the comma"),
            (&["\"https\""], Scheme::Http, "no such scheme"),
        ] {
            assert_eq!(
                client(PROXY, &["10.0.0.0/8"], &[], proto).1,
                expected,
                "{proto:?}: {why}"
            );
        }
    }

    #[test]
    fn an_unlisted_proxy_is_spoken_of_once_a_minute() {
        let unlisted = UnlistedProxies::default();
        for (at_ms, expected) in [
            (0, Said::Now),
            (1, Said::Lately),
            (59_999, Said::Lately),
            (60_000, Said::Now),
            (60_001, Said::Lately),
        ] {
            assert_eq!(unlisted.claim(MonoMillis(at_ms)), expected, "{at_ms}");
        }
    }

    proptest! {
        #[test]
        fn what_a_client_puts_to_the_left_changes_nothing(claimed in "[ -~]{0,60}") {
            let found = client(PROXY, &["10.0.0.0/8"], &[&claimed, "192.0.2.1, 10.1.1.1"], &[]);
            prop_assert_eq!(found.0, "192.0.2.1");
        }

        #[test]
        fn any_bytes_are_read_without_a_panic(line in prop::collection::vec(0x20_u8..=0xff, 0..80)) {
            let _ = parse_hop(&line);
        }
    }

    #[test]
    fn a_proxy_that_nobody_listed_hides_how_its_clients_came() {
        let listed = NetworkSet::parse(["127.0.0.1"]).expect("networks");
        let nobody = NetworkSet::default();
        for (trusted, field, expected, why) in [
            (&nobody, None, Encryption::None, "a client of its own"),
            (
                &nobody,
                Some(("x-forwarded-for", "203.0.113.7")),
                Encryption::Unknown,
                "says so",
            ),
            (
                &nobody,
                Some(("via", "1.1 proxy")),
                Encryption::Unknown,
                "says so",
            ),
            (
                &nobody,
                Some(("forwarded", "for=_x")),
                Encryption::Unknown,
                "says so",
            ),
            (
                &nobody,
                Some(("x-forwarded-proto", "https")),
                Encryption::None,
                "is not believed",
            ),
            (
                &listed,
                Some(("x-forwarded-for", "203.0.113.7")),
                Encryption::None,
                "is believed",
            ),
            (
                &listed,
                Some(("x-forwarded-proto", "https")),
                Encryption::Tls,
                "is believed",
            ),
        ] {
            let headers = field.into_iter().map(|(name, value)| {
                let name = HeaderName::from_static(name);
                (name, HeaderValue::from_static(value))
            });
            let headers: HeaderMap = headers.collect();
            let facts = Facts {
                method: &Method::GET,
                path: "/",
                query: None,
                target: None,
                host: None,
                headers: &headers,
                peer: PeerAddr::new(([127, 0, 0, 1], 4711).into()),
                trusted_proxies: trusted,
                scheme: Scheme::Http,
            };
            assert_eq!(effective_client(&facts).encryption, expected, "{field:?} {why}");
        }
    }
}
