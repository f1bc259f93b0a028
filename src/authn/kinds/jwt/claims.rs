//! What verified claims mean: times, issuer, audience, and the class of the token.
//!
//! Runs only after the signature is good, so an unverified claim never decides a reason. Token classes
//! never stand in for one another (RFC 8725 section 3.12): whatever is not plainly an access token is
//! refused. Pure; called by the verifier.

use serde_json::Value;

use super::format::{Claims, HeaderType};
use super::settings::{Issuer, Profile, Waiver};
use crate::domain::clock::{Now, UnixMillis};
use crate::domain::reason::Reason;

/// ThingsBoard's marks of tokens that are no access tokens, as scopes.
const FOREIGN_SCOPES: [&str; 3] = [
    "REFRESH_TOKEN",
    "PRE_VERIFICATION_TOKEN",
    "MFA_CONFIGURATION_TOKEN",
];
/// What `token_use` (ours, Cognito's) and `typ` (Keycloak's) may say when they are there.
const ACCESS_WORDS: [&str; 5] = ["access", "access_token", "bearer", "at+jwt", "jwt"];
/// What the less settled `token_type` and `type` must not say. (Other uses of these names are common.)
const OTHER_WORDS: [&str; 9] = [
    "refresh",
    "refresh_token",
    "offline",
    "id",
    "id_token",
    "logout",
    "pre_verification",
    "mfa",
    "assertion",
];

/// Checks everything about verified claims but who they name.
pub(super) fn judge(
    issuer: &Issuer,
    header_type: HeaderType,
    claims: &Claims,
    now: Now,
) -> Result<(), Reason> {
    check_class(issuer, header_type, claims)?;
    check_issuer(issuer, claims)?;
    check_audience(issuer, claims)?;
    if issuer.waived.subject == Waiver::Required && claims.text("sub").is_none() {
        return Err(Reason::CredentialMalformed);
    }
    check_times(issuer, claims, now)
}

fn check_issuer(issuer: &Issuer, claims: &Claims) -> Result<(), Reason> {
    match issuer.waived.issuer {
        Waiver::Waived => Ok(()),
        Waiver::Required if claims.text("iss") == issuer.issuer.as_deref() => Ok(()),
        Waiver::Required => Err(Reason::WrongIssuer),
    }
}

fn check_audience(issuer: &Issuer, claims: &Claims) -> Result<(), Reason> {
    let named = || {
        claims
            .audiences()
            .any(|aud| issuer.audiences.iter().any(|ours| ours == aud))
    };
    match issuer.waived.audience {
        Waiver::Waived => Ok(()),
        Waiver::Required if named() => Ok(()),
        Waiver::Required => Err(Reason::WrongAudience),
    }
}

fn check_times(issuer: &Issuer, claims: &Claims, now: Now) -> Result<(), Reason> {
    // RFC 7519 section 4.1.4: "on or after" the time it must not be accepted.
    if now.wall >= accepted_until(issuer, claims) {
        return Err(Reason::CredentialExpired);
    }
    let latest = now.wall.plus(issuer.leeway);
    for begins in [claims.nbf, claims.iat].into_iter().flatten() {
        if UnixMillis::from_secs(begins) > latest {
            return Err(Reason::CredentialNotYetValid);
        }
    }
    Ok(())
}

/// The first instant at which the token is refused: `exp` and the leeway.
pub(super) fn accepted_until(issuer: &Issuer, claims: &Claims) -> UnixMillis {
    UnixMillis::from_secs(claims.exp).plus(issuer.leeway)
}

fn check_class(issuer: &Issuer, header_type: HeaderType, claims: &Claims) -> Result<(), Reason> {
    if is_access_token(issuer, header_type, claims) {
        Ok(())
    } else {
        Err(Reason::WrongTokenClass)
    }
}

fn is_access_token(issuer: &Issuer, header_type: HeaderType, claims: &Claims) -> bool {
    if header_type == HeaderType::Other {
        return false;
    }
    if issuer.profile == Profile::Own
        && !(header_type == HeaderType::AccessToken && claims.text("token_use") == Some("access"))
    {
        return false;
    }
    let says_access = |name: &str| claims.get(name).map(|v| word_in(v, &ACCESS_WORDS));
    let (token_use, typ) = (says_access("token_use"), says_access("typ"));
    if token_use == Some(false) || typ == Some(false) {
        return false;
    }
    for name in ["token_type", "type"] {
        if claims.get(name).is_some_and(|v| word_in(v, &OTHER_WORDS)) {
            return false;
        }
    }
    let scopes = ["scopes", "scope", "scp"].map(|name| claims.get(name));
    if scopes.iter().flatten().any(|v| mentions_foreign_scope(v)) {
        return false;
    }
    // `at_hash`, `c_hash`: ID tokens (OpenID Connect Core 3.1.3.6, 3.3.2.11). `events`: logout and
    // security event tokens. `cnf`: bound to a key that a bearer does not prove (RFC 7800).
    if ["at_hash", "c_hash", "events", "cnf"]
        .iter()
        .any(|name| claims.get(name).is_some())
    {
        return false;
    }
    // `nonce` marks an ID token, unless something says that it is an access token all the same (older
    // Keycloak copies the nonce into access tokens, which also say `typ: Bearer`).
    let says_so = header_type == HeaderType::AccessToken || token_use.is_some() || typ.is_some();
    claims.get("nonce").is_none() || says_so || scopes.iter().any(Option::is_some)
}

fn word_in(value: &Value, words: &[&str]) -> bool {
    value
        .as_str()
        .is_some_and(|text| words.iter().any(|word| text.eq_ignore_ascii_case(word)))
}

fn mentions_foreign_scope(value: &Value) -> bool {
    let foreign = |text: &str| text.split(' ').any(|s| FOREIGN_SCOPES.contains(&s));
    match value {
        Value::String(text) => foreign(text),
        Value::Array(list) => list.iter().filter_map(Value::as_str).any(foreign),
        _ => false,
    }
}
