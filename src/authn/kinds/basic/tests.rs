//! User names and passwords, friendly and hostile.

use std::sync::{Arc, mpsc};

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD};
use futures::future::poll_immediate;
use proptest::prelude::*;
use tokio::runtime::Handle;

use super::issue::{IssueError, Password, issue};
use super::*;
use crate::authn::kinds::stored::{Grant, IssuedCredential};
use crate::authn::kinds::test_store::{Broken, TestStore, at, principal};
use crate::authn::presented::Carrier;
use crate::authn::toll::Toll;
use crate::crypto::{BcryptCost, SlowDigestError};
use crate::domain::clock::UnixMillis;
use crate::domain::secret::{SecretBytes, SecretText};
use crate::runtime::slow_pool::{Party, SlowPoolLimits};

fn settings() -> Settings {
    Settings {
        bcrypt_cost: BcryptCost::MIN,
        ..Settings::default()
    }
}

fn pool() -> SlowPool {
    SlowPool::new(Handle::current(), SlowPoolLimits { workers: 1, queue: 4 })
}

fn verifier(store: &Arc<TestStore>, pool: SlowPool) -> BasicPasswords {
    BasicPasswords::new(&settings(), store.clone(), pool).expect("randomness")
}

fn presented(user_password: &str) -> PresentedOwned {
    PresentedOwned {
        carrier: Carrier::AuthorizationBasic,
        kind: KIND,
        credential: SecretBytes::new(STANDARD.encode(user_password).into_bytes()),
    }
}

async fn issued(user: &str, password: &str) -> Result<IssuedCredential, IssueError> {
    let password = Password::Chosen(SecretText::new(password.to_owned()));
    let grant = Grant::full(principal("p1").id, "camera");
    issue(&settings(), user, password, &pool(), grant, UnixMillis(1)).await
}

fn invalid() -> Result<Verified, Rejection> {
    Err(Rejection::caller(Reason::CredentialInvalid))
}

#[test]
fn a_credential_is_read_as_rfc_7617_says() {
    let long_user = "u".repeat(255);
    let long_password = "p".repeat(72);
    let longest = format!("{long_user}:{long_password}");
    for (text, user, password) in [
        ("Aladdin:open sesame", "Aladdin", "open sesame"),
        ("test:123\u{a3}", "test", "123\u{a3}"),
        ("a:b:c:", "a", "b:c:"),
        ("a:", "a", ""),
        (longest.as_str(), long_user.as_str(), long_password.as_str()),
    ] {
        for encoded in [STANDARD.encode(text), STANDARD_NO_PAD.encode(text)] {
            let Ok(parsed) = UserPassword::parse(encoded.as_bytes()) else {
                panic!("{text} is well formed");
            };
            assert_eq!((parsed.user(), parsed.password()), (user, password), "{text}");
        }
    }
}

#[test]
fn what_rfc_7617_does_not_say_is_malformed() {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let _inside = runtime.enter();
    let store = TestStore::holding(vec![]);
    let verifier = verifier(&store, pool());
    for (credential, why) in [
        (String::new(), "empty"),
        ("QWxhZGRpbg==".to_owned(), "no colon"),
        (STANDARD.encode(":secret"), "no user name"),
        (STANDARD.encode("a\nb:secret"), "a control character in the name"),
        (STANDARD.encode("a:sec\0ret"), "a NUL in the password"),
        (STANDARD.encode("a:sec\u{9b}ret"), "a C1 control character"),
        (STANDARD.encode([b'a', b':', 0xff]), "not UTF-8"),
        (
            STANDARD.encode(format!("a:{}", "x".repeat(73))),
            "longer than bcrypt reads",
        ),
        (
            STANDARD.encode(format!("{}:x", "u".repeat(256))),
            "a name too long",
        ),
        ("A".repeat(10_000), "longer than any"),
        ("YTpi\n".to_owned(), "a line break"),
        ("YTp i".to_owned(), "a space"),
        ("YTpi*".to_owned(), "no letter of Base64"),
        ("a:b".to_owned(), "not encoded"),
    ] {
        let inspection = verifier.inspect(
            &Presented {
                carrier: Carrier::AuthorizationBasic,
                kind: KIND,
                credential: credential.as_bytes(),
            },
            at(1),
        );
        assert!(
            matches!(inspection, Inspection::Refused(r) if r == Rejection::caller(Reason::CredentialMalformed)),
            "{why}: {inspection:?}"
        );
    }
    assert_eq!(store.counts(), (0, 0));
}

#[tokio::test]
async fn the_right_password_and_only_that_one_is_good() {
    let issued = issued("camera-7", "correct horse battery").await.expect("issued");
    assert_eq!(issued.secret.expose(), "correct horse battery");
    assert!(
        !format!("{issued:?}").contains("correct horse"),
        "the secret is printed"
    );
    let id = issued.record.id.clone();
    let store = TestStore::holding(vec![issued.record]);
    let verifier = verifier(&store, pool());
    let good = verifier
        .look_up(
            &presented("camera-7:correct horse battery"),
            &Toll::waived(),
            at(2),
        )
        .await;
    assert_eq!(good.expect("good").identity.credential, id);
    for wrong in [
        "camera-7:correct horse batterx",
        "camera-7:",
        "camera-8:correct horse battery",
        "Camera-7:correct horse battery",
        "camera-7:correct horse battery ",
    ] {
        assert_eq!(
            verifier.look_up(&presented(wrong), &Toll::waived(), at(2)).await,
            invalid(),
            "{wrong}"
        );
    }
    store.rows.lock()[0].credential.revoked_at = Some(UnixMillis(1));
    assert_eq!(
        verifier
            .look_up(&presented("camera-7:wrong"), &Toll::waived(), at(2))
            .await,
        invalid(),
        "the state of a row is shown to the holder of its password only"
    );
    assert_eq!(
        verifier
            .look_up(
                &presented("camera-7:correct horse battery"),
                &Toll::waived(),
                at(2)
            )
            .await,
        Err(Rejection::caller(Reason::CredentialRevoked))
    );
}

#[tokio::test]
async fn unknown_users_and_unusable_rows_pay_the_slow_hash_too() {
    // With a full pool whoever pays is told `overloaded`, and whoever got away without paying is not.
    let pool = SlowPool::new(Handle::current(), SlowPoolLimits { workers: 1, queue: 0 });
    let (release, blocked) = mpsc::channel::<()>();
    let mut job = Box::pin(pool.run(Party::Operator, move || blocked.recv().is_ok()));
    assert!(poll_immediate(&mut job).await.is_none());

    let known = issued("known", "correct horse battery")
        .await
        .expect("issued")
        .record;
    let mut imported = issued("imported", "correct horse battery")
        .await
        .expect("issued")
        .record;
    imported.slow_digest = Some("$2b$31$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW".to_owned());
    let mut bare = imported.clone();
    bare.public_id = Some("bare".to_owned());
    bare.slow_digest = None;
    let store = TestStore::holding(vec![known, imported, bare]);
    let verifier = verifier(&store, pool.clone());
    let users = ["known:x", "unknown:x", "imported:x", "bare:x"];
    for user in users {
        assert_eq!(
            verifier.look_up(&presented(user), &Toll::waived(), at(2)).await,
            Err(Rejection::ours(Reason::Overloaded)),
            "{user}"
        );
    }
    release.send(()).expect("the job waits");
    assert_eq!(job.await, Ok(true));
    for user in users {
        assert_eq!(
            verifier.look_up(&presented(user), &Toll::waived(), at(2)).await,
            invalid(),
            "{user}"
        );
    }
    assert_eq!(
        slow_digest::check_digest(&verifier.decoy),
        Ok(settings().bcrypt_cost),
        "the decoy costs what a row costs"
    );
}

#[tokio::test]
async fn a_broken_store_is_our_fault() {
    let store = TestStore::holding(vec![]);
    *store.broken.lock() = Some(Broken::Everything);
    assert_eq!(
        verifier(&store, pool())
            .look_up(&presented("a:b"), &Toll::waived(), at(2))
            .await,
        Err(Rejection::ours(Reason::CannotDecide))
    );
}

#[tokio::test]
async fn only_what_can_be_presented_is_issued() {
    let too_long = "x".repeat(73);
    for (user, password, expected) in [
        ("", "correct horse battery", IssueError::InvalidUser),
        ("a:b", "correct horse battery", IssueError::InvalidUser),
        ("a\tb", "correct horse battery", IssueError::InvalidUser),
        (
            "a",
            "short",
            IssueError::PasswordTooShort {
                found: 5,
                expected: 12,
            },
        ),
        ("a", "correct\thorse battery", IssueError::InvalidPassword),
        (
            "a",
            "correct\0horse battery",
            IssueError::SlowDigest(SlowDigestError::Nul),
        ),
        (
            "a",
            too_long.as_str(),
            IssueError::SlowDigest(SlowDigestError::TooLong),
        ),
    ] {
        assert_eq!(
            issued(user, password).await.map(|_| ()),
            Err(expected),
            "{user:?}"
        );
    }
    let grant = Grant::full(principal("p1").id, "camera");
    let random = issue(&settings(), "a", Password::Random, &pool(), grant, UnixMillis(1)).await;
    assert_eq!(random.expect("issued").secret.expose().len(), 24);
}

proptest! {
    #[test]
    fn no_bytes_at_all_panic(bytes in proptest::collection::vec(any::<u8>(), 0..500)) {
        let _ = UserPassword::parse(&bytes);
        let encoded = STANDARD.encode(&bytes);
        if let Ok(parsed) = UserPassword::parse(encoded.as_bytes()) {
            let text = format!("{}:{}", parsed.user(), parsed.password());
            prop_assert_eq!(text.as_bytes(), bytes.as_slice());
        }
    }
}
