//! Sealed device tokens for devices that ask for them themselves, and what such a token is worth.
//!
//! ```text
//!   identifier ─▶ its rules ─▶ address's share ─▶ mode ─▶ device's share ─▶ everybody's share ─▶ sealed
//! ```
//!
//! Who gets one is the mode's to say. A token says when it was made, and a revocation ends those made before
//! it: so the time is taken, and the store's revocations are read, before anything is believed. What a
//! revocation ends can then not outlive it as a token that was made with it. Issuing itself, and its audit
//! row, is `sealing`'s; the wire's words are the endpoint's.

use std::sync::Arc;
use std::time::Duration;

use super::actor::{Actor, Reach};
use super::callers::{Call, Callers, TurnedAway};
use super::error::AccountsError;
use super::sealing::{NewSealedToken, SealedForm};
use super::{Accounts, Enabled, Issued, Transport};
use crate::authn::Authenticated;
use crate::authn::kinds::sealed_device_token::issue::trimmed;
use crate::authn::verifier::Blame;
use crate::authn::windows::Windows;
use crate::crypto;
use crate::domain::clock::{MonoMillis, UnixMillis};
use crate::domain::identity::PrincipalKind;
use crate::domain::ids::{PrincipalId, TenantId};
use crate::domain::net::ClientIp;
use crate::domain::scope::{Permission, ScopeSet};
use crate::telemetry::labels::ThrottledBy;

/// Who gets a token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GenerationMode {
    /// Whoever asks: any stranger becomes any device.
    Open,
    /// Whoever names a device that is registered and enabled.
    Registered,
    /// Whoever proves another credential of that very device; a sealed token that is still good counts.
    Credential,
}

/// What an identifier must look like, beside its length.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum IdentifierForm {
    /// Anything.
    Any,
    /// A UUID with its dashes, of any version.
    Uuid,
}

/// How many tokens are made within a window.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct GenerationLimits {
    /// Length of a window, from its first token.
    pub window: Duration,
    /// For one client address, IPv6 by /64; tries count.
    pub per_address: u32,
    /// For one device.
    pub per_device: u32,
    /// For everybody.
    pub overall: u32,
}

/// How tokens are generated.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GenerationSettings {
    /// Who gets one.
    pub mode: GenerationMode,
    /// In which form.
    pub form: SealedForm,
    /// Fewest characters of an identifier, after trimming.
    pub min_chars: usize,
    /// Most of them.
    pub max_chars: usize,
    /// What it must look like.
    pub identifier: IdentifierForm,
    /// How many.
    pub limits: GenerationLimits,
}

/// Addresses and devices that are counted at once, each.
const MAX_COUNTED: usize = 100_000;

/// What was generated lately. One for the life of a process: a reload forgets nothing.
pub struct GenerationCounts {
    by_address: Windows<std::net::IpAddr>,
    by_device: Windows<[u8; 32]>,
    overall: Windows<()>,
}

impl Default for GenerationCounts {
    fn default() -> Self {
        Self {
            by_address: Windows::new(MAX_COUNTED),
            by_device: Windows::new(MAX_COUNTED),
            overall: Windows::new(1),
        }
    }
}

/// A token was made.
#[derive(Debug)]
pub struct Generated {
    /// The token and its device.
    pub issued: Issued,
    /// When it was made.
    pub issued_at: UnixMillis,
    /// The last instant at which it is good.
    pub expires_at: UnixMillis,
}

/// Why no token was made.
#[derive(Debug)]
pub enum NotGenerated {
    /// The identifier has fewer characters than this.
    TooShort(usize),
    /// It has more than this.
    TooLong(usize),
    /// It is no UUID.
    NoUuid,
    /// Somebody had his share. Seconds until the next window.
    Throttled(u32),
    /// The caller's credential was refused.
    TurnedAway(TurnedAway),
    /// The caller is somebody else, or its credential is restricted in a way that the token could not carry.
    NotForThisCaller,
    /// No such device is registered, or it is switched off.
    NoSuchDevice,
    /// It could not be made.
    Failed(AccountsError),
}

impl From<AccountsError> for NotGenerated {
    fn from(error: AccountsError) -> Self {
        match error {
            // Switched off.
            AccountsError::Conflict(_) => Self::NoSuchDevice,
            other => Self::Failed(other),
        }
    }
}

/// What a token is worth.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Validity {
    /// It is good.
    Good {
        /// The device's stable id.
        device: PrincipalId,
        /// When it was made.
        issued_at: UnixMillis,
        /// The last instant at which it is good.
        expires_at: UnixMillis,
    },
    /// It is not, whatever the reason.
    Bad,
    /// That cannot be said at the moment.
    Unknown,
}

/// Makes device tokens for devices, and says what they are worth.
pub struct DeviceTokens {
    accounts: Arc<Accounts>,
    callers: Callers,
    counts: Arc<GenerationCounts>,
    settings: GenerationSettings,
}

/// What the token to be made may carry.
#[derive(Default)]
struct Carries {
    tenant: Option<TenantId>,
    scopes: ScopeSet,
}

impl DeviceTokens {
    /// Makes them like this.
    pub fn new(
        accounts: Arc<Accounts>,
        callers: Callers,
        counts: Arc<GenerationCounts>,
        settings: GenerationSettings,
    ) -> Self {
        Self {
            accounts,
            callers,
            counts,
            settings,
        }
    }

    /// How they are made.
    pub fn settings(&self) -> &GenerationSettings {
        &self.settings
    }

    /// A token for the device that calls itself so.
    pub async fn generate(&self, identifier: &str, call: &Call<'_>) -> Result<Generated, NotGenerated> {
        let identifier = self.fitting(identifier)?;
        let now = self.callers.clock().now();
        let GenerationLimits {
            window, per_address, ..
        } = self.settings.limits;
        let by_address = &self.counts.by_address;
        let share = by_address.take(call.from.throttle_key(), per_address, window, now.mono);
        self.granted(share, ThrottledBy::IssuesPerAddress)?;
        let digest = crypto::sha256(identifier.as_bytes());
        let device = super::principals::device_id(identifier)?;
        let carries = match self.settings.mode {
            GenerationMode::Open => Carries::default(),
            GenerationMode::Registered => self.registered(&device).await?,
            GenerationMode::Credential => self.vouched_for(&device, call).await?,
        };
        self.share_of(digest, now.mono)?;
        let new = NewSealedToken {
            identifier: identifier.to_owned(),
            form: self.settings.form,
            tenant: carries.tenant,
            scopes: carries.scopes,
        };
        let actor = match self.settings.mode {
            GenerationMode::Credential => {
                Actor::principal(&device, call.from, ScopeSet::nothing(), Reach::Installation)
            }
            GenerationMode::Open | GenerationMode::Registered => Actor::unproven(call.from),
        };
        let issued = self.accounts.issue_sealed_at(new, now.wall, &actor).await?;
        Ok(Generated {
            issued_at: now.wall,
            expires_at: issued.expires_at.unwrap_or(now.wall),
            issued,
        })
    }

    /// The identifier as it is hashed.
    fn fitting<'a>(&self, identifier: &'a str) -> Result<&'a str, NotGenerated> {
        let identifier = trimmed(identifier);
        let GenerationSettings {
            min_chars, max_chars, ..
        } = self.settings;
        let chars = identifier.chars().count();
        if chars < min_chars {
            return Err(NotGenerated::TooShort(min_chars));
        }
        if chars > max_chars {
            return Err(NotGenerated::TooLong(max_chars));
        }
        match self.settings.identifier {
            IdentifierForm::Uuid if !is_uuid(identifier) => Err(NotGenerated::NoUuid),
            IdentifierForm::Any | IdentifierForm::Uuid => Ok(identifier),
        }
    }

    /// The device's share, then everybody's: asked last, so that a stranger cannot use up what is another's.
    fn share_of(&self, device: [u8; 32], now: MonoMillis) -> Result<(), NotGenerated> {
        let GenerationLimits {
            window,
            per_device,
            overall,
            ..
        } = self.settings.limits;
        let share = self.counts.by_device.take(device, per_device, window, now);
        self.granted(share, ThrottledBy::IssuesPerDevice)?;
        let share = self.counts.overall.take((), overall, window, now);
        self.granted(share, ThrottledBy::IssuesOverall)
    }

    fn granted(&self, share: Result<(), u64>, by: ThrottledBy) -> Result<(), NotGenerated> {
        share.map_err(|left_ms| {
            self.callers.metrics().throttle_refused.inc(by);
            let seconds = u32::try_from(left_ms.div_ceil(1000)).unwrap_or(u32::MAX);
            NotGenerated::Throttled(seconds.max(1))
        })
    }

    /// A device that somebody registered, with its tenant where the form can carry one.
    async fn registered(&self, device: &PrincipalId) -> Result<Carries, NotGenerated> {
        // Whoever asks, it is looked for everywhere: the mode says who may ask.
        let us = Actor::system();
        let rows = self.accounts.rows(&us);
        let found = rows.principal(device).await?;
        let found = found.filter(|p| p.kind == PrincipalKind::Device && p.enabled == Enabled::Yes);
        let found = found.ok_or(NotGenerated::NoSuchDevice)?;
        if let Some(tenant) = &found.tenant {
            let tenant = rows.tenant(tenant).await?;
            tenant
                .filter(|t| t.enabled == Enabled::Yes)
                .ok_or(NotGenerated::NoSuchDevice)?;
        }
        if let Some(customer) = &found.customer {
            let customer = rows.customer(customer).await?;
            customer
                .filter(|c| c.enabled == Enabled::Yes)
                .ok_or(NotGenerated::NoSuchDevice)?;
        }
        Ok(match self.settings.form {
            SealedForm::Compatible => Carries::default(),
            SealedForm::Own => Carries {
                tenant: found.tenant,
                scopes: ScopeSet::default(),
            },
        })
    }

    /// A caller that proves to be this device. The new token never grants more than the credential it was
    /// made with.
    async fn vouched_for(&self, device: &PrincipalId, call: &Call<'_>) -> Result<Carries, NotGenerated> {
        self.accounts.read_revocations().await?;
        let caller = self.callers.of(call).await.map_err(NotGenerated::TurnedAway)?;
        let identity = caller.identity();
        if identity.principal_kind != PrincipalKind::Device || identity.principal != *device {
            return Err(NotGenerated::NotForThisCaller);
        }
        carried_by(&caller, self.settings.form).ok_or(NotGenerated::NotForThisCaller)
    }

    /// What a token is worth now.
    pub async fn validate(&self, token: &str, from: ClientIp) -> Validity {
        let verdict = self.callers.sealed_token(token, from).await;
        let identity = match &verdict {
            Ok(authenticated) => authenticated.identity(),
            Err(rejection) if rejection.blame == Blame::Ours => return Validity::Unknown,
            Err(_) => return Validity::Bad,
        };
        match (&identity.device_id, identity.issued_at, identity.expires_at) {
            (Some(device), Some(issued_at), Some(expires_at)) => Validity::Good {
                device: device.clone(),
                issued_at,
                expires_at,
            },
            _ => Validity::Unknown,
        }
    }
}

/// What of a credential a token of this form can carry; `None` when something would be lost, and the token
/// be worth more than what it was made with.
fn carried_by(caller: &Authenticated, form: SealedForm) -> Option<Carries> {
    let (identity, rules) = (caller.identity(), caller.rules());
    let plain = identity.permission == Permission::Full
        && rules.networks.is_empty()
        && rules.transport == Transport::Any;
    if !plain {
        return None;
    }
    match form {
        // The upstream is told no tenant of a compatible token, which takes nothing away from anybody.
        SealedForm::Compatible => identity.scopes.is_empty().then(Carries::default),
        SealedForm::Own => Some(Carries {
            tenant: identity.tenant.clone(),
            scopes: identity.scopes.clone(),
        }),
    }
}

/// 8-4-4-4-12 hexadecimal letters.
fn is_uuid(text: &str) -> bool {
    text.len() == 36
        && text.bytes().enumerate().all(|(i, b)| match i {
            8 | 13 | 18 | 23 => b == b'-',
            _ => b.is_ascii_hexdigit(),
        })
}
