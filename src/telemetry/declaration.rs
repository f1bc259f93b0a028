//! How a metric is declared: registered with the crate that renders it, and described for `docs/metrics.md`.
//! Called by `metrics`, which lists them all.

use prometheus::core::Collector;
use prometheus::{
    Gauge, Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts,
    Registry,
};

pub(super) const PREFIX: &str = "doorward_";

/// A metric could not be declared or written: two of one name, or a name outside the alphabet.
#[derive(Debug, thiserror::Error)]
#[error("metrics: {0}")]
pub struct MetricsError(#[from] prometheus::Error);

/// What a metric is, for the documentation's test.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Description {
    /// The full name.
    pub name: String,
    /// `counter`, `gauge` or `histogram`.
    pub sort: &'static str,
    /// Names of its labels.
    pub labels: Vec<&'static str>,
    /// One sentence.
    pub help: &'static str,
}

/// Registers metrics and notes what they are.
#[derive(Default)]
pub(super) struct Declaration {
    pub(super) registry: Registry,
    pub(super) descriptions: Vec<Description>,
}

impl Declaration {
    fn register<C: Collector + Clone + 'static>(
        &mut self,
        metric: C,
        description: Description,
    ) -> Result<C, MetricsError> {
        self.registry.register(Box::new(metric.clone()))?;
        self.descriptions.push(description);
        Ok(metric)
    }

    pub(super) fn counter(&mut self, name: &str, help: &'static str) -> Result<IntCounter, MetricsError> {
        let about = describe("counter", name, help, &[]);
        self.register(IntCounter::new(&about.name, help)?, about)
    }

    pub(super) fn counters(
        &mut self,
        name: &str,
        help: &'static str,
        labels: &[&'static str],
    ) -> Result<IntCounterVec, MetricsError> {
        let about = describe("counter", name, help, labels);
        self.register(IntCounterVec::new(Opts::new(&about.name, help), labels)?, about)
    }

    pub(super) fn gauge(&mut self, name: &str, help: &'static str) -> Result<IntGauge, MetricsError> {
        let about = describe("gauge", name, help, &[]);
        self.register(IntGauge::new(&about.name, help)?, about)
    }

    pub(super) fn real_gauge(&mut self, name: &str, help: &'static str) -> Result<Gauge, MetricsError> {
        let about = describe("gauge", name, help, &[]);
        self.register(Gauge::new(&about.name, help)?, about)
    }

    pub(super) fn gauges(
        &mut self,
        name: &str,
        help: &'static str,
        labels: &[&'static str],
    ) -> Result<IntGaugeVec, MetricsError> {
        let about = describe("gauge", name, help, labels);
        self.register(IntGaugeVec::new(Opts::new(&about.name, help), labels)?, about)
    }

    pub(super) fn histogram(
        &mut self,
        name: &str,
        help: &'static str,
        buckets: &[f64],
    ) -> Result<Histogram, MetricsError> {
        let about = describe("histogram", name, help, &[]);
        let opts = HistogramOpts::new(&about.name, help).buckets(buckets.to_vec());
        self.register(Histogram::with_opts(opts)?, about)
    }

    pub(super) fn histograms(
        &mut self,
        name: &str,
        help: &'static str,
        labels: &[&'static str],
        buckets: &[f64],
    ) -> Result<HistogramVec, MetricsError> {
        let about = describe("histogram", name, help, labels);
        let opts = HistogramOpts::new(&about.name, help).buckets(buckets.to_vec());
        self.register(HistogramVec::new(opts, labels)?, about)
    }
}

fn describe(sort: &'static str, name: &str, help: &'static str, labels: &[&'static str]) -> Description {
    Description {
        name: format!("{PREFIX}{name}"),
        sort,
        labels: labels.to_vec(),
        help,
    }
}
