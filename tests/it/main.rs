//! One integration-test binary.

mod architecture;
mod metrics;
