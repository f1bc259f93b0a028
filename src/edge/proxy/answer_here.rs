//! A request for a public auth endpoint (`edge::endpoints`): its body is read, bounded in length and time, and
//! the endpoint asked. Called by `service`, before routing; forwards nothing.

use std::time::Duration;

use http::{Response, request};
use http_body::Body as _;
use http_body_util::{BodyExt, LengthLimitError, Limited};
use hyper::body::Incoming;

use super::body::Body;
use super::service::{expects, settle};
use super::unread::Unread;
use crate::accounts::Channel;
use crate::edge::endpoints::{Asked, Endpoints, Found, MAX_BODY_BYTES, Trouble};
use crate::gate::Encryption;
use crate::gate::client_address::EffectiveClient;

/// Longest time that a whole body may take.
const MAX_BODY_TIME: Duration = Duration::from_secs(10);

/// Answers it.
pub(super) async fn ask(
    endpoints: &Endpoints,
    found: Found,
    client: EffectiveClient,
    parts: request::Parts,
    incoming: Incoming,
) -> Response<Body> {
    let endpoint = found.endpoint();
    let expects = expects(&parts);
    let admitted = endpoint.admit(&parts.method, &parts.headers);
    let least = incoming.size_hint().lower();
    let admitted = admitted.and_then(|()| match usize::try_from(least) {
        Ok(least) if least <= MAX_BODY_BYTES => Ok(()),
        _ => Err(endpoint.trouble(Trouble::BodyTooLarge).into()),
    });
    if let Err(refused) = admitted {
        return settle(*refused, Some(Unread { incoming, expects }));
    }
    let collecting = Limited::new(incoming, MAX_BODY_BYTES).collect();
    let body = match tokio::time::timeout(MAX_BODY_TIME, collecting).await {
        Ok(Ok(body)) => body.to_bytes(),
        Ok(Err(error)) if error.is::<LengthLimitError>() => {
            return settle(endpoint.trouble(Trouble::BodyTooLarge), None);
        }
        Ok(Err(_)) | Err(_) => return settle(endpoint.trouble(Trouble::BodyBroken), None),
    };
    let asked = Asked {
        query: parts.uri.query().map(Into::into),
        method: parts.method,
        headers: parts.headers,
        body,
        client: client.address,
        channel: match client.encryption {
            Encryption::Tls => Channel::Encrypted,
            Encryption::None | Encryption::Unknown => Channel::Open,
        },
        tail: found.tail.clone(),
    };
    let answer = endpoints.ask(std::sync::Arc::clone(endpoint), asked).await;
    answer.map(Body::full)
}
