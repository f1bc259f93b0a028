//! The proxy's listeners: from their settings to bound sockets.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;

use crate::config::Settings;
use crate::config::settings::ListenerSettings;
use crate::domain::clock::UnixMillis;
use crate::edge::listener::tls::{Certificates, Tls};
use crate::edge::listener::{AddressBound, Bound, ListenSettings, Profile};
use crate::edge::proxy::ListenerProfile;
use crate::telemetry::Metrics;

/// A certificate that ends within this time is warned about at the start.
const EXPIRES_SOON: Duration = Duration::from_secs(14 * 24 * 3600);

/// Binds every listener.
pub(super) fn bind(settings: &Settings, metrics: &Metrics, now: UnixMillis) -> anyhow::Result<Vec<Bound>> {
    settings
        .listeners
        .iter()
        .map(|listener| bind_one(listener, metrics, now))
        .collect()
}

fn bind_one(written: &ListenerSettings, metrics: &Metrics, now: UnixMillis) -> anyhow::Result<Bound> {
    let tls = match &written.tls {
        None => None,
        Some(settings) => {
            judge(&written.name, &settings.certificates, metrics, now);
            let tls = Tls::new(settings, written.connection.http2);
            Some(tls.with_context(|| format!("TLS of listener {}", written.name))?)
        }
    };
    let bound = Bound::bind(ListenSettings {
        address: written.address.clone(),
        max_connections: written.max_connections,
        profile: Arc::new(Profile {
            proxy: Arc::new(ListenerProfile {
                name: written.name.clone(),
                trusted_proxies: written.trusted_proxies.clone(),
                connection: written.connection.clone(),
            }),
            tls,
            proxy_protocol: written.proxy_protocol,
            per_address: AddressBound::new(written.max_connections_per_address),
            metrics: metrics.for_listener(&written.name),
        }),
    })?;
    let tls = written.tls.as_ref().map_or("off", |_| "on");
    tracing::info!(door = "proxy", listener = &*written.name, address = %bound.address(), tls, "listening");
    Ok(bound)
}

/// Notes when certificates end, and warns about those that have or soon will.
fn judge(listener: &str, certificates: &Certificates, metrics: &Metrics, now: UnixMillis) {
    for certificate in certificates.iter() {
        let (file, ends) = (&**certificate.label(), certificate.not_after());
        metrics.set_certificate_expiry(listener, file, ends);
        let at = ends.rfc3339();
        if ends <= now {
            tracing::warn!(
                listener,
                file,
                at,
                "a certificate has expired: clients will refuse it"
            );
        } else if ends <= now.plus(EXPIRES_SOON) {
            tracing::warn!(listener, file, at, "a certificate expires soon");
        }
    }
}
