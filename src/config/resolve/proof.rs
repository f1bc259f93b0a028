//! The proof of possession that goes with sealed device tokens: its secret, and whether routes ask for it.

use std::sync::Arc;

use super::super::raw::{Config, credentials as raw};
use super::super::settings::{CredentialSettings, EndpointSettings};
use super::credentials::{secret, written};
use super::{Notes, chosen, index};
use crate::accounts::GenerationMode;
use crate::authn::proof::ProofSettings;
use crate::authz::policy::{Requirement, RoutePolicy};
use crate::domain::identity::CredentialKind;

const KEY: &str = "credentials.sealed_device_token.proof";
/// Least length of its secret, which other systems may have chosen.
const MIN_PROOF_SECRET_BYTES: usize = 16;

/// The proof of possession, where there is a secret for it.
pub(super) fn resolve(raw: &raw::DeviceProof, notes: &mut Notes<'_>) -> Option<ProofSettings> {
    let key = format!("{KEY}.secret");
    let Some(secret) = secret(&key, raw.secret.as_ref(), raw.secret_file.as_ref(), notes) else {
        if raw.secret.is_none() && raw.secret_file.is_none() {
            for name in chosen(raw, &raw::DeviceProof::default(), &["tolerance", "max_nonces"]) {
                let remedy = format!("give {KEY}.secret_file, or remove it");
                let expected = "nothing: there is no secret to sign with";
                notes.report.add(
                    &format!("{KEY}.{name}"),
                    "a value without effect",
                    expected,
                    remedy,
                );
            }
        }
        return None;
    };
    if secret.expose().len() < MIN_PROOF_SECRET_BYTES {
        let found = format!("a secret of {} bytes", secret.expose().len());
        let expected = format!("at least {MIN_PROOF_SECRET_BYTES} bytes");
        let at = written(&key, notes);
        notes
            .report
            .add(&at, found, expected, "make one with: openssl rand -base64 32");
    }
    Some(ProofSettings {
        secret,
        tolerance: raw.tolerance.0,
        max_nonces: index(raw.max_nonces),
    })
}

/// Whether who asks for proofs can check them, and who can check them asks.
pub(super) fn judge(
    config: &Config,
    routes: &[Arc<RoutePolicy>],
    credentials: &CredentialSettings,
    endpoints: &EndpointSettings,
    notes: &mut Notes<'_>,
) {
    let known = credentials.sealed_device_token.proof.is_some();
    let written = &config.credentials.sealed_device_token.proof;
    let secret_written = written.secret.is_some() || written.secret_file.is_some();
    for (i, route) in config.routes.iter().enumerate() {
        if route.require.device_proof && !secret_written {
            notes.report.add(
                &format!("routes[{i}].require.device_proof"),
                "true, without a secret to check proofs with",
                format!("{KEY}.secret_file"),
                "make one with: openssl rand -base64 32",
            );
        }
    }
    for route in routes
        .iter()
        .filter(|r| r.require_device_proof == Requirement::Yes)
    {
        if !route.accept.contains(CredentialKind::SealedDeviceToken) {
            let text = format!(
                "route {} wants a proof with each sealed device token, and accepts no such token",
                route.name
            );
            notes.warn("routes", text);
        }
    }
    let asked = routes.iter().any(|r| r.require_device_proof == Requirement::Yes);
    let refreshed = !endpoints.device_token.generate.is_empty()
        && endpoints.device_token.generation.mode == GenerationMode::Credential;
    if known && !asked && !refreshed {
        notes.report.add(
            &format!("{KEY}.secret"),
            "a secret that nobody asks for",
            "a route with require: { device_proof: true }",
            "add it to the routes of the devices, or remove the secret",
        );
    }
}
