//! Error bodies in every dialect.
