//! What counts as unusual, row by row.

use super::*;

fn delta(count: u64, first_s: i64, last_s: i64, addresses: &[&str], agents: &[&str]) -> UsageDelta {
    let texts = |list: &[&str]| list.iter().map(|t| (*t).to_owned()).collect();
    UsageDelta {
        credential: CredentialId::parse("c1").expect("an id"),
        count,
        first_used_at: UnixMillis(first_s * 1000),
        last_used_at: UnixMillis(last_s * 1000),
        addresses: texts(addresses),
        agents: texts(agents),
    }
}

fn known(addresses: &[&str], agents: &[&str]) -> UsageRecord {
    UsageRecord::merged(None, &delta(1, 0, 0, addresses, agents))
}

fn kinds(seen: &[Sighting]) -> Vec<SecurityEventKind> {
    seen.iter().map(|s| s.kind).collect()
}

#[test]
fn a_network_is_new_when_no_recent_address_shares_it() {
    use SecurityEventKind::UsedFromNewNetwork as New;
    for (why, before, now, expected) in [
        ("the same address", &["192.0.2.1"][..], "192.0.2.1", vec![]),
        ("the same /24", &["192.0.2.1"], "192.0.2.200", vec![]),
        ("another /24", &["192.0.2.1"], "192.0.3.1", vec![New]),
        (
            "one of several",
            &["192.0.2.1", "198.51.100.7"],
            "198.51.100.9",
            vec![],
        ),
        ("the same /48", &["2001:db8:1:2::1"], "2001:db8:1:9::1", vec![]),
        ("another /48", &["2001:db8:1::1"], "2001:db8:2::1", vec![New]),
        (
            "another spelling of v4",
            &["192.0.2.1"],
            "::ffff:192.0.2.9",
            vec![],
        ),
        ("nothing was known", &[], "192.0.2.1", vec![]),
        ("what is no address", &["192.0.2.1"], "unix", vec![]),
    ] {
        let mut habits = Habits::new(Duration::from_secs(10));
        let seen = habits.notice(Some(&known(before, &[])), &delta(1, 0, 0, &[now], &[]));
        assert_eq!(kinds(&seen), expected, "{why}");
    }
    let first = Habits::new(Duration::from_secs(10)).notice(None, &delta(1, 0, 0, &["192.0.2.1"], &["curl"]));
    assert_eq!(kinds(&first), [], "a first use is nothing new");
}

#[test]
fn an_agent_is_new_when_it_was_not_seen_lately() {
    use SecurityEventKind::UsedByNewAgent as New;
    for (before, now, expected) in [
        (&["curl/8"][..], &["curl/8"][..], vec![]),
        (&["curl/8"], &["python-requests/2"], vec![New]),
        (&["curl/8"], &[], vec![]),
        (&[], &["curl/8"], vec![]),
    ] {
        let mut habits = Habits::new(Duration::from_secs(10));
        let seen = habits.notice(Some(&known(&[], before)), &delta(1, 0, 0, &[], now));
        assert_eq!(kinds(&seen), expected, "{before:?} {now:?}");
    }
}

/// Batches of ten seconds each: what was counted in them, and whether the last is told of.
#[test]
fn a_rate_changes_when_it_is_ten_times_the_usual_one_and_enough() {
    let steady = |count| vec![count; 8];
    for (why, counts, pause_s, told) in [
        ("as always", [steady(100), vec![100]].concat(), 0, false),
        ("five times", [steady(100), vec![500]].concat(), 0, false),
        ("twenty times", [steady(100), vec![2000]].concat(), 0, true),
        (
            "twenty times of almost nothing",
            [steady(1), vec![20]].concat(),
            0,
            false,
        ),
        (
            "a burst after an hour's silence",
            [steady(100), vec![2000]].concat(),
            3600,
            true,
        ),
        ("not known long enough", vec![100, 100, 2000], 0, false),
    ] {
        let mut habits = Habits::new(Duration::from_secs(10));
        let mut at = 0;
        let mut last = Vec::new();
        for (i, count) in counts.iter().enumerate() {
            if i + 1 == counts.len() {
                at += pause_s;
            }
            last = habits.notice(None, &delta(*count, at, at + 9, &[], &[]));
            at += 10;
        }
        assert_eq!(!last.is_empty(), told, "{why}");
    }
}

#[test]
fn rates_of_many_credentials_are_bounded() {
    let mut habits = Habits::new(Duration::from_secs(10));
    for n in 0..MAX_RATES + 10 {
        let mut one = delta(1, 0, i64::try_from(n).expect("small"), &[], &[]);
        one.credential = CredentialId::parse(&format!("c{n}")).expect("an id");
        habits.notice(None, &one);
    }
    assert!(habits.rates.len() <= MAX_RATES);
}
