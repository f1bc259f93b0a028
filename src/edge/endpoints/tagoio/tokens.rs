//! `POST /device/token`, and `GET` and `DELETE /device/token/...`: the tokens of a device.
//!
//! A token is shown once. A listing names it by its id instead, which `DELETE` takes as well as the token.

use std::sync::Arc;

use async_trait::async_trait;
use http::{HeaderMap, Method, StatusCode};
use serde_json::{Map, Value, json};

use super::super::read::json_object;
use super::super::{Answer, Asked, Endpoint, Refused, Trouble};
use super::query::{Direction, Listing};
use super::{Faults, admit, failed, failure, not_managed, success, trouble};
use crate::accounts::{
    About, CredentialRecord, Managing, NewCredential, NotManaged, PrincipalRecord, TokenManagers,
    UsageRecord, expiry,
};
use crate::domain::clock::UnixMillis;
use crate::domain::scope::Permission;

/// Members of a request that are kept as notes and told in listings; they decide nothing here.
const NOTES: [&str; 3] = ["serie_number", "verification_code", "middleware"];
/// Longest text of a member.
const MAX_TEXT_BYTES: usize = 255;

/// Makes a token of a device.
pub struct CreateToken {
    /// Who makes it.
    pub managers: Arc<TokenManagers>,
    /// When it ends when nothing is said, as people write it.
    pub expire_time: Box<str>,
}

/// Lists the tokens of the device, or ends the token, that the path ends in.
pub struct TokensOf(pub Arc<TokenManagers>);

/// A token that is asked for.
#[derive(Debug)]
struct Wanted {
    device: String,
    new: NewCredential,
}

#[async_trait]
impl Endpoint for CreateToken {
    fn admit(&self, method: &Method, headers: &HeaderMap) -> Result<(), Refused> {
        admit("POST", method, headers)
    }

    async fn answer(&self, asked: Asked) -> Answer {
        match self.create(&asked).await {
            Ok(answer) => answer,
            Err(why) => not_managed(&why),
        }
    }

    fn trouble(&self, why: Trouble) -> Answer {
        trouble(why)
    }
}

impl CreateToken {
    async fn create(&self, asked: &Asked) -> Result<Answer, NotManaged> {
        let manager = self.managers.admit(Managing::Write, &asked.call()).await?;
        let Some(body) = json_object(&asked.body) else {
            return Ok(failure(StatusCode::BAD_REQUEST, "The body is not valid JSON"));
        };
        let wanted = match Wanted::read(&body, &self.expire_time, self.managers.now()) {
            Ok(wanted) => wanted,
            Err(faults) => return Ok(faults.answer()),
        };
        let device = self.managers.device(&manager, &wanted.device).await?;
        if let Some(faults) = contradiction(&wanted, &device) {
            return Ok(faults.answer());
        }
        let permission = wanted.new.permission;
        let issued = self.managers.create(&manager, &device, wanted.new).await?;
        let end = expire_time(issued.expires_at);
        let result = json!({
            "token": issued.secret.expose(),
            "expire_time": end,
            "expire_date": end,
            "permission": permission.as_str(),
        });
        Ok(success(StatusCode::CREATED, &result))
    }
}

fn expire_time(end: Option<UnixMillis>) -> String {
    end.map_or_else(|| "never".to_owned(), UnixMillis::rfc3339)
}

/// A serial number belongs to the device and its network; a token cannot give it another.
fn contradiction(wanted: &Wanted, device: &PrincipalRecord) -> Option<Faults> {
    let said = note(&wanted.new.about, "serie_number")?;
    let known = device.serial.as_deref()?;
    (said != known).then(|| {
        let mut faults = Faults::default();
        faults.add("serie_number", "expected the device's own serial number, or none");
        faults
    })
}

impl Wanted {
    fn read(body: &Map<String, Value>, default_end: &str, now: UnixMillis) -> Result<Self, Faults> {
        let mut faults = Faults::default();
        let mut about = About::default();
        let (mut device, mut name, mut end, mut permission) = (None, None, None, Permission::Full);
        for (member, value) in body {
            let text = match value {
                Value::Null => continue,
                Value::String(text) if text.len() <= MAX_TEXT_BYTES => text.as_str(),
                _ => {
                    faults.add(
                        member,
                        format!("expected a text of at most {MAX_TEXT_BYTES} bytes"),
                    );
                    continue;
                }
            };
            match member.as_str() {
                "device" => device = Some(text.to_owned()),
                "name" => name = Some(text.to_owned()),
                "expire_time" => end = Some(text),
                "permission" => match Permission::parse(text) {
                    Some(known) => permission = known,
                    None => faults.add("permission", "expected full, read or write"),
                },
                note if NOTES.contains(&note) => {
                    about.metadata.insert(note.to_owned(), text.into());
                }
                // Not repeated: it may be long, and no secret belongs in an answer.
                _ => faults.add(
                    "body",
                    "expected device, name, expire_time, permission, serie_number, verification_code, middleware",
                ),
            }
        }
        if device.as_deref().is_none_or(str::is_empty) {
            faults.add("device", "expected the id of a device");
        }
        if name.as_deref().is_none_or(|name| name.trim().is_empty()) {
            faults.add("name", "expected a name for the token");
        }
        let expires_at = match expiry::parse(end.unwrap_or(default_end), now) {
            Ok(expires_at) => expires_at,
            Err(_) => {
                faults.add("expire_time", format!("expected {}", expiry::EXPECTED));
                None
            }
        };
        if !faults.none() {
            return Err(faults);
        }
        let new = NewCredential {
            name,
            permission,
            expires_at,
            about,
            ..NewCredential::default()
        };
        Ok(Self {
            device: device.unwrap_or_default(),
            new,
        })
    }
}

fn note<'a>(about: &'a About, name: &str) -> Option<&'a str> {
    about.metadata.get(name).and_then(Value::as_str)
}

#[async_trait]
impl Endpoint for TokensOf {
    fn admit(&self, method: &Method, headers: &HeaderMap) -> Result<(), Refused> {
        admit("GET, DELETE", method, headers)
    }

    async fn answer(&self, asked: Asked) -> Answer {
        let answered = match asked.method {
            Method::DELETE => self.end(&asked).await,
            _ => self.list(&asked).await,
        };
        answered.unwrap_or_else(|why| not_managed(&why))
    }

    fn trouble(&self, why: Trouble) -> Answer {
        trouble(why)
    }
}

impl TokensOf {
    async fn end(&self, asked: &Asked) -> Result<Answer, NotManaged> {
        let manager = self.0.admit(Managing::Delete, &asked.call()).await?;
        let named = asked.tail.as_deref().unwrap_or_default();
        Ok(match self.0.end(&manager, named).await {
            Ok(()) => success(StatusCode::OK, &"Token Successfully Removed"),
            Err(error) => failed(&error),
        })
    }

    async fn list(&self, asked: &Asked) -> Result<Answer, NotManaged> {
        let manager = self.0.admit(Managing::Read, &asked.call()).await?;
        let listing = match Listing::read(asked.query.as_deref().unwrap_or_default()) {
            Ok(listing) => listing,
            Err(faults) => return Ok(faults.answer()),
        };
        let device = asked.tail.as_deref().unwrap_or_default();
        let rows = self.0.tokens(&manager, device).await?;
        let used = listing.order == "last_authorization" || listing.fields.contains(&"last_authorization");
        let mut found = Vec::with_capacity(rows.len());
        for row in rows {
            let usage = match used {
                true => self.0.usage(&manager, &row.id).await?,
                false => None,
            };
            found.push((row, usage));
        }
        Ok(success(StatusCode::OK, &page(found, &listing)))
    }
}

/// A token, and how it was used where that is asked for.
type Found = (CredentialRecord, Option<UsageRecord>);

/// Everything that a listing tells of a token.
fn members(row: &CredentialRecord, usage: Option<&UsageRecord>) -> Map<String, Value> {
    let device = row.principal.as_str();
    let members = [
        ("token", row.id.as_str().into()),
        ("device_id", device.into()),
        ("ref_id", device.into()),
        ("type", "device".into()),
        ("name", row.name.as_str().into()),
        ("permission", row.permission.as_str().into()),
        ("serie_number", note(&row.about, "serie_number").into()),
        ("verification_code", note(&row.about, "verification_code").into()),
        (
            "last_authorization",
            usage.map(|usage| usage.last_used_at.rfc3339()).into(),
        ),
        ("expire_time", expire_time(row.expires_at).into()),
        ("created_at", row.created_at.rfc3339().into()),
        ("created_by", Value::Null),
    ];
    members
        .into_iter()
        .map(|(name, value)| (name.to_owned(), value))
        .collect()
}

/// The rows that a listing asks for, with the members it asks for.
fn page(mut rows: Vec<Found>, listing: &Listing) -> Vec<Map<String, Value>> {
    rows.retain(|row| listing.filter.iter().all(|(by, value)| text(row, by) == *value));
    // Stable: rows that are equal stay in the order of their age.
    rows.sort_by_cached_key(|row| text(row, listing.order));
    if listing.direction == Direction::Falling {
        rows.reverse();
    }
    let shown = rows.iter().skip(listing.skip).take(listing.amount);
    shown
        .map(|(row, usage)| {
            let mut told = members(row, usage.as_ref());
            told.retain(|name, _| listing.fields.contains(&name.as_str()));
            told
        })
        .collect()
}

/// What a row is ordered and filtered by.
fn text((row, usage): &Found, member: &str) -> String {
    let instant = |at: UnixMillis| format!("{:020}", at.0);
    match member {
        "created_at" => instant(row.created_at),
        "last_authorization" => usage
            .as_ref()
            .map(|u| instant(u.last_used_at))
            .unwrap_or_default(),
        "permission" => row.permission.as_str().to_owned(),
        "serie_number" => note(&row.about, "serie_number").unwrap_or_default().to_owned(),
        _ => row.name.clone(),
    }
}
