//! HomeChat's endpoints for the holder of a token, over sockets, in the original's shapes.

use serde_json::{Value, json};

use crate::support::{Answer, Doorward, Issued, Reply, Upstream, fixtures};

const REFRESH: &str = "/api/v1/auth/refresh";
const SESSIONS: &str = "/api/v1/auth/sessions";

fn start() -> (Doorward, Upstream) {
    let upstream = Upstream::start(Reply::Ok("hello"));
    let base = fixtures::config(
        &upstream,
        &["{ name: all, path: /, profile: homechat, upstream: api }"],
    );
    let endpoints =
        format!("endpoints: {{ homechat: {{ refresh: [{REFRESH}], sessions: [{SESSIONS}] }} }}\n");
    let door = Doorward::start(&format!("{base}{endpoints}"));
    (door, upstream)
}

fn token(door: &Doorward, owner: &str, name: &str, more: Value) -> Issued {
    let mut wanted = json!({ "kind": "api_token", "for": owner, "name": name, "format": "homechat_hex" });
    for (key, value) in more.as_object().expect("an object") {
        wanted[key] = value.clone();
    }
    door.issue(wanted)
}

fn ask(door: &Doorward, method: &str, path: &str, token: &str) -> Answer {
    let bearer = format!("Authorization: Bearer {token}");
    door.connect().request(method, path, &[&bearer], b"")
}

const UNAUTHORIZED: &str = "{\"error\":\"Unauthorized - Invalid or missing API token\"}";

#[test]
fn a_refreshed_token_replaces_the_one_presented_which_is_dead_at_once() {
    let (door, upstream) = start();
    let old = token(
        &door,
        "panel",
        "Kitchen panel",
        json!({ "scopes": ["read"], "expires": "1h" }),
    );
    assert_eq!(
        ask(&door, "GET", "/", &old.secret).status,
        200,
        "remembered as good"
    );
    let answer = ask(&door, "POST", REFRESH, &old.secret);
    let new = answer.json()["token"].as_str().expect("a token").to_owned();
    assert_eq!(answer.text(), format!("{{\"success\":true,\"token\":\"{new}\"}}"));
    assert_eq!(answer.header("cache-control"), Some("no-store"));
    assert!(new.len() == 64 && new != old.secret, "the old one's form");
    for (method, path) in [("GET", "/"), ("POST", REFRESH), ("GET", SESSIONS)] {
        let refused = ask(&door, method, path, &old.secret);
        assert_eq!(refused.status, 401, "{method} {path}");
        if path != "/" {
            assert_eq!(refused.text(), UNAUTHORIZED, "{path}");
        }
    }
    assert_eq!(ask(&door, "GET", "/", &new).status, 200);
    assert_eq!(
        ask(&door, "DELETE", "/x", &new).status,
        403,
        "it may do no more than the old one"
    );
    assert_eq!(upstream.seen().len(), 2);
}

#[test]
fn of_many_who_refresh_one_token_at_once_one_gets_a_new_one() {
    let (door, _upstream) = start();
    let old = token(&door, "panel", "Kitchen panel", json!({}));
    let statuses: Vec<u16> = std::thread::scope(|scope| {
        let one = || ask(&door, "POST", REFRESH, &old.secret).status;
        let all: Vec<_> = (0..8).map(|_| scope.spawn(one)).collect();
        all.into_iter().map(|t| t.join().expect("joined")).collect()
    });
    assert_eq!(statuses.iter().filter(|s| **s == 200).count(), 1, "{statuses:?}");
    assert!(statuses.iter().all(|s| matches!(s, 200 | 401)), "{statuses:?}");
}

#[test]
fn sessions_are_the_callers_own_tokens_and_all_but_the_present_one_can_be_ended() {
    let (door, upstream) = start();
    let here = token(
        &door,
        "panel",
        "Kitchen panel",
        json!({ "expires": "2099-01-01T00:00:00Z" }),
    );
    let there = token(&door, "panel", "Hall panel", json!({}));
    let ended = token(&door, "panel", "Old panel", json!({}));
    let others = token(&door, "boiler", "Boiler", json!({}));
    door.revoke(json!({ "credential": ended.id }));
    let listed = ask(&door, "GET", SESSIONS, &here.secret);
    let body = listed.json();
    assert_eq!((listed.status, &body["success"]), (200, &json!(true)));
    let sessions = body["sessions"].as_array().expect("a list");
    let mut names: Vec<&str> = sessions.iter().filter_map(|s| s["name"].as_str()).collect();
    names.sort_unstable();
    assert_eq!(
        names,
        ["Hall panel", "Kitchen panel"],
        "its own living ones: {body}"
    );
    let current = sessions.iter().find(|s| s["id"] == here.id.as_str()).expect("it");
    assert_eq!(current["is_current"], true);
    assert_eq!(current["expires_at"], "2099-01-01T00:00:00Z");
    assert_eq!(current["token_prefix"], format!("{}...", &here.secret[..8]));
    assert!(
        current["created_at"]
            .as_str()
            .is_some_and(|t| t.len() == 20 && t.ends_with('Z')),
        "{body}"
    );
    let keys: Vec<&String> = current.as_object().expect("an object").keys().collect();
    assert_eq!(keys.len(), 7, "{keys:?}");
    assert!(!body.to_string().contains(&here.secret), "no secret in it");

    for (id, status, text) in [
        (
            here.id.as_str(),
            422,
            "{\"success\":false,\"error\":\"Cannot revoke your current session. Use signout instead.\"}",
        ),
        (
            &others.id,
            404,
            "{\"success\":false,\"error\":\"Session not found\"}",
        ),
        (
            "nonsense",
            404,
            "{\"success\":false,\"error\":\"Session not found\"}",
        ),
        (&there.id, 200, "{\"success\":true}"),
    ] {
        let answer = ask(&door, "DELETE", &format!("{SESSIONS}/{id}"), &here.secret);
        assert_eq!((answer.status, answer.text().as_str()), (status, text), "{id}");
    }
    assert_eq!(ask(&door, "GET", SESSIONS, &there.secret).text(), UNAUTHORIZED);
    assert_eq!(ask(&door, "GET", SESSIONS, &others.secret).status, 200);
    assert_eq!(upstream.seen().len(), 0);
}

#[test]
fn who_has_no_token_or_a_lesser_one_is_refused() {
    let (door, upstream) = start();
    let other = token(&door, "panel", "Hall panel", json!({}));
    let reads = token(&door, "panel", "Kitchen panel", json!({ "permission": "read" }));
    for (method, path) in [
        ("POST", REFRESH),
        ("GET", SESSIONS),
        ("DELETE", "/api/v1/auth/sessions/x"),
    ] {
        let nobody = door.connect().request(method, path, &[], b"");
        assert_eq!(
            (nobody.status, nobody.text().as_str()),
            (401, UNAUTHORIZED),
            "{path}"
        );
        let user = door
            .connect()
            .request(method, path, &[&fixtures::bearer("ada")], b"");
        assert_eq!(
            (user.status, user.text().as_str()),
            (401, UNAUTHORIZED),
            "{path}: no API token"
        );
        let wrong = ask(&door, "PUT", path, &other.secret);
        assert_eq!(
            (wrong.status, wrong.header("allow")),
            (405, Some(method)),
            "{path}"
        );
    }
    let answer = ask(
        &door,
        "DELETE",
        &format!("{SESSIONS}/{}", other.id),
        &reads.secret,
    );
    let text = "{\"error\":\"Forbidden - Insufficient scope\"}";
    assert_eq!((answer.status, answer.text().as_str()), (403, text));
    assert_eq!(ask(&door, "GET", SESSIONS, &reads.secret).status, 200);
    assert_eq!(upstream.seen().len(), 0);
}
