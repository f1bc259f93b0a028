//! The door asked as its clients ask it: over its routes, its guard and its socket.

mod document;
mod repeated;
mod tenancy;

use std::os::unix::fs::PermissionsExt;
use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use http::{Method, Request, StatusCode, header};
use http_body_util::BodyExt;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::runtime::Handle;
use tower::ServiceExt;

use super::wire::{ConfigChanges, OfferedConfig};
use super::{
    AdminSocket, Configuration, Declined, From, MAX_BODY_BYTES, TcpGuard, guarded, local, owners_routes,
};
use crate::accounts::testing::{Folder, Instance, actor, client};
use crate::runtime::hand_over::Possessions;
use crate::runtime::tasks::Tasks;
use crate::store::sqlite::OpenAs;

struct Door {
    router: Router,
    instance: Instance,
    _folder: Folder,
}

async fn door() -> Door {
    let folder = Folder::new();
    let instance = Instance::on(&folder, OpenAs::Server).await;
    Door {
        router: local(Arc::clone(&instance.accounts), actor()),
        instance,
        _folder: folder,
    }
}

struct Answer {
    status: StatusCode,
    headers: http::HeaderMap,
    body: Value,
}

async fn send(router: &Router, request: Request<Body>) -> Answer {
    let response = router.clone().oneshot(request).await.expect("infallible");
    let (parts, body) = response.into_parts();
    let body = body.collect().await.expect("a body").to_bytes();
    Answer {
        status: parts.status,
        headers: parts.headers,
        body: serde_json::from_slice(&body).expect("JSON, never an empty body"),
    }
}

impl Door {
    async fn get(&self, path: &str) -> Answer {
        let request = Request::get(format!("/api/v1{path}")).body(Body::empty());
        send(&self.router, request.expect("a request")).await
    }

    async fn post(&self, path: &str, body: Value) -> Answer {
        let request = Request::post(format!("/api/v1{path}"))
            .header(header::CONTENT_TYPE, "application/json")
            .body(Body::from(body.to_string()));
        send(&self.router, request.expect("a request")).await
    }
}

#[tokio::test]
async fn a_device_and_its_tokens_live_and_end() {
    let door = door().await;
    let made = door
        .post("/devices", json!({"identifier": "serial-0001", "name": "Pump"}))
        .await;
    assert_eq!(made.status, StatusCode::CREATED);
    assert_eq!(made.body["name"], "Pump");
    let id = made.body["id"].as_str().expect("an id").to_owned();
    assert_eq!(door.get("/devices/serial-0001").await.body["id"], *id);
    assert_eq!(
        door.get(&format!("/devices/{id}")).await.body["external_id"],
        "serial-0001"
    );

    let wanted = json!({"kind": "device_token", "device": "serial-0001", "permission": "read",
        "networks": ["10.0.0.0/8"], "https_only": true, "expires": "30d", "format": "dwt"});
    let made = door.post("/tokens", wanted).await;
    assert_eq!(made.status, StatusCode::CREATED, "{}", made.body);
    let secret = made.body["secret"].as_str().expect("a secret").to_owned();
    assert!(secret.starts_with("dwt_"), "the form that was asked for");
    assert_eq!(made.headers[header::CACHE_CONTROL], "no-store");
    let token = made.body["id"].as_str().expect("an id").to_owned();

    for path in [
        "/tokens",
        &format!("/tokens/{token}"),
        "/audit",
        "/devices",
        "/principals",
        "/keys",
    ] {
        let shown = door.get(path).await;
        assert_eq!(shown.status, StatusCode::OK, "{path}: {}", shown.body);
        assert!(
            !shown.body.to_string().contains(&secret),
            "{path} shows the secret again"
        );
    }
    let shown = door.get(&format!("/tokens/{token}")).await.body;
    assert_eq!(
        (
            &shown["permission"],
            &shown["networks"][0],
            &shown["https_only"],
            &shown["state"]
        ),
        (
            &json!("read"),
            &json!("10.0.0.0/8"),
            &json!(true),
            &json!("active")
        )
    );
    assert_eq!(shown["owner"]["external_id"], "serial-0001");

    let replaced = door.post("/devices/serial-0001/regenerate", json!({})).await;
    assert_eq!(replaced.status, StatusCode::CREATED, "{}", replaced.body);
    assert_eq!(
        door.get(&format!("/tokens/{token}")).await.body["state"],
        "revoked"
    );
    let new = replaced.body["id"].as_str().expect("an id");
    let request = Request::delete(format!("/api/v1/tokens/{new}")).body(Body::empty());
    let ended = send(&door.router, request.expect("a request")).await;
    assert_eq!(
        (ended.status, &ended.body["deleted"]),
        (StatusCode::OK, &json!(new))
    );
    assert_eq!(door.get(&format!("/tokens/{new}")).await.body["state"], "deleted");
}

#[tokio::test]
async fn every_kind_is_made_and_each_revocation_is_taken() {
    let door = door().await;
    door.post("/devices", json!({"identifier": "serial-0001"})).await;
    for wanted in [
        json!({"kind": "api_token", "for": "ci", "scopes": ["read"], "name": "nightly"}),
        json!({"kind": "device_token", "device": "serial-0001"}),
        json!({"kind": "sealed_device_token", "device": "serial-0001", "tenant": "acme"}),
        json!({"kind": "sealed_device_token", "device": "serial-0002", "format": "v1"}),
        json!({"kind": "jwt", "for": "ci", "expires": "5 min"}),
        json!({"kind": "basic", "for": "ci", "user": "ci", "password": "correct horse battery"}),
    ] {
        let made = door.post("/tokens", wanted.clone()).await;
        assert_eq!(made.status, StatusCode::CREATED, "{wanted}: {}", made.body);
        assert_eq!(made.body["kind"], wanted["kind"]);
    }
    let found = door
        .post("/tokens", json!({"kind": "api_token", "for": "ci"}))
        .await
        .body["secret"]
        .clone();
    for what in [
        json!({"token": found}),
        json!({"device": "serial-0009"}),
        json!({"principal": "auth0|somebody"}),
        json!({"tenant": "acme"}),
        json!({"all": "everything"}),
    ] {
        let ended = door.post("/revocations", what.clone()).await;
        assert_eq!(ended.status, StatusCode::CREATED, "{what}: {}", ended.body);
    }
    let rows = door.get("/tokens").await.body;
    let states: Vec<&Value> = rows["items"]
        .as_array()
        .expect("rows")
        .iter()
        .map(|t| &t["state"])
        .collect();
    assert!(states.iter().all(|s| *s == "revoked"), "{states:?}");
    assert_eq!(door.get("/audit/verify").await.body["first_bad"], Value::Null);
}

#[tokio::test]
async fn keys_rotate_and_principals_are_switched() {
    let door = door().await;
    let before = door.get("/keys").await.body["items"]
        .as_array()
        .expect("keys")
        .len();
    let key = door.post("/keys/jwt/rotate", json!({})).await;
    assert_eq!(
        (key.status, &key.body["state"]),
        (StatusCode::CREATED, &json!("current"))
    );
    assert_eq!(
        door.get("/keys").await.body["items"]
            .as_array()
            .expect("keys")
            .len(),
        before + 1
    );

    let wanted = json!({"kind": "user", "external_id": "zoe@example.com", "roles": ["TENANT_ADMIN"]});
    let made = door.post("/principals", wanted).await;
    assert_eq!(made.status, StatusCode::CREATED, "{}", made.body);
    let id = made.body["id"].as_str().expect("an id").to_owned();
    let off = door.post(&format!("/principals/{id}/disable"), json!({})).await;
    assert_eq!(off.body["enabled"], false);
    let on = door.post(&format!("/principals/{id}/enable"), json!({})).await;
    assert_eq!(on.body["enabled"], true);
    assert_eq!(door.get("/health").await.status, StatusCode::OK);
    assert_eq!(
        door.get("/version").await.body["version"],
        env!("CARGO_PKG_VERSION")
    );
}

#[tokio::test]
async fn pages_follow_one_another() {
    let door = door().await;
    for n in 0..5 {
        door.instance.clock.advance(std::time::Duration::from_millis(1));
        door.post("/devices", json!({"identifier": format!("serial-{n}")}))
            .await;
    }
    let (mut seen, mut after) = (Vec::new(), String::new());
    loop {
        let page = door.get(&format!("/devices?limit=2{after}")).await.body;
        for item in page["items"].as_array().expect("rows") {
            seen.push(item["external_id"].as_str().expect("a name").to_owned());
        }
        match page["next"].as_str() {
            Some(next) => after = format!("&after={next}"),
            None => break,
        }
    }
    assert_eq!(seen, (0..5).map(|n| format!("serial-{n}")).collect::<Vec<_>>());
    let found = door.get("/devices?external_id=serial-3").await.body;
    assert_eq!(found["items"].as_array().expect("rows").len(), 1);
}

#[tokio::test]
async fn bad_requests_are_told_what_was_found_and_expected() {
    let door = door().await;
    door.post("/devices", json!({"identifier": "serial-0001"})).await;
    for (path, body, status, part) in [
        ("/tokens", json!({"kind": "api_token"}), 400, "for: found nobody"),
        (
            "/tokens",
            json!({"kind": "magic"}),
            400,
            "one of sealed_device_token",
        ),
        (
            "/tokens",
            json!({"kind": "api_token", "for": "ci", "principal": "x"}),
            400,
            "several owners",
        ),
        (
            "/tokens",
            json!({"kind": "api_token", "for": "ci", "expires": "soon"}),
            400,
            "`soon`",
        ),
        (
            "/tokens",
            json!({"kind": "api_token", "for": "ci", "networks": ["10.2.0.0/8"]}),
            400,
            "10.0.0.0/8",
        ),
        (
            "/tokens",
            json!({"kind": "api_token", "for": "ci", "networks": vec!["10.0.0.0/8"; 65]}),
            400,
            "networks: found 65",
        ),
        (
            "/principals",
            json!({"kind": "service", "external_id": "x", "roles": vec!["R"; 65]}),
            400,
            "roles: found 65",
        ),
        (
            "/tokens",
            json!({"kind": "api_token", "for": "ci", "permission": "rw"}),
            400,
            "one of full, read, write",
        ),
        (
            "/tokens",
            json!({"kind": "api_token", "for": "ci", "scopes": ["two words"]}),
            400,
            "scopes",
        ),
        (
            "/tokens",
            json!({"kind": "api_token", "for": "ci", "exires": "1h"}),
            400,
            "unknown field `exires`",
        ),
        (
            "/tokens",
            json!({"kind": "api_token", "for": "ci", "format": "zz"}),
            400,
            "homechat_hex",
        ),
        (
            "/tokens",
            json!({"kind": "jwt", "for": "ci", "networks": ["10.0.0.0/8"]}),
            400,
            "a jwt cannot carry it",
        ),
        (
            "/tokens",
            json!({"kind": "jwt", "for": "ci", "expires": "never"}),
            400,
            "within a year",
        ),
        (
            "/tokens",
            json!({"kind": "sealed_device_token", "device": "serial-0001", "expires": "1h"}),
            400,
            "cannot carry it",
        ),
        (
            "/tokens",
            json!({"kind": "device_token", "device": "serial-0002"}),
            404,
            "no device `serial-0002`",
        ),
        (
            "/tokens",
            json!({"kind": "api_token", "principal": "nobody"}),
            404,
            "no principal `nobody`",
        ),
        (
            "/tokens",
            json!({"kind": "basic", "for": "ci"}),
            400,
            "user: found nothing",
        ),
        (
            "/tokens",
            json!({"kind": "basic", "for": "ci", "user": "u", "password": ["hunter2"]}),
            400,
            "another type",
        ),
        ("/devices", json!({}), 400, "name: found nothing"),
        ("/devices", json!({"identifier": "serial-0001"}), 409, ""),
        (
            "/principals",
            json!({"kind": "device", "external_id": "x"}),
            400,
            "one of user, service",
        ),
        (
            "/principals",
            json!({"kind": "anonymous", "external_id": "x"}),
            400,
            "kind",
        ),
        ("/revocations", json!({"all": "yes"}), 400, "one of everything"),
        (
            "/revocations",
            json!({"all": "everything", "device": "x"}),
            400,
            "body: found several fields",
        ),
        (
            "/revocations",
            json!({"credential": "0190-typo"}),
            404,
            "0190-typo",
        ),
        (
            "/revocations",
            json!({"token": "hunter2"}),
            400,
            "nothing that this installation",
        ),
        ("/keys/lookups/rotate", json!({}), 400, "device_token, lookup"),
        ("/nothing", json!({}), 404, "/api/v1/"),
        ("/health", json!({}), 405, "method"),
    ] {
        let refused = door.post(path, body.clone()).await;
        assert_eq!(refused.status.as_u16(), status, "{path} {body}: {}", refused.body);
        let message = refused.body["message"].as_str().expect("a message");
        assert!(
            !message.is_empty() && message.contains(part),
            "{path} {body}: {message}"
        );
        assert!(!message.contains("hunter2"), "a secret is repeated: {message}");
        assert_eq!(refused.headers[header::CONTENT_TYPE], "application/problem+json");
        assert_eq!(refused.headers[header::CACHE_CONTROL], "no-store");
    }
    for path in [
        "/tokens?limit=0",
        "/tokens?limit=1001",
        "/tokens?limi=3",
        "/audit?before=x",
        "/tokens?kind=magic",
    ] {
        assert_eq!(door.get(path).await.status, StatusCode::BAD_REQUEST, "{path}");
    }
}

#[tokio::test]
async fn bodies_are_bounded_and_must_say_that_they_are_json() {
    let door = door().await;
    let post = |content_type: Option<&str>, body: String| {
        let mut request = Request::post("/api/v1/devices");
        if let Some(content_type) = content_type {
            request = request.header(header::CONTENT_TYPE, content_type);
        }
        request.body(Body::from(body)).expect("a request")
    };
    let small = json!({"identifier": "serial-0001"}).to_string();
    let large = json!({"identifier": "x".repeat(MAX_BODY_BYTES)}).to_string();
    for (content_type, body, status) in [
        (Some("application/json"), large, StatusCode::PAYLOAD_TOO_LARGE),
        (
            Some("text/plain"),
            small.clone(),
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
        ),
        (
            Some("application/x-www-form-urlencoded"),
            small.clone(),
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
        ),
        (None, small.clone(), StatusCode::UNSUPPORTED_MEDIA_TYPE),
        (Some("application/json"), "{".to_owned(), StatusCode::BAD_REQUEST),
        (
            Some("application/json; charset=utf-8"),
            small,
            StatusCode::CREATED,
        ),
    ] {
        let answer = send(&door.router, post(content_type, body)).await;
        assert_eq!(answer.status, status, "{content_type:?}: {}", answer.body);
    }
}

#[tokio::test]
async fn over_tcp_only_administrators_come_in_and_no_web_page() {
    let door = door().await;
    let accounts = &door.instance.accounts;
    let admin = accounts
        .ensure_administrator()
        .await
        .expect("made")
        .expect("a token");
    let nobody = door
        .post("/tokens", json!({"kind": "api_token", "for": "ci"}))
        .await
        .body["secret"]
        .clone();
    let guard = TcpGuard {
        administrators: door.instance.administrators(),
        address: "10.1.2.3:9901".parse().expect("an address"),
    };
    let router = guarded(Arc::clone(accounts), guard).layer(axum::Extension(From(client())));
    let good = format!("Bearer {}", admin.expose());
    let other = format!("Bearer {}", nobody.as_str().expect("a secret"));
    let twice = format!("{good}, {good}");
    let here = "127.0.0.1:9901";
    type Row<'a> = (&'a str, Option<&'a str>, Option<&'a str>, Option<&'a str>, u16);
    let rows: [Row<'_>; 25] = [
        ("a good token", Some(here), Some(&good), None, 200),
        (
            "the scheme in lower case",
            Some(here),
            Some("bearer x"),
            None,
            401,
        ),
        ("localhost", Some("localhost:9901"), Some(&good), None, 200),
        ("IPv6 loopback", Some("[::1]:9901"), Some(&good), None, 200),
        (
            "the address listened on",
            Some("10.1.2.3"),
            Some(&good),
            None,
            200,
        ),
        ("another address", Some("10.1.2.4:9901"), Some(&good), None, 421),
        (
            "a rebound name",
            Some("evil.example:9901"),
            Some(&good),
            None,
            421,
        ),
        (
            "a name that begins like ours",
            Some("localhost.evil.example"),
            Some(&good),
            None,
            421,
        ),
        (
            "user information",
            Some("localhost@evil.example"),
            Some(&good),
            None,
            421,
        ),
        (
            "user information of ours",
            Some("evil@localhost"),
            Some(&good),
            None,
            421,
        ),
        ("no Host", None, Some(&good), None, 421),
        (
            "the door's own page",
            Some(here),
            Some(&good),
            Some("http://127.0.0.1:9901"),
            200,
        ),
        (
            "the door's own page without a token",
            Some(here),
            None,
            Some("http://127.0.0.1:9901"),
            401,
        ),
        (
            "a page of another port",
            Some(here),
            Some(&good),
            Some("http://127.0.0.1:9902"),
            403,
        ),
        (
            "a page of another scheme",
            Some(here),
            Some(&good),
            Some("https://127.0.0.1:9901"),
            403,
        ),
        (
            "a page of another name of ours",
            Some(here),
            Some(&good),
            Some("http://localhost:9901"),
            403,
        ),
        (
            "a page of a name that begins like ours",
            Some(here),
            Some(&good),
            Some("http://127.0.0.1:9901.evil.example"),
            403,
        ),
        ("a page of nowhere", Some(here), Some(&good), Some("http://"), 403),
        (
            "a rebound name's own page",
            Some("evil.example:9901"),
            Some(&good),
            Some("http://evil.example:9901"),
            421,
        ),
        ("a sandboxed web page", Some(here), Some(&good), Some("null"), 403),
        ("no token", Some(here), None, None, 401),
        ("no administrator", Some(here), Some(&other), None, 403),
        (
            "an unknown token",
            Some(here),
            Some("Bearer dw_aaaaaaaa_x"),
            None,
            401,
        ),
        ("another scheme", Some(here), Some("Basic eDp5"), None, 401),
        ("two tokens in one", Some(here), Some(&twice), None, 401),
    ];
    for (what, host, authorization, origin, status) in rows {
        let mut request = Request::get("/api/v1/tokens");
        for (name, value) in [
            (header::HOST, host),
            (header::AUTHORIZATION, authorization),
            (header::ORIGIN, origin),
        ] {
            if let Some(value) = value {
                request = request.header(name, value);
            }
        }
        let answer = send(&router, request.body(Body::empty()).expect("a request")).await;
        assert_eq!(answer.status.as_u16(), status, "{what}: {}", answer.body);
        assert_eq!(answer.headers[header::CACHE_CONTROL], "no-store", "{what}");
        assert_eq!(
            answer.headers.contains_key(header::WWW_AUTHENTICATE),
            status == 401,
            "{what}"
        );
    }
    let from_two_pages = Request::get("/api/v1/tokens")
        .header(header::HOST, here)
        .header(header::AUTHORIZATION, &good)
        .header(header::ORIGIN, "http://127.0.0.1:9901")
        .header(header::ORIGIN, "http://evil.example")
        .body(Body::empty());
    assert_eq!(
        send(&router, from_two_pages.expect("a request")).await.status,
        StatusCode::FORBIDDEN
    );
    let doubled = Request::get("/api/v1/tokens")
        .header(header::HOST, here)
        .header(header::AUTHORIZATION, &good)
        .header(header::AUTHORIZATION, &good)
        .body(Body::empty());
    assert_eq!(
        send(&router, doubled.expect("a request")).await.status,
        StatusCode::BAD_REQUEST
    );
    let absolute = Request::get("http://evil.example/api/v1/tokens")
        .header(header::HOST, here)
        .header(header::AUTHORIZATION, &good)
        .body(Body::empty());
    let answer = send(&router, absolute.expect("a request")).await;
    assert_eq!(answer.status, StatusCode::MISDIRECTED_REQUEST);
    let by_tcp = Request::builder()
        .method(Method::POST)
        .uri("/api/v1/devices")
        .header(header::HOST, here)
        .header(header::AUTHORIZATION, &good)
        .header(header::CONTENT_TYPE, "application/json")
        .body(Body::from(json!({"identifier": "serial-0007"}).to_string()));
    assert_eq!(
        send(&router, by_tcp.expect("a request")).await.status,
        StatusCode::CREATED
    );
    let rows = door.get("/audit?limit=1").await.body;
    assert_eq!(rows["items"][0]["act"], "device.create");
    assert_eq!(rows["items"][0]["from"], "127.0.0.1", "the trail says from where");
}

/// A configuration that is never taken.
struct Steadfast;

#[async_trait::async_trait]
impl Configuration for Steadfast {
    async fn reload(&self) -> Result<ConfigChanges, Declined> {
        Err(Declined::NeedsRestart("workers".to_owned()))
    }

    async fn compare(&self, _: Option<OfferedConfig>) -> Result<ConfigChanges, Declined> {
        Err(Declined::NotHere)
    }
}

#[tokio::test]
async fn the_configuration_is_its_owners_business_and_not_for_administrators_elsewhere() {
    let door = door().await;
    let accounts = || Arc::clone(&door.instance.accounts);
    let ask = || {
        Request::post("/api/v1/config/reload")
            .body(Body::empty())
            .expect("a request")
    };
    let owners = owners_routes(accounts(), Arc::new(Steadfast));
    let known = || axum::Extension(actor());
    let answer = owners.layer(known()).oneshot(ask()).await.expect("answered");
    assert_eq!(answer.status(), StatusCode::CONFLICT);
    let others = super::routes(accounts()).layer(known());
    let others = others.oneshot(ask()).await.expect("answered");
    assert_eq!(others.status(), StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn the_socket_is_its_owners_and_replaces_only_what_nobody_answers_at() {
    let folder = tempfile::TempDir::new().expect("a folder");
    let path = folder.path().join("admin.sock");
    let door = door().await;
    let tasks = Tasks::on(Handle::current());

    // What a killed server leaves behind.
    drop(std::os::unix::net::UnixListener::bind(&path).expect("bound"));
    assert!(path.exists());
    let socket = AdminSocket::bind(&path, &Possessions::own()).expect("a dead socket is replaced");
    let mode = std::fs::metadata(&path).expect("there").permissions().mode() & 0o7777;
    assert_eq!(mode, 0o600);
    let end = tasks.shutdown().clone();
    let accounts = Arc::clone(&door.instance.accounts);
    let serving = tasks.spawn(
        "admin-socket",
        socket.serve(accounts, Arc::new(Steadfast), tasks.clone(), end),
    );

    let error = AdminSocket::bind(&path, &Possessions::own()).expect_err("somebody answers");
    assert_eq!(error.kind(), std::io::ErrorKind::AddrInUse);

    let mut stream = tokio::net::UnixStream::connect(&path).await.expect("connected");
    let request = "POST /api/v1/devices HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\
                   Content-Type: application/json\r\nContent-Length: 28\r\n\r\n{\"identifier\":\"serial-0001\"}";
    stream.write_all(request.as_bytes()).await.expect("sent");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.expect("read");
    assert!(answer.starts_with("HTTP/1.1 201"), "{answer}");
    let rows = door.get("/audit?limit=1").await.body;
    let uid = rustix::process::geteuid().as_raw();
    assert_eq!(rows["items"][0]["actor"], format!("local:{uid}"));

    tasks.shutdown().cancel();
    serving.await.expect("ended");
    assert!(!path.exists(), "the file goes with the door");

    std::fs::write(&path, b"something of somebody's").expect("written");
    AdminSocket::bind(&path, &Possessions::own()).expect_err("not a socket");
    assert!(path.exists(), "and is left alone");
}

#[tokio::test]
async fn a_stranger_at_the_socket_is_refused() {
    use axum::middleware::from_fn_with_state;

    use super::guard::{LocalCaller, over_socket};
    let door = door().await;
    let routes = super::routes(Arc::clone(&door.instance.accounts));
    for (caller, status) in [
        (LocalCaller::Stranger, StatusCode::FORBIDDEN),
        (LocalCaller::Owner(actor()), StatusCode::OK),
    ] {
        let router = routes.clone().layer(from_fn_with_state(caller, over_socket));
        let request = Request::get("/api/v1/tokens")
            .body(Body::empty())
            .expect("a request");
        assert_eq!(send(&router, request).await.status, status);
    }
}

#[test]
fn a_secret_on_the_wire_is_not_printed() {
    let new: super::wire::CreateToken =
        serde_json::from_value(json!({"kind": "basic", "for": "x", "user": "ada", "password": "hunter2"}))
            .expect("a wish");
    let printed = format!("{new:?}");
    assert!(
        printed.contains("Secret(…)") && !printed.contains("hunter2"),
        "{printed}"
    );
}
