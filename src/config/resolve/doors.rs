//! Whether doors fit the routes.

use std::sync::Arc;

use super::super::settings::ListenerSettings;
use super::Notes;
use crate::authz::policy::{Access, HttpsRule, RoutePolicy};
use crate::domain::identity::CredentialKind;

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
