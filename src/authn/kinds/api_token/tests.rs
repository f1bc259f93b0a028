//! API tokens: their layouts, and their rows with and without a keyed digest.

use std::sync::{Arc, mpsc};

use futures::future::poll_immediate;
use proptest::prelude::*;
use tokio::runtime::Handle;

use super::format::{Malformed, public_id};
use super::issue::{IssueError, IssueForm, issue};
use super::*;
use crate::authn::kinds::stored::{Grant, IssuedCredential};
use crate::authn::kinds::test_store::{Broken, TestStore, at, principal};
use crate::authn::presented::Carrier;
use crate::authn::toll::Toll;
use crate::authn::verifier::Price;
use crate::crypto::slow_digest;
use crate::crypto::{BcryptCost, KeyBytes, NamedKey};
use crate::domain::clock::UnixMillis;
use crate::domain::ids::KeyId;
use crate::runtime::slow_pool::{Party, SlowPoolLimits};

const HEX: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

fn prefix(text: &str) -> Prefix {
    Prefix::parse(text).expect("a prefix")
}

fn settings(digest: DigestMode) -> Settings {
    Settings {
        prefixes: ["dw", "hc", "tb", "acme"].map(prefix).to_vec(),
        hex: HexTokens::Accepted,
        digest,
        bcrypt_cost: BcryptCost::MIN,
        pepper: None,
    }
}

fn key(id: &str, byte: u8) -> NamedKey<LookupKey> {
    NamedKey {
        id: KeyId::parse(id).expect("a key id"),
        key: LookupKey::new(KeyBytes::new([byte; 32])),
    }
}

fn keys() -> SharedKeyring<LookupKey> {
    SharedKeyring::new(Keyring::new(key("k1", 1), vec![]).expect("a ring"))
}

fn pool() -> SlowPool {
    SlowPool::new(Handle::current(), SlowPoolLimits { workers: 1, queue: 4 })
}

fn presented(credential: &str) -> PresentedOwned {
    PresentedOwned {
        carrier: Carrier::AuthorizationBearer,
        kind: KIND,
        credential: SecretBytes::new(credential.as_bytes().to_vec()),
    }
}

async fn issued(form: IssueForm, digest: DigestMode, keys: &SharedKeyring<LookupKey>) -> IssuedCredential {
    let grant = Grant::full(principal("p1").id, "script");
    issue(&settings(digest), &form, keys, &pool(), grant, UnixMillis(1))
        .await
        .expect("issued")
}

fn verifier(store: &Arc<TestStore>, keys: &SharedKeyring<LookupKey>) -> ApiTokens {
    let settings = Arc::new(settings(DigestMode::BcryptAndKeyed));
    ApiTokens::new(settings, store.clone(), keys.clone(), pool())
}

fn invalid() -> Result<Verified, Rejection> {
    Err(Rejection::caller(Reason::CredentialInvalid))
}

/// The same token with its last secret letter changed, and the checksum made to fit again.
fn forged(token: &str) -> String {
    let mut body = token.split_at(token.len() - 6).0.to_owned();
    let last = if body.ends_with('x') { 'y' } else { 'x' };
    body.pop();
    body.push(last);
    let checksum = format::checksum(&body);
    body + &checksum
}

#[test]
fn layouts_are_told_apart_and_typos_are_caught() {
    let settings = settings(DigestMode::Keyed);
    let own = "dw_1a2b3c4d_0123456789abcdefghijABCDEFGHIJ01";
    let own = format!("{own}{}", format::checksum(own));
    let acme = "acme_1a2b3c4d_0123456789abcdefghijABCDEFGHIJ01";
    let acme = format!("{acme}{}", format::checksum(acme));
    let tb = format!("tb_{}A", "Ab-_".repeat(21) + "A");
    let swapped = own.replacen("1a2b", "1b2a", 1);
    let crc_of_other_prefix = own.replacen("dw_", "acme_", 1);
    for (credential, expected, why) in [
        (own.as_str(), Ok("dw_1a2b3c4d"), "ours"),
        (acme.as_str(), Ok("acme_1a2b3c4d"), "ours with another prefix"),
        (
            "hc_abc12345_0123456789abcdef0123456789ABCDEF",
            Ok("hc_abc12345"),
            "HomeChat's document",
        ),
        (HEX, Ok("01234567"), "HomeChat's program"),
        (tb.as_str(), Ok("tb_Ab-_Ab-_"), "ThingsBoard"),
        (swapped.as_str(), Err(Malformed), "two letters swapped"),
        (
            crc_of_other_prefix.as_str(),
            Err(Malformed),
            "the prefix is under the checksum",
        ),
        (&own[..own.len() - 1], Err(Malformed), "cut"),
        ("dw_", Err(Malformed), "a prefix alone"),
        ("dw_1a2b3c4d", Err(Malformed), "an id alone"),
        (
            "hc_abc12345_0123456789abcdef0123456789ABCDE",
            Err(Malformed),
            "a letter short",
        ),
        (
            "hc_abc12345_0123456789abcdef0123456789ABCDEFF",
            Err(Malformed),
            "a letter long",
        ),
        (
            "hc_abc1234_00123456789abcdef0123456789ABCDEF",
            Err(Malformed),
            "underscore misplaced",
        ),
        (
            "hc_abc-2345_0123456789abcdef0123456789ABCDEF",
            Err(Malformed),
            "no letter",
        ),
        (
            "hc_abc12345_0123456789abcdef0123456789ABCD\u{e9}",
            Err(Malformed),
            "not ASCII",
        ),
        (&tb[..tb.len() - 1], Err(Malformed), "63 bytes"),
        (
            "HC_abc12345_0123456789abcdef0123456789ABCDEF",
            Err(Malformed),
            "prefixes have a case",
        ),
        ("ghp_abc12345", Err(Malformed), "an unregistered prefix"),
        (&HEX[1..], Err(Malformed), "63 hexadecimal letters"),
        (
            "g123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef",
            Err(Malformed),
            "not hexadecimal",
        ),
        ("", Err(Malformed), "empty"),
    ] {
        assert_eq!(public_id(&settings, credential.as_bytes()), expected, "{why}");
    }
    let non_canonical = format!("tb_{}", "_".repeat(86));
    assert_eq!(public_id(&settings, non_canonical.as_bytes()), Err(Malformed));
}

#[test]
fn hexadecimal_tokens_can_be_switched_off() {
    let mut settings = settings(DigestMode::Keyed);
    settings.hex = HexTokens::Refused;
    assert_eq!(public_id(&settings, HEX.as_bytes()), Err(Malformed));
}

#[test]
fn prefixes_are_short_lower_case_words() {
    for (text, expected) in [
        ("dw", Some(Layout::Own)),
        ("hc", Some(Layout::HomeChat)),
        ("tb", Some(Layout::ThingsBoard)),
        ("a1", Some(Layout::Own)),
        ("", None),
        ("1a", None),
        ("Dw", None),
        ("d_w", None),
        ("d w", None),
        ("abcdefghijklmnopq", None),
    ] {
        assert_eq!(Prefix::parse(text).ok().map(|p| p.layout()), expected, "{text:?}");
    }
}

#[test]
fn a_malformed_token_is_refused_without_a_look_up() {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let _inside = runtime.enter();
    let store = TestStore::holding(vec![]);
    let verifier = verifier(&store, &keys());
    let inspect = |credential: &str| {
        verifier.inspect(
            &Presented {
                carrier: Carrier::XApiKey,
                kind: KIND,
                credential: credential.as_bytes(),
            },
            at(1),
        )
    };
    assert!(matches!(
        inspect("dw_1a2b3c4d_0123456789abcdefghijABCDEFGHIJ01000000"),
        Inspection::Refused(r) if r == Rejection::caller(Reason::CredentialMalformed)
    ));
    let throttled_as = |credential: &str| match inspect(credential) {
        Inspection::LookUp {
            public_id: Some(id),
            price: Price::Cheap,
        } => id,
        other => panic!("{other:?}"),
    };
    let other_secret = HEX.replace("ef", "fe");
    assert_eq!(
        throttled_as(HEX),
        throttled_as(&other_secret),
        "one id, one count"
    );
    assert_ne!(throttled_as(HEX), throttled_as(&HEX.replace("01", "10")));
    assert_eq!(store.counts(), (0, 0));
}

#[tokio::test]
async fn what_is_issued_is_found_in_every_form_and_mode() {
    let keys = keys();
    let forms = ["dw", "hc", "tb", "acme"].map(|p| IssueForm::Prefixed(prefix(p)));
    for form in forms.into_iter().chain([IssueForm::Hex]) {
        for digest in [DigestMode::BcryptAndKeyed, DigestMode::Keyed] {
            let issued = issued(form.clone(), digest, &keys).await;
            let token = issued.secret.expose().to_owned();
            assert!(public_id(&settings(digest), token.as_bytes()).is_ok(), "{form:?}");
            assert!(!format!("{issued:?}").contains(&token), "the secret is printed");
            let too_long_for_bcrypt = token.len() > slow_digest::MAX_SECRET_BYTES;
            assert_eq!(
                issued.record.slow_digest.is_some(),
                digest == DigestMode::BcryptAndKeyed && !too_long_for_bcrypt
            );
            let id = issued.record.id.clone();
            let store = TestStore::holding(vec![issued.record]);
            let verified = verifier(&store, &keys)
                .look_up(&presented(&token), &Toll::waived(), at(2))
                .await;
            assert_eq!(verified.expect("good").identity.credential, id);
            assert_eq!(store.counts(), (1, 0));
        }
    }
}

#[tokio::test]
async fn an_unregistered_form_is_not_issued() {
    let mut settings = settings(DigestMode::Keyed);
    settings.hex = HexTokens::Refused;
    for form in [IssueForm::Prefixed(prefix("zz")), IssueForm::Hex] {
        let grant = Grant::full(principal("p1").id, "script");
        let outcome = issue(&settings, &form, &keys(), &pool(), grant, UnixMillis(1)).await;
        assert_eq!(outcome.map(|_| ()), Err(IssueError::NotAccepted));
    }
}

#[tokio::test]
async fn an_unknown_id_and_a_wrong_secret_get_the_same_answer_and_no_slow_hash() {
    let keys = keys();
    let issued = issued(
        IssueForm::Prefixed(prefix("dw")),
        DigestMode::BcryptAndKeyed,
        &keys,
    )
    .await;
    let token = issued.secret.expose();
    let store = TestStore::holding(vec![issued.record.clone()]);
    // A pool that admits nothing would answer `overloaded` if it were asked.
    let (blocked, _release) = full_pool().await;
    let settings = Arc::new(settings(DigestMode::BcryptAndKeyed));
    let verifier = ApiTokens::new(settings, store.clone(), keys.clone(), blocked);
    assert_eq!(
        verifier
            .look_up(&presented(&forged(token)), &Toll::waived(), at(2))
            .await,
        invalid()
    );
    assert_eq!(
        verifier.look_up(&presented(HEX), &Toll::waived(), at(2)).await,
        invalid()
    );
    assert!(
        verifier
            .look_up(&presented(token), &Toll::waived(), at(2))
            .await
            .is_ok()
    );
}

/// A pool whose worker and queue are taken until the sender is dropped.
async fn full_pool() -> (SlowPool, mpsc::Sender<()>) {
    let pool = SlowPool::new(Handle::current(), SlowPoolLimits { workers: 1, queue: 0 });
    let (release, blocked) = mpsc::channel::<()>();
    let mut job = Box::pin(pool.run(Party::Operator, move || blocked.recv().is_ok()));
    assert!(poll_immediate(&mut job).await.is_none());
    drop(job);
    (pool, release)
}

#[tokio::test]
async fn an_imported_row_pays_for_bcrypt_once() {
    let keys = keys();
    let issued = issued(IssueForm::Hex, DigestMode::BcryptAndKeyed, &keys).await;
    let mut record = issued.record;
    for (what, keyed_digest) in [
        ("no keyed digest", None),
        (
            "a keyed digest of another installation",
            Some(crate::store::KeyedDigest {
                digest: [7; 32],
                key: KeyId::parse("elsewhere").expect("a key id"),
            }),
        ),
    ] {
        record.keyed_digest = keyed_digest;
        let store = TestStore::holding(vec![record.clone()]);
        let token = presented(issued.secret.expose());
        let mut wrong = issued.secret.expose().to_owned();
        let last = if wrong.pop() == Some('0') { '1' } else { '0' };
        wrong.push(last);

        let first = verifier(&store, &keys);
        assert_eq!(
            first.look_up(&presented(&wrong), &Toll::waived(), at(2)).await,
            invalid(),
            "{what}"
        );
        assert_eq!(store.counts(), (1, 0), "{what}: a wrong secret writes nothing");
        assert!(
            first.look_up(&token, &Toll::waived(), at(2)).await.is_ok(),
            "{what}"
        );
        assert_eq!(store.counts(), (2, 1), "{what}: the keyed digest is written back");

        let (blocked, _release) = full_pool().await;
        let settings = Arc::new(settings(DigestMode::BcryptAndKeyed));
        let second = ApiTokens::new(settings, store.clone(), keys.clone(), blocked);
        assert!(
            second.look_up(&token, &Toll::waived(), at(2)).await.is_ok(),
            "{what}: bcrypt ran again"
        );
        assert_eq!(store.counts(), (3, 1), "{what}: written once");
    }
}

#[tokio::test]
async fn a_dead_imported_row_pays_once_too() {
    let keys = keys();
    let issued = issued(IssueForm::Hex, DigestMode::BcryptAndKeyed, &keys).await;
    let mut record = issued.record;
    record.keyed_digest = None;
    record.revoked_at = Some(UnixMillis(1));
    let store = TestStore::holding(vec![record]);
    let token = presented(issued.secret.expose());
    for writes in [1, 1] {
        assert_eq!(
            verifier(&store, &keys)
                .look_up(&token, &Toll::waived(), at(2))
                .await,
            Err(Rejection::caller(Reason::CredentialRevoked))
        );
        assert_eq!(store.counts().1, writes);
    }
    let mut wrong = issued.secret.expose().to_owned();
    let last = if wrong.pop() == Some('0') { '1' } else { '0' };
    wrong.push(last);
    assert_eq!(
        verifier(&store, &keys)
            .look_up(&presented(&wrong), &Toll::waived(), at(2))
            .await,
        invalid(),
        "a revocation is shown to the holder of the secret only"
    );
}

#[tokio::test]
async fn rows_that_share_a_public_id_cost_no_more_than_a_few() {
    let keys = keys();
    let token = issued(IssueForm::Hex, DigestMode::BcryptAndKeyed, &keys).await;
    let other = issued(IssueForm::Hex, DigestMode::BcryptAndKeyed, &keys).await;
    let imported = |record: &CredentialRecord| CredentialRecord {
        keyed_digest: None,
        public_id: token.record.public_id.clone(),
        ..record.clone()
    };
    let keyed = |record: &CredentialRecord| CredentialRecord {
        public_id: token.record.public_id.clone(),
        ..record.clone()
    };
    let token_again = presented(token.secret.expose());
    for (mine, others, room, why) in [
        (
            imported(&token.record),
            imported(&other.record),
            4,
            "slow digests",
        ),
        (keyed(&token.record), keyed(&other.record), 16, "rows"),
    ] {
        for (before, found) in [(room - 1, true), (room, false)] {
            let mut rows = vec![others.clone(); before];
            rows.push(mine.clone());
            let answer = verifier(&TestStore::holding(rows), &keys)
                .look_up(&token_again, &Toll::waived(), at(2))
                .await;
            assert_eq!(answer.is_ok(), found, "{before} {why} before it");
        }
    }
}

#[tokio::test]
async fn a_rotated_lookup_key_renews_the_digest_without_bcrypt() {
    let keys = keys();
    let issued = issued(IssueForm::Prefixed(prefix("tb")), DigestMode::Keyed, &keys).await;
    let store = TestStore::holding(vec![issued.record]);
    let token = presented(issued.secret.expose());
    keys.replace(Keyring::new(key("k2", 2), vec![key("k1", 1)]).expect("a ring"));
    assert!(
        verifier(&store, &keys)
            .look_up(&token, &Toll::waived(), at(2))
            .await
            .is_ok()
    );
    assert_eq!(store.counts(), (1, 1));
    keys.replace(Keyring::new(key("k2", 2), vec![]).expect("a ring"));
    assert!(
        verifier(&store, &keys)
            .look_up(&token, &Toll::waived(), at(2))
            .await
            .is_ok()
    );
    keys.replace(Keyring::new(key("k3", 3), vec![]).expect("a ring"));
    assert_eq!(
        verifier(&store, &keys)
            .look_up(&token, &Toll::waived(), at(2))
            .await,
        invalid()
    );
}

#[tokio::test]
async fn a_full_pool_and_a_broken_store_are_our_fault() {
    let keys = keys();
    let issued = issued(IssueForm::Hex, DigestMode::BcryptAndKeyed, &keys).await;
    let mut record = issued.record;
    record.keyed_digest = None;
    let store = TestStore::holding(vec![record]);
    let token = presented(issued.secret.expose());
    let (blocked, _release) = full_pool().await;
    let settings = Arc::new(settings(DigestMode::BcryptAndKeyed));
    let busy = ApiTokens::new(settings, store.clone(), keys.clone(), blocked);
    assert_eq!(
        busy.look_up(&token, &Toll::waived(), at(2)).await,
        Err(Rejection::ours(Reason::Overloaded))
    );
    *store.broken.lock() = Some(Broken::Writes);
    assert!(
        verifier(&store, &keys)
            .look_up(&token, &Toll::waived(), at(2))
            .await
            .is_ok()
    );
    *store.broken.lock() = Some(Broken::Everything);
    assert_eq!(
        verifier(&store, &keys)
            .look_up(&token, &Toll::waived(), at(2))
            .await,
        Err(Rejection::ours(Reason::CannotDecide))
    );
}

#[tokio::test]
async fn rows_that_share_an_id_are_told_apart_by_their_secret() {
    let keys = keys();
    let first = issued(IssueForm::Hex, DigestMode::BcryptAndKeyed, &keys).await;
    let second = issued(IssueForm::Hex, DigestMode::BcryptAndKeyed, &keys).await;
    let id = second.record.id.clone();
    let mut rows = vec![first.record, second.record];
    let shared = second.secret.expose().get(..8).map(str::to_owned);
    rows[0].public_id = shared;
    for keyed in [true, false] {
        if !keyed {
            rows.iter_mut().for_each(|r| r.keyed_digest = None);
        }
        let store = TestStore::holding(rows.clone());
        let verified = verifier(&store, &keys)
            .look_up(&presented(second.secret.expose()), &Toll::waived(), at(2))
            .await;
        assert_eq!(verified.expect("good").identity.credential, id);
    }
}

#[tokio::test]
async fn a_row_too_costly_to_check_refuses() {
    let keys = keys();
    let issued = issued(IssueForm::Hex, DigestMode::BcryptAndKeyed, &keys).await;
    let mut record = issued.record;
    record.keyed_digest = None;
    for digest in [
        "$2b$31$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW",
        "plain text",
    ] {
        record.slow_digest = Some(digest.to_owned());
        let store = TestStore::holding(vec![record.clone()]);
        let token = presented(issued.secret.expose());
        assert_eq!(
            verifier(&store, &keys)
                .look_up(&token, &Toll::waived(), at(2))
                .await,
            invalid()
        );
    }
}

proptest! {
    #[test]
    fn no_bytes_at_all_panic(bytes in proptest::collection::vec(any::<u8>(), 0..120)) {
        let settings = settings(DigestMode::Keyed);
        for prefix in ["", "dw_", "hc_", "tb_"] {
            let credential = [prefix.as_bytes(), &bytes].concat();
            if let Ok(id) = public_id(&settings, &credential) {
                prop_assert!(credential.starts_with(id.as_bytes()));
            }
        }
    }

    #[test]
    fn a_single_wrong_letter_is_always_a_typo(at in 0_usize..50, letter in "[0-9a-zA-Z]") {
        let settings = settings(DigestMode::Keyed);
        let token = format::random_token(&prefix("dw")).expect("a token");
        let mut typo = token.as_bytes().to_vec();
        prop_assume!(typo[at] != letter.as_bytes()[0]);
        typo[at] = letter.as_bytes()[0];
        prop_assert!(public_id(&settings, &typo).is_err());
    }
}
