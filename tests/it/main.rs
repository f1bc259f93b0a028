//! One integration-test binary.
#![allow(
    clippy::expect_used,
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::string_slice,
    clippy::disallowed_methods,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a test fails by panicking, and helpers of tests are tests"
)]

/// One line for each request, and nothing in it that should not be.
mod access_log;
/// Who the client is, and where it may come from.
mod addresses;
/// The rules of the house, held over `src`.
mod architecture;
/// Long bodies and event streams.
mod bodies;
/// What crosses to the upstream.
mod boundary;
/// The command line as it is typed, on an empty folder and beside a running server.
mod cli;
/// Credentials that stand in a file instead of the store.
mod credentials_file;
/// What is presented, and how it is refused.
mod credentials_presented;
/// What is shipped in `deploy/`: images, Kubernetes, systemd, Prometheus.
mod deploy;
/// The stronger form of sealed device tokens.
mod device_proof;
/// The endpoints of the NestJS device token.
mod device_token_endpoints;
/// The set-ups under `examples/`, as their READMEs say, and in a browser.
mod examples;
/// Faults: a store that is locked or full, power cuts, an upstream that is down.
mod faults;
/// HTTP/1 byte for byte: what has two readings is refused.
mod framing;
/// gRPC, with tonic on both sides.
mod grpc;
/// SIGQUIT: a successor takes the sockets over, and nobody notices.
mod hand_over;
/// HomeChat's endpoints for the holder of a token.
mod homechat_endpoints;
/// Upstreams that lie about their answers.
mod hostile_upstream;
/// HTTP/1 over sockets.
mod http;
/// Floods over HTTP/2, frame by frame.
mod http2_floods;
/// Credentials of other programs, taken over with the real binary.
mod import;
/// JWTs: sources of keys, forms and classes that are refused, issuers that rotate and vanish.
mod jwt;
/// Every kind of credential through the real process, good ones and bad ones.
mod kinds;
/// Before the first request: the PROXY protocol, bounds on connections.
mod listeners;
/// The metrics, as promtool and the documentation see them.
mod metrics;
/// Token introspection and revocation.
mod oauth_endpoints;
/// The process in operation: probes, logs, audit, usage, stop, start, what it refuses to start on.
mod operations;
/// Floods: slow hashes, failed credentials, small bounds.
mod overload;
/// Paths and route policies over sockets.
mod paths;
/// Another configuration while everything runs.
mod reload;
/// Revocation holds at once, from another process soon, after a power cut, and against every race.
mod revocation;
/// Sealed device tokens against Node's own crypto, both ways.
mod sealed_node;
/// The page for secret scanners holds what it says.
mod secret_scanning;
/// No secret gets out, and none is taken from where others could read it.
mod secrets;
/// Promises of the security page and the tests that hold them.
mod security;
/// Security events, from a request to the signed delivery.
mod security_events;
/// What a service manager is told.
mod service_manager;
/// Mixed traffic in rounds: nothing is lost, nothing is left behind.
mod soak;
/// How the process stops: over every sort of connection, under load, as process 1.
mod stop;
/// What the tests share.
mod support;
/// TagoIO's device API and its SDKs.
mod tagoio;
/// TLS listeners, and HTTP/2 on them, with curl, openssl and nghttp2.
mod tls;
/// WebSockets and other switches of protocols: who gets a tunnel, and what becomes of it.
mod upgrades;
/// Upstreams of every sort: Unix sockets, TLS, HTTP/2, groups.
mod upstreams;
