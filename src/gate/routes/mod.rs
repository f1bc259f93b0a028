//! The routes of one snapshot: host, path and method to a policy. First match wins.
//!
//! Compiled once when the configuration is loaded; a look-up borrows and allocates nothing, unless the
//! path has a form that servers read differently: then every reading must select the same route
//! (`gate::path`). Checks nothing about the caller.

use std::sync::Arc;

use http::Method;

use super::path::{NormalizedPath, rule_form};
use crate::authz::policy::{PathCase, PathMatch, PatternSegment, RoutePolicy};
use crate::domain::reason::Reason;

#[cfg(test)]
pub(in crate::gate) mod tests;

/// Every route, in order.
#[derive(Debug, Default)]
pub struct RouteTable(Vec<Entry>);

#[derive(Debug)]
struct Entry {
    host: HostRule,
    path: PathRule,
    policy: Arc<RoutePolicy>,
}

#[derive(Debug)]
enum HostRule {
    Any,
    Exact(String),
    /// `.example.com` of `*.example.com`.
    AnyLabelBefore(String),
}

#[derive(Debug)]
enum PathRule {
    Exact(String),
    Prefix(String),
    Pattern(Vec<PatternSegment>),
}

impl RouteTable {
    /// Compiles the routes. Paths in rules are read like paths in requests: `%C3%A9` is `é`.
    pub fn new(routes: Vec<Arc<RoutePolicy>>) -> Self {
        Self(
            routes
                .into_iter()
                .map(|policy| Entry {
                    host: host_rule(policy.matches.host.as_deref()),
                    path: path_rule(&policy.matches.path),
                    policy,
                })
                .collect(),
        )
    }

    /// The route of a request. `route_unknown` when there is none; `ambiguous_path` when the path has a
    /// form that its route does not allow, or that another reading takes to another route.
    pub fn select(
        &self,
        host: Option<&str>,
        path: &NormalizedPath<'_>,
        method: &Method,
    ) -> Result<&Arc<RoutePolicy>, Reason> {
        let found = self.find(host, path, method);
        if path.offences().is_empty() {
            return found.ok_or(Reason::RouteUnknown);
        }
        let route = found.ok_or(Reason::AmbiguousPath)?;
        path.offences().check(&route.allow_in_path)?;
        let host = host.map(canonical_host);
        for reading in path.readings() {
            match self.first(host, &reading, method) {
                Some(other) if Arc::ptr_eq(other, route) => {}
                _ => return Err(Reason::AmbiguousPath),
            }
        }
        Ok(route)
    }

    /// The first route that matches, without regard to offences in the path.
    pub fn find(
        &self,
        host: Option<&str>,
        path: &NormalizedPath<'_>,
        method: &Method,
    ) -> Option<&Arc<RoutePolicy>> {
        self.first(host.map(canonical_host), path.for_matching(), method)
    }

    /// Every route, in order.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<RoutePolicy>> {
        self.0.iter().map(|e| &e.policy)
    }

    fn first(&self, host: Option<&str>, path: &str, method: &Method) -> Option<&Arc<RoutePolicy>> {
        self.0
            .iter()
            .find(|e| {
                let rule = &e.policy.matches;
                (rule.methods.is_empty() || rule.methods.contains(method))
                    && host_matches(&e.host, host)
                    && path_matches(&e.path, path, rule.case)
            })
            .map(|e| &e.policy)
    }
}

fn host_rule(host: Option<&str>) -> HostRule {
    match host.map(canonical_host) {
        None => HostRule::Any,
        Some(host) => match host.strip_prefix('*') {
            Some(rest) if rest.starts_with('.') => HostRule::AnyLabelBefore(rest.to_owned()),
            _ => HostRule::Exact(host.to_owned()),
        },
    }
}

fn path_rule(path: &PathMatch) -> PathRule {
    match path {
        PathMatch::Exact(text) => PathRule::Exact(rule_form(text)),
        PathMatch::Prefix(text) => PathRule::Prefix(rule_form(text)),
        PathMatch::Pattern(segments) => PathRule::Pattern(
            segments
                .iter()
                .map(|s| match s {
                    PatternSegment::Literal(text) => PatternSegment::Literal(rule_form(text)),
                    other => other.clone(),
                })
                .collect(),
        ),
    }
}

/// The host without port and without the root's dot: `example.com.:80` is `example.com`. Case is left to
/// the comparison.
fn canonical_host(authority: &str) -> &str {
    let host = match authority.rsplit_once(':') {
        // A colon within brackets belongs to an IPv6 address.
        Some((host, port)) if !port.ends_with(']') => host,
        _ => authority,
    };
    host.strip_suffix('.').unwrap_or(host)
}

fn host_matches(rule: &HostRule, host: Option<&str>) -> bool {
    match (rule, host) {
        (HostRule::Any, _) => true,
        (_, None) => false,
        (HostRule::Exact(wanted), Some(host)) => wanted.eq_ignore_ascii_case(host),
        (HostRule::AnyLabelBefore(suffix), Some(host)) => host
            .find('.')
            .and_then(|dot| host.split_at_checked(dot))
            .is_some_and(|(label, rest)| !label.is_empty() && rest.eq_ignore_ascii_case(suffix)),
    }
}

fn same(case: PathCase, a: &str, b: &str) -> bool {
    match case {
        PathCase::Sensitive => a == b,
        PathCase::Ignored => a.eq_ignore_ascii_case(b),
    }
}

fn path_matches(rule: &PathRule, path: &str, case: PathCase) -> bool {
    match rule {
        PathRule::Exact(wanted) => same(case, wanted, path),
        PathRule::Prefix(prefix) => path
            .split_at_checked(prefix.len())
            .is_some_and(|(start, _)| same(case, prefix, start)),
        PathRule::Pattern(segments) => pattern_matches(segments, path, case),
    }
}

fn pattern_matches(pattern: &[PatternSegment], path: &str, case: PathCase) -> bool {
    let Some(rest) = path.strip_prefix('/') else {
        return false;
    };
    let mut segments = rest.split('/');
    for wanted in pattern {
        let fits = match wanted {
            PatternSegment::Rest(_) => return true,
            PatternSegment::Literal(text) => segments.next().is_some_and(|s| same(case, text, s)),
            PatternSegment::Any(_) => segments.next().is_some_and(|s| !s.is_empty()),
        };
        if !fits {
            return false;
        }
    }
    segments.next().is_none()
}
