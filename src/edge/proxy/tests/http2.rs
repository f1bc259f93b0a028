//! HTTP/2 clients: hyper's, and some that begin and do not go on.

use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use bytes::Bytes;
use futures::channel::mpsc;
use futures::{SinkExt, StreamExt};
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt, Empty, Full, StreamBody, combinators::UnsyncBoxBody};
use hyper::body::{Frame, Incoming};
use hyper::client::conn::http2::{Builder, SendRequest};
use hyper_util::rt::TokioIo;

use super::support::{World, field, on_a_data_thread, patient};
use crate::edge::proxy::{ConnectionSettings, Http2Settings};
use crate::runtime::drain::Stage;
use crate::runtime::workers::spawn_here;

const OK: &str = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";
const PREFACE: &str = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

pub(super) type ClientBody = UnsyncBoxBody<Bytes, std::convert::Infallible>;
pub(super) type Client = SendRequest<ClientBody>;

#[derive(Clone)]
pub(super) struct Here;

impl<F: Future<Output = ()> + 'static> hyper::rt::Executor<F> for Here {
    fn execute(&self, work: F) {
        spawn_here(work);
    }
}

impl World {
    /// A client that has said hello, and what tells that its connection has ended.
    pub(super) async fn http2(&self) -> (Client, tokio::sync::oneshot::Receiver<()>) {
        let stream = self.client().stream;
        let mut builder = Builder::new(Here);
        builder.initial_stream_window_size(65_535);
        let (client, connection) = patient(builder.handshake(TokioIo::new(stream)))
            .await
            .expect("hello");
        let (ended, end) = tokio::sync::oneshot::channel();
        spawn_here(async move {
            let _ = connection.await;
            let _ = ended.send(());
        });
        (client, end)
    }
}

fn get(path: &str) -> Request<ClientBody> {
    let uri = format!("http://app.example{path}");
    let body = Empty::new().map_err(|never| match never {}).boxed_unsync();
    Request::get(uri).body(body).expect("a request")
}

fn post(
    body: impl hyper::body::Body<Data = Bytes, Error = std::convert::Infallible> + Send + 'static,
) -> Request<ClientBody> {
    Request::post("http://app.example/")
        .body(body.boxed_unsync())
        .expect("a request")
}

async fn text(response: Response<Incoming>) -> String {
    let body = patient(response.into_body().collect()).await.expect("a body");
    String::from_utf8(body.to_bytes().to_vec()).expect("text")
}

#[test]
fn requests_of_one_connection_run_side_by_side_and_reach_the_app_as_http1() {
    on_a_data_thread(async {
        let world = World::new().await;
        let (mut client, _end) = world.http2().await;
        let mut first = get("/a?b=c");
        first
            .headers_mut()
            .append("cookie", "a=1".parse().expect("a value"));
        first
            .headers_mut()
            .append("cookie", "b=2".parse().expect("a value"));
        let first = client.send_request(first);
        let mut one = world.accept().await;
        let head = one.head().await;
        assert!(head.starts_with("GET /a?b=c HTTP/1.1\r\n"), "{head}");
        assert_eq!(field(&head, "host"), Some("app.example"));
        assert_eq!(field(&head, "cookie"), Some("a=1; b=2"));
        let second = client.send_request(get("/second"));
        let mut two = world.accept().await;
        two.head().await;
        two.send(OK).await;
        let second = patient(second).await.expect("an answer");
        assert_eq!(text(second).await, "ok", "not held up by the first");
        one.send("HTTP/1.1 404 Not Found\r\nconnection: x\r\nx: y\r\ncontent-length: 2\r\n\r\nno")
            .await;
        let first = patient(first).await.expect("an answer");
        assert_eq!(first.status(), StatusCode::NOT_FOUND);
        assert!(!first.headers().contains_key("x"), "named by connection");
        assert_eq!(text(first).await, "no");
    });
}

#[test]
fn bodies_stream_both_ways() {
    on_a_data_thread(async {
        let world = World::new().await;
        let (mut client, _end) = world.http2().await;
        let (mut sending, pieces) = mpsc::channel(1);
        let answer = client.send_request(post(StreamBody::new(pieces.map(|p| Ok(Frame::data(p))))));
        let mut upstream = world.accept().await;
        assert_eq!(
            field(&upstream.head().await, "transfer-encoding"),
            Some("chunked")
        );
        upstream
            .send("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n")
            .await;
        let mut answer = patient(answer).await.expect("a head").into_body();
        for word in ["one", "two", "six"] {
            sending
                .send(Bytes::from_static(word.as_bytes()))
                .await
                .expect("sent");
            assert_eq!(upstream.until(word).await, format!("3\r\n{word}"));
            upstream.body(2).await;
            upstream.send(&format!("3\r\n{word}\r\n")).await;
            let frame = patient(answer.frame()).await.expect("more").expect("a frame");
            assert_eq!(frame.into_data().expect("data"), word);
        }
        drop(sending);
        assert_eq!(upstream.body(5).await, "0\r\n\r\n");
        upstream.send("0\r\n\r\n").await;
        let rest = patient(answer.collect()).await.expect("the end").to_bytes();
        assert!(rest.is_empty());
    });
}

#[test]
fn refusals_and_panics_are_answered_and_the_connection_goes_on() {
    on_a_data_thread(async {
        let world = World::new().await;
        let (mut client, _end) = world.http2().await;
        let long = Full::new(Bytes::from(vec![b'x'; 3 << 20]));
        let mut unread = post(long.map_err(|never| match never {}));
        *unread.uri_mut() = "http://app.example/deny".parse().expect("a uri");
        let mut two_hosts = get("/");
        two_hosts
            .headers_mut()
            .insert("host", "other".parse().expect("a value"));
        for (request, status) in [
            (get("/deny"), 401),
            (unread, 401),
            (two_hosts, 400),
            (get("/panic"), 500),
            (get("/deny"), 401),
        ] {
            let answer = patient(client.send_request(request)).await.expect("an answer");
            assert_eq!(answer.status().as_u16(), status);
            assert!(!answer.headers().contains_key("connection"));
        }
    });
}

#[test]
fn a_preface_in_pieces_is_a_preface_and_half_of_one_is_not() {
    on_a_data_thread(async {
        let world = World::new().await;
        let mut client = world.client();
        for byte in PREFACE.chars() {
            client.send(&byte.to_string()).await;
            tokio::task::yield_now().await;
        }
        assert_eq!(client.stream_bytes(4).await[3], 4, "a SETTINGS frame (its type)");
        for (sent, why) in [
            ("PRI * HTTP/2.0\r\n\r\nSM\r\n\rX", "spoilt at its end"),
            ("PRI / HTTP/2.0\r\nHost: a\r\n\r\n", "almost"),
        ] {
            let mut client = world.client();
            client.send(sent).await;
            let answer = client.rest().await;
            assert!(
                answer.starts_with("HTTP/1.1 505 ") || answer.starts_with("HTTP/1.1 400 "),
                "{why}: {answer}"
            );
        }
        let mut client = world.client();
        client.send(&PREFACE[..PREFACE.len() - 1]).await;
        world.ticks(3000).await;
        assert!(
            client.rest().await.starts_with("HTTP/1.1 408 "),
            "nobody waits for its last byte"
        );
    });
}

#[test]
fn where_http2_is_off_its_preface_is_a_bad_request() {
    let settings = ConnectionSettings {
        http2: None,
        ..ConnectionSettings::default()
    };
    on_a_data_thread(async {
        let world = World::with(settings, |_| {}).await;
        let mut client = world.client();
        client.send(PREFACE).await;
        assert!(client.rest().await.starts_with("HTTP/1.1 505 "));
    });
}

#[test]
fn more_streams_than_the_bound_wait_for_their_turn() {
    let settings = ConnectionSettings {
        http2: Some(Http2Settings {
            max_concurrent_streams: 1,
        }),
        ..ConnectionSettings::default()
    };
    on_a_data_thread(async {
        let world = World::with(settings, |_| {}).await;
        let (mut client, _end) = world.http2().await;
        let answer = patient(client.send_request(get("/deny")))
            .await
            .expect("the bound is known");
        text(answer).await;
        let first = client.send_request(get("/1"));
        let mut upstream = world.accept().await;
        assert!(upstream.head().await.starts_with("GET /1 "));
        let second = client.send_request(get("/2"));
        upstream.send(OK).await;
        text(patient(first).await.expect("an answer")).await;
        assert!(
            upstream.head().await.starts_with("GET /2 "),
            "on the same connection, after it"
        );
        upstream.send(OK).await;
        text(patient(second).await.expect("an answer")).await;
    });
}

#[test]
fn an_idle_connection_is_told_to_go_away_and_one_that_never_spoke_on_is_dropped() {
    let settings = ConnectionSettings {
        keep_alive_timeout: Duration::from_millis(30),
        ..ConnectionSettings::default()
    };
    on_a_data_thread(async {
        let world = World::with(settings, |_| {}).await;
        let (mut client, end) = world.http2().await;
        text(
            patient(client.send_request(get("/deny")))
                .await
                .expect("an answer"),
        )
        .await;
        patient(end).await.expect("told, and gone");
        let mut silent = world.client();
        silent.send(PREFACE).await;
        world.ticks(10).await;
        world.ticks(500).await;
        silent.end().await;
    });
}

#[test]
fn a_stream_that_nobody_reads_is_reset_and_its_neighbors_go_on() {
    let settings = ConnectionSettings {
        body_idle_timeout: Duration::from_millis(30),
        ..ConnectionSettings::default()
    };
    on_a_data_thread(async {
        let world = World::with(settings, |_| {}).await;
        let (mut client, _end) = world.http2().await;
        let stalled = client.send_request(get("/large"));
        let mut large = world.accept().await;
        large.head().await;
        large
            .send("HTTP/1.1 200 OK\r\nContent-Length: 1000000000\r\n\r\n")
            .await;
        // Its head is taken, and then no more.
        let stalled = patient(stalled).await.expect("a head");
        let piece = vec![b'x'; 64 * 1024];
        while patient(tokio::io::AsyncWriteExt::write_all(&mut large.stream, &piece))
            .await
            .is_ok()
        {}
        let neighbor = client.send_request(get("/deny"));
        assert_eq!(patient(neighbor).await.expect("an answer").status(), 401);
        patient(stalled.into_body().collect()).await.expect_err("reset");
    });
}

#[test]
fn a_request_body_that_stands_still_resets_its_stream_only() {
    let settings = ConnectionSettings {
        body_idle_timeout: Duration::from_millis(30),
        ..ConnectionSettings::default()
    };
    on_a_data_thread(async {
        let world = World::with(settings, |_| {}).await;
        let (mut client, _end) = world.http2().await;
        let (mut sending, pieces) = mpsc::channel(1);
        let answer = client.send_request(post(StreamBody::new(pieces.map(|p| Ok(Frame::data(p))))));
        sending.send(Bytes::from_static(b"half")).await.expect("sent");
        let mut upstream = world.accept().await;
        upstream.until("half").await;
        patient(answer).await.expect_err("reset");
        upstream.rest().await;
        let neighbor = client.send_request(get("/deny"));
        assert_eq!(patient(neighbor).await.expect("an answer").status(), 401);
    });
}

#[test]
fn a_client_that_gives_up_ends_the_exchange_with_the_app() {
    on_a_data_thread(async {
        let world = World::new().await;
        let (mut client, _end) = world.http2().await;
        let mut given_up: Pin<Box<dyn Future<Output = _>>> = Box::pin(client.send_request(get("/slow")));
        assert!(futures::poll!(given_up.as_mut()).is_pending());
        let mut upstream = world.accept().await;
        upstream.head().await;
        drop(given_up);
        upstream.rest().await;
    });
}

#[test]
fn giving_up_now_and_then_is_forgiven_who_lets_others_be_answered() {
    on_a_data_thread(async {
        let world = World::new().await;
        let (mut client, _end) = world.http2().await;
        // More in all than a client may give up in a row.
        for _ in 0..220 {
            let mut given_up: Pin<Box<dyn Future<Output = _>>> = Box::pin(client.send_request(get("/slow")));
            assert!(futures::poll!(given_up.as_mut()).is_pending());
            let mut upstream = world.accept().await;
            upstream.head().await;
            drop(given_up);
            upstream.rest().await;
            let answers = async {
                let mut upstream = world.accept().await;
                upstream.head().await;
                upstream
                    .send("HTTP/1.1 204 No Content\r\nconnection: close\r\n\r\n")
                    .await;
            };
            let (answer, ()) = futures::join!(patient(client.send_request(get("/"))), answers);
            assert_eq!(answer.expect("an answer").status(), StatusCode::NO_CONTENT);
        }
    });
}

#[test]
fn when_the_process_closes_clients_are_told_and_running_streams_end() {
    on_a_data_thread(async {
        let world = World::new().await;
        let (mut client, end) = world.http2().await;
        let running = client.send_request(get("/slow"));
        let mut upstream = world.accept().await;
        upstream.head().await;
        world.drain.advance(Stage::Closing);
        upstream.send(OK).await;
        assert_eq!(text(patient(running).await.expect("an answer")).await, "ok");
        patient(end).await.expect("and the connection ends");
    });
}
