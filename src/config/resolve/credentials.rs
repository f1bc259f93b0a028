//! Settings of the credential kinds: keys, secrets, issuers.

use std::collections::HashMap;
use std::sync::Arc;

use base64::Engine;
use zeroize::Zeroizing;

use super::super::problems::Written;
use super::super::raw::credentials::{self as raw, Claim, Credentials, Issuer, Profile};
use super::super::raw::values::Secret;
use super::super::settings::{CredentialSettings, IssuerKeys, IssuerSettings, SealedDeviceTokenSettings};
use super::{Notes, chosen, file, proof, secrets};
use crate::authn::kinds::api_token::{self, DigestMode, HexTokens, Prefix};
use crate::authn::kinds::basic;
use crate::authn::kinds::device_token::settings::IssueForm;
use crate::authn::kinds::jwt::{
    self, Algorithm, AlgorithmSet, ClaimMapping, ClaimPath, JwksUrl, KeySource, Unscoped, Waived, Waiver,
};
use crate::crypto::keyring::{KeyTextError, parse_key_base64};
use crate::crypto::{BcryptCost, KeyBytes};
use crate::domain::identity::{PrincipalKind, WriteAccess};
use crate::domain::secret::SecretText;

/// Least length of a shared secret: that of the shortest HMAC's output (RFC 7518 section 3.2).
const MIN_HMAC_BYTES: usize = 32;
/// Least cost of bcrypt that is not warned about.
const USUAL_BCRYPT_COST: u8 = 10;

/// Resolves all kinds.
pub(super) fn resolve(raw: &Credentials, notes: &mut Notes<'_>) -> CredentialSettings {
    let sealed = &raw.sealed_device_token;
    CredentialSettings {
        sealed_device_token: SealedDeviceTokenSettings {
            key: device_key(sealed, notes),
            lifetime: sealed.lifetime.0,
            write_access: if sealed.write_access {
                WriteAccess::Granted
            } else {
                WriteAccess::Withheld
            },
            min_identifier_length: sealed.min_identifier_length.into(),
            proof: proof::resolve(&sealed.proof, notes),
        },
        device_token_form: match raw.device_token.form {
            raw::DeviceTokenForm::Uuid => IssueForm::Uuid,
            raw::DeviceTokenForm::Alphanumeric => IssueForm::Alphanumeric,
            raw::DeviceTokenForm::Prefixed => IssueForm::Prefixed,
        },
        api_token: api_token::Settings {
            prefixes: prefixes(&raw.api_token, notes),
            hex: if raw.api_token.accept_hex {
                HexTokens::Accepted
            } else {
                HexTokens::Refused
            },
            digest: match raw.api_token.digest {
                raw::DigestChoice::BcryptAndKeyed => DigestMode::BcryptAndKeyed,
                raw::DigestChoice::Keyed => DigestMode::Keyed,
            },
            bcrypt_cost: cost(
                "credentials.api_token.bcrypt_cost",
                raw.api_token.bcrypt_cost,
                notes,
            ),
            pepper: secret(
                "credentials.api_token.pepper",
                raw.api_token.pepper.as_ref(),
                raw.api_token.pepper_file.as_ref(),
                notes,
            ),
        },
        jwt_issuers: {
            warn_of_shared_subjects(&raw.jwt.issuers, notes);
            issuers(&raw.jwt.issuers, notes)
        },
        basic: basic::Settings {
            bcrypt_cost: cost("credentials.basic.bcrypt_cost", raw.basic.bcrypt_cost, notes),
            min_password_chars: raw.basic.min_password_length.into(),
        },
        file: Arc::new(file::table(raw.file.as_deref(), notes)),
    }
}

fn cost(key: &str, cost: u8, notes: &mut Notes<'_>) -> BcryptCost {
    if cost < USUAL_BCRYPT_COST {
        notes.warn(
            key,
            format!("a bcrypt cost of {cost} is quick to guess against; 12 is usual"),
        );
    }
    // The schema has the same bounds.
    BcryptCost::new(cost.into()).unwrap_or_default()
}

fn prefixes(raw: &raw::ApiToken, notes: &mut Notes<'_>) -> Vec<Prefix> {
    let mut out: Vec<Prefix> = Vec::new();
    for prefix in &raw.prefixes {
        if out.contains(&prefix.0) {
            let found = format!("{} for the second time", prefix.0.as_str());
            let key = "credentials.api_token.prefixes";
            notes.report.add(key, found, "each prefix once", "remove it");
        }
        out.push(prefix.0.clone());
    }
    out
}

/// A secret from its key or its file.
pub(super) fn secret(
    key: &str,
    value: Option<&Secret>,
    file: Option<&std::path::PathBuf>,
    notes: &mut Notes<'_>,
) -> Option<SecretText> {
    let file_key = format!("{key}_file");
    match (value, file) {
        (Some(_), Some(_)) => {
            secrets::both(key, &file_key, notes);
            None
        }
        (Some(secret), None) => Some(secret.0.clone()),
        (None, Some(path)) => secrets::read(&file_key, path, notes),
        (None, None) => None,
    }
}

/// The key that was written, for problems with a secret that may come from either.
pub(super) fn written(key: &str, notes: &Notes<'_>) -> String {
    let file = format!("{key}_file");
    match notes.report.wrote(&file) {
        Written::Yes => file,
        Written::No => key.to_owned(),
    }
}

fn device_key(raw: &raw::SealedDeviceToken, notes: &mut Notes<'_>) -> Option<KeyBytes> {
    let key = "credentials.sealed_device_token.key";
    let text = secret(key, raw.key.as_ref(), raw.key_file.as_ref(), notes)?;
    match parse_key_base64(text.expose()) {
        Ok(bytes) => Some(bytes),
        Err(error) => {
            let (found, remedy) = match error {
                KeyTextError::NotBase64 => ("a text that is not Base64".to_owned(), String::new()),
                KeyTextError::WrongLength { found: 34 } => (
                    "Base64 of 34 bytes".to_owned(),
                    "; the sample key of the NestJS document has 34 bytes and never was an AES-256 key"
                        .to_owned(),
                ),
                KeyTextError::WrongLength { found } => (format!("Base64 of {found} bytes"), String::new()),
            };
            let remedy = format!("make a key with: openssl rand -base64 32{remedy}");
            let at = written(key, notes);
            notes.report.add(
                &at,
                found,
                "Base64 of exactly 32 bytes: keys are never padded or cut",
                remedy,
            );
            None
        }
    }
}

/// Two issuers may give one subject to different parties; upstreams could not tell them apart.
fn warn_of_shared_subjects(issuers: &[Issuer], notes: &mut Notes<'_>) {
    for (i, issuer) in issuers.iter().enumerate() {
        let mut earlier = issuers.iter().take(i);
        let Some(other) = earlier.find(|o| o.subject_prefix == issuer.subject_prefix) else {
            continue;
        };
        let name = |issuer: &Issuer| issuer.name.as_ref().map_or("another", |n| &n.0).to_owned();
        let text = format!(
            "subjects of {} and {} are told to upstreams alike: give one of them a subject_prefix, unless no subject \
             means different parties at the two",
            name(other),
            name(issuer)
        );
        notes.warn(&format!("credentials.jwt.issuers[{i}].subject_prefix"), text);
    }
}

fn issuers(raw: &[Issuer], notes: &mut Notes<'_>) -> Vec<IssuerSettings> {
    let mut names: HashMap<&str, usize> = HashMap::new();
    let mut out = Vec::new();
    for (i, issuer) in raw.iter().enumerate() {
        let key = format!("credentials.jwt.issuers[{i}]");
        if let Some(name) = &issuer.name
            && let Some(first) = names.insert(&name.0, i)
        {
            let found = format!("{}, the name of issuers[{first}] too", name.0);
            let expected = "a name of its own for each issuer";
            notes
                .report
                .add(&format!("{key}.name"), found, expected, "choose another name");
        }
        let before = notes.report.count();
        judge_claims(&key, issuer, notes);
        let keys = keys(&key, issuer, notes);
        judge_algorithms(&key, issuer, keys.as_ref(), notes);
        let (Some(name), Some(keys)) = (&issuer.name, keys) else {
            continue;
        };
        let waiver = |claim| match issuer.waive.contains(&claim) {
            true => Waiver::Waived,
            false => Waiver::Required,
        };
        let allowed = |set: AlgorithmSet, algorithm: &raw::Algorithm| set.with(algorithm_of(*algorithm));
        let resolved = IssuerSettings {
            name: Arc::from(name.0.as_str()),
            issuer: issuer.issuer.clone(),
            audiences: issuer.audience.clone(),
            profile: match (&keys, issuer.profile) {
                (IssuerKeys::Own, _) => jwt::Profile::Own,
                (_, Profile::Thingsboard) => jwt::Profile::ThingsBoard,
                (_, Profile::Standard) => jwt::Profile::Mapped(mapping(issuer)),
            },
            keys,
            algorithms: match issuer.algorithms.as_slice() {
                [] => None,
                list => Some(list.iter().fold(AlgorithmSet::NONE, allowed)),
            },
            leeway: issuer.leeway.0,
            waived: Waived {
                issuer: waiver(Claim::Iss),
                audience: waiver(Claim::Aud),
                subject: waiver(Claim::Sub),
            },
            subject_prefix: Arc::from(issuer.subject_prefix.as_ref().map_or("", |p| p.0.as_str())),
        };
        if notes.report.count() == before {
            judge_keys(&key, &resolved, notes);
        }
        out.push(resolved);
    }
    out
}

fn algorithm_of(raw: raw::Algorithm) -> Algorithm {
    match raw {
        raw::Algorithm::RS256 => Algorithm::Rs256,
        raw::Algorithm::RS384 => Algorithm::Rs384,
        raw::Algorithm::RS512 => Algorithm::Rs512,
        raw::Algorithm::PS256 => Algorithm::Ps256,
        raw::Algorithm::PS384 => Algorithm::Ps384,
        raw::Algorithm::PS512 => Algorithm::Ps512,
        raw::Algorithm::ES256 => Algorithm::Es256,
        raw::Algorithm::ES384 => Algorithm::Es384,
        raw::Algorithm::EdDSA => Algorithm::EdDsa,
        raw::Algorithm::HS256 => Algorithm::Hs256,
        raw::Algorithm::HS384 => Algorithm::Hs384,
        raw::Algorithm::HS512 => Algorithm::Hs512,
    }
}

fn mapping(issuer: &Issuer) -> ClaimMapping {
    let claims = &issuer.claims;
    let place = |text: &Option<String>| text.as_deref().map(ClaimPath::parse);
    ClaimMapping {
        subject: ClaimPath::parse(&claims.subject),
        principal_kind: match issuer.principal {
            raw::SubjectKind::User => PrincipalKind::User,
            raw::SubjectKind::Device => PrincipalKind::Device,
            raw::SubjectKind::Service => PrincipalKind::Service,
        },
        tenant: place(&claims.tenant),
        customer: place(&claims.customer),
        roles: place(&claims.roles),
        scopes: claims.scopes.iter().map(|s| ClaimPath::parse(s)).collect(),
        unscoped: match claims.unscoped {
            raw::Unscoped::GrantsNothing => Unscoped::GrantsNothing,
            raw::Unscoped::Unrestricted => Unscoped::Unrestricted,
        },
    }
}

/// `iss`, `aud` and `sub` are required unless waived by name, and never both stated and waived.
fn judge_claims(key: &str, issuer: &Issuer, notes: &mut Notes<'_>) {
    let waives = |claim| issuer.waive.contains(&claim);
    for (name, claim, stated, what) in [
        (
            "issuer",
            Claim::Iss,
            issuer.issuer.is_some(),
            "the iss of its tokens",
        ),
        (
            "audience",
            Claim::Aud,
            !issuer.audience.is_empty(),
            "the aud of its tokens",
        ),
    ] {
        let word = name.get(..3).unwrap_or(name);
        match (stated, waives(claim)) {
            (false, false) => notes.report.add(
                &format!("{key}.{name}"),
                "nothing",
                what,
                format!("state it, or write waive: [{word}] to take tokens whatever they say"),
            ),
            (true, true) => notes.report.add(
                &format!("{key}.waive"),
                format!("{word}, although {name} is stated"),
                "one of the two",
                "remove one of the two",
            ),
            _ => {}
        }
    }
    let own_subject = issuer.profile == Profile::Standard && issuer.claims.subject == "sub";
    if waives(Claim::Sub) && own_subject {
        notes.report.add(
            &format!("{key}.waive"),
            "sub, from which the principal is taken",
            "another claim to take the principal from",
            "name it in claims.subject, or do not waive sub",
        );
    }
    let unused: &[&'static str] = match (issuer.keys, issuer.profile) {
        (Some(_), _) => &["profile", "claims", "principal", "subject_prefix", "waive"],
        (None, Profile::Thingsboard) => &["claims", "principal"],
        (None, Profile::Standard) => &[],
    };
    without_effect(key, issuer, unused, notes);
}

/// Refuses what would not act with the profile or the keys of an issuer.
fn without_effect(key: &str, issuer: &Issuer, names: &[&'static str], notes: &mut Notes<'_>) {
    for name in chosen(issuer, &Issuer::default(), names) {
        let expected = "only keys that act with these keys and this profile";
        notes.report.add(
            &format!("{key}.{name}"),
            "a setting without effect here",
            expected,
            "remove it",
        );
    }
}

fn keys(key: &str, issuer: &Issuer, notes: &mut Notes<'_>) -> Option<IssuerKeys> {
    let path = |name: &str| format!("{key}.{name}");
    let sources = [
        "keys",
        "jwks_url",
        "jwks_file",
        "pem_file",
        "hmac_secret",
        "hmac_secret_file",
    ];
    let stated: Vec<&str> = sources
        .into_iter()
        .filter(|name| notes.report.wrote(&path(name)) == Written::Yes)
        .collect();
    if stated.len() != 1 {
        let found = if stated.is_empty() {
            "nothing".to_owned()
        } else {
            stated.join(" and ")
        };
        let expected = format!("one of {}", sources.join(", "));
        notes.report.add(
            &path(stated.last().unwrap_or(&"keys")),
            found,
            expected,
            "state where its keys come from",
        );
        return None;
    }
    if stated != ["jwks_url"] {
        without_effect(key, issuer, &["refresh", "max_age", "cooldown"], notes);
    }
    if issuer.keys.is_some() {
        return Some(IssuerKeys::Own);
    }
    if let Some(url) = &issuer.jwks_url {
        if url.0.starts_with("http://") {
            let text = "keys are fetched over plain HTTP: whoever stands between can replace them";
            notes.warn(&path("jwks_url"), text);
        }
        return Some(IssuerKeys::Given(KeySource::JwksUrl(JwksUrl {
            refresh_interval: issuer.refresh.0,
            max_age: issuer.max_age.0,
            cooldown: issuer.cooldown.0,
            ..JwksUrl::new(url.0.clone())
        })));
    }
    if let Some(file) = &issuer.jwks_file {
        let text = secrets::read_public(&path("jwks_file"), file, notes)?;
        if serde_json::from_str::<serde_json::Value>(&text)
            .ok()
            .and_then(|j| j.get("keys").cloned())
            .is_none()
        {
            let found = format!("another content of {}", file.display());
            let expected = "a JWK Set: {\"keys\": […]} (RFC 7517 section 5)";
            notes.report.add(
                &path("jwks_file"),
                found,
                expected,
                "check that this is the right file",
            );
        }
        return Some(IssuerKeys::Given(KeySource::Jwks(text)));
    }
    if let Some(file) = &issuer.pem_file {
        let text = secrets::read_public(&path("pem_file"), file, notes)?;
        if text.contains("PRIVATE KEY") {
            let expected = "a public key";
            let remedy =
                "write only the public key there (openssl pkey -pubout), and keep the private one elsewhere";
            notes
                .report
                .add(&path("pem_file"), "a private key", expected, remedy);
        } else if !text.contains("-----BEGIN ") {
            let found = format!("another content of {}", file.display());
            notes.report.add(
                &path("pem_file"),
                found,
                "a public key as PEM",
                "check that this is the right file",
            );
        }
        return Some(IssuerKeys::Given(KeySource::Pem(text)));
    }
    let file = issuer.hmac_secret_file.as_ref();
    let text = secret(&path("hmac_secret"), issuer.hmac_secret.as_ref(), file, notes)?;
    judge_hmac(&path("hmac_secret"), &text, notes);
    Some(IssuerKeys::Given(KeySource::SecretBase64(text)))
}

fn judge_hmac(key: &str, text: &SecretText, notes: &mut Notes<'_>) {
    let decoded = base64::engine::general_purpose::STANDARD
        .decode(text.expose().trim())
        .map(Zeroizing::new);
    let found = match decoded {
        Ok(bytes) if bytes.len() >= MIN_HMAC_BYTES => return,
        Ok(bytes) => format!("Base64 of {} bytes", bytes.len()),
        Err(_) => "a text that is not Base64".to_owned(),
    };
    let key = written(key, notes);
    let expected = "Base64 of a shared secret of at least 32 bytes (64 for HS512)";
    notes.report.add(
        &key,
        found,
        expected,
        "make one with: openssl rand -base64 64, and set it at the issuer too",
    );
}

/// What only shows when keys are read and put beside the algorithms; the kind judges it as it will at start.
fn judge_keys(key: &str, issuer: &IssuerSettings, notes: &mut Notes<'_>) {
    let IssuerKeys::Given(source) = &issuer.keys else {
        return;
    };
    let Err(error) = issuer.with_source(source.clone()).examine() else {
        return;
    };
    let at = match (&error.problem, source) {
        (jwt::Problem::Algorithms, _) => format!("{key}.algorithms"),
        (jwt::Problem::Keys(_), KeySource::Jwks(_)) => format!("{key}.jwks_file"),
        (jwt::Problem::Keys(_), KeySource::Pem(_)) => format!("{key}.pem_file"),
        (jwt::Problem::Keys(_), _) => written(&format!("{key}.hmac_secret"), notes),
        _ => key.to_owned(),
    };
    notes.report.add(
        &at,
        error.problem.to_string(),
        "keys, and algorithms that fit them, by which its tokens can be verified",
        "correct the one or the other, or remove the issuer",
    );
}

/// A public key is never taken for a shared secret, nor the other way round.
fn judge_algorithms(key: &str, issuer: &Issuer, keys: Option<&IssuerKeys>, notes: &mut Notes<'_>) {
    let Some(keys) = keys else {
        return;
    };
    for algorithm in &issuer.algorithms {
        let expected = match (keys, algorithm.is_hmac()) {
            (IssuerKeys::Given(KeySource::SecretBase64(_)), false) => {
                "HS256, HS384 or HS512 with a shared secret"
            }
            (IssuerKeys::Own, false) if *algorithm != raw::Algorithm::EdDSA => {
                "EdDSA: this installation's own keys are for it alone"
            }
            (IssuerKeys::Given(KeySource::SecretBase64(_)), true) | (_, false) => continue,
            (_, true) => "an algorithm with a public key, such as RS256, ES256 or EdDSA",
        };
        let found = format!("{algorithm:?}");
        notes
            .report
            .add(&format!("{key}.algorithms"), found, expected, "remove it");
    }
}
