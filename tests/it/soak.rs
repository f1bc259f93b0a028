//! Mixed traffic in rounds: nothing fails, and what the process holds after the last round is what it held
//! after the second. A short form runs with the other tests; `make soak` runs it for ten minutes
//! (`DOORWARD_SOAK_SECONDS`).

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use serde_json::json;
use tempfile::TempDir;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::{self, Message};

use crate::support::pki::Authority;
use crate::support::wait::until;
use crate::support::{Client, Doorward};

/// Rounds of a run. The first one fills buffers, pools and caches.
const ROUNDS: u32 = 4;
/// Of the short form.
const SHORT: Duration = Duration::from_secs(4);
/// A request's body.
const BODY_BYTES: usize = 64 * 1024;

/// Accepts for ever, a thread for each connection.
fn listen(serve: fn(TcpStream)) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = listener.local_addr().expect("an address");
    std::thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            std::thread::spawn(move || serve(stream));
        }
    });
    address
}

/// Sends bodies back. Keeps nothing of what it saw.
fn echo_http(mut stream: TcpStream) {
    let mut reader = BufReader::new(stream.try_clone().expect("cloned"));
    loop {
        let (mut length, mut line) = (0, String::new());
        loop {
            line.clear();
            match reader.read_line(&mut line) {
                Ok(0) | Err(_) => return,
                Ok(_) if line == "\r\n" => break,
                Ok(_) => {}
            }
            if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
                length = value.trim().parse().expect("a length");
            }
        }
        let mut body = vec![0; length];
        let answered = reader.read_exact(&mut body).and_then(|()| {
            let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n");
            stream.write_all(&[head.as_bytes(), &body].concat())
        });
        if answered.is_err() {
            return;
        }
    }
}

/// Sends messages back.
fn echo_messages(stream: TcpStream) {
    let Ok(mut socket) = tungstenite::accept(stream) else {
        return;
    };
    while let Ok(message) = socket.read() {
        if (message.is_text() || message.is_binary()) && socket.send(message).is_err() {
            return;
        }
    }
}

/// What the clients of a round share.
struct World {
    door: Doorward,
    authority: std::path::PathBuf,
    token: String,
    requests: AtomicU64,
}

impl World {
    fn start() -> Self {
        let folder = Arc::new(TempDir::new().expect("a folder"));
        let authority = Authority::new();
        authority.write(folder.path(), "server", "localhost");
        let roots = folder.path().join("roots.pem");
        std::fs::write(&roots, authority.pem()).expect("written");
        let file = |name: &str| folder.path().join(name).display().to_string();
        let listeners = format!(
            "{{ name: public, address: 127.0.0.1:0 }}, {{ name: tls, address: 127.0.0.1:0, \
             tls: {{ certificates: [{{ cert_file: {}, key_file: {} }}] }} }}",
            file("server.pem"),
            file("server.key")
        );
        let config = format!(
            "workers: 1\nupstreams:\n  app: {{ url: 'http://{}' }}\n  ws: {{ url: 'http://{}' }}\n\
             throttle: {{ lookups_per_address: 1000000 }}\n\
             credentials: {{ api_token: {{ digest: keyed }} }}\n\
             routes:\n  - {{ path: /ws, upstream: ws }}\n  - {{ path: /, upstream: app }}\n",
            listen(echo_http),
            listen(echo_messages)
        );
        let door = Doorward::start_listening(folder, &listeners, &config, &[]);
        let token = door.issue(json!({ "kind": "api_token", "for": "soak" })).secret;
        Self {
            door,
            authority: roots,
            token,
            requests: AtomicU64::new(0),
        }
    }

    fn header(&self) -> String {
        format!("Authorization: Bearer {}", self.token)
    }

    fn count(&self, requests: u64) {
        self.requests.fetch_add(requests, Ordering::Relaxed);
    }

    fn expect(&self, client: &mut Client, method: &str, header: &str, body: &[u8], status: u16) {
        let answer = client.request(method, "/data", &[header], body);
        assert_eq!(answer.status, status, "{method}: {}", answer.text());
        if status == 200 {
            assert_eq!(answer.body.len(), body.len());
        }
        self.count(1);
    }

    /// One connection for many requests.
    fn keep_alive(&self) {
        let mut client = self.door.connect();
        for n in 0..50 {
            let body = vec![b'x'; if n % 10 == 0 { BODY_BYTES } else { 0 }];
            let method = if body.is_empty() { "GET" } else { "POST" };
            self.expect(&mut client, method, &self.header(), &body, 200);
        }
    }

    /// A connection for each request.
    fn one_each(&self) {
        self.expect(&mut self.door.connect(), "GET", &self.header(), b"", 200);
    }

    /// Credentials that nobody made; and clients that leave in the middle of a head or a body.
    fn bad(&self) {
        let mut client = self.door.connect();
        for n in 0..20 {
            let header = format!("Token: nobody-{n}-{}", self.requests.load(Ordering::Relaxed));
            self.expect(&mut client, "GET", &header, b"", 401);
        }
        self.door.connect().write("GET /data HTT");
        let head = format!(
            "POST /data HTTP/1.1\r\nHost: a\r\n{}\r\nContent-Length: 9\r\n\r\nhalf",
            self.header()
        );
        self.door.connect().write(head);
    }

    /// A token's life: made, used, ended, refused.
    fn life(&self) {
        let made = self.door.issue(json!({ "kind": "api_token", "for": "soak" }));
        let header = format!("Authorization: Bearer {}", made.secret);
        let mut client = self.door.connect();
        self.expect(&mut client, "GET", &header, b"", 200);
        self.door.revoke(json!({ "credential": made.id }));
        self.expect(&mut client, "GET", &header, b"", 401);
    }

    /// TLS and HTTP/2 by ALPN, several requests on one connection.
    fn tls(&self) {
        let port = self.door.listeners()[1].port();
        let url = format!("https://localhost:{port}/data");
        let mut curl = Command::new("curl");
        curl.args([
            "-sS",
            "--fail",
            "--noproxy",
            "*",
            "--connect-to",
            &format!("localhost:{port}:127.0.0.1:{port}"),
        ])
        .args([
            "--cacert",
            &self.authority.display().to_string(),
            "-H",
            &self.header(),
        ]);
        for _ in 0..10 {
            curl.args(["-o", "/dev/null", &url]);
        }
        let done = curl.output().expect("curl runs");
        assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
        self.count(10);
    }

    /// HTTP/2 by prior knowledge, many streams at once.
    fn streams(&self) {
        let done = Command::new("h2load")
            .args(["-n", "200", "-c", "2", "-m", "20", "-H", &self.header()])
            .arg(format!("http://{}/data", self.door.proxy))
            .output()
            .expect("h2load runs");
        let told = String::from_utf8_lossy(&done.stdout);
        assert!(told.contains("200 succeeded, 0 failed, 0 errored"), "{told}");
        assert!(told.contains("200 2xx"), "{told}");
        self.count(200);
    }

    /// A WebSocket with a few messages.
    fn messages(&self) {
        let mut request = format!("ws://{}/ws", self.door.proxy)
            .into_client_request()
            .expect("a request");
        let value = format!("Bearer {}", self.token).parse().expect("a value");
        request.headers_mut().insert("authorization", value);
        let stream = TcpStream::connect(self.door.proxy).expect("connected");
        let (mut socket, _) = tungstenite::client(request, stream).expect("switched");
        for n in 0..10 {
            let message = Message::text("x".repeat(n * 1000));
            socket.send(message.clone()).expect("sent");
            assert_eq!(socket.read().expect("a message"), message);
        }
        socket.close(None).expect("closed");
        while socket.read().is_ok() {}
        self.count(1);
    }

    /// Everything at once, for so long, and then until nothing is left open.
    fn round(&self, long: Duration) -> Held {
        let ends = Instant::now() + long;
        let kinds: [fn(&Self); 7] = [
            Self::keep_alive,
            Self::one_each,
            Self::bad,
            Self::life,
            Self::tls,
            Self::streams,
            Self::messages,
        ];
        std::thread::scope(|scope| {
            for kind in kinds {
                scope.spawn(move || {
                    while Instant::now() < ends {
                        kind(self);
                    }
                });
            }
        });
        let is_zero = |line: &String| line.ends_with(" 0");
        until("every client connection has ended", || {
            self.door.metric("doorward_connections{").iter().all(is_zero)
        });
        Held::by(self.door.pid())
    }
}

/// What a process holds.
#[derive(Debug)]
struct Held {
    resident_kib: u64,
    descriptors: usize,
}

impl Held {
    fn by(pid: u32) -> Self {
        let status = std::fs::read_to_string(format!("/proc/{pid}/status")).expect("readable");
        let line = status.lines().find_map(|l| l.strip_prefix("VmRSS:"));
        let kib = line.and_then(|l| l.split_whitespace().next()?.parse().ok());
        Self {
            resident_kib: kib.expect("a number"),
            descriptors: std::fs::read_dir(format!("/proc/{pid}/fd"))
                .expect("readable")
                .count(),
        }
    }
}

#[test]
fn mixed_traffic_loses_nothing_and_leaves_nothing_behind() {
    let long = std::env::var("DOORWARD_SOAK_SECONDS").map_or(SHORT, |text| {
        Duration::from_secs(text.parse().expect("DOORWARD_SOAK_SECONDS: a number of seconds"))
    });
    let world = World::start();
    let held: Vec<Held> = (1..=ROUNDS)
        .map(|n| {
            let held = world.round(long / ROUNDS);
            println!(
                "round {n}: {} requests so far, {held:?}",
                world.requests.load(Ordering::Relaxed)
            );
            held
        })
        .collect();
    let (second, last) = (&held[1], &held[3]);
    // Pools and caches of the upstream's side breathe a little.
    assert!(
        last.descriptors <= second.descriptors + 16,
        "descriptors grew: {held:?}"
    );
    assert!(
        last.resident_kib <= second.resident_kib + second.resident_kib / 5 + 2048,
        "memory grew: {held:?}"
    );
}
