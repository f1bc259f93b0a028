//! An upstream that reads as strictly as the standard allows, and keeps what it read: a second opinion on
//! the bytes that Doorward sends (RFC 9112).

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex};

use crate::support::http::PATIENCE;

/// One request as it arrived.
#[derive(Debug, Clone)]
pub struct Recorded {
    /// Method, target and body, a space between them.
    pub text: String,
    pub target: String,
    /// Whether its body came to an end.
    pub complete: bool,
    /// Its place among all requests of the recorder.
    pub order: usize,
}

/// One connection as it was read.
#[derive(Debug, Default)]
pub struct Connection {
    pub requests: Vec<Recorded>,
    /// Every byte of its complete requests.
    pub raw: Vec<u8>,
}

#[derive(Default)]
struct Log {
    connections: Vec<Connection>,
    /// What no sender may send, with the head it stood in.
    offences: Vec<String>,
    open: usize,
}

/// The recording upstream. Answers each request 200 with its target as the body.
pub struct Recorder {
    pub address: SocketAddr,
    log: Arc<(Mutex<Log>, Condvar)>,
}

impl Recorder {
    pub fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("an address");
        let log = Arc::new((Mutex::new(Log::default()), Condvar::new()));
        let (shared, order) = (Arc::clone(&log), Arc::new(AtomicUsize::new(0)));
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                shared.0.lock().expect("not poisoned").open += 1;
                let (shared, order) = (Arc::clone(&shared), Arc::clone(&order));
                std::thread::spawn(move || {
                    let mut connection = Connection::default();
                    let end = serve(stream, &mut connection, &order);
                    let mut log = shared.0.lock().expect("not poisoned");
                    log.connections.push(connection);
                    log.offences.extend(end.err());
                    log.open -= 1;
                    shared.1.notify_all();
                });
            }
        });
        Self { address, log }
    }

    /// All connections, once every one has ended, and every offence.
    pub fn finish(self) -> (Vec<Connection>, Vec<String>) {
        let (log, ended) = &*self.log;
        let log = log.lock().expect("not poisoned");
        let (mut log, timeout) = ended
            .wait_timeout_while(log, PATIENCE, |log| log.open > 0)
            .expect("not poisoned");
        assert!(!timeout.timed_out(), "{} connections stay open", log.open);
        let Log {
            connections,
            offences,
            ..
        } = std::mem::take(&mut *log);
        (connections, offences)
    }
}

/// Keeps what is taken from it.
struct Kept {
    inner: BufReader<TcpStream>,
    taken: Vec<u8>,
}

impl Read for Kept {
    fn read(&mut self, into: &mut [u8]) -> std::io::Result<usize> {
        let read = self.fill_buf()?.read(into)?;
        self.consume(read);
        Ok(read)
    }
}

impl BufRead for Kept {
    fn fill_buf(&mut self) -> std::io::Result<&[u8]> {
        self.inner.fill_buf()
    }

    fn consume(&mut self, amount: usize) {
        self.taken.extend_from_slice(&self.inner.buffer()[..amount]);
        self.inner.consume(amount);
    }
}

enum Framing {
    Length(usize),
    /// With the names of trailers that may come.
    Chunked(Vec<String>),
}

/// Reads requests until the connection ends. `Err` says what was wrong with the bytes.
fn serve(stream: TcpStream, connection: &mut Connection, order: &AtomicUsize) -> Result<(), String> {
    let mut writer = stream.try_clone().expect("clones");
    let mut reader = Kept {
        inner: BufReader::new(stream),
        taken: Vec::new(),
    };
    while let Some(head) = head(&mut reader)? {
        let (method, target, framing) = strict(&head).map_err(|why| format!("{why}: {head:?}"))?;
        let body = body(&mut reader, framing).map_err(|why| format!("{why}: {head:?}"))?;
        let complete = body.is_some();
        let body = String::from_utf8_lossy(&body.unwrap_or_default()).into_owned();
        let mut text = format!("{method} {target}");
        if !body.is_empty() {
            text = format!("{text} {body}");
        }
        let answer = match method.as_str() {
            "HEAD" => format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", target.len()),
            _ => format!(
                "HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{target}",
                target.len()
            ),
        };
        let order = order.fetch_add(1, Ordering::Relaxed);
        connection.requests.push(Recorded {
            text,
            target,
            complete,
            order,
        });
        if !complete {
            break;
        }
        connection.raw.clone_from(&reader.taken);
        if writer.write_all(answer.as_bytes()).is_err() {
            break;
        }
    }
    Ok(())
}

/// The next head without its empty line. `None` at the end, which may come within a head.
fn head(reader: &mut impl BufRead) -> Result<Option<String>, String> {
    let mut head = Vec::new();
    loop {
        let before = head.len();
        if reader.read_until(b'\n', &mut head).unwrap_or(0) == 0 {
            return Ok(None);
        }
        if &head[before..] == b"\r\n" {
            head.truncate(before);
            let text: String = head.iter().map(|b| char::from(*b)).collect();
            return Ok(Some(text));
        }
    }
}

/// What no sender may do, checked on every head that arrives.
fn strict(head: &str) -> Result<(String, String, Framing), String> {
    let mut lines = head.split("\r\n").filter(|line| !line.is_empty());
    let request: Vec<&str> = lines.next().ok_or("no request line")?.split(' ').collect();
    let [method, target, "HTTP/1.1"] = request.as_slice() else {
        return Err("not a request line".into());
    };
    let visible = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_graphic());
    if !visible(method)
        || !visible(target)
        || !(target.starts_with('/') || *target == "*")
        || target.contains('#')
    {
        return Err("not a target in origin form".into());
    }
    let (mut hosts, mut lengths, mut codings) = (Vec::new(), Vec::new(), Vec::new());
    // What we say to our neighbor ourselves: that trailers are taken or may come, or which protocol is wished for.
    let (mut options, mut wishes, mut taken, mut announced) =
        (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for line in lines {
        if line
            .chars()
            .any(|c| c.is_control() && c != '\t' && u32::from(c) < 0x80)
        {
            return Err("a control character".into());
        }
        let (name, value) = line.split_once(':').ok_or("a line without a colon")?;
        let token = |b: u8| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b);
        if name.is_empty() || !name.bytes().all(token) {
            return Err("a name that is none".into());
        }
        let folded: String = name
            .chars()
            .map(|c| {
                if c.is_ascii_alphanumeric() {
                    c.to_ascii_lowercase()
                } else {
                    '-'
                }
            })
            .collect();
        match folded.as_str() {
            "host" => hosts.push(value.trim()),
            "content-length" => lengths.push(value.trim()),
            "transfer-encoding" => codings.push(value.trim()),
            "connection" => options.push(value.trim()),
            "upgrade" => wishes.push(value.trim()),
            "te" => taken.push(value.trim()),
            "trailer" => announced.extend(value.split(',').map(|n| n.trim().to_owned())),
            "keep-alive" | "proxy-connection" | "http2-settings" | "expect" => {
                return Err(format!("{name} concerns one connection only"));
            }
            _ => {}
        }
    }
    match (options.as_slice(), wishes.as_slice(), taken.as_slice()) {
        ([], [], []) | (["te"], [], ["trailers"]) | (["upgrade"], ["websocket"], []) => {}
        other => return Err(format!("{other:?} concerns one connection only")),
    }
    if !matches!(hosts.as_slice(), [host] if !host.is_empty()) {
        return Err(format!("{} hosts", hosts.len()));
    }
    let framing = match (lengths.as_slice(), codings.as_slice()) {
        ([], []) => Framing::Length(0),
        ([], ["chunked"]) => Framing::Chunked(announced),
        ([length], []) if length.bytes().all(|b| b.is_ascii_digit()) => {
            Framing::Length(length.parse().map_err(|_| "no length")?)
        }
        _ => return Err("a framing with two readings".into()),
    };
    Ok(((*method).to_owned(), (*target).to_owned(), framing))
}

/// The body; `None` when the connection ended within it.
fn body(reader: &mut impl BufRead, framing: Framing) -> Result<Option<Vec<u8>>, String> {
    let mut body = Vec::new();
    match framing {
        Framing::Length(length) => {
            let mut part = reader.take(length as u64);
            let whole = part.read_to_end(&mut body).is_ok() && body.len() == length;
            Ok(whole.then_some(body))
        }
        Framing::Chunked(announced) => loop {
            let mut line = String::new();
            let read = reader
                .read_line(&mut line)
                .map_err(|e| format!("no chunk line: {e}"));
            if read.is_err() || !line.ends_with('\n') {
                return Ok(None);
            }
            let digits = line.strip_suffix("\r\n").ok_or("a chunk line without CRLF")?;
            if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_hexdigit()) {
                return Err(format!("not a chunk size: {line:?}"));
            }
            let size = usize::from_str_radix(digits, 16).map_err(|e| e.to_string())?;
            if size == 0 {
                return Ok(trailers(reader, &announced)?.then_some(body));
            }
            let mut chunk = vec![0; size + 2];
            if reader.read_exact(&mut chunk).is_err() {
                return Ok(None);
            }
            if !chunk.ends_with(b"\r\n") {
                return Err(format!("a chunk of {size} does not end where it says"));
            }
            body.extend_from_slice(&chunk[..size]);
        },
    }
}

/// Trailers, of which none may come but those announced: they would carry fields past every check. False when
/// the connection ended within them.
fn trailers(reader: &mut impl BufRead, announced: &[String]) -> Result<bool, String> {
    const NEVER: [&str; 5] = [
        "content-length",
        "transfer-encoding",
        "host",
        "connection",
        "authorization",
    ];
    loop {
        let mut line = String::new();
        let read = reader.read_line(&mut line);
        if read.is_err() || !line.ends_with('\n') {
            return Ok(false);
        }
        let line = line.strip_suffix("\r\n").ok_or("a trailer line without CRLF")?;
        if line.is_empty() {
            return Ok(true);
        }
        let name = line.split(':').next().unwrap_or_default();
        if !announced.iter().any(|n| n == name) || NEVER.contains(&name) || name.starts_with("x-auth") {
            return Err(format!("a trailer that may not be one: {line:?}"));
        }
    }
}
