//! Floods and small bounds: slow hashes, failed credentials and full caches cost those who cause them,
//! never a good cached credential.

use serde_json::json;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use crate::support::jwt::{claims, hs256};
use crate::support::wait::until;
use crate::support::{Doorward, Reply, Upstream};

fn basic(user: &str, password: &str) -> String {
    format!(
        "Authorization: Basic {}",
        STANDARD.encode(format!("{user}:{password}"))
    )
}

fn value(door: &Doorward, name: &str) -> f64 {
    let samples = door.metric(name);
    let parse = |line: &String| line.rsplit(' ').next().and_then(|v| v.parse::<f64>().ok());
    samples.iter().filter_map(parse).sum()
}

#[test]
fn slow_hashes_neither_pile_up_nor_slow_who_is_known() {
    let upstream = Upstream::start(Reply::Ok("hello"));
    let door = Doorward::start(&format!(
        "upstreams: {{ api: {{ url: \"http://{}\" }} }}\n\
         slow_hash: {{ workers: 1, queue: 1 }}\n\
         credentials: {{ api_token: {{ digest: keyed }}, basic: {{ bcrypt_cost: 12 }} }}\n\
         routes: [{{ path: /, upstream: api }}]\n",
        upstream.address
    ));
    let token = format!(
        "X-API-Key: {}",
        door.issue(json!({ "kind": "api_token", "for": "x" })).secret
    );
    door.issue(json!({ "kind": "basic", "for": "x", "user": "ada" }));
    let mut known = door.connect();
    assert_eq!(known.get("/data", &[&token]).status, 200);

    let mut flood: Vec<_> = (0..12)
        .map(|n| {
            let mut client = door.connect();
            // Known and unknown users alike: both cost a hash.
            let user = if n % 2 == 0 {
                "ada".to_owned()
            } else {
                format!("user-{n}")
            };
            client.write(format!(
                "GET /data HTTP/1.1\r\nHost: a\r\n{}\r\n\r\n",
                basic(&user, &format!("wrong-{n}"))
            ));
            client
        })
        .collect();
    until("the pool is at work", || {
        value(&door, "doorward_slow_hash_running") > 0.0
    });
    for _ in 0..50 {
        assert_eq!(
            known.get("/data", &[&token]).status,
            200,
            "remembered: no hash, no queue"
        );
    }
    let mut statuses = Vec::new();
    for client in &mut flood {
        let answer = client.answer();
        if answer.status == 503 {
            assert_eq!(answer.json()["reason"], "overloaded");
            assert!(answer.header("retry-after").is_some());
        }
        statuses.push(answer.status);
    }
    assert!(statuses.contains(&503) && statuses.contains(&401), "{statuses:?}");
    assert!(statuses.iter().all(|s| matches!(s, 401 | 503)), "{statuses:?}");
    assert!(value(&door, "doorward_slow_hash_refused_total") >= 1.0);
    until("the pool is idle again", || {
        value(&door, "doorward_slow_hash_running") == 0.0
    });
    let answer = door.get("/data", &[&basic("ada", "wrong at last")]);
    assert_eq!(answer.status, 401, "and works again");
}

#[test]
fn who_fails_too_often_is_told_to_wait_and_a_good_neighbor_is_not() {
    let upstream = Upstream::start(Reply::Ok("hello"));
    let folder = std::sync::Arc::new(tempfile::TempDir::new().expect("a folder"));
    let config = format!(
        "upstreams: {{ api: {{ url: \"http://{}\" }} }}\n\
         throttle: {{ failures_per_address: 4, failures_per_id: 3, lookups_per_address: 12, window: 1h }}\n\
         credentials: {{ api_token: {{ digest: keyed }}, basic: {{ bcrypt_cost: 4 }} }}\n\
         routes: [{{ path: /, upstream: api }}]\n",
        upstream.address
    );
    let listener = "{ name: public, address: 127.0.0.1:0, trusted_proxies: [127.0.0.1] }";
    let door = Doorward::start_listening(folder, listener, &config, &[]);
    let api = || {
        format!(
            "X-API-Key: {}",
            door.issue(json!({ "kind": "api_token", "for": "x" })).secret
        )
    };
    let (known, fresh, late) = (api(), api(), api());
    let mut client = door.connect();
    let mut ask = |credential: &str, from: &str| {
        let answer = client.get("/data", &[credential, &format!("X-Forwarded-For: {from}")]);
        let wait: Option<u32> = answer.header("retry-after").and_then(|v| v.parse().ok());
        (answer.status, wait, answer.text())
    };
    let here = "203.0.113.9";
    assert_eq!(ask(&known, here).0, 200);
    for n in 0..4 {
        assert_eq!(ask(&basic(&format!("user-{n}"), "guess"), here).0, 401, "try {n}");
    }
    let (status, wait, body) = ask(&basic("user-9", "guess"), here);
    assert!(
        status == 429 && body.contains("too_many_failures"),
        "{status} {body}"
    );
    assert!(wait.is_some_and(|s| (1..=3600).contains(&s)), "{wait:?}");
    assert_eq!(ask(&known, here).0, 200, "a good neighbor who is known");
    assert_eq!(
        ask(&fresh, here).0,
        200,
        "and one who is new: no slow hash is due"
    );
    assert_eq!(ask(&basic("user-9", "guess"), "203.0.113.10").0, 401, "elsewhere");
    // What cannot be guessed is refused only when it comes as a flood; four failed above.
    for n in 0..8 {
        let unknown = format!("Device-Token: unknown-{n}");
        assert_eq!(ask(&unknown, here).0, 401, "look-up {n}");
    }
    assert_eq!(ask("Device-Token: unknown-9", here).0, 429);
    for _ in 0..5 {
        assert_eq!(ask(&known, here).0, 200, "a good neighbor who is known");
    }
    assert_eq!(ask(&late, here).0, 429, "one who is new has to wait");
    assert_eq!(ask(&late, "203.0.113.10").0, 200, "another address");
    // IPv6 clients own a /64.
    for n in 0..4 {
        let from = format!("2001:db8::{n}");
        assert_eq!(ask(&basic(&format!("six-{n}"), "guess"), &from).0, 401);
    }
    assert_eq!(ask(&basic("six-9", "guess"), "2001:db8::ffff").0, 429);
    assert_eq!(ask(&basic("six-9", "guess"), "2001:db8:0:1::1").0, 401);
    // One user name from many addresses.
    for n in 0..3 {
        let guess = basic("ada", &format!("guess-{n}"));
        assert_eq!(ask(&guess, &format!("198.51.100.{n}")).0, 401);
    }
    assert_eq!(ask(&basic("ada", "guess-9"), "198.51.100.9").0, 429);
    assert_eq!(
        ask("Authorization: Device !!!", here).0,
        401,
        "what is refused by its form alone costs nothing and is not counted"
    );
    let refused = door.metric("doorward_throttle_refused_total");
    for (by, count) in [("address", 2), ("public_id", 1), ("look_ups", 2)] {
        let line = format!("by=\"{by}\"}} {count}");
        assert!(refused.iter().any(|l| l.contains(&line)), "{line}: {refused:?}");
    }
}

#[test]
fn an_unlisted_proxy_is_named_in_the_log_once() {
    let upstream = Upstream::start(Reply::Ok("hello"));
    let door = Doorward::start(&format!(
        "upstreams: {{ api: {{ url: \"http://{}\" }} }}\n\
         routes: [{{ path: /, upstream: api, access: public }}]\n",
        upstream.address
    ));
    let mut client = door.connect();
    for n in 0..3 {
        let answer = client.get("/data", &[&format!("X-Forwarded-For: 203.0.113.{n}")]);
        assert_eq!(answer.status, 200);
    }
    until("the log names it", || door.log_text().contains("trusted_proxies"));
    assert_eq!(door.log_text().matches("sends X-Forwarded-For").count(), 1);
}

#[test]
fn small_bounds_hold_and_a_full_set_of_revocations_forgets_nothing() {
    let upstream = Upstream::start(Reply::Ok("hello"));
    let secret = b"0123456789abcdef0123456789abcdef";
    let door = Doorward::start(&format!(
        "upstreams: {{ api: {{ url: \"http://{}\" }} }}\n\
         cache: {{ max_bytes: 64KiB, negative_max_entries: 8 }}\n\
         throttle: {{ failures_per_address: 1000000, failures_per_id: 1000000, lookups_per_address: 1000000, max_entries: 16 }}\n\
         revocation: {{ max_entries: 4 }}\n\
         audit: {{ queue: 4, refusal_burst: 100000 }}\n\
         credentials:\n\
         \x20 api_token: {{ digest: keyed }}\n\
         \x20 jwt: {{ issuers: [{{ name: idp, issuer: \"https://idp.example\", audience: [api], hmac_secret: \"{}\" }}] }}\n\
         routes: [{{ path: /, upstream: api }}]\n",
        upstream.address,
        STANDARD.encode(secret)
    ));
    let jwt = |jti: &str| {
        let claims = claims(|c| drop(c.insert("jti".into(), jti.into())));
        format!(
            "Authorization: Bearer {}",
            hs256(secret, r#"{"alg":"HS256"}"#, &claims.to_string())
        )
    };
    let mut client = door.connect();
    for n in 0..400 {
        assert_eq!(client.get("/data", &[&jwt(&format!("t{n}"))]).status, 200);
        assert_eq!(
            client
                .get("/data", &[&format!("Device-Token: unknown-{n}")])
                .status,
            401
        );
    }
    let weight = value(&door, "doorward_cache_weight_bytes");
    assert!(weight > 0.0, "something is remembered");
    until("the cache is within its bound", || {
        value(&door, "doorward_cache_weight_bytes") <= 65536.0
    });
    assert!(
        value(&door, "doorward_cache_entries") < 400.0,
        "and so not everything"
    );

    let keeper = format!(
        "X-API-Key: {}",
        door.issue(json!({ "kind": "api_token", "for": "x" })).secret
    );
    let tokens: Vec<String> = (0..12).map(|n| jwt(&format!("r{n}"))).collect();
    for (n, token) in tokens.iter().enumerate() {
        door.revoke(json!({ "credential": format!("idp:r{n}") }));
        for gone in &tokens[..=n] {
            assert_eq!(client.get("/data", &[gone]).status, 401, "revocation {n}");
        }
        assert!(!token.is_empty());
    }
    assert!(value(&door, "doorward_revocations_held") <= 4.0);
    assert_eq!(
        client.get("/data", &[&keeper]).status,
        200,
        "what is stored is asked for again and is good"
    );
}

#[test]
fn connections_and_heads_beyond_the_bounds_are_refused() {
    let upstream = Upstream::start(Reply::Ok("hello"));
    let folder = std::sync::Arc::new(tempfile::TempDir::new().expect("a folder"));
    let config = format!(
        "upstreams: {{ api: {{ url: \"http://{}\" }} }}\nroutes: [{{ path: /, access: public, upstream: api }}]\n",
        upstream.address
    );
    let listener = "{ name: public, address: 127.0.0.1:0, max_connections: 2, max_head_bytes: 2KiB, max_head_fields: 10, \
                    head_timeout: 300ms }";
    let door = Doorward::start_listening(folder, listener, &config, &[]);
    let (mut first, mut second) = (door.connect(), door.connect());
    assert_eq!(first.get("/a", &[]).status, 200);
    assert_eq!(second.get("/b", &[]).status, 200);
    let mut third = door.connect();
    assert_eq!(third.rest(), b"", "no more are served at once: closed unserved");
    let refused = door.metric("doorward_connections_refused_total");
    assert!(
        refused
            .iter()
            .any(|l| l.contains("reason=\"limit\"") && l.ends_with(" 1")),
        "{refused:?}"
    );
    assert!(value(&door, "doorward_connections{") <= 2.0);
    let long = format!("X-Long: {}", "x".repeat(3000));
    assert_eq!(first.get("/a", &[&long]).status, 431);
    drop(first);
    until("there is room again", || {
        value(&door, "doorward_connections{") < 2.0
    });
    let many: Vec<String> = (0..20).map(|n| format!("X-{n}: 1")).collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    assert_eq!(second.get("/b", &many).status, 431);
    drop(second);
    until("they are gone", || value(&door, "doorward_connections{") == 0.0);
    let mut slow = door.connect();
    slow.write("GET /d HTTP/1.1\r\nHost: a\r\n");
    assert_eq!(slow.answer().status, 408, "a head that does not come");
}
