//! One upstream as one data thread sees it: a pool of connections for each endpoint, and the choice among them.
//!
//! Which endpoints there are is the directory's to know; connections to one that vanished are not used again.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;

use tokio::sync::watch;

use super::endpoint_pool::Pool;
use super::upstream::balance::{Rotation, Share, owner, shares};
use super::upstream::{Directory, Endpoints, UpstreamSettings};
use crate::domain::clock::Clock;
use crate::telemetry::UpstreamMetrics;

/// One upstream, as one thread sees it.
#[derive(Debug)]
pub struct Upstream {
    directory: Arc<Directory>,
    clock: Clock,
    news: RefCell<watch::Receiver<Endpoints>>,
    pools: RefCell<Vec<Rc<Pool>>>,
    /// In the order of the pools.
    shares: RefCell<Vec<Share>>,
    rotation: RefCell<Rotation>,
}

/// Why no endpoint was chosen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NoEndpoint {
    /// There is none: no name stands for an address.
    None,
    /// None that was not tried.
    Other,
    /// None that passes its health check.
    Healthy,
}

impl Upstream {
    /// An upstream without connections.
    pub fn new(directory: Arc<Directory>, clock: Clock) -> Rc<Self> {
        let upstream = Self {
            news: RefCell::new(directory.watch()),
            directory,
            clock,
            pools: RefCell::default(),
            shares: RefCell::default(),
            rotation: RefCell::default(),
        };
        upstream.learn();
        Rc::new(upstream)
    }

    /// What all threads know of it.
    pub fn directory(&self) -> &Arc<Directory> {
        &self.directory
    }

    /// Its settings.
    pub fn settings(&self) -> &UpstreamSettings {
        self.directory.settings()
    }

    /// Its metrics.
    pub fn metrics(&self) -> &UpstreamMetrics {
        self.directory.metrics()
    }

    /// The endpoint for the next request, but none of these. Requests with the same affinity go to the same,
    /// as far as it can be had.
    ///
    /// An endpoint that fails its health check is never chosen. One that no connection could be opened to
    /// lately is, when there is no other: that is only a guess.
    pub fn choose(&self, affinity: Option<u64>, tried: &[Rc<Pool>]) -> Result<Rc<Pool>, NoEndpoint> {
        // An error would mean that the directory is gone, which is ours.
        if self.news.borrow().has_changed().unwrap_or(false) {
            self.learn();
        }
        let pools = self.pools.borrow();
        if let ([only], []) = (pools.as_slice(), tried) {
            return match only.endpoint().is_healthy() {
                true => Ok(Rc::clone(only)),
                false => Err(NoEndpoint::Healthy),
            };
        }
        let shares = self.shares.borrow();
        let untried = |at: usize| {
            let pool = pools.get(at);
            pool.is_some_and(|p| p.endpoint().is_healthy() && !tried.iter().any(|t| Rc::ptr_eq(t, p)))
        };
        let unavoided = |at: usize| {
            let avoided = |p: &Rc<Pool>| p.endpoint().is_avoided(|| self.clock.now().mono);
            untried(at) && !pools.get(at).is_some_and(avoided)
        };
        let pick = |eligible: &dyn Fn(usize) -> bool| match affinity {
            Some(key) => owner(key, &shares, eligible),
            None => self.rotation.borrow_mut().next(&shares, eligible),
        };
        let chosen = pick(&unavoided).or_else(|| pick(&untried));
        match chosen.and_then(|at| pools.get(at)) {
            Some(pool) => Ok(Rc::clone(pool)),
            None if pools.is_empty() => Err(NoEndpoint::None),
            None if pools.iter().any(|p| p.endpoint().is_healthy()) => Err(NoEndpoint::Other),
            None => Err(NoEndpoint::Healthy),
        }
    }

    /// Waits until the names were looked up for the first time, within the bound for connecting.
    pub async fn looked_up(&self) {
        if self.directory.is_looked_up() {
            return;
        }
        let mut news = self.directory.watch();
        let waiting = async { while !self.directory.is_looked_up() && news.changed().await.is_ok() {} };
        let _ = tokio::time::timeout(self.settings().connect_timeout, waiting).await;
    }

    /// Takes over what the directory knows now. Endpoints that stay keep their connections.
    fn learn(&self) {
        let endpoints = self.news.borrow_mut().borrow_and_update().clone();
        let mut pools = self.pools.borrow_mut();
        let mut before = std::mem::take(&mut *pools);
        for endpoint in endpoints.iter() {
            let known = before.iter().position(|p| Arc::ptr_eq(p.endpoint(), endpoint));
            pools.push(match known {
                Some(at) => before.swap_remove(at),
                None => Pool::new(
                    Arc::clone(&self.directory),
                    Arc::clone(endpoint),
                    self.clock.clone(),
                ),
            });
        }
        before.iter().for_each(|pool| pool.vanish());
        *self.shares.borrow_mut() = shares(&self.settings().targets, &endpoints);
        *self.rotation.borrow_mut() = Rotation::default();
    }

    /// Closes what has been idle for too long, and what leads to vanished addresses. Called now and then.
    pub fn prune(&self) {
        if self.news.borrow().has_changed().unwrap_or(false) {
            self.learn();
        }
        self.pools.borrow().iter().for_each(|pool| pool.prune());
    }

    /// No connection is kept any more: the upstream is not in force. Whoever still asks gets a new one.
    pub fn vanish(&self) {
        self.pools.borrow().iter().for_each(|pool| pool.vanish());
    }

    /// Connections that wait.
    pub fn idle(&self) -> usize {
        self.pools.borrow().iter().map(|p| p.idle()).sum()
    }
}
