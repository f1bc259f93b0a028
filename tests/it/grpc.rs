//! gRPC through the real process: tonic on both sides, in all four forms of a call, over every pair of
//! connections that can carry it; and how a refusal reads to such a client.

use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use hyper_util::rt::TokioIo;
use serde_json::json;
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio_stream::StreamExt;
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Request, Status};
use tower::service_fn;

use crate::support::http::PATIENCE;
use crate::support::pki::Authority;
use crate::support::{Doorward, Reply, Upstream, secure};

#[path = "../../examples/grpc/service.rs"]
mod service;
use service::{Client, Text, text};

fn run<T>(test: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .expect("a runtime");
    runtime.block_on(async { tokio::time::timeout(PATIENCE, test).await.expect("in time") })
}

/// A gRPC server on a free port, for as long as the runtime lives.
async fn serve() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    tokio::spawn(service::serve(listener));
    address
}

fn config(upstream: &str, route: &str) -> String {
    format!(
        "workers: 1\nupstreams: {{ api: {{ url: \"http://{upstream}\", protocol: http2 }} }}\n\
         routes: [{{ path: /, upstream: api{route} }}]\n"
    )
}

async fn open_channel(address: SocketAddr) -> Channel {
    let endpoint = Endpoint::from_shared(format!("http://{address}")).expect("a URL");
    endpoint.connect().await.expect("connected")
}

/// A channel over TLS that agrees on h2.
async fn secure_channel(address: SocketAddr, authority: &Authority) -> Channel {
    let tls = secure::connector(authority, b"h2");
    let connect = service_fn(move |_| {
        let opening = secure::connect(tls.clone(), address);
        async move { opening.await.map(TokioIo::new) }
    });
    let endpoint = Endpoint::from_shared(format!("https://{}", secure::NAME)).expect("a URL");
    endpoint.connect_with_connector(connect).await.expect("connected")
}

/// Every form of a call.
async fn call_in_all_forms(client: &mut Client, caller: &str) {
    let answer = client.say(text("hello")).await.expect("unary");
    assert_eq!(answer.into_inner().text, format!("{caller}: hello"));

    let many = Text {
        text: "x".repeat(1000),
        count: 500,
    };
    let counted = client.count(many).await.expect("server streaming");
    let counted: Vec<Text> = counted.map(|t| t.expect("a text")).collect().await;
    assert_eq!(counted.len(), 500);
    assert_eq!(counted.last().map(|t| t.count), Some(500));

    let texts = (0..500).map(|n| text(format!("{n},")));
    let joined = client
        .join(tokio_stream::iter(texts))
        .await
        .expect("client streaming");
    assert_eq!(joined.count, 500);
    assert!(joined.text.starts_with("0,1,2,") && joined.text.ends_with("498,499,"));

    // Each text waits for the answer to the one before: nothing is held back in either direction.
    let (say, said) = tokio::sync::mpsc::channel(1);
    say.send(text("0")).await.expect("sent");
    let mut talk = client.talk(ReceiverStream::new(said)).await.expect("both");
    for n in 0..50 {
        let answer = talk.next().await.expect("an answer").expect("a text");
        assert_eq!(answer.text, format!("> {n}"));
        say.send(text((n + 1).to_string())).await.expect("sent");
    }
    drop(say);
    assert_eq!(talk.next().await.expect("the last").expect("a text").text, "> 50");
    assert!(talk.next().await.is_none());

    // An error of the app's own, whose words travel in trailers.
    let failed = client.say(text("fail")).await.expect_err("told to");
    assert_eq!(
        (failed.code(), failed.message()),
        (Code::FailedPrecondition, "told to fail: 100 %")
    );
}

#[test]
fn every_form_of_a_call_passes_over_http_2_end_to_end() {
    run(async {
        let door = Doorward::start(&config(&serve().await.to_string(), ""));
        let issued = door.issue(json!({ "kind": "api_token", "for": "alice" }));
        let channel = open_channel(door.proxy).await;
        let mut client = Client::new(channel, Some(issued.secret));
        call_in_all_forms(&mut client, &issued.principal).await;
    });
}

#[test]
fn the_same_over_tls_that_agrees_on_http_2() {
    run(async {
        let authority = Authority::new();
        let files = TempDir::new().expect("a folder");
        let listener = secure::listener(files.path(), &authority);
        let upstream = serve().await.to_string();
        let folder = Arc::new(TempDir::new().expect("a folder"));
        let config = config(&upstream, ", access: public");
        let door = Doorward::start_listening(folder, &listener, &config, &[]);
        let channel = secure_channel(door.proxy, &authority).await;
        call_in_all_forms(&mut Client::new(channel, None), "nobody").await;
    });
}

#[test]
fn a_refusal_is_a_status_that_a_grpc_client_understands() {
    run(async {
        let door = Doorward::start(&config(
            &serve().await.to_string(),
            ", require: { scopes: [chat] }",
        ));
        let wanted = json!({ "kind": "api_token", "for": "alice", "scopes": ["read", "write"] });
        let issued = door.issue(wanted);
        let channel = open_channel(door.proxy).await;
        for (token, code, reason, message) in [
            (
                None,
                Code::Unauthenticated,
                "credential_missing",
                "Authentication is required.",
            ),
            (Some(issued.secret), Code::PermissionDenied, "scope_missing", ""),
        ] {
            let mut client = Client::new(channel.clone(), token);
            let unary = client.say(text("hello")).await.expect_err("refused");
            // While the client is still sending.
            let (say, said) = tokio::sync::mpsc::channel(1);
            say.send(text("0")).await.expect("sent");
            let talk = client.talk(ReceiverStream::new(said)).await.expect_err("refused");
            for status in [unary, talk] {
                let told = |name: &str| {
                    let value = status.metadata().get(name);
                    value.map(|v| v.to_str().expect("text").to_owned())
                };
                assert_eq!(status.code(), code, "{status:?}");
                assert_eq!(told("doorward-reason").as_deref(), Some(reason), "{status:?}");
                assert!(told("x-request-id").is_some(), "{status:?}");
                if !message.is_empty() {
                    assert_eq!(status.message(), message);
                }
            }
        }
    });
}

async fn status_behind(upstream: &str, route: &str) -> Status {
    let door = Doorward::start(&config(upstream, &format!(", access: public{route}")));
    let mut client = Client::new(open_channel(door.proxy).await, None);
    client.say(text("wait")).await.expect_err("no answer")
}

#[test]
fn an_app_that_is_down_is_unavailable_and_a_late_one_has_exceeded_the_deadline() {
    run(async {
        let nobody = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = nobody.local_addr().expect("an address").to_string();
        drop(nobody);
        let down = status_behind(&address, "").await;
        assert_eq!(down.code(), Code::Unavailable, "{down:?}");
        let late = status_behind(&serve().await.to_string(), ", response_timeout: 100ms").await;
        assert_eq!(late.code(), Code::DeadlineExceeded, "{late:?}");
    });
}

#[test]
fn the_clients_own_deadline_reaches_the_app() {
    run(async {
        let upstream = Upstream::start(Reply::Ok(""));
        // An upstream that speaks HTTP/1.1 shows the head as it came.
        let config = config(&upstream.address.to_string(), ", access: public").replace("http2", "http1");
        let door = Doorward::start(&config);
        let mut client = Client::new(open_channel(door.proxy).await, None);
        let mut request = Request::new(text("hello"));
        request.set_timeout(Duration::from_secs(7));
        let _ = client.say_as(request).await;
        let seen = upstream.last();
        assert_eq!(seen.header("grpc-timeout"), Some("7000000u"));
        assert_eq!(seen.header("te"), Some("trailers"));
        assert_eq!(seen.header("connection"), Some("te"));
        assert_eq!(seen.header("content-type"), Some("application/grpc"));
        assert_eq!(seen.body.len(), 5 + 9);
    });
}

#[test]
fn an_upstream_of_http_1_answers_a_call_with_trailers() {
    run(async {
        // One message, then the status behind the last chunk.
        let answer = b"HTTP/1.1 200 OK\r\ncontent-type: application/grpc\r\ntrailer: grpc-status, grpc-message, host\r\n\
            transfer-encoding: chunked\r\n\r\n9\r\n\0\0\0\0\x04\n\x02hi\r\n0\r\ngrpc-status: 0\r\nhost: evil\r\n\
            x_auth_subject: admin\r\ngrpc-message: fine\r\n\r\n";
        let upstream = Upstream::start(Reply::Raw(answer.to_vec()));
        let config = config(&upstream.address.to_string(), ", access: public").replace("http2", "http1");
        let door = Doorward::start(&config);
        let mut client = Client::new(open_channel(door.proxy).await, None);
        for _ in 0..2 {
            let answer = client.say(text("hello")).await.expect("an answer");
            assert_eq!(answer.get_ref().text, "hi");
            let told = answer.metadata();
            assert!(told.get("grpc-message").is_some(), "{told:?}");
            assert!(
                told.get("host").is_none() && told.get("x_auth_subject").is_none(),
                "{told:?}"
            );
        }
        assert_eq!(upstream.connections(), 1, "used again behind its trailers");
    });
}

#[test]
fn a_call_that_is_quiet_in_both_directions_has_the_answers_time_and_one_that_moves_in_one_has_more() {
    run(async {
        let upstream = serve().await.to_string();
        let door = Doorward::start(&config(&upstream, ", access: public, idle_timeout: 400ms"));
        let mut client = Client::new(open_channel(door.proxy).await, None);
        let (say, said) = tokio::sync::mpsc::channel(1);
        say.send(text("0")).await.expect("sent");
        let mut talk = client.talk(ReceiverStream::new(said)).await.expect("both");
        talk.next().await.expect("an answer").expect("a text");
        // Longer than it may be quiet, in all.
        for _ in 0..6 {
            tokio::time::sleep(Duration::from_millis(150)).await;
            say.send(text("more")).await.expect("sent");
            talk.next().await.expect("an answer").expect("a text");
        }
        let ended = talk.next().await.expect("an end").expect_err("cut off");
        assert_ne!(ended.code(), Code::Ok, "{ended:?}");
        drop(say);
        // The connection is as good as before.
        client.say(text("hello")).await.expect("an answer");
    });
}
