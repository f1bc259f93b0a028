//! What every door must tell the gate about a request. Borrowed from the request's head.

use http::uri::PathAndQuery;
use http::{HeaderMap, Method};

use crate::domain::net::{NetworkSet, PeerAddr};

/// How the request reached the listener itself (a trusted proxy may say more in its headers).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scheme {
    /// Plain.
    Http,
    /// TLS.
    Https,
}

impl Scheme {
    /// The name in `X-Forwarded-Proto`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Https => "https",
        }
    }
}

/// The facts of one request.
#[derive(Debug, Clone, Copy)]
pub struct Facts<'a> {
    /// The method.
    pub method: &'a Method,
    /// The path as received: origin form, percent-encodings untouched, without the query.
    pub path: &'a str,
    /// The query as received, without `?`.
    pub query: Option<&'a str>,
    /// The target those two are parts of, where the door has it whole: one that nothing changes goes on
    /// without a copy.
    pub target: Option<&'a PathAndQuery>,
    /// The authority the client asked for: `Host`, already known to be single and well formed.
    pub host: Option<&'a str>,
    /// All header fields as received.
    pub headers: &'a HeaderMap,
    /// The socket's other end (or, behind a believed PROXY header, what it said).
    pub peer: PeerAddr,
    /// Peers whose forwarded headers are believed on this listener. Empty: nobody.
    pub trusted_proxies: &'a NetworkSet,
    /// How the request reached the listener.
    pub scheme: Scheme,
}
