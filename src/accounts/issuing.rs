//! Making stored credentials. The secret is in the answer, once; nobody can read it back.
//!
//! The kinds make the text and the row; here it is decided for whom and under which limits, the row is
//! stored with its audit row, and what was remembered as unknown is forgotten.

use super::actor::Actor;
use super::error::{AccountsError, Result};
use super::principals::name;
use super::{
    About, Accounts, CredentialLimits, DeviceTokenForm, Password, PrincipalRecord, Transport, noting,
};
use crate::authn::kinds::api_token::{self, Prefix};
use crate::authn::kinds::stored::{Grant, IssuedCredential};
use crate::authn::kinds::{basic, device_token};
use crate::cluster::RevocationSink;
use crate::domain::clock::UnixMillis;
use crate::domain::identity::{CredentialKind, PrincipalKind};
use crate::domain::ids::{CredentialId, PrincipalId};
use crate::domain::scope::{Permission, ScopeSet};
use crate::domain::secret::SecretText;
use crate::store::{CredentialFilter, CredentialRecord, Page};
use crate::telemetry::labels::IssueOutcome;

/// Most device tokens of one device that are looked through for the one to regenerate.
const MAX_TOKENS_PER_DEVICE: u32 = 1000;

/// What a new stored credential shall be allowed.
#[derive(Debug, Clone, Default)]
pub struct NewCredential {
    /// Its name for people; the kind's name when there is none.
    pub name: Option<String>,
    /// Its scopes; empty means the principal's rights.
    pub scopes: ScopeSet,
    /// Its permission.
    pub permission: Permission,
    /// Networks it may be used from; empty means anywhere.
    pub networks: Vec<ipnet::IpNet>,
    /// Which transports it may come over.
    pub transport: Transport,
    /// When it ends, if ever.
    pub expires_at: Option<UnixMillis>,
    /// What people wrote on it.
    pub about: About,
    /// Where it is used, such as `production`.
    pub environment: Option<String>,
    /// How much it may be used.
    pub limits: Option<CredentialLimits>,
    /// Whether a copy of the secret is kept, sealed, to be read back.
    pub revealable: Revealable,
}

/// Whether a secret can be read back after it was shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Revealable {
    /// It cannot: only digests are kept.
    #[default]
    No,
    /// Administrators with the scope for it can.
    Yes,
}

/// In which form a new API token is made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ApiTokenForm {
    /// The first configured prefix.
    Default,
    /// This prefix, in its layout.
    Prefix(String),
    /// 64 hexadecimal letters.
    Hex,
}

impl ApiTokenForm {
    /// Reads a form: `doorward`, `homechat`, `homechat_hex`, `thingsboard`, or a configured prefix.
    pub fn parse(text: &str) -> Self {
        match text {
            "homechat_hex" => Self::Hex,
            "doorward" => Self::Prefix("dw".to_owned()),
            "homechat" => Self::Prefix("hc".to_owned()),
            "thingsboard" => Self::Prefix("tb".to_owned()),
            prefix => Self::Prefix(prefix.to_owned()),
        }
    }
}

/// A credential that was just made.
#[derive(Debug)]
pub struct Issued {
    /// What its holder presents; for a user name with password, the password. Shown once.
    pub secret: SecretText,
    /// Which kind.
    pub kind: CredentialKind,
    /// Its id, by which it is revoked.
    pub id: CredentialId,
    /// Whom it belongs to.
    pub principal: PrincipalId,
    /// The public part it is found by; the user name of a basic credential.
    pub public_id: Option<String>,
    /// When it ends, if ever.
    pub expires_at: Option<UnixMillis>,
}

impl Accounts {
    /// Makes an opaque token of a device.
    pub async fn create_device_token(
        &self,
        device: &PrincipalRecord,
        form: DeviceTokenForm,
        new: NewCredential,
        actor: &Actor,
    ) -> Result<Issued> {
        let made = async {
            must_be_device(device)?;
            let now = self.parts.clock.now().wall;
            let revealable = new.revealable;
            let grant = self.grant(device, CredentialKind::DeviceToken, new, now)?;
            let lookup = &self.parts.vault.handles().lookup;
            let mut made = device_token::issue::issue(form, lookup, grant, now)?;
            if revealable == Revealable::Yes {
                self.make_revealable(&mut made)?;
            }
            self.keep(made, actor).await
        };
        self.counted(CredentialKind::DeviceToken, made.await)
    }

    /// Replaces a device's token: the old one is dead when this returns, the new one has the same rules.
    /// Without `which`, the device must have exactly one that is alive.
    pub async fn regenerate_device_token(
        &self,
        device: &PrincipalRecord,
        which: Option<&CredentialId>,
        form: DeviceTokenForm,
        actor: &Actor,
    ) -> Result<Issued> {
        let made = async {
            let old = self.token_to_replace(device, which, actor).await?;
            let now = self.parts.clock.now().wall;
            let grant = Grant {
                principal: old.principal.clone(),
                name: old.name.clone(),
                scopes: old.scopes.clone(),
                permission: old.permission,
                networks: old.networks.clone(),
                transport: old.transport,
                expires_at: old.expires_at,
                about: old.about.clone(),
                environment: old.environment.clone(),
                limits: old.limits.clone(),
            };
            let lookup = &self.parts.vault.handles().lookup;
            let new = device_token::issue::issue(form, lookup, grant, now)?;
            let detail = serde_json::json!({"replaced_by": new.record.id.as_str()});
            let draft = actor.draft(now, "device_token.regenerate", old.id.as_str(), detail);
            let store = self.rows(actor);
            let revoked = store
                .replace_credential(&old.id, &new.record, now, &draft)
                .await?;
            self.parts.revocations.apply(&revoked);
            (self.parts.created)();
            Ok(shown(new))
        };
        self.counted(CredentialKind::DeviceToken, made.await)
    }

    async fn token_to_replace(
        &self,
        device: &PrincipalRecord,
        which: Option<&CredentialId>,
        actor: &Actor,
    ) -> Result<CredentialRecord> {
        must_be_device(device)?;
        let filter = CredentialFilter {
            kind: Some(CredentialKind::DeviceToken),
            principal: Some(device.id.clone()),
            ..CredentialFilter::default()
        };
        let page = Page::first(MAX_TOKENS_PER_DEVICE);
        let now = self.parts.clock.now().wall;
        let mut alive = self.rows(actor).list_credentials(&filter, &page).await?;
        alive.retain(|c| c.revoked_at.is_none() && c.expires_at.is_none_or(|at| at > now));
        match which {
            Some(id) => alive
                .into_iter()
                .find(|c| c.id == *id)
                .ok_or_else(|| AccountsError::not_found("living token of this device", id.as_str())),
            None if alive.len() > 1 => Err(AccountsError::Conflict(format!(
                "the device has {} living tokens; say which one to replace",
                alive.len()
            ))),
            None => alive
                .pop()
                .ok_or_else(|| AccountsError::not_found("living token of device", device.id.as_str())),
        }
    }

    /// Makes an API token.
    pub async fn create_api_token(
        &self,
        principal: &PrincipalRecord,
        form: &ApiTokenForm,
        new: NewCredential,
        actor: &Actor,
    ) -> Result<Issued> {
        let made = async {
            let now = self.parts.clock.now().wall;
            let grant = self.grant(principal, CredentialKind::ApiToken, new, now)?;
            self.keep(self.make_api_token(form, grant).await?, actor).await
        };
        self.counted(CredentialKind::ApiToken, made.await)
    }

    /// An API token in this form, not yet stored.
    pub(super) async fn make_api_token(&self, form: &ApiTokenForm, grant: Grant) -> Result<IssuedCredential> {
        use api_token::issue::IssueError;
        let kinds = self.kinds();
        let settings = &kinds.issuers.api_token;
        let form = self.api_token_form(form)?;
        let (lookup, pool) = (&self.parts.vault.handles().lookup, &self.parts.slow_pool);
        api_token::issue::issue(settings, &form, lookup, pool, grant, self.now())
            .await
            .map_err(|error| match error {
                IssueError::NotAccepted => self.unknown_form("this form"),
                IssueError::NoRandomness(e) => e.into(),
                IssueError::SlowPool(e) => e.into(),
                IssueError::SlowDigest(e) => e.into(),
            })
    }

    fn api_token_form(&self, form: &ApiTokenForm) -> Result<api_token::issue::IssueForm> {
        let kinds = self.kinds();
        let settings = &kinds.issuers.api_token;
        let prefix = match form {
            ApiTokenForm::Hex => return Ok(api_token::issue::IssueForm::Hex),
            ApiTokenForm::Default => settings.prefixes.first().cloned(),
            ApiTokenForm::Prefix(text) => match Prefix::parse(text) {
                Ok(prefix) => Some(prefix),
                Err(_) => return Err(self.unknown_form("an unknown form")),
            },
        };
        prefix
            .map(api_token::issue::IssueForm::Prefixed)
            .ok_or_else(|| self.unknown_form("no form"))
    }

    fn unknown_form(&self, found: &str) -> AccountsError {
        let kinds = self.kinds();
        let settings = &kinds.issuers.api_token;
        let mut forms: Vec<&str> = settings.prefixes.iter().map(Prefix::as_str).collect();
        if settings.hex == api_token::HexTokens::Accepted {
            forms.push("homechat_hex");
        }
        let expected = format!("one that credentials.api_token accepts: {}", forms.join(", "));
        AccountsError::bad("format", found, expected)
    }

    /// Makes a user name with a password. The secret handed back is the password.
    pub async fn create_basic(
        &self,
        principal: &PrincipalRecord,
        user: &str,
        password: Password,
        new: NewCredential,
        actor: &Actor,
    ) -> Result<Issued> {
        use basic::issue::IssueError;
        let made = async {
            let now = self.parts.clock.now().wall;
            let grant = self.grant(principal, CredentialKind::Basic, new, now)?;
            let pool = &self.parts.slow_pool;
            let kinds = self.kinds();
            let made = basic::issue::issue(&kinds.issuers.basic, user, password, pool, grant, now)
                .await
                .map_err(|error| match error {
                    IssueError::InvalidUser => AccountsError::bad(
                        "user",
                        "a name that cannot be presented",
                        "1 to 255 bytes, without a colon or a control character",
                    ),
                    IssueError::PasswordTooShort { found, expected } => AccountsError::bad(
                        "password",
                        format!("{found} characters"),
                        format!("at least {expected}"),
                    ),
                    IssueError::InvalidPassword => {
                        AccountsError::bad("password", "a control character", "none")
                    }
                    IssueError::SlowDigest(e) => e.into(),
                    IssueError::NoRandomness(e) => e.into(),
                    IssueError::SlowPool(e) => e.into(),
                })?;
            self.keep(made, actor).await
        };
        self.counted(CredentialKind::Basic, made.await)
    }

    fn grant(
        &self,
        principal: &PrincipalRecord,
        kind: CredentialKind,
        new: NewCredential,
        now: UnixMillis,
    ) -> Result<Grant> {
        if new.expires_at.is_some_and(|at| at <= now) {
            return Err(AccountsError::bad(
                "expires",
                "the past",
                "a point of time that is still to come",
            ));
        }
        if new.revealable == Revealable::Yes && kind != CredentialKind::DeviceToken {
            return Err(AccountsError::bad(
                "revealable",
                "`true`",
                "none: only device tokens can be read back",
            ));
        }
        Ok(Grant {
            principal: principal.id.clone(),
            name: match new.name {
                Some(text) => name("name", &text)?,
                None => kind.as_str().to_owned(),
            },
            scopes: new.scopes,
            permission: new.permission,
            networks: new.networks,
            transport: new.transport,
            expires_at: new.expires_at,
            about: noting::about(new.about)?,
            environment: new.environment.as_deref().map(noting::environment).transpose()?,
            limits: new.limits.map(noting::limits).transpose()?,
        })
    }

    /// Stores what was made; from here on it works.
    async fn keep(&self, made: IssuedCredential, actor: &Actor) -> Result<Issued> {
        let record = &made.record;
        let detail = serde_json::json!({
            "principal": record.principal.as_str(),
            "name": record.name,
            "scopes": record.scopes.to_string(),
            "permission": record.permission.as_str(),
            "expires_at": record.expires_at.map(UnixMillis::rfc3339),
        });
        let act = format!("{}.create", record.kind);
        let draft = actor.draft(record.created_at, &act, record.id.as_str(), detail);
        self.rows(actor).insert_credential(record, &draft).await?;
        (self.parts.created)();
        Ok(shown(made))
    }

    pub(super) fn counted(&self, kind: CredentialKind, made: Result<Issued>) -> Result<Issued> {
        use AccountsError as E;
        let outcome = match &made {
            Ok(_) => IssueOutcome::Issued,
            Err(
                E::BadInput { .. }
                | E::NotFound { .. }
                | E::Conflict(_)
                | E::Outdated { .. }
                | E::Forbidden(_)
                | E::NotConfigured(_),
            ) => IssueOutcome::Refused,
            Err(E::Overloaded | E::Full(_) | E::Unavailable(_) | E::Unusable(_)) => IssueOutcome::Failed,
        };
        self.parts.metrics.issue(kind, outcome);
        made
    }
}

pub(super) fn shown(made: IssuedCredential) -> Issued {
    Issued {
        secret: made.secret,
        kind: made.record.kind,
        id: made.record.id,
        principal: made.record.principal,
        public_id: made.record.public_id,
        expires_at: made.record.expires_at,
    }
}

pub(super) fn must_be_device(principal: &PrincipalRecord) -> Result<()> {
    match principal.kind {
        PrincipalKind::Device => Ok(()),
        other => Err(AccountsError::bad(
            "device",
            format!("a principal of kind {}", other.as_str()),
            "a device: device tokens belong to devices",
        )),
    }
}
