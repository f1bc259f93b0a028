//! The life of credentials and the webhook, resolved.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::super::raw::lifecycle::{EventWebhook, Events, Lifecycle};
use super::super::settings::LifecycleSettings;
use super::{Notes, credentials, index};
use crate::accounts::Schedule;
use crate::audit::webhook::{Reach, WebhookSettings, is_allowed};
use crate::domain::secret::{SecretBytes, SecretText};

/// Shortest secret: what the Standard Webhooks specification asks for.
const MIN_SECRET_BYTES: usize = 24;
/// The pause after a first try that failed.
const FIRST_PAUSE: Duration = Duration::from_secs(1);

pub(super) fn resolve(lifecycle: &Lifecycle, notes: &mut Notes<'_>) -> LifecycleSettings {
    let mut rotation: Vec<Schedule> = Vec::with_capacity(lifecycle.rotation.len());
    for (i, rule) in lifecycle.rotation.iter().enumerate() {
        if rotation
            .iter()
            .any(|known| known.environment == rule.environment.0)
        {
            notes.report.add(
                &format!("lifecycle.rotation[{i}].environment"),
                format!("`{}` a second time", rule.environment.0),
                "each label once",
                "remove one of the two",
            );
        }
        rotation.push(Schedule {
            environment: rule.environment.0.clone(),
            every: rule.every.0,
        });
    }
    LifecycleSettings {
        deleted_grace: lifecycle.deleted_grace.0,
        rotation,
    }
}

pub(super) fn events(events: &Events, notes: &mut Notes<'_>) -> Option<WebhookSettings> {
    let webhook = events.webhook.as_ref()?;
    let key = "events.webhook.secret";
    let file = webhook.secret_file.as_ref();
    if webhook.secret.is_none() && file.is_none() {
        let expected = "a secret of at least 24 bytes that the receiver knows";
        notes
            .report
            .add(key, "nothing", expected, "set it, or secret_file");
    }
    let secret = credentials::secret(key, webhook.secret.as_ref(), file, notes);
    let secret = secret.and_then(|text| signing_key(key, &text, notes));
    let url = address(webhook, notes);
    Some(WebhookSettings {
        url: url?,
        secret: Arc::new(secret?),
        queue_length: index(webhook.queue),
        timeout: webhook.timeout.0,
        attempts: webhook.attempts,
        pause: FIRST_PAUSE,
        reach: reach(webhook),
    })
}

fn reach(webhook: &EventWebhook) -> Reach {
    if webhook.allow_private_addresses {
        Reach::Anywhere
    } else {
        Reach::Public
    }
}

/// An address that stands in the URL itself is judged here: it is never resolved.
fn address(webhook: &EventWebhook, notes: &mut Notes<'_>) -> Option<reqwest::Url> {
    let key = "events.webhook.url";
    let url: reqwest::Url = match webhook.url.0.parse() {
        Ok(url) => url,
        Err(_) => {
            let expected = "an address such as https://hooks.example.com/doorward";
            notes.report.add(key, "no whole address", expected, "correct it");
            return None;
        }
    };
    let host = url.host_str().unwrap_or_default();
    let literal: Option<IpAddr> = host.trim_matches(['[', ']']).parse().ok();
    if literal.is_some_and(|ip| !is_allowed(ip, reach(webhook))) {
        notes.report.add(
            key,
            format!("{host}, which is no address of the internet"),
            "a public address",
            "set events.webhook.allow_private_addresses when it is yours",
        );
        return None;
    }
    if url.scheme() == "http" && !webhook.allow_private_addresses {
        notes.warn(
            key,
            "events are sent in the clear: everyone on the way reads them; use https://",
        );
    }
    Some(url)
}

fn signing_key(key: &str, text: &SecretText, notes: &mut Notes<'_>) -> Option<SecretBytes> {
    let bytes = match text.expose().trim().strip_prefix("whsec_") {
        None => Some(text.expose().trim().as_bytes().to_vec()),
        Some(encoded) => STANDARD.decode(encoded).ok(),
    };
    let found = match bytes {
        Some(bytes) if bytes.len() >= MIN_SECRET_BYTES => return Some(SecretBytes::new(bytes)),
        Some(bytes) => format!("a secret of {} bytes", bytes.len()),
        None => "`whsec_` and a text that is not Base64".to_owned(),
    };
    let remedy = "make one: openssl rand -base64 32";
    notes.report.add(key, found, "at least 24 bytes", remedy);
    None
}
