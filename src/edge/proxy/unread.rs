//! Request bodies that nobody will read, after a refusal (S17b): their bytes never become a request.
//!
//! hyper reads past such a body only when it has it in its buffer already; otherwise it closes, unannounced,
//! and a client that is still sending may lose the answer. So: a body that is known to be short is read
//! on and thrown away beside the answer, and the connection lives; any other ends the connection, and says so.

use std::time::Duration;

use http_body::Body as _;
use http_body_util::BodyExt;
use hyper::body::Incoming;

use crate::runtime::workers::spawn_here;

/// Longest body that is read for the connection's sake.
const MAX_BYTES: u64 = 1024 * 1024;
/// Longest time it may take.
const MAX_TIME: Duration = Duration::from_secs(2);

/// A body that nobody read.
#[derive(Debug)]
pub(super) struct Unread {
    pub(super) incoming: Incoming,
    /// The client waits for `100 Continue`, or goes on without one: nobody can know.
    pub(super) expects: bool,
}

/// What becomes of the connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum After {
    /// It goes on.
    KeepAlive,
    /// It ends with the answer.
    Close,
}

/// Gets rid of the body.
pub(super) fn settle(unread: Unread) -> After {
    let Unread { incoming, expects } = unread;
    if incoming.is_end_stream() {
        return After::KeepAlive;
    }
    let is_short = incoming.size_hint().exact().is_some_and(|n| n <= MAX_BYTES);
    if expects || !is_short {
        return After::Close;
    }
    // At most one per connection: hyper reads no further request before the body's end.
    spawn_here(async move {
        let _ = tokio::time::timeout(MAX_TIME, discard(incoming)).await;
    });
    After::KeepAlive
}

async fn discard(mut incoming: Incoming) {
    while let Some(Ok(_)) = incoming.frame().await {}
}
