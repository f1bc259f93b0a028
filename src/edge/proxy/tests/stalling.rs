//! Clients that stop reading.

use std::time::Duration;

use tokio::io::AsyncWriteExt;

use super::support::{World, on_a_data_thread, patient};
use crate::edge::proxy::ConnectionSettings;

fn hasty() -> ConnectionSettings {
    ConnectionSettings {
        body_idle_timeout: Duration::from_millis(30),
        ..ConnectionSettings::default()
    }
}

#[test]
fn a_client_that_stops_reading_an_answer_is_let_go_with_its_upstream_connection() {
    on_a_data_thread(async {
        let world = World::with(hasty(), |_| {}).await;
        let mut client = world.client();
        client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
        let mut upstream = world.accept().await;
        upstream.head().await;
        upstream
            .send("HTTP/1.1 200 OK\r\nContent-Length: 1000000000\r\n\r\n")
            .await;
        let piece = vec![b'x'; 64 * 1024];
        while patient(upstream.stream.write_all(&piece)).await.is_ok() {}
    });
}

#[test]
fn a_client_that_asks_on_and_reads_no_answer_is_let_go() {
    on_a_data_thread(async {
        let world = World::with(hasty(), |_| {}).await;
        let mut client = world.client();
        let asking = "GET /deny HTTP/1.1\r\nHost: a\r\n\r\n".repeat(100);
        while patient(client.stream.write_all(asking.as_bytes())).await.is_ok() {}
    });
}
