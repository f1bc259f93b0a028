//! The public auth endpoints: what other systems' clients call to get, check or end a credential, in those
//! systems' own words. Each is switched on by configuration, and none is on by default.
//!
//! One file per dialect: it reads a request, asks a use case of `accounts`, and writes the answer. Here stands
//! what they share: what a door hands over, how a body is read, the table of paths (`table`). The doors that
//! mount them (the proxy before its gate, the management door beside its guard) stay what they are; no
//! endpoint decides about proxied requests.

pub mod homechat;
pub mod nest;
pub mod oauth;
mod read;
mod table;
pub mod tagoio;

use async_trait::async_trait;
use bytes::Bytes;
use http::header::{CACHE_CONTROL, CONTENT_TYPE, RETRY_AFTER, X_CONTENT_TYPE_OPTIONS};
use http::{HeaderMap, HeaderValue, Method, Response, StatusCode};
use serde::Serialize;

pub use self::table::{Endpoints, Extent, Found, Mount};
use crate::accounts::{Call, Channel};
use crate::domain::net::ClientIp;

/// Longest body of a request, in bytes: a credential of the greatest length, with what surrounds it.
pub const MAX_BODY_BYTES: usize = 32 * 1024;

/// A whole answer.
pub type Answer = Response<Bytes>;

/// An answer in the place of what was wanted.
pub type Refused = Box<Answer>;

/// A request, complete.
#[derive(Debug)]
pub struct Asked {
    /// Its method.
    pub method: Method,
    /// Its header fields.
    pub headers: HeaderMap,
    /// The segment after the endpoint's path, where it has one.
    pub tail: Option<Box<str>>,
    /// Its query, as received.
    pub query: Option<Box<str>>,
    /// Its body.
    pub body: Bytes,
    /// The effective client.
    pub client: ClientIp,
    /// How it came.
    pub channel: Channel,
}

impl Asked {
    /// The same for a use case.
    pub fn call(&self) -> Call<'_> {
        Call {
            headers: &self.headers,
            from: self.client,
            channel: self.channel,
        }
    }
}

/// What went wrong before an endpoint could answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trouble {
    /// The body is longer than [`MAX_BODY_BYTES`].
    BodyTooLarge,
    /// The body broke off, or did not come in time.
    BodyBroken,
    /// Too many are being answered.
    Overloaded,
    /// A bug.
    Internal,
}

impl Trouble {
    /// Its status.
    pub fn status(self) -> StatusCode {
        match self {
            Self::BodyTooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::BodyBroken => StatusCode::REQUEST_TIMEOUT,
            Self::Overloaded => StatusCode::SERVICE_UNAVAILABLE,
            Self::Internal => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }

    /// A sentence for the caller.
    pub fn text(self) -> &'static str {
        match self {
            Self::BodyTooLarge => "The request body is too large.",
            Self::BodyBroken => "The request body did not arrive in time.",
            Self::Overloaded => "Too many requests at once. Try again shortly.",
            Self::Internal => "An internal error occurred.",
        }
    }
}

/// One endpoint, in its dialect.
#[async_trait]
pub trait Endpoint: Send + Sync {
    /// What can be refused without the body: another method, another media type.
    fn admit(&self, method: &Method, headers: &HeaderMap) -> Result<(), Refused>;

    /// The answer to a whole request.
    async fn answer(&self, asked: Asked) -> Answer;

    /// The answer when there is no whole request, or nobody to answer it.
    fn trouble(&self, trouble: Trouble) -> Answer;
}

const JSON: HeaderValue = HeaderValue::from_static("application/json");

/// An answer with a JSON body, which nobody on the way keeps. Bodies have text keys only, so they can be written.
fn json(status: StatusCode, body: &impl Serialize) -> Answer {
    let body = serde_json::to_vec(body).map_or(
        Bytes::from_static(br#"{"message":"An internal error occurred."}"#),
        Bytes::from,
    );
    let mut answer = Response::new(body);
    *answer.status_mut() = status;
    let headers = answer.headers_mut();
    headers.insert(CONTENT_TYPE, JSON);
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    answer
}

/// The same, saying when to try again.
fn after(mut answer: Answer, seconds: Option<u32>) -> Answer {
    if let Some(seconds) = seconds {
        answer
            .headers_mut()
            .insert(RETRY_AFTER, HeaderValue::from(seconds));
    }
    answer
}
