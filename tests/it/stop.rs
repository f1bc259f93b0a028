//! How the process stops: what is under way is finished over every sort of connection, clients lose nothing, and
//! signals are heard as process 1 too.

use std::fs;
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex};

use tempfile::TempDir;

use crate::support::h2::{self, H2};
use crate::support::http::get;
use crate::support::pki::Authority;
use crate::support::process::write_config;
use crate::support::wait::until;
use crate::support::{Client, Doorward, Reply, Upstream};

fn config(upstream: SocketAddr) -> String {
    format!(
        "upstreams: {{ api: {{ url: \"http://{upstream}\" }} }}\n\
         routes: [{{ path: /open/, access: public, upstream: api }}]\n"
    )
}

/// An upstream that holds every request until it is let go.
#[derive(Clone, Default)]
struct Gate(Arc<(Mutex<bool>, Condvar)>);

impl Gate {
    fn upstream(&self) -> Upstream {
        let gate = self.clone();
        Upstream::with(move |_| {
            let open = gate.0.0.lock().expect("not poisoned");
            drop(gate.0.1.wait_while(open, |open| !*open).expect("not poisoned"));
            Reply::Ok("late")
        })
    }

    fn open(&self) {
        *self.0.0.lock().expect("not poisoned") = true;
        self.0.1.notify_all();
    }
}

fn curl(arguments: &[&str]) -> Child {
    Command::new("curl")
        .args(["-sS", "--max-time", "20", "-w", " %{http_version} %{http_code}"])
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("curl is installed (`make test` installs it)")
}

fn not_ready(door: &Doorward) {
    until("not ready any more", || {
        get(door.status, "/readyz", &[]).status == 503
    });
}

#[test]
fn what_is_under_way_is_finished_over_every_sort_of_connection() {
    let gate = Gate::default();
    let upstream = gate.upstream();
    let folder = Arc::new(TempDir::new().expect("a folder"));
    let socket = folder.path().join("s").display().to_string();
    let ca = Authority::new();
    ca.write(folder.path(), "tls", "localhost");
    fs::write(folder.path().join("ca.pem"), ca.pem()).expect("writes");
    let at = |file: &str| folder.path().join(file).display().to_string();
    let listeners = format!(
        "{{ name: plain, address: 127.0.0.1:0 }}, {{ name: unix, address: \"unix:{socket}\" }}, \
         {{ name: tls, address: 127.0.0.1:0, tls: {{ certificates: [{{ cert_file: {}, key_file: {} }}] }} }}",
        at("tls.pem"),
        at("tls.key"),
    );
    let door = Doorward::start_listening(folder.clone(), &listeners, &config(upstream.address), &[]);
    let ports: Vec<_> = door.listeners().iter().map(SocketAddr::port).collect();
    let plain = format!("http://localhost:{}/open/x", ports[0]);
    let tls = format!("https://localhost:{}/open/x", ports[1]);
    let ca = at("ca.pem");
    let rows: [(&str, &[&str]); 5] = [
        ("1.1", &["-4", &plain]),
        ("2", &["-4", "--http2-prior-knowledge", &plain]),
        ("1.1", &["--unix-socket", &socket, "http://localhost/open/x"]),
        ("1.1", &["-4", "--http1.1", "--cacert", &ca, &tls]),
        ("2", &["-4", "--http2", "--cacert", &ca, &tls]),
    ];
    let running: Vec<_> = rows.iter().map(|(_, arguments)| curl(arguments)).collect();
    until("all of them reached the upstream", || {
        upstream.connections() == rows.len()
    });
    door.signal("TERM");
    not_ready(&door);
    gate.open();
    for ((version, arguments), child) in rows.iter().zip(running) {
        let output = child.wait_with_output().expect("ended");
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        assert_eq!(said, format!("late {version} 200"), "{arguments:?}: {output:?}");
    }
    assert_eq!(door.wait(), Some(0));
    assert!(!Path::new(&socket).exists(), "and it leaves no socket behind");
}

#[test]
fn http2_clients_are_told_to_go_away_and_their_streams_are_finished() {
    let gate = Gate::default();
    let upstream = gate.upstream();
    let door = Doorward::start(&config(upstream.address));
    let mut idle = H2::connect(door.proxy);
    idle.until(h2::SETTINGS).expect("it is there");
    let mut client = H2::connect(door.proxy);
    client.get(1, "/open/x");
    until("it reached the upstream", || upstream.connections() == 1);
    door.signal("TERM");
    let first = client
        .until(h2::GOAWAY)
        .expect("it is told before its stream ends");
    assert_eq!(
        (first.number(0), first.number(4)),
        (0x7fff_ffff, 0),
        "nothing is refused yet"
    );
    let last = client.until(h2::GOAWAY).expect("and then for good");
    assert_eq!(
        (last.number(0), last.number(4)),
        (1, 0),
        "what was opened is served"
    );
    gate.open();
    let answer = client.until(h2::HEADERS).expect("an answer");
    assert_eq!((answer.stream, answer.status()), (1, Some(200)));
    assert_eq!(client.until(h2::DATA).expect("its body").payload, b"late");
    assert_eq!(client.end(), None);
    assert_eq!(idle.end(), Some(0), "who asks nothing is told as well");
    assert_eq!(door.wait(), Some(0));
}

/// One way to ask again and again; ends when told to, or when the server has said that it ends.
type Load = fn(SocketAddr, &AtomicUsize, &AtomicBool);

fn keep_alive(proxy: SocketAddr, served: &AtomicUsize, stop: &AtomicBool) {
    while !stop.load(Ordering::SeqCst) {
        let mut client = Client::connect(proxy);
        loop {
            let answer = client.get("/open/x", &[]);
            assert_eq!((answer.status, &*answer.text()), (200, "hello"));
            served.fetch_add(1, Ordering::SeqCst);
            if answer.header("connection") == Some("close") || stop.load(Ordering::SeqCst) {
                break;
            }
        }
    }
}

fn connection_per_request(proxy: SocketAddr, served: &AtomicUsize, stop: &AtomicBool) {
    while !stop.load(Ordering::SeqCst) {
        let answer = get(proxy, "/open/x", &["Connection: close"]);
        assert_eq!((answer.status, &*answer.text()), (200, "hello"));
        served.fetch_add(1, Ordering::SeqCst);
    }
}

/// Many streams at once, until it is told to go away; then it has every answer that it was promised.
fn http2(proxy: SocketAddr, served: &AtomicUsize, _: &AtomicBool) {
    const AT_ONCE: u32 = 10;
    let mut client = H2::connect(proxy);
    let mut opened = 0;
    let mut answered = 0;
    let mut promised = u32::MAX;
    loop {
        while promised == u32::MAX && opened - answered < AT_ONCE {
            opened += 1;
            client.get(2 * opened - 1, "/open/x");
            // Bodies are given back, or the window of the connection runs dry.
            client.send(&h2::Frame::new(h2::WINDOW_UPDATE, 0, 0, 5_u32.to_be_bytes()));
        }
        let Some(frame) = client.next() else { break };
        match frame.kind {
            h2::HEADERS => assert_eq!(frame.status(), Some(200)),
            h2::DATA if frame.flags & h2::END_STREAM != 0 => {
                answered += 1;
                served.fetch_add(1, Ordering::SeqCst);
            }
            h2::GOAWAY => {
                assert_eq!(frame.number(4), 0, "no error");
                promised = frame.number(0).min(2 * opened - 1);
            }
            h2::RST_STREAM => assert!(frame.stream > promised, "a stream was reset: {frame:?}"),
            _ => {}
        }
    }
    assert_eq!(
        2 * answered - 1,
        promised,
        "every stream up to the promised one has its answer"
    );
}

/// What a round under load has shown.
#[derive(Debug, PartialEq, Eq)]
enum Round {
    NothingLost,
    /// The listener closed before the clients had gone elsewhere: this machine is busy with other things.
    TooSlow,
}

fn leave_under_load(delay: &str) -> Round {
    let upstream = Upstream::start(Reply::Ok("hello"));
    let folder = Arc::new(TempDir::new().expect("a folder"));
    let times = [
        ("DOORWARD_DRAIN__DELAY", delay),
        ("DOORWARD_DRAIN__TIMEOUT", "20s"),
    ];
    let door = Doorward::start_in(folder, &config(upstream.address), &times);
    let stop = Arc::new(AtomicBool::new(false));
    let loads: [Load; 3] = [keep_alive, connection_per_request, http2];
    let threads: Vec<_> = loads
        .into_iter()
        .map(|load| {
            let (proxy, stop, served) = (door.proxy, Arc::clone(&stop), Arc::new(AtomicUsize::new(0)));
            let counted = Arc::clone(&served);
            (served, std::thread::spawn(move || load(proxy, &counted, &stop)))
        })
        .collect();
    let all_beyond = |before: &[usize]| {
        let each = threads.iter().zip(before);
        each.clone()
            .all(|((served, _), before)| served.load(Ordering::SeqCst) > before + 20)
    };
    until("all are being served", || all_beyond(&[0; 3]));
    door.signal("TERM");
    door.wait_for_line(|l| l["message"] == "leaving: not ready any more");
    let before: Vec<_> = threads
        .iter()
        .map(|(served, _)| served.load(Ordering::SeqCst))
        .collect();
    let is_closed = || TcpStream::connect(door.proxy).is_err();
    until("and go on being served", || all_beyond(&before) || is_closed());
    // What a load balancer does that has seen it.
    stop.store(true, Ordering::SeqCst);
    let mut threads: Vec<_> = threads.into_iter().map(|(_, thread)| thread).collect();
    // It stays until it is told to go away.
    let last = threads.pop().expect("three");
    let ended: Vec<_> = threads.into_iter().map(std::thread::JoinHandle::join).collect();
    let closed_too_early = is_closed();
    last.join().expect("every stream that was promised is answered");
    assert_eq!(door.wait(), Some(0));
    if closed_too_early {
        return Round::TooSlow;
    }
    for ended in ended {
        ended.expect("no request failed");
    }
    Round::NothingLost
}

#[test]
fn under_load_no_request_is_lost_over_any_sort_of_connection() {
    let mut rounds = ["500ms", "5s", "20s"].into_iter().map(leave_under_load);
    assert!(
        rounds.any(|round| round == Round::NothingLost),
        "all were too slow"
    );
}

#[test]
fn what_h2load_has_begun_is_done() {
    let upstream = Upstream::start(Reply::Ok("hello"));
    let door = Doorward::start(&config(upstream.address));
    let url = format!("http://{}/open/x", door.proxy);
    let load = Command::new("h2load")
        .args(["-n", "1000000", "-c", "4", "-m", "10", &url])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .expect("h2load is installed (`make test` installs it)");
    until("it is being served", || upstream.seen().len() > 200);
    door.signal("TERM");
    let output = load.wait_with_output().expect("ended");
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    // It never connects again, so most of what it was asked for was never begun.
    let counts = said
        .lines()
        .find_map(|l| l.strip_prefix("requests: "))
        .expect("counts");
    let count = |what: &str| {
        let part = counts.split(", ").find_map(|part| part.strip_suffix(what));
        part.and_then(|n| n.trim().parse::<u64>().ok())
    };
    assert!(count("started").is_some_and(|n| n > 200), "{said}");
    assert_eq!(count("done"), count("started"), "{said}");
    assert_eq!(count("succeeded"), count("started"), "{said}");
    assert_eq!(door.wait(), Some(0));
}

/// The children of a process.
fn children(pid: u32) -> Vec<u32> {
    let path = format!("/proc/{pid}/task/{pid}/children");
    let text = fs::read_to_string(path).unwrap_or_default();
    text.split_whitespace()
        .filter_map(|pid| pid.parse().ok())
        .collect()
}

#[test]
fn as_process_1_it_hears_signals_from_the_first_moment_and_reaps_orphans() {
    let allowed = Command::new("unshare")
        .args(["--pid", "--fork", "--mount-proc", "true"])
        .output();
    if !allowed.is_ok_and(|output| output.status.success()) {
        println!("skipped: this machine does not let us make a namespace for processes");
        return;
    }
    let upstream = Upstream::start(Reply::Ok("hello"));
    let folder = Arc::new(TempDir::new().expect("a folder"));
    let path = write_config(
        folder.path(),
        "{ name: public, address: 127.0.0.1:0 }",
        &config(upstream.address),
    );
    let mut command = Command::new("unshare");
    command
        .args(["--pid", "--fork", "--mount-proc", "--kill-child"])
        .arg(env!("CARGO_BIN_EXE_doorward"))
        .args(["serve", "--config"])
        .arg(path);
    let door = Doorward::spawn(folder, command);
    let pid = *children(door.pid()).first().expect("unshare has one child");
    let ready = door
        .log_lines()
        .iter()
        .any(|l| l["message"] == "ready" && l["pid"] == 1);
    assert!(ready, "it is process 1:\n{}", door.log_text());

    // What `kubectl exec` leaves behind: a shell that ends before what it started.
    let pipe = door.folder().join("pipe").display().to_string();
    let made = Command::new("mkfifo").arg(&pipe).status();
    assert!(made.expect("mkfifo runs").success());
    let left = Command::new("nsenter")
        .args(["-t", &pid.to_string(), "-p", "-m", "sh", "-c"])
        .arg(format!("cat {pipe} >/dev/null & true"))
        .status();
    assert!(left.expect("nsenter runs").success());
    assert_eq!(children(pid).len(), 1, "the orphan is its child now");
    fs::write(&pipe, "end").expect("written");
    until("it is reaped when it ends", || children(pid).is_empty());

    let status = fs::read_to_string(format!("/proc/{pid}/status")).expect("it lives");
    let caught = status
        .lines()
        .find_map(|l| l.strip_prefix("SigCgt:\t"))
        .expect("signals");
    let caught = u64::from_str_radix(caught, 16).expect("a set");
    for (signal, name) in [(1, "HUP"), (2, "INT"), (15, "TERM"), (17, "CHLD")] {
        assert!(caught & (1 << (signal - 1)) != 0, "SIG{name} has a handler");
    }
    let told = Command::new("kill").args(["-TERM", &pid.to_string()]).status();
    assert!(told.expect("kill runs").success());
    assert_eq!(door.wait(), Some(0));
}
