//! Device tokens against rows in memory.

use super::format::is_device_token;
use super::*;
use crate::authn::kinds::stored::Grant;
use crate::authn::kinds::test_store::{Broken, TestStore, at, principal};
use crate::authn::presented::{Carrier, MAX_CREDENTIAL_BYTES};
use crate::authn::toll::Toll;
use crate::crypto::{KeyBytes, Keyring, NamedKey};
use crate::domain::clock::UnixMillis;
use crate::domain::ids::KeyId;
use crate::domain::scope::{Permission, ScopeSet};
use crate::domain::secret::SecretBytes;

fn key(id: &str, byte: u8) -> NamedKey<LookupKey> {
    NamedKey {
        id: KeyId::parse(id).expect("a key id"),
        key: LookupKey::new(KeyBytes::new([byte; 32])),
    }
}

fn ring(current: NamedKey<LookupKey>, previous: Vec<NamedKey<LookupKey>>) -> Keyring<LookupKey> {
    Keyring::new(current, previous).expect("a ring")
}

fn presented(credential: &str) -> PresentedOwned {
    PresentedOwned {
        carrier: Carrier::DeviceToken,
        kind: KIND,
        credential: SecretBytes::new(credential.as_bytes().to_vec()),
    }
}

fn issued(keys: &SharedKeyring<LookupKey>, form: IssueForm) -> stored::IssuedCredential {
    let grant = Grant::full(principal("p1").id, "sensor");
    issue::issue(form, keys, grant, UnixMillis(1)).expect("issued")
}

#[tokio::test]
async fn what_is_issued_is_found_in_every_form() {
    let keys = SharedKeyring::new(ring(key("k1", 1), vec![]));
    for form in IssueForm::ALL {
        let issued = issued(&keys, form);
        let token = issued.secret.expose().to_owned();
        assert!(is_device_token(token.as_bytes()), "{form:?}");
        assert!(!format!("{issued:?}").contains(&token), "the secret is printed");
        match form {
            IssueForm::Uuid => {
                let uuid = uuid::Uuid::parse_str(&token).expect("a UUID");
                assert_eq!((uuid.get_version_num(), token.len()), (4, 36));
                assert_eq!(uuid.hyphenated().to_string(), token);
            }
            IssueForm::Alphanumeric => {
                assert_eq!(token.len(), 20);
                assert!(token.bytes().all(|b| b.is_ascii_alphanumeric()));
            }
            IssueForm::Prefixed => assert!(token.starts_with("dwt_") && token.len() == 36),
        }
        let id = issued.record.id.clone();
        let store = TestStore::holding(vec![issued.record]);
        let verifier = DeviceTokens::new(store.clone(), keys.clone());
        let verified = verifier
            .look_up(&presented(&token), &Toll::waived(), at(2))
            .await
            .expect("good");
        assert_eq!(verified.identity.credential, id);
        assert_eq!(store.counts(), (1, 0), "one read, nothing written");
        let mut wrong = token;
        wrong.push('x');
        assert_eq!(
            verifier.look_up(&presented(&wrong), &Toll::waived(), at(2)).await,
            Err(Rejection::caller(Reason::CredentialInvalid))
        );
    }
}

#[tokio::test]
async fn the_row_decides_permission_and_scopes() {
    let keys = SharedKeyring::new(ring(key("k1", 1), vec![]));
    let mut issued = issued(&keys, IssueForm::Uuid);
    issued.record.permission = Permission::Read;
    issued.record.scopes = ScopeSet::parse(["data:read"]).expect("scopes");
    let store = TestStore::holding(vec![issued.record.clone()]);
    let verifier = DeviceTokens::new(store.clone(), keys);
    let token = presented(issued.secret.expose());
    let identity = verifier
        .look_up(&token, &Toll::waived(), at(2))
        .await
        .expect("good")
        .identity;
    assert_eq!(identity.permission, Permission::Read);
    assert_eq!(identity.scopes, issued.record.scopes);
    store.rows.lock()[0].credential.revoked_at = Some(UnixMillis(1));
    assert_eq!(
        verifier.look_up(&token, &Toll::waived(), at(2)).await,
        Err(Rejection::caller(Reason::CredentialRevoked))
    );
}

#[tokio::test]
async fn a_rotated_lookup_key_still_finds_the_row_and_renews_its_digest_once() {
    let keys = SharedKeyring::new(ring(key("k1", 1), vec![]));
    let issued = issued(&keys, IssueForm::Uuid);
    let store = TestStore::holding(vec![issued.record]);
    let verifier = DeviceTokens::new(store.clone(), keys.clone());
    let token = presented(issued.secret.expose());

    keys.replace(ring(key("k2", 2), vec![key("k1", 1)]));
    assert!(verifier.look_up(&token, &Toll::waived(), at(2)).await.is_ok());
    assert_eq!(store.counts(), (2, 1));
    assert!(verifier.look_up(&token, &Toll::waived(), at(2)).await.is_ok());
    assert_eq!(store.counts(), (3, 1), "found under the new key at once");

    keys.replace(ring(key("k2", 2), vec![]));
    assert!(
        verifier.look_up(&token, &Toll::waived(), at(2)).await.is_ok(),
        "the old key is gone"
    );
    keys.replace(ring(key("k3", 3), vec![]));
    assert_eq!(
        verifier.look_up(&token, &Toll::waived(), at(2)).await,
        Err(Rejection::caller(Reason::CredentialInvalid))
    );
}

#[tokio::test]
async fn a_store_that_fails_is_never_a_refusal() {
    let keys = SharedKeyring::new(ring(key("k1", 1), vec![]));
    let issued = issued(&keys, IssueForm::Uuid);
    let store = TestStore::holding(vec![issued.record]);
    let verifier = DeviceTokens::new(store.clone(), keys.clone());
    let token = presented(issued.secret.expose());

    *store.broken.lock() = Some(Broken::Everything);
    for credential in [&token, &presented("unknown")] {
        assert_eq!(
            verifier.look_up(credential, &Toll::waived(), at(2)).await,
            Err(Rejection::ours(Reason::CannotDecide))
        );
    }
    // A full disk cannot take the renewed digest; the verdict stands.
    *store.broken.lock() = Some(Broken::Writes);
    keys.replace(ring(key("k2", 2), vec![key("k1", 1)]));
    assert!(verifier.look_up(&token, &Toll::waived(), at(2)).await.is_ok());
}

#[test]
fn only_visible_ascii_within_the_bound_is_looked_up() {
    let verifier = DeviceTokens::new(
        TestStore::holding(vec![]),
        SharedKeyring::new(ring(key("k1", 1), vec![])),
    );
    let longest = "x".repeat(MAX_CREDENTIAL_BYTES);
    let too_long = "x".repeat(MAX_CREDENTIAL_BYTES + 1);
    for (credential, shape) in [
        (b"5a16405f-b32c-4c91-ae39-cbb2caba18d8".as_slice(), true),
        (b"A1_TEST_TOKEN", true),
        (b"x", true),
        (b"~!@#$%^&*()", true),
        (longest.as_bytes(), true),
        (b"", false),
        (b"two words", false),
        (b"tab\there", false),
        (b"nul\0", false),
        ("t\u{f6}ken".as_bytes(), false),
        (b"\x7f", false),
        (too_long.as_bytes(), false),
    ] {
        assert_eq!(is_device_token(credential), shape);
        let inspection = verifier.inspect(
            &Presented {
                carrier: Carrier::Token,
                kind: KIND,
                credential,
            },
            at(2),
        );
        match inspection {
            Inspection::LookUp {
                public_id: None,
                price: Price::Cheap,
            } => assert!(shape),
            Inspection::Refused(rejection) => {
                assert!(!shape);
                assert_eq!(rejection, Rejection::caller(Reason::CredentialMalformed));
            }
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn forms_have_names() {
    for form in IssueForm::ALL {
        assert_eq!(IssueForm::parse(form.as_str()), Some(form));
    }
    assert_eq!(IssueForm::parse("UUID"), None);
}
