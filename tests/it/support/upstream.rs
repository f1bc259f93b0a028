//! An upstream that records every byte of every request and answers as it is told.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::sync::{Arc, Condvar, Mutex};

use super::http::PATIENCE;

/// A request as it reached the upstream.
#[derive(Debug, Clone)]
pub struct Seen {
    /// The head, byte for byte, without the empty line.
    pub head: String,
    pub body: Vec<u8>,
}

impl Seen {
    pub fn request_line(&self) -> &str {
        self.head.lines().next().unwrap_or_default()
    }

    /// The target of the request line.
    pub fn target(&self) -> &str {
        self.request_line().split(' ').nth(1).unwrap_or_default()
    }

    /// Values of all lines of this name.
    pub fn headers(&self, name: &str) -> Vec<&str> {
        self.head
            .lines()
            .skip(1)
            .filter_map(|l| l.split_once(':'))
            .filter(|(n, _)| n.eq_ignore_ascii_case(name))
            .map(|(_, v)| v.trim())
            .collect()
    }

    /// The value of the only line of this name.
    pub fn header(&self, name: &str) -> Option<&str> {
        let values = self.headers(name);
        assert!(values.len() <= 1, "{name} came {} times", values.len());
        values.first().copied()
    }
}

/// What the upstream does with a request.
#[derive(Clone)]
pub enum Reply {
    /// 200 with this body, connection kept.
    Ok(&'static str),
    /// These bytes, connection kept.
    Raw(Vec<u8>),
    /// These bytes, then the connection is closed.
    RawThenClose(Vec<u8>),
    /// Nothing, ever; the connection stays open.
    Silence,
    /// Reads the head only, answers these bytes at once, then reads the body.
    Early(Vec<u8>),
}

#[derive(Default)]
struct Log {
    seen: Mutex<Vec<Seen>>,
    connections: Mutex<usize>,
    more: Condvar,
}

/// A recording upstream on a free loopback port. Its threads end with the process.
pub struct Upstream {
    pub address: SocketAddr,
    log: Arc<Log>,
}

/// The same on a Unix socket.
pub struct UnixUpstream {
    log: Arc<Log>,
}

impl UnixUpstream {
    /// Answers everything alike, at this path.
    pub fn start(path: &Path, reply: Reply) -> Self {
        let listener = UnixListener::bind(path).expect("a socket");
        let log = Arc::new(Log::default());
        let shared = Arc::clone(&log);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (shared, reply) = (Arc::clone(&shared), reply.clone());
                std::thread::spawn(move || serve(stream, &shared, &|_: &Seen| reply.clone()));
            }
        });
        Self { log }
    }

    /// Everything seen so far.
    pub fn seen(&self) -> Vec<Seen> {
        self.log.seen.lock().expect("not poisoned").clone()
    }
}

/// A stream that can be read and written at once.
trait Duplex: Read + Write + Sized {
    fn twin(&self) -> std::io::Result<Self>;
}

impl Duplex for TcpStream {
    fn twin(&self) -> std::io::Result<Self> {
        self.try_clone()
    }
}

impl Duplex for UnixStream {
    fn twin(&self) -> std::io::Result<Self> {
        self.try_clone()
    }
}

impl Upstream {
    /// Answers everything alike.
    pub fn start(reply: Reply) -> Self {
        Self::with(move |_| reply.clone())
    }

    /// Answers as the function says.
    pub fn with(reply: impl Fn(&Seen) -> Reply + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("an address");
        let log = Arc::new(Log::default());
        let (shared, reply) = (Arc::clone(&log), Arc::new(reply));
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                *shared.connections.lock().expect("not poisoned") += 1;
                let (shared, reply) = (Arc::clone(&shared), Arc::clone(&reply));
                std::thread::spawn(move || serve(stream, &shared, reply.as_ref()));
            }
        });
        Self { address, log }
    }

    /// Everything seen so far.
    pub fn seen(&self) -> Vec<Seen> {
        self.log.seen.lock().expect("not poisoned").clone()
    }

    /// The last request seen.
    pub fn last(&self) -> Seen {
        self.seen().pop().expect("a request was forwarded")
    }

    /// Waits until this many requests were seen.
    pub fn wait_for(&self, count: usize) -> Vec<Seen> {
        let seen = self.log.seen.lock().expect("not poisoned");
        let (seen, timeout) = self
            .log
            .more
            .wait_timeout_while(seen, PATIENCE, |s| s.len() < count)
            .expect("not poisoned");
        assert!(
            !timeout.timed_out(),
            "only {} of {count} requests were forwarded",
            seen.len()
        );
        seen.clone()
    }

    /// How many connections were accepted.
    pub fn connections(&self) -> usize {
        *self.log.connections.lock().expect("not poisoned")
    }
}

fn serve<S: Duplex>(stream: S, log: &Log, reply: &(dyn Fn(&Seen) -> Reply + Send + Sync)) {
    let mut writer = stream.twin().expect("clones");
    let mut reader = BufReader::new(stream);
    while let Some(head) = read_head(&mut reader) {
        let mut seen = Seen {
            head,
            body: Vec::new(),
        };
        let planned = reply(&seen);
        if let Reply::Early(bytes) = &planned {
            let _ = writer.write_all(bytes);
        }
        let Some(body) = read_body(&mut reader, &seen) else {
            return;
        };
        seen.body = body;
        let planned = match planned {
            Reply::Early(_) => planned,
            _ => reply(&seen),
        };
        log.seen.lock().expect("not poisoned").push(seen);
        log.more.notify_all();
        let sent = match planned {
            Reply::Ok(body) => writer.write_all(
                format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len()).as_bytes(),
            ),
            Reply::Raw(bytes) => writer.write_all(&bytes),
            Reply::RawThenClose(bytes) => {
                let _ = writer.write_all(&bytes);
                return;
            }
            Reply::Silence | Reply::Early(_) => Ok(()),
        };
        if sent.is_err() {
            return;
        }
    }
}

fn read_head(reader: &mut impl BufRead) -> Option<String> {
    let mut head = Vec::new();
    loop {
        let before = head.len();
        if reader.read_until(b'\n', &mut head).ok()? == 0 {
            return None;
        }
        if &head[before..] == b"\r\n" {
            head.truncate(before);
            return Some(String::from_utf8_lossy(&head).trim_end().to_owned());
        }
    }
}

fn read_body(reader: &mut impl BufRead, seen: &Seen) -> Option<Vec<u8>> {
    if seen.header("transfer-encoding").is_some() {
        let mut body = Vec::new();
        loop {
            let mut line = String::new();
            reader.read_line(&mut line).ok().filter(|n| *n > 0)?;
            let size = usize::from_str_radix(line.trim(), 16).ok()?;
            let mut chunk = vec![0; size + 2];
            reader.read_exact(&mut chunk).ok()?;
            if size == 0 {
                return Some(body);
            }
            body.extend_from_slice(&chunk[..size]);
        }
    }
    let length = seen
        .header("content-length")
        .and_then(|l| l.parse().ok())
        .unwrap_or(0);
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    Some(body)
}
