//! TLS on a listener: 1.2 and 1.3 by rustls on aws-lc-rs, terminated on the data thread that serves the
//! connection (SECURITY S20).
//!
//! The post-quantum key exchange X25519MLKEM768 is preferred where the client knows it. Sessions are resumed by
//! tickets whose key changes by itself; nothing is kept for a client between its connections, and no request
//! is taken from early data. Which certificate is shown is `certificates`' business; the store of them can be
//! exchanged while connections run.

mod certificate;
mod certificates;

use std::sync::Arc;
use std::time::Duration;

use rustls::crypto::aws_lc_rs;
use rustls::server::NoServerSessionStorage;
use rustls::{ServerConfig, SupportedProtocolVersion, version};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

pub use certificate::{BadCertificate, Certificate, Validity};
pub use certificates::{CertificateStore, Certificates};

use crate::edge::proxy::{Http2Settings, Protocol};
use certificates::Shown;

/// How long a client may take for the handshake.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(5);
/// Bytes to be encrypted that a connection may hold.
const MAX_BUFFER: usize = 64 * 1024;

const H2: &[u8] = b"h2";
const HTTP_1_1: &[u8] = b"http/1.1";

/// The oldest version that is spoken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum MinVersion {
    /// TLS 1.2 (RFC 5246).
    #[default]
    Tls12,
    /// TLS 1.3 (RFC 8446).
    Tls13,
}

/// TLS as it was configured.
#[derive(Debug, Clone)]
pub struct TlsSettings {
    /// What clients are shown.
    pub certificates: Certificates,
    /// The oldest version.
    pub min_version: MinVersion,
}

/// TLS as it is spoken. Clones share the certificates.
#[derive(Clone)]
pub struct Tls {
    acceptor: TlsAcceptor,
    handshake_timeout: Duration,
    store: Arc<CertificateStore>,
}

impl std::fmt::Debug for Tls {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tls")
            .field("store", &self.store)
            .finish_non_exhaustive()
    }
}

/// A connection whose handshake is done.
pub(super) struct Accepted<S> {
    pub(super) stream: TlsStream<S>,
    pub(super) protocol: Protocol,
    pub(super) shown: Shown,
}

impl Tls {
    /// Makes ready to accept. Fails only when the system has no randomness or the library no such version.
    pub fn new(settings: &TlsSettings, http2: Option<Http2Settings>) -> Result<Self, rustls::Error> {
        let store = Arc::new(CertificateStore::new(settings.certificates.clone()));
        let versions: &[&'static SupportedProtocolVersion] = match settings.min_version {
            MinVersion::Tls12 => &[&version::TLS13, &version::TLS12],
            MinVersion::Tls13 => &[&version::TLS13],
        };
        let provider = Arc::new(aws_lc_rs::default_provider());
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_protocol_versions(versions)?
            .with_no_client_auth()
            .with_cert_resolver(store.clone());
        config.alpn_protocols = http2
            .map(|_| H2)
            .into_iter()
            .chain([HTTP_1_1])
            .map(<[u8]>::to_vec)
            .collect();
        config.session_storage = Arc::new(NoServerSessionStorage {});
        config.ticketer = aws_lc_rs::Ticketer::new()?;
        Ok(Self {
            acceptor: TlsAcceptor::from(Arc::new(config)),
            handshake_timeout: HANDSHAKE_TIMEOUT,
            store,
        })
    }

    /// Where the certificates can be exchanged.
    pub fn store(&self) -> &Arc<CertificateStore> {
        &self.store
    }

    /// Shakes hands. `None`: it failed or took too long.
    pub(super) async fn accept<S>(&self, stream: S) -> Option<Accepted<S>>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let shaking = self
            .acceptor
            .accept_with(stream, |connection| connection.set_buffer_limit(Some(MAX_BUFFER)));
        let stream = match tokio::time::timeout(self.handshake_timeout, shaking).await {
            Ok(Ok(stream)) => stream,
            Ok(Err(error)) => {
                tracing::debug!(%error, "a TLS handshake failed");
                return None;
            }
            Err(_) => {
                tracing::debug!("a TLS handshake took too long");
                return None;
            }
        };
        let (_, connection) = stream.get_ref();
        // Without an agreement it is HTTP/1: nobody begins HTTP/2 on TLS unasked (RFC 9113 section 3.2).
        let protocol = match connection.alpn_protocol() {
            Some(H2) => Protocol::Http2,
            _ => Protocol::Http1,
        };
        let shown = Shown::new(self.store.clone(), connection.server_name());
        Some(Accepted {
            stream,
            protocol,
            shown,
        })
    }
}

#[cfg(test)]
mod tests;
