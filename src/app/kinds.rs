//! The credential kinds as one configuration has them: what verifies, and what credentials are made with.
//!
//! Built at the start, and again by a reload beside the ones in force: a kind whose settings stayed the same
//! stays as it is, verdicts and fetched keys included.

use std::sync::Arc;

use anyhow::Context;

use super::convert;
use super::rooms::Ground;
use crate::accounts::{self, Issuers};
use crate::authn::kinds::{api_token, basic, device_token, jwt, sealed_device_token};
use crate::authn::{Verdicts, Verifier, Verifiers};
use crate::config::{Changes, Settings};
use crate::domain::identity::CredentialKind;

/// The credential kinds.
pub struct Kinds {
    /// Who verifies what.
    pub verifiers: Arc<Verifiers>,
    /// The one of JWTs, for the age of fetched keys.
    pub jwt: Arc<jwt::JwtVerifier>,
    sealed: Arc<sealed_device_token::Settings>,
}

impl Kinds {
    /// The first ones.
    pub(super) fn build(settings: &Settings, ground: &Ground) -> anyhow::Result<Self> {
        let sealed = Arc::new(convert::sealed_device_token(settings, &ground.keys));
        let jwt_settings = convert::jwt(settings, &ground.keys, ground.open_as);
        let (clock, tasks, metrics) = (&ground.clock, &ground.tasks, &ground.metrics);
        let jwt = jwt::JwtVerifier::start(&jwt_settings, clock, tasks, metrics);
        let jwt = Arc::new(jwt.context("credentials.jwt.issuers")?);
        let verifiers: [Arc<dyn Verifier>; 5] = [
            sealed_tokens(&sealed),
            device_tokens(settings, ground),
            api_tokens(settings, ground),
            Arc::clone(&jwt) as Arc<dyn Verifier>,
            passwords(settings, ground)?,
        ];
        Ok(Self {
            verifiers: Arc::new(Verifiers::new(verifiers)),
            jwt,
            sealed,
        })
    }

    /// The next ones, where something of theirs changed.
    pub(super) fn succeeded_by(
        &self,
        settings: &Settings,
        changes: &Changes,
        ground: &Ground,
    ) -> anyhow::Result<Self> {
        let mut next = Self {
            verifiers: Arc::clone(&self.verifiers),
            jwt: Arc::clone(&self.jwt),
            sealed: Arc::clone(&self.sealed),
        };
        if !changes.touch("credentials") {
            return Ok(next);
        }
        if changes.touch("credentials.jwt") {
            let jwt_settings = convert::jwt(settings, &ground.keys, ground.open_as);
            let (clock, tasks, metrics) = (&ground.clock, &ground.tasks, &ground.metrics);
            let jwt = self.jwt.succeeded_by(&jwt_settings, clock, tasks, metrics);
            next.jwt = Arc::new(jwt.context("credentials.jwt.issuers")?);
        }
        if changes.touch("credentials.sealed_device_token") {
            next.sealed = Arc::new(convert::sealed_device_token(settings, &ground.keys));
        }
        let mut verifiers = Vec::new();
        for verifier in self.verifiers.iter() {
            verifiers.push(match verifier.kind() {
                CredentialKind::Jwt if changes.touch("credentials.jwt") => {
                    (Arc::clone(&next.jwt) as Arc<dyn Verifier>, Verdicts::Void)
                }
                CredentialKind::SealedDeviceToken if changes.touch("credentials.sealed_device_token") => {
                    (sealed_tokens(&next.sealed), Verdicts::Void)
                }
                // A credential that was taken out of the file is good no more, and nothing else tells so.
                CredentialKind::DeviceToken if changes.touch("credentials.file") => {
                    (device_tokens(settings, ground), Verdicts::Void)
                }
                CredentialKind::ApiToken if changes.touch("credentials.file") => {
                    (api_tokens(settings, ground), Verdicts::Void)
                }
                CredentialKind::Basic if changes.touch("credentials.file") => {
                    (passwords(settings, ground)?, Verdicts::Void)
                }
                CredentialKind::ApiToken if changes.touch("credentials.api_token") => {
                    (api_tokens(settings, ground), Verdicts::Void)
                }
                // What was found about a password rests on its row alone, and is dear to find again.
                CredentialKind::Basic if changes.touch("credentials.basic") => {
                    (passwords(settings, ground)?, Verdicts::Kept)
                }
                _ => (Arc::clone(verifier), Verdicts::Kept),
            });
        }
        next.verifiers = Arc::new(self.verifiers.succeeded_by(verifiers));
        Ok(next)
    }

    /// The same for the use cases.
    pub(super) fn for_accounts(&self, settings: &Settings, ground: &Ground) -> accounts::Kinds {
        let issuers = convert::jwt(settings, &ground.keys, ground.open_as).issuers;
        accounts::Kinds {
            issuers: Issuers {
                sealed_device_token: Arc::clone(&self.sealed),
                device_token: settings.credentials.device_token_form,
                api_token: settings.credentials.api_token.clone(),
                basic: settings.credentials.basic.clone(),
                access_token: issuers.iter().find_map(jwt::AccessTokenIssuer::new),
            },
            verifiers: Arc::clone(&self.verifiers),
        }
    }
}

fn sealed_tokens(settings: &Arc<sealed_device_token::Settings>) -> Arc<dyn Verifier> {
    Arc::new(sealed_device_token::SealedDeviceTokens::new(Arc::clone(settings)))
}

fn api_tokens(settings: &Settings, ground: &Ground) -> Arc<dyn Verifier> {
    let tokens = api_token::ApiTokens::new(
        Arc::new(settings.credentials.api_token.clone()),
        ground.store.clone(),
        ground.keys.lookup.clone(),
        ground.slow_pool.clone(),
    );
    Arc::new(tokens.with_file(Arc::clone(&settings.credentials.file)))
}

fn device_tokens(settings: &Settings, ground: &Ground) -> Arc<dyn Verifier> {
    let tokens = device_token::DeviceTokens::new(ground.store.clone(), ground.keys.lookup.clone());
    Arc::new(tokens.with_file(Arc::clone(&settings.credentials.file)))
}

fn passwords(settings: &Settings, ground: &Ground) -> anyhow::Result<Arc<dyn Verifier>> {
    let (store, pool) = (ground.store.clone(), ground.slow_pool.clone());
    let passwords = basic::BasicPasswords::new(&settings.credentials.basic, store, pool)?;
    Ok(Arc::new(
        passwords.with_file(Arc::clone(&settings.credentials.file)),
    ))
}
