use super::*;
use crate::authn::testing::identity;
use crate::store::NewRevocation;

fn record(seq: u64, target: RevocationTarget, cut_at: i64) -> RevocationRecord {
    RevocationRecord {
        seq,
        revocation: NewRevocation {
            effect: Effect::Ends,
            target,
            cut_at: UnixMillis(cut_at),
            until: None,
        },
        created_at: UnixMillis(cut_at),
    }
}

fn credential(id: &str) -> RevocationTarget {
    RevocationTarget::Credential(CredentialId::parse(id).expect("an id"))
}

fn principal(id: &str) -> RevocationTarget {
    RevocationTarget::Principal(PrincipalId::parse(id).expect("an id"))
}

fn tenant(id: &str) -> RevocationTarget {
    RevocationTarget::Tenant(TenantId::parse(id).expect("an id"))
}

#[test]
fn each_scope_ends_exactly_what_it_names() {
    let mut stateless = identity(CredentialKind::Jwt, "t1", "p1", Some("acme"));
    stateless.issued_at = Some(UnixMillis(1000));
    for (target, cut, dead) in [
        (credential("t1"), 0, true),
        (credential("t2"), 5000, false),
        (principal("p1"), 1000, true),
        (principal("p1"), 999, false),
        (principal("p2"), 5000, false),
        (tenant("acme"), 1000, true),
        (tenant("acme"), 999, false),
        (tenant("other"), 5000, false),
        (RevocationTarget::All, 1000, true),
        (RevocationTarget::All, 999, false),
    ] {
        let index = RevocationIndex::new(10);
        let since = index.epoch();
        index.apply(&record(1, target.clone(), cut));
        let standing = index.standing(&stateless, since);
        assert_eq!(
            standing == Standing::Revoked,
            dead,
            "{target:?} cut {cut}: {standing:?}"
        );
    }
}

fn change(seq: u64, target: RevocationTarget) -> RevocationRecord {
    let mut record = record(seq, target, 5000);
    record.revocation.effect = Effect::Changes;
    record
}

#[test]
fn a_change_ends_nothing_and_voids_what_is_remembered() {
    let mut stateless = identity(CredentialKind::Jwt, "t1", "p1", Some("acme"));
    stateless.issued_at = Some(UnixMillis(1000));
    let stored = identity(CredentialKind::ApiToken, "t1", "p1", Some("acme"));
    for (target, touched) in [
        (credential("t1"), true),
        (credential("t2"), false),
        (principal("p1"), true),
        (principal("p2"), false),
        (tenant("acme"), true),
        (RevocationTarget::All, true),
    ] {
        let index = RevocationIndex::new(10);
        let since = index.epoch();
        index.apply(&change(1, target.clone()));
        assert_eq!(
            index.standing(&stored, since) == Standing::Void,
            touched,
            "{target:?}"
        );
        if !matches!(target, RevocationTarget::Credential(_)) {
            let standing = index.standing(&stateless, since);
            assert_ne!(standing, Standing::Revoked, "{target:?}");
        }
    }
}

#[test]
fn a_change_never_takes_the_cut_of_an_end_away_nor_ends_anything_when_there_is_no_room() {
    let mut old = identity(CredentialKind::Jwt, "t1", "p1", None);
    old.issued_at = Some(UnixMillis(1000));
    let index = RevocationIndex::new(1);
    let since = index.epoch();
    index.apply(&record(1, principal("p1"), 2000));
    index.apply(&change(2, principal("p1")));
    index.prune(UnixMillis(1_000_000));
    assert_eq!(index.standing(&old, since), Standing::Revoked);
    let stored = identity(CredentialKind::ApiToken, "a", "p2", None);
    let mut other = identity(CredentialKind::Jwt, "t2", "p3", None);
    other.issued_at = Some(UnixMillis(1000));
    let since = index.epoch();
    index.apply(&change(3, principal("p2")));
    assert_eq!(
        index.standing(&stored, since),
        Standing::Void,
        "no room to remember whom it was about"
    );
    assert_ne!(index.standing(&other, since), Standing::Revoked);
}

#[test]
fn a_stateless_token_without_an_issue_time_dies_at_any_cut() {
    let index = RevocationIndex::new(10);
    let mut token = identity(CredentialKind::Jwt, "t1", "p1", None);
    token.issued_at = None;
    assert_eq!(index.standing_of_fresh(&token), Standing::Good(index.epoch()));
    index.apply(&record(1, RevocationTarget::All, 1));
    assert_eq!(index.standing_of_fresh(&token), Standing::Revoked);
}

#[test]
fn a_stored_verdict_is_void_only_when_something_newer_touches_it() {
    let index = RevocationIndex::new(10);
    let stored = identity(CredentialKind::ApiToken, "c1", "p1", Some("acme"));
    let before = index.epoch();
    index.apply(&record(1, credential("c2"), 10));
    let Standing::Good(after_other) = index.standing(&stored, before) else {
        panic!("c2 is not c1")
    };
    index.apply(&record(2, principal("p1"), 10));
    assert_eq!(index.standing(&stored, after_other), Standing::Void);
    // Looked up again after the revocation, the row decides; the index does not end it a second time.
    let since = index.epoch();
    assert_eq!(index.standing(&stored, since), Standing::Good(since));
    index.apply(&record(3, RevocationTarget::All, 10));
    assert_eq!(index.standing(&stored, since), Standing::Void);
}

#[test]
fn a_look_up_that_was_running_while_the_revocation_came_does_not_bring_the_verdict_back() {
    let index = RevocationIndex::new(10);
    let stored = identity(CredentialKind::ApiToken, "c1", "p1", None);
    let look_up_began = index.epoch();
    // The look-up reads a good row here; the revocation commits and is applied; only then is the
    // verdict put into the cache, with the epoch from before.
    index.apply(&record(1, credential("c1"), 10));
    assert_eq!(index.standing(&stored, look_up_began), Standing::Void);
}

#[test]
fn applying_the_same_record_twice_changes_nothing() {
    let index = RevocationIndex::new(10);
    index.apply(&record(7, credential("c1"), 10));
    let epoch = index.epoch();
    index.apply(&record(7, credential("c1"), 10));
    assert_eq!(index.epoch(), epoch);
    assert_eq!(index.applied_seq(), 7);
}

#[test]
fn a_full_index_raises_the_floor_instead_of_forgetting() {
    let index = RevocationIndex::new(100);
    for i in 0..101 {
        index.apply(&record(
            i + 1,
            credential(&format!("c{i}")),
            1000 + i64::try_from(i).expect("small"),
        ));
    }
    assert!(index.len() <= 100, "the bound holds");
    let mut token = identity(CredentialKind::SealedDeviceToken, "c3", "p1", None);
    token.issued_at = Some(UnixMillis(900));
    assert_eq!(
        index.standing_of_fresh(&token),
        Standing::Revoked,
        "the forgotten one is still dead"
    );
    token.issued_at = Some(UnixMillis(1101));
    assert!(
        matches!(index.standing_of_fresh(&token), Standing::Good(_)),
        "a younger one lives"
    );
    let stored = identity(CredentialKind::ApiToken, "c4", "p1", None);
    assert_eq!(
        index.standing(&stored, RevocationEpoch(3)),
        Standing::Void,
        "a cached verdict is asked again"
    );
}

#[test]
fn pruning_forgets_only_what_cannot_be_presented_any_more() {
    let index = RevocationIndex::new(10);
    let mut short = record(1, credential("c1"), 10);
    short.revocation.until = Some(UnixMillis(500));
    index.apply(&short);
    index.apply(&record(2, credential("c2"), 10));
    index.prune(UnixMillis(500));
    assert_eq!(index.len(), 2);
    index.prune(UnixMillis(501));
    assert_eq!(index.len(), 1);
}

#[test]
fn voiding_everything_reaches_remembered_verdicts_of_every_kind() {
    for kind in CredentialKind::ALL {
        let index = RevocationIndex::new(10);
        let someone = identity(kind, "t1", "p1", None);
        let since = index.epoch();
        index.void_all();
        assert_eq!(index.standing(&someone, since), Standing::Void, "{kind}");
        let again = index.epoch();
        assert_eq!(
            index.standing(&someone, again),
            Standing::Good(again),
            "{kind}: looked up anew"
        );
    }
}

#[test]
fn a_stored_verdict_is_void_for_whatever_touches_it() {
    let stored = identity(CredentialKind::ApiToken, "c1", "p1", Some("acme"));
    for (target, void) in [
        (credential("c1"), true),
        (credential("c2"), false),
        (principal("p1"), true),
        (principal("p2"), false),
        (tenant("acme"), true),
        (tenant("other"), false),
        (RevocationTarget::All, true),
    ] {
        let index = RevocationIndex::new(10);
        let since = index.epoch();
        index.apply(&record(1, target.clone(), 10));
        let standing = index.standing(&stored, since);
        assert_eq!(standing == Standing::Void, void, "{target:?}: {standing:?}");
    }
}

#[test]
fn a_second_revocation_of_the_same_target_adds_to_the_first_and_takes_nothing_back() {
    let until = |mut record: RevocationRecord, until| {
        record.revocation.until = until;
        record
    };
    let index = RevocationIndex::new(10);
    let stored = identity(CredentialKind::ApiToken, "c1", "p1", None);
    let mut token = identity(CredentialKind::Jwt, "t1", "p1", None);
    token.issued_at = Some(UnixMillis(1500));
    index.apply(&until(record(1, principal("p1"), 1000), Some(UnixMillis(5000))));
    let since = index.epoch();
    assert_eq!(index.standing_of_fresh(&token), Standing::Good(since));
    index.apply(&until(record(2, principal("p1"), 2000), None));
    assert_eq!(index.standing_of_fresh(&token), Standing::Revoked, "a later cut");
    assert_eq!(index.standing(&stored, since), Standing::Void, "a later epoch");
    index.apply(&until(record(3, principal("p1"), 1200), Some(UnixMillis(6000))));
    assert_eq!(
        index.standing_of_fresh(&token),
        Standing::Revoked,
        "an earlier cut"
    );
    index.prune(UnixMillis(7000));
    assert_eq!(
        index.standing_of_fresh(&token),
        Standing::Revoked,
        "one has no end"
    );
    // A number that was applied already brings nothing new.
    let since = index.epoch();
    index.apply(&record(3, principal("p1"), 9000));
    assert_eq!(index.standing(&stored, since), Standing::Good(since));
}

#[test]
fn the_latest_end_of_two_revocations_counts() {
    let index = RevocationIndex::new(10);
    for (seq, end) in [(1, 900), (2, 500)] {
        let mut ending = record(seq, credential("c1"), 10);
        ending.revocation.until = Some(UnixMillis(end));
        index.apply(&ending);
    }
    index.prune(UnixMillis(900));
    assert_eq!(index.len(), 1);
    index.prune(UnixMillis(901));
    assert!(index.is_empty());
}

#[test]
fn a_full_index_forgets_no_cut_that_lies_after_the_last() {
    let index = RevocationIndex::new(2);
    for (seq, name, cut) in [(1, "p1", 5000), (2, "p2", 100), (3, "p3", 200)] {
        index.apply(&record(seq, principal(name), cut));
    }
    let mut token = identity(CredentialKind::Jwt, "t1", "p1", None);
    token.issued_at = Some(UnixMillis(4000));
    assert_eq!(index.standing_of_fresh(&token), Standing::Revoked);
}
