//! The access log: one line for each request, when its answer is out or its client is gone.
//!
//! Off, it costs a request one comparison. On, what a line needs is noted in one allocation while the request
//! is served, and becomes text at its end in a buffer that the data thread keeps. The sink never waits
//! (`runtime::lines`). Nothing here decides about a request.

mod line;
mod noted;
mod policy;

use std::cell::{Cell, RefCell};

use line::Line;
pub(super) use noted::{Noted, Turn};
use policy::Wanted;
pub use policy::{AccessSettings, Destination, Field, Fields, Policy};

use crate::runtime::lines::Lines;
use crate::telemetry::logging::LineSink;

/// How an answer ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// All of it was given to the client's connection.
    Whole,
    /// The client's connection ended first: it went away, stood still for too long, or the process stopped.
    ClientGone,
    /// The upstream did not give all of it.
    UpstreamBroke,
}

impl Ended {
    /// The name in a line.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Whole => "whole",
            Self::ClientGone => "client_gone",
            Self::UpstreamBroke => "upstream_broke",
        }
    }
}

/// One data thread's end of it.
#[derive(Debug)]
pub(super) struct Writer {
    lines: Lines,
    /// The line at hand; its room is used again.
    buffer: RefCell<String>,
    /// Requests that went well since the last one that was written.
    passed_over: Cell<u32>,
}

impl Writer {
    pub(super) fn new(lines: Lines) -> Self {
        Self {
            lines,
            buffer: RefCell::default(),
            passed_over: Cell::new(0),
        }
    }

    /// Writes the line of a request that has ended, if it is to have one.
    fn write(&self, policy: &Policy, line: &Line<'_>) {
        match policy.wants(line) {
            Wanted::No => return,
            Wanted::Always => {}
            Wanted::Sampled => {
                let passed_over = self.passed_over.get().saturating_add(1);
                if passed_over < policy.sample_one_in {
                    self.passed_over.set(passed_over);
                    return;
                }
                self.passed_over.set(0);
            }
        }
        let mut buffer = self.buffer.borrow_mut();
        buffer.clear();
        line.write(
            policy.format,
            policy.fields,
            &policy.path_tokens_after,
            &mut buffer,
        );
        self.lines.line(&buffer);
    }
}
