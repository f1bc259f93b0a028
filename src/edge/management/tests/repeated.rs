//! Requests that are sent again under their key.

use super::*;
use crate::edge::management::BASE;

async fn post(router: &Router, path: &str, key: &str, body: &Value) -> Answer {
    let request = Request::post(format!("{BASE}{path}"))
        .header(header::CONTENT_TYPE, "application/json")
        .header("idempotency-key", key)
        .body(Body::from(body.to_string()));
    send(router, request.expect("a request")).await
}

#[tokio::test]
async fn a_repeated_request_makes_nothing_again_and_gets_its_answer_without_the_secret() {
    let door = door().await;
    let wanted = json!({"kind": "api_token", "for": "ci"});
    let first = post(&door.router, "/tokens", "key-1", &wanted).await;
    assert_eq!(first.status, StatusCode::CREATED, "{}", first.body);
    let secret = first.body["secret"].as_str().expect("a secret").to_owned();
    assert!(!first.headers.contains_key("idempotent-replayed"));
    for key in ["key-1", "\"key-1\""] {
        let again = post(&door.router, "/tokens", key, &wanted).await;
        assert_eq!(again.status, StatusCode::CREATED, "{}", again.body);
        assert_eq!(again.headers["idempotent-replayed"], "true");
        assert_eq!(again.body["id"], first.body["id"]);
        assert!(
            !again.body.to_string().contains(&secret),
            "the secret is shown once"
        );
    }
    let tokens = door.get("/tokens").await.body;
    assert_eq!(tokens["items"].as_array().expect("rows").len(), 1);
    let other = post(
        &door.router,
        "/tokens",
        "key-1",
        &json!({"kind": "api_token", "for": "cd"}),
    )
    .await;
    assert_eq!(other.status, StatusCode::UNPROCESSABLE_ENTITY, "{}", other.body);
    let elsewhere = post(&door.router, "/devices", "key-1", &wanted).await;
    assert_eq!(
        elsewhere.status,
        StatusCode::UNPROCESSABLE_ENTITY,
        "another path is another request"
    );
    let new = post(&door.router, "/tokens", "key-2", &wanted).await;
    assert_ne!(new.body["id"], first.body["id"], "another key makes another");

    door.instance
        .clock
        .advance(std::time::Duration::from_secs(24 * 3600 + 1));
    let later = post(&door.router, "/tokens", "key-1", &wanted).await;
    assert_ne!(later.body["id"], first.body["id"], "forgotten after a day");
}

#[tokio::test]
async fn failures_are_not_kept_and_of_two_at_once_one_makes_it() {
    let door = door().await;
    let unknown = json!({"kind": "device_token", "device": "serial-0001"});
    assert_eq!(
        post(&door.router, "/tokens", "k", &unknown).await.status,
        StatusCode::NOT_FOUND
    );
    door.post("/devices", json!({"identifier": "serial-0001"})).await;
    assert_eq!(
        post(&door.router, "/tokens", "k", &unknown).await.status,
        StatusCode::CREATED
    );

    let wanted = json!({"kind": "basic", "for": "ci", "user": "zoe"});
    let all = (0..8).map(|_| post(&door.router, "/tokens", "both", &wanted));
    let all = futures::future::join_all(all).await;
    let made = all
        .iter()
        .filter(|a| a.status == StatusCode::CREATED && a.body["secret"].is_string());
    assert_eq!(made.count(), 1, "one makes it");
    for answer in &all {
        assert!(
            [StatusCode::CREATED, StatusCode::CONFLICT].contains(&answer.status),
            "{}",
            answer.body
        );
    }
}

#[tokio::test]
async fn keys_are_one_bounded_word_and_for_requests_that_make_something() {
    let door = door().await;
    let wanted = json!({"identifier": "serial-0001"});
    for key in ["", "two words", "\"", "a\"b", &"x".repeat(256)] {
        let refused = post(&door.router, "/devices", key, &wanted).await;
        assert_eq!(refused.status, StatusCode::BAD_REQUEST, "{key:?}");
        assert_eq!(
            refused.body["errors"][0]["parameter"], "Idempotency-Key",
            "{key:?}"
        );
    }
    let refused = post(
        &door.router,
        "/revocations",
        "k",
        &json!({"device": "serial-0001"}),
    )
    .await;
    assert_eq!(refused.status, StatusCode::BAD_REQUEST, "{}", refused.body);
    let others = crate::accounts::Actor::local(2000);
    let others = local(Arc::clone(&door.instance.accounts), others);
    assert_eq!(
        post(&door.router, "/devices", "k", &wanted).await.status,
        StatusCode::CREATED
    );
    let other = post(&others, "/devices", "k", &json!({"identifier": "serial-0002"})).await;
    assert_eq!(other.status, StatusCode::CREATED, "a key is its actor's");
}
