//! One row of the suite: bytes from a client, a sentence, and the only reading they may have.

/// What is sent, and what must come of it.
#[derive(Debug, Clone)]
pub struct Row {
    /// What it is about.
    pub why: &'static str,
    /// What the client sends. `~` stands for the row's own mark, in `answers` too.
    pub bytes: Vec<u8>,
    /// In order: `POST /~ body` is a request that the upstream gets and answers 200; `400 reason` is a
    /// refusal that no upstream hears of; `100` an interim answer.
    pub answers: Vec<&'static str>,
    /// What becomes of the connection.
    pub then: Then,
}

/// What becomes of a connection after the last answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Then {
    /// The next request on it is served.
    Lives,
    /// It is closed.
    Closes,
    /// It is closed, with a 400 where the answer had not begun; a body that the upstream has begun to get
    /// never ends.
    Breaks,
    /// More is waited for; the client leaves, and what the upstream has begun to get never ends.
    Waits,
}

/// Any row.
pub fn row(why: &'static str, bytes: impl AsRef<[u8]>, answers: &[&'static str], then: Then) -> Row {
    Row {
        why,
        bytes: bytes.as_ref().to_vec(),
        answers: answers.to_vec(),
        then,
    }
}

/// Everything is served, and the connection lives.
pub fn passes(why: &'static str, bytes: impl AsRef<[u8]>, answers: &[&'static str]) -> Row {
    row(why, bytes, answers, Then::Lives)
}

/// Refused: servers would read it differently.
pub fn ambiguous(why: &'static str, bytes: impl AsRef<[u8]>) -> Row {
    row(why, bytes, &["400 ambiguous_framing"], Then::Closes)
}

/// Refused: it is no HTTP.
pub fn malformed(why: &'static str, bytes: impl AsRef<[u8]>) -> Row {
    row(why, bytes, &["400 malformed_request"], Then::Closes)
}

/// The body's framing breaks.
pub fn breaks(why: &'static str, bytes: impl AsRef<[u8]>) -> Row {
    row(why, bytes, &[], Then::Breaks)
}

/// A POST with these lines behind its `Host`.
pub fn post(lines: &str) -> String {
    format!("POST /~ HTTP/1.1\r\nHost: a\r\n{lines}\r\n\r\n")
}

/// A GET with these lines behind its `Host`.
pub fn get(lines: &str) -> String {
    format!("GET /~ HTTP/1.1\r\nHost: a\r\n{lines}\r\n\r\n")
}

/// A GET of this target.
pub fn target(target: &str) -> String {
    format!("GET {target} HTTP/1.1\r\nHost: a\r\n\r\n")
}

/// A chunked POST with this body.
pub fn chunked(body: &str) -> String {
    format!("{}{body}", post("Transfer-Encoding: chunked"))
}

/// The mark that takes the place of `~`: of the same length for every row, so that lengths can be stated.
pub fn mark(number: usize, way: char) -> String {
    format!("c{number:04}{way}")
}

/// How long a text is once its marks are in.
pub fn marked_len(text: &str) -> usize {
    text.replace('~', &mark(0, 'a')).len()
}

/// The text with its marks in.
pub fn marked(bytes: &[u8], mark: &str) -> Vec<u8> {
    let mut all = Vec::new();
    for byte in bytes {
        match byte {
            b'~' => all.extend_from_slice(mark.as_bytes()),
            _ => all.push(*byte),
        }
    }
    all
}

/// A request that must never be served: what stands behind an offence.
pub const SMUGGLED: &str = "GET /smuggled~ HTTP/1.1\r\nHost: a\r\n\r\n";
