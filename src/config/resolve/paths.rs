//! Path rules: `/x` exactly, `/x/` and all below it, `/x/{name}/{*rest}` as a pattern.
//!
//! A rule that no normalized path can ever equal would silently protect nothing: it is refused.

use crate::authz::policy::{PathAllowances, PathMatch, PatternSegment};
use crate::gate::path::normalize;

/// Why a text is no path rule: what was found, and what to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BadPath {
    /// What was found.
    pub found: String,
    /// What to do.
    pub remedy: String,
}

fn bad(found: impl Into<String>, remedy: impl Into<String>) -> BadPath {
    BadPath {
        found: found.into(),
        remedy: remedy.into(),
    }
}

/// What a path rule looks like, after "expected".
pub const EXPECTED: &str = "/x for this path, /x/ for all below it, or a pattern such as /x/{name}/{*rest}";

/// Reads a path rule on a route with these allowances.
pub fn parse(text: &str, allow: &PathAllowances) -> Result<PathMatch, BadPath> {
    if !text.contains(['{', '}']) {
        literal(text, allow)?;
        return Ok(if text.ends_with('/') {
            PathMatch::Prefix(text.to_owned())
        } else {
            PathMatch::Exact(text.to_owned())
        });
    }
    let mut segments = Vec::new();
    let mut names: Vec<&str> = Vec::new();
    let mut parts = text.split('/').skip(1).peekable();
    while let Some(part) = parts.next() {
        let last = parts.peek().is_none();
        if part.is_empty() && last {
            return Err(bad(
                "a pattern that ends in /",
                format!("write {text}{{*rest}} for all below it"),
            ));
        }
        let inner = part.strip_prefix('{').and_then(|p| p.strip_suffix('}'));
        let Some(name) = inner else {
            if part.contains(['{', '}']) {
                return Err(bad(
                    format!("{part:?}"),
                    "let a brace stand for a whole segment: /{name}/",
                ));
            }
            literal(&format!("/{part}"), allow)?;
            segments.push(PatternSegment::Literal(part.to_owned()));
            continue;
        };
        let (name, rest) = match name.strip_prefix('*') {
            Some(name) => (name, Rest::Yes),
            None => (name, Rest::No),
        };
        if name.is_empty() || !name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_') {
            return Err(bad(
                format!("{part:?}"),
                "name the segment with letters, digits and _: {id}",
            ));
        }
        if names.contains(&name) {
            return Err(bad(
                format!("the name {name} twice"),
                "give each segment a name of its own",
            ));
        }
        names.push(name);
        segments.push(match rest {
            Rest::No => PatternSegment::Any(name.to_owned()),
            Rest::Yes if last => PatternSegment::Rest(name.to_owned()),
            Rest::Yes => {
                return Err(bad(
                    format!("{part:?} before the end"),
                    "let it be the last segment",
                ));
            }
        });
    }
    Ok(PathMatch::Pattern(segments))
}

enum Rest {
    Yes,
    No,
}

fn literal(text: &str, allow: &PathAllowances) -> Result<(), BadPath> {
    let never = || format!("{text:?}, which no accepted path is ever equal to");
    if text.contains(['?', '#']) {
        return Err(bad(
            never(),
            "remove everything from ? or # on: rules see the path only",
        ));
    }
    let normal = normalize(text).map_err(|_| {
        bad(
            never(),
            "write it without dot segments, backslashes, control characters and doubled encodings",
        )
    })?;
    normal.offences().check(allow).map_err(|_| {
        bad(
            never(),
            "write it without //, ; and %2F, or allow that form in allow_in_path",
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_are_read_or_refused() {
        let rule = |text: &str| parse(text, &PathAllowances::default());
        assert_eq!(rule("/"), Ok(PathMatch::Prefix("/".into())));
        assert_eq!(rule("/x"), Ok(PathMatch::Exact("/x".into())));
        assert_eq!(rule("/x/"), Ok(PathMatch::Prefix("/x/".into())));
        assert_eq!(
            rule("/x/{id}/{*rest}"),
            Ok(PathMatch::Pattern(vec![
                PatternSegment::Literal("x".into()),
                PatternSegment::Any("id".into()),
                PatternSegment::Rest("rest".into()),
            ]))
        );
        for (text, why) in [
            ("/a/../b", "dot segments are resolved by some servers"),
            ("/a/%2e%2e/b", "encoded ones too"),
            ("/a//b", "empty segments are refused in requests"),
            ("/a;b", "and so are parameters"),
            ("/a%2Fb", "and encoded slashes"),
            ("/a\\b", "and backslashes"),
            ("/a?b=c", "the query is not part of a path"),
            ("/a%zz", "a malformed encoding"),
            ("/a%252e", "a doubled encoding"),
            ("/x/{id}/", "a pattern has no trailing slash"),
            ("/x/{*rest}/y", "the rest is last"),
            ("/x/{}", "a segment has a name"),
            ("/x/a{id}", "a brace is a whole segment"),
            ("/x/{id}/{id}", "names are unique"),
            ("/x/{id", "braces are closed"),
        ] {
            assert!(rule(text).is_err(), "{text}: {why}");
        }
    }
}
