//! The first bytes of a connection: HTTP/2 begins with a line that no HTTP/1 server takes for a request
//! (RFC 9113 section 3.4, "prior knowledge"). Decided once, before the first head.

/// What every HTTP/2 client says first.
pub(super) const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// Whether the first bytes are still to come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum First {
    /// They may be the preface.
    Open,
    /// HTTP/1 it is, by those bytes or because the listener speaks nothing else.
    Settled,
}

/// What the first bytes say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Look {
    /// Too few to know.
    More,
    /// Not HTTP/2.
    Http1,
    /// HTTP/2.
    Http2,
}

impl First {
    pub(super) fn is_open(self) -> bool {
        self == Self::Open
    }

    /// Looks at all that came so far.
    pub(super) fn look(&mut self, bytes: &[u8]) -> Look {
        if bytes.starts_with(PREFACE) {
            return Look::Http2;
        }
        if PREFACE.starts_with(bytes) {
            return Look::More;
        }
        *self = Self::Settled;
        Look::Http1
    }
}
