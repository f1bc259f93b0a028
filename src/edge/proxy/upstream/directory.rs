//! One upstream as all threads share it: its settings, its TLS, and the endpoints it has at the moment.
//!
//! The list of endpoints is replaced as a whole when a name comes to stand for other addresses; a thread
//! learns of it by one atomic load per request. An endpoint that stays keeps what is known about it.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::address::{Place, Security};
use super::endpoint::{Door, Endpoint};
use super::settings::{Protocol, Target, UpstreamSettings};
use super::tls::{ClientTls, TlsSetupError};
use crate::telemetry::{Metrics, UpstreamMetrics};

/// Most addresses of one name that are used.
pub(super) const MAX_ADDRESSES: usize = 16;

/// Names of protocols in ALPN (RFC 7301 section 6).
pub(super) const HTTP1: &[u8] = b"http/1.1";
pub(super) const HTTP2: &[u8] = b"h2";

/// The endpoints of an upstream at one time.
pub type Endpoints = Arc<[Arc<Endpoint>]>;

/// One upstream.
#[derive(Debug)]
pub struct Directory {
    settings: UpstreamSettings,
    metrics: UpstreamMetrics,
    /// `None` when no target speaks TLS.
    tls: Option<Arc<ClientTls>>,
    endpoints: watch::Sender<Endpoints>,
    /// By target: whether its name was looked up; true where there is none.
    looked_up: Box<[AtomicBool]>,
    not_looked_up: AtomicUsize,
    /// Cancelled when it is not in force any more.
    retired: CancellationToken,
}

impl Directory {
    /// Sets an upstream up. Targets with names have no endpoints until they are resolved.
    pub fn new(settings: UpstreamSettings, metrics: &Metrics) -> Result<Arc<Self>, TlsSetupError> {
        Self::succeeding(None, settings, metrics)
    }

    /// Sets an upstream up in place of another one. What is known of the targets that both have is taken over:
    /// the addresses of their names, and whether they are well.
    pub fn succeeding(
        before: Option<&Self>,
        settings: UpstreamSettings,
        metrics: &Metrics,
    ) -> Result<Arc<Self>, TlsSetupError> {
        let speaks_tls = |target: &Target| target.address.security() == Security::Tls;
        let tls = match settings.targets.iter().any(speaks_tls) {
            true => Some(Arc::new(client_tls(&settings)?)),
            false => None,
        };
        let inherited = before.map_or_else(Inherited::default, |before| before.inherited(&settings));
        let unknown = |(index, target): (usize, &Target)| {
            matches!(target.address.place(), Place::Name { .. }) && !inherited.looked_up.contains(&index)
        };
        let unknown: Vec<bool> = settings.targets.iter().enumerate().map(unknown).collect();
        let endpoints = written(&settings, &inherited.endpoints);
        let directory = Arc::new(Self {
            looked_up: unknown.iter().map(|unknown| AtomicBool::new(!unknown)).collect(),
            not_looked_up: AtomicUsize::new(unknown.iter().filter(|unknown| **unknown).count()),
            retired: CancellationToken::new(),
            metrics: metrics.for_upstream(&settings.name),
            settings,
            tls,
            endpoints: watch::Sender::new(endpoints),
        });
        directory.count();
        Ok(directory)
    }

    /// Its settings.
    pub fn settings(&self) -> &UpstreamSettings {
        &self.settings
    }

    /// Its metrics.
    pub fn metrics(&self) -> &UpstreamMetrics {
        &self.metrics
    }

    /// Its TLS, when some target speaks it.
    pub fn tls(&self) -> Option<Arc<ClientTls>> {
        self.tls.clone()
    }

    /// Lets what runs in the background for it end; requests under way go on.
    pub fn retire(&self) {
        self.retired.cancel();
    }

    /// Cancelled when it is not in force any more.
    pub(super) fn retired(&self) -> &CancellationToken {
        &self.retired
    }

    /// What a successor with these settings takes over.
    fn inherited(&self, settings: &UpstreamSettings) -> Inherited {
        let mut out = Inherited::default();
        let endpoints = self.endpoints.borrow();
        for (index, target) in settings.targets.iter().enumerate() {
            let mut ours = self.settings.targets.iter();
            let Some(known) = ours.position(|t| t.address == target.address) else {
                continue;
            };
            if self
                .looked_up
                .get(known)
                .is_some_and(|seen| seen.load(Ordering::Acquire))
            {
                out.looked_up.push(index);
            }
            let of_target = endpoints.iter().filter(|e| e.target() == known);
            // Without checks nobody would ever find out that it is well again.
            out.endpoints.extend(of_target.map(|e| match settings.health {
                Some(_) => Arc::new(e.succeeded_by(index)),
                None => Arc::new(Endpoint::new(index, e.door().clone())),
            }));
        }
        out
    }

    /// The endpoints, and news of them.
    pub fn watch(&self) -> watch::Receiver<Endpoints> {
        self.endpoints.subscribe()
    }

    /// Whether every name was looked up at least once, with whatever success.
    pub fn is_looked_up(&self) -> bool {
        self.not_looked_up.load(Ordering::Acquire) == 0
    }

    /// Takes the addresses that the name of a target stands for now; `None` when it could not be resolved:
    /// then it keeps what it had. Only the target's resolver calls this.
    pub(super) fn renew(&self, target: usize, addresses: Option<&[SocketAddr]>) {
        let first = self
            .looked_up
            .get(target)
            .is_some_and(|seen| !seen.swap(true, Ordering::AcqRel));
        if first {
            self.not_looked_up.fetch_sub(1, Ordering::AcqRel);
        }
        self.endpoints.send_if_modified(|endpoints| {
            let after = addresses.map(|addresses| renewed(&self.settings, endpoints, target, addresses));
            let Some(after) = after.filter(|after| !same(after, endpoints)) else {
                // Whoever waits for the first look-up learns that it failed.
                return first;
            };
            let (upstream, count) = (&*self.settings.name, after.len());
            tracing::info!(
                upstream,
                endpoints = count,
                "the upstream's addresses are known anew"
            );
            *endpoints = after;
            true
        });
        self.count();
    }

    /// Brings the gauges up to date.
    pub fn count(&self) {
        let endpoints = self.endpoints.borrow();
        let healthy = endpoints.iter().filter(|e| e.is_healthy()).count();
        let number = |n: usize| i64::try_from(n).unwrap_or(i64::MAX);
        self.metrics.endpoints.set(number(endpoints.len()));
        self.metrics.endpoints_healthy.set(number(healthy));
    }
}

fn client_tls(settings: &UpstreamSettings) -> Result<ClientTls, TlsSetupError> {
    let offered: &[&[u8]] = match settings.protocol {
        Protocol::Http1 => &[HTTP1],
        Protocol::Http2 => &[HTTP2],
        Protocol::Auto => &[HTTP2, HTTP1],
    };
    let client = ClientTls::new(&settings.tls, offered)?;
    for target in &settings.targets {
        if target.address.security() == Security::Tls {
            client.name_of(&target.address)?;
        }
    }
    Ok(client)
}

/// What one directory takes over from another.
#[derive(Default)]
struct Inherited {
    /// Targets whose names were looked up.
    looked_up: Vec<usize>,
    endpoints: Vec<Arc<Endpoint>>,
}

/// What is known without asking anybody.
fn written(settings: &UpstreamSettings, known: &[Arc<Endpoint>]) -> Endpoints {
    let of_target = |(index, target): (usize, &Target)| {
        let mut known = known.iter().filter(|e| e.target() == index).cloned().peekable();
        if known.peek().is_some() {
            return known.collect();
        }
        let door = match target.address.place() {
            Place::Ip(address) => Door::Tcp(*address),
            Place::Unix(path) => Door::Unix(Arc::clone(path)),
            Place::Name { .. } => return Vec::new(),
        };
        vec![Arc::new(Endpoint::new(index, door))]
    };
    let targets = settings.targets.iter().enumerate();
    targets.flat_map(of_target).collect()
}

/// The endpoints, with these addresses for one target. Known ones stay the same.
fn renewed(
    settings: &UpstreamSettings,
    before: &[Arc<Endpoint>],
    target: usize,
    addresses: &[SocketAddr],
) -> Endpoints {
    // Their order changes from answer to answer and means nothing here.
    let mut addresses: Vec<SocketAddr> = addresses.to_vec();
    addresses.sort_unstable();
    addresses.dedup();
    addresses.truncate(MAX_ADDRESSES);
    let of_target = |index: usize| before.iter().filter(move |e| e.target() == index);
    let mut after: Vec<Arc<Endpoint>> = Vec::new();
    for index in 0..settings.targets.len() {
        if index != target {
            after.extend(of_target(index).cloned());
            continue;
        }
        after.extend(addresses.iter().map(|address| {
            let door = Door::Tcp(*address);
            match of_target(index).find(|e| *e.door() == door) {
                Some(known) => Arc::clone(known),
                None => Arc::new(Endpoint::new(index, door)),
            }
        }));
    }
    after.into()
}

fn same(a: &[Arc<Endpoint>], b: &[Arc<Endpoint>]) -> bool {
    a.len() == b.len() && a.iter().zip(b).all(|(a, b)| Arc::ptr_eq(a, b))
}

#[cfg(test)]
mod tests {
    use super::super::{HealthSettings, UpstreamAddress};
    use super::*;
    use crate::telemetry::labels::CheckOutcome;
    use std::time::Duration;

    fn named() -> (Arc<Directory>, Metrics) {
        let address = UpstreamAddress::new(Security::Plain, "app.test", 80).expect("a name");
        let metrics = Metrics::new().expect("metrics");
        let directory = Directory::new(UpstreamSettings::new("api", address), &metrics);
        (directory.expect("an upstream"), metrics)
    }

    fn addresses(lasts: impl IntoIterator<Item = u8>) -> Vec<SocketAddr> {
        lasts
            .into_iter()
            .map(|last| ([10, 0, 0, last], 80).into())
            .collect()
    }

    #[test]
    fn a_name_has_so_many_addresses_each_once_and_their_order_is_no_news() {
        let (directory, _) = named();
        let mut news = directory.watch();
        directory.renew(0, Some(&addresses([3, 1, 2, 1])));
        let first: Endpoints = news.borrow_and_update().clone();
        assert_eq!(first.len(), 3, "each once");
        directory.renew(0, Some(&addresses([2, 3, 1])));
        assert!(!news.has_changed().expect("open"), "another order");
        directory.renew(0, Some(&addresses([2, 3, 1, 4])));
        let second: Endpoints = news.borrow_and_update().clone();
        let stayed = first.iter().filter(|e| second.iter().any(|s| Arc::ptr_eq(e, s)));
        assert_eq!(stayed.count(), 3, "who stays keeps what is known of it");
        directory.renew(0, Some(&addresses(0..200)));
        assert_eq!(
            news.borrow_and_update().len(),
            MAX_ADDRESSES,
            "no more than the bound"
        );
    }

    #[test]
    fn who_waits_for_the_first_look_up_learns_that_it_failed() {
        let (directory, _) = named();
        let news = directory.watch();
        assert!(!directory.is_looked_up());
        directory.renew(0, None);
        assert!(directory.is_looked_up() && news.has_changed().expect("open"));
    }

    #[test]
    fn a_verdict_outlives_a_change_of_settings_only_while_somebody_can_revoke_it() {
        let health = HealthSettings {
            path: http::uri::PathAndQuery::from_static("/"),
            interval: Duration::from_secs(1),
            timeout: Duration::from_secs(1),
            healthy_after: 1,
            unhealthy_after: 1,
            expect_status: Vec::new(),
        };
        for (after, healthy, why) in [
            (Some(health.clone()), false, "it is asked again"),
            (None, true, "nobody asks any more"),
        ] {
            let (before, metrics) = named();
            before.renew(0, Some(&addresses([1])));
            before.watch().borrow()[0].checked(CheckOutcome::Failed, &health);
            let mut settings = before.settings().clone();
            settings.health = after;
            let next = Directory::succeeding(Some(&before), settings, &metrics).expect("an upstream");
            assert!(next.is_looked_up(), "its address is known already");
            assert_eq!(next.watch().borrow()[0].is_healthy(), healthy, "{why}");
        }
    }
}
