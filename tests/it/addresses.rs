//! Who the client is, and where it may come from: trusted proxies, address rules of routes and of
//! credentials, IPv6 and v4-mapped forms (S5).

use std::net::SocketAddr;
use std::sync::Arc;

use tempfile::TempDir;

use crate::support::fixtures::{bearer, config, issue};
use crate::support::{Answer, Doorward, Reply, Upstream, cli, http, process};

const BEHIND_A_PROXY: &str = "{ name: public, address: 127.0.0.1:0, trusted_proxies: [127.0.0.0/8, 10.0.0.0/8, \"2001:db8:aaaa::/48\"] }";

const ROUTES: [&str; 4] = [
    "{ path: /lan/, upstream: api, allow_from: [203.0.113.0/24, \"2001:db8::/32\"], deny_from: [203.0.113.66, \"2001:db8:bad::/48\"] }",
    "{ path: /loopback/, upstream: api, allow_from: [127.0.0.0/8] }",
    "{ path: /public-lan/, upstream: api, access: public, allow_from: [203.0.113.0/24] }",
    "{ path: /, upstream: api }",
];

fn start(listener: &str) -> (Upstream, Doorward) {
    let upstream = Upstream::start(Reply::Ok("ok"));
    let folder = Arc::new(TempDir::new().expect("a folder"));
    let doorward = Doorward::start_listening(folder, listener, &config(&upstream, &ROUTES), &[]);
    (upstream, doorward)
}

fn outcome(answer: &Answer) -> String {
    match answer.status {
        200 => "forwarded".to_owned(),
        _ => answer.json()["reason"].as_str().expect("a reason").to_owned(),
    }
}

#[test]
fn the_right_most_untrusted_hop_is_the_client() {
    let (upstream, doorward) = start(BEHIND_A_PROXY);
    let credential = bearer("ada");
    for (lines, client, why) in [
        (&["203.0.113.9"][..], "203.0.113.9", "one hop"),
        (
            &["198.51.100.1, 203.0.113.9"],
            "203.0.113.9",
            "what the client wrote stands to the left",
        ),
        (
            &["203.0.113.9, 198.51.100.1"],
            "198.51.100.1",
            "the right-most one counts",
        ),
        (
            &["203.0.113.9", "198.51.100.1"],
            "198.51.100.1",
            "all lines are one list",
        ),
        (
            &["198.51.100.1", "203.0.113.9"],
            "203.0.113.9",
            "all lines are one list",
        ),
        (
            &["203.0.113.9, 10.1.2.3"],
            "203.0.113.9",
            "trusted hops are skipped",
        ),
        (
            &["203.0.113.9,10.1.2.3 ,\t127.0.0.1"],
            "203.0.113.9",
            "trusted hops are skipped",
        ),
        (
            &["198.51.100.1, 203.0.113.9", "10.1.2.3"],
            "203.0.113.9",
            "over lines as well",
        ),
        (
            &["::ffff:203.0.113.9"],
            "203.0.113.9",
            "a v4-mapped address is the address",
        ),
        (&["::ffff:cb00:7109"], "203.0.113.9", "in hexadecimal too"),
        (
            &["203.0.113.9, ::ffff:10.1.2.3"],
            "203.0.113.9",
            "a v4-mapped proxy is trusted",
        ),
        (&["2001:DB8::9"], "2001:db8::9", "IPv6"),
        (&["\"[2001:db8::9]:4711\""], "2001:db8::9", "IPv6 with a port"),
        (&["203.0.113.9:4711"], "203.0.113.9", "IPv4 with a port"),
        (
            &["203.0.113.9, 2001:db8:aaaa::1"],
            "203.0.113.9",
            "a trusted IPv6 hop",
        ),
        (
            &["10.1.2.3, 10.1.2.4"],
            "10.1.2.3",
            "all are trusted: the farthest",
        ),
        (&["unknown"], "127.0.0.1", "unreadable: the socket's peer"),
        (&["203.0.113.9, unknown"], "127.0.0.1", "unreadable on the way"),
        (&["203.0.113.9, _hidden"], "127.0.0.1", "unreadable on the way"),
        (&["203.0.113.9, 010.1.2.3"], "127.0.0.1", "octal to some"),
        (&["203.0.113.9, 10.1.2"], "127.0.0.1", "half an address"),
        (&["203.0.113.9 10.1.2.3"], "127.0.0.1", "no list"),
        (&[""], "127.0.0.1", "blank"),
        (&[], "127.0.0.1", "none"),
    ] {
        let lines: Vec<String> = lines.iter().map(|l| format!("X-Forwarded-For: {l}")).collect();
        let headers: Vec<&str> = lines
            .iter()
            .map(String::as_str)
            .chain([credential.as_str()])
            .collect();
        let answer = http::get(doorward.proxy, "/", &headers);
        assert_eq!(answer.status, 200, "{lines:?}: {}", answer.text());
        assert_eq!(
            upstream.last().header("x-forwarded-for"),
            Some(client),
            "{lines:?}: {why}"
        );
    }
    // Other words for the same are never read.
    for line in [
        "Forwarded: for=203.0.113.9",
        "X-Real-IP: 203.0.113.9",
        "True-Client-IP: 203.0.113.9",
        "X_Forwarded_For: 203.0.113.9",
        "X-Forwarded: for=203.0.113.9",
    ] {
        assert_eq!(http::get(doorward.proxy, "/", &[line, &credential]).status, 200);
        assert_eq!(
            upstream.last().header("x-forwarded-for"),
            Some("127.0.0.1"),
            "{line}"
        );
    }
}

#[test]
fn address_rules_of_routes_go_by_the_effective_client() {
    let (upstream, doorward) = start(BEHIND_A_PROXY);
    let credential = bearer("ada");
    for (target, client, expected, why) in [
        ("/lan/", "203.0.113.9", "forwarded", "allowed"),
        ("/lan/", "::ffff:203.0.113.9", "forwarded", "allowed, v4-mapped"),
        ("/lan/", "2001:db8::1", "forwarded", "allowed, IPv6"),
        ("/lan/", "203.0.113.66", "address_denied", "deny wins"),
        (
            "/lan/",
            "::ffff:203.0.113.66",
            "address_denied",
            "deny wins, v4-mapped",
        ),
        ("/lan/", "2001:db8:bad::1", "address_denied", "deny wins, IPv6"),
        ("/lan/", "203.0.114.1", "address_denied", "beside the network"),
        (
            "/lan/",
            "2001:db9::1",
            "address_denied",
            "beside the network, IPv6",
        ),
        (
            "/lan/",
            "garbage",
            "address_denied",
            "unreadable: the proxy itself, which is not allowed",
        ),
        (
            "/loopback/",
            "203.0.113.9",
            "address_denied",
            "only its proxy is on loopback",
        ),
        ("/loopback/", "garbage", "forwarded", "the proxy itself"),
        ("/public-lan/", "203.0.113.9", "forwarded", "a public route"),
        (
            "/public-lan/",
            "198.51.100.1",
            "address_denied",
            "a public route has address rules too",
        ),
    ] {
        let line = format!("X-Forwarded-For: {client}");
        let answer = http::get(doorward.proxy, target, &[&line, &credential]);
        assert_eq!(outcome(&answer), expected, "{target} {client}: {why}");
    }
    let before = upstream.seen().len();
    for headers in [
        vec![],
        vec!["Authorization: Bearer broken"],
        vec!["token: a", "token: b"],
    ] {
        let headers: Vec<&str> = headers
            .into_iter()
            .chain(["X-Forwarded-For: 198.51.100.1"])
            .collect();
        let answer = http::get(doorward.proxy, "/lan/", &headers);
        assert_eq!(
            outcome(&answer),
            "address_denied",
            "whoever may not come in learns nothing else"
        );
    }
    assert_eq!(upstream.seen().len(), before);
}

#[test]
fn a_stranger_is_not_believed() {
    let (upstream, doorward) = start("{ name: public, address: 127.0.0.1:0, trusted_proxies: [192.0.2.1] }");
    let credential = bearer("ada");
    for line in [
        "X-Forwarded-For: 203.0.113.9",
        "X-Forwarded-For: 192.0.2.1",
        "X-Forwarded-For: 203.0.113.9, 192.0.2.1",
        "Forwarded: for=203.0.113.9",
    ] {
        let answer = http::get(doorward.proxy, "/lan/", &[line, &credential]);
        assert_eq!(outcome(&answer), "address_denied", "{line}");
        let answer = http::get(doorward.proxy, "/loopback/", &[line, &credential]);
        assert_eq!(outcome(&answer), "forwarded", "{line}");
        assert_eq!(
            upstream.last().header("x-forwarded-for"),
            Some("127.0.0.1"),
            "{line}"
        );
    }
}

#[test]
fn a_dual_stack_listener_sees_v4_clients_as_v4() {
    let (upstream, doorward) = start("{ name: public, address: \"[::]:0\", trusted_proxies: [127.0.0.1] }");
    let credential = bearer("ada");
    let v4 = SocketAddr::from(([127, 0, 0, 1], doorward.proxy.port()));
    let answer = http::get(v4, "/loopback/", &[&credential]);
    assert_eq!(outcome(&answer), "forwarded", "the peer is ::ffff:127.0.0.1");
    assert_eq!(upstream.last().header("x-forwarded-for"), Some("127.0.0.1"));
    let answer = http::get(v4, "/lan/", &[&credential, "X-Forwarded-For: 203.0.113.9"]);
    assert_eq!(outcome(&answer), "forwarded", "and trusted as 127.0.0.1");
    let v6 = SocketAddr::from(([0, 0, 0, 0, 0, 0, 0, 1], doorward.proxy.port()));
    let answer = http::get(v6, "/loopback/", &[&credential]);
    assert_eq!(outcome(&answer), "address_denied", "::1 is no 127.0.0.0/8");
    let answer = http::get(v6, "/", &[&credential]);
    assert_eq!(outcome(&answer), "forwarded");
    let seen = upstream.last();
    assert_eq!(seen.header("x-forwarded-for"), Some("::1"));
    assert!(
        seen.header("forwarded")
            .is_some_and(|f| f.starts_with("for=\"[::1]\";")),
        "{}",
        seen.head
    );
}

#[test]
fn a_credentials_networks_are_checked_on_every_use() {
    let (upstream, doorward) = start(BEHIND_A_PROXY);
    let device = doorward.cli(&["device", "create", "thermometer-7"]);
    let device = device["id"].as_str().expect("an id");
    let networks = ["--network", "203.0.113.0/24,2001:db8::/32"];
    let api = issue(
        &doorward,
        &[&["token", "create", "--for", "backup"], &networks[..]].concat(),
    );
    let opaque = issue(&doorward, &[&["device", "token", device], &networks[..]].concat());
    for credential in [format!("X-API-Key: {api}"), format!("Device-Token: {opaque}")] {
        for (client, expected, why) in [
            (
                "198.51.100.1",
                "credential_address_denied",
                "first use, from elsewhere",
            ),
            ("203.0.113.9", "forwarded", "from its network"),
            (
                "198.51.100.1",
                "credential_address_denied",
                "from elsewhere, now that it is cached",
            ),
            ("::ffff:203.0.113.9", "forwarded", "v4-mapped"),
            (
                "::ffff:198.51.100.1",
                "credential_address_denied",
                "v4-mapped, from elsewhere",
            ),
            ("2001:db8:1::1", "forwarded", "IPv6"),
            ("2001:db9::1", "credential_address_denied", "IPv6, from elsewhere"),
            ("garbage", "credential_address_denied", "unreadable: the proxy"),
        ] {
            let line = format!("X-Forwarded-For: {client}");
            let answer = http::get(doorward.proxy, "/", &[&line, &credential]);
            assert_eq!(outcome(&answer), expected, "{client}: {why}");
            if expected != "forwarded" {
                assert_eq!(answer.status, 403);
            }
        }
    }
    assert_eq!(upstream.seen().len(), 6);
}

#[test]
fn everybody_is_no_trusted_proxy_and_nothing_is_started() {
    let upstream = Upstream::start(Reply::Ok("ok"));
    for everybody in ["0.0.0.0/0", "10.2.0.0/0", "::/0", "::ffff:0.0.0.0/96"] {
        let folder = TempDir::new().expect("a folder");
        let listener =
            format!("{{ name: public, address: 127.0.0.1:0, trusted_proxies: [\"{everybody}\"] }}");
        process::write_config(folder.path(), &listener, &config(&upstream, &ROUTES));
        let output = cli(folder.path(), &["check"]);
        assert_eq!(output.status.code(), Some(2), "{everybody}");
        let text = String::from_utf8_lossy(&output.stderr) + String::from_utf8_lossy(&output.stdout);
        assert!(text.contains("trusted_proxies"), "{everybody}: {text}");
        assert!(!folder.path().join("data").exists(), "nothing was made");
    }
}
