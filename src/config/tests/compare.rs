//! What differs between two configurations, and what a running process can take.

use super::super::compare::takes;
use super::super::schema::{Shape, shape};
use super::super::{Changes, Environment, FIXED, Loaded, Takes, load_text};

const START: &str = "version: 1\ndata_dir: /tmp/x\nupstreams: { api: { url: 'http://127.0.0.1:9000' } }\n";

fn loaded(rest: &str) -> Loaded {
    let text = format!("{START}{rest}");
    load_text("doorward.yaml", &text, &Environment::default()).unwrap_or_else(|p| panic!("{p}"))
}

fn between(old: &str, new: &str) -> Vec<String> {
    let changes = Changes::between(&loaded(old), &loaded(new));
    let line = |c: &super::super::Change| {
        let (old, new) = (c.old.as_deref().unwrap_or("-"), c.new.as_deref().unwrap_or("-"));
        format!("{} {} | {old} | {new}", c.takes.as_str(), c.key)
    };
    changes.iter().map(line).collect()
}

const ALL: &str = "routes: [{ name: all, path: /, upstream: api }]\n";

#[test]
fn each_difference_is_one_line_with_what_it_takes() {
    for (old, new, expected, why) in [
        ("", "", &[][..], "the same"),
        (
            "",
            "workers: 3\nlog: { level: debug, format: text }\n",
            &[
                "restart log.format | json | text",
                "reload log.level | info | debug",
                "restart workers | - | 3",
            ],
            "defaults are known",
        ),
        ("drain: { delay: 5s }\n", "", &[], "a default that is written out"),
        (
            "drain: { delay: 5s }\n",
            "drain: { delay: 5000ms }\n",
            &[],
            "another spelling",
        ),
        (
            "listeners: [{ name: a, address: '127.0.0.1:1' }, { name: b, address: '127.0.0.1:2' }]\n",
            "listeners: [{ name: b, address: '127.0.0.1:3', max_connections: 7 }]\n",
            &[
                "restart listeners[a] |",
                "restart listeners[b].address | 127.0.0.1:2 | 127.0.0.1:3",
                "reload listeners[b].max_connections | 10000 | 7",
            ],
            "items are told by name",
        ),
    ] {
        let found = between(&format!("{old}{ALL}"), &format!("{new}{ALL}"));
        let fits = found.len() == expected.len() && found.iter().zip(expected).all(|(f, e)| f.starts_with(e));
        assert!(fits, "{why}: {found:#?}");
    }
}

#[test]
fn routes_are_told_by_name_and_their_order_counts() {
    let route = |name: &str, path: &str| format!("{{ name: {name}, path: {path}, upstream: api }}");
    let list = |routes: &[String]| format!("routes: [{}]\n", routes.join(", "));
    let (a, b, c) = (route("a", "/a/"), route("b", "/b/"), route("c", "/c/"));
    let old = list(&[a.clone(), b.clone()]);
    assert_eq!(
        between(&old, &list(&[b.clone(), a.clone()])),
        ["reload routes | in the order a, b | in the order b, a"]
    );
    let added = between(&old, &list(&[c, a.clone(), b]));
    assert!(
        matches!(added.as_slice(), [one] if one.starts_with("reload routes[c] | - | {")),
        "{added:?}"
    );
    let moved = between(&old, &list(&[a, route("b", "/x/")]));
    assert_eq!(moved, ["reload routes[b].path | /b/ | /x/"]);
}

#[test]
fn secrets_and_files_differ_by_content_and_show_none_of_it() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("key");
    let write = |byte: u8| {
        use base64::Engine;
        use std::os::unix::fs::PermissionsExt;
        let text = base64::engine::general_purpose::STANDARD.encode([byte; 32]);
        std::fs::write(&file, &text).expect("written");
        std::fs::set_permissions(&file, PermissionsExt::from_mode(0o600)).expect("narrowed");
        text
    };
    let (one, in_file) = (write(1), format!("key_file: {}", file.display()));
    let section = |key: &str| format!("credentials: {{ sealed_device_token: {{ {key} }} }}\n{ALL}");
    let before = loaded(&section(&in_file));
    let two = write(2);
    let after = loaded(&section(&in_file));
    let changes = Changes::between(&before, &after);
    let told = format!("{changes:?}");
    assert!(
        changes.touch("credentials.sealed_device_token.key_file"),
        "{told}"
    );
    assert!(
        !changes.touch("credentials.jwt") && !changes.touch("credential"),
        "{told}"
    );
    assert!(!told.contains(&one) && !told.contains(&two), "{told}");
    let inline = |text: &str| section(&format!("key: '{text}'"));
    assert_eq!(
        between(&inline(&one), &inline(&two)),
        ["reload credentials.sealed_device_token.key | (redacted) | (redacted)"]
    );
    assert!(between(&inline(&one), &inline(&one)).is_empty());
}

#[test]
fn what_a_running_process_cannot_change_takes_a_restart_and_its_neighbors_do_not() {
    #[rustfmt::skip]
    let restart = [
        "data_dir", "workers", "store", "store.url", "admin.address", "admin.socket", "status.address", "listeners[public]",
        "listeners[public].address", "listeners[public].socket_mode", "cache.max_bytes", "throttle.burst", "slow_hash.threads",
        "revocation.poll_interval", "drain.delay", "log.format", "access_log.destination", "audit.keep", "usage.interval",
    ];
    assert!(restart.len() >= FIXED.len(), "one of each at least");
    for key in restart {
        assert_eq!(takes(key), Takes::Restart, "{key}");
    }
    #[rustfmt::skip]
    let reload = [
        "listeners[public].trusted_proxies", "listeners[public].tls.certificates[0].cert_file", "log.level", "access_log.fields",
        "access_log", "routes[store]", "routes[a].path", "upstreams.cache.url", "workers_of_another_name",
    ];
    for key in reload {
        assert_eq!(takes(key), Takes::Reload, "{key}");
    }
}

#[test]
fn every_key_that_takes_a_restart_is_a_key() {
    for fixed in FIXED {
        let mut at = shape();
        for word in fixed.key.split('.') {
            let (name, is_list) = match word.strip_suffix("[]") {
                Some(name) => (name, true),
                None => (word, false),
            };
            let Shape::Object(mut fields) = at else {
                panic!("{}: {name} is below no section", fixed.key)
            };
            let field = fields
                .remove(name)
                .unwrap_or_else(|| panic!("{}: no {name}", fixed.key));
            at = match (field.shape, is_list) {
                (Shape::List(each, ..), true) => *each,
                (shape, false) => shape,
                _ => panic!("{}: {name} is no list", fixed.key),
            };
        }
        let said = fixed
            .key
            .trim_start_matches("listeners[].")
            .trim_end_matches("[]");
        let operations = include_str!("../../../docs/operations.md");
        assert!(
            operations.contains(&format!("`{said}`")),
            "{said} stands in docs/operations.md"
        );
    }
}
