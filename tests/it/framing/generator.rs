//! Streams of requests, most of them nearly good: requests of every shape, taken apart at their seams and put
//! together with a few pieces changed, lost, doubled or exchanged.

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{Index, select};

const METHODS: [&str; 8] = [
    "GET", "POST", "PUT", "HEAD", "OPTIONS", "DELETE", "M-SEARCH", "PATCH",
];
const TARGETS: [&str; 8] = [
    "/",
    "/a",
    "/a/b?c=d",
    "/a?",
    "http://a/b",
    "http://a",
    "HTTP://A/b?c",
    "/-?/../",
];
const VERSIONS: [&str; 6] = [
    "HTTP/1.1", "HTTP/1.1", "HTTP/1.1", "HTTP/1.1", "HTTP/1.1", "HTTP/1.0",
];
const FIELDS: [&str; 12] = [
    "X: y",
    "Accept: */*",
    "X:",
    "Connection: keep-alive",
    "Connection: close",
    "Connection: content-length, transfer-encoding",
    "Expect: 100-continue",
    "TE: trailers",
    "Trailer: X",
    "Upgrade: h2c",
    "Content-Encoding: chunked",
    "Cookie: a=b; c=d",
];
const DATA: [&str; 7] = [
    "hello",
    "x",
    "\r\n",
    "0\r\n\r\n",
    "GET / HTTP/1.1\r\nHost: a\r\n\r\n",
    "5\r\n",
    "\0\n\r",
];
const EXTENSIONS: [&str; 6] = ["", "", "", ";a", ";a=b", ";a=\"b;c\""];
const TRAILERS: [&str; 5] = ["", "", "X: y\r\n", "Content-Length: 5\r\n", "A: b\r\nC:\r\n"];
/// What is put in somewhere.
const SNIPPETS: [&str; 44] = [
    "\r",
    "\n",
    "\r\n",
    "\n\r",
    "\0",
    " ",
    "\t",
    "\u{b}",
    ":",
    ",",
    ";",
    "0",
    "5",
    "a",
    "f",
    "+",
    "-",
    "_",
    "x",
    "\"",
    "\u{7f}",
    "\u{e9}",
    "/",
    "#",
    "@",
    "\r\n ",
    "\r\n\r\n",
    "0\r\n\r\n",
    "Content-Length: 5\r\n",
    "Content-Length: 0\r\n",
    "Content-Length: 05\r\n",
    "Content_Length: 5\r\n",
    "Transfer-Encoding: chunked\r\n",
    "Transfer-Encoding: identity\r\n",
    "Transfer_Encoding: chunked\r\n",
    "Transfer-Encoding:\r\n",
    "Host: a\r\n",
    "Host: b\r\n",
    " chunked",
    ", chunked",
    "HTTP/1.1",
    "HTTP/1.0",
    "GET / HTTP/1.1\r\nHost: a\r\n\r\n",
    "ffffffffffffffff",
];

#[derive(Debug, Clone)]
enum Body {
    None,
    Length(&'static str),
    Chunks(Vec<(&'static str, &'static str)>, &'static str),
}

#[derive(Debug, Clone)]
struct Request {
    method: &'static str,
    target: &'static str,
    version: &'static str,
    fields: Vec<&'static str>,
    body: Body,
}

/// What is done to one piece.
#[derive(Debug, Clone)]
enum Change {
    Lose,
    Double,
    Exchange,
    PutBefore(&'static str),
    PutWithin(Index, &'static str),
    LoseByte(Index),
    /// One more, one fewer, or the other case.
    NextByte(Index),
    PreviousByte(Index),
    OtherCase(Index),
}

fn requests() -> impl Strategy<Value = Vec<Request>> {
    let body = prop_oneof![
        2 => Just(Body::None),
        3 => select(&DATA[..]).prop_map(Body::Length),
        4 => (vec((select(&DATA[..]), select(&EXTENSIONS[..])), 0..4), select(&TRAILERS[..]))
            .prop_map(|(chunks, trailers)| Body::Chunks(chunks, trailers)),
    ];
    let request = (
        select(&METHODS[..]),
        select(&TARGETS[..]),
        select(&VERSIONS[..]),
        vec(select(&FIELDS[..]), 0..3),
        body,
    );
    let request = request.prop_map(|(method, target, version, fields, body)| Request {
        method,
        target,
        version,
        fields,
        body,
    });
    vec(request, 1..4)
}

fn change() -> impl Strategy<Value = Change> {
    let snippet = || select(&SNIPPETS[..]);
    prop_oneof![
        Just(Change::Lose),
        Just(Change::Double),
        Just(Change::Exchange),
        snippet().prop_map(Change::PutBefore),
        snippet().prop_map(Change::PutBefore),
        (any::<Index>(), snippet()).prop_map(|(at, text)| Change::PutWithin(at, text)),
        any::<Index>().prop_map(Change::LoseByte),
        any::<Index>().prop_map(Change::NextByte),
        any::<Index>().prop_map(Change::PreviousByte),
        any::<Index>().prop_map(Change::OtherCase),
    ]
}

impl Request {
    /// Its bytes, cut at every seam.
    fn pieces(&self) -> Vec<Vec<u8>> {
        let mut parts: Vec<String> = [self.method, " ", self.target, " ", self.version, "\r\n"]
            .map(str::to_owned)
            .to_vec();
        let framing = match &self.body {
            Body::None => None,
            Body::Length(data) => Some(format!("Content-Length: {}", data.len())),
            Body::Chunks(..) => Some("Transfer-Encoding: chunked".to_owned()),
        };
        let fields = self.fields.iter().map(|field| (*field).to_owned());
        for field in std::iter::once("Host: a".to_owned()).chain(fields).chain(framing) {
            let (name, value) = field.split_once(':').unwrap_or((&field, ""));
            let (space, value) = value.split_at(value.len().min(1));
            parts.extend([name, ":", space, value, "\r\n"].map(str::to_owned));
        }
        parts.push("\r\n".to_owned());
        match &self.body {
            Body::None => {}
            Body::Length(data) => parts.push((*data).to_owned()),
            Body::Chunks(chunks, trailers) => {
                for (data, extension) in chunks {
                    let size = format!("{:x}", data.len());
                    parts.extend([size.as_str(), extension, "\r\n", data, "\r\n"].map(str::to_owned));
                }
                parts.extend(["0", "\r\n", trailers, "\r\n"].map(str::to_owned));
            }
        }
        parts.retain(|part| !part.is_empty());
        parts.into_iter().map(String::into_bytes).collect()
    }
}

fn apply(change: &Change, at: usize, pieces: &mut Vec<Vec<u8>>) {
    let byte_at = |index: &Index, piece: &[u8]| index.index(piece.len());
    let Some(piece) = pieces.get_mut(at).filter(|piece| !piece.is_empty()) else {
        return;
    };
    match change {
        Change::Lose => drop(pieces.remove(at)),
        Change::Double => {
            let copy = piece.clone();
            pieces.insert(at, copy);
        }
        Change::Exchange => {
            let other = (at + 2) % pieces.len();
            pieces.swap(at, other);
        }
        Change::PutBefore(text) => pieces.insert(at, text.as_bytes().to_vec()),
        Change::PutWithin(index, text) => {
            let within = byte_at(index, piece);
            piece.splice(within..within, text.bytes());
        }
        Change::LoseByte(index) => {
            let within = byte_at(index, piece);
            piece.remove(within);
        }
        Change::NextByte(index) => {
            let within = byte_at(index, piece);
            piece[within] = piece[within].wrapping_add(1);
        }
        Change::PreviousByte(index) => {
            let within = byte_at(index, piece);
            piece[within] = piece[within].wrapping_sub(1);
        }
        Change::OtherCase(index) => {
            let within = byte_at(index, piece);
            piece[within] ^= 0x20;
        }
    }
}

/// What a client writes, in the pieces in which it arrives.
pub fn streams() -> impl Strategy<Value = Vec<Vec<u8>>> {
    let changes = vec((any::<Index>(), change()), 0..4);
    let cuts = vec(any::<Index>(), 0..5);
    (requests(), changes, cuts).prop_map(|(requests, changes, cuts)| {
        let mut pieces: Vec<Vec<u8>> = requests.iter().flat_map(Request::pieces).collect();
        for (at, change) in &changes {
            if !pieces.is_empty() {
                apply(change, at.index(pieces.len()), &mut pieces);
            }
        }
        let bytes = pieces.concat();
        let mut places: Vec<usize> = cuts.iter().map(|cut| cut.index(bytes.len().max(1))).collect();
        places.extend([0, bytes.len()]);
        places.sort_unstable();
        places.windows(2).map(|w| bytes[w[0]..w[1]].to_vec()).collect()
    })
}
