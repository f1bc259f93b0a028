//! Bytes between a client and an upstream that agreed on another protocol, both ways, until one of them ends.
//!
//! Each way holds at most what one read brought and the other end has not taken; it reads again when that is gone,
//! so that a slow reader slows the writer and nothing grows, and a tunnel at rest holds no buffer at all.
//! The end of one way is passed on; the other goes on until it ends too, or until the tunnel has stood still
//! for too long. Knows nothing of what the bytes mean, and asks for no permit: what ends a tunnel in its
//! protocol's own words (a WebSocket's close frame, say) has its place here.

use std::io;
use std::mem::MaybeUninit;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Buf, Bytes};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, ReadBuf};

use super::super::access::{Ended, Noted};
use super::super::pool::Upstream;
use super::super::upstream::Stream;
use crate::runtime::deadlines::Deadline;
use crate::runtime::drain::{Drain, Stage};
use crate::telemetry::labels::{Label, TunnelEnd};
use crate::telemetry::{CounterBy, Held};

/// Most bytes read at once, and so most that wait in one way.
const MAX_READ: usize = 16 * 1024;

/// How long it may take to tell both ends of an end that neither asked for.
const FAREWELL: Duration = Duration::from_millis(200);

/// An upstream's connection after its 101.
#[derive(Debug)]
pub(in crate::edge::proxy) struct Switched {
    pub(in crate::edge::proxy) stream: Stream,
    /// What came right behind the 101.
    pub(in crate::edge::proxy) read: Bytes,
    /// Counts the connection among the upstream's.
    pub(in crate::edge::proxy) counted: Held,
}

/// A tunnel whose client is told of it.
#[derive(Debug)]
pub(in crate::edge::proxy) struct Tunnel {
    name: Arc<str>,
    upstream: Switched,
    idle_timeout: Duration,
    ends: CounterBy<TunnelEnd>,
    /// Counts it among the open ones.
    open: Held,
    /// For its line in the access log, where there is one.
    noted: Option<Rc<Noted>>,
}

impl Tunnel {
    pub(super) fn new(switched: Switched, upstream: &Upstream, noted: Option<Rc<Noted>>) -> Self {
        let metrics = upstream.metrics();
        Self {
            name: Arc::clone(&upstream.settings().name),
            upstream: switched,
            idle_timeout: upstream.settings().tunnel_idle_timeout,
            ends: metrics.tunnel_ends.clone(),
            open: Held::in_gauge(&metrics.tunnels),
            noted,
        }
    }

    /// Carries bytes until the end, which comes when the drain is over at the latest.
    pub(in crate::edge::proxy) async fn run(
        self,
        mut client: impl AsyncRead + AsyncWrite + Unpin,
        clock: &Deadline,
        drain: &Drain,
    ) {
        let Switched {
            stream: mut upstream,
            read,
            counted,
        } = self.upstream;
        let mut up = Way::new(Bytes::new());
        let mut down = Way::new(read);
        let mut first: Option<TunnelEnd> = None;
        let mut over = std::pin::pin!(drain.reached(Stage::Over));
        let mut registered = false;
        clock.set(self.idle_timeout);
        let end = std::future::poll_fn(|cx| {
            let before = up.moved.saturating_add(down.moved);
            let upward = up.poll(cx, &mut client, &mut upstream);
            let downward = down.poll(cx, &mut upstream, &mut client);
            for (way, end) in [(&upward, TunnelEnd::Client), (&downward, TunnelEnd::Upstream)] {
                match way {
                    Poll::Ready(Ok(())) => _ = first.get_or_insert(end),
                    Poll::Ready(Err(error)) => {
                        tracing::debug!(%error, "a tunnel broke");
                        return Poll::Ready(first.unwrap_or(TunnelEnd::Broken));
                    }
                    Poll::Pending => {}
                }
            }
            if let (Poll::Ready(_), Poll::Ready(_), Some(end)) = (upward, downward, first) {
                return Poll::Ready(end);
            }
            // The drain's waiting list has a lock: it is joined once, and again when a stage took us off it.
            if (!std::mem::replace(&mut registered, true) || drain.stage() > Stage::Serving)
                && over.as_mut().poll(cx).is_ready()
            {
                return Poll::Ready(TunnelEnd::Drain);
            }
            if up.moved.saturating_add(down.moved) != before {
                clock.set(self.idle_timeout);
            }
            clock.poll_expired(cx).map(|()| TunnelEnd::Idle)
        })
        .await;
        clock.clear();
        if matches!(end, TunnelEnd::Drain | TunnelEnd::Idle) {
            // So that both learn of an end, and not of a break. Neither may hold us up.
            let (client, upstream) = (client.shutdown(), upstream.shutdown());
            let _ = tokio::time::timeout(FAREWELL, futures::future::join(client, upstream)).await;
        }
        self.ends.inc(end);
        if let Some(noted) = &self.noted {
            let how = match end {
                TunnelEnd::Broken => Ended::ClientGone,
                _ => Ended::Whole,
            };
            noted.tunnel_ended(up.moved, down.moved, how);
        }
        tracing::debug!(upstream = &*self.name, outcome = end.as_str(), "a tunnel ended");
        drop((self.open, counted));
    }
}

/// One direction.
#[derive(Debug)]
struct Way {
    /// Read and not taken yet.
    held: Bytes,
    /// Something was written since the last flush.
    unflushed: bool,
    state: State,
    moved: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// More may come.
    Open,
    /// The reader's end came, and is to be passed on.
    Ending,
    /// It was.
    Ended,
}

impl Way {
    fn new(held: Bytes) -> Self {
        Self {
            held,
            unflushed: false,
            state: State::Open,
            moved: 0,
        }
    }

    /// Carries what can be carried. Ready when the end was passed on.
    fn poll(
        &mut self,
        cx: &mut Context<'_>,
        from: &mut (impl AsyncRead + Unpin),
        to: &mut (impl AsyncWrite + Unpin),
    ) -> Poll<io::Result<()>> {
        // Not zeroed, and not kept: what is not taken at once is copied.
        let mut room = [MaybeUninit::uninit(); MAX_READ];
        // Each turn spends some of the task's budget, so that this ends.
        loop {
            while self.held.has_remaining() {
                let taken = ready!(Pin::new(&mut *to).poll_write(cx, &self.held))?;
                self.wrote(taken)?;
                self.held.advance(taken.min(self.held.len()));
            }
            // A slice of nothing would keep its buffer.
            self.held = Bytes::new();
            match self.state {
                State::Ended => return Poll::Ready(Ok(())),
                State::Ending => {
                    ready!(Pin::new(&mut *to).poll_shutdown(cx))?;
                    self.state = State::Ended;
                }
                State::Open => {
                    let mut read = ReadBuf::uninit(&mut room);
                    if Pin::new(&mut *from).poll_read(cx, &mut read)?.is_pending() {
                        if self.unflushed {
                            ready!(Pin::new(&mut *to).poll_flush(cx))?;
                            self.unflushed = false;
                        }
                        return Poll::Pending;
                    }
                    if read.filled().is_empty() {
                        self.state = State::Ending;
                        continue;
                    }
                    let taken = match Pin::new(&mut *to).poll_write(cx, read.filled())? {
                        Poll::Ready(taken) => {
                            self.wrote(taken)?;
                            taken
                        }
                        Poll::Pending => 0,
                    };
                    let rest = read.filled().get(taken..).unwrap_or_default();
                    if !rest.is_empty() {
                        self.held = Bytes::copy_from_slice(rest);
                    }
                }
            }
        }
    }

    fn wrote(&mut self, taken: usize) -> io::Result<()> {
        if taken == 0 {
            return Err(io::ErrorKind::WriteZero.into());
        }
        self.moved = self.moved.saturating_add(taken as u64);
        self.unflushed = true;
        Ok(())
    }
}

#[cfg(test)]
mod tests;
