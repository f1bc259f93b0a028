use std::sync::atomic::Ordering;
use std::time::Duration;

use base64::Engine;

use super::super::testing::{Folder, Instance, START, actor};
use super::super::{
    About, AccountsError, ApiTokenForm, CredentialFilter, CredentialLimits, DeviceName, DeviceTokenForm,
    Enabled, NewAccessToken, NewCredential, NewPrincipal, NewSealedToken, Page, Password, PrincipalFilter,
    Revealable, SealedForm, Transport,
};
use super::{api_token, device, device_token, jwt, sealed};
use crate::domain::identity::{CredentialKind, PrincipalKind};
use crate::domain::reason::Reason;
use crate::domain::scope::{Permission, ScopeSet};
use crate::domain::secret::SecretText;
use crate::store::sqlite::OpenAs;

#[tokio::test]
async fn every_kind_that_is_made_is_accepted_and_says_whose_it_is() {
    let folder = Folder::new();
    let on = Instance::on(&folder, OpenAs::Server).await;
    let device = device(&on, "serial-0001").await;
    let owner = on
        .accounts
        .service_account("ci", &actor())
        .await
        .expect("an account");

    let made = device_token(&on, &device).await;
    let who = on
        .present(made.kind, made.secret.expose())
        .await
        .expect("accepted");
    assert_eq!(who.identity().principal, device.id);
    assert_eq!(who.identity().credential, made.id);

    for form in ["doorward", "homechat", "thingsboard", "homechat_hex"] {
        let made = on
            .accounts
            .create_api_token(
                &owner,
                &ApiTokenForm::parse(form),
                NewCredential::default(),
                &actor(),
            )
            .await
            .unwrap_or_else(|e| panic!("{form}: {e}"));
        let who = on.present(made.kind, made.secret.expose()).await;
        assert_eq!(who.expect(form).identity().principal, owner.id, "{form}");
    }

    let made = sealed(&on, "serial-0001").await;
    let who = on
        .present(made.kind, made.secret.expose())
        .await
        .expect("accepted");
    assert_eq!(
        who.identity().principal,
        device.id,
        "a device is one principal, whichever credential it presents"
    );

    let made = jwt(&on, &owner).await;
    let who = on
        .present(made.kind, made.secret.expose())
        .await
        .expect("accepted");
    assert_eq!(
        (&who.identity().principal, &who.identity().credential),
        (&owner.id, &made.id)
    );

    let password = Password::Chosen(SecretText::new("correct horse battery".to_owned()));
    let made = on
        .accounts
        .create_basic(&owner, "ci-user", password, NewCredential::default(), &actor())
        .await
        .expect("a password");
    let pair = base64::engine::general_purpose::STANDARD.encode("ci-user:correct horse battery");
    let who = on.present(made.kind, &pair).await.expect("accepted");
    assert_eq!(who.identity().credential, made.id);
}

#[tokio::test]
async fn limits_travel_into_the_credential() {
    let folder = Folder::new();
    let on = Instance::on(&folder, OpenAs::Server).await;
    let owner = on
        .accounts
        .service_account("ci", &actor())
        .await
        .expect("an account");
    let limits = NewCredential {
        name: Some("nightly".to_owned()),
        scopes: ScopeSet::parse(["channel:12:write"]).expect("scopes"),
        permission: Permission::Read,
        networks: vec!["127.0.0.0/8".parse().expect("a network")],
        transport: Transport::HttpsOnly,
        expires_at: Some(START.plus(Duration::from_secs(60))),
        about: About {
            description: "builds".to_owned(),
            tags: vec!["ci".to_owned()],
            ..About::default()
        },
        environment: Some("staging".to_owned()),
        limits: Some(CredentialLimits {
            requests: Some("100:1".to_owned()),
            ..CredentialLimits::default()
        }),
        revealable: Revealable::No,
    };
    let made = on
        .accounts
        .create_api_token(&owner, &ApiTokenForm::Default, limits, &actor())
        .await
        .expect("a token");
    let who = on
        .present(made.kind, made.secret.expose())
        .await
        .expect("accepted");
    assert_eq!(who.identity().permission, Permission::Read);
    assert_eq!(who.identity().scopes.to_string(), "channel:12:write");
    assert_eq!(who.rules().transport, Transport::HttpsOnly);
    assert_eq!(who.rules().networks.iter().count(), 1);
    on.clock.advance(Duration::from_secs(61));
    let refused = on
        .present(made.kind, made.secret.expose())
        .await
        .expect_err("expired");
    assert_eq!(refused.reason, Reason::CredentialExpired);
}

#[tokio::test]
async fn a_token_that_was_unknown_a_moment_ago_works_once_it_is_made() {
    let folder = Folder::new();
    let on = Instance::on(&folder, OpenAs::Server).await;
    let before = on.created.load(Ordering::SeqCst);
    api_token(&on, "ci").await;
    assert_eq!(on.created.load(Ordering::SeqCst), before + 1);
}

#[tokio::test]
async fn a_regenerated_token_is_dead_when_the_call_returns() {
    let folder = Folder::new();
    let on = Instance::on(&folder, OpenAs::Server).await;
    let device = device(&on, "serial-0001").await;
    let limits = NewCredential {
        name: Some("field".to_owned()),
        permission: Permission::Write,
        ..NewCredential::default()
    };
    let old = on
        .accounts
        .create_device_token(&device, DeviceTokenForm::Uuid, limits, &actor())
        .await
        .expect("a token");
    on.present(old.kind, old.secret.expose()).await.expect("accepted");
    let new = on
        .accounts
        .regenerate_device_token(&device, None, DeviceTokenForm::Prefixed, &actor())
        .await
        .expect("replaced");
    let refused = on
        .present(old.kind, old.secret.expose())
        .await
        .expect_err("the old one");
    assert_eq!(refused.reason, Reason::CredentialRevoked);
    let who = on
        .present(new.kind, new.secret.expose())
        .await
        .expect("the new one");
    assert_eq!(who.identity().permission, Permission::Write, "the rules are kept");

    device_token(&on, &device).await;
    let error = on
        .accounts
        .regenerate_device_token(&device, None, DeviceTokenForm::Uuid, &actor())
        .await
        .expect_err("two living ones");
    assert!(matches!(error, AccountsError::Conflict(_)), "{error}");
    let error = on
        .accounts
        .regenerate_device_token(&device, Some(&old.id), DeviceTokenForm::Uuid, &actor())
        .await
        .expect_err("dead already");
    assert!(matches!(error, AccountsError::NotFound { .. }), "{error}");
    on.accounts
        .regenerate_device_token(&device, Some(&new.id), DeviceTokenForm::Uuid, &actor())
        .await
        .expect("named");
}

#[tokio::test]
async fn bad_requests_say_what_was_found_and_expected() {
    let folder = Folder::new();
    let on = Instance::on(&folder, OpenAs::Server).await;
    let accounts = &on.accounts;
    let owner = accounts
        .service_account("ci", &actor())
        .await
        .expect("an account");
    let device = device(&on, "serial-0001").await;

    let fresh = NewCredential::default;
    let short = Password::Chosen(SecretText::new("pA5$w0rd".to_owned()));
    let long = Password::Chosen(SecretText::new("x".repeat(73)));
    let sealed = |identifier: &str, form| NewSealedToken {
        identifier: identifier.to_owned(),
        form,
        tenant: None,
        scopes: ScopeSet::parse(["read"]).expect("scopes"),
    };
    let endless = NewAccessToken {
        scopes: ScopeSet::default(),
        permission: Permission::Full,
        lifetime: Duration::from_secs(400 * 24 * 3600),
    };
    let past = NewCredential {
        expires_at: Some(START),
        ..fresh()
    };
    let nameless = NewPrincipal::of(PrincipalKind::Device);
    let unknown = ApiTokenForm::parse("zz");
    let by = actor();
    for (error, part) in [
        (
            accounts
                .create_device_token(&owner, DeviceTokenForm::Uuid, fresh(), &by)
                .await
                .err(),
            "device: found a principal of kind service",
        ),
        (
            accounts
                .create_api_token(&owner, &unknown, fresh(), &by)
                .await
                .err(),
            "dw, hc, tb, homechat_hex",
        ),
        (
            accounts
                .create_api_token(&owner, &ApiTokenForm::Default, past, &by)
                .await
                .err(),
            "still to come",
        ),
        (
            accounts
                .create_basic(&owner, "ci", short, fresh(), &by)
                .await
                .err(),
            "password: found 8 characters, expected at least 12",
        ),
        (
            accounts
                .create_basic(&owner, "ci", long, fresh(), &by)
                .await
                .err(),
            "72 bytes",
        ),
        (
            accounts
                .create_basic(&owner, "c:i", Password::Random, fresh(), &by)
                .await
                .err(),
            "colon",
        ),
        (
            accounts
                .issue_sealed(sealed("short", SealedForm::Own), &by)
                .await
                .err(),
            "identifier: found 5 characters, expected at least 8",
        ),
        (
            accounts
                .issue_sealed(sealed("serial-0001", SealedForm::Compatible), &by)
                .await
                .err(),
            "cannot carry them",
        ),
        (
            accounts.issue_access_token(&owner, endless, &by).await.err(),
            "at most a year",
        ),
        (
            accounts.create_principal(nameless, &by).await.map(|_| ()).err(),
            "name: found nothing",
        ),
        (
            accounts.service_account("a\nb", &by).await.map(|_| ()).err(),
            "for: found a control character",
        ),
        (
            accounts
                .registered_device("nobody", &actor())
                .await
                .map(|_| ())
                .err(),
            "there is no device `nobody`",
        ),
    ] {
        let text = error.unwrap_or_else(|| panic!("accepted: {part}")).to_string();
        assert!(text.contains(part), "{part}: {text}");
        assert!(!text.contains("pA5$w0rd"), "{text}");
    }
    let again = NewPrincipal {
        external_id: device.external_id.clone(),
        ..NewPrincipal::of(PrincipalKind::Device)
    };
    let error = accounts.create_principal(again, &by).await.expect_err("taken");
    assert!(matches!(error, AccountsError::Conflict(_)), "{error}");
}

#[tokio::test]
async fn every_act_is_in_the_trail_with_its_actor_and_without_a_secret() {
    let folder = Folder::new();
    let on = Instance::on(&folder, OpenAs::Server).await;
    let device = device(&on, "serial-0001").await;
    let owner = on
        .accounts
        .service_account("ci", &actor())
        .await
        .expect("an account");
    let password = Password::Chosen(SecretText::new("correct horse battery".to_owned()));
    let basic = on
        .accounts
        .create_basic(&owner, "ci-user", password, NewCredential::default(), &actor())
        .await
        .expect("a password");
    let made = [
        device_token(&on, &device).await,
        api_token(&on, "ci").await,
        sealed(&on, "serial-0001").await,
        jwt(&on, &owner).await,
        basic,
    ];
    on.accounts.revoke_all(&actor()).await.expect("revoked");
    let rows = on.accounts.list_audit(None, 100, &actor()).await.expect("rows");
    let text = format!("{rows:?}");
    for secret in made.iter().map(|m| m.secret.expose()) {
        assert!(!text.contains(secret), "a secret is in the trail");
    }
    let acts: Vec<&str> = rows
        .iter()
        .filter(|row| row.entry.actor == "local:1000")
        .map(|row| row.entry.act.as_str())
        .collect();
    for act in [
        "device.create",
        "service.create",
        "device_token.create",
        "api_token.create",
        "sealed_device_token.issue",
        "jwt.issue",
        "basic.create",
        "all.revoke",
    ] {
        assert!(acts.contains(&act), "{act} is missing: {acts:?}");
    }
    assert_eq!(on.accounts.verify_audit(&actor()).await.expect("verified"), None);
}

#[tokio::test]
async fn attempts_are_counted_by_outcome() {
    let folder = Folder::new();
    let on = Instance::on(&folder, OpenAs::Server).await;
    api_token(&on, "ci").await;
    let owner = on
        .accounts
        .service_account("ci", &actor())
        .await
        .expect("an account");
    let form = ApiTokenForm::parse("zz");
    on.accounts
        .create_api_token(&owner, &form, NewCredential::default(), &actor())
        .await
        .expect_err("unknown form");
    let text = on.metrics.render().expect("rendered");
    for line in [
        "doorward_issued_total{kind=\"api_token\",outcome=\"issued\"} 1",
        "doorward_issued_total{kind=\"api_token\",outcome=\"refused\"} 1",
    ] {
        assert!(text.contains(line), "{line} is missing");
    }
}

#[tokio::test]
async fn a_principal_that_is_switched_off_comes_in_with_nothing() {
    let folder = Folder::new();
    let on = Instance::on(&folder, OpenAs::Server).await;
    let owner = on
        .accounts
        .service_account("ci", &actor())
        .await
        .expect("an account");
    let device = device(&on, "serial-0001").await;
    let made = [
        api_token(&on, "ci").await,
        jwt(&on, &owner).await,
        device_token(&on, &device).await,
        sealed(&on, "serial-0001").await,
    ];
    for m in &made {
        on.present(m.kind, m.secret.expose()).await.expect("accepted");
    }
    for id in [&owner.id, &device.id] {
        on.accounts
            .set_enabled(id, Enabled::No, &actor())
            .await
            .expect("switched off");
    }
    for m in &made {
        on.present(m.kind, m.secret.expose()).await.expect_err("refused");
    }
    let new = NewAccessToken {
        scopes: ScopeSet::default(),
        permission: Permission::Full,
        lifetime: Duration::from_secs(60),
    };
    on.clock.advance(Duration::from_secs(5));
    let off = on.accounts.principal(&owner.id, &actor()).await.expect("there");
    on.accounts
        .issue_access_token(&off, new, &actor())
        .await
        .expect_err("nothing in the store could refuse it");
    let new = NewSealedToken {
        identifier: "serial-0001".to_owned(),
        form: SealedForm::Own,
        tenant: None,
        scopes: ScopeSet::default(),
    };
    on.accounts
        .issue_sealed(new, &actor())
        .await
        .expect_err("the same");

    for id in [&owner.id, &device.id] {
        on.accounts
            .set_enabled(id, Enabled::Yes, &actor())
            .await
            .expect("switched on");
    }
    for (m, accepted) in made.iter().zip([true, false, true, false]) {
        let answer = on.present(m.kind, m.secret.expose()).await;
        assert_eq!(
            answer.is_ok(),
            accepted,
            "{}: rows live on, what has no row is dead",
            m.kind
        );
    }
}

#[tokio::test]
async fn devices_are_found_by_id_and_by_name() {
    let folder = Folder::new();
    let on = Instance::on(&folder, OpenAs::Server).await;
    let known = device(&on, "serial-0001").await;
    for text in ["serial-0001", " serial-0001 ", known.id.as_str()] {
        assert_eq!(
            on.accounts.device(text, &actor()).await.expect("found"),
            DeviceName::Registered(known.clone()),
            "{text}"
        );
    }
    let DeviceName::Unregistered(id) = on.accounts.device("serial-0002", &actor()).await.expect("an id")
    else {
        panic!("nobody registered it");
    };
    assert_eq!(sealed(&on, "serial-0002").await.principal, id);
    let page = Page::first(10);
    let devices = PrincipalFilter {
        kind: Some(PrincipalKind::Device),
        ..PrincipalFilter::default()
    };
    let jwts = CredentialFilter {
        kind: Some(CredentialKind::Jwt),
        ..CredentialFilter::default()
    };
    let kinds = on
        .accounts
        .list_principals(&devices, &page, &actor())
        .await
        .expect("a page");
    assert_eq!(kinds, [known]);
    let none = on
        .accounts
        .list_credentials(&jwts, &page, &actor())
        .await
        .expect("a page");
    assert!(none.is_empty(), "access tokens have no row");
}
