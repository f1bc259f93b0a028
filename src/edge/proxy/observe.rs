//! The one place where requests are counted: by route, credential kind and outcome, with their duration from
//! head to the end of the answer. Nothing is counted per upstream here (`forward` does) or per decision.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;

use super::access::Noted;
use crate::domain::clock::Stopwatch;
use crate::domain::identity::CredentialKind;
use crate::domain::reason::Reason;
use crate::telemetry::labels::RequestOutcome;
use crate::telemetry::{Metrics, RouteMetrics};

/// How a request went, known when the head of its answer is.
#[derive(Debug, Clone)]
pub struct Record {
    /// The route's name; `-` when none was found.
    pub route: Arc<str>,
    /// The credential's kind, when one was recognized.
    pub kind: Option<CredentialKind>,
    /// How it ended.
    pub outcome: RequestOutcome,
    /// Why it failed after it was permitted. The gate has counted its own refusals already.
    pub failure: Option<Reason>,
}

/// Counts the requests of one data thread.
#[derive(Debug)]
pub struct Observer {
    metrics: Arc<Metrics>,
    /// Handles of the routes met so far. Bounded: names come from the configuration only, and a
    /// reload clears it.
    routes: RefCell<Vec<(Arc<str>, RouteMetrics)>>,
}

/// One request under way. Counted when dropped, which is when its answer is out (or given up).
#[derive(Debug)]
pub struct Observed {
    observer: Rc<Observer>,
    started: Stopwatch,
    record: Record,
    /// For its line in the access log, where there is one.
    noted: Option<Rc<Noted>>,
}

impl Observed {
    /// The same, whose end is noted here.
    #[must_use]
    pub(super) fn noting(self, noted: Option<Rc<Noted>>) -> Self {
        // Not `..self`: what counts when it is dropped cannot be taken apart.
        let mut this = self;
        this.noted = noted;
        this
    }

    /// What is noted of it.
    pub(super) fn noted(&self) -> Option<&Noted> {
        self.noted.as_deref()
    }
}

impl Observer {
    /// Counts into these metrics.
    pub fn new(metrics: Arc<Metrics>) -> Rc<Self> {
        Rc::new(Self {
            metrics,
            routes: RefCell::new(Vec::new()),
        })
    }

    /// The metrics behind it.
    pub fn metrics(&self) -> &Metrics {
        &self.metrics
    }

    /// Looks the handles up anew: the routes may be others now.
    pub fn forget_routes(&self) {
        self.routes.borrow_mut().clear();
    }

    /// Counts one request when the value that is returned is dropped.
    pub fn follow(self: &Rc<Self>, started: Stopwatch, record: Record) -> Observed {
        Observed {
            observer: self.clone(),
            started,
            record,
            noted: None,
        }
    }

    /// Counts one request. Everything about a finished request comes through here.
    fn observe(&self, record: &Record, started: Stopwatch) {
        self.metrics
            .request_duration
            .observe(started.elapsed().as_secs_f64());
        if let Some(reason) = record.failure {
            self.metrics.reject(reason);
        }
        let mut routes = self.routes.borrow_mut();
        // A handful of routes, and the same `Arc` nearly always: no hashing.
        let known = routes
            .iter()
            .find(|(name, _)| Arc::ptr_eq(name, &record.route) || *name == record.route);
        match known {
            Some((_, metrics)) => metrics.inc(record.kind, record.outcome),
            None => {
                let metrics = self.metrics.for_route(&record.route);
                metrics.inc(record.kind, record.outcome);
                routes.push((record.route.clone(), metrics));
            }
        }
    }
}

impl Drop for Observed {
    fn drop(&mut self) {
        self.observer.observe(&self.record, self.started);
        if let Some(noted) = &self.noted {
            noted.over();
        }
    }
}
