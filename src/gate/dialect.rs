//! Which body shape a refusal is answered in, when the route leaves it open: by the credential presented.
//!
//! Each client then reads the errors of the system it was written for. The shapes themselves are
//! `edge::answers`'s.

use http::HeaderMap;
use http::header::AUTHORIZATION;

use crate::authn::{Carrier, Presented};
use crate::authz::policy::DialectChoice;
use crate::domain::dialect::Dialect;
use crate::domain::identity::CredentialKind;

/// The dialect of an answer. `presented` is what extraction found; when it found nothing or refused,
/// the carriers in the head tell which client it may be.
pub fn choose(choice: DialectChoice, presented: Option<&Presented<'_>>, headers: &HeaderMap) -> Dialect {
    match (choice, presented) {
        (DialectChoice::Fixed(dialect), _) => dialect,
        (DialectChoice::Auto, Some(presented)) => by_credential(presented),
        (DialectChoice::Auto, None) => by_carrier(headers),
    }
}

fn by_credential(presented: &Presented<'_>) -> Dialect {
    match (presented.carrier, presented.kind) {
        // Only ThingsBoard's clients use this field, or put a token into the path.
        (Carrier::XAuthorizationBearer | Carrier::XAuthorizationApiKey | Carrier::Path, _) => {
            Dialect::ThingsBoard
        }
        (_, CredentialKind::SealedDeviceToken) => Dialect::Nest,
        (_, CredentialKind::DeviceToken) => Dialect::TagoIo,
        (_, CredentialKind::ApiToken) => by_prefix(presented.credential),
        (_, CredentialKind::Jwt | CredentialKind::Basic) => Dialect::Problem,
    }
}

fn by_prefix(credential: &[u8]) -> Dialect {
    // HomeChat's tokens are `hc_…` in its documents and 64 hexadecimal digits, without `_`, in its code.
    if credential.starts_with(b"hc_") || !credential.contains(&b'_') {
        Dialect::HomeChat
    } else if credential.starts_with(b"tb_") {
        Dialect::ThingsBoard
    } else {
        Dialect::Problem
    }
}

fn by_carrier(headers: &HeaderMap) -> Dialect {
    const TAGOIO: [&str; 6] = [
        "token",
        "device-token",
        "account-token",
        "profile-token",
        "public-token",
        "analysis-token",
    ];
    if headers.contains_key("x-authorization") {
        return Dialect::ThingsBoard;
    }
    if TAGOIO.iter().any(|name| headers.contains_key(*name)) {
        return Dialect::TagoIo;
    }
    let scheme = headers
        .get(AUTHORIZATION)
        .and_then(|v| v.as_bytes().split(|b| *b == b' ').next());
    match scheme {
        Some(scheme) if scheme.eq_ignore_ascii_case(b"device") => Dialect::Nest,
        _ => Dialect::Problem,
    }
}

#[cfg(test)]
mod tests {
    use http::{HeaderName, HeaderValue};

    use super::*;

    #[test]
    fn a_presented_credential_chooses_its_systems_dialect() {
        use CredentialKind as Kind;
        let hex = "0123456789abcdef".repeat(4);
        for (carrier, kind, credential, expected) in [
            (
                Carrier::AuthorizationDevice,
                Kind::SealedDeviceToken,
                "abc",
                Dialect::Nest,
            ),
            (Carrier::Token, Kind::DeviceToken, "abc", Dialect::TagoIo),
            (
                Carrier::AuthorizationBare,
                Kind::DeviceToken,
                "abc",
                Dialect::TagoIo,
            ),
            (Carrier::Path, Kind::DeviceToken, "abc", Dialect::ThingsBoard),
            (
                Carrier::AuthorizationBearer,
                Kind::ApiToken,
                "hc_12345678_x",
                Dialect::HomeChat,
            ),
            (
                Carrier::AuthorizationBearer,
                Kind::ApiToken,
                hex.as_str(),
                Dialect::HomeChat,
            ),
            (Carrier::XApiKey, Kind::ApiToken, "tb_x", Dialect::ThingsBoard),
            (
                Carrier::AuthorizationBearer,
                Kind::ApiToken,
                "dw_12345678_x",
                Dialect::Problem,
            ),
            (Carrier::AuthorizationBearer, Kind::Jwt, "a.b.c", Dialect::Problem),
            (
                Carrier::XAuthorizationBearer,
                Kind::Jwt,
                "a.b.c",
                Dialect::ThingsBoard,
            ),
            (
                Carrier::XAuthorizationApiKey,
                Kind::ApiToken,
                "dw_12345678_x",
                Dialect::ThingsBoard,
            ),
            (Carrier::AuthorizationBasic, Kind::Basic, "YTpi", Dialect::Problem),
        ] {
            let presented = Presented {
                carrier,
                kind,
                credential: credential.as_bytes(),
            };
            let chosen = |choice| choose(choice, Some(&presented), &HeaderMap::new());
            assert_eq!(chosen(DialectChoice::Auto), expected, "{carrier:?} {kind}");
            assert_eq!(chosen(DialectChoice::Fixed(Dialect::Union)), Dialect::Union);
        }
    }

    #[test]
    fn without_a_credential_the_carrier_decides() {
        for (name, value, expected) in [
            ("x-authorization", "Bearer", Dialect::ThingsBoard),
            ("token", "a,b", Dialect::TagoIo),
            ("analysis-token", "", Dialect::TagoIo),
            ("authorization", "Device", Dialect::Nest),
            ("authorization", "device a b", Dialect::Nest),
            ("authorization", "Negotiate x", Dialect::Problem),
            ("accept", "*/*", Dialect::Problem),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(
                HeaderName::from_static(name),
                HeaderValue::from_str(value).expect("a value"),
            );
            assert_eq!(
                choose(DialectChoice::Auto, None, &headers),
                expected,
                "{name}: {value}"
            );
        }
    }
}
