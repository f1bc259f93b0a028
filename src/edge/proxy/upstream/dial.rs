//! Opens a stream to one endpoint: connects, and greets by TLS where the target wants it. Has no deadline and
//! counts nothing; callers do.

use std::io;

use rustls::HandshakeKind;
use tokio::net::{TcpStream, UnixStream};
use tokio_rustls::TlsConnector;

use super::address::Security;
use super::directory::Directory;
use super::endpoint::{Door, Endpoint};
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
    /// Whether a TLS session was resumed; `None` without TLS.
    pub handshake: Option<HandshakeKind>,
}

/// Opens a stream to this endpoint of the upstream.
pub async fn dial(directory: &Directory, endpoint: &Endpoint) -> Result<Dialed, DialError> {
    let tcp = match endpoint.door() {
        Door::Unix(path) => {
            let stream = UnixStream::connect(path).await.map_err(DialError::Unreachable)?;
            return Ok(Dialed {
                stream: Stream::Unix(stream),
                handshake: None,
            });
        }
        Door::Tcp(address) => TcpStream::connect(address)
            .await
            .map_err(DialError::Unreachable)?,
    };
    tcp.set_nodelay(true).map_err(DialError::Unreachable)?;
    let target = directory.settings().targets.get(endpoint.target());
    let (Some(tls), Some(target)) = (
        directory.tls(),
        target.filter(|t| t.address.security() == Security::Tls),
    ) else {
        return Ok(Dialed {
            stream: Stream::Tcp(tcp),
            handshake: None,
        });
    };
    let name = tls
        .name_of(&target.address)
        .map_err(|error| DialError::Tls(io::Error::other(error)))?;
    let connector = TlsConnector::from(tls.config.clone());
    let stream = connector.connect(name, tcp).await.map_err(DialError::Tls)?;
    Ok(Dialed {
        handshake: stream.get_ref().1.handshake_kind(),
        stream: Stream::Tls(Box::new(stream)),
    })
}
