//! Upstreams that speak HTTP/2: hyper's server, in the hand of the test.

use std::convert::Infallible;
use std::time::Duration;

use bytes::Bytes;
use futures::StreamExt;
use futures::channel::{mpsc, oneshot};
use http::{HeaderMap, HeaderValue, Request, Response};
use http_body_util::{BodyExt, Full, StreamBody, combinators::UnsyncBoxBody};
use hyper::body::{Frame, Incoming};
use hyper::server::conn::http2;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;

use super::http2::Here;
use super::support::{BEYOND_HASTY, HASTY, World, field, on_a_data_thread, patient};
use crate::edge::proxy::ConnectionSettings;
use crate::edge::proxy::upstream::{Protocol, UpstreamSettings};
use crate::runtime::workers::spawn_here;
use crate::telemetry::labels::{ConnectOutcome, UpstreamFailure};

type Answer = Response<UnsyncBoxBody<Bytes, Infallible>>;

/// A request at the upstream, and where its answer goes.
struct Arrived {
    connection: usize,
    request: Request<Incoming>,
    answer: oneshot::Sender<Answer>,
}

impl Arrived {
    fn ok(self) {
        let answer = Response::new(Full::new(Bytes::from_static(b"ok")).boxed_unsync());
        let _ = self.answer.send(answer);
    }
}

async fn world(adapt: impl Fn(&mut UpstreamSettings)) -> World {
    World::with(ConnectionSettings::default(), |settings| {
        settings.protocol = Protocol::Http2;
        adapt(settings);
    })
    .await
}

/// Serves every connection to the upstream; tells of every request.
fn serve(world: &mut World) -> mpsc::Receiver<Arrived> {
    let (tell, arrivals) = mpsc::channel(16);
    let listener = world.take_upstream();
    spawn_here(async move {
        for connection in 0_usize.. {
            let Ok((stream, _)) = listener.accept().await else {
                return;
            };
            let tell = tell.clone();
            let service = service_fn(move |request| {
                let (answer, answered) = oneshot::channel();
                let mut tell = tell.clone();
                let arrived = Arrived {
                    connection,
                    request,
                    answer,
                };
                async move {
                    tell.try_send(arrived)
                        .map_err(|_| std::io::Error::other("nobody looks"))?;
                    answered.await.map_err(std::io::Error::other)
                }
            });
            let serving = http2::Builder::new(Here).serve_connection(TokioIo::new(stream), service);
            spawn_here(async move {
                let _ = serving.await;
            });
        }
    });
    arrivals
}

async fn next(arrivals: &mut mpsc::Receiver<Arrived>) -> Arrived {
    patient(arrivals.next()).await.expect("a request")
}

#[test]
fn a_request_over_http1_becomes_one_of_http2_and_its_answer_comes_back() {
    on_a_data_thread(async {
        let mut world = world(|_| {}).await;
        let mut arrivals = serve(&mut world);
        let mut client = world.client();
        client
            .send("POST /a?b=c HTTP/1.1\r\nHost: app.example\r\nConnection: x\r\nX: y\r\nTE: trailers\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nx-auth-subject: root\r\n\r\n")
            .await;
        let arrived = next(&mut arrivals).await;
        let (parts, body) = arrived.request.into_parts();
        assert_eq!(parts.uri.to_string(), "http://app.example/a?b=c");
        for name in ["x", "te", "host", "transfer-encoding", "connection"] {
            assert!(!parts.headers.contains_key(name), "{name}");
        }
        let via = parts.headers.get("via");
        assert_eq!(
            via,
            Some(&HeaderValue::from_static("1.1 doorward")),
            "what came in"
        );
        let body = patient(body.collect()).await.expect("a body");
        assert_eq!(body.trailers(), None, "what HTTP/1 says there ends here");
        assert_eq!(body.to_bytes(), "hello");
        let answer = Response::builder().header("x-a", "b").status(201);
        let answer = answer.body(Full::new(Bytes::from_static(b"made")).boxed_unsync());
        let _ = arrived.answer.send(answer.expect("an answer"));
        let (head, body) = client.answer().await;
        assert!(head.starts_with("HTTP/1.1 201"), "{head}");
        assert_eq!((field(&head, "x-a"), body.as_str()), (Some("b"), "made"));
        client.send("GET / HTTP/1.0\r\n\r\n").await;
        let arrived = next(&mut arrivals).await;
        let authority = arrived.request.uri().authority().map(ToString::to_string);
        assert_eq!(
            authority.as_deref(),
            world.directory.settings().authority().to_str().ok(),
            "its own"
        );
        let via = arrived.request.headers().get("via");
        assert_eq!(via, Some(&HeaderValue::from_static("1.0 doorward")));
        arrived.ok();
    });
}

#[test]
fn trailers_pass_where_both_ends_speak_http2_but_none_that_a_head_may_not_have() {
    on_a_data_thread(async {
        let mut world = world(|_| {}).await;
        let mut arrivals = serve(&mut world);
        let (mut client, _end) = world.http2().await;
        let fields = |names: &[&'static str]| {
            let field = |name: &&'static str| (name.parse().expect("a name"), HeaderValue::from_static("v"));
            names.iter().map(field).collect::<HeaderMap>()
        };
        let sent = fields(&[
            "x-checksum",
            "x-auth-subject",
            "X_Auth_Roles",
            "authorization",
            "host",
        ]);
        let frames = [
            Ok(Frame::data(Bytes::from_static(b"hello"))),
            Ok(Frame::trailers(sent)),
        ];
        let request = Request::post("http://app.example/pkg.Service/Method")
            .header("te", "trailers")
            .header("content-type", "application/grpc")
            .body(StreamBody::new(futures::stream::iter(frames)).boxed_unsync())
            .expect("a request");
        let answer = client.send_request(request);
        let arrived = next(&mut arrivals).await;
        let (parts, body) = arrived.request.into_parts();
        assert_eq!(
            parts.headers.get("te"),
            Some(&HeaderValue::from_static("trailers"))
        );
        let via = parts.headers.get("via");
        assert_eq!(via, Some(&HeaderValue::from_static("2.0 doorward")));
        let body = patient(body.collect()).await.expect("a body");
        assert_eq!(body.trailers(), Some(&fields(&["x-checksum"])));
        assert_eq!(body.to_bytes(), "hello");
        let frames = [
            Ok(Frame::data(Bytes::from_static(b"done"))),
            Ok(Frame::trailers(fields(&["grpc-status", "content-length"]))),
        ];
        let body = StreamBody::new(futures::stream::iter(frames)).boxed_unsync();
        let _ = arrived.answer.send(Response::new(body));
        let answer = patient(answer).await.expect("an answer");
        let body = patient(answer.into_body().collect()).await.expect("a body");
        assert_eq!(body.trailers(), Some(&fields(&["grpc-status"])));
        assert_eq!(body.to_bytes(), "done");
    });
}

#[test]
fn requests_share_a_connection_up_to_the_bound_and_the_first_ones_wait_for_it() {
    on_a_data_thread(async {
        let mut world = world(|settings| settings.max_streams = 2).await;
        let mut arrivals = serve(&mut world);
        let mut clients: Vec<_> = (0..4).map(|_| world.client()).collect();
        for client in &mut clients {
            client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
        }
        let mut met = Vec::new();
        for _ in 0..4 {
            met.push(next(&mut arrivals).await);
        }
        let mut connections: Vec<usize> = met.iter().map(|a| a.connection).collect();
        connections.sort_unstable();
        assert_eq!(connections, [0, 0, 1, 1]);
        met.into_iter().for_each(Arrived::ok);
        for client in &mut clients {
            assert_eq!(client.answer().await.1, "ok");
        }
        let connects = &world.metrics.for_upstream("api").connects;
        assert_eq!(connects.count(ConnectOutcome::Connected), 2);
        clients[0].send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
        next(&mut arrivals).await.ok();
        clients[0].answer().await;
        assert_eq!(connects.count(ConnectOutcome::Connected), 2, "they are kept");
    });
}

#[test]
fn a_connection_on_which_no_answer_came_gets_no_more_requests() {
    on_a_data_thread(async {
        let mut world = world(|settings| settings.response_timeout = HASTY).await;
        let mut arrivals = serve(&mut world);
        let mut client = world.client();
        client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
        let silent = next(&mut arrivals).await;
        world.ticks(BEYOND_HASTY).await;
        let (head, body) = client.answer().await;
        assert!(
            head.starts_with("HTTP/1.1 504") && body.contains("upstream_timeout"),
            "{head}{body}"
        );
        let mut client = world.client();
        client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
        let arrived = next(&mut arrivals).await;
        assert_ne!(arrived.connection, silent.connection);
        arrived.ok();
        assert_eq!(client.answer().await.1, "ok");
    });
}

#[test]
fn a_shared_connection_ends_when_it_was_unused_for_too_long_and_not_before() {
    on_a_data_thread(async {
        let mut world = world(|_| {}).await;
        let mut arrivals = serve(&mut world);
        let view = world.engine.view();
        let pool = view.upstream(&"api".into()).expect("it");
        let bound = pool.settings().idle_timeout;
        let mut client = world.client();
        let mut ask = async |world: &World| {
            client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
            let arrived = next(&mut arrivals).await;
            let connection = arrived.connection;
            world.clock.advance(bound * 2);
            pool.prune();
            arrived.ok();
            assert_eq!(client.answer().await.1, "ok");
            connection
        };
        assert_eq!(ask(&world).await, 0);
        assert_eq!(ask(&world).await, 0, "in use, however long, is not unused");
        world.clock.advance(bound - Duration::from_millis(1));
        pool.prune();
        assert_eq!(ask(&world).await, 0, "nor is what was used a moment ago");
        world.clock.advance(bound);
        pool.prune();
        assert_eq!(pool.idle(), 0);
        assert_eq!(ask(&world).await, 1);
    });
}

#[test]
fn an_answer_with_two_readings_or_an_endless_head_is_none_over_http2_either() {
    on_a_data_thread(async {
        let mut world = world(|_| {}).await;
        let mut arrivals = serve(&mut world);
        let long = "x".repeat(30_000);
        for (fields, why) in [
            (
                vec![("content-length", "2"), ("content-length", "2")],
                "two lengths",
            ),
            (
                vec![("a", &*long), ("b", &*long), ("c", &*long)],
                "a head beyond the bound",
            ),
        ] {
            let mut client = world.client();
            client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
            let arrived = next(&mut arrivals).await;
            let mut answer = Response::builder();
            for (name, value) in fields {
                answer = answer.header(name, value);
            }
            let answer = answer.body(Full::new(Bytes::from_static(b"ok")).boxed_unsync());
            let _ = arrived.answer.send(answer.expect("an answer"));
            let (head, body) = client.answer().await;
            assert!(
                head.starts_with("HTTP/1.1 502") && body.contains("upstream_invalid_answer"),
                "{why}: {head}{body}"
            );
        }
    });
}

#[test]
fn a_body_beyond_the_bound_is_the_clients_fault_over_http2_too() {
    on_a_data_thread(async {
        let mut world = world(|_| {}).await;
        let mut arrivals = serve(&mut world);
        let mut client = world.client();
        client
            .send("POST /small/ HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n")
            .await;
        let _arrived = next(&mut arrivals).await;
        client.send("6\r\nagain!\r\n0\r\n\r\n").await;
        let (head, body) = client.answer().await;
        assert!(
            head.starts_with("HTTP/1.1 413") && body.contains("body_too_large"),
            "{head}{body}"
        );
        let failures = &world.metrics.for_upstream("api").failures;
        assert_eq!(failures.count(UpstreamFailure::InvalidAnswer), 0);
    });
}
