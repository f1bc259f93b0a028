//! The alphabets of HTTP/1 (RFC 9110 section 5, RFC 3986), as tables built at compile time.

use std::net::Ipv6Addr;

const TOKEN: u8 = 1;
const FIELD_VALUE: u8 = 2;
const PATH: u8 = 4;
const QUERY: u8 = 8;
const HOST: u8 = 16;

const fn classes(byte: u8) -> u8 {
    let mut c = 0;
    let alphanumeric = byte.is_ascii_alphanumeric();
    if alphanumeric
        || matches!(
            byte,
            b'!' | b'#'
                | b'$'
                | b'%'
                | b'&'
                | b'\''
                | b'*'
                | b'+'
                | b'-'
                | b'.'
                | b'^'
                | b'_'
                | b'`'
                | b'|'
                | b'~'
        )
    {
        c |= TOKEN;
    }
    if byte == b'\t' || byte >= b' ' && byte != 0x7f {
        c |= FIELD_VALUE;
    }
    // What hyper's URI type takes: a target that it would refuse is refused here, in our words. No byte
    // outside ASCII, no fragment.
    if matches!(byte, 0x21 | 0x22 | 0x24..=0x3B | 0x3D | 0x40..=0x5F | 0x61..=0x7E) {
        c |= PATH;
    }
    if matches!(byte, 0x21 | 0x24..=0x3B | 0x3D | 0x3F..=0x7E) {
        c |= QUERY;
    }
    if alphanumeric || matches!(byte, b'-' | b'.' | b'_') {
        c |= HOST;
    }
    c
}

#[expect(
    clippy::indexing_slicing,
    reason = "evaluated at compile time; the index is below 256"
)]
const CLASSES: [u8; 256] = {
    let mut table = [0; 256];
    let mut i = 0;
    while i < 256 {
        table[i] = classes(i as u8);
        i += 1;
    }
    table
};

#[expect(clippy::indexing_slicing, reason = "a u8 cannot leave a table of 256")]
fn has(byte: u8, class: u8) -> bool {
    CLASSES[usize::from(byte)] & class != 0
}

/// A character of a method or field name.
pub(super) fn is_token(byte: u8) -> bool {
    has(byte, TOKEN)
}

/// A character of a field value, white space and bytes outside ASCII included.
pub(super) fn is_field_value(byte: u8) -> bool {
    has(byte, FIELD_VALUE)
}

/// Whether this is a path and query in origin form, without a fragment.
pub(in crate::edge::proxy) fn is_path_and_query(target: &[u8]) -> bool {
    if target.first() != Some(&b'/') {
        return false;
    }
    let mut parts = target.splitn(2, |b| *b == b'?');
    let path = parts.next().unwrap_or_default();
    let query = parts.next().unwrap_or_default();
    path.iter().all(|b| has(*b, PATH)) && query.iter().all(|b| has(*b, QUERY))
}

/// Whether this is a host with an optional port: a name, an IPv4 address or a bracketed IPv6 address.
/// No user, no empty or impossible port, no percent-encoding: nothing that two servers could read as two hosts.
pub(in crate::edge::proxy) fn is_host(value: &[u8]) -> bool {
    let (host_is_good, port) = if let Some(inner) = value.strip_prefix(b"[") {
        let Some(end) = memchr::memchr(b']', inner) else {
            return false;
        };
        let (address, after) = inner.split_at(end);
        // Without a zone: `%` is no character of an address.
        let good = std::str::from_utf8(address).is_ok_and(|text| text.parse::<Ipv6Addr>().is_ok());
        (good, after.get(1..).unwrap_or_default())
    } else {
        let end = memchr::memchr(b':', value).unwrap_or(value.len());
        let (name, after) = value.split_at(end);
        (!name.is_empty() && name.iter().all(|b| has(*b, HOST)), after)
    };
    host_is_good
        && match port.strip_prefix(b":") {
            None => port.is_empty(),
            Some(digits) => is_port(digits),
        }
}

/// 1 to 65535 without zeros before it: neither a number that wraps nor another spelling of the same one.
fn is_port(digits: &[u8]) -> bool {
    let plain = matches!(digits.first(), Some(b'1'..=b'9')) && digits.iter().all(u8::is_ascii_digit);
    plain && std::str::from_utf8(digits).is_ok_and(|text| text.parse::<u16>().is_ok())
}

/// Without the optional white space around a field value.
pub(super) fn trim(value: &[u8]) -> &[u8] {
    let mut value = value;
    while let [b' ' | b'\t', rest @ ..] = value {
        value = rest;
    }
    while let [rest @ .., b' ' | b'\t'] = value {
        value = rest;
    }
    value
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_target_that_passes_is_one_that_hyper_takes() {
        for byte in 0..=255u8 {
            for target in [vec![b'/', byte], vec![b'/', b'?', byte]] {
                if is_path_and_query(&target) {
                    let uri = http::Uri::try_from(&target[..]).expect("hyper takes it");
                    let kept = uri.path_and_query().map_or("", |p| p.as_str());
                    assert_eq!(kept.as_bytes(), target, "nothing is dropped from it");
                }
            }
        }
    }

    #[test]
    fn hosts_have_one_reading() {
        for host in [
            "a",
            "a.b-c_d.example",
            "127.0.0.1:80",
            "[::1]",
            "[2001:db8::1]:8080",
            "A:1",
        ] {
            assert!(is_host(host.as_bytes()), "{host}");
        }
        for host in [
            "",
            ":80",
            "a:",
            "a:b",
            "a:123456",
            "a b",
            "a,b",
            "a/b",
            "a@b",
            "a#b",
            "a?b",
            "a\\b",
            "[::1",
            "[]",
            "[::1]x",
            "[::1]:",
            "::1",
            "a%2eb",
            "h\u{e9}",
            "a:80:90",
            "[g::1]",
            "[abc]",
            "[1::2::3]",
            "[127.0.0.1]",
            "[::1%1]",
            "a:0",
            "a:080",
            "a:65536",
            "a:65616",
        ] {
            assert!(!is_host(host.as_bytes()), "{host}");
        }
    }
}
