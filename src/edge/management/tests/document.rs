//! The document, its viewer, the table of operations and the routes say the same; what is refused is told in full.

use std::collections::BTreeSet;

use super::*;
use crate::accounts::Reach;
use crate::edge::management::operations::{Door as At, OPERATIONS};
use crate::edge::management::{BASE, document};

/// Every operation of the document, as `GET /api/v1/…`.
fn documented(document: &Value) -> BTreeSet<String> {
    let paths = document["paths"].as_object().expect("paths");
    let methods = |(path, item): (&String, &Value)| {
        let methods = item.as_object().expect("a path").keys();
        methods
            .map(|method| format!("{} {path}", method.to_uppercase()))
            .collect::<Vec<_>>()
    };
    paths.iter().flat_map(methods).collect()
}

#[test]
fn table_and_document_have_the_same_operations_with_the_same_scopes() {
    let document = document();
    let table: BTreeSet<_> = OPERATIONS
        .iter()
        .map(|o| format!("{} {BASE}{}", o.method, o.path))
        .collect();
    assert_eq!(table, documented(&document));
    for operation in OPERATIONS {
        let method = operation.method.to_lowercase();
        let written = &document["paths"][format!("{BASE}{}", operation.path)][method];
        let name = format!("{} {}", operation.method, operation.path);
        assert_eq!(
            written["security"],
            json!([{"administrator": [operation.scope]}]),
            "{name}"
        );
        assert!(
            written["summary"].as_str().is_some_and(|s| !s.is_empty()),
            "{name} has no summary"
        );
        for status in ["400", "401", "403", "404", "405", "500", "503"] {
            let schema = &written["responses"][status]["content"]["application/problem+json"]["schema"];
            assert_eq!(
                schema["$ref"], "#/components/schemas/ProblemBody",
                "{name} {status}"
            );
        }
    }
}

#[tokio::test]
async fn every_operation_of_the_table_is_routed_and_refuses_a_token_of_another_scope() {
    let door = door().await;
    let accounts = || Arc::clone(&door.instance.accounts);
    let routes = owners_routes(accounts(), Arc::new(Steadfast));
    let held = |scopes: &[&str]| {
        let scopes = crate::domain::scope::ScopeSet::parse(scopes.iter().copied()).expect("scopes");
        let id = crate::domain::ids::PrincipalId::parse("p1").expect("an id");
        crate::accounts::Actor::principal(&id, client(), scopes, Reach::Installation)
    };
    for operation in OPERATIONS {
        let path = operation
            .path
            .replace("{id}", "x")
            .replace("{device}", "x")
            .replace("{purpose}", "x");
        let name = format!("{} {path}", operation.method);
        let ask = async |router: &Router, method: &str| {
            let request = Request::builder()
                .method(method)
                .uri(format!("{BASE}{path}"))
                .header(header::CONTENT_TYPE, "application/json")
                .body(Body::from("[]"))
                .expect("a request");
            send(router, request).await
        };
        let wanted = operation.scope().expect("a scope");
        let scopes = OPERATIONS.iter().filter_map(|o| o.scope());
        let others: Vec<_> = scopes.filter(|other| !other.grants(&wanted)).collect();
        let others: Vec<&str> = others.iter().map(|scope| scope.as_str()).collect();
        let refused = ask(
            &routes.clone().layer(axum::Extension(held(&others))),
            operation.method,
        )
        .await;
        assert_eq!(refused.status, StatusCode::FORBIDDEN, "{name}: {}", refused.body);
        assert_eq!(refused.body["reason"], "scope_missing", "{name}");
        assert!(
            refused.body["message"].to_string().contains(operation.scope),
            "{name}"
        );
        for scopes in [&[operation.scope][..], &["admin"], &["*"], &[]] {
            let taken = ask(
                &routes.clone().layer(axum::Extension(held(scopes))),
                operation.method,
            )
            .await;
            assert_ne!(
                taken.status,
                StatusCode::FORBIDDEN,
                "{name} {scopes:?}: {}",
                taken.body
            );
            assert_ne!(taken.status, StatusCode::METHOD_NOT_ALLOWED, "{name} {scopes:?}");
            let no_endpoint = taken.body["message"].to_string().contains("no such endpoint");
            assert!(!no_endpoint, "{name}: {}", taken.body);
        }
        let another = ask(&routes.clone().layer(axum::Extension(actor())), "TRACE").await;
        assert_eq!(another.status, StatusCode::METHOD_NOT_ALLOWED, "{name}");
        let allowed = another.headers[header::ALLOW].to_str().expect("methods");
        assert!(allowed.contains(operation.method), "{name}: {allowed}");
    }
    let over_tcp = super::super::routes(accounts()).layer(axum::Extension(actor()));
    for operation in OPERATIONS.iter().filter(|o| o.door == At::Socket) {
        let request = Request::builder()
            .method(operation.method)
            .uri(format!("{BASE}{}", operation.path));
        let answer = send(&over_tcp, request.body(Body::empty()).expect("a request")).await;
        assert_eq!(
            answer.status,
            StatusCode::NOT_FOUND,
            "{} is the owner's alone",
            operation.path
        );
    }
}

#[test]
fn the_committed_document_is_the_one_that_is_served() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/openapi.json");
    let committed = std::fs::read_to_string(path).unwrap_or_default();
    let committed: Value = serde_json::from_str(&committed).unwrap_or_default();
    let made = document();
    if committed != made {
        let beside = concat!(env!("CARGO_MANIFEST_DIR"), "/target/openapi.json");
        let text = serde_json::to_string_pretty(&made).expect("JSON") + "\n";
        std::fs::write(beside, text).expect("written");
        panic!(
            "docs/openapi.json is not what the code says; target/openapi.json is: cp target/openapi.json docs/"
        );
    }
}

#[tokio::test]
async fn the_document_and_its_viewer_need_no_token_and_serve_no_foreign_page() {
    let door = door().await;
    let guard = TcpGuard {
        administrators: door.instance.administrators(),
        address: "127.0.0.1:9901".parse().expect("an address"),
    };
    let router = guarded(Arc::clone(&door.instance.accounts), guard).layer(axum::Extension(From(client())));
    let ask = async |path: &str, host: &str, origin: Option<&str>| {
        let mut request = Request::get(path).header(header::HOST, host);
        if let Some(origin) = origin {
            request = request.header(header::ORIGIN, origin);
        }
        let request = request.body(Body::empty()).expect("a request");
        let response = router.clone().oneshot(request).await.expect("infallible");
        let (parts, body) = response.into_parts();
        (parts, body.collect().await.expect("a body").to_bytes())
    };
    let here = "127.0.0.1:9901";
    for (path, host, origin, status) in [
        ("/api/v1/openapi.json", here, None, 200),
        ("/api/v1/docs/", here, None, 200),
        ("/api/v1/docs", here, None, 308),
        (
            "/api/v1/docs/swagger-ui-bundle.js",
            here,
            Some("http://127.0.0.1:9901"),
            200,
        ),
        ("/api/v1/docs/swagger-initializer.js", here, None, 200),
        ("/api/v1/openapi.json", "evil.example", None, 421),
        ("/api/v1/docs/", "evil.example:9901", None, 421),
        ("/api/v1/openapi.json", here, Some("http://evil.example"), 403),
        ("/api/v1/docs/", here, Some("null"), 403),
        ("/api/v1/docs/oauth2-redirect.html", here, None, 404),
        ("/api/v1/docs/..%2F..%2Fsecrets", here, None, 404),
        ("/api/v1/docs/nothing.js", here, None, 404),
    ] {
        let (parts, body) = ask(path, host, origin).await;
        assert_eq!(parts.status.as_u16(), status, "{path} {host} {origin:?}");
        assert!(
            !parts.headers.contains_key(header::ACCESS_CONTROL_ALLOW_ORIGIN),
            "{path}"
        );
        if status == 200 {
            let csp = parts.headers[header::CONTENT_SECURITY_POLICY]
                .to_str()
                .expect("a policy");
            assert!(csp.starts_with("default-src 'none'; script-src 'self';"), "{csp}");
            assert!(!csp.contains("unsafe"), "{csp}");
            assert_eq!(parts.headers[header::X_CONTENT_TYPE_OPTIONS], "nosniff");
        }
        if path == "/api/v1/openapi.json" && status == 200 {
            let served: Value = serde_json::from_slice(&body).expect("JSON");
            assert!(served == document());
            assert_eq!(served["openapi"], "3.1.0");
        }
        if path == "/api/v1/docs/" && status == 200 {
            let page = String::from_utf8(body.to_vec()).expect("a page");
            assert!(
                !page.contains("https://") && !page.contains("http://"),
                "nothing is fetched from elsewhere"
            );
            let inline = page
                .split("<script")
                .skip(1)
                .any(|s| !s.trim_start().starts_with("src="));
            assert!(!inline, "no script stands in the page: {page}");
        }
        if path.ends_with("initializer.js") {
            assert!(String::from_utf8_lossy(&body).contains("/api/v1/openapi.json"));
        }
    }
}

#[tokio::test]
async fn all_faults_of_a_request_come_at_once_with_their_places() {
    let door = door().await;
    let wanted = json!({"kind": "api_token", "for": "ci", "networks": ["10.0.0.0/8", "10.2.0.0/8", "hunter2"],
        "scopes": ["read", "two words"], "expires": "1 fortnight"});
    let refused = door.post("/tokens", wanted).await;
    assert_eq!(refused.status, StatusCode::BAD_REQUEST);
    let errors = refused.body["errors"].as_array().expect("errors");
    let pointers: Vec<_> = errors
        .iter()
        .map(|e| e["pointer"].as_str().expect("a pointer"))
        .collect();
    assert_eq!(pointers, ["/networks/1", "/networks/2", "/scopes/1", "/expires"]);
    assert!(!refused.body.to_string().contains("hunter2"), "{}", refused.body);
    assert!(
        errors
            .iter()
            .all(|e| e["message"].as_str().is_some_and(|m| m.starts_with("found ")))
    );

    let refused = door
        .get("/tokens?limit=0&limit=2&kind=magic&after=&hunter2=1&colour=red")
        .await;
    assert_eq!(refused.status, StatusCode::BAD_REQUEST);
    let errors = refused.body["errors"].as_array().expect("errors");
    let named: Vec<_> = errors
        .iter()
        .map(|e| e["parameter"].as_str().expect("a name"))
        .collect();
    assert_eq!(
        named,
        ["limit", "limit", "kind", "after", "hunter2", "colour"],
        "{}",
        refused.body
    );

    let twice = Request::post("/api/v1/devices")
        .header(header::CONTENT_TYPE, "application/json")
        .body(Body::from(
            r#"{"identifier": "serial-0001", "identifier": "serial-0002"}"#,
        ));
    let refused = send(&door.router, twice.expect("a request")).await;
    assert_eq!(refused.status, StatusCode::BAD_REQUEST);
    assert!(
        refused.body["message"].to_string().contains("duplicate field"),
        "{}",
        refused.body
    );
    let no_text = send(
        &door.router,
        Request::get("/api/v1/tokens/%ff")
            .body(Body::empty())
            .expect("a request"),
    );
    let no_text = no_text.await;
    assert_eq!(
        (no_text.status, &no_text.body["errors"][0]["parameter"]),
        (StatusCode::BAD_REQUEST, &json!("path"))
    );
}
