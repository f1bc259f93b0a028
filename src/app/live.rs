//! What a reload replaces, built from a configuration: the gate with its routes, the upstreams, the rules of
//! the listeners, our own pages.
//!
//! Building has no effect on anybody: it fails as a whole, or gives something that can be put in force
//! without a further failure. Upstreams whose settings stayed the same are the same afterwards, with their
//! connections, their health and the addresses of their names.

use std::sync::Arc;

use anyhow::Context;

use super::endpoints;
use super::kinds::Kinds;
use super::rooms::Rooms;
use crate::authn::kinds::jwt;
use crate::config::Settings;
use crate::config::settings::{IssuerKeys, ListenerSettings};
use crate::edge::proxy::own_pages::PublicKeys;
use crate::edge::proxy::upstream::{
    Directory, SystemResolver, UpstreamSettings, keep_checked, keep_resolved,
};
use crate::edge::proxy::{ListenerProfile, OwnPages, Standing};
use crate::gate::Gate;
use crate::runtime::tasks::Tasks;
use crate::telemetry::Metrics;

/// Builds it, beside what is in force before.
pub(super) fn build(
    settings: &Settings,
    kinds: &Kinds,
    rooms: &Rooms,
    before: Option<&Standing<Gate>>,
) -> anyhow::Result<Standing<Gate>> {
    let known = before.map_or(&[][..], |before| &before.upstreams);
    let upstream = |settings: &UpstreamSettings| {
        let same = known.iter().find(|d| d.settings() == settings);
        if let Some(same) = same {
            return Ok(Arc::clone(same));
        }
        let before = known.iter().find(|d| d.settings().name == settings.name);
        Directory::succeeding(before.map(|d| &**d), settings.clone(), &rooms.metrics)
            .with_context(|| format!("upstreams.{}.tls", settings.name))
    };
    Ok(Standing {
        upstreams: settings
            .upstreams
            .iter()
            .map(upstream)
            .collect::<anyhow::Result<_>>()?,
        decide: Arc::new(rooms.gate(settings, kinds)?),
        listeners: settings.listeners.iter().map(|l| Arc::new(profile(l))).collect(),
        own_pages: own_pages(settings, rooms),
        endpoints: endpoints::on_the_proxy(settings, rooms),
        access: settings.access_log.as_ref().map(|log| Arc::clone(&log.policy)),
    })
}

/// What the proxy is told of a listener.
pub(super) fn profile(written: &ListenerSettings) -> ListenerProfile {
    ListenerProfile {
        name: Arc::clone(&written.name),
        trusted_proxies: written.trusted_proxies.clone(),
        connection: written.connection.clone(),
    }
}

/// Starts what runs in the background for upstreams that are new.
pub(super) fn attend(now: &Standing<Gate>, before: Option<&Standing<Gate>>, tasks: &Tasks) {
    let known = before.map_or(&[][..], |before| &before.upstreams);
    for directory in added(&now.upstreams, known) {
        keep_resolved(directory, &SystemResolver, tasks);
        keep_checked(directory, tasks);
    }
}

/// Ends what ran in the background for upstreams that are gone, and forgets their numbers.
pub(super) fn dismiss(now: &Standing<Gate>, before: &Standing<Gate>, metrics: &Metrics) {
    for directory in added(&before.upstreams, &now.upstreams) {
        directory.retire();
        let name = &directory.settings().name;
        match now.upstreams.iter().find(|d| d.settings().name == *name) {
            // The numbers go on; how many addresses there are is the new one's to say.
            Some(successor) => successor.count(),
            None => metrics.forget_upstream(name),
        }
    }
}

/// The upstreams of the one list that are not on the other.
fn added<'a>(
    list: &'a [Arc<Directory>],
    other: &[Arc<Directory>],
) -> impl Iterator<Item = &'a Arc<Directory>> {
    list.iter().filter(|d| !other.iter().any(|o| Arc::ptr_eq(o, d)))
}

/// The public keys are published when something is signed with them.
fn own_pages(settings: &Settings, rooms: &Rooms) -> OwnPages {
    let asserts = settings
        .routes
        .iter()
        .any(|r| r.upstream_headers.assertion_audience.is_some());
    let issues = settings
        .credentials
        .jwt_issuers
        .iter()
        .any(|i| matches!(i.keys, IssuerKeys::Own));
    if !asserts && !issues {
        return OwnPages::default();
    }
    let keys = rooms.accounts.vault().handles().clone();
    let jwks: PublicKeys = Arc::new(move || jwt::public_jwks(&[&keys.jwt, &keys.assertion]));
    OwnPages { jwks: Some(jwks) }
}
