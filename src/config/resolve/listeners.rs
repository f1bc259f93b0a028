//! Listeners, and whether they get in each other's way.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use super::super::raw::Config;
use super::super::raw::listeners::{self as raw, CertificateFiles, Http2, MinVersion, Tls};
use super::super::raw::values::{self, AdminAddress, EVERYBODY, TextValue, TrustedNetwork};
use super::super::settings::ListenerSettings;
use super::{Notes, chosen, index, secrets};
use crate::domain::net::NetworkSet;
use crate::edge::listener::{ListenAddress, ProxyProtocol, Rates, tls};
use crate::edge::proxy::settings::{ConnectionSettings, Http2Settings};

/// Who may connect to a Unix socket of which nothing is said: whoever the process runs as.
const DEFAULT_MODE: u32 = 0o600;

/// Resolves the listeners.
pub(super) fn resolve(config: &Config, notes: &mut Notes<'_>) -> Vec<ListenerSettings> {
    if config.listeners.is_empty() {
        notes.report.add(
            "listeners",
            "an empty list",
            "at least one listener",
            "add one, or remove the key",
        );
    }
    let mut names: HashMap<&str, usize> = HashMap::new();
    let mut paths: HashMap<&PathBuf, usize> = HashMap::new();
    let mut addresses: Vec<(SocketAddr, String)> =
        vec![(config.status.address.0, "status.address".to_owned())];
    if let AdminAddress::At(address) = config.admin.address {
        claim(address, "admin.address".to_owned(), &mut addresses, notes);
    }
    let mut out = Vec::new();
    for (i, listener) in config.listeners.iter().enumerate() {
        let key = format!("listeners[{i}]");
        let (Some(name), Some(address)) = (&listener.name, &listener.address) else {
            continue;
        };
        if let Some(first) = names.insert(&name.0, i) {
            let expected = "a name of its own for each listener";
            let found = format!("{}, the name of listeners[{first}] too", name.0);
            notes
                .report
                .add(&format!("{key}.name"), found, expected, "choose another name");
        }
        let address = match address {
            values::ListenAddress::Tcp(address) => {
                claim(*address, format!("{key}.address"), &mut addresses, notes);
                if let Some(mode) = listener.socket_mode {
                    notes.report.add(
                        &format!("{key}.socket_mode"),
                        format!("{}, and an address that is no socket's", mode.text()),
                        "a mode for a Unix socket only",
                        "remove it, or write unix: and a path as the address",
                    );
                }
                ListenAddress::Tcp(*address)
            }
            values::ListenAddress::Unix(path) => {
                if let Some(first) = paths.insert(path, i) {
                    let expected = "an address of its own for each door";
                    let found = format!("{}, where listeners[{first}] listens too", path.display());
                    notes
                        .report
                        .add(&format!("{key}.address"), found, expected, "choose another path");
                }
                ListenAddress::Unix {
                    path: path.clone(),
                    mode: listener.socket_mode.map_or(DEFAULT_MODE, |mode| mode.0),
                }
            }
        };
        let trusted_proxies = trusted(
            &listener.trusted_proxies,
            &format!("{key}.trusted_proxies"),
            notes,
        );
        let proxy_protocol = match listener.proxy_protocol {
            raw::ProxyProtocol::Off => ProxyProtocol::Off,
            raw::ProxyProtocol::Required => ProxyProtocol::Required,
        };
        if proxy_protocol == ProxyProtocol::Required && listener.trusted_proxies.is_empty() {
            notes.report.add(
                &format!("{key}.proxy_protocol"),
                "required, with nobody in trusted_proxies",
                "the proxies that send the header, in trusted_proxies",
                "name them: from anybody else a connection is closed",
            );
        }
        out.push(ListenerSettings {
            name: Arc::from(name.0.as_str()),
            address,
            tls: listener.tls.as_ref().and_then(|raw| tls(raw, &key, notes)),
            trusted_proxies,
            proxy_protocol,
            max_connections: index(listener.max_connections),
            max_connections_per_address: index(listener.max_connections_per_address),
            rates: Rates {
                total: listener.max_connections_per_second,
                per_address: listener.max_connections_per_address_per_second,
            },
            connection: ConnectionSettings {
                head_max_bytes: usize::try_from(listener.max_head_bytes.0).unwrap_or(usize::MAX),
                head_max_fields: listener.max_head_fields.into(),
                head_timeout: listener.head_timeout.0,
                keep_alive_timeout: listener.keep_alive_timeout.0,
                body_idle_timeout: listener.body_idle_timeout.0,
                http2: http2(&listener.http2, &key, notes),
            },
        });
    }
    out
}

/// Whom to believe. Pieces that together are everybody are refused like the whole.
fn trusted(networks: &[TrustedNetwork], key: &str, notes: &mut Notes<'_>) -> NetworkSet {
    let set = NetworkSet::new(networks.iter().map(|n| n.0).collect());
    if set.holds_everybody() {
        let found = "networks that together hold every address";
        notes.report.add(key, found, TrustedNetwork::EXPECTED, EVERYBODY);
    }
    set
}

/// Notes that a door listens here, and reports when another one does already.
fn claim(address: SocketAddr, key: String, taken: &mut Vec<(SocketAddr, String)>, notes: &mut Notes<'_>) {
    let clash = |other: &SocketAddr| {
        let same_ip =
            other.ip() == address.ip() || other.ip().is_unspecified() || address.ip().is_unspecified();
        other.port() == address.port()
            && address.port() != 0
            && same_ip
            && other.is_ipv4() == address.is_ipv4()
    };
    if let Some((_, first)) = taken.iter().find(|(other, _)| clash(other)) {
        let found = format!("{address}, where {first} listens too");
        notes.report.add(
            &key,
            found,
            "an address of its own for each door",
            "choose another port",
        );
    }
    taken.push((address, key));
}

/// Reads the certificates. `None` only after a problem was reported.
fn tls(raw: &Tls, key: &str, notes: &mut Notes<'_>) -> Option<tls::TlsSettings> {
    let mut certificates = Vec::new();
    for (i, files) in raw.certificates.iter().enumerate() {
        let key = format!("{key}.tls.certificates[{i}]");
        let Some(certificate) = certificate(files, &key, notes) else {
            continue;
        };
        if i > 0 && !certificate.has_names() {
            notes.report.add(
                &format!("{key}.cert_file"),
                format!("the certificate {} without a DNS name", certificate.label()),
                "a DNS name in each certificate but the first",
                "nobody would ever be shown it: remove it, or put it first",
            );
        }
        certificates.push(certificate);
    }
    let settings = |certificates| tls::TlsSettings {
        certificates,
        min_version: match raw.min_version {
            MinVersion::Tls12 => tls::MinVersion::Tls12,
            MinVersion::Tls13 => tls::MinVersion::Tls13,
        },
    };
    if raw.certificates.is_empty() {
        notes.report.add(
            &format!("{key}.tls.certificates"),
            "an empty list",
            "at least one certificate",
            "add one, or remove tls",
        );
    }
    tls::Certificates::new(certificates).map(settings)
}

fn certificate(files: &CertificateFiles, key: &str, notes: &mut Notes<'_>) -> Option<tls::Certificate> {
    let (cert_key, key_key) = (format!("{key}.cert_file"), format!("{key}.key_file"));
    let (cert_file, key_file) = (files.cert_file.as_ref()?, files.key_file.as_ref()?);
    let chain = secrets::read_public(&cert_key, cert_file, notes);
    let secret = secrets::read(&key_key, key_file, notes);
    let label = cert_file.display().to_string();
    let read = tls::Certificate::read(&label, chain?.as_bytes(), secret?.expose().as_bytes());
    let error = match read {
        Ok(certificate) => return Some(certificate),
        Err(error) => error,
    };
    let (at, file, expected) = match error.is_about_key() {
        true => (
            key_key,
            key_file,
            "the private key of the certificate beside it, as PEM",
        ),
        false => (
            cert_key,
            cert_file,
            "a certificate and its chain, as PEM, the server's own first",
        ),
    };
    let found = format!("{error} in the file {}", file.display());
    notes.report.add(
        &at,
        found,
        expected,
        "check that the two files are the right ones",
    );
    None
}

/// What the bounds of something switched off say is without effect.
fn http2(raw: &Http2, key: &str, notes: &mut Notes<'_>) -> Option<Http2Settings> {
    let bound = chosen(raw, &Http2::default(), &["max_concurrent_streams"]);
    if !raw.enabled && !bound.is_empty() {
        notes.report.add(
            &format!("{key}.http2.max_concurrent_streams"),
            "a bound of HTTP/2, which is not enabled",
            "enabled: true beside it",
            "remove the one or the other",
        );
    }
    raw.enabled.then_some(Http2Settings {
        max_concurrent_streams: raw.max_concurrent_streams,
    })
}
