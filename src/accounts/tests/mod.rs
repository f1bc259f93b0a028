//! Promises of the use cases, each against a real store and a real verifying room.

mod administrators;
mod endpoints;
mod issuing;
mod keys;
mod lifecycle;
mod parties;
mod revoking;
mod token_managers;
mod upkeep;

use super::testing::{Instance, actor};
use super::{Issued, NewAccessToken, NewCredential, NewPrincipal, PrincipalRecord, SealedForm};
use crate::domain::identity::PrincipalKind;
use crate::domain::scope::ScopeSet;

async fn device(on: &Instance, name: &str) -> PrincipalRecord {
    let new = NewPrincipal {
        external_id: Some(name.to_owned()),
        ..NewPrincipal::of(PrincipalKind::Device)
    };
    on.accounts
        .create_principal(new, &actor())
        .await
        .expect("a device")
}

async fn device_token(on: &Instance, device: &PrincipalRecord) -> Issued {
    on.accounts
        .create_device_token(
            device,
            super::DeviceTokenForm::Uuid,
            NewCredential::default(),
            &actor(),
        )
        .await
        .expect("a device token")
}

async fn api_token(on: &Instance, name: &str) -> Issued {
    let owner = on
        .accounts
        .service_account(name, &actor())
        .await
        .expect("an account");
    on.accounts
        .create_api_token(
            &owner,
            &super::ApiTokenForm::Default,
            NewCredential::default(),
            &actor(),
        )
        .await
        .expect("an API token")
}

async fn sealed(on: &Instance, identifier: &str) -> Issued {
    let new = super::NewSealedToken {
        identifier: identifier.to_owned(),
        form: SealedForm::Own,
        tenant: None,
        scopes: ScopeSet::default(),
    };
    on.accounts
        .issue_sealed(new, &actor())
        .await
        .expect("a sealed token")
}

async fn jwt(on: &Instance, owner: &PrincipalRecord) -> Issued {
    let new = NewAccessToken {
        scopes: ScopeSet::default(),
        permission: crate::domain::scope::Permission::Full,
        lifetime: std::time::Duration::from_secs(3600),
    };
    on.accounts
        .issue_access_token(owner, new, &actor())
        .await
        .expect("an access token")
}
