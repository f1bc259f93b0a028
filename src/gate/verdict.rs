//! The gate's whole answer.

use std::sync::Arc;

use bytes::Bytes;
use http::uri::PathAndQuery;
use http::{HeaderMap, HeaderValue, Version};

use super::facts::Scheme;
use super::upstream_headers::UpstreamHeaders;
use crate::authz::Permit;
use crate::domain::dialect::Dialect;
use crate::domain::identity::CredentialKind;
use crate::domain::net::ClientIp;
use crate::domain::reason::Reason;

/// Forward, or refuse. There is no third way.
#[derive(Debug)]
pub enum Verdict {
    /// Forward it as described.
    Forward(Forwarding),
    /// Refuse it.
    Refuse(Box<Refusal>),
}

/// How a permitted request goes on. Made by the gate alone.
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
    /// Which body shape an answer of ours has, should the upstream fail.
    pub dialect: Dialect,
    /// The signed identity, on routes that want one.
    pub(in crate::gate) assertion: Option<HeaderValue>,
    /// Writes the upstream's head.
    pub(in crate::gate) writer: Arc<UpstreamHeaders>,
}

impl Forwarding {
    /// Makes the received head into the upstream's: everything that looks like ours is removed, then set
    /// from the permit. Hop-by-hop fields must be gone already.
    /// `received`: the version of HTTP it came in.
    pub fn write_head(&self, received: Version, headers: &mut HeaderMap) {
        self.writer.apply(self, received, self.assertion.clone(), headers);
    }

    /// The writer, for trailers.
    pub fn writer(&self) -> &Arc<UpstreamHeaders> {
        &self.writer
    }

    /// A refusal of this request after it was permitted: the upstream failed, or a bound was passed.
    pub fn refusal(&self, reason: Reason) -> Refusal {
        Refusal {
            reason,
            presented: self.permit.authentication().map(|a| a.identity().credential_kind),
            dialect: self.dialect,
            request_id: self.request_id.clone(),
            retry_after_secs: None,
            client: self.client,
            route: Arc::clone(&self.permit.route().name),
            required_scopes: None,
        }
    }
}

/// Forwardings for unit tests of the doors.
#[cfg(test)]
pub mod testing {
    use super::*;
    use crate::gate::facts::Facts;
    use crate::gate::upstream_headers::RequestIds;

    /// What the gate would say to a permitted request: target and client as received.
    pub fn forwarding(permit: Permit, facts: &Facts<'_>) -> Forwarding {
        let ids = RequestIds::new([7; 16]);
        let rules = &permit.route().upstream_headers;
        let writer = Arc::new(UpstreamHeaders::new([rules], ids.clone()));
        let target = match facts.query {
            Some(query) => format!("{}?{query}", facts.path).parse(),
            None => facts.path.parse(),
        };
        Forwarding {
            target: target.expect("a target"),
            client: ClientIp::new(facts.peer.ip()),
            scheme: facts.scheme,
            request_id: ids.request_id(facts),
            dialect: Dialect::Problem,
            assertion: None,
            writer,
            permit,
        }
    }
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
    /// The effective client.
    pub client: ClientIp,
    /// Route name for metrics; `-` when none matched.
    pub route: Arc<str>,
    /// Scopes the route requires, space-separated, for an `insufficient_scope` challenge.
    pub required_scopes: Option<Bytes>,
}
