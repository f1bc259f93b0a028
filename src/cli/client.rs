//! One way to do each thing: a request to the management door. A running server answers it over its admin
//! socket; when none runs, the same routes work on the store in this process.

use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use bytes::Bytes;
use http::{Method, Request, StatusCode, header};
use http_body_util::{BodyExt, Full, Limited};
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::net::UnixStream;
use tokio::runtime::Handle;

use super::Failure;
use crate::app::Tool;
use crate::config::Settings;
use crate::edge::management::wire::ProblemBody;
use crate::runtime::tasks::Tasks;

/// Longest answer read.
const MAX_ANSWER_BYTES: usize = 16 * 1024 * 1024;

/// Who answers.
pub enum Client {
    /// A running server.
    Server(SendRequest<Full<Bytes>>),
    /// This process, on the store.
    Here(Box<Tool>),
}

impl Client {
    /// Finds out who answers.
    pub async fn connect(settings: &Settings) -> Result<Self, Failure> {
        if let Some(server) = Self::running(settings).await? {
            return Ok(server);
        }
        let tool = Tool::open(settings).await.map_err(Failure::failed)?;
        Ok(Self::Here(Box::new(tool)))
    }

    /// The running server; `None` when none runs.
    pub async fn running(settings: &Settings) -> Result<Option<Self>, Failure> {
        match UnixStream::connect(&settings.admin.socket).await {
            Ok(stream) => {
                check_server(&stream, settings)?;
                over(stream).await.map(Some)
            }
            Err(e)
                if matches!(
                    e.kind(),
                    io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused
                ) =>
            {
                Ok(None)
            }
            Err(e) => Err(unreachable(&settings.admin.socket, &e)),
        }
    }

    /// Reads something.
    pub async fn get<T: DeserializeOwned>(&mut self, path: &str) -> Result<T, Failure> {
        self.call(Method::GET, path, None, None).await
    }

    /// Does something.
    pub async fn post<T: DeserializeOwned>(
        &mut self,
        path: &str,
        body: &impl Serialize,
    ) -> Result<T, Failure> {
        let body = serde_json::to_vec(body).map_err(Failure::failed)?;
        self.call(Method::POST, path, Some(body), None).await
    }

    /// Changes something, of this version when one is given.
    pub async fn patch<T: DeserializeOwned>(
        &mut self,
        path: &str,
        body: &impl Serialize,
        version: Option<u64>,
    ) -> Result<T, Failure> {
        let body = serde_json::to_vec(body).map_err(Failure::failed)?;
        self.call(Method::PATCH, path, Some(body), version).await
    }

    /// Deletes something.
    pub async fn delete<T: DeserializeOwned>(&mut self, path: &str) -> Result<T, Failure> {
        self.call(Method::DELETE, path, None, None).await
    }

    async fn call<T: DeserializeOwned>(
        &mut self,
        method: Method,
        path: &str,
        body: Option<Vec<u8>>,
        version: Option<u64>,
    ) -> Result<T, Failure> {
        let mut request = Request::builder()
            .method(method)
            .uri(format!("/api/v1{path}"))
            .header(header::HOST, "localhost");
        if body.is_some() {
            request = request.header(header::CONTENT_TYPE, "application/json");
        }
        if let Some(version) = version {
            request = request.header(header::IF_MATCH, format!("\"{version}\""));
        }
        let request = request
            .body(Full::new(Bytes::from(body.unwrap_or_default())))
            .map_err(Failure::failed)?;
        let (status, answer) = match self {
            Self::Server(sender) => {
                let response = sender.send_request(request).await.map_err(Failure::failed)?;
                let status = response.status();
                let limited = Limited::new(response.into_body(), MAX_ANSWER_BYTES);
                let body = limited.collect().await;
                let body = body.map_err(|e| Failure::Failed(format!("the answer broke off: {e}")))?;
                (status, body.to_bytes())
            }
            Self::Here(tool) => tool.call(request).await.map_err(Failure::failed)?,
        };
        if status.is_success() {
            return serde_json::from_slice(&answer)
                .map_err(|e| Failure::Failed(format!("the answer cannot be understood: {e}")));
        }
        let message = match serde_json::from_slice::<ProblemBody>(&answer) {
            Ok(problem) => told(problem),
            Err(_) => format!("the server answered {status}"),
        };
        Err(match status {
            StatusCode::BAD_REQUEST => Failure::Usage(message),
            _ => Failure::Failed(message),
        })
    }

    /// Ends it in order.
    pub async fn close(self) {
        if let Self::Here(tool) = self {
            tool.close().await;
        }
    }
}

/// A problem as lines: what is wrong, one part below the other.
fn told(problem: ProblemBody) -> String {
    if problem.errors.len() < 2 {
        return problem.message;
    }
    let mut text = format!("{} parts of the request are wrong:", problem.errors.len());
    for error in problem.errors {
        let place = error.pointer.or(error.parameter).unwrap_or_default();
        let place = match place.trim_start_matches('/') {
            "" => "body",
            place => place,
        };
        text.push_str(&format!("\n  {place}: {}", error.message));
    }
    text
}

async fn over(stream: UnixStream) -> Result<Client, Failure> {
    let (sender, connection) = http1::handshake(TokioIo::new(stream))
        .await
        .map_err(Failure::failed)?;
    // It ends with its sender.
    drop(Tasks::on(Handle::current()).spawn("admin-client", connection));
    Ok(Client::Server(sender))
}

/// In a folder that others may write to, anybody could listen here and be told secrets: the server must be
/// ourselves, root, or whoever the data folder belongs to.
fn check_server(stream: &UnixStream, settings: &Settings) -> Result<(), Failure> {
    let server = stream.peer_cred().map_err(Failure::failed)?.uid();
    let owner = std::fs::metadata(&settings.data_dir)?.uid();
    if [0, owner, rustix::process::geteuid().as_raw()].contains(&server) {
        return Ok(());
    }
    Err(Failure::Failed(format!(
        "user {server} listens at {}, but the data folder belongs to user {owner}; nothing was sent. Find out who put \
         the socket there",
        settings.admin.socket.display()
    )))
}

fn unreachable(socket: &Path, error: &io::Error) -> Failure {
    Failure::Failed(format!(
        "the admin socket {} cannot be used: {error}; run this as the user that runs the server",
        socket.display()
    ))
}

/// A text as one segment of a path or a value of a query (RFC 3986: everything but unreserved letters is
/// encoded).
pub fn encoded(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            out.push('%');
            out.push_str(&hex::encode_upper([byte]));
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn several_faults_stand_below_one_another() {
        let problem = serde_json::json!({"type": "about:blank", "title": "Bad Request", "status": 400,
        "message": "all in one line", "errors": [
            {"pointer": "/networks/1", "message": "found a text that is no network"},
            {"pointer": "", "message": "found unknown field `exires`"},
            {"parameter": "limit", "message": "found another type"},
        ]});
        let told = told(serde_json::from_value(problem).expect("a problem"));
        assert_eq!(
            told,
            "3 parts of the request are wrong:\n  networks/1: found a text that is no network\n  body: found unknown \
             field `exires`\n  limit: found another type"
        );
    }

    #[test]
    fn what_would_change_the_meaning_of_a_path_is_encoded() {
        for (text, expected) in [
            ("0190c2f0-aaaa", "0190c2f0-aaaa"),
            ("own:ab", "own%3Aab"),
            ("auth0|x/../y?z#", "auth0%7Cx%2F..%2Fy%3Fz%23"),
            ("é", "%C3%A9"),
        ] {
            assert_eq!(encoded(text), expected);
        }
    }
}
