//! Upstreams: their targets, the files of their TLS, and whether some route goes to them.

use std::path::Path;
use std::sync::Arc;

use http::StatusCode;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

use super::super::raw::upstreams::{BalanceChoice, Health, ProtocolChoice, UpstreamTls};
use super::super::raw::values::TextValue;
use super::super::raw::{Config, Upstream};
use super::{Notes, index, secrets};
use crate::authz::policy::RoutePolicy;
use crate::edge::proxy::upstream::tls::{ClientIdentity, ClientTls, Roots, TlsSettings, TlsSetupError};
use crate::edge::proxy::upstream::{Balance, HealthSettings, Protocol, Security, Target, UpstreamSettings};

/// Resolves the upstreams.
pub(super) fn resolve(config: &Config, notes: &mut Notes<'_>) -> Vec<UpstreamSettings> {
    let mut out = Vec::new();
    for (name, upstream) in &config.upstreams {
        let key = format!("upstreams.{name}");
        let targets = targets(&key, upstream, notes);
        let health = upstream.health.as_ref();
        let health = health.and_then(|written| health_check(&key, written, notes));
        if targets.is_empty() {
            continue;
        }
        let Some(tls) = tls(&key, upstream, &targets, notes) else {
            continue;
        };
        out.push(UpstreamSettings {
            name: Arc::from(name.as_str()),
            targets,
            tls: Arc::new(tls),
            protocol: match upstream.protocol {
                ProtocolChoice::Http1 => Protocol::Http1,
                ProtocolChoice::Http2 => Protocol::Http2,
                ProtocolChoice::Auto => Protocol::Auto,
            },
            max_streams: upstream.max_streams,
            balance: match upstream.balance {
                BalanceChoice::RoundRobin => Balance::RoundRobin,
                BalanceChoice::HashClientAddress => Balance::ClientAddress,
                BalanceChoice::HashSubject => Balance::Subject,
            },
            health,
            connect_timeout: upstream.timeouts.connect.0,
            response_timeout: upstream.timeouts.response.0,
            total_timeout: upstream.timeouts.total.map(|t| t.0),
            idle_timeout: upstream.timeouts.idle.0,
            tunnel_idle_timeout: upstream.timeouts.tunnel_idle.0,
            max_idle_per_thread: index(upstream.max_idle_connections),
            dns_refresh: config.dns.refresh.0,
        });
    }
    out
}

/// Where the app is: in one place, or in several. Empty after a problem was reported.
fn targets(key: &str, upstream: &Upstream, notes: &mut Notes<'_>) -> Vec<Target> {
    let written = match (&upstream.url, &upstream.targets) {
        (Some(url), None) => {
            return vec![Target {
                address: url.0.clone(),
                weight: 1,
            }];
        }
        (None, Some(targets)) => targets,
        (Some(_), Some(_)) => {
            notes.report.add(
                &format!("{key}.targets"),
                "url and targets",
                "one of the two",
                "remove one of the two",
            );
            return Vec::new();
        }
        (None, None) => {
            notes.report.add(
                &format!("{key}.url"),
                "nothing",
                "where the app is",
                "set url, or targets when it is in several places",
            );
            return Vec::new();
        }
    };
    let mut out: Vec<Target> = Vec::new();
    for (i, target) in written.iter().enumerate() {
        // A missing one is told already: it is required.
        let Some(url) = &target.url else {
            continue;
        };
        if let Some(first) = out.iter().position(|t| t.address == url.0) {
            notes.report.add(
                &format!("{key}.targets[{i}].url"),
                format!("{}, the url of targets[{first}] too", url.0.text()),
                "a url of its own for each target",
                "remove one of them, and give the other more weight",
            );
        }
        out.push(Target {
            address: url.0.clone(),
            weight: target.weight,
        });
    }
    out
}

fn health_check(key: &str, written: &Health, notes: &mut Notes<'_>) -> Option<HealthSettings> {
    let path = written
        .path
        .starts_with('/')
        .then(|| written.path.parse().ok())
        .flatten();
    let Some(path) = path else {
        notes.report.add(
            &format!("{key}.health.path"),
            format!("{:?}", written.path),
            "a path such as /healthz",
            "begin it with / and leave out spaces and #",
        );
        return None;
    };
    if written.timeout.0 > written.interval.0 {
        notes.report.add(
            &format!("{key}.health.timeout"),
            written.timeout.text(),
            format!("at most the interval, which is {}", written.interval.text()),
            "raise the one or lower the other",
        );
    }
    let mut expect_status = Vec::new();
    for (i, status) in written.expect_status.iter().enumerate() {
        match StatusCode::from_u16(*status) {
            Ok(code) if (200..600).contains(status) => expect_status.push(code),
            _ => notes.report.add(
                &format!("{key}.health.expect_status[{i}]"),
                status.to_string(),
                "a status code from 200 to 599",
                "correct it",
            ),
        }
    }
    Some(HealthSettings {
        path,
        interval: written.interval.0,
        timeout: written.timeout.0,
        healthy_after: written.healthy_after,
        unhealthy_after: written.unhealthy_after,
        expect_status,
    })
}

/// Warns about upstreams that no route names.
pub(super) fn judge(config: &Config, routes: &[Arc<RoutePolicy>], notes: &mut Notes<'_>) {
    for name in config.upstreams.keys() {
        if !routes.iter().any(|r| r.upstream.as_deref() == Some(name)) {
            notes.warn(&format!("upstreams.{name}"), "no route goes to this upstream");
        }
    }
}

/// Reads the files of an upstream's TLS and sets it up once, so that what would fail later is said now.
fn tls(key: &str, upstream: &Upstream, targets: &[Target], notes: &mut Notes<'_>) -> Option<TlsSettings> {
    let UpstreamTls {
        ca_file,
        cert_file,
        key_file,
        server_name,
        pins,
    } = &upstream.tls;
    let over_tls: Vec<&Target> = targets
        .iter()
        .filter(|t| t.address.security() == Security::Tls)
        .collect();
    if over_tls.is_empty() {
        let written = [
            ("ca_file", ca_file.is_some()),
            ("cert_file", cert_file.is_some()),
            ("key_file", key_file.is_some()),
            ("server_name", server_name.is_some()),
            ("pins", !pins.is_empty()),
        ];
        for (name, _) in written.iter().filter(|(_, written)| *written) {
            notes.report.add(
                &format!("{key}.tls.{name}"),
                "a setting of TLS for an upstream without TLS",
                "an upstream whose url begins with https://",
                "write https:// in the url, or remove the setting",
            );
        }
        return Some(TlsSettings::default());
    }
    let roots = match ca_file {
        None => Some(Roots::System),
        Some(path) => certificates(&format!("{key}.tls.ca_file"), path, notes).map(Roots::Given),
    };
    let identity = identity(key, cert_file.as_deref(), key_file.as_deref(), notes);
    let settings = TlsSettings {
        roots: roots?,
        identity: identity?,
        server_name: server_name.as_ref().map(|n| n.0.clone()),
        pins: pins.iter().map(|p| p.0).collect(),
    };
    let problem = match ClientTls::new(&settings, &[]) {
        Ok(tls) => over_tls.iter().find_map(|t| tls.name_of(&t.address).err()),
        Err(error) => Some(error),
    };
    let Some(problem) = problem else {
        return Some(settings);
    };
    let (name, remedy) = match &problem {
        TlsSetupError::NoSystemRoots => ("ca_file", "install the system's CA certificates, or set ca_file"),
        TlsSetupError::BadRoot(_) => ("ca_file", "check that the file holds CA certificates"),
        TlsSetupError::BadIdentity(_) => ("cert_file", "check that key_file is the key of this certificate"),
        TlsSetupError::NoName(_) => ("server_name", "set server_name to the name in its certificate"),
        TlsSetupError::Refused(_) => ("ca_file", "check the files"),
    };
    notes.report.add(
        &format!("{key}.tls.{name}"),
        problem.to_string(),
        "files and names that TLS can be set up with",
        remedy,
    );
    None
}

/// The certificate we show, with its key. The outer `None` after a problem was reported.
#[expect(clippy::option_option, reason = "none is wanted, or none could be read")]
fn identity(
    key: &str,
    cert_file: Option<&Path>,
    key_file: Option<&Path>,
    notes: &mut Notes<'_>,
) -> Option<Option<ClientIdentity>> {
    let (cert_key, key_key) = (format!("{key}.tls.cert_file"), format!("{key}.tls.key_file"));
    let (cert_file, key_file) = match (cert_file, key_file) {
        (None, None) => return Some(None),
        (Some(cert), Some(key)) => (cert, key),
        (cert, _) => {
            let (there, missing) = match cert {
                Some(_) => (&cert_key, "key_file"),
                None => (&key_key, "cert_file"),
            };
            notes.report.add(
                there,
                format!("no {missing} beside it"),
                "a certificate and its key",
                format!("set {missing} too"),
            );
            return None;
        }
    };
    let chain = certificates(&cert_key, cert_file, notes);
    let pem = secrets::read(&key_key, key_file, notes)?;
    let Ok(private) = PrivateKeyDer::from_pem_slice(pem.expose().as_bytes()) else {
        let found = format!("no private key in the file {}", key_file.display());
        notes.report.add(
            &key_key,
            found,
            "a private key in PEM, without a passphrase",
            "check that this is the right file",
        );
        return None;
    };
    Some(Some(ClientIdentity {
        chain: chain?,
        key: private,
    }))
}

/// The certificates in a PEM file; never none.
fn certificates(key: &str, path: &Path, notes: &mut Notes<'_>) -> Option<Vec<CertificateDer<'static>>> {
    let text = secrets::read_public(key, path, notes)?;
    let read: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(text.as_bytes()).collect();
    match read {
        Ok(certificates) if !certificates.is_empty() => Some(certificates),
        _ => {
            let found = format!("no certificate in the file {}", path.display());
            notes.report.add(
                key,
                found,
                "certificates in PEM",
                "check that this is the right file",
            );
            None
        }
    }
}
