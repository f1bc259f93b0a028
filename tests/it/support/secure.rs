//! A TLS client of tokio's kind that believes one authority, for clients of other protocols to stand on.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::pki::Authority;

/// The name that the certificate of [`listener`] is for.
pub const NAME: &str = "app.example";

/// A TLS listener in YAML's flow style; its files are put into the folder.
pub fn listener(folder: &Path, authority: &Authority) -> String {
    authority.write(folder, "app", NAME);
    let here = folder.display();
    format!(
        "{{ name: public, address: 127.0.0.1:0, tls: {{ certificates: \
         [{{ cert_file: {here}/app.pem, key_file: {here}/app.key }}] }} }}"
    )
}

/// What speaks TLS as a client and offers this protocol.
pub fn connector(authority: &Authority, protocol: &[u8]) -> TlsConnector {
    let mut roots = RootCertStore::empty();
    let pem = authority.pem();
    let root = CertificateDer::from_pem_slice(pem.as_bytes()).expect("a certificate");
    roots.add(root).expect("added");
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![protocol.to_vec()];
    TlsConnector::from(Arc::new(config))
}

/// A connection to such a listener.
pub async fn connect(connector: TlsConnector, address: SocketAddr) -> std::io::Result<TlsStream<TcpStream>> {
    let stream = TcpStream::connect(address).await?;
    let name = ServerName::try_from(NAME).expect("a name");
    connector.connect(name, stream).await
}
