//! What stands behind an error of hyper's: a fault of a body, or what HTTP/2 says of a stream or a connection.
//!
//! Read from the types that the error was made of, never from its text. Callers decide what follows.

use std::error::Error;
use std::io;

use h2::Reason;

/// The cause of this type, however deep. An I/O error hides what it was made of from `source`.
pub(super) fn cause_of<E: Error + 'static>(error: &hyper::Error) -> Option<&E> {
    let mut source = error.source();
    while let Some(cause) = source {
        if let Some(found) = cause.downcast_ref::<E>() {
            return Some(found);
        }
        source = match cause.downcast_ref::<io::Error>().and_then(io::Error::get_ref) {
            Some(inner) => Some(inner),
            None => cause.source(),
        };
    }
    None
}

/// How an upstream said that it has done nothing at all for a request (RFC 9113 section 8.7).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Untouched {
    /// It refused the stream; the connection serves others.
    Refused,
    /// It goes away, and the stream is none of those that it still looked at.
    GoesAway,
}

impl Untouched {
    /// Whether that is what the error says.
    pub(super) fn of(error: &hyper::Error) -> Option<Self> {
        let said = cause_of::<h2::Error>(error).filter(|said| said.is_remote())?;
        if said.is_go_away() {
            // Streams that it looked at go on behind a GOAWAY, and end by other errors.
            return Some(Self::GoesAway);
        }
        (said.is_reset() && said.reason() == Some(Reason::REFUSED_STREAM)).then_some(Self::Refused)
    }
}

/// Whether we ended an HTTP/2 connection because it kept us at work for nothing: frames that cost more to read
/// than to send, or streams that we were made to reset. Its client was told (`ENHANCE_YOUR_CALM`).
pub(super) fn is_flood(error: &hyper::Error) -> bool {
    cause_of::<h2::Error>(error)
        .is_some_and(|said| said.is_library() && said.reason() == Some(Reason::ENHANCE_YOUR_CALM))
}
