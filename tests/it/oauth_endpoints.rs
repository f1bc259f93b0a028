//! Token introspection (RFC 7662) and revocation (RFC 7009) over sockets, and with Authlib as the client.

use std::process::Command;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use crate::support::{Answer, Client, Doorward, Reply, Upstream, fixtures};

const FORM: &str = "Content-Type: application/x-www-form-urlencoded";

/// An instance with both endpoints on the proxy, and one client that may use both.
struct Bench {
    door: Doorward,
    upstream: Upstream,
    basic: String,
}

fn config(upstream: &Upstream, endpoints: &str) -> String {
    let routes = ["{ name: all, path: /, upstream: api }"];
    format!("{}endpoints:\n{endpoints}", fixtures::config(upstream, &routes))
}

const BOTH: &str =
    "  introspection: { paths: [/oauth2/introspect] }\n  revocation: { paths: [/oauth2/revoke] }\n";

fn basic(id: &str, secret: &str) -> String {
    format!(
        "Authorization: Basic {}",
        STANDARD.encode(format!("{id}:{secret}"))
    )
}

/// A service account's password with these scopes.
fn password(door: &Doorward, user: &str, scopes: Value) {
    door.issue(json!({
        "kind": "basic", "for": user, "user": user, "password": "correct horse+battery", "scopes": scopes,
    }));
}

fn start() -> Bench {
    let upstream = Upstream::start(Reply::Ok("hello"));
    let door = Doorward::start(&config(&upstream, BOTH));
    password(&door, "resource-server", json!(["introspect", "revoke"]));
    Bench {
        door,
        upstream,
        basic: basic("resource-server", "correct horse+battery"),
    }
}

fn post(client: &mut Client, path: &str, headers: &[&str], body: &str) -> Answer {
    let mut all = vec![FORM];
    all.extend(headers);
    client.request("POST", path, &all, body.as_bytes())
}

impl Bench {
    fn introspect(&self, token: &str) -> Answer {
        let body = format!("token={}", token.replace('+', "%2B").replace('=', "%3D"));
        let answer = post(
            &mut self.door.connect(),
            "/oauth2/introspect",
            &[&self.basic],
            &body,
        );
        assert_eq!(answer.header("cache-control"), Some("no-store"));
        assert_eq!(answer.header("content-type"), Some("application/json"));
        answer
    }

    fn revoke(&self, token: &str) -> Answer {
        let body = format!("token={}", token.replace('+', "%2B").replace('=', "%3D"));
        post(&mut self.door.connect(), "/oauth2/revoke", &[&self.basic], &body)
    }
}

const INACTIVE: &str = "{\"active\":false}";

#[test]
fn every_kind_of_token_is_told_and_ended_and_is_then_inactive() {
    let bench = start();
    let door = &bench.door;
    let device = door.device("thermometer-0007");
    let opaque = door.issue(json!({ "kind": "device_token", "device": device, "networks": ["10.0.0.0/8"] }));
    let api = door.issue(json!({ "kind": "api_token", "for": "reports", "scopes": ["read", "report"] }));
    let sealed = door.issue(json!({ "kind": "sealed_device_token", "device": "thermometer-0008" }));
    let jwt = fixtures::jwt("ada");
    for (token, kind, token_type, subject) in [
        (
            opaque.secret.as_str(),
            "device_token",
            "Device-Token",
            device.as_str(),
        ),
        (&api.secret, "api_token", "Bearer", &api.principal),
        (&sealed.secret, "sealed_device_token", "Device", &sealed.principal),
        (&jwt, "jwt", "Bearer", "ada"),
    ] {
        let answer = bench.introspect(token);
        let told = answer.json();
        assert_eq!(answer.status, 200, "{told}");
        assert_eq!(told["active"], true, "{kind}: {told}");
        assert_eq!(
            (told["credential_kind"].as_str(), told["sub"].as_str()),
            (Some(kind), Some(subject))
        );
        assert_eq!(told["token_type"], token_type);
        if kind == "jwt" || kind == "sealed_device_token" {
            assert!(told["exp"].is_i64(), "{told}");
        }
        assert_eq!(
            told["networks"],
            if kind == "device_token" {
                json!(["10.0.0.0/8"])
            } else {
                Value::Null
            }
        );
        if kind == "api_token" {
            assert_eq!(told["scope"], "read report");
            assert_eq!(told["jti"], api.id.as_str());
        }
        let ended = bench.revoke(token);
        assert_eq!((ended.status, ended.text().as_str()), (200, "{}"), "{kind}");
        assert_eq!(
            bench.introspect(token).text(),
            INACTIVE,
            "{kind}: exactly this and no more"
        );
        assert_eq!(bench.revoke(token).status, 200, "again: {kind}");
    }
    let refused = door.get("/", &[&format!("Authorization: Bearer {}", api.secret)]);
    assert_eq!(refused.status, 401, "it is ended at the gate too");
    let rows = door.manage("GET", "/api/v1/audit", None);
    let client = door.manage("GET", "/api/v1/principals?external_id=resource-server", None);
    let id = client["items"][0]["id"].clone();
    let by_client = |r: &&Value| r["act"] == "credential.revoke" && r["actor"] == id;
    assert_eq!(
        rows["items"]
            .as_array()
            .expect("rows")
            .iter()
            .filter(by_client)
            .count(),
        4,
        "{rows}"
    );
    assert_eq!(bench.upstream.seen().len(), 0);
}

#[test]
fn what_is_no_token_is_inactive_and_a_wrong_hint_does_not_matter() {
    let bench = start();
    let expired = fixtures::jwt_with("ada", json!({ "exp": 1_000_000_000 }));
    let disabled = bench.door.issue(json!({ "kind": "api_token", "for": "reports" }));
    bench.door.manage(
        "POST",
        &format!("/api/v1/principals/{}/disable", disabled.principal),
        None,
    );
    for token in [
        "x",
        "dw_00000000_x",
        "a.b.c",
        "%20",
        &"y".repeat(20_000),
        &expired,
        &disabled.secret,
    ] {
        let answer = bench.introspect(token);
        assert_eq!(
            (answer.status, answer.text().as_str()),
            (200, INACTIVE),
            "{token:.20}"
        );
        assert_eq!(bench.revoke(token).status, 200, "{token:.20}");
    }
    let good = fixtures::jwt("ada");
    for hint in ["refresh_token", "access_token", "nonsense"] {
        let body = format!("token_type_hint={hint}&token={good}");
        let answer = post(
            &mut bench.door.connect(),
            "/oauth2/introspect",
            &[&bench.basic],
            &body,
        );
        assert_eq!(answer.json()["active"], true, "{hint}");
    }
}

#[test]
fn clients_prove_themselves_in_one_way_and_bear_the_scope_in_so_many_words() {
    let bench = start();
    let door = &bench.door;
    let token = fixtures::jwt("ada");
    let ask = |headers: &[&str], more: &str| {
        post(
            &mut door.connect(),
            "/oauth2/introspect",
            headers,
            &format!("token={token}{more}"),
        )
    };
    let api = door.issue(json!({ "kind": "api_token", "for": "gateway", "scopes": ["introspect"] }));
    let mighty = door.issue(json!({ "kind": "api_token", "for": "mighty" }));
    let user = door.user("ada", &["SYS_ADMIN"]);
    let person = door.issue(json!({ "kind": "api_token", "principal": user, "scopes": ["introspect"] }));
    let (in_body, wrong_body) = (
        "&client_id=resource-server&client_secret=correct+horse%2Bbattery",
        "&client_id=resource-server&client_secret=wrong",
    );
    let api_in_body = format!("&client_id={}&client_secret={}", api.principal, api.secret);
    let api_misnamed = format!("&client_id=somebody&client_secret={}", api.secret);
    let encoded = basic("resource-server", "correct%20horse%2Bbattery");
    let none = (401, "invalid_client");
    for (headers, more, (status, error), why) in [
        (
            &[bench.basic.as_str()][..],
            "",
            (200, ""),
            "basic, as most clients write it",
        ),
        (&[&encoded], "", (200, ""), "basic, encoded as RFC 6749 has it"),
        (&[], in_body, (200, ""), "post"),
        (&[], &api_in_body, (200, ""), "an API token and its principal"),
        (
            &[&basic(&api.principal, &api.secret)],
            "",
            (200, ""),
            "the same as basic",
        ),
        (
            &[&format!("Authorization: Bearer {}", api.secret)],
            "",
            (200, ""),
            "the same as bearer",
        ),
        (&[], "", none, "nobody"),
        (&[&basic("resource-server", "wrong")], "", none, "a wrong secret"),
        (
            &[&basic("nobody", "correct horse+battery")],
            "",
            none,
            "an unknown client",
        ),
        (&["Authorization: Basic !!"], "", none, "no Base64"),
        (&["Authorization: Basic"], "", none, "nothing behind the scheme"),
        (&["Authorization: Digest x"], "", none, "another scheme"),
        (
            &[&format!("Authorization: Bearer {token}x")],
            "",
            none,
            "a bad bearer token",
        ),
        (&[], wrong_body, none, "a wrong secret in the body"),
        (&[], &api_misnamed, none, "somebody else's API token"),
        (&[], "&client_id=resource-server", none, "a name alone"),
        (
            &[&bench.basic],
            in_body,
            (400, "invalid_request"),
            "two ways at once",
        ),
        (
            &[&bench.basic, &bench.basic],
            "",
            (400, "invalid_request"),
            "twice",
        ),
        (
            &[&bench.basic],
            "&token=y",
            (400, "invalid_request"),
            "two tokens",
        ),
        (
            &[&format!("Authorization: Bearer {}", mighty.secret)],
            "",
            (403, "unauthorized_client"),
            "no scopes at all are not this one",
        ),
        (
            &[&format!("Authorization: Bearer {}", person.secret)],
            "",
            (403, "unauthorized_client"),
            "a person is no client",
        ),
        (
            &[&fixtures::bearer("ada")],
            "",
            (403, "unauthorized_client"),
            "nor is a JWT",
        ),
    ] {
        let answer = ask(headers, more);
        assert_eq!(answer.status, status, "{why}: {}", answer.text());
        assert_eq!(answer.header("cache-control"), Some("no-store"), "{why}");
        if status != 200 {
            assert_eq!(answer.json()["error"], error, "{why}");
        }
        if status == 401 {
            let challenge = answer.header("www-authenticate").unwrap_or_default();
            assert!(challenge.starts_with("Basic realm="), "{why}: {challenge}");
        }
    }
    let bearer = format!("Authorization: Bearer {}", api.secret);
    let answer = post(
        &mut door.connect(),
        "/oauth2/revoke",
        &[&bearer],
        &format!("token={token}"),
    );
    assert_eq!(
        answer.json()["error"],
        "unauthorized_client",
        "it may introspect only"
    );
    let answer = post(
        &mut door.connect(),
        "/oauth2/introspect",
        &[&bench.basic],
        "token_type_hint=x",
    );
    assert_eq!(
        (answer.status, answer.json()["error"].as_str()),
        (400, Some("invalid_request"))
    );
    let answer = door.get("/oauth2/introspect", &[&bench.basic]);
    assert_eq!((answer.status, answer.header("allow")), (405, Some("POST")));
    let headers = ["Content-Type: application/json", bench.basic.as_str()];
    let answer = door
        .connect()
        .request("POST", "/oauth2/introspect", &headers, b"{}");
    assert_eq!(
        (answer.status, answer.json()["error"].as_str()),
        (400, Some("invalid_request"))
    );
    assert_eq!(
        ask(&[&bench.basic], "").json()["active"],
        true,
        "nothing was ended"
    );
}

#[test]
fn at_the_admin_door_they_need_no_administrator_and_answer_no_page() {
    let upstream = Upstream::start(Reply::Ok("hello"));
    let both = "  introspection: { paths: [/oauth2/introspect], door: admin }\n  revocation: { paths: [/oauth2/revoke], door: admin }\n";
    let door = Doorward::start(&config(&upstream, both));
    password(&door, "resource-server", json!(["introspect", "revoke"]));
    let admin = door.admin.expect("an admin door");
    let basic = basic("resource-server", "correct horse+battery");
    let body = format!("token={}", fixtures::jwt("ada"));
    let ask = |path: &str, headers: &[&str]| post(&mut Client::connect(admin), path, headers, &body);
    assert_eq!(ask("/oauth2/introspect", &[&basic]).json()["active"], true);
    assert_eq!(ask("/oauth2/introspect", &[]).status, 401);
    assert_eq!(
        ask("/oauth2/introspect", &[&basic, "Origin: http://localhost"]).status,
        403
    );
    let huge = format!("token={}", "x".repeat(40_000));
    let answer = post(
        &mut Client::connect(admin),
        "/oauth2/introspect",
        &[&basic],
        &huge,
    );
    assert_eq!(answer.status, 413);
    assert_eq!(ask("/oauth2/revoke", &[&basic]).status, 200);
    assert_eq!(ask("/oauth2/introspect", &[&basic]).text(), INACTIVE);
    assert_ne!(
        ask("/api/v1/tokens", &[&basic]).status,
        200,
        "the rest has its guard"
    );
    let on_the_proxy = post(&mut door.connect(), "/oauth2/introspect", &[&basic], &body);
    assert_eq!(on_the_proxy.text(), "hello", "there it is a path like any other");
}

/// What Authlib sends, and takes for an answer.
const AUTHLIB: &str = r#"
import json, os, sys
os.environ["AUTHLIB_INSECURE_TRANSPORT"] = "1"
from authlib.integrations.requests_client import OAuth2Session
base, secret, token, other = sys.argv[1:5]
out = []
for method in ("client_secret_basic", "client_secret_post"):
    with OAuth2Session("resource-server", secret, token_endpoint_auth_method=method,
                       revocation_endpoint_auth_method=method) as client:
        good = client.introspect_token(base + "/oauth2/introspect", token=token, token_type_hint="access_token")
        bad = client.introspect_token(base + "/oauth2/introspect", token="nonsense")
        out.append([method, good.status_code, good.json()["active"], bad.status_code, bad.json()])
with OAuth2Session("resource-server", "wrong") as client:
    wrong = client.introspect_token(base + "/oauth2/introspect", token=token)
    out.append(["wrong", wrong.status_code, wrong.json()["error"]])
with OAuth2Session("resource-server", secret, token_endpoint_auth_method="client_secret_post",
                   revocation_endpoint_auth_method="client_secret_post") as client:
    out.append(["revoke", client.revoke_token(base + "/oauth2/revoke", token=token).status_code])
    out.append(["after", client.introspect_token(base + "/oauth2/introspect", token=token).json()])
with OAuth2Session("resource-server", secret) as client:
    out.append(["revoke", client.revoke_token(base + "/oauth2/revoke", token=other, token_type_hint="refresh_token").status_code])
    out.append(["after", client.introspect_token(base + "/oauth2/introspect", token=other).json()])
print(json.dumps(out))
"#;

#[test]
fn authlib_introspects_and_revokes() {
    let bench = start();
    let api = bench.door.issue(json!({ "kind": "api_token", "for": "reports" }));
    let python = concat!(env!("CARGO_MANIFEST_DIR"), "/target/tools/bin/python");
    let output = Command::new(python)
        .args([
            "-c",
            AUTHLIB,
            &format!("http://{}", bench.door.proxy),
            "correct horse+battery",
        ])
        .args([&fixtures::jwt("ada"), &api.secret])
        .output()
        .expect("python runs (`make test` installs Authlib into target/tools)");
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let told: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    let inactive = json!({ "active": false });
    assert_eq!(
        told,
        json!([
            ["client_secret_basic", 200, true, 200, inactive],
            ["client_secret_post", 200, true, 200, inactive],
            ["wrong", 401, "invalid_client"],
            ["revoke", 200],
            ["after", inactive],
            ["revoke", 200],
            ["after", inactive],
        ])
    );
    assert_eq!(bench.upstream.seen().len(), 0);
}
