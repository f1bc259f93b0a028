//! Configuration: as written, then resolved; all problems at once.
//!
//! `load` puts file, environment and flags together into one tree that knows where each value was written;
//! `walk` holds it against the schema of the [`raw`] types; `resolve` makes [`Settings`] of it. Nobody
//! else knows YAML or reads the environment for settings. Starts nothing, makes no file.

pub mod raw;
pub mod settings;

pub use settings::Settings;
