//! What is kept about who did what: security events and usage, on their way to the store.
//!
//! Management acts are not here: the store writes them in the same transaction as the act. What the
//! doors see (refusals and the like) goes through [`AuditQueue`], sampled when flooded and dropped when
//! the store does not keep up; use of credentials is counted in [`UsageCell`]s and written in batches
//! by [`UsageRecorder`]. Neither ever makes a request wait, and what is dropped is counted
//! (`doorward_audit_events_dropped_total`). What is kept for how long is [`retain`]'s. Called by the gate, the doors and accounts.

mod events;
mod habits;
mod queue;
mod retention;
mod sampling;
mod settings;
mod usage;
pub mod webhook;

pub use events::{SecurityEvents, Sighting};
pub use queue::{AuditQueue, RefusalEvent};
pub use retention::{RetentionSettings, retain};
pub use settings::{AuditSettings, UsageSettings};
pub use usage::{UsageCell, UsageRecorder};
