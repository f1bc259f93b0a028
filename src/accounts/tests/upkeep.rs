//! What time brings: rotation that is due, and the end of what was deleted.

use std::time::Duration;

use tokio::runtime::Handle;

use super::super::testing::{Folder, Instance, actor};
use super::super::{ApiTokenForm, CredentialChange, Enabled, NewCredential, Schedule};
use crate::audit::{AuditQueue, AuditSettings, SecurityEvents};
use crate::runtime::tasks::Tasks;
use crate::store::sqlite::OpenAs;

const DAY: Duration = Duration::from_secs(24 * 3600);

#[tokio::test]
async fn what_is_older_than_its_schedule_is_told_of_until_it_is_replaced() {
    let folder = Folder::new();
    let on = Instance::on(&folder, OpenAs::Server).await;
    let tasks = Tasks::on(Handle::current());
    let log = on.store.clone();
    let queue = AuditQueue::spawn(&AuditSettings::default(), log, on.metrics.clone(), &tasks);
    let events = SecurityEvents::new(queue, None, on.metrics.clone());
    let owner = on
        .accounts
        .service_account("ci", &actor())
        .await
        .expect("an account");
    let labeled = async |label: Option<&str>| {
        let new = NewCredential {
            environment: label.map(str::to_owned),
            ..NewCredential::default()
        };
        let form = ApiTokenForm::Default;
        on.accounts
            .create_api_token(&owner, &form, new, &actor())
            .await
            .expect("a token")
    };
    let due = labeled(Some("staging")).await;
    let disabled = labeled(Some("staging")).await;
    labeled(None).await;
    labeled(Some("laboratory")).await;
    let off = CredentialChange::switched(Enabled::No);
    on.accounts
        .update_credential(&disabled.id, &off, None, &actor())
        .await
        .expect("off");
    let schedules = [Schedule {
        environment: "staging".to_owned(),
        every: 60 * DAY,
    }];
    let count = async || {
        on.accounts
            .tell_rotation_due(&schedules, &events)
            .await
            .expect("looked through")
    };
    on.clock.advance(60 * DAY - Duration::from_secs(1));
    assert_eq!(count().await, 0);
    on.clock.advance(Duration::from_secs(1));
    labeled(Some("staging")).await;
    assert_eq!(
        count().await,
        1,
        "the young, the disabled and the unlabeled are not due"
    );
    assert_eq!(count().await, 1, "it stays due");
    on.accounts
        .reroll_credential(&due.id, DAY, None, &actor())
        .await
        .expect("rerolled");
    assert_eq!(count().await, 0, "what was replaced is not due");
    tasks.stop(Duration::from_secs(5)).await;
    let rows = on.accounts.list_audit(None, 100, &actor()).await.expect("a page");
    let told: Vec<_> = rows
        .iter()
        .filter(|r| r.entry.act == "credential_rotation_due")
        .collect();
    assert_eq!(told.len(), 1, "told once a day");
    assert_eq!(told[0].entry.target, due.id.as_str());
    assert_eq!(told[0].entry.detail["environment"], "staging");
}
