//! What integration tests share: the real binary as a process, an upstream that records, a client that
//! writes raw bytes. Every test owns its folder and its ports; nothing sleeps.

pub mod by_hand;
pub mod fixtures;
pub mod h2;
pub mod http;
pub mod jwt;
pub mod manage;
pub mod nginx;
pub mod pki;
pub mod process;
pub mod secure;
pub mod upstream;
pub mod wait;

pub use by_hand::ByHand;
pub use http::{Answer, Client};
pub use manage::Issued;
pub use process::{Doorward, cli};
pub use upstream::{Reply, UnixUpstream, Upstream};
