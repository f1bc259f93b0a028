//! The credential kinds: one folder each, with its format, issuing, verifying, settings and tests.

pub mod api_token;
pub mod basic;
pub mod device_token;
mod file_table;
pub mod jwt;
pub mod sealed_device_token;
pub mod stored;
#[cfg(test)]
mod test_store;

pub use file_table::FileTable;
