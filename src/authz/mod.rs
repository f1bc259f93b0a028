//! May it: the checks before and after authentication, and the `Permit` that comes of them.
//!
//! `Permit` can be made in this room only; forwarding demands one. Nothing here verifies a credential.

pub mod permit;
pub mod policy;

pub use permit::Permit;
