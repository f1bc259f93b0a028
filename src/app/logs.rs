//! Where lines of the process go: its own log, and the access log where that is on.

use std::io::{stderr, stdout};

use anyhow::Context;

use crate::config::Settings;
use crate::edge::proxy::access::Destination;
use crate::runtime::lines::Lines;
use crate::runtime::log_file::LogFile;
use crate::telemetry::Metrics;

/// Log lines that may wait for a slow sink.
const LOG_QUEUE_BYTES: usize = 1024 * 1024;
/// The same for lines of requests.
const ACCESS_QUEUE_BYTES: usize = 4 * 1024 * 1024;

/// The log of the process.
pub(super) fn own(metrics: &Metrics) -> std::io::Result<Lines> {
    Lines::start(stderr(), LOG_QUEUE_BYTES, metrics.log_lines_dropped.clone())
}

/// The access log. On standard error it stands in one queue with the log: two writers there would tear each
/// other's lines.
pub(super) fn access(settings: &Settings, own: &Lines, metrics: &Metrics) -> anyhow::Result<Option<Lines>> {
    let Some(wanted) = &settings.access_log else {
        return Ok(None);
    };
    let dropped = metrics.access_lines_dropped.clone();
    let lines = match &wanted.destination {
        Destination::Stderr => own.counting(dropped),
        Destination::Stdout => Lines::start(stdout(), ACCESS_QUEUE_BYTES, dropped)?,
        Destination::File(path) => {
            let file = LogFile::open(path).with_context(|| {
                format!(
                    "access_log.destination: {} cannot be opened for appending; make its folder, and let it belong to the \
                     user that runs Doorward",
                    path.display()
                )
            })?;
            Lines::start(file, ACCESS_QUEUE_BYTES, dropped)?
        }
    };
    Ok(Some(lines))
}
