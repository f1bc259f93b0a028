//! Security events: what happened to a credential that somebody should look at.
//!
//! Told by whoever notices (a look-up, the writer of usage, the rotation schedule) and never awaited: an event
//! goes to the audit trail through its queue, to the webhook where one is configured, and into a metric. The
//! same event about the same credential is told once in a while, so that a loop in somebody's program is one
//! event and not a million. Decides nothing about requests.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use serde_json::json;

use super::queue::AuditQueue;
use super::webhook::Webhook;
use crate::domain::clock::{MonoMillis, Now};
use crate::domain::ids::{CredentialId, PrincipalId};
use crate::domain::net::ClientIp;
use crate::store::AuditDraft;
use crate::telemetry::Metrics;
use crate::telemetry::labels::{Label, SecurityEventKind};

/// Most events that are remembered as told; beyond them, further ones are dropped and counted.
const MAX_TOLD: usize = 10_000;

/// How long after an event the same one about the same credential is not told again.
fn quiet_for(kind: SecurityEventKind) -> Duration {
    match kind {
        SecurityEventKind::RotationDue => Duration::from_secs(24 * 60 * 60),
        SecurityEventKind::UsedFromNewNetwork
        | SecurityEventKind::UsedByNewAgent
        | SecurityEventKind::UsedAfterRevocation
        | SecurityEventKind::UsedThoughReplaced
        | SecurityEventKind::RateChanged => Duration::from_secs(60 * 60),
    }
}

/// One event.
#[derive(Debug, Clone, PartialEq)]
pub struct Sighting {
    /// What happened.
    pub kind: SecurityEventKind,
    /// To which credential.
    pub credential: CredentialId,
    /// Whose it is, where that is known.
    pub principal: Option<PrincipalId>,
    /// From where, where somebody did it.
    pub from: Option<ClientIp>,
    /// More facts, by name; never a secret.
    pub detail: serde_json::Map<String, serde_json::Value>,
}

impl Sighting {
    /// An event without further facts.
    pub fn of(kind: SecurityEventKind, credential: &CredentialId) -> Self {
        Self {
            kind,
            credential: credential.clone(),
            principal: None,
            from: None,
            detail: serde_json::Map::new(),
        }
    }

    /// With one more fact.
    #[must_use]
    pub fn with(mut self, name: &str, value: impl Into<serde_json::Value>) -> Self {
        self.detail.insert(name.to_owned(), value.into());
        self
    }
}

/// Takes events without ever waiting. Clones share one memory.
#[derive(Debug, Clone)]
pub struct SecurityEvents {
    audit: AuditQueue,
    webhook: Option<Webhook>,
    told: Arc<Mutex<HashMap<(SecurityEventKind, CredentialId), MonoMillis>>>,
    metrics: Arc<Metrics>,
}

impl SecurityEvents {
    /// Tells of events in the trail, and in the webhook where there is one.
    pub fn new(audit: AuditQueue, webhook: Option<Webhook>, metrics: Arc<Metrics>) -> Self {
        Self {
            audit,
            webhook,
            told: Arc::default(),
            metrics,
        }
    }

    /// Tells of an event, unless the same one was told a short time ago.
    pub fn tell(&self, sighting: Sighting, now: Now) {
        if !self.is_news(&sighting, now.mono) {
            return;
        }
        self.metrics.security_events.inc(sighting.kind);
        let kind = sighting.kind.as_str();
        let mut detail = sighting.detail;
        if let Some(principal) = &sighting.principal {
            detail.insert("principal".to_owned(), principal.as_str().into());
        }
        if let Some(webhook) = &self.webhook {
            let mut data = detail.clone();
            data.insert("credential".to_owned(), sighting.credential.as_str().into());
            if let Some(from) = sighting.from {
                data.insert("address".to_owned(), from.to_string().into());
            }
            webhook.offer(&json!({
                "type": kind,
                "timestamp": now.wall.rfc3339(),
                "data": data,
            }));
        }
        self.audit.offer(AuditDraft {
            at: now.wall,
            actor: "system".to_owned(),
            act: kind.to_owned(),
            target: sighting.credential.to_string(),
            from: sighting.from.map(|ip| ip.to_string()),
            detail: detail.into(),
        });
    }

    fn is_news(&self, sighting: &Sighting, now: MonoMillis) -> bool {
        let key = (sighting.kind, sighting.credential.clone());
        let mut told = self.told.lock();
        let quiet = |kind, at: &MonoMillis| u128::from(now.since(*at)) < quiet_for(kind).as_millis();
        if told.get(&key).is_some_and(|at| quiet(key.0, at)) {
            return false;
        }
        if told.len() >= MAX_TOLD {
            told.retain(|(kind, _), at| quiet(*kind, at));
            if told.len() >= MAX_TOLD {
                self.metrics.audit_events_dropped.inc();
                return false;
            }
        }
        told.insert(key, now);
        true
    }
}

#[cfg(test)]
#[path = "events_tests.rs"]
mod tests;
