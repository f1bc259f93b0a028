//! HTTP/2 frame by frame: what is written is what goes out, whether the standard allows it or not.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::{Arc, Condvar, Mutex};

use super::http::PATIENCE;

/// Frame types (RFC 9113 section 6).
pub const DATA: u8 = 0;
pub const HEADERS: u8 = 1;
pub const PRIORITY: u8 = 2;
pub const RST_STREAM: u8 = 3;
pub const SETTINGS: u8 = 4;
pub const PING: u8 = 6;
pub const GOAWAY: u8 = 7;
pub const WINDOW_UPDATE: u8 = 8;
pub const CONTINUATION: u8 = 9;

/// Flags.
pub const END_STREAM: u8 = 1;
pub const ACK: u8 = 1;
pub const END_HEADERS: u8 = 4;

/// A frame.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Frame {
    pub kind: u8,
    pub flags: u8,
    pub stream: u32,
    pub payload: Vec<u8>,
}

impl Frame {
    pub fn new(kind: u8, flags: u8, stream: u32, payload: impl Into<Vec<u8>>) -> Self {
        Self {
            kind,
            flags,
            stream,
            payload: payload.into(),
        }
    }

    /// As it goes over the wire.
    pub fn bytes(&self) -> Vec<u8> {
        let length = u32::try_from(self.payload.len()).expect("a length").to_be_bytes();
        let mut out = length[1..].to_vec();
        out.extend([self.kind, self.flags]);
        out.extend(self.stream.to_be_bytes());
        out.extend(&self.payload);
        out
    }

    /// The number that the payload begins with after this many bytes.
    pub fn number(&self, at: usize) -> u32 {
        u32::from_be_bytes(self.payload[at..at + 4].try_into().expect("four bytes"))
    }

    /// The status that a block of fields begins with, where it is one of the usual ones.
    pub fn status(&self) -> Option<u16> {
        match self.payload.first() {
            Some(0x88) => Some(200),
            Some(0x8c) => Some(400),
            Some(0x8d) => Some(404),
            _ => None,
        }
    }
}

/// Fields, none of them indexed or compressed.
pub fn fields(fields: &[(&str, &str)]) -> Vec<u8> {
    let mut out = Vec::new();
    for (name, value) in fields {
        out.push(0);
        text(&mut out, name);
        text(&mut out, value);
    }
    out
}

fn text(out: &mut Vec<u8>, text: &str) {
    match text.len() {
        short @ 0..127 => out.push(u8::try_from(short).expect("seven bits")),
        long => {
            out.push(127);
            let mut rest = long - 127;
            while rest >= 128 {
                out.push(u8::try_from(rest % 128).expect("seven bits") | 128);
                rest /= 128;
            }
            out.push(u8::try_from(rest).expect("seven bits"));
        }
    }
    out.extend(text.as_bytes());
}

/// The fields of a GET for a public path.
pub fn get(path: &str) -> Vec<u8> {
    fields(&[
        (":method", "GET"),
        (":scheme", "http"),
        (":path", path),
        (":authority", "test.example"),
    ])
}

/// The payload of a ping by which [`Watched`] knows that the connection is served still.
pub const STILL_THERE: &[u8; 8] = b"still on";

/// What became of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// It was told to go away with this error, or closed without a word.
    Ended(Option<u32>),
    /// It answered [`STILL_THERE`].
    Served,
}

/// Reads on while somebody else writes.
pub struct Watched(Arc<(Mutex<Option<Outcome>>, Condvar)>);

impl Watched {
    /// Waits until the connection has ended or has answered the ping.
    pub fn outcome(&self) -> Outcome {
        let found = self.0.0.lock().expect("not poisoned");
        let (found, timeout) = self
            .0
            .1
            .wait_timeout_while(found, PATIENCE, |found| found.is_none())
            .expect("not poisoned");
        assert!(!timeout.timed_out(), "it neither answers nor ends");
        found.expect("just found")
    }
}

/// A connection.
pub struct H2(TcpStream);

impl H2 {
    /// Connects, and says the preface and empty settings.
    pub fn connect(address: SocketAddr) -> Self {
        let mut this = Self::silent(address);
        this.write(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
        this.send(&Frame::new(SETTINGS, 0, 0, []));
        this
    }

    /// Connects, and says nothing yet.
    pub fn silent(address: SocketAddr) -> Self {
        let stream = TcpStream::connect_timeout(&address, PATIENCE).expect("connects");
        stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
        stream.set_write_timeout(Some(PATIENCE)).expect("a timeout");
        stream.set_nodelay(true).expect("no delay");
        Self(stream)
    }

    /// Reads on in the background, and answers nothing.
    pub fn watch(&self) -> Watched {
        let watched = Watched(Arc::default());
        let (shared, stream) = (Arc::clone(&watched.0), self.0.try_clone().expect("a copy"));
        std::thread::spawn(move || {
            let mut reader = std::io::BufReader::new(stream);
            let outcome = loop {
                match read_frame(&mut reader) {
                    Err(_) => break Outcome::Ended(None),
                    Ok(frame) if frame.kind == GOAWAY && frame.number(4) != 0 => {
                        break Outcome::Ended(Some(frame.number(4)));
                    }
                    Ok(frame) if frame.kind == PING && frame.payload == STILL_THERE => break Outcome::Served,
                    Ok(_) => {}
                }
            };
            *shared.0.lock().expect("not poisoned") = Some(outcome);
            shared.1.notify_all();
        });
        watched
    }

    /// Writes bytes; whether the other side still took them.
    pub fn write(&mut self, bytes: &[u8]) -> bool {
        self.0.write_all(bytes).is_ok()
    }

    /// Writes a frame; whether the other side still took it.
    pub fn send(&mut self, frame: &Frame) -> bool {
        self.write(&frame.bytes())
    }

    /// Opens a stream with a whole request.
    pub fn get(&mut self, stream: u32, path: &str) -> bool {
        self.send(&Frame::new(HEADERS, END_HEADERS | END_STREAM, stream, get(path)))
    }

    /// The next frame; `None` when the connection has ended. Settings and pings are acknowledged.
    pub fn next(&mut self) -> Option<Frame> {
        let frame = match read_frame(&mut self.0) {
            Ok(frame) => frame,
            Err(e) if e.kind() == std::io::ErrorKind::WouldBlock => panic!("nothing came"),
            Err(_) => return None,
        };
        match (frame.kind, frame.flags & ACK) {
            (SETTINGS, 0) => {
                self.send(&Frame::new(SETTINGS, ACK, 0, []));
            }
            (PING, 0) => {
                self.send(&Frame::new(PING, ACK, 0, frame.payload.clone()));
            }
            _ => {}
        }
        Some(frame)
    }

    /// Reads on to a frame of this type; `None` when the connection ends before.
    pub fn until(&mut self, kind: u8) -> Option<Frame> {
        loop {
            let frame = self.next()?;
            if frame.kind == kind {
                return Some(frame);
            }
        }
    }

    /// Reads everything to the end of the connection: the code of the last GOAWAY, if there was one.
    pub fn end(&mut self) -> Option<u32> {
        let mut code = None;
        while let Some(frame) = self.next() {
            if frame.kind == GOAWAY {
                code = Some(frame.number(4));
            }
        }
        code
    }
}

fn read_frame(from: &mut impl Read) -> std::io::Result<Frame> {
    let mut head = [0; 9];
    from.read_exact(&mut head)?;
    let length = u32::from_be_bytes([0, head[0], head[1], head[2]]);
    let mut payload = vec![0; usize::try_from(length).expect("a length")];
    from.read_exact(&mut payload)?;
    let stream = u32::from_be_bytes([head[5], head[6], head[7], head[8]]);
    Ok(Frame::new(head[3], head[4], stream, payload))
}
