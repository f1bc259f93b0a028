//! Fills in the defaults that depend on other keys, so that what is printed is what takes effect.
//!
//! Works on the configuration as written and leaves it one; judges nothing.

use std::collections::HashSet;

use super::problems::{Report, Written};
use super::raw::routes::{
    AccessChoice, DialectName, Headers, HttpsChoice, KindName, PrecedenceChoice, RouteProfile,
};
use super::raw::values::{HeaderText, ListenAddress, Name, StoreUrl};
use super::raw::{Config, Listener, Route};

/// Fills in what is missing.
pub fn complete(config: &mut Config, report: &Report) {
    if config.listeners.is_empty() && report.wrote("listeners") == Written::No {
        config.listeners.push(Listener {
            name: Some(Name("public".to_owned())),
            address: Some(ListenAddress::Tcp(([0, 0, 0, 0], 8080).into())),
            ..Listener::default()
        });
    }
    if config.store.url.is_none() && config.store.url_file.is_none() {
        let path = config.data_dir.0.join("doorward.db");
        config.store.url = Some(StoreUrl(path.to_string_lossy().into_owned()));
    }
    let mut taken: HashSet<String> = config
        .routes
        .iter()
        .filter_map(|r| r.name.as_ref().map(|n| n.0.clone()))
        .collect();
    for route in &mut config.routes {
        if route.name.is_none()
            && let Some(path) = &route.path
        {
            let name = free_name(&name_of_path(&path.0), &taken);
            taken.insert(name.clone());
            route.name = Some(Name(name));
        }
        profile(route);
    }
}

/// Writes what a profile stands for, and the plain defaults.
fn profile(route: &mut Route) {
    let (dialect, precedence, https) = match route.profile {
        None => (DialectName::Auto, PrecedenceChoice::Refuse, HttpsChoice::Optional),
        Some(RouteProfile::Homechat) => (
            DialectName::Homechat,
            PrecedenceChoice::Refuse,
            HttpsChoice::RequiredExceptLoopback,
        ),
        Some(RouteProfile::Thingsboard) => (
            DialectName::Thingsboard,
            PrecedenceChoice::Thingsboard,
            HttpsChoice::Optional,
        ),
        Some(RouteProfile::Tagoio) => (
            DialectName::Tagoio,
            PrecedenceChoice::Tagoio,
            HttpsChoice::Optional,
        ),
        Some(RouteProfile::Nest) => {
            nest_headers(&mut route.headers);
            (DialectName::Nest, PrecedenceChoice::Refuse, HttpsChoice::Optional)
        }
    };
    route.dialect.get_or_insert(dialect);
    route.https.get_or_insert(https);
    if route.access == AccessChoice::Authenticated {
        route.precedence.get_or_insert(precedence);
        route.accept.get_or_insert_with(|| {
            vec![
                KindName::SealedDeviceToken,
                KindName::DeviceToken,
                KindName::ApiToken,
                KindName::Jwt,
                KindName::Basic,
            ]
        });
    }
}

/// The names that a NestJS app with device tokens reads.
fn nest_headers(headers: &mut Headers) {
    let name = |text: &'static str| HeaderText(Some(http::HeaderName::from_static(text)));
    headers.device_id.get_or_insert_with(|| name("deviceid"));
    headers.principal.get_or_insert_with(|| name("tokentype"));
    headers
        .write_access
        .get_or_insert_with(|| name("has_write_access"));
    headers.category.get_or_insert_with(|| name("category"));
}

/// A name made of a path: `/api/v1/` is `api-v1`, `/` is `root`.
fn name_of_path(path: &str) -> String {
    let words: Vec<String> = path
        .split(|c: char| !c.is_ascii_alphanumeric() && c != '_')
        .filter(|w| !w.is_empty())
        .map(str::to_owned)
        .collect();
    let name: String = words.join("-").chars().take(56).collect();
    if name.is_empty() { "root".to_owned() } else { name }
}

fn free_name(wanted: &str, taken: &HashSet<String>) -> String {
    if !taken.contains(wanted) {
        return wanted.to_owned();
    }
    (2_u32..)
        .map(|n| format!("{wanted}-{n}"))
        .find(|name| !taken.contains(name))
        .unwrap_or_default()
}
