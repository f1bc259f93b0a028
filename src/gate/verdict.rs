//! The gate's whole answer.

use std::sync::Arc;

use bytes::Bytes;
use http::HeaderValue;
use http::uri::PathAndQuery;

use super::facts::Scheme;
use crate::authz::Permit;
use crate::domain::dialect::Dialect;
use crate::domain::identity::CredentialKind;
use crate::domain::net::ClientIp;
use crate::domain::reason::Reason;

/// Forward, or refuse. There is no third way.
#[derive(Debug)]
pub enum Verdict {
    /// Forward it as described.
    Forward(Box<Forwarding>),
    /// Refuse it.
    Refuse(Box<Refusal>),
}

/// How a permitted request goes on. Made by the gate; `upstream_headers::apply` and the proxy need it.
#[derive(Debug)]
pub struct Forwarding {
    /// What was granted and by which rule.
    pub permit: Permit,
    /// Normalized path and remaining query: the very form that the rules saw.
    pub target: PathAndQuery,
    /// The effective client.
    pub client: ClientIp,
    /// The scheme the client used, as far as a trusted proxy or the socket says.
    pub scheme: Scheme,
    /// The request's id, ours or a trusted proxy's.
    pub request_id: HeaderValue,
}

/// A refusal, with what its answer needs.
#[derive(Debug)]
pub struct Refusal {
    /// Why.
    pub reason: Reason,
    /// What was presented, if anything was recognized: the `auto` dialect goes by it.
    pub presented: Option<CredentialKind>,
    /// Which body shape to answer in.
    pub dialect: Dialect,
    /// The request's id.
    pub request_id: HeaderValue,
    /// Seconds after which trying again makes sense, for 429 and 503.
    pub retry_after_secs: Option<u32>,
    /// Route name for metrics; `-` when none matched.
    pub route: Arc<str>,
    /// Scopes the route requires, space-separated, for an `insufficient_scope` challenge.
    pub required_scopes: Option<Bytes>,
}
