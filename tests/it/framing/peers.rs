//! nginx and HAProxy as readers: what they make of bytes that Doorward sent. Skipped where they are not
//! installed (`scripts/setup.sh bench` installs them).

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use tempfile::TempDir;

use super::recorder::{Connection, Recorder};
use crate::support::http::PATIENCE;
use crate::support::wait::until;

/// A server that reads strictly on its own.
#[derive(Debug, Clone, Copy)]
pub enum Peer {
    Nginx,
    Haproxy,
}

impl Peer {
    fn program(self) -> Option<PathBuf> {
        let name = match self {
            Self::Nginx => "nginx",
            Self::Haproxy => "haproxy",
        };
        ["/usr/sbin", "/usr/bin", "/usr/local/sbin", "/usr/local/bin"]
            .into_iter()
            .map(|folder| Path::new(folder).join(name))
            .find(|path| path.exists())
    }

    /// Its configuration: takes connections on a socket in the folder, forwards to the upstream.
    fn config(self, folder: &Path, upstream: SocketAddr) -> String {
        let folder = folder.display();
        match self {
            Self::Nginx => format!(
                "daemon off; master_process off; pid {folder}/pid; error_log {folder}/log; events {{ }}\n\
                 http {{ access_log off; client_body_temp_path {folder}/1; proxy_temp_path {folder}/2;\n\
                 fastcgi_temp_path {folder}/3; uwsgi_temp_path {folder}/4; scgi_temp_path {folder}/5;\n\
                 keepalive_requests 1000000; client_max_body_size 0; large_client_header_buffers 4 64k;\n\
                 server {{ listen unix:{folder}/socket; location / {{ proxy_pass http://{upstream};\n\
                 proxy_http_version 1.1; proxy_set_header Host $http_host; proxy_set_header Connection \"\"; }} }} }}\n"
            ),
            Self::Haproxy => format!(
                "global\n maxconn 100\ndefaults\n mode http\n timeout connect 10s\n timeout client 10s\n \
                 timeout server 10s\nfrontend f\n bind unix@{folder}/socket\n default_backend b\n\
                 backend b\n server s {upstream}\n"
            ),
        }
    }

    fn command(self, program: &Path, config: &Path) -> Command {
        let mut command = Command::new(program);
        match self {
            Self::Nginx => command
                .arg("-c")
                .arg(config)
                .arg("-p")
                .arg(config.parent().expect("a folder")),
            Self::Haproxy => command.arg("-db").arg("-f").arg(config),
        };
        command
    }
}

struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Writes bytes and returns everything that comes back.
fn exchange(socket: &Path, bytes: &[u8]) -> String {
    let mut stream = UnixStream::connect(socket).expect("connects");
    stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
    // It may refuse and close in the middle.
    let _ = stream.write_all(bytes);
    let mut answers = Vec::new();
    let _ = stream.read_to_end(&mut answers);
    let _ = stream.shutdown(Shutdown::Both);
    String::from_utf8_lossy(&answers).into_owned()
}

/// Shows a server the bytes of each connection, and compares the requests that it forwards with those that
/// the recorder read from the same bytes. A server may refuse more, but never read differently.
pub fn compared(peer: Peer, connections: &[Connection]) {
    let Some(program) = peer.program() else {
        println!("skipped: {peer:?} is not installed");
        return;
    };
    let folder = TempDir::new().expect("a folder");
    let recorder = Recorder::start();
    let (config, socket) = (folder.path().join("config"), folder.path().join("socket"));
    std::fs::write(&config, peer.config(folder.path(), recorder.address)).expect("writes");
    let child = peer
        .command(&program, &config)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("it starts");
    let running = Running(child);
    until("it listens", || UnixStream::connect(&socket).is_ok());

    let mut answers = Vec::new();
    for (number, connection) in connections.iter().enumerate() {
        let last = "GET /last HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
        answers.push(exchange(&socket, &[&connection.raw, last.as_bytes()].concat()));
        // On a connection of its own, so that it comes through whatever became of the other.
        exchange(
            &socket,
            format!("GET /next/{number} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").as_bytes(),
        );
    }
    drop(running);
    let (seen, offences) = recorder.finish();
    assert!(offences.is_empty(), "{offences:?}");
    let mut seen: Vec<_> = seen.into_iter().flat_map(|c| c.requests).collect();
    seen.sort_by_key(|request| request.order);

    let mut seen = seen.into_iter();
    let mut whole = 0;
    for (number, (connection, answers)) in connections.iter().zip(&answers).enumerate() {
        let next = format!("GET /next/{number}");
        let found: Vec<String> = seen
            .by_ref()
            .map(|r| r.text)
            .take_while(|text| *text != next)
            .collect();
        let complete = connection.requests.iter().filter(|r| r.complete);
        let mut wanted: Vec<String> = complete.map(|r| r.text.clone()).collect();
        wanted.push("GET /last".to_owned());
        if found == wanted {
            whole += 1;
            continue;
        }
        assert!(
            wanted.starts_with(&found) && answers.contains("HTTP/1.1 4"),
            "{peer:?} reads it otherwise: {}\nfound  {found:?}\nwanted {wanted:?}",
            connection.raw.escape_ascii()
        );
    }
    println!(
        "{peer:?} read {whole} of {} connections to their end",
        connections.len()
    );
    assert!(
        whole * 4 >= connections.len() * 3,
        "{peer:?} refused more than a quarter of them"
    );
}
