//! Floods over HTTP/2, frame by frame: each ends, or costs no more than it sends, while others are served and memory
//! stays where it was.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use crate::support::h2::{self, END_HEADERS, END_STREAM, Frame, H2, Outcome, fields, get};
use crate::support::wait::until;
use crate::support::{Client, Doorward, Reply, Upstream};

/// Most memory that all floods together may leave behind, in bytes.
const MAX_GROWTH: f64 = 48e6;

/// How a connection ends that floods.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ends {
    /// It is told to go away with this error, or closed.
    With(&'static [u32]),
    /// It is served on: what it did cost no more than it sent.
    NotAtAll,
    /// The one or the other: a matter of time.
    Perhaps(&'static [u32]),
}
use Ends::{NotAtAll, Perhaps, With};

/// Errors (RFC 9113 section 7).
const PROTOCOL: u32 = 1;
const FLOW_CONTROL: u32 = 3;
const STREAM_CLOSED: u32 = 5;
const FRAME_SIZE: u32 = 6;
const COMPRESSION: u32 = 9;
const CALM: u32 = 11;

type Flood = fn(&mut H2);

/// Writes a frame again and again; ends early when nobody takes it any more.
fn again(client: &mut H2, times: usize, frame: &Frame) {
    let many = frame.bytes().repeat(100);
    for _ in 0..times / 100 {
        if !client.write(&many) {
            return;
        }
    }
}

fn post(client: &mut H2, stream: u32) {
    let head = fields(&[
        (":method", "POST"),
        (":scheme", "http"),
        (":path", "/open/slow"),
        (":authority", "test.example"),
    ]);
    client.send(&Frame::new(h2::HEADERS, END_HEADERS, stream, head));
}

/// Opens streams, each with what comes right behind its head.
fn streams(client: &mut H2, count: u32, path: &str, behind: &[Frame]) {
    for i in 0..count {
        let stream = 2 * i + 1;
        let mut bytes = Frame::new(h2::HEADERS, END_HEADERS | END_STREAM, stream, get(path)).bytes();
        for frame in behind {
            let frame = Frame {
                stream,
                ..frame.clone()
            };
            bytes.extend(frame.bytes());
        }
        if !client.write(&bytes) {
            return;
        }
    }
}

fn rst(code: u32) -> Frame {
    Frame::new(h2::RST_STREAM, 0, 0, code.to_be_bytes())
}

fn update(by: u32) -> Frame {
    Frame::new(h2::WINDOW_UPDATE, 0, 0, by.to_be_bytes())
}

fn headers(client: &mut H2, flags: u8, block: Vec<u8>) -> bool {
    client.send(&Frame::new(h2::HEADERS, flags, 1, block))
}

fn rapid_reset(client: &mut H2) {
    streams(client, 20_000, "/open/slow", &[rst(8)]);
}

fn made_to_reset_by_window_update_of_zero(client: &mut H2) {
    streams(client, 20_000, "/open/slow", &[update(0)]);
}

fn made_to_reset_by_window_overflow(client: &mut H2) {
    streams(client, 20_000, "/open/slow", &[update(0x7fff_ffff)]);
}

fn made_to_reset_by_frames_on_a_half_closed_stream(client: &mut H2) {
    streams(client, 20_000, "/open/slow", &[Frame::new(h2::DATA, 0, 0, *b"x")]);
}

fn made_to_reset_by_a_priority_on_itself(client: &mut H2) {
    for i in 0..20_000_u32 {
        let stream = 2 * i + 1;
        let mut bytes = Frame::new(h2::HEADERS, END_HEADERS | END_STREAM, stream, get("/open/slow")).bytes();
        let itself = [&stream.to_be_bytes()[..], &[0]].concat();
        bytes.extend(Frame::new(h2::PRIORITY, 0, stream, itself).bytes());
        if !client.write(&bytes) {
            return;
        }
    }
}

fn heads_that_are_malformed(client: &mut H2) {
    for i in 0..20_000 {
        let head = fields(&[(":method", "GET"), ("connection", "x")]);
        if !client.send(&Frame::new(
            h2::HEADERS,
            END_HEADERS | END_STREAM,
            2 * i + 1,
            head,
        )) {
            return;
        }
    }
}

fn continuation_without_end(client: &mut H2) {
    headers(client, END_STREAM, get("/open/x"));
    again(
        client,
        1_000_000,
        &Frame::new(h2::CONTINUATION, 0, 1, fields(&[("x", "y")])),
    );
}

fn empty_continuations_without_end(client: &mut H2) {
    headers(client, END_STREAM, get("/open/x"));
    again(client, 1_000_000, &Frame::new(h2::CONTINUATION, 0, 1, []));
}

fn a_block_broken_by_another_frame(client: &mut H2) {
    headers(client, END_STREAM, get("/open/x"));
    client.send(&Frame::new(h2::PING, 0, 0, [0; 8]));
}

fn settings(client: &mut H2) {
    let window = [&[0, 4][..], &65_535_u32.to_be_bytes()].concat();
    again(client, 100_000, &Frame::new(h2::SETTINGS, 0, 0, window));
}

fn empty_settings(client: &mut H2) {
    again(client, 100_000, &Frame::new(h2::SETTINGS, 0, 0, []));
}

fn acknowledged_settings_that_nobody_sent(client: &mut H2) {
    again(client, 100_000, &Frame::new(h2::SETTINGS, h2::ACK, 0, []));
}

fn pings(client: &mut H2) {
    again(client, 100_000, &Frame::new(h2::PING, 0, 0, [0; 8]));
}

fn priorities(client: &mut H2) {
    for i in 0..1000_u32 {
        let on_the_one_before = [&(2 * i).to_be_bytes()[..], &[255]].concat();
        again(
            client,
            100,
            &Frame::new(h2::PRIORITY, 0, 2 * i + 1, on_the_one_before),
        );
    }
}

fn frames_of_unknown_types(client: &mut H2) {
    again(client, 100_000, &Frame::new(0xfa, 0, 0, *b"grease"));
}

fn updates_of_the_window_of_the_connection(client: &mut H2) {
    again(client, 100_000, &update(1));
}

fn a_window_of_the_connection_that_overflows(client: &mut H2) {
    again(client, 200, &update(0x7fff_ffff));
}

fn empty_data(client: &mut H2) {
    post(client, 1);
    again(client, 1_000_000, &Frame::new(h2::DATA, 0, 1, []));
}

fn data_of_one_byte_and_much_padding(client: &mut H2) {
    post(client, 1);
    let padded = [&[254_u8, b'x'][..], &[0; 254]].concat();
    again(client, 10_000, &Frame::new(h2::DATA, 8, 1, padded));
}

fn data_beyond_the_window(client: &mut H2) {
    post(client, 1);
    again(client, 1000, &Frame::new(h2::DATA, 0, 1, vec![b'x'; 16_000]));
}

fn data_on_a_stream_that_never_was(client: &mut H2) {
    again(client, 1000, &Frame::new(h2::DATA, 0, 7, *b"x"));
}

fn empty_heads_as_trailers(client: &mut H2) {
    post(client, 1);
    again(client, 100_000, &Frame::new(h2::HEADERS, END_HEADERS, 1, []));
}

fn a_frame_that_is_too_long(client: &mut H2) {
    client.send(&Frame::new(h2::DATA, 0, 1, vec![0; 1 << 20]));
}

fn a_table_that_is_larger_than_allowed(client: &mut H2) {
    // A size update to 2^28 at the beginning of a block.
    let update = [0x3f, 0xe1, 0xff, 0xff, 0x7f];
    headers(
        client,
        END_HEADERS | END_STREAM,
        [&update[..], &get("/open/x")].concat(),
    );
}

fn a_table_that_changes_its_size_without_end(client: &mut H2) {
    let block = [&[0x20, 0x3f, 0xe1, 0x1f].repeat(2000)[..], &get("/open/x")].concat();
    headers(client, END_HEADERS | END_STREAM, block);
}

fn an_index_that_is_in_no_table(client: &mut H2) {
    headers(client, END_HEADERS | END_STREAM, vec![0xff, 0xff, 0xff, 0x7f]);
}

/// A field of 4 000 bytes is put into the table once, and then named by a byte each time.
fn a_field_that_is_named_again_and_again(client: &mut H2) {
    let mut block = get("/open/x");
    let long = "y".repeat(4000);
    // With indexing: the first byte says so.
    let mut field = fields(&[("x", &long)]);
    field[0] = 0x40;
    block.extend(field);
    for i in 0..2000 {
        let mut block = if i == 0 { block.clone() } else { get("/open/x") };
        block.extend([0xbe; 12_000]);
        if !client.send(&Frame::new(
            h2::HEADERS,
            END_HEADERS | END_STREAM,
            2 * i + 1,
            block,
        )) {
            return;
        }
    }
}

fn a_client_that_reads_nothing(client: &mut H2) {
    // Its windows are shut, so that no answer can go out; more streams than it may have, all of them of long answers.
    let shut = [&[0, 4][..], &0_u32.to_be_bytes()].concat();
    client.send(&Frame::new(h2::SETTINGS, 0, 0, shut));
    streams(client, 2000, "/open/long", &[]);
}

#[rustfmt::skip]
const FLOODS: [(Flood, Ends, &str); 31] = [
    (rapid_reset, With(&[CALM]), "streams that are opened and reset at once"),
    (made_to_reset_by_window_update_of_zero, With(&[CALM, PROTOCOL]), "streams that we are made to reset"),
    (made_to_reset_by_window_overflow, With(&[CALM]), "streams that we are made to reset"),
    (made_to_reset_by_frames_on_a_half_closed_stream, With(&[CALM, PROTOCOL, STREAM_CLOSED]), "streams that we are made to reset"),
    (made_to_reset_by_a_priority_on_itself, With(&[CALM, PROTOCOL]), "streams that we are made to reset"),
    (heads_that_are_malformed, With(&[CALM]), "streams that we are made to reset"),
    (continuation_without_end, With(&[CALM]), "a head that goes on and on"),
    (empty_continuations_without_end, With(&[CALM]), "a head that goes on and on, with nothing in it"),
    (a_block_broken_by_another_frame, With(&[PROTOCOL]), "a head that is not finished"),
    (settings, NotAtAll, "each is acknowledged before the next is read"),
    (empty_settings, NotAtAll, "each is acknowledged before the next is read"),
    (acknowledged_settings_that_nobody_sent, With(&[PROTOCOL]), "more than was asked for"),
    (pings, NotAtAll, "each is answered before the next is read"),
    (priorities, NotAtAll, "they mean nothing"),
    (frames_of_unknown_types, NotAtAll, "they mean nothing"),
    (updates_of_the_window_of_the_connection, NotAtAll, "sums"),
    (a_window_of_the_connection_that_overflows, With(&[FLOW_CONTROL]), "more than a window can be"),
    (empty_data, With(&[CALM]), "more of them than a body has reason for"),
    (data_of_one_byte_and_much_padding, With(&[FLOW_CONTROL]), "padding counts"),
    (data_beyond_the_window, With(&[FLOW_CONTROL]), "more than it may send"),
    (data_on_a_stream_that_never_was, With(&[PROTOCOL]), "no stream"),
    (empty_heads_as_trailers, Perhaps(&[PROTOCOL]), "the first resets its stream; the others mean nothing, or offend once it is forgotten"),
    (a_frame_that_is_too_long, With(&[FRAME_SIZE]), "longer than we allow"),
    (a_table_that_is_larger_than_allowed, With(&[COMPRESSION, PROTOCOL]), "more memory than we allow"),
    (a_table_that_changes_its_size_without_end, NotAtAll, "work no longer than the block"),
    (an_index_that_is_in_no_table, With(&[COMPRESSION, PROTOCOL]), "what cannot be read"),
    (a_field_that_is_named_again_and_again, With(&[CALM]), "a small block, a large head"),
    (a_client_that_reads_nothing, With(&[CALM]), "more streams than it may have"),
    (asks_nothing, NotAtAll, "a preface and no more"),
    (says_the_preface_again, With(&[PROTOCOL, FRAME_SIZE]), "no frame"),
    (says_nothing_after_a_head, NotAtAll, "a stream that waits for its body"),
];

fn asks_nothing(_: &mut H2) {}

fn says_the_preface_again(client: &mut H2) {
    client.write(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
}

fn says_nothing_after_a_head(client: &mut H2) {
    post(client, 1);
}

fn resident(door: &Doorward) -> f64 {
    let sample = door.metric("process_resident_memory_bytes");
    sample[0]
        .rsplit(' ')
        .next()
        .expect("a value")
        .parse()
        .expect("a number")
}

/// Somebody else, who goes on asking.
fn neighbor(proxy: SocketAddr, served: &AtomicUsize, stop: &AtomicBool) {
    let mut client = Client::connect(proxy);
    while !stop.load(Ordering::SeqCst) {
        assert_eq!(client.get("/open/x", &[]).status, 200);
        served.fetch_add(1, Ordering::SeqCst);
    }
}

/// Connections that were ended for this reason.
fn ended(door: &Doorward, reason: &str) -> f64 {
    let name = format!("doorward_connections_ended_total{{listener=\"public\",reason=\"{reason}\"}} ");
    let samples = door.metric("doorward_connections_ended_total");
    let sample = samples.iter().find_map(|line| line.strip_prefix(&name));
    sample.expect("a sample").parse().expect("a number")
}

#[test]
fn floods_end_or_cost_nothing_while_others_are_served_and_memory_stays() {
    let long: &'static str = "l".repeat(1 << 20).leak();
    let upstream = Upstream::with(move |seen| match seen.target() {
        "/open/slow" => Reply::Silence,
        "/open/long" => Reply::Ok(long),
        _ => Reply::Ok("hello"),
    });
    let door = Doorward::start(&format!(
        "upstreams: {{ api: {{ url: \"http://{}\" }} }}\n\
         routes: [{{ path: /open/, access: public, upstream: api }}]\n",
        upstream.address
    ));
    let (served, stop) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicBool::new(false)));
    let thread = {
        let (proxy, served, stop) = (door.proxy, Arc::clone(&served), Arc::clone(&stop));
        std::thread::spawn(move || neighbor(proxy, &served, &stop))
    };
    let go_on = || {
        let before = served.load(Ordering::SeqCst);
        until("others are served", || served.load(Ordering::SeqCst) > before + 2);
    };
    go_on();
    let before = resident(&door);
    let mut wrong = Vec::new();
    for (i, (flood, ends, why)) in FLOODS.iter().enumerate() {
        let mut client = H2::connect(door.proxy);
        let watched = client.watch();
        flood(&mut client);
        go_on();
        client.send(&Frame::new(h2::PING, 0, 0, *h2::STILL_THERE));
        let found = watched.outcome();
        println!("{i} {why}: {found:?}, {} bytes more", resident(&door) - before);
        let fine = match (ends, found) {
            (With(codes) | Perhaps(codes), Outcome::Ended(Some(code))) => codes.contains(&code),
            // Closed with bytes unread, so that the frame that says why may be lost.
            (With(_) | Perhaps(_), Outcome::Ended(None)) => true,
            (NotAtAll, outcome) => outcome == Outcome::Served,
            (Perhaps(_), Outcome::Served) => true,
            (With(_), Outcome::Served) => false,
        };
        if !fine {
            wrong.push(format!("{i} {why}: {found:?}, expected {ends:?}"));
        }
    }
    let grown = resident(&door) - before;
    stop.store(true, Ordering::SeqCst);
    thread.join().expect("every request of the neighbor was served");
    assert!(wrong.is_empty(), "{wrong:#?}");
    // Which of the two bounds a row meets first is a matter of time.
    assert!(
        ended(&door, "flood") + ended(&door, "streams_given_up") >= 5.0,
        "they are counted"
    );
    assert!(grown < MAX_GROWTH, "memory has grown by {grown} bytes");
}

#[test]
fn requests_that_are_given_up_slowly_end_the_connection_too() {
    // Each is given up only once it has reached the app, so that h2 has nothing to object to.
    let upstream = Upstream::start(Reply::Silence);
    let door = Doorward::start(&format!(
        "upstreams: {{ api: {{ url: \"http://{}\" }} }}\n\
         routes: [{{ path: /open/, access: public, upstream: api }}]\n",
        upstream.address
    ));
    let mut client = H2::connect(door.proxy);
    let watched = client.watch();
    let mut given_up = 0;
    for i in 0..2000 {
        let taken = client.get(2 * i + 1, "/open/x")
            && client.send(&Frame::new(h2::RST_STREAM, 0, 2 * i + 1, 8_u32.to_be_bytes()))
            && client.send(&Frame::new(h2::PING, 0, 0, [0; 8]));
        if !taken {
            break;
        }
        given_up += 1;
        // The last one never does.
        for _ in 0..1000 {
            if upstream.connections() >= given_up {
                break;
            }
            std::thread::park_timeout(std::time::Duration::from_millis(1));
        }
    }
    assert!((100..2000).contains(&given_up), "after {given_up}");
    assert!(matches!(watched.outcome(), Outcome::Ended(_)));
    until("it is counted", || ended(&door, "streams_given_up") == 1.0);
    assert_eq!(ended(&door, "flood"), 0.0);
}

#[test]
fn what_ends_by_a_fault_or_by_the_clients_own_word_is_counted_as_no_flood() {
    let upstream = Upstream::start(Reply::Ok("hello"));
    let door = Doorward::start(&format!(
        "upstreams: {{ api: {{ url: \"http://{}\" }} }}\n\
         routes: [{{ path: /open/, access: public, upstream: api }}]\n",
        upstream.address
    ));
    let rows = [
        (
            Frame::new(h2::GOAWAY, 0, 0, [0, 0, 0, 0, 0, 0, 0, 11]),
            "it calls us a flood",
        ),
        (Frame::new(h2::DATA, 0, 0, *b"x"), "a frame in the wrong place"),
    ];
    for (frame, why) in rows {
        let mut client = H2::connect(door.proxy);
        let watched = client.watch();
        client.get(1, "/open/x");
        client.send(&frame);
        assert!(matches!(watched.outcome(), Outcome::Ended(_)), "{why}");
    }
    until("both are gone", || {
        let open = door.metric("doorward_connections{");
        open.iter().all(|line| line.ends_with(" 0"))
    });
    assert_eq!(ended(&door, "flood"), 0.0);
}
