//! A small bounded HTTP/1 server for the doors beside the data plane: status and management.
//!
//! Runs on the control runtime. Bounded in connections, head time and lifetime, so that a slow client
//! of a side door holds nothing for long; it knows no routes. The data plane does not use it: its
//! listener has workers, a screen and deadlines of its own.

use std::convert::Infallible;
use std::future::Future;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use hyper::body::{Body, Incoming};
use hyper::server::conn::http1;
use hyper::service::Service;
use hyper::{Request, Response};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use super::tasks::Tasks;

/// How long accepting rests after the system refused a connection, for want of file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Where connections come from.
pub trait Accept: Send + 'static {
    /// A connection.
    type Io: AsyncRead + AsyncWrite + Unpin + Send + 'static;

    /// The next connection.
    fn accept(&mut self) -> impl Future<Output = io::Result<Self::Io>> + Send;
}

// Shared, so that they can be handed over while somebody accepts.
impl Accept for Arc<TcpListener> {
    type Io = TcpStream;

    async fn accept(&mut self) -> io::Result<TcpStream> {
        let (stream, _) = TcpListener::accept(self).await?;
        stream.set_nodelay(true)?;
        Ok(stream)
    }
}

impl Accept for Arc<UnixListener> {
    type Io = UnixStream;

    async fn accept(&mut self) -> io::Result<UnixStream> {
        UnixListener::accept(self).await.map(|(stream, _)| stream)
    }
}

/// What one side door may hold.
#[derive(Debug, Clone, Copy)]
pub struct Bounds {
    /// Connections at once; more wait in the system's queue.
    pub max_connections: usize,
    /// How long a request's head may take, waiting for it included.
    pub head_timeout: Duration,
    /// After this time a connection ends with its current request.
    pub lifetime: Duration,
    /// How long the current request may take after that, or after the door's end.
    pub grace: Duration,
}

impl Default for Bounds {
    fn default() -> Self {
        Self {
            max_connections: 64,
            head_timeout: Duration::from_secs(15),
            lifetime: Duration::from_secs(300),
            grace: Duration::from_secs(5),
        }
    }
}

/// Serves until `end` is cancelled, then lets current requests finish within their grace.
/// `service_for` makes the service of one connection, and may look at who is connecting.
pub async fn serve<L, S, B>(
    mut listener: L,
    name: &'static str,
    bounds: Bounds,
    tasks: Tasks,
    end: CancellationToken,
    mut service_for: impl FnMut(&L::Io) -> S + Send,
) where
    L: Accept,
    S: Service<Request<Incoming>, Response = Response<B>, Error = Infallible> + Send + 'static,
    S::Future: Send,
    B: Body<Error: Into<Box<dyn std::error::Error + Send + Sync>>> + Send + 'static,
    B::Data: Send,
{
    let places = Arc::new(Semaphore::new(bounds.max_connections));
    loop {
        let accepted = async {
            // The semaphore is never closed.
            let place = places.clone().acquire_owned().await.ok();
            (place, listener.accept().await)
        };
        let (place, io) = tokio::select! {
            biased;
            () = end.cancelled() => return,
            accepted = accepted => accepted,
        };
        match io {
            Ok(io) => {
                let service = service_for(&io);
                let end = end.clone();
                tasks.spawn(name, async move {
                    connection(io, service, bounds, end).await;
                    drop(place);
                });
            }
            Err(error) => {
                tracing::warn!(%error, listener = name, "a connection could not be accepted");
                let _ = tokio::time::timeout(ACCEPT_PAUSE, end.cancelled()).await;
            }
        }
    }
}

async fn connection<I, S, B>(io: I, service: S, bounds: Bounds, end: CancellationToken)
where
    I: AsyncRead + AsyncWrite + Unpin,
    S: Service<Request<Incoming>, Response = Response<B>, Error = Infallible>,
    B: Body<Error: Into<Box<dyn std::error::Error + Send + Sync>>> + 'static,
{
    let serving = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(bounds.head_timeout)
        .max_headers(64)
        .max_buf_size(32 * 1024)
        .serve_connection(TokioIo::new(io), service);
    tokio::pin!(serving);
    // A broken connection is its client's business: there is nobody to tell.
    tokio::select! {
        _ = serving.as_mut() => return,
        _ = tokio::time::timeout(bounds.lifetime, end.cancelled()) => {}
    }
    serving.as_mut().graceful_shutdown();
    let _ = tokio::time::timeout(bounds.grace, serving).await;
}

#[cfg(test)]
mod tests;
