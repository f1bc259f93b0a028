//! The PROXY protocol, versions 1 and 2 (haproxy.org/download/3.0/doc/proxy-protocol.txt): what a proxy in
//! front says of the client before the first byte of the client's.
//!
//! Pure: bytes in, what they say out. Strict, because a header that is read in two ways is an address that a client chose:
//! one spelling of addresses and ports, no white space to spare, a bound on the whole. Who may send a header,
//! and how long it may take, is `entrance`'s business. Version 2's additional fields (TLV) are skipped, their
//! checksum too: the peer is trusted, and TCP has one.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// Longest header of version 1, its line end included.
const V1_MAX: usize = 107;
/// Longest header of version 2 that is taken: addresses and a few hundred bytes about the TLS session.
const V2_MAX: usize = 2048;
const V2_SIGNATURE: &[u8; 12] = b"\r\n\r\n\0\r\nQUIT\n";
const V2_HEAD: usize = 16;

/// What the bytes so far say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Read {
    /// Too few to know.
    More,
    /// A header of so many bytes.
    Header(Said, usize),
    /// No header, or one that breaks the rules.
    Broken,
}

/// What a header says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Said {
    /// Who the client is.
    Client(SocketAddr),
    /// Nothing about a client: the peer speaks for itself, or cannot tell. The socket's own other end counts.
    Nothing,
}

/// Reads a header from all bytes that came so far.
pub(super) fn read(bytes: &[u8]) -> Read {
    let common = bytes.len().min(V2_SIGNATURE.len());
    if bytes.get(..common) == V2_SIGNATURE.get(..common) {
        return match bytes.get(V2_SIGNATURE.len()..) {
            Some(rest) => read_v2(rest),
            None => Read::More,
        };
    }
    read_v1(bytes)
}

fn read_v1(bytes: &[u8]) -> Read {
    const BEGIN: &[u8] = b"PROXY ";
    let common = bytes.len().min(BEGIN.len());
    if bytes.get(..common) != BEGIN.get(..common) {
        return Read::Broken;
    }
    let window = bytes.get(..bytes.len().min(V1_MAX)).unwrap_or_default();
    let Some(end) = memchr::memmem::find(window, b"\r\n") else {
        let ended_otherwise = window.contains(&b'\n') || window.len() == V1_MAX;
        return if ended_otherwise { Read::Broken } else { Read::More };
    };
    let line = window
        .get(BEGIN.len()..end)
        .and_then(|line| std::str::from_utf8(line).ok());
    match line.and_then(v1_line) {
        Some(said) => Read::Header(said, end.saturating_add(2)),
        None => Read::Broken,
    }
}

/// What stands after `PROXY `.
fn v1_line(line: &str) -> Option<Said> {
    // The rest of such a line is to be ignored.
    if line == "UNKNOWN" || line.starts_with("UNKNOWN ") {
        return line
            .bytes()
            .all(|b| (b' '..=b'~').contains(&b))
            .then_some(Said::Nothing);
    }
    let parts: Vec<&str> = line.splitn(6, ' ').collect();
    let [family, source, destination, source_port, destination_port] = parts.as_slice() else {
        return None;
    };
    let address = |text: &str| -> Option<IpAddr> {
        match *family {
            "TCP4" => text.parse::<Ipv4Addr>().ok().map(IpAddr::V4),
            "TCP6" => text.parse::<Ipv6Addr>().ok().map(IpAddr::V6),
            _ => None,
        }
    };
    address(destination)?;
    port(destination_port)?;
    Some(Said::Client(SocketAddr::new(
        address(source)?,
        port(source_port)?,
    )))
}

/// Decimal digits without a sign or a zero ahead.
fn port(text: &str) -> Option<u16> {
    let plain = text.bytes().all(|b| b.is_ascii_digit()) && (text.len() == 1 || !text.starts_with('0'));
    plain.then(|| text.parse().ok()).flatten()
}

/// What stands after the signature.
fn read_v2(rest: &[u8]) -> Read {
    let (Some(command), Some(family)) = (rest.first(), rest.get(1)) else {
        return match rest.first() {
            Some(0x20 | 0x21) | None => Read::More,
            Some(_) => Read::Broken,
        };
    };
    let Some([high, low]) = rest.get(2..4) else {
        return Read::More;
    };
    let length = usize::from(u16::from_be_bytes([*high, *low]));
    let whole = V2_HEAD.saturating_add(length);
    if whole > V2_MAX || !matches!(command, 0x20 | 0x21) {
        return Read::Broken;
    }
    let Some(addresses) = rest.get(4..length.saturating_add(4)) else {
        return Read::More;
    };
    let said = match (command, family) {
        // LOCAL: a health check of the proxy itself; whatever follows is to be skipped.
        (0x20, _) => Some(Said::Nothing),
        // Unspecified, or a Unix socket at the proxy.
        (_, 0x00) => Some(Said::Nothing),
        (_, 0x31) => addresses.get(..216).map(|_| Said::Nothing),
        (_, 0x11) => v4(addresses),
        (_, 0x21) => v6(addresses),
        // Datagrams, and what nobody has defined.
        _ => None,
    };
    said.map_or(Read::Broken, |said| Read::Header(said, whole))
}

/// Source, destination, source port, destination port.
fn v4(addresses: &[u8]) -> Option<Said> {
    let (ip, rest) = addresses.split_first_chunk::<4>()?;
    let (_, rest) = rest.split_first_chunk::<4>()?;
    client(Ipv4Addr::from(*ip).into(), rest)
}

fn v6(addresses: &[u8]) -> Option<Said> {
    let (ip, rest) = addresses.split_first_chunk::<16>()?;
    let (_, rest) = rest.split_first_chunk::<16>()?;
    client(Ipv6Addr::from(*ip).into(), rest)
}

fn client(ip: IpAddr, ports: &[u8]) -> Option<Said> {
    let (source, rest) = ports.split_first_chunk::<2>()?;
    rest.split_first_chunk::<2>()?;
    Some(Said::Client(SocketAddr::new(ip, u16::from_be_bytes(*source))))
}

#[cfg(test)]
mod tests;
