//! Waiting for something that happens soon, without a fixed pause.

use std::time::{Duration, Instant};

use super::http::PATIENCE;

/// Asks again until it holds. A test that runs out of patience fails.
pub fn until(what: &str, holds: impl Fn() -> bool) {
    let began = Instant::now();
    while !holds() {
        assert!(began.elapsed() < PATIENCE, "in vain: {what}");
        std::thread::park_timeout(Duration::from_millis(5));
    }
}
