//! Logs: one JSON object or one line of text per event, of our own code only.
//!
//! Only fields named in [`ALLOWED_FIELDS`] are written; the value of any other is withheld, so that a
//! field added in a hurry cannot carry a secret out (SECURITY S14). Events of dependencies are not
//! written at all: they speak of what clients sent. Control characters are escaped: a value cannot
//! forge a line. The sink never waits (`runtime::lines`). The panic hook names the place of a panic
//! and not its message, which may quote data. Called by `app` when the process starts.

use std::fmt::{self, Write as _};
use std::panic::PanicHookInfo;
use std::sync::Arc;

use tracing::field::{Field, Visit};
use tracing::{Event, Subscriber};
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::layer::{Context, Layer, SubscriberExt};
use tracing_subscriber::{Registry, reload};

use super::metrics::Metrics;
use crate::domain::clock::Clock;

/// Fields that may be written. None of them ever holds what a client sent, but for its address.
pub const ALLOWED_FIELDS: [&str; 45] = [
    "act",
    "actor",
    "address",
    "attempt",
    "bytes",
    "client",
    "count",
    "credential",
    "customer",
    "door",
    "duration_ms",
    "error",
    "events",
    "expected",
    "file",
    "found",
    "issuer",
    "key",
    "kind",
    "level",
    "line",
    "listener",
    "location",
    "max",
    "method",
    "name",
    "outcome",
    "pid",
    "principal",
    "purpose",
    "reason",
    "remedy",
    "request_id",
    "retry_after_ms",
    "route",
    "rows",
    "sequence",
    "signal",
    "status",
    "still_running",
    "target",
    "tenant",
    "upstream",
    "version",
    "workers",
];

/// Longest value written, in bytes; the rest is cut.
const MAX_VALUE_BYTES: usize = 1024;

/// Takes finished lines and never waits.
pub trait LineSink: Send + Sync {
    /// Takes one line, without its line feed.
    fn line(&self, line: &str);
}

/// How lines are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum LogFormat {
    /// For machines.
    #[default]
    Json,
    /// For people.
    Text,
}

/// From which severity on events are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum LogLevel {
    /// What failed.
    Error,
    /// And what is worth a look.
    Warn,
    /// And what happened to the process.
    #[default]
    Info,
    /// And what happened to requests.
    Debug,
    /// And everything else.
    Trace,
}

impl LogLevel {
    /// Every level, most severe first.
    pub const ALL: [Self; 5] = [Self::Error, Self::Warn, Self::Info, Self::Debug, Self::Trace];

    /// The name in configuration.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warn => "warn",
            Self::Info => "info",
            Self::Debug => "debug",
            Self::Trace => "trace",
        }
    }

    /// The level of this name.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|level| level.as_str() == text)
    }

    fn targets(self) -> Targets {
        let level = match self {
            Self::Error => LevelFilter::ERROR,
            Self::Warn => LevelFilter::WARN,
            Self::Info => LevelFilter::INFO,
            Self::Debug => LevelFilter::DEBUG,
            Self::Trace => LevelFilter::TRACE,
        };
        Targets::new().with_target(OUR_TARGET, level)
    }
}

const OUR_TARGET: &str = "doorward";

/// Logging could not be set up or changed.
#[derive(Debug, thiserror::Error)]
pub enum LoggingError {
    /// There is a global subscriber already.
    #[error("logging is set up already")]
    AlreadySetUp,
    /// The subscriber is gone.
    #[error("logging has ended")]
    Ended,
}

/// Changes the level of a running log. Clones change the same.
#[derive(Debug, Clone)]
pub struct LogControl(reload::Handle<Targets, Registry>);

impl LogControl {
    /// Writes events of this level and above from now on.
    pub fn set(&self, level: LogLevel) -> Result<(), LoggingError> {
        self.0.reload(level.targets()).map_err(|_| LoggingError::Ended)
    }
}

/// Makes this the log of the process.
pub fn install(
    format: LogFormat,
    level: LogLevel,
    sink: Arc<dyn LineSink>,
) -> Result<LogControl, LoggingError> {
    let (subscriber, control) = subscriber(format, level, sink);
    tracing::subscriber::set_global_default(subscriber).map_err(|_| LoggingError::AlreadySetUp)?;
    Ok(control)
}

/// A log as a value: for the process, or for one test.
pub fn subscriber(
    format: LogFormat,
    level: LogLevel,
    sink: Arc<dyn LineSink>,
) -> (impl Subscriber + Send + Sync, LogControl) {
    let (filter, handle) = reload::Layer::new(level.targets());
    let lines = LineLayer { format, sink }.with_filter(filter);
    (Registry::default().with(lines), LogControl(handle))
}

/// Counts panics and logs where they were. Replaces the standard hook, which prints their message.
pub fn hook_panics(metrics: Arc<Metrics>) {
    std::panic::set_hook(Box::new(move |info: &PanicHookInfo<'_>| {
        metrics.panics.inc();
        let location = info.location().map(ToString::to_string).unwrap_or_default();
        tracing::error!(%location, "a panic: this is a bug, please report it");
    }));
}

struct LineLayer {
    format: LogFormat,
    sink: Arc<dyn LineSink>,
}

impl<S: Subscriber> Layer<S> for LineLayer {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let at = Clock::System.now().wall.rfc3339();
        let meta = event.metadata();
        let mut values = Values::default();
        event.record(&mut values);
        let line = match self.format {
            LogFormat::Json => values.json(&at, meta),
            LogFormat::Text => values.text(&at, meta),
        };
        self.sink.line(&line);
    }
}

/// The fields of one event.
#[derive(Default)]
struct Values {
    message: String,
    fields: Vec<(&'static str, serde_json::Value)>,
}

impl Values {
    fn json(self, at: &str, meta: &tracing::Metadata<'_>) -> String {
        let mut line = serde_json::Map::new();
        line.insert("at".to_owned(), at.into());
        line.insert("level".to_owned(), level_name(meta).into());
        line.insert("room".to_owned(), meta.target().into());
        line.insert("message".to_owned(), self.message.into());
        for (name, value) in self.fields {
            line.entry(name).or_insert(value);
        }
        serde_json::Value::Object(line).to_string()
    }

    fn text(self, at: &str, meta: &tracing::Metadata<'_>) -> String {
        let mut line = format!("{at} {:<5} {}: ", level_name(meta), meta.target());
        for c in self.message.chars() {
            push_escaped(&mut line, c);
        }
        for (name, value) in self.fields {
            // Writing to a string does not fail.
            let _ = match value {
                serde_json::Value::String(text) if plain(&text) => write!(line, " {name}={text}"),
                other => write!(line, " {name}={other}"),
            };
        }
        line
    }

    fn add(&mut self, field: &Field, value: impl FnOnce() -> serde_json::Value) {
        let name = field.name();
        let value = if ALLOWED_FIELDS.contains(&name) {
            value()
        } else {
            "(withheld)".into()
        };
        self.fields.push((name, value));
    }
}

impl Visit for Values {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        if field.name() == "message" {
            self.message = cut(format!("{value:?}"));
        } else {
            self.add(field, || cut(format!("{value:?}")).into());
        }
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        if field.name() == "message" {
            self.message = cut(value.to_owned());
        } else {
            self.add(field, || cut(value.to_owned()).into());
        }
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.add(field, || value.into());
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.add(field, || value.into());
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        self.add(field, || value.into());
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.add(field, || value.into());
    }
}

fn level_name(meta: &tracing::Metadata<'_>) -> &'static str {
    match *meta.level() {
        tracing::Level::ERROR => "error",
        tracing::Level::WARN => "warn",
        tracing::Level::INFO => "info",
        tracing::Level::DEBUG => "debug",
        tracing::Level::TRACE => "trace",
    }
}

fn cut(mut text: String) -> String {
    if text.len() > MAX_VALUE_BYTES {
        text.truncate(text.floor_char_boundary(MAX_VALUE_BYTES));
        text.push('…');
    }
    text
}

/// Whether a value can stand in a text line without quotes.
fn plain(text: &str) -> bool {
    !text.is_empty()
        && text
            .chars()
            .all(|c| !c.is_whitespace() && !c.is_control() && c != '"' && c != '=')
}

fn push_escaped(line: &mut String, c: char) {
    if c.is_control() {
        line.extend(c.escape_default());
    } else {
        line.push(c);
    }
}

#[cfg(test)]
mod tests;
