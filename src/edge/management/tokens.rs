//! `/api/v1/tokens` and `/api/v1/revocations`: credentials are made, listed, shown and ended.

use std::sync::Arc;

use axum::Extension;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::IntoResponse;

use super::input::{self, Json, Query, Segment};
use super::problem::{Place, Problem};
use super::show;
use super::versions::tagged;
use super::wire::{
    CreateToken, Created, Everything, Listing, Matching, Revoke, Revoked, Token, TokenDetails, TokenQuery,
};
use crate::accounts::{
    Accounts, Actor, ApiTokenForm, DeviceName, NewAccessToken, NewSealedToken, Password, PrincipalRecord,
    SealedForm, expiry,
};
use crate::domain::clock::UnixMillis;
use crate::domain::identity::CredentialKind;
use crate::domain::ids::CredentialId;
use crate::domain::secret::SecretText;

type Reply = Result<axum::response::Response, Problem>;

/// Life of an access token when nothing is said.
const DEFAULT_ACCESS_TOKEN_LIFETIME: std::time::Duration = std::time::Duration::from_secs(3600);

/// Stored credentials
///
/// Oldest first, unless `prefix`, `name` or `expires_within` asks for another order.
#[utoipa::path(
    get, path = "/tokens", tag = "tokens",
    params(TokenQuery),
    responses((status = 200, description = "Found", body = Listing<Token>)),
)]
pub(super) async fn list(
    State(accounts): State<Arc<Accounts>>,
    Extension(actor): Extension<Actor>,
    Query(query): Query<TokenQuery>,
) -> Reply {
    let wanted = Matching {
        kind: query.kind,
        principal: query.principal,
        tenant: query.tenant,
        customer: query.customer,
        state: query.state,
        tag: query.tag,
        environment: query.environment,
        prefix: query.prefix,
        name: query.name,
        expires_within: query.expires_within,
        unused_for: query.unused_for,
    };
    let filter = input::filter(&wanted, accounts.now(), |name| Place::Parameter(name.to_owned()))?;
    let page = input::page(query.after.as_deref(), query.limit)?;
    let rows = accounts.list_credentials(&filter, &page, &actor).await?;
    let now = accounts.now();
    let listing = show::listing(
        rows,
        page.limit,
        |row| filter.order.cursor(row).to_string(),
        |row| show::token(row, now),
    );
    Ok(axum::Json(listing).into_response())
}

/// A stored credential, whom it belongs to and how it was used
#[utoipa::path(
    get, path = "/tokens/{id}", tag = "tokens",
    params(("id" = String, Path, description = "Its id", min_length = 1, max_length = 255)),
    responses((status = 200, description = "Found", body = TokenDetails)),
)]
pub(super) async fn details(
    State(accounts): State<Arc<Accounts>>,
    Extension(actor): Extension<Actor>,
    Segment(id): Segment,
) -> Reply {
    let (context, usage) = accounts.credential(&input::named_id("id", &id)?, &actor).await?;
    let version = context.credential.version;
    let details = TokenDetails {
        token: show::token(context.credential, accounts.now()),
        owner: show::principal(context.principal),
        usage: usage.map(show::usage),
    };
    Ok(tagged(StatusCode::OK, version, &details))
}

/// Make a credential
///
/// Its secret is in the answer, once.
#[utoipa::path(
    post, path = "/tokens", tag = "tokens",
    request_body = CreateToken,
    responses((status = 201, description = "Made", body = Created)),
)]
pub(super) async fn create(
    State(accounts): State<Arc<Accounts>>,
    Extension(actor): Extension<Actor>,
    Json(wanted): Json<CreateToken>,
) -> Reply {
    let issued = match kind(&wanted.kind)? {
        CredentialKind::ApiToken => {
            refuse_foreign(&wanted, &[Field::User, Field::Password, Field::Tenant])?;
            let limits = input::limits(&wanted, accounts.now())?;
            let form = wanted
                .format
                .as_deref()
                .map_or(ApiTokenForm::Default, ApiTokenForm::parse);
            let owner = owner(&accounts, &wanted, &actor).await?;
            accounts.create_api_token(&owner, &form, limits, &actor).await?
        }
        CredentialKind::DeviceToken => {
            refuse_foreign(&wanted, &[Field::User, Field::Password, Field::Tenant])?;
            let limits = input::limits(&wanted, accounts.now())?;
            let form = input::device_token_form(wanted.format.as_deref(), accounts.device_token_form())?;
            let owner = owner(&accounts, &wanted, &actor).await?;
            accounts.create_device_token(&owner, form, limits, &actor).await?
        }
        CredentialKind::Basic => {
            refuse_foreign(&wanted, &[Field::Format, Field::Tenant])?;
            let limits = input::limits(&wanted, accounts.now())?;
            let password = match &wanted.password {
                None => Password::Random,
                Some(secret) => Password::Chosen(SecretText::new(secret.0.clone())),
            };
            let Some(user) = wanted.user.as_deref() else {
                return Err(Problem::bad("user", "nothing", "the user name of the credential"));
            };
            let owner = owner(&accounts, &wanted, &actor).await?;
            accounts
                .create_basic(&owner, user, password, limits, &actor)
                .await?
        }
        CredentialKind::Jwt => {
            let foreign = [
                Field::User,
                Field::Password,
                Field::Tenant,
                Field::Format,
                Field::Name,
                Field::Networks,
                Field::HttpsOnly,
                Field::Row,
            ];
            refuse_foreign(&wanted, &foreign)?;
            let new = NewAccessToken {
                scopes: input::scopes(&wanted.scopes)?,
                permission: input::permission(wanted.permission.as_deref())?,
                lifetime: lifetime(wanted.expires.as_deref(), accounts.now())?,
            };
            let owner = owner(&accounts, &wanted, &actor).await?;
            accounts.issue_access_token(&owner, new, &actor).await?
        }
        CredentialKind::SealedDeviceToken => sealed(&accounts, &wanted, &actor).await?,
    };
    Ok((StatusCode::CREATED, axum::Json(show::created(issued))).into_response())
}

async fn sealed(
    accounts: &Accounts,
    wanted: &CreateToken,
    actor: &Actor,
) -> Result<crate::accounts::Issued, Problem> {
    let foreign = [
        Field::User,
        Field::Password,
        Field::Name,
        Field::Networks,
        Field::HttpsOnly,
        Field::Row,
        Field::Permission,
        Field::Expires,
        Field::Owner,
    ];
    refuse_foreign(wanted, &foreign)?;
    let Some(device) = wanted.device.as_deref() else {
        return Err(Problem::bad("device", "nothing", "the identifier of the device"));
    };
    // A registered device is sealed for by its identifier, so that it is the same principal.
    let identifier = match accounts.device(device, actor).await? {
        DeviceName::Registered(record) => record.external_id.ok_or_else(|| {
            Problem::bad(
                "device",
                "a device that was registered without an identifier",
                "one with an identifier: sealed tokens are made for it",
            )
        })?,
        DeviceName::Unregistered(_) => device.to_owned(),
    };
    let new = NewSealedToken {
        identifier,
        form: match wanted.format.as_deref() {
            None | Some("v2") => SealedForm::Own,
            Some("v1") => SealedForm::Compatible,
            Some(_) => return Err(Problem::bad("format", "another word", "v1 or v2")),
        },
        tenant: wanted
            .tenant
            .as_deref()
            .map(|text| input::id("tenant", text))
            .transpose()?,
        scopes: input::scopes(&wanted.scopes)?,
    };
    Ok(accounts.issue_sealed(new, actor).await?)
}

/// Whom a credential is for: exactly one of the ways to say so.
async fn owner(accounts: &Accounts, wanted: &CreateToken, actor: &Actor) -> Result<PrincipalRecord, Problem> {
    match (&wanted.service, &wanted.principal, &wanted.device) {
        (Some(name), None, None) => Ok(accounts.service_account(name, actor).await?),
        (None, Some(id), None) => Ok(accounts.principal(&input::id("principal", id)?, actor).await?),
        (None, None, Some(device)) => Ok(accounts.registered_device(device, actor).await?),
        (None, None, None) => Err(Problem::bad(
            "for",
            "nobody",
            "one of `for` (a service account's name), `principal` (an id) or `device`",
        )),
        _ => Err(Problem::bad(
            "for",
            "several owners",
            "one of `for`, `principal` or `device`",
        )),
    }
}

fn lifetime(expires: Option<&str>, now: UnixMillis) -> Result<std::time::Duration, Problem> {
    let Some(text) = expires else {
        return Ok(DEFAULT_ACCESS_TOKEN_LIFETIME);
    };
    let at = expiry::parse(text, now)?
        .ok_or_else(|| Problem::bad("expires", "`never`", "an end within a year: JWTs are not stored"))?;
    let ms = u64::try_from(at.0.saturating_sub(now.0)).unwrap_or(0);
    Ok(std::time::Duration::from_millis(ms))
}

/// End a credential, or everything of somebody, or of everybody
#[utoipa::path(
    post, path = "/revocations", tag = "revocations",
    request_body = Revoke,
    responses((status = 201, description = "Ended", body = Revoked)),
)]
pub(super) async fn revoke(
    State(accounts): State<Arc<Accounts>>,
    Extension(actor): Extension<Actor>,
    Json(what): Json<Revoke>,
) -> Reply {
    let revoked = match what {
        Revoke::Credential(id) => {
            let id: CredentialId = input::id("credential", &id)?;
            accounts.revoke_credential(&id, &actor).await?
        }
        Revoke::Token(secret) => {
            let secret = SecretText::new(secret.0.clone());
            accounts.revoke_presented(&secret, &actor).await?
        }
        Revoke::Principal(id) => {
            accounts
                .revoke_principal(&input::id("principal", &id)?, &actor)
                .await?
        }
        Revoke::Device(device) => accounts.revoke_device(&device, &actor).await?,
        Revoke::Tenant(id) => accounts.revoke_tenant(&input::id("tenant", &id)?, &actor).await?,
        Revoke::All(Everything::Everything) => accounts.revoke_all(&actor).await?,
    };
    Ok((StatusCode::CREATED, axum::Json(show::revoked(revoked))).into_response())
}

fn kind(text: &str) -> Result<CredentialKind, Problem> {
    CredentialKind::parse(text).ok_or_else(|| {
        let names: Vec<&str> = CredentialKind::ALL.iter().map(|k| k.as_str()).collect();
        Problem::bad("kind", "another word", format!("one of {}", names.join(", ")))
    })
}

/// A field of a request for a credential that not every kind takes.
#[derive(Clone, Copy)]
enum Field {
    Owner,
    Format,
    Name,
    Permission,
    Networks,
    HttpsOnly,
    Expires,
    Tenant,
    User,
    Password,
    /// What only a row can keep: notes, label, limits.
    Row,
}

/// A limit that would not hold must not be accepted.
fn refuse_foreign(wanted: &CreateToken, foreign: &[Field]) -> Result<(), Problem> {
    for field in foreign {
        let (name, given) = match field {
            Field::Owner => ("for", wanted.service.is_some() || wanted.principal.is_some()),
            Field::Format => ("format", wanted.format.is_some()),
            Field::Name => ("name", wanted.name.is_some()),
            Field::Permission => ("permission", wanted.permission.is_some()),
            Field::Networks => ("networks", !wanted.networks.is_empty()),
            Field::HttpsOnly => ("https_only", wanted.https_only),
            Field::Expires => ("expires", wanted.expires.is_some()),
            Field::Tenant => ("tenant", wanted.tenant.is_some()),
            Field::User => ("user", wanted.user.is_some()),
            Field::Password => ("password", wanted.password.is_some()),
            Field::Row => match wanted {
                CreateToken {
                    description: Some(_), ..
                } => ("description", true),
                CreateToken {
                    metadata: Some(_), ..
                } => ("metadata", true),
                CreateToken { tags: Some(_), .. } => ("tags", true),
                CreateToken {
                    environment: Some(_), ..
                } => ("environment", true),
                CreateToken { limits: Some(_), .. } => ("limits", true),
                other => ("revealable", other.revealable),
            },
        };
        if given {
            return Err(Problem::bad(
                name,
                "a value",
                format!("none: a {} cannot carry it", wanted.kind),
            ));
        }
    }
    Ok(())
}
