//! Faults as answers: RFC 9457 bodies with a message that says what to do, and every faulty part of the request at
//! once. No value of a request stands in them: it may be a secret.

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};

use super::wire::{FieldError, ProblemBody};
use crate::accounts::AccountsError;
use crate::domain::reason::Reason;
use crate::domain::scope::Scope;

/// Most faults told of one request.
pub const MAX_FAULTS: usize = 32;

/// Where in a request a fault is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// In the body, by JSON pointer (RFC 6901); empty: the body itself.
    Body(String),
    /// A parameter of this name: in the query, in the path, or a header.
    Parameter(String),
}

impl Place {
    /// A field of the body.
    pub fn field(name: &str) -> Self {
        Self::Body(format!("/{}", escaped(name)))
    }

    /// One item of a list in the body.
    pub fn item(name: &str, index: usize) -> Self {
        Self::Body(format!("/{}/{index}", escaped(name)))
    }

    /// How people call it.
    fn name(&self) -> &str {
        match self {
            Self::Body(pointer) if pointer.is_empty() => "body",
            Self::Body(pointer) => pointer.trim_start_matches('/'),
            Self::Parameter(name) => name,
        }
    }
}

/// A name as a step of a JSON pointer.
pub fn escaped(name: &str) -> String {
    name.replace('~', "~0").replace('/', "~1")
}

/// A part of a request that cannot be understood or kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// Where.
    pub place: Place,
    /// What was found, without its value, and what was expected.
    pub message: String,
}

impl Fault {
    /// What was found there, and what could have been.
    pub fn new(place: Place, found: impl std::fmt::Display, expected: impl std::fmt::Display) -> Self {
        Self {
            place,
            message: format!("found {found}, expected {expected}"),
        }
    }
}

/// A refused or failed request.
#[derive(Debug)]
pub struct Problem {
    status: StatusCode,
    message: String,
    faults: Vec<Fault>,
    reason: Option<Reason>,
}

impl Problem {
    /// A problem of this status.
    pub fn new(status: StatusCode, message: impl Into<String>) -> Self {
        Self {
            status,
            message: message.into(),
            faults: Vec::new(),
            reason: None,
        }
    }

    /// A field of the body that cannot be understood.
    pub fn bad(field: &str, found: impl std::fmt::Display, expected: impl std::fmt::Display) -> Self {
        Fault::new(Place::field(field), found, expected).into()
    }

    /// A parameter that cannot be understood.
    pub fn parameter(name: &str, found: impl std::fmt::Display, expected: impl std::fmt::Display) -> Self {
        Fault::new(Place::Parameter(name.to_owned()), found, expected).into()
    }

    /// The token lacks this scope.
    pub fn scope(wanted: &Scope) -> Self {
        let reason = Reason::ScopeMissing;
        Self {
            message: format!("{} It needs the scope {wanted}.", reason.text()),
            ..reason.into()
        }
    }
}

impl From<Fault> for Problem {
    fn from(fault: Fault) -> Self {
        vec![fault].into()
    }
}

impl From<Vec<Fault>> for Problem {
    fn from(faults: Vec<Fault>) -> Self {
        let texts: Vec<_> = faults
            .iter()
            .map(|f| format!("{}: {}", f.place.name(), f.message))
            .collect();
        Self {
            faults,
            ..Self::new(StatusCode::BAD_REQUEST, texts.join("; "))
        }
    }
}

/// Collects what is wrong with a request, so that all of it is told at once.
#[derive(Debug, Default)]
pub struct Faults {
    faults: Vec<Fault>,
    other: Option<Problem>,
}

impl Faults {
    /// Notes what is wrong with a part; the part, when nothing is.
    pub fn take<T>(&mut self, part: Result<T, Problem>) -> Option<T> {
        match part {
            Ok(part) => Some(part),
            Err(problem) if problem.faults.is_empty() => {
                self.other.get_or_insert(problem);
                None
            }
            Err(problem) => {
                self.faults.extend(problem.faults);
                None
            }
        }
    }

    /// Notes a fault.
    pub fn add(&mut self, fault: Fault) {
        self.faults.push(fault);
    }

    /// Goes on only when nothing is wrong.
    pub fn none(mut self) -> Result<(), Problem> {
        if let Some(other) = self.other {
            return Err(other);
        }
        self.faults.truncate(MAX_FAULTS);
        if self.faults.is_empty() {
            Ok(())
        } else {
            Err(self.faults.into())
        }
    }
}

impl From<AccountsError> for Problem {
    fn from(error: AccountsError) -> Self {
        use AccountsError as E;
        let status = match &error {
            E::BadInput { field, .. } => {
                let message = error.to_string();
                let message = message.strip_prefix(&format!("{field}: ")).unwrap_or(&message);
                return Fault {
                    place: Place::field(field),
                    message: message.to_owned(),
                }
                .into();
            }
            E::Forbidden(_) => {
                let reason = Reason::RoleMissing;
                return Self {
                    message: error.to_string(),
                    ..reason.into()
                };
            }
            E::NotFound { .. } => StatusCode::NOT_FOUND,
            E::Conflict(_) | E::NotConfigured(_) => StatusCode::CONFLICT,
            E::Outdated { .. } => StatusCode::PRECONDITION_FAILED,
            E::Overloaded | E::Unavailable(_) => StatusCode::SERVICE_UNAVAILABLE,
            E::Full(_) => StatusCode::INSUFFICIENT_STORAGE,
            E::Unusable(_) => StatusCode::INTERNAL_SERVER_ERROR,
        };
        if status.is_server_error() {
            tracing::warn!(%error, "a management act failed");
        }
        Self::new(status, error.to_string())
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

impl From<Fault> for FieldError {
    fn from(fault: Fault) -> Self {
        let (pointer, parameter) = match fault.place {
            Place::Body(pointer) => (Some(pointer), None),
            Place::Parameter(name) => (None, Some(name)),
        };
        Self {
            pointer,
            parameter,
            message: fault.message,
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
            errors: self.faults.into_iter().map(FieldError::from).collect(),
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
