//! What is done with credentials as time passes: those that are due for rotation are told of, those that were
//! deleted long enough ago are forgotten. One round at a time; the clock and the pace are the caller's.

use std::time::Duration;

use super::actor::Actor;
use super::error::Result;
use super::{Accounts, CredentialFilter, CredentialState, Page};
use crate::audit::{SecurityEvents, Sighting};
use crate::domain::clock::UnixMillis;
use crate::store::CredentialRecord;
use crate::telemetry::labels::SecurityEventKind;

/// Rows read at once.
const BATCH: u32 = 500;

/// How old credentials of one environment may become.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Schedule {
    /// The label.
    pub environment: String,
    /// The age.
    pub every: Duration,
}

impl Accounts {
    /// Tells of every living credential that is older than the schedule of its environment allows, and returns
    /// how many there are. What was replaced already is not due.
    pub async fn tell_rotation_due(&self, schedules: &[Schedule], events: &SecurityEvents) -> Result<u64> {
        let (mut due, actor) = (0_u64, Actor::system());
        for schedule in schedules {
            let now = self.now();
            let before = UnixMillis(
                now.0
                    .saturating_sub(i64::try_from(schedule.every.as_millis()).unwrap_or(i64::MAX)),
            );
            let filter = CredentialFilter {
                environment: Some(schedule.environment.clone()),
                state: Some((CredentialState::Active, now)),
                ..CredentialFilter::default()
            };
            let mut page = Page::first(BATCH);
            loop {
                let rows = self.rows(&actor).list_credentials(&filter, &page).await?;
                // Oldest first: behind the first that is young enough all are.
                let old = rows.iter().take_while(|row| row.created_at <= before);
                let mut found = 0_usize;
                for row in old {
                    events.tell(self.due(row, schedule), self.parts.clock.now());
                    found = found.saturating_add(1);
                }
                due = due.saturating_add(u64::try_from(found).unwrap_or(u64::MAX));
                match rows.last() {
                    Some(last) if found == rows.len() => page.after = Some(filter.order.cursor(last)),
                    _ => break,
                }
            }
        }
        Ok(due)
    }

    fn due(&self, row: &CredentialRecord, schedule: &Schedule) -> Sighting {
        let since = row.created_at.plus(schedule.every);
        Sighting {
            principal: Some(row.principal.clone()),
            ..Sighting::of(SecurityEventKind::RotationDue, &row.id)
        }
        .with("environment", schedule.environment.as_str())
        .with("due_since", since.rfc3339())
    }

    /// Forgets what was deleted longer ago than the grace period.
    pub async fn forget_deleted(&self, grace: Duration) -> Result<u64> {
        self.purge_credentials(grace, &Actor::system()).await
    }
}
