//! One client connection: the screen, hyper above it, the service, and a gentle end.

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
use super::screen::Screen;
use super::service::{Client, Engine};
use super::settings::ListenerProfile;
use crate::domain::net::PeerAddr;
use crate::runtime::drain::Stage;
use crate::runtime::workers::{Accepted, Serve};

/// Most bytes that hyper means to read, or holds to be written, at once. Left alone it goes up to thirteen
/// times as many, takes up to twice what it means to, and keeps the room while the connection is idle.
const MAX_BUFFER: usize = 32 * 1024;

/// Longest time and most bytes that a client may go on sending after its last answer.
const LINGER: Duration = Duration::from_secs(1);
const LINGER_MAX_BYTES: u64 = 256 * 1024;

impl<D: Decide> Serve for Engine<D> {
    type Listener = ListenerProfile;

    async fn serve(self: Rc<Self>, accepted: Accepted<ListenerProfile>) {
        self.drive(accepted.stream, accepted.peer, accepted.listener)
            .await;
    }
}

impl<D: Decide> Engine<D> {
    /// Serves a connection to its end.
    pub async fn drive<S>(self: Rc<Self>, stream: S, peer: PeerAddr, listener: Arc<ListenerProfile>)
    where
        S: AsyncRead + AsyncWrite + Unpin + 'static,
    {
        let screen = Screen::new(stream, &listener.connection, &self.deadlines);
        let client = Rc::new(Client {
            peer,
            line: screen.line().clone(),
            exchange: Rc::new(self.deadlines.register()),
            listener,
        });
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
                // In a box of its own: open connections do not carry the room for it.
                let stream = connection.into_parts().io.into_inner().into_inner();
                let _ = tokio::time::timeout(LINGER, Box::pin(discard(stream))).await;
            }
            Err(error) => tracing::debug!(%error, "a client connection ended badly"),
        }
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
