//! Fetched key sets: SECURITY R3, outages, hostile answers. Servers listen on loopback.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use axum::Router;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use futures::future::{join_all, poll_immediate};
use http::StatusCode;
use parking_lot::Mutex;
use tokio::net::TcpListener;

use super::super::*;
use super::support::*;
use crate::domain::clock::ManualClock;

/// A server of key sets that counts how often it is asked.
struct Server {
    hits: Arc<AtomicUsize>,
    answer: Arc<Mutex<(StatusCode, String)>>,
    url: String,
    tasks: Tasks,
}

impl Server {
    async fn start(body: String) -> Self {
        let (hits, answer) = (
            Arc::new(AtomicUsize::new(0)),
            Arc::new(Mutex::new((StatusCode::OK, body))),
        );
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let url = format!("http://{}/jwks", listener.local_addr().expect("an address"));
        let (counted, answered) = (Arc::clone(&hits), Arc::clone(&answer));
        let elsewhere = Arc::clone(&answer);
        let app = Router::new()
            .route(
                "/jwks",
                get(move || async move {
                    counted.fetch_add(1, Ordering::SeqCst);
                    let (status, body) = answered.lock().clone();
                    respond(status, body)
                }),
            )
            .route(
                "/elsewhere",
                get(move || async move { elsewhere.lock().1.clone() }),
            );
        let tasks = tasks();
        tasks.spawn("key server", async move { axum::serve(listener, app).await });
        Self {
            hits,
            answer,
            url,
            tasks,
        }
    }

    fn answers(&self, status: StatusCode, body: impl Into<String>) {
        *self.answer.lock() = (status, body.into());
    }

    fn hits(&self) -> usize {
        self.hits.load(Ordering::SeqCst)
    }

    fn verifier(&self, clock: &Clock) -> JwtVerifier {
        let issuer = corp(KeySource::JwksUrl(JwksUrl::new(&self.url)));
        JwtVerifier::start(
            &JwtSettings {
                issuers: vec![issuer],
            },
            clock,
            &self.tasks,
            &metrics(),
        )
        .expect("started")
    }
}

fn respond(status: StatusCode, body: String) -> Response {
    if status.is_redirection() {
        return (status, [("location", "/elsewhere")]).into_response();
    }
    (status, body).into_response()
}

/// Waits for a condition, at most as long as a test may hang.
async fn until(condition: impl Fn() -> bool) {
    let waiting = async {
        while !condition() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), waiting)
        .await
        .expect("it came about");
}

async fn loaded(verifier: &JwtVerifier, now: Now) {
    until(|| verifier.jwks_ages(now).iter().all(|(_, age)| age.is_some())).await;
}

fn with_kid(key: &Ed, kid: &str) -> String {
    key.sign_text(
        &format!(r#"{{"alg":"EdDSA","kid":"{kid}"}}"#),
        &claims(|_| ()).to_string(),
    )
}

/// Claims that outlive the tests' journeys through time.
fn lasting(key: &Ed) -> String {
    key.sign(&claims(|c| {
        drop(c.insert("exp".to_owned(), (NOW + 1_000_000).into()))
    }))
}

async fn reason(verifier: &JwtVerifier, token: &str, manual: &ManualClock) -> Option<Reason> {
    check_at(verifier, token, manual.now())
        .await
        .err()
        .map(|r| r.reason)
}

#[tokio::test]
async fn ten_thousand_unknown_key_ids_cause_one_fetch_per_cooldown() {
    let key = Ed::new();
    let server = Server::start(jwks(&[key.jwk("k1")])).await;
    let (manual, clock) = clock();
    let verifier = server.verifier(&clock);
    loaded(&verifier, manual.now()).await;
    assert_eq!(server.hits(), 1);
    for round in 1..=2 {
        for chunk in 0..10 {
            let tokens: Vec<String> = (0..500)
                .map(|i| with_kid(&key, &format!("{chunk}-{i}")))
                .collect();
            let checks = join_all(tokens.iter().map(|t| check_at(&verifier, t, manual.now()))).await;
            for rejection in checks {
                let reason = rejection.expect_err("unknown").reason;
                // While a fetch runs, those beyond the bound of waiting ones are not told "invalid".
                assert!(matches!(reason, Reason::CredentialInvalid | Reason::CannotDecide));
            }
        }
        assert_eq!(server.hits(), round, "one fetch per cooldown");
        assert_eq!(
            reason(&verifier, &with_kid(&key, "k1"), &manual).await,
            None,
            "good tokens go on"
        );
        manual.advance(Duration::from_secs(30));
    }
}

#[tokio::test]
async fn a_new_key_is_found_by_the_first_token_that_needs_it() {
    let (old, new) = (Ed::new(), Ed::new());
    let server = Server::start(jwks(&[old.jwk("old")])).await;
    let (manual, clock) = clock();
    let verifier = server.verifier(&clock);
    loaded(&verifier, manual.now()).await;
    server.answers(StatusCode::OK, jwks(&[old.jwk("old"), new.jwk("new")]));
    let token = with_kid(&new, "new");
    assert_eq!(
        reason(&verifier, &token, &manual).await,
        Some(Reason::CredentialInvalid),
        "cooling down"
    );
    manual.advance(Duration::from_secs(30));
    let checks = join_all((0..20).map(|_| check_at(&verifier, &token, manual.now()))).await;
    assert!(
        checks.iter().all(Result::is_ok),
        "everyone who waits is served by one fetch"
    );
    assert_eq!(server.hits(), 2);
}

#[tokio::test]
async fn the_last_good_set_is_kept_to_a_stated_bound_and_no_longer() {
    let key = Ed::new();
    let server = Server::start(jwks(&[key.jwk("k1")])).await;
    let (manual, clock) = clock();
    let verifier = server.verifier(&clock);
    loaded(&verifier, manual.now()).await;
    let token = lasting(&key);
    // Wherever there is a body, it would be a good set with the key `x`, were it taken.
    let other = || jwks(&[key.jwk("x")]);
    let too_large = format!("{}{}", other(), " ".repeat(256 * 1024));
    let too_many: Vec<_> = (0..101)
        .map(|i| key.jwk(&if i == 0 { "x".to_owned() } else { i.to_string() }))
        .collect();
    for (status, body, why) in [
        (StatusCode::INTERNAL_SERVER_ERROR, other(), "an error"),
        (StatusCode::OK, "<html>".to_owned(), "a page"),
        (StatusCode::OK, jwks(&[]), "an empty set"),
        (StatusCode::OK, too_large, "a document over the bound"),
        (StatusCode::OK, jwks(&too_many), "too many keys"),
        (StatusCode::FOUND, other(), "a redirect"),
        (StatusCode::PARTIAL_CONTENT, other(), "a part"),
    ] {
        server.answers(status, body);
        manual.advance(Duration::from_secs(60));
        let before = server.hits();
        assert_eq!(
            reason(&verifier, &with_kid(&key, "x"), &manual).await,
            Some(Reason::CredentialInvalid)
        );
        assert_eq!(server.hits(), before + 1, "{why}: asked");
        assert_eq!(
            reason(&verifier, &token, &manual).await,
            None,
            "{why}: the last good set stays"
        );
    }
    let age = verifier.jwks_ages(manual.now());
    assert_eq!(
        age.first().and_then(|(_, age)| *age),
        Some(Duration::from_secs(420))
    );
    manual.advance(Duration::from_secs(24 * 3600 - 420));
    assert_eq!(reason(&verifier, &token, &manual).await, None, "on the bound");
    manual.advance(Duration::from_millis(1));
    assert_eq!(
        check_at(&verifier, &token, manual.now()).await.err(),
        Some(Rejection::ours(Reason::CannotDecide)),
        "over it: never a pass, never a 401"
    );
    server.answers(StatusCode::OK, jwks(&[key.jwk("k1")]));
    manual.advance(Duration::from_secs(31));
    assert_eq!(
        reason(&verifier, &token, &manual).await,
        None,
        "and back, by the first token that asks"
    );
}

#[tokio::test]
async fn an_issuer_that_never_answers_holds_up_nobody_else() {
    // Accepts connections (the backlog does) and never says a word.
    let silent = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let url = format!("http://{}/", silent.local_addr().expect("an address"));
    let (dead, living) = (Ed::new(), Ed::new());
    let mut settings = JwksUrl::new(url);
    settings.max_wait = Duration::from_millis(20);
    let unreachable = corp(KeySource::JwksUrl(settings));
    let mut other = corp(KeySource::Jwks(jwks(&[living.jwk("k1")])));
    other.name = Arc::from("living");
    // Both are of one `iss`: even then the one that can answer does.
    let (manual, clock) = clock();
    let started = JwtVerifier::start(
        &JwtSettings {
            issuers: vec![unreachable, other],
        },
        &clock,
        &tasks(),
        &metrics(),
    );
    let verifier = started.expect("start-up waits for nobody");
    assert_eq!(
        reason(&verifier, &living.sign(&claims(|_| ())), &manual).await,
        None
    );
    assert_eq!(
        check_at(&verifier, &dead.sign(&claims(|_| ())), manual.now())
            .await
            .err(),
        Some(Rejection::ours(Reason::CannotDecide)),
        "without keys nothing can be said"
    );
    assert_eq!(verifier.jwks_ages(manual.now()), vec![(Arc::from("corp"), None)]);
}

#[tokio::test]
async fn the_background_keeps_the_set_fresh_and_ends_with_the_process() {
    let key = Ed::new();
    let server = Server::start(jwks(&[key.jwk("k1")])).await;
    let mut settings = JwksUrl::new(&server.url);
    settings.refresh_interval = Duration::from_millis(5);
    settings.cooldown = Duration::ZERO;
    let issuers = vec![corp(KeySource::JwksUrl(settings))];
    let background = tasks();
    let _verifier =
        JwtVerifier::start(&JwtSettings { issuers }, &clock().1, &background, &metrics()).expect("started");
    until(|| server.hits() >= 3).await;
    assert_eq!(
        background.stop(Duration::from_secs(10)).await,
        crate::runtime::tasks::Stopped::All
    );
}

#[tokio::test]
async fn those_who_wait_for_newer_keys_are_bounded() {
    // It takes connections and never answers.
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let url = format!("http://{}/jwks", listener.local_addr().expect("an address"));
    let verifier = verifier(vec![corp(KeySource::JwksUrl(JwksUrl::new(&url)))]);
    let token = presented(&Ed::new().sign(&claims(|_| ())));
    let free = Toll::waived();
    let mut waiting = Vec::new();
    for n in 0..64 {
        let mut one = verifier.look_up(&token, &free, now());
        assert_eq!(poll_immediate(&mut one).await, None, "{n} waits");
        waiting.push(one);
    }
    assert_eq!(
        poll_immediate(verifier.look_up(&token, &free, now())).await,
        Some(Err(Rejection::ours(Reason::CannotDecide))),
        "one more is told at once"
    );
    drop(waiting.pop());
    assert_eq!(
        poll_immediate(verifier.look_up(&token, &free, now())).await,
        None,
        "a place was given back"
    );
}

#[tokio::test]
async fn a_reload_keeps_fetched_keys_and_ends_the_fetching_of_those_that_are_gone() {
    let key = Ed::new();
    let (kept, gone) = (
        Server::start(jwks(&[key.jwk("k1")])).await,
        Server::start(jwks(&[key.jwk("k1")])).await,
    );
    let (manual, clock) = clock();
    let often = |server: &Server| JwksUrl {
        refresh_interval: Duration::from_millis(2),
        cooldown: Duration::ZERO,
        ..JwksUrl::new(&server.url)
    };
    let issuer = |name: &str, server: &Server| Issuer {
        name: name.into(),
        issuer: Some(format!("https://{name}.example.com")),
        ..corp(KeySource::JwksUrl(often(server)))
    };
    let settings = |issuers| JwtSettings { issuers };
    let (idp, other) = (issuer("idp", &kept), issuer("other", &gone));
    let (background, metrics) = (tasks(), metrics());
    let first = JwtVerifier::start(&settings(vec![idp.clone(), other]), &clock, &background, &metrics);
    let first = first.expect("started");
    loaded(&first, manual.now()).await;
    let next = Issuer {
        audiences: vec!["api".to_owned(), "more".to_owned()],
        ..idp
    };
    let second = first.succeeded_by(&settings(vec![next]), &clock, &background, &metrics);
    let second = second.expect("started");
    assert!(
        check_at(&second, &with_kid(&key, "k1"), manual.now())
            .await
            .is_ok(),
        "without waiting for keys"
    );
    drop(first);
    let so_far = kept.hits();
    until(|| kept.hits() > so_far + 5).await;
    let asked = gone.hits();
    until(|| kept.hits() > so_far + 30).await;
    assert!(gone.hits() <= asked + 1, "at most one was under way");
}
