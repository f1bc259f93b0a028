//! The closed lists of label values. Routes, upstreams, listeners and issuers are named by the
//! configuration; nothing that a request says ever becomes a label.

/// A closed list of label values.
pub trait Label: Copy + Send + Sync + 'static {
    /// Every value, in the order of their indexes.
    const ALL: &'static [Self];

    /// The value as it stands in the metric.
    fn as_str(self) -> &'static str;

    /// Position in [`Label::ALL`].
    fn index(self) -> usize;
}

macro_rules! labels {
    ($($(#[$doc:meta])* $name:ident { $($(#[$variant_doc:meta])* $variant:ident = $text:literal,)* })*) => {$(
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum $name { $($(#[$variant_doc])* $variant,)* }

        impl Label for $name {
            const ALL: &'static [Self] = &[$(Self::$variant,)*];

            fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $text,)* }
            }

            fn index(self) -> usize {
                self as usize
            }
        }
    )*};
}

labels! {
    /// How a request ended, seen from the door.
    RequestOutcome {
        /// It was permitted and the upstream answered.
        Forwarded = "forwarded",
        /// It asked for a page of our own, which was answered without the gate.
        Answered = "answered",
        /// The gate or the door refused it.
        Refused = "refused",
        /// It was permitted, but the upstream failed.
        Failed = "failed",
    }

    /// How an attempt to make a credential ended.
    IssueOutcome {
        /// A new credential exists.
        Issued = "issued",
        /// The request for it was refused.
        Refused = "refused",
        /// It could not be made: the store or a key failed.
        Failed = "failed",
    }

    /// Which part of a decision was measured.
    Stage {
        /// The whole decision, from the request's head to the verdict.
        Decide = "decide",
        /// Of that, waiting for a look-up after a cache miss.
        LookUp = "look_up",
        /// Of that, one slow hash.
        SlowHash = "slow_hash",
    }

    /// By what a throttle recognized the one it refused.
    ThrottledBy {
        /// The client's address (IPv6 by /64), by slow hashes that failed.
        Address = "address",
        /// The public part of the credential, by slow hashes that failed.
        PublicId = "public_id",
        /// The client's address, by a flood of look-ups that failed.
        LookUps = "look_ups",
        /// The client's address, by device tokens that were asked for.
        IssuesPerAddress = "issues_per_address",
        /// The device, by device tokens that were made for it.
        IssuesPerDevice = "issues_per_device",
        /// Everybody, by device tokens that were made.
        IssuesOverall = "issues_overall",
    }

    /// How a configuration fared that was offered to a running process.
    ReloadOutcome {
        /// It is in force.
        Applied = "applied",
        /// It is the one in force.
        Unchanged = "unchanged",
        /// It has problems.
        Invalid = "invalid",
        /// It changes keys that only a new process can change.
        NeedsRestart = "needs_restart",
        /// It could not be built.
        Failed = "failed",
    }

    /// What happened to a credential that somebody should look at.
    SecurityEventKind {
        /// It is older than the schedule of its environment allows.
        RotationDue = "credential_rotation_due",
        /// It was used from a network it was not used from lately.
        UsedFromNewNetwork = "credential_used_from_new_network",
        /// It was used by an agent it was not used by lately.
        UsedByNewAgent = "credential_used_by_new_agent",
        /// It was presented after it had been revoked.
        UsedAfterRevocation = "credential_used_after_revocation",
        /// It was used although it was replaced, in the overlap.
        UsedThoughReplaced = "credential_used_though_replaced",
        /// It was used much more than usual.
        RateChanged = "credential_rate_changed",
    }

    /// What became of a delivery to the webhook.
    DeliveryOutcome {
        /// The receiver took it.
        Delivered = "delivered",
        /// A try failed; there will be another.
        Retried = "retried",
        /// The receiver refused it, or all tries failed.
        GivenUp = "given_up",
        /// The queue was full.
        Dropped = "dropped",
    }

    /// Why a store call failed, by whose fault.
    StoreErrorClass {
        /// The engine cannot be reached or did not answer in time.
        Unavailable = "unavailable",
        /// The disk or a quota is full.
        Full = "full",
        /// The change contradicts what is stored.
        Conflict = "conflict",
        /// The row to change does not exist.
        NotFound = "not_found",
        /// The file or schema is foreign, newer or damaged.
        Unusable = "unusable",
    }

    /// How fetching an issuer's key set ended.
    FetchOutcome {
        /// A usable key set came back.
        Fetched = "fetched",
        /// It did not; the last good one stays.
        Failed = "failed",
    }

    /// How opening a connection to an upstream ended.
    ConnectOutcome {
        /// It is open.
        Connected = "connected",
        /// The upstream refused it or cannot be reached.
        Failed = "failed",
        /// It did not open in time.
        TimedOut = "timed_out",
        /// The TLS handshake failed: a wrong certificate or name, or no TLS at all.
        TlsFailed = "tls_failed",
    }

    /// How a TLS handshake with an upstream went.
    TlsHandshake {
        /// In full, the certificate verified.
        Full = "full",
        /// An earlier session was resumed.
        Resumed = "resumed",
    }

    /// How a health check ended.
    CheckOutcome {
        /// The target answered as expected.
        Passed = "passed",
        /// It did not, or not in time.
        Failed = "failed",
    }

    /// How looking up the name of an upstream ended.
    ResolveOutcome {
        /// It stands for at least one address.
        Resolved = "resolved",
        /// It does not, or nobody could say.
        Failed = "failed",
    }

    /// Why a permitted request got no whole answer from its upstream.
    UpstreamFailure {
        /// No connection could be opened.
        Unreachable = "unreachable",
        /// Opening a connection took too long.
        ConnectTimeout = "connect_timeout",
        /// The answer's head took too long.
        ResponseTimeout = "response_timeout",
        /// Request and answer together took too long.
        TotalTimeout = "total_timeout",
        /// The connection stood still for too long in the middle of a body.
        IdleTimeout = "idle_timeout",
        /// The upstream broke HTTP's framing or closed early.
        InvalidAnswer = "invalid_answer",
        /// Its TLS certificate was not accepted, or ours was not.
        TlsFailed = "tls_failed",
        /// Its name stands for no address.
        Unresolved = "unresolved",
        /// None of its targets passes the health check.
        Unhealthy = "unhealthy",
    }

    /// Why an accepted connection was closed without serving it.
    ConnectionRefusal {
        /// The listener's bound on open connections was reached.
        Limit = "limit",
        /// The system could not hand over the connection, for want of file descriptors or the like.
        AcceptFailed = "accept_failed",
        /// The client's address has as many connections as it may.
        AddressLimit = "address_limit",
        /// More connections came within a second than the listener takes.
        Rate = "rate",
        /// More connections came from the client's address within a second than it may open.
        AddressRate = "address_rate",
        /// There was no PROXY header where one is required, or it came from nobody who may send one.
        ProxyHeader = "proxy_header",
        /// The TLS handshake failed or took too long.
        TlsHandshake = "tls_handshake",
    }

    /// Why a connection was ended that was being served.
    ConnectionEnd {
        /// Its client gave up request after request over HTTP/2.
        StreamsGivenUp = "streams_given_up",
        /// Its client sent frames over HTTP/2 that cost more to read than to send, or made us reset streams.
        Flood = "flood",
    }

    /// How a tunnel (a WebSocket, say) ended.
    TunnelEnd {
        /// The client ended it first.
        Client = "client",
        /// The upstream ended it first.
        Upstream = "upstream",
        /// It stood still for too long.
        Idle = "idle",
        /// The process stopped, and the time for that was over.
        Drain = "drain",
        /// A connection broke.
        Broken = "broken",
    }

    /// How writing a batch of usage ended.
    FlushOutcome {
        /// It is stored.
        Written = "written",
        /// It is kept and tried again.
        Failed = "failed",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check<L: Label>() {
        let mut seen = std::collections::HashSet::new();
        for (index, label) in L::ALL.iter().enumerate() {
            assert_eq!(label.index(), index, "{}", label.as_str());
            assert!(seen.insert(label.as_str()), "{} twice", label.as_str());
            assert!(
                label
                    .as_str()
                    .bytes()
                    .all(|b| b.is_ascii_lowercase() || b == b'_')
            );
        }
    }

    #[test]
    fn label_values_are_unique_and_indexed_in_order() {
        check::<RequestOutcome>();
        check::<IssueOutcome>();
        check::<Stage>();
        check::<ThrottledBy>();
        check::<StoreErrorClass>();
        check::<FetchOutcome>();
        check::<ConnectOutcome>();
        check::<TlsHandshake>();
        check::<ResolveOutcome>();
        check::<CheckOutcome>();
        check::<UpstreamFailure>();
        check::<ConnectionRefusal>();
        check::<ConnectionEnd>();
        check::<TunnelEnd>();
        check::<FlushOutcome>();
        check::<ReloadOutcome>();
    }
}
