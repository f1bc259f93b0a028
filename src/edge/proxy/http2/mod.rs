//! One HTTP/2 connection (RFC 9113): hyper's engine with our bounds, and the same service as for HTTP/1.
//!
//! What hyper hands up is one message with one framing, so no screen stands below it; what it leaves to us
//! (`:authority` against `host`, methods, cookie crumbs, the number of fields) is settled in `request`.
//! `streams` gives each stream its own clocks and ends the ones whose client stands still. A connection
//! without streams is idle: it is told to go away after the time that idle connections have, and dropped
//! when it does not go. When the process closes, the connection is told at once (GOAWAY), running streams end.

pub(super) mod request;
mod streams;

use std::future::Future;
use std::pin::pin;
use std::rc::Rc;
use std::task::Poll;
use std::time::Duration;

use futures::FutureExt;
use hyper::server::conn::http2;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};

use super::causes::is_flood;
use super::connection::Arrival;
use super::decide::Decide;
use super::prefixed::Prefixed;
use super::service::Engine;
use super::settings::Http2Settings;
use crate::runtime::drain::Stage;
use crate::telemetry::labels::{ConnectionEnd, Label};
pub(super) use streams::Stream;
use streams::{StreamBody, Streams};

/// Bytes that a client may send on one stream, and on all streams together, before we have passed them on.
const STREAM_WINDOW: u32 = 64 * 1024;
const CONNECTION_WINDOW: u32 = 256 * 1024;
/// Bytes of one answer that may wait for the client.
const MAX_SEND_BUFFER: usize = 64 * 1024;
/// Streams that a client may open and reset before we have looked at them; more end the connection
/// ("rapid reset").
const MAX_PENDING_RESETS: usize = 20;
/// Streams that we may reset for the client's offences; more end the connection.
const MAX_LOCAL_RESETS: usize = 100;
/// How often a connection is asked whether its client is still there, and how long that may take.
const PING_INTERVAL: Duration = Duration::from_secs(30);
const PING_TIMEOUT: Duration = Duration::from_secs(10);
/// How long a client that was told to go away may take for it once nothing is running.
const GOING: Duration = Duration::from_secs(2);

impl<D: Decide> Engine<D> {
    /// Serves an HTTP/2 connection to its end.
    pub(super) async fn drive_http2<S>(
        self: Rc<Self>,
        stream: Prefixed<S>,
        arrival: Arrival,
        bounds: Http2Settings,
    ) where
        S: AsyncRead + AsyncWrite + Unpin + 'static,
    {
        let streams = Streams::new(&self.deadlines, arrival);
        let list_size = u32::try_from(streams.connection().head_max_bytes).unwrap_or(u32::MAX);
        let (engine, opening) = (self.clone(), streams.clone());
        let service = service_fn(move |request| {
            let engine = engine.clone();
            let (client, stream) = opening.open();
            async move {
                let response = engine.answer(client, request).await;
                stream.has_answer();
                response.map(|response| response.map(|body| StreamBody::new(body, stream)))
            }
        });
        let mut builder = http2::Builder::new(streams.clone());
        builder
            .timer(TokioTimer::new())
            .initial_stream_window_size(STREAM_WINDOW)
            .initial_connection_window_size(CONNECTION_WINDOW)
            .max_concurrent_streams(bounds.max_concurrent_streams)
            .max_header_list_size(list_size)
            .max_send_buf_size(MAX_SEND_BUFFER)
            .max_pending_accept_reset_streams(MAX_PENDING_RESETS)
            .max_local_error_reset_streams(MAX_LOCAL_RESETS)
            .keep_alive_interval(PING_INTERVAL)
            .keep_alive_timeout(PING_TIMEOUT);
        let ended = |reason| {
            let (listener, peer) = (streams.listener(), streams.peer());
            self.observer.metrics().for_listener(listener).ended.inc(reason);
            tracing::debug!(listener, client = %peer, reason = reason.as_str(), "an HTTP/2 connection was ended");
        };
        let mut connection = pin!(builder.serve_connection(TokioIo::new(stream), service));
        let mut closing = pin!(self.drain.reached(Stage::Closing).fuse());
        let (mut registered, mut told) = (false, Told::No);
        let outcome = std::future::poll_fn(|cx| {
            if streams.are_abused() {
                // Dropped without a word: hyper lets nobody say GOAWAY for a reason of their own.
                ended(ConnectionEnd::StreamsGivenUp);
                return Poll::Ready(Ok(()));
            }
            let stage = self.drain.stage();
            // As for HTTP/1: the drain's waiting list is joined once, and again when a stage took us off it.
            if !std::mem::replace(&mut registered, true) || (stage > Stage::Serving && told == Told::No) {
                let _ = closing.as_mut().poll(cx);
            }
            if told == Told::No && (stage >= Stage::Closing || streams.poll_idle(cx).is_ready()) {
                told = Told::GoAway;
                connection.as_mut().graceful_shutdown();
                streams.leaves_within(GOING);
            }
            if let Poll::Ready(outcome) = connection.as_mut().poll(cx) {
                return Poll::Ready(outcome);
            }
            match told {
                Told::No => Poll::Pending,
                Told::GoAway => streams.poll_idle(cx).map(Ok),
            }
        })
        .await;
        if let Err(error) = outcome {
            if is_flood(&error) {
                ended(ConnectionEnd::Flood);
            }
            tracing::debug!(%error, "an HTTP/2 connection ended badly");
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Told {
    No,
    GoAway,
}
