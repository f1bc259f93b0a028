//! Whether doors fit the routes, and where the process runs.

use std::sync::Arc;

use super::super::environment::Surroundings;
use super::super::raw::Config;
use super::super::settings::ListenerSettings;
use super::Notes;
use crate::authz::policy::{Access, HttpsRule, RoutePolicy};
use crate::domain::identity::CredentialKind;
use crate::edge::listener::ListenAddress;

/// Warns about secrets on the open wire, and about routes that nobody can reach: on a plain listener a request
/// is HTTPS only when a trusted proxy says so.
pub(super) fn judge_transport(
    listeners: &[ListenerSettings],
    routes: &[Arc<RoutePolicy>],
    notes: &mut Notes<'_>,
) {
    let open: Vec<&str> = listeners
        .iter()
        .filter(|l| l.tls.is_none() && !l.address.is_local())
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
             read them. Give the listener tls, or set https: required on these routes when a proxy in front terminates TLS",
            open.join(", "),
            tokens.join(", ")
        );
        notes.warn("listeners", text);
    }
    if listeners
        .iter()
        .all(|l| l.tls.is_none() && l.trusted_proxies.is_empty())
    {
        let strict = routes
            .iter()
            .filter(|r| r.access != Access::Deny && r.https == HttpsRule::Required);
        for route in strict {
            let text = format!(
                "route {} demands HTTPS, every listener speaks plain HTTP, and no trusted proxy can say that the \
                 client used HTTPS: every request to it is refused. Name the proxy in trusted_proxies, or give a listener tls",
                route.name
            );
            notes.warn("routes", text);
        }
    }
}

/// Warns about doors of a pod that nobody outside it can reach: each container's callers, the kubelet's probes
/// and Prometheus come to the pod's address.
pub(super) fn judge_surroundings(
    config: &Config,
    listeners: &[ListenerSettings],
    surroundings: Surroundings,
    notes: &mut Notes<'_>,
) {
    if surroundings == Surroundings::Elsewhere {
        return;
    }
    let status = config.status.address.0;
    if status.ip().is_loopback() {
        notes.warn(
            "status.address",
            format!(
                "in a pod, probes and Prometheus come to the pod's address, where nobody listens: the status door \
                 is at {status}. Set DOORWARD_STATUS_ADDRESS=0.0.0.0:{port}, or httpGet probes kill the container",
                port = status.port()
            ),
        );
    }
    let on_loopback =
        |l: &ListenerSettings| matches!(l.address, ListenAddress::Tcp(address) if address.ip().is_loopback());
    if !listeners.is_empty() && listeners.iter().all(on_loopback) {
        notes.warn(
            "listeners",
            "in a pod, every listener is on loopback: no service can reach them. Listen on 0.0.0.0, \
             and let the app listen on 127.0.0.1",
        );
    }
}
