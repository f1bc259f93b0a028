//! One upstream as all threads share it: its settings, its TLS, and the endpoints it has at the moment.
//!
//! The list of endpoints is replaced as a whole when a name comes to stand for other addresses; a thread
//! learns of it by one atomic load per request. An endpoint that stays keeps what is known about it.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use arc_swap::ArcSwap;
use tokio::sync::watch;

use super::address::{Place, Security};
use super::endpoint::{Door, Endpoint};
use super::settings::{Protocol, Target, UpstreamSettings};
use super::tls::{ClientTls, TlsSettings, TlsSetupError};
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
    /// `None` when no target speaks TLS. Exchanged when certificates change on disk.
    tls: Option<ArcSwap<ClientTls>>,
    endpoints: watch::Sender<Endpoints>,
    /// By target: whether its name was looked up; true where there is none.
    looked_up: Box<[AtomicBool]>,
    not_looked_up: AtomicUsize,
}

impl Directory {
    /// Sets an upstream up. Targets with names have no endpoints until they are resolved.
    pub fn new(settings: UpstreamSettings, metrics: &Metrics) -> Result<Arc<Self>, TlsSetupError> {
        let speaks_tls = |target: &Target| target.address.security() == Security::Tls;
        let tls = match settings.targets.iter().any(speaks_tls) {
            true => Some(ArcSwap::from_pointee(client_tls(&settings, &settings.tls)?)),
            false => None,
        };
        let endpoints = written(&settings);
        let named = |target: &Target| matches!(target.address.place(), Place::Name { .. });
        let names = settings.targets.iter().filter(|t| named(t)).count();
        let directory = Arc::new(Self {
            looked_up: settings
                .targets
                .iter()
                .map(|t| AtomicBool::new(!named(t)))
                .collect(),
            not_looked_up: AtomicUsize::new(names),
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
        self.tls.as_ref().map(ArcSwap::load_full)
    }

    /// Takes other certificates, keys or names into use for new connections. Sessions are not carried over, so
    /// every new connection is verified anew.
    pub fn exchange_tls(&self, tls: &TlsSettings) -> Result<(), TlsSetupError> {
        if let Some(slot) = &self.tls {
            slot.store(Arc::new(client_tls(&self.settings, tls)?));
        }
        Ok(())
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
    pub(super) fn count(&self) {
        let endpoints = self.endpoints.borrow();
        let healthy = endpoints.iter().filter(|e| e.is_healthy()).count();
        let number = |n: usize| i64::try_from(n).unwrap_or(i64::MAX);
        self.metrics.endpoints.set(number(endpoints.len()));
        self.metrics.endpoints_healthy.set(number(healthy));
    }
}

fn client_tls(settings: &UpstreamSettings, tls: &TlsSettings) -> Result<ClientTls, TlsSetupError> {
    let offered: &[&[u8]] = match settings.protocol {
        Protocol::Http1 => &[HTTP1],
        Protocol::Http2 => &[HTTP2],
        Protocol::Auto => &[HTTP2, HTTP1],
    };
    let client = ClientTls::new(tls, offered)?;
    for target in &settings.targets {
        if target.address.security() == Security::Tls {
            client.name_of(&target.address)?;
        }
    }
    Ok(client)
}

/// What is known without asking anybody.
fn written(settings: &UpstreamSettings) -> Endpoints {
    let of_target = |(index, target): (usize, &Target)| {
        let door = match target.address.place() {
            Place::Ip(address) => Door::Tcp(*address),
            Place::Unix(path) => Door::Unix(Arc::clone(path)),
            Place::Name { .. } => return None,
        };
        Some(Arc::new(Endpoint::new(index, door)))
    };
    settings
        .targets
        .iter()
        .enumerate()
        .filter_map(of_target)
        .collect()
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
