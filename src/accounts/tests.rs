//! Shared set-up of the use cases' tests.
