//! Revocations: order, marks, pruning, and what a follower sees while many write.

use super::*;
use crate::runtime::tasks::Tasks;

/// Every kind of target survives; "everything after N" is exact.
pub(crate) async fn revocations_come_back_in_order(store: &Arc<dyn Store>) {
    let mut written = Vec::new();
    for (target, until) in [
        (RevocationTarget::Credential(id("jti|1")), Some(at(9))),
        (RevocationTarget::Principal(id("d1")), None),
        (RevocationTarget::Tenant(id("t1")), None),
        (RevocationTarget::All, Some(at(11))),
    ] {
        let new = NewRevocation {
            effect: Effect::Ends,
            target,
            cut_at: at(3),
            until,
        };
        let record = store.revoke(&new, &act("revoke")).await.expect("revoked");
        assert_eq!(record.revocation, new);
        assert_eq!(record.created_at, act("revoke").at);
        written.push(record);
    }
    assert!(written.is_sorted_by(|a, b| a.seq < b.seq));
    for (after, limit, expected) in [
        (0, 10, &written[..]),
        (0, 2, &written[..2]),
        (written[1].seq, 10, &written[2..]),
        (written[1].seq, 1, &written[2..3]),
        (written[3].seq, 10, &[]),
        (u64::MAX, 10, &[]),
    ] {
        let found = store.revocations_after(after, limit).await.expect("read");
        assert_eq!(found, expected, "after {after}, at most {limit}");
    }
}

/// The row says when it was first revoked; a stateless credential has no row and is revoked all the same.
pub(crate) async fn revoking_marks_the_stored_credential_once(store: &Arc<dyn Store>) {
    store
        .insert_principal(&device("d1"), &act("a"))
        .await
        .expect("inserted");
    for name in ["x1", "x2"] {
        let token = credential(name, "d1", CredentialKind::DeviceToken);
        store
            .insert_credential(&token, &act("a"))
            .await
            .expect("inserted");
    }
    for ms in [5, 6] {
        store.revoke(&end_of("x1", ms), &act("a")).await.expect("revoked");
    }
    store
        .revoke(&end_of("not-stored", 5), &act("a"))
        .await
        .expect("revoked");
    let revoked_at = async |name| {
        store
            .credential(&id(name))
            .await
            .expect("read")
            .expect("there")
            .credential
            .revoked_at
    };
    assert_eq!(revoked_at("x1").await, Some(at(5)));
    assert_eq!(revoked_at("x2").await, None, "its neighbor lives");
    assert_eq!(store.revocations_after(0, 10).await.expect("read").len(), 3);
}

/// The rows of what somebody holds are marked, made in the past or in what the clock calls the future; what is
/// stored afterwards lives, whatever time it bears, and so do others'.
pub(crate) async fn revoking_many_marks_what_is_there_whatever_the_clock_says(store: &Arc<dyn Store>) {
    store
        .insert_tenant(&tenant("t1"), &act("a"))
        .await
        .expect("inserted");
    let in_tenant = PrincipalRecord {
        tenant: Some(id("t1")),
        ..device("d2")
    };
    for owner in [device("d1"), in_tenant, device("d3")] {
        store.insert_principal(&owner, &act("a")).await.expect("inserted");
    }
    let insert = async |owner: &str, name: &str, made_at: i64| {
        let token = CredentialRecord {
            created_at: at(made_at),
            ..credential(&format!("{owner}-{name}"), owner, CredentialKind::DeviceToken)
        };
        let inserted = store.insert_credential(&token, &act("a")).await;
        inserted.expect("inserted");
    };
    for owner in ["d1", "d2", "d3"] {
        for (name, made_at) in [("before", 1), ("at", 5), ("ahead", 3_600_000)] {
            insert(owner, name, made_at).await;
        }
    }
    let marked = async || {
        let filter = CredentialFilter::default();
        let rows = store.list_credentials(&filter, &page(None, 100)).await;
        let marked = rows.expect("listed").into_iter();
        let mut marked: Vec<_> = marked
            .filter_map(|row| Some((row.id.as_str().to_owned(), row.revoked_at?)))
            .collect();
        marked.sort();
        marked
    };
    let mut expected: Vec<(String, UnixMillis)> = Vec::new();
    let rows: [(RevocationTarget, i64, &[&str]); 3] = [
        (
            RevocationTarget::Principal(id("d1")),
            5,
            &["d1-before", "d1-at", "d1-ahead"],
        ),
        (
            RevocationTarget::Tenant(id("t1")),
            4,
            &["d2-before", "d2-at", "d2-ahead"],
        ),
        // What is marked already keeps its instant.
        (
            RevocationTarget::All,
            3,
            &["d1-new", "d2-new", "d3-before", "d3-at", "d3-ahead"],
        ),
    ];
    for (target, ms, names) in rows {
        let why = format!("{target:?}");
        let new = NewRevocation {
            effect: Effect::Ends,
            target,
            cut_at: at(ms),
            until: None,
        };
        store.revoke(&new, &act("revoke")).await.expect("revoked");
        expected.extend(names.iter().map(|n| ((*n).to_owned(), at(ms))));
        expected.sort();
        assert_eq!(marked().await, expected, "{why}");
        match new.target {
            RevocationTarget::Principal(_) => insert("d1", "new", 2).await,
            RevocationTarget::Tenant(_) => insert("d2", "new", 2).await,
            _ => insert("d3", "new", 2).await,
        }
        assert_eq!(marked().await, expected, "{why}: what comes later lives");
    }
}

/// Whoever is switched off and on again has the same credentials as before.
pub(crate) async fn disabling_marks_no_credential(store: &Arc<dyn Store>) {
    store
        .insert_principal(&device("d1"), &act("a"))
        .await
        .expect("inserted");
    let token = credential("x1", "d1", CredentialKind::DeviceToken);
    store
        .insert_credential(&token, &act("a"))
        .await
        .expect("inserted");
    let told = store
        .set_principal_enabled(&id("d1"), Enabled::No, at(100), &act("disable"))
        .await;
    assert!(told.expect("disabled").is_some(), "it is told to everyone");
    let row = store.credential(&id("x1")).await.expect("read").expect("there");
    assert_eq!(row.credential.revoked_at, None);
}

/// Only what can no longer matter goes, and its numbers go with it.
pub(crate) async fn pruned_numbers_are_never_given_again(store: &Arc<dyn Store>) {
    let mut seqs = Vec::new();
    for (name, until) in [
        ("a", Some(at(9))),
        ("b", None),
        ("c", Some(at(10))),
        ("d", Some(at(8))),
    ] {
        let new = NewRevocation {
            effect: Effect::Ends,
            until,
            ..end_of(name, 1)
        };
        seqs.push(store.revoke(&new, &act("a")).await.expect("revoked").seq);
    }
    assert_eq!(store.prune_revocations(at(10)).await.expect("pruned"), 2);
    let left: Vec<_> = store
        .revocations_after(0, 10)
        .await
        .expect("read")
        .into_iter()
        .map(|r| r.seq)
        .collect();
    assert_eq!(
        left,
        [seqs[1], seqs[2]],
        "one without an end, and one that ends just now"
    );
    let next = store
        .revoke(
            &NewRevocation {
                effect: Effect::Ends,
                until: Some(at(1)),
                ..end_of("e", 1)
            },
            &act("a"),
        )
        .await;
    let next = next.expect("revoked").seq;
    assert!(next > seqs[3], "{next} after {seqs:?}");
    assert_eq!(
        store.prune_revocations(at(10)).await.expect("pruned"),
        1,
        "the highest of all"
    );
    assert!(
        store
            .revoke(&end_of("f", 1), &act("a"))
            .await
            .expect("revoked")
            .seq
            > next
    );
    assert_eq!(store.prune_revocations(at(10)).await.expect("pruned"), 0);
}

/// A follower that reads "everything after the last I saw" sees each number once and none out of order:
/// a lower number never becomes visible after a higher one.
pub(crate) async fn concurrent_revocations_become_visible_without_gaps(store: &Arc<dyn Store>) {
    const WRITERS: usize = 8;
    const EACH: usize = 12;
    let tasks = Tasks::on(tokio::runtime::Handle::current());
    let writers: Vec<_> = (0..WRITERS)
        .map(|writer| {
            let store = Arc::clone(store);
            tasks.spawn("writer", async move {
                let mut own = Vec::new();
                for i in 0..EACH {
                    let new = end_of(&format!("w{writer}-{i}"), 1);
                    let record = store.revoke(&new, &act("revoke")).await.expect("revoked");
                    let visible = store.revocations_after(record.seq - 1, 1).await.expect("read");
                    assert_eq!(
                        visible.first(),
                        Some(&record),
                        "visible when the call has returned"
                    );
                    own.push(record.seq);
                }
                assert!(own.is_sorted());
            })
        })
        .collect();
    let mut seen = Vec::new();
    while seen.len() < WRITERS * EACH {
        let after = seen.last().copied().unwrap_or(0);
        for record in store.revocations_after(after, 5).await.expect("read") {
            seen.push(record.seq);
        }
        assert!(writers.iter().any(|w| !w.is_finished()) || !seen.is_empty());
        tokio::task::yield_now().await;
    }
    for writer in writers {
        writer.await.expect("no writer failed");
    }
    let all: Vec<_> = store
        .revocations_after(0, 1000)
        .await
        .expect("read")
        .iter()
        .map(|r| r.seq)
        .collect();
    assert_eq!(seen, all, "the follower missed none");
    assert_eq!(all.len(), WRITERS * EACH);
    assert_eq!(store.verify_audit().await.expect("verified"), None);
}
