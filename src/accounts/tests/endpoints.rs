//! Promises of the use cases behind the public auth endpoints that need two processes, or tenants.

use std::sync::Arc;
use std::time::Duration;

use http::HeaderMap;

use super::super::testing::{Folder, Instance, actor, client};
use super::super::{
    Call, Callers, Channel, ClientProof, DeviceTokens, GenerationCounts, GenerationLimits, GenerationMode,
    GenerationSettings, IdentifierForm, NewSealedToken, NotGenerated, SealedForm, TokenClients, Validity,
};
use super::{api_token, device, device_token};
use crate::authn::extract::{HexTokens, Shapes};
use crate::authn::testing::identity;
use crate::domain::clock::Clock;
use crate::domain::identity::CredentialKind;
use crate::domain::ids::TenantId;
use crate::domain::scope::ScopeSet;
use crate::store::sqlite::OpenAs;

fn callers(on: &Instance) -> Callers {
    let shapes = Shapes::new(["dw"], HexTokens::ApiToken);
    let clock = Clock::Manual(on.clock.clone());
    Callers::new(Arc::clone(&on.authn), shapes, clock, Arc::clone(&on.metrics))
}

fn tokens(on: &Instance) -> DeviceTokens {
    let settings = GenerationSettings {
        mode: GenerationMode::Credential,
        form: SealedForm::Own,
        min_chars: 8,
        max_chars: 255,
        identifier: IdentifierForm::Any,
        limits: GenerationLimits {
            window: Duration::from_secs(60),
            per_address: 100,
            per_device: 100,
            overall: 100,
        },
    };
    let counts = Arc::new(GenerationCounts::default());
    DeviceTokens::new(Arc::clone(&on.accounts), callers(on), counts, settings)
}

fn headers(name: &'static str, value: &str) -> HeaderMap {
    let mut headers = HeaderMap::new();
    headers.insert(name, value.parse().expect("a value"));
    headers
}

fn call(headers: &HeaderMap) -> Call<'_> {
    Call {
        headers,
        from: client(),
        channel: Channel::Open,
    }
}

#[tokio::test]
async fn a_revocation_in_another_process_outlives_a_refresh() {
    let folder = Folder::new();
    let server = Instance::on(&folder, OpenAs::Server).await;
    let tool = Instance::on(&folder, OpenAs::Tool).await;
    let owner = device(&server, "meter-0001").await;
    let first = device_token(&server, &owner).await;
    let tokens = tokens(&server);
    let presented = headers("device-token", first.secret.expose());
    let made = tokens
        .generate("meter-0001", &call(&presented))
        .await
        .expect("made");
    let sealed = headers(
        "authorization",
        &format!("Device {}", made.issued.secret.expose()),
    );
    tokens
        .generate("meter-0001", &call(&sealed))
        .await
        .expect("a refresh");

    // The server's feed has not read it yet.
    tool.accounts
        .revoke_device("meter-0001", &actor())
        .await
        .expect("revoked");
    server.clock.advance(Duration::from_secs(1));
    for (presented, why) in [
        (&sealed, "the sealed token"),
        (&presented, "the one it was made with"),
    ] {
        let refused = tokens.generate("meter-0001", &call(presented)).await;
        assert!(
            matches!(refused, Err(NotGenerated::TurnedAway(_))),
            "{why}: {refused:?}"
        );
    }
    let verdict = tokens.validate(made.issued.secret.expose(), client()).await;
    assert_eq!(verdict, Validity::Bad, "and it is known from then on");
}

#[tokio::test]
async fn a_token_made_at_an_instant_is_ended_by_a_revocation_of_that_instant() {
    let folder = Folder::new();
    let server = Instance::on(&folder, OpenAs::Server).await;
    let began = server.accounts.now();
    // What a revocation does that comes after the caller was found good, and before the token is sealed.
    server.clock.advance(Duration::from_secs(1));
    server
        .accounts
        .revoke_device("meter-0001", &actor())
        .await
        .expect("revoked");
    let new = NewSealedToken {
        identifier: "meter-0001".to_owned(),
        form: SealedForm::Own,
        tenant: None,
        scopes: ScopeSet::default(),
    };
    let issued = server
        .accounts
        .issue_sealed_at(new, began, &actor())
        .await
        .expect("sealed");
    let presented = server
        .present(CredentialKind::SealedDeviceToken, issued.secret.expose())
        .await;
    assert!(presented.is_err(), "it says when its making began");
}

#[tokio::test]
async fn a_tenants_client_sees_its_own_tokens_alone() {
    let folder = Folder::new();
    let server = Instance::on(&folder, OpenAs::Server).await;
    let clients = TokenClients::new(Arc::clone(&server.accounts), callers(&server));
    let of = |tenant: Option<&str>| identity(CredentialKind::ApiToken, "c", "p", tenant);
    for (client, token, sees) in [
        (None, None, true),
        (None, Some("acme"), true),
        (Some("acme"), Some("acme"), true),
        (Some("acme"), Some("other"), false),
        (Some("acme"), None, false),
    ] {
        assert_eq!(
            clients.sees(&of(client), &of(token)),
            sees,
            "{client:?} {token:?}"
        );
    }
    // A tenant in a sealed token is as good as one in a row.
    let acme = NewSealedToken {
        identifier: "meter-0001".to_owned(),
        form: SealedForm::Own,
        tenant: Some(TenantId::parse("acme").expect("an id")),
        scopes: ScopeSet::default(),
    };
    let token = server
        .accounts
        .issue_sealed(acme, &actor())
        .await
        .expect("sealed");
    let unscoped = api_token(&server, "gateway").await;
    let bearer = headers("authorization", &format!("Bearer {}", unscoped.secret.expose()));
    let refused = clients
        .introspect(token.secret.expose(), ClientProof::Presented, &call(&bearer))
        .await;
    assert!(refused.is_err(), "no scopes are not the scope");
}
