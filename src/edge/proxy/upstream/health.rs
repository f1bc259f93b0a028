//! Asks every endpoint of an upstream, again and again, whether it is well: a GET on a connection of its own,
//! in the version of HTTP and under the TLS that requests use.
//!
//! Runs on the control runtime, one task per upstream; ends with it. A new endpoint counts as well until it
//! fails as often as configured. What follows from the verdict is `pool`'s to decide.

use std::future::Future;
use std::sync::{Arc, Weak};

use bytes::Bytes;
use futures::future::join_all;
use http::header::{HOST, USER_AGENT};
use http::uri::{Authority, Scheme};
use http::{HeaderValue, Request, StatusCode, Uri, Version};
use http_body_util::Empty;
use hyper::client::conn::{http1, http2};
use hyper::rt::Executor;
use hyper_util::rt::TokioIo;
use tokio_util::sync::CancellationToken;

use super::address::Security;
use super::dial::{Dialed, HttpVersion, dial};
use super::directory::Directory;
use super::endpoint::{Change, Endpoint};
use super::settings::HealthSettings;
use crate::runtime::tasks::Tasks;
use crate::telemetry::labels::CheckOutcome;

const WHO_ASKS: HeaderValue = HeaderValue::from_static("doorward-health-check");

/// Starts the checks, where there are any to make.
pub fn keep_checked(directory: &Arc<Directory>, tasks: &Tasks) {
    if let Some(settings) = directory.settings().health.clone() {
        let checks = Checks {
            directory: Arc::downgrade(directory),
            settings,
            tasks: tasks.clone(),
        };
        let (end, retired) = (tasks.shutdown().clone(), directory.retired().clone());
        tasks.spawn("upstream-health", checks.run(end, retired));
    }
}

struct Checks {
    directory: Weak<Directory>,
    settings: HealthSettings,
    tasks: Tasks,
}

/// Starts hyper's tasks on the control runtime. They end with the connection, which ends with its check.
#[derive(Clone)]
struct OnTasks(Tasks);

impl<F: Future<Output = ()> + Send + 'static> Executor<F> for OnTasks {
    fn execute(&self, task: F) {
        self.0.spawn("upstream-health-connection", task);
    }
}

impl Checks {
    async fn run(self, end: CancellationToken, retired: CancellationToken) {
        loop {
            let Some(directory) = self.directory.upgrade() else {
                return;
            };
            let endpoints = directory.watch().borrow().clone();
            let round = join_all(endpoints.iter().map(|endpoint| self.check(&directory, endpoint)));
            tokio::select! {
                () = end.cancelled() => return,
                () = retired.cancelled() => return,
                _ = round => directory.count(),
            }
            drop(directory);
            tokio::select! {
                () = end.cancelled() => return,
                () = retired.cancelled() => return,
                () = tokio::time::sleep(self.settings.interval) => {}
            }
        }
    }

    async fn check(&self, directory: &Directory, endpoint: &Endpoint) {
        let asked = tokio::time::timeout(self.settings.timeout, self.ask(directory, endpoint)).await;
        let problem = match asked {
            Ok(Ok(status)) if self.expects(status) => None,
            Ok(Ok(status)) => Some(format!("status {status}")),
            Ok(Err(error)) => Some(error.to_string()),
            Err(_) => Some("no answer in time".to_owned()),
        };
        let outcome = match problem {
            None => CheckOutcome::Passed,
            Some(_) => CheckOutcome::Failed,
        };
        directory.metrics().health_checks.inc(outcome);
        if endpoint.checked(outcome, &self.settings) == Change::First {
            let (upstream, endpoint) = (&*directory.settings().name, endpoint.door());
            match problem {
                None => tracing::info!(upstream, %endpoint, "healthy again"),
                Some(error) => tracing::warn!(upstream, %endpoint, error, "unhealthy: it gets no requests"),
            }
        }
    }

    fn expects(&self, status: StatusCode) -> bool {
        match self.settings.expect_status.as_slice() {
            [] => status.is_success(),
            expected => expected.contains(&status),
        }
    }

    async fn ask(&self, directory: &Directory, endpoint: &Endpoint) -> anyhow::Result<StatusCode> {
        let Dialed { stream, version, .. } = dial(directory, endpoint).await?;
        let request = self.request(directory, endpoint, version)?;
        let stream = TokioIo::new(stream);
        match version {
            HttpVersion::One => {
                let (mut sender, connection) = http1::handshake(stream).await?;
                tokio::select! {
                    biased;
                    answer = sender.send_request(request) => Ok(answer?.status()),
                    ended = connection => Err(ended.err().map_or_else(closed, Into::into)),
                }
            }
            HttpVersion::Two => {
                let tasks = OnTasks(self.tasks.clone());
                let (mut sender, connection) = http2::handshake(tasks, stream).await?;
                tokio::select! {
                    biased;
                    answer = sender.send_request(request) => Ok(answer?.status()),
                    ended = connection => Err(ended.err().map_or_else(closed, Into::into)),
                }
            }
        }
    }

    fn request(
        &self,
        directory: &Directory,
        endpoint: &Endpoint,
        version: HttpVersion,
    ) -> anyhow::Result<Request<Empty<Bytes>>> {
        let target = directory.settings().targets.get(endpoint.target());
        let host = target.map(|t| t.address.authority().clone());
        let host = host.unwrap_or(HeaderValue::from_static("localhost"));
        let mut request = Request::new(Empty::new());
        request.headers_mut().insert(USER_AGENT, WHO_ASKS);
        let path = self.settings.path.clone();
        match version {
            HttpVersion::One => {
                *request.uri_mut() = Uri::from(path);
                request.headers_mut().insert(HOST, host);
            }
            HttpVersion::Two => {
                let secure = target.is_some_and(|t| t.address.security() == Security::Tls);
                let mut parts = http::uri::Parts::default();
                parts.scheme = Some(if secure { Scheme::HTTPS } else { Scheme::HTTP });
                parts.authority = Some(Authority::try_from(host.as_bytes())?);
                parts.path_and_query = Some(path);
                *request.uri_mut() = Uri::from_parts(parts)?;
                *request.version_mut() = Version::HTTP_2;
            }
        }
        Ok(request)
    }
}

fn closed() -> anyhow::Error {
    anyhow::anyhow!("the connection was closed")
}
