//! Addresses by role, and sets of networks.
//!
//! A v4-mapped IPv6 address is the IPv4 address everywhere in this process (`::ffff:10.0.0.1` is
//! `10.0.0.1`): both constructors normalize, so no rule can be passed by spelling.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use ipnet::IpNet;

/// The other end of the socket. Says nothing about who sent the request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct PeerAddr(SocketAddr);

impl PeerAddr {
    /// Normalizes a v4-mapped address.
    pub fn new(address: SocketAddr) -> Self {
        Self(SocketAddr::new(address.ip().to_canonical(), address.port()))
    }

    /// The other end of a Unix socket: a process of this machine, which counts as 127.0.0.1 wherever addresses
    /// count (trusted proxies, address rules, throttles).
    pub fn same_machine() -> Self {
        Self(SocketAddr::from(([127, 0, 0, 1], 0)))
    }

    /// The address without its port.
    pub fn ip(self) -> IpAddr {
        self.0.ip()
    }

    /// The address with its port.
    pub fn socket_addr(self) -> SocketAddr {
        self.0
    }
}

/// The effective client: the socket peer, or the right-most untrusted hop behind trusted proxies.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct ClientIp(IpAddr);

impl ClientIp {
    /// Normalizes a v4-mapped address.
    pub fn new(ip: IpAddr) -> Self {
        Self(ip.to_canonical())
    }

    /// The address.
    pub fn ip(self) -> IpAddr {
        self.0
    }

    /// The address as throttles count it: IPv4 whole, IPv6 by its /64, since a site owns that many.
    pub fn throttle_key(self) -> IpAddr {
        match self.0 {
            IpAddr::V4(_) => self.0,
            IpAddr::V6(v6) => IpAddr::V6(Ipv6Addr::from(u128::from(v6) & !u128::from(u64::MAX))),
        }
    }
}

impl fmt::Display for ClientIp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Why a text is no network.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidNetwork {
    /// Not an address or a CIDR.
    #[error("not an address or a network in CIDR form such as 10.0.0.0/8 or 2001:db8::/32")]
    Syntax,
    /// Host bits are set, as in `10.2.0.0/8`: most likely a mistake in one of the two parts.
    #[error("has bits set beyond its prefix length; did you mean {0}?")]
    HostBits(IpNet),
}

/// A set of networks, for allow, deny and trust lists.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct NetworkSet(Vec<IpNet>);

impl NetworkSet {
    /// A set of these networks.
    pub fn new(networks: Vec<IpNet>) -> Self {
        Self(networks)
    }

    /// Parses a list of addresses and CIDRs; the first bad one is returned with its text.
    pub fn parse<'a>(texts: impl IntoIterator<Item = &'a str>) -> Result<Self, (String, InvalidNetwork)> {
        texts
            .into_iter()
            .map(|t| parse_network(t).map_err(|e| (t.to_owned(), e)))
            .collect::<Result<Vec<_>, _>>()
            .map(Self)
    }

    /// Whether any network holds the address.
    pub fn contains(&self, ip: IpAddr) -> bool {
        let ip = ip.to_canonical();
        self.0.iter().any(|n| n.contains(&ip))
    }

    /// Whether the networks together hold every IPv4 address, or every IPv6 address: `0.0.0.0/1` and
    /// `128.0.0.0/1` are everybody, however many pieces they are written in.
    pub fn holds_everybody(&self) -> bool {
        IpNet::aggregate(&self.0).iter().any(|n| n.prefix_len() == 0)
    }

    /// Whether the set is empty.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The networks.
    pub fn iter(&self) -> impl Iterator<Item = &IpNet> {
        self.0.iter()
    }
}

/// Whether an address belongs to the internet at large: what is none of loopback, private, link-local, shared,
/// multicast, reserved or for documentation (IANA's special-purpose registries, RFC 6890), whatever it is wrapped
/// in. What a caller names must be such an address before we speak to it.
pub fn is_global(ip: IpAddr) -> bool {
    match ip.to_canonical() {
        IpAddr::V4(v4) => is_global_v4(v4),
        IpAddr::V6(v6) => is_global_v6(v6),
    }
}

fn is_global_v4(ip: Ipv4Addr) -> bool {
    let [a, b, c, _] = ip.octets();
    !(ip.is_private()
        || ip.is_loopback()
        || ip.is_link_local()
        || ip.is_documentation()
        // This network, shared space behind carriers, protocol assignments, benchmarks, multicast and above.
        || a == 0
        || (a == 100 && (64..128).contains(&b))
        || (a == 192 && b == 0 && c == 0)
        || (a == 198 && (18..20).contains(&b))
        || a >= 224)
}

fn is_global_v6(ip: Ipv6Addr) -> bool {
    let [a, b, c, d, ..] = ip.segments();
    let bits = ip.to_bits();
    // The IPv4 address that is carried along: NAT64 (RFC 6052), 6to4 (RFC 3056).
    let carried = match (a, b) {
        (0x64, 0xff9b) => Some(Ipv4Addr::from(bits as u32)),
        (0x2002, _) => Some(Ipv4Addr::from((bits >> 80) as u32)),
        _ => None,
    };
    // Only 2000::/3 is given out; of it, Teredo and what is for protocols and documentation is not.
    let given_out = a & 0xe000 == 0x2000;
    let special = (a == 0x2001 && (b < 0x200 || b == 0xdb8)) || (a == 0x3fff && b < 0x1000);
    match carried {
        Some(v4) if a == 0x64 => c == 0 && d == 0 && is_global_v4(v4),
        Some(v4) => is_global_v4(v4),
        None => given_out && !special,
    }
}

/// Parses one address or CIDR. A v4-mapped network of /96 or longer becomes the IPv4 network.
pub fn parse_network(text: &str) -> Result<IpNet, InvalidNetwork> {
    let net = match text.parse::<IpNet>() {
        Ok(net) => net,
        Err(_) => IpNet::from(text.parse::<IpAddr>().map_err(|_| InvalidNetwork::Syntax)?),
    };
    if net.trunc() != net {
        return Err(InvalidNetwork::HostBits(net.trunc()));
    }
    match net {
        IpNet::V6(v6) if v6.prefix_len() >= 96 => match v6.addr().to_ipv4_mapped() {
            Some(v4) => ipnet::Ipv4Net::new(v4, v6.prefix_len().saturating_sub(96))
                .map(IpNet::V4)
                .map_err(|_| InvalidNetwork::Syntax),
            None => Ok(net),
        },
        _ => Ok(net),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn v4_mapped_addresses_are_the_ipv4_address_everywhere() {
        let set =
            NetworkSet::parse(["10.0.0.0/8", "::ffff:192.168.1.0/120", "2001:db8::/32"]).expect("networks");
        for (ip, inside) in [
            ("10.1.2.3", true),
            ("::ffff:10.1.2.3", true),
            ("::ffff:192.168.1.7", true),
            ("192.168.1.7", true),
            ("192.168.2.7", false),
            ("2001:db8::1", true),
            ("2001:db9::1", false),
            ("::10.1.2.3", false),
        ] {
            assert_eq!(set.contains(ip.parse().expect("an address")), inside, "{ip}");
        }
        let peer = PeerAddr::new("[::ffff:10.0.0.1]:80".parse().expect("an address"));
        assert_eq!(peer.ip().to_string(), "10.0.0.1");
    }

    #[test]
    fn everybody_is_found_in_pieces() {
        let rest: Vec<String> = (0..32).map(|n| format!("{}/{}", n_th_half(n), n + 1)).collect();
        let mut whole: Vec<&str> = rest.iter().map(String::as_str).collect();
        assert!(
            !NetworkSet::parse(whole.iter().copied())
                .expect("networks")
                .holds_everybody()
        );
        // All but one address; now that one.
        whole.push("255.255.255.255");
        for (texts, everybody) in [
            (whole.as_slice(), true),
            (&["0.0.0.0/0"], true),
            (&["::/0", "10.0.0.0/8"], true),
            (&["0.0.0.0/1", "128.0.0.0/1"], true),
            (&["128.0.0.0/1", "10.0.0.0/8", "0.0.0.0/2", "64.0.0.0/2"], true),
            (&["::/1", "8000::/1"], true),
            (&["::/1", "8000::/2", "c000::/2"], true),
            (&["0.0.0.0/1", "8000::/1"], false),
            (&["0.0.0.0/1", "128.0.0.0/2"], false),
            (&["10.0.0.0/8"], false),
            (&[], false),
        ] {
            let set = NetworkSet::parse(texts.iter().copied()).expect("networks");
            assert_eq!(set.holds_everybody(), everybody, "{texts:?}");
        }
    }

    /// The network address of the n-th of the halves that leave 255.255.255.255 over.
    fn n_th_half(n: u32) -> Ipv4Addr {
        let ones = u32::MAX.checked_shl(32 - n).unwrap_or(0);
        Ipv4Addr::from(ones)
    }

    #[test]
    fn mistyped_networks_are_refused() {
        for text in ["10.0.0.0/33", "10.0.0", "", "localhost", "10.0.0.0/8 ", "::/129"] {
            assert_eq!(parse_network(text), Err(InvalidNetwork::Syntax), "{text:?}");
        }
        assert_eq!(
            parse_network("10.2.0.0/8"),
            Err(InvalidNetwork::HostBits("10.0.0.0/8".parse().expect("a network")))
        );
    }

    #[test]
    fn ipv6_clients_are_throttled_by_their_64() {
        let key = |t: &str| {
            ClientIp::new(t.parse().expect("an address"))
                .throttle_key()
                .to_string()
        };
        assert_eq!(key("2001:db8:1:2:3:4:5:6"), "2001:db8:1:2::");
        assert_eq!(key("2001:db8:1:2::9"), "2001:db8:1:2::");
        assert_eq!(key("192.0.2.1"), "192.0.2.1");
    }

    #[test]
    fn addresses_of_the_internet_are_told_from_all_others() {
        for (text, global) in [
            ("8.8.8.8", true),
            ("203.0.114.1", true),
            ("2606:4700::1111", true),
            ("::ffff:8.8.8.8", true),
            ("64:ff9b::808:808", true),
            ("2002:808:808::1", true),
            ("0.0.0.0", false),
            ("0.1.2.3", false),
            ("10.1.2.3", false),
            ("100.64.0.1", false),
            ("100.127.255.255", false),
            ("127.0.0.1", false),
            ("169.254.169.254", false),
            ("172.31.0.1", false),
            ("192.0.0.8", false),
            ("192.0.2.1", false),
            ("192.168.1.1", false),
            ("198.18.0.1", false),
            ("224.0.0.1", false),
            ("255.255.255.255", false),
            ("::", false),
            ("::1", false),
            ("::ffff:127.0.0.1", false),
            ("::127.0.0.1", false),
            ("64:ff9b::7f00:1", false),
            ("64:ff9b:1::1", false),
            ("2002:7f00:1::1", false),
            ("2002:a9fe:a9fe::", false),
            ("2001::1", false),
            ("2001:db8::1", false),
            ("fc00::1", false),
            ("fd00:ec2::254", false),
            ("fe80::1", false),
            ("ff02::1", false),
            ("3fff::1", false),
        ] {
            assert_eq!(is_global(text.parse().expect("an address")), global, "{text}");
        }
    }
}
