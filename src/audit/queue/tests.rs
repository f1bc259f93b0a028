//! Promises of the audit queue: nothing waits, everything is written or counted.

use super::*;
use crate::domain::clock::{ManualClock, UnixMillis};
use crate::store::{AuditRecord, AuditTrim, Result, StoreError};
use async_trait::async_trait;
use parking_lot::Mutex;
use tokio::runtime::Handle;
use tokio::sync::Semaphore;

/// An audit log that answers when it is told to.
#[derive(Debug)]
struct FakeLog {
    batches: Mutex<Vec<Vec<AuditDraft>>>,
    failures_left: Mutex<usize>,
    /// Each call takes a permit: none means that the store hangs.
    may_answer: Semaphore,
    called: tokio::sync::Notify,
}

impl FakeLog {
    fn new(failures: usize, answers: usize) -> Arc<Self> {
        Arc::new(Self {
            batches: Mutex::default(),
            failures_left: Mutex::new(failures),
            may_answer: Semaphore::new(answers),
            called: tokio::sync::Notify::new(),
        })
    }

    fn targets(&self) -> Vec<String> {
        let batches = self.batches.lock();
        batches.iter().flatten().map(|e| e.target.clone()).collect()
    }
}

#[async_trait]
impl AuditLog for FakeLog {
    async fn append_events(&self, events: &[AuditDraft]) -> Result<()> {
        self.called.notify_one();
        self.may_answer.acquire().await.expect("open").forget();
        {
            let mut left = self.failures_left.lock();
            if *left > 0 {
                *left -= 1;
                return Err(StoreError::Unavailable("told to fail".to_owned()));
            }
        }
        self.batches.lock().push(events.to_vec());
        Ok(())
    }
    async fn list_audit(&self, _: Option<u64>, _: u32) -> Result<Vec<AuditRecord>> {
        Err(StoreError::NotFound("nothing is listed here"))
    }
    async fn trim_audit(&self, _: &AuditTrim, _: u32) -> Result<u64> {
        Ok(0)
    }
    async fn verify_audit(&self) -> Result<Option<u64>> {
        Ok(None)
    }
}

fn event(target: &str) -> AuditDraft {
    AuditDraft {
        at: UnixMillis(1),
        actor: "system".to_owned(),
        act: "test".to_owned(),
        target: target.to_owned(),
        from: None,
        detail: serde_json::Value::Null,
    }
}

fn settings(queue_length: usize) -> AuditSettings {
    AuditSettings {
        queue_length,
        batch_length: 4,
        gather: Duration::ZERO,
        retry_after: Duration::ZERO,
        ..AuditSettings::default()
    }
}

fn start(settings: &AuditSettings, log: &Arc<FakeLog>) -> (AuditQueue, Arc<Metrics>, Tasks) {
    let metrics = Arc::new(Metrics::new().expect("metrics"));
    let tasks = Tasks::on(Handle::current());
    let queue = AuditQueue::spawn(settings, log.clone(), metrics.clone(), &tasks);
    (queue, metrics, tasks)
}

const AT_MOST: Duration = Duration::from_secs(30);

#[tokio::test]
async fn everything_queued_is_written_once_and_in_order_by_the_stop() {
    let log = FakeLog::new(0, 1000);
    let (queue, metrics, tasks) = start(&settings(100), &log);
    let sent: Vec<String> = (0..50).map(|n| format!("t{n}")).collect();
    for target in &sent {
        queue.offer(event(target));
    }
    tasks.stop(AT_MOST).await;
    assert_eq!(log.targets(), sent);
    assert!(log.batches.lock().iter().all(|b| (1..=4).contains(&b.len())));
    assert_eq!(metrics.audit_events_dropped.get(), 0);
}

#[tokio::test]
async fn a_hanging_store_blocks_nobody_and_what_is_dropped_is_counted() {
    let log = FakeLog::new(0, 0);
    let (queue, metrics, tasks) = start(&settings(10), &log);
    queue.offer(event("in the writer's hand"));
    log.called.notified().await;
    for n in 0..25 {
        queue.offer(event(&n.to_string()));
    }
    assert_eq!(metrics.audit_events_dropped.get(), 15, "the queue takes ten");
    log.may_answer.add_permits(1000);
    tasks.stop(AT_MOST).await;
    assert_eq!(log.targets().len(), 11);
}

#[tokio::test]
async fn a_failed_batch_is_tried_again_and_written_once() {
    let log = FakeLog::new(3, 1000);
    let (queue, metrics, tasks) = start(&settings(100), &log);
    for n in 0..4 {
        queue.offer(event(&n.to_string()));
    }
    while log.targets().len() < 4 {
        log.called.notified().await;
        tokio::task::yield_now().await;
    }
    tasks.stop(AT_MOST).await;
    assert_eq!(log.targets(), ["0", "1", "2", "3"]);
    assert_eq!(metrics.audit_events_dropped.get(), 0);
}

#[tokio::test]
async fn what_the_store_refuses_at_stop_is_counted_as_lost() {
    let log = FakeLog::new(usize::MAX, 1000);
    let (queue, metrics, tasks) = start(
        &AuditSettings {
            gather: AT_MOST,
            ..settings(100)
        },
        &log,
    );
    for n in 0..9 {
        queue.offer(event(&n.to_string()));
    }
    tasks.stop(AT_MOST).await;
    assert_eq!(metrics.audit_events_dropped.get(), 9);
    queue.offer(event("too late"));
    assert_eq!(metrics.audit_events_dropped.get(), 10);
}

#[tokio::test]
async fn a_refusal_becomes_a_row_without_anything_unverified() {
    let log = FakeLog::new(0, 1000);
    let (queue, metrics, tasks) = start(
        &AuditSettings {
            burst: 1,
            ..settings(100)
        },
        &log,
    );
    let clock = ManualClock::at(UnixMillis(1_000));
    let route: Arc<str> = "main".into();
    let refusal = RefusalEvent {
        reason: Reason::CredentialInvalid,
        route: &route,
        client: ClientIp::new("192.0.2.7".parse().expect("an address")),
        kind: Some(CredentialKind::ApiToken),
        request_id: "r-1",
        verified: None,
    };
    for _ in 0..4 {
        queue.refused(&refusal, clock.now());
    }
    let refill = AuditSettings::default().refill;
    clock.advance(refill);
    let (principal, credential) = (
        PrincipalId::parse("dev-1").expect("an id"),
        CredentialId::parse("cred-1").expect("an id"),
    );
    queue.refused(
        &RefusalEvent {
            verified: Some((&principal, &credential)),
            ..refusal
        },
        clock.now(),
    );
    tasks.stop(AT_MOST).await;

    let rows: Vec<AuditDraft> = log.batches.lock().iter().flatten().cloned().collect();
    assert_eq!(
        rows,
        [
            AuditDraft {
                at: UnixMillis(1_000),
                actor: "anonymous".to_owned(),
                act: "request.refuse".to_owned(),
                target: "route:main".to_owned(),
                from: Some("192.0.2.7".to_owned()),
                detail: json!({"reason": "credential_invalid", "request_id": "r-1", "kind": "api_token"}),
            },
            AuditDraft {
                at: UnixMillis(1_000).plus(refill),
                actor: "dev-1".to_owned(),
                act: "request.refuse".to_owned(),
                target: "route:main".to_owned(),
                from: Some("192.0.2.7".to_owned()),
                detail: json!({
                    "reason": "credential_invalid", "request_id": "r-1", "kind": "api_token",
                    "credential": "cred-1", "skipped_before": 3,
                }),
            },
        ]
    );
    assert_eq!(
        metrics.audit_events_dropped.get(),
        3,
        "what was skipped is counted"
    );
}
