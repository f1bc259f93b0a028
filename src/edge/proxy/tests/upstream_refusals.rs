//! Upstreams that say over HTTP/2 that they did nothing with a request (RFC 9113 section 8.7), frame by frame.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::rc::Rc;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::support::{World, on_a_data_thread};
use crate::edge::proxy::ConnectionSettings;
use crate::edge::proxy::upstream::Protocol;
use crate::runtime::workers::spawn_here;
use crate::telemetry::labels::UpstreamFailure;

/// What the upstream does with one stream.
#[derive(Debug, Clone, Copy)]
enum Does {
    /// Answers 200.
    Answers,
    /// Resets it with this error.
    Resets(u32),
    /// Goes away, and has looked at no stream.
    GoesAwayBefore,
    /// Goes away with this stream the last that it looked at, and closes.
    GoesAwayBehind,
    /// Breaks the rules of HTTP/2, so that we go away.
    Breaks,
}
use Does::{Answers, Breaks, GoesAwayBefore, GoesAwayBehind, Resets};

const INTERNAL_ERROR: u32 = 2;
const REFUSED_STREAM: u32 = 7;

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const GOAWAY: u8 = 7;

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let len = u8::try_from(payload.len()).expect("short");
    let mut bytes = vec![0, 0, len, kind, flags];
    bytes.extend(stream.to_be_bytes());
    bytes.extend(payload);
    bytes
}

/// The connection and the stream of each request that came.
type Seen = Rc<RefCell<Vec<(usize, u32)>>>;

/// Serves one connection by the script that all share.
async fn serve(
    mut socket: TcpStream,
    connection: usize,
    script: Rc<RefCell<VecDeque<Does>>>,
    seen: Seen,
) -> std::io::Result<()> {
    socket.read_exact(&mut [0; 24]).await?;
    socket.write_all(&frame(SETTINGS, 0, 0, &[])).await?;
    loop {
        let mut head = [0; 9];
        socket.read_exact(&mut head).await?;
        let len = u32::from_be_bytes([0, head[0], head[1], head[2]]);
        let stream = u32::from_be_bytes([head[5], head[6], head[7], head[8]]);
        let mut payload = vec![0; usize::try_from(len).expect("a length")];
        socket.read_exact(&mut payload).await?;
        let (kind, flags) = (head[3], head[4]);
        if kind == SETTINGS && flags == 0 {
            socket.write_all(&frame(SETTINGS, 1, 0, &[])).await?;
        }
        if kind != HEADERS {
            continue;
        }
        seen.borrow_mut().push((connection, stream));
        let goes_away = |last: u32| frame(GOAWAY, 0, 0, &[last.to_be_bytes(), [0; 4]].concat());
        let next = script.borrow_mut().pop_front().unwrap_or(Answers);
        match next {
            // `:status 200` is the eighth entry of HPACK's table.
            Answers => socket.write_all(&frame(HEADERS, 5, stream, &[0x88])).await?,
            Resets(error) => {
                let reset = frame(RST_STREAM, 0, stream, &error.to_be_bytes());
                socket.write_all(&reset).await?;
            }
            // DATA belongs to a stream; this is for the connection.
            Breaks => socket.write_all(&frame(DATA, 0, 0, &[])).await?,
            GoesAwayBefore => socket.write_all(&goes_away(0)).await?,
            GoesAwayBehind => {
                socket.write_all(&goes_away(stream)).await?;
                return Ok(());
            }
        }
    }
}

/// A script, a request, its answer's status, the connection of each try, and why.
type Row = (&'static [Does], &'static str, u16, &'static [usize], &'static str);

const GET: &str = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";
const EMPTY_POST: &str = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n";
const POST: &str = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nhi";

#[test]
fn a_request_is_sent_again_when_the_upstream_says_that_it_did_nothing_with_it() {
    #[rustfmt::skip]
    let rows: [Row; 10] = [
        (&[Resets(REFUSED_STREAM)], GET, 200, &[0, 0], "refused once, on a connection that goes on"),
        (&[Resets(REFUSED_STREAM), Resets(REFUSED_STREAM)], GET, 200, &[0, 0, 0], "or twice"),
        (&[Resets(REFUSED_STREAM); 3], GET, 502, &[0, 0, 0], "not for ever"),
        (&[GoesAwayBefore], GET, 200, &[0, 1], "nothing new on a connection that goes away"),
        (&[GoesAwayBefore, Resets(REFUSED_STREAM)], EMPTY_POST, 200, &[0, 1, 1], "whatever the method, without a body"),
        (&[Resets(REFUSED_STREAM)], POST, 502, &[0], "a body that was on its way is gone"),
        (&[GoesAwayBefore], POST, 502, &[0], "here too"),
        (&[Resets(INTERNAL_ERROR)], GET, 502, &[0], "any other error may come after work was done"),
        (&[GoesAwayBehind], GET, 502, &[0], "it may have looked at that one"),
        (&[Breaks], GET, 502, &[0], "that we go away says nothing of what it did"),
    ];
    for (script, request, status, connections, why) in rows {
        on_a_data_thread(async move {
            let mut world = World::with(ConnectionSettings::default(), |settings| {
                settings.protocol = Protocol::Http2;
            })
            .await;
            let (listener, seen) = (world.take_upstream(), Seen::default());
            let (script, told) = (
                Rc::new(RefCell::new(script.iter().copied().collect())),
                Rc::clone(&seen),
            );
            spawn_here(async move {
                for connection in 0.. {
                    let Ok((socket, _)) = listener.accept().await else {
                        return;
                    };
                    let serving = serve(socket, connection, Rc::clone(&script), Rc::clone(&told));
                    spawn_here(async move {
                        // Until Doorward closes.
                        let _ = serving.await;
                    });
                }
            });
            let mut client = world.client();
            client.send(request).await;
            let (head, body) = client.answer().await;
            assert!(
                head.starts_with(&format!("HTTP/1.1 {status}")),
                "{why}: {head}{body}"
            );
            let on: Vec<usize> = seen.borrow().iter().map(|(connection, _)| *connection).collect();
            assert_eq!(on, connections, "{why}");
            let metrics = world.metrics.for_upstream("api");
            assert_eq!(metrics.retries.get(), connections.len() as u64 - 1, "{why}");
            let failed = metrics.failures.count(UpstreamFailure::InvalidAnswer);
            assert_eq!(failed, u64::from(status == 502), "{why}");
        });
    }
}
