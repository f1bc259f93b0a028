//! `doorward demo`: a fresh store in a folder of its own, an upstream that tells what it saw, one credential
//! of each kind, and each of them tried once.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, anyhow};
use base64::Engine as _;
use http_body_util::{BodyExt, Empty};
use hyper_util::rt::TokioIo;

use super::rooms::Rooms;
use super::{Process, Start, echo};
use crate::accounts::{
    Actor, ApiTokenForm, DeviceTokenForm, Issued, NewAccessToken, NewCredential, NewPrincipal,
    NewSealedToken, Password, SealedForm,
};
use crate::config::{self, Environment};
use crate::crypto::random;
use crate::domain::identity::PrincipalKind;
use crate::domain::scope::{Permission, ScopeSet};

/// Prints one text for a person to read.
pub type Say = Box<dyn Fn(&str) + Send + Sync>;

/// One credential, ready to be presented.
struct Sample {
    title: &'static str,
    /// What follows `curl`, up to the URL.
    curl: String,
    header: (&'static str, String),
}

/// Serves the demo until told to stop. The folder must be empty; the caller removes it afterwards.
pub fn demo(folder: &Path, listen: SocketAddr, say: Say) -> anyhow::Result<()> {
    let (upstream, upstream_address) = echo::bind().context("starting the echo upstream")?;
    let text = configuration(folder, listen, upstream_address)?;
    let loaded = config::load_text("demo.yaml", &text, &Environment::of([])).map_err(|p| anyhow!("{p}"))?;
    let process = Process::start(&loaded.settings, Start::default())?;
    let proxy = *process.addresses().first().context("the demo has a listener")?;
    let tasks = process.tasks();
    tasks.spawn("echo-upstream", echo::serve(upstream, tasks.clone()));
    let rooms = Arc::clone(process.rooms());
    let samples = tasks
        .handle()
        .block_on(issue(&rooms))
        .context("issuing the demo's credentials")?;
    tasks.spawn("demo", async move {
        if let Err(error) = show(proxy, &samples, &say).await {
            say(&format!("The demo could not show itself: {error:#}"));
        }
    });
    process.run()
}

fn configuration(folder: &Path, listen: SocketAddr, upstream: SocketAddr) -> anyhow::Result<String> {
    let key = crate::crypto::key_to_base64(&random::key()?);
    let key_file = folder.join("device.key");
    write_private(&key_file, key.as_bytes())?;
    Ok(format!(
        "version: 1\n\
         data_dir: {data}\n\
         listeners: [{{ name: demo, address: \"{listen}\" }}]\n\
         admin: {{ address: 127.0.0.1:0 }}\n\
         status: {{ address: 127.0.0.1:0 }}\n\
         log: {{ format: text, level: warn }}\n\
         drain: {{ delay: 0s, timeout: 5s }}\n\
         upstreams: {{ echo: {{ url: \"http://{upstream}\" }} }}\n\
         credentials:\n\
         \x20 sealed_device_token: {{ key_file: {key_file} }}\n\
         \x20 jwt: {{ issuers: [{{ name: own, issuer: \"https://demo.example\", audience: [demo], keys: own }}] }}\n\
         routes:\n\
         \x20 - {{ name: public, path: /public/, access: public, upstream: echo }}\n\
         \x20 - {{ name: all, path: /, upstream: echo }}\n",
        data = folder.join("data").display(),
        key_file = key_file.display(),
    ))
}

fn write_private(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    use std::io::Write;
    use std::os::unix::fs::OpenOptionsExt;
    let mut file = std::fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)?;
    file.write_all(bytes)
}

async fn issue(rooms: &Rooms) -> anyhow::Result<Vec<Sample>> {
    let (accounts, actor) = (&rooms.accounts, Actor::system());
    let principal = |kind, name: &str| NewPrincipal {
        external_id: Some(name.to_owned()),
        ..NewPrincipal::of(kind)
    };
    let device = accounts
        .create_principal(principal(PrincipalKind::Device, "thermometer-7"), &actor)
        .await?;
    let service = accounts
        .create_principal(principal(PrincipalKind::Service, "backup"), &actor)
        .await?;
    let user = accounts
        .create_principal(principal(PrincipalKind::User, "ada"), &actor)
        .await?;
    let plain = NewCredential::default;

    let sealed = NewSealedToken {
        identifier: "550e8400-e29b-41d4-a716-446655440000".to_owned(),
        form: SealedForm::Compatible,
        tenant: None,
        scopes: ScopeSet::default(),
    };
    let sealed = accounts.issue_sealed(sealed, &actor).await?;
    let device_token = accounts
        .create_device_token(&device, DeviceTokenForm::default(), plain(), &actor)
        .await?;
    let read_only = NewCredential {
        scopes: ScopeSet::parse(["read"])?,
        ..plain()
    };
    let api = accounts
        .create_api_token(&service, &ApiTokenForm::Default, read_only, &actor)
        .await?;
    let access = NewAccessToken {
        scopes: ScopeSet::default(),
        permission: Permission::Full,
        lifetime: Duration::from_secs(3600),
    };
    let jwt = accounts.issue_access_token(&user, access, &actor).await?;
    let basic = accounts
        .create_basic(&user, "ada", Password::Random, plain(), &actor)
        .await?;

    let header = |title, name: &'static str, scheme: &str, issued: &Issued| {
        let value = format!("{scheme}{}", issued.secret.expose());
        Sample {
            title,
            curl: format!("-H '{name}: {value}'"),
            header: (name, value),
        }
    };
    let password = basic.secret.expose();
    Ok(vec![
        header(
            "Sealed device token (AES-256-GCM, no store look-up)",
            "Authorization",
            "Device ",
            &sealed,
        ),
        header(
            "Device token (opaque, in the store)",
            "Device-Token",
            "",
            &device_token,
        ),
        header(
            "API token (prefixed, read only)",
            "Authorization",
            "Bearer ",
            &api,
        ),
        header("JWT (our own issuer)", "Authorization", "Bearer ", &jwt),
        Sample {
            title: "User name and password",
            curl: format!("-u 'ada:{password}'"),
            header: (
                "Authorization",
                format!(
                    "Basic {}",
                    base64::engine::general_purpose::STANDARD.encode(format!("ada:{password}"))
                ),
            ),
        },
    ])
}

/// Tries each credential once, and none, and prints what came of it.
async fn show(proxy: SocketAddr, samples: &[Sample], say: &Say) -> anyhow::Result<()> {
    say(&format!(
        "\nDoorward listens on http://{proxy}; behind it stands an upstream that answers with what it saw.\n"
    ));
    for sample in samples {
        let (status, body) = get(proxy, "/hello", Some(&sample.header)).await?;
        say(&format!(
            "── {}\n\n   curl {} http://{proxy}/hello\n",
            sample.title, sample.curl
        ));
        say(&format!(
            "   {status}; the upstream saw:\n{}",
            identity_lines(&body)
        ));
    }
    let (status, body) = get(proxy, "/hello", None).await?;
    say(&format!(
        "── No credential\n\n   curl -i http://{proxy}/hello\n\n   {status}: {}\n",
        body.trim()
    ));
    say("Press Ctrl-C to stop. Everything above lives in a temporary folder that is removed then.");
    Ok(())
}

async fn get(
    proxy: SocketAddr,
    path: &str,
    header: Option<&(&'static str, String)>,
) -> anyhow::Result<(http::StatusCode, String)> {
    let stream = tokio::net::TcpStream::connect(proxy).await?;
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
    let mut request = http::Request::get(path).header("host", proxy.to_string());
    if let Some((name, value)) = header {
        request = request.header(*name, value);
    }
    let exchange = async {
        let answer = sender
            .send_request(request.body(Empty::<bytes::Bytes>::new())?)
            .await?;
        let status = answer.status();
        let body = answer.into_body().collect().await?.to_bytes();
        drop(sender);
        Ok((status, String::from_utf8_lossy(&body).into_owned()))
    };
    let (outcome, _) = tokio::join!(exchange, connection);
    outcome
}

/// The identity headers in the echo's answer; that no credential is among them is for the reader to see.
fn identity_lines(body: &str) -> String {
    let seen: serde_json::Value = serde_json::from_str(body).unwrap_or_default();
    let mut text = String::new();
    for (name, values) in seen
        .get("headers")
        .and_then(|h| h.as_object())
        .into_iter()
        .flatten()
    {
        if name.starts_with("x-auth-") || name == "authorization" || name == "device-token" {
            let value = values.get(0).and_then(|v| v.as_str()).unwrap_or_default();
            text.push_str(&format!("     {name}: {value}\n"));
        }
    }
    text
}
