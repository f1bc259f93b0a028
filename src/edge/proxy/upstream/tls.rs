//! TLS to upstreams: whom we believe, who we are, and under which name the other side must stand (S20).
//!
//! TLS 1.2 and 1.3 on rustls with aws-lc-rs. The certificate is always verified, and always against a name: there is no
//! switch that skips either. A public-key pin narrows this further, it replaces nothing. One client
//! configuration per upstream serves all threads, so that sessions are resumed whichever thread connects.
//! Reads no file (`config` does).

use std::fmt;
use std::sync::Arc;

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{CertificateError, ClientConfig, DigitallySignedStruct, Error, RootCertStore, SignatureScheme};
use sha2::{Digest, Sha256};

use super::address::{Place, UpstreamAddress};

/// How an upstream's TLS is set up.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TlsSettings {
    /// Who may sign the upstream's certificate.
    pub roots: Roots,
    /// Who we are, to an upstream that asks.
    pub identity: Option<ClientIdentity>,
    /// The name its certificate must be for; `None`: the host of its address.
    pub server_name: Option<ServerName<'static>>,
    /// Public keys of which its certificate must have one; empty: any.
    pub pins: Vec<KeyPin>,
}

/// Who may sign an upstream's certificate.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Roots {
    /// Whom the system believes.
    #[default]
    System,
    /// These alone.
    Given(Vec<CertificateDer<'static>>),
}

/// A certificate of ours and its key.
#[derive(PartialEq, Eq)]
pub struct ClientIdentity {
    /// The chain, ours first.
    pub chain: Vec<CertificateDer<'static>>,
    /// Its key.
    pub key: PrivateKeyDer<'static>,
}

impl Clone for ClientIdentity {
    fn clone(&self) -> Self {
        Self {
            chain: self.chain.clone(),
            key: self.key.clone_key(),
        }
    }
}

impl fmt::Debug for ClientIdentity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClientIdentity").finish_non_exhaustive()
    }
}

/// SHA-256 of a public key as it stands in a certificate (its `SubjectPublicKeyInfo`, RFC 7469 section 2.4).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KeyPin(pub [u8; 32]);

/// Why no TLS can be set up.
#[derive(Debug, thiserror::Error)]
pub enum TlsSetupError {
    /// The system names nobody.
    #[error("this system has no trusted certificates; install its CA certificates or set ca_file")]
    NoSystemRoots,
    /// A given CA certificate is none.
    #[error("a CA certificate cannot be used: {0}")]
    BadRoot(#[source] Error),
    /// The certificate of ours, or its key, cannot be used.
    #[error("the client certificate cannot be used: {0}")]
    BadIdentity(#[source] Error),
    /// A target has no name that a certificate could be for.
    #[error("{0} has no name that a certificate could be for; set server_name")]
    NoName(String),
    /// The library refused the rest.
    #[error("TLS cannot be set up: {0}")]
    Refused(#[source] Error),
}

/// What a connection needs to speak TLS to an upstream.
#[derive(Debug)]
pub struct ClientTls {
    /// Shared by all threads; holds the sessions to resume.
    pub config: Arc<ClientConfig>,
    name: Option<ServerName<'static>>,
}

impl ClientTls {
    /// Sets TLS up. `protocols`: what ALPN offers, best first (RFC 7301).
    pub fn new(settings: &TlsSettings, protocols: &[&[u8]]) -> Result<Self, TlsSetupError> {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let roots = Arc::new(roots(&settings.roots)?);
        let chain = WebPkiServerVerifier::builder_with_provider(roots, Arc::clone(&provider))
            .build()
            .map_err(|error| TlsSetupError::Refused(Error::General(error.to_string())))?;
        let verifier = PinnedVerifier {
            chain,
            pins: settings.pins.clone(),
        };
        let builder = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(TlsSetupError::Refused)?
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(verifier));
        let mut config = match &settings.identity {
            None => builder.with_no_client_auth(),
            Some(identity) => builder
                .with_client_auth_cert(identity.chain.clone(), identity.key.clone_key())
                .map_err(TlsSetupError::BadIdentity)?,
        };
        config.alpn_protocols = protocols.iter().map(|p| p.to_vec()).collect();
        Ok(Self {
            config: Arc::new(config),
            name: settings.server_name.clone(),
        })
    }

    /// The same, but offering HTTP/1.1 alone. Sessions are shared.
    pub fn http1_only(&self) -> Arc<ClientConfig> {
        let mut config = ClientConfig::clone(&self.config);
        config.alpn_protocols = vec![super::directory::HTTP1.to_vec()];
        Arc::new(config)
    }

    /// The name that the certificate of this target must be for.
    pub fn name_of(&self, address: &UpstreamAddress) -> Result<ServerName<'static>, TlsSetupError> {
        if let Some(name) = &self.name {
            return Ok(name.clone());
        }
        let none = || TlsSetupError::NoName(address.text());
        match address.place() {
            Place::Ip(address) => Ok(ServerName::IpAddress(address.ip().into())),
            Place::Name { host, .. } => ServerName::try_from(host.to_string()).map_err(|_| none()),
            Place::Unix(_) => Err(none()),
        }
    }
}

fn roots(wanted: &Roots) -> Result<RootCertStore, TlsSetupError> {
    let mut store = RootCertStore::empty();
    match wanted {
        Roots::Given(roots) => {
            for root in roots {
                store.add(root.clone()).map_err(TlsSetupError::BadRoot)?;
            }
        }
        // A single one that cannot be read is the system's business, and the others still hold.
        Roots::System => {
            store.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        }
    }
    match store.is_empty() {
        true => Err(TlsSetupError::NoSystemRoots),
        false => Ok(store),
    }
}

/// Verifies as the web does, then asks for one of the pinned keys.
#[derive(Debug)]
struct PinnedVerifier {
    chain: Arc<WebPkiServerVerifier>,
    pins: Vec<KeyPin>,
}

impl ServerCertVerifier for PinnedVerifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let verified =
            self.chain
                .verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now)?;
        if !self.pins.is_empty() {
            let key = ParsedCertificate::try_from(end_entity)?.subject_public_key_info();
            if !self.pins.contains(&KeyPin(Sha256::digest(&key).into())) {
                return Err(Error::InvalidCertificate(
                    CertificateError::ApplicationVerificationFailure,
                ));
            }
        }
        Ok(verified)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.chain.verify_tls12_signature(message, certificate, signed)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.chain.verify_tls13_signature(message, certificate, signed)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.chain.supported_verify_schemes()
    }
}

#[cfg(test)]
#[path = "tls_tests.rs"]
mod tests;
