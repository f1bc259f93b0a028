//! What is SQLite's own: files, locks, full disks, damage. What every store does stands in
//! `store::conformance`.

use super::*;
use crate::domain::clock::UnixMillis;
use crate::domain::ids::PrincipalId;
use crate::store::{AuditDraft, AuditLog, Enabled, NewRevocation, Principals, RevocationTarget, Revocations};

fn act() -> AuditDraft {
    AuditDraft {
        at: UnixMillis(1_700_000_000_000),
        actor: "local:0".to_owned(),
        act: "test".to_owned(),
        target: "t".to_owned(),
        from: None,
        detail: serde_json::json!({}),
    }
}

#[tokio::test]
async fn what_was_written_is_there_after_reopening() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("deep/er/doorward.db");
    let store = SqliteStore::open(&path, OpenAs::Server)
        .await
        .expect("a new store");
    let all = NewRevocation {
        target: RevocationTarget::All,
        cut_at: UnixMillis(5),
        until: None,
    };
    let written = store.revoke(&all, &act()).await.expect("revoked");
    store.close().await;
    let store = SqliteStore::open(&path, OpenAs::Server)
        .await
        .expect("the same store");
    assert_eq!(store.revocations_after(0, 10).await.expect("read"), [written]);
    assert_eq!(store.verify_audit().await.expect("verified"), None);
    assert!(matches!(
        store
            .set_principal_enabled(&PrincipalId::random(), Enabled::No, UnixMillis(1), &act())
            .await,
        Err(crate::store::StoreError::NotFound(_))
    ));
}
