//! Gate: upstream_headers.
