//! The bounded queue of security events and the task that writes them.
//!
//! A door tells of a refusal and goes on: the event is sampled, then offered to the queue, never
//! awaited. The writer gathers events for a moment, so that a trickle of refusals is not a trickle of
//! disk flushes, and writes a batch in one transaction. While the store refuses, the batch in hand is
//! tried again and the queue fills; at stop everything queued is tried once more.

use std::sync::Arc;
use std::time::Duration;

use serde_json::json;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::sampling::{Sampled, Sampler};
use super::settings::AuditSettings;
use crate::domain::clock::Now;
use crate::domain::identity::CredentialKind;
use crate::domain::ids::{CredentialId, PrincipalId};
use crate::domain::net::ClientIp;
use crate::domain::reason::Reason;
use crate::runtime::tasks::Tasks;
use crate::store::{AuditDraft, AuditLog};
use crate::telemetry::Metrics;

/// The act of a refusal's row.
pub(super) const REFUSAL: &str = "request.refuse";

/// A refused request, as far as the audit trail keeps it. Holds nothing unverified but the address.
#[derive(Debug, Clone, Copy)]
pub struct RefusalEvent<'a> {
    /// Why it was refused.
    pub reason: Reason,
    /// The route, `-` when none matched.
    pub route: &'a Arc<str>,
    /// The effective client.
    pub client: ClientIp,
    /// What was presented, if anything was recognized.
    pub kind: Option<CredentialKind>,
    /// The request's id.
    pub request_id: &'a str,
    /// Who it was and with what, when that was verified before the refusal.
    pub verified: Option<(&'a PrincipalId, &'a CredentialId)>,
}

/// Takes security events without ever waiting. Clones share one queue.
#[derive(Debug, Clone)]
pub struct AuditQueue {
    events: mpsc::Sender<AuditDraft>,
    sampler: Arc<Sampler>,
    metrics: Arc<Metrics>,
}

impl AuditQueue {
    /// A queue whose writer runs as a task until the tasks are stopped.
    pub fn spawn(
        settings: &AuditSettings,
        log: Arc<dyn AuditLog>,
        metrics: Arc<Metrics>,
        tasks: &Tasks,
    ) -> Self {
        let (events, queued) = mpsc::channel(settings.queue_length.max(1));
        let writer = Writer {
            queued,
            log,
            metrics: metrics.clone(),
            batch_length: settings.batch_length.max(1),
            gather: settings.gather,
            retry_after: settings.retry_after,
        };
        tasks.spawn("audit-writer", writer.run(tasks.shutdown().clone()));
        Self {
            events,
            sampler: Arc::new(Sampler::new(settings)),
            metrics,
        }
    }

    /// Keeps a refusal, or skips it when the same reason floods the same route.
    pub fn refused(&self, event: &RefusalEvent<'_>, now: Now) {
        match self.sampler.sample(event.reason, event.route, now.mono) {
            Sampled::Keep { skipped_before } => self.offer(draft(event, skipped_before, now)),
            Sampled::Skip => self.metrics.audit_events_dropped.inc(),
        }
    }

    /// Offers an event that is not sampled, such as a start or a failed login.
    pub fn offer(&self, event: AuditDraft) {
        if self.events.try_send(event).is_err() {
            self.metrics.audit_events_dropped.inc();
        }
    }
}

fn draft(event: &RefusalEvent<'_>, skipped_before: u64, now: Now) -> AuditDraft {
    let mut detail = json!({
        "reason": event.reason.code(),
        "request_id": event.request_id,
    });
    if let Some(fields) = detail.as_object_mut() {
        if let Some(kind) = event.kind {
            fields.insert("kind".to_owned(), kind.as_str().into());
        }
        if let Some((_, credential)) = event.verified {
            fields.insert("credential".to_owned(), credential.as_str().into());
        }
        if skipped_before > 0 {
            fields.insert("skipped_before".to_owned(), skipped_before.into());
        }
    }
    AuditDraft {
        at: now.wall,
        actor: event.verified.map_or_else(
            || "anonymous".to_owned(),
            |(principal, _)| principal.as_str().to_owned(),
        ),
        act: REFUSAL.to_owned(),
        target: format!("route:{}", event.route),
        from: Some(event.client.ip().to_string()),
        detail,
    }
}

/// Writes what is queued.
struct Writer {
    queued: mpsc::Receiver<AuditDraft>,
    log: Arc<dyn AuditLog>,
    metrics: Arc<Metrics>,
    batch_length: usize,
    gather: Duration,
    retry_after: Duration,
}

impl Writer {
    async fn run(mut self, shutdown: CancellationToken) {
        let mut batch = Vec::with_capacity(self.batch_length);
        loop {
            tokio::select! {
                biased;
                () = shutdown.cancelled() => break,
                taken = self.queued.recv_many(&mut batch, self.batch_length) => if taken == 0 { break },
            }
            pause(self.gather, &shutdown).await;
            self.fill(&mut batch);
            if self.write(&batch, &shutdown).await == Written::No {
                break;
            }
            batch.clear();
        }
        self.finish(batch).await;
    }

    /// Writes a batch, however often that takes; gives up only when the process is to stop.
    async fn write(&self, batch: &[AuditDraft], shutdown: &CancellationToken) -> Written {
        while let Err(error) = self.log.append_events(batch).await {
            tracing::warn!(%error, events = batch.len(), "audit events not written, trying again");
            if shutdown.is_cancelled() {
                return Written::No;
            }
            pause(self.retry_after, shutdown).await;
        }
        Written::Yes
    }

    /// Adds what is queued already, up to the batch's bound.
    fn fill(&mut self, batch: &mut Vec<AuditDraft>) {
        while batch.len() < self.batch_length {
            match self.queued.try_recv() {
                Ok(event) => batch.push(event),
                Err(_) => break,
            }
        }
    }

    /// Writes the rest at stop. What the store refuses now is lost, and counted.
    async fn finish(mut self, mut batch: Vec<AuditDraft>) {
        self.queued.close();
        loop {
            self.fill(&mut batch);
            if batch.is_empty() {
                return;
            }
            if let Err(error) = self.log.append_events(&batch).await {
                tracing::error!(%error, events = batch.len(), "audit events lost at stop");
                self.metrics
                    .audit_events_dropped
                    .inc_by(u64::try_from(batch.len()).unwrap_or(u64::MAX));
            }
            batch.clear();
        }
    }
}

/// Whether a batch is stored.
#[derive(PartialEq)]
enum Written {
    Yes,
    No,
}

/// Waits, or less when the process is to stop.
async fn pause(duration: Duration, shutdown: &CancellationToken) {
    if !duration.is_zero() {
        let _ = tokio::time::timeout(duration, shutdown.cancelled()).await;
    }
}

#[cfg(test)]
mod tests;
