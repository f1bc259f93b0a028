//! Pages that the proxy answers itself, without the gate: today the public keys of what we sign.
//!
//! They are public by nature, carry nothing of the request and read none of it but method and path. Any
//! other method goes the way of every request.

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use http::header::{CACHE_CONTROL, CONTENT_TYPE};
use http::{HeaderValue, Method, Response};

/// Where upstreams find the keys of our assertions and access tokens (RFC 7517 section 5).
pub const JWKS_PATH: &str = "/.well-known/doorward/jwks.json";

/// Makes the JWK set as of now.
pub type PublicKeys = Arc<dyn Fn() -> Bytes + Send + Sync>;

/// The pages that are switched on.
#[derive(Clone, Default)]
pub struct OwnPages {
    /// The JWK set, when something is signed.
    pub jwks: Option<PublicKeys>,
}

impl OwnPages {
    /// The answer, when it is one of these pages that is asked for.
    pub fn answer(&self, method: &Method, path: &str) -> Option<Response<Bytes>> {
        if path != JWKS_PATH || !matches!(*method, Method::GET | Method::HEAD) {
            return None;
        }
        let jwks = self.jwks.as_ref()?;
        let mut response = Response::new(jwks());
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/jwk-set+json"));
        // Rotation keeps the previous key, so that a copy of this age still verifies.
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("public, max-age=300"));
        Some(response)
    }
}

impl fmt::Debug for OwnPages {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "OwnPages(jwks: {})", self.jwks.is_some())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_reading_the_very_path_is_answered_and_only_when_switched_on() {
        let on = OwnPages {
            jwks: Some(Arc::new(|| Bytes::from_static(b"{}"))),
        };
        for (pages, method, path, answered) in [
            (&on, Method::GET, JWKS_PATH, true),
            (&on, Method::HEAD, JWKS_PATH, true),
            (&on, Method::POST, JWKS_PATH, false),
            (&on, Method::GET, "/.well-known/doorward/jwks.json/", false),
            (
                &on,
                Method::GET,
                "/.well-known/doorward/../doorward/jwks.json",
                false,
            ),
            (&OwnPages::default(), Method::GET, JWKS_PATH, false),
        ] {
            assert_eq!(pages.answer(&method, path).is_some(), answered, "{method} {path}");
        }
    }
}
