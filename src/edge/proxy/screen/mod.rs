//! The screen: what stands between the socket and hyper, and lets no request through that two servers
//! could read in two ways (SECURITY S17).
//!
//! An `AsyncRead` that scans each request head in place, in hyper's own buffer, and follows the framing of
//! each body to know where the next head begins. A head that came in pieces is held back until it is
//! whole, so that hyper never sees half of a bad one, and so that its size and the time it takes are ours
//! to bound. On an offence hyper is given, in place of the bad head, a request with a method that nobody
//! can send ([`REFUSED_METHOD`]); the service finds the reason in the shared [`Line`] and answers in our words, after
//! any earlier answers, and hyper closes. Broken chunks end the connection without an answer: by then the
//! answer is no longer ours to choose. Writing is passed through, and ends the connection when the client
//! reads nothing for too long. Nothing here reads a clock.

mod answer;
mod chunked;
mod head;
mod line;
mod preface;
mod syntax;
#[cfg(test)]
mod tests;

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::settings::ConnectionSettings;
use crate::domain::reason::Reason;
use crate::runtime::deadlines::{Deadline, Deadlines};
use chunked::Chunked;
use head::{Framing, HeadBounds, HeadScan};

pub use answer::{AnswerScreen, Asked};
pub(super) use head::{MAX_METHOD_BYTES, content_length, is_refused_method, is_spelling_of};
pub use line::{Busy, Line};
pub(super) use syntax::{is_host, is_path_and_query};

/// The method of the request that stands for a refused head. Refused when it comes from outside.
pub const REFUSED_METHOD: &str = "X-DOORWARD-REFUSED";

/// What hyper reads in place of a refused head.
const REFUSED_HEAD: &[u8] = b"X-DOORWARD-REFUSED / HTTP/1.1\r\nhost: refused\r\nconnection: close\r\n\r\n";

/// Most bytes taken from the socket at once while a head is incomplete.
const CARRY_READ: usize = 16 * 1024;

/// The screened stream.
#[derive(Debug)]
pub struct Screen<S> {
    inner: S,
    bounds: HeadBounds,
    head_timeout: Duration,
    body_idle_timeout: Duration,
    state: State,
    /// Nothing has come yet: what comes first may say that the connection speaks HTTP/2.
    first: preface::First,
    head: HeadScan,
    /// An incomplete head, or bytes that did not fit into the reader's buffer.
    carry: Vec<u8>,
    /// So many bytes of `carry` may be read, and so many have been.
    approved: usize,
    read: usize,
    /// The body's clock runs: nothing came since the last look.
    body_waits: bool,
    /// Runs while the client takes nothing of what is written.
    write_clock: Deadline,
    write_waits: bool,
    line: Arc<Line>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// At or in a head.
    Head,
    /// In a body of so many bytes more.
    Length(u64),
    /// In a chunked body.
    Chunked(Chunked),
    /// A body's framing was broken: nothing more is read.
    Broken,
    /// A head was refused: nothing more is read.
    Refused,
    /// The connection speaks HTTP/2: all that came waits in `carry` for whoever takes the stream over.
    Http2,
}

impl<S> Screen<S> {
    /// Screens a fresh connection.
    pub fn new(inner: S, settings: &ConnectionSettings, deadlines: &Deadlines) -> Self {
        let line = Line::new(deadlines.register(), settings.keep_alive_timeout);
        Self {
            inner,
            bounds: HeadBounds {
                max_bytes: settings.head_max_bytes,
                max_fields: settings.head_max_fields,
            },
            head_timeout: settings.head_timeout,
            body_idle_timeout: settings.body_idle_timeout,
            state: State::Head,
            first: preface::First::Settled,
            head: HeadScan::default(),
            carry: Vec::new(),
            approved: 0,
            read: 0,
            body_waits: false,
            write_clock: deadlines.register(),
            write_waits: false,
            line: Arc::new(line),
        }
    }

    /// The same, for a connection that may begin with HTTP/2's preface.
    pub fn or_http2(mut self) -> Self {
        self.first = preface::First::Open;
        self
    }

    /// The end of the line that the service holds.
    pub fn line(&self) -> &Arc<Line> {
        &self.line
    }

    /// The stream below, and what it speaks: the screen ends at once for a client that begins with
    /// HTTP/2's preface.
    pub fn into_parts(self) -> (S, Spoken) {
        let spoken = match self.state {
            State::Http2 => Spoken::Http2 { read: self.carry },
            _ => Spoken::Http1,
        };
        (self.inner, spoken)
    }

    /// Scans new bytes and says how many of them may be read. The rest is an incomplete head, or the
    /// state is `Refused` or `Broken`.
    fn scan(&mut self, bytes: &[u8]) -> usize {
        let mut at = 0;
        while let Some(rest) = bytes.get(at..).filter(|rest| !rest.is_empty()) {
            match &mut self.state {
                State::Head if self.first.is_open() => match self.first.look(rest) {
                    preface::Look::More => break,
                    preface::Look::Http1 => {}
                    preface::Look::Http2 => {
                        self.state = State::Http2;
                        break;
                    }
                },
                State::Head => match self.head.advance(rest, self.bounds) {
                    head::Progress::More => break,
                    head::Progress::Complete(len, framing) => {
                        at = at.saturating_add(len);
                        self.head = HeadScan::default();
                        let ahead = self.line.ahead.load(Ordering::Relaxed);
                        self.line.ahead.store(ahead.saturating_add(1), Ordering::Relaxed);
                        self.state = match framing {
                            Framing::Length(0) => State::Head,
                            Framing::Length(left) => State::Length(left),
                            Framing::Chunked => State::Chunked(Chunked::new()),
                        };
                    }
                    head::Progress::Offence(reason) => {
                        self.offence(reason);
                        break;
                    }
                },
                State::Length(left) => {
                    let skipped = usize::try_from(*left).map_or(rest.len(), |left| left.min(rest.len()));
                    at = at.saturating_add(skipped);
                    *left = left.saturating_sub(skipped as u64);
                    if *left == 0 {
                        self.state = State::Head;
                    }
                }
                State::Chunked(chunked) => match chunked.advance(rest) {
                    chunked::Progress::More => at = bytes.len(),
                    chunked::Progress::Ended(len) => {
                        at = at.saturating_add(len);
                        self.state = State::Head;
                    }
                    chunked::Progress::Broken(len) => {
                        at = at.saturating_add(len);
                        self.state = State::Broken;
                        break;
                    }
                },
                State::Broken | State::Refused | State::Http2 => break,
            }
        }
        at
    }

    fn offence(&mut self, reason: Reason) {
        self.state = State::Refused;
        let index = reason.index().saturating_add(1);
        self.line.refused.store(index, Ordering::Relaxed);
    }

    /// Settles `carry` and the clock after a scan that let `approved` bytes of `carry` through.
    fn settle(&mut self, approved: usize) {
        self.approved = approved;
        self.read = 0;
        if self.state == State::Refused || self.state == State::Broken {
            self.carry.truncate(approved);
        }
        if self.state == State::Refused {
            self.carry.extend_from_slice(REFUSED_HEAD);
            self.approved = self.carry.len();
        }
        let incomplete = self.carry.len() > self.approved;
        let was_incomplete = self.line.in_head.swap(incomplete, Ordering::Relaxed);
        // A head that went on being incomplete keeps its clock; a new one starts it.
        if incomplete && (!was_incomplete || approved > 0) {
            self.line.clock.set(self.head_timeout);
        } else if !incomplete && approved > 0 {
            self.rest_clock();
        }
    }

    /// After progress that leaves no head incomplete: between messages the connection may be idle, within
    /// a body the clock starts when nothing comes.
    fn rest_clock(&self) {
        match self.state {
            State::Head => self.line.clock.set(self.line.keep_alive_timeout),
            _ => self.line.clock.clear(),
        }
    }

    /// Hands out approved bytes of `carry`.
    fn hand_out(&mut self, buf: &mut ReadBuf<'_>) {
        let waiting = self.carry.get(self.read..self.approved).unwrap_or_default();
        let handed = waiting.len().min(buf.remaining());
        buf.put_slice(waiting.get(..handed).unwrap_or_default());
        self.read = self.read.saturating_add(handed);
        if self.read < self.approved {
            return;
        }
        self.carry.drain(..self.approved.min(self.carry.len()));
        (self.read, self.approved) = (0, 0);
        if self.carry.is_empty() {
            // Idle connections hold no buffer of ours.
            self.carry = Vec::new();
        }
    }

    /// What the clock says when the socket has nothing.
    fn poll_clock(&mut self, cx: &mut Context<'_>) -> Poll<Late> {
        if !matches!(self.state, State::Head) && !self.body_waits {
            self.body_waits = true;
            self.line.clock.set(self.body_idle_timeout);
        }
        ready!(self.line.clock.poll_expired(cx));
        match self.state {
            State::Head if !self.carry.is_empty() => Poll::Ready(Late::Head),
            State::Head if self.line.busy.load(Ordering::Relaxed) => {
                // Not idle: an answer is on its way. Its end sets the clock again.
                self.line.clock.clear();
                self.line.clock.poll_expired(cx).map(|()| Late::Idle)
            }
            State::Head => Poll::Ready(Late::Idle),
            _ => Poll::Ready(Late::Body),
        }
    }
}

/// What a connection turned out to speak.
#[derive(Debug, PartialEq, Eq)]
pub enum Spoken {
    /// HTTP/1.1 or 1.0.
    Http1,
    /// HTTP/2, with all that was read of it.
    Http2 {
        /// The preface and whatever came with it.
        read: Vec<u8>,
    },
}

enum Late {
    Head,
    Idle,
    Body,
}

fn broken() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, "the chunked body is malformed")
}

impl<S: AsyncRead + Unpin> Screen<S> {
    /// Reads straight into hyper's buffer; `None`: nothing of it may be read yet.
    fn poll_in_place(&mut self, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<Option<()>>> {
        let before = buf.filled().len();
        ready!(Pin::new(&mut self.inner).poll_read(cx, buf))?;
        let new = buf.filled().get(before..).unwrap_or_default();
        if new.is_empty() {
            return Poll::Ready(Ok(Some(())));
        }
        self.body_waits = false;
        let approved = self.scan(new);
        if approved < new.len() {
            // Kept aside: a head that is not complete (its size is bounded, so this is), or nothing at all.
            self.carry
                .extend_from_slice(new.get(approved..).unwrap_or_default());
            buf.set_filled(before.saturating_add(approved));
        }
        self.settle(0);
        // `settle(0)` speaks of `carry` alone; progress in place counts as well.
        if approved > 0 && self.carry.is_empty() {
            self.rest_clock();
        }
        Poll::Ready(Ok((approved > 0).then_some(())))
    }

    /// Reads more of an incomplete head.
    fn poll_into_carry(
        &mut self,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<Option<()>>> {
        let mut scratch = buf.take(CARRY_READ);
        ready!(Pin::new(&mut self.inner).poll_read(cx, &mut scratch))?;
        if scratch.filled().is_empty() {
            // The client left within a head: for hyper it was idle.
            return Poll::Ready(Ok(Some(())));
        }
        self.carry.extend_from_slice(scratch.filled());
        let carry = std::mem::take(&mut self.carry);
        let approved = self.scan(&carry);
        self.carry = carry;
        self.settle(approved);
        Poll::Ready(Ok(None))
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Screen<S> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if this.line.switched.load(Ordering::Relaxed) {
            // What comes now is the tunnel's. hyper is done as soon as its answer is out.
            return Poll::Pending;
        }
        loop {
            if this.read < this.approved {
                this.hand_out(buf);
                return Poll::Ready(Ok(()));
            }
            match this.state {
                // Not the end of input: hyper would give up the answer.
                State::Refused => return Poll::Pending,
                State::Broken => return Poll::Ready(Err(broken())),
                // The end, for HTTP/1's engine.
                State::Http2 => return Poll::Ready(Ok(())),
                _ => {}
            }
            let outcome = if this.carry.is_empty() {
                this.poll_in_place(cx, buf)
            } else {
                this.poll_into_carry(cx, buf)
            };
            match outcome {
                Poll::Ready(Ok(Some(()))) => return Poll::Ready(Ok(())),
                Poll::Ready(Ok(None)) => {}
                Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                Poll::Pending => match ready!(this.poll_clock(cx)) {
                    Late::Head => {
                        this.offence(Reason::HeadTimeout);
                        this.settle(0);
                    }
                    Late::Idle => return Poll::Ready(Ok(())),
                    Late::Body => {
                        this.state = State::Broken;
                        return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
                    }
                },
            }
        }
    }
}

impl<S> Screen<S> {
    /// Bounds how long the client may take nothing. hyper reads no further request while an answer waits
    /// to be written, so no other clock would ever end such a connection.
    fn watch_write(
        &mut self,
        cx: &mut Context<'_>,
        written: Poll<io::Result<usize>>,
    ) -> Poll<io::Result<usize>> {
        if written.is_ready() {
            if std::mem::take(&mut self.write_waits) {
                self.write_clock.clear();
            }
            return written;
        }
        if !std::mem::replace(&mut self.write_waits, true) {
            self.write_clock.set(self.body_idle_timeout);
        }
        self.write_clock
            .poll_expired(cx)
            .map(|()| Err(io::ErrorKind::TimedOut.into()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Screen<S> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let written = Pin::new(&mut this.inner).poll_write(cx, buf);
        this.watch_write(cx, written)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().inner).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if this.state == State::Http2 {
            return Poll::Ready(Ok(()));
        }
        Pin::new(&mut this.inner).poll_shutdown(cx)
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let written = Pin::new(&mut this.inner).poll_write_vectored(cx, bufs);
        this.watch_write(cx, written)
    }
}
