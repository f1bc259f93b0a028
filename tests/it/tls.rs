//! TLS listeners with real clients: curl, openssl and nghttp2's.

use std::fs;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::Arc;

use tempfile::TempDir;

use crate::support::process::write_config;
use crate::support::wait::until;
use crate::support::{Doorward, Reply, Upstream};

const ROUTES: &str =
    "routes:\n  - { path: /open/, access: public, upstream: api }\n  - { path: /, upstream: api }\n";

/// A certificate and its key, written to files of this name.
fn make(folder: &Path, file: &str, names: &[&str]) -> PathBuf {
    let names = names.iter().map(|n| (*n).to_owned()).collect::<Vec<_>>();
    let params = rcgen::CertificateParams::new(names).expect("names");
    let key = rcgen::KeyPair::generate().expect("a key");
    let cert = folder.join(format!("{file}.pem"));
    fs::write(&cert, params.self_signed(&key).expect("signed").pem()).expect("writes");
    write_key(&folder.join(format!("{file}.key")), &key.serialize_pem());
    cert
}

fn write_key(path: &Path, pem: &str) {
    fs::write(path, pem).expect("writes");
    fs::set_permissions(path, fs::Permissions::from_mode(0o600)).expect("narrowed");
}

fn listener(folder: &Path, files: &[&str], more: &str) -> String {
    let path = |name: String| folder.join(name).display().to_string();
    let files = files.iter().map(|file| {
        let (cert, key) = (path(format!("{file}.pem")), path(format!("{file}.key")));
        format!("{{ cert_file: {cert}, key_file: {key} }}")
    });
    let files = files.collect::<Vec<_>>().join(", ");
    format!("{{ name: public, address: 127.0.0.1:0, tls: {{ certificates: [{files}]{more} }} }}")
}

struct World {
    door: Doorward,
    upstream: Upstream,
    first: PathBuf,
    second: PathBuf,
}

fn world(more: &str) -> World {
    let folder = Arc::new(TempDir::new().expect("a folder"));
    let first = make(folder.path(), "first", &["a.example", "b.example", "localhost"]);
    let second = make(folder.path(), "second", &["*.wild.example"]);
    let upstream = Upstream::start(Reply::Ok("hello"));
    let config = format!(
        "upstreams: {{ api: {{ url: \"http://{}\" }} }}\n{ROUTES}",
        upstream.address
    );
    let listener = listener(folder.path(), &["first", "second"], more);
    let door = Doorward::start_listening(folder, &listener, &config, &[]);
    World {
        door,
        upstream,
        first,
        second,
    }
}

fn run(command: &str, arguments: &[&str]) -> Output {
    let output = Command::new(command)
        .args(arguments)
        .stdin(Stdio::null())
        .output();
    output.expect("it runs")
}

/// curl for a name that is this machine, trusting one certificate: what it printed.
fn curl(at: SocketAddr, ca: &Path, name: &str, arguments: &[&str]) -> String {
    let (resolve, url) = (
        format!("{name}:{}:127.0.0.1", at.port()),
        format!("https://{name}:{}/open/x", at.port()),
    );
    let ca = ca.display().to_string();
    let mut all = vec![
        "-sS",
        "--max-time",
        "20",
        "--cacert",
        &ca,
        "--resolve",
        &resolve,
        &url,
    ];
    all.extend(arguments);
    let output = run("curl", &all);
    format!(
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    )
}

/// openssl's handshake: everything it says about it.
fn s_client(at: SocketAddr, arguments: &[&str]) -> String {
    let at = at.to_string();
    let mut all = vec!["s_client", "-connect", &at];
    all.extend(arguments);
    let output = run("openssl", &all);
    format!(
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    )
}

#[test]
fn curl_is_served_over_both_versions_of_http_and_the_app_is_told_https() {
    let world = world("");
    let written = [
        "-w",
        " %{http_version} %{http_code}",
        "-H",
        "X-Forwarded-Proto: http",
    ];
    for (version, expected) in [("--http2", "hello 2 200"), ("--http1.1", "hello 1.1 200")] {
        let mut arguments = vec![version];
        arguments.extend(written);
        assert_eq!(
            curl(world.door.proxy, &world.first, "a.example", &arguments),
            expected
        );
    }
    for seen in world.upstream.wait_for(2) {
        assert_eq!(seen.header("x-forwarded-proto"), Some("https"));
        assert_eq!(
            seen.header("host"),
            Some(&*format!("a.example:{}", world.door.proxy.port()))
        );
        assert!(seen.header("forwarded").expect("set").contains("proto=https"));
    }
}

#[test]
fn each_name_has_its_certificate_and_a_host_of_another_one_is_misdirected() {
    let world = world("");
    let (at, code) = (world.door.proxy, ["-w", " %{http_code}"]);
    assert_eq!(curl(at, &world.first, "b.example", &code), "hello 200");
    assert_eq!(curl(at, &world.second, "x.wild.example", &code), "hello 200");
    let refused = curl(at, &world.first, "x.wild.example", &code);
    assert!(refused.contains("SSL certificate problem"), "{refused}");
    for version in ["--http2", "--http1.1"] {
        let lie = [version, "-H", "Host: y.wild.example", "-w", " %{http_code}"];
        let answer = curl(at, &world.first, "a.example", &lie);
        assert!(
            answer.ends_with(" 421") && answer.contains("misdirected_request"),
            "{answer}"
        );
        let other = [version, "-H", "Host: b.example", "-w", " %{http_code}"];
        assert_eq!(
            curl(at, &world.first, "a.example", &other),
            "hello 200",
            "the same certificate"
        );
    }
    let counted = world
        .door
        .metric("doorward_rejections_total{reason=\"misdirected_request\"}");
    assert_eq!(
        counted,
        ["doorward_rejections_total{reason=\"misdirected_request\"} 2"]
    );
}

#[test]
fn both_versions_of_tls_are_spoken_and_none_before_them() {
    let world = world("");
    for (version, expected) in [("-tls1_3", "New, TLSv1.3"), ("-tls1_2", "New, TLSv1.2")] {
        let said = s_client(world.door.proxy, &[version, "-servername", "a.example"]);
        assert!(said.contains(expected), "{version}: {said}");
    }
    let said = s_client(world.door.proxy, &["-tls1_1", "-cipher", "ALL:@SECLEVEL=0"]);
    assert!(said.contains("New, (NONE)") || said.contains("alert"), "{said}");
    let refused = |reason: &str| {
        world.door.metric(&format!(
            "doorward_connections_refused_total{{listener=\"public\",reason=\"{reason}\"}}"
        ))
    };
    until("the handshake is counted", || {
        refused("tls_handshake").iter().any(|l| l.ends_with(" 1"))
    });
}

#[test]
fn where_tls_1_3_is_the_oldest_1_2_is_not_spoken() {
    let world = world(", min_version: tls1.3");
    let said = s_client(world.door.proxy, &["-tls1_3"]);
    assert!(said.contains("New, TLSv1.3"), "{said}");
    let said = s_client(world.door.proxy, &["-tls1_2"]);
    assert!(said.contains("alert protocol version"), "{said}");
}

#[test]
fn another_oldest_version_is_in_force_after_a_reload_both_ways() {
    let world = world("");
    let file = world.door.folder().join("doorward.yaml");
    let written = fs::read_to_string(&file).expect("the configuration");
    let narrow = written.replacen("tls: {", "tls: { min_version: tls1.3,", 1);
    assert_ne!(narrow, written, "{written}");
    for (text, spoken) in [(&narrow, false), (&written, true)] {
        fs::write(&file, text).expect("written");
        world.door.cli(&["reload"]);
        let said = s_client(world.door.proxy, &["-tls1_2"]);
        assert_eq!(said.contains("New, TLSv1.2"), spoken, "{said}");
        let said = s_client(world.door.proxy, &["-tls1_3"]);
        assert!(said.contains("New, TLSv1.3"), "{said}");
    }
}

#[test]
fn openssl_resumes_its_session_in_both_versions() {
    let world = world("");
    let session = world.door.folder().join("session").display().to_string();
    for version in ["-tls1_2", "-tls1_3"] {
        // A request, so that there is time for the ticket, which TLS 1.3 sends after the handshake.
        let shake = |session: &[&str]| {
            let at = world.door.proxy.to_string();
            let mut all = vec![
                "s_client",
                "-connect",
                &at,
                "-servername",
                "a.example",
                "-ign_eof",
                version,
            ];
            all.extend(session);
            let mut child = Command::new("openssl")
                .args(all)
                .stdin(Stdio::piped())
                .stdout(Stdio::piped())
                .stderr(Stdio::null())
                .spawn()
                .expect("it runs");
            let request = b"GET /open/ HTTP/1.1\r\nHost: a.example\r\nConnection: close\r\n\r\n";
            std::io::Write::write_all(&mut child.stdin.take().expect("piped"), request).expect("writes");
            let output = child.wait_with_output().expect("waits");
            String::from_utf8_lossy(&output.stdout).into_owned()
        };
        let first = shake(&["-sess_out", &session]);
        assert!(
            first.contains("New, TLS") && first.contains("200 OK"),
            "{version}: {first}"
        );
        let again = shake(&["-sess_in", &session]);
        assert!(
            again.contains("Reused, TLS") && again.contains("200 OK"),
            "{version}: {again}"
        );
    }
}

#[test]
fn many_requests_run_side_by_side_without_an_error() {
    let world = world("");
    let url = format!("https://{}/open/", world.door.proxy);
    let output = run("h2load", &["-n", "2000", "-c", "4", "-m", "20", &url]);
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(
        said.contains("2000 succeeded, 0 failed, 0 errored, 0 timeout"),
        "{said}"
    );
    assert!(said.contains("Application protocol: h2"), "{said}");
    // The same by prior knowledge, on a plain listener.
    let config = format!(
        "upstreams: {{ api: {{ url: \"http://{}\" }} }}\n{ROUTES}",
        world.upstream.address
    );
    let plain = Doorward::start(&config);
    let url = format!("http://{}/open/", plain.proxy);
    let output = run("h2load", &["-n", "2000", "-c", "4", "-m", "20", &url]);
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(
        said.contains("2000 succeeded, 0 failed, 0 errored, 0 timeout"),
        "{said}"
    );
    let body = world.door.folder().join("body");
    fs::write(&body, vec![b'x'; 300_000]).expect("writes");
    let output = run("nghttp", &["-v", "-d", &body.display().to_string(), &url]);
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(said.contains(":status: 200"), "{said}");
    let seen = world.upstream.wait_for(4001);
    assert_eq!(seen.last().expect("seen").body.len(), 300_000);
}

#[test]
fn when_certificates_end_is_a_metric() {
    let world = world("");
    let samples = world.door.metric("doorward_tls_certificate_expiry_seconds");
    for file in ["first.pem", "second.pem"] {
        let sample = samples.iter().find(|l| l.contains(file)).expect("a sample");
        let at: f64 = sample
            .rsplit(' ')
            .next()
            .expect("a value")
            .parse()
            .expect("a number");
        assert!(at > 1_700_000_000.0, "{sample}");
    }
}

#[test]
fn a_certificate_that_clients_refuse_is_told_at_start_by_check_and_at_reload() {
    let folder = Arc::new(TempDir::new().expect("a folder"));
    let of_years = |file: &str, first: i32, last: i32| {
        let mut params = rcgen::CertificateParams::new(vec!["a.example".to_owned()]).expect("names");
        params.not_before = rcgen::date_time_ymd(first, 1, 1);
        params.not_after = rcgen::date_time_ymd(last, 1, 1);
        let key = rcgen::KeyPair::generate().expect("a key");
        let cert = params.self_signed(&key).expect("signed").pem();
        fs::write(folder.path().join(format!("{file}.pem")), cert).expect("writes");
        write_key(&folder.path().join(format!("{file}.key")), &key.serialize_pem());
    };
    of_years("good", 2000, 4000);
    of_years("over", 2000, 2001);
    of_years("early", 4000, 4001);
    #[rustfmt::skip]
    let rows = [
        ("good", None, ""),
        ("over", Some("a certificate has expired: clients refuse it"), "over.pem expired at 2001-01-01"),
        ("early", Some("a certificate is not valid yet: clients refuse it"), "early.pem is not valid before 4000-01-01"),
    ];
    let config = format!("upstreams: {{ api: {{ url: \"http://127.0.0.1:9\" }} }}\n{ROUTES}");
    let judged = |door: &Doorward, file: &str| {
        let lines = door.log_lines();
        let about = |l: &serde_json::Value| l["file"].as_str().is_some_and(|f| f.contains(file));
        let lines = lines.into_iter().filter(about);
        let lines = lines.map(|l| {
            (
                l["level"].clone(),
                l["message"].as_str().unwrap_or_default().to_owned(),
            )
        });
        lines.collect::<Vec<_>>()
    };
    for (file, message, checked) in rows {
        let listener = listener(folder.path(), &[file], "");
        let door = Doorward::start_listening(Arc::clone(&folder), &listener, &config, &[]);
        let told: Vec<_> = message
            .map(|m| ("error".into(), m.to_owned()))
            .into_iter()
            .collect();
        assert_eq!(judged(&door, &format!("{file}.pem")), told, "{file}, at start");
        let path = folder.path().join("doorward.yaml").display().to_string();
        let output = run(env!("CARGO_BIN_EXE_doorward"), &["--config", &path, "check"]);
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        let warnings: Vec<&str> = said.lines().filter(|l| l.starts_with("warning")).collect();
        assert!(
            output.status.success(),
            "{file}: it is usable, once clients come later: {said}"
        );
        assert_eq!(warnings.len(), told.len(), "{file}: {said}");
        assert!(said.contains(checked), "{file}: {said}");
    }
    // Put in place of a good one while the server runs.
    let listener_of = |file: &str| listener(folder.path(), &[file], "");
    let door = Doorward::start_listening(Arc::clone(&folder), &listener_of("good"), &config, &[]);
    for (file, message, _) in &rows[1..] {
        write_config(folder.path(), &listener_of(file), &config);
        door.wait_for_line(|l| {
            l["level"] == "error"
                && l["message"].as_str() == *message
                && l["file"].as_str().is_some_and(|f| f.contains(file))
        });
    }
}

#[test]
fn a_certificate_that_does_not_load_stops_the_start_with_file_and_reason() {
    let folder = TempDir::new().expect("a folder");
    let upstream = "upstreams: { api: { url: \"http://127.0.0.1:9\" } }\n";
    make(folder.path(), "good", &["a.example"]);
    make(folder.path(), "other", &["a.example"]);
    let copy =
        |from: &str, to: &str| fs::copy(folder.path().join(from), folder.path().join(to)).expect("copied");
    copy("good.pem", "mixed.pem");
    copy("other.key", "mixed.key");
    copy("good.key", "swapped.pem");
    copy("good.key", "swapped.key");
    copy("good.pem", "open.pem");
    copy("good.key", "open.key");
    fs::set_permissions(folder.path().join("open.key"), fs::Permissions::from_mode(0o644)).expect("widened");
    // Nobody ever writes to them.
    for pipe in ["chain.pem", "secret.key"] {
        assert!(
            run(
                "mkfifo",
                &["-m", "600", &folder.path().join(pipe).display().to_string()]
            )
            .status
            .success()
        );
    }
    copy("good.key", "chain.key");
    copy("good.pem", "secret.pem");
    #[rustfmt::skip]
    let rows = [
        ("absent", "absent.pem: No such file", "absent.key: No such file"),
        ("mixed", "mixed.key", "a private key that is not the key of the first certificate"),
        ("swapped", "swapped.pem", "no certificate in PEM form"),
        ("open", "open.key with mode 0644", "chmod 600"),
        ("chain", "chain.pem: it is no regular file", "a regular file that can be read"),
        ("secret", "secret.key: it is no regular file", "a regular file that can be read"),
    ];
    for (files, at, reason) in rows {
        let config = format!("{upstream}{ROUTES}");
        write_config(folder.path(), &listener(folder.path(), &[files], ""), &config);
        for command in ["check", "serve"] {
            let config = folder.path().join("doorward.yaml").display().to_string();
            let output = run(env!("CARGO_BIN_EXE_doorward"), &["--config", &config, command]);
            let said = format!(
                "{}{}",
                String::from_utf8_lossy(&output.stdout),
                String::from_utf8_lossy(&output.stderr)
            );
            assert_eq!(output.status.code(), Some(2), "{command} {files}: {said}");
            assert!(
                said.contains(at) && said.contains(reason),
                "{command} {files}: {said}"
            );
            assert!(!said.contains("PRIVATE KEY"), "{said}");
        }
    }
}
