//! Credentials that stand in a file: they come in without a row, and leave when they are taken out of it.

use std::path::Path;

use crate::support::wait::until;
use crate::support::{Doorward, Reply, Upstream, fixtures};

/// Of `a-token-of-the-file`.
const DIGEST: &str = "b915c70c272a1816597a6ec290b4e677cf0864346485821c29d1a8c90116ed51";
const PRESENTED: [&str; 1] = ["Device-Token: a-token-of-the-file"];

fn write(path: &Path, credentials: &str) {
    let beside = path.with_extension("new");
    std::fs::write(&beside, format!("version: 1\ncredentials: [{credentials}]\n")).expect("written");
    std::fs::rename(beside, path).expect("put in place");
}

#[test]
fn a_credential_of_the_file_comes_in_until_it_is_taken_out_and_a_bad_file_changes_nothing() {
    let folder = tempfile::TempDir::new().expect("a folder");
    let file = folder.path().join("credentials.yaml");
    let entry = format!(
        "{{ id: pump-1, kind: device_token, digest: 'sha256:{DIGEST}', permission: read, principal: {{ id: pump, kind: device }} }}"
    );
    write(&file, &entry);
    let upstream = Upstream::start(Reply::Ok("hello"));
    let config = fixtures::config(&upstream, &["{ path: /, upstream: api }"]).replace(
        "credentials:\n",
        &format!("credentials:\n  file: {}\n", file.display()),
    );
    let doorward = Doorward::start(&config);
    assert_eq!(doorward.get("/", &PRESENTED).status, 200);
    assert_eq!(
        doorward.connect().request("POST", "/", &PRESENTED, b"").status,
        403,
        "its permission counts"
    );

    write(&file, &entry.replace("permission", "permissions"));
    until("the bad file is told", || {
        doorward.metric("doorward_config_last_reload_successful 0").len() == 1
    });
    assert_eq!(doorward.get("/", &PRESENTED).status, 200, "the old one stays");

    write(&file, "");
    until("it is taken out", || doorward.get("/", &PRESENTED).status == 401);
    write(&file, &entry);
    until("it is back", || doorward.get("/", &PRESENTED).status == 200);
}
