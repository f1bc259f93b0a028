//! Opens a stream to one endpoint: connects, and greets by TLS where the target wants it. Has no deadline and
//! counts nothing; callers do.

use std::io;

use rustls::HandshakeKind;
use tokio::net::{TcpStream, UnixStream};
use tokio_rustls::TlsConnector;

use super::address::Security;
use super::directory::{Directory, HTTP2};
use super::endpoint::{Door, Endpoint};
use super::settings::Protocol;
use super::stream::Stream;

/// Why no stream was opened.
#[derive(Debug, thiserror::Error)]
pub enum DialError {
    /// Nothing takes connections there.
    #[error("connecting failed: {0}")]
    Unreachable(#[source] io::Error),
    /// Something does, but it is not whom we expect, or does not speak TLS.
    #[error("the TLS handshake failed: {0}")]
    Tls(#[source] io::Error),
}

/// An open stream.
#[derive(Debug)]
pub struct Dialed {
    /// The stream.
    pub stream: Stream,
    /// Which version of HTTP is spoken on it.
    pub version: HttpVersion,
    /// Whether a TLS session was resumed; `None` without TLS.
    pub handshake: Option<HandshakeKind>,
}

/// Which version of HTTP is spoken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HttpVersion {
    /// HTTP/1.1.
    One,
    /// HTTP/2.
    Two,
}

/// Opens a stream to this endpoint of the upstream, in whichever version its settings ask for.
pub async fn dial(directory: &Directory, endpoint: &Endpoint) -> Result<Dialed, DialError> {
    open(directory, endpoint, directory.settings().protocol).await
}

/// Opens a stream on which HTTP/1.1 is spoken, even where either version could be.
pub async fn dial_http1(directory: &Directory, endpoint: &Endpoint) -> Result<Dialed, DialError> {
    open(directory, endpoint, Protocol::Http1).await
}

async fn open(directory: &Directory, endpoint: &Endpoint, protocol: Protocol) -> Result<Dialed, DialError> {
    let in_the_open = |stream| Dialed {
        stream,
        version: match protocol {
            Protocol::Http2 => HttpVersion::Two,
            Protocol::Http1 | Protocol::Auto => HttpVersion::One,
        },
        handshake: None,
    };
    let tcp = match endpoint.door() {
        Door::Unix(path) => {
            let stream = UnixStream::connect(path).await.map_err(DialError::Unreachable)?;
            return Ok(in_the_open(Stream::Unix(stream)));
        }
        Door::Tcp(address) => TcpStream::connect(address)
            .await
            .map_err(DialError::Unreachable)?,
    };
    tcp.set_nodelay(true).map_err(DialError::Unreachable)?;
    let target = directory.settings().targets.get(endpoint.target());
    let secure = target.filter(|t| t.address.security() == Security::Tls);
    let (Some(tls), Some(target)) = (directory.tls(), secure) else {
        return Ok(in_the_open(Stream::Tcp(tcp)));
    };
    let name = tls
        .name_of(&target.address)
        .map_err(|error| DialError::Tls(io::Error::other(error)))?;
    let connector = TlsConnector::from(match (protocol, directory.settings().protocol) {
        (Protocol::Http1, Protocol::Auto | Protocol::Http2) => tls.http1_only(),
        _ => tls.config.clone(),
    });
    let stream = connector.connect(name, tcp).await.map_err(DialError::Tls)?;
    let session = stream.get_ref().1;
    let version = match (protocol, session.alpn_protocol()) {
        (Protocol::Http2 | Protocol::Auto, Some(HTTP2)) => HttpVersion::Two,
        (Protocol::Http2, _) => return Err(DialError::Tls(io::Error::other("HTTP/2 was not agreed on"))),
        (Protocol::Http1 | Protocol::Auto, _) => HttpVersion::One,
    };
    Ok(Dialed {
        version,
        handshake: session.handshake_kind(),
        stream: Stream::Tls(Box::new(stream)),
    })
}
