//! Files made to do harm: bombs, doubled keys, secrets in the wrong place.

use std::os::unix::fs::PermissionsExt;

use super::{BASE, bad, read, route};

#[test]
fn a_bomb_of_aliases_is_refused_before_it_unfolds() {
    let mut text = String::from("a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n");
    for i in 1..12 {
        let before = format!("*a{}", i - 1);
        let list = vec![before; 10].join(", ");
        text.push_str(&format!("a{i}: &a{i} [{list}]\n"));
    }
    assert!(bad(&text).contains("more values"), "{}", bad(&text));
}

#[test]
fn nesting_is_bounded() {
    for text in [
        "[".repeat(100_000),
        "- ".repeat(5000),
        format!("{}x", "{a: ".repeat(500)),
    ] {
        bad(&text);
    }
    let mut chain = String::from("a0: &a0 [x]\n");
    for i in 1..50 {
        chain.push_str(&format!("a{i}: &a{i} [*a{}]\n", i - 1));
    }
    assert!(bad(&chain).contains("levels"));
}

#[test]
fn a_thousand_routes_are_no_bomb() {
    let mut text = format!("{BASE}routes:\n");
    for i in 0..1000 {
        text.push_str(&format!(
            "  - {{ path: /r{i}/, upstream: api, require: {{ scopes: [a, b] }}, methods: [GET] }}\n"
        ));
    }
    assert_eq!(read(&text).expect("good").settings.routes.len(), 1000);
}

#[test]
fn a_large_file_is_refused() {
    assert!(bad(&"# comment\n".repeat(200_000)).contains("1 MiB"));
}

#[test]
fn yaml_beyond_plain_values_is_refused() {
    for (text, what) in [
        ("version: 1\nversion: 1\n", "written before"),
        ("version: !!int 1\n", "a tag"),
        ("version: 1\n---\nversion: 1\n", "a second document"),
        ("? [a]\n: 1\n", "no word"),
        ("a: &a [*a]\n", "alias"),
        ("a: *b\n", "no YAML"),
    ] {
        assert!(bad(text).contains(what), "{text}: {}", bad(text));
    }
}

#[test]
fn an_alias_is_what_it_stands_for() {
    let text = format!(
        "{BASE}routes:\n  - {{ path: /a/, upstream: api, allow_from: &nets [10.0.0.0/8] }}\n  - {{ path: /, upstream: api, allow_from: *nets }}\n"
    );
    let loaded = read(&text).expect("good");
    assert_eq!(
        loaded.settings.routes[0].allow_from,
        loaded.settings.routes[1].allow_from
    );
}

#[test]
fn no_secret_is_ever_shown() {
    const SECRET: &str = "hunter2-MARKED";
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("secret");
    std::fs::write(&file, SECRET).expect("written");
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o600)).expect("narrowed");
    let path = file.display();
    let plain = route("path: /, upstream: api");
    for (text, why) in [
        (
            format!("{plain}credentials: {{ sealed_device_token: {{ key: {SECRET} }} }}\n"),
            "a bad key",
        ),
        (
            format!("{plain}credentials: {{ sealed_device_token: {{ key_file: {path} }} }}\n"),
            "a bad key in a file",
        ),
        (
            format!("{plain}credentials: {{ sealed_device_token: {SECRET} }}\n"),
            "a secret one level too high",
        ),
        (format!("{plain}credentials: {SECRET}\n"), "two levels too high"),
        (
            format!(
                "{plain}credentials: {{ jwt: {{ issuers: [{{ name: a, issuer: b, audience: [c], hmac_secret: {SECRET} }}] }} }}\n"
            ),
            "a bad HMAC secret",
        ),
        (
            format!(
                "{plain}credentials: {{ jwt: {{ issuers: [{{ name: a, issuer: b, audience: [c], hmac_secret_file: {path} }}] }} }}\n"
            ),
            "in a file",
        ),
        (
            format!("{plain}store: {{ url: 'postgres://u:{SECRET}@h/d' }}\n"),
            "a password in a url",
        ),
        (
            format!("{plain}store: {{ url_file: {path} }}\n"),
            "a url file with something else",
        ),
        (
            format!("{BASE}routes: [{{ path: /, upstream: 'http://u:{SECRET}@h' }}]\n"),
            "a url where a name belongs",
        ),
        (
            format!(
                "version: 1\nupstreams: {{ api: {{ url: 'http://u:{SECRET}@h' }} }}\nroutes: [{{ path: /, upstream: api }}]\n"
            ),
            "an upstream",
        ),
    ] {
        let problems = read(&text).expect_err(why);
        assert!(!problems.to_string().contains("MARKED"), "{why}: {problems}");
        assert!(!problems.to_json().to_string().contains("MARKED"), "{why}");
        assert!(!format!("{problems:?}").contains("MARKED"), "{why}");
    }
}

#[test]
fn a_secret_file_that_others_may_read_is_refused() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("device.key");
    std::fs::write(&file, "YWJjZGVmZ2hpamtsbW5vcHFyc3R1dnd4eXoxMjM0NTY=\n").expect("written");
    let text = format!(
        "{}credentials: {{ sealed_device_token: {{ key_file: {} }} }}\n",
        route("path: /, upstream: api"),
        file.display()
    );
    for (mode, expected) in [
        (0o600, None),
        (0o400, None),
        (0o640, Some("0640")),
        (0o604, Some("chmod 600")),
    ] {
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(mode)).expect("set");
        match (read(&text), expected) {
            (Ok(loaded), None) => assert!(loaded.settings.credentials.sealed_device_token.key.is_some()),
            (Err(problems), Some(part)) => assert!(problems.to_string().contains(part), "{problems}"),
            (other, _) => panic!("{mode:o}: {other:?}"),
        }
    }
}
