//! Clients that stop reading, and how much of what they send is held.

use std::cell::Cell;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, ReadBuf};

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

/// A client whose bytes are all there at once, as many as are asked for; notes the most that was asked.
struct Eager {
    head: &'static [u8],
    body: usize,
    most: Rc<Cell<usize>>,
}

impl AsyncRead for Eager {
    fn poll_read(self: Pin<&mut Self>, _: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        this.most.set(this.most.get().max(buf.remaining()));
        let head = this.head.len().min(buf.remaining());
        buf.put_slice(&this.head[..head]);
        this.head = &this.head[head..];
        let body = this.body.min(buf.remaining());
        buf.put_slice(&vec![b'x'; body]);
        this.body -= body;
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Eager {
    fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Poll::Ready(Ok(buf.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

#[test]
fn a_client_that_sends_much_is_read_in_small_pieces() {
    on_a_data_thread(async {
        let world = World::new().await;
        let most = Rc::new(Cell::new(0));
        let eager = Eager {
            head: b"POST /deny HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\n\r\n",
            body: 1_000_000,
            most: most.clone(),
        };
        patient(world.drive(eager)).await;
        assert!(most.get() <= 64 * 1024, "{} bytes at once", most.get());
    });
}
