//! Revocation is a promise: refused when the call has returned, soon when another process made it, still
//! after a power cut, and never undone by a look-up that was running.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::json;

use crate::support::process::cli;
use crate::support::wait::until;
use crate::support::{Answer, Client, Doorward, Issued, Reply, Upstream};

fn config(upstream: &Upstream, more: &str) -> String {
    format!(
        "upstreams: {{ api: {{ url: \"http://{}\" }} }}\n\
         throttle: {{ failures_per_address: 1000000, failures_per_id: 1000000, lookups_per_address: 1000000 }}\n\
         credentials:\n\
         \x20 api_token: {{ digest: keyed, bcrypt_cost: 4 }}\n\
         \x20 basic: {{ bcrypt_cost: 4 }}\n\
         \x20 jwt: {{ issuers: [{{ name: own, issuer: \"https://own.example\", audience: [api], keys: own }}] }}\n\
         routes: [{{ path: /, upstream: api }}]\n{more}",
        upstream.address
    )
}

fn start() -> (Doorward, Upstream) {
    let upstream = Upstream::start(Reply::Ok("hello"));
    let door = Doorward::start(&config(&upstream, ""));
    (door, upstream)
}

/// A credential with the header line that presents it.
struct Held {
    what: &'static str,
    issued: Issued,
    line: String,
}

impl Held {
    fn new(what: &'static str, head: &str, issued: Issued) -> Self {
        let line = format!("{head}{}", issued.secret);
        Self { what, issued, line }
    }

    fn get(&self, client: &mut Client) -> Answer {
        client.get("/data", &[&self.line])
    }

    fn assert_good(&self, client: &mut Client, why: &str) {
        let answer = self.get(client);
        assert_eq!(answer.status, 200, "{}, {why}: {}", self.what, answer.text());
    }

    fn assert_revoked(&self, client: &mut Client, why: &str) {
        let answer = self.get(client);
        assert_eq!(answer.status, 401, "{}, {why}", self.what);
        assert_eq!(
            answer.json()["reason"],
            "credential_revoked",
            "{}, {why}",
            self.what
        );
    }
}

/// One of each kind, for one device and one user.
fn one_of_each(door: &Doorward) -> Vec<Held> {
    let name = format!("thermometer-{}", rand());
    let device = door.device(&name);
    let user = door.user(&format!("user-{}", rand()), &[]);
    let of_device = |kind: &str| door.issue(json!({ "kind": kind, "device": name }));
    let of_user = |kind: &str| door.issue(json!({ "kind": kind, "principal": user }));
    let login = format!("login-{}", rand());
    let password = door.issue(json!({ "kind": "basic", "principal": user, "user": login }));
    let encoded = STANDARD.encode(format!("{login}:{}", password.secret));
    let basic = Held {
        what: "basic",
        issued: password,
        line: format!("Authorization: Basic {encoded}"),
    };
    assert!(!device.is_empty());
    vec![
        Held::new("device_token", "Device-Token: ", of_device("device_token")),
        Held::new(
            "sealed_device_token",
            "Authorization: Device ",
            of_device("sealed_device_token"),
        ),
        Held::new("api_token", "Authorization: Bearer ", of_user("api_token")),
        Held::new("jwt", "Authorization: Bearer ", of_user("jwt")),
        basic,
    ]
}

fn rand() -> String {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    format!("{:08}", NEXT.fetch_add(1, Ordering::Relaxed))
}

#[test]
fn when_the_command_has_returned_the_next_request_is_refused() {
    let (door, upstream) = start();
    let held = one_of_each(&door);
    let mut client = door.connect();
    for one in &held {
        one.assert_good(&mut client, "looked up");
        one.assert_good(&mut client, "remembered");
    }
    let forwarded = upstream.seen().len();
    for (at, one) in held.iter().enumerate() {
        door.cli(&["token", "revoke", &one.issued.id]);
        one.assert_revoked(&mut client, "by its id");
        for other in &held[at + 1..] {
            other.assert_good(&mut client, "not meant");
        }
    }
    assert_eq!(upstream.seen().len(), forwarded + 4 + 3 + 2 + 1);
}

#[test]
fn a_credential_that_somebody_found_is_revoked_by_presenting_it() {
    let (door, _upstream) = start();
    let mut client = door.connect();
    for one in one_of_each(&door).iter().filter(|one| one.what != "basic") {
        one.assert_good(&mut client, "before");
        door.revoke(json!({ "token": one.issued.secret }));
        one.assert_revoked(&mut client, "presented to the door");
    }
}

#[test]
fn everything_of_a_device_a_principal_or_everybody_ends_and_new_ones_are_good() {
    let (door, _upstream) = start();
    let (mine, others) = (one_of_each(&door), one_of_each(&door));
    let mut client = door.connect();
    for one in mine.iter().chain(&others) {
        one.assert_good(&mut client, "before");
    }
    let (device, user) = (&mine[0].issued.principal, &mine[2].issued.principal);
    door.cli(&["revoke", "--device", device]);
    for one in &mine {
        if one.issued.principal == *device {
            one.assert_revoked(&mut client, "its device");
        } else {
            one.assert_good(&mut client, "not of the device");
        }
    }
    door.cli(&["revoke", "--principal", user]);
    for one in &mine {
        one.assert_revoked(&mut client, "its principal");
    }
    for one in &others {
        one.assert_good(&mut client, "somebody else's");
    }
    let renewed = door.issue(json!({ "kind": "jwt", "principal": user }));
    Held::new("jwt", "Authorization: Bearer ", renewed).assert_good(&mut client, "made after the cut");

    let administrator =
        std::fs::read_to_string(door.folder().join("data/administrator.token")).expect("a file");
    assert_eq!(at_admin_door(&door, administrator.trim()), 200);
    door.cli(&["revoke", "--all", "--yes"]);
    for one in &others {
        one.assert_revoked(&mut client, "everything");
    }
    assert_eq!(
        at_admin_door(&door, administrator.trim()),
        401,
        "administrators' tokens too"
    );
    for one in &one_of_each(&door) {
        one.assert_good(&mut client, "made after everything ended");
    }
}

fn at_admin_door(door: &Doorward, token: &str) -> u16 {
    let mut client = Client::connect(door.admin.expect("an admin door"));
    client.write(format!(
        "GET /api/v1/keys HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {token}\r\n\r\n"
    ));
    client.answer().status
}

#[test]
fn a_regenerated_token_kills_the_old_one_when_the_call_returns() {
    let (door, _upstream) = start();
    let device = door.device("thermometer-0001");
    let mut old = Held::new(
        "device_token",
        "Device-Token: ",
        door.issue(json!({ "kind": "device_token", "device": device })),
    );
    let mut client = door.connect();
    for _ in 0..3 {
        old.assert_good(&mut client, "before");
        let made = door.cli(&["device", "regenerate", &device]);
        old.assert_revoked(&mut client, "replaced");
        let new = Held::new(
            "device_token",
            "Device-Token: ",
            crate::support::manage::issued(&made),
        );
        new.assert_good(&mut client, "the new one");
        old = new;
    }
}

#[test]
fn a_disabled_principal_is_refused_at_once_and_let_in_again_when_enabled() {
    let (door, _upstream) = start();
    let held = one_of_each(&door);
    let mut client = door.connect();
    // A JWT and a sealed token stand for themselves: they end by revocation.
    for one in held
        .iter()
        .filter(|one| !matches!(one.what, "jwt" | "sealed_device_token"))
    {
        one.assert_good(&mut client, "before");
        let path = format!("/api/v1/principals/{}", one.issued.principal);
        door.manage("POST", &format!("{path}/disable"), None);
        let answer = one.get(&mut client);
        assert_eq!(
            (answer.status, answer.json()["reason"].as_str()),
            (401, Some("principal_disabled")),
            "{}",
            one.what
        );
        door.manage("POST", &format!("{path}/enable"), None);
        one.assert_good(&mut client, "enabled again");
    }
}

#[test]
fn what_another_process_revokes_in_the_store_is_refused_here_soon() {
    let (door, _upstream) = start();
    let held = one_of_each(&door);
    let mut client = door.connect();
    for one in &held {
        one.assert_good(&mut client, "before");
    }
    // Without the socket, the command works on the store itself.
    let data = door.folder().join("data");
    std::fs::rename(data.join("admin.sock"), data.join("away.sock")).expect("renamed");
    for one in &held {
        let output = cli(door.folder(), &["token", "revoke", &one.issued.id]);
        assert!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
        until("the server learns of it", || {
            one.get(&mut door.connect()).status == 401
        });
        one.assert_revoked(&mut client, "by another process");
    }
    let lag = door.metric("doorward_revocation_lag_seconds_count");
    assert_eq!(
        lag,
        ["doorward_revocation_lag_seconds_count 5"],
        "the lag of each was measured"
    );
}

#[test]
fn a_power_cut_right_after_the_call_forgets_nothing() {
    let upstream = Upstream::start(Reply::Ok("hello"));
    let config = config(&upstream, "");
    let mut door = Doorward::start(&config);
    for _ in 0..2 {
        let (ended, kept) = (one_of_each(&door), one_of_each(&door));
        let mut client = door.connect();
        for one in ended.iter().chain(&kept) {
            one.assert_good(&mut client, "before");
        }
        for one in &ended {
            door.revoke(json!({ "credential": one.issued.id }));
        }
        let folder = door.kill();
        door = Doorward::start_in(folder, &config, &[]);
        let mut client = door.connect();
        for one in &ended {
            one.assert_revoked(&mut client, "after the restart");
        }
        for one in &kept {
            one.assert_good(&mut client, "after the restart");
        }
    }
}

/// Many requests with one credential race its revocation; whoever asks after the call returned is refused.
fn race(door: &Doorward, one: Held) {
    let (one, ended) = (Arc::new(one), Arc::new(AtomicBool::new(false)));
    let good = Arc::new(AtomicUsize::new(0));
    let threads: Vec<_> = (0..4)
        .map(|_| {
            let (mut client, one) = (door.connect(), Arc::clone(&one));
            let (ended, good) = (Arc::clone(&ended), Arc::clone(&good));
            std::thread::spawn(move || {
                let mut after = 0;
                while after < 10 {
                    let over = ended.load(Ordering::SeqCst);
                    let answer = one.get(&mut client);
                    if over {
                        assert_eq!(answer.status, 401, "{}: after the call returned", one.what);
                        after += 1;
                    } else if answer.status == 200 {
                        good.fetch_add(1, Ordering::SeqCst);
                    }
                }
            })
        })
        .collect();
    until("requests are under way", || good.load(Ordering::SeqCst) >= 8);
    door.revoke(json!({ "credential": one.issued.id }));
    ended.store(true, Ordering::SeqCst);
    for thread in threads {
        thread.join().expect("no panic");
    }
}

#[test]
fn no_request_passes_after_the_call_whatever_was_under_way() {
    let upstream = Upstream::start(Reply::Ok("hello"));
    // Remembered for long, and hardly at all: then a look-up is nearly always running.
    for more in ["", "cache: { positive_ttl: 1ms, negative_ttl: 1ms }\n"] {
        let door = Doorward::start(&config(&upstream, more));
        for _ in 0..2 {
            for one in one_of_each(&door) {
                race(&door, one);
            }
        }
    }
}
