//! One way of a tunnel over pipes of a few bytes.

use std::future::poll_fn;
use std::pin::pin;
use std::task::Waker;

use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};

use super::*;

/// Polls once, as a task that is not woken would be.
fn poll_once<F: Future>(future: F) -> Poll<F::Output> {
    pin!(future).poll(&mut Context::from_waker(Waker::noop()))
}

#[tokio::test]
async fn a_reader_that_takes_nothing_stops_the_writer_and_nothing_grows() {
    let (mut source, mut from) = duplex(1024 * 1024);
    let (mut to, mut sink) = duplex(64);
    let sent: Vec<u8> = (0..200_000_u32).map(|n| n.to_le_bytes()[0]).collect();
    source.write_all(&sent).await.expect("written");
    let mut way = Way::new(Bytes::from_static(b"first"));
    let mut read = Vec::new();
    for round in 0..200 {
        assert!(poll_once(poll_fn(|cx| way.poll(cx, &mut from, &mut to))).is_pending());
        assert!(
            way.held.len() <= MAX_READ,
            "round {round}: {} bytes wait",
            way.held.len()
        );
        let before = way.moved;
        assert!(poll_once(poll_fn(|cx| way.poll(cx, &mut from, &mut to))).is_pending());
        assert_eq!(way.moved, before, "the reader took nothing");
        let mut piece = [0; 64];
        let taken = sink.read(&mut piece).await.expect("read");
        read.extend_from_slice(&piece[..taken]);
    }
    drop(source);
    let rest = async {
        let mut rest = Vec::new();
        sink.read_to_end(&mut rest).await.expect("to the end");
        read.extend_from_slice(&rest);
    };
    let (end, ()) = tokio::join!(poll_fn(|cx| way.poll(cx, &mut from, &mut to)), rest);
    end.expect("carried");
    assert_eq!(way.moved, 200_005);
    assert!(read.starts_with(b"first"));
    assert!(read[5..] == sent, "every byte in its order");
}

#[tokio::test]
async fn a_way_at_rest_holds_no_buffer() {
    let (mut source, mut from) = duplex(64 * 1024);
    let (mut to, mut sink) = duplex(8);
    source.write_all(b"more than eight bytes").await.expect("written");
    let mut way = Way::new(Bytes::new());
    assert!(poll_once(poll_fn(|cx| way.poll(cx, &mut from, &mut to))).is_pending());
    assert_eq!(
        way.held.as_ref(),
        b"n eight bytes",
        "what the reader has not taken"
    );
    let mut all = [0; 21];
    let read = sink.read_exact(&mut all);
    let carry = poll_fn(|cx| match way.poll(cx, &mut from, &mut to) {
        Poll::Ready(end) => Poll::Ready(end),
        Poll::Pending if way.held.is_empty() => Poll::Ready(Ok(())),
        Poll::Pending => Poll::Pending,
    });
    let (read, carried) = tokio::join!(read, carry);
    read.expect("read");
    carried.expect("carried");
    assert_eq!(&all, b"more than eight bytes");
    assert_eq!(way.held.len(), 0);
}
