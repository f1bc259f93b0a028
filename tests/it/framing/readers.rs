//! What the screen lets through, and what hyper reads, with or without the screen below it. In one process.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::convert::Infallible;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use doorward::domain::reason::Reason;
use doorward::edge::proxy::ConnectionSettings;
use doorward::edge::proxy::screen::{REFUSED_METHOD, Screen};
use doorward::runtime::deadlines::Deadlines;
use http_body_util::{BodyExt, Empty};
use hyper::body::{Bytes, Incoming};
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::reference::Message;

/// A socket that gives one piece per read, then its end, and takes whatever is written.
pub struct Script {
    pieces: VecDeque<Vec<u8>>,
    /// At the end it has nothing more, but is not closed.
    stays_open: bool,
}

impl Script {
    pub fn new(pieces: &[Vec<u8>]) -> Self {
        let pieces = pieces.iter().filter(|piece| !piece.is_empty()).cloned().collect();
        Self {
            pieces,
            stays_open: false,
        }
    }
}

impl AsyncRead for Script {
    fn poll_read(self: Pin<&mut Self>, _: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        match this.pieces.pop_front() {
            None if this.stays_open => return Poll::Pending,
            None => {}
            Some(mut piece) => {
                let rest = piece.split_off(piece.len().min(buf.remaining()));
                buf.put_slice(&piece);
                if !rest.is_empty() {
                    this.pieces.push_front(rest);
                }
            }
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Script {
    fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

fn screen(pieces: &[Vec<u8>], stays_open: bool) -> Screen<Script> {
    let script = Script {
        stays_open,
        ..Script::new(pieces)
    };
    let deadlines = Deadlines::new(Duration::from_millis(100));
    Screen::new(script, &ConnectionSettings::default(), &deadlines)
}

/// What the screen made of some bytes.
#[derive(Debug, PartialEq, Eq)]
pub struct Screened {
    /// What it let through, without the request that stands for a refused head.
    pub bytes: Vec<u8>,
    pub refusal: Option<Reason>,
    /// A body's framing was broken.
    pub broken: bool,
}

/// Lets the screen see these pieces.
pub fn screened(pieces: &[Vec<u8>]) -> Screened {
    let mut screen = screen(pieces, true);
    let mut seen = Screened {
        bytes: Vec::new(),
        refusal: None,
        broken: false,
    };
    let cx = &mut Context::from_waker(Waker::noop());
    let mut space = [0; 4096];
    loop {
        let mut buf = ReadBuf::new(&mut space);
        match Pin::new(&mut screen).poll_read(cx, &mut buf) {
            Poll::Ready(Ok(())) if !buf.filled().is_empty() => seen.bytes.extend_from_slice(buf.filled()),
            Poll::Ready(Err(_)) => seen.broken = true,
            _ => {}
        }
        if buf.filled().is_empty() {
            break;
        }
    }
    seen.refusal = screen.line().refusal();
    if seen.refusal.is_some() {
        let mark = REFUSED_METHOD.as_bytes();
        let at = seen
            .bytes
            .windows(mark.len())
            .rposition(|w| w == mark)
            .expect("the mark");
        seen.bytes.truncate(at);
    }
    seen
}

/// What hyper reads above the screen.
pub fn hyper_above_the_screen(pieces: &[Vec<u8>]) -> Vec<Message> {
    hyper_reads(screen(pieces, false))
}

/// What hyper reads, as a server: every request that it begins to read, each answered at its end.
pub fn hyper_reads(io: impl AsyncRead + AsyncWrite + Unpin + 'static) -> Vec<Message> {
    let seen = Rc::new(RefCell::new(Vec::new()));
    let into = Rc::clone(&seen);
    let service = service_fn(move |request| {
        let into = Rc::clone(&into);
        async move {
            let (closes, message) = read_request(request).await;
            into.borrow_mut().push(message);
            let mut response = Response::new(Empty::<Bytes>::new());
            if closes {
                response
                    .headers_mut()
                    .insert("connection", http::HeaderValue::from_static("close"));
            }
            Ok::<_, Infallible>(response)
        }
    });
    let connection = hyper::server::conn::http1::Builder::new()
        .half_close(true)
        .header_read_timeout(None)
        .max_headers(128)
        .serve_connection(TokioIo::new(io), service);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .expect("a runtime");
    // How it ended is told by what was read.
    let _ = runtime.block_on(connection);
    seen.take()
}

async fn read_request(request: Request<Incoming>) -> (bool, Message) {
    let (parts, mut incoming) = request.into_parts();
    let mut message = Message {
        method: parts.method.to_string(),
        target: parts
            .uri
            .path_and_query()
            .map_or("/", |target| target.as_str())
            .to_owned(),
        fields: Vec::new(),
        body: Vec::new(),
        complete: false,
    };
    for (name, value) in &parts.headers {
        message
            .fields
            .push((name.as_str().to_owned(), value.as_bytes().to_vec()));
    }
    message.fields.sort_by(|(a, _), (b, _)| a.cmp(b));
    loop {
        match incoming.frame().await {
            Some(Ok(frame)) => {
                if let Ok(data) = frame.into_data() {
                    message.body.extend_from_slice(&data);
                }
            }
            Some(Err(_)) => break,
            None => {
                message.complete = true;
                break;
            }
        }
    }
    (message.method == REFUSED_METHOD, message)
}
