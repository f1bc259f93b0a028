//! Whom an upstream's TLS believes. The handshakes run in memory.

use std::sync::Arc;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, Issuer, KeyPair};
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{ClientConnection, HandshakeKind, RootCertStore, ServerConfig, ServerConnection};
use sha2::{Digest, Sha256};

use super::*;
use crate::edge::proxy::upstream::{Security, UpstreamAddress};

type Authority = CertifiedIssuer<'static, KeyPair>;

fn authority() -> Authority {
    let mut params = CertificateParams::new(Vec::new()).expect("parameters");
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    CertifiedIssuer::self_signed(params, KeyPair::generate().expect("a key")).expect("a certificate")
}

struct Leaf {
    certificate: CertificateDer<'static>,
    key: PrivateKeyDer<'static>,
    pin: KeyPin,
}

fn leaf(issuer: &Issuer<'_, KeyPair>, name: &str, year_of_end: i32) -> Leaf {
    leaf_between(issuer, name, 2000, year_of_end)
}

fn leaf_between(issuer: &Issuer<'_, KeyPair>, name: &str, first_year: i32, year_of_end: i32) -> Leaf {
    let mut params = CertificateParams::new(vec![name.to_owned()]).expect("parameters");
    params.not_before = rcgen::date_time_ymd(first_year, 1, 1);
    params.not_after = rcgen::date_time_ymd(year_of_end, 1, 1);
    let key = KeyPair::generate().expect("a key");
    let certificate = params.signed_by(&key, issuer).expect("a certificate");
    Leaf {
        pin: KeyPin(Sha256::digest(rcgen::PublicKeyData::subject_public_key_info(&key)).into()),
        certificate: certificate.der().clone(),
        key: PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der())),
    }
}

fn server(leaf: &Leaf, clients: Option<&Authority>) -> Arc<ServerConfig> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = ServerConfig::builder_with_provider(provider.clone())
        .with_safe_default_protocol_versions()
        .expect("versions");
    let builder = match clients {
        None => builder.with_no_client_auth(),
        Some(authority) => {
            let mut roots = RootCertStore::empty();
            roots.add(authority.der().clone()).expect("a root");
            let verifier = WebPkiClientVerifier::builder_with_provider(roots.into(), provider)
                .build()
                .expect("a verifier");
            builder.with_client_cert_verifier(verifier)
        }
    };
    let config = builder.with_single_cert(vec![leaf.certificate.clone()], leaf.key.clone_key());
    Arc::new(config.expect("a server"))
}

/// Shakes hands in memory: how it went for the client and the server.
fn shake(client: &ClientTls, address: &str, server: &Arc<ServerConfig>) -> Result<HandshakeKind, Error> {
    let address = UpstreamAddress::new(Security::Tls, address, 443).expect("an address");
    let name = client
        .name_of(&address)
        .map_err(|e| Error::General(e.to_string()))?;
    let mut client = ClientConnection::new(client.config.clone(), name)?;
    let mut server = ServerConnection::new(server.clone())?;
    for _ in 0..10 {
        let mut bytes = Vec::new();
        while client.wants_write() {
            client.write_tls(&mut bytes).expect("written");
        }
        let mut rest = bytes.as_slice();
        while !rest.is_empty() {
            server.read_tls(&mut rest).expect("read");
            server.process_new_packets()?;
        }
        let mut bytes = Vec::new();
        while server.wants_write() {
            server.write_tls(&mut bytes).expect("written");
        }
        let mut rest = bytes.as_slice();
        while !rest.is_empty() {
            client.read_tls(&mut rest).expect("read");
            client.process_new_packets()?;
        }
    }
    assert!(!client.is_handshaking() && !server.is_handshaking());
    Ok(client.handshake_kind().expect("done"))
}

fn given(authority: &Authority) -> TlsSettings {
    TlsSettings {
        roots: Roots::Given(vec![authority.der().clone()]),
        ..TlsSettings::default()
    }
}

#[test]
fn the_certificate_is_verified_and_always_for_a_name() {
    let (ours, theirs) = (authority(), authority());
    let good = leaf(&ours, "app.internal", 2100);
    let by_address = leaf(&ours, "10.0.0.1", 2100);
    let expired = leaf(&ours, "app.internal", 2001);
    let early = leaf_between(&ours, "app.internal", 2090, 2100);
    let foreign = leaf(&theirs, "app.internal", 2100);
    let named = |name: &str| TlsSettings {
        server_name: Some(ServerName::try_from(name.to_owned()).expect("a name")),
        ..given(&ours)
    };
    let pinned = |pins: &[KeyPin]| TlsSettings {
        pins: pins.to_vec(),
        ..given(&ours)
    };
    for (settings, host, leaf, good, why) in [
        (
            given(&ours),
            "app.internal",
            &good,
            true,
            "signed by ours, for this name",
        ),
        (given(&ours), "other.internal", &good, false, "for another name"),
        (
            given(&ours),
            "10.0.0.2",
            &good,
            false,
            "for a name, not for this address",
        ),
        (given(&ours), "10.0.0.1", &by_address, true, "for this address"),
        (
            given(&ours),
            "10.0.0.2",
            &by_address,
            false,
            "for another address",
        ),
        (
            named("app.internal"),
            "10.0.0.2",
            &good,
            true,
            "for the name that was set",
        ),
        (
            named("x.internal"),
            "app.internal",
            &good,
            false,
            "the name that was set rules",
        ),
        (given(&ours), "app.internal", &expired, false, "expired"),
        (given(&ours), "app.internal", &early, false, "not valid yet"),
        (
            given(&ours),
            "app.internal",
            &foreign,
            false,
            "signed by somebody else",
        ),
        (
            given(&theirs),
            "app.internal",
            &good,
            false,
            "we believe somebody else",
        ),
        (
            TlsSettings::default(),
            "app.internal",
            &good,
            false,
            "not one of the system's",
        ),
        (
            pinned(&[foreign.pin, good.pin]),
            "app.internal",
            &good,
            true,
            "one of the pinned keys",
        ),
        (
            pinned(&[foreign.pin]),
            "app.internal",
            &good,
            false,
            "another key",
        ),
        (
            pinned(&[foreign.pin]),
            "app.internal",
            &foreign,
            false,
            "a pin does not make up for the rest",
        ),
        (
            pinned(&[good.pin]),
            "other.internal",
            &good,
            false,
            "nor for the name",
        ),
    ] {
        let client = ClientTls::new(&settings, &[]).expect("set up");
        let shaken = shake(&client, host, &server(leaf, None));
        assert_eq!(shaken.is_ok(), good, "{why}: {shaken:?}");
    }
}

#[test]
fn an_upstream_that_wants_our_certificate_gets_it() {
    let (ours, theirs) = (authority(), authority());
    let app = leaf(&ours, "app.internal", 2100);
    let server = server(&app, Some(&ours));
    for (signer, accepted) in [(Some(&ours), true), (Some(&theirs), false), (None, false)] {
        let identity = signer.map(|signer| {
            let leaf = leaf(signer, "doorward", 2100);
            ClientIdentity {
                chain: vec![leaf.certificate],
                key: leaf.key,
            }
        });
        let settings = TlsSettings {
            identity,
            ..given(&ours)
        };
        assert!(!format!("{settings:?}").contains("Pkcs8"), "keys are not shown");
        let client = ClientTls::new(&settings, &[]).expect("set up");
        assert_eq!(shake(&client, "app.internal", &server).is_ok(), accepted);
    }
}

#[test]
fn sessions_are_resumed_until_the_setting_is_exchanged() {
    let ours = authority();
    let app = leaf(&ours, "app.internal", 2100);
    let server = server(&app, None);
    let client = ClientTls::new(&given(&ours), &[]).expect("set up");
    let kinds: Vec<_> = (0..2).map(|_| shake(&client, "app.internal", &server)).collect();
    assert_eq!(kinds[1], Ok(HandshakeKind::Resumed), "{kinds:?}");
    let client = ClientTls::new(&given(&ours), &[]).expect("set up again");
    let anew = shake(&client, "app.internal", &server).expect("shaken");
    assert_ne!(anew, HandshakeKind::Resumed);
}

/// Shows one certificate and signs with the key of another.
#[derive(Debug)]
struct Impostor(Arc<rustls::sign::CertifiedKey>);

impl rustls::server::ResolvesServerCert for Impostor {
    fn resolve(&self, _: rustls::server::ClientHello<'_>) -> Option<Arc<rustls::sign::CertifiedKey>> {
        Some(self.0.clone())
    }
}

#[test]
fn who_shows_a_good_certificate_without_having_its_key_is_refused() {
    let ours = authority();
    let (app, other) = (leaf(&ours, "app.internal", 2100), leaf(&ours, "other", 2100));
    let client = ClientTls::new(&given(&ours), &[]).expect("set up");
    for version in [&rustls::version::TLS12, &rustls::version::TLS13] {
        for (signer, good) in [(&app, true), (&other, false)] {
            let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
            let key = provider.key_provider.load_private_key(signer.key.clone_key());
            let shown = rustls::sign::CertifiedKey::new(vec![app.certificate.clone()], key.expect("a key"));
            let server = ServerConfig::builder_with_provider(provider)
                .with_protocol_versions(&[version])
                .expect("a version")
                .with_no_client_auth()
                .with_cert_resolver(Arc::new(Impostor(shown.into())));
            let shaken = shake(&client, "app.internal", &Arc::new(server));
            assert_eq!(shaken.is_ok(), good, "{version:?}: {shaken:?}");
        }
    }
}

#[test]
fn a_ca_that_cannot_be_one_and_none_at_all_are_told_before_anybody_connects() {
    let with = |roots| TlsSettings {
        roots: Roots::Given(roots),
        ..TlsSettings::default()
    };
    let garbage = CertificateDer::from(vec![0x30, 0x03, 0x02, 0x01, 0x01]);
    let both = vec![authority().der().clone(), garbage];
    let error = ClientTls::new(&with(both), &[]).expect_err("one is none");
    assert!(matches!(error, TlsSetupError::BadRoot(_)), "{error}");
    let error = ClientTls::new(&with(Vec::new()), &[]).expect_err("nobody could be believed");
    assert!(matches!(error, TlsSetupError::NoSystemRoots), "{error}");
}
