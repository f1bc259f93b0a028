//! Upstreams that lie about their answers (S17c): what cannot be read in one way is a 502, or a body that never
//! ends for the client either; the connection it came on is not used again, and the next client gets its own.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

use crate::support::{Client, Doorward};

/// What the client gets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Gets {
    /// 502 `upstream_invalid_answer`, or 504 when the answer never ends.
    Refusal,
    /// An answer that breaks off, as the upstream's did.
    Half,
    /// This status and body; the connection is used again.
    Good(u16, &'static str),
    /// This status and body; the connection is not used again.
    GoodOnce(u16, &'static str),
}

/// What the upstream does behind its bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Then {
    Closes,
    /// The connection stays open.
    Stays,
}

struct Row {
    why: &'static str,
    method: &'static str,
    bytes: Vec<u8>,
    then: Then,
    gets: Gets,
}

fn rows() -> Vec<Row> {
    use Gets::{Good, GoodOnce, Half, Refusal};
    use Then::{Closes, Stays};
    let ok = "HTTP/1.1 200 OK\r\n";
    let chunked = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
    let mut rows = Vec::new();
    let mut row = |why, bytes: String, then, gets| {
        rows.push(Row {
            why,
            method: "GET",
            bytes: bytes.into_bytes(),
            then,
            gets,
        });
    };
    for (why, line) in [
        ("no HTTP at all", "EVIL"),
        ("an empty line first, then no HTTP", "\r\nEVIL"),
        ("HTTP/2 in the form of 1.1", "HTTP/2.0 200 OK"),
        ("HTTP/1.2", "HTTP/1.2 200 OK"),
        ("a version in lower case", "http/1.1 200 OK"),
        ("two spaces before the status", "HTTP/1.1  200 OK"),
        ("a tab before the status", "HTTP/1.1\t200 OK"),
        ("a status of two digits", "HTTP/1.1 20 OK"),
        ("a status of four digits", "HTTP/1.1 2000 OK"),
        ("a status of letters", "HTTP/1.1 abc OK"),
        ("a status with a sign", "HTTP/1.1 +20 OK"),
        ("a status below all classes", "HTTP/1.1 099 OK"),
        ("NUL in the reason", "HTTP/1.1 200 O\0K"),
        ("a bare CR in the reason", "HTTP/1.1 200 O\rK"),
        ("a bare LF in the reason", "HTTP/1.1 200 O\nK: EVIL"),
        ("a request line", "GET / HTTP/1.1"),
    ] {
        row(
            why,
            format!("{line}\r\nContent-Length: 4\r\n\r\nEVIL"),
            Stays,
            Refusal,
        );
    }
    for (why, lines) in [
        (
            "length and chunks",
            "Content-Length: 4\r\nTransfer-Encoding: chunked",
        ),
        (
            "chunks and length",
            "Transfer-Encoding: chunked\r\nContent-Length: 4",
        ),
        (
            "two lengths that differ",
            "Content-Length: 4\r\nContent-Length: 5",
        ),
        ("the same length twice", "Content-Length: 4\r\nContent-Length: 4"),
        ("a list of lengths", "Content-Length: 4, 4"),
        ("a length with a sign", "Content-Length: +4"),
        ("a negative length", "Content-Length: -4"),
        ("an empty length", "Content-Length:"),
        ("a hexadecimal length", "Content-Length: 0x4"),
        ("a length that could be octal", "Content-Length: 04"),
        ("a length beyond 2^64", "Content-Length: 18446744073709551620"),
        ("a length under another spelling", "Content_Length: 4"),
        (
            "another coding before chunked",
            "Transfer-Encoding: gzip, chunked",
        ),
        (
            "another coding behind chunked",
            "Transfer-Encoding: chunked, identity",
        ),
        (
            "chunked twice",
            "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked",
        ),
        ("identity", "Transfer-Encoding: identity"),
        ("an empty coding", "Transfer-Encoding:"),
        ("a coding under another spelling", "Transfer_Encoding: chunked"),
        (
            "a coding behind a vertical tab",
            "Transfer-Encoding: \u{b}chunked",
        ),
        ("a folded line", "X: a\r\n EVIL\r\nContent-Length: 4"),
        ("a folded length", "Content-Length:\r\n 4"),
        ("a space before a colon", "Content-Length : 4"),
        ("a line without a colon", "EVIL\r\nContent-Length: 4"),
        ("no name", ": EVIL\r\nContent-Length: 4"),
        ("a name that is none", "X(Y): EVIL\r\nContent-Length: 4"),
        ("NUL in a value", "X: EV\0IL\r\nContent-Length: 4"),
        ("NUL in a name", "X\0: EVIL\r\nContent-Length: 4"),
        (
            "a bare CR in a value",
            "X: a\rContent-Length: 0\r\nContent-Length: 4",
        ),
        ("a bare LF as a line end", "X: a\nContent-Length: 4"),
    ] {
        row(why, format!("{ok}{lines}\r\n\r\nEVIL"), Stays, Refusal);
    }
    row(
        "bare LF throughout",
        "HTTP/1.1 200 OK\nContent-Length: 4\n\nEVIL".into(),
        Stays,
        Refusal,
    );
    row(
        "chunks in HTTP/1.0",
        chunked.replace("1.1", "1.0") + "4\r\nEVIL\r\n0\r\n\r\n",
        Stays,
        Refusal,
    );
    row("an end without an answer", String::new(), Closes, Refusal);
    row(
        "an end within the status line",
        "HTTP/1.1 20".into(),
        Closes,
        Refusal,
    );
    row("an end within the head", format!("{ok}X: EV"), Closes, Refusal);
    row(
        "an end before the empty line",
        format!("{ok}Content-Length: 0\r\n"),
        Closes,
        Refusal,
    );
    row(
        "a head without an end",
        format!("{ok}X: {}\r\n\r\n", "EVIL".repeat(100_000)),
        Stays,
        Refusal,
    );
    row(
        "more fields than anybody reads",
        format!("{ok}{}\r\n", "X: y\r\n".repeat(1000)),
        Stays,
        Refusal,
    );
    row(
        "a switch of protocols that nobody asked for",
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\nEVIL".into(),
        Stays,
        Refusal,
    );
    row(
        "nothing but interim answers",
        "HTTP/1.1 100 Continue\r\n\r\n".repeat(10_000),
        Stays,
        Refusal,
    );
    row(
        "an answer behind a flood of interim ones",
        format!(
            "{}{ok}Content-Length: 4\r\n\r\nEVIL",
            "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n".repeat(500)
        ),
        Stays,
        Refusal,
    );
    row(
        "an interim answer with a length",
        format!("HTTP/1.1 100 Continue\r\nContent-Length: 4\r\n\r\nEVIL{ok}Content-Length: 2\r\n\r\nok"),
        Stays,
        Refusal,
    );
    for (why, lines) in [
        (
            "an interim answer with a length of nothing",
            "Content-Length: 0\r\n",
        ),
        (
            "an interim answer with the length of the answer behind it",
            "Content-Length: 42\r\n",
        ),
        ("an interim answer with chunks", "Transfer-Encoding: chunked\r\n"),
    ] {
        row(
            why,
            format!("HTTP/1.1 103 Early Hints\r\n{lines}\r\n{ok}Content-Length: 4\r\n\r\nEVIL"),
            Stays,
            Refusal,
        );
    }
    for (why, lines, gets) in [
        ("a head just below the bound", 15, Good(200, "ok")),
        ("a head of twice as much, in short lines", 33, Refusal),
    ] {
        let lines = format!("X: {}\r\n", "x".repeat(4091)).repeat(lines);
        row(
            why,
            format!("{ok}{lines}Content-Length: 2\r\n\r\nok"),
            Stays,
            gets,
        );
    }

    row(
        "an end within the body",
        format!("{ok}Content-Length: 10\r\n\r\nhalf"),
        Closes,
        Half,
    );
    for (why, body) in [
        ("an end within a chunk", "a\r\nhalf"),
        ("an end before the last chunk", "4\r\nhalf\r\n"),
        ("an end within the last chunk", "4\r\nhalf\r\n0\r\n"),
        ("an end within a size", "4\r\nhalf\r\n1"),
    ] {
        row(why, format!("{chunked}{body}"), Closes, Half);
    }
    for (why, body) in [
        ("a size that is none", "4\r\nhalf\r\nEVIL\r\n0\r\n\r\n"),
        ("a size with a sign", "4\r\nhalf\r\n+4\r\nEVIL\r\n0\r\n\r\n"),
        ("a size in C's notation", "4\r\nhalf\r\n0x4\r\nEVIL\r\n0\r\n\r\n"),
        ("a space behind a size", "4\r\nhalf\r\n4 \r\nEVIL\r\n0\r\n\r\n"),
        (
            "a size beyond 2^64",
            "4\r\nhalf\r\n10000000000000004\r\nEVIL\r\n0\r\n\r\n",
        ),
        ("data longer than its size", "4\r\nhalf\r\n2\r\nEVIL\r\n0\r\n\r\n"),
        ("a bare LF behind a size", "4\r\nhalf\r\n4\nEVIL\r\n0\r\n\r\n"),
        ("a bare LF behind data", "4\r\nhalf\r\n4\r\nEVIL\n0\r\n\r\n"),
        ("a bare LF in an extension", "4\r\nhalf\r\n4;a\nEVIL\r\n0\r\n\r\n"),
        ("a trailer that is none", "4\r\nhalf\r\n0\r\nEVIL\r\n\r\n"),
    ] {
        row(why, format!("{chunked}{body}"), Stays, Half);
    }

    row(
        "bytes behind a body",
        format!("{ok}Content-Length: 2\r\n\r\nokEVIL"),
        Stays,
        GoodOnce(200, "ok"),
    );
    row(
        "an answer behind an answer",
        format!("{ok}Content-Length: 2\r\n\r\nok{ok}Content-Length: 4\r\n\r\nEVIL"),
        Stays,
        GoodOnce(200, "ok"),
    );
    row(
        "an answer behind chunks",
        format!("{chunked}2\r\nok\r\n0\r\n\r\n{ok}Content-Length: 4\r\n\r\nEVIL"),
        Stays,
        GoodOnce(200, "ok"),
    );
    row(
        "a line end behind a body",
        format!("{ok}Content-Length: 2\r\n\r\nok\r\n"),
        Stays,
        GoodOnce(200, "ok"),
    );
    row(
        "an answer behind 204",
        format!("HTTP/1.1 204 No Content\r\n\r\n{ok}Content-Length: 4\r\n\r\nEVIL"),
        Stays,
        GoodOnce(204, ""),
    );
    row(
        "204 with a body",
        "HTTP/1.1 204 No Content\r\n\r\nEVIL".into(),
        Stays,
        GoodOnce(204, ""),
    );
    row(
        "304 with a body",
        "HTTP/1.1 304 Not Modified\r\nContent-Length: 4\r\n\r\nEVIL".into(),
        Stays,
        GoodOnce(304, ""),
    );
    row(
        "a body that ends with the connection",
        format!("{ok}\r\nto the end"),
        Closes,
        GoodOnce(200, "to the end"),
    );
    row(
        "HTTP/1.0, which closes",
        "HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok".into(),
        Stays,
        GoodOnce(200, "ok"),
    );
    row(
        "an answer that closes",
        format!("{ok}Connection: close\r\nContent-Length: 2\r\n\r\nok"),
        Stays,
        GoodOnce(200, "ok"),
    );

    row(
        "an ordinary answer",
        format!("{ok}Content-Length: 2\r\n\r\nok"),
        Stays,
        Good(200, "ok"),
    );
    row(
        "chunks",
        format!("{chunked}2;a=b\r\nok\r\n0\r\nX: y\r\n\r\n"),
        Stays,
        Good(200, "ok"),
    );
    row(
        "no reason",
        "HTTP/1.1 200 \r\nContent-Length: 2\r\n\r\nok".into(),
        Stays,
        Good(200, "ok"),
    );
    row(
        "a status that nobody knows",
        "HTTP/1.1 299 X\r\nContent-Length: 2\r\n\r\nok".into(),
        Stays,
        Good(299, "ok"),
    );
    row(
        "204",
        "HTTP/1.1 204 No Content\r\n\r\n".into(),
        Stays,
        Good(204, ""),
    );
    row(
        "304 with the length of what it stands for",
        "HTTP/1.1 304 Not Modified\r\nContent-Length: 4\r\n\r\n".into(),
        Stays,
        Good(304, ""),
    );
    row(
        "an early hint before the answer",
        format!("HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n{ok}Content-Length: 2\r\n\r\nok"),
        Stays,
        Good(200, "ok"),
    );
    for (why, bytes, gets) in [
        (
            "HEAD with a body",
            format!("{ok}Content-Length: 4\r\n\r\nEVIL"),
            GoodOnce(200, ""),
        ),
        (
            "HEAD with chunks",
            format!("{chunked}4\r\nEVIL\r\n0\r\n\r\n"),
            GoodOnce(200, ""),
        ),
        ("HEAD", format!("{ok}Content-Length: 4\r\n\r\n"), Good(200, "")),
    ] {
        rows.push(Row {
            why,
            method: "HEAD",
            bytes: bytes.into_bytes(),
            then: Stays,
            gets,
        });
    }
    rows
}

/// Answers `/row/N` as the row says and everything else with its target. Keeps a note when a request comes on
/// a connection that must not be used again.
struct Hostile {
    address: SocketAddr,
    reused: Arc<Mutex<Vec<String>>>,
}

impl Hostile {
    fn start(rows: Arc<Vec<Row>>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("an address");
        let reused = Arc::new(Mutex::new(Vec::new()));
        let noted = Arc::clone(&reused);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (rows, noted) = (Arc::clone(&rows), Arc::clone(&noted));
                std::thread::spawn(move || serve(stream, &rows, &noted));
            }
        });
        Self { address, reused }
    }
}

fn serve(mut stream: TcpStream, rows: &[Row], noted: &Mutex<Vec<String>>) {
    let mut spoiled: Option<&str> = None;
    while let Some(target) = request(&mut stream) {
        if let Some(why) = spoiled {
            noted
                .lock()
                .expect("not poisoned")
                .push(format!("{target} came behind {why:?}"));
        }
        let row = target
            .strip_prefix("/row/")
            .and_then(|n| rows.get(n.parse::<usize>().ok()?));
        let Some(row) = row else {
            let answer = format!(
                "HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{target}",
                target.len()
            );
            let _ = stream.write_all(answer.as_bytes());
            continue;
        };
        if !matches!(row.gets, Gets::Good(..)) {
            spoiled = Some(row.why);
        }
        let _ = stream.write_all(&row.bytes);
        if row.then == Then::Closes {
            return;
        }
    }
}

/// The target of the next request, which has no body.
fn request(stream: &mut TcpStream) -> Option<String> {
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") {
        stream.read_exact(&mut byte).ok()?;
        head.push(byte[0]);
    }
    let text = String::from_utf8_lossy(&head).into_owned();
    text.split(' ').nth(1).map(str::to_owned)
}

/// What came of one request.
fn outcome(client: &mut Client, row: &Row, number: usize) -> Result<(), String> {
    client.write(format!(
        "{} /row/{number} HTTP/1.1\r\nHost: a\r\n\r\n",
        row.method
    ));
    let answer = client.try_answer(row.method);
    match (row.gets, answer) {
        (Gets::Refusal, Ok(answer)) => {
            let text = answer.text();
            let refused = answer.status == 502 && text.contains("\"upstream_invalid_answer\"");
            match refused && !text.contains("EVIL") && answer.headers.iter().all(|(_, v)| !v.contains("EVIL"))
            {
                true => Ok(()),
                false => Err(format!("{} {text:?}", answer.status)),
            }
        }
        // It broke off within the body.
        (Gets::Half, Err(_)) => Ok(()),
        (Gets::Good(status, body) | Gets::GoodOnce(status, body), Ok(answer)) => {
            match answer.status == status && answer.text() == body {
                true => Ok(()),
                false => Err(format!("{} {:?}", answer.status, answer.text())),
            }
        }
        (_, Ok(answer)) => Err(format!("{} {:?}", answer.status, answer.text())),
        (_, Err(error)) => Err(error.to_string()),
    }
}

#[test]
fn a_lying_upstream_fools_nobody() {
    let rows = Arc::new(rows());
    assert!(rows.len() >= 40, "{} rows", rows.len());
    let upstream = Hostile::start(Arc::clone(&rows));
    let doorward = Doorward::start(&format!(
        "upstreams: {{ app: {{ url: \"http://{}\", timeouts: {{ response: 2s }} }} }}\n\
         routes: [{{ path: /, upstream: app, access: public }}]\n",
        upstream.address
    ));
    let mut failures = Vec::new();
    for (number, row) in rows.iter().enumerate() {
        for round in 0..3 {
            let mut client = doorward.connect();
            if let Err(why) = outcome(&mut client, row, number) {
                failures.push(format!("{}: {why}", row.why));
                break;
            }
            // The next client, at once, on whatever connection there is.
            let next = format!("/next/{number}/{round}");
            let answer = doorward.connect().get(&next, &[]);
            if answer.text() != next {
                failures.push(format!("{}: the next client got {:?}", row.why, answer.text()));
            }
        }
    }
    failures.append(&mut upstream.reused.lock().expect("not poisoned"));
    assert!(
        failures.is_empty(),
        "{} of {}:\n{}",
        failures.len(),
        rows.len(),
        failures.join("\n")
    );
}
