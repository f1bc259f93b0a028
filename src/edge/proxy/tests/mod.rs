//! The proxy from socket to socket: one engine, clients over pipes, an upstream played by the test.

mod duplex;
mod forwarding;
mod http2;
mod refusing;
mod stalling;
mod support;
mod trailers;
mod upgrading;
mod upstream_alpn;
mod upstream_faults;
mod upstream_health;
mod upstream_http2;
mod upstream_names;
mod upstream_refusals;
