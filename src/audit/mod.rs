//! The audit trail and usage: bounded queues that never block a request.
