//! The access log as written to [`AccessSettings`]: names of routes, and where tokens stand in paths.

use std::sync::Arc;

use super::super::problems::did_you_mean;
use super::super::raw::access_log::{AccessField, AccessLog, OutcomeName, StatusClass};
use super::super::raw::engine::LogFormat as RawFormat;
use super::super::raw::values::LogDestination;
use super::super::settings::TagoIoSettings;
use super::Notes;
use crate::authz::policy::RoutePolicy;
use crate::edge::proxy::access::{AccessSettings, Destination, Field, Fields, Policy};
use crate::telemetry::labels::RequestOutcome;
use crate::telemetry::logging::LogFormat;

/// The access log; `None`: it is off.
pub(super) fn resolve(
    raw: &AccessLog,
    routes: &[Arc<RoutePolicy>],
    tagoio: &TagoIoSettings,
    notes: &mut Notes<'_>,
) -> Option<AccessSettings> {
    let mut wanted = Vec::new();
    for (i, name) in raw.routes.iter().enumerate() {
        match routes.iter().find(|r| *r.name == **name) {
            Some(route) => wanted.push(Arc::clone(&route.name)),
            None => {
                let remedy = match did_you_mean(name, routes.iter().map(|r| &*r.name)) {
                    Some(meant) => format!("did you mean {meant}?"),
                    None => "give the route that name, or leave it out here".to_owned(),
                };
                let key = format!("access_log.routes[{i}]");
                notes
                    .report
                    .add(&key, format!("{name:?}"), "the name of a route", remedy);
            }
        }
    }
    let destination = match &raw.destination {
        LogDestination::Off => return None,
        LogDestination::Stderr => Destination::Stderr,
        LogDestination::Stdout => Destination::Stdout,
        LogDestination::File(path) => Destination::File(path.into()),
    };
    let mut path_tokens_after: Vec<String> = Vec::new();
    let of_routes = routes
        .iter()
        .filter_map(|r| r.carriers.path_token_after.as_deref());
    let of_endpoints = tagoio.serve.iter().filter_map(|part| part.path_token_after());
    for prefix in of_routes.chain(of_endpoints) {
        if !path_tokens_after.iter().any(|known| known == prefix) {
            path_tokens_after.push(prefix.to_owned());
        }
    }
    let policy = Policy {
        format: match raw.format {
            RawFormat::Json => LogFormat::Json,
            RawFormat::Text => LogFormat::Text,
        },
        fields: Fields::of(raw.fields.iter().map(|f| field(*f))),
        statuses: raw.statuses.iter().map(|s| first_digit(*s)).collect(),
        routes: wanted,
        outcomes: raw.outcomes.iter().map(|o| outcome(*o)).collect(),
        slower_than: raw.slower_than.0,
        sample_one_in: raw.sample_one_in,
        path_tokens_after,
    };
    Some(AccessSettings {
        destination,
        policy: Arc::new(policy),
    })
}

fn first_digit(class: StatusClass) -> u16 {
    match class {
        StatusClass::Interim => 1,
        StatusClass::Success => 2,
        StatusClass::Redirection => 3,
        StatusClass::ClientError => 4,
        StatusClass::ServerError => 5,
    }
}

fn outcome(name: OutcomeName) -> RequestOutcome {
    match name {
        OutcomeName::Forwarded => RequestOutcome::Forwarded,
        OutcomeName::Answered => RequestOutcome::Answered,
        OutcomeName::Refused => RequestOutcome::Refused,
        OutcomeName::Failed => RequestOutcome::Failed,
    }
}

fn field(field: AccessField) -> Field {
    match field {
        AccessField::RequestId => Field::RequestId,
        AccessField::TraceId => Field::TraceId,
        AccessField::Client => Field::Client,
        AccessField::Listener => Field::Listener,
        AccessField::Protocol => Field::Protocol,
        AccessField::Scheme => Field::Scheme,
        AccessField::Method => Field::Method,
        AccessField::Path => Field::Path,
        AccessField::Route => Field::Route,
        AccessField::Outcome => Field::Outcome,
        AccessField::Status => Field::Status,
        AccessField::Reason => Field::Reason,
        AccessField::Kind => Field::Kind,
        AccessField::Principal => Field::Principal,
        AccessField::Upstream => Field::Upstream,
        AccessField::BytesIn => Field::BytesIn,
        AccessField::BytesOut => Field::BytesOut,
        AccessField::DecisionMs => Field::DecisionMs,
        AccessField::UpstreamMs => Field::UpstreamMs,
        AccessField::DurationMs => Field::DurationMs,
        AccessField::Ended => Field::Ended,
    }
}
