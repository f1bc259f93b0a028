//! Upstreams of every sort, behind the real process: Unix sockets, TLS and HTTP/2 with a real nginx, groups.

use std::path::Path;

use tempfile::TempDir;

use crate::support::nginx::Nginx;
use crate::support::pki::{Authority, write_private};
use crate::support::{Doorward, Reply, UnixUpstream, Upstream};

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
    assert_eq!(sample(&door, "doorward_upstream_retries_total", &[]), 0);
}

/// A server that tells which name it was asked by and whether the session was resumed; at /close it closes.
const SECURE: &str = "listen ADDRESS ssl; ssl_protocols TLSv1.2 TLSv1.3; ssl_certificate FOLDER/app.pem; ssl_certificate_key FOLDER/app.key; \
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

/// A server that tells which version it was spoken to in, whom it was asked for and what came in.
const TELLS: &str = "add_header X-Seen \"$server_protocol|$host|$http_x_auth_subject|$http_te|$request_body\" always; \
    client_max_body_size 10m;";

#[test]
fn an_upstream_that_speaks_http_2_is_spoken_to_in_it_on_one_connection_per_thread() {
    let authority = Authority::new();
    let open = format!(
        "listen ADDRESS http2; {TELLS} location / {{ return 200 hello; }} location /none {{ return 204; }}"
    );
    let secure = format!(
        "listen ADDRESS ssl http2; ssl_certificate FOLDER/app.pem; ssl_certificate_key FOLDER/app.key; {TELLS} \
         location / {{ return 200 hello; }}"
    );
    let nginx = Nginx::start(&[&open, &secure], prepare(&authority));
    let files = TempDir::new().expect("a folder");
    let ca = files.path().join("ca.pem");
    write_private(&ca, &authority.pem());
    let tls = format!("tls: {{ ca_file: {}, server_name: app.internal }}", ca.display());
    for (upstream, seen, why) in [
        (
            format!("{{ url: \"http://{}\", protocol: http2 }}", nginx.addresses[0]),
            "HTTP/2.0|test.example|||",
            "prior knowledge",
        ),
        (
            format!(
                "{{ url: \"https://{}\", protocol: http2, {tls} }}",
                nginx.addresses[1]
            ),
            "HTTP/2.0|test.example|||",
            "agreed on over TLS",
        ),
        (
            format!(
                "{{ url: \"https://{}\", protocol: auto, {tls} }}",
                nginx.addresses[1]
            ),
            "HTTP/2.0|test.example|||",
            "preferred over TLS",
        ),
        (
            format!(
                "{{ url: \"https://{}\", protocol: http1, {tls} }}",
                nginx.addresses[1]
            ),
            "HTTP/1.1|test.example|||",
            "not offered",
        ),
    ] {
        let door = Doorward::start(&config(&upstream));
        let mut client = door.connect();
        for _ in 0..3 {
            let answer = client.get("/a?b", &["X-Auth-Subject: admin", "TE: trailers"]);
            assert_eq!(
                (answer.status, answer.header("x-seen")),
                (200, Some(seen)),
                "{why}: {}",
                door.log_text()
            );
            assert_eq!(answer.text(), "hello");
        }
        // Bodies of a known length and in chunks; nginx answers before it has read them.
        let answer = door.connect().request("POST", "/a", &[], &vec![b'x'; 300_000]);
        assert_eq!(answer.text(), "hello", "{why}");
        let mut another = door.connect();
        another
            .write("POST /a HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n");
        assert_eq!(another.answer().text(), "hello", "{why}");
        assert_eq!(client.get("/a", &[]).status, 200, "{why}");
        let clients: Vec<_> = (0..8).map(|_| door.connect()).collect();
        for mut client in clients {
            assert_eq!(client.get("/a", &[]).status, 200, "{why}");
        }
        let connects = sample(&door, "doorward_upstream_connects_total", &["\"connected\""]);
        assert!(connects <= 2, "{why}: {connects} connections from two threads");
    }
    // One that speaks no HTTP/2 is told as what it is.
    let old = Nginx::start(&[SECURE], prepare(&authority));
    let door = Doorward::start(&config(&format!(
        "{{ url: \"https://{}\", protocol: http2, {tls} }}",
        old.addresses[0]
    )));
    assert_eq!(door.get("/", &[]).status, 502);
    assert_eq!(
        sample(&door, "doorward_upstream_failures_total", &["\"tls_failed\""]),
        1
    );
}

#[test]
fn a_large_answer_over_http_2_arrives_whole_and_a_connection_that_is_closed_is_replaced() {
    let server = "listen ADDRESS http2; keepalive_requests 3; root FOLDER;";
    let bytes: Vec<u8> = (0..3_000_000_u32).map(|n| (n % 251) as u8).collect();
    let nginx = Nginx::start(&[server], |folder| {
        std::fs::write(folder.join("large"), &bytes).expect("written")
    });
    let door = Doorward::start(&config(&format!(
        "{{ url: \"http://{}\", protocol: http2 }}",
        nginx.addresses[0]
    )));
    let mut client = door.connect();
    for _ in 0..10 {
        let answer = client.get("/large", &[]);
        assert_eq!(answer.status, 200);
        assert!(answer.body == bytes, "{} bytes", answer.body.len());
    }
}

/// A group of these, in flow style.
fn group(targets: &[(&Upstream, u32)], more: &str) -> String {
    let targets: Vec<String> = targets
        .iter()
        .map(|(upstream, weight)| format!("{{ url: \"http://{}\", weight: {weight} }}", upstream.address))
        .collect();
    format!(
        "workers: 1\nupstreams: {{ api: {{ targets: [{}], {more} }} }}\nroutes: [{{ path: /, access: public, upstream: api }}]\n",
        targets.join(", ")
    )
}

#[test]
fn a_group_shares_requests_by_weight_and_passes_over_a_target_that_is_down() {
    let (heavy, light) = (
        Upstream::start(Reply::Ok("heavy")),
        Upstream::start(Reply::Ok("light")),
    );
    let door = Doorward::start(&group(&[(&heavy, 3), (&light, 1)], "balance: round_robin"));
    let mut client = door.connect();
    let answers: Vec<String> = (0..8).map(|_| client.get("/a", &[]).text()).collect();
    assert_eq!(answers.iter().filter(|a| *a == "light").count(), 2, "{answers:?}");

    let parked = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let down = parked.local_addr().expect("an address");
    drop(parked);
    let door = Doorward::start(&format!(
        "workers: 1\nupstreams: {{ api: {{ targets: [{{ url: \"http://{down}\" }}, {{ url: \"http://{}\" }}] }} }}\n\
         routes: [{{ path: /, access: public, upstream: api }}]\n",
        light.address
    ));
    let mut client = door.connect();
    for _ in 0..6 {
        let answer = client.request("POST", "/a", &[], b"hello");
        assert_eq!(answer.text(), "light", "nothing of it had reached anyone");
    }
    assert_eq!(light.last().body, b"hello");
    let failed = sample(&door, "doorward_upstream_connects_total", &["\"failed\""]);
    assert!(
        (1..=2).contains(&failed),
        "it is avoided for a while, not asked each time: {failed}"
    );
    assert_eq!(sample(&door, "doorward_upstream_retries_total", &[]), failed);
    assert_eq!(
        door.metric("doorward_requests_total")
            .iter()
            .filter(|l| l.contains("\"failed\"") && !l.ends_with(" 0"))
            .count(),
        0
    );
}

#[test]
fn what_belongs_together_goes_to_the_same_target() {
    let upstreams: Vec<Upstream> = ["a", "b", "c"]
        .map(|name| Upstream::start(Reply::Ok(name)))
        .into();
    let targets: Vec<(&Upstream, u32)> = upstreams.iter().map(|u| (u, 1)).collect();
    let folder = std::sync::Arc::new(TempDir::new().expect("a folder"));
    let door = Doorward::start_listening(
        folder,
        "{ name: public, address: 127.0.0.1:0, trusted_proxies: [127.0.0.1] }",
        &group(&targets, "balance: hash_client_address"),
        &[],
    );
    let mut client = door.connect();
    let mut met = std::collections::HashSet::new();
    for n in 0..24 {
        let from = format!("X-Forwarded-For: 192.0.2.{n}");
        let first = client.get("/a", &[&from]).text();
        for _ in 0..2 {
            assert_eq!(client.get("/a", &[&from]).text(), first, "client {n}");
        }
        met.insert(first);
    }
    assert_eq!(met.len(), 3, "and others to others");
}

#[test]
fn a_target_that_fails_its_health_check_gets_no_requests_until_it_passes_again() {
    let well = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(true));
    let judge = |well: std::sync::Arc<std::sync::atomic::AtomicBool>, name: &'static str| {
        Upstream::with(move |seen| match seen.target() {
            "/healthz" if !well.load(std::sync::atomic::Ordering::Relaxed) => {
                Reply::Raw(b"HTTP/1.1 500 No\r\nContent-Length: 0\r\n\r\n".to_vec())
            }
            _ => Reply::Ok(name),
        })
    };
    let always = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(true));
    let (sick, fine) = (judge(well.clone(), "sick"), judge(always.clone(), "fine"));
    let health =
        "health: { path: /healthz, interval: 20ms, timeout: 20ms, healthy_after: 2, unhealthy_after: 2 }";
    let door = Doorward::start(&group(&[(&sick, 1), (&fine, 1)], health));
    let mut client = door.connect();
    let mut met: Vec<String> = (0..4).map(|_| client.get("/a", &[]).text()).collect();
    met.sort();
    met.dedup();
    assert_eq!(met, ["fine", "sick"]);
    let healthy = |wanted: u64| {
        crate::support::wait::until("the verdict", || {
            sample(&door, "doorward_upstream_endpoints_healthy", &[]) == wanted
        });
    };
    well.store(false, std::sync::atomic::Ordering::Relaxed);
    healthy(1);
    for _ in 0..4 {
        assert_eq!(client.get("/a", &[]).text(), "fine");
    }
    always.store(false, std::sync::atomic::Ordering::Relaxed);
    healthy(0);
    let answer = client.get("/a", &[]);
    assert_eq!(
        (answer.status, answer.json()["reason"].as_str()),
        (503, Some("upstream_unavailable"))
    );
    assert_eq!(
        sample(&door, "doorward_upstream_failures_total", &["\"unhealthy\""]),
        1
    );
    well.store(true, std::sync::atomic::Ordering::Relaxed);
    healthy(1);
    for _ in 0..4 {
        assert_eq!(client.get("/a", &[]).text(), "sick");
    }
    let check = sick
        .seen()
        .into_iter()
        .find(|s| s.target() == "/healthz")
        .expect("it was asked");
    assert_eq!(check.header("user-agent"), Some("doorward-health-check"));
    assert_eq!(check.header("host"), Some(sick.address.to_string().as_str()));
}
