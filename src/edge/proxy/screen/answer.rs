//! The screen before an upstream's answers (S17c): what hyper reads leniently breaks the connection here.
//!
//! Follows each answer in hyper's own buffer: line ends of its head, the one reading of its length, strict
//! chunks. An offence is an error of the connection, on which nothing more is read: the exchange ends as a 502, or
//! its body stays incomplete. Interim answers are counted, and bytes that nobody asked for are never an answer.
//! Names, values and everything else of a head are hyper's to check; after a 101 nothing is looked at.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::task::{Context, Poll, ready};

use http::Method;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::chunked::{self, Chunked};
use super::head::{content_length, is_spelling_of};
use super::syntax::trim;

/// Most interim answers before one request's answer.
const MAX_INTERIM: u8 = 8;
/// Longest line that is kept while the rest of it is on its way; hyper bounds the head as a whole.
const MAX_LINE: usize = 64 * 1024;

/// Bytes behind an answer, or before any request.
const UNASKED: &str = "an answer that nobody asked for";

/// What the next answer belongs to, as the sender of requests says it.
#[derive(Debug, Default)]
pub struct Asked(AtomicU8);

const NOTHING: u8 = 0;
const SOMETHING: u8 = 1;
const HEAD_ONLY: u8 = 2;
const SWITCH: u8 = 3;

impl Asked {
    /// A request of this method is about to be sent.
    pub fn expect(&self, method: &Method) {
        let asked = if method == Method::HEAD {
            HEAD_ONLY
        } else {
            SOMETHING
        };
        self.0.store(asked, Ordering::Relaxed);
    }

    /// A request that asks for another protocol is about to be sent.
    pub fn expect_switch(&self) {
        self.0.store(SWITCH, Ordering::Relaxed);
    }
}

/// The screened connection.
#[derive(Debug)]
pub struct AnswerScreen<S> {
    inner: S,
    asked: Arc<Asked>,
    state: State,
    head: Head,
    /// The beginning of a line whose end is still to come.
    line: Vec<u8>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// At or in a head.
    Head,
    /// In a body of so many bytes more.
    Length(u64),
    /// In a chunked body.
    Chunked(Chunked),
    /// Up to the end of the connection: a body without a length, or another protocol.
    Rest,
    /// The end of the connection's use: nothing more is read.
    Broken(&'static str),
}

/// What is known of the present head.
#[derive(Debug, Default)]
struct Head {
    status: Option<Status>,
    length: Option<u64>,
    chunked: bool,
    interim: u8,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Status {
    code: u16,
    is_http_10: bool,
}

impl<S> AnswerScreen<S> {
    /// Screens a fresh connection. `asked` is told before each request.
    pub fn new(inner: S, asked: Arc<Asked>) -> Self {
        Self {
            inner,
            asked,
            state: State::Head,
            head: Head::default(),
            line: Vec::new(),
        }
    }

    /// The stream below, when it is no connection of HTTP any more.
    pub fn into_inner(self) -> S {
        self.inner
    }

    /// Scans new bytes and says how many of them may be read; fewer than all only when the state is `Broken`.
    fn scan(&mut self, bytes: &[u8]) -> usize {
        let mut at = 0;
        while let Some(rest) = bytes.get(at..).filter(|rest| !rest.is_empty()) {
            match &mut self.state {
                State::Head => match self.scan_head(rest) {
                    Ok(read) => at = at.saturating_add(read),
                    Err(why) => {
                        self.state = State::Broken(why);
                        return at;
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
                        self.state = State::Broken("the chunks of the answer are malformed");
                        return at.saturating_add(len);
                    }
                },
                State::Rest => at = bytes.len(),
                State::Broken(_) => break,
            }
        }
        at
    }

    /// Reads lines up to the end of the head or of the bytes, and says how many bytes that were.
    fn scan_head(&mut self, bytes: &[u8]) -> Result<usize, &'static str> {
        if self.asked.0.load(Ordering::Relaxed) == NOTHING {
            return Err(UNASKED);
        }
        let mut at = 0;
        loop {
            let rest = bytes.get(at..).unwrap_or_default();
            let Some(end) = memchr::memchr(b'\n', rest) else {
                if self.line.len().saturating_add(rest.len()) > MAX_LINE {
                    return Err("a line of the answer's head is too long");
                }
                self.line.extend_from_slice(rest);
                return Ok(bytes.len());
            };
            let line = rest.get(..end).unwrap_or_default();
            at = at.saturating_add(end).saturating_add(1);
            let is_last = if self.line.is_empty() {
                self.head.line(line)?
            } else {
                let mut whole = std::mem::take(&mut self.line);
                whole.extend_from_slice(line);
                self.head.line(&whole)?
            };
            if is_last == Last::Yes {
                self.state = self.after_head()?;
                return Ok(at);
            }
        }
    }

    /// What follows a head that is complete.
    fn after_head(&mut self) -> Result<State, &'static str> {
        let head = std::mem::take(&mut self.head);
        let code = head.status.map_or(0, |status| status.code);
        if code == 101 {
            return match self.asked.0.load(Ordering::Relaxed) {
                SWITCH => Ok(State::Rest),
                _ => Err("a switch of protocols that nobody asked for"),
            };
        }
        if (100..200).contains(&code) {
            if head.length.is_some() || head.chunked {
                return Err("an interim answer with a body");
            }
            self.head.interim = head.interim.saturating_add(1);
            return match self.head.interim > MAX_INTERIM {
                true => Err("too many interim answers"),
                false => Ok(State::Head),
            };
        }
        let asked = self.asked.0.swap(NOTHING, Ordering::Relaxed);
        match (head.chunked, head.length) {
            (true, Some(_)) => Err("an answer with a length and with chunks"),
            _ if asked == HEAD_ONLY || code == 204 || code == 304 => Ok(State::Head),
            (true, None) => Ok(State::Chunked(Chunked::new())),
            (false, Some(0)) => Ok(State::Head),
            (false, Some(length)) => Ok(State::Length(length)),
            (false, None) => Ok(State::Rest),
        }
    }
}

/// Whether a line was the empty one that ends a head.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Last {
    Yes,
    No,
}

impl Head {
    /// One line, without its LF.
    fn line(&mut self, line: &[u8]) -> Result<Last, &'static str> {
        let Some(line) = line.strip_suffix(b"\r").filter(|line| !line.contains(&b'\r')) else {
            return Err("a line end of the answer's head is not CRLF");
        };
        let Some(status) = self.status else {
            self.status = Some(status_line(line).ok_or("the answer has no status line")?);
            return Ok(Last::No);
        };
        if line.is_empty() {
            return Ok(Last::Yes);
        }
        // hyper refuses lines without a colon and names that are none.
        let colon = memchr::memchr(b':', line).unwrap_or(line.len());
        let (name, value) = line.split_at(colon);
        let value = trim(value.get(1..).unwrap_or_default());
        match name.len() {
            14 if is_spelling_of(name, b"content-length") => {
                let length = content_length(name, value).ok_or("the answer's length is malformed")?;
                if self.length.replace(length).is_some() {
                    return Err("the answer has several lengths");
                }
            }
            17 if is_spelling_of(name, b"transfer-encoding") => {
                let only_chunked = name.contains(&b'-') && value.eq_ignore_ascii_case(b"chunked");
                if !only_chunked || self.chunked || status.is_http_10 {
                    return Err("the answer's transfer coding is not chunked alone");
                }
                self.chunked = true;
            }
            _ => {}
        }
        Ok(Last::No)
    }
}

/// `HTTP/1.1 200 OK`, of which the reason is anything.
fn status_line(line: &[u8]) -> Option<Status> {
    let (version, rest) = line.split_at_checked(8)?;
    let is_http_10 = match version {
        b"HTTP/1.1" => false,
        b"HTTP/1.0" => true,
        _ => return None,
    };
    let digits = match rest {
        [b' ', digits @ ..] => digits.get(..3)?,
        _ => return None,
    };
    let good = digits.iter().all(u8::is_ascii_digit) && matches!(rest.get(4), None | Some(b' '));
    good.then_some(())?;
    let code = std::str::from_utf8(digits).ok()?.parse().ok()?;
    Some(Status { code, is_http_10 })
}

impl<S: AsyncRead + Unpin> AsyncRead for AnswerScreen<S> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if let State::Broken(why) = this.state {
            return Poll::Ready(Err(io::Error::new(io::ErrorKind::InvalidData, why)));
        }
        let before = buf.filled().len();
        ready!(Pin::new(&mut this.inner).poll_read(cx, buf))?;
        let new = buf.filled().get(before..).unwrap_or_default();
        let approved = this.scan(new);
        if let State::Broken(why) = this.state {
            // Behind a complete answer hyper must find the excess itself, before it calls the connection free.
            if why == UNASKED && approved > 0 {
                return Poll::Ready(Ok(()));
            }
            buf.set_filled(before.saturating_add(approved));
            if approved == 0 {
                return Poll::Ready(Err(io::Error::new(io::ErrorKind::InvalidData, why)));
            }
        }
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for AnswerScreen<S> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().inner).poll_write(cx, buf)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().inner).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().inner).poll_shutdown(cx)
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().inner).poll_write_vectored(cx, bufs)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};

    use super::*;

    #[tokio::test]
    async fn http_ends_at_a_101_only_where_one_was_asked_for() {
        const SWITCHES: &[u8] = b"HTTP/1.1 101 Switching Protocols\r\n\r\n\x01no HTTP\n";
        for (asks_to_switch, passes) in [(true, true), (false, false)] {
            let asked = Arc::new(Asked::default());
            let (mut upstream, ours) = duplex(1024);
            let mut screen = AnswerScreen::new(ours, Arc::clone(&asked));
            match asks_to_switch {
                true => asked.expect_switch(),
                false => asked.expect(&Method::GET),
            }
            upstream.write_all(SWITCHES).await.expect("written");
            drop(upstream);
            let mut read = Vec::new();
            let outcome = screen.read_to_end(&mut read).await;
            assert_eq!(outcome.is_ok(), passes, "asks: {asks_to_switch}, {outcome:?}");
            assert_eq!(read == SWITCHES, passes);
        }
    }

    /// What comes through of these pieces as the answer to a GET, and whether it ended well.
    async fn through(pieces: &[&[u8]]) -> (Vec<u8>, bool) {
        let asked = Arc::new(Asked::default());
        asked.expect(&Method::GET);
        let (mut upstream, ours) = duplex(1 << 20);
        let mut screen = AnswerScreen::new(ours, asked);
        let mut read = Vec::new();
        let mut buffer = vec![0; 1 << 18];
        for piece in pieces {
            upstream.write_all(piece).await.expect("written");
            match screen.read(&mut buffer).await {
                Ok(len) => read.extend_from_slice(&buffer[..len]),
                Err(_) => return (read, false),
            }
        }
        drop(upstream);
        let good = screen.read_to_end(&mut read).await.is_ok();
        (read, good)
    }

    #[tokio::test]
    async fn an_interim_answer_has_no_body_and_there_are_few_of_them() {
        const GOOD: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
        let many = |n: u8| "HTTP/1.1 103 Early Hints\r\n\r\n".repeat(n.into());
        let interim = |lines: &str| format!("HTTP/1.1 103 Early Hints\r\n{lines}\r\n");
        for (before, passes, why) in [
            (String::new(), true, "none"),
            (interim("Link: </a>\r\n"), true, "a hint"),
            // Whoever skips what it tells of reads another answer than who does not.
            (
                interim("Content-Length: 0\r\n"),
                false,
                "with a length of nothing",
            ),
            (
                interim("Content-Length: 43\r\n"),
                false,
                "with the length of the answer behind it",
            ),
            (interim("content-length: 43\r\n"), false, "whatever the letters"),
            (interim("Transfer-Encoding: chunked\r\n"), false, "with chunks"),
            (many(MAX_INTERIM), true, "as many as the bound"),
            (many(MAX_INTERIM + 1), false, "one more"),
        ] {
            let whole = format!("{before}{GOOD}");
            let (read, good) = through(&[whole.as_bytes()]).await;
            assert_eq!(good, passes, "{why}");
            let read = String::from_utf8(read).expect("text");
            assert_eq!(read.ends_with("ok"), passes, "{why}: {read}");
        }
    }

    #[tokio::test]
    async fn a_line_in_pieces_is_kept_up_to_a_bound() {
        let rest = b"x\r\nContent-Length: 0\r\n\r\n";
        for (kept, passes) in [(MAX_LINE, true), (MAX_LINE + 1, false)] {
            let line = [b"X: ".as_slice(), &vec![b'x'; kept - 3]].concat();
            let (_, good) = through(&[b"HTTP/1.1 200 OK\r\n", &line, rest]).await;
            assert_eq!(good, passes, "{kept} bytes without an end");
            let (first, second) = line.split_at(kept / 2);
            let (_, good) = through(&[b"HTTP/1.1 200 OK\r\n", first, second, rest]).await;
            assert_eq!(good, passes, "{kept} bytes without an end, in two pieces");
        }
    }

    #[tokio::test]
    async fn nothing_is_read_any_more_once_a_connection_is_broken() {
        let asked = Arc::new(Asked::default());
        let (mut upstream, ours) = duplex(1024);
        let mut screen = AnswerScreen::new(ours, Arc::clone(&asked));
        let good = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";
        upstream.write_all(good).await.expect("written");
        let mut buffer = [0; 256];
        screen.read(&mut buffer).await.expect_err("nobody asked");
        // Whatever is asked and answered on it now.
        asked.expect(&Method::GET);
        upstream.write_all(good).await.expect("written");
        screen.read(&mut buffer).await.expect_err("for good");
    }
}
