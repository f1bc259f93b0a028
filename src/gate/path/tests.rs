//! Hostile paths first; then the property that however a server reads an accepted path, the same rule
//! is selected (S3).

use std::sync::Arc;

use http::Method;
use proptest::prelude::*;

use super::*;
use crate::authz::policy::{PathMatch, PatternSegment, RoutePolicy};
use crate::gate::routes::RouteTable;
use crate::gate::routes::tests::route;

fn everything() -> PathAllowances {
    PathAllowances {
        encoded_slash: Requirement::Yes,
        semicolon: Requirement::Yes,
        empty_segment: Requirement::Yes,
    }
}

#[test]
fn forms_that_no_route_can_allow_are_refused() {
    for (path, why) in [
        ("", "nothing at all"),
        ("a", "does not begin with a slash"),
        ("*", "asterisk form addresses no route"),
        ("http://h/a", "absolute form"),
        ("/..", "a dot segment at the end"),
        ("/.", "a dot segment at the end"),
        ("/a/../b", "a dot segment"),
        ("/a/./b", "a dot segment"),
        ("/a/%2e%2e/b", "an encoded dot segment"),
        ("/a/.%2E", "a half encoded dot segment"),
        ("/a/%2e", "an encoded dot segment at the end"),
        ("/a/..;/b", "a dot segment with a parameter"),
        ("/a/..;x=1", "a dot segment with a parameter at the end"),
        (
            "/a/%2e%2e%3bx/b",
            "an encoded dot segment with an encoded parameter",
        ),
        ("/a%2f..%2fb", "a dot segment between encoded slashes"),
        ("/a%2F..", "a dot segment after an encoded slash"),
        ("/a;x%3Bb", "a semicolon in both spellings"),
        ("/a\\b", "a backslash"),
        ("/a%5Cb", "an encoded backslash"),
        ("/a%5c..%5cb", "encoded backslashes"),
        ("/a%00b", "NUL"),
        ("/a%0d%0ab", "a line end"),
        ("/a%09b", "a tab"),
        ("/a%1fb", "a control character"),
        ("/a%7Fb", "DEL"),
        ("/a\u{7}b", "a raw control character"),
        ("/a%C2%85b", "a C1 control character"),
        ("/a%252fb", "a double encoding"),
        ("/a%252e%252e", "a double encoding"),
        ("/a%25%32%66b", "a double encoding, itself encoded"),
        ("/a%%32%66", "an encoding put together from two"),
        ("/a%2%35", "an encoding put together from two"),
        ("/a%25%34%31", "a double encoding of a harmless letter"),
        ("/a%c0%afb", "an overlong slash"),
        ("/a%e0%80%afb", "an overlong slash of three bytes"),
        ("/a%ffb", "no UTF-8"),
        ("/a%ed%a0%80", "a surrogate"),
        ("/a%C3", "half a character"),
        ("/a%", "a bare percent sign"),
        ("/a%4", "half an encoding"),
        ("/a%zz", "no hexadecimal digits"),
        ("/a%u002f", "the encoding of another vendor"),
        ("/a%+1", "a sign is no digit"),
        ("/a b", "a space"),
        ("/a#b", "a fragment"),
        ("/a?b", "a query within the path"),
    ] {
        assert_eq!(
            normalize(path).map(|p| p.as_str().to_owned()),
            Err(Reason::AmbiguousPath),
            "{path:?}: {why}"
        );
    }
}

#[test]
fn forms_that_a_route_may_allow_are_named() {
    let allow = |encoded_slash, semicolon, empty_segment| PathAllowances {
        encoded_slash,
        semicolon,
        empty_segment,
    };
    use Requirement::{No, Yes};
    for (path, just_enough, why) in [
        ("/a%2Fb", allow(Yes, No, No), "an encoded slash"),
        ("/a%2fb", allow(Yes, No, No), "an encoded slash in lower case"),
        ("/a;x=1/b", allow(No, Yes, No), "a parameter"),
        (
            "/a%3Bb",
            allow(No, Yes, No),
            "an encoded semicolon: some decode first and cut then",
        ),
        ("/a//b", allow(No, No, Yes), "an empty segment"),
        ("//a", allow(No, No, Yes), "an empty segment at the start"),
        ("/a//", allow(No, No, Yes), "an empty segment at the end"),
        ("//", allow(No, No, Yes), "an empty segment alone"),
        ("/a/%2Fb", allow(Yes, No, Yes), "a slash beside an encoded one"),
        ("/a/;x/b", allow(No, Yes, Yes), "a segment of parameters only"),
        ("/a/;x", allow(No, Yes, Yes), "a last segment of parameters only"),
    ] {
        let path = normalize(path).expect(why);
        assert_eq!(path.offences().check(&just_enough), Ok(()), "{path:?}: {why}");
        for less in [
            PathAllowances {
                encoded_slash: No,
                ..just_enough
            },
            PathAllowances {
                semicolon: No,
                ..just_enough
            },
            PathAllowances {
                empty_segment: No,
                ..just_enough
            },
        ] {
            let expected = if less == just_enough {
                Ok(())
            } else {
                Err(Reason::AmbiguousPath)
            };
            assert_eq!(path.offences().check(&less), expected, "{path:?} with {less:?}");
        }
    }
}

#[test]
fn accepted_paths_have_one_spelling() {
    for (path, forwarded, matched) in [
        ("/", "/", "/"),
        ("/a/b/", "/a/b/", "/a/b/"),
        ("/%61dmin", "/admin", "/admin"),
        ("/a%2db%2E%5f%7e", "/a-b._~", "/a-b._~"),
        ("/.well-known/x", "/.well-known/x", "/.well-known/x"),
        ("/.../..a/b..", "/.../..a/b..", "/.../..a/b.."),
        ("/caf%c3%a9", "/caf%C3%A9", "/café"),
        ("/café", "/caf%C3%A9", "/café"),
        ("/a%3ab%40c", "/a%3Ab%40c", "/a:b@c"),
        ("/a:b@c", "/a:b@c", "/a:b@c"),
        ("/{id}|x", "/%7Bid%7D%7Cx", "/{id}|x"),
        ("/50%25", "/50%25", "/50%25"),
        ("/50%25zz", "/50%25zz", "/50%25zz"),
        ("/a%2fb", "/a%2Fb", "/a%2Fb"),
        ("/a%20b+c", "/a%20b+c", "/a b+c"),
    ] {
        let normal = normalize(path).expect("an accepted path");
        assert_eq!(normal.as_str(), forwarded, "{path}");
        assert_eq!(normal.for_matching(), matched, "{path}");
        let again = normalize(forwarded).expect("a normal path");
        assert_eq!(
            again.as_str(),
            forwarded,
            "{path}: normalizing twice changes nothing"
        );
        assert!(
            matches!(again.text, Cow::Borrowed(_)),
            "{path}: a normal path is borrowed"
        );
    }
}

#[test]
fn the_target_is_the_normal_path_and_the_query() {
    let path = normalize("/a%62").expect("a path");
    for (query, expected) in [(None, "/ab"), (Some("x=1"), "/ab?x=1"), (Some(""), "/ab?")] {
        let target = target(path.as_str(), query, None).expect("a target");
        assert_eq!(target.as_str(), expected);
    }
}

#[test]
fn a_received_target_is_shared_only_when_it_says_the_same() {
    for (received, left, shared) in [
        ("/a/b", None, true),
        ("/a/b?x=1", Some("x=1"), true),
        ("/a/b?x=1&token=s", Some("x=1"), false),
        ("/a/b?token=s", None, false),
        ("/a/%62?x=1", Some("x=1"), false),
    ] {
        let received: PathAndQuery = received.parse().expect("a target");
        let path = normalize(received.path()).expect("a path");
        let found = target(path.as_str(), left, Some(&received)).expect("a target");
        assert_eq!(
            found,
            target(path.as_str(), left, None).expect("a target"),
            "{received}"
        );
        let same = std::ptr::eq(found.as_str(), received.as_str());
        assert_eq!(same, shared, "{received}");
    }
}

// How servers are known to read paths.

fn decode(path: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    let mut i = 0;
    while i < path.len() {
        if path[i] == b'%'
            && let Some(Ok(value)) = path
                .get(i + 1..i + 3)
                .and_then(|h| std::str::from_utf8(h).ok())
                .filter(|h| h.bytes().all(|b| b.is_ascii_hexdigit()))
                .map(|h| u8::from_str_radix(h, 16))
        {
            out.push(value);
            i += 3;
        } else {
            out.push(path[i]);
            i += 1;
        }
    }
    out
}

fn split(path: &[u8]) -> Vec<Vec<u8>> {
    path.split(|b| *b == b'/').map(<[u8]>::to_vec).collect()
}

fn collapse(path: &[u8]) -> Vec<u8> {
    let mut out: Vec<u8> = Vec::new();
    for &b in path {
        if b != b'/' || out.last() != Some(&b'/') {
            out.push(b);
        }
    }
    out
}

fn strip_parameters(path: &[u8]) -> Vec<u8> {
    split(path)
        .into_iter()
        .map(|s| s.split(|b| *b == b';').next().unwrap_or_default().to_vec())
        .collect::<Vec<_>>()
        .join(&b'/')
}

fn resolve_dots(path: &[u8]) -> Vec<u8> {
    let mut out: Vec<Vec<u8>> = Vec::new();
    for segment in split(path) {
        match segment.as_slice() {
            b"." => {}
            b".." => {
                if out.len() > 1 {
                    out.pop();
                }
            }
            _ => out.push(segment),
        }
    }
    out.join(&b'/')
}

fn backslash_to_slash(path: &[u8]) -> Vec<u8> {
    path.iter().map(|&b| if b == b'\\' { b'/' } else { b }).collect()
}

fn cut_at_nul(path: &[u8]) -> Vec<u8> {
    path.split(|b| *b == 0).next().unwrap_or_default().to_vec()
}

fn drop_controls(path: &[u8]) -> Vec<u8> {
    path.iter()
        .copied()
        .filter(|b| *b >= 0x20 && *b != 0x7f)
        .collect()
}

fn overlong(path: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    let mut i = 0;
    while i < path.len() {
        match path[i..] {
            [0xc0 | 0xc1, low, ..] => {
                out.push((path[i] & 1) << 6 | low & 0x3f);
                i += 2;
            }
            _ => {
                out.push(path[i]);
                i += 1;
            }
        }
    }
    out
}

type Step = fn(&[u8]) -> Vec<u8>;

const SERVERS: &[(&str, &[Step])] = &[
    ("compares as received", &[]),
    ("decodes", &[decode]),
    ("decodes twice", &[decode, decode]),
    ("decodes three times", &[decode, decode, decode]),
    ("collapses", &[collapse]),
    ("collapses, decodes", &[collapse, decode]),
    ("decodes, collapses", &[decode, collapse]),
    ("cuts parameters", &[strip_parameters]),
    ("cuts parameters, decodes", &[strip_parameters, decode]),
    ("decodes, cuts parameters", &[decode, strip_parameters]),
    (
        "cuts parameters, collapses",
        &[strip_parameters, decode, collapse],
    ),
    ("resolves dots", &[resolve_dots]),
    ("resolves dots, decodes", &[resolve_dots, decode]),
    ("decodes, resolves dots", &[decode, resolve_dots]),
    (
        "cuts parameters, decodes, resolves dots",
        &[strip_parameters, decode, resolve_dots],
    ),
    (
        "decodes, resolves dots, collapses",
        &[decode, resolve_dots, collapse],
    ),
    (
        "decodes twice, resolves dots",
        &[decode, decode, resolve_dots, collapse],
    ),
    (
        "backslash is a slash, then decodes",
        &[backslash_to_slash, decode],
    ),
    (
        "decodes, backslash is a slash",
        &[decode, backslash_to_slash, resolve_dots],
    ),
    ("decodes, ends at NUL", &[decode, cut_at_nul]),
    ("decodes, drops controls", &[decode, drop_controls, resolve_dots]),
    ("decodes overlong UTF-8", &[decode, overlong, resolve_dots]),
    (
        "everything at once",
        &[
            decode,
            strip_parameters,
            backslash_to_slash,
            resolve_dots,
            collapse,
        ],
    ),
];

/// The rules, written once more and naively.
fn rule_of(path: &[u8]) -> &'static str {
    let path = String::from_utf8_lossy(path);
    let segments: Vec<&str> = path.split('/').collect();
    if path == "/health" {
        "health"
    } else if path.starts_with("/admin/") {
        "admin"
    } else if matches!(segments.as_slice(), ["", "v1", id, "keys"] if !id.is_empty()) {
        "keys"
    } else {
        "rest"
    }
}

fn table(rest: PathAllowances) -> RouteTable {
    let segment = |text: &str| PatternSegment::Literal(text.to_owned());
    let rules: [(&str, PathMatch); 4] = [
        ("health", PathMatch::Exact("/health".to_owned())),
        ("admin", PathMatch::Prefix("/admin/".to_owned())),
        (
            "keys",
            PathMatch::Pattern(vec![
                segment("v1"),
                PatternSegment::Any("id".to_owned()),
                segment("keys"),
            ]),
        ),
        ("rest", PathMatch::Prefix("/".to_owned())),
    ];
    RouteTable::new(
        rules
            .into_iter()
            .map(|(name, path)| {
                let mut policy: RoutePolicy = route(name, path);
                if name == "rest" {
                    policy.allow_in_path = rest;
                }
                Arc::new(policy)
            })
            .collect(),
    )
}

fn hostile_path() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        Just("/"),
        Just("/"),
        Just("admin"),
        Just("admin/"),
        Just("health"),
        Just("v1"),
        Just("keys"),
        Just("a"),
        Just("."),
        Just(".."),
        Just("%2e"),
        Just("%2E%2e"),
        Just("%2f"),
        Just("%2F"),
        Just("%5c"),
        Just("\\"),
        Just(";"),
        Just(";x=1"),
        Just("%3b"),
        Just("//"),
        Just("%00"),
        Just("%0a"),
        Just("%25"),
        Just("%252f"),
        Just("%2"),
        Just("%"),
        Just("2f"),
        Just("5c"),
        Just("61dmin"),
        Just("%61"),
        Just("%c0%af"),
        Just("%C3%A9"),
        Just("é"),
        Just(":"),
        Just("%3A"),
        Just("+"),
        Just("%20"),
        Just("~"),
        Just("%7e"),
    ];
    (any::<bool>(), prop::collection::vec(piece, 0..9))
        .prop_map(|(slash, pieces)| format!("{}{}", if slash { "/" } else { "" }, pieces.concat()))
}

/// A path that some rule names, with a letter or slash of it spelled in another way here and there.
fn disguised_path() -> impl Strategy<Value = String> {
    const RULES: [&str; 4] = ["/admin/", "/admin/x", "/health", "/v1/7/keys"];
    (
        prop::sample::select(&RULES[..]),
        prop::collection::vec(0..60_u8, 12),
    )
        .prop_map(|(rule, disguises)| {
            rule.chars()
                .zip(disguises)
                .map(|(c, disguise)| {
                    let code = u32::from(c);
                    match (disguise, c) {
                        (0, _) => format!("%{code:02x}"),
                        (1, _) => format!("%{code:02X}"),
                        (2, _) => format!("%25{code:02x}"),
                        (3, _) => format!("%%{:02x}%{:02x}", u32::from('2'), u32::from('f')),
                        (4, _) => format!(";x=1{c}"),
                        (5, _) => format!("%3b{c}"),
                        (6, _) => format!("%00{c}"),
                        (7, _) => format!("%08{c}"),
                        (8 | 9, '/') => "%2f".to_owned(),
                        (10 | 11, '/') => "//".to_owned(),
                        (12, '/') => "/./".to_owned(),
                        (13, '/') => "/a/../".to_owned(),
                        (14, '/') => "/%2e%2e/".to_owned(),
                        (15, '/') => "\\".to_owned(),
                        (16, '/') => "%5C".to_owned(),
                        (17, '/') => "%c0%af".to_owned(),
                        (18, '/') => "%252F".to_owned(),
                        (19, '/') => "/..;/".to_owned(),
                        (20, '/') => "/;/".to_owned(),
                        _ => c.to_string(),
                    }
                })
                .collect()
        })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(3000))]

    #[test]
    fn every_server_selects_the_rule_that_was_selected_here(
        path in prop_oneof![1 => hostile_path(), 3 => disguised_path()],
        lenient in any::<bool>(),
    ) {
        let table = table(if lenient { everything() } else { PathAllowances::default() });
        let Ok(normal) = normalize(&path) else { return Ok(()) };
        let Ok(selected) = table.select(None, &normal, &Method::GET) else { return Ok(()) };
        for (name, steps) in SERVERS {
            let seen = steps.iter().fold(normal.as_str().as_bytes().to_vec(), |p, step| step(&p));
            prop_assert_eq!(
                rule_of(&seen), &*selected.name,
                "{} as {}: a server that {} sees {}", path, normal.as_str(), name, String::from_utf8_lossy(&seen)
            );
        }
    }

    #[test]
    fn any_text_is_refused_or_normal(path in "\\PC{0,40}|/[ -~]{0,40}") {
        if let Ok(normal) = normalize(&path) {
            let again = normalize(normal.as_str()).expect("a normal path is accepted");
            prop_assert_eq!(again.as_str(), normal.as_str());
            prop_assert_eq!(again.for_matching(), normal.for_matching());
            prop_assert!(normal.as_str().bytes().all(|b| is_plain(b) || matches!(b, b'/' | b'%' | b';')));
        }
    }
}
