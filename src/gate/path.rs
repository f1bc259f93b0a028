//! Gate: path.
