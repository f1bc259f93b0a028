//! The proxy's listeners: from their settings to sockets that are bound, or taken over from a predecessor, and what
//! a reload changes of them.
//!
//! A socket stays as it was bound. What it says about its connections is replaced for those that come; TLS with
//! the same rules goes on with other certificates, so that sessions are still resumed.

use std::sync::Arc;

use anyhow::Context;
use arc_swap::ArcSwap;

use super::hand_over::Inherited;
use super::live;
use crate::config::settings::ListenerSettings;
use crate::config::{Changes, Settings};
use crate::domain::clock::UnixMillis;
use crate::edge::listener::tls::{Certificates, Tls, Validity};
use crate::edge::listener::{AddressBound, Bound, ListenSettings, Profile, RateBound};
use crate::telemetry::Metrics;

/// The listeners of a running process.
pub(super) struct Doors(Vec<Arc<ArcSwap<Profile>>>);

/// What listeners are about to say.
pub(super) struct Rehung(Vec<Next>);

struct Next {
    place: Arc<ArcSwap<Profile>>,
    profile: Profile,
    certificates: Option<Certificates>,
}

/// Binds every listener.
pub(super) fn bind(
    settings: &Settings,
    inherited: &mut Inherited,
    metrics: &Metrics,
    now: UnixMillis,
) -> anyhow::Result<(Vec<Bound>, Doors)> {
    let (mut sockets, mut doors) = (Vec::new(), Vec::new());
    for written in &settings.listeners {
        let profile = Profile {
            proxy: Arc::new(live::profile(written)),
            tls: tls(written, None)?,
            proxy_protocol: written.proxy_protocol,
            max_connections: written.max_connections,
            per_address: AddressBound::new(written.max_connections_per_address),
            rate: RateBound::new(written.rates),
            metrics: metrics.for_listener(&written.name),
        };
        if let Some(tls) = &written.tls {
            judge(&written.name, &tls.certificates, metrics, now);
        }
        let profile = Arc::new(ArcSwap::from_pointee(profile));
        let listen = ListenSettings {
            address: written.address.clone(),
            profile: Arc::clone(&profile),
        };
        let socket = inherited.take(&written.address.possession());
        let bound = Bound::bind(listen, inherited.possessions(), socket)?;
        let tls = written.tls.as_ref().map_or("off", |_| "on");
        tracing::info!(door = "proxy", listener = &*written.name, address = %bound.address(), tls, "listening");
        sockets.push(bound);
        doors.push(profile);
    }
    Ok((sockets, Doors(doors)))
}

impl Doors {
    /// What those listeners will say that something changed for. Nobody notices yet.
    pub(super) fn rehung(&self, settings: &Settings, changes: &Changes) -> anyhow::Result<Rehung> {
        let mut next = Vec::new();
        for written in &settings.listeners {
            let key = format!("listeners[{}]", written.name);
            let mut doors = self.0.iter();
            let Some(place) = doors.find(|d| d.load().proxy.name == written.name) else {
                continue;
            };
            if !changes.touch(&key) {
                continue;
            }
            let before = place.load();
            // Another version of TLS or HTTP is agreed on by other rules.
            let others = ["tls.min_version", "http2"].map(|name| format!("{key}.{name}"));
            let same_rules = !others.iter().any(|other| changes.touch(other));
            let known = before.tls.as_ref().filter(|_| same_rules);
            next.push(Next {
                profile: Profile {
                    proxy: Arc::new(live::profile(written)),
                    tls: tls(written, known)?,
                    proxy_protocol: written.proxy_protocol,
                    max_connections: written.max_connections,
                    per_address: before.per_address.with_max(written.max_connections_per_address),
                    rate: before.rate.with_rates(written.rates),
                    metrics: before.metrics.clone(),
                },
                certificates: written.tls.as_ref().map(|tls| tls.certificates.clone()),
                place: Arc::clone(place),
            });
        }
        Ok(Rehung(next))
    }
}

impl Rehung {
    /// Lets them say it to whoever comes from now on.
    pub(super) fn put(self, metrics: &Metrics, now: UnixMillis) {
        for Next {
            place,
            profile,
            certificates,
        } in self.0
        {
            let name = Arc::clone(&profile.proxy.name);
            let shown_before = place.load().tls.as_ref().map(|tls| tls.store().current());
            if let (Some(tls), Some(certificates)) = (&profile.tls, &certificates) {
                tls.store().replace(certificates.clone());
            }
            place.store(Arc::new(profile));
            if let Some(before) = shown_before {
                for certificate in before.iter() {
                    metrics.forget_certificate(&name, certificate.label());
                }
            }
            if let Some(certificates) = certificates {
                judge(&name, &certificates, metrics, now);
            }
        }
    }
}

/// TLS by these settings; where the rules are the same, the TLS that there is already.
fn tls(written: &ListenerSettings, known: Option<&Tls>) -> anyhow::Result<Option<Tls>> {
    match (&written.tls, known) {
        (None, _) => Ok(None),
        (Some(_), Some(known)) => Ok(Some(known.clone())),
        (Some(settings), None) => {
            let tls = Tls::new(settings, written.connection.http2);
            tls.map(Some)
                .with_context(|| format!("TLS of listener {}", written.name))
        }
    }
}

/// Notes when certificates end, and tells of those that clients refuse now or soon will.
fn judge(listener: &str, certificates: &Certificates, metrics: &Metrics, now: UnixMillis) {
    for certificate in certificates.iter() {
        let (file, ends) = (&**certificate.label(), certificate.not_after());
        metrics.set_certificate_expiry(listener, file, ends);
        match certificate.validity(now) {
            Validity::Good => {}
            Validity::NotYet => {
                let at = certificate.not_before().rfc3339();
                tracing::error!(
                    listener,
                    file,
                    at,
                    "a certificate is not valid yet: clients refuse it"
                );
            }
            Validity::Ended => {
                let at = ends.rfc3339();
                tracing::error!(listener, file, at, "a certificate has expired: clients refuse it");
            }
            Validity::EndsSoon => {
                let at = ends.rfc3339();
                tracing::warn!(listener, file, at, "a certificate expires soon");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Environment, Loaded, load_text};

    fn loaded(keys: &str) -> Loaded {
        let text = format!(
            "version: 1\ndata_dir: /nowhere\nlisteners: [{{ name: public, address: 127.0.0.1:0, {keys} }}]\n\
             upstreams: {{ api: {{ url: 'http://127.0.0.1:9000' }} }}\nroutes: [{{ path: /, upstream: api }}]\n"
        );
        load_text("doorward.yaml", &text, &Environment::default()).unwrap_or_else(|p| panic!("{p}"))
    }

    #[tokio::test]
    async fn other_bounds_hold_for_the_connections_that_were_counted_already() {
        let metrics = Metrics::new().expect("metrics");
        let old = loaded("max_connections_per_address: 1");
        let (_bound, doors) =
            bind(&old.settings, &mut Inherited::new(None), &metrics, UnixMillis(0)).expect("bound");
        let new = loaded("max_connections_per_address: 2, max_connections_per_address_per_second: 3");
        let next = doors.rehung(&new.settings, &Changes::between(&old, &new));
        let next = next.expect("built").0.pop().expect("the listener has changed");
        let before = next.place.load();
        assert!(
            next.profile.per_address.counts_with(&before.per_address),
            "who has connections open has them still"
        );
        assert!(
            next.profile.rate.counts_with(&before.rate),
            "the second that has begun goes on"
        );
    }
}
