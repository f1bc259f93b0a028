//! One client connection: the screen, hyper above it, the service, and a gentle end. A connection that begins
//! with HTTP/2's preface is handed on to `http2`; one that was answered by a 101 becomes a tunnel (`upgrade`).

use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite};

use super::decide::Decide;
use super::prefixed::Prefixed;
use super::screen::{Screen, Spoken};
use super::service::{Client, Engine, Wire};
use super::settings::ListenerProfile;
use crate::domain::net::PeerAddr;
use crate::gate::Scheme;
use crate::runtime::drain::Stage;

/// Most bytes that hyper means to read, or holds to be written, at once. Left alone it goes up to thirteen
/// times as many, takes up to twice what it means to, and keeps the room while the connection is idle.
const MAX_BUFFER: usize = 32 * 1024;

/// Longest time and most bytes that a client may go on sending after its last answer.
const LINGER: Duration = Duration::from_secs(1);
const LINGER_MAX_BYTES: u64 = 256 * 1024;

/// How a connection came to us.
#[derive(Debug, Clone)]
pub struct Arrival {
    /// The socket's other end, or what a believed PROXY header says of it.
    pub peer: PeerAddr,
    /// What its listener says about it.
    pub listener: Arc<ListenerProfile>,
    /// Plain or TLS.
    pub scheme: Scheme,
    /// Which hosts it may be asked for; `None`: any.
    pub covers: Option<Rc<dyn Covers>>,
}

/// Which hosts a connection may be asked for, by the certificate that it was opened with.
pub trait Covers: std::fmt::Debug {
    /// Whether this `Host` (with or without a port) is fine. Otherwise the request is answered 421
    /// (RFC 9110 section 15.5.20).
    fn covers(&self, host: &str) -> bool;
}

/// What a connection speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Protocol {
    /// HTTP/1, or HTTP/2 when it begins with its preface and the listener speaks it: nobody has said yet.
    Either,
    /// HTTP/1, as agreed before.
    Http1,
    /// HTTP/2, as agreed before.
    Http2,
}

impl<D: Decide> Engine<D> {
    /// Serves a connection to its end.
    pub async fn drive<S>(self: Rc<Self>, stream: S, arrival: Arrival, protocol: Protocol)
    where
        S: AsyncRead + AsyncWrite + Unpin + 'static,
    {
        let bounds = &arrival.listener.connection;
        let http2 = bounds.http2.filter(|_| protocol != Protocol::Http1);
        // In boxes of their own: connections that speak HTTP/1 do not carry the room.
        match (protocol, http2) {
            (Protocol::Http2, Some(http2)) => {
                let stream = Prefixed::new(Vec::new(), stream);
                Box::pin(self.drive_http2(stream, arrival, http2)).await;
            }
            _ => {
                let mut screen = Screen::new(stream, bounds, &self.deadlines);
                if http2.is_some() {
                    screen = screen.or_http2();
                }
                let Some((stream, read)) = self.clone().drive_http1(screen, arrival.clone()).await else {
                    return;
                };
                if let Some(http2) = http2 {
                    let stream = Prefixed::new(read, stream);
                    Box::pin(self.drive_http2(stream, arrival, http2)).await;
                }
            }
        }
    }

    /// Serves an HTTP/1 connection to its end. `Some`: it speaks HTTP/2, and this was read of it.
    async fn drive_http1<S>(self: Rc<Self>, screen: Screen<S>, arrival: Arrival) -> Option<(S, Vec<u8>)>
    where
        S: AsyncRead + AsyncWrite + Unpin + 'static,
    {
        let wire = Wire::Http1(screen.line().clone());
        let client = Rc::new(Client::new(arrival, wire, self.deadlines.register()));
        let (engine, for_service) = (self.clone(), client.clone());
        let service = service_fn(move |request| engine.clone().answer(for_service.clone(), request));
        // hyper's own head clock stays off: the screen has one that answers. No half-close: the end of a
        // client's input means that it left, and its request to the upstream is given up.
        let bounds = &client.listener.connection;
        let mut connection = http1::Builder::new()
            .header_read_timeout(None)
            .max_buf_size(bounds.head_max_bytes.max(MAX_BUFFER))
            .max_headers(bounds.head_max_fields.max(REFUSED_FIELDS))
            .serve_connection(TokioIo::new(screen), service);

        let mut ended = std::pin::pin!(self.drain.reached(Stage::Ended).fuse());
        let (mut registered, mut told) = (false, false);
        let outcome = std::future::poll_fn(|cx| {
            // The drain's waiting list has a lock: it is joined once, and again at each poll once the drain has
            // begun, since every stage takes this connection off it. While serving, the stage is a plain load.
            let stage = self.drain.stage();
            if !std::mem::replace(&mut registered, true) || stage > Stage::Serving {
                let _ = ended.as_mut().poll(cx);
            }
            if !told && stage >= Stage::Ended {
                told = true;
                Pin::new(&mut connection).graceful_shutdown();
            }
            Pin::new(&mut connection).poll(cx)
        })
        .await;
        match outcome {
            Ok(()) => {
                // In boxes of their own: open connections do not carry the room for what comes now.
                let parts = connection.into_parts();
                let (stream, spoken) = parts.io.into_inner().into_parts();
                if let Some(tunnel) = client.tunnel.take() {
                    // The screen made sure that hyper has read nothing behind the request.
                    if parts.read_buf.is_empty() {
                        let tunnel = tunnel.run(stream, client.exchange.end(), &self.drain);
                        Box::pin(tunnel).await;
                    }
                    return None;
                }
                if let Spoken::Http2 { read } = spoken {
                    return Some((stream, read));
                }
                let _ = tokio::time::timeout(LINGER, Box::pin(discard(stream))).await;
            }
            Err(error) => tracing::debug!(%error, "a client connection ended badly"),
        }
        None
    }
}

/// Fields of the request that stands for a refused head.
const REFUSED_FIELDS: usize = 2;

/// Reads on until the client closes, for a moment at most: closing a socket with unread bytes resets it, and
/// the client may lose an answer that it has not read yet. hyper has closed the writing side already.
async fn discard(stream: impl AsyncRead + Unpin) {
    let mut rest = stream.take(LINGER_MAX_BYTES);
    let mut scratch = [0; 4096];
    while matches!(rest.read(&mut scratch).await, Ok(1..)) {}
}
