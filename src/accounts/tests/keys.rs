use std::fs;
use std::os::unix::fs::PermissionsExt;

use super::super::testing::{Folder, Instance, START, actor};
use super::super::{AccountsError, KeyPurpose, KeyVault, LookupRotation, Refreshed, data_folder};
use super::{api_token, device, device_token, jwt, sealed};
use crate::store::KeyState;
use crate::store::sqlite::{OpenAs, SqliteStore};

#[tokio::test]
async fn the_first_start_makes_a_folder_and_keys_for_their_owner_alone() {
    let folder = Folder::new();
    let on = Instance::on(&folder, OpenAs::Server).await;
    let mode = |path| fs::metadata(path).expect("there").permissions().mode() & 0o7777;
    assert_eq!(mode(folder.path()), 0o700);
    assert_eq!(mode(folder.path().join("keys")), 0o700);
    assert_eq!(mode(folder.path().join("keys/data.key")), 0o600);
    let keys = on.accounts.vault().list().await.expect("keys");
    let purposes: Vec<_> = keys.iter().map(|k| (k.purpose, k.state)).collect();
    for purpose in KeyPurpose::ALL {
        assert!(purposes.contains(&(purpose, KeyState::Current)), "{purpose:?}");
    }
    assert_eq!(keys.len(), 4);
}

#[tokio::test]
async fn a_wide_folder_is_told_of_and_a_file_in_its_place_refused() {
    let folder = Folder::new();
    let path = folder.path();
    assert_eq!(data_folder::prepare(&path).expect("made"), None);
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).expect("widened");
    let warning = data_folder::prepare(&path).expect("used").expect("a warning");
    assert!(
        warning.contains("0755") && warning.contains("chmod 700"),
        "{warning}"
    );
    let file = path.join("file");
    fs::write(&file, b"").expect("written");
    data_folder::prepare(&file).expect_err("a file");
}

#[tokio::test]
async fn two_processes_that_start_at_once_use_the_same_keys() {
    let folder = Folder::new();
    let (a, b) = tokio::join!(
        Instance::on(&folder, OpenAs::Tool),
        Instance::on(&folder, OpenAs::Tool)
    );
    let keys = a.accounts.vault().list().await.expect("keys");
    assert_eq!(keys, b.accounts.vault().list().await.expect("keys"));
    assert_eq!(keys.len(), 4);
    let token = sealed(&a, "serial-0001").await;
    b.present(token.kind, token.secret.expose())
        .await
        .expect("the same keys");
}

#[tokio::test]
async fn a_lost_or_foreign_data_key_is_refused_and_nothing_is_made() {
    let folder = Folder::new();
    let on = Instance::on(&folder, OpenAs::Server).await;
    on.store.close().await;
    let path = data_folder::data_key_path(&folder.path());
    let saved = fs::read(&path).expect("a key");
    fs::remove_file(&path).expect("removed");
    let open = async || {
        let store = SqliteStore::open(&folder.path().join("doorward.db"), OpenAs::Tool)
            .await
            .expect("a store");
        KeyVault::open(store, &folder.path(), START).await.map(|_| ())
    };
    let error = open().await.expect_err("missing").to_string();
    assert!(error.contains("missing") && error.contains("backup"), "{error}");
    assert!(!path.exists(), "no new key was made");

    let other = Folder::new();
    let _other = Instance::on(&other, OpenAs::Server).await;
    fs::copy(data_folder::data_key_path(&other.path()), &path).expect("copied");
    let error = open().await.expect_err("foreign").to_string();
    assert!(error.contains("cannot be opened"), "{error}");
    fs::write(&path, saved).expect("restored");
    open().await.expect("the right one");
}

#[tokio::test]
async fn one_rotation_overlaps_and_the_second_ends_what_the_first_key_made() {
    let folder = Folder::new();
    let on = Instance::on(&folder, OpenAs::Server).await;
    let owner = on
        .accounts
        .service_account("ci", &actor())
        .await
        .expect("an account");
    let made = [jwt(&on, &owner).await, sealed(&on, "serial-0001").await];
    for round in 0..2 {
        for m in &made {
            on.present(m.kind, m.secret.expose())
                .await
                .unwrap_or_else(|r| panic!("{} after {round} rotations: {}", m.kind, r.reason));
        }
        for purpose in [KeyPurpose::Jwt, KeyPurpose::DeviceToken, KeyPurpose::Assertion] {
            let before = on.accounts.vault().handles().assertion.current_id();
            on.accounts
                .rotate_key(purpose, LookupRotation::Careful, &actor())
                .await
                .expect("rotated");
            let after = on.accounts.vault().handles().assertion.current_id();
            assert_eq!(before != after, purpose == KeyPurpose::Assertion);
        }
    }
    for m in &made {
        on.present(m.kind, m.secret.expose())
            .await
            .expect_err("its key counts no longer, remembered or not");
    }
}

#[tokio::test]
async fn another_process_takes_over_a_rotated_key() {
    let folder = Folder::new();
    let server = Instance::on(&folder, OpenAs::Server).await;
    let tool = Instance::on(&folder, OpenAs::Tool).await;
    assert_eq!(
        server.accounts.refresh_keys().await.expect("read"),
        Refreshed::Unchanged
    );
    for purpose in KeyPurpose::ALL {
        tool.accounts
            .rotate_key(purpose, LookupRotation::Careful, &actor())
            .await
            .expect("rotated");
    }
    let owner = tool
        .accounts
        .service_account("ci", &actor())
        .await
        .expect("an account");
    let device = device(&tool, "serial-0001").await;
    let made = [
        jwt(&tool, &owner).await,
        sealed(&tool, "serial-0001").await,
        device_token(&tool, &device).await,
        api_token(&tool, "ci").await,
    ];
    assert_eq!(
        server.accounts.refresh_keys().await.expect("read"),
        Refreshed::Replaced
    );
    assert_eq!(
        server.accounts.refresh_keys().await.expect("read"),
        Refreshed::Unchanged
    );
    for m in &made {
        server.present(m.kind, m.secret.expose()).await.expect("known");
    }
}

#[tokio::test]
async fn what_another_process_rotated_away_ends_here_remembered_or_not() {
    let folder = Folder::new();
    let server = Instance::on(&folder, OpenAs::Server).await;
    let tool = Instance::on(&folder, OpenAs::Tool).await;
    let owner = server
        .accounts
        .service_account("ci", &actor())
        .await
        .expect("an account");
    let old = jwt(&server, &owner).await;
    server
        .present(old.kind, old.secret.expose())
        .await
        .expect("remembered");
    for _ in 0..2 {
        tool.accounts
            .rotate_key(KeyPurpose::Jwt, LookupRotation::Careful, &actor())
            .await
            .expect("rotated");
    }
    server.accounts.refresh_keys().await.expect("read");
    server
        .present(old.kind, old.secret.expose())
        .await
        .expect_err("its key counts no longer");
}

#[tokio::test]
async fn a_second_lookup_rotation_waits_for_tokens_that_only_the_previous_key_finds() {
    let folder = Folder::new();
    let on = Instance::on(&folder, OpenAs::Server).await;
    let device = device(&on, "serial-0001").await;
    let idle = device_token(&on, &device).await;
    let portable = api_token(&on, "ci").await;
    let rotate = async |how| on.accounts.rotate_key(KeyPurpose::Lookup, how, &actor()).await;
    rotate(LookupRotation::Careful).await.expect("the first is free");
    let error = rotate(LookupRotation::Careful)
        .await
        .expect_err("one would be lost");
    assert!(matches!(error, AccountsError::Conflict(_)), "{error}");
    assert!(error.to_string().contains(idle.id.as_str()), "{error}");

    on.present(idle.kind, idle.secret.expose())
        .await
        .expect("used: its digest is renewed");
    rotate(LookupRotation::Careful).await.expect("nothing is lost");
    on.present(portable.kind, portable.secret.expose())
        .await
        .expect("its slow digest finds it");
    on.present(idle.kind, idle.secret.expose())
        .await
        .expect("the previous key finds it");
    rotate(LookupRotation::Anyway).await.expect("rotated");
    rotate(LookupRotation::Anyway).await.expect("rotated");
    let before_last = device_token(&on, &device).await;
    rotate(LookupRotation::Anyway).await.expect("rotated");
    on.present(before_last.kind, before_last.secret.expose())
        .await
        .expect("one rotation overlaps");
}
