//! The audit trail: what is told, in which order, and that the chain holds.

use super::*;
use crate::runtime::tasks::Tasks;
use crate::store::chain::{ChainedRow, GENESIS, detail_text};

/// No act without its row, no row without its act.
pub(crate) async fn every_act_leaves_one_row_and_a_failed_one_none(store: &Arc<dyn Store>) {
    let kind = CredentialKind::DeviceToken;
    let key = KeyRecord {
        id: id("k1"),
        purpose: KeyPurpose::Lookup,
        state: KeyState::Current,
        sealed: vec![1],
        created_at: T0,
    };
    let (x1, x2, d1) = (
        credential("x1", "d1", kind),
        credential("x2", "d1", kind),
        id("d1"),
    );
    // Twice each: what happened the first time is refused the second, but for what may be repeated.
    let mut acts = Vec::new();
    for round in 0..2 {
        let first =
            |outcome: Result<()>, name: &str| assert_eq!(outcome.is_ok(), round == 0, "{name} {outcome:?}");
        first(store.insert_tenant(&tenant("t1"), &act("1")).await, "tenant");
        first(
            store.insert_customer(&customer("c1", "t1"), &act("2")).await,
            "customer",
        );
        first(
            store.insert_principal(&device("d1"), &act("3")).await,
            "principal",
        );
        first(store.insert_credential(&x1, &act("4")).await, "credential");
        first(
            store
                .replace_credential(&x1.id, &x2, at(1), &act("5"))
                .await
                .map(drop),
            "replace",
        );
        first(store.rotate_key(None, &key, &act("6")).await, "key");
        store.revoke(&end_of("x2", 2), &act("7")).await.expect("revoked");
        store
            .set_principal_enabled(&d1, Enabled::No, at(3), &act("8"))
            .await
            .expect("disabled");
        store
            .set_principal_enabled(&d1, Enabled::Yes, at(4), &act("9"))
            .await
            .expect("enabled");
        acts.extend(if round == 0 { 1..=9 } else { 7..=9 });
    }
    let mut rows = store.list_audit(None, 100).await.expect("listed");
    rows.reverse();
    let told: Vec<_> = rows
        .iter()
        .map(|r| r.entry.act.parse::<i32>().expect("a number"))
        .collect();
    assert_eq!(told, acts);
    assert_eq!(
        rows.first().map(|r| r.entry.clone()),
        Some(act("1")),
        "every field survives"
    );
}

/// Batches keep their order; digests are what `chain` says; pages go back in time.
pub(crate) async fn events_are_chained_and_listed_newest_first(store: &Arc<dyn Store>) {
    store.append_events(&[]).await.expect("nothing to do");
    assert_eq!(
        store.verify_audit().await.expect("verified"),
        None,
        "an empty trail fits"
    );
    // More rows than any engine would check in one step.
    let events: Vec<_> = (0..2500_i64)
        .map(|i| AuditDraft {
            at: at(i),
            from: (i % 2 == 0).then(|| format!("192.0.2.{}", i % 250)),
            detail: serde_json::json!({ "z": i, "a": [1.5, null, "é\n"] }),
            ..act("refusal")
        })
        .collect();
    for batch in events.chunks(1250) {
        store.append_events(batch).await.expect("appended");
    }
    let rows = store.list_audit(None, 10_000).await.expect("listed");
    assert!(
        rows.iter().map(|r| r.seq).eq((1..=2500).rev()),
        "numbered from 1 without gaps"
    );
    let mut previous = GENESIS;
    for (row, event) in rows.iter().rev().zip(&events) {
        assert_eq!(&row.entry, event);
        previous = ChainedRow::of(row.seq, event, &detail_text(&event.detail)).digest(&previous);
        assert_eq!(row.digest, previous, "row {}", row.seq);
    }
    assert_eq!(store.verify_audit().await.expect("verified"), None);
    for (before, limit, expected) in [
        (None, 2, vec![2500, 2499]),
        (Some(2499), 3, vec![2498, 2497, 2496]),
        (Some(2), 3, vec![1]),
        (Some(1), 3, vec![]),
        (Some(u64::MAX), 1, vec![2500]),
        (None, 0, vec![]),
    ] {
        let found = store.list_audit(before, limit).await.expect("listed");
        assert_eq!(
            found.iter().map(|r| r.seq).collect::<Vec<_>>(),
            expected,
            "{before:?} {limit}"
        );
    }
}

/// Management and sampled events write at once, and each row still follows from the one before.
pub(crate) async fn concurrent_acts_keep_the_chain_whole(store: &Arc<dyn Store>) {
    let tasks = Tasks::on(tokio::runtime::Handle::current());
    let writers: Vec<_> = (0..6)
        .map(|writer| {
            let store = Arc::clone(store);
            tasks.spawn("writer", async move {
                for i in 0..10 {
                    let name = format!("w{writer}-{i}");
                    match writer % 3 {
                        0 => store.insert_principal(&device(&name), &act("p")).await,
                        1 => store.append_events(&[act("e1"), act("e2")]).await,
                        _ => store.revoke(&end_of(&name, i), &act("r")).await.map(drop),
                    }
                    .expect("written");
                }
            })
        })
        .collect();
    for writer in writers {
        writer.await.expect("no writer failed");
    }
    let rows = store.list_audit(None, 1000).await.expect("listed");
    assert!(rows.iter().map(|r| r.seq).eq((1..=80).rev()));
    assert_eq!(store.verify_audit().await.expect("verified"), None);
}

/// Retention removes what it names, oldest first, and the chain is still checked over what it left.
pub(crate) async fn trimmed_rows_leave_a_chain_that_can_be_checked(store: &Arc<dyn Store>) {
    // r r A r r r A A r ... at 1, 2, 3 ...
    let script = "rrArrrAArrArrrrr";
    for (place, letter) in (1_i64..).zip(script.chars()) {
        let event = AuditDraft {
            at: at(place),
            ..act(if letter == 'r' { "refusal" } else { "grant" })
        };
        store.append_events(&[event]).await.expect("appended");
    }
    let places = async || {
        let rows = store.list_audit(None, 100).await.expect("listed");
        let mut places: Vec<u64> = rows.iter().map(|r| r.seq).collect();
        places.reverse();
        places
    };
    let refusals = |before: Option<i64>, keep_newest| AuditTrim {
        acts: TrimmedActs::Only("refusal"),
        before: before.map(at),
        keep_newest,
    };
    let grants = |before: i64| AuditTrim {
        acts: TrimmedActs::AllBut("refusal"),
        before: Some(at(before)),
        keep_newest: None,
    };
    for (rule, limit, removed, left, why) in [
        (
            refusals(None, None),
            100,
            0,
            (1..=16).collect::<Vec<u64>>(),
            "nothing asked for",
        ),
        (
            refusals(Some(1), Some(12)),
            100,
            0,
            (1..=16).collect(),
            "nothing is too old or too many",
        ),
        (
            refusals(Some(6), None),
            2,
            2,
            (3..=16).collect(),
            "oldest first, as many as allowed",
        ),
        (
            refusals(Some(6), None),
            100,
            2,
            vec![3, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16],
            "by age",
        ),
        (
            refusals(Some(6), None),
            100,
            0,
            vec![3, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16],
            "once",
        ),
        (
            refusals(None, Some(3)),
            100,
            5,
            vec![3, 7, 8, 11, 14, 15, 16],
            "by number",
        ),
        (
            grants(8),
            100,
            2,
            vec![8, 11, 14, 15, 16],
            "the others, and neighboring gaps are one",
        ),
        (
            refusals(None, Some(0)),
            100,
            3,
            vec![8, 11],
            "the end of the chain",
        ),
        (grants(100), 100, 2, vec![], "everything"),
    ] {
        let count = store.trim_audit(&rule, limit).await.expect("trimmed");
        assert_eq!((count, places().await), (removed, left), "{why}");
        assert_eq!(store.verify_audit().await.expect("verified"), None, "{why}");
    }
    store
        .append_events(&[act("after"), act("all")])
        .await
        .expect("appended");
    assert_eq!(places().await, [17, 18], "numbers go on");
    assert_eq!(store.verify_audit().await.expect("verified"), None);
}
