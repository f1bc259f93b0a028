//! What the process says about itself: metrics and logs. Open to every room.
//!
//! Every metric is declared once, in `metrics`; every label value comes from a closed list (`labels`)
//! or from the configuration (routes, upstreams, listeners, issuers), never from a request. Audit is
//! not telemetry: it has a room of its own and rows in the store.

mod declaration;
mod handles;
pub mod labels;
pub mod logging;
pub mod metrics;

pub use handles::{CounterBy, Held, HistogramBy, ListenerMetrics, RouteMetrics, UpstreamMetrics};
pub use metrics::Metrics;

/// The metric types, so that other rooms can hold handles without naming the crate behind them.
pub use prometheus::{Gauge, Histogram, IntCounter, IntGauge};
