//! Where something listens or is: addresses, networks, URLs, the store.

use std::net::SocketAddr;
use std::path::PathBuf;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use ipnet::IpNet;
use rustls::pki_types::ServerName;

use super::TextValue;
use crate::domain::net::{InvalidNetwork, parse_network};
use crate::edge::proxy::upstream::tls::KeyPin;
use crate::edge::proxy::upstream::{Security, UpstreamAddress};

/// An IP address and a port to listen on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Address(pub SocketAddr);

impl TextValue for Address {
    const FORMAT: &'static str = "ip-and-port";
    const EXPECTED: &'static str = "an IP address and a port such as 127.0.0.1:8080 or [::1]:8080";

    fn parse(text: &str) -> Result<Self, String> {
        if let Ok(address) = text.parse() {
            return Ok(Self(address));
        }
        let (host, port) = text.rsplit_once(':').unwrap_or((text, ""));
        Err(match (host, port) {
            (_, port) if port.parse::<u16>().is_err() => {
                "add a port from 0 to 65535 after the address".to_owned()
            }
            ("localhost", port) => format!("write 127.0.0.1:{port}"),
            ("" | "*", port) => {
                format!("write 0.0.0.0:{port} for every IPv4 address, [::]:{port} for every address")
            }
            (host, port) if host.contains(':') => {
                format!("put an IPv6 address into brackets: [{host}]:{port}")
            }
            _ => "write an IP address: names are not resolved for listening".to_owned(),
        })
    }

    fn text(&self) -> String {
        self.0.to_string()
    }
}

/// Where the proxy listens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ListenAddress {
    /// At an address.
    Tcp(SocketAddr),
    /// At a path.
    Unix(PathBuf),
}

/// Longest path of a Unix socket: what the kernel takes, less what the name has while it is made.
const MAX_SOCKET_PATH: usize = 96;

impl TextValue for ListenAddress {
    const FORMAT: &'static str = "listen-address";
    const EXPECTED: &'static str = "an IP address and a port such as 127.0.0.1:8080, or unix: and a path such as unix:/run/doorward.sock";

    fn parse(text: &str) -> Result<Self, String> {
        match text.strip_prefix("unix:") {
            None => Address::parse(text).map(|a| Self::Tcp(a.0)),
            Some("") => Err("write the path of the socket after unix:".to_owned()),
            Some(path) if path.starts_with("//") => {
                Err(format!("write unix:/{}", path.trim_start_matches('/')))
            }
            Some(path) if path.len() > MAX_SOCKET_PATH => {
                Err(format!("choose a path of at most {MAX_SOCKET_PATH} letters"))
            }
            Some(path) => Ok(Self::Unix(PathBuf::from(path))),
        }
    }

    fn text(&self) -> String {
        match self {
            Self::Tcp(address) => address.to_string(),
            Self::Unix(path) => format!("unix:{}", path.display()),
        }
    }
}

/// Where the admin door listens besides its Unix socket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AdminAddress {
    /// Nowhere.
    Off,
    /// Here.
    At(SocketAddr),
}

impl TextValue for AdminAddress {
    const FORMAT: &'static str = "ip-and-port-or-off";
    const EXPECTED: &'static str = "an IP address and a port such as 127.0.0.1:9901, or off";

    fn parse(text: &str) -> Result<Self, String> {
        match text {
            "off" => Ok(Self::Off),
            _ => Address::parse(text).map(|a| Self::At(a.0)),
        }
    }

    fn text(&self) -> String {
        match self {
            Self::Off => "off".to_owned(),
            Self::At(address) => address.to_string(),
        }
    }
}

/// An address or a network in CIDR form.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Network(pub IpNet);

impl TextValue for Network {
    const FORMAT: &'static str = "network";
    const EXPECTED: &'static str = "an address or a network such as 10.0.0.0/8 or 2001:db8::/32";

    fn parse(text: &str) -> Result<Self, String> {
        parse_network(text).map(Self).map_err(|error| match error {
            InvalidNetwork::HostBits(network) => {
                format!("write {network}, if that is meant: bits are set beyond the prefix length")
            }
            InvalidNetwork::Syntax => {
                "write an IP address, with / and a prefix length for a network".to_owned()
            }
        })
    }

    fn text(&self) -> String {
        self.0.to_string()
    }
}

/// What to do when everybody is trusted.
pub const EVERYBODY: &str =
    "name your proxies: if everybody were believed, any client could claim any address";

/// A network of proxies that are believed. One that holds everybody is refused: any client could then claim
/// any address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TrustedNetwork(pub IpNet);

impl TextValue for TrustedNetwork {
    const FORMAT: &'static str = "trusted-network";
    const EXPECTED: &'static str = "an address or a network of your own proxies, such as 10.0.0.0/8";

    fn parse(text: &str) -> Result<Self, String> {
        match Network::parse(text) {
            Ok(Network(network)) if network.prefix_len() > 0 => Ok(Self(network)),
            Err(remedy) if !text.ends_with("/0") => Err(remedy),
            _ => Err(EVERYBODY.to_owned()),
        }
    }

    fn text(&self) -> String {
        self.0.to_string()
    }
}

/// Where an upstream is: `http://host:port`, `https://host:port`, `unix:/path`, nothing else.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UpstreamUrl(pub UpstreamAddress);

impl TextValue for UpstreamUrl {
    const FORMAT: &'static str = "upstream-url";
    const EXPECTED: &'static str =
        "an address such as http://127.0.0.1:9000, https://app.internal or unix:/run/app.sock";

    fn parse(text: &str) -> Result<Self, String> {
        if let Some(path) = text.strip_prefix("unix:") {
            return UpstreamAddress::unix(path).map(Self).map_err(|_| {
                "write unix: and the absolute path of the socket, at most 107 bytes long".to_owned()
            });
        }
        let (security, authority) = match (text.strip_prefix("http://"), text.strip_prefix("https://")) {
            (Some(authority), _) => (Security::Plain, authority),
            (_, Some(authority)) => (Security::Tls, authority),
            _ => return Err("begin with http://, https:// or unix:".to_owned()),
        };
        let authority = authority.strip_suffix('/').unwrap_or(authority);
        if authority.contains('@') {
            return Err("remove the user name and password".to_owned());
        }
        if authority.contains(['/', '?', '#']) {
            return Err("remove everything after the port: paths are forwarded as they come".to_owned());
        }
        let whole = "write a host name or an IP address and a port";
        let parsed: http::uri::Authority = authority.parse().map_err(|_| whole.to_owned())?;
        if parsed.host().is_empty() || authority.ends_with(':') || parsed.port_u16() == Some(0) {
            return Err(whole.to_owned());
        }
        let port = parsed.port_u16().unwrap_or(security.default_port());
        UpstreamAddress::new(security, parsed.host(), port)
            .map(Self)
            .map_err(|_| whole.to_owned())
    }

    fn text(&self) -> String {
        self.0.text()
    }
}

/// The name that a certificate must be for. Never empty: nothing would be verified.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerNameText(pub ServerName<'static>);

impl TextValue for ServerNameText {
    const FORMAT: &'static str = "server-name";
    const EXPECTED: &'static str = "the host name or IP address that the upstream's certificate is for";

    fn parse(text: &str) -> Result<Self, String> {
        ServerName::try_from(text.to_owned())
            .map(Self)
            .map_err(|_| "write a name such as app.internal, or an IP address".to_owned())
    }

    fn text(&self) -> String {
        self.0.to_str().into_owned()
    }
}

/// SHA-256 of a public key, in Base64.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PinText(pub KeyPin);

impl TextValue for PinText {
    const FORMAT: &'static str = "key-pin";
    const EXPECTED: &'static str = "the SHA-256 of a public key, as 44 letters of Base64";

    fn parse(text: &str) -> Result<Self, String> {
        let bytes = BASE64_STANDARD.decode(text).ok();
        let digest = bytes.and_then(|bytes| <[u8; 32]>::try_from(bytes).ok());
        digest.map(|digest| Self(KeyPin(digest))).ok_or_else(|| {
            "make one with: openssl x509 -in cert.pem -noout -pubkey | openssl pkey -pubin -outform DER | \
             openssl dgst -sha256 -binary | base64"
                .to_owned()
        })
    }

    fn text(&self) -> String {
        BASE64_STANDARD.encode(self.0.0)
    }
}

/// Where something is fetched from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FetchUrl(pub String);

impl TextValue for FetchUrl {
    const FORMAT: &'static str = "fetch-url";
    const EXPECTED: &'static str = "an address such as https://idp.example.com/jwks";

    fn parse(text: &str) -> Result<Self, String> {
        let uri: http::Uri = text
            .parse()
            .map_err(|_| "write a whole http:// or https:// address".to_owned())?;
        let authority = uri.authority().map_or("", |a| a.as_str());
        match uri.scheme_str() {
            _ if authority.is_empty() => Err("write a whole http:// or https:// address".to_owned()),
            _ if authority.contains('@') => Err("remove the user name and password".to_owned()),
            Some("https" | "http") => Ok(Self(text.to_owned())),
            _ => Err("begin with https:// or http://".to_owned()),
        }
    }

    fn text(&self) -> String {
        self.0.clone()
    }
}

/// Which store: `sqlite:` and the path of its file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoreUrl(pub String);

impl TextValue for StoreUrl {
    const FORMAT: &'static str = "store-url";
    const EXPECTED: &'static str = "sqlite: and the path of a file, such as sqlite:data/doorward.db";

    fn parse(text: &str) -> Result<Self, String> {
        match text.strip_prefix("sqlite:") {
            None => Err("begin with sqlite:, the only store there is".to_owned()),
            Some("" | ":memory:") => {
                Err("name a file: a store in memory would forget revocations".to_owned())
            }
            Some(path) if path.starts_with("//") => {
                Err(format!("write sqlite:{}", path.trim_start_matches("//")))
            }
            Some(path) if path.contains(['?', '#']) => Err("remove everything from ? or # on".to_owned()),
            Some(path) => Ok(Self(path.to_owned())),
        }
    }

    fn text(&self) -> String {
        format!("sqlite:{}", self.0)
    }
}
