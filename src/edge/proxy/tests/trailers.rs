//! Trailers over HTTP/1: what is announced and may stand there passes, to whoever takes it.

use super::support::{World, field, on_a_data_thread};

const CHUNKS: &str =
    "2\r\nhi\r\n0\r\nX-Sum: 1\r\nX-Auth-Subject: admin\r\nX-Other: 2\r\nContent-Length: 9\r\n\r\n";

#[test]
fn announced_trailers_of_a_request_pass_and_no_others() {
    on_a_data_thread(async {
        let world = World::new().await;
        let mut client = world.client();
        let mut upstream = None;
        for (announced, sent_on, rest) in [
            (
                "Trailer: X-Sum, X-Auth-Subject, Content-Length, Host\r\n",
                Some("x-sum"),
                "x-sum: 1\r\n",
            ),
            ("Trailer: X-Auth-Subject\r\n", None, ""),
            ("", None, ""),
        ] {
            client
                .send(&format!(
                    "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n{announced}\r\n{CHUNKS}"
                ))
                .await;
            if upstream.is_none() {
                upstream = Some(world.accept().await);
            }
            let upstream = upstream.as_mut().expect("connected");
            let head = upstream.head().await;
            assert_eq!(field(&head, "trailer"), sent_on, "{announced}");
            let body = format!("2\r\nhi\r\n0\r\n{rest}\r\n");
            assert_eq!(upstream.body(body.len()).await, body, "{announced}");
            upstream
                .send("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok")
                .await;
            client.answer().await;
        }
    });
}

#[test]
fn announced_trailers_of_an_answer_pass_to_a_client_that_takes_them() {
    on_a_data_thread(async {
        let world = World::new().await;
        let mut client = world.client();
        let mut upstream = None;
        for (takes, announced, rest, why) in [
            (
                "TE: trailers\r\nConnection: te\r\n",
                Some("x-sum"),
                "x-sum: 1\r\n",
                "as RFC 9110 asks",
            ),
            (
                "TE: gzip, Trailers\r\nConnection: keep-alive, TE\r\n",
                Some("x-sum"),
                "x-sum: 1\r\n",
                "within lists",
            ),
            ("TE: trailers\r\n", None, "", "not said to this connection"),
            ("", None, "", "a client that did not ask"),
        ] {
            client
                .send(&format!("GET / HTTP/1.1\r\nHost: a\r\n{takes}\r\n"))
                .await;
            if upstream.is_none() {
                upstream = Some(world.accept().await);
            }
            let upstream = upstream.as_mut().expect("connected");
            let head = upstream.head().await;
            let told = announced.map(|_| "trailers");
            assert_eq!(field(&head, "te"), told, "{why}");
            assert_eq!(field(&head, "connection"), told.map(|_| "te"), "{why}");
            upstream
                .send(&format!(
                    "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\nTrailer: X-Sum, X-Auth-Subject, Set-Cookie\r\n\r\n{CHUNKS}"
                ))
                .await;
            let head = client.head().await;
            assert_eq!(field(&head, "trailer"), announced, "{why}");
            let body = format!("2\r\nhi\r\n0\r\n{rest}\r\n");
            assert_eq!(client.body(body.len()).await, body, "{why}");
        }
    });
}
