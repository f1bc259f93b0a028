//! An upstream that is down, slow, closing, or lying.

use std::time::Duration;

use super::support::{BEYOND_HASTY, HASTY, World, field, on_a_data_thread, patient};
use crate::edge::proxy::ConnectionSettings;
use crate::edge::proxy::upstream::tls::{Roots, TlsSettings};
use crate::edge::proxy::upstream::{Place, Security, UpstreamAddress, UpstreamSettings};
use crate::telemetry::labels::UpstreamFailure;

const GET: &str = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";
const OK: &str = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";

#[test]
fn an_upstream_that_is_down_is_told_at_once_and_the_connection_lives() {
    on_a_data_thread(async {
        let mut world = World::new().await;
        world.upstream = tokio::net::TcpListener::bind("127.0.0.1:0")
            .await
            .expect("another");
        let mut client = world.client();
        for body in ["", "hello"] {
            let length = body.len();
            client
                .send(&format!(
                    "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: {length}\r\n\r\n{body}"
                ))
                .await;
            let (head, body) = client.answer().await;
            assert!(head.starts_with("HTTP/1.1 502"), "{head}");
            assert!(body.contains("upstream_unreachable"), "{body}");
            assert_eq!(field(&head, "connection"), None);
        }
    });
}

#[test]
fn a_request_that_may_have_reached_the_app_is_never_sent_twice() {
    on_a_data_thread(async {
        let world = World::new().await;
        let mut client = world.client();
        client.send(GET).await;
        let mut upstream = world.accept().await;
        upstream.head().await;
        upstream.send(OK).await;
        client.answer().await;
        // The next one is read by the app, which then dies on it.
        client.send(GET).await;
        upstream.head().await;
        drop(upstream);
        let (head, body) = client.answer().await;
        assert!(head.starts_with("HTTP/1.1 502"), "{head}");
        assert!(body.contains("upstream_invalid_answer"), "{body}");
        let mut client = world.client();
        client.send("GET /next HTTP/1.1\r\nHost: a\r\n\r\n").await;
        let head = world.accept().await.head().await;
        assert!(
            head.starts_with("GET /next "),
            "the lost one was not repeated: {head}"
        );
    });
}

#[test]
fn a_connection_that_the_upstream_closed_meanwhile_is_replaced() {
    on_a_data_thread(async {
        let world = World::new().await;
        let mut client = world.client();
        for _ in 0..3 {
            client.send(GET).await;
            let mut upstream = world.accept().await;
            upstream.head().await;
            upstream.send(OK).await;
            let (head, _) = client.answer().await;
            assert!(head.starts_with("HTTP/1.1 200"), "{head}");
            // Closed while idle; the proxy learns of it whenever it learns.
            drop(upstream);
            tokio::task::yield_now().await;
        }
    });
}

#[test]
fn answers_with_two_readings_are_refused_and_their_connection_is_dropped() {
    on_a_data_thread(async {
        let world = World::new().await;
        for (answer, why) in [
            ("garbage\r\n\r\n", "no HTTP at all"),
            (
                "HTTP/1.1 101 Switching Protocols\r\nupgrade: x\r\nconnection: upgrade\r\n\r\n",
                "a switch that nobody asked for",
            ),
            (
                "HTTP/1.1 200 OK\r\ncontent-length: 2\r\ncontent-length: 2\r\n\r\nok",
                "two lengths",
            ),
            (
                "HTTP/1.1 200 OK\r\ncontent-length: 2\r\ncontent-length: 3\r\n\r\nok",
                "two different lengths",
            ),
            (
                "HTTP/1.1 200 OK\r\ncontent-length: 2, 2\r\n\r\nok",
                "a list of lengths",
            ),
            (
                "HTTP/1.1 200 OK\r\ncontent-length: +2\r\n\r\nok",
                "a signed length",
            ),
            (
                "HTTP/1.1 200 OK\r\ncontent-length: 2\r\ntransfer-encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
                "length and chunks",
            ),
            (
                "HTTP/1.1 200 OK\r\ntransfer-encoding: gzip\r\n\r\nok",
                "a coding that is not chunked",
            ),
            (
                "HTTP/1.1 200 OK\r\ntransfer-encoding: gzip, chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
                "a list of codings",
            ),
            (
                "HTTP/1.0 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
                "chunks in HTTP/1.0",
            ),
            (
                "HTTP/1.1 200 OK\r\nx : y\r\ncontent-length: 2\r\n\r\nok",
                "a space before the colon",
            ),
            ("", "an end without an answer"),
        ] {
            let mut client = world.client();
            client.send(GET).await;
            let mut upstream = world.accept().await;
            upstream.head().await;
            upstream.send(answer).await;
            if answer.is_empty() {
                drop(upstream);
            } else {
                assert_eq!(upstream.rest().await, "", "{why}");
            }
            let (head, body) = client.answer().await;
            assert!(head.starts_with("HTTP/1.1 502"), "{why}: {head}");
            assert!(body.contains("upstream_invalid_answer"), "{why}: {body}");
        }
    });
}

#[test]
fn bytes_behind_an_answer_reach_no_client() {
    on_a_data_thread(async {
        let world = World::new().await;
        let mut client = world.client();
        client.send(GET).await;
        let mut upstream = world.accept().await;
        upstream.head().await;
        upstream
            .send(&format!("{OK}HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nevil"))
            .await;
        assert_eq!(client.answer().await.1, "ok");
        assert_eq!(upstream.rest().await, "", "that connection is dropped");
        client.send(GET).await;
        let mut upstream = world.accept().await;
        upstream.head().await;
        upstream
            .send("HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\ngood")
            .await;
        assert_eq!(client.answer().await.1, "good");
    });
}

#[test]
fn a_body_that_breaks_off_breaks_off_for_the_client_too() {
    on_a_data_thread(async {
        let world = World::new().await;
        for answer in [
            "HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhalf",
            "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n9\r\nhalf",
        ] {
            let mut client = world.client();
            client.send(GET).await;
            let mut upstream = world.accept().await;
            upstream.head().await;
            upstream.send(answer).await;
            client.until("half").await;
            drop(upstream);
            let rest = client.rest().await;
            assert!(rest.trim().is_empty(), "no end is made up: {rest:?}");
        }
    });
}

#[test]
fn an_upstream_that_does_not_answer_is_left_after_its_time() {
    on_a_data_thread(async {
        let world = World::new().await;
        let mut client = world.client();
        client.send("GET /hasty HTTP/1.1\r\nHost: a\r\n\r\n").await;
        let mut upstream = world.accept().await;
        upstream.head().await;
        world.ticks(BEYOND_HASTY).await;
        let (head, body) = client.answer().await;
        assert!(head.starts_with("HTTP/1.1 504"), "{head}");
        assert!(body.contains("upstream_timeout"), "{body}");
        assert_eq!(upstream.rest().await, "", "and its connection is dropped");
    });
}

#[test]
fn the_upstreams_clock_stands_while_the_client_sends() {
    on_a_data_thread(async {
        let world = World::new().await;
        let mut client = world.client();
        client
            .send("POST /hasty HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\n")
            .await;
        let mut upstream = world.accept().await;
        upstream.head().await;
        for letter in ["l", "a", "t", "e"] {
            // Longer than the upstream's time, on the clock that it is measured by.
            world.ticks(BEYOND_HASTY).await;
            client.send(letter).await;
            assert_eq!(upstream.body(1).await, letter);
        }
        upstream.send(OK).await;
        assert!(client.answer().await.0.starts_with("HTTP/1.1 200"));
    });
}

#[test]
fn a_body_that_stands_still_is_given_up() {
    on_a_data_thread(async {
        let world = World::with(ConnectionSettings::default(), |upstream| {
            upstream.idle_timeout = Duration::from_millis(30);
        })
        .await;
        let mut client = world.client();
        client.send(GET).await;
        let mut upstream = world.accept().await;
        upstream.head().await;
        upstream
            .send("HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhalf")
            .await;
        client.until("half").await;
        assert_eq!(client.rest().await, "");
        assert_eq!(upstream.rest().await, "");
    });
}

#[test]
fn an_exchange_that_takes_too_long_as_a_whole_ends_though_it_moves() {
    on_a_data_thread(async {
        let adapt = |settings: &mut UpstreamSettings| settings.total_timeout = Some(HASTY);
        let world = World::with(ConnectionSettings::default(), adapt).await;
        let failures = world.metrics.for_upstream("api").failures;
        let mut client = world.client();
        client.send(GET).await;
        let mut upstream = world.accept().await;
        upstream.head().await;
        world.ticks(BEYOND_HASTY).await;
        let (head, body) = client.answer().await;
        assert!(
            head.starts_with("HTTP/1.1 504") && body.contains("upstream_timeout"),
            "{head}{body}"
        );
        assert_eq!(failures.count(UpstreamFailure::TotalTimeout), 1);

        let mut client = world.client();
        client.send(GET).await;
        let mut upstream = world.accept().await;
        upstream.head().await;
        upstream
            .send("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n")
            .await;
        client.head().await;
        // It never stands still for long.
        while failures.count(UpstreamFailure::TotalTimeout) < 2 {
            upstream.send("1\r\nx\r\n").await;
            world.ticks(BEYOND_HASTY / 10).await;
        }
        let rest = client.rest().await;
        assert!(!rest.ends_with("0\r\n\r\n"), "it broke off: {rest}");

        // The next request of a connection has a time of its own.
        let adapt = |settings: &mut UpstreamSettings| {
            settings.total_timeout = Some(Duration::from_secs(60));
            settings.response_timeout = Duration::from_secs(60);
        };
        let world = World::with(ConnectionSettings::default(), adapt).await;
        let mut client = world.client();
        for _ in 0..2 {
            client.send(GET).await;
            let mut upstream = world.accept().await;
            upstream.head().await;
            world.ticks(8000).await;
            upstream
                .send("HTTP/1.1 200 OK\r\ncontent-length: 2\r\nconnection: close\r\n\r\nok")
                .await;
            assert_eq!(client.answer().await.1, "ok");
        }
    });
}

#[test]
fn a_connection_that_was_idle_for_too_long_is_closed() {
    on_a_data_thread(async {
        let world = World::new().await;
        let mut client = world.client();
        client.send(GET).await;
        let mut upstream = world.accept().await;
        upstream.head().await;
        upstream.send(OK).await;
        assert_eq!(client.answer().await.1, "ok");
        let view = world.engine.view();
        let pool = view.upstream(&"api".into()).expect("it");
        let bound = pool.settings().idle_timeout;
        world.clock.advance(bound - Duration::from_millis(1));
        pool.prune();
        assert_eq!(pool.idle(), 1);
        world.clock.advance(Duration::from_millis(1));
        pool.prune();
        assert_eq!(pool.idle(), 0);
        assert_eq!(upstream.rest().await, "");
    });
}

#[test]
fn no_more_idle_connections_are_kept_than_the_bound() {
    on_a_data_thread(async {
        let world = World::with(ConnectionSettings::default(), |upstream| {
            upstream.max_idle_per_thread = 1;
        })
        .await;
        let mut both = Vec::new();
        for _ in 0..2 {
            let mut client = world.client();
            client.send(GET).await;
            let mut upstream = world.accept().await;
            upstream.head().await;
            both.push((client, upstream));
        }
        for (client, upstream) in &mut both {
            upstream.send(OK).await;
            assert_eq!(client.answer().await.1, "ok");
        }
        let (_, mut second) = both.pop().expect("two");
        assert_eq!(second.rest().await, "", "the one too many is closed");
        let (mut client, mut first) = both.pop().expect("one");
        client.send(GET).await;
        first.head().await;
        first.send(OK).await;
        assert_eq!(client.answer().await.1, "ok", "and the other one used again");
    });
}

#[test]
fn a_connection_whose_request_is_not_out_yet_is_not_used_for_another() {
    on_a_data_thread(async {
        let world = World::new().await;
        let mut slow = world.client();
        slow.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nhalf")
            .await;
        let mut first = world.accept().await;
        first.until("half").await;
        first.send(OK).await;
        assert_eq!(slow.answer().await.1, "ok", "an early answer");
        let mut client = world.client();
        client.send(GET).await;
        let mut second = world.accept().await;
        assert!(
            second.head().await.starts_with("GET / "),
            "on a connection of its own"
        );
        second.send(OK).await;
        assert_eq!(client.answer().await.1, "ok");
    });
}

#[test]
fn a_connection_that_was_closed_does_not_take_anothers_place() {
    on_a_data_thread(async {
        let adapt = |settings: &mut UpstreamSettings| settings.max_idle_per_thread = 1;
        let world = World::with(ConnectionSettings::default(), adapt).await;
        let open = &world.metrics.for_upstream("api").connections;
        let mut client = world.client();
        client.send(GET).await;
        let mut first = world.accept().await;
        first.head().await;
        first.send(OK).await;
        client.answer().await;
        drop(first);
        patient(async {
            while open.get() > 0 {
                tokio::task::yield_now().await;
            }
        })
        .await;
        client.send(GET).await;
        let mut second = world.accept().await;
        for _ in 0..3 {
            second.head().await;
            second.send(OK).await;
            assert_eq!(client.answer().await.1, "ok");
            client.send(GET).await;
        }
    });
}

#[test]
fn an_upstream_that_never_greets_is_given_up_when_the_time_to_connect_is_over() {
    on_a_data_thread(async {
        let world = World::with(ConnectionSettings::default(), |settings| {
            let Place::Ip(address) = *settings.targets[0].address.place() else {
                panic!("an address")
            };
            let over_tls = UpstreamAddress::new(Security::Tls, "127.0.0.1", address.port());
            settings.targets[0].address = over_tls.expect("an address");
            settings.connect_timeout = Duration::from_millis(20);
            let made = rcgen::generate_simple_self_signed(["a".to_owned()]).expect("a certificate");
            settings.tls = std::sync::Arc::new(TlsSettings {
                roots: Roots::Given(vec![made.cert.der().clone()]),
                ..TlsSettings::default()
            });
        })
        .await;
        let failures = world.metrics.for_upstream("api").failures;
        let mut client = world.client();
        client.send(GET).await;
        let (head, body) = client.answer().await;
        assert!(
            head.starts_with("HTTP/1.1 504") && body.contains("upstream_timeout"),
            "{head}{body}"
        );
        assert_eq!(failures.count(UpstreamFailure::ConnectTimeout), 1);
    });
}

#[test]
fn a_connection_that_spoke_unasked_or_was_left_within_an_answer_carries_no_other_request() {
    on_a_data_thread(async {
        for said in [
            "HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nevil",
            "HTTP/1.1 408 Request Timeout\r\ncontent-length: 0\r\n\r\n",
            "HTTP/1.1 100 Continue\r\n\r\n",
            "\r\n",
            "e",
        ] {
            let world = World::new().await;
            let mut client = world.client();
            client.send(GET).await;
            let mut first = world.accept().await;
            first.head().await;
            first.send(OK).await;
            assert_eq!(client.answer().await.1, "ok");
            // While it waits for the next request.
            first.send(said).await;
            assert_eq!(first.rest().await, "", "{said:?}: it is closed");
            client.send(GET).await;
            let mut second = world.accept().await;
            second.head().await;
            second.send(OK).await;
            assert_eq!(client.answer().await.1, "ok", "{said:?}");
        }
        let world = World::new().await;
        let mut client = world.client();
        client.send(GET).await;
        let mut first = world.accept().await;
        first.head().await;
        first
            .send("HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhalf")
            .await;
        client.until("half").await;
        drop(client);
        assert_eq!(first.rest().await, "", "nobody reads the rest of it");
        let view = world.engine.view();
        assert_eq!(view.upstream(&"api".into()).expect("it").idle(), 0);
    });
}
