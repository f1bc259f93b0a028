//! Tests of the jwt kind, by subject.

mod claims;
mod form;
mod issuing;
mod keys;
mod remote;
mod support;
mod vectors;
