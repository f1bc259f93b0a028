//! What `config print` and `check` show: the effective configuration without its secrets, and a summary.

use std::fmt::Write;

use super::raw::Config;
use super::settings::Settings;
use crate::authz::policy::{Access, PathMatch, PatternSegment, RoutePolicy};
use crate::domain::clock::UnixMillis;
use crate::edge::listener::ListenAddress;
use crate::edge::listener::tls::{Certificate, Validity};

/// The effective configuration as YAML. Secrets are written as `(redacted)`.
pub fn yaml(effective: &Config) -> String {
    // The types are our own and hold nothing that YAML cannot say.
    serde_saphyr::to_string(effective).unwrap_or_default()
}

/// What a start would do, for people: doors, public routes, warnings.
/// Certificates are judged by `now`: a start would tell of them in the log.
pub fn summary(settings: &Settings, now: UnixMillis) -> String {
    let mut out = String::new();
    // Writing to a String cannot fail.
    let _ = write_summary(&mut out, settings, now);
    out
}

fn write_summary(out: &mut String, settings: &Settings, now: UnixMillis) -> std::fmt::Result {
    for listener in &settings.listeners {
        let scheme = listener.tls.as_ref().map_or("http", |_| "https");
        match &listener.address {
            ListenAddress::Tcp(address) => writeln!(out, "listener  {} {scheme}://{address}", listener.name)?,
            unix => writeln!(out, "listener  {} {scheme} at {unix}", listener.name)?,
        }
    }
    match settings.admin.address {
        Some(address) => writeln!(
            out,
            "admin     http://{address} and {}",
            settings.admin.socket.display()
        )?,
        None => writeln!(out, "admin     {}", settings.admin.socket.display())?,
    }
    writeln!(out, "status    http://{}", settings.status_address)?;
    for upstream in &settings.upstreams {
        let targets: Vec<String> = upstream.targets.iter().map(|t| t.address.text()).collect();
        writeln!(out, "upstream  {} {}", upstream.name, targets.join(" "))?;
    }
    for issuer in &settings.credentials.jwt_issuers {
        writeln!(
            out,
            "issuer    {} {}",
            issuer.name,
            issuer.issuer.as_deref().unwrap_or("(any iss)")
        )?;
    }
    for route in &settings.routes {
        let access = match route.access {
            Access::Authenticated => "authenticated",
            Access::Public => "PUBLIC",
            Access::Deny => "deny",
        };
        let target = route.upstream.as_deref().unwrap_or("-");
        writeln!(
            out,
            "route     {} {} {access} to {target}",
            route.name,
            matched(route)
        )?;
    }
    for line in public_routes(settings) {
        writeln!(out, "public    {line}")?;
    }
    for warning in &settings.warnings {
        writeln!(out, "warning   {}: {}", warning.key, warning.text)?;
    }
    for (listener, certificate) in certificates(settings) {
        let (file, begins, ends) = (
            certificate.label(),
            certificate.not_before(),
            certificate.not_after(),
        );
        let told = match certificate.validity(now) {
            Validity::Good => continue,
            Validity::NotYet => format!("is not valid before {begins}: clients refuse it until then"),
            Validity::Ended => format!("expired at {ends}: clients refuse it"),
            Validity::EndsSoon => format!("expires soon, at {ends}"),
        };
        writeln!(
            out,
            "warning   listener {listener}: the certificate {file} {told}"
        )?;
    }
    Ok(())
}

/// The certificates that clients are shown, by listener.
fn certificates(settings: &Settings) -> impl Iterator<Item = (&str, &Certificate)> {
    settings.listeners.iter().flat_map(|listener| {
        let tls = listener.tls.iter().flat_map(|tls| tls.certificates.iter());
        tls.map(|certificate| (&*listener.name, certificate))
    })
}

/// One line for each route that everyone may use; printed at start.
pub fn public_routes(settings: &Settings) -> Vec<String> {
    let public = |r: &&std::sync::Arc<RoutePolicy>| r.access == Access::Public;
    let line =
        |r: &std::sync::Arc<RoutePolicy>| format!("{} is open to everyone (route {})", matched(r), r.name);
    settings.routes.iter().filter(public).map(line).collect()
}

/// Method, host and path of a route as they are written.
fn matched(route: &RoutePolicy) -> String {
    let mut out = String::new();
    let methods: Vec<&str> = route.matches.methods.iter().map(http::Method::as_str).collect();
    if !methods.is_empty() {
        out.push_str(&methods.join(","));
        out.push(' ');
    }
    out.push_str(route.matches.host.as_deref().unwrap_or(""));
    match &route.matches.path {
        PathMatch::Exact(path) | PathMatch::Prefix(path) => out.push_str(path),
        PathMatch::Pattern(segments) => {
            for segment in segments {
                out.push('/');
                match segment {
                    PatternSegment::Literal(text) => out.push_str(text),
                    PatternSegment::Any(name) => out.push_str(&format!("{{{name}}}")),
                    PatternSegment::Rest(name) => out.push_str(&format!("{{*{name}}}")),
                }
            }
        }
    }
    out
}
