//! Sealed tokens, friendly and hostile.

use std::sync::Arc;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD, URL_SAFE, URL_SAFE_NO_PAD};
use proptest::prelude::*;

use super::issue::{IssueError, device_id, issue_compatible, issue_own};
use super::*;
use crate::authn::kinds::test_store::at;
use crate::authn::presented::Carrier;
use crate::crypto::{
    CompatibleCipher, KeyBytes, Keyring, NamedKey, SealingCipher, SharedKeyring, parse_key_base64,
};
use crate::domain::identity::WriteAccess;
use crate::domain::ids::KeyId;

const NOW: UnixMillis = UnixMillis(1_700_000_000_000);
const KEY: &str = "YWJjZGVmZ2hpamtsbW5vcHFyc3R1dnd4eXoxMjM0NTY=";
/// Made by Node's crypto with KEY, IV 00 11 22 … ff, identifier DEVICE-0042-ABCDEF.
const NODE_TOKEN: &str = "ABEiM0RVZneImaq7zN3u/681yKOAta6pV0HnLRchBv+/9PsTTWwV/e1o4GCPdvaGOMSnORRP2EqsBwk1c78XIxwvWQH68w6/whrOuH/VKcwn7+rzilVfPWTnCzybyiLV28Uw/BmJlaawAZNvES+6uIVD6Q3DKgf6S1d0xA58wmrBUndCW1b81D9fSTStzqtgn9ozYdOumXWTYPKRHBvGoDj4JA==";
const NODE_DEVICE: &str = "e0a2421795bca512a58e8cc5beb09bc503e95f9ce8af1c97a86c730071c4d5f2";
const NODE_ID: &str = "7a68d3861c515162a88928a65fa9af3f7bcea6ed0ecd78d362e35e5308ba7fa7";

fn own_key(id: &str, byte: u8) -> NamedKey<SealingCipher> {
    NamedKey {
        id: KeyId::parse(id).expect("a key id"),
        key: SealingCipher::new(&KeyBytes::new([byte; 32])),
    }
}

fn settings() -> Settings {
    let key = parse_key_base64(KEY).expect("a key");
    let current = own_key("k1", 1);
    Settings::new(
        Some(CompatibleCipher::new(&key)),
        SharedKeyring::new(Keyring::new(current, Vec::new()).expect("a ring")),
    )
}

/// A compatible token around any text, as somebody who holds the key could make it.
fn seal(text: &str) -> String {
    let cipher = CompatibleCipher::new(&parse_key_base64(KEY).expect("a key"));
    let mut buffer = text.as_bytes().to_vec();
    let tag = cipher.seal(&[3; 16], b"", &mut buffer).expect("sealed");
    format::encode_compatible(&[3; 16], &tag, &buffer).0
}

fn seal_own(text: &str, associated: &[u8]) -> String {
    let key = own_key("k1", 1);
    let mut buffer = text.as_bytes().to_vec();
    let tag = key.key.seal(&[3; 12], associated, &mut buffer).expect("sealed");
    format::encode_own("k1", &[3; 12], &buffer, &tag).0
}

fn reason(credential: &str) -> Option<Reason> {
    open(&settings(), credential.as_bytes(), NOW).err()
}

#[test]
fn a_token_of_the_original_opens() {
    let opened = open(&settings(), NODE_TOKEN.as_bytes(), NOW).expect("opened");
    assert_eq!(opened.device.as_str(), NODE_DEVICE);
    assert_eq!(opened.credential.as_str(), NODE_ID);
    assert_eq!(opened.issued_at, UnixMillis(1_700_000_000_000));
    assert_eq!(opened.expires_at, UnixMillis(1_700_086_400_000));
    assert_eq!(
        device_id(&settings(), " DEVICE-0042-ABCDEF\n")
            .expect("an id")
            .as_str(),
        NODE_DEVICE
    );
}

#[test]
fn every_spelling_of_its_base64_is_the_same_token() {
    let bytes = STANDARD.decode(NODE_TOKEN).expect("Base64");
    for spelled in [
        STANDARD.encode(&bytes),
        STANDARD_NO_PAD.encode(&bytes),
        URL_SAFE.encode(&bytes),
        URL_SAFE_NO_PAD.encode(&bytes),
    ] {
        let opened = open(&settings(), spelled.as_bytes(), NOW).expect("opened");
        assert_eq!(opened.credential.as_str(), NODE_ID, "{spelled}");
    }
}

#[test]
fn what_is_not_a_token_is_malformed() {
    let padding = "=".repeat(3);
    let sealed = URL_SAFE_NO_PAD.encode([0; 40]);
    for (credential, why) in [
        (String::new(), "empty"),
        ("x".to_owned(), "one letter"),
        (format!("{NODE_TOKEN}\n"), "a line break at the end"),
        (NODE_TOKEN.replacen('A', " A", 1), "a space within"),
        (NODE_TOKEN.replacen('A', "\u{0}A", 1), "a NUL within"),
        (format!("{NODE_TOKEN}{padding}"), "too much padding"),
        (
            format!("-{}", &STANDARD.encode([0xff; 64])),
            "letters of both alphabets",
        ),
        (STANDARD.encode([0; 32]), "no ciphertext"),
        (STANDARD.encode([0; 31]), "shorter than IV and tag"),
        (format!("dwd_.{sealed}"), "no key id"),
        (format!("dwd_k 1.{sealed}"), "a key id with a space"),
        (format!("dwd_{}.{sealed}", "k".repeat(65)), "a key id too long"),
        ("dwd_k1.".to_owned(), "nothing sealed"),
        (
            format!("dwd_k1.{}", URL_SAFE_NO_PAD.encode([0; 28])),
            "no sealed text",
        ),
        (
            format!("dwd_k1.{}", URL_SAFE.encode([0; 40])),
            "our own form is never padded",
        ),
        (
            format!("dwd_k1.{}", STANDARD_NO_PAD.encode([0xff; 40])),
            "our own form is URL-safe",
        ),
        (format!("a.{NODE_TOKEN}"), "a dot"),
    ] {
        assert_eq!(reason(&credential), Some(Reason::CredentialMalformed), "{why}");
    }
    let bytes = [0xff, 0xfe, 0x80];
    assert_eq!(
        open(&settings(), &bytes, NOW).err(),
        Some(Reason::CredentialMalformed)
    );
}

#[test]
fn a_token_from_the_future_is_refused_in_both_forms() {
    for (ahead, expected) in [
        (Duration::ZERO, None),
        (MAX_AHEAD, None),
        (
            MAX_AHEAD + Duration::from_millis(1),
            Some(Reason::CredentialNotYetValid),
        ),
        (Duration::from_secs(3600), Some(Reason::CredentialNotYetValid)),
    ] {
        let made_at = NOW.plus(ahead);
        let compatible = issue_compatible(&settings(), "device-0042", made_at).expect("issued");
        let own = issue_own(&settings(), "device-0042", None, &ScopeSet::default(), made_at).expect("issued");
        for token in [compatible, own] {
            assert_eq!(reason(token.token.expose()), expected, "{ahead:?} ahead");
        }
    }
}

#[test]
fn a_changed_bit_anywhere_is_refused() {
    let own = issue_own(&settings(), "device-0042", None, &ScopeSet::default(), NOW).expect("issued");
    let own = own.token.expose().rsplit_once('.').expect("a dot").1.to_owned();
    let compatible = STANDARD.decode(NODE_TOKEN).expect("Base64");
    for at in 0..compatible.len() {
        let mut changed = compatible.clone();
        changed[at] ^= 0x20;
        assert_eq!(
            reason(&STANDARD.encode(changed)),
            Some(Reason::CredentialInvalid),
            "byte {at}"
        );
    }
    let own = URL_SAFE_NO_PAD.decode(own).expect("Base64");
    for at in 0..own.len() {
        let mut changed = own.clone();
        changed[at] ^= 0x20;
        let token = format!("dwd_k1.{}", URL_SAFE_NO_PAD.encode(changed));
        assert_eq!(reason(&token), Some(Reason::CredentialInvalid), "byte {at}");
    }
}

#[test]
fn all_three_fields_must_be_there_and_truthy() {
    for (text, expected) in [
        (
            r#"{"deviceId":"d","timestamp":1,"expiresAt":1700000000001}"#,
            None,
        ),
        (
            r#"{"expiresAt":1700000000001,"timestamp":1,"deviceId":"d"}"#,
            None,
        ),
        (
            r#"{"deviceId":"d","timestamp":1,"expiresAt":1700000000001,"more":[1,{"a":2}]}"#,
            None,
        ),
        (
            r#"{"deviceId":"\u0064","timestamp":1,"expiresAt":1700000000001}"#,
            None,
        ),
        (
            r#"{"timestamp":1,"expiresAt":1700000000001}"#,
            Some(Reason::CredentialMalformed),
        ),
        (
            r#"{"deviceId":"d","expiresAt":1700000000001}"#,
            Some(Reason::CredentialMalformed),
        ),
        (
            r#"{"deviceId":"d","timestamp":1}"#,
            Some(Reason::CredentialMalformed),
        ),
        (
            r#"{"deviceId":"","timestamp":1,"expiresAt":1700000000001}"#,
            Some(Reason::CredentialMalformed),
        ),
        (
            r#"{"deviceId":"d","timestamp":0,"expiresAt":1700000000001}"#,
            Some(Reason::CredentialMalformed),
        ),
        (
            r#"{"deviceId":"d","timestamp":1,"expiresAt":0}"#,
            Some(Reason::CredentialMalformed),
        ),
        (
            r#"{"deviceId":"d","timestamp":-1,"expiresAt":1700000000001}"#,
            Some(Reason::CredentialMalformed),
        ),
        (
            r#"{"deviceId":"d","timestamp":null,"expiresAt":1700000000001}"#,
            Some(Reason::CredentialMalformed),
        ),
        (
            r#"{"deviceId":"d","timestamp":1.5,"expiresAt":1700000000001}"#,
            Some(Reason::CredentialMalformed),
        ),
        (
            r#"{"deviceId":"d","timestamp":"1","expiresAt":1700000000001}"#,
            Some(Reason::CredentialMalformed),
        ),
        (
            r#"{"deviceId":"d","timestamp":1,"expiresAt":1e20}"#,
            Some(Reason::CredentialMalformed),
        ),
        (
            r#"{"deviceId":"d","timestamp":1,"expiresAt":99999999999999999999}"#,
            Some(Reason::CredentialMalformed),
        ),
        (
            r#"{"deviceId":7,"timestamp":1,"expiresAt":1700000000001}"#,
            Some(Reason::CredentialMalformed),
        ),
        (
            r#"{"deviceId":"d e","timestamp":1,"expiresAt":1700000000001}"#,
            Some(Reason::CredentialMalformed),
        ),
        (
            r#"{"deviceId":"d\r\nX-Auth-Subject: root","timestamp":1,"expiresAt":1700000000001}"#,
            Some(Reason::CredentialMalformed),
        ),
        (
            r#"{"deviceId":"d","deviceId":"e","timestamp":1,"expiresAt":1700000000001}"#,
            Some(Reason::CredentialMalformed),
        ),
        (
            r#"{"deviceId":"d","timestamp":1,"expiresAt":1700000000001} x"#,
            Some(Reason::CredentialMalformed),
        ),
        ("[]", Some(Reason::CredentialMalformed)),
        ("not JSON", Some(Reason::CredentialMalformed)),
    ] {
        assert_eq!(reason(&seal(text)), expected, "{text}");
    }
}

#[test]
fn a_token_is_good_up_to_and_including_its_last_millisecond() {
    let issued = issue_compatible(&settings(), "device-0042", NOW).expect("issued");
    let own = issue_own(&settings(), "device-0042", None, &ScopeSet::default(), NOW).expect("issued");
    assert_eq!(issued.expires_at, NOW.plus(Duration::from_secs(86_400)));
    for token in [&issued, &own] {
        let outcome = |ms| open(&settings(), token.token.expose().as_bytes(), UnixMillis(ms)).err();
        let end = token.expires_at.0;
        for (ms, expected) in [
            (NOW.0, None),
            (end - 1, None),
            (end, None),
            (end + 1, Some(Reason::CredentialExpired)),
            (i64::MAX, Some(Reason::CredentialExpired)),
        ] {
            assert_eq!(outcome(ms), expected, "{ms}");
        }
    }
}

#[test]
fn an_expired_forgery_is_called_a_forgery() {
    let mut other = settings();
    other.v1_key = Some(CompatibleCipher::new(&KeyBytes::new([9; 32])));
    let late = UnixMillis(i64::MAX);
    assert_eq!(
        open(&other, NODE_TOKEN.as_bytes(), late).err(),
        Some(Reason::CredentialInvalid)
    );
}

#[test]
fn without_a_compatible_key_none_is_made_or_opened() {
    let mut settings = settings();
    settings.v1_key = None;
    assert_eq!(
        open(&settings, NODE_TOKEN.as_bytes(), NOW).err(),
        Some(Reason::CredentialInvalid)
    );
    assert_eq!(
        issue_compatible(&settings, "device-0042", NOW).map(|_| ()),
        Err(IssueError::NoCompatibleKey)
    );
}

#[test]
fn what_is_issued_opens_with_everything_in_it() {
    let settings = settings();
    let scopes = ScopeSet::parse(["read", "channel:12:write"]).expect("scopes");
    let tenant = TenantId::parse("tenant-1").expect("a tenant");
    let issued = issue_own(&settings, "device-0042", Some(&tenant), &scopes, NOW).expect("issued");
    assert!(issued.token.expose().starts_with("dwd_k1."));
    let opened = open(&settings, issued.token.expose().as_bytes(), NOW).expect("opened");
    assert_eq!(
        opened,
        Opened {
            device: issued.device,
            credential: issued.credential,
            issued_at: NOW,
            expires_at: issued.expires_at,
            tenant: Some(tenant),
            scopes,
        }
    );
    let again = issue_own(&settings, "device-0042", None, &ScopeSet::default(), NOW).expect("issued");
    assert_eq!(again.device, opened.device, "the id is stable");
    assert_ne!(again.credential, opened.credential, "two tokens have two ids");
}

#[test]
fn a_rotated_key_opens_until_it_is_retired() {
    let settings = settings();
    let old = issue_own(&settings, "device-0042", None, &ScopeSet::default(), NOW).expect("issued");
    let old = old.token.expose().as_bytes();
    let overlap = Keyring::new(own_key("k2", 2), vec![own_key("k1", 1)]).expect("a ring");
    settings.v2_keys.replace(overlap);
    assert!(open(&settings, old, NOW).is_ok());
    let new = issue_own(&settings, "device-0042", None, &ScopeSet::default(), NOW).expect("issued");
    assert!(new.token.expose().starts_with("dwd_k2."), "the newest seals");
    settings
        .v2_keys
        .replace(Keyring::new(own_key("k2", 2), Vec::new()).expect("a ring"));
    assert_eq!(open(&settings, old, NOW).err(), Some(Reason::CredentialInvalid));
    assert!(open(&settings, new.token.expose().as_bytes(), NOW).is_ok());
    // The id names the key and proves nothing.
    let renamed = new.token.expose().replace("dwd_k2.", "dwd_k1.");
    assert_eq!(
        open(&settings, renamed.as_bytes(), NOW).err(),
        Some(Reason::CredentialInvalid)
    );
}

#[test]
fn our_own_form_refuses_what_it_does_not_know() {
    let good = r#"{"device":"d","issued_at_ms":1,"expires_at_ms":1700000000001}"#;
    assert_eq!(reason(&seal_own(good, OWN_ASSOCIATED)), None);
    assert_eq!(
        reason(&seal_own(good, b"doorward sealed_device_token v3")),
        Some(Reason::CredentialInvalid),
        "sealed for another purpose"
    );
    for text in [
        r#"{"device":"d","issued_at_ms":1,"expires_at_ms":1700000000001,"networks":["10.0.0.0/8"]}"#,
        r#"{"device":"","issued_at_ms":1,"expires_at_ms":1700000000001}"#,
        r#"{"device":"d","issued_at_ms":1,"expires_at_ms":1700000000001,"tenant":"a b"}"#,
        r#"{"device":"d","issued_at_ms":1,"expires_at_ms":1700000000001,"scopes":"a\"b"}"#,
        r#"{"device":"d"}"#,
    ] {
        assert_eq!(
            reason(&seal_own(text, OWN_ASSOCIATED)),
            Some(Reason::CredentialMalformed),
            "{text}"
        );
    }
}

#[test]
fn identifiers_are_trimmed_as_the_original_does_and_bounded() {
    let settings = settings();
    let plain = device_id(&settings, "device-0042").expect("an id");
    for same in [
        "  device-0042",
        "\u{feff}device-0042\u{a0}",
        "\t\r\ndevice-0042\u{2028}\u{3000}",
    ] {
        assert_eq!(device_id(&settings, same), Ok(plain.clone()), "{same:?}");
    }
    for other in ["\u{85}device-0042", "Device-0042", "device-0042\u{200b}"] {
        assert_ne!(device_id(&settings, other), Ok(plain.clone()), "{other:?}");
    }
    for (identifier, expected) in [
        ("12345678", Ok(())),
        ("ääääääää", Ok(())),
        (
            "1234567",
            Err(IssueError::IdentifierTooShort {
                found: 7,
                expected: 8,
            }),
        ),
        (
            "  1234567  ",
            Err(IssueError::IdentifierTooShort {
                found: 7,
                expected: 8,
            }),
        ),
        (
            "",
            Err(IssueError::IdentifierTooShort {
                found: 0,
                expected: 8,
            }),
        ),
    ] {
        assert_eq!(
            device_id(&settings, identifier).map(|_| ()),
            expected,
            "{identifier:?}"
        );
    }
    assert_eq!(
        device_id(&settings, &"x".repeat(4097)),
        Err(IssueError::IdentifierTooLong)
    );
}

#[test]
fn a_token_that_nobody_would_accept_is_not_made() {
    let long = ScopeSet::parse(
        (0..64)
            .map(|i| format!("{i:0>128}"))
            .collect::<Vec<_>>()
            .iter()
            .map(String::as_str),
    );
    let issued = issue_own(&settings(), "device-0042", None, &long.expect("scopes"), NOW);
    let issued = issued.expect("64 scopes of 128 bytes fit");
    assert!(open(&settings(), issued.token.expose().as_bytes(), NOW).is_ok());

    let settings = settings();
    settings.v2_keys.replace(Keyring::single(
        KeyId::parse("key.1").expect("a key id"),
        SealingCipher::new(&KeyBytes::new([1; 32])),
    ));
    assert_eq!(
        issue_own(&settings, "device-0042", None, &ScopeSet::default(), NOW).map(|_| ()),
        Err(IssueError::UnusableKeyId)
    );
}

#[test]
fn the_verifier_decides_on_the_spot_and_is_not_cached() {
    let verifier = SealedDeviceTokens::new(Arc::new(settings()));
    assert!(!verifier.cached());
    let presented = Presented {
        carrier: Carrier::AuthorizationDevice,
        kind: CredentialKind::SealedDeviceToken,
        credential: NODE_TOKEN.as_bytes(),
    };
    let Inspection::Verified(verified) = verifier.inspect(&presented, at(NOW.0)) else {
        panic!("not verified");
    };
    let identity = verified.identity;
    assert_eq!(identity.principal.as_str(), NODE_DEVICE);
    assert_eq!(identity.device_id.as_ref(), Some(&identity.principal));
    assert_eq!(identity.principal_kind, PrincipalKind::Device);
    assert_eq!(identity.category.as_ref().map(Role::as_str), Some("device"));
    assert_eq!(identity.write_access, WriteAccess::Withheld);
    assert_eq!(identity.issued_at, Some(UnixMillis(1_700_000_000_000)));
    assert_eq!(identity.expires_at, Some(UnixMillis(1_700_086_400_000)));
    let Inspection::Refused(rejection) = verifier.inspect(&presented, at(i64::MAX)) else {
        panic!("not refused");
    };
    assert_eq!(rejection, Rejection::caller(Reason::CredentialExpired));
}

#[test]
fn write_access_is_a_setting() {
    let mut settings = settings();
    settings.write_access = WriteAccess::Granted;
    let verifier = SealedDeviceTokens::new(Arc::new(settings));
    let verified = verifier
        .verify(NODE_TOKEN.as_bytes(), at(NOW.0))
        .expect("verified");
    assert_eq!(verified.identity.write_access, WriteAccess::Granted);
}

proptest! {
    #[test]
    fn no_bytes_at_all_open_or_panic(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
        prop_assert!(open(&settings(), &bytes, NOW).is_err());
        let own = [b"dwd_k1.".as_slice(), URL_SAFE_NO_PAD.encode(&bytes).as_bytes()].concat();
        prop_assert!(open(&settings(), &own, NOW).is_err());
        prop_assert!(open(&settings(), STANDARD.encode(&bytes).as_bytes(), NOW).is_err());
    }

    #[test]
    fn every_identifier_that_is_long_enough_comes_back(identifier in "\\PC{8,40}") {
        let settings = settings();
        prop_assume!(device_id(&settings, &identifier).is_ok());
        let issued = issue_compatible(&settings, &identifier, NOW).expect("issued");
        let opened = open(&settings, issued.token.expose().as_bytes(), NOW).expect("opened");
        prop_assert_eq!(opened.device, issued.device);
        prop_assert_eq!(opened.credential, issued.credential);
    }
}
