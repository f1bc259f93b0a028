//! Bounds of the side doors, on real sockets.

use super::*;
use http_body_util::Full;
use hyper::body::Bytes;
use hyper::service::service_fn;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::runtime::Handle;
use tokio::sync::Notify;

const AT_MOST: Duration = Duration::from_secs(30);

struct Door {
    address: std::net::SocketAddr,
    tasks: Tasks,
    /// A request for `/slow` has arrived.
    slow_arrived: Arc<Notify>,
    /// Lets it go on.
    slow_may_end: Arc<Notify>,
}

async fn open(bounds: Bounds) -> Door {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    let tasks = Tasks::on(Handle::current());
    let (slow_arrived, slow_may_end) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let (arrived, may_end) = (slow_arrived.clone(), slow_may_end.clone());
    let service = service_fn(move |request: Request<Incoming>| {
        let (arrived, may_end) = (arrived.clone(), may_end.clone());
        async move {
            if request.uri().path() == "/slow" {
                arrived.notify_one();
                may_end.notified().await;
            }
            Ok::<_, Infallible>(Response::new(Full::new(Bytes::from_static(b"here"))))
        }
    });
    let end = tasks.shutdown().clone();
    let serving = serve(
        Arc::new(listener),
        "test-door",
        bounds,
        tasks.clone(),
        end,
        move |_| service.clone(),
    );
    tasks.spawn("test-accept", serving);
    Door {
        address,
        tasks,
        slow_arrived,
        slow_may_end,
    }
}

async fn send(address: std::net::SocketAddr, head: &str) -> TcpStream {
    let mut stream = TcpStream::connect(address).await.expect("connected");
    stream.write_all(head.as_bytes()).await.expect("sent");
    stream
}

async fn to_the_end(mut stream: TcpStream) -> String {
    let mut text = String::new();
    tokio::time::timeout(AT_MOST, stream.read_to_string(&mut text))
        .await
        .expect("the door closes")
        .expect("read");
    text
}

#[tokio::test]
async fn a_current_request_is_answered_after_the_end_and_then_nothing_is_left() {
    let door = open(Bounds::default()).await;
    let stream = send(door.address, "GET /slow HTTP/1.1\r\nhost: x\r\n\r\n").await;
    door.slow_arrived.notified().await;
    door.tasks.shutdown().cancel();
    door.slow_may_end.notify_one();
    let answer = to_the_end(stream).await;
    assert!(
        answer.starts_with("HTTP/1.1 200") && answer.ends_with("here"),
        "{answer}"
    );
    assert_eq!(door.tasks.stop(AT_MOST).await, super::super::tasks::Stopped::All);
    assert!(
        TcpStream::connect(door.address).await.is_err(),
        "nobody listens any more"
    );
}

#[tokio::test]
async fn a_head_that_never_ends_is_cut() {
    let door = open(Bounds {
        head_timeout: Duration::from_millis(20),
        ..Bounds::default()
    })
    .await;
    let stream = send(door.address, "GET / HTTP/1.1\r\nhost: x\r\n").await;
    let answer = to_the_end(stream).await;
    assert!(!answer.contains("200"), "{answer}");
}

#[tokio::test]
async fn an_idle_connection_ends_at_its_lifetime() {
    let door = open(Bounds {
        lifetime: Duration::from_millis(20),
        ..Bounds::default()
    })
    .await;
    to_the_end(send(door.address, "").await).await;
}

#[tokio::test]
async fn connections_beyond_the_bound_wait_for_a_place() {
    let door = open(Bounds {
        max_connections: 1,
        ..Bounds::default()
    })
    .await;
    let first = send(
        door.address,
        "GET /slow HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n",
    )
    .await;
    door.slow_arrived.notified().await;
    let mut second = send(
        door.address,
        "GET / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n",
    )
    .await;
    let mut byte = [0];
    let early = tokio::time::timeout(Duration::from_millis(50), second.read(&mut byte)).await;
    assert!(early.is_err(), "the second one waits");
    door.slow_may_end.notify_one();
    assert!(to_the_end(first).await.ends_with("here"));
    assert!(to_the_end(second).await.ends_with("here"));
}
