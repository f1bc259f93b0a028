//! The webhook: security events as signed requests to one address of the operator's.
//!
//! Signed as the Standard Webhooks specification has it: `webhook-id`, `webhook-timestamp` and
//! `webhook-signature: v1,BASE64(HMAC-SHA-256(secret, id.timestamp.body))`, so that any of its libraries checks
//! them. Delivered in order by one task behind a bounded queue, tried again with growing pauses, given up after
//! some tries; what is dropped or given up is counted. No redirect is followed, no proxy used, and no address
//! of this machine or a private network is spoken to unless the operator says so: a name that resolves to one
//! is refused when it is resolved (server-side request forgery).

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use reqwest::{StatusCode, Url};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use zeroize::Zeroizing;

use crate::crypto::hmac_sha256;
use crate::domain::clock::Clock;
use crate::domain::net::is_global;
use crate::domain::secret::SecretBytes;
use crate::runtime::tasks::Tasks;
use crate::telemetry::Metrics;
use crate::telemetry::labels::DeliveryOutcome;

/// Longest pause between two tries.
const LONGEST_PAUSE: Duration = Duration::from_secs(300);
/// How long everything that is queued at stop may take.
const FAREWELL: Duration = Duration::from_secs(2);

/// Which addresses may be spoken to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Reach {
    /// Addresses of the internet only.
    #[default]
    Public,
    /// Loopback and private ones too.
    Anywhere,
}

/// Where events go, and how.
#[derive(Debug, Clone)]
pub struct WebhookSettings {
    /// The address.
    pub url: Url,
    /// Signs each delivery.
    pub secret: Arc<SecretBytes>,
    /// Deliveries that may wait; more are dropped and counted.
    pub queue_length: usize,
    /// How long one try may take.
    pub timeout: Duration,
    /// Tries of one delivery.
    pub attempts: u32,
    /// The pause after the first try; each further one is twice as long, up to five minutes.
    pub pause: Duration,
    /// Which addresses may be spoken to.
    pub reach: Reach,
}

/// The queue before the webhook. Clones share it.
#[derive(Debug, Clone)]
pub struct Webhook {
    deliveries: mpsc::Sender<Delivery>,
    metrics: Arc<Metrics>,
}

#[derive(Debug)]
struct Delivery {
    id: String,
    body: bytes::Bytes,
}

impl Webhook {
    /// A webhook whose deliveries are made by a task until the tasks are stopped.
    pub fn spawn(
        settings: WebhookSettings,
        clock: Clock,
        metrics: Arc<Metrics>,
        tasks: &Tasks,
    ) -> Result<Self, reqwest::Error> {
        let http = reqwest::Client::builder()
            .redirect(reqwest::redirect::Policy::none())
            .no_proxy()
            .timeout(settings.timeout)
            .dns_resolver(Arc::new(Resolver(settings.reach)))
            .build()?;
        let (deliveries, queued) = mpsc::channel(settings.queue_length.max(1));
        let courier = Courier {
            queued,
            http,
            settings,
            clock,
            metrics: Arc::clone(&metrics),
        };
        tasks.spawn("webhook", courier.run(tasks.shutdown().clone()));
        Ok(Self { deliveries, metrics })
    }

    /// Offers an event. Never waits.
    pub fn offer(&self, event: &serde_json::Value) {
        let delivery = Delivery {
            id: format!("evt_{}", uuid::Uuid::now_v7().simple()),
            body: event.to_string().into(),
        };
        if self.deliveries.try_send(delivery).is_err() {
            self.metrics.webhook_deliveries.inc(DeliveryOutcome::Dropped);
        }
    }
}

/// Makes the deliveries, one after the other.
struct Courier {
    queued: mpsc::Receiver<Delivery>,
    http: reqwest::Client,
    settings: WebhookSettings,
    clock: Clock,
    metrics: Arc<Metrics>,
}

/// What came of one try.
#[derive(Debug, PartialEq)]
enum Try {
    Delivered,
    /// Trying again cannot help.
    Refused,
    /// Trying again may help.
    Failed,
}

impl Courier {
    async fn run(mut self, shutdown: CancellationToken) {
        while let Some(Some(delivery)) = shutdown.run_until_cancelled(self.queued.recv()).await {
            self.deliver(&delivery, &shutdown).await;
        }
        self.queued.close();
        // At stop each gets one try, all together a short time.
        let rest = async {
            while let Some(delivery) = self.queued.recv().await {
                self.deliver(&delivery, &shutdown).await;
            }
        };
        if tokio::time::timeout(FAREWELL, rest).await.is_err() {
            tracing::warn!("security events were left undelivered at stop");
        }
    }

    async fn deliver(&self, delivery: &Delivery, shutdown: &CancellationToken) {
        let mut pause = self.settings.pause;
        for left in (0..self.settings.attempts.max(1)).rev() {
            match self.attempt(delivery).await {
                Try::Delivered => return self.metrics.webhook_deliveries.inc(DeliveryOutcome::Delivered),
                Try::Refused => break,
                Try::Failed if left == 0 || shutdown.is_cancelled() => break,
                Try::Failed => self.metrics.webhook_deliveries.inc(DeliveryOutcome::Retried),
            }
            // Somebody who wants us gone is heard at once; the delivery gets its last try then.
            let _ended = shutdown.run_until_cancelled(tokio::time::sleep(pause)).await;
            pause = pause.saturating_mul(2).min(LONGEST_PAUSE);
        }
        self.metrics.webhook_deliveries.inc(DeliveryOutcome::GivenUp);
        tracing::warn!(
            event = delivery.id,
            "a security event could not be delivered to the webhook"
        );
    }

    async fn attempt(&self, delivery: &Delivery) -> Try {
        // A new stamp with each try: receivers refuse old ones.
        let stamp = (self.clock.now().wall.0 / 1000).to_string();
        let signature = sign(&self.settings.secret, &delivery.id, &stamp, &delivery.body);
        let sent = self
            .http
            .post(self.settings.url.clone())
            .header("content-type", "application/json")
            .header("user-agent", concat!("Doorward/", env!("CARGO_PKG_VERSION")))
            .header("webhook-id", &delivery.id)
            .header("webhook-timestamp", &stamp)
            .header("webhook-signature", signature)
            .body(delivery.body.clone())
            .send()
            .await;
        match sent {
            Ok(answer) => judge(answer.status()),
            // The address may be secret: the error is told without it.
            Err(error) => {
                let error = error.without_url();
                tracing::debug!(%error, "the webhook was not reached");
                Try::Failed
            }
        }
    }
}

fn judge(status: StatusCode) -> Try {
    match status {
        status if status.is_success() => Try::Delivered,
        StatusCode::REQUEST_TIMEOUT | StatusCode::TOO_MANY_REQUESTS => Try::Failed,
        status if status.is_server_error() => Try::Failed,
        _ => Try::Refused,
    }
}

/// The signature of one delivery.
fn sign(secret: &SecretBytes, id: &str, stamp: &str, body: &[u8]) -> String {
    let signed = Zeroizing::new([id.as_bytes(), b".", stamp.as_bytes(), b".", body].concat());
    format!("v1,{}", STANDARD.encode(hmac_sha256(secret.expose(), &signed)))
}

/// Resolves names, and hides the addresses that must not be spoken to.
struct Resolver(Reach);

impl Resolve for Resolver {
    fn resolve(&self, name: Name) -> Resolving {
        let reach = self.0;
        Box::pin(async move {
            let found = tokio::net::lookup_host((name.as_str(), 0)).await?;
            let allowed: Vec<SocketAddr> = found.filter(|a| is_allowed(a.ip(), reach)).collect();
            if allowed.is_empty() {
                let text =
                    "the name has no address of the internet; set allow_private_addresses when it is yours";
                return Err(io::Error::new(io::ErrorKind::PermissionDenied, text).into());
            }
            Ok(Box::new(allowed.into_iter()) as Addrs)
        })
    }
}

/// Whether an address may be spoken to. Also asked of addresses that stand in the URL itself, which are never
/// resolved.
pub fn is_allowed(ip: IpAddr, reach: Reach) -> bool {
    reach == Reach::Anywhere || is_global(ip)
}

#[cfg(test)]
#[path = "webhook_tests.rs"]
mod tests;
