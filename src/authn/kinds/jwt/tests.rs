//! Tests of the jwt kind.
