//! The public auth endpoints that are switched on, from settings to what the doors mount.
//!
//! Built again by every reload; what must outlive one (how much was generated lately) stands in the rooms.

use std::sync::Arc;

use super::convert;
use super::rooms::Rooms;
use crate::accounts::{Callers, DeviceTokens, OwnTokens, TokenClients, TokenManagers};
use crate::config::Settings;
use crate::config::settings::{EndpointDoor, TagoIoPart};
use crate::edge::endpoints::{Endpoint, Endpoints, Extent, Mount, homechat, nest, oauth, tagoio};

/// Those that the proxy answers.
pub(super) fn on_the_proxy(settings: &Settings, rooms: &Rooms) -> Endpoints {
    let mut mounts = Vec::new();
    device_tokens(settings, rooms, &mut mounts);
    own_tokens(settings, rooms, &mut mounts);
    for_clients(EndpointDoor::Proxy, settings, rooms, &mut mounts);
    tagoio_api(settings, rooms, &mut mounts);
    table(mounts, rooms)
}

/// Those that the admin door answers, beside its own.
pub(super) fn on_the_admin_door(settings: &Settings, rooms: &Rooms) -> Endpoints {
    let mut mounts = Vec::new();
    for_clients(EndpointDoor::Admin, settings, rooms, &mut mounts);
    table(mounts, rooms)
}

fn table(mounts: Vec<Mount>, rooms: &Rooms) -> Endpoints {
    for mount in &mounts {
        tracing::info!(path = &*mount.path, "a public auth endpoint is on");
    }
    match mounts.is_empty() {
        true => Endpoints::none(),
        false => Endpoints::new(mounts, &rooms.ground.tasks),
    }
}

fn callers(settings: &Settings, rooms: &Rooms) -> Callers {
    let authn = Arc::clone(&rooms.authn);
    let metrics = Arc::clone(&rooms.metrics);
    Callers::new(authn, convert::shapes(settings), rooms.clock.clone(), metrics)
}

fn mount(paths: &[Box<str>], endpoint: Arc<dyn Endpoint>, mounts: &mut Vec<Mount>) {
    mounts.extend(paths.iter().map(|path| Mount {
        path: path.clone(),
        extent: Extent::Itself,
        endpoint: Arc::clone(&endpoint),
    }));
}

fn device_tokens(settings: &Settings, rooms: &Rooms, mounts: &mut Vec<Mount>) {
    let written = &settings.endpoints.device_token;
    let tokens = Arc::new(DeviceTokens::new(
        Arc::clone(&rooms.accounts),
        callers(settings, rooms).wanting(rooms.proofs(settings)),
        Arc::clone(&rooms.generated),
        written.generation.clone(),
    ));
    let generate = nest::Generate {
        tokens: Arc::clone(&tokens),
        extra: written.extra_fields,
    };
    mount(&written.generate, Arc::new(generate), mounts);
    mount(&written.validate, Arc::new(nest::Validate { tokens }), mounts);
}

fn own_tokens(settings: &Settings, rooms: &Rooms, mounts: &mut Vec<Mount>) {
    let written = &settings.endpoints.homechat;
    let tokens = Arc::new(OwnTokens::new(
        Arc::clone(&rooms.accounts),
        callers(settings, rooms),
        written.token_lifetime,
    ));
    mount(
        &written.refresh,
        Arc::new(homechat::Refresh(Arc::clone(&tokens))),
        mounts,
    );
    mount(
        &written.sessions,
        Arc::new(homechat::Sessions(Arc::clone(&tokens))),
        mounts,
    );
    let one: Arc<dyn Endpoint> = Arc::new(homechat::Session(tokens));
    mounts.extend(written.sessions.iter().map(|path| Mount {
        path: path.clone(),
        extent: Extent::OneBelow,
        endpoint: Arc::clone(&one),
    }));
}

fn tagoio_api(settings: &Settings, rooms: &Rooms, mounts: &mut Vec<Mount>) {
    let written = &settings.endpoints.tagoio;
    let managers = Arc::new(TokenManagers::new(
        Arc::clone(&rooms.accounts),
        callers(settings, rooms),
    ));
    for part in &written.serve {
        let at = |extent, endpoint: Arc<dyn Endpoint>| Mount {
            path: part.path().into(),
            extent,
            endpoint,
        };
        match part {
            TagoIoPart::Info => {
                let info = Arc::new(tagoio::Info(Arc::clone(&managers)));
                mounts.push(at(Extent::Itself, info));
            }
            TagoIoPart::DeviceToken => {
                let create = Arc::new(tagoio::CreateToken {
                    managers: Arc::clone(&managers),
                    expire_time: written.expire_time.clone(),
                });
                mounts.push(at(Extent::Itself, create));
                let tokens = Arc::new(tagoio::TokensOf(Arc::clone(&managers)));
                mounts.push(at(Extent::OneBelow, tokens));
            }
        }
    }
}

fn for_clients(door: EndpointDoor, settings: &Settings, rooms: &Rooms, mounts: &mut Vec<Mount>) {
    let (introspection, revocation) = (&settings.endpoints.introspection, &settings.endpoints.revocation);
    let clients = Arc::new(TokenClients::new(
        Arc::clone(&rooms.accounts),
        callers(settings, rooms),
    ));
    if introspection.door == door {
        let endpoint = Arc::new(oauth::Introspect(Arc::clone(&clients)));
        mount(&introspection.paths, endpoint, mounts);
    }
    if revocation.door == door {
        mount(&revocation.paths, Arc::new(oauth::Revoke(clients)), mounts);
    }
}
