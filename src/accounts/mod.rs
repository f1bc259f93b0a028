//! Use cases without HTTP: principals, credentials, keys and revocations, as an administrator sees them.
//!
//! Every act names its actor and leaves an audit row in the same transaction as the act; it returns when
//! it is durable and, in this process, effective. Nobody reaches a row but through the fence around his actor. Credential formats and digests are the kinds' business
//! (`authn::kinds`), rows the store's. Called by the management door and, through it, by the command line.

mod actor;
mod administrators;
mod callers;
pub mod data_folder;
mod error;
pub mod expiry;
mod fence;
mod generation;
mod hand_over;
pub mod import;
mod introspection;
mod issuing;
mod keys;
mod lifecycle;
mod noting;
mod portable;
mod principals;
mod reading;
mod repeats;
mod revoking;
mod sealing;
mod sessions;
mod tenants;
#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;
mod token_managers;
mod upkeep;

use std::sync::Arc;

use arc_swap::ArcSwap;

use self::fence::{Fenced, Rows};

pub use self::actor::{Actor, Reach};
pub use self::administrators::Administrators;
pub use self::callers::{Call, Callers, Channel, TurnedAway};
pub use self::error::{AccountsError, Result};
pub use self::generation::{
    DeviceTokens, Generated, GenerationCounts, GenerationLimits, GenerationMode, GenerationSettings,
    IdentifierForm, NotGenerated, Validity,
};
pub use self::hand_over::{HandedOver, hand_over_administrator_token};
pub use self::introspection::{ClientProof, NotAnswered, TokenClients};
pub use self::issuing::{ApiTokenForm, Issued, NewCredential, Revealable};
pub use self::keys::{KeyHandles, KeyInfo, KeyVault, Refreshed};
pub use self::lifecycle::CredentialChange;
pub use self::principals::{DeviceName, NewPrincipal, Place, PrincipalChange};
pub use self::revoking::{Known, LookupRotation, Revoked};
pub use self::sealing::{NewAccessToken, NewSealedToken, SealedForm};
pub use self::sessions::{NotDone, OwnToken, OwnTokens, TokenPlace};
pub use self::tenants::PartyChange;
pub use self::token_managers::{Manager, Managing, NotManaged, Party, TokenManagers};
pub use self::upkeep::Schedule;
pub use crate::authn::kinds::basic::issue::Password;
pub use crate::authn::kinds::device_token::IssueForm as DeviceTokenForm;
pub use crate::store::{
    About, Aged, AuditRecord, Claimed, CredentialContext, CredentialFilter, CredentialLimits,
    CredentialOrder, CredentialRecord, CredentialState, Cursor, CustomerFilter, CustomerRecord, Enabled,
    KeyPurpose, Page, PrincipalFilter, PrincipalRecord, TenantFilter, TenantRecord, Transport, UsageRecord,
};

use crate::authn::Verifiers;
use crate::authn::kinds::{api_token, basic, jwt, sealed_device_token};
use crate::authn::revocation::RevocationIndex;
use crate::cluster::{FeedState, RevocationSink};
use crate::domain::clock::{Clock, UnixMillis};
use crate::runtime::slow_pool::SlowPool;
use crate::store::Store;
use crate::telemetry::metrics::Metrics;

/// What credentials of each kind are made with.
pub struct Issuers {
    /// Sealed device tokens.
    pub sealed_device_token: Arc<sealed_device_token::Settings>,
    /// Form of device tokens when nothing is said.
    pub device_token: DeviceTokenForm,
    /// API tokens.
    pub api_token: api_token::Settings,
    /// User names with passwords.
    pub basic: basic::Settings,
    /// Our own access tokens, when an own issuer is configured.
    pub access_token: Option<jwt::AccessTokenIssuer>,
}

/// The credential kinds as one configuration has them.
pub struct Kinds {
    /// What credentials are made with.
    pub issuers: Issuers,
    /// Verifiers of the kinds that are accepted: they name a presented credential that is to be revoked.
    pub verifiers: Arc<Verifiers>,
}

/// Called after a credential was created or enabled, so that no remembered refusal outlives it.
pub type Created = Arc<dyn Fn() + Send + Sync>;

/// What the use cases need.
pub struct Parts {
    /// The store.
    pub store: Arc<dyn Store>,
    /// Our keys.
    pub vault: KeyVault,
    /// Where revocations take effect in this process.
    pub revocations: Arc<RevocationIndex>,
    /// How far those of other processes were read.
    pub feed: Arc<FeedState>,
    /// Called after creations.
    pub created: Created,
    /// Slow digests.
    pub slow_pool: SlowPool,
    /// Counts what was issued.
    pub metrics: Arc<Metrics>,
    /// The time.
    pub clock: Clock,
}

/// Revocations read at once.
const REVOCATIONS_AT_ONCE: u32 = 1000;

/// What the use cases work with, the rows apart.
struct Means {
    vault: KeyVault,
    revocations: Arc<RevocationIndex>,
    feed: Arc<FeedState>,
    created: Created,
    slow_pool: SlowPool,
    metrics: Arc<Metrics>,
    clock: Clock,
}

/// The use cases.
pub struct Accounts {
    rows: Rows,
    parts: Means,
    kinds: ArcSwap<Kinds>,
}

impl Accounts {
    /// Puts them together.
    pub fn new(parts: Parts, kinds: Kinds) -> Self {
        Self {
            rows: Rows::new(parts.store),
            parts: Means {
                vault: parts.vault,
                revocations: parts.revocations,
                feed: parts.feed,
                created: parts.created,
                slow_pool: parts.slow_pool,
                metrics: parts.metrics,
                clock: parts.clock,
            },
            kinds: ArcSwap::from_pointee(kinds),
        }
    }

    /// Makes and names credentials by these from now on.
    pub fn replace_kinds(&self, kinds: Kinds) {
        self.kinds.store(Arc::new(kinds));
    }

    fn kinds(&self) -> Arc<Kinds> {
        self.kinds.load_full()
    }

    /// What this actor may see and change: the one way to the rows.
    fn rows<'a>(&'a self, actor: &'a Actor) -> Fenced<'a> {
        self.rows.fenced(actor)
    }

    /// The present, as the use cases see it.
    pub fn now(&self) -> UnixMillis {
        self.parts.clock.now().wall
    }

    /// The form of device tokens when nothing is said.
    pub fn device_token_form(&self) -> DeviceTokenForm {
        self.kinds().issuers.device_token
    }

    /// Our keys.
    pub fn vault(&self) -> &KeyVault {
        &self.parts.vault
    }

    /// Lets every revocation that is stored by now hold in this process, not only those that its feed has read:
    /// for whoever is about to make something out of a credential that may have been revoked elsewhere.
    pub(crate) async fn read_revocations(&self) -> Result<()> {
        let mut from = self.parts.feed.position();
        loop {
            let rows = self.rows.revocations_after(from, REVOCATIONS_AT_ONCE).await?;
            for row in &rows {
                RevocationIndex::apply(&self.parts.revocations, row);
                from = row.seq;
            }
            if rows.len() < REVOCATIONS_AT_ONCE as usize {
                return Ok(());
            }
        }
    }

    /// Puts keys in place that another process rotated, and lets remembered verdicts be made again then.
    pub async fn refresh_keys(&self) -> Result<Refreshed> {
        let refreshed = self.parts.vault.refresh().await?;
        if refreshed == Refreshed::Replaced {
            self.parts.revocations.void_all();
        }
        Ok(refreshed)
    }
}
