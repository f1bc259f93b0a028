//! Commands about the life of a credential after it was made.

use super::Failure;
use super::args_life::{ChangeToken, Matching, Switch};
use super::client::{Client, encoded};
use super::output::{Form, Output};
use super::parties::{deleted, metadata};
use super::show;
use crate::edge::management::wire;

type Done = Result<(), Failure>;

fn at(id: &str) -> String {
    format!("/tokens/{}", encoded(id))
}

/// `token change`.
pub async fn change(client: &mut Client, out: Output, wanted: ChangeToken) -> Done {
    let metadata = metadata(&wanted.notes)?;
    let change = wire::ChangeToken {
        name: wanted.name,
        description: wanted.notes.description,
        metadata,
        tags: wanted.notes.tags,
        environment: wanted
            .environment
            .map(|label| Some(label).filter(|l| !l.is_empty())),
        scopes: wanted.scopes,
        permission: wanted.permission,
        networks: wanted.networks,
        https_only: wanted.https_only.map(|s| s == Switch::On),
        expires: wanted.expires,
        ..wire::ChangeToken::default()
    };
    let path = at(&wanted.id);
    shown(
        out,
        &client.patch(&path, &change, wanted.version.if_version).await?,
    )
}

/// `token enable`, `token disable`.
pub async fn switch(client: &mut Client, out: Output, id: &str, to: Switch) -> Done {
    let change = wire::ChangeToken {
        enabled: Some(to == Switch::On),
        ..wire::ChangeToken::default()
    };
    shown(out, &client.patch(&at(id), &change, None).await?)
}

fn shown(out: Output, token: &wire::Token) -> Done {
    match out.form() {
        Form::Json => Ok(out.json(token)?),
        Form::People => Ok(out.line(&format!(
            "{} is {} (version {})",
            token.id, token.state, token.version
        ))?),
    }
}

/// `token regenerate`.
pub async fn regenerate(client: &mut Client, out: Output, id: &str) -> Done {
    show::created(out, &client.post(&format!("{}/regenerate", at(id)), &()).await?)
}

/// `token reroll`.
pub async fn reroll(
    client: &mut Client,
    out: Output,
    id: &str,
    overlap: String,
    expires: Option<String>,
) -> Done {
    let wanted = wire::Reroll { overlap, expires };
    show::created(out, &client.post(&format!("{}/reroll", at(id)), &wanted).await?)
}

/// `token reveal`.
pub async fn reveal(client: &mut Client, out: Output, id: &str) -> Done {
    let revealed: wire::Revealed = client.post(&format!("{}/reveal", at(id)), &()).await?;
    match out.form() {
        Form::Json => Ok(out.json(&revealed)?),
        Form::People => Ok(out.line(&revealed.secret.0)?),
    }
}

/// `token delete`.
pub async fn delete(client: &mut Client, out: Output, id: &str) -> Done {
    deleted(out, &client.delete(&at(id)).await?)
}

/// `token purge`.
pub async fn purge(client: &mut Client, out: Output, deleted_for: String) -> Done {
    let done: wire::Forgotten = client.post("/tokens/purge", &wire::Purge { deleted_for }).await?;
    match out.form() {
        Form::Json => Ok(out.json(&done)?),
        Form::People => Ok(out.line(&format!("forgotten: {}", done.forgotten))?),
    }
}

/// `token revoke-matching`.
pub async fn revoke_matching(client: &mut Client, out: Output, wanted: Matching) -> Done {
    let done: wire::Ended = client.post("/revocations/matching", &matching(wanted)).await?;
    match out.form() {
        Form::Json => Ok(out.json(&done)?),
        Form::People => Ok(out.line(&format!("ended: {}", done.ended))?),
    }
}

fn matching(wanted: Matching) -> wire::Matching {
    wire::Matching {
        kind: wanted.kind.map(|kind| kind.as_str().to_owned()),
        principal: wanted.principal,
        tenant: wanted.tenant,
        customer: wanted.customer,
        state: wanted.state,
        tag: wanted.tag,
        environment: wanted.environment,
        prefix: wanted.prefix,
        name: wanted.name,
        expires_within: wanted.expires_within,
        unused_for: wanted.unused_for,
    }
}

/// The same filters as the parameters of a listing.
pub fn query(wanted: Matching) -> Result<String, Failure> {
    let fields = serde_json::to_value(matching(wanted)).map_err(Failure::failed)?;
    let mut query = String::new();
    for (name, value) in fields.as_object().into_iter().flatten() {
        if let Some(value) = value.as_str() {
            query.push_str(&format!("&{name}={}", encoded(value)));
        }
    }
    Ok(query)
}
