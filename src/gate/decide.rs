//! `Gate::decide`: the order of checks.
//!
//! ```text
//! path ─▶ route ─▶ admit ─▶ extract ─▶ accepted kind ─▶ recall ─▶ authorize ─▶ Permit
//!                    │ public                             │ miss
//!                    └────────────▶ anonymous Permit      └─▶ look_up (awaits)
//! ```
//!
//! A cache hit awaits nothing. A gate never changes: a reload makes another one, and a request stays with the
//! one it began with.

use std::borrow::Cow;
use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue};

use super::assertion::AssertionSigner;
use super::client_address::{EffectiveClient, UnlistedProxies, effective_client};
use super::dialect::choose;
use super::facts::{Facts, Scheme};
use super::path::{self, NormalizedPath};
use super::routes::RouteTable;
use super::upstream_headers::{RequestIds, UpstreamHeaders};
use super::verdict::{Forwarding, Refusal, Verdict};
use crate::audit::{AuditQueue, RefusalEvent};
use crate::authn::extract::{Shapes, extract, path_token, strip_query_parameters};
use crate::authn::proof::DeviceProofs;
use crate::authn::{Authenticated, Authn, Presented, Recall, Rejection, Verifiers};
use crate::authz::policy::{DialectChoice, Requirement, RoutePolicy};
use crate::authz::{Admitted, Denial, Encryption, Permit, admit, authorize, permit_anonymous};
use crate::domain::clock::{Now, Stopwatch};
use crate::domain::dialect::Dialect;
use crate::domain::net::{ClientIp, PeerAddr};
use crate::domain::reason::Reason;
use crate::domain::scope::MethodClass;
use crate::telemetry::Metrics;
use crate::telemetry::labels::Stage;

/// The part of the configuration that decisions read. A reload makes another gate with another one.
pub struct Snapshot {
    /// The routes.
    pub routes: RouteTable,
    /// The shapes of credentials.
    pub shapes: Shapes,
    /// Who verifies them.
    pub verifiers: Arc<Verifiers>,
    /// Writes the heads that go to upstreams.
    pub upstream_headers: Arc<UpstreamHeaders>,
    /// Checks proofs of possession, where some route wants them.
    pub proofs: Option<Arc<DeviceProofs>>,
}

/// The one place that decides.
pub struct Gate {
    snapshot: Snapshot,
    authn: Arc<Authn>,
    audit: AuditQueue,
    assertions: AssertionSigner,
    request_ids: RequestIds,
    metrics: Arc<Metrics>,
    no_route: Arc<str>,
    unlisted_proxies: UnlistedProxies,
}

/// Why a request stops, and what was known by then.
struct Stop<'a> {
    reason: Reason,
    retry_after_secs: Option<u32>,
    route: Option<Arc<RoutePolicy>>,
    presented: Option<Presented<'a>>,
    verified: Option<Authenticated>,
}

impl Stop<'_> {
    fn before_routing(reason: Reason) -> Self {
        Self {
            reason,
            retry_after_secs: None,
            route: None,
            presented: None,
            verified: None,
        }
    }
}

impl Gate {
    /// A gate that decides by this snapshot.
    pub fn new(
        snapshot: Snapshot,
        authn: Arc<Authn>,
        audit: AuditQueue,
        assertions: AssertionSigner,
        request_ids: RequestIds,
        metrics: Arc<Metrics>,
    ) -> Self {
        Self {
            snapshot,
            authn,
            audit,
            assertions,
            request_ids,
            metrics,
            no_route: Arc::from("-"),
            unlisted_proxies: UnlistedProxies::default(),
        }
    }

    /// Decides one request. Awaits only when a credential must be looked up.
    pub async fn decide(&self, facts: &Facts<'_>, now: Now) -> Verdict {
        let request_id = self.request_ids.request_id(facts);
        // Two readings of a precise clock cost as much as a cache hit: one decision in 16 is measured.
        let watch = request_id.as_bytes().ends_with(b"0").then(Stopwatch::start);
        let verdict = self.decide_unmeasured(facts, request_id, now).await;
        if let Some(watch) = watch {
            self.metrics
                .decision_duration
                .observe(Stage::Decide, watch.elapsed());
        }
        verdict
    }

    async fn decide_unmeasured(&self, facts: &Facts<'_>, request_id: HeaderValue, now: Now) -> Verdict {
        let client = effective_client(facts);
        self.unlisted_proxies.notice(facts, now.mono);
        let path = match path::normalize(facts.path) {
            Ok(path) => path,
            Err(reason) => {
                let stop = Stop::before_routing(reason);
                return Verdict::Refuse(Box::new(self.refuse(
                    stop,
                    facts.headers,
                    client,
                    request_id,
                    now,
                )));
            }
        };
        match self.check(facts, &path, client, now).await {
            Ok(permitted) => {
                if let Some(authenticated) = permitted.permit.authentication() {
                    let agent = facts.headers.get(http::header::USER_AGENT);
                    authenticated.used(now.wall, client.address, agent.map(|a| a.as_bytes()));
                }
                Verdict::Forward(Forwarding {
                    permit: permitted.permit,
                    target: permitted.target,
                    client: client.address,
                    scheme: client.scheme,
                    request_id,
                    dialect: permitted.dialect,
                    assertion: permitted.assertion,
                    writer: permitted.writer,
                })
            }
            Err(stop) => Verdict::Refuse(Box::new(self.refuse(
                stop,
                facts.headers,
                client,
                request_id,
                now,
            ))),
        }
    }
}

struct Permitted {
    permit: Permit,
    target: http::uri::PathAndQuery,
    dialect: Dialect,
    assertion: Option<HeaderValue>,
    writer: Arc<UpstreamHeaders>,
}

/// What is known once a route is selected, before anything must be awaited.
enum Selected<'a> {
    Public(Permit),
    Recalled(Presented<'a>, Recall),
}

impl Gate {
    async fn check<'a>(
        &self,
        facts: &Facts<'a>,
        path: &'a NormalizedPath<'a>,
        client: EffectiveClient,
        now: Now,
    ) -> Result<Permitted, Stop<'a>> {
        let snapshot = &self.snapshot;
        let found = snapshot.routes.select(facts.host, path, facts.method);
        let route = found.map_err(Stop::before_routing)?;
        let selected = self.select(route, facts, path, client, now)?;
        let (permit, dialect) = match selected {
            Selected::Public(permit) => (permit, choose(route.dialect, None, facts.headers)),
            Selected::Recalled(presented, recall) => {
                let answer = match recall {
                    Recall::Decided(answer) => answer,
                    // Boxed, so that the future of a hit does not carry the room a look-up needs.
                    Recall::Ask(question) => {
                        Box::pin(
                            self.authn
                                .look_up(question, presented.to_owned(), client.address, now),
                        )
                        .await
                    }
                };
                let stop = |reason, retry_after_secs, verified| Stop {
                    reason,
                    retry_after_secs,
                    route: Some(Arc::clone(route)),
                    presented: Some(presented),
                    verified,
                };
                let authenticated = answer.map_err(
                    |Rejection {
                         reason,
                         retry_after_secs,
                         ..
                     }| stop(reason, retry_after_secs, None),
                )?;
                let method = MethodClass::of(facts.method);
                let permit = authorize(
                    route,
                    authenticated.clone(),
                    client.address,
                    client.encryption,
                    method,
                )
                .map_err(|Denial(reason)| stop(reason, None, Some(authenticated.clone())))?;
                if route.require_device_proof == Requirement::Yes {
                    // Last of all checks: what is refused anyway spends no nonce. Boxed as above.
                    let proof = Box::pin(self.prove(facts.headers, &presented, &authenticated, now));
                    let proved = proof.await;
                    proved.map_err(|r| stop(r.reason, r.retry_after_secs, Some(authenticated)))?;
                }
                (permit, choose(route.dialect, Some(&presented), facts.headers))
            }
        };
        let assertion = self.assertion(&permit, now).map_err(|reason| Stop {
            route: Some(Arc::clone(route)),
            ..Stop::before_routing(reason)
        })?;
        let query = match facts.query {
            Some(query) => strip_query_parameters(query, &route.carriers.query_parameters),
            None => None,
        };
        let forwarded_path = without_token(path.as_str(), route);
        let target =
            path::target(&forwarded_path, query.as_deref(), facts.target).map_err(Stop::before_routing)?;
        Ok(Permitted {
            permit,
            target,
            dialect,
            assertion,
            writer: Arc::clone(&snapshot.upstream_headers),
        })
    }

    /// The proof of possession, on routes that want one.
    async fn prove(
        &self,
        headers: &HeaderMap,
        presented: &Presented<'_>,
        who: &Authenticated,
        now: Now,
    ) -> Result<(), Rejection> {
        let credential = &who.identity().credential;
        match &self.snapshot.proofs {
            Some(proofs) => proofs.check(headers, presented, credential, now).await,
            // No configuration has such a route without a secret.
            None => Err(Rejection::ours(Reason::InternalError)),
        }
    }

    /// The signed assertion, on routes that want one: signed about once a minute for each
    /// identity and upstream.
    fn assertion(&self, permit: &Permit, now: Now) -> Result<Option<HeaderValue>, Reason> {
        match (
            &permit.route().upstream_headers.assertion_audience,
            permit.authentication(),
        ) {
            (Some(audience), Some(who)) => {
                let signed = self.assertions.assertion(who.identity(), audience, now);
                signed.map(Some).map_err(|_| Reason::InternalError)
            }
            _ => Ok(None),
        }
    }

    /// Refuses a request without deciding: its head was refused below the gate, or its handling failed.
    /// Counted and kept for the audit trail like any other refusal.
    pub fn refuse_unread(&self, reason: Reason, peer: PeerAddr, now: Now) -> Refusal {
        let client = EffectiveClient {
            address: ClientIp::new(peer.ip()),
            scheme: Scheme::Http,
            encryption: Encryption::Unknown,
        };
        let (stop, headers) = (Stop::before_routing(reason), HeaderMap::new());
        self.refuse(stop, &headers, client, self.request_ids.new_id(), now)
    }

    /// Everything that needs no waiting.
    fn select<'a>(
        &self,
        route: &Arc<RoutePolicy>,
        facts: &Facts<'a>,
        path: &'a NormalizedPath<'a>,
        client: EffectiveClient,
        now: Now,
    ) -> Result<Selected<'a>, Stop<'a>> {
        let stop = |reason, presented| Stop {
            reason,
            retry_after_secs: None,
            route: Some(Arc::clone(route)),
            presented,
            verified: None,
        };
        let admitted = admit(route, client.address, client.encryption);
        match admitted.map_err(|Denial(reason)| stop(reason, None))? {
            Admitted::Anonymously => permit_anonymous(route)
                .map(Selected::Public)
                .map_err(|Denial(reason)| stop(reason, None)),
            Admitted::ToAuthenticate => {
                let (carriers, shapes) = (&route.carriers, &self.snapshot.shapes);
                let found = extract(facts.headers, facts.query, path.as_str(), carriers, shapes);
                let presented = found
                    .map_err(|reason| stop(reason, None))?
                    .ok_or_else(|| stop(Reason::CredentialMissing, None))?;
                if !route.accept.contains(presented.kind) {
                    return Err(stop(Reason::KindNotAccepted, Some(presented)));
                }
                let verifiers = &self.snapshot.verifiers;
                let recall = self.authn.recall(verifiers, &presented, client.address, now);
                Ok(Selected::Recalled(presented, recall))
            }
        }
    }

    /// A refusal: counted, kept for the audit trail, and described for the door.
    fn refuse(
        &self,
        stop: Stop<'_>,
        headers: &HeaderMap,
        client: EffectiveClient,
        request_id: HeaderValue,
        now: Now,
    ) -> Refusal {
        let Stop {
            reason,
            retry_after_secs,
            route,
            presented,
            verified,
        } = stop;
        self.metrics.reject(reason);
        let choice = route.as_ref().map_or(DialectChoice::Auto, |r| r.dialect);
        let dialect = choose(choice, presented.as_ref(), headers);
        let name = route.as_ref().map_or(&self.no_route, |r| &r.name);
        let identity = verified.as_ref().map(Authenticated::identity);
        self.audit.refused(
            &RefusalEvent {
                reason,
                route: name,
                client: client.address,
                kind: presented.map(|p| p.kind),
                request_id: request_id.to_str().unwrap_or_default(),
                verified: identity.map(|i| (&i.principal, &i.credential)),
            },
            now,
        );
        Refusal {
            reason,
            presented: presented.map(|p| p.kind),
            dialect,
            request_id,
            retry_after_secs,
            client: client.address,
            route: Arc::clone(name),
            required_scopes: route
                .filter(|_| reason == Reason::ScopeMissing)
                .map(|r| required_scopes(&r)),
        }
    }
}

/// The path to forward: a credential in it is replaced by `-`, unless the route forwards credentials.
fn without_token<'a>(path: &'a str, route: &RoutePolicy) -> Cow<'a, str> {
    let Some(prefix) = &route.carriers.path_token_after else {
        return Cow::Borrowed(path);
    };
    match path_token(path, prefix) {
        Some(token) if route.upstream_headers.forward_credential == Requirement::No => {
            let rest = path
                .get(prefix.len().saturating_add(token.len())..)
                .unwrap_or_default();
            Cow::Owned(format!("{prefix}-{rest}"))
        }
        _ => Cow::Borrowed(path),
    }
}

fn required_scopes(route: &RoutePolicy) -> Bytes {
    let wanted = route.require_all_scopes.iter().chain(&route.require_any_scope);
    Bytes::from(wanted.map(|s| s.as_str()).collect::<Vec<_>>().join(" "))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::authz::policy::testing::route;

    #[test]
    fn a_token_in_the_path_is_replaced_unless_the_route_forwards_credentials() {
        let mut r = route("/api/v1/");
        assert_eq!(
            without_token("/api/v1/abc/telemetry", &r),
            "/api/v1/abc/telemetry",
            "no path tokens here"
        );
        r.carriers.path_token_after = Some("/api/v1/".to_owned());
        for (path, forwarded) in [
            ("/api/v1/abc/telemetry", "/api/v1/-/telemetry"),
            ("/api/v1/abc", "/api/v1/-"),
            ("/api/v1/abc/", "/api/v1/-/"),
            ("/api/v1/", "/api/v1/"),
            ("/other", "/other"),
        ] {
            assert_eq!(without_token(path, &r), forwarded);
        }
        r.upstream_headers.forward_credential = Requirement::Yes;
        assert_eq!(
            without_token("/api/v1/abc/telemetry", &r),
            "/api/v1/abc/telemetry"
        );
    }
}
