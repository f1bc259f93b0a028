//! What matches what, and that ambiguity is never resolved by picking.

use std::sync::Arc;

use super::*;
use crate::authz::policy::{PathAllowances, Requirement, testing};
use crate::gate::path::normalize;

/// A route for tests, with nothing but a name and a path.
pub(in crate::gate) fn route(name: &str, path: PathMatch) -> RoutePolicy {
    let mut route = testing::route("/");
    (route.name, route.matches.path) = (Arc::from(name), path);
    route
}

fn table(routes: Vec<RoutePolicy>) -> RouteTable {
    RouteTable::new(routes.into_iter().map(Arc::new).collect())
}

fn selected(table: &RouteTable, host: Option<&str>, path: &str, method: &Method) -> Result<String, Reason> {
    let path = normalize(path)?;
    table.select(host, &path, method).map(|r| r.name.to_string())
}

fn exact(text: &str) -> PathMatch {
    PathMatch::Exact(text.to_owned())
}

fn prefix(text: &str) -> PathMatch {
    PathMatch::Prefix(text.to_owned())
}

#[test]
fn the_first_match_wins() {
    let table = table(vec![
        route("one", exact("/a")),
        route("two", prefix("/a")),
        route("three", prefix("/api/")),
    ]);
    for (path, expected) in [
        ("/a", Ok("one")),
        ("/a/", Ok("two")),
        ("/api/x", Ok("two")),
        ("/b", Err(Reason::RouteUnknown)),
    ] {
        assert_eq!(
            selected(&table, None, path, &Method::GET),
            expected.map(str::to_owned),
            "{path}"
        );
    }
}

#[test]
fn a_prefix_ends_at_its_slash() {
    let table = table(vec![route("api", prefix("/api/"))]);
    for (path, expected) in [
        ("/api/", Ok("api")),
        ("/api/x/y", Ok("api")),
        ("/api", Err(Reason::RouteUnknown)),
        ("/apix", Err(Reason::RouteUnknown)),
        ("/API/", Err(Reason::RouteUnknown)),
    ] {
        assert_eq!(
            selected(&table, None, path, &Method::GET),
            expected.map(str::to_owned),
            "{path}"
        );
    }
}

#[test]
fn patterns_take_whole_segments() {
    let literal = |t: &str| PatternSegment::Literal(t.to_owned());
    let any = || PatternSegment::Any("id".to_owned());
    let table = table(vec![
        route(
            "keys",
            PathMatch::Pattern(vec![literal("v1"), any(), literal("keys")]),
        ),
        route(
            "files",
            PathMatch::Pattern(vec![
                literal("files"),
                any(),
                PatternSegment::Rest("rest".to_owned()),
            ]),
        ),
    ]);
    for (path, expected) in [
        ("/v1/7/keys", Ok("keys")),
        ("/v1/7/keys/", Err(Reason::RouteUnknown)),
        ("/v1/7/8/keys", Err(Reason::RouteUnknown)),
        ("/v1/keys", Err(Reason::RouteUnknown)),
        ("/files/7", Ok("files")),
        ("/files/7/", Ok("files")),
        ("/files/7/a/b", Ok("files")),
        ("/files/", Err(Reason::RouteUnknown)),
    ] {
        assert_eq!(
            selected(&table, None, path, &Method::GET),
            expected.map(str::to_owned),
            "{path}"
        );
    }
}

#[test]
fn hosts_are_compared_without_case_port_and_final_dot() {
    let mut one = route("one", prefix("/"));
    one.matches.host = Some("api.example.com".to_owned());
    let mut any_label = route("any label", prefix("/"));
    any_label.matches.host = Some("*.example.com".to_owned());
    let mut v6 = route("v6", prefix("/"));
    v6.matches.host = Some("[2001:db8::1]".to_owned());
    let table = table(vec![one, any_label, v6]);
    for (host, expected) in [
        (Some("api.example.com"), Ok("one")),
        (Some("API.Example.COM:8080"), Ok("one")),
        (Some("api.example.com."), Ok("one")),
        (Some("api.example.com.:80"), Ok("one")),
        (Some("www.example.com"), Ok("any label")),
        (Some("a.b.example.com"), Err(Reason::RouteUnknown)),
        (Some("example.com"), Err(Reason::RouteUnknown)),
        (Some(".example.com"), Err(Reason::RouteUnknown)),
        (Some("xexample.com"), Err(Reason::RouteUnknown)),
        (Some("[2001:DB8::1]:443"), Ok("v6")),
        (Some("[2001:db8::1]"), Ok("v6")),
        (None, Err(Reason::RouteUnknown)),
    ] {
        assert_eq!(
            selected(&table, host, "/", &Method::GET),
            expected.map(str::to_owned),
            "{host:?}"
        );
    }
}

#[test]
fn methods_and_case_are_part_of_a_match() {
    let mut read = route("read", prefix("/A/"));
    read.matches.methods = vec![Method::GET, Method::HEAD];
    read.matches.case = PathCase::Ignored;
    let table = table(vec![read, route("rest", prefix("/"))]);
    for (method, path, expected) in [
        (Method::GET, "/a/x", "read"),
        (Method::HEAD, "/A/x", "read"),
        (Method::POST, "/a/x", "rest"),
        (Method::GET, "/b", "rest"),
    ] {
        assert_eq!(
            selected(&table, None, path, &method),
            Ok(expected.to_owned()),
            "{method} {path}"
        );
    }
}

#[test]
fn an_encoded_spelling_does_not_pass_by_a_rule() {
    let table = table(vec![
        route("denied", prefix("/a:b/")),
        route("accent", exact("/caf%c3%A9")),
        route("rest", prefix("/")),
    ]);
    for (path, expected) in [
        ("/a:b/", "denied"),
        ("/a%3Ab/", "denied"),
        ("/%61%3a%62/", "denied"),
        ("/caf%C3%A9", "accent"),
        ("/café", "accent"),
    ] {
        assert_eq!(
            selected(&table, None, path, &Method::GET),
            Ok(expected.to_owned()),
            "{path}"
        );
    }
}

#[test]
fn an_allowed_form_must_select_one_route_however_it_is_read() {
    let mut rest = route("rest", prefix("/"));
    rest.allow_in_path = PathAllowances {
        encoded_slash: Requirement::Yes,
        semicolon: Requirement::Yes,
        empty_segment: Requirement::Yes,
    };
    let table = table(vec![
        route("admin", prefix("/admin/")),
        route("exact", exact("/x")),
        rest,
    ]);
    for (path, expected) in [
        ("/files/a%2Fb", Ok("rest")),
        ("/files;v=1/a", Ok("rest")),
        ("/files//a", Ok("rest")),
        ("/admin%2Fusers", Err(Reason::AmbiguousPath)),
        ("/admin;x/users", Err(Reason::AmbiguousPath)),
        ("//admin/users", Err(Reason::AmbiguousPath)),
        ("/%2Fadmin%2Fusers", Err(Reason::AmbiguousPath)),
        ("/;a/admin/users", Err(Reason::AmbiguousPath)),
        ("/x;a", Err(Reason::AmbiguousPath)),
        ("/admin/a%2Fb", Err(Reason::AmbiguousPath)),
    ] {
        assert_eq!(
            selected(&table, None, path, &Method::GET),
            expected.map(str::to_owned),
            "{path}"
        );
    }
}

#[test]
fn an_offence_without_a_route_is_ambiguous_not_unknown() {
    let table = table(vec![route("api", prefix("/api/"))]);
    assert_eq!(
        selected(&table, None, "/x//y", &Method::GET),
        Err(Reason::AmbiguousPath)
    );
}
