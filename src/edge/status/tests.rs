//! What probes and Prometheus see.

use super::*;
use axum::body::Body;
use axum::http::Request;
use http_body_util::BodyExt;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tower::ServiceExt;

fn door() -> StatusDoor {
    StatusDoor {
        readiness: Readiness::new(),
        metrics: Arc::new(Metrics::new().expect("metrics")),
        refresh: Arc::new(|metrics| metrics.cache_entries.set(42)),
    }
}

async fn ask(door: &StatusDoor, method: &str, target: &str) -> (u16, String) {
    let request = Request::builder()
        .method(method)
        .uri(target)
        .body(Body::empty())
        .expect("a request");
    let answer = door.clone().router().oneshot(request).await.expect("infallible");
    let status = answer.status().as_u16();
    let body = answer.into_body().collect().await.expect("a body").to_bytes();
    (status, String::from_utf8(body.to_vec()).expect("text"))
}

#[tokio::test]
async fn readiness_and_the_end_of_the_start_follow_the_latches() {
    let door = door();
    let store = door.readiness.startup_latch("store");
    let feed = door.readiness.latch("revocation feed");
    let rows = |a: u16, b: u16, c: u16| [("/livez", a), ("/startupz", b), ("/readyz", c)];
    for (path, expected) in rows(200, 503, 503) {
        assert_eq!(ask(&door, "GET", path).await.0, expected, "{path} while starting");
    }
    drop(store);
    for (path, expected) in rows(200, 200, 503) {
        assert_eq!(
            ask(&door, "GET", path).await.0,
            expected,
            "{path} with the feed behind"
        );
    }
    drop(feed);
    for (path, expected) in rows(200, 200, 200) {
        assert_eq!(
            ask(&door, "GET", path).await.0,
            expected,
            "{path} when all is well"
        );
    }
    let _draining = door.readiness.latch("draining");
    for (path, expected) in rows(200, 200, 503) {
        assert_eq!(ask(&door, "GET", path).await.0, expected, "{path} while draining");
    }
}

#[tokio::test]
async fn verbose_names_what_is_waited_for() {
    let door = door();
    let _latch = door.readiness.startup_latch("store");
    let version = env!("CARGO_PKG_VERSION");
    for (target, expected) in [
        ("/readyz", "not ready\n".to_owned()),
        (
            "/readyz?verbose",
            format!("not ready\nwaiting for: store\nversion: {version}\n"),
        ),
        (
            "/readyz?a=b&verbose=1",
            format!("not ready\nwaiting for: store\nversion: {version}\n"),
        ),
        ("/readyz?verboser", "not ready\n".to_owned()),
        (
            "/startupz?verbose",
            format!("not started\nwaiting for: store\nversion: {version}\n"),
        ),
        ("/livez?verbose", format!("alive\nversion: {version}\n")),
    ] {
        assert_eq!(ask(&door, "GET", target).await.1, expected, "{target}");
    }
}

#[tokio::test]
async fn metrics_are_refreshed_and_rendered() {
    let (status, text) = ask(&door(), "GET", "/metrics").await;
    assert_eq!(status, 200);
    assert!(text.contains("\ndoorward_cache_entries 42\n"), "{text}");
}

#[tokio::test]
async fn no_answer_is_empty() {
    for (method, target, expected) in [
        ("GET", "/", 404),
        ("GET", "/livez/", 404),
        ("POST", "/metrics", 405),
        ("DELETE", "/readyz", 405),
    ] {
        let (status, body) = ask(&door(), method, target).await;
        assert_eq!(status, expected, "{method} {target}");
        assert!(!body.is_empty(), "{method} {target}");
    }
}

#[tokio::test]
async fn it_answers_on_its_socket_until_its_own_end() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    let tasks = Tasks::on(tokio::runtime::Handle::current());
    let end = tasks.shutdown().clone();
    let door = door();
    tasks.spawn(
        "status-door",
        door.clone().serve(Arc::new(listener), tasks.clone(), end),
    );
    let _draining = door.readiness.latch("draining");
    let mut stream = tokio::net::TcpStream::connect(address).await.expect("connected");
    stream
        .write_all(b"GET /readyz HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")
        .await
        .expect("sent");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.expect("read");
    assert!(
        answer.starts_with("HTTP/1.1 503") && answer.ends_with("not ready\n"),
        "{answer}"
    );
    tasks.stop(Duration::from_secs(30)).await;
    assert!(tokio::net::TcpStream::connect(address).await.is_err());
}
