//! Requests and answers under way at the same time: whose clock ends what.

use std::convert::Infallible;
use std::time::Duration;

use bytes::Bytes;
use futures::channel::mpsc;
use futures::{SinkExt, StreamExt};
use http::{Request, Response};
use http_body_util::{BodyExt, StreamBody};
use hyper::body::{Frame, Incoming};

use super::http2::Client;
use super::support::{World, on_a_data_thread, patient};
use crate::edge::proxy::ConnectionSettings;
use crate::edge::proxy::upstream::UpstreamSettings;

/// How long whoever is tested may stand still: so long that it never happens by itself.
const IDLE: Duration = Duration::from_secs(10);
/// Less than that, and more, in ticks of the tests' deadlines.
const LESS: u32 = 1500;
const MORE: u32 = 2100;

fn hasty(upstream: &mut UpstreamSettings) {
    upstream.idle_timeout = IDLE;
}

/// A client whose patience is what is tested.
fn impatient() -> ConnectionSettings {
    ConnectionSettings {
        body_idle_timeout: IDLE,
        ..ConnectionSettings::default()
    }
}

/// A POST over HTTP/2 whose pieces the test sends.
fn ask(
    client: &mut Client,
) -> (
    mpsc::Sender<Bytes>,
    impl Future<Output = hyper::Result<Response<Incoming>>>,
) {
    let (sending, pieces) = mpsc::channel(4);
    let body = StreamBody::new(pieces.map(|piece| Ok::<_, Infallible>(Frame::data(piece))));
    let request = Request::post("http://app.example/").body(body.boxed_unsync());
    let answer = client.send_request(request.expect("a request"));
    (sending, answer)
}

#[test]
fn an_answer_that_stands_still_is_given_up_though_the_request_waits_as_well() {
    on_a_data_thread(async {
        let world = World::with(ConnectionSettings::default(), hasty).await;
        let mut client = world.client();
        client
            .send("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\none\r\n")
            .await;
        let mut upstream = world.accept().await;
        upstream.until("one").await;
        upstream
            .send("HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhalf")
            .await;
        client.until("half").await;
        client.send("3\r\ntwo\r\n").await;
        upstream.until("two").await;
        // Nothing more from either. The client's own clock has a minute.
        world.ticks(MORE).await;
        client.rest().await;
        upstream.end().await;
    });
}

#[test]
fn a_request_that_moves_keeps_a_quiet_answer_alive() {
    on_a_data_thread(async {
        let world = World::with(ConnectionSettings::default(), hasty).await;
        let mut client = world.client();
        client
            .send("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\none\r\n")
            .await;
        let mut upstream = world.accept().await;
        upstream.until("one").await;
        upstream
            .send("HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nha")
            .await;
        client.until("ha").await;
        // More ticks in all than the answer may be quiet for, but never so many at once.
        for _ in 0..4 {
            world.ticks(LESS).await;
            client.send("3\r\ntwo\r\n").await;
            upstream.until("two").await;
        }
        upstream.send("lf").await;
        assert_eq!(client.until("lf").await, "lf");
    });
}

#[test]
fn a_request_may_be_quiet_over_http2_while_its_answer_moves() {
    on_a_data_thread(async {
        let world = World::with(impatient(), |_| {}).await;
        let (mut client, _end) = world.http2().await;
        let (mut sending, answer) = ask(&mut client);
        sending.send(Bytes::from_static(b"one")).await.expect("sent");
        let mut upstream = world.accept().await;
        upstream.until("one").await;
        upstream
            .send("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nhi\r\n")
            .await;
        let mut body = patient(answer).await.expect("an answer").into_body();
        for _ in 0..4 {
            patient(body.frame()).await.expect("a piece").expect("whole");
            world.ticks(LESS).await;
            upstream.send("2\r\nhi\r\n").await;
        }
        patient(body.frame()).await.expect("a piece").expect("whole");
        sending.send(Bytes::from_static(b"two")).await.expect("sent");
        upstream.until("two").await;
    });
}

#[test]
fn what_is_left_of_a_request_after_its_answer_has_the_clients_time() {
    on_a_data_thread(async {
        let world = World::with(impatient(), |_| {}).await;
        let (mut client, _end) = world.http2().await;
        let (mut sending, answer) = ask(&mut client);
        sending.send(Bytes::from_static(b"one")).await.expect("sent");
        let mut upstream = world.accept().await;
        upstream.until("one").await;
        upstream
            .send("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok")
            .await;
        let answer = patient(answer).await.expect("an answer");
        patient(answer.into_body().collect()).await.expect("a body");
        // The app reads on, the client sends nothing: the app learns that nothing more comes.
        world.ticks(MORE).await;
        upstream.end().await;
        drop(sending);
    });
}
