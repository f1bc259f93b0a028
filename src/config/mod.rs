//! Configuration: as written, then resolved; all problems at once.
//!
//! `load` puts file, environment and flags together into one tree that knows where each value was written;
//! `walk` holds it against the schema of the [`raw`] types; `resolve` makes [`Settings`] of it. Nobody
//! else knows YAML or reads the environment for settings. Starts nothing, makes no file.

mod compare;
mod complete;
mod credentials_file;
mod environment;
mod load;
mod named;
mod print;
pub mod problems;
pub mod raw;
mod resolve;
mod schema;
mod service_manager;
pub mod settings;
mod tree;
mod walk;

#[cfg(test)]
mod tests;

pub use compare::{Change, Changes, Extent, FIXED, Fixed, Takes};
pub use environment::{Environment, Flags};
pub use load::{Loaded, Offer, load, load_text, load_text_with, offer};
pub use named::{NamedFile, Since};
pub use print::{public_routes, summary, yaml};
pub use problems::{Problem, Problems};
pub use schema::json_schema;
pub use service_manager::service_manager_of_process;
pub use settings::Settings;
