//! The app behind the proxies that `run.sh` compares: as cheap as an app can be, so that it is not what is
//! measured. Answers every request with 100 bytes, `/16k` with 16 KiB. Takes the address to listen on.
#![allow(
    clippy::expect_used,
    clippy::disallowed_methods,
    reason = "a tool of the benches: it fails by panicking"
)]

use std::net::SocketAddr;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// Longest head it reads.
const MAX_HEAD: usize = 16 * 1024;

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let address: SocketAddr = std::env::args()
        .nth(1)
        .and_then(|a| a.parse().ok())
        .expect("expected an address to listen on, such as 127.0.0.1:9000");
    let listener = TcpListener::bind(address).await.expect("bound");
    let (small, large): (&[u8], &[u8]) = (answer(100).leak(), answer(16 * 1024).leak());
    loop {
        let (stream, _) = listener.accept().await.expect("accepted");
        tokio::spawn(serve(stream, small, large));
    }
}

fn answer(body_bytes: usize) -> Vec<u8> {
    let mut text =
        format!("HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\ncontent-length: {body_bytes}\r\n\r\n");
    text.push_str(&"x".repeat(body_bytes));
    text.into_bytes()
}

/// Requests without bodies, one after another.
async fn serve(mut stream: TcpStream, small: &'static [u8], large: &'static [u8]) {
    let _ = stream.set_nodelay(true);
    let mut head = Vec::with_capacity(MAX_HEAD);
    loop {
        while let Some(end) = memchr::memmem::find(&head, b"\r\n\r\n") {
            let answer = if head.starts_with(b"GET /16k ") {
                large
            } else {
                small
            };
            if stream.write_all(answer).await.is_err() {
                return;
            }
            head.drain(..end + 4);
        }
        if head.len() >= MAX_HEAD || !matches!(stream.read_buf(&mut head).await, Ok(1..)) {
            return;
        }
    }
}
