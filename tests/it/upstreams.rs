//! Upstreams of every sort, behind the real process: Unix sockets, TLS in front of a real nginx.

use std::path::Path;

use tempfile::TempDir;

use crate::support::nginx::Nginx;
use crate::support::pki::{Authority, write_private};
use crate::support::{Doorward, Reply, UnixUpstream};

/// A configuration with this upstream, open to everyone.
fn config(upstream: &str) -> String {
    format!(
        "workers: 2\nupstreams: {{ api: {upstream} }}\nroutes: [{{ path: /, access: public, upstream: api }}]\n"
    )
}

/// The value of the one sample whose line contains all of these.
fn sample(door: &Doorward, name: &str, parts: &[&str]) -> u64 {
    let lines = door.metric(name);
    let line = lines.iter().find(|l| parts.iter().all(|p| l.contains(p)));
    let line = line.unwrap_or_else(|| panic!("no sample {parts:?} in {lines:?}"));
    line.rsplit(' ')
        .next()
        .and_then(|v| v.parse().ok())
        .expect("a number")
}

#[test]
fn an_upstream_behind_a_unix_socket_is_an_upstream_like_any_other() {
    let folder = TempDir::new().expect("a folder");
    let path = folder.path().join("app.sock");
    let door = Doorward::start(&config(&format!("{{ url: \"unix:{}\" }}", path.display())));
    assert_eq!(door.get("/a", &[]).status, 502, "nobody listens yet");
    let upstream = UnixUpstream::start(&path, Reply::Ok("hello"));
    let mut client = door.connect();
    for _ in 0..3 {
        assert_eq!(client.get("/a?b=c", &["X-Auth-Subject: admin"]).text(), "hello");
    }
    client.write("GET /old HTTP/1.0\r\n\r\n");
    assert_eq!(client.answer().text(), "hello");
    let seen = upstream.seen();
    assert_eq!(seen.len(), 4);
    assert_eq!(seen[0].target(), "/a?b=c");
    assert_eq!(seen[0].header("host"), Some("test.example"));
    assert_eq!(seen[0].header("x-auth-subject"), None);
    assert_eq!(seen[3].header("host"), Some("localhost"), "nobody named a host");
    assert_eq!(
        sample(&door, "doorward_upstream_connects_total", &["\"connected\""]),
        1,
        "it is kept"
    );
    assert_eq!(
        sample(&door, "doorward_upstream_connects_total", &["\"failed\""]),
        1
    );
}

/// A server that tells which name it was asked by and whether the session was resumed; at /close it closes.
const SECURE: &str = "listen ADDRESS ssl; ssl_certificate FOLDER/app.pem; ssl_certificate_key FOLDER/app.key; \
    ssl_session_cache shared:s:1m; ssl_client_certificate FOLDER/ca.pem; ssl_verify_client optional; \
    location / { return 200 \"$ssl_protocol $ssl_session_reused $ssl_server_name\"; } \
    location /close { keepalive_timeout 0; return 200 \"$ssl_session_reused\"; }";

/// The same, and nobody comes in without a certificate.
const MUTUAL: &str = "listen ADDRESS ssl; ssl_certificate FOLDER/app.pem; ssl_certificate_key FOLDER/app.key; \
    ssl_client_certificate FOLDER/ca.pem; ssl_verify_client on; location / { return 200 $ssl_client_s_dn; }";

fn prepare(authority: &Authority) -> impl Fn(&Path) {
    move |folder| {
        write_private(&folder.join("ca.pem"), &authority.pem());
        authority.write(folder, "app", "app.internal");
    }
}

#[test]
fn an_upstream_over_tls_is_verified_and_its_sessions_are_resumed_by_every_thread() {
    let authority = Authority::new();
    let nginx = Nginx::start(&[SECURE], prepare(&authority));
    let address = nginx.addresses[0];
    let files = TempDir::new().expect("a folder");
    let ca = files.path().join("ca.pem");
    write_private(&ca, &authority.pem());
    let tls = |more: &str| {
        config(&format!(
            "{{ url: \"https://{address}\", tls: {{ ca_file: {}, {more} }} }}",
            ca.display()
        ))
    };
    let door = Doorward::start(&tls("server_name: app.internal"));
    let answer = door.get("/", &[]);
    assert_eq!(answer.text(), "TLSv1.3 . app.internal", "{}", door.log_text());
    // Connections that close after each answer, from clients on both threads.
    let mut clients: Vec<_> = (0..4).map(|_| door.connect()).collect();
    for _ in 0..3 {
        for client in &mut clients {
            assert_eq!(client.get("/close", &[]).status, 200);
        }
    }
    let kind = |kind: &str| sample(&door, "doorward_upstream_tls_handshakes_total", &[kind]);
    assert!(
        kind("\"resumed\"") >= 9,
        "{:?}",
        door.metric("doorward_upstream_tls")
    );
    assert!(
        kind("\"full\"") <= 3,
        "{:?}",
        door.metric("doorward_upstream_tls")
    );

    // A wrong name, told to us and not to the client.
    let door = Doorward::start(&tls("server_name: other.internal"));
    let answer = door.get("/", &[]);
    assert_eq!(
        (answer.status, answer.json()["reason"].as_str()),
        (502, Some("upstream_unreachable"))
    );
    assert!(!answer.text().contains("ertificate"), "{}", answer.text());
    door.wait_for_line(|l| l["message"] == "no connection to the upstream" && l.to_string().contains("TLS"));
    assert_eq!(
        sample(&door, "doorward_upstream_failures_total", &["\"tls_failed\""]),
        1
    );
    assert_eq!(
        sample(&door, "doorward_upstream_connects_total", &["\"tls_failed\""]),
        1
    );
    // An address is no name of this certificate.
    assert_eq!(Doorward::start(&tls("pins: []")).get("/", &[]).status, 502);
    // Another authority, another key, no TLS at all.
    write_private(&ca, &Authority::new().pem());
    assert_eq!(
        Doorward::start(&tls("server_name: app.internal"))
            .get("/", &[])
            .status,
        502
    );
    write_private(&ca, &authority.pem());
    let pin = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=";
    let pinned = tls(&format!("server_name: app.internal, pins: [\"{pin}\"]"));
    assert_eq!(Doorward::start(&pinned).get("/", &[]).status, 502);
}

#[test]
fn an_upstream_that_wants_a_certificate_gets_ours() {
    let authority = Authority::new();
    let nginx = Nginx::start(&[MUTUAL], prepare(&authority));
    let files = TempDir::new().expect("a folder");
    write_private(&files.path().join("ca.pem"), &authority.pem());
    authority.write(files.path(), "client", "doorward");
    Authority::new().write(files.path(), "foreign", "doorward");
    let with = |identity: &str| {
        config(&format!(
            "{{ url: \"https://{}\", tls: {{ ca_file: {here}/ca.pem, server_name: app.internal{identity} }} }}",
            nginx.addresses[0],
            here = files.path().display(),
        ))
    };
    let identity = |name: &str| {
        let here = files.path().display();
        format!(", cert_file: {here}/{name}.pem, key_file: {here}/{name}.key")
    };
    let door = Doorward::start(&with(&identity("client")));
    let answer = door.get("/", &[]);
    assert_eq!(
        answer.text(),
        "CN=doorward",
        "{} {}",
        door.log_text(),
        nginx.log()
    );
    // nginx tells over HTTP that it wants another one.
    assert_eq!(Doorward::start(&with("")).get("/", &[]).status, 400);
    assert_eq!(
        Doorward::start(&with(&identity("foreign"))).get("/", &[]).status,
        400
    );
}
