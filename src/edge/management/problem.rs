//! Faults as answers: RFC 9457 bodies with a message that says what to do.

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};

use super::wire::ProblemBody;
use crate::accounts::AccountsError;
use crate::domain::reason::Reason;

/// A refused or failed request.
#[derive(Debug)]
pub struct Problem {
    status: StatusCode,
    message: String,
    field: Option<&'static str>,
    reason: Option<Reason>,
}

impl Problem {
    /// A problem of this status.
    pub fn new(status: StatusCode, message: impl Into<String>) -> Self {
        Self {
            status,
            message: message.into(),
            field: None,
            reason: None,
        }
    }

    /// A part of the request that cannot be understood.
    pub fn bad(field: &'static str, found: impl std::fmt::Display, expected: impl std::fmt::Display) -> Self {
        Self {
            field: Some(field),
            ..Self::new(
                StatusCode::BAD_REQUEST,
                format!("{field}: found {found}, expected {expected}"),
            )
        }
    }
}

impl From<AccountsError> for Problem {
    fn from(error: AccountsError) -> Self {
        use AccountsError as E;
        let status = match &error {
            E::BadInput { .. } => StatusCode::BAD_REQUEST,
            E::NotFound { .. } => StatusCode::NOT_FOUND,
            E::Conflict(_) | E::NotConfigured(_) => StatusCode::CONFLICT,
            E::Outdated { .. } => StatusCode::PRECONDITION_FAILED,
            E::Overloaded | E::Unavailable(_) => StatusCode::SERVICE_UNAVAILABLE,
            E::Full(_) => StatusCode::INSUFFICIENT_STORAGE,
            E::Unusable(_) => StatusCode::INTERNAL_SERVER_ERROR,
        };
        let field = match &error {
            E::BadInput { field, .. } => Some(*field),
            _ => None,
        };
        if status.is_server_error() {
            tracing::warn!(%error, "a management act failed");
        }
        Self {
            field,
            ..Self::new(status, error.to_string())
        }
    }
}

impl From<Reason> for Problem {
    fn from(reason: Reason) -> Self {
        Self {
            reason: Some(reason),
            ..Self::new(reason.status(), reason.text())
        }
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let body = ProblemBody {
            kind: "about:blank".to_owned(),
            title: self.status.canonical_reason().unwrap_or("Error").to_owned(),
            status: self.status.as_u16(),
            message: self.message,
            reason: self.reason.map(|r| r.code().to_owned()),
            field: self.field.map(str::to_owned),
        };
        let mut response = (self.status, axum::Json(body)).into_response();
        let headers = response.headers_mut();
        headers.insert(
            header::CONTENT_TYPE,
            HeaderValue::from_static("application/problem+json"),
        );
        if self.status == StatusCode::UNAUTHORIZED {
            // RFC 9110 section 15.5.2: a 401 must carry a challenge.
            headers.insert(
                header::WWW_AUTHENTICATE,
                HeaderValue::from_static("Bearer realm=\"doorward administration\""),
            );
        }
        if self.status == StatusCode::SERVICE_UNAVAILABLE {
            headers.insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
        }
        response
    }
}
