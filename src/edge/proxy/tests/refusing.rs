//! What is refused, and what becomes of the connection.

use std::time::Duration;

use super::support::{World, field, on_a_data_thread};
use crate::edge::proxy::ConnectionSettings;

const DENIED: &str = "GET /deny HTTP/1.1\r\nHost: a\r\n\r\n";

#[test]
fn keep_alive_survives_a_refusal_whatever_short_body_came_with_it() {
    on_a_data_thread(async {
        let world = World::new().await;
        let mut client = world.client();
        let smuggled = "GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n";
        for (now, later) in [
            ("", ""),
            (smuggled, ""),
            ("", smuggled),
            ("GET /sm", "uggled HTTP/1.1\r\n\r\n"),
        ] {
            let length = now.len() + later.len();
            client
                .send(&format!(
                    "POST /deny HTTP/1.1\r\nHost: a\r\nContent-Length: {length}\r\n\r\n{now}"
                ))
                .await;
            let (head, body) = client.answer().await;
            assert!(head.starts_with("HTTP/1.1 401"), "{head}");
            assert_eq!(field(&head, "connection"), None);
            assert!(body.contains("credential_missing"), "{body}");
            client.send(later).await;
        }
        client.send("GET /real HTTP/1.1\r\nHost: a\r\n\r\n").await;
        let head = world.accept().await.head().await;
        assert!(head.starts_with("GET /real "), "no body became a request: {head}");
    });
}

#[test]
fn a_refusal_with_a_body_of_unknown_or_great_length_announces_the_end() {
    on_a_data_thread(async {
        let world = World::new().await;
        for framing in [
            "Content-Length: 2000000",
            "Transfer-Encoding: chunked",
            "Content-Length: 5\r\nExpect: 100-continue",
        ] {
            let mut client = world.client();
            client
                .send(&format!("POST /deny HTTP/1.1\r\nHost: a\r\n{framing}\r\n\r\n"))
                .await;
            let (head, _) = client.answer().await;
            assert!(
                head.starts_with("HTTP/1.1 401"),
                "no 100 Continue before it: {head}"
            );
            assert_eq!(field(&head, "connection"), Some("close"), "{framing}");
            client.send("4\r\nGET \r\n").await;
            assert_eq!(client.rest().await, "");
        }
    });
}

#[test]
fn a_client_of_http10_that_asks_to_be_kept_is_told_one_thing_only() {
    on_a_data_thread(async {
        let world = World::new().await;
        // It knows nothing of `Expect`, so its body is on its way and short enough to be read past.
        for (framing, connection, why) in [
            (
                "Content-Length: 3\r\nExpect: 100-continue",
                "keep-alive",
                "a short body",
            ),
            ("Content-Length: 3", "keep-alive", "the same"),
            ("Content-Length: 2000000", "close", "a long one"),
        ] {
            let mut client = world.client();
            let head =
                format!("PATCH /deny HTTP/1.0\r\nHost: a\r\nConnection: keep-alive\r\n{framing}\r\n\r\n");
            client.send(&format!("{head}abc")).await;
            let (head, _) = client.answer().await;
            assert!(head.starts_with("HTTP/1.0 401"), "{why}: {head}");
            let said = head.to_ascii_lowercase().matches("connection:").count();
            assert_eq!(
                (said, field(&head, "connection")),
                (1, Some(connection)),
                "{why}: {head}"
            );
            if connection == "close" {
                assert_eq!(client.rest().await, "", "{why}");
            } else {
                client.send(DENIED).await;
                assert!(client.answer().await.0.starts_with("HTTP/1.1 401"), "{why}");
            }
        }
    });
}

#[test]
fn a_bad_head_is_answered_in_our_words_after_earlier_answers() {
    on_a_data_thread(async {
        let world = World::new().await;
        let mut client = world.client();
        client
            .send(&format!(
                "{DENIED}{DENIED}GET / HTTP/1.1\r\nHost : a\r\n\r\n{DENIED}"
            ))
            .await;
        for _ in 0..2 {
            assert!(client.answer().await.0.starts_with("HTTP/1.1 401"));
        }
        let (head, body) = client.answer().await;
        assert!(head.starts_with("HTTP/1.1 400"), "{head}");
        assert_eq!(field(&head, "connection"), Some("close"));
        assert_eq!(field(&head, "content-type"), Some("application/problem+json"));
        assert!(body.contains("ambiguous_framing"), "{body}");
        assert_eq!(client.rest().await, "");
    });
}

#[test]
fn bounds_of_heads_are_answered_by_their_own_status() {
    on_a_data_thread(async {
        let settings = ConnectionSettings {
            head_timeout: Duration::from_millis(30),
            ..ConnectionSettings::default()
        };
        let world = World::with(settings, |_| {}).await;
        let many = "X: y\r\n".repeat(101);
        for (head, status) in [
            (
                format!("GET / HTTP/1.1\r\nHost: a\r\nX: {}\r\n\r\n", "x".repeat(40_000)),
                "431",
            ),
            (format!("GET / HTTP/1.1\r\nHost: a\r\n{many}\r\n"), "431"),
            ("GET / HTTP/1.1\r\nHo".to_owned(), "408"),
            ("GET / HTTP/3.0\r\n\r\n".to_owned(), "505"),
        ] {
            let mut client = world.client();
            client.send(&head).await;
            let (answer, _) = client.answer().await;
            assert!(answer.starts_with(&format!("HTTP/1.1 {status}")), "{answer}");
            assert_eq!(field(&answer, "connection"), Some("close"));
            assert_eq!(client.rest().await, "");
        }
    });
}

#[test]
fn heads_up_to_the_bounds_pass_hyper_as_well() {
    on_a_data_thread(async {
        let world = World::new().await;
        let mut client = world.client();
        let fields = format!("X: {}\r\n", "x".repeat(300)).repeat(99);
        client
            .send(&format!("GET /deny HTTP/1.1\r\nHost: a\r\n{fields}\r\n"))
            .await;
        assert!(client.answer().await.0.starts_with("HTTP/1.1 401"));
    });
}

#[test]
fn an_idle_connection_is_closed_without_a_word() {
    on_a_data_thread(async {
        let settings = ConnectionSettings {
            keep_alive_timeout: Duration::from_millis(30),
            ..ConnectionSettings::default()
        };
        let world = World::with(settings, |_| {}).await;
        assert_eq!(world.client().rest().await, "");
        let mut client = world.client();
        client.send(DENIED).await;
        client.answer().await;
        assert_eq!(client.rest().await, "");
    });
}

#[test]
fn broken_chunks_reach_nobody() {
    on_a_data_thread(async {
        let world = World::new().await;
        let mut client = world.client();
        client
            .send("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n")
            .await;
        let mut upstream = world.accept().await;
        upstream.until("3\r\nabc\r\n").await;
        client
            .send("5 \r\nhello\r\n0\r\n\r\nGET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n")
            .await;
        assert_eq!(
            upstream.rest().await,
            "",
            "the upstream's connection ends within the body"
        );
        client.rest().await;
    });
}

#[test]
fn bodies_beyond_the_routes_bound_are_refused_when_declared_and_when_counted() {
    on_a_data_thread(async {
        let world = World::new().await;
        let mut client = world.client();
        client
            .send("POST /small/ HTTP/1.1\r\nHost: a\r\nContent-Length: 11\r\n\r\nhello world")
            .await;
        let (head, body) = client.answer().await;
        assert!(head.starts_with("HTTP/1.1 413"), "{head}");
        assert!(body.contains("body_too_large"), "{body}");
        client
            .send("POST /small/ HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n6\r\nhello \r\n")
            .await;
        let mut upstream = world.accept().await;
        upstream.until("hello ").await;
        client.send("5\r\nworld\r\n0\r\n\r\n").await;
        let (head, _) = client.answer().await;
        assert!(head.starts_with("HTTP/1.1 413"), "{head}");
        assert_eq!(upstream.rest().await, "\r\n", "the app never sees the end of it");
    });
}

#[test]
fn a_panic_is_that_requests_alone() {
    on_a_data_thread(async {
        let world = World::new().await;
        let mut client = world.client();
        client.send("GET /panic HTTP/1.1\r\nHost: a\r\n\r\n").await;
        let (head, body) = client.answer().await;
        assert!(head.starts_with("HTTP/1.1 500"), "{head}");
        assert!(body.contains("internal_error"), "{body}");
        assert_eq!(world.metrics.panics.get(), 1);
        assert_eq!(client.rest().await, "");
        let mut client = world.client();
        client.send(DENIED).await;
        assert!(client.answer().await.0.starts_with("HTTP/1.1 401"));
    });
}
