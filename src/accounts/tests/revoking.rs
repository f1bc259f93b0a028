use super::super::testing::{Folder, Instance, actor};
use super::super::{AccountsError, Known, NewSealedToken, SealedForm};
use super::{api_token, device, device_token, jwt, sealed};
use crate::domain::identity::CredentialKind;
use crate::domain::ids::{CredentialId, PrincipalId, TenantId};
use crate::domain::reason::Reason;
use crate::domain::scope::ScopeSet;
use crate::domain::secret::SecretText;
use crate::store::sqlite::OpenAs;

#[tokio::test]
async fn a_revoked_credential_is_refused_when_the_call_returns() {
    let folder = Folder::new();
    let on = Instance::on(&folder, OpenAs::Server).await;
    let device = device(&on, "serial-0001").await;
    let owner = on
        .accounts
        .service_account("ci", &actor())
        .await
        .expect("an account");
    let made = [
        device_token(&on, &device).await,
        api_token(&on, "ci").await,
        sealed(&on, "serial-0001").await,
        jwt(&on, &owner).await,
    ];
    let bystanders = [
        device_token(&on, &device).await,
        api_token(&on, "ci").await,
        sealed(&on, "serial-0001").await,
        jwt(&on, &owner).await,
    ];
    for (m, by_text) in made.iter().zip([true, false, true, false]) {
        on.present(m.kind, m.secret.expose())
            .await
            .expect("accepted and remembered");
        let revoked = if by_text {
            on.accounts.revoke_presented(&m.secret, &actor()).await
        } else {
            on.accounts.revoke_credential(&m.id, &actor()).await
        };
        let revoked = revoked.unwrap_or_else(|e| panic!("{}: {e}", m.kind));
        assert_eq!(revoked.target, m.id.as_str(), "{}", m.kind);
        let refused = on.present(m.kind, m.secret.expose()).await.expect_err("refused");
        assert_eq!(refused.reason, Reason::CredentialRevoked, "{}", m.kind);
    }
    for m in &bystanders {
        on.present(m.kind, m.secret.expose())
            .await
            .expect("another one lives on");
    }
}

#[tokio::test]
async fn a_revocation_outlives_the_process() {
    let folder = Folder::new();
    let (token, other) = {
        let on = Instance::on(&folder, OpenAs::Server).await;
        let token = sealed(&on, "serial-0001").await;
        let other = sealed(&on, "serial-0002").await;
        on.accounts
            .revoke_presented(&token.secret, &actor())
            .await
            .expect("revoked");
        on.store.close().await;
        (token, other)
    };
    let on = Instance::on(&folder, OpenAs::Server).await;
    on.follower.catch_up().await.expect("read");
    on.present(token.kind, token.secret.expose())
        .await
        .expect_err("still revoked");
    on.present(other.kind, other.secret.expose())
        .await
        .expect("never was");
}

#[tokio::test]
async fn another_process_follows_a_revocation() {
    let folder = Folder::new();
    let server = Instance::on(&folder, OpenAs::Server).await;
    let device = device(&server, "serial-0001").await;
    let made = [
        device_token(&server, &device).await,
        sealed(&server, "serial-0001").await,
    ];
    for m in &made {
        server
            .present(m.kind, m.secret.expose())
            .await
            .expect("accepted and remembered");
    }
    let tool = Instance::on(&folder, OpenAs::Tool).await;
    tool.accounts
        .revoke_device("serial-0001", &actor())
        .await
        .expect("revoked");
    server.follower.catch_up().await.expect("read");
    for m in &made {
        server
            .present(m.kind, m.secret.expose())
            .await
            .expect_err("refused");
    }
}

#[tokio::test]
async fn wider_revocations_end_what_is_theirs_and_nothing_else() {
    let folder = Folder::new();
    let on = Instance::on(&folder, OpenAs::Server).await;
    let device = device(&on, "serial-0001").await;
    let owner = on
        .accounts
        .service_account("ci", &actor())
        .await
        .expect("an account");
    let of_device = [device_token(&on, &device).await, sealed(&on, "serial-0001").await];
    let of_owner = [api_token(&on, "ci").await, jwt(&on, &owner).await];
    let stranger = sealed(&on, "serial-0002").await;
    let of_tenant = NewSealedToken {
        identifier: "serial-0003".to_owned(),
        form: SealedForm::Own,
        tenant: Some(TenantId::parse("acme").expect("an id")),
        scopes: ScopeSet::default(),
    };
    let of_tenant = on
        .accounts
        .issue_sealed(of_tenant, &actor())
        .await
        .expect("a token");
    let all: Vec<_> = of_device
        .iter()
        .chain(&of_owner)
        .chain([&stranger, &of_tenant])
        .collect();
    for m in &all {
        on.present(m.kind, m.secret.expose())
            .await
            .expect("accepted and remembered");
    }
    let dead = async |m: &super::Issued| on.present(m.kind, m.secret.expose()).await.is_err();

    on.accounts
        .revoke_device("serial-0001", &actor())
        .await
        .expect("revoked");
    for (i, m) in all.iter().enumerate() {
        assert_eq!(dead(m).await, i < 2, "after the device: {i} {}", m.kind);
    }
    on.accounts
        .revoke_principal(&owner.id, &actor())
        .await
        .expect("revoked");
    for (i, m) in all.iter().enumerate() {
        assert_eq!(dead(m).await, i < 4, "after the principal: {i} {}", m.kind);
    }
    let acme = TenantId::parse("acme").expect("an id");
    on.accounts.revoke_tenant(&acme, &actor()).await.expect("revoked");
    assert!(
        dead(&of_tenant).await && !dead(&stranger).await,
        "after the tenant"
    );
    on.accounts.revoke_all(&actor()).await.expect("revoked");
    assert!(dead(&stranger).await, "after everything");

    on.clock.advance(std::time::Duration::from_millis(1));
    let later = [
        api_token(&on, "ci").await,
        jwt(&on, &owner).await,
        sealed(&on, "serial-0001").await,
    ];
    for m in &later {
        on.present(m.kind, m.secret.expose())
            .await
            .expect("what is made afterwards works");
    }
}

#[tokio::test]
async fn an_id_without_a_row_is_told_apart_from_a_typo() {
    let folder = Folder::new();
    let on = Instance::on(&folder, OpenAs::Server).await;
    let id = |text: &str| CredentialId::parse(text).expect("an id");
    for text in ["own:0190c2f0", &"ab".repeat(32)] {
        let revoked = on
            .accounts
            .revoke_credential(&id(text), &actor())
            .await
            .expect("revoked");
        assert_eq!(revoked.known, Known::NotStored);
    }
    let error = on
        .accounts
        .revoke_credential(&id("0190c2f0-typo"), &actor())
        .await
        .expect_err("a typo");
    assert!(matches!(error, AccountsError::NotFound { .. }), "{error}");
    let nobody = PrincipalId::parse("auth0|somebody").expect("an id");
    let revoked = on
        .accounts
        .revoke_principal(&nobody, &actor())
        .await
        .expect("revoked");
    assert_eq!(
        revoked.known,
        Known::NotStored,
        "an external issuer's subject has no row"
    );
}

#[tokio::test]
async fn a_forged_or_dead_credential_cannot_fill_the_list() {
    let folder = Folder::new();
    let on = Instance::on(&folder, OpenAs::Server).await;
    let token = sealed(&on, "serial-0001").await;
    let mut forged = token.secret.expose().to_owned();
    forged.replace_range(forged.len() - 1.., if forged.ends_with('A') { "B" } else { "A" });
    let forged = format!("{}x", &forged[..forged.len() - 2]);
    for text in ["", "not-a-token", forged.as_str(), "a.b.c"] {
        let error = on
            .accounts
            .revoke_presented(&SecretText::new(text.to_owned()), &actor())
            .await
            .expect_err(text);
        assert!(matches!(error, AccountsError::BadInput { .. }), "{text}: {error}");
        assert!(
            text.is_empty() || !error.to_string().contains(text),
            "the text is repeated"
        );
    }
    let seen = on.store.revocations_after(0, 10).await.expect("rows");
    assert!(seen.is_empty(), "nothing was written");

    let owner = on
        .accounts
        .service_account("ci", &actor())
        .await
        .expect("an account");
    let expired = jwt(&on, &owner).await;
    on.clock.advance(std::time::Duration::from_secs(24 * 3600 * 2));
    let error = on
        .accounts
        .revoke_presented(&expired.secret, &actor())
        .await
        .expect_err("expired");
    assert!(matches!(error, AccountsError::Conflict(_)), "{error}");
    assert_eq!(expired.kind, CredentialKind::Jwt);
}
