//! Versions of things over HTTP: the `ETag` of an answer, and `If-Match` on a change (RFC 9110, 13.1.1). A change
//! without it is taken whatever the version.

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;

use super::problem::Problem;

/// The version that a change is made for.
pub struct IfMatch(pub Option<u64>);

impl<S: Send + Sync> FromRequestParts<S> for IfMatch {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        let mut values = parts.headers.get_all(header::IF_MATCH).iter();
        match (values.next(), values.next()) {
            (None, _) => Ok(Self(None)),
            (Some(one), None) => read(one.as_bytes()).map(Self),
            (Some(_), Some(_)) => Err(malformed("several values")),
        }
    }
}

fn malformed(found: &str) -> Problem {
    Problem::parameter("If-Match", found, "one ETag as it was given, such as \"3\", or *")
}

/// A weak tag, or one that is none of ours, matches nothing.
fn read(text: &[u8]) -> Result<Option<u64>, Problem> {
    let text = std::str::from_utf8(text).map_err(|_| malformed("something that is no text"))?;
    let text = text.trim();
    if text == "*" {
        return Ok(None);
    }
    let strong = text.strip_prefix("W/").unwrap_or(text);
    let quoted = strong.strip_prefix('"').and_then(|t| t.strip_suffix('"'));
    match quoted {
        Some(tag) if !tag.contains('"') => {
            let version = tag.parse().ok().filter(|v: &u64| v.to_string() == tag);
            match version.filter(|_| !text.starts_with("W/")) {
                Some(version) => Ok(Some(version)),
                None => Err(Problem::new(
                    StatusCode::PRECONDITION_FAILED,
                    "If-Match names a version that there never was; read it again",
                )),
            }
        }
        _ => Err(malformed("something else")),
    }
}

/// An answer that shows one thing of this version.
pub fn tagged(status: StatusCode, version: u64, body: &impl Serialize) -> Response {
    let mut response = (status, axum::Json(body)).into_response();
    if let Ok(tag) = HeaderValue::from_str(&format!("\"{version}\"")) {
        response.headers_mut().insert(header::ETAG, tag);
    }
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_our_own_strong_tags_are_versions() {
        for (text, expected) in [
            ("*", Ok(None)),
            ("\"3\"", Ok(Some(3))),
            (" \"3\" ", Ok(Some(3))),
            ("\"03\"", Err(412)),
            ("\"+3\"", Err(412)),
            ("\"\"", Err(412)),
            ("\"abc\"", Err(412)),
            ("W/\"3\"", Err(412)),
            ("\"99999999999999999999\"", Err(412)),
            ("3", Err(400)),
            ("\"3", Err(400)),
            ("\"3\", \"4\"", Err(400)),
            ("", Err(400)),
        ] {
            let read = read(text.as_bytes()).map_err(|p| p.into_response().status().as_u16());
            assert_eq!(read, expected, "{text:?}");
        }
        assert!(read(b"\"\xff\"").is_err());
    }
}
