//! Metrics, logging and tracing: what the process says about itself.
