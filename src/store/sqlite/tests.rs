//! What is SQLite's own: files, locks, full disks, damage, plans. What every store does stands in
//! `store::conformance`, which runs here.

use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

use futures::FutureExt;
use sqlx::{AssertSqlSafe, ConnectOptions, Connection, Row};
use tempfile::TempDir;

use super::*;
use crate::domain::identity::CredentialKind;
use crate::store::conformance::{Empty, act, credential, device, end_of, keyed, store_conformance, tenant};
use crate::store::{
    About, AuditLog, CredentialFilter, CredentialRecord, Credentials, Effect, Page, Principals, Revocations,
    StoreError, Tenants,
};

async fn empty() -> Empty {
    let home = tempfile::tempdir().expect("a folder");
    let store = SqliteStore::open(&home.path().join("doorward.db"), OpenAs::Server).await;
    Empty {
        store: store.expect("a new store"),
        _home: Box::new(home),
    }
}

store_conformance!(empty);

/// A folder and the path of a store that is not there yet.
fn home() -> (TempDir, PathBuf) {
    let home = tempfile::tempdir().expect("a folder");
    let path = home.path().join("doorward.db");
    (home, path)
}

async fn open(path: &Path, access: OpenAs) -> Arc<SqliteStore> {
    SqliteStore::open(path, access).await.expect("the store opens")
}

/// Runs statements on a file as another program would.
async fn tamper(path: &Path, sql: &str) {
    let options = sqlx::sqlite::SqliteConnectOptions::new()
        .filename(path)
        .create_if_missing(true);
    let mut conn = options.foreign_keys(false).connect().await.expect("connected");
    sqlx::raw_sql(AssertSqlSafe(sql.to_owned()))
        .execute(&mut conn)
        .await
        .expect("executed");
    conn.close().await.expect("closed");
}

/// A store with some rows, closed.
async fn filled(path: &Path) {
    let store = open(path, OpenAs::Server).await;
    store
        .insert_tenant(&tenant("t1"), &act("a"))
        .await
        .expect("inserted");
    store.append_events(&vec![act("e"); 200]).await.expect("appended");
    store.close().await;
}

#[tokio::test]
async fn what_was_written_is_there_after_reopening() {
    let home = tempfile::tempdir().expect("a folder");
    let path = home.path().join("deep/er/doorward.db");
    let store = open(&path, OpenAs::Server).await;
    let written = store.revoke(&end_of("x", 1), &act("a")).await.expect("revoked");
    store.close().await;
    let store = open(&path, OpenAs::Server).await;
    assert_eq!(store.revocations_after(0, 10).await.expect("read"), [written]);
    assert_eq!(store.verify_audit().await.expect("verified"), None);
}

#[tokio::test]
async fn a_file_that_is_no_sound_store_of_ours_is_refused_and_left_as_it_was() {
    let (_home, ours) = home();
    filled(&ours).await;
    let sound = std::fs::read(&ours).expect("read");
    // Its last byte is in use, so that cutting it or spoiling its middle matters.
    let spoiled = |from: usize, to: usize| {
        let mut bytes = sound.clone();
        bytes[from..to].fill(0xa5);
        bytes
    };
    let (foreign_home, foreign) = home();
    tamper(
        &foreign,
        "CREATE TABLE notes (text TEXT); INSERT INTO notes VALUES ('mine')",
    )
    .await;
    let (_home2, renamed) = home();
    tamper(
        &renamed,
        "PRAGMA application_id = 0x44575244; PRAGMA user_version = 1; CREATE TABLE notes (t TEXT)",
    )
    .await;
    let (_home3, newer) = home();
    filled(&newer).await;
    tamper(&newer, "PRAGMA user_version = 7").await;
    let read = |path: &Path| std::fs::read(path).expect("read");
    for (why, bytes, says) in [
        ("an empty file", vec![], "too short"),
        ("a text", b"version: 1\n".repeat(50), "not an SQLite file"),
        ("half a header", sound[..60].to_vec(), "too short"),
        (
            "another program's SQLite file",
            read(&foreign),
            "another program's",
        ),
        (
            "another program's file with our mark",
            read(&renamed),
            "lacks the table",
        ),
        (
            "a newer schema",
            read(&newer),
            "newer Doorward (schema 7, this program knows 5)",
        ),
        (
            "cut in the middle of a page",
            sound[..sound.len() - 100].to_vec(),
            "damaged",
        ),
        ("cut at a page", sound[..sound.len() - 4096].to_vec(), "damaged"),
        ("the schema's page spoiled", spoiled(200, 4096), "damaged"),
        (
            "a table's page spoiled",
            spoiled(sound.len() - 4096, sound.len()),
            "damaged",
        ),
    ] {
        let (_home, path) = home();
        std::fs::write(&path, &bytes).expect("written");
        for access in [OpenAs::Server, OpenAs::Tool] {
            let outcome = SqliteStore::open(&path, access).await;
            let Err(StoreError::Unusable(text)) = outcome else {
                panic!("{why}: {outcome:?}");
            };
            assert!(text.contains(says), "{why}: {text}");
            assert!(
                text.contains("doorward.db") && text.contains("Nothing was changed"),
                "{why}: {text}"
            );
            assert_eq!(
                std::fs::read(&path).expect("read"),
                bytes,
                "{why}: the file was touched"
            );
        }
    }
    let outcome = SqliteStore::open(foreign_home.path(), OpenAs::Tool).await;
    assert!(
        matches!(outcome, Err(StoreError::Unusable(_))),
        "a folder: {outcome:?}"
    );
    open(&ours, OpenAs::Server)
        .await
        .ping()
        .await
        .expect("the sound one still opens");
}

#[tokio::test]
async fn a_second_server_is_refused_and_a_tool_is_welcome() {
    let (_home, path) = home();
    let server = open(&path, OpenAs::Server).await;
    let outcome = SqliteStore::open(&path, OpenAs::Server).await;
    let Err(StoreError::Unusable(text)) = outcome else {
        panic!("{outcome:?}");
    };
    for part in [
        "another Doorward server",
        &std::process::id().to_string(),
        "store.url",
    ] {
        assert!(text.contains(part), "{part:?} in {text}");
    }
    let tool = open(&path, OpenAs::Tool).await;
    let written = tool.revoke(&end_of("x", 1), &act("a")).await.expect("revoked");
    assert_eq!(
        server.revocations_after(0, 10).await.expect("read"),
        std::slice::from_ref(&written)
    );
    tool.close().await;
    let next = server.revoke(&end_of("y", 1), &act("a")).await.expect("revoked");
    assert_eq!(next.seq, written.seq + 1, "both processes draw from one sequence");
    server.close().await;
    let second = open(&path, OpenAs::Server).await;
    drop(second);
    open(&path, OpenAs::Server).await;
}

#[tokio::test]
async fn files_are_for_their_owner_only() {
    let home = tempfile::tempdir().expect("a folder");
    let path = home.path().join("data/doorward.db");
    let store = open(&path, OpenAs::Server).await;
    store
        .insert_tenant(&tenant("t1"), &act("a"))
        .await
        .expect("inserted");
    store.ping().await.expect("a reader, for its files");
    let mode = |path: &Path| std::fs::metadata(path).expect("there").permissions().mode() & 0o777;
    assert_eq!(mode(&home.path().join("data")), 0o700);
    let mut names: Vec<_> = std::fs::read_dir(home.path().join("data"))
        .expect("listed")
        .map(|entry| entry.expect("an entry").path())
        .collect();
    names.sort();
    let found: Vec<_> = names
        .iter()
        .map(|p| p.file_name().expect("a name").to_string_lossy())
        .collect();
    assert_eq!(
        found,
        [
            "doorward.db",
            "doorward.db-shm",
            "doorward.db-wal",
            "doorward.db.lock"
        ]
    );
    for name in &names {
        assert_eq!(mode(name), 0o600, "{}", name.display());
    }
}

#[tokio::test]
async fn many_processes_that_start_at_once_make_one_store() {
    let (home, path) = home();
    let opened = futures::future::join_all((0..6).map(|_| SqliteStore::open(&path, OpenAs::Tool))).await;
    for (i, store) in opened.into_iter().enumerate() {
        let store = store.expect("opened");
        store
            .insert_tenant(&tenant(&format!("t{i}")), &act("a"))
            .await
            .expect("inserted");
    }
    let store = open(&path, OpenAs::Server).await;
    assert_eq!(store.list_audit(None, 100).await.expect("listed").len(), 6);
    let left = std::fs::read_dir(home.path()).expect("listed").flatten();
    assert!(
        left.into_iter()
            .all(|e| !e.file_name().to_string_lossy().ends_with(".new"))
    );
}

#[tokio::test]
async fn a_full_disk_refuses_changes_and_nothing_else() {
    let (_home, path) = home();
    let store = open(&path, OpenAs::Server).await;
    store
        .insert_principal(&device("d1"), &act("a"))
        .await
        .expect("inserted");
    let token = |n: usize| CredentialRecord {
        name: "x".repeat(2000),
        ..credential(&format!("x{n}"), "d1", CredentialKind::DeviceToken)
    };
    let limit = async |pages: u32| {
        let sql = AssertSqlSafe(format!("PRAGMA max_page_count = {pages}"));
        let mut writer = store.connections.writer.acquire().await.expect("the writer");
        let set: i64 = sqlx::query_scalar(sql)
            .fetch_one(&mut *writer)
            .await
            .expect("set");
        set
    };
    // SQLite does not go below the present size.
    limit(1).await;
    let mut acknowledged = 0;
    let refused = loop {
        match store.insert_credential(&token(acknowledged), &act("a")).await {
            Ok(()) => acknowledged += 1,
            Err(error) => break error,
        }
        assert!(acknowledged < 1000, "the limit holds");
    };
    assert!(matches!(refused, StoreError::Full(_)), "{refused:?}");
    for round in 0..3 {
        let outcome = store.append_events(&vec![act("e"); 500]).await;
        assert!(
            matches!(outcome, Err(StoreError::Full(_))),
            "round {round}: {outcome:?}"
        );
        let listed = store.list_audit(None, 10_000).await.expect("reads go on");
        assert_eq!(listed.len(), acknowledged + 1, "nothing half-done");
        assert_eq!(
            store
                .credential(&token(acknowledged).id)
                .await
                .expect("reads go on"),
            None
        );
        assert_eq!(store.verify_audit().await.expect("verified"), None);
    }
    limit(1_000_000).await;
    store
        .insert_credential(&token(acknowledged), &act("a"))
        .await
        .expect("room again");
    assert_eq!(store.verify_audit().await.expect("verified"), None);
}

#[tokio::test]
async fn a_change_that_is_given_up_halfway_leaves_nothing() {
    let (_home, path) = home();
    let store = open(&path, OpenAs::Server).await;
    let mut change = store.connections.begin().await.expect("begun");
    audit::append(change.conn().expect("open"), &[act("lost")])
        .await
        .expect("appended");
    // What a canceled call does.
    drop(change);
    store
        .append_events(&[act("kept")])
        .await
        .expect("the next change goes through");
    let rows = store.list_audit(None, 10).await.expect("listed");
    assert_eq!(
        rows.iter().map(|r| r.entry.act.as_str()).collect::<Vec<_>>(),
        ["kept"]
    );
}

#[tokio::test]
async fn a_change_given_up_while_it_begins_holds_no_lock() {
    let (_home, path) = home();
    let store = open(&path, OpenAs::Server).await;
    let tool = open(&path, OpenAs::Tool).await;
    for _ in 0..5 {
        // Polled once: BEGIN is on its way when the caller goes, or even done on a machine that is busy.
        drop(store.connections.begin().now_or_never());
        tool.append_events(&[act("tool")])
            .await
            .expect("another process writes");
        store
            .append_events(&[act("server")])
            .await
            .expect("and so does this one");
    }
}

#[tokio::test]
async fn tampering_with_the_audit_trail_shows() {
    for (why, sql, expected) in [
        ("untouched", "SELECT 1", None),
        (
            "another actor",
            "UPDATE audit SET actor = 'nobody' WHERE seq = 3",
            Some(3),
        ),
        (
            "another time",
            "UPDATE audit SET at = at + 1 WHERE seq = 1",
            Some(1),
        ),
        (
            "another detail, same meaning",
            "UPDATE audit SET detail = detail || ' ' WHERE seq = 2",
            Some(2),
        ),
        (
            "an address removed",
            "UPDATE audit SET origin = NULL WHERE seq = 5",
            Some(5),
        ),
        (
            "another digest",
            "UPDATE audit SET digest = zeroblob(32) WHERE seq = 4",
            Some(4),
        ),
        ("one removed", "DELETE FROM audit WHERE seq = 3", Some(3)),
        ("the end cut off", "DELETE FROM audit WHERE seq >= 4", Some(4)),
        ("all gone", "DELETE FROM audit", Some(1)),
        (
            "two swapped",
            "UPDATE audit SET seq = 99 WHERE seq = 2; UPDATE audit SET seq = 2 WHERE seq = 3;
             UPDATE audit SET seq = 3 WHERE seq = 99",
            Some(2),
        ),
        (
            "the end cut off and its place forgotten",
            "DELETE FROM audit WHERE seq = 5; UPDATE audit_head SET seq = 4",
            Some(4),
        ),
    ] {
        let (_home, path) = home();
        let store = open(&path, OpenAs::Server).await;
        for i in 0..5 {
            store
                .append_events(&[act(&format!("e{i}"))])
                .await
                .expect("appended");
        }
        tamper(&path, sql).await;
        assert_eq!(store.verify_audit().await.expect("verified"), expected, "{why}");
    }
}

#[tokio::test]
async fn look_ups_walk_indexes_and_never_sort() {
    let (_home, path) = home();
    let store = open(&path, OpenAs::Server).await;
    for (sql, index) in [
        (credentials::BY_DIGEST, "credentials_by_digest"),
        (credentials::BY_PUBLIC_ID, "credentials_by_public_id"),
    ] {
        let plan: Vec<String> = sqlx::query(AssertSqlSafe(format!("EXPLAIN QUERY PLAN {sql}")))
            .fetch_all(&store.connections.readers)
            .await
            .expect("explained")
            .iter()
            .map(|row| row.get("detail"))
            .collect();
        let plan = plan.join("; ");
        assert!(plan.contains(index), "{plan}");
        assert!(!plan.contains("SCAN") && !plan.contains("TEMP B-TREE"), "{plan}");
    }
}

#[tokio::test]
async fn a_value_this_program_did_not_write_is_reported_without_itself() {
    let (_home, path) = home();
    let store = open(&path, OpenAs::Server).await;
    store
        .insert_principal(&device("d1"), &act("a"))
        .await
        .expect("inserted");
    let token = CredentialRecord {
        keyed_digest: keyed(1),
        ..credential("x1", "d1", CredentialKind::DeviceToken)
    };
    store
        .insert_credential(&token, &act("a"))
        .await
        .expect("inserted");
    tamper(&path, "UPDATE credentials SET permission = 'hunter2'").await;
    let outcome = store.find_by_digest(CredentialKind::DeviceToken, &[1; 32]).await;
    let Err(StoreError::Unusable(text)) = outcome else {
        panic!("{outcome:?}");
    };
    assert!(text.contains("permission") && !text.contains("hunter2"), "{text}");
}

const NEXT: Steps = &[
    schema::STEPS[0],
    schema::STEPS[1],
    schema::STEPS[2],
    schema::STEPS[3],
    schema::STEPS[4],
    "ALTER TABLE tenants ADD COLUMN color TEXT",
];
const BROKEN: Steps = &[
    schema::STEPS[0],
    schema::STEPS[1],
    schema::STEPS[2],
    schema::STEPS[3],
    schema::STEPS[4],
    "CREATE TABLE half (x TEXT); CREATE TABLE tenants (x TEXT)",
];

#[tokio::test]
async fn an_older_store_is_brought_up_whole_or_not_at_all() {
    let (_home, path) = home();
    filled(&path).await;
    let outcome = SqliteStore::open_at(&path, OpenAs::Server, BROKEN).await;
    assert!(outcome.is_err(), "{outcome:?}");
    let store = open(&path, OpenAs::Server).await;
    let half: i64 = sqlx::query_scalar("SELECT count(*) FROM sqlite_schema WHERE name = 'half'")
        .fetch_one(&store.connections.readers)
        .await
        .expect("read");
    assert_eq!(half, 0, "a step that fails leaves the file at its version");

    let outcome = SqliteStore::open_at(&path, OpenAs::Tool, NEXT).await;
    let Err(StoreError::Unusable(text)) = outcome else {
        panic!("{outcome:?}");
    };
    assert!(
        text.contains("restart the server with this version first"),
        "{text}"
    );
    store.close().await;

    let newer = SqliteStore::open_at(&path, OpenAs::Tool, NEXT)
        .await
        .expect("brought up");
    assert_eq!(newer.list_audit(None, 1000).await.expect("listed").len(), 201);
    newer.close().await;
    let outcome = SqliteStore::open(&path, OpenAs::Server).await;
    let Err(StoreError::Unusable(text)) = outcome else {
        panic!("{outcome:?}");
    };
    assert!(text.contains("schema 6, this program knows 5"), "{text}");
}

#[tokio::test]
async fn rows_of_an_older_store_get_what_they_lack() {
    const FIRST: Steps = &[schema::STEPS[0], schema::STEPS[1]];
    let (_home, path) = home();
    SqliteStore::open_at(&path, OpenAs::Server, FIRST)
        .await
        .expect("made")
        .close()
        .await;
    tamper(
        &path,
        "INSERT INTO tenants VALUES ('t1', 'T', 1, 5);
         INSERT INTO principals VALUES ('d1', 'device', 't1', NULL, 'D', NULL, '', 1, 5);
         INSERT INTO credentials VALUES
             ('x', 'device_token', 'd1', '', NULL, NULL, NULL, NULL, '', 'full', '', 'any', 1, NULL, NULL, 5);
         INSERT INTO revocations VALUES (7, 'principal', 'd2', 5, NULL, 5)",
    )
    .await;
    let store = open(&path, OpenAs::Server).await;
    let of_tenant = CredentialFilter {
        tenant: Some("t1".parse().expect("an id")),
        ..CredentialFilter::default()
    };
    let found = store.list_credentials(&of_tenant, &Page::first(9)).await;
    let found = found.expect("listed");
    assert_eq!(found.len(), 1, "found by its principal's tenant");
    assert_eq!((found[0].version, &found[0].about), (1, &About::default()));
    let revocations = store.revocations_after(0, 9).await.expect("read");
    assert_eq!(
        (revocations[0].seq, revocations[0].revocation.effect),
        (7, Effect::Ends)
    );
}

#[tokio::test]
async fn the_writer_is_durable_and_everyone_checks_foreign_keys() {
    let (_home, path) = home();
    let store = open(&path, OpenAs::Server).await;
    for (pool, pragma, expected) in [
        (&store.connections.writer, "PRAGMA synchronous", 2),
        (&store.connections.writer, "PRAGMA foreign_keys", 1),
        (&store.connections.writer, "PRAGMA busy_timeout", 5000),
        (&store.connections.readers, "PRAGMA cache_size", -1024),
    ] {
        let value: i64 = sqlx::query_scalar(pragma).fetch_one(pool).await.expect("read");
        assert_eq!(value, expected, "{pragma}");
    }
    let mode: String = sqlx::query_scalar("PRAGMA journal_mode")
        .fetch_one(&store.connections.readers)
        .await
        .expect("read");
    assert_eq!(mode, "wal");
    let outcome = sqlx::query("DELETE FROM audit")
        .execute(&store.connections.readers)
        .await;
    assert!(outcome.is_err(), "readers cannot write");
}

#[tokio::test]
async fn a_lock_of_another_store_that_was_handed_over_is_no_right_to_this_one() {
    let folder = tempfile::tempdir().expect("a folder");
    let (here, there) = (folder.path().join("here.db"), folder.path().join("there.db"));
    let served = SqliteStore::open(&here, OpenAs::Server).await.expect("made");
    let other = SqliteStore::open(&there, OpenAs::Server).await.expect("made");
    let lock = |of: &SqliteStore| -> OwnedFd {
        let file = of.server_lock().expect("a server has one");
        file.try_clone().expect("a copy").into()
    };
    let Err(error) = SqliteStore::open_following(&here, lock(&other)).await else {
        panic!("its server lives")
    };
    let error = error.to_string();
    assert!(error.contains("in use by another Doorward server"), "{error}");
    let follows = SqliteStore::open_following(&here, lock(&served)).await;
    follows.expect("its own is").close().await;
}
