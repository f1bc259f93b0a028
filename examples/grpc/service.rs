//! A gRPC service in all four forms of a call, written by hand so that no protocol compiler is needed.
//!
//! In the words of a `.proto` file:
//!
//! ```text
//! package demo;
//! message Text { string text = 1; uint32 count = 2; }
//! service Chat {
//!   rpc Say(Text) returns (Text);                   // says it back, and to whom it was said
//!   rpc Count(Text) returns (stream Text);          // as many texts as `count` says
//!   rpc Join(stream Text) returns (Text);           // all texts in one
//!   rpc Talk(stream Text) returns (stream Text);    // says each back at once
//! }
//! ```

use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use http::uri::PathAndQuery;
use tokio::net::TcpListener;
use tokio_stream::wrappers::TcpListenerStream;
use tokio_stream::{Stream, StreamExt};
use tonic::body::Body;
use tonic::server::NamedService;
use tonic::transport::{Channel, Server};
use tonic::{Code, Request, Response, Status, Streaming};
use tonic_prost::ProstCodec;
use tower::{Service, service_fn};

/// What is said.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Text {
    /// The words.
    #[prost(string, tag = "1")]
    pub text: String,
    /// How often.
    #[prost(uint32, tag = "2")]
    pub count: u32,
}

/// Once these words.
pub fn text(words: impl Into<String>) -> Text {
    Text {
        text: words.into(),
        count: 1,
    }
}

type Codec = ProstCodec<Text, Text>;
type Texts = Pin<Box<dyn Stream<Item = Result<Text, Status>> + Send>>;

/// The service.
#[derive(Debug, Clone, Copy)]
pub struct Chat;

impl NamedService for Chat {
    const NAME: &'static str = "demo.Chat";
}

/// Whoever the proxy in front of us says it is.
fn caller<T>(request: &Request<T>) -> String {
    let subject = request.metadata().get("x-auth-subject");
    let subject = subject.and_then(|s| s.to_str().ok());
    subject.unwrap_or("nobody").to_owned()
}

async fn say(request: Request<Text>) -> Result<Response<Text>, Status> {
    let caller = caller(&request);
    let said = request.into_inner();
    match said.text.as_str() {
        "fail" => Err(Status::new(Code::FailedPrecondition, "told to fail: 100 %")),
        "wait" => std::future::pending().await,
        _ => Ok(Response::new(text(format!("{caller}: {}", said.text)))),
    }
}

async fn count(request: Request<Text>) -> Result<Response<Texts>, Status> {
    let asked = request.into_inner();
    let texts = (1..=asked.count).map(move |count| {
        Ok(Text {
            text: asked.text.clone(),
            count,
        })
    });
    Ok(Response::new(Box::pin(tokio_stream::iter(texts))))
}

async fn join(request: Request<Streaming<Text>>) -> Result<Response<Text>, Status> {
    let mut texts = request.into_inner();
    let mut joined = Text::default();
    while let Some(next) = texts.next().await {
        joined.text.push_str(&next?.text);
        joined.count += 1;
    }
    Ok(Response::new(joined))
}

async fn talk(request: Request<Streaming<Text>>) -> Result<Response<Texts>, Status> {
    let echo = request
        .into_inner()
        .map(|said| said.map(|t| text(format!("> {}", t.text))));
    Ok(Response::new(Box::pin(echo)))
}

impl Service<http::Request<Body>> for Chat {
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        Box::pin(async move {
            let mut grpc = tonic::server::Grpc::new(Codec::default());
            Ok(match request.uri().path() {
                "/demo.Chat/Say" => grpc.unary(service_fn(say), request).await,
                "/demo.Chat/Count" => grpc.server_streaming(service_fn(count), request).await,
                "/demo.Chat/Join" => grpc.client_streaming(service_fn(join), request).await,
                "/demo.Chat/Talk" => grpc.streaming(service_fn(talk), request).await,
                _ => Status::unimplemented("no such method").into_http(),
            })
        })
    }
}

/// Serves calls on this socket, in the open, for ever.
pub async fn serve(listener: TcpListener) -> Result<(), tonic::transport::Error> {
    let incoming = TcpListenerStream::new(listener);
    Server::builder()
        .add_service(Chat)
        .serve_with_incoming(incoming)
        .await
}

/// Calls of the service.
#[derive(Debug, Clone)]
pub struct Client {
    grpc: tonic::client::Grpc<Channel>,
    token: Option<String>,
}

impl Client {
    /// Calls over this channel, with this token if there is one.
    pub fn new(channel: Channel, token: Option<String>) -> Self {
        Self {
            grpc: tonic::client::Grpc::new(channel),
            token,
        }
    }

    fn request<T>(&self, message: T) -> Result<Request<T>, Status> {
        let mut request = Request::new(message);
        if let Some(token) = &self.token {
            let value = format!("Bearer {token}").parse();
            let value = value.map_err(|_| Status::invalid_argument("a token of visible letters"))?;
            request.metadata_mut().insert("authorization", value);
        }
        Ok(request)
    }

    async fn ready(&mut self) -> Result<(), Status> {
        let ready = self.grpc.ready().await;
        ready.map_err(|error| Status::unavailable(error.to_string()))
    }

    /// One text, one answer.
    pub async fn say(&mut self, said: Text) -> Result<Response<Text>, Status> {
        let request = self.request(said)?;
        self.say_as(request).await
    }

    /// The same with a request of one's own.
    pub async fn say_as(&mut self, request: Request<Text>) -> Result<Response<Text>, Status> {
        self.ready().await?;
        let path = PathAndQuery::from_static("/demo.Chat/Say");
        self.grpc.unary(request, path, Codec::default()).await
    }

    /// One text, many answers.
    pub async fn count(&mut self, said: Text) -> Result<Streaming<Text>, Status> {
        self.ready().await?;
        let (request, path) = (self.request(said)?, PathAndQuery::from_static("/demo.Chat/Count"));
        let answer = self
            .grpc
            .server_streaming(request, path, Codec::default())
            .await?;
        Ok(answer.into_inner())
    }

    /// Many texts, one answer.
    pub async fn join(&mut self, texts: impl Stream<Item = Text> + Send + 'static) -> Result<Text, Status> {
        self.ready().await?;
        let (request, path) = (self.request(texts)?, PathAndQuery::from_static("/demo.Chat/Join"));
        let answer = self
            .grpc
            .client_streaming(request, path, Codec::default())
            .await?;
        Ok(answer.into_inner())
    }

    /// Many texts, many answers, at once.
    pub async fn talk(
        &mut self,
        texts: impl Stream<Item = Text> + Send + 'static,
    ) -> Result<Streaming<Text>, Status> {
        self.ready().await?;
        let (request, path) = (self.request(texts)?, PathAndQuery::from_static("/demo.Chat/Talk"));
        let answer = self.grpc.streaming(request, path, Codec::default()).await?;
        Ok(answer.into_inner())
    }
}
