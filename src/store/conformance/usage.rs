//! Usage: sums, extremes, recent addresses.

use super::*;

/// Counts add, the first use is the earliest, the last the latest, and addresses are few and recent.
pub(crate) async fn usage_adds_up(store: &Arc<dyn Store>) {
    let delta = |name: &str, count, first, last, addresses: &[&str]| UsageDelta {
        credential: id(name),
        count,
        first_used_at: at(first),
        last_used_at: at(last),
        addresses: addresses.iter().map(|a| (*a).to_owned()).collect(),
        agents: addresses.iter().map(|a| format!("agent {a}")).collect(),
    };
    store.add_usage(&[]).await.expect("nothing to do");
    assert_eq!(store.usage(&id("x1")).await.expect("read"), None);
    for (why, batch, expected) in [
        (
            "the first, of a credential without a row of its own",
            vec![delta("x1", 2, 10, 20, &["a", "b"]), delta("x2", 1, 1, 1, &["z"])],
            (10, 20, 2, "a b"),
        ),
        (
            "later; `b` moves to the front",
            vec![delta("x1", 3, 21, 30, &["b", "c"])],
            (10, 30, 5, "b c a"),
        ),
        (
            "twice in one batch",
            vec![delta("x1", 1, 31, 31, &["d"]), delta("x1", 1, 32, 32, &["e"])],
            (10, 32, 7, "e d b c a"),
        ),
        (
            "late news of another process",
            vec![delta("x1", 1, 5, 15, &["old", "a"])],
            (5, 32, 8, "e d b c a old"),
        ),
        (
            "no more than eight",
            vec![delta("x1", 1, 33, 40, &["1", "2", "3", "4"])],
            (5, 40, 9, "1 2 3 4 e d b c"),
        ),
        (
            "a long list of one batch is cut too",
            vec![delta(
                "x1",
                1,
                41,
                41,
                &["1", "2", "3", "4", "5", "6", "7", "8", "9", "10"],
            )],
            (5, 41, 10, "1 2 3 4 5 6 7 8"),
        ),
        (
            "a count beyond counting stays",
            vec![delta("x1", u64::MAX, 42, 42, &[])],
            (5, 42, i64::MAX as u64, "1 2 3 4 5 6 7 8"),
        ),
    ] {
        store.add_usage(&batch).await.expect("added");
        let usage = store.usage(&id("x1")).await.expect("read").expect("there");
        let (first, last, count, addresses) = expected;
        assert_eq!(usage.first_used_at, at(first), "{why}");
        assert_eq!(usage.last_used_at, at(last), "{why}");
        assert_eq!(usage.count, count, "{why}");
        assert_eq!(usage.recent_addresses.join(" "), addresses, "{why}");
        assert!(usage.recent_addresses.len() <= MAX_RECENT_ADDRESSES);
        let agents: Vec<String> = usage
            .recent_addresses
            .iter()
            .map(|a| format!("agent {a}"))
            .collect();
        assert_eq!(usage.recent_agents, agents, "{why}");
    }
    let other = store.usage(&id("x2")).await.expect("read").expect("there");
    assert_eq!((other.count, other.recent_addresses), (1, vec!["z".to_owned()]));
}
