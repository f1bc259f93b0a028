//! Which version of HTTP an upstream over TLS is spoken to in: what was agreed on, and nothing where that is not
//! what the settings ask for.

use std::sync::Arc;

use rustls::ServerConfig;
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use tokio::io::AsyncReadExt;
use tokio_rustls::TlsAcceptor;

use super::support::{World, on_a_data_thread, patient};
use crate::edge::proxy::ConnectionSettings;
use crate::edge::proxy::upstream::tls::{Roots, TlsSettings};
use crate::edge::proxy::upstream::{Place, Protocol, Security, UpstreamAddress, UpstreamSettings};
use crate::runtime::workers::spawn_here;
use crate::telemetry::labels::UpstreamFailure;

/// The first bytes of HTTP/2 and of a request of HTTP/1.
const PREFACE: &[u8] = b"PRI";
const GET: &[u8] = b"GET";

/// What the settings ask for, what the upstream offers, how what it is sent begins (`None`: nothing is), and why.
type Row = (
    Protocol,
    &'static [&'static [u8]],
    Option<&'static [u8]>,
    &'static str,
);

#[test]
fn nothing_is_sent_in_a_version_of_http_that_was_not_agreed_on() {
    use Protocol::{Auto, Http1, Http2};
    let made = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).expect("a certificate");
    let roots = vec![made.cert.der().clone()];
    let server = |protocols: &[&[u8]]| {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(made.signing_key.serialize_der()));
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("versions")
            .with_no_client_auth()
            .with_single_cert(roots.clone(), key)
            .expect("a server");
        config.alpn_protocols = protocols.iter().map(|p| p.to_vec()).collect();
        TlsAcceptor::from(Arc::new(config))
    };
    let rows: [Row; 8] = [
        (Http2, &[b"h2"], Some(PREFACE), "agreed"),
        (Http2, &[], None, "an upstream without ALPN"),
        (Http2, &[b"http/1.1"], None, "one that speaks HTTP/1.1 alone"),
        (Auto, &[b"h2"], Some(PREFACE), "agreed"),
        (Auto, &[b"http/1.1"], Some(GET), "agreed"),
        (Auto, &[], Some(GET), "without an agreement it is HTTP/1.1"),
        (Http1, &[], Some(GET), "it need not agree to HTTP/1.1"),
        (Http1, &[b"h2"], None, "one that speaks HTTP/2 alone"),
    ];
    for (protocol, offered, begins, why) in rows {
        let acceptor = server(offered);
        on_a_data_thread(async {
            let adapt = |settings: &mut UpstreamSettings| {
                let Place::Ip(address) = *settings.targets[0].address.place() else {
                    panic!("an address")
                };
                let over_tls = UpstreamAddress::new(Security::Tls, "127.0.0.1", address.port());
                settings.targets[0].address = over_tls.expect("an address");
                settings.protocol = protocol;
                settings.tls = Arc::new(TlsSettings {
                    roots: Roots::Given(roots.clone()),
                    ..TlsSettings::default()
                });
            };
            let mut world = World::with(ConnectionSettings::default(), adapt).await;
            let failures = world.metrics.for_upstream("api").failures;
            let listener = world.take_upstream();
            let (tell, told) = tokio::sync::oneshot::channel();
            spawn_here(async move {
                let (socket, _) = listener.accept().await.expect("a connection");
                let mut first = Vec::new();
                if let Ok(stream) = acceptor.accept(socket).await {
                    // The end is as good as an answer; a reset as well.
                    let _ = stream.take(3).read_to_end(&mut first).await;
                }
                let _ = tell.send(first);
            });
            let mut client = world.client();
            client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
            let first = patient(told).await.expect("told");
            assert_eq!(first, begins.unwrap_or_default(), "{why}: {protocol:?}");
            if begins.is_none() {
                let (head, body) = client.answer().await;
                assert!(
                    head.starts_with("HTTP/1.1 502") && body.contains("upstream_unreachable"),
                    "{why}: {head}{body}"
                );
                assert_eq!(failures.count(UpstreamFailure::TlsFailed), 1, "{why}");
            }
        });
    }
}
