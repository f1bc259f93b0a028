//! The apps behind us, as every data thread knows them: settings, addresses, TLS, which of them is well.
//!
//! A [`Directory`] is one upstream, shared by all threads: the endpoints its targets stand for, renewed by
//! `resolve` on the control runtime, judged by `health` there and by failed connects. `dial` opens a stream
//! to one endpoint. Nothing here keeps connections (`pool` does, per thread) or sends a client's request
//! (`forward` does).

mod address;
pub mod balance;
mod dial;
mod directory;
mod endpoint;
mod health;
mod resolve;
pub mod settings;
mod stream;
pub mod tls;

pub use address::{InvalidAddress, Place, Security, UpstreamAddress};
pub use dial::{DialError, Dialed, HttpVersion, dial, dial_http1};
pub use directory::{Directory, Endpoints};
pub use endpoint::{Change, Door, Endpoint};
pub use health::keep_checked;
pub use resolve::{Resolve, SystemResolver, keep_resolved};
pub use settings::{Balance, HealthSettings, Protocol, Target, UpstreamSettings};
pub use stream::Stream;
