//! Warns about routes that can never be selected, because one before them takes every request of theirs, and
//! about rules that do not cover the path an app may take for the same: `/admin/` is not `/admin`.

use std::sync::Arc;

use super::Notes;
use crate::authz::policy::{Access, PathCase, PathMatch, PatternSegment, RouteMatch, RoutePolicy};

/// Warns about each route that another one before it hides.
pub(super) fn judge(routes: &[Arc<RoutePolicy>], notes: &mut Notes<'_>) {
    for (i, route) in routes.iter().enumerate() {
        let before = routes.iter().take(i);
        if let Some(first) = before.into_iter().find(|r| covers(&r.matches, &route.matches)) {
            let text = format!(
                "route {} is never reached: route {} stands before it and takes all its requests. Put it further up",
                route.name, first.name
            );
            notes.warn(&format!("routes[{i}]"), text);
        }
        if let Some((bare, other)) = bare_form(route, routes) {
            let text = format!(
                "route {} covers everything below {bare}/ but not {bare} itself, which takes route {}. Many apps answer \
                 both alike: give {bare} a route of its own with the same rules",
                route.name, other.name
            );
            notes.warn(&format!("routes[{i}].path"), text);
        }
    }
}

/// For a guarded prefix `/x/`: the route that takes `/x`, when its rules differ and it lets anyone through.
fn bare_form<'a>(
    route: &RoutePolicy,
    routes: &'a [Arc<RoutePolicy>],
) -> Option<(String, &'a Arc<RoutePolicy>)> {
    let PathMatch::Prefix(prefix) = &route.matches.path else {
        return None;
    };
    let bare = prefix.strip_suffix('/').filter(|bare| !bare.is_empty())?;
    let asked = RouteMatch {
        path: PathMatch::Exact(bare.to_owned()),
        ..route.matches.clone()
    };
    let other = routes.iter().find(|r| covers(&r.matches, &asked))?;
    let looser = route.access != Access::Public && other.access != Access::Deny && !same_rules(route, other);
    looser.then(|| (bare.to_owned(), other))
}

/// Whether two routes ask the same of a request.
fn same_rules(a: &RoutePolicy, b: &RoutePolicy) -> bool {
    let rules = |r: &RoutePolicy| RoutePolicy {
        name: Arc::from(""),
        matches: a.matches.clone(),
        upstream: None,
        ..r.clone()
    };
    rules(a) == rules(b)
}

/// Whether every request that `inner` matches is matched by `outer` too. Errs towards no.
fn covers(outer: &RouteMatch, inner: &RouteMatch) -> bool {
    let host = outer.host.is_none() || outer.host == inner.host;
    let methods = outer.methods.is_empty()
        || (!inner.methods.is_empty() && inner.methods.iter().all(|m| outer.methods.contains(m)));
    host && methods && paths_cover(outer, inner)
}

fn paths_cover(outer: &RouteMatch, inner: &RouteMatch) -> bool {
    if outer.path == PathMatch::Prefix("/".to_owned()) {
        return true;
    }
    let fold = |text: &str| match outer.case {
        PathCase::Ignored => text.to_ascii_lowercase(),
        PathCase::Sensitive => text.to_owned(),
    };
    if outer.case == PathCase::Sensitive && inner.case == PathCase::Ignored {
        return false;
    }
    match (&outer.path, &inner.path) {
        (PathMatch::Prefix(outer), PathMatch::Prefix(inner) | PathMatch::Exact(inner)) => {
            fold(inner).starts_with(&fold(outer))
        }
        (PathMatch::Prefix(outer), PathMatch::Pattern(segments)) => {
            let mut literal = String::from("/");
            for segment in segments {
                match segment {
                    PatternSegment::Literal(text) => {
                        literal.push_str(text);
                        literal.push('/');
                    }
                    _ => break,
                }
            }
            let all = segments.iter().all(|s| matches!(s, PatternSegment::Literal(_)));
            !all && fold(&literal).starts_with(&fold(outer))
        }
        (PathMatch::Exact(outer), PathMatch::Exact(inner)) => fold(outer) == fold(inner),
        (outer, inner) => outer == inner,
    }
}
