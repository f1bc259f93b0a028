//! TagoIO's device API over sockets, and its own SDKs (PyPI `tagoio-sdk`, npm `@tago-io/sdk`), unmodified, as
//! clients: they send data to an upstream, read `/info` and manage a device's tokens.

use std::process::Command;

use serde_json::{Value, json};

use crate::support::{Answer, Doorward, Reply, Upstream, fixtures};

const JSON: &str = "Content-Type: application/json";
const SERVE: &str = "endpoints:\n  tagoio: { serve: [info, device_token] }\n";
/// What TagoIO's own server answers to data.
const ADDED: &[u8] =
    b"HTTP/1.1 202 Accepted\r\nContent-Type: application/json\r\nContent-Length: 41\r\n\r\n{\"status\":true,\"result\":\"1 Data Added\"}  ";

fn start_with(endpoints: &str) -> (Doorward, Upstream) {
    let upstream = Upstream::start(Reply::Raw(ADDED.to_vec()));
    let routes = ["{ name: all, path: /, upstream: api }"];
    let door = Doorward::start(&format!("{}{endpoints}", fixtures::config(&upstream, &routes)));
    (door, upstream)
}

fn start() -> (Doorward, Upstream) {
    start_with(SERVE)
}

/// A service account's API token with these scopes.
fn account(door: &Doorward, name: &str, scopes: Value) -> String {
    door.issue(json!({ "kind": "api_token", "for": name, "scopes": scopes }))
        .secret
}

fn manager(door: &Doorward) -> String {
    account(door, "console", json!(["tokens:read", "tokens:write"]))
}

fn ask(door: &Doorward, token: &str, method: &str, path: &str, body: Option<Value>) -> Answer {
    let header = format!("token: {token}");
    let body = body.map(|b| b.to_string()).unwrap_or_default();
    door.connect()
        .request(method, path, &[&header, JSON], body.as_bytes())
}

fn create(door: &Doorward, token: &str, body: Value) -> Answer {
    ask(door, token, "POST", "/device/token", Some(body))
}

#[test]
fn a_device_sees_itself_and_nobody_else() {
    let (door, upstream) = start();
    let id = door.device("thermometer-0007");
    let token = door.issue(json!({ "kind": "device_token", "device": id })).secret;
    let answer = ask(&door, &token, "GET", "/info", None);
    let told = answer.json();
    assert_eq!(answer.status, 200, "{told}");
    assert_eq!(told["status"], true);
    let result = &told["result"];
    assert_eq!(result["id"], id.as_str());
    assert_eq!(result["name"], "thermometer-0007");
    assert_eq!(result["active"], true);
    assert!(
        result["created_at"].is_string() && result["network"].is_null(),
        "{told}"
    );
    assert!(result.as_object().expect("members").contains_key("last_input"));
    for (headers, why) in [
        (vec![], "no credential"),
        (
            vec!["token: 11111111-2222-3333-4444-555555555555"],
            "an unknown one",
        ),
        (vec!["token: a", "Device-Token: b"], "two of them"),
    ] {
        let refused = door.connect().request("GET", "/info", &headers, b"");
        let told = refused.json();
        assert!((400..500).contains(&refused.status), "{why}: {}", refused.status);
        assert_eq!(told["status"], false, "{why}");
        assert!(
            told["message"].as_str().is_some_and(|m| !m.is_empty()),
            "{why}: {told}"
        );
    }
    assert_eq!(upstream.seen().len(), 0, "answered here");
}

#[test]
fn what_is_not_switched_on_goes_to_the_upstream() {
    let (door, upstream) = start_with("endpoints:\n  tagoio: { serve: [info] }\n");
    let account = manager(&door);
    let answer = create(&door, &account, json!({ "device": "x", "name": "x" }));
    assert_eq!(answer.status, 202);
    assert_eq!(upstream.last().target(), "/device/token");
    let (door, upstream) = start_with("");
    let id = door.device("thermometer-0007");
    let token = door.issue(json!({ "kind": "device_token", "device": id })).secret;
    assert_eq!(ask(&door, &token, "GET", "/info", None).status, 202);
    assert_eq!(upstream.last().target(), "/info");
}

#[test]
fn a_token_is_made_used_listed_and_ended() {
    let (door, upstream) = start();
    let account = manager(&door);
    let id = door.device("thermometer-0007");
    let made = create(
        &door,
        &account,
        json!({ "device": id, "name": "field", "expire_time": "1 month", "permission": "write",
                "serie_number": "4711", "verification_code": null }),
    );
    let told = made.json();
    assert_eq!((made.status, &told["status"]), (201, &json!(true)), "{told}");
    let token = told["result"]["token"].as_str().expect("a token").to_owned();
    assert_eq!(token.len(), 36, "a UUID's text");
    assert_eq!(told["result"]["permission"], "write");
    assert!(
        told["result"]["expire_time"]
            .as_str()
            .is_some_and(|t| t.starts_with("20")),
        "{told}"
    );
    assert_eq!(ask(&door, &token, "POST", "/data", Some(json!([]))).status, 202);
    assert_eq!(
        upstream.last().header("x-auth-device-id"),
        Some("thermometer-0007")
    );
    assert_eq!(
        ask(&door, &token, "GET", "/data", None).status,
        403,
        "write does not include read"
    );
    let second = create(
        &door,
        &account,
        json!({ "device": "thermometer-0007", "name": "bench" }),
    )
    .json();
    assert_eq!(second["result"]["expire_time"], "never");
    assert_eq!(second["result"]["permission"], "full");
    let path = format!("/device/token/{id}?fields=name&fields=token&fields=serie_number&orderBy=name,desc");
    let listed = ask(&door, &account, "GET", &path, None).json();
    let names: Vec<&str> = listed["result"]
        .as_array()
        .expect("rows")
        .iter()
        .filter_map(|row| row["name"].as_str())
        .collect();
    assert_eq!(names, ["field", "bench"], "{listed}");
    assert_eq!(listed["result"][0]["serie_number"], "4711");
    assert!(
        !listed.to_string().contains(&token),
        "a token is shown once: {listed}"
    );
    let by_id = listed["result"][1]["token"].as_str().expect("an id").to_owned();
    for named in [&token, &by_id] {
        let path = format!("/device/token/{named}");
        let ended = ask(&door, &account, "DELETE", &path, None);
        assert_eq!(
            (ended.status, &ended.json()["result"]),
            (200, &json!("Token Successfully Removed"))
        );
        assert_eq!(
            ask(&door, &account, "DELETE", &path, None).status,
            404,
            "it is gone"
        );
    }
    let refused = ask(&door, &token, "POST", "/data", Some(json!([])));
    assert_eq!(refused.status, 401, "it holds at once");
    let path = format!("/device/token/{id}");
    assert_eq!(
        ask(&door, &account, "GET", &path, None).json()["result"],
        json!([])
    );
    let rows = door.manage("GET", "/api/v1/audit", None).to_string();
    for act in ["device_token.create", "device_token.delete"] {
        assert!(rows.contains(act), "{act}: {rows}");
    }
    assert!(!door.log_text().contains(&token), "no token in the log");
}

#[test]
fn a_credential_without_the_right_manages_nothing() {
    let (door, _upstream) = start();
    let id = door.device("thermometer-0007");
    let device = door.issue(json!({ "kind": "device_token", "device": id })).secret;
    let unscoped = account(&door, "unscoped", json!([]));
    let reads = account(&door, "reads", json!(["tokens:read"]));
    let other = account(&door, "other", json!(["devices:write", "read", "write"]));
    let weak = door
        .issue(
            json!({ "kind": "api_token", "for": "weak", "scopes": ["tokens:write"], "permission": "read" }),
        )
        .secret;
    let wanted = json!({ "device": id, "name": "x" });
    for (token, reading, why) in [
        (&device, 403, "a device, with its own token"),
        (
            &unscoped,
            403,
            "no scopes are the principal's rights, and it has no role",
        ),
        (&reads, 200, "reading is not writing"),
        (&other, 403, "scopes for something else"),
        (&weak, 403, "a permission that only reads"),
    ] {
        let answer = create(&door, token, wanted.clone());
        assert_eq!(
            (answer.status, &answer.json()["status"]),
            (403, &json!(false)),
            "{why}"
        );
        let ended = ask(&door, token, "DELETE", &format!("/device/token/{device}"), None);
        assert_eq!(ended.status, 403, "{why}");
        let listed = ask(&door, token, "GET", &format!("/device/token/{id}"), None);
        if token == &weak {
            assert_eq!(listed.status, 200, "{why}: writing includes reading");
        } else {
            assert_eq!(listed.status, reading, "{why}");
        }
    }
    let admin = door.user("ada", &["TENANT_ADMIN"]);
    let admins = door
        .issue(json!({ "kind": "api_token", "principal": admin }))
        .secret;
    assert_eq!(
        create(&door, &admins, wanted.clone()).status,
        201,
        "the role is the right"
    );
    let narrowed = door
        .issue(json!({ "kind": "api_token", "principal": admin, "scopes": ["devices:read"] }))
        .secret;
    assert_eq!(
        create(&door, &narrowed, wanted).status,
        403,
        "scopes restrict the role"
    );
    assert_eq!(
        ask(&door, &device, "GET", "/info", None).status,
        200,
        "nothing was ended by those who may not"
    );
}

#[test]
fn what_cannot_be_made_is_told_by_member_and_nothing_is_made() {
    let (door, upstream) = start();
    let account = manager(&door);
    let id = door.device("thermometer-0007");
    for (body, field, why) in [
        (json!({ "name": "x" }), "device", "no device"),
        (json!({ "device": id }), "name", "no name"),
        (json!({ "device": id, "name": " " }), "name", "a blank name"),
        (
            json!({ "device": id, "name": "x", "expire_time": "soon" }),
            "expire_time",
            "no end",
        ),
        (
            json!({ "device": id, "name": "x", "expire_time": "2001-01-01" }),
            "expire_time",
            "over",
        ),
        (
            json!({ "device": id, "name": "x", "permission": "all" }),
            "permission",
            "no permission",
        ),
        (json!({ "device": id, "name": ["x"] }), "name", "a list"),
        (
            json!({ "device": id, "name": "x".repeat(300) }),
            "name",
            "too long",
        ),
        (
            json!({ "device": id, "name": "x", "scopes": "admin" }),
            "body",
            "an unknown member",
        ),
    ] {
        let answer = create(&door, &account, body);
        let told = answer.json();
        assert_eq!(
            (answer.status, &told["status"]),
            (400, &json!(false)),
            "{why}: {told}"
        );
        assert!(told["field_errors"][field].is_string(), "{why}: {told}");
        assert!(
            told["message"].as_str().is_some_and(|m| m.contains(field)),
            "{why}: {told}"
        );
    }
    let unknown = create(&door, &account, json!({ "device": "nobody", "name": "x" }));
    assert_eq!(
        (unknown.status, &unknown.json()["message"]),
        (404, &json!("Device not found"))
    );
    let header = format!("token: {account}");
    for (method, path, headers, body, status, why) in [
        ("POST", "/device/token", vec![JSON], "{", 400, "half a body"),
        ("POST", "/device/token", vec![], "{}", 415, "no media type"),
        ("PUT", "/device/token", vec![JSON], "{}", 405, "another method"),
        (
            "PUT",
            "/device/token/x",
            vec![JSON],
            "{}",
            405,
            "another method below",
        ),
        (
            "GET",
            "/device/token/x?limit=3",
            vec![],
            "",
            400,
            "an unknown parameter",
        ),
    ] {
        let mut all = vec![header.as_str()];
        all.extend(headers);
        let answer = door.connect().request(method, path, &all, body.as_bytes());
        assert_eq!(answer.status, status, "{why}");
        assert_eq!(answer.json()["status"], false, "{why}");
    }
    let listed = ask(&door, &account, "GET", &format!("/device/token/{id}"), None).json();
    assert_eq!(listed["result"], json!([]), "nothing was made");
    assert_eq!(upstream.seen().len(), 0);
}

const PYTHON: &str = r#"
import json, sys
from tagoio_sdk import Device, Resources
region = {"api": sys.argv[1], "sse": sys.argv[1]}
device_id, account = sys.argv[2], sys.argv[3]
out = []
devices = Resources({"token": account, "region": region}).devices
made = devices.tokenCreate(device_id, {"name": "python", "permission": "full", "expire_time": "never"})
out.append(sorted(made))
device = Device({"token": made["token"], "region": region})
out.append(device.sendData({"variable": "temperature", "value": 21}))
info = device.info()
out.append([info["id"], info["name"]])
listed = devices.tokenList(device_id)
out.append([row["name"] for row in listed])
out.append(devices.tokenDelete(made["token"]))
for refused in [lambda: device.info(), lambda: device.sendData({"variable": "x"}),
                lambda: devices.tokenCreate("nobody", {"name": "x"}),
                lambda: devices.tokenDelete("nothing")]:
    try:
        refused()
        out.append("not refused")
    except Exception as error:
        out.append([type(error).__name__, str(error)])
print(json.dumps(out))
"#;

const NODE: &str = r#"
const { Device, Resources } = require("@tago-io/sdk");
const [api, id, account] = process.argv.slice(2);
const region = { api, sse: api };
const refusal = async (ask) => { try { return ["not refused", await ask()]; } catch (error) { return String(error); } };
(async () => {
  const out = [];
  const devices = new Resources({ token: account, region }).devices;
  const made = await devices.tokenCreate(id, { name: "node", permission: "full", expire_time: "never" });
  out.push(Object.keys(made).sort());
  const device = new Device({ token: made.token, region });
  out.push(await device.sendData({ variable: "temperature", value: 21 }));
  const info = await device.info();
  out.push([info.id, info.name]);
  out.push((await devices.tokenList(id)).map((row) => row.name));
  out.push(await devices.tokenDelete(made.token));
  out.push(await refusal(() => device.info()));
  out.push(await refusal(() => device.sendData({ variable: "x" })));
  out.push(await refusal(() => devices.tokenCreate("nobody", { name: "x", permission: "full" })));
  out.push(await refusal(() => devices.tokenDelete("nothing")));
  console.log(JSON.stringify(out));
})();
"#;

fn output(mut command: Command) -> Value {
    let output = command
        .env("TAGOIO_REQUEST_ATTEMPTS", "1")
        .output()
        .expect("it runs (`make test` installs the SDKs into target/tools)");
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    serde_json::from_slice(&output.stdout).expect("JSON")
}

#[test]
fn the_python_sdk_sends_data_reads_info_and_manages_tokens() {
    let (door, upstream) = start();
    let (id, account) = (door.device("thermometer-0007"), manager(&door));
    let mut command = Command::new(concat!(env!("CARGO_MANIFEST_DIR"), "/target/tools/bin/python"));
    command.args(["-c", PYTHON, &format!("http://{}", door.proxy), &id, &account]);
    assert_eq!(
        output(command),
        json!([
            ["expire_date", "expire_time", "permission", "token"],
            "1 Data Added",
            [id, "thermometer-0007"],
            ["python"],
            "Token Successfully Removed",
            ["TagoIORequestError", "Authorization denied"],
            ["TagoIORequestError", "Authorization denied"],
            ["TagoIORequestError", "Device not found"],
            ["TagoIORequestError", "Token not found"],
        ])
    );
    let seen = upstream.seen();
    assert_eq!(seen.len(), 1, "only data is forwarded");
    assert_eq!(seen[0].request_line(), "POST /data HTTP/1.1");
    assert_eq!(seen[0].header("token"), None, "the credential stays here");
}

#[test]
fn the_javascript_sdk_sends_data_reads_info_and_manages_tokens() {
    let (door, upstream) = start();
    let (id, account) = (door.device("thermometer-0007"), manager(&door));
    let mut command = Command::new("node");
    command
        .env(
            "NODE_PATH",
            concat!(env!("CARGO_MANIFEST_DIR"), "/target/tools/node_modules"),
        )
        .args(["-e", NODE, "-", &format!("http://{}", door.proxy), &id, &account]);
    assert_eq!(
        output(command),
        json!([
            ["expire_date", "expire_time", "permission", "token"],
            "1 Data Added",
            [id, "thermometer-0007"],
            ["node"],
            "Token Successfully Removed",
            "Authorization denied",
            "Authorization denied",
            "Device not found",
            "Token not found",
        ])
    );
    assert_eq!(upstream.seen().len(), 1, "only data is forwarded");
}
