//! OAuth 2.0 Token Introspection (RFC 7662) and Token Revocation (RFC 7009).
//!
//! A client proves itself by `client_secret_basic`, `client_secret_post`, or a bearer token of its own. Who it is
//! and what it may know is `accounts::introspection`'s; here stand the wire's forms: RFC 6749 section 2.3.1 for
//! clients, section 5.2 for errors. A hint about the token's type may be wrong, and is not read.

use std::sync::Arc;

use async_trait::async_trait;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::header::{ALLOW, AUTHORIZATION, WWW_AUTHENTICATE};
use http::{HeaderMap, HeaderValue, Method, StatusCode};
use serde::Serialize;
use zeroize::Zeroizing;

use super::read::{Form, form_decoded, is_of_type};
use super::{Answer, Asked, Endpoint, Refused, Trouble, after, json};
use crate::accounts::{ClientProof, NotAnswered, TokenClients, Transport};
use crate::domain::identity::{CredentialKind, Identity};

/// Tells what a token is worth.
pub struct Introspect(pub Arc<TokenClients>);

/// Ends a token.
pub struct Revoke(pub Arc<TokenClients>);

#[derive(Serialize)]
struct ErrorBody {
    error: &'static str,
    error_description: &'static str,
}

#[derive(Serialize)]
struct Inactive {
    active: bool,
}

/// RFC 7662 section 2.2; from `principal_kind` on words of our own, which it allows for.
#[derive(Serialize)]
struct Active<'a> {
    active: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    scope: Option<String>,
    token_type: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    exp: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    iat: Option<i64>,
    sub: &'a str,
    jti: &'a str,
    principal_kind: &'static str,
    credential_kind: &'static str,
    permission: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    tenant: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    customer: Option<&'a str>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    roles: Vec<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    device_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    networks: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    https_only: Option<bool>,
}

/// `Authorization: <this> <token>`.
fn token_type(kind: CredentialKind) -> &'static str {
    match kind {
        CredentialKind::SealedDeviceToken => "Device",
        CredentialKind::DeviceToken => "Device-Token",
        CredentialKind::ApiToken | CredentialKind::Jwt => "Bearer",
        CredentialKind::Basic => "Basic",
    }
}

fn error(status: StatusCode, error: &'static str, error_description: &'static str) -> Answer {
    json(
        status,
        &ErrorBody {
            error,
            error_description,
        },
    )
}

fn invalid_request(why: &'static str) -> Answer {
    error(StatusCode::BAD_REQUEST, "invalid_request", why)
}

fn invalid_client() -> Answer {
    let mut answer = error(
        StatusCode::UNAUTHORIZED,
        "invalid_client",
        "Client authentication failed.",
    );
    let challenge = HeaderValue::from_static("Basic realm=\"doorward\", charset=\"UTF-8\"");
    answer.headers_mut().insert(WWW_AUTHENTICATE, challenge);
    answer
}

fn not_answered(why: NotAnswered) -> Answer {
    match why {
        // Why, is told to nobody who did not prove himself.
        NotAnswered::TurnedAway(_) => invalid_client(),
        NotAnswered::NotAllowed => error(
            StatusCode::FORBIDDEN,
            "unauthorized_client",
            "The client's credential lacks the scope for this.",
        ),
        NotAnswered::NotNow(seconds) => after(
            error(
                StatusCode::SERVICE_UNAVAILABLE,
                "temporarily_unavailable",
                "This cannot be answered at the moment.",
            ),
            Some(seconds),
        ),
    }
}

/// How a client proves itself, as it came.
enum Written {
    Secret {
        id: Zeroizing<String>,
        secret: Zeroizing<String>,
    },
    Bearer,
}

impl Written {
    fn proof(&self) -> ClientProof<'_> {
        match self {
            Self::Secret { id, secret } => ClientProof::Secret { id, secret },
            Self::Bearer => ClientProof::Presented,
        }
    }

    /// Of the ways there are exactly one (RFC 6749 section 2.3).
    fn read(headers: &HeaderMap, form: &Form) -> Result<Self, Refused> {
        let mut fields = headers.get_all(AUTHORIZATION).iter();
        match (fields.next(), fields.next(), form.get("client_secret")) {
            (None, _, None) => Err(invalid_client().into()),
            (None, _, Some(secret)) => {
                let id = form.get("client_id").ok_or_else(invalid_client)?;
                Ok(Self::Secret {
                    id: Zeroizing::new(id.to_owned()),
                    secret: Zeroizing::new(secret.to_owned()),
                })
            }
            (Some(field), None, None) => Self::of_field(field),
            _ => Err(invalid_request("The client authenticates in more than one way.").into()),
        }
    }

    fn of_field(field: &HeaderValue) -> Result<Self, Refused> {
        let (scheme, rest) = field
            .to_str()
            .ok()
            .and_then(|text| text.split_once(' '))
            .ok_or_else(invalid_client)?;
        if scheme.eq_ignore_ascii_case("bearer") {
            return Ok(Self::Bearer);
        }
        if !scheme.eq_ignore_ascii_case("basic") {
            return Err(invalid_client().into());
        }
        let decoded = STANDARD.decode(rest.trim()).ok().map(Zeroizing::new);
        let text = decoded.as_ref().and_then(|bytes| std::str::from_utf8(bytes).ok());
        let (id, secret) = text
            .and_then(|text| text.split_once(':'))
            .ok_or_else(invalid_client)?;
        // RFC 6749 has both parts encoded as in a form. Many clients do not: a plus sign is one, and what would be
        // no such encoding stays as it is.
        let part = |text: &str| {
            let plus = Zeroizing::new(text.replace('+', "%2B"));
            Zeroizing::new(form_decoded(&plus).unwrap_or_else(|| text.to_owned()))
        };
        Ok(Self::Secret {
            id: part(id),
            secret: part(secret),
        })
    }
}

fn admit(method: &Method, headers: &HeaderMap) -> Result<(), Refused> {
    if method != Method::POST {
        let mut answer = error(
            StatusCode::METHOD_NOT_ALLOWED,
            "invalid_request",
            "Only POST is answered here.",
        );
        answer
            .headers_mut()
            .insert(ALLOW, HeaderValue::from_static("POST"));
        return Err(answer.into());
    }
    if !is_of_type(headers, "application/x-www-form-urlencoded") {
        let why = "Send the parameters as application/x-www-form-urlencoded.";
        return Err(invalid_request(why).into());
    }
    Ok(())
}

fn trouble(trouble: Trouble) -> Answer {
    let word = match trouble {
        Trouble::Overloaded | Trouble::Internal => "temporarily_unavailable",
        Trouble::BodyTooLarge | Trouble::BodyBroken => "invalid_request",
    };
    error(trouble.status(), word, trouble.text())
}

/// The token that is asked about, and who asks.
fn read(asked: &Asked) -> Result<(Form, Written), Refused> {
    let form = Form::read(&asked.body).ok_or_else(|| {
        invalid_request("The parameters cannot be read, or one of them is there more than once.")
    })?;
    // The client first: nobody else is told what is wrong with the rest.
    let client = Written::read(&asked.headers, &form)?;
    Ok((form, client))
}

fn no_token() -> Answer {
    invalid_request("The parameter token is missing.")
}

#[async_trait]
impl Endpoint for Introspect {
    fn admit(&self, method: &Method, headers: &HeaderMap) -> Result<(), Refused> {
        admit(method, headers)
    }

    async fn answer(&self, asked: Asked) -> Answer {
        let (form, client) = match read(&asked) {
            Ok(read) => read,
            Err(refused) => return *refused,
        };
        let Some(token) = form.get("token") else {
            return no_token();
        };
        match self.0.introspect(token, client.proof(), &asked.call()).await {
            Ok(Some(found)) => {
                let (networks, https_only) = (&found.rules().networks, found.rules().transport);
                let networks = networks.iter().map(ToString::to_string).collect();
                active(found.identity(), networks, https_only)
            }
            Ok(None) => json(StatusCode::OK, &Inactive { active: false }),
            Err(why) => not_answered(why),
        }
    }

    fn trouble(&self, why: Trouble) -> Answer {
        trouble(why)
    }
}

fn active(identity: &Identity, networks: Vec<String>, transport: Transport) -> Answer {
    json(
        StatusCode::OK,
        &Active {
            active: true,
            scope: (!identity.scopes.is_empty()).then(|| identity.scopes.to_string()),
            token_type: token_type(identity.credential_kind),
            exp: identity.expires_at.map(|at| at.as_secs()),
            iat: identity.issued_at.map(|at| at.as_secs()),
            sub: identity.principal.as_str(),
            jti: identity.credential.as_str(),
            principal_kind: identity.principal_kind.as_str(),
            credential_kind: identity.credential_kind.as_str(),
            permission: identity.permission.as_str(),
            tenant: identity.tenant.as_ref().map(|t| t.as_str()),
            customer: identity.customer.as_ref().map(|c| c.as_str()),
            roles: identity.roles.iter().map(|r| r.as_str()).collect(),
            device_id: identity.device_id.as_ref().map(|d| d.as_str()),
            networks,
            https_only: (transport == Transport::HttpsOnly).then_some(true),
        },
    )
}

#[async_trait]
impl Endpoint for Revoke {
    fn admit(&self, method: &Method, headers: &HeaderMap) -> Result<(), Refused> {
        admit(method, headers)
    }

    async fn answer(&self, asked: Asked) -> Answer {
        let (form, client) = match read(&asked) {
            Ok(read) => read,
            Err(refused) => return *refused,
        };
        let Some(token) = form.get("token") else {
            return no_token();
        };
        match self.0.revoke(token, client.proof(), &asked.call()).await {
            Ok(()) => json(StatusCode::OK, &serde_json::Map::new()),
            Err(why) => not_answered(why),
        }
    }

    fn trouble(&self, why: Trouble) -> Answer {
        trouble(why)
    }
}
