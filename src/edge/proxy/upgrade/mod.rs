//! Switching protocols (RFC 9110 section 7.8): what a client may ask for, when it gets it, and the tunnel then.
//!
//! A request that asks for one protocol that its route lets through, in the one form that has one reading, is
//! sent to the upstream with that wish, on an HTTP/1.1 connection of its own. Whatever asks in any other way is an
//! ordinary request whose wish is not heard, as RFC 9110 permits. Only the upstream's own 101, for this very
//! protocol, opens a tunnel (S17b); until then no byte of the client goes on as anything but HTTP, and a client
//! that did not wait for the 101 gets no tunnel. Over HTTP/2 there is no switching (RFC 8441 is not spoken).
//!
//! The request is counted when its 101 goes out. Permits are not asked again while the tunnel is open.

mod tunnel;

use aws_lc_rs::digest::{SHA1_FOR_LEGACY_USE_ONLY, digest};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::header::{CONNECTION, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY, UPGRADE};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Response, request};
use hyper::body::{Body as _, Incoming};
use hyper::upgrade::OnUpgrade;
use tokio::task::yield_now;

use super::body::Body;
use super::decide::Decide;
use super::forward::Failure;
use super::lease::Lease;
use super::pool::Upstream;
use super::service::{Client, Engine, Wire};
use super::upstream::Protocol;
use crate::domain::reason::Reason;
use crate::gate::upstream_headers::strip_hop_by_hop;
use crate::telemetry::labels::UpstreamFailure;
pub(super) use tunnel::{Switched, Tunnel};

const WEBSOCKET: &[u8] = b"websocket";

/// What a WebSocket server mixes with the client's key (RFC 6455 section 1.3).
const WEBSOCKET_GUID: &[u8] = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

/// A wish to switch protocols that is passed on.
#[derive(Debug)]
pub(super) struct Wish {
    /// As the route spells it.
    protocol: HeaderValue,
    /// What a WebSocket server must answer, and nobody else would.
    accept: Option<String>,
}

impl Wish {
    /// The request's wish, if it has one that is passed on. Of a request without `Upgrade` this only looks at
    /// whether hyper left a mark.
    pub(super) fn of(
        parts: &request::Parts,
        incoming: &Incoming,
        allowed: &[HeaderValue],
        upstream: Protocol,
    ) -> Option<Self> {
        // hyper's mark on requests of HTTP/1.1 with `Upgrade`; those of 1.0 must not be heard.
        parts.extensions.get::<OnUpgrade>()?;
        if !incoming.is_end_stream() || upstream == Protocol::Http2 {
            return None;
        }
        Self::read(&parts.method, &parts.headers, allowed)
    }

    fn read(method: &Method, headers: &HeaderMap, allowed: &[HeaderValue]) -> Option<Self> {
        let asked = only(headers, &UPGRADE)?.as_bytes();
        let options = || list(headers, &CONNECTION);
        let says = |option: &[u8]| options().any(|o| o.eq_ignore_ascii_case(option));
        if !says(b"upgrade") || says(b"close") {
            return None;
        }
        let is_asked = |p: &&HeaderValue| p.as_bytes().eq_ignore_ascii_case(asked);
        let protocol = allowed.iter().find(is_asked)?.clone();
        let accept = match protocol == WEBSOCKET {
            false => None,
            true if *method != Method::GET => return None,
            true => Some(accept_of(only(headers, &SEC_WEBSOCKET_KEY)?.as_bytes())),
        };
        Some(Self { protocol, accept })
    }

    /// Writes it into a head from which everything that concerns one connection was removed.
    pub(super) fn write(&self, headers: &mut HeaderMap) {
        headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
        headers.insert(UPGRADE, self.protocol.clone());
    }

    /// Whether this 101 grants it: not any 101 does, or an app that lets clients choose its status would open
    /// its whole connection to them.
    fn is_granted_by(&self, headers: &HeaderMap) -> bool {
        let named = only(headers, &UPGRADE)
            .is_some_and(|p| p.as_bytes().eq_ignore_ascii_case(self.protocol.as_bytes()));
        let switches = list(headers, &CONNECTION).any(|o| o.eq_ignore_ascii_case(b"upgrade"));
        let accepted = match &self.accept {
            None => true,
            Some(accept) => only(headers, &SEC_WEBSOCKET_ACCEPT).is_some_and(|a| a == accept.as_str()),
        };
        named && switches && accepted
    }
}

/// The value of a field that came once.
fn only<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a HeaderValue> {
    let mut values = headers.get_all(name).iter();
    let value = values.next()?;
    values.next().is_none().then_some(value)
}

/// The members of a list, over all lines.
fn list<'a>(headers: &'a HeaderMap, name: &HeaderName) -> impl Iterator<Item = &'a [u8]> {
    let lines = headers.get_all(name).iter();
    lines.flat_map(|l| l.as_bytes().split(|b| *b == b',').map(<[u8]>::trim_ascii))
}

fn accept_of(key: &[u8]) -> String {
    let mixed = [key, WEBSOCKET_GUID].concat();
    STANDARD.encode(digest(&SHA1_FOR_LEGACY_USE_ONLY, &mixed))
}

impl<D: Decide> Engine<D> {
    /// Answers a 101 of the upstream with ours, after which the client's connection becomes a tunnel.
    pub(super) async fn switch(
        &self,
        client: &Client,
        upstream: &Upstream,
        wish: &Wish,
        answer: Response<Incoming>,
        lease: Lease,
    ) -> Result<Response<Body>, Failure> {
        let (mut parts, _) = answer.into_parts();
        let Wire::Http1(line) = &client.wire else {
            return Err(Failure::after_body(Reason::InternalError));
        };
        if !wish.is_granted_by(&parts.headers) {
            upstream.metrics().failures.inc(UpstreamFailure::InvalidAnswer);
            return Err(Failure::after_body(Reason::UpstreamInvalidAnswer));
        }
        let switched = lease.switched().await.ok_or_else(|| {
            upstream.metrics().failures.inc(UpstreamFailure::InvalidAnswer);
            Failure::after_body(Reason::UpstreamInvalidAnswer)
        })?;
        // The screen reads once more, so that it has seen whatever the client has sent so far.
        yield_now().await;
        if !line.switch() {
            return Err(Failure::after_body(Reason::AmbiguousFraming));
        }
        let noted = client.noted.borrow().clone();
        if let Some(noted) = &noted {
            noted.becomes_a_tunnel();
        }
        let tunnel = Tunnel::new(switched, upstream, noted);
        *client.tunnel.borrow_mut() = Some(Box::new(tunnel));
        strip_hop_by_hop(&mut parts.headers);
        wish.write(&mut parts.headers);
        parts.extensions.clear();
        Ok(Response::from_parts(parts, Body::empty()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: (&str, &str) = ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ==");
    const ACCEPT: (&str, &str) = ("sec-websocket-accept", "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");

    type Fields<'a> = &'a [(&'a str, &'a str)];

    fn headers(fields: Fields<'_>) -> HeaderMap {
        let mut map = HeaderMap::new();
        for (name, value) in fields {
            let name = HeaderName::try_from(*name).expect("a name");
            map.append(name, HeaderValue::try_from(*value).expect("a value"));
        }
        map
    }

    fn allowed() -> [HeaderValue; 2] {
        ["websocket", "chat/2"].map(HeaderValue::from_static)
    }

    #[test]
    fn only_one_form_of_a_wish_is_heard() {
        #[rustfmt::skip]
        let rows: &[(&str, Fields<'_>, bool, &str)] = &[
            ("GET", &[("connection", "upgrade"), ("upgrade", "websocket"), KEY], true, "as RFC 6455 asks"),
            ("GET", &[("connection", "keep-alive, Upgrade"), ("upgrade", "WebSocket"), KEY], true, "as Firefox asks; letters have no case"),
            ("GET", &[("connection", "keep-alive"), ("connection", "upgrade"), ("upgrade", "websocket"), KEY], true, "a list over two lines"),
            ("OPTIONS", &[("connection", "upgrade"), ("upgrade", "chat/2")], true, "another protocol that the route names"),
            ("GET", &[("upgrade", "websocket"), KEY], false, "no Connection: upgrade, so it was not meant for us"),
            ("GET", &[("connection", "keep-alive"), ("upgrade", "websocket"), KEY], false, "the same"),
            ("GET", &[("connection", "upgrades"), ("upgrade", "websocket"), KEY], false, "nearly the option"),
            ("GET", &[("connection", "upgrade, close"), ("upgrade", "websocket"), KEY], false, "two things at once"),
            ("GET", &[("connection", "upgrade"), KEY], false, "no protocol"),
            ("GET", &[("connection", "upgrade"), ("upgrade", "h2c"), ("http2-settings", "AAMAAABk")], false, "HTTP/2 in the open"),
            ("GET", &[("connection", "upgrade"), ("upgrade", "TLS/1.0")], false, "RFC 2817"),
            ("GET", &[("connection", "upgrade"), ("upgrade", "websocket, h2c"), KEY], false, "several protocols"),
            ("GET", &[("connection", "upgrade"), ("upgrade", "websocket"), ("upgrade", "h2c"), KEY], false, "several lines"),
            ("GET", &[("connection", "upgrade"), ("upgrade", "websocket"), ("upgrade", "websocket"), KEY], false, "several equal lines"),
            ("GET", &[("connection", "upgrade"), ("upgrade", "websocket/13"), KEY], false, "a version of it that nobody listed"),
            ("POST", &[("connection", "upgrade"), ("upgrade", "websocket"), KEY], false, "WebSockets are asked for by GET"),
            ("GET", &[("connection", "upgrade"), ("upgrade", "websocket")], false, "no key: no WebSocket handshake"),
            ("GET", &[("connection", "upgrade"), ("upgrade", "websocket"), KEY, KEY], false, "two keys"),
        ];
        for (method, fields, heard, why) in rows {
            let method = Method::from_bytes(method.as_bytes()).expect("a method");
            let found = Wish::read(&method, &headers(fields), &allowed()).is_some();
            assert_eq!(found, *heard, "{method} {fields:?}: {why}");
        }
        let good = headers(&[("connection", "upgrade"), ("upgrade", "websocket"), KEY]);
        assert!(
            Wish::read(&Method::GET, &good, &[]).is_none(),
            "a route that lets nothing through"
        );
    }

    #[test]
    fn a_wish_is_granted_by_the_answer_to_it_and_no_other() {
        let asked = headers(&[("connection", "upgrade"), ("upgrade", "websocket"), KEY]);
        let wish = Wish::read(&Method::GET, &asked, &allowed()).expect("a wish");
        #[rustfmt::skip]
        let rows: &[(Fields<'_>, bool, &str)] = &[
            (&[("connection", "Upgrade"), ("upgrade", "websocket"), ACCEPT], true, "RFC 6455 section 1.3"),
            (&[("connection", "keep-alive, upgrade"), ("upgrade", "WebSocket"), ACCEPT], true, "another spelling"),
            (&[("connection", "upgrade"), ("upgrade", "websocket")], false, "the status alone proves nothing"),
            (&[("connection", "upgrade"), ("upgrade", "websocket"), ("sec-websocket-accept", "x")], false, "an answer to somebody else"),
            (&[("connection", "upgrade"), ("upgrade", "websocket"), ACCEPT, ACCEPT], false, "said twice"),
            (&[("connection", "upgrade"), ("upgrade", "h2c"), ACCEPT], false, "another protocol"),
            (&[("connection", "upgrade"), ACCEPT], false, "no protocol"),
            (&[("upgrade", "websocket"), ACCEPT], false, "no Connection: upgrade"),
            (&[], false, "a bare 101"),
        ];
        for (fields, granted, why) in rows {
            assert_eq!(
                wish.is_granted_by(&headers(fields)),
                *granted,
                "{fields:?}: {why}"
            );
        }
    }
}
