//! `GET /info`: what a token says of itself.

use std::sync::Arc;

use async_trait::async_trait;
use http::{HeaderMap, Method, StatusCode};
use serde_json::{Value, json};

use super::super::{Answer, Asked, Endpoint, Refused, Trouble};
use super::{admit, not_managed, success, trouble};
use crate::accounts::{Enabled, Party, TokenManagers};
use crate::domain::clock::UnixMillis;
use crate::domain::identity::PrincipalKind;

/// A device's own view of itself; an account's or a network's too.
pub struct Info(pub Arc<TokenManagers>);

#[async_trait]
impl Endpoint for Info {
    fn admit(&self, method: &Method, headers: &HeaderMap) -> Result<(), Refused> {
        admit("GET", method, headers)
    }

    async fn answer(&self, asked: Asked) -> Answer {
        match self.0.party(&asked.call()).await {
            Ok(party) => success(StatusCode::OK, &told(&party)),
            Err(why) => not_managed(&why),
        }
    }

    fn trouble(&self, why: Trouble) -> Answer {
        trouble(why)
    }
}

/// Facts for other programs are not told: they need not be meant for the device.
fn told(party: &Party) -> Value {
    let identity = party.proof.identity();
    let id = identity.principal.as_str();
    let record = party.record.as_ref();
    let tags: Vec<Value> = record
        .iter()
        .flat_map(|r| &r.about.tags)
        .map(|tag| json!({ "key": tag, "value": "" }))
        .collect();
    json!({
        "id": id,
        "name": record.map_or(id, |r| r.name.as_str()),
        "active": record.is_none_or(|r| r.enabled == Enabled::Yes),
        "visible": true,
        "type": match identity.principal_kind {
            PrincipalKind::Device => "mutable",
            other => other.as_str(),
        },
        "description": record.map_or("", |r| r.about.description.as_str()),
        "tags": tags,
        "profile": identity.tenant.as_ref().map(|t| t.as_str()),
        "network": record.and_then(|r| r.network.as_ref()).map(|n| n.as_str()),
        "serie_number": record.and_then(|r| r.serial.as_deref()),
        "connector": Value::Null,
        "created_at": record.map(|r| r.created_at.rfc3339()),
        "updated_at": Value::Null,
        "last_input": party.last_used_at.map(UnixMillis::rfc3339),
    })
}
