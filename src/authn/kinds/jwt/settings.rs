//! Settings of the jwt kind, resolved: issuers, where their keys come from, and how claims become an
//! identity. Plain data; `config` makes it, `JwtVerifier::start` checks it and says what is wrong.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use super::algorithm::AlgorithmSet;
use super::keys::KeyProblem;
use super::signing::OwnKeys;
use crate::domain::identity::PrincipalKind;
use crate::domain::secret::SecretText;

/// Largest leeway for clocks that disagree.
pub const MAX_LEEWAY: Duration = Duration::from_secs(30);
/// Leeway when nothing is said.
pub const DEFAULT_LEEWAY: Duration = Duration::from_secs(10);
/// Most issuers.
pub const MAX_ISSUERS: usize = 64;

/// Every issuer whose access tokens are accepted.
#[derive(Debug, Clone, Default)]
pub struct JwtSettings {
    /// Own and external issuers.
    pub issuers: Vec<Issuer>,
}

/// One issuer.
#[derive(Debug, Clone)]
pub struct Issuer {
    /// Name for logs, metrics and credential ids: letters, digits, `.`, `_`, `-`. Unique.
    pub name: Arc<str>,
    /// The exact `iss` of its tokens; `None` only when `iss` is waived.
    pub issuer: Option<String>,
    /// Its tokens must name one of these in `aud`; empty only when `aud` is waived.
    pub audiences: Vec<String>,
    /// Its keys.
    pub keys: KeySource,
    /// Narrows what its keys may be used with; `None`: whatever the keys allow.
    pub algorithms: Option<AlgorithmSet>,
    /// How far its clock and ours may disagree, at most [`MAX_LEEWAY`].
    pub leeway: Duration,
    /// Claims that are not asked for.
    pub waived: Waived,
    /// How its claims become an identity.
    pub profile: Profile,
    /// Stands before each of its subjects in the principal's id, so that no other issuer's subject is taken
    /// for one of its own. Visible ASCII; empty: subjects stay as they are.
    pub subject_prefix: Arc<str>,
}

/// Claims that an issuer's tokens need not have, and that are not checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Waived {
    /// `iss`.
    pub issuer: Waiver,
    /// `aud`.
    pub audience: Waiver,
    /// `sub`.
    pub subject: Waiver,
}

/// Whether a claim is waived.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Waiver {
    /// It is required and checked.
    #[default]
    Required,
    /// It is not looked at.
    Waived,
}

/// Where an issuer's keys come from.
#[derive(Debug, Clone)]
pub enum KeySource {
    /// A JWK set fetched over HTTP and kept fresh.
    JwksUrl(JwksUrl),
    /// The content of a JWK set file.
    Jwks(String),
    /// A public key in PEM form.
    Pem(String),
    /// A shared secret in Base64, at least 32 bytes (ThingsBoard: 64).
    SecretBase64(SecretText),
    /// Our own signing keys.
    Own(OwnKeys),
}

/// A JWK set at a URL.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JwksUrl {
    /// The URL, `http` or `https`. Redirects are not followed.
    pub url: String,
    /// How often the set is fetched in the background (shortened at random by up to a fifth).
    pub refresh_interval: Duration,
    /// At most one fetch begins within this time, whatever tokens ask for.
    pub cooldown: Duration,
    /// The last good set is used at most this long.
    pub max_age: Duration,
    /// One fetch takes at most this long, connection and body together.
    pub timeout: Duration,
    /// A look-up waits at most this long for a fetch under way.
    pub max_wait: Duration,
}

impl JwksUrl {
    /// This URL with the default times.
    pub fn new(url: impl Into<String>) -> Self {
        Self {
            url: url.into(),
            refresh_interval: Duration::from_secs(600),
            cooldown: Duration::from_secs(30),
            max_age: Duration::from_secs(24 * 3600),
            timeout: Duration::from_secs(10),
            max_wait: Duration::from_secs(2),
        }
    }
}

/// How claims become an identity.
#[derive(Debug, Clone, PartialEq)]
pub enum Profile {
    /// Tokens that we issued ourselves (`issue`); only with [`KeySource::Own`].
    Own,
    /// ThingsBoard's access tokens: `userId` or `sub`, `scopes[0]` is the role, `tenantId`, `customerId`.
    ThingsBoard,
    /// Claims by name.
    Mapped(ClaimMapping),
}

/// Which claims say what.
#[derive(Debug, Clone, PartialEq)]
pub struct ClaimMapping {
    /// The principal's id.
    pub subject: ClaimPath,
    /// What sort of party the principals of this issuer are.
    pub principal_kind: PrincipalKind,
    /// The tenant's id, where it has one.
    pub tenant: Option<ClaimPath>,
    /// The customer's id, where it has one.
    pub customer: Option<ClaimPath>,
    /// A list of roles, or a text with roles separated by spaces.
    pub roles: Option<ClaimPath>,
    /// Scopes: a list, or a text separated by spaces. The first of these that is there counts.
    pub scopes: Vec<ClaimPath>,
    /// What a token without any scope may do.
    pub unscoped: Unscoped,
}

/// What a token without any scope may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Unscoped {
    /// It meets no scope that a route requires (RFC 6749: nothing was granted).
    #[default]
    GrantsNothing,
    /// It may do whatever its roles allow: for issuers that use no scopes at all.
    Unrestricted,
}

impl Default for ClaimMapping {
    fn default() -> Self {
        Self {
            subject: ClaimPath::parse("sub"),
            principal_kind: PrincipalKind::User,
            tenant: None,
            customer: None,
            roles: None,
            scopes: ["scope", "scp", "scopes"].map(ClaimPath::parse).to_vec(),
            unscoped: Unscoped::GrantsNothing,
        }
    }
}

/// The place of a claim: `roles`, or `realm_access.roles` for a member of an object claim. A name with
/// `://` is taken as a whole (`https://example.com/roles`), as such names hold dots of their own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClaimPath(Vec<String>);

impl ClaimPath {
    /// The path written this way.
    pub fn parse(text: &str) -> Self {
        if text.contains("://") {
            Self(vec![text.to_owned()])
        } else {
            Self(text.split('.').map(str::to_owned).collect())
        }
    }

    /// Its names, outermost first.
    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(String::as_str)
    }
}

/// What is wrong with the settings of an issuer: what was found, what was expected, what to do.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("jwt issuer `{issuer}`: {problem}")]
pub struct SettingsProblem {
    /// The issuer's name.
    pub issuer: Arc<str>,
    /// What is wrong.
    pub problem: Problem,
}

/// What is wrong.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Problem {
    /// More than [`MAX_ISSUERS`].
    #[error("one issuer too many; expected at most {MAX_ISSUERS}")]
    TooManyIssuers,
    /// The name cannot stand in credential ids.
    #[error("the name must be 1 to 64 letters, digits, `.`, `_` or `-`")]
    Name,
    /// Two issuers of one name.
    #[error("the name stands twice; give every issuer a name of its own")]
    DuplicateName,
    /// No `iss`, and not waived.
    #[error("no `issuer`; state the exact `iss` of its tokens, or waive `iss` by name")]
    NoIssuer,
    /// No audience, and not waived.
    #[error("no `audience`; state what its tokens name in `aud`, or waive `aud` by name")]
    NoAudience,
    /// `aud` waived and audiences stated.
    #[error("`aud` is waived although audiences are stated; drop one of the two")]
    AudienceWaivedAndStated,
    /// `sub` waived, but the principal is still taken from it.
    #[error("`sub` is waived, but the principal's id is taken from it; name another subject claim")]
    SubjectWaived,
    /// Leeway over the bound.
    #[error("a leeway of {0} s; expected at most 30 s")]
    Leeway(u64),
    /// The algorithms leave nothing that the keys could be used with.
    #[error("none of the stated algorithms fits the keys; HS* needs a secret, all others a public key")]
    Algorithms,
    /// Own keys with another profile, or the other way round.
    #[error("own keys and the own profile belong together; external issuers have neither")]
    OwnProfile,
    /// The URL cannot be used.
    #[error("the JWKS URL must be an absolute http or https URL without user name")]
    Url,
    /// The HTTP client cannot be made.
    #[error("cannot make an HTTP client for the JWKS URL: {0}")]
    HttpClient(String),
    /// The keys cannot be used.
    #[error(transparent)]
    Keys(#[from] KeyProblem),
}

impl JwtSettings {
    /// Checks everything that can be checked without reading keys.
    pub(super) fn check(&self) -> Result<(), SettingsProblem> {
        let mut names = HashSet::new();
        for (i, issuer) in self.issuers.iter().enumerate() {
            let problem = if i >= MAX_ISSUERS {
                Err(Problem::TooManyIssuers)
            } else if !names.insert(&issuer.name) {
                Err(Problem::DuplicateName)
            } else {
                issuer.check()
            };
            problem.map_err(|p| issuer.problem(p))?;
        }
        Ok(())
    }
}

impl Issuer {
    pub(super) fn problem(&self, problem: impl Into<Problem>) -> SettingsProblem {
        SettingsProblem {
            issuer: Arc::clone(&self.name),
            problem: problem.into(),
        }
    }

    pub(super) fn check(&self) -> Result<(), Problem> {
        let name_fits = (1..=64).contains(&self.name.len())
            && self
                .name
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-'));
        if !name_fits {
            return Err(Problem::Name);
        }
        if self.issuer.is_none() && self.waived.issuer == Waiver::Required {
            return Err(Problem::NoIssuer);
        }
        match (self.waived.audience, self.audiences.is_empty()) {
            (Waiver::Required, true) => return Err(Problem::NoAudience),
            (Waiver::Waived, false) => return Err(Problem::AudienceWaivedAndStated),
            _ => {}
        }
        if self.leeway > MAX_LEEWAY {
            return Err(Problem::Leeway(self.leeway.as_secs()));
        }
        let own_keys = matches!(self.keys, KeySource::Own(_));
        let own_profile = self.profile == Profile::Own;
        if own_keys != own_profile || (own_profile && self.waived != Waived::default()) {
            return Err(Problem::OwnProfile);
        }
        if self.waived.subject == Waiver::Waived {
            match &self.profile {
                Profile::Mapped(mapping) if mapping.subject != ClaimPath::parse("sub") => {}
                Profile::ThingsBoard => {}
                _ => return Err(Problem::SubjectWaived),
            }
        }
        Ok(())
    }

    /// What its keys may be used with.
    pub(super) fn allowed_algorithms(&self) -> AlgorithmSet {
        self.algorithms.unwrap_or(AlgorithmSet::ALL)
    }
}
