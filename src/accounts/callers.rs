//! Who calls one of the public auth endpoints: asked of the same room, with the same cache, throttle and
//! revocation, as any proxied request's credential.
//!
//! A caller is held to its credential's own rules (networks, HTTPS). What it may do is each use case's
//! business. Also answers what somebody else's token is worth, for introspection: that is no use of it, so
//! its rules are told and not applied.

use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::HeaderMap;
use zeroize::Zeroizing;

use super::Transport;
use crate::authn::extract::{Shapes, extract};
use crate::authn::presented::{Carrier, CarrierRules, MAX_CREDENTIAL_BYTES, Presented};
use crate::authn::proof::DeviceProofs;
use crate::authn::{Authenticated, Authn, Recall, Rejection};
use crate::domain::clock::Clock;
use crate::domain::identity::CredentialKind;
use crate::domain::net::ClientIp;
use crate::domain::reason::Reason;
use crate::telemetry::Metrics;

/// Whether what a caller sends can be read on the way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Channel {
    /// The whole way was encrypted.
    Encrypted,
    /// It was not, or nobody can say.
    Open,
}

/// How somebody calls.
#[derive(Debug, Clone, Copy)]
pub struct Call<'a> {
    /// All header fields.
    pub headers: &'a HeaderMap,
    /// The effective client.
    pub from: ClientIp,
    /// How it came.
    pub channel: Channel,
}

/// A caller that was not let in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TurnedAway {
    /// Why.
    pub reason: Reason,
    /// What was presented, if anything was recognized.
    pub presented: Option<CredentialKind>,
    /// Seconds after which trying again makes sense.
    pub retry_after_secs: Option<u32>,
}

impl TurnedAway {
    fn before_anything(reason: Reason) -> Self {
        Self {
            reason,
            presented: None,
            retry_after_secs: None,
        }
    }
}

/// Finds out who calls.
pub struct Callers {
    authn: Arc<Authn>,
    shapes: Shapes,
    clock: Clock,
    metrics: Arc<Metrics>,
    proofs: Option<Arc<DeviceProofs>>,
}

impl Callers {
    /// Asks this room, telling credentials by these shapes.
    pub fn new(authn: Arc<Authn>, shapes: Shapes, clock: Clock, metrics: Arc<Metrics>) -> Self {
        Self {
            authn,
            shapes,
            clock,
            metrics,
            proofs: None,
        }
    }

    /// The same, to whom a sealed device token is worth nothing without its proof of possession.
    #[must_use]
    pub fn wanting(self, proofs: Option<Arc<DeviceProofs>>) -> Self {
        Self { proofs, ..self }
    }

    /// The time.
    pub(super) fn clock(&self) -> &Clock {
        &self.clock
    }

    /// Where refusals are counted.
    pub(super) fn metrics(&self) -> &Metrics {
        &self.metrics
    }

    /// Whoever presents a credential in one of the usual header fields.
    pub async fn of(&self, call: &Call<'_>) -> Result<Authenticated, TurnedAway> {
        let found = extract(call.headers, None, "/", &CarrierRules::default(), &self.shapes);
        let caller = match found {
            Ok(Some(presented)) => match self.presenting(&presented, call).await {
                Ok(caller) => self.proving(caller, &presented, call).await,
                turned_away => turned_away,
            },
            Ok(None) => Err(TurnedAway::before_anything(Reason::CredentialMissing)),
            Err(reason) => Err(TurnedAway::before_anything(reason)),
        };
        if let Err(turned_away) = &caller {
            self.metrics.reject(turned_away.reason);
        }
        caller
    }

    /// The same caller, once it has proved to be no mere listener, where that is wanted.
    async fn proving(
        &self,
        caller: Authenticated,
        presented: &Presented<'_>,
        call: &Call<'_>,
    ) -> Result<Authenticated, TurnedAway> {
        let Some(proofs) = &self.proofs else {
            return Ok(caller);
        };
        let credential = &caller.identity().credential;
        let now = self.clock.now();
        let proved = proofs.check(call.headers, presented, credential, now).await;
        proved.map_err(|rejection| TurnedAway {
            reason: rejection.reason,
            presented: Some(presented.kind),
            retry_after_secs: rejection.retry_after_secs,
        })?;
        Ok(caller)
    }

    /// Whoever presents this very credential.
    async fn presenting(
        &self,
        presented: &Presented<'_>,
        call: &Call<'_>,
    ) -> Result<Authenticated, TurnedAway> {
        let turned_away = |reason, retry_after_secs| TurnedAway {
            reason,
            presented: Some(presented.kind),
            retry_after_secs,
        };
        let verdict = self.verdict(presented, call.from).await;
        let caller = verdict.map_err(|r| turned_away(r.reason, r.retry_after_secs))?;
        let rules = caller.rules();
        if !rules.networks.is_empty() && !rules.networks.contains(call.from.ip()) {
            return Err(turned_away(Reason::CredentialAddressDenied, None));
        }
        if rules.transport == Transport::HttpsOnly && call.channel != Channel::Encrypted {
            return Err(turned_away(Reason::HttpsRequired, None));
        }
        caller.used(self.clock.now().wall, call.from, None);
        Ok(caller)
    }

    /// What a credential is worth now, whoever holds it.
    async fn verdict(&self, presented: &Presented<'_>, from: ClientIp) -> Result<Authenticated, Rejection> {
        let now = self.clock.now();
        match self.authn.recall(&self.authn.verifiers(), presented, from, now) {
            Recall::Decided(answer) => answer,
            Recall::Ask(question) => {
                let presented = (*presented).to_owned();
                self.authn.look_up(question, presented, from, now).await
            }
        }
    }

    /// What a sealed device token is worth now.
    pub async fn sealed_token(&self, token: &str, from: ClientIp) -> Result<Authenticated, Rejection> {
        let presented = Presented {
            carrier: Carrier::AuthorizationDevice,
            kind: CredentialKind::SealedDeviceToken,
            credential: token.as_bytes(),
        };
        self.verdict(&presented, from).await
    }

    /// Whoever knows this secret: the password of this user name, or an API token that belongs to the principal
    /// of this id.
    pub async fn with_secret(
        &self,
        id: &str,
        secret: &str,
        call: &Call<'_>,
    ) -> Result<Authenticated, TurnedAway> {
        let caller = match self.shapes.api_token(secret.as_bytes()) {
            Some(kind) => {
                let presented = Presented {
                    carrier: Carrier::AuthorizationBearer,
                    kind,
                    credential: secret.as_bytes(),
                };
                self.presenting(&presented, call).await.and_then(|caller| {
                    let named = caller.identity().principal.as_str() == id;
                    named.then_some(caller).ok_or(TurnedAway {
                        reason: Reason::CredentialInvalid,
                        presented: Some(kind),
                        retry_after_secs: None,
                    })
                })
            }
            None => {
                let encoded =
                    Zeroizing::new(STANDARD.encode(Zeroizing::new(format!("{id}:{secret}")).as_bytes()));
                let presented = Presented {
                    carrier: Carrier::AuthorizationBasic,
                    kind: CredentialKind::Basic,
                    credential: encoded.as_bytes(),
                };
                self.presenting(&presented, call).await
            }
        };
        if let Err(turned_away) = &caller {
            self.metrics.reject(turned_away.reason);
        }
        caller
    }

    /// What any token is worth now.
    pub async fn token(&self, token: &str, from: ClientIp) -> Result<Authenticated, Rejection> {
        let fits = token.len() <= MAX_CREDENTIAL_BYTES && token.bytes().all(|b| b.is_ascii_graphic());
        if !fits || token.is_empty() {
            return Err(Rejection::caller(Reason::CredentialMalformed));
        }
        // Told by arithmetic alone: what is no sealed token is dismissed at once.
        match self.sealed_token(token, from).await {
            Err(rejection)
                if matches!(
                    rejection.reason,
                    Reason::CredentialMalformed | Reason::CredentialInvalid
                ) => {}
            verdict => return verdict,
        }
        let kind = self.shapes.any(token.as_bytes());
        let presented = Presented {
            carrier: match kind {
                CredentialKind::DeviceToken => Carrier::DeviceToken,
                _ => Carrier::AuthorizationBearer,
            },
            kind,
            credential: token.as_bytes(),
        };
        self.verdict(&presented, from).await
    }
}
