//! A client that writes what it is told, byte for byte, and reads one answer at a time.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::time::Duration;

/// Longest wait for anything. A test that meets it fails; none waits for it.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// One answer.
#[derive(Debug, Clone)]
pub struct Answer {
    pub status: u16,
    /// In order, names lower-cased.
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

impl Answer {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers
            .iter()
            .find(|(n, _)| n == name)
            .map(|(_, v)| v.as_str())
    }

    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    pub fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|e| panic!("no JSON ({e}): {}", self.text()))
    }
}

/// A connection.
pub struct Client(BufReader<TcpStream>);

impl Client {
    pub fn connect(address: SocketAddr) -> Self {
        Self::on(TcpStream::connect_timeout(&address, PATIENCE).expect("connects"))
    }

    /// The same on a stream that is there already: the other end of somebody's connection, say.
    pub fn on(stream: TcpStream) -> Self {
        stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
        stream.set_write_timeout(Some(PATIENCE)).expect("a timeout");
        stream.set_nodelay(true).expect("no delay");
        Self(BufReader::new(stream))
    }

    /// Writes bytes as they are.
    pub fn write(&mut self, bytes: impl AsRef<[u8]>) -> &mut Self {
        self.0.get_mut().write_all(bytes.as_ref()).expect("writes");
        self
    }

    /// Writes bytes; the peer may have closed already.
    pub fn try_write(&mut self, bytes: impl AsRef<[u8]>) -> std::io::Result<()> {
        self.0.get_mut().write_all(bytes.as_ref())
    }

    /// Says that nothing more will be written.
    pub fn finish(&mut self) -> &mut Self {
        let _ = self.0.get_mut().shutdown(Shutdown::Write);
        self
    }

    /// A GET with these header lines (`Name: value`), on this connection.
    pub fn get(&mut self, target: &str, headers: &[&str]) -> Answer {
        self.request("GET", target, headers, b"")
    }

    /// A request with a body, on this connection.
    pub fn request(&mut self, method: &str, target: &str, headers: &[&str], body: &[u8]) -> Answer {
        let mut head = format!("{method} {target} HTTP/1.1\r\nHost: test.example\r\n");
        for line in headers {
            head.push_str(line);
            head.push_str("\r\n");
        }
        if !body.is_empty() {
            head.push_str(&format!("Content-Length: {}\r\n", body.len()));
        }
        head.push_str("\r\n");
        self.write(head).write(body);
        self.answer_to(method)
    }

    /// Reads the next answer.
    pub fn answer(&mut self) -> Answer {
        self.answer_to("GET")
    }

    fn answer_to(&mut self, method: &str) -> Answer {
        self.try_answer(method).expect("an answer")
    }

    /// Reads the next answer to a request of this method; an error when the connection ends first.
    pub fn try_answer(&mut self, method: &str) -> std::io::Result<Answer> {
        let status_line = self.line()?;
        let status = status_line.split(' ').nth(1).and_then(|s| s.parse().ok());
        let status: u16 =
            status.ok_or_else(|| std::io::Error::other(format!("no status: {status_line:?}")))?;
        let mut headers = Vec::new();
        loop {
            let line = self.line()?;
            if line.is_empty() {
                break;
            }
            let (name, value) = line.split_once(':').unwrap_or((&line, ""));
            headers.push((name.to_ascii_lowercase(), value.trim().to_owned()));
        }
        let mut answer = Answer {
            status,
            headers,
            body: Vec::new(),
        };
        if status == 100 || status == 204 || status == 304 || method == "HEAD" {
            return Ok(answer);
        }
        if answer.header("transfer-encoding") == Some("chunked") {
            loop {
                let size = usize::from_str_radix(&self.line()?, 16).map_err(std::io::Error::other)?;
                let mut chunk = vec![0; size + 2];
                self.0.read_exact(&mut chunk)?;
                if size == 0 {
                    break;
                }
                answer.body.extend_from_slice(&chunk[..size]);
            }
        } else if let Some(length) = answer.header("content-length") {
            let mut body = vec![0; length.parse().map_err(std::io::Error::other)?];
            self.0.read_exact(&mut body)?;
            answer.body = body;
        } else {
            self.0.read_to_end(&mut answer.body)?;
        }
        Ok(answer)
    }

    fn line(&mut self) -> std::io::Result<String> {
        let mut line = String::new();
        if self.0.read_line(&mut line)? == 0 {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
        Ok(line.trim_end_matches(['\r', '\n']).to_owned())
    }

    /// A head as it came, up to and without its empty line.
    pub fn head(&mut self) -> String {
        let mut head = String::new();
        loop {
            let line = self.line().expect("a line of a head");
            if line.is_empty() {
                return head;
            }
            head.push_str(&line);
            head.push_str("\r\n");
        }
    }

    /// So many bytes, whatever they are.
    pub fn take(&mut self, count: usize) -> Vec<u8> {
        let mut bytes = vec![0; count];
        self.0.read_exact(&mut bytes).expect("so many bytes");
        bytes
    }

    /// What was read ahead, which is then read.
    pub fn buffered(&mut self) -> Vec<u8> {
        let ahead = self.0.buffer().to_vec();
        self.0.consume(ahead.len());
        ahead
    }

    /// The stream below. What was read ahead of it is lost.
    pub fn stream(&self) -> &TcpStream {
        self.0.get_ref()
    }

    /// Everything that still comes until the peer closes. A reset counts as closing.
    pub fn rest(&mut self) -> Vec<u8> {
        let mut rest = Vec::new();
        match self.0.read_to_end(&mut rest) {
            Ok(_) => rest,
            Err(e) if e.kind() == std::io::ErrorKind::ConnectionReset => rest,
            Err(e) => panic!(
                "the peer did not close: {e}; so far {:?}",
                String::from_utf8_lossy(&rest)
            ),
        }
    }
}

/// One GET on a connection of its own.
pub fn get(address: SocketAddr, target: &str, headers: &[&str]) -> Answer {
    Client::connect(address).get(target, headers)
}
