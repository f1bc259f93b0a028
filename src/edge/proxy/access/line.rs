//! One line, as text. Pure: what it is given is data of a client, so every character that is not plain ASCII is
//! escaped, quotes and control characters foremost, and no value is longer than its bound. A line has one line
//! feed, which its writer adds.

use std::borrow::Cow;
use std::fmt::{self, Write};
use std::time::Duration;

use super::Ended;
use super::policy::{Field, Fields};
use crate::domain::clock::UnixMillis;
use crate::domain::net::ClientIp;
use crate::gate::path;
use crate::telemetry::labels::{Label, RequestOutcome};
use crate::telemetry::logging::LogFormat;

/// Longest text that is written of one value, in bytes before escaping; the rest is cut.
const MAX_VALUE_BYTES: usize = 1024;

/// What is known of a request at its end. What is `None` is left out.
#[derive(Debug, Clone, Copy)]
pub(super) struct Line<'a> {
    /// When its head was complete.
    pub at: UnixMillis,
    /// See [`Field`], as for the rest.
    pub request_id: Option<&'a str>,
    pub trace_id: Option<&'a str>,
    pub client: Option<ClientIp>,
    pub listener: &'a str,
    pub protocol: Option<&'a str>,
    pub scheme: &'a str,
    pub method: Option<&'a str>,
    pub path: Option<&'a str>,
    pub route: Option<&'a str>,
    pub outcome: Option<RequestOutcome>,
    pub status: Option<u16>,
    pub reason: Option<&'a str>,
    pub kind: Option<&'a str>,
    pub principal: Option<&'a str>,
    pub upstream: Option<&'a str>,
    pub bytes_in: u64,
    pub bytes_out: u64,
    pub decision: Option<Duration>,
    pub upstream_took: Option<Duration>,
    pub duration: Duration,
    pub ended: Ended,
}

/// A value of a field.
enum Said<'a> {
    Text(Cow<'a, str>),
    Number(u64),
    Millis(Duration),
    Address(ClientIp),
}

impl<'a> Line<'a> {
    /// Appends the line to `out`, without a line feed. Tokens in its path, which begin after one of these
    /// prefixes, are left out.
    pub(super) fn write(
        &self,
        format: LogFormat,
        fields: Fields,
        path_tokens_after: &[String],
        out: &mut String,
    ) {
        // Writing to a string does not fail.
        let _ = match format {
            LogFormat::Json => write!(out, "{{\"at\":\"{}\",\"log\":\"access\"", self.at),
            LogFormat::Text => write!(out, "{} access:", self.at),
        };
        for field in Field::ALL.iter().copied().filter(|f| fields.has(*f)) {
            let Some(value) = self.value(field, path_tokens_after) else {
                continue;
            };
            let _ = match format {
                LogFormat::Json => write!(out, ",\"{}\":", field.as_str()),
                LogFormat::Text => write!(out, " {}=", field.as_str()),
            };
            let _ = value.write(format, out);
        }
        if format == LogFormat::Json {
            out.push('}');
        }
    }

    fn value(&self, field: Field, path_tokens_after: &[String]) -> Option<Said<'a>> {
        let text = |text: Option<&'a str>| text.map(|t| Said::Text(Cow::Borrowed(t)));
        match field {
            Field::RequestId => text(self.request_id),
            Field::TraceId => text(self.trace_id),
            Field::Client => self.client.map(Said::Address),
            Field::Listener => text(Some(self.listener)),
            Field::Protocol => text(self.protocol),
            Field::Scheme => text(Some(self.scheme)),
            Field::Method => text(self.method),
            Field::Path => self
                .path
                .map(|p| Said::Text(without_tokens(p, path_tokens_after))),
            Field::Route => text(self.route),
            Field::Outcome => text(self.outcome.map(Label::as_str)),
            Field::Status => self.status.map(|s| Said::Number(s.into())),
            Field::Reason => text(self.reason),
            Field::Kind => text(self.kind),
            Field::Principal => text(self.principal),
            Field::Upstream => text(self.upstream),
            Field::BytesIn => Some(Said::Number(self.bytes_in)),
            Field::BytesOut => Some(Said::Number(self.bytes_out)),
            Field::DecisionMs => self.decision.map(Said::Millis),
            Field::UpstreamMs => self.upstream_took.map(Said::Millis),
            Field::DurationMs => Some(Said::Millis(self.duration)),
            Field::Ended => text(Some(self.ended.as_str())),
        }
    }
}

impl Said<'_> {
    fn write(&self, format: LogFormat, out: &mut String) -> fmt::Result {
        match self {
            Self::Number(number) => write!(out, "{number}"),
            Self::Millis(span) => {
                let micros = span.as_micros();
                write!(out, "{}.{:03}", micros / 1000, micros % 1000)
            }
            Self::Address(address) if format == LogFormat::Json => write!(out, "\"{address}\""),
            Self::Address(address) => write!(out, "{address}"),
            Self::Text(text) if format == LogFormat::Text && is_plain(text) => out.write_str(text),
            Self::Text(text) => quoted(text, out),
        }
    }
}

/// Whether a value can stand in a line of text as it is.
fn is_plain(text: &str) -> bool {
    let plain = |b: u8| b.is_ascii_graphic() && !matches!(b, b'"' | b'\\' | b'=');
    (1..=MAX_VALUE_BYTES).contains(&text.len()) && text.bytes().all(plain)
}

/// A JSON string of plain ASCII: nothing in it can end it, start a line, speak to a terminal or turn the
/// direction of writing.
fn quoted(text: &str, out: &mut String) -> fmt::Result {
    let kept = text
        .get(..text.floor_char_boundary(MAX_VALUE_BYTES))
        .unwrap_or_default();
    out.push('"');
    for c in kept.chars() {
        match c {
            '"' | '\\' => {
                out.push('\\');
                out.push(c);
            }
            ' '..='~' => out.push(c),
            other => {
                for unit in other.encode_utf16(&mut [0; 2]) {
                    write!(out, "\\u{unit:04x}")?;
                }
            }
        }
    }
    if kept.len() < text.len() {
        out.push_str("\\u2026");
    }
    out.push('"');
    Ok(())
}

/// The path without a token in it. What cannot be read in one way is left out as a whole where tokens stand in
/// paths: nobody knows which part of it is one.
fn without_tokens<'a>(path: &'a str, after: &[String]) -> Cow<'a, str> {
    const LEFT_OUT: &str = "-";
    if after.is_empty() {
        return Cow::Borrowed(path);
    }
    let Ok(normal) = path::normalize(path) else {
        return Cow::Borrowed(LEFT_OUT);
    };
    if !normal.offences().is_empty() {
        return Cow::Borrowed(LEFT_OUT);
    }
    // Some routes take no notice of case: then a token may stand here too.
    let begins = |text: &str, prefix: &str| {
        text.get(..prefix.len())
            .is_some_and(|start| start.eq_ignore_ascii_case(prefix))
    };
    let text = normal.as_str();
    for prefix in after {
        if begins(text, prefix) {
            let (start, rest) = text.split_at_checked(prefix.len()).unwrap_or((text, ""));
            return match rest.split_once('/') {
                _ if rest.is_empty() => Cow::Owned(text.to_owned()),
                Some((_, more)) => Cow::Owned(format!("{start}{LEFT_OUT}/{more}")),
                None => Cow::Owned(format!("{start}{LEFT_OUT}")),
            };
        }
        if begins(normal.for_matching(), prefix) {
            return Cow::Borrowed(LEFT_OUT);
        }
    }
    Cow::Owned(text.to_owned())
}

#[cfg(test)]
mod tests;
