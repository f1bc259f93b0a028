//! Names are looked up again and again, in the background: a request never waits for one, but for the very
//! first look-up after the start.
//!
//! A name that cannot be resolved keeps the addresses it had, and does not hold up the start. One task per
//! target, on the control runtime; each ends with its upstream.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Weak};

use tokio_util::sync::CancellationToken;

use super::address::Place;
use super::directory::Directory;
use crate::runtime::tasks::Tasks;
use crate::telemetry::labels::ResolveOutcome;

/// Where addresses come from: the system, or a table in a test.
pub trait Resolve: Clone + Send + Sync + 'static {
    /// Every address that this name stands for, with this port.
    fn resolve(&self, host: &str, port: u16) -> impl Future<Output = io::Result<Vec<SocketAddr>>> + Send;
}

/// The system's resolver.
#[derive(Debug, Clone, Copy)]
pub struct SystemResolver;

impl Resolve for SystemResolver {
    async fn resolve(&self, host: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
        Ok(tokio::net::lookup_host((host, port)).await?.collect())
    }
}

/// Starts a task for every target that has a name.
pub fn keep_resolved(directory: &Arc<Directory>, resolver: &impl Resolve, tasks: &Tasks) {
    for (target, written) in directory.settings().targets.iter().enumerate() {
        if let Place::Name { host, port } = written.address.place() {
            let name = Name {
                directory: Arc::downgrade(directory),
                target,
                host: Arc::clone(host),
                port: *port,
            };
            let (end, retired) = (tasks.shutdown().clone(), directory.retired().clone());
            tasks.spawn("upstream-name", name.follow(resolver.clone(), end, retired));
        }
    }
}

/// The name of one target.
struct Name {
    directory: Weak<Directory>,
    target: usize,
    host: Arc<str>,
    port: u16,
}

impl Name {
    /// Retiring does not break off a look-up: requests under way may wait for the first one.
    async fn follow(self, resolver: impl Resolve, end: CancellationToken, retired: CancellationToken) {
        let mut told = false;
        loop {
            let answer = tokio::select! {
                () = end.cancelled() => return,
                answer = resolver.resolve(&self.host, self.port) => answer,
            };
            let Some(directory) = self.directory.upgrade() else {
                return;
            };
            let refresh = directory.settings().dns_refresh;
            let (upstream, host) = (&*directory.settings().name, &*self.host);
            let outcome = match answer {
                Ok(addresses) if !addresses.is_empty() => {
                    if std::mem::take(&mut told) {
                        tracing::info!(upstream, host, "the upstream's name is resolved again");
                    }
                    directory.renew(self.target, Some(&addresses));
                    ResolveOutcome::Resolved
                }
                failed => {
                    if !std::mem::replace(&mut told, true) {
                        let error = match failed {
                            Ok(_) => "no address".to_owned(),
                            Err(error) => error.to_string(),
                        };
                        tracing::warn!(
                            upstream,
                            host,
                            error,
                            "the upstream's name cannot be resolved; what it had stays, and it is tried again"
                        );
                    }
                    directory.renew(self.target, None);
                    ResolveOutcome::Failed
                }
            };
            directory.metrics().resolutions.inc(outcome);
            drop(directory);
            tokio::select! {
                () = end.cancelled() => return,
                () = retired.cancelled() => return,
                () = tokio::time::sleep(refresh) => {}
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::time::Duration;

    use tokio::runtime::Handle;

    use super::super::{Security, UpstreamAddress, UpstreamSettings};
    use super::*;
    use crate::telemetry::Metrics;

    const REFRESH: Duration = Duration::from_secs(5);
    const INSTANT: Duration = Duration::from_millis(1);

    /// Counts how often it was asked; knows an address every second time.
    #[derive(Clone, Default)]
    struct Counts(Arc<AtomicUsize>);

    impl Resolve for Counts {
        async fn resolve(&self, _: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
            match self.0.fetch_add(1, Ordering::SeqCst) % 2 {
                0 => Ok(vec![([10, 0, 0, 1], port).into()]),
                _ => Err(io::Error::other("no such name")),
            }
        }
    }

    /// Time is the runtime's own.
    #[tokio::test(start_paused = true)]
    async fn a_name_is_asked_for_once_in_each_refresh_whatever_comes_of_it_and_never_when_retired() {
        let address = UpstreamAddress::new(Security::Plain, "app.test", 80).expect("a name");
        let mut settings = UpstreamSettings::new("api", address);
        settings.dns_refresh = REFRESH;
        let metrics = Metrics::new().expect("metrics");
        let directory = Directory::new(settings, &metrics).expect("an upstream");
        let resolver = Counts::default();
        keep_resolved(&directory, &resolver, &Tasks::on(Handle::current()));
        let asked = || resolver.0.load(Ordering::SeqCst);
        tokio::time::sleep(INSTANT).await;
        for times in 1..=6 {
            assert_eq!(asked(), times, "once in each");
            tokio::time::sleep(REFRESH - INSTANT * 2).await;
            assert_eq!(asked(), times, "not before");
            tokio::time::sleep(INSTANT * 2).await;
        }
        directory.retire();
        tokio::time::sleep(REFRESH * 10).await;
        assert_eq!(asked(), 7, "nobody asks for what is not in force");
    }
}
