//! Which requests get a line, and what stands in it. Plain data and pure decisions: `config` makes it, `noted`
//! asks it once at the end of a request.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use super::line::Line;
use crate::telemetry::labels::RequestOutcome;
use crate::telemetry::logging::LogFormat;

/// The access log as configured.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AccessSettings {
    /// Where lines go.
    pub destination: Destination,
    /// Which, and what they say.
    pub policy: Arc<Policy>,
}

/// Where lines go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Destination {
    /// Standard error, in line with the log of the process.
    Stderr,
    /// Standard output.
    Stdout,
    /// The end of a file, which is opened again when another process has moved it away.
    File(PathBuf),
}

macro_rules! fields {
    ($($(#[$doc:meta])* $name:ident = $text:literal,)*) => {
        /// What may stand in a line. There is no other way into it: no header, no query, no credential and no
        /// claim that was not verified.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum Field { $($(#[$doc])* $name,)* }

        impl Field {
            /// Every field, in the order of a line.
            pub const ALL: &'static [Self] = &[$(Self::$name,)*];

            /// Its name in a line and in the configuration.
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$name => $text,)* }
            }
        }
    };
}

fields! {
    /// The request's id, as in answers and towards the upstream.
    RequestId = "request_id",
    /// The W3C trace that the request belongs to, when it said so in a valid way.
    TraceId = "trace_id",
    /// The effective client's address.
    Client = "client",
    /// The listener's name.
    Listener = "listener",
    /// The version of HTTP.
    Protocol = "protocol",
    /// `http` or `https`, as the listener has it.
    Scheme = "scheme",
    /// The method.
    Method = "method",
    /// The path, without query and without a token in it.
    Path = "path",
    /// The route's name.
    Route = "route",
    /// Forwarded, answered, refused or failed.
    Outcome = "outcome",
    /// The status that the client got.
    Status = "status",
    /// Why it was refused or failed.
    Reason = "reason",
    /// The credential's kind.
    Kind = "kind",
    /// The verified principal's id.
    Principal = "principal",
    /// The upstream's name.
    Upstream = "upstream",
    /// Bytes of the body that went to the upstream.
    BytesIn = "bytes_in",
    /// Bytes of the answer's body.
    BytesOut = "bytes_out",
    /// Time until the gate had decided.
    DecisionMs = "decision_ms",
    /// Time that the upstream took to begin its answer, connecting included.
    UpstreamMs = "upstream_ms",
    /// Time from the head to the end of the answer.
    DurationMs = "duration_ms",
    /// Whether the answer was given whole.
    Ended = "ended",
}

/// Some of the fields.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fields(u32);

impl Fields {
    /// These.
    pub fn of(fields: impl IntoIterator<Item = Field>) -> Self {
        Self(fields.into_iter().fold(0, |set, field| set | (1 << field as u32)))
    }

    /// Whether one is among them.
    pub fn has(self, field: Field) -> bool {
        self.0 & (1 << field as u32) != 0
    }
}

impl Default for Fields {
    /// All but who it was: that is for those to switch on who may keep it.
    fn default() -> Self {
        Self::of(Field::ALL.iter().copied().filter(|f| *f != Field::Principal))
    }
}

/// Which requests get a line, and what stands in it. A filter that is empty lets everything through.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Policy {
    /// Form of the lines.
    pub format: LogFormat,
    /// What stands in them.
    pub fields: Fields,
    /// First digits of statuses.
    pub statuses: Vec<u16>,
    /// Names of routes.
    pub routes: Vec<Arc<str>>,
    /// Outcomes.
    pub outcomes: Vec<RequestOutcome>,
    /// Least duration.
    pub slower_than: Duration,
    /// Of requests that went well, one in so many; at least 1.
    pub sample_one_in: u32,
    /// Where tokens begin in paths, of every route that takes them.
    pub path_tokens_after: Vec<String>,
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            format: LogFormat::default(),
            fields: Fields::default(),
            statuses: Vec::new(),
            routes: Vec::new(),
            outcomes: Vec::new(),
            slower_than: Duration::ZERO,
            sample_one_in: 1,
            path_tokens_after: Vec::new(),
        }
    }
}

/// Whether a request that passed the filters is written in any case, or may be left out by sampling.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Wanted {
    /// Filtered out.
    No,
    /// It went well: one in so many.
    Sampled,
    /// It did not.
    Always,
}

impl Policy {
    /// Whether a request gets a line.
    pub(super) fn wants(&self, line: &Line<'_>) -> Wanted {
        let class = line.status.map(|status| status / 100);
        let passes = (self.statuses.is_empty() || class.is_some_and(|c| self.statuses.contains(&c)))
            && (self.routes.is_empty() || self.routes.iter().any(|r| Some(&**r) == line.route))
            && (self.outcomes.is_empty() || line.outcome.is_some_and(|o| self.outcomes.contains(&o)))
            && line.duration >= self.slower_than;
        let went_well = matches!(
            line.outcome,
            Some(RequestOutcome::Forwarded | RequestOutcome::Answered)
        ) && class.is_some_and(|c| c < 5)
            && line.ended == super::Ended::Whole;
        match (passes, went_well) {
            (false, _) => Wanted::No,
            (true, true) => Wanted::Sampled,
            (true, false) => Wanted::Always,
        }
    }
}
