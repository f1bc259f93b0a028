use std::fs;
use std::os::unix::fs::PermissionsExt;

use super::super::testing::{Folder, Instance, actor, client};
use super::super::{ApiTokenForm, HandedOver, NewCredential, hand_over_administrator_token};
use super::api_token;
use crate::domain::identity::PrincipalKind;
use crate::domain::net::ClientIp;
use crate::domain::reason::Reason;
use crate::domain::scope::{MethodClass, Permission, Scope, ScopeSet};
use crate::domain::secret::SecretText;
use crate::store::sqlite::OpenAs;

#[tokio::test]
async fn the_first_start_makes_one_administrator_and_no_later_start_another() {
    let folder = Folder::new();
    let on = Instance::on(&folder, OpenAs::Server).await;
    let token = on
        .accounts
        .ensure_administrator()
        .await
        .expect("made")
        .expect("a token");
    assert!(on.accounts.ensure_administrator().await.expect("there").is_none());
    let by = on
        .administrators()
        .authenticate(token.expose().as_bytes(), client(), MethodClass::Write)
        .await
        .expect("let in");
    let account = on
        .accounts
        .principal_called(PrincipalKind::Service, "administrator", &actor())
        .await
        .expect("read")
        .expect("there");
    assert_eq!(by.name(), account.id.as_str());
    on.accounts.revoke_all(&actor()).await.expect("revoked");
    on.administrators()
        .authenticate(token.expose().as_bytes(), client(), MethodClass::Write)
        .await
        .expect_err("revoked like any other");
    assert!(
        on.accounts.ensure_administrator().await.expect("there").is_none(),
        "a restart does not bring a revoked administrator back"
    );
}

#[tokio::test]
async fn only_administrators_within_their_limits_are_let_in() {
    let folder = Folder::new();
    let on = Instance::on(&folder, OpenAs::Server).await;
    on.accounts.ensure_administrator().await.expect("made");
    let account = on
        .accounts
        .principal_called(PrincipalKind::Service, "administrator", &actor())
        .await
        .expect("read")
        .expect("there");
    let limited = async |limits| {
        on.accounts
            .create_api_token(&account, &ApiTokenForm::Default, limits, &actor())
            .await
            .expect("a token")
            .secret
    };
    let scoped = |scope: &str| NewCredential {
        scopes: ScopeSet::parse([scope]).expect("scopes"),
        ..NewCredential::default()
    };
    let reader = limited(NewCredential {
        permission: Permission::Read,
        ..NewCredential::default()
    })
    .await;
    let remote = limited(NewCredential {
        networks: vec!["10.0.0.0/8".parse().expect("a network")],
        ..NewCredential::default()
    })
    .await;
    let encrypted = limited(NewCredential {
        transport: super::super::Transport::HttpsOnly,
        ..NewCredential::default()
    })
    .await;
    let no_admin = limited(scoped("channel:1:read")).await;
    let admin = limited(scoped("admin")).await;
    let nobody = api_token(&on, "ci").await.secret;
    let guess = SecretText::new("dw_aaaaaaaa_bbbb".to_owned());
    let here = client();
    let there = ClientIp::new("192.0.2.1".parse().expect("an address"));
    let (read, write) = (MethodClass::Read, MethodClass::Write);
    for (token, from, method, expected) in [
        (&admin, here, write, None),
        (&admin, there, write, None),
        (&reader, here, read, None),
        (&reader, here, write, Some(Reason::MethodNotPermitted)),
        (&remote, here, read, Some(Reason::CredentialAddressDenied)),
        (&encrypted, here, read, None),
        (&encrypted, there, read, Some(Reason::HttpsRequired)),
        // What its scopes are good for is compared operation by operation.
        (&no_admin, here, read, None),
        (&nobody, here, read, Some(Reason::RoleMissing)),
        (&guess, here, read, Some(Reason::CredentialMalformed)),
    ] {
        let answer = on
            .administrators()
            .authenticate(token.expose().as_bytes(), from, method)
            .await;
        assert_eq!(answer.as_ref().err(), expected.as_ref(), "{from} {method:?}");
        if let Ok(actor) = answer {
            let good_for = actor.may(&Scope::parse("tokens:read").expect("a scope"));
            assert_eq!(good_for, token.expose() != no_admin.expose());
        }
    }
}

#[test]
fn the_token_goes_to_a_terminal_or_into_a_file_for_its_owner() {
    let folder = tempfile::TempDir::new().expect("a folder");
    let token = SecretText::new("dw_secret".to_owned());
    let mut screen = Vec::new();
    let to = hand_over_administrator_token(&token, folder.path(), Some(&mut screen)).expect("printed");
    assert_eq!(to, HandedOver::Terminal);
    assert!(String::from_utf8(screen).expect("text").contains("dw_secret"));
    assert_eq!(
        fs::read_dir(folder.path()).expect("read").count(),
        0,
        "no copy is kept"
    );

    for _ in 0..2 {
        let to = hand_over_administrator_token(&token, folder.path(), None).expect("written");
        let HandedOver::File(path) = to else {
            panic!("not in a file");
        };
        assert_eq!(fs::read_to_string(&path).expect("read").trim(), "dw_secret");
        assert_eq!(
            fs::metadata(&path).expect("there").permissions().mode() & 0o7777,
            0o600
        );
    }
    assert_eq!(fs::read_dir(folder.path()).expect("read").count(), 1);
}
