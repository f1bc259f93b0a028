//! Warns about routes that can never be selected, because one before them takes every request of theirs.

use std::sync::Arc;

use super::Notes;
use crate::authz::policy::{PathCase, PathMatch, PatternSegment, RouteMatch, RoutePolicy};

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
    }
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
