//! What stands between a socket and its first request: the PROXY protocol, and bounds on connections.

use std::fs;
use std::process::{Command, Stdio};
use std::sync::Arc;

use tempfile::TempDir;

use crate::support::process::{cli, write_config};
use crate::support::wait::until;
use crate::support::{Doorward, Reply, Upstream};

const ROUTES: &str = "routes:\n  - { path: /open/, access: public, upstream: api }\n";
const GET: &str = "GET /open/x HTTP/1.1\r\nHost: a\r\n\r\n";

fn start(keys: &str) -> (Doorward, Upstream) {
    let upstream = Upstream::start(Reply::Ok("hello"));
    let config = format!(
        "upstreams: {{ api: {{ url: \"http://{}\" }} }}\n{ROUTES}",
        upstream.address
    );
    let listener = format!("{{ name: public, address: 127.0.0.1:0, {keys} }}");
    let folder = Arc::new(TempDir::new().expect("a folder"));
    (
        Doorward::start_listening(folder, &listener, &config, &[]),
        upstream,
    )
}

fn refused(door: &Doorward, reason: &str) -> f64 {
    let name = format!("doorward_connections_refused_total{{listener=\"public\",reason=\"{reason}\"}}");
    let samples = door.metric(&name);
    samples[0]
        .rsplit(' ')
        .next()
        .expect("a value")
        .parse()
        .expect("a number")
}

const V2: [u8; 28] = *b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c\xcb\0\x71\x09\x0a\0\0\x01\x9c\x40\x01\xbb";

#[test]
fn behind_the_proxy_protocol_the_client_is_who_the_header_names() {
    let (door, upstream) = start("proxy_protocol: required, trusted_proxies: [127.0.0.1, 10.0.0.0/8]");
    let forged = "GET /open/x HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: 6.6.6.6\r\n\r\n";
    #[rustfmt::skip]
    let rows: [(&[u8], &str, &str, &str); 5] = [
        (b"PROXY TCP4 203.0.113.7 10.0.0.1 40000 443\r\n", GET, "203.0.113.7", "version 1"),
        (&V2, GET, "203.0.113.9", "version 2"),
        (b"PROXY TCP6 2001:db8::7 ::1 40000 443\r\n", forged, "2001:db8::7", "a client's own claim is not believed"),
        (b"PROXY TCP4 10.2.3.4 10.0.0.1 40000 443\r\n", forged, "6.6.6.6", "a trusted proxy's is"),
        (b"PROXY UNKNOWN\r\n", GET, "127.0.0.1", "the proxy speaks for itself"),
    ];
    for (i, (header, request, client, why)) in rows.into_iter().enumerate() {
        // Header and request in one piece, then on a connection of their own byte by byte.
        let whole = [header, request.as_bytes()].concat();
        let mut at_once = door.connect();
        assert_eq!(at_once.write(&whole).answer().status, 200, "{why}");
        let mut slow = door.connect();
        whole.iter().for_each(|byte| {
            slow.write([*byte]);
        });
        assert_eq!(slow.answer().status, 200, "{why}");
        for seen in &upstream.wait_for(2 * i + 2)[2 * i..] {
            assert_eq!(seen.header("x-forwarded-for"), Some(client), "{why}");
        }
    }
}

#[test]
fn without_a_header_or_from_a_stranger_nothing_is_served() {
    let (door, upstream) = start("proxy_protocol: required, trusted_proxies: [127.0.0.1]");
    for bytes in [
        GET,
        "PROXY TCP4 1.2.3.4 10.0.0.1 1 65536\r\n",
        "\r\n\r\n\0\r\nQUIT\n\x31",
    ] {
        let mut client = door.connect();
        client.write(bytes);
        assert_eq!(client.rest(), b"", "{bytes:?}");
    }
    until("all are counted", || refused(&door, "proxy_header") == 3.0);
    let (door, _) = start("proxy_protocol: required, trusted_proxies: [10.0.0.0/8]");
    let mut client = door.connect();
    let _ = client.try_write(format!("PROXY TCP4 1.2.3.4 10.0.0.1 1 2\r\n{GET}"));
    assert_eq!(client.rest(), b"", "not on the list");
    until("it is counted", || refused(&door, "proxy_header") == 1.0);
    assert!(upstream.seen().is_empty());
}

#[test]
fn where_it_is_off_a_header_is_a_bad_request() {
    let (door, upstream) = start("trusted_proxies: [127.0.0.1]");
    let mut client = door.connect();
    client.write(format!("PROXY TCP4 1.2.3.4 10.0.0.1 1 2\r\n{GET}"));
    assert_eq!(client.answer().status, 400);
    assert!(upstream.seen().is_empty());
}

#[test]
fn the_header_comes_before_tls() {
    let folder = Arc::new(TempDir::new().expect("a folder"));
    let params = rcgen::CertificateParams::new(vec!["localhost".to_owned()]).expect("names");
    let key = rcgen::KeyPair::generate().expect("a key");
    let (cert_file, key_file) = (folder.path().join("cert.pem"), folder.path().join("key.pem"));
    fs::write(&cert_file, params.self_signed(&key).expect("signed").pem()).expect("writes");
    fs::write(&key_file, key.serialize_pem()).expect("writes");
    let narrow = <fs::Permissions as std::os::unix::fs::PermissionsExt>::from_mode(0o600);
    fs::set_permissions(&key_file, narrow).expect("narrowed");
    let upstream = Upstream::start(Reply::Ok("hello"));
    let config = format!(
        "upstreams: {{ api: {{ url: \"http://{}\" }} }}\n{ROUTES}",
        upstream.address
    );
    let listener = format!(
        "{{ name: public, address: 127.0.0.1:0, proxy_protocol: required, trusted_proxies: [127.0.0.1], \
         tls: {{ certificates: [{{ cert_file: {}, key_file: {} }}] }} }}",
        cert_file.display(),
        key_file.display()
    );
    let door = Doorward::start_listening(folder, &listener, &config, &[]);
    let port = door.proxy.port();
    for (version, expected) in [("--http2", "hello 2"), ("--http1.1", "hello 1.1")] {
        let output = Command::new("curl")
            .args([
                "-sS",
                "--max-time",
                "20",
                "--haproxy-protocol",
                version,
                "-w",
                " %{http_version}",
            ])
            .args(["--resolve", &format!("localhost:{port}:127.0.0.1")])
            .arg("--cacert")
            .arg(&cert_file)
            .arg(format!("https://localhost:{port}/open/"))
            .stdin(Stdio::null())
            .output()
            .expect("curl runs");
        assert_eq!(String::from_utf8_lossy(&output.stdout), expected, "{output:?}");
    }
    // Without the header there is no TLS either: who comes straight in cannot even begin a handshake.
    let straight = Command::new("curl")
        .args(["-sS", "--max-time", "20", "--resolve"])
        .arg(format!("localhost:{port}:127.0.0.1"))
        .arg("--cacert")
        .arg(&cert_file)
        .arg(format!("https://localhost:{port}/open/"))
        .stdin(Stdio::null())
        .output()
        .expect("curl runs");
    assert!(!straight.status.success(), "{straight:?}");
    until("it is counted", || refused(&door, "proxy_header") == 1.0);
    assert_eq!(refused(&door, "tls_handshake"), 0.0, "it did not come to that");
    assert_eq!(upstream.seen().len(), 2);
}

#[test]
fn one_client_cannot_take_every_connection() {
    let (door, _upstream) =
        start("proxy_protocol: required, trusted_proxies: [127.0.0.1], max_connections_per_address: 2");
    let open = |from: &str| {
        let mut client = door.connect();
        let _ = client.try_write(format!("PROXY TCP6 {from} ::1 1 2\r\n{GET}"));
        client
    };
    let mut first = open("2001:db8::1");
    let mut second = open("2001:db8::2");
    assert_eq!((first.answer().status, second.answer().status), (200, 200));
    assert_eq!(open("2001:db8::3").rest(), b"", "one network is one client");
    assert_eq!(
        open("2001:db8:0:1::1").answer().status,
        200,
        "its neighbor is served"
    );
    until("it is counted", || refused(&door, "address_limit") == 1.0);
    door.wait_for_line(|l| l["message"] == "a client has as many connections as it may");
    drop(first);
    until("there is room again", || {
        open("2001:db8::4")
            .try_answer("GET")
            .is_ok_and(|answer| answer.status == 200)
    });
}

#[test]
fn connections_beyond_their_rate_are_closed_and_counted() {
    let (door, _upstream) = start(
        "proxy_protocol: required, trusted_proxies: [127.0.0.1], max_connections_per_address_per_second: 2, \
         max_connections_per_second: 1000",
    );
    let is_served = |from: &str| {
        let mut client = door.connect();
        let _ = client.try_write(format!("PROXY TCP4 {from} 127.0.0.1 1 2\r\n{GET}"));
        client.try_answer("GET").is_ok_and(|answer| answer.status == 200)
    };
    // A second may end within a row, but not within each of them.
    until("one row is within a second", || {
        let row = [(); 3].map(|()| is_served("192.0.2.1"));
        assert!(is_served("192.0.2.2"), "its neighbor is served");
        row == [true, true, false]
    });
    assert!(refused(&door, "address_rate") >= 1.0);
    assert_eq!(refused(&door, "rate"), 0.0);
    door.wait_for_line(|l| l["message"] == "a client opens more connections within a second than it may");
    until("the next second is another", || is_served("192.0.2.1"));
}

#[test]
fn a_listener_takes_no_more_connections_within_a_second_than_it_is_told_and_a_reload_tells_it_anew() {
    let listener =
        |rate: u32| format!("{{ name: public, address: 127.0.0.1:0, max_connections_per_second: {rate} }}");
    let upstream = Upstream::start(Reply::Ok("hello"));
    let config = format!(
        "upstreams: {{ api: {{ url: \"http://{}\" }} }}\n{ROUTES}",
        upstream.address
    );
    let folder = Arc::new(TempDir::new().expect("a folder"));
    let door = Doorward::start_listening(Arc::clone(&folder), &listener(1), &config, &[]);
    let is_served = || {
        let mut client = door.connect();
        let _ = client.try_write(GET);
        client.try_answer("GET").is_ok_and(|answer| answer.status == 200)
    };
    until("one is served, the next is not", || is_served() && !is_served());
    assert!(refused(&door, "rate") >= 1.0);
    write_config(folder.path(), &listener(1000), &config);
    door.signal("HUP");
    until("another bound holds", || {
        [(); 5].map(|()| is_served()) == [true; 5]
    });
}

#[test]
fn a_required_header_that_nobody_may_send_is_refused_at_check() {
    let folder = TempDir::new().expect("a folder");
    let config = format!("upstreams: {{ api: {{ url: \"http://127.0.0.1:9\" }} }}\n{ROUTES}");
    let listener = "{ name: public, address: 127.0.0.1:0, proxy_protocol: required }";
    write_config(folder.path(), listener, &config);
    let output = cli(folder.path(), &["check"]);
    let said = format!(
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    assert_eq!(output.status.code(), Some(2), "{said}");
    assert!(said.contains("listeners[0].proxy_protocol"), "{said}");
}

#[test]
fn a_unix_socket_is_served_with_its_mode_and_taken_over_from_a_process_that_died() {
    let upstream = Upstream::start(Reply::Ok("hello"));
    let config = format!(
        "upstreams: {{ api: {{ url: \"http://{}\" }} }}\n{ROUTES}",
        upstream.address
    );
    let folder = Arc::new(TempDir::new().expect("a folder"));
    let path = folder.path().join("s.sock");
    let listeners = format!(
        "{{ name: public, address: 127.0.0.1:0 }}, {{ name: local, address: \"unix:{}\", socket_mode: \"0660\" }}",
        path.display()
    );
    let curl = |version: &str| {
        let output = Command::new("curl")
            .args([
                "-sS",
                "--max-time",
                "20",
                version,
                "-w",
                " %{http_version}",
                "--unix-socket",
            ])
            .arg(&path)
            .arg("http://a.example/open/")
            .stdin(Stdio::null())
            .output()
            .expect("curl runs");
        String::from_utf8_lossy(&output.stdout).into_owned()
    };
    let door = Doorward::start_listening(folder, &listeners, &config, &[]);
    let mode = std::os::unix::fs::PermissionsExt::mode(&fs::metadata(&path).expect("there").permissions());
    assert_eq!(mode & 0o777, 0o660);
    assert_eq!(curl("--http1.1"), "hello 1.1");
    assert_eq!(curl("--http2-prior-knowledge"), "hello 2");
    for seen in upstream.wait_for(2) {
        assert_eq!(seen.header("x-forwarded-for"), Some("127.0.0.1"), "this machine");
    }
    let folder = door.kill();
    assert!(path.exists(), "nobody was there to remove it");
    let door = Doorward::start_listening(folder, &listeners, &config, &[]);
    assert_eq!(curl("--http1.1"), "hello 1.1");
    door.signal("TERM");
    assert_eq!(door.wait(), Some(0));
    assert!(!path.exists(), "it goes with the process");
}

#[test]
fn a_unix_socket_asks_for_the_header_of_the_proxy_protocol_as_a_port_does() {
    let upstream = Upstream::start(Reply::Ok("hello"));
    let config = format!(
        "upstreams: {{ api: {{ url: \"http://{}\" }} }}\n{ROUTES}",
        upstream.address
    );
    let folder = Arc::new(TempDir::new().expect("a folder"));
    let path = folder.path().join("s.sock");
    let listeners = format!(
        "{{ name: other, address: 127.0.0.1:0 }}, {{ name: public, address: \"unix:{}\", proxy_protocol: required, \
         trusted_proxies: [127.0.0.1] }}",
        path.display()
    );
    let door = Doorward::start_listening(folder, &listeners, &config, &[]);
    let ask = |bytes: &[u8]| {
        let mut stream = std::os::unix::net::UnixStream::connect(&path).expect("connects");
        let patience = Some(crate::support::http::PATIENCE);
        stream.set_read_timeout(patience).expect("a timeout");
        std::io::Write::write_all(&mut stream, bytes).expect("writes");
        let mut first = [0; 12];
        match std::io::Read::read_exact(&mut stream, &mut first) {
            Ok(()) => String::from_utf8_lossy(&first).into_owned(),
            Err(_) => String::new(),
        }
    };
    assert_eq!(ask(GET.as_bytes()), "", "no header, no answer");
    until("it is counted", || refused(&door, "proxy_header") == 1.0);
    assert_eq!(ask(&[&V2[..], GET.as_bytes()].concat()), "HTTP/1.1 200");
    assert_eq!(upstream.last().header("x-forwarded-for"), Some("203.0.113.9"));
    assert_eq!(upstream.seen().len(), 1);
}
