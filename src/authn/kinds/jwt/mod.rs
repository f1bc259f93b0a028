//! JSON Web Tokens as access tokens: our own and those of any number of external issuers.
//!
//! A token is taken apart strictly (`format`), an issuer is chosen by its `iss`, the issuer's keys check
//! the signature (`keys`, `jwks`), and only then do claims count (`claims`, `identify`). Issuers are
//! judged one by one and share neither keys nor verdicts. Nothing is cached here and revocation is
//! checked by the room around. RFC 7515, 7517, 7519, 8725, 9068.

mod algorithm;
mod claims;
mod format;
mod identify;
mod issue;
mod jwks;
mod keys;
mod settings;
mod signing;
mod strict_json;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;

use self::format::{Claims, Compact, Malformed};
use self::jwks::{Likeness, Refresh, RemoteKeys};
use self::keys::{KeySet, Signature};
use crate::authn::material::CredentialRules;
use crate::authn::presented::{Presented, PresentedOwned};
use crate::authn::toll::Toll;
use crate::authn::verifier::{Inspection, Price, Rejection, Verified, Verifier};
use crate::domain::clock::{Clock, Now};
use crate::domain::identity::CredentialKind;
use crate::domain::reason::Reason;
use crate::runtime::tasks::Tasks;
use crate::telemetry::Metrics;

pub use self::algorithm::{Algorithm, AlgorithmSet};
pub use self::issue::{AccessTokenGrant, AccessTokenIssuer, IssuedAccessToken};
pub use self::keys::KeyProblem;
pub use self::settings::{
    ClaimMapping, ClaimPath, DEFAULT_LEEWAY, Issuer, JwksUrl, JwtSettings, KeySource, MAX_ISSUERS,
    MAX_LEEWAY, Problem, Profile, SettingsProblem, Unscoped, Waived, Waiver,
};
pub use self::signing::{
    MAX_PREVIOUS_KEYS, NotASigningKey, OwnKeys, SigningAlgorithm, SigningFailed, SigningKey, SigningKeys,
    generate_signing_key, public_jwks,
};

/// Verifies JWTs.
pub struct JwtVerifier {
    issuers: Vec<Trusted>,
}

/// An issuer and its keys at run time.
struct Trusted {
    issuer: Issuer,
    keys: Keys,
}

enum Keys {
    Fixed(KeySet),
    Own(OwnKeys),
    Remote(RemoteKeys),
}

/// What an issuer's keys say about a signature.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Opinion {
    Good,
    Bad,
    /// No key of this id, as far as is known.
    Unknown,
    /// There are no keys young enough to ask.
    NoKeys,
}

impl JwtVerifier {
    /// Checks the settings, reads fixed keys and begins to fetch remote ones; waits for nothing.
    pub fn start(
        settings: &JwtSettings,
        clock: &Clock,
        tasks: &Tasks,
        metrics: &Metrics,
    ) -> Result<Self, SettingsProblem> {
        let nobody = Self { issuers: Vec::new() };
        nobody.succeeded_by(settings, clock, tasks, metrics)
    }

    /// The same by other settings. Keys that were fetched already, from the same place by the same rules, are
    /// taken over: nobody waits for them a second time.
    pub fn succeeded_by(
        &self,
        settings: &JwtSettings,
        clock: &Clock,
        tasks: &Tasks,
        metrics: &Metrics,
    ) -> Result<Self, SettingsProblem> {
        settings.check()?;
        let start = |issuer: &Issuer| {
            let known = match &issuer.keys {
                KeySource::JwksUrl(url) => self.fetched(&issuer.name, url),
                _ => None,
            };
            Trusted::start(issuer, known, clock, tasks, metrics)
        };
        let issuers: Result<Vec<_>, _> = settings.issuers.iter().map(start).collect();
        Ok(Self { issuers: issuers? })
    }

    fn fetched(&self, issuer: &str, settings: &JwksUrl) -> Option<RemoteKeys> {
        self.issuers.iter().find_map(|trusted| match &trusted.keys {
            Keys::Remote(keys) if keys.are_of(issuer, settings) == Likeness::Same => Some(keys.clone()),
            _ => None,
        })
    }

    /// Age of each fetched key set by issuer name, for the metric; `None` before the first good fetch.
    pub fn jwks_ages(&self, now: Now) -> Vec<(Arc<str>, Option<Duration>)> {
        self.issuers
            .iter()
            .filter_map(|trusted| match &trusted.keys {
                Keys::Remote(keys) => Some((Arc::clone(&trusted.issuer.name), keys.age(now))),
                Keys::Fixed(_) | Keys::Own(_) => None,
            })
            .collect()
    }

    /// How often a fetched key set has changed. Whoever remembers verdicts forgets them when this rises: a
    /// key that its issuer withdrew must not live on in a cache.
    pub fn key_changes(&self) -> u64 {
        let changes = self.issuers.iter().map(|trusted| match &trusted.keys {
            Keys::Remote(keys) => keys.changes(),
            Keys::Fixed(_) | Keys::Own(_) => 0,
        });
        changes.sum()
    }

    /// Who could have issued this: the issuers of exactly this `iss`, and only when there are none, those
    /// that waive it. A token that names an issuer we know is judged by that issuer alone.
    fn candidates(&self, iss: Option<&str>) -> Vec<&Trusted> {
        let named: Vec<&Trusted> = self
            .issuers
            .iter()
            .filter(|t| iss.is_some() && t.issuer.issuer.as_deref() == iss)
            .collect();
        if !named.is_empty() {
            return named;
        }
        self.issuers
            .iter()
            .filter(|t| t.issuer.waived.issuer == Waiver::Waived)
            .collect()
    }

    async fn verify(&self, credential: &[u8], now: Now) -> Result<Verified, Rejection> {
        let (token, claims) = parse(credential)?;
        let candidates = self.candidates(claims.text("iss"));
        if candidates.is_empty() {
            return Err(Rejection::caller(Reason::WrongIssuer));
        }
        // First everyone who can answer at once, then those whose keys may be out of date: an issuer that
        // cannot be reached does not delay another.
        let mut unsure = Vec::new();
        for trusted in candidates {
            match trusted.ask(&token, now) {
                Opinion::Good => return trusted.accept(&token, &claims, now),
                Opinion::Bad => {}
                Opinion::Unknown | Opinion::NoKeys => unsure.push(trusted),
            }
        }
        let mut rejection = Rejection::caller(Reason::CredentialInvalid);
        for trusted in unsure {
            match trusted.ask_again(&token, now).await {
                Opinion::Good => return trusted.accept(&token, &claims, now),
                Opinion::Bad | Opinion::Unknown => {}
                Opinion::NoKeys => rejection = Rejection::ours(Reason::CannotDecide),
            }
        }
        Err(rejection)
    }
}

impl Trusted {
    fn start(
        issuer: &Issuer,
        known: Option<RemoteKeys>,
        clock: &Clock,
        tasks: &Tasks,
        metrics: &Metrics,
    ) -> Result<Self, SettingsProblem> {
        let problem = |p: Problem| issuer.problem(p);
        let (keys, usable) = match &issuer.keys {
            KeySource::JwksUrl(url) => {
                let keys = match known {
                    Some(known) => known,
                    None => RemoteKeys::start(&issuer.name, url, clock, tasks, metrics).map_err(problem)?,
                };
                // Nothing is known of its keys yet, but they will not be secrets.
                (Keys::Remote(keys), AlgorithmSet::PUBLIC)
            }
            KeySource::Own(keys) => (Keys::Own(keys.clone()), keys.verifying(KeySet::algorithms)),
            KeySource::Jwks(document) => fixed(KeySet::jwks(document.as_bytes())).map_err(problem)?,
            KeySource::Pem(text) => fixed(KeySet::pem(text)).map_err(problem)?,
            KeySource::SecretBase64(text) => fixed(KeySet::secret_base64(text)).map_err(problem)?,
        };
        issuer.fits(usable).map_err(problem)?;
        Ok(Self {
            issuer: issuer.clone(),
            keys,
        })
    }

    /// What the keys at hand say.
    fn ask(&self, token: &Compact<'_>, now: Now) -> Opinion {
        let allowed = self.issuer.allowed_algorithms();
        let ask = |keys: &KeySet| keys.verify(token, allowed);
        let signature = match &self.keys {
            Keys::Fixed(keys) => Some(ask(keys)),
            Keys::Own(keys) => Some(keys.verifying(ask)),
            Keys::Remote(keys) => keys.with_keys(now, ask),
        };
        match signature {
            Some(Signature::Good) => Opinion::Good,
            Some(Signature::Bad) => Opinion::Bad,
            Some(Signature::UnknownKey) => Opinion::Unknown,
            None => Opinion::NoKeys,
        }
    }

    /// Asks for newer keys first, where keys can become newer.
    async fn ask_again(&self, token: &Compact<'_>, now: Now) -> Opinion {
        let Keys::Remote(keys) = &self.keys else {
            return self.ask(token, now);
        };
        match keys.refresh(now).await {
            Refresh::Done | Refresh::CoolingDown => self.ask(token, now),
            // Newer keys are on their way, so the token may yet prove good.
            Refresh::Pending => Opinion::NoKeys,
        }
    }

    /// The signature is good: now the claims count.
    fn accept(&self, token: &Compact<'_>, claims: &Claims, now: Now) -> Result<Verified, Rejection> {
        claims::judge(&self.issuer, token.header_type, claims, now).map_err(Rejection::caller)?;
        let identity = identify::identify(&self.issuer, token, claims).map_err(Rejection::caller)?;
        Ok(Verified {
            identity,
            rules: CredentialRules::default(),
        })
    }
}

fn fixed(keys: Result<KeySet, KeyProblem>) -> Result<(Keys, AlgorithmSet), Problem> {
    let keys = keys?;
    let algorithms = keys.algorithms();
    Ok((Keys::Fixed(keys), algorithms))
}

impl Issuer {
    /// Checks all that needs neither our own keys nor the network, for whoever wants to know before
    /// anything is started.
    pub fn examine(&self) -> Result<(), SettingsProblem> {
        let judge = || {
            self.check()?;
            self.fits(match &self.keys {
                KeySource::JwksUrl(url) => jwks::address(url).map(|_| AlgorithmSet::PUBLIC)?,
                KeySource::Own(_) => AlgorithmSet::PUBLIC,
                KeySource::Jwks(document) => KeySet::jwks(document.as_bytes())?.algorithms(),
                KeySource::Pem(text) => KeySet::pem(text)?.algorithms(),
                KeySource::SecretBase64(text) => KeySet::secret_base64(text)?.algorithms(),
            })
        };
        judge().map_err(|p: Problem| self.problem(p))
    }

    /// Something must be left that the keys can be used with.
    fn fits(&self, usable: AlgorithmSet) -> Result<(), Problem> {
        if usable.and(self.allowed_algorithms()).is_empty() {
            return Err(Problem::Algorithms);
        }
        Ok(())
    }
}

fn parse(credential: &[u8]) -> Result<(Compact<'_>, Claims), Rejection> {
    let malformed = |found: Malformed| {
        tracing::debug!(%found, "malformed token");
        Rejection::caller(Reason::CredentialMalformed)
    };
    let token = format::split(credential).map_err(malformed)?;
    let claims = Claims::parse(&token.payload).map_err(malformed)?;
    Ok((token, claims))
}

#[async_trait]
impl Verifier for JwtVerifier {
    fn kind(&self) -> CredentialKind {
        CredentialKind::Jwt
    }

    /// Refuses by form alone. There is no public id for the throttle: `kid` and `iss` are the same for all
    /// of an issuer's tokens, so counting failures by them would let one forger shut out everybody.
    fn inspect(&self, presented: &Presented<'_>, _now: Now) -> Inspection {
        match parse(presented.credential) {
            Ok(_) => Inspection::LookUp {
                public_id: None,
                price: Price::Cheap,
            },
            Err(rejection) => Inspection::Refused(rejection),
        }
    }

    async fn look_up(
        &self,
        presented: &PresentedOwned,
        _toll: &Toll,
        now: Now,
    ) -> Result<Verified, Rejection> {
        self.verify(presented.credential.expose(), now).await
    }
}
