//! A switch of protocols from socket to socket.

use super::support::{World, on_a_data_thread};

const ASKS: &str = "GET /chat HTTP/1.1\r\nHost: app.example\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
    Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
const GRANTS: &str = "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
    Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n";

#[test]
fn the_upstreams_101_makes_a_tunnel_of_both_connections() {
    on_a_data_thread(async {
        let world = World::new().await;
        let mut client = world.client();
        // A request before it, in the same packet, is no byte ahead of the tunnel.
        client
            .send(&format!("GET /deny HTTP/1.1\r\nHost: a\r\n\r\n{ASKS}"))
            .await;
        let (refused, _) = client.answer().await;
        assert!(refused.starts_with("HTTP/1.1 401 "), "{refused}");
        let mut upstream = world.accept().await;
        upstream.head().await;
        upstream.send(&format!("{GRANTS}\u{1}hello")).await;
        assert!(client.head().await.starts_with("HTTP/1.1 101 "));
        assert_eq!(client.body(6).await, "\u{1}hello");
        client.send("GET / HTTP/1.1\r\n\r\n").await;
        assert_eq!(
            upstream.body(18).await,
            "GET / HTTP/1.1\r\n\r\n",
            "no HTTP any more"
        );
        drop(client);
        upstream.end().await;
    });
}

#[test]
fn a_client_that_did_not_wait_for_the_101_gets_no_tunnel() {
    for early in [
        "x",
        "\r\n",
        "GET /next HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET /next HTTP/1.1\r\n",
        "\u{1}\u{2}\n",
    ] {
        on_a_data_thread(async {
            let world = World::new().await;
            let mut client = world.client();
            client.send(&format!("{ASKS}{early}")).await;
            let mut upstream = world.accept().await;
            upstream.head().await;
            upstream.send(GRANTS).await;
            let (head, _) = client.answer().await;
            assert!(head.starts_with("HTTP/1.1 400 "), "{early:?}: {head}");
            assert_eq!(upstream.rest().await, "", "{early:?}");
        });
    }
}
