//! Gate: routes.
