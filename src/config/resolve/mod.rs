//! From the configuration as written to [`Settings`]: references, files, and whether values fit together.
//!
//! Every check adds to one report; a part that cannot be resolved is left out and the rest is still
//! checked. Reads the files that the configuration names, changes nothing.

mod access_log;
mod credentials;
mod doors;
mod endpoints;
mod file;
mod lifecycle;
mod listeners;
pub mod paths;
mod proof;
mod reachable;
mod routes;
mod secrets;
mod stopping;
mod upstreams;

use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::sync::Arc;

use serde::Serialize;

use super::environment::Surroundings;
use super::problems::Report;
use super::raw::engine::{LogFormat as RawFormat, LogLevel as RawLevel};
use super::raw::values::{AdminAddress, StoreUrl, TextValue};
use super::raw::{self, Config};
use super::settings::{
    AdminSettings, LogSettings, RevocationSettings, Settings, SlowHashSettings, StoreSettings, Warning,
};
use crate::audit::{AuditSettings, RetentionSettings, UsageSettings};
use crate::authn::cache::CacheSettings;
use crate::authn::throttle::ThrottleSettings;
use crate::telemetry::logging::{LogFormat, LogLevel};

/// What a resolution reports to.
pub(super) struct Notes<'a> {
    /// Problems.
    pub report: &'a mut Report,
    /// Warnings.
    pub warnings: Vec<Warning>,
}

impl Notes<'_> {
    fn warn(&mut self, key: &str, text: impl Into<String>) {
        self.warnings.push(Warning {
            key: key.to_owned(),
            text: text.into(),
        });
    }
}

/// Resolves everything. The result counts only when the report stayed empty.
pub fn resolve(config: &Config, surroundings: Surroundings, report: &mut Report) -> Settings {
    let mut notes = Notes {
        report,
        warnings: Vec::new(),
    };
    let notes = &mut notes;
    let store = store(config, notes);
    let credentials = credentials::resolve(&config.credentials, notes);
    let endpoints = endpoints::resolve(config, &credentials, notes);
    let listeners = listeners::resolve(config, notes);
    let upstreams = upstreams::resolve(config, notes);
    let routes = routes::resolve(config, notes);
    doors::judge_transport(&listeners, &routes, notes);
    doors::judge_surroundings(config, &listeners, surroundings, notes);
    upstreams::judge(config, &routes, notes);
    routes::judge_kinds(config, &routes, notes);
    proof::judge(config, &routes, &credentials, &endpoints, notes);
    reachable::judge(&routes, notes);
    let raw::Revocation {
        poll_interval,
        max_entries,
        max_staleness,
    } = &config.revocation;
    if let Some(staleness) = max_staleness
        && staleness.0 <= poll_interval.0
    {
        notes.report.add(
            "revocation.max_staleness",
            staleness.text(),
            format!(
                "more than revocation.poll_interval, which is {}",
                poll_interval.text()
            ),
            "raise the one or lower the other",
        );
    }
    let access_log = access_log::resolve(&config.access_log, &routes, &endpoints.tagoio, notes);
    Settings {
        workers: config.workers.and_then(|w| NonZeroUsize::new(w.into())),
        admin: admin(config, notes),
        status_address: config.status.address.0,
        store,
        credentials,
        endpoints,
        listeners,
        upstreams,
        cache: cache(&config.cache),
        throttle: throttle(&config.throttle),
        slow_hash: SlowHashSettings {
            workers: config.slow_hash.workers.and_then(|w| NonZeroUsize::new(w.into())),
            queue: index(config.slow_hash.queue),
        },
        revocation: RevocationSettings {
            poll_interval: poll_interval.0,
            max_entries: index(*max_entries),
            max_staleness: max_staleness.map(|s| s.0),
        },
        assertion_issuer: Arc::from(config.assertion.issuer.as_str()),
        drain: stopping::resolve(&config.drain, surroundings, notes),
        log: log(&config.log),
        access_log,
        audit: AuditSettings {
            queue_length: index(config.audit.queue),
            burst: config.audit.refusal_burst,
            refill: config.audit.refusal_refill.0,
            retention: RetentionSettings {
                refusals_for: config.audit.refusal_retention.0,
                max_refusals: config.audit.refusal_max_rows.into(),
                acts_for: config.audit.act_retention.map(|s| s.0),
            },
            ..AuditSettings::default()
        },
        lifecycle: lifecycle::resolve(&config.lifecycle, notes),
        webhook: lifecycle::events(&config.events, notes),
        usage: UsageSettings {
            interval: config.usage.flush_interval.0,
            ..UsageSettings::default()
        },
        routes,
        data_dir: config.data_dir.0.clone(),
        warnings: std::mem::take(&mut notes.warnings),
    }
}

/// The keys among these that are written and say something else than their default.
fn chosen<T: Serialize>(section: &T, default: &T, names: &[&'static str]) -> Vec<&'static str> {
    let (section, default) = (serde_json::to_value(section), serde_json::to_value(default));
    let (Ok(section), Ok(default)) = (section, default) else {
        return Vec::new();
    };
    let differs = |name: &&&str| section.get(**name) != default.get(**name);
    names.iter().filter(differs).copied().collect()
}

/// A 32-bit number as a length.
fn index(n: u32) -> usize {
    usize::try_from(n).unwrap_or(usize::MAX)
}

fn store(config: &Config, notes: &mut Notes<'_>) -> StoreSettings {
    let url = match (&config.store.url, &config.store.url_file) {
        (Some(_), Some(_)) => {
            secrets::both("store.url", "store.url_file", notes);
            None
        }
        (Some(url), None) => Some(url.clone()),
        (None, Some(file)) => secrets::read("store.url_file", file, notes).and_then(|text| {
            StoreUrl::parse(text.expose())
                .map_err(|remedy| {
                    let found = "a file with another text";
                    notes
                        .report
                        .add("store.url_file", found, StoreUrl::EXPECTED, remedy);
                })
                .ok()
        }),
        (None, None) => None,
    };
    StoreSettings::Sqlite {
        path: url.map_or_else(|| config.data_dir.0.join("doorward.db"), |u| PathBuf::from(u.0)),
    }
}

fn admin(config: &Config, notes: &mut Notes<'_>) -> AdminSettings {
    let address = match config.admin.address {
        AdminAddress::Off => None,
        AdminAddress::At(address) => Some(address),
    };
    if address.is_some_and(|a| !a.ip().is_loopback()) {
        notes.warn(
            "admin.address",
            "the admin door can be reached from other machines, and speaks plain HTTP",
        );
    }
    AdminSettings {
        address,
        socket: config.data_dir.0.join("admin.sock"),
    }
}

fn cache(raw: &raw::Cache) -> CacheSettings {
    CacheSettings {
        positive_ttl: raw.positive_ttl.0,
        negative_ttl: raw.negative_ttl.0,
        max_bytes: raw.max_bytes.0,
        negative_max_entries: raw.negative_max_entries.into(),
    }
}

fn throttle(raw: &raw::Throttle) -> ThrottleSettings {
    ThrottleSettings {
        per_address: raw.failures_per_address,
        per_public_id: raw.failures_per_id,
        look_ups_per_address: raw.lookups_per_address,
        window: raw.window.0,
        max_entries: index(raw.max_entries),
    }
}

fn log(raw: &raw::Log) -> LogSettings {
    LogSettings {
        level: match raw.level {
            RawLevel::Error => LogLevel::Error,
            RawLevel::Warn => LogLevel::Warn,
            RawLevel::Info => LogLevel::Info,
            RawLevel::Debug => LogLevel::Debug,
            RawLevel::Trace => LogLevel::Trace,
        },
        format: match raw.format {
            RawFormat::Json => LogFormat::Json,
            RawFormat::Text => LogFormat::Text,
        },
    }
}
