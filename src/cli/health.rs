//! `health`: one question to the status door, for containers whose image has no shell to ask with.
//!
//! Plain blocking sockets with a bound on every wait; no configuration is read and nothing is changed.

use std::io::{self, Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream};
use std::process::ExitCode;
use std::time::Duration;

use super::Failure;
use super::args::{Health, Probe};
use super::output::{Form, Output};

/// How long each step may take. A container's own bound should be longer.
const PATIENCE: Duration = Duration::from_secs(2);
/// An answer of the status door is a few lines.
const MAX_ANSWER_BYTES: u64 = 64 * 1024;

/// Asks, says what came back, and ends well or not.
pub(super) fn run(wanted: &Health, out: Output) -> Result<ExitCode, Failure> {
    let path = match wanted.probe {
        Probe::Live => "/livez",
        Probe::Ready => "/readyz",
        Probe::Startup => "/startupz",
    };
    let address = reachable(wanted.address);
    let answer = ask(address, path).map_err(|error| {
        Failure::Failed(format!(
            "the status door at {address} did not answer: {error}; is a server running, and is that its status.address?"
        ))
    })?;
    let Some((status, body)) = read(&answer) else {
        return Err(Failure::Failed(format!(
            "what answers at {address} is no status door: give its address with --address"
        )));
    };
    match out.form() {
        Form::Json => out.json(&serde_json::json!({ "status": status, "healthy": status == 200 }))?,
        Form::People => out.text(body)?,
    }
    Ok(match status {
        200 => ExitCode::SUCCESS,
        _ => ExitCode::FAILURE,
    })
}

/// A server that listens on every address listens on loopback.
fn reachable(address: SocketAddr) -> SocketAddr {
    let ip = match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => IpAddr::V4(Ipv4Addr::LOCALHOST),
        IpAddr::V6(ip) if ip.is_unspecified() => IpAddr::V6(Ipv6Addr::LOCALHOST),
        other => other,
    };
    SocketAddr::new(ip, address.port())
}

fn ask(address: SocketAddr, path: &str) -> io::Result<String> {
    let mut connection = TcpStream::connect_timeout(&address, PATIENCE)?;
    connection.set_read_timeout(Some(PATIENCE))?;
    connection.set_write_timeout(Some(PATIENCE))?;
    let request = format!("GET {path}?verbose HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
    connection.write_all(request.as_bytes())?;
    let mut answer = Vec::new();
    connection.take(MAX_ANSWER_BYTES).read_to_end(&mut answer)?;
    Ok(String::from_utf8_lossy(&answer).into_owned())
}

/// Status and body of an answer.
fn read(answer: &str) -> Option<(u16, &str)> {
    let (head, body) = answer.split_once("\r\n\r\n")?;
    let status = head.strip_prefix("HTTP/1.1 ")?.get(..3)?.parse().ok()?;
    Some((status, body))
}
