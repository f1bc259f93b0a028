//! A gRPC server and a client of it, to be put behind and before Doorward: see the README beside this file.
#![allow(
    clippy::print_stdout,
    clippy::disallowed_methods,
    reason = "an example tells what it does, and reads its own arguments"
)]

mod service;

use std::error::Error;

use tokio::net::TcpListener;
use tokio_stream::StreamExt;
use tonic::transport::Endpoint;

use service::{Client, text};

const USAGE: &str = "usage: grpc serve ADDRESS | grpc call URL TOKEN";

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match arguments.as_slice() {
        ["serve", address] => {
            let listener = TcpListener::bind(address).await?;
            println!("serving on {}", listener.local_addr()?);
            service::serve(listener).await?;
        }
        ["call", url, token] => call(url, token).await?,
        _ => return Err(USAGE.into()),
    }
    Ok(())
}

/// One call of each form.
async fn call(url: &str, token: &str) -> Result<(), Box<dyn Error>> {
    let channel = Endpoint::from_shared(url.to_owned())?.connect().await?;
    let mut client = Client::new(channel, Some(token.to_owned()));
    println!("unary: {}", client.say(text("hello")).await?.into_inner().text);
    let mut counted = client
        .count(service::Text {
            text: "tick".to_owned(),
            count: 3,
        })
        .await?;
    while let Some(next) = counted.next().await {
        let next = next?;
        println!("server streaming: {} {}", next.text, next.count);
    }
    let joined = client.join(tokio_stream::iter(["a", "b", "c"].map(text))).await?;
    println!("client streaming: {} of {}", joined.text, joined.count);
    let mut talk = client.talk(tokio_stream::iter(["one", "two"].map(text))).await?;
    while let Some(next) = talk.next().await {
        println!("both: {}", next?.text);
    }
    Ok(())
}
