//! Gate: assertion.
