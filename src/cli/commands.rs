//! Commands that speak to the management door.

use super::args::{Audit, CreateToken, Device, Key, Kind, Limits, Page, Revoke, Token};
use super::args_life::Switch;
use super::client::{Client, encoded};
use super::output::{Form, Output, read_line, somebody_is_there};
use super::{Failure, lifecycle, parties, show};
use crate::edge::management::wire;

type Done = Result<(), Failure>;

/// `token …`.
pub async fn token(client: &mut Client, out: Output, command: Token) -> Done {
    match command {
        Token::Create(wanted) => {
            let made = client.post("/tokens", &create(*wanted)?).await?;
            show::created(out, &made)
        }
        Token::List(wanted) => {
            let mut path = page("/tokens", &wanted.page);
            path.push_str(&lifecycle::query(wanted.matching)?);
            show::tokens(out, &client.get(&path).await?)
        }
        Token::Show { id } => {
            let found = client.get(&format!("/tokens/{}", encoded(&id))).await?;
            show::token(out, &found)
        }
        Token::Change(wanted) => lifecycle::change(client, out, *wanted).await,
        Token::Enable { id } => lifecycle::switch(client, out, &id, Switch::On).await,
        Token::Disable { id } => lifecycle::switch(client, out, &id, Switch::Off).await,
        Token::Regenerate { id } => lifecycle::regenerate(client, out, &id).await,
        Token::Reroll { id, overlap, expires } => lifecycle::reroll(client, out, &id, overlap, expires).await,
        Token::Reveal { id } => lifecycle::reveal(client, out, &id).await,
        Token::Delete { id } => lifecycle::delete(client, out, &id).await,
        Token::Purge { deleted_for } => lifecycle::purge(client, out, deleted_for).await,
        Token::RevokeMatching(wanted) => lifecycle::revoke_matching(client, out, *wanted).await,
        Token::Revoke(which) => {
            let what = match which.id {
                Some(id) => wire::Revoke::Credential(id),
                None => wire::Revoke::Token(wire::Secret(read_line()?)),
            };
            revoked(client, out, &what).await
        }
    }
}

fn create(wanted: CreateToken) -> Result<wire::CreateToken, Failure> {
    if wanted.password_stdin && wanted.kind != Kind::Basic {
        return Err(Failure::Usage("--password-stdin is for --kind basic".to_owned()));
    }
    let password = wanted.password_stdin.then(read_line).transpose()?;
    Ok(wire::CreateToken {
        service: wanted.service,
        principal: wanted.principal,
        device: wanted.device,
        format: wanted.format,
        tenant: wanted.tenant,
        user: wanted.user,
        password: password.map(wire::Secret),
        ..limited(wanted.kind, wanted.limits)?
    })
}

fn limited(kind: Kind, limits: Limits) -> Result<wire::CreateToken, Failure> {
    let metadata = parties::metadata(&limits.notes)?;
    Ok(wire::CreateToken {
        kind: kind.as_str().to_owned(),
        name: limits.name,
        scopes: limits.scopes,
        permission: limits.permission,
        networks: limits.networks,
        https_only: limits.https_only,
        expires: limits.expires,
        description: limits.notes.description,
        metadata,
        tags: limits.notes.tags,
        environment: limits.environment,
        revealable: limits.revealable,
        ..wire::CreateToken::default()
    })
}

/// `device …`.
pub async fn device(client: &mut Client, out: Output, command: Device) -> Done {
    match command {
        Device::Create {
            identifier,
            name,
            tenant,
            customer,
            network,
            serial,
            notes,
        } => {
            let metadata = parties::metadata(&notes)?;
            let wanted = wire::CreateDevice {
                identifier: Some(identifier),
                name,
                tenant,
                customer,
                network,
                serial,
                description: notes.description,
                metadata,
                tags: notes.tags,
            };
            show::principal(out, &client.post("/devices", &wanted).await?)
        }
        Device::Show { device } => {
            let found = client.get(&format!("/devices/{}", encoded(&device))).await?;
            show::principal(out, &found)
        }
        Device::Transfer {
            device,
            tenant,
            customer,
        } => {
            let path = format!("/devices/{}/transfer", encoded(&device));
            let wanted = wire::Transfer { tenant, customer };
            let moved: wire::Transferred = client.post(&path, &wanted).await?;
            match (out.form(), &moved.token) {
                (Form::Json, _) => Ok(out.json(&moved)?),
                (Form::People, None) => show::principal(out, &moved.device),
                (Form::People, Some(token)) => show::created(out, token),
            }
        }
        Device::List(wanted) => show::principals(out, &client.get(&page("/devices", &wanted)).await?),
        Device::Token {
            device,
            format,
            limits,
        } => {
            let wanted = wire::CreateToken {
                device: Some(device),
                format,
                ..limited(Kind::DeviceToken, limits)?
            };
            show::created(out, &client.post("/tokens", &wanted).await?)
        }
        Device::Regenerate {
            device,
            token,
            format,
        } => {
            let path = format!("/devices/{}/regenerate", encoded(&device));
            let made = client.post(&path, &wire::Regenerate { token, format }).await?;
            show::created(out, &made)
        }
        Device::Revoke { device } => revoked(client, out, &wire::Revoke::Device(device)).await,
    }
}

/// `key …`.
pub async fn key(client: &mut Client, out: Output, command: Key) -> Done {
    match command {
        Key::List => show::keys(out, &client.get("/keys").await?),
        Key::Rotate { purpose, anyway } => {
            let path = format!("/keys/{}/rotate", encoded(&purpose));
            show::key(out, &client.post(&path, &wire::Rotate { anyway }).await?)
        }
    }
}

/// Asks before everything ends. Called before anything is opened.
pub fn confirm(wanted: &Revoke, out: Output) -> Done {
    const WORDS: &str = "revoke everything";
    if !wanted.what.all || wanted.yes {
        return Ok(());
    }
    if !somebody_is_there() {
        return Err(Failure::Usage(
            "this ends every credential there is; say --yes to do it without being asked".to_owned(),
        ));
    }
    out.note("This ends every credential there is, administrators' included: every device and program must get a new one.")?;
    out.note(&format!("Type `{WORDS}` to go on:"))?;
    if read_line()?.trim() == WORDS {
        Ok(())
    } else {
        Err(Failure::Failed("nothing was revoked".to_owned()))
    }
}

/// `revoke …`.
pub async fn revoke(client: &mut Client, out: Output, wanted: Revoke) -> Done {
    let whose = wanted.what;
    let what = match (whose.principal, whose.device, whose.tenant) {
        (Some(id), _, _) => wire::Revoke::Principal(id),
        (_, Some(device), _) => wire::Revoke::Device(device),
        (_, _, Some(id)) => wire::Revoke::Tenant(id),
        _ => wire::Revoke::All(wire::Everything::Everything),
    };
    revoked(client, out, &what).await
}

async fn revoked(client: &mut Client, out: Output, what: &wire::Revoke) -> Done {
    show::revoked(out, &client.post("/revocations", what).await?)
}

/// `audit …`.
pub async fn audit(client: &mut Client, out: Output, command: Audit) -> Done {
    match command {
        Audit::List { limit, before } => {
            let mut path = format!("/audit?limit={limit}");
            if let Some(before) = before {
                path.push_str(&format!("&before={before}"));
            }
            show::audit(out, &client.get(&path).await?)
        }
        Audit::Verify => {
            let verdict: wire::AuditVerdict = client.get("/audit/verify").await?;
            if out.form() == Form::Json {
                out.json(&verdict)?;
            }
            match verdict.first_bad {
                None if out.form() == Form::People => Ok(out.line("the audit trail is whole")?),
                None => Ok(()),
                Some(seq) => Err(Failure::Failed(format!(
                    "the audit trail was changed: row {seq} does not fit the one before"
                ))),
            }
        }
    }
}

pub(super) fn page(path: &str, wanted: &Page) -> String {
    let mut path = format!("{path}?limit={}", wanted.limit);
    if let Some(after) = &wanted.after {
        path.push_str(&format!("&after={}", encoded(after)));
    }
    path
}
