//! `Gate::decide`: the order of checks.
//!
//! ```text
//! path ─▶ route ─▶ admit ─▶ extract ─▶ accepted kind ─▶ recall ─▶ authorize ─▶ Permit
//!                    │ public                             │ miss
//!                    └────────────▶ anonymous Permit      └─▶ look_up (awaits)
//! ```
//!
//! A cache hit awaits nothing. The snapshot is read once; what was read is passed down.

use std::sync::Arc;

use arc_swap::ArcSwap;
use http::HeaderValue;
use http::uri::PathAndQuery;

use super::client_address::{EffectiveClient, effective_client};
use super::facts::{Facts, Scheme};
use super::path::{NormalizedPath, normalize, target};
use super::routes::RouteTable;
use super::upstream_headers::{self, StripSet};
use super::verdict::{Forwarding, Refusal, Verdict};
use crate::audit::{AuditQueue, RefusalEvent};
use crate::authn::extract::{Shapes, extract, strip_query_parameters};
use crate::authn::{Authenticated, Authn, Presented, Recall, Rejection};
use crate::authz::policy::RoutePolicy;
use crate::authz::{Admitted, Denial, Encryption, Permit, admit, authorize, permit_anonymous};
use crate::domain::clock::Now;
use crate::domain::reason::Reason;
use crate::domain::scope::MethodClass;
use crate::telemetry::Metrics;

/// Everything a decision reads that a reload replaces, as one.
#[derive(Debug)]
pub struct Snapshot {
    /// The routes.
    pub routes: RouteTable,
    /// The shapes of credentials.
    pub shapes: Shapes,
    /// Header names that never pass.
    pub strip: Arc<StripSet>,
}

/// The one place that decides.
pub struct Gate {
    snapshot: ArcSwap<Snapshot>,
    authn: Arc<Authn>,
    audit: AuditQueue,
    metrics: Arc<Metrics>,
    no_route: Arc<str>,
}

/// Why a request stops, and what was known by then.
struct Stop {
    reason: Reason,
    retry_after_secs: Option<u32>,
    route: Option<Arc<RoutePolicy>>,
    presented: Option<PresentedSummary>,
    verified: Option<Authenticated>,
}
