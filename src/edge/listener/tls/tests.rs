//! Certificates that are refused, which one is shown, and handshakes with a client of rustls.

use rcgen::{CertificateParams, KeyPair};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, HandshakeKind, NamedGroup, ProtocolVersion, RootCertStore};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream as ClientStream;

use super::*;
use crate::domain::clock::UnixMillis;
use crate::edge::proxy::Covers;

struct Made {
    cert: String,
    key: String,
}

fn make_with(names: &[&str], algorithm: &'static rcgen::SignatureAlgorithm) -> Made {
    let names = names.iter().map(|n| (*n).to_owned()).collect::<Vec<_>>();
    let params = CertificateParams::new(names).expect("names");
    let key = KeyPair::generate_for(algorithm).expect("a key");
    Made {
        cert: params.self_signed(&key).expect("signed").pem(),
        key: key.serialize_pem(),
    }
}

fn make(names: &[&str]) -> Made {
    make_with(names, &rcgen::PKCS_ECDSA_P256_SHA256)
}

fn read(label: &str, made: &Made) -> Certificate {
    Certificate::read(label, made.cert.as_bytes(), made.key.as_bytes()).expect("good")
}

fn set(made: &[&Made]) -> Certificates {
    let all = made
        .iter()
        .enumerate()
        .map(|(i, made)| read(&i.to_string(), made));
    Certificates::new(all.collect()).expect("not empty")
}

#[test]
fn a_certificate_and_a_key_that_cannot_be_shown_are_refused() {
    use BadCertificate as Bad;
    let (good, other) = (make(&["a.example"]), make(&["a.example"]));
    let cut = good.cert.replacen("MII", "MIJ", 1);
    let no_end = good.cert.replace("-----END CERTIFICATE-----", "");
    let chain = format!("{}{}", other.cert, good.cert);
    let long = good.cert.repeat(17);
    let encrypted = good.key.replace("PRIVATE KEY", "ENCRYPTED PRIVATE KEY");
    let spoilt = good.key.replacen("MIG", "MIH", 1);
    let both = format!("{}{}", good.key, good.cert);
    let many: Vec<String> = (0..1001).map(|n| format!("{n}.example")).collect();
    let many = make(&many.iter().map(String::as_str).collect::<Vec<_>>());
    let der = CertificateDer::from_pem_slice(good.cert.as_bytes()).expect("PEM");
    let pem = |der: &[u8]| {
        let text = base64::Engine::encode(&base64::engine::general_purpose::STANDARD, der);
        format!("-----BEGIN CERTIFICATE-----\n{text}\n-----END CERTIFICATE-----\n")
    };
    let more = pem(&[der.as_ref(), &[0]].concat());
    let damaged_second = format!("{}{}", good.cert, pem(&[0x30, 0x03, 0x02, 0x01, 0x01]));
    #[rustfmt::skip]
    let rows = [
        ("", &good.key[..], Some(Bad::NoCertificate), "an empty file"),
        (&good.key, &good.key, Some(Bad::NoCertificate), "a key in place of the certificate"),
        (&cut, &good.key, Some(Bad::UnreadableCertificate), "a damaged certificate"),
        (&no_end, &good.key, Some(Bad::UnreadableCertificate), "a file that was cut off"),
        (&long, &good.key, Some(Bad::ChainTooLong), "seventeen certificates"),
        (&many.cert, &many.key, Some(Bad::TooManyNames), "a thousand names and one"),
        (&more, &good.key, Some(Bad::UnreadableCertificate), "a byte behind the certificate"),
        (&damaged_second, &good.key, Some(Bad::UnreadableCertificate), "a damaged certificate in the chain"),
        (&good.cert, "", Some(Bad::NoKey), "an empty key file"),
        (&good.cert, &good.cert, Some(Bad::NoKey), "a certificate in place of the key"),
        (&good.cert, &encrypted, Some(Bad::NoKey), "a key that wants a password"),
        (&good.cert, &spoilt, Some(Bad::UnusableKey), "a damaged key"),
        (&good.cert, &other.key, Some(Bad::OtherKey), "the key of another certificate"),
        (&chain, &good.key, Some(Bad::OtherKey), "a chain in the wrong order"),
        (&both, &both, None, "both in one file"),
    ];
    for (cert, key, expected, why) in rows {
        let found = Certificate::read("f", cert.as_bytes(), key.as_bytes()).err();
        assert_eq!(found, expected, "{why}");
    }
}

#[test]
fn a_certificate_is_good_from_its_beginning_to_its_end_and_two_weeks_before_it_that_is_told() {
    const DAY: i64 = 24 * 3600;
    let mut params = CertificateParams::new(vec!["a.example".to_owned()]).expect("names");
    params.not_before = rcgen::date_time_ymd(2030, 1, 1);
    params.not_after = rcgen::date_time_ymd(2030, 3, 1);
    let key = KeyPair::generate().expect("a key");
    let made = Made {
        cert: params.self_signed(&key).expect("signed").pem(),
        key: key.serialize_pem(),
    };
    let certificate = read("a", &made);
    let (begins, ends) = (1_893_456_000, 1_898_553_600);
    for (at, expected, why) in [
        (begins - 1, Validity::NotYet, "a second too early"),
        (begins, Validity::Good, "its first second belongs to it"),
        (
            ends - 14 * DAY - 1,
            Validity::Good,
            "more than two weeks are left",
        ),
        (ends - 14 * DAY, Validity::EndsSoon, "two weeks are left"),
        (ends, Validity::EndsSoon, "its last second belongs to it"),
        (ends + 1, Validity::Ended, "a second too late"),
    ] {
        assert_eq!(certificate.validity(UnixMillis::from_secs(at)), expected, "{why}");
    }
}

#[test]
fn a_connection_is_not_used_for_a_host_that_has_another_certificate() {
    let first = make(&["a.example", "b.example"]);
    let wild = make(&["*.Wild.example", "b.example"]);
    let store = Arc::new(CertificateStore::new(set(&[&first, &wild])));
    #[rustfmt::skip]
    let rows = [
        (Some("a.example"), "a.example", true, "the name itself"),
        (Some("a.example"), "A.Example:8443", true, "in capitals, with a port"),
        (Some("a.example"), "a.example.", true, "with the root's dot"),
        (Some("a.example"), "b.example", true, "another name of the same certificate"),
        (Some("a.example"), "x.wild.example", false, "a name of the other certificate"),
        (Some("a.example"), "x.wild.example:8443", false, "the same with a port"),
        (Some("a.example"), "X.WILD.Example", false, "the same in capitals"),
        (Some("a.example"), "x.wild.example.", false, "the same with the root's dot"),
        (Some("x.wild.example"), "y.wild.example", true, "both below the same wildcard"),
        (Some("x.wild.example"), "a.example", false, "back to the first"),
        (Some("x.wild.example"), "b.example", true, "a name that both have"),
        (Some("x.wild.example"), "unknown.example", true, "a name that nobody has: the routes judge"),
        (Some("unknown.example"), "x.wild.example", false, "shown the default, asks for the other"),
        (Some("unknown.example"), "a.example", true, "shown the default, asks for it"),
        (None, "x.wild.example", false, "no name in the handshake: the default was shown"),
        (None, "[::1]:8443", true, "an address"),
        (None, "127.0.0.1", true, "an address"),
        (Some("a.example"), "wild.example", true, "a wildcard stands for one label, not for none"),
        (Some("a.example"), "x.y.wild.example", true, "nor for two"),
    ];
    for (opened_for, host, expected, why) in rows {
        let shown = Shown::new(store.clone(), opened_for);
        assert_eq!(shown.covers(host), expected, "{opened_for:?} {host}: {why}");
    }
}

/// A client that trusts these.
fn client(trusted: &[&Made], alpn: &[&[u8]]) -> Arc<ClientConfig> {
    let mut roots = RootCertStore::empty();
    for made in trusted {
        let der = CertificateDer::from_pem_slice(made.cert.as_bytes()).expect("PEM");
        roots.add(der).expect("a root");
    }
    let provider = Arc::new(aws_lc_rs::default_provider());
    let builder = ClientConfig::builder_with_provider(provider);
    let builder = builder.with_safe_default_protocol_versions().expect("versions");
    let mut config = builder.with_root_certificates(roots).with_no_client_auth();
    config.alpn_protocols = alpn.iter().map(|a| a.to_vec()).collect();
    Arc::new(config)
}

type Met = (
    std::io::Result<ClientStream<DuplexStream>>,
    Option<Accepted<DuplexStream>>,
);

async fn meet(tls: &Tls, client: &Arc<ClientConfig>, name: &'static str) -> Met {
    let (ours, theirs) = tokio::io::duplex(64 * 1024);
    let name = ServerName::try_from(name).expect("a name");
    tokio::join!(
        TlsConnector::from(client.clone()).connect(name, theirs),
        tls.accept(ours)
    )
}

fn tls(made: &[&Made]) -> Tls {
    let settings = TlsSettings {
        certificates: set(made),
        min_version: MinVersion::Tls12,
    };
    Tls::new(&settings, Some(Http2Settings::default())).expect("TLS")
}

/// A client that trusts only this certificate is content exactly when it is shown it.
async fn is_shown(tls: &Tls, made: &Made, name: &'static str) -> bool {
    meet(tls, &client(&[made], &[]), name).await.0.is_ok()
}

#[tokio::test]
async fn clients_are_shown_the_certificate_of_the_name_they_ask_for() {
    let first = make(&["a.example", "x.wild.example"]);
    let wild = make(&["*.wild.example"]);
    let tls = tls(&[&first, &wild]);
    assert!(is_shown(&tls, &first, "a.example").await);
    assert!(is_shown(&tls, &wild, "y.wild.example").await);
    assert!(
        is_shown(&tls, &first, "x.wild.example").await,
        "exact before wildcard"
    );
    assert!(!is_shown(&tls, &wild, "z.y.wild.example").await, "one label only");
}

#[tokio::test]
async fn of_two_kinds_of_keys_for_one_name_the_client_gets_one_that_it_can_check() {
    let curve = make_with(&["a.example"], &rcgen::PKCS_ED25519);
    let other = make_with(&["a.example"], &rcgen::PKCS_ECDSA_P384_SHA384);
    let tls = tls(&[&curve, &other]);
    let mut config = (*client(&[&curve, &other], &[])).clone();
    assert!(meet(&tls, &Arc::new(config.clone()), "a.example").await.0.is_ok());
    // One that knows no Ed25519.
    let mut provider = aws_lc_rs::default_provider();
    let mapping: Vec<_> = provider
        .signature_verification_algorithms
        .mapping
        .iter()
        .copied()
        .filter(|(scheme, _)| *scheme != rustls::SignatureScheme::ED25519)
        .collect();
    provider.signature_verification_algorithms.mapping = Box::leak(mapping.into());
    let mut roots = RootCertStore::empty();
    for made in [&curve, &other] {
        roots
            .add(CertificateDer::from_pem_slice(made.cert.as_bytes()).expect("PEM"))
            .expect("a root");
    }
    config = ClientConfig::builder_with_provider(Arc::new(provider))
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_root_certificates(roots)
        .with_no_client_auth();
    let (met, _) = meet(&tls, &Arc::new(config), "a.example").await;
    met.expect("the other one");
}

#[tokio::test]
async fn other_certificates_are_shown_from_the_next_handshake_on() {
    let (old, new) = (make(&["a.example"]), make(&["a.example"]));
    let tls = tls(&[&old]);
    let (before, accepted) = meet(&tls, &client(&[&old], &[]), "a.example").await;
    let (mut before, mut accepted) = (before.expect("shown"), accepted.expect("accepted"));
    let replaced = tls.store().replace(set(&[&new]));
    assert_eq!(replaced.iter().count(), 1);
    assert!(is_shown(&tls, &new, "a.example").await);
    assert!(!is_shown(&tls, &old, "a.example").await);
    before.write_all(b"still").await.expect("written");
    before.flush().await.expect("flushed");
    let mut read = [0; 5];
    accepted
        .stream
        .read_exact(&mut read)
        .await
        .expect("open connections go on");
    assert_eq!(&read, b"still");
}

#[tokio::test]
async fn the_exchange_of_keys_is_post_quantum_and_sessions_are_resumed() {
    let made = make(&["a.example"]);
    let tls = tls(&[&made]);
    let client = client(&[&made], &[b"h2", b"http/1.1"]);
    let mut kinds = Vec::new();
    for _ in 0..2 {
        let (met, accepted) = meet(&tls, &client, "a.example").await;
        let (mut met, mut accepted) = (met.expect("met"), accepted.expect("accepted"));
        assert_eq!(accepted.protocol, Protocol::Http2);
        // The tickets come with the first bytes.
        accepted.stream.write_all(b"x").await.expect("written");
        accepted.stream.flush().await.expect("flushed");
        met.read_u8().await.expect("read");
        let connection = met.get_ref().1;
        let group = connection
            .negotiated_key_exchange_group()
            .expect("a group")
            .name();
        assert_eq!(group, NamedGroup::X25519MLKEM768);
        assert_eq!(connection.protocol_version(), Some(ProtocolVersion::TLSv1_3));
        kinds.push(connection.handshake_kind());
    }
    assert_eq!(kinds, [Some(HandshakeKind::Full), Some(HandshakeKind::Resumed)]);
}

#[tokio::test]
async fn the_protocol_is_what_was_agreed_and_nothing_agreed_is_http1() {
    let made = make(&["a.example"]);
    let tls = tls(&[&made]);
    for (offered, expected) in [
        (&[&b"h2"[..], b"http/1.1"][..], Some(Protocol::Http2)),
        (&[&b"http/1.1"[..]], Some(Protocol::Http1)),
        (&[], Some(Protocol::Http1)),
        (&[&b"spdy/3"[..]], None),
    ] {
        let (_, accepted) = meet(&tls, &client(&[&made], offered), "a.example").await;
        assert_eq!(accepted.map(|a| a.protocol), expected, "{offered:?}");
    }
    // Where HTTP/2 is off it is not offered.
    let settings = TlsSettings {
        certificates: set(&[&made]),
        min_version: MinVersion::Tls12,
    };
    let without = Tls::new(&settings, None).expect("TLS");
    let both = client(&[&made], &[b"h2", b"http/1.1"]);
    let (met, accepted) = meet(&without, &both, "a.example").await;
    assert_eq!(accepted.map(|a| a.protocol), Some(Protocol::Http1));
    assert_eq!(
        met.expect("met").get_ref().1.alpn_protocol(),
        Some(&b"http/1.1"[..])
    );
}

#[tokio::test]
async fn a_handshake_that_is_none_or_does_not_go_on_ends() {
    let made = make(&["a.example"]);
    let mut tls = tls(&[&made]);
    tls.handshake_timeout = Duration::from_millis(20);
    for sent in [&b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"[..], b"\x16\x03\x01", b""] {
        let (ours, mut theirs) = tokio::io::duplex(1024);
        theirs.write_all(sent).await.expect("written");
        assert!(tls.accept(ours).await.is_none(), "{sent:?}");
    }
}

#[tokio::test]
async fn nothing_is_kept_for_a_client_and_nothing_is_taken_before_the_handshake_is_done() {
    use rustls::client::{Resumption, Tls12Resumption};
    let made = make(&["a.example"]);
    let tls = tls(&[&made]);
    // One that knows sessions by their number alone, which the server would have to remember.
    let mut by_number = (*client(&[&made], &[])).clone();
    by_number.resumption = Resumption::in_memory_sessions(8).tls12_resumption(Tls12Resumption::SessionIdOnly);
    let mut old = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_protocol_versions(&[&version::TLS12])
        .expect("a version")
        .with_root_certificates({
            let mut roots = RootCertStore::empty();
            let der = CertificateDer::from_pem_slice(made.cert.as_bytes()).expect("PEM");
            roots.add(der).expect("a root");
            roots
        })
        .with_no_client_auth();
    old.resumption = by_number.resumption.clone();
    // And one that would send a request with its first bytes.
    let mut early = (*client(&[&made], &[])).clone();
    early.enable_early_data = true;
    for (config, last) in [(old, HandshakeKind::Full), (early, HandshakeKind::Resumed)] {
        let config = Arc::new(config);
        let mut kinds = Vec::new();
        for _ in 0..2 {
            let (met, accepted) = meet(&tls, &config, "a.example").await;
            let (mut met, mut accepted) = (met.expect("met"), accepted.expect("accepted"));
            accepted.stream.write_all(b"x").await.expect("written");
            accepted.stream.flush().await.expect("flushed");
            met.read_u8().await.expect("read");
            let connection = met.get_ref().1;
            assert!(!connection.is_early_data_accepted());
            kinds.push(connection.handshake_kind());
        }
        assert_eq!(kinds, [Some(HandshakeKind::Full), Some(last)]);
    }
}

#[tokio::test]
async fn what_a_client_does_not_read_is_held_up_to_a_bound() {
    let made = make(&["a.example"]);
    let (_met, accepted) = meet(&tls(&[&made]), &client(&[&made], &[]), "a.example").await;
    let mut accepted = accepted.expect("accepted");
    let written = accepted
        .stream
        .write(&vec![0; 4 << 20])
        .await
        .expect("some of it");
    assert!(written <= 4 * MAX_BUFFER, "{written} bytes at once");
}
