//! The access log, as written.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::engine::LogFormat;
use super::values::{LogDestination, Span};

/// One line for each request, when its answer is out or its client is gone.
#[derive(Debug, Clone, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct AccessLog {
    /// `off`, `stderr`, `stdout`, or the path of a file.
    pub destination: LogDestination,
    /// Form of the lines.
    pub format: LogFormat,
    /// What stands in them beside the time.
    #[schemars(length(min = 1, max = 32))]
    pub fields: Vec<AccessField>,
    /// Only these classes of statuses. Empty: all.
    #[schemars(length(max = 5))]
    pub statuses: Vec<StatusClass>,
    /// Only these routes, by name. Empty: all, and requests without a route.
    #[schemars(length(max = 1000))]
    pub routes: Vec<String>,
    /// Only these outcomes. Empty: all.
    #[schemars(length(max = 4))]
    pub outcomes: Vec<OutcomeName>,
    /// Only requests that take at least so long.
    #[schemars(extend("x-least" = "0s", "x-most" = "24h"))]
    pub slower_than: Span,
    /// Of requests that went well (answered whole, with a status below 500) one in so many; of the others all.
    #[schemars(range(min = 1, max = 1_000_000))]
    pub sample_one_in: u32,
}

impl Default for AccessLog {
    fn default() -> Self {
        Self {
            destination: LogDestination::Off,
            format: LogFormat::Json,
            fields: AccessField::USUAL.to_vec(),
            statuses: Vec::new(),
            routes: Vec::new(),
            outcomes: Vec::new(),
            slower_than: Span::from_secs(0),
            sample_one_in: 1,
        }
    }
}

/// What may stand in a line of the access log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[allow(
    missing_docs,
    reason = "each is explained where it is written: `edge::proxy::access::Field`"
)]
pub enum AccessField {
    RequestId,
    TraceId,
    Client,
    Listener,
    Protocol,
    Scheme,
    Method,
    Path,
    Route,
    Outcome,
    Status,
    Reason,
    Kind,
    Principal,
    Upstream,
    BytesIn,
    BytesOut,
    DecisionMs,
    UpstreamMs,
    DurationMs,
    Ended,
}

impl AccessField {
    /// All but the principal.
    const USUAL: [Self; 20] = [
        Self::RequestId,
        Self::TraceId,
        Self::Client,
        Self::Listener,
        Self::Protocol,
        Self::Scheme,
        Self::Method,
        Self::Path,
        Self::Route,
        Self::Outcome,
        Self::Status,
        Self::Reason,
        Self::Kind,
        Self::Upstream,
        Self::BytesIn,
        Self::BytesOut,
        Self::DecisionMs,
        Self::UpstreamMs,
        Self::DurationMs,
        Self::Ended,
    ];
}

/// A class of statuses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
pub enum StatusClass {
    /// Interim: a switch of protocols.
    #[serde(rename = "1xx")]
    Interim,
    /// It went well.
    #[serde(rename = "2xx")]
    Success,
    /// It is somewhere else.
    #[serde(rename = "3xx")]
    Redirection,
    /// The client's fault.
    #[serde(rename = "4xx")]
    ClientError,
    /// The server's.
    #[serde(rename = "5xx")]
    ServerError,
}

/// How a request ended, as in `doorward_requests_total`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum OutcomeName {
    /// The upstream answered.
    Forwarded,
    /// A page of our own.
    Answered,
    /// By a rule.
    Refused,
    /// Permitted, but the upstream did not answer.
    Failed,
}
