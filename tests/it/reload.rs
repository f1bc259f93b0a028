//! Another configuration while everything runs: taken whole or refused whole, and nobody notices.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::{Command, Output};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use tempfile::TempDir;

use super::support::fixtures::{bearer, config};
use super::support::jwt::{Ed, claims, hs256, jwks};
use super::support::pki::{Authority, write_private};
use super::support::process::write_config;
use super::support::wait::until;
use super::support::{Client, Doorward, Reply, Upstream, cli};

const LISTENER: &str = "{ name: public, address: 127.0.0.1:0 }";
const ROUTE_A: &str = "{ name: a, path: /a/, access: public, upstream: api }";
const ROUTE_B: &str = "{ name: b, path: /b/, access: public, upstream: api }";

/// Writes another configuration where this instance reads its own.
fn write(doorward: &Doorward, config: &str) {
    write_config(doorward.folder(), LISTENER, config);
}

/// How many reloads ended, whatever their outcome.
fn reloads(doorward: &Doorward) -> u64 {
    let outcomes = ["applied", "unchanged", "invalid", "needs_restart", "failed"];
    outcomes.iter().map(|o| outcome(doorward, o)).sum()
}

fn outcome(doorward: &Doorward, outcome: &str) -> u64 {
    let name = format!("doorward_config_reloads_total{{outcome=\"{outcome}\"}}");
    let line = doorward.metric(&name).pop().unwrap_or_default();
    line.rsplit(' ').next().and_then(|n| n.parse().ok()).unwrap_or(0)
}

/// Does something and waits until a reload has this outcome.
fn expect(doorward: &Doorward, wanted: &str, act: impl FnOnce()) {
    let before = outcome(doorward, wanted);
    act();
    until(&format!("a reload is {wanted}"), || {
        outcome(doorward, wanted) > before
    });
}

/// Whether the last configuration offered is in force.
fn successful(doorward: &Doorward) -> bool {
    let lines = doorward.metric("doorward_config_last_reload_successful");
    lines == ["doorward_config_last_reload_successful 1"]
}

fn logged(doorward: &Doorward, wanted: impl Fn(&Value) -> bool) -> bool {
    doorward.log_lines().iter().any(wanted)
}

#[test]
fn another_route_is_there_after_sighup_and_one_that_is_gone_is_gone() {
    let upstream = Upstream::start(Reply::Ok("ok"));
    let doorward = Doorward::start(&config(&upstream, &[ROUTE_A]));
    let mut kept = doorward.connect();
    assert_eq!(kept.get("/a/x", &[]).status, 200);
    assert_eq!(kept.get("/b/x", &[]).status, 404);

    expect(&doorward, "applied", || {
        write(&doorward, &config(&upstream, &[ROUTE_B]));
        doorward.signal("HUP");
    });
    assert!(successful(&doorward));
    assert_eq!(doorward.get("/a/x", &[]).status, 404);
    assert_eq!(doorward.get("/b/x", &[]).status, 200);
    assert_eq!(
        kept.get("/a/x", &[]).status,
        404,
        "on a connection from before, too"
    );
    assert_eq!(kept.get("/b/x", &[]).status, 200);
    let counted = doorward.metric("doorward_requests_total{");
    assert!(!counted.iter().any(|l| l.contains("route=\"a\"")), "{counted:?}");
    assert!(logged(&doorward, |l| l["message"] == "reload: changed"
        && l["key"] == "routes[a]"));
    let public = |l: &Value| l["message"].as_str().is_some_and(|m| m.starts_with("public"));
    assert!(
        logged(&doorward, |l| l["route"] == "b" && public(l)),
        "a public route is announced when it comes"
    );
    expect(&doorward, "unchanged", || doorward.signal("HUP"));
}

#[test]
fn a_bad_file_changes_nothing_and_says_every_problem() {
    let upstream = Upstream::start(Reply::Ok("ok"));
    let good = config(&upstream, &[ROUTE_A]);
    let doorward = Doorward::start(&good);
    let half = good.split_at(good.len() / 2).0;
    for (bad, why) in [
        (half.to_owned(), "half written"),
        (String::new(), "empty"),
        (format!("{good}\n  : ["), "no YAML"),
        (good.replace("path: /a/", "pth: /a/"), "a misspelled key"),
        (
            good.replace("upstream: api", "upstream: nobody"),
            "a name that stands for nothing",
        ),
    ] {
        expect(&doorward, "invalid", || {
            write(&doorward, &bad);
            doorward.signal("HUP");
        });
        assert!(!successful(&doorward), "{why}");
        assert_eq!(doorward.get("/a/x", &[]).status, 200, "{why}: the old one stays");
    }
    let told = doorward.log_lines();
    let told = told
        .iter()
        .find(|l| l["message"] == "reload: a problem" && l["key"] == "routes[0].pth");
    let told = told.expect("the misspelled key is told");
    for field in ["file", "line", "found", "expected", "remedy"] {
        assert!(told.get(field).is_some(), "{field} in {told}");
    }
    expect(&doorward, "unchanged", || write(&doorward, &good));
    assert!(successful(&doorward), "the one in force was offered again");
}

#[test]
fn a_key_that_takes_a_restart_refuses_the_whole_reload() {
    let upstream = Upstream::start(Reply::Ok("ok"));
    let doorward = Doorward::start(&config(&upstream, &[ROUTE_A]));
    let next = |key: &str| format!("{key}{}", config(&upstream, &[ROUTE_B]));
    expect(&doorward, "needs_restart", || {
        write(&doorward, &next("workers: 7\n"))
    });
    assert!(!successful(&doorward));
    assert_eq!(
        doorward.get("/a/x", &[]).status,
        200,
        "the old routes are in force"
    );
    assert_eq!(doorward.get("/b/x", &[]).status, 404, "none of the new ones is");
    assert!(logged(&doorward, |l| l["key"] == "workers" && l["level"] == "error"));
    assert!(
        !logged(&doorward, |l| l["key"] == "routes[b]"),
        "what was not taken is not told as if"
    );
    expect(&doorward, "needs_restart", || {
        let listener = "{ name: public, address: 127.0.0.2:0 }";
        write_config(doorward.folder(), listener, &config(&upstream, &[ROUTE_B]));
    });
    assert!(logged(&doorward, |l| l["key"] == "listeners[public].address"));

    expect(&doorward, "applied", || write(&doorward, &next("")));
    assert!(successful(&doorward));
    assert_eq!(doorward.get("/b/x", &[]).status, 200);
}

#[test]
fn a_changed_file_is_taken_without_a_signal_and_an_unrelated_one_is_none() {
    let upstream = Upstream::start(Reply::Ok("ok"));
    let doorward = Doorward::start(&config(&upstream, &[ROUTE_A]));
    for n in 0..20 {
        fs::write(doorward.folder().join(format!("other-{n}")), "x").expect("written");
    }
    let path = doorward.folder().join("doorward.yaml");
    let same = fs::read(&path).expect("read");
    fs::write(&path, same).expect("written");
    expect(&doorward, "applied", || {
        // As editors and deployments do: beside it, then in its place.
        let beside = TempDir::new_in(doorward.folder()).expect("a folder");
        let next = write_config(beside.path(), LISTENER, &config(&upstream, &[ROUTE_B]));
        let text = fs::read_to_string(&next).expect("read");
        let data = |folder: &Path| folder.join("data").display().to_string();
        let text = text.replace(&data(beside.path()), &data(doorward.folder()));
        fs::write(&next, text).expect("written");
        fs::rename(next, &path).expect("renamed");
    });
    assert_eq!(doorward.get("/b/x", &[]).status, 200);
    assert_eq!(reloads(&doorward), 1, "nothing else was a reason to try");
}

/// A configuration whose secret lies in a folder as Kubernetes mounts one.
#[test]
fn a_mounted_secret_is_exchanged_by_turning_its_link_and_the_old_one_is_refused_at_once() {
    let upstream = Upstream::start(Reply::Ok("ok"));
    let folder = Arc::new(TempDir::new().expect("a folder"));
    let mount = folder.path().join("secrets");
    let (old, new) = ([1_u8; 32], [2_u8; 32]);
    for (version, secret) in [("..1", old), ("..2", new)] {
        fs::create_dir_all(mount.join(version)).expect("made");
        write_private(&mount.join(version).join("hmac"), &STANDARD.encode(secret));
    }
    symlink("..1", mount.join("..data")).expect("linked");
    symlink("..data/hmac", mount.join("hmac")).expect("linked");
    let text = format!(
        "upstreams: {{ api: {{ url: \"http://{}\" }} }}\ncredentials: {{ jwt: {{ issuers: [{{ name: idp, issuer: \
         \"https://idp.example\", audience: [api], hmac_secret_file: {} }}] }} }}\n\
         routes: [{{ path: /, upstream: api, accept: [jwt] }}]\n",
        upstream.address,
        mount.join("hmac").display()
    );
    let doorward = Doorward::start_in(folder, &text, &[]);
    let signed = |secret: &[u8]| {
        let token = hs256(secret, "{\"alg\":\"HS256\"}", &claims(|_| {}).to_string());
        format!("Authorization: Bearer {token}")
    };
    let (before, after) = (signed(&old), signed(&new));
    let mut client = doorward.connect();
    assert_eq!(client.get("/", &[&before]).status, 200);
    assert_eq!(client.get("/", &[&before]).status, 200, "known to the cache now");
    assert_eq!(client.get("/", &[&after]).status, 401);
    expect(&doorward, "applied", || {
        symlink("..2", mount.join("..data_tmp")).expect("linked");
        fs::rename(mount.join("..data_tmp"), mount.join("..data")).expect("turned");
    });
    assert_eq!(
        client.get("/", &[&before]).status,
        401,
        "though it was remembered as good"
    );
    assert_eq!(
        client.get("/", &[&after]).status,
        200,
        "though it was remembered as bad"
    );
    let log = doorward.log_text();
    assert!(!log.contains(&STANDARD.encode(old)) && !log.contains(&STANDARD.encode(new)));
}

#[test]
fn a_key_taken_out_of_a_jwks_file_ends_the_tokens_it_signed_and_no_others() {
    let upstream = Upstream::start(Reply::Ok("ok"));
    let folder = Arc::new(TempDir::new().expect("a folder"));
    let file = folder.path().join("idp.jwks");
    let (stays, goes) = (Ed::new(), Ed::new());
    fs::write(&file, jwks(&[stays.jwk("k1"), goes.jwk("k2")])).expect("written");
    let text = format!(
        "upstreams: {{ api: {{ url: \"http://{}\" }} }}\ncredentials: {{ api_token: {{ bcrypt_cost: 4 }}, jwt: {{ issuers: \
         [{{ name: idp, issuer: \"https://idp.example\", audience: [api], jwks_file: {} }}] }} }}\n\
         routes: [{{ path: /, upstream: api, accept: [jwt, api_token] }}]\n",
        upstream.address,
        file.display()
    );
    let doorward = Doorward::start_in(folder, &text, &[]);
    let signed = |key: &Ed, kid: &str| format!("Authorization: Bearer {}", key.sign(kid, &claims(|_| {})));
    let (good, gone) = (signed(&stays, "k1"), signed(&goes, "k2"));
    let api = doorward.issue(json!({ "kind": "api_token", "for": "backup" }));
    let api = format!("Authorization: Bearer {}", api.secret);
    for token in [&good, &gone, &api, &good, &gone, &api] {
        assert_eq!(doorward.get("/", &[token]).status, 200);
    }
    let misses = doorward.metric("doorward_cache_misses_total");
    expect(&doorward, "applied", || {
        fs::write(&file, jwks(&[stays.jwk("k1")])).expect("written")
    });
    assert_eq!(doorward.get("/", &[&api]).status, 200);
    assert_eq!(
        doorward.metric("doorward_cache_misses_total"),
        misses,
        "verdicts of another kind are kept"
    );
    assert_eq!(doorward.get("/", &[&gone]).status, 401);
    assert_eq!(doorward.get("/", &[&good]).status, 200);

    expect(&doorward, "invalid", || {
        fs::write(&file, "{\"keys\": [").expect("written")
    });
    assert_eq!(
        doorward.get("/", &[&good]).status,
        200,
        "half a file takes nothing away"
    );
    assert_eq!(doorward.get("/", &[&gone]).status, 401, "and gives nothing back");
}

#[test]
fn a_file_that_only_a_refused_configuration_names_is_followed_too() {
    let upstream = Upstream::start(Reply::Ok("ok"));
    let text = |file: &str| {
        format!(
            "upstreams: {{ api: {{ url: \"http://{}\" }} }}\ncredentials: {{ jwt: {{ issuers: [{{ name: idp, issuer: \
             \"https://idp.example\", audience: [api], jwks_file: {file} }}] }} }}\n\
             routes: [{{ path: /, upstream: api, accept: [jwt] }}]\n",
            upstream.address
        )
    };
    let folder = Arc::new(TempDir::new().expect("a folder"));
    let at = |name: &str| folder.path().join(name);
    let key = Ed::new();
    fs::write(at("old.jwks"), jwks(&[Ed::new().jwk("k1")])).expect("written");
    let old = text(&at("old.jwks").display().to_string());
    let doorward = Doorward::start_in(Arc::clone(&folder), &old, &[]);
    expect(&doorward, "invalid", || {
        write(&doorward, &text(&at("new.jwks").display().to_string()));
    });
    expect(&doorward, "applied", || {
        fs::write(at("new.jwks"), jwks(&[key.jwk("k1")])).expect("written")
    });
    let token = format!("Authorization: Bearer {}", key.sign("k1", &claims(|_| {})));
    assert_eq!(doorward.get("/", &[&token]).status, 200);
}

/// A listener with TLS by the files `cert.pem` and `cert.key` of the folder.
fn tls_listener(folder: &Path) -> String {
    let path = |name: &str| folder.join(name).display().to_string();
    format!(
        "{{ name: public, address: 127.0.0.1:0, tls: {{ certificates: [{{ cert_file: {}, key_file: {} }}] }} }}",
        path("cert.pem"),
        path("cert.key")
    )
}

/// Asks over TLS, believing this authority alone.
fn over_tls(doorward: &Doorward, folder: &Path, authority: &str) -> Output {
    let port = doorward.proxy.port();
    let arguments = [
        "-s",
        "-S",
        "-o",
        "/dev/null",
        "-w",
        "%{http_code}",
        "--max-time",
        "20",
        "--cacert",
    ];
    let output = Command::new("curl")
        .args(arguments)
        .arg(folder.join(authority))
        .arg("--resolve")
        .arg(format!("a.example:{port}:127.0.0.1"))
        .arg(format!("https://a.example:{port}/a/x"))
        .output();
    output.expect("curl runs")
}

#[test]
fn a_renewed_certificate_is_shown_at_once_and_a_broken_one_never() {
    let upstream = Upstream::start(Reply::Ok("ok"));
    let folder = Arc::new(TempDir::new().expect("a folder"));
    let at = |name: &str| folder.path().join(name);
    let (first, second) = (Authority::new(), Authority::new());
    fs::write(at("first.ca"), first.pem()).expect("written");
    fs::write(at("second.ca"), second.pem()).expect("written");
    first.write(folder.path(), "cert", "a.example");
    second.write(folder.path(), "next", "a.example");
    second.write(folder.path(), "other", "a.example");
    let listener = tls_listener(folder.path());
    let doorward = Doorward::start_listening(
        Arc::clone(&folder),
        &listener,
        &config(&upstream, &[ROUTE_A]),
        &[],
    );
    let shows = |authority: &str| over_tls(&doorward, folder.path(), authority).stdout == b"200";
    assert!(shows("first.ca") && !shows("second.ca"));

    expect(&doorward, "invalid", || {
        fs::copy(at("other.key"), at("cert.key")).expect("copied");
    });
    assert!(shows("first.ca"), "a key that does not fit: the old one stays");
    let told = |found: &str| {
        logged(&doorward, |l| {
            l["message"] == "reload: a problem" && l["found"].as_str().is_some_and(|f| f.contains(found))
        })
    };
    assert!(told("not the key of"));
    expect(&doorward, "invalid", || {
        fs::remove_file(at("cert.key")).expect("removed")
    });
    assert!(told("No such file"));
    expect(&doorward, "invalid", || {
        fs::write(at("cert.key"), "").expect("written")
    });
    assert!(shows("first.ca") && !successful(&doorward));

    expect(&doorward, "applied", || {
        for name in ["pem", "key"] {
            fs::rename(at(&format!("next.{name}")), at(&format!("cert.{name}"))).expect("renamed");
        }
    });
    assert!(shows("second.ca") && !shows("first.ca") && successful(&doorward));
    let expiry = doorward.metric("doorward_tls_certificate_expiry_seconds{");
    assert_eq!(expiry.len(), 1, "{expiry:?}");
    // Another file for the same listener.
    expect(&doorward, "applied", || {
        fs::copy(at("cert.pem"), at("moved.pem")).expect("copied");
        let listener = listener.replace("cert.pem", "moved.pem");
        write_config(folder.path(), &listener, &config(&upstream, &[ROUTE_A]));
    });
    let expiry = doorward.metric("doorward_tls_certificate_expiry_seconds{");
    assert!(
        matches!(expiry.as_slice(), [only] if only.contains("moved.pem")),
        "{expiry:?}"
    );
}

#[test]
fn an_upload_under_way_ends_by_the_rules_it_began_with() {
    let first = Upstream::start(Reply::Ok("first"));
    let second = Upstream::start(Reply::Ok("second"));
    let doorward = Doorward::start(&config(&first, &[ROUTE_A]));
    let mut client = doorward.connect();
    client.write("POST /a/x HTTP/1.1\r\nHost: test.example\r\nContent-Length: 10\r\n\r\n12345");
    until("the upload is under way", || first.connections() > 0);
    expect(&doorward, "applied", || {
        write(&doorward, &config(&second, &[ROUTE_B]))
    });
    assert_eq!(doorward.get("/b/x", &[]).text(), "second");
    client.write("67890");
    let answer = client.answer();
    assert_eq!((answer.status, answer.text().as_str()), (200, "first"));
    assert_eq!(first.last().body, b"1234567890");
}

#[test]
fn whom_a_listener_trusts_is_decided_by_the_rules_in_force_and_not_by_an_old_connection() {
    let upstream = Upstream::start(Reply::Ok("ok"));
    let text = config(&upstream, &["{ path: /, access: public, upstream: api }"]);
    let listener =
        |trusted: &str| format!("{{ name: public, address: 127.0.0.1:0, trusted_proxies: [{trusted}] }}");
    let folder = Arc::new(TempDir::new().expect("a folder"));
    let doorward = Doorward::start_listening(folder, &listener("127.0.0.1/32"), &text, &[]);
    let mut kept = doorward.connect();
    let seen = |client: &mut Client| {
        client.get("/", &["X-Forwarded-For: 203.0.113.7"]);
        upstream
            .last()
            .header("x-forwarded-for")
            .unwrap_or_default()
            .to_owned()
    };
    assert!(seen(&mut kept).contains("203.0.113.7"));
    expect(&doorward, "applied", || {
        write_config(doorward.folder(), &listener(""), &text);
    });
    assert!(
        !seen(&mut kept).contains("203.0.113.7"),
        "it is not believed any more"
    );
}

#[test]
fn an_upstream_that_is_gone_is_let_go_of() {
    let (first, second) = (Upstream::start(Reply::Ok("ok")), Upstream::start(Reply::Ok("ok")));
    let text = |name: &str, upstream: &Upstream| {
        format!(
            "upstreams: {{ {name}: {{ url: \"http://{}\", health: {{ path: /h, interval: 100ms, timeout: 100ms }} }} }}\n\
             routes: [{{ path: /, access: public, upstream: {name} }}]\n",
            upstream.address
        )
    };
    let doorward = Doorward::start(&text("old", &first));
    assert_eq!(doorward.get("/", &[]).status, 200);
    let of = |name: &str| {
        let all = doorward.metric("doorward_upstream_");
        all.iter()
            .filter(|l| l.contains(&format!("upstream=\"{name}\"")))
            .count()
    };
    until("its health is asked for", || {
        first.seen().iter().any(|s| s.target() == "/h")
    });
    assert!(of("old") > 0);
    // Somebody still needs it, and ends by the old rules; but nobody new is led there.
    let mut held = doorward.connect();
    held.write("POST /held HTTP/1.1\r\nHost: test.example\r\nContent-Length: 10\r\n\r\n12345");
    expect(&doorward, "applied", || write(&doorward, &text("new", &second)));
    assert_eq!(doorward.get("/", &[]).status, 200);
    assert_eq!(of("old"), 0, "nothing is counted of it");
    until("another round of checks", || {
        second.seen().iter().filter(|s| s.target() == "/h").count() > 2
    });
    let asked = first.seen().len();
    until("and more", || {
        second.seen().iter().filter(|s| s.target() == "/h").count() > 6
    });
    assert_eq!(first.seen().len(), asked, "its health is not asked for any more");
    held.write("67890");
    assert_eq!(held.answer().status, 200);
}

fn descriptors(doorward: &Doorward) -> usize {
    let folder = format!("/proc/{}/fd", doorward.pid());
    fs::read_dir(folder).expect("readable").count()
}

/// Makes requests until told to stop; gives how many were made, and how many failed.
fn light_load(doorward: &Doorward, token: &str, stop: &AtomicBool) -> (usize, Vec<String>) {
    let (mut made, mut failed) = (0, Vec::new());
    let mut client = doorward.connect();
    while !stop.load(Ordering::Relaxed) {
        let answer = client.get("/api/x", &[token]);
        made += 1;
        if answer.status != 200 {
            failed.push(format!("{} {}", answer.status, answer.text()));
        }
    }
    (made, failed)
}

#[test]
fn a_hundred_reloads_under_load_lose_no_request_and_leave_nothing_behind() {
    let upstream = Upstream::start(Reply::Ok("ok"));
    let text = |n: usize| {
        let route = format!("{{ name: r{n}, path: /r{n}/, access: public, upstream: api }}");
        let api = "{ name: api, path: /api/, upstream: api, accept: [jwt] }";
        // Now a route, now the settings of the upstream: it is another one then.
        let timeouts = format!(", timeouts: {{ response: {}s }}", 30 + n / 4);
        let upstream = super::support::fixtures::config_at(upstream.address, &timeouts, &[api, &route]);
        upstream.replace("audience: [api]", &format!("audience: [api, x{}]", n / 10))
    };
    let doorward = Doorward::start(&text(0));
    let token = bearer("alice");
    let (stop, made) = (AtomicBool::new(false), AtomicUsize::new(0));
    let mut before = 0;
    std::thread::scope(|scope| {
        let loads: Vec<_> = (0..3)
            .map(|_| scope.spawn(|| light_load(&doorward, &token, &stop)))
            .collect();
        for n in 1..=100 {
            write(&doorward, &text(n));
            let output = cli(doorward.folder(), &["reload"]);
            assert!(
                output.status.success(),
                "{}",
                String::from_utf8_lossy(&output.stderr)
            );
            if n == 10 {
                before = descriptors(&doorward);
            }
        }
        stop.store(true, Ordering::Relaxed);
        for load in loads {
            let (number, failed) = load.join().expect("no panic");
            assert!(failed.is_empty(), "{failed:?}");
            made.fetch_add(number, Ordering::Relaxed);
        }
    });
    assert!(made.into_inner() > 100);
    until("descriptors are what they were", || {
        descriptors(&doorward) <= before
    });
    let open = || doorward.metric("doorward_upstream_connections{");
    until("upstream connections are a handful", || {
        let line = open().pop().unwrap_or_default();
        line.rsplit(' ')
            .next()
            .and_then(|n| n.parse::<u32>().ok())
            .is_some_and(|n| n <= 8)
    });
    assert_eq!(
        doorward.metric("doorward_panics_total"),
        ["doorward_panics_total 0"]
    );
    assert!(successful(&doorward));
}

#[test]
fn the_command_line_reloads_and_says_what_came_of_it() {
    let upstream = Upstream::start(Reply::Ok("ok"));
    let doorward = Doorward::start(&config(&upstream, &[ROUTE_A]));
    let run = |arguments: &[&str]| cli(doorward.folder(), arguments);
    let said = |output: &Output| {
        String::from_utf8_lossy(&[&output.stdout[..], &output.stderr[..]].concat()).into_owned()
    };
    let keys = |output: &Output| {
        let json: Value = serde_json::from_slice(&output.stdout).expect("JSON");
        let changes = json["changes"].as_array().expect("a list").clone();
        changes
            .iter()
            .map(|c| {
                format!(
                    "{} {}",
                    c["key"].as_str().unwrap_or("?"),
                    c["takes"].as_str().unwrap_or("?")
                )
            })
            .collect::<Vec<_>>()
    };
    let same = run(&["config", "diff"]);
    assert_eq!(
        (same.status.code(), keys(&same).len()),
        (Some(0), 0),
        "{}",
        said(&same)
    );

    let next = doorward.folder().join("next.yaml");
    let running = fs::read_to_string(doorward.folder().join("doorward.yaml")).expect("read");
    let secret = STANDARD.encode([9; 32]);
    let other = running
        .replace("path: /a/", "path: /aa/")
        .replace(&STANDARD.encode([7; 32]), &secret);
    fs::write(&next, &other).expect("written");
    let next = next.display().to_string();
    let differs = run(&["config", "diff", &next]);
    assert_eq!(differs.status.code(), Some(3), "{}", said(&differs));
    assert_eq!(
        keys(&differs),
        [
            "credentials.sealed_device_token.key reload",
            "routes[a].path reload"
        ]
    );
    assert!(!said(&differs).contains(&secret), "secrets are not shown");
    assert_eq!(doorward.get("/a/x", &[]).status, 200, "comparing changes nothing");
    fs::write(&next, format!("workers: 3\n{running}")).expect("written");
    let restart = run(&["config", "diff", &next]);
    assert_eq!(restart.status.code(), Some(4), "{}", said(&restart));
    assert_eq!(keys(&restart), ["workers restart"]);
    fs::write(&next, running.replace("upstream: api", "upstream: nobody")).expect("written");
    let bad = run(&["config", "diff", &next]);
    assert_eq!(bad.status.code(), Some(1), "{}", said(&bad));
    assert!(said(&bad).contains("routes[0].upstream"), "{}", said(&bad));

    write(
        &doorward,
        &format!("workers: 3\n{}", config(&upstream, &[ROUTE_A])),
    );
    let refused = run(&["reload"]);
    assert_eq!(refused.status.code(), Some(1));
    assert!(said(&refused).contains("workers"), "{}", said(&refused));
    write(&doorward, &config(&upstream, &[ROUTE_B]));
    let taken = run(&["reload"]);
    assert!(taken.status.success(), "{}", said(&taken));
    assert_eq!(
        doorward.get("/b/x", &[]).status,
        200,
        "in force when the command has returned"
    );

    let folder = doorward.kill();
    let gone = cli(folder.path(), &["reload"]);
    assert!(
        !gone.status.success() && said(&gone).contains("no server runs"),
        "{}",
        said(&gone)
    );
    let alone = cli(folder.path(), &["config", "diff"]);
    assert_eq!(alone.status.code(), Some(2), "{}", said(&alone));
    fs::write(&next, &other).expect("written");
    let files = cli(folder.path(), &["config", "diff", &next]);
    assert_eq!(
        files.status.code(),
        Some(3),
        "between two files: {}",
        said(&files)
    );
}
