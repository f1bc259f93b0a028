//! Promises of events: each is told, none a thousand times.

use tokio::runtime::Handle;

use super::super::settings::AuditSettings;
use super::*;
use crate::domain::clock::{ManualClock, UnixMillis};
use crate::runtime::tasks::Tasks;
use crate::store::{AuditLog, AuditRecord, AuditTrim, Result};

#[derive(Default)]
struct FakeLog(Mutex<Vec<AuditDraft>>);

#[async_trait::async_trait]
impl AuditLog for FakeLog {
    async fn append_events(&self, events: &[AuditDraft]) -> Result<()> {
        self.0.lock().extend_from_slice(events);
        Ok(())
    }
    async fn list_audit(&self, _: Option<u64>, _: u32) -> Result<Vec<AuditRecord>> {
        Ok(Vec::new())
    }
    async fn trim_audit(&self, _: &AuditTrim, _: u32) -> Result<u64> {
        Ok(0)
    }
    async fn verify_audit(&self) -> Result<Option<u64>> {
        Ok(None)
    }
}

fn id(text: &str) -> CredentialId {
    CredentialId::parse(text).expect("an id")
}

#[tokio::test]
async fn the_same_event_is_told_once_in_a_while_and_others_at_once() {
    use SecurityEventKind::{RotationDue, UsedAfterRevocation, UsedFromNewNetwork};
    let tasks = Tasks::on(Handle::current());
    let metrics = Arc::new(Metrics::new().expect("metrics"));
    let log = Arc::new(FakeLog::default());
    let queue = AuditQueue::spawn(&AuditSettings::default(), log.clone(), metrics.clone(), &tasks);
    let events = SecurityEvents::new(queue, None, metrics);
    let clock = ManualClock::at(UnixMillis(1_800_000_000_000));
    let hour = Duration::from_secs(3600);
    for (kind, credential) in [
        (UsedAfterRevocation, "c1"),
        (UsedAfterRevocation, "c1"),
        (UsedAfterRevocation, "c2"),
        (UsedFromNewNetwork, "c1"),
        (RotationDue, "c1"),
    ] {
        events.tell(Sighting::of(kind, &id(credential)).with("n", 1), clock.now());
    }
    clock.advance(hour);
    events.tell(Sighting::of(UsedAfterRevocation, &id("c1")), clock.now());
    events.tell(Sighting::of(RotationDue, &id("c1")), clock.now());
    tasks.stop(Duration::from_secs(5)).await;
    let told: Vec<(String, String)> = log
        .0
        .lock()
        .iter()
        .map(|e| (e.act.clone(), e.target.clone()))
        .collect();
    let told: Vec<(&str, &str)> = told.iter().map(|(a, t)| (a.as_str(), t.as_str())).collect();
    assert_eq!(
        told,
        [
            ("credential_used_after_revocation", "c1"),
            ("credential_used_after_revocation", "c2"),
            ("credential_used_from_new_network", "c1"),
            ("credential_rotation_due", "c1"),
            ("credential_used_after_revocation", "c1"),
        ],
        "rotation is told once a day"
    );
}

#[tokio::test]
async fn what_is_remembered_as_told_is_bounded() {
    let tasks = Tasks::on(Handle::current());
    let metrics = Arc::new(Metrics::new().expect("metrics"));
    let queue = AuditQueue::spawn(
        &AuditSettings::default(),
        Arc::new(FakeLog::default()),
        metrics.clone(),
        &tasks,
    );
    let events = SecurityEvents::new(queue, None, metrics.clone());
    let clock = ManualClock::at(UnixMillis(1_800_000_000_000));
    for n in 0..MAX_TOLD + 5 {
        events.tell(
            Sighting::of(SecurityEventKind::RateChanged, &id(&format!("c{n}"))),
            clock.now(),
        );
    }
    assert_eq!(events.told.lock().len(), MAX_TOLD);
    assert!(
        metrics.audit_events_dropped.get() >= 5,
        "what is not told is counted"
    );
    clock.advance(Duration::from_secs(3600));
    events.tell(
        Sighting::of(SecurityEventKind::RateChanged, &id("late")),
        clock.now(),
    );
    assert_eq!(events.told.lock().len(), 1, "what is old makes room");
}
