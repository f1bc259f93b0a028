//! A real receiver on a socket, which answers as it is told and keeps what it got.

use std::collections::VecDeque;

use parking_lot::Mutex;
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::runtime::Handle;
use tokio::sync::Notify;

use super::*;
use crate::domain::clock::{ManualClock, UnixMillis};

const SECRET: &[u8] = b"twenty-four bytes of key";

struct Receiver {
    url: Url,
    got: Arc<Mutex<Vec<String>>>,
    more: Arc<Notify>,
}

impl Receiver {
    /// Answers with these statuses, one after the other, and with 200 then.
    async fn answering(statuses: &[u16]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("bound");
        let statuses = Arc::new(Mutex::new(statuses.iter().copied().collect::<VecDeque<u16>>()));
        let (got, more) = (Arc::<Mutex<Vec<String>>>::default(), Arc::new(Notify::new()));
        let (seen, news) = (got.clone(), more.clone());
        Handle::current().spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let mut text = String::new();
                let mut buffer = [0; 4096];
                while !text.contains("\r\n\r\n") || !text.ends_with('}') {
                    match stream.read(&mut buffer).await {
                        Ok(n) if n > 0 => text.push_str(&String::from_utf8_lossy(&buffer[..n])),
                        _ => break,
                    }
                }
                let status = statuses.lock().pop_front().unwrap_or(200);
                let more = if status == 302 {
                    "location: http://127.0.0.1:1/\r\n"
                } else {
                    ""
                };
                let answer =
                    format!("HTTP/1.1 {status} X\r\n{more}content-length: 0\r\nconnection: close\r\n\r\n");
                let _gone = stream.write_all(answer.as_bytes()).await;
                seen.lock().push(text);
                news.notify_one();
            }
        });
        Self {
            url: format!("http://{address}/hook").parse().expect("an address"),
            got,
            more,
        }
    }

    async fn wait_for(&self, count: usize) -> Vec<String> {
        let waiting = async {
            while self.got.lock().len() < count {
                self.more.notified().await;
            }
        };
        tokio::time::timeout(Duration::from_secs(20), waiting)
            .await
            .expect("delivered in time");
        self.got.lock().clone()
    }
}

struct On {
    webhook: Webhook,
    metrics: Arc<Metrics>,
    tasks: Tasks,
}

fn on(url: Url, attempts: u32, reach: Reach) -> On {
    let tasks = Tasks::on(Handle::current());
    let metrics = Arc::new(Metrics::new().expect("metrics"));
    let clock = Clock::Manual(ManualClock::at(UnixMillis(1_800_000_000_000)));
    let settings = WebhookSettings {
        url,
        secret: Arc::new(SecretBytes::new(SECRET.to_vec())),
        queue_length: 2,
        timeout: Duration::from_secs(5),
        attempts,
        pause: Duration::from_millis(1),
        reach,
    };
    let webhook = Webhook::spawn(settings, clock, metrics.clone(), &tasks).expect("a client");
    On {
        webhook,
        metrics,
        tasks,
    }
}

fn header<'a>(request: &'a str, name: &str) -> &'a str {
    let line = request
        .lines()
        .find(|l| l.to_ascii_lowercase().starts_with(&format!("{name}:")));
    line.and_then(|l| l.split_once(": ")).map_or("", |(_, v)| v)
}

#[tokio::test]
async fn a_delivery_is_signed_so_that_its_receiver_can_check_it() {
    let receiver = Receiver::answering(&[]).await;
    let on = on(receiver.url.clone(), 3, Reach::Anywhere);
    on.webhook
        .offer(&json!({"type": "credential_rotation_due", "data": {"credential": "c1"}}));
    let got = receiver.wait_for(1).await.remove(0);
    let (_, body) = got.split_once("\r\n\r\n").expect("a body");
    assert!(got.starts_with("POST /hook HTTP/1.1\r\n"), "{got}");
    assert_eq!(header(&got, "webhook-timestamp"), "1800000000");
    let id = header(&got, "webhook-id");
    assert!(id.starts_with("evt_"), "{id}");
    // The specification's formula, written out.
    let signed = format!("{id}.1800000000.{body}");
    let expected = format!("v1,{}", STANDARD.encode(hmac_sha256(SECRET, signed.as_bytes())));
    assert_eq!(header(&got, "webhook-signature"), expected);
    assert!(body.contains("\"credential_rotation_due\""), "{body}");
    on.tasks.stop(Duration::from_secs(5)).await;
}

#[tokio::test]
async fn what_fails_is_tried_again_and_what_is_refused_is_not() {
    for (why, statuses, attempts, tries, outcomes) in [
        ("a server's fault passes", &[500, 503, 429][..], 5, 4, [1, 3, 0]),
        ("a server's fault stays", &[500, 500, 500], 3, 3, [0, 2, 1]),
        ("a refusal stays a refusal", &[400], 5, 1, [0, 0, 1]),
        ("a redirect is not followed", &[302], 5, 1, [0, 0, 1]),
    ] {
        let receiver = Receiver::answering(statuses).await;
        let on = on(receiver.url.clone(), attempts, Reach::Anywhere);
        on.webhook.offer(&json!({"n": 1}));
        let got = receiver.wait_for(tries).await;
        on.tasks.stop(Duration::from_secs(5)).await;
        assert_eq!(got.len(), tries, "{why}");
        assert_eq!(receiver.got.lock().len(), tries, "{why}");
        let first = header(&got[0], "webhook-id");
        assert!(
            got.iter().all(|g| header(g, "webhook-id") == first),
            "{why}: one id for one event"
        );
        let counted = [
            DeliveryOutcome::Delivered,
            DeliveryOutcome::Retried,
            DeliveryOutcome::GivenUp,
        ]
        .map(|outcome| on.metrics.webhook_deliveries.count(outcome));
        assert_eq!(counted, outcomes, "{why}");
    }
}

#[tokio::test]
async fn a_name_of_this_machine_is_not_spoken_to_unless_the_operator_says_so() {
    let receiver = Receiver::answering(&[]).await;
    let port = receiver.url.port().expect("a port");
    let by_name: Url = format!("http://localhost:{port}/hook")
        .parse()
        .expect("an address");
    let refused = on(by_name.clone(), 1, Reach::Public);
    refused.webhook.offer(&json!({"n": 1}));
    refused.tasks.stop(Duration::from_secs(5)).await;
    assert_eq!(receiver.got.lock().len(), 0, "server-side request forgery");
    assert_eq!(
        refused.metrics.webhook_deliveries.count(DeliveryOutcome::GivenUp),
        1
    );
    let allowed = on(by_name, 1, Reach::Anywhere);
    allowed.webhook.offer(&json!({"n": 2}));
    receiver.wait_for(1).await;
    allowed.tasks.stop(Duration::from_secs(5)).await;
}

#[tokio::test]
async fn a_full_queue_drops_and_counts_and_never_waits() {
    // Nobody accepts here: the courier hangs in its first try.
    let deaf = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let url = format!("http://{}/", deaf.local_addr().expect("bound"))
        .parse()
        .expect("an address");
    let on = on(url, 1, Reach::Anywhere);
    for n in 0..10 {
        on.webhook.offer(&json!({"n": n}));
    }
    let dropped = on.metrics.webhook_deliveries.count(DeliveryOutcome::Dropped);
    assert!((7..=8).contains(&dropped), "{dropped}");
}
