//! What passes, and how it looks on the other side.

use super::support::{World, field, on_a_data_thread};
use crate::runtime::drain::Stage;

const GET: &str = "GET /a?b=c HTTP/1.1\r\nHost: app.example\r\n\r\n";
const OK: &str = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";

#[test]
fn a_request_is_forwarded_and_both_connections_are_used_again() {
    on_a_data_thread(async {
        let world = World::new().await;
        let mut client = world.client();
        client.send(GET).await;
        let mut upstream = world.accept().await;
        for round in 0..3 {
            let head = upstream.head().await;
            assert!(head.starts_with("GET /a?b=c HTTP/1.1\r\n"), "{head}");
            assert_eq!(field(&head, "host"), Some("app.example"));
            assert_eq!(field(&head, "x-auth-principal"), Some("anonymous"));
            upstream.send(OK).await;
            let (head, body) = client.answer().await;
            assert!(head.starts_with("HTTP/1.1 200 OK\r\n"), "{head}");
            assert_eq!(
                (body.as_str(), field(&head, "connection")),
                ("ok", None),
                "round {round}"
            );
            client.send(GET).await;
        }
        upstream.head().await;
    });
}

#[test]
fn bodies_stream_both_ways_without_waiting_for_their_end() {
    on_a_data_thread(async {
        let world = World::new().await;
        let mut client = world.client();
        client
            .send("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n")
            .await;
        let mut upstream = world.accept().await;
        let head = upstream.head().await;
        assert_eq!(field(&head, "transfer-encoding"), Some("chunked"));
        upstream
            .send("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n")
            .await;
        for word in ["one", "two", "six"] {
            client.send(&format!("3\r\n{word}\r\n")).await;
            assert_eq!(upstream.until(word).await, format!("3\r\n{word}"));
            upstream.body(2).await;
            upstream.send(&format!("3\r\n{word}\r\n")).await;
            client.until(&format!("3\r\n{word}\r\n")).await;
        }
        client.send("0\r\nX-Auth-Subject: evil\r\n\r\n").await;
        assert_eq!(upstream.body(5).await, "0\r\n\r\n", "trailers end here");
        upstream.send("0\r\nX-Trailer: t\r\n\r\n").await;
        assert_eq!(client.until("0\r\n\r\n").await, "0\r\n\r\n");
        client.send(GET).await;
        upstream.head().await;
    });
}

#[test]
fn a_body_of_get_is_not_lost() {
    on_a_data_thread(async {
        let world = World::new().await;
        let mut client = world.client();
        client
            .send("GET / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n")
            .await;
        let mut upstream = world.accept().await;
        upstream.head().await;
        assert_eq!(upstream.until("0\r\n\r\n").await, "2\r\nhi\r\n0\r\n\r\n");
        upstream.send(OK).await;
        client.answer().await;
        client
            .send("GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nhi")
            .await;
        let head = upstream.head().await;
        assert_eq!(field(&head, "content-length"), Some("2"));
        assert_eq!(upstream.body(2).await, "hi");
    });
}

#[test]
fn what_concerns_one_connection_ends_here_in_both_directions() {
    on_a_data_thread(async {
        let world = World::new().await;
        let mut client = world.client();
        client
            .send(
                "GET / HTTP/1.1\r\nHost: a\r\nConnection: upgrade, x-auth-principal, x-mine, host\r\nUpgrade: h2c\r\n\
                 HTTP2-Settings: AAMA\r\nTE: trailers\r\nKeep-Alive: 5\r\nProxy-Authorization: x\r\nX-Mine: 1\r\n\
                 Expect: 100-continue\r\nX-Kept: 1\r\n\r\n",
            )
            .await;
        let mut upstream = world.accept().await;
        let head = upstream.head().await;
        let gone = [
            "connection",
            "upgrade",
            "http2-settings",
            "te",
            "keep-alive",
            "proxy-authorization",
            "x-mine",
            "expect",
        ];
        for name in gone {
            assert_eq!(field(&head, name), None, "{name} in {head}");
        }
        for name in ["x-auth-principal", "x-kept", "host"] {
            assert!(field(&head, name).is_some(), "{name} in {head}");
        }
        upstream
            .send("HTTP/1.1 200 OK\r\nconnection: x-secret\r\nkeep-alive: 5\r\nx-secret: 1\r\nx-kept: 1\r\nupgrade: h2c\r\ncontent-length: 0\r\n\r\n")
            .await;
        let (head, _) = client.answer().await;
        for name in ["connection", "keep-alive", "x-secret", "upgrade"] {
            assert_eq!(field(&head, name), None, "{name} in {head}");
        }
        assert_eq!(field(&head, "x-kept"), Some("1"));
    });
}

#[test]
fn continue_is_said_only_once_the_upstream_has_the_request() {
    on_a_data_thread(async {
        let world = World::new().await;
        let mut client = world.client();
        client
            .send("PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\n")
            .await;
        let mut upstream = world.accept().await;
        let head = upstream.head().await;
        assert_eq!(field(&head, "expect"), None);
        assert_eq!(client.head().await, "HTTP/1.1 100 Continue\r\n\r\n");
        client.send("hi").await;
        assert_eq!(upstream.body(2).await, "hi");
        upstream.send(OK).await;
        assert!(client.head().await.starts_with("HTTP/1.1 200"));
    });
}

#[test]
fn answers_without_a_body_keep_their_shape() {
    on_a_data_thread(async {
        let world = World::new().await;
        let mut client = world.client();
        let rows = [
            (
                "HEAD",
                "HTTP/1.1 200 OK\r\ncontent-length: 1234\r\n\r\n",
                "200",
                Some("1234"),
            ),
            (
                "HEAD",
                "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n",
                "200",
                None,
            ),
            ("GET", "HTTP/1.1 204 No Content\r\n\r\n", "204", None),
            ("GET", "HTTP/1.1 304 Not Modified\r\netag: x\r\n\r\n", "304", None),
            (
                "GET",
                "HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n",
                "200",
                Some("0"),
            ),
            (
                "GET",
                "HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 204 No Content\r\n\r\n",
                "204",
                None,
            ),
        ];
        let mut upstream = None;
        for (method, answer, status, length) in rows {
            client
                .send(&format!("{method} / HTTP/1.1\r\nHost: a\r\n\r\n"))
                .await;
            if upstream.is_none() {
                upstream = Some(world.accept().await);
            }
            let upstream = upstream.as_mut().expect("accepted");
            upstream.head().await;
            upstream.send(answer).await;
            let head = client.head().await;
            assert!(head.starts_with(&format!("HTTP/1.1 {status}")), "{head}");
            assert_eq!(field(&head, "content-length"), length, "{method} {head}");
        }
    });
}

#[test]
fn http_1_0_clients_are_closed_unless_they_ask() {
    on_a_data_thread(async {
        let world = World::new().await;
        let mut client = world.client();
        client
            .send("GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n")
            .await;
        let mut upstream = world.accept().await;
        let head = upstream.head().await;
        let port = world.upstream.local_addr().expect("address").port();
        assert_eq!(field(&head, "host"), Some(format!("127.0.0.1:{port}").as_str()));
        upstream.send(OK).await;
        let (head, _) = client.answer().await;
        assert!(head.starts_with("HTTP/1.0 200"), "{head}");
        assert_eq!(field(&head, "connection"), Some("keep-alive"));
        client.send("GET / HTTP/1.0\r\n\r\n").await;
        upstream.head().await;
        upstream
            .send("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n")
            .await;
        let head = client.head().await;
        assert_eq!(
            field(&head, "transfer-encoding"),
            None,
            "chunks are unknown to HTTP/1.0"
        );
        assert_eq!(client.rest().await, "ok");
    });
}

#[test]
fn absolute_form_is_forwarded_in_origin_form() {
    on_a_data_thread(async {
        let world = World::new().await;
        let mut client = world.client();
        client.send("GET http://app/x?y HTTP/1.0\r\n\r\n").await;
        let mut upstream = world.accept().await;
        let head = upstream.head().await;
        assert!(head.starts_with("GET /x?y HTTP/1.1\r\n"), "{head}");
        assert_eq!(field(&head, "host"), Some("app"));
    });
}

#[test]
fn an_early_answer_reaches_a_client_that_is_still_sending() {
    on_a_data_thread(async {
        let world = World::new().await;
        let mut client = world.client();
        client
            .send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 100000\r\n\r\nstart")
            .await;
        let mut upstream = world.accept().await;
        upstream.until("start").await;
        upstream
            .send("HTTP/1.1 413 Too Large\r\ncontent-length: 2\r\nconnection: close\r\n\r\nno")
            .await;
        drop(upstream);
        let (head, body) = client.answer().await;
        assert!(head.starts_with("HTTP/1.1 413"), "{head}");
        assert_eq!(body, "no");
        client.send(&"x".repeat(50_000)).await;
        assert_eq!(client.rest().await, "");
    });
}

#[test]
fn a_client_that_leaves_takes_its_request_with_it() {
    on_a_data_thread(async {
        let world = World::new().await;
        let mut client = world.client();
        client.send(GET).await;
        let mut upstream = world.accept().await;
        upstream.head().await;
        drop(client);
        assert_eq!(upstream.rest().await, "", "the upstream's connection ends");
    });
}

#[test]
fn closing_tells_clients_with_an_answer_and_ended_closes_the_idle() {
    on_a_data_thread(async {
        let world = World::new().await;
        let (mut told, mut idle) = (world.client(), world.client());
        told.send(GET).await;
        let mut upstream = world.accept().await;
        upstream.head().await;
        world.drain.advance(Stage::Closing);
        upstream.send(OK).await;
        let (head, _) = told.answer().await;
        assert_eq!(field(&head, "connection"), Some("close"));
        assert_eq!(told.rest().await, "");
        idle.send(GET).await;
        upstream.head().await;
        world.drain.advance(Stage::Ended);
        upstream.send(OK).await;
        let (head, body) = idle.answer().await;
        assert!(
            head.starts_with("HTTP/1.1 200"),
            "a running request ends well: {head}"
        );
        assert_eq!(body, "ok");
        assert_eq!(idle.rest().await, "");
        assert_eq!(world.client().rest().await, "", "one that says nothing is closed");
    });
}

#[test]
fn a_silent_connection_is_closed_at_the_end_of_a_drain_that_came_in_stages() {
    on_a_data_thread(async {
        let world = World::new().await;
        let (mut fresh, mut idle) = (world.client(), world.client());
        idle.send("GET /deny HTTP/1.1\r\nHost: a\r\n\r\n").await;
        idle.answer().await;
        for stage in [Stage::Leaving, Stage::Closing, Stage::Ended] {
            world.drain.advance(stage);
            world.ticks(1).await;
        }
        assert_eq!((fresh.rest().await, idle.rest().await), Default::default());
    });
}
