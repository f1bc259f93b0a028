//! What a token is worth and the end of one, for another program that was given it (RFC 7662, RFC 7009).
//!
//! The program is a client: a service account that proves a credential of its own which bears the scope
//! `introspect` or `revoke`, spelled out; a credential without scopes, however mighty, bears neither. A client of a
//! tenant sees that tenant's tokens alone: any other is to it as if it did not exist. Tokens are verified as at
//! the gate. Whether their own rules (networks, HTTPS) hold is told, not applied: only the program knows who
//! presented the token to it.

use std::sync::Arc;

use super::Accounts;
use super::actor::{Actor, Reach};
use super::callers::{Call, Callers, TurnedAway};
use super::error::AccountsError;
use crate::authn::Authenticated;
use crate::authn::verifier::Blame;
use crate::domain::identity::{CredentialKind, Identity, PrincipalKind};
use crate::domain::reason::Reason;
use crate::domain::scope::Scope;

/// How a client proves itself.
#[derive(Clone, Copy)]
pub enum ClientProof<'a> {
    /// A name with a secret: a user name with its password, or an API token with the id of its principal.
    Secret {
        /// The name.
        id: &'a str,
        /// The secret.
        secret: &'a str,
    },
    /// A credential in the call's header fields.
    Presented,
}

/// Why a client got no answer.
#[derive(Debug)]
pub enum NotAnswered {
    /// It did not prove itself.
    TurnedAway(TurnedAway),
    /// It may not ask for this.
    NotAllowed,
    /// Nobody can say at the moment. Seconds after which trying again makes sense.
    NotNow(u32),
}

/// Tells clients what tokens are worth, and ends tokens for them.
pub struct TokenClients {
    accounts: Arc<Accounts>,
    callers: Callers,
}

/// What a client may ask for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Wanted {
    Introspect,
    Revoke,
}

impl Wanted {
    fn scope(self) -> &'static str {
        match self {
            Self::Introspect => "introspect",
            Self::Revoke => "revoke",
        }
    }
}

impl TokenClients {
    /// With these use cases below.
    pub fn new(accounts: Arc<Accounts>, callers: Callers) -> Self {
        Self { accounts, callers }
    }

    /// What a token is worth; `None`: nothing, whatever the reason.
    pub async fn introspect(
        &self,
        token: &str,
        proof: ClientProof<'_>,
        call: &Call<'_>,
    ) -> Result<Option<Authenticated>, NotAnswered> {
        let client = self.client(proof, call, Wanted::Introspect).await?;
        self.seen_by(&client, token, call).await
    }

    /// Ends a token; nothing happens when it is worth nothing to this client.
    pub async fn revoke(
        &self,
        token: &str,
        proof: ClientProof<'_>,
        call: &Call<'_>,
    ) -> Result<(), NotAnswered> {
        let client = self.client(proof, call, Wanted::Revoke).await?;
        let Some(token) = self.seen_by(&client, token, call).await? else {
            return Ok(());
        };
        let Identity {
            principal, scopes, ..
        } = client.identity();
        let actor = Actor::principal(principal, call.from, scopes.clone(), Reach::Installation);
        match self.accounts.revoke_identified(token.identity(), &actor).await {
            // Somebody else ended it meanwhile.
            Ok(_) | Err(AccountsError::Conflict(_) | AccountsError::NotFound { .. }) => Ok(()),
            Err(error) => {
                tracing::warn!(%error, "a client's revocation failed");
                Err(NotAnswered::NotNow(1))
            }
        }
    }

    async fn client(
        &self,
        proof: ClientProof<'_>,
        call: &Call<'_>,
        wanted: Wanted,
    ) -> Result<Authenticated, NotAnswered> {
        let client = match proof {
            ClientProof::Secret { id, secret } => self.callers.with_secret(id, secret, call).await,
            ClientProof::Presented => self.callers.of(call).await,
        };
        let client = client.map_err(|turned_away| match turned_away.retry_after_secs {
            Some(seconds) => NotAnswered::NotNow(seconds),
            None => NotAnswered::TurnedAway(turned_away),
        })?;
        let identity = client.identity();
        let kind = matches!(
            identity.credential_kind,
            CredentialKind::Basic | CredentialKind::ApiToken
        );
        let bears = Scope::parse(wanted.scope())
            .is_ok_and(|scope| !identity.scopes.is_empty() && identity.scopes.grants(&scope));
        if identity.principal_kind != PrincipalKind::Service || !kind || !bears {
            self.callers.metrics().reject(Reason::ScopeMissing);
            return Err(NotAnswered::NotAllowed);
        }
        Ok(client)
    }

    async fn seen_by(
        &self,
        client: &Authenticated,
        token: &str,
        call: &Call<'_>,
    ) -> Result<Option<Authenticated>, NotAnswered> {
        match self.callers.token(token, call.from).await {
            Ok(found) => Ok(self.sees(client.identity(), found.identity()).then_some(found)),
            Err(rejection) if rejection.blame == Blame::Ours => {
                Err(NotAnswered::NotNow(rejection.retry_after_secs.unwrap_or(1)))
            }
            Err(_) => Ok(None),
        }
    }

    /// Whether a token exists to this client.
    pub(super) fn sees(&self, client: &Identity, token: &Identity) -> bool {
        client.tenant.is_none() || client.tenant == token.tenant
    }
}
