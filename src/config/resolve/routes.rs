//! Routes as written to [`RoutePolicy`]: references, header names, and keys that would have no effect.

use std::collections::HashMap;
use std::sync::Arc;

use http::HeaderValue;

use super::super::problems::{Written, did_you_mean, shown};
use super::super::raw::routes::{
    AccessChoice, AssertionChoice, DialectName, Headers, HttpsChoice, KindName, PathForm, PrecedenceChoice,
};
use super::super::raw::values::{HeaderText, Network, TextValue};
use super::super::raw::{Config, Route};
use super::{Notes, chosen, paths};
use crate::authz::policy::{
    Access, CarrierRules, DialectChoice, HttpsRule, IdentityField, PathAllowances, PathCase, PathMatch,
    Precedence, Requirement, RouteMatch, RoutePolicy, UpstreamHeaderRules,
};
use crate::domain::dialect::Dialect;
use crate::domain::identity::{CredentialKind, KindSet};
use crate::domain::net::NetworkSet;

/// Keys that only act where credentials are read.
const OF_CREDENTIALS: [&str; 6] = [
    "accept",
    "require",
    "path_token_after",
    "query_credentials",
    "precedence",
    "assertion",
];
/// Keys that only act where something is forwarded.
const OF_FORWARDING: [&str; 7] = [
    "upstream",
    "forward_credential",
    "headers",
    "max_body",
    "response_timeout",
    "idle_timeout",
    "upgrades",
];

/// Resolves the routes, in order.
pub(super) fn resolve(config: &Config, notes: &mut Notes<'_>) -> Vec<Arc<RoutePolicy>> {
    if config.routes.is_empty() {
        notes.report.add(
            "routes",
            "an empty list",
            "at least one route",
            "add one, such as path: /",
        );
    }
    let mut names: HashMap<&str, usize> = HashMap::new();
    let mut out = Vec::new();
    for (i, route) in config.routes.iter().enumerate() {
        let key = format!("routes[{i}]");
        if let Some(name) = &route.name
            && let Some(first) = names.insert(&name.0, i)
        {
            let found = format!("{}, the name of routes[{first}] too", name.0);
            let expected = "a name of its own for each route";
            notes
                .report
                .add(&format!("{key}.name"), found, expected, "choose another name");
        }
        judge_effect(&key, route, notes);
        let upstream = upstream(&key, route, config, notes);
        let policy = policy(&key, route, upstream, notes);
        out.extend(policy.map(Arc::new));
    }
    out
}

fn requirement(yes: bool) -> Requirement {
    if yes { Requirement::Yes } else { Requirement::No }
}

fn policy(
    key: &str,
    route: &Route,
    upstream: Option<Arc<str>>,
    notes: &mut Notes<'_>,
) -> Option<RoutePolicy> {
    let allow_in_path = PathAllowances {
        encoded_slash: requirement(route.allow_in_path.contains(&PathForm::EncodedSlash)),
        semicolon: requirement(route.allow_in_path.contains(&PathForm::Semicolon)),
        empty_segment: requirement(route.allow_in_path.contains(&PathForm::EmptySegment)),
    };
    let upstream_headers = headers(key, route, upstream.as_ref(), notes);
    let carriers = carriers(key, route, notes);
    let path = path(key, route, &allow_in_path, notes);
    let accept = accept(key, route, notes);
    Some(RoutePolicy {
        name: Arc::from(route.name.as_ref()?.0.as_str()),
        matches: RouteMatch {
            host: route.host.as_ref().map(|h| h.0.clone()),
            path: path?,
            methods: route.methods.iter().map(|m| m.0.clone()).collect(),
            case: if route.ignore_case {
                PathCase::Ignored
            } else {
                PathCase::Sensitive
            },
        },
        access: match route.access {
            AccessChoice::Authenticated => Access::Authenticated,
            AccessChoice::Public => Access::Public,
            AccessChoice::Deny => Access::Deny,
        },
        upstream,
        accept,
        carriers,
        require_all_scopes: route.require.scopes.iter().map(|s| s.0.clone()).collect(),
        require_any_scope: route.require.any_scopes.iter().map(|s| s.0.clone()).collect(),
        require_any_role: route.require.roles.iter().map(|r| r.0.clone()).collect(),
        require_write_access: requirement(route.require.write_access),
        require_device_proof: requirement(route.require.device_proof),
        allow_from: allow_from(key, route, notes),
        deny_from: networks(&route.deny_from),
        https: match route.https.unwrap_or_default() {
            HttpsChoice::Optional => HttpsRule::Optional,
            HttpsChoice::Required => HttpsRule::Required,
            HttpsChoice::RequiredExceptLoopback => HttpsRule::RequiredExceptLoopback,
        },
        allow_in_path,
        upstream_headers,
        dialect: match route.dialect.unwrap_or_default() {
            DialectName::Auto => DialectChoice::Auto,
            DialectName::Problem => DialectChoice::Fixed(Dialect::Problem),
            DialectName::Nest => DialectChoice::Fixed(Dialect::Nest),
            DialectName::Thingsboard => DialectChoice::Fixed(Dialect::ThingsBoard),
            DialectName::Tagoio => DialectChoice::Fixed(Dialect::TagoIo),
            DialectName::Homechat => DialectChoice::Fixed(Dialect::HomeChat),
            DialectName::Union => DialectChoice::Fixed(Dialect::Union),
        },
        max_body_bytes: route.max_body.map(|s| s.0),
        response_timeout: route.response_timeout.map(|s| s.0),
        idle_timeout: route.idle_timeout.map(|s| s.0),
        upgrades: match &route.upgrades {
            None => vec![HeaderValue::from_static("websocket")],
            Some(written) => written.iter().map(|p| p.0.clone()).collect(),
        },
    })
}

fn networks(list: &[Network]) -> NetworkSet {
    NetworkSet::new(list.iter().map(|n| n.0).collect())
}

/// An empty list would let everyone in, which is the last thing it looks like.
fn allow_from(key: &str, route: &Route, notes: &mut Notes<'_>) -> NetworkSet {
    if route.allow_from.as_ref().is_some_and(Vec::is_empty) {
        notes.report.add(
            &format!("{key}.allow_from"),
            "an empty list",
            "at least one network in CIDR form",
            "name one, remove the key to let every client come, or write access: deny",
        );
    }
    networks(route.allow_from.as_deref().unwrap_or_default())
}

/// The upstream's name, when it is one.
fn upstream(key: &str, route: &Route, config: &Config, notes: &mut Notes<'_>) -> Option<Arc<str>> {
    let key = format!("{key}.upstream");
    let names = || config.upstreams.keys().map(String::as_str);
    let expected = match names().collect::<Vec<_>>().as_slice() {
        [] => "the name of an upstream, of which there is none".to_owned(),
        names => format!("the name of an upstream: {}", names.join(", ")),
    };
    match (&route.upstream, route.access) {
        (None, AccessChoice::Deny) => None,
        (None, _) => {
            notes.report.add(
                &key,
                "nothing",
                expected,
                "name the upstream that these requests go to",
            );
            None
        }
        (Some(name), _) if config.upstreams.contains_key(name) => Some(Arc::from(name.as_str())),
        (Some(name), _) => {
            let remedy = match did_you_mean(name, names()) {
                Some(meant) => format!("did you mean {meant}?"),
                None => "add it to upstreams, or name another one".to_owned(),
            };
            notes.report.add(&key, shown(name), expected, remedy);
            None
        }
    }
}

/// A key that parses must act.
fn judge_effect(key: &str, route: &Route, notes: &mut Notes<'_>) {
    let (access, unused): (&str, Vec<&'static str>) = match route.access {
        AccessChoice::Authenticated => return,
        AccessChoice::Public => ("public", OF_CREDENTIALS.to_vec()),
        AccessChoice::Deny => (
            "deny",
            OF_CREDENTIALS.iter().chain(&OF_FORWARDING).copied().collect(),
        ),
    };
    for name in chosen(route, &Route::default(), &unused) {
        let found = format!("{name} on a route with access: {access}");
        let expected = "only keys that act on such a route";
        let remedy = "remove it, or choose access: authenticated";
        notes
            .report
            .add(&format!("{key}.{name}"), found, expected, remedy);
    }
}

fn path(key: &str, route: &Route, allow: &PathAllowances, notes: &mut Notes<'_>) -> Option<PathMatch> {
    let text = &route.path.as_ref()?.0;
    let key = format!("{key}.path");
    match paths::parse(text, allow) {
        Ok(PathMatch::Pattern(_)) if route.access == AccessChoice::Public => {
            let expected = "/x for this path, or /x/ for all below it, on a public route";
            let remedy = "public routes are written out, so that nothing is public by accident";
            notes.report.add(&key, shown(text), expected, remedy);
            None
        }
        Ok(path) => Some(path),
        Err(bad) => {
            notes.report.add(&key, bad.found, paths::EXPECTED, bad.remedy);
            None
        }
    }
}

fn accept(key: &str, route: &Route, notes: &mut Notes<'_>) -> KindSet {
    if route.access != AccessChoice::Authenticated {
        return KindSet::NONE;
    }
    let list = route.accept.as_deref().unwrap_or_default();
    if list.is_empty() && notes.report.wrote(&format!("{key}.accept")) == Written::Yes {
        let remedy = "name a kind, remove the key to accept every kind, or write access: deny";
        notes.report.add(
            &format!("{key}.accept"),
            "an empty list",
            "at least one credential kind",
            remedy,
        );
    }
    list.iter().fold(KindSet::NONE, |set, kind| {
        set.with(match kind {
            KindName::SealedDeviceToken => CredentialKind::SealedDeviceToken,
            KindName::DeviceToken => CredentialKind::DeviceToken,
            KindName::ApiToken => CredentialKind::ApiToken,
            KindName::Jwt => CredentialKind::Jwt,
            KindName::Basic => CredentialKind::Basic,
        })
    })
}

fn carriers(key: &str, route: &Route, notes: &mut Notes<'_>) -> CarrierRules {
    let path_token_after = route.path_token_after.as_ref().map(|p| p.0.clone());
    if let Some(text) = &path_token_after {
        let plain = matches!(
            paths::parse(text, &PathAllowances::default()),
            Ok(PathMatch::Prefix(_))
        );
        if !plain {
            let expected = "the path before the token, ending in /, such as /api/v1/";
            notes.report.add(
                &format!("{key}.path_token_after"),
                shown(text),
                expected,
                "end it in /",
            );
        }
    }
    CarrierRules {
        path_token_after,
        query_parameters: route.query_credentials.iter().map(|n| n.0.clone()).collect(),
        precedence: match route.precedence.unwrap_or_default() {
            PrecedenceChoice::Refuse => Precedence::Refuse,
            PrecedenceChoice::Tagoio => Precedence::TagoIo,
            PrecedenceChoice::Thingsboard => Precedence::ThingsBoard,
        },
    }
}

fn field(headers: &Headers, field: IdentityField) -> (&'static str, &Option<HeaderText>) {
    match field {
        IdentityField::Subject => ("subject", &headers.subject),
        IdentityField::Principal => ("principal", &headers.principal),
        IdentityField::Credential => ("credential", &headers.credential),
        IdentityField::CredentialId => ("credential_id", &headers.credential_id),
        IdentityField::Tenant => ("tenant", &headers.tenant),
        IdentityField::Customer => ("customer", &headers.customer),
        IdentityField::Scopes => ("scopes", &headers.scopes),
        IdentityField::Roles => ("roles", &headers.roles),
        IdentityField::WriteAccess => ("write_access", &headers.write_access),
        IdentityField::DeviceId => ("device_id", &headers.device_id),
        IdentityField::Category => ("category", &headers.category),
        IdentityField::Expires => ("expires", &headers.expires),
    }
}

fn headers(
    key: &str,
    route: &Route,
    upstream: Option<&Arc<str>>,
    notes: &mut Notes<'_>,
) -> UpstreamHeaderRules {
    let mut rules = UpstreamHeaderRules {
        forward_credential: requirement(route.forward_credential),
        assertion_audience: match &route.assertion {
            None | Some(AssertionChoice::Switch(false)) => None,
            Some(AssertionChoice::Switch(true)) => upstream.cloned(),
            Some(AssertionChoice::For(stated)) => stated.audience.as_deref().map(Arc::from),
        },
        ..UpstreamHeaderRules::default()
    };
    // Names are compared as `upstream_headers` strips them: separators do not tell names apart.
    let plain = |name: &http::HeaderName| name.as_str().replace(|c: char| !c.is_ascii_alphanumeric(), "_");
    let mut taken: HashMap<String, &str> = HashMap::new();
    for (slot, which) in rules.names.iter_mut().zip(IdentityField::ALL) {
        let (name, chosen) = field(&route.headers, which);
        if let Some(HeaderText(chosen)) = chosen {
            *slot = chosen.clone();
        }
        if let Some(header) = slot
            && let Some(first) = taken.insert(plain(header), name)
        {
            let at = match chosen {
                Some(_) => name,
                None => first,
            };
            notes.report.add(
                &format!("{key}.headers.{at}"),
                format!(
                    "{}, which carries {first} and {name}",
                    HeaderText(Some(header.clone())).text()
                ),
                "a header of its own for each",
                "choose another name, or write off for one of them",
            );
        }
    }
    rules
}

/// Warns about routes that name a kind of which no credential can exist.
pub(super) fn judge_kinds(config: &Config, routes: &[Arc<RoutePolicy>], notes: &mut Notes<'_>) {
    if !config.credentials.jwt.issuers.is_empty() {
        return;
    }
    for (i, route) in config.routes.iter().enumerate() {
        let key = format!("routes[{i}].accept");
        let names_jwt = route.accept.as_ref().is_some_and(|a| a.contains(&KindName::Jwt));
        if names_jwt && notes.report.wrote(&key) == Written::Yes && !routes.is_empty() {
            notes.warn(
                &key,
                "JWTs are accepted, but credentials.jwt.issuers names no issuer: each one is refused",
            );
        }
    }
}
