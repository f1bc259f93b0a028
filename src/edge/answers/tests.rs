//! Bodies held by snapshots, and what every answer must have.

use std::sync::Arc;

use super::*;
use crate::domain::clock::{MonoMillis, UnixMillis};
use crate::domain::identity::CredentialKind;
use crate::domain::net::ClientIp;
use crate::domain::reason::Reason;

const NOW: Now = Now {
    wall: UnixMillis(1_700_000_000_123),
    mono: MonoMillis(1),
};

fn refusal(reason: Reason, dialect: Dialect, presented: Option<CredentialKind>) -> Refusal {
    Refusal {
        reason,
        presented,
        dialect,
        request_id: HeaderValue::from_static("0123456789abcdef0123456789abcdef"),
        retry_after_secs: None,
        client: ClientIp::new([192, 0, 2, 7].into()),
        route: Arc::from("api"),
        required_scopes: None,
    }
}

fn show(refusal: &Refusal) -> String {
    let response = render(refusal, NOW);
    let mut text = format!("{}\n", response.status());
    for (name, value) in response.headers() {
        text.push_str(&format!("{name}: {}\n", value.to_str().expect("ASCII")));
    }
    text.push_str(std::str::from_utf8(response.body()).expect("UTF-8"));
    text
}

#[test]
fn bodies_are_as_each_dialect_writes_them() {
    use CredentialKind::{ApiToken, DeviceToken, Jwt, SealedDeviceToken};
    for dialect in Dialect::ALL {
        let answers: Vec<String> = [
            (Reason::CredentialMissing, None),
            (Reason::CredentialMalformed, None),
            (Reason::SchemeUnsupported, None),
            (Reason::AmbiguousCredentials, None),
            (Reason::CredentialInvalid, Some(SealedDeviceToken)),
            (Reason::CredentialInvalid, Some(DeviceToken)),
            (Reason::CredentialInvalid, Some(Jwt)),
            (Reason::CredentialExpired, Some(Jwt)),
            (Reason::CredentialExpired, Some(ApiToken)),
            (Reason::CredentialRevoked, Some(Jwt)),
            (Reason::PrincipalDisabled, Some(Jwt)),
            (Reason::AddressDenied, None),
            (Reason::HttpsRequired, Some(ApiToken)),
            (Reason::ScopeMissing, Some(ApiToken)),
            (Reason::RouteUnknown, None),
            (Reason::TooManyFailures, Some(ApiToken)),
            (Reason::UpstreamUnreachable, Some(Jwt)),
            (Reason::CannotDecide, Some(ApiToken)),
        ]
        .into_iter()
        .map(|(reason, presented)| {
            let mut refusal = refusal(reason, dialect, presented);
            if reason == Reason::TooManyFailures {
                refusal.retry_after_secs = Some(8);
            }
            if reason == Reason::ScopeMissing {
                refusal.required_scopes = Some(Bytes::from_static(b"read channel:12:write"));
            }
            show(&refusal)
        })
        .collect();
        insta::assert_snapshot!(dialect.as_str(), answers.join("\n\n"));
    }
}

#[test]
fn every_answer_has_a_status_a_message_and_the_request_id() {
    let kinds = CredentialKind::ALL.into_iter().map(Some).chain([None]);
    for presented in kinds {
        for (reason, dialect) in Reason::ALL
            .iter()
            .flat_map(|r| Dialect::ALL.map(|dialect| (*r, dialect)))
        {
            let response = render(&refusal(reason, dialect, presented), NOW);
            let what = format!("{reason} in {dialect:?} for {presented:?}");
            assert_eq!(response.status(), reason.status(), "{what}");
            let body: serde_json::Value = serde_json::from_slice(response.body()).expect(&what);
            assert!(body["message"].as_str().is_some_and(|m| !m.is_empty()), "{what}");
            assert_eq!(body["reason"], reason.code(), "{what}");
            let id = body.get("request_id").or_else(|| body.get("requestId"));
            let header = response.headers().get(X_REQUEST_ID).expect(&what);
            assert_eq!(id.and_then(|i| i.as_str()), header.to_str().ok(), "{what}");
            assert_eq!(response.headers().get(CACHE_CONTROL).expect(&what), "no-store");
            // RFC 9110 section 15.5.2: a 401 carries a challenge.
            let challenged = response.headers().contains_key(WWW_AUTHENTICATE);
            assert_eq!(challenged, reason.challenge().is_some(), "{what}");
            let again = matches!(reason.status().as_u16(), 429 | 503);
            assert_eq!(response.headers().contains_key(RETRY_AFTER), again, "{what}");
        }
    }
}

#[test]
fn a_refusal_never_looks_like_success_to_a_tagoio_client() {
    for reason in Reason::ALL {
        let response = render(&refusal(*reason, Dialect::TagoIo, None), NOW);
        let body: serde_json::Value = serde_json::from_slice(response.body()).expect("JSON");
        assert_eq!(body["status"], false, "{reason}");
        assert!(!response.status().is_success(), "{reason}");
    }
}

#[test]
fn only_a_replaceable_jwt_makes_a_thingsboard_page_refresh() {
    for reason in Reason::ALL {
        for presented in CredentialKind::ALL {
            let response = render(&refusal(*reason, Dialect::ThingsBoard, Some(presented)), NOW);
            let body: serde_json::Value = serde_json::from_slice(response.body()).expect("JSON");
            let replaceable = presented == CredentialKind::Jwt
                && matches!(
                    reason,
                    Reason::CredentialExpired | Reason::CredentialInvalid | Reason::CredentialRevoked
                );
            assert_eq!(body["errorCode"] == 11, replaceable, "{reason} {presented}");
        }
    }
}

#[test]
fn challenges_hold_no_quotes_within_quotes() {
    for reason in Reason::ALL {
        assert!(!reason.text().contains(['"', '\\']), "{reason}");
    }
}

#[test]
fn the_reasons_page_lists_every_reason_with_its_status() {
    let page = include_str!("../../../docs/reasons.md");
    let entries: Vec<&str> = page.lines().filter_map(|l| l.strip_prefix("### ")).collect();
    let expected: Vec<String> = Reason::ALL
        .iter()
        .map(|r| format!("`{}` ({})", r.code(), r.status().as_u16()))
        .collect();
    assert_eq!(
        entries, expected,
        "docs/reasons.md and the list in the code differ"
    );
    for section in page.split("\n### ").skip(1) {
        let title = section.lines().next().unwrap_or_default();
        for part in ["**When.**", "**Check.**"] {
            assert!(section.contains(part), "{title} lacks {part}");
        }
    }
}
