//! Long bodies through the real process: in constant memory, at the pace of whoever is slower, event by event.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use crate::support::wait::until;
use crate::support::{ByHand, Client, Doorward};

const MIB: usize = 1024 * 1024;
/// What the process may grow by for bodies of any length: buffers, and what the allocator keeps.
const MAX_GROWTH: usize = 24 * MIB;

/// Length of the long bodies; `DOORWARD_TEST_BODY_MIB=10240` streams 10 GiB each way.
fn long() -> usize {
    let asked = std::env::var("DOORWARD_TEST_BODY_MIB").ok();
    asked.and_then(|n| n.parse::<usize>().ok()).unwrap_or(192) * MIB
}

fn start(route: &str) -> (Doorward, ByHand) {
    let upstream = ByHand::listen();
    let config = format!(
        "workers: 1\nupstreams: {{ api: {{ url: \"http://{}\" }} }}\n\
         routes: [{{ path: /, access: public, upstream: api{route} }}]\n",
        upstream.address
    );
    (Doorward::start(&config), upstream)
}

/// The most memory that the process has held at once, in bytes.
fn peak(door: &Doorward) -> usize {
    let status = std::fs::read_to_string(format!("/proc/{}/status", door.pid())).expect("Linux");
    let line = status.lines().find(|l| l.starts_with("VmHWM:")).expect("a line");
    let kib = line
        .split_whitespace()
        .nth(1)
        .and_then(|n| n.parse::<usize>().ok());
    kib.expect("a number") * 1024
}

/// Writes so many bytes, of which each tells its place.
fn generate(mut to: &TcpStream, length: usize) {
    let piece: Vec<u8> = (0..MIB).map(|n| (n % 251) as u8).collect();
    for _ in 0..length / MIB {
        to.write_all(&piece).expect("written");
    }
}

/// Reads so many bytes and checks them; the first of them were read with the head.
fn check(first: &[u8], mut from: &TcpStream, length: usize) {
    let right = first.iter().enumerate().all(|(n, b)| usize::from(*b) == n % 251);
    assert!(right && first.len() < MIB, "wrong bytes behind the head");
    let mut piece = vec![0; 64 * 1024];
    let mut at = first.len();
    while at < length {
        let most = piece.len().min(length - at);
        let read = from.read(&mut piece[..most]).expect("read");
        assert!(read > 0, "ended after {at} bytes");
        let right = piece[..read]
            .iter()
            .enumerate()
            .all(|(n, b)| usize::from(*b) == (at + n) % MIB % 251);
        assert!(right, "wrong bytes behind {at}");
        at += read;
    }
}

#[test]
fn long_bodies_pass_both_ways_in_constant_memory() {
    let length = long();
    let (door, upstream) = start("");
    let mut client = door.connect();
    // Whatever a first request costs.
    client.write("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    let mut app = upstream.accept();
    app.head();
    app.write("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
    client.answer();
    let before = peak(&door);

    client.write(format!(
        "PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: {length}\r\n\r\n"
    ));
    let sender = client.stream().try_clone().expect("cloned");
    let sending = std::thread::spawn(move || generate(&sender, length));
    app.head();
    let rest = app.buffered();
    check(&rest, app.stream(), length);
    sending.join().expect("sent");
    app.write("HTTP/1.1 204 No Content\r\n\r\n");
    assert_eq!(client.answer().status, 204);

    client.write("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    app.head();
    app.write(format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n"));
    let sender = app.stream().try_clone().expect("cloned");
    let sending = std::thread::spawn(move || generate(&sender, length));
    client.head();
    let rest = client.buffered();
    check(&rest, client.stream(), length);
    sending.join().expect("sent");

    let grown = peak(&door).saturating_sub(before);
    assert!(
        grown < MAX_GROWTH,
        "{} MiB each way cost {} KiB",
        length / MIB,
        grown / 1024
    );
    client.write("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    app.head();
}

#[test]
fn clients_that_read_nothing_slow_their_apps_and_cost_little() {
    const CLIENTS: usize = 20;
    let (door, upstream) = start("");
    let mut ends = Vec::new();
    let before = peak(&door);
    let piece = vec![b'x'; MIB];
    for _ in 0..CLIENTS {
        let mut client = door.connect();
        client.write("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
        let mut app = upstream.accept();
        app.head();
        app.write("HTTP/1.1 200 OK\r\nContent-Length: 1000000000000\r\n\r\n");
        let mut stream = app.stream().try_clone().expect("cloned");
        stream
            .set_write_timeout(Some(Duration::from_millis(50)))
            .expect("set");
        let mut sent = 0;
        // The kernel's buffers on both sides, and little of ours.
        while let Ok(some) = stream.write(&piece) {
            sent += some;
            assert!(sent < 64 * MIB, "nobody reads, and {sent} bytes are taken");
        }
        ends.push((client, app));
    }
    let grown = peak(&door).saturating_sub(before);
    assert!(
        grown < CLIENTS * MIB / 2,
        "{CLIENTS} slow clients cost {} KiB",
        grown / 1024
    );
    // Gone, with their connections to the app.
    for (client, mut app) in ends {
        drop(client);
        app.rest();
    }
}

/// Begins an event stream.
fn listen(door: &Doorward, upstream: &ByHand) -> (Client, Client) {
    let mut client = door.connect();
    client.write("GET /events HTTP/1.1\r\nHost: a\r\nAccept: text/event-stream\r\n\r\n");
    let mut app = upstream.accept();
    app.head();
    app.write("HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n");
    let head = client.head();
    assert!(
        head.starts_with("HTTP/1.1 200 OK\r\n"),
        "the head does not wait for the first event: {head}"
    );
    (client, app)
}

#[test]
fn events_arrive_one_by_one_and_a_listener_that_left_is_gone_for_the_app_too() {
    let (door, upstream) = start("");
    let (mut client, mut app) = listen(&door, &upstream);
    for n in 10..30 {
        let event = format!("9\r\ndata: {n}\n\r\n");
        app.write(&event);
        assert_eq!(
            client.take(event.len()),
            event.as_bytes(),
            "none waits for the next"
        );
    }
    drop(client);
    // Nothing more is sent that could fail: the end of the client's connection is enough.
    assert_eq!(app.rest(), b"");
    until("the connection is counted out", || {
        let lines = door.metric("doorward_upstream_connections{");
        lines.iter().any(|l| l.ends_with(" 0"))
    });
}

#[test]
fn a_route_says_how_long_its_answers_may_be_quiet() {
    let (door, upstream) = start(", idle_timeout: 300ms");
    let (mut client, mut app) = listen(&door, &upstream);
    for _ in 0..5 {
        std::thread::park_timeout(Duration::from_millis(100));
        app.write("2\r\n:\n\r\n");
        client.take(7);
    }
    assert_eq!(
        client.rest(),
        b"",
        "cut off, without an end that it does not have"
    );
    assert_eq!(app.rest(), b"");
    let failed = door.metric("doorward_upstream_failures_total");
    let idle = failed
        .iter()
        .find(|l| l.contains("\"idle_timeout\""))
        .expect("a sample");
    assert!(idle.ends_with(" 1"), "{idle}");
}
