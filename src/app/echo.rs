//! An upstream that answers with what it saw: for `doorward demo` and for tests.
//!
//! Not part of the data plane: it runs on the control runtime, reads bodies into memory up to 1 MiB and
//! knows nothing of Doorward.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{Request, Response};
use tokio::net::TcpListener;

use crate::runtime::side_door::{self, Bounds};
use crate::runtime::tasks::Tasks;

/// Most of a body that is read.
const MAX_BODY_BYTES: usize = 1024 * 1024;

/// Binds a free loopback port.
pub fn bind() -> std::io::Result<(std::net::TcpListener, SocketAddr)> {
    let listener = std::net::TcpListener::bind(("127.0.0.1", 0))?;
    listener.set_nonblocking(true)?;
    let address = listener.local_addr()?;
    Ok((listener, address))
}

/// Serves until the tasks are stopped.
pub async fn serve(listener: std::net::TcpListener, tasks: Tasks) -> std::io::Result<()> {
    let listener = Arc::new(TcpListener::from_std(listener)?);
    let end = tasks.shutdown().clone();
    let service = service_fn(answer);
    side_door::serve(
        listener,
        "echo-upstream",
        Bounds::default(),
        tasks,
        end,
        move |_| service,
    )
    .await;
    Ok(())
}

async fn answer(request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
    let (head, body) = request.into_parts();
    let body = match Limited::new(body, MAX_BODY_BYTES).collect().await {
        Ok(body) => body.to_bytes(),
        Err(_) => Bytes::from_static(b"(longer than 1 MiB, or cut off)"),
    };
    let mut headers: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    for (name, value) in &head.headers {
        headers
            .entry(name.as_str())
            .or_default()
            .push(String::from_utf8_lossy(value.as_bytes()).into_owned());
    }
    let seen = serde_json::json!({
        "method": head.method.as_str(),
        "target": head.uri.to_string(),
        "headers": headers,
        "body": String::from_utf8_lossy(&body),
    });
    let mut response = Response::new(Full::new(Bytes::from(format!("{seen:#}\n"))));
    response.headers_mut().insert(
        http::header::CONTENT_TYPE,
        http::HeaderValue::from_static("application/json"),
    );
    Ok(response)
}
