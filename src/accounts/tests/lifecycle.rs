//! What a credential goes through after it was made.

use std::time::Duration;

use super::super::testing::{Folder, Instance, START, actor};
use super::super::{
    AccountsError, Actor, CredentialChange, CredentialFilter, CredentialState, DeviceTokenForm, Enabled,
    NewCredential, Page, Revealable,
};
use super::{api_token, device, device_token};
use crate::domain::identity::CredentialKind;
use crate::domain::reason::Reason;
use crate::domain::scope::{Permission, ScopeSet};
use crate::store::sqlite::OpenAs;

const HOUR: Duration = Duration::from_secs(3600);

async fn refusal(on: &Instance, kind: CredentialKind, secret: &str) -> Option<Reason> {
    on.present(kind, secret).await.err().map(|r| r.reason)
}

#[tokio::test]
async fn a_change_of_rights_holds_when_the_call_returns() {
    let folder = Folder::new();
    let on = Instance::on(&folder, OpenAs::Server).await;
    let made = api_token(&on, "ci").await;
    // Remembered from here on.
    on.present(made.kind, made.secret.expose())
        .await
        .expect("accepted");
    let narrower = CredentialChange {
        permission: Some(Permission::Read),
        scopes: Some(ScopeSet::parse(["channel:1:read"]).expect("scopes")),
        tags: Some(vec!["b".to_owned(), "a".to_owned()]),
        environment: Some(Some("production".to_owned())),
        ..CredentialChange::default()
    };
    let row = on
        .accounts
        .update_credential(&made.id, &narrower, Some(1), &actor())
        .await
        .expect("changed");
    assert_eq!(
        (row.version, row.about.tags.as_slice()),
        (2, ["a".to_owned(), "b".to_owned()].as_slice())
    );
    let who = on
        .present(made.kind, made.secret.expose())
        .await
        .expect("accepted");
    assert_eq!(who.identity().permission, Permission::Read);
    assert_eq!(who.identity().scopes.to_string(), "channel:1:read");

    let late = on
        .accounts
        .update_credential(&made.id, &narrower, Some(1), &actor())
        .await;
    assert!(
        matches!(late, Err(AccountsError::Outdated { found: 2 })),
        "{late:?}"
    );
    let off = CredentialChange::switched(Enabled::No);
    on.accounts
        .update_credential(&made.id, &off, None, &actor())
        .await
        .expect("disabled");
    assert_eq!(
        refusal(&on, made.kind, made.secret.expose()).await,
        Some(Reason::CredentialDisabled)
    );
    let on_again = CredentialChange::switched(Enabled::Yes);
    on.accounts
        .update_credential(&made.id, &on_again, None, &actor())
        .await
        .expect("restored");
    on.present(made.kind, made.secret.expose())
        .await
        .expect("accepted again");

    let past = CredentialChange {
        expires_at: Some(Some(START)),
        ..CredentialChange::default()
    };
    let refused = on
        .accounts
        .update_credential(&made.id, &past, None, &actor())
        .await;
    assert!(
        matches!(refused, Err(AccountsError::BadInput { field: "expires", .. })),
        "{refused:?}"
    );
    let acts: Vec<String> = on
        .accounts
        .list_audit(None, 3, &actor())
        .await
        .expect("a page")
        .into_iter()
        .map(|row| row.entry.act)
        .collect();
    assert_eq!(
        acts,
        ["credential.enable", "credential.disable", "credential.update"]
    );
}

#[tokio::test]
async fn another_process_hears_of_a_change() {
    let folder = Folder::new();
    let on = Instance::on(&folder, OpenAs::Server).await;
    let tool = Instance::on(&folder, OpenAs::Tool).await;
    let made = api_token(&on, "ci").await;
    on.present(made.kind, made.secret.expose())
        .await
        .expect("accepted");
    let off = CredentialChange::switched(Enabled::No);
    tool.accounts
        .update_credential(&made.id, &off, None, &actor())
        .await
        .expect("disabled");
    on.follower.catch_up().await.expect("followed");
    assert_eq!(
        refusal(&on, made.kind, made.secret.expose()).await,
        Some(Reason::CredentialDisabled)
    );
}

#[tokio::test]
async fn a_rerolled_token_lives_for_the_overlap_and_never_past_its_own_end() {
    let folder = Folder::new();
    let on = Instance::on(&folder, OpenAs::Server).await;
    let device = device(&on, "serial-0001").await;
    for (own_end, overlap, lives) in [
        (None, 2 * HOUR, 2 * HOUR),
        (Some(START.plus(HOUR)), 2 * HOUR, HOUR),
        (None, Duration::ZERO, Duration::ZERO),
    ] {
        let limits = NewCredential {
            expires_at: own_end,
            name: Some("field".to_owned()),
            permission: Permission::Write,
            ..NewCredential::default()
        };
        let form = DeviceTokenForm::Uuid;
        let old = on
            .accounts
            .create_device_token(&device, form, limits, &actor())
            .await
            .expect("a token");
        let new = on
            .accounts
            .reroll_credential(&old.id, overlap, Some(None), &actor())
            .await
            .expect("rerolled");
        let who = on
            .present(new.kind, new.secret.expose())
            .await
            .expect("the new one works");
        assert_eq!(who.identity().permission, Permission::Write, "the rules stay");
        let (context, _) = on.accounts.credential(&old.id, &actor()).await.expect("there");
        assert_eq!(
            context.credential.expires_at,
            Some(START.plus(lives)),
            "{own_end:?}"
        );
        assert_eq!(context.credential.replaced_by.as_ref(), Some(&new.id));
        let expected = (lives == Duration::ZERO).then_some(Reason::CredentialExpired);
        assert_eq!(
            refusal(&on, old.kind, old.secret.expose()).await,
            expected,
            "{overlap:?}"
        );
        if lives > Duration::ZERO {
            let again = on
                .accounts
                .reroll_credential(&old.id, overlap, None, &actor())
                .await;
            assert!(
                matches!(again, Err(AccountsError::Conflict(_))),
                "one becomes two: {again:?}"
            );
        }
    }
}

#[tokio::test]
async fn a_rerolled_token_dies_at_the_end_of_the_overlap_though_it_is_remembered() {
    let folder = Folder::new();
    let on = Instance::on(&folder, OpenAs::Server).await;
    let old = api_token(&on, "ci").await;
    on.present(old.kind, old.secret.expose())
        .await
        .expect("remembered");
    let new = on
        .accounts
        .reroll_credential(&old.id, HOUR, None, &actor())
        .await
        .expect("rerolled");
    assert_ne!(new.secret.expose(), old.secret.expose());
    assert_eq!(
        new.public_id.as_deref().map(|id| &id[..3]),
        Some("dw_"),
        "in the same form"
    );
    on.present(old.kind, old.secret.expose())
        .await
        .expect("still good");
    on.clock.advance(HOUR);
    assert_eq!(
        refusal(&on, old.kind, old.secret.expose()).await,
        Some(Reason::CredentialExpired)
    );
    on.present(new.kind, new.secret.expose())
        .await
        .expect("the new one goes on");
}

#[tokio::test]
async fn of_many_rerolls_at_once_one_wins() {
    let folder = Folder::new();
    let on = Instance::on(&folder, OpenAs::Server).await;
    let old = api_token(&on, "ci").await;
    let by = actor();
    let tries = (0..4).map(|_| on.accounts.reroll_credential(&old.id, HOUR, None, &by));
    let outcomes = futures::future::join_all(tries).await;
    assert_eq!(outcomes.iter().filter(|o| o.is_ok()).count(), 1, "{outcomes:?}");
}

#[tokio::test]
async fn a_regenerated_credential_is_dead_when_the_call_returns() {
    let folder = Folder::new();
    let on = Instance::on(&folder, OpenAs::Server).await;
    let old = api_token(&on, "ci").await;
    on.present(old.kind, old.secret.expose())
        .await
        .expect("remembered");
    let new = on
        .accounts
        .regenerate_credential(&old.id, &actor())
        .await
        .expect("regenerated");
    assert_eq!(
        refusal(&on, old.kind, old.secret.expose()).await,
        Some(Reason::CredentialRevoked)
    );
    on.present(new.kind, new.secret.expose()).await.expect("works");
    for over in [&old.id] {
        let again = on.accounts.regenerate_credential(over, &actor()).await;
        assert!(matches!(again, Err(AccountsError::Conflict(_))), "{again:?}");
    }
}

#[tokio::test]
async fn what_was_deleted_is_dead_at_once_and_forgotten_after_the_grace_period() {
    let folder = Folder::new();
    let on = Instance::on(&folder, OpenAs::Server).await;
    let made = api_token(&on, "ci").await;
    on.present(made.kind, made.secret.expose())
        .await
        .expect("remembered");
    on.accounts
        .delete_credential(&made.id, &actor())
        .await
        .expect("deleted");
    assert_eq!(
        refusal(&on, made.kind, made.secret.expose()).await,
        Some(Reason::CredentialRevoked)
    );
    assert_eq!(
        on.accounts
            .purge_credentials(HOUR, &actor())
            .await
            .expect("purged"),
        0
    );
    on.clock.advance(HOUR);
    assert_eq!(
        on.accounts
            .purge_credentials(HOUR, &actor())
            .await
            .expect("purged"),
        1
    );
    let gone = on.accounts.credential(&made.id, &actor()).await;
    assert!(matches!(gone, Err(AccountsError::NotFound { .. })), "{gone:?}");
}

#[tokio::test]
async fn many_end_by_a_filter_and_nothing_else_does() {
    let folder = Folder::new();
    let on = Instance::on(&folder, OpenAs::Server).await;
    let owner = on
        .accounts
        .service_account("ci", &actor())
        .await
        .expect("an account");
    let device = device(&on, "serial-0001").await;
    let spared = device_token(&on, &device).await;
    let mut doomed = Vec::new();
    for _ in 0..3 {
        let limits = NewCredential {
            environment: Some("staging".to_owned()),
            ..NewCredential::default()
        };
        let form = super::super::ApiTokenForm::Default;
        doomed.push(
            on.accounts
                .create_api_token(&owner, &form, limits, &actor())
                .await
                .expect("a token"),
        );
    }
    let staging = CredentialFilter {
        environment: Some("staging".to_owned()),
        ..CredentialFilter::default()
    };
    assert_eq!(
        on.accounts
            .revoke_matching(&staging, &actor())
            .await
            .expect("revoked"),
        3
    );
    assert_eq!(
        on.accounts
            .revoke_matching(&staging, &actor())
            .await
            .expect("revoked"),
        0
    );
    for made in &doomed {
        assert_eq!(
            refusal(&on, made.kind, made.secret.expose()).await,
            Some(Reason::CredentialRevoked)
        );
    }
    on.present(spared.kind, spared.secret.expose())
        .await
        .expect("spared");
    let everything = on
        .accounts
        .revoke_matching(&CredentialFilter::default(), &actor())
        .await;
    assert!(
        matches!(everything, Err(AccountsError::BadInput { .. })),
        "{everything:?}"
    );
    let revoked = CredentialFilter {
        state: Some((CredentialState::Revoked, on.accounts.now())),
        ..CredentialFilter::default()
    };
    assert_eq!(
        on.accounts
            .list_credentials(&revoked, &Page::first(9), &actor())
            .await
            .expect("a page")
            .len(),
        3
    );
}

#[tokio::test]
async fn a_secret_is_read_back_only_where_it_was_made_so_and_the_trail_says_by_whom() {
    let folder = Folder::new();
    let on = Instance::on(&folder, OpenAs::Server).await;
    let device = device(&on, "serial-0001").await;
    let limits = || NewCredential {
        revealable: Revealable::Yes,
        ..NewCredential::default()
    };
    let form = DeviceTokenForm::Uuid;
    let made = on
        .accounts
        .create_device_token(&device, form, limits(), &actor())
        .await
        .expect("a token");
    let shown = on
        .accounts
        .reveal_credential(&made.id, &Actor::local(7))
        .await
        .expect("revealed");
    assert_eq!(shown.expose(), made.secret.expose());
    let last = on
        .accounts
        .list_audit(None, 1, &actor())
        .await
        .expect("a page")
        .remove(0)
        .entry;
    assert_eq!(
        (last.act.as_str(), last.actor.as_str()),
        ("device_token.reveal", "local:7")
    );
    assert!(!last.detail.to_string().contains(made.secret.expose()));
    let next = on
        .accounts
        .reroll_credential(&made.id, HOUR, None, &actor())
        .await
        .expect("rerolled");
    let shown = on
        .accounts
        .reveal_credential(&next.id, &actor())
        .await
        .expect("revealed");
    assert_eq!(
        shown.expose(),
        next.secret.expose(),
        "its successor can be read back too"
    );

    let plain = device_token(&on, &device).await;
    let hidden = on.accounts.reveal_credential(&plain.id, &actor()).await;
    assert!(matches!(hidden, Err(AccountsError::Conflict(_))), "{hidden:?}");
    on.accounts
        .revoke_credential(&next.id, &actor())
        .await
        .expect("revoked");
    let over = on.accounts.reveal_credential(&next.id, &actor()).await;
    assert!(matches!(over, Err(AccountsError::Conflict(_))), "{over:?}");
    let owner = on
        .accounts
        .service_account("ci", &actor())
        .await
        .expect("an account");
    let form = super::super::ApiTokenForm::Default;
    let refused = on
        .accounts
        .create_api_token(&owner, &form, limits(), &actor())
        .await;
    assert!(
        matches!(
            refused,
            Err(AccountsError::BadInput {
                field: "revealable",
                ..
            })
        ),
        "{refused:?}"
    );
}

#[tokio::test]
async fn a_sealed_copy_moved_to_another_row_does_not_open() {
    let folder = Folder::new();
    let on = Instance::on(&folder, OpenAs::Server).await;
    let device = device(&on, "serial-0001").await;
    let limits = NewCredential {
        revealable: Revealable::Yes,
        ..NewCredential::default()
    };
    let form = DeviceTokenForm::Uuid;
    let made = on
        .accounts
        .create_device_token(&device, form, limits, &actor())
        .await
        .expect("a token");
    let other = device_token(&on, &device).await;
    let mut row = on
        .store
        .credential(&other.id)
        .await
        .expect("read")
        .expect("there")
        .credential;
    let from = on
        .store
        .credential(&made.id)
        .await
        .expect("read")
        .expect("there")
        .credential;
    row.sealed_secret = from.sealed_secret;
    let draft = actor().draft(START, "test", "x", serde_json::Value::Null);
    on.store.update_credential(&row, &draft).await.expect("moved");
    let outcome = on.accounts.reveal_credential(&other.id, &actor()).await;
    assert!(matches!(outcome, Err(AccountsError::Unusable(_))), "{outcome:?}");
}
