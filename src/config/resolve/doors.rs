//! Listeners and upstreams, and whether they fit the routes.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;

use super::super::raw::values::AdminAddress;
use super::super::raw::{Config, Upstream};
use super::super::settings::ListenerSettings;
use super::{Notes, index};
use crate::authz::policy::{Access, HttpsRule, RoutePolicy};
use crate::domain::identity::CredentialKind;
use crate::domain::net::NetworkSet;
use crate::edge::proxy::settings::{ConnectionSettings, UpstreamSettings};

/// Resolves the listeners.
pub(super) fn listeners(config: &Config, notes: &mut Notes<'_>) -> Vec<ListenerSettings> {
    if config.listeners.is_empty() {
        notes.report.add(
            "listeners",
            "an empty list",
            "at least one listener",
            "add one, or remove the key",
        );
    }
    let mut names: HashMap<&str, usize> = HashMap::new();
    let mut addresses: Vec<(SocketAddr, String)> =
        vec![(config.status.address.0, "status.address".to_owned())];
    if let AdminAddress::At(address) = config.admin.address {
        claim(address, "admin.address".to_owned(), &mut addresses, notes);
    }
    let mut out = Vec::new();
    for (i, listener) in config.listeners.iter().enumerate() {
        let key = format!("listeners[{i}]");
        let (Some(name), Some(address)) = (&listener.name, listener.address) else {
            continue;
        };
        if let Some(first) = names.insert(&name.0, i) {
            let expected = "a name of its own for each listener";
            let found = format!("{}, the name of listeners[{first}] too", name.0);
            notes
                .report
                .add(&format!("{key}.name"), found, expected, "choose another name");
        }
        claim(address.0, format!("{key}.address"), &mut addresses, notes);
        out.push(ListenerSettings {
            name: Arc::from(name.0.as_str()),
            address: address.0,
            trusted_proxies: NetworkSet::new(listener.trusted_proxies.iter().map(|n| n.0).collect()),
            max_connections: index(listener.max_connections),
            connection: ConnectionSettings {
                head_max_bytes: usize::try_from(listener.max_head_bytes.0).unwrap_or(usize::MAX),
                head_max_fields: listener.max_head_fields.into(),
                head_timeout: listener.head_timeout.0,
                keep_alive_timeout: listener.keep_alive_timeout.0,
                body_idle_timeout: listener.body_idle_timeout.0,
            },
        });
    }
    out
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

/// Resolves the upstreams.
pub(super) fn upstreams(config: &Config) -> Vec<UpstreamSettings> {
    let each = |(name, upstream): (&String, &Upstream)| {
        let url = upstream.url.as_ref()?;
        Some(UpstreamSettings {
            name: Arc::from(name.as_str()),
            address: url.0.clone(),
            connect_timeout: upstream.timeouts.connect.0,
            response_timeout: upstream.timeouts.response.0,
            idle_timeout: upstream.timeouts.idle.0,
            max_idle_per_thread: index(upstream.max_idle_connections),
        })
    };
    config.upstreams.iter().filter_map(each).collect()
}

/// Warns about upstreams that no route names.
pub(super) fn judge_upstreams(config: &Config, routes: &[Arc<RoutePolicy>], notes: &mut Notes<'_>) {
    for name in config.upstreams.keys() {
        if !routes.iter().any(|r| r.upstream.as_deref() == Some(name)) {
            notes.warn(&format!("upstreams.{name}"), "no route goes to this upstream");
        }
    }
}

/// Warns about secrets on the open wire, and about routes that nobody can reach: every listener speaks
/// plain HTTP, so a request is HTTPS only when a trusted proxy says so.
pub(super) fn judge_transport(
    listeners: &[ListenerSettings],
    routes: &[Arc<RoutePolicy>],
    notes: &mut Notes<'_>,
) {
    let open: Vec<&str> = listeners
        .iter()
        .filter(|l| !l.address.ip().is_loopback())
        .map(|l| &*l.name)
        .collect();
    let takes_tokens = |r: &&Arc<RoutePolicy>| {
        r.access == Access::Authenticated
            && r.https == HttpsRule::Optional
            && r.accept.contains(CredentialKind::ApiToken)
    };
    let tokens: Vec<&str> = routes.iter().filter(takes_tokens).map(|r| &*r.name).collect();
    if !open.is_empty() && !tokens.is_empty() {
        let text = format!(
            "API tokens are accepted over plain HTTP (listeners {}; routes {}): whoever can read the traffic can \
             read them. Set https: required on these routes when a proxy in front terminates TLS",
            open.join(", "),
            tokens.join(", ")
        );
        notes.warn("listeners", text);
    }
    if listeners.iter().all(|l| l.trusted_proxies.is_empty()) {
        let strict = routes
            .iter()
            .filter(|r| r.access != Access::Deny && r.https == HttpsRule::Required);
        for route in strict {
            let text = format!(
                "route {} demands HTTPS, every listener speaks plain HTTP, and no trusted proxy can say that the \
                 client used HTTPS: every request to it is refused. Name the proxy in trusted_proxies",
                route.name
            );
            notes.warn("routes", text);
        }
    }
}
