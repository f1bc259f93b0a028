//! What the holder of an API token can do with its own tokens: replace the one presented, list them, end
//! another. The holder is whoever presents a good one; another principal's do not exist to it.

use std::sync::Arc;
use std::time::Duration;

use super::actor::{Actor, Reach};
use super::callers::{Call, Callers, TurnedAway};
use super::error::AccountsError;
use super::{Accounts, CredentialFilter, CredentialState, Issued, Page};
use crate::authn::Authenticated;
use crate::domain::clock::UnixMillis;
use crate::domain::identity::CredentialKind;
use crate::domain::ids::CredentialId;
use crate::domain::reason::Reason;
use crate::domain::scope::MethodClass;
use crate::store::CredentialRecord;

/// Most tokens that are listed.
const MAX_LISTED: u32 = 200;

/// A token of the caller's.
#[derive(Debug, Clone)]
pub struct OwnToken {
    /// Its row.
    pub record: CredentialRecord,
    /// When it was last used, as far as it is written already.
    pub last_used_at: Option<UnixMillis>,
    /// Whether it is the one presented.
    pub place: TokenPlace,
}

/// Which of its tokens a caller presents.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TokenPlace {
    /// This one.
    Presented,
    /// Another one.
    Elsewhere,
}

/// Why nothing was done.
#[derive(Debug)]
pub enum NotDone {
    /// The caller's credential was refused.
    TurnedAway(TurnedAway),
    /// The caller's credential may not do this.
    NotAllowed,
    /// The caller has no such token.
    NoSuchToken,
    /// It is the one presented.
    Presented,
    /// It failed.
    Failed(AccountsError),
}

impl From<AccountsError> for NotDone {
    fn from(error: AccountsError) -> Self {
        Self::Failed(error)
    }
}

/// The use cases.
pub struct OwnTokens {
    accounts: Arc<Accounts>,
    callers: Callers,
    /// How long a token lives that replaces another one.
    lifetime: Duration,
}

impl OwnTokens {
    /// Replacements live so long.
    pub fn new(accounts: Arc<Accounts>, callers: Callers, lifetime: Duration) -> Self {
        Self {
            accounts,
            callers,
            lifetime,
        }
    }

    /// A new token in the place of the one presented, which is dead when this returns. It may do the same. Of two
    /// callers with one token one gets a new one.
    pub async fn refresh(&self, call: &Call<'_>) -> Result<Issued, NotDone> {
        let caller = self.caller(call).await?;
        let identity = caller.identity();
        let actor = actor(&caller, call);
        let until = self.accounts.now().plus(self.lifetime);
        let renewed = self
            .accounts
            .renew_credential(&identity.credential, Some(until), &actor)
            .await;
        renewed.map_err(|error| match error {
            // Somebody was faster, or ended it.
            AccountsError::Conflict(_) | AccountsError::NotFound { .. } => NotDone::TurnedAway(TurnedAway {
                reason: Reason::CredentialRevoked,
                presented: Some(CredentialKind::ApiToken),
                retry_after_secs: None,
            }),
            other => NotDone::Failed(other),
        })
    }

    /// The caller's living tokens, the last used first.
    pub async fn list(&self, call: &Call<'_>) -> Result<Vec<OwnToken>, NotDone> {
        let caller = self.caller(call).await?;
        must_permit(&caller, MethodClass::Read)?;
        let filter = CredentialFilter {
            kind: Some(CredentialKind::ApiToken),
            principal: Some(caller.identity().principal.clone()),
            state: Some((CredentialState::Active, self.accounts.now())),
            ..CredentialFilter::default()
        };
        let actor = actor(&caller, call);
        let rows = self.accounts.rows(&actor);
        let listed = rows.list_credentials(&filter, &Page::first(MAX_LISTED)).await?;
        let mut tokens = Vec::with_capacity(listed.len());
        for listed in listed {
            // Gone meanwhile.
            let Some(found) = rows.credential(&listed.id).await? else {
                continue;
            };
            let usage = rows.usage(&found).await?;
            tokens.push(OwnToken {
                place: place(&listed.id, &caller),
                last_used_at: usage.map(|u| u.last_used_at),
                record: found.credential,
            });
        }
        tokens.sort_by_key(|t| std::cmp::Reverse(t.last_used_at));
        Ok(tokens)
    }

    /// Ends another token of the caller's.
    pub async fn end(&self, id: &str, call: &Call<'_>) -> Result<(), NotDone> {
        let caller = self.caller(call).await?;
        must_permit(&caller, MethodClass::Delete)?;
        let id = CredentialId::parse(id).map_err(|_| NotDone::NoSuchToken)?;
        let actor = actor(&caller, call);
        let found = self.accounts.rows(&actor).credential(&id).await?;
        let identity = caller.identity();
        let own = found.is_some_and(|f| {
            f.credential.kind == CredentialKind::ApiToken && f.credential.principal == identity.principal
        });
        if !own {
            return Err(NotDone::NoSuchToken);
        }
        if place(&id, &caller) == TokenPlace::Presented {
            return Err(NotDone::Presented);
        }
        self.accounts.revoke_credential(&id, &actor).await?;
        Ok(())
    }

    async fn caller(&self, call: &Call<'_>) -> Result<Authenticated, NotDone> {
        let caller = self.callers.of(call).await.map_err(NotDone::TurnedAway)?;
        match caller.identity().credential_kind {
            CredentialKind::ApiToken => Ok(caller),
            other => Err(NotDone::TurnedAway(TurnedAway {
                reason: Reason::KindNotAccepted,
                presented: Some(other),
                retry_after_secs: None,
            })),
        }
    }
}

/// The caller, as the trail names it. What it reaches is said above: its own tokens.
fn actor(caller: &Authenticated, call: &Call<'_>) -> Actor {
    let identity = caller.identity();
    let scopes = identity.scopes.clone();
    Actor::principal(&identity.principal, call.from, scopes, Reach::Installation)
}

fn place(id: &CredentialId, caller: &Authenticated) -> TokenPlace {
    match *id == caller.identity().credential {
        true => TokenPlace::Presented,
        false => TokenPlace::Elsewhere,
    }
}

fn must_permit(caller: &Authenticated, method: MethodClass) -> Result<(), NotDone> {
    let identity = caller.identity();
    match identity.permission.allows_method(method) && identity.scopes.allows_method(method) {
        true => Ok(()),
        false => Err(NotDone::NotAllowed),
    }
}
