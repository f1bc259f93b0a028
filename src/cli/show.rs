//! Answers of the management door for people and, unchanged, for programs.

use super::Failure;
use super::output::{Form, Output};
use crate::edge::management::wire::{
    AuditRow, Created, Key, Listing, Party, Principal, Revoked, Token, TokenDetails,
};

type Done = Result<(), Failure>;

const NOTHING: &str = "-";

fn or_dash(text: Option<&str>) -> String {
    text.unwrap_or(NOTHING).to_owned()
}

fn rows<T: serde::Serialize>(
    out: Output,
    listing: &Listing<T>,
    header: &[&str],
    row: impl Fn(&T) -> Vec<String>,
    going_on: &str,
) -> Done {
    if out.form() == Form::Json {
        return Ok(out.json(listing)?);
    }
    out.table(header, listing.items.iter().map(row).collect())?;
    if let Some(next) = &listing.next {
        out.note(&format!("there may be more: {going_on} {next}"))?;
    }
    Ok(())
}

fn facts(out: Output, facts: &[(&str, String)]) -> Done {
    for (name, value) in facts {
        out.line(&format!("{name:<13}{value}"))?;
    }
    Ok(())
}

/// A new credential. Its secret stands alone on standard output.
pub fn created(out: Output, made: &Created) -> Done {
    if out.form() == Form::Json {
        return Ok(out.json(made)?);
    }
    out.note(&format!("{} {} of {}", made.kind, made.id, made.principal))?;
    if let Some(public_id) = &made.public_id {
        let what = if made.kind == "basic" {
            "user name"
        } else {
            "public part"
        };
        out.note(&format!("{what}: {public_id}"))?;
    }
    out.note(&format!(
        "ends: {}",
        made.expires_at.as_deref().unwrap_or("never")
    ))?;
    out.note(
        "The secret, shown only now; what is kept of it here is a digest at most, unless it was made revealable:",
    )?;
    Ok(out.line(made.secret.as_ref().map_or(NOTHING, |secret| &secret.0))?)
}

/// Stored credentials.
pub fn tokens(out: Output, listing: &Listing<Token>) -> Done {
    let header = ["ID", "KIND", "NAME", "PUBLIC PART", "STATE", "ENDS", "PRINCIPAL"];
    let row = |t: &Token| {
        vec![
            t.id.clone(),
            t.kind.clone(),
            t.name.clone(),
            or_dash(t.public_id.as_deref()),
            t.state.clone(),
            t.expires_at.clone().unwrap_or_else(|| "never".to_owned()),
            t.principal.clone(),
        ]
    };
    rows(out, listing, &header, row, "--after")
}

/// One stored credential.
pub fn token(out: Output, details: &TokenDetails) -> Done {
    if out.form() == Form::Json {
        return Ok(out.json(details)?);
    }
    let (t, owner) = (&details.token, &details.owner);
    let list = |items: &[String], empty: &str| {
        if items.is_empty() {
            empty.to_owned()
        } else {
            items.join(" ")
        }
    };
    facts(
        out,
        &[
            ("id", t.id.clone()),
            ("kind", t.kind.clone()),
            ("name", t.name.clone()),
            ("public part", or_dash(t.public_id.as_deref())),
            ("state", t.state.clone()),
            (
                "belongs to",
                format!("{} {} ({})", owner.kind, owner.name, owner.id),
            ),
            ("scopes", list(&t.scopes, "whatever its principal may do")),
            ("permission", t.permission.clone()),
            ("networks", list(&t.networks, "any")),
            (
                "transport",
                if t.https_only { "HTTPS only" } else { "any" }.to_owned(),
            ),
            ("made", t.created_at.clone()),
            ("ends", t.expires_at.clone().unwrap_or_else(|| "never".to_owned())),
            ("revoked", or_dash(t.revoked_at.as_deref())),
        ],
    )?;
    match &details.usage {
        None => facts(out, &[("used", "never, as far as is written down".to_owned())]),
        Some(usage) => facts(
            out,
            &[
                ("used", format!("{} times", usage.count)),
                ("first used", usage.first_used_at.clone()),
                ("last used", usage.last_used_at.clone()),
                ("from", list(&usage.recent_addresses, NOTHING)),
            ],
        ),
    }
}

/// A device, user or service account.
pub fn principal(out: Output, found: &Principal) -> Done {
    if out.form() == Form::Json {
        return Ok(out.json(found)?);
    }
    facts(
        out,
        &[
            ("id", found.id.clone()),
            ("kind", found.kind.clone()),
            ("identifier", or_dash(found.external_id.as_deref())),
            ("name", found.name.clone()),
            ("tenant", or_dash(found.tenant.as_deref())),
            ("customer", or_dash(found.customer.as_deref())),
            ("roles", found.roles.join(" ")),
            ("switched", if found.enabled { "on" } else { "off" }.to_owned()),
            ("description", found.notes.description.clone()),
            ("tags", found.notes.tags.join(" ")),
            ("made", found.created_at.clone()),
            ("version", found.version.to_string()),
        ],
    )
}

/// A tenant or customer.
pub fn party(out: Output, found: &Party) -> Done {
    if out.form() == Form::Json {
        return Ok(out.json(found)?);
    }
    facts(
        out,
        &[
            ("id", found.id.clone()),
            ("tenant", or_dash(found.tenant.as_deref())),
            ("name", found.name.clone()),
            ("switched", if found.enabled { "on" } else { "off" }.to_owned()),
            ("description", found.notes.description.clone()),
            ("tags", found.notes.tags.join(" ")),
            ("made", found.created_at.clone()),
            ("version", found.version.to_string()),
        ],
    )
}

/// Tenants or customers.
pub fn parties(out: Output, listing: &Listing<Party>) -> Done {
    let row = |p: &Party| {
        vec![
            p.id.clone(),
            or_dash(p.tenant.as_deref()),
            p.name.clone(),
            if p.enabled { "on" } else { "off" }.to_owned(),
            p.created_at.clone(),
        ]
    };
    rows(
        out,
        listing,
        &["ID", "TENANT", "NAME", "SWITCHED", "MADE"],
        row,
        "--after",
    )
}

/// Devices, users, service accounts.
pub fn principals(out: Output, listing: &Listing<Principal>) -> Done {
    let row = |p: &Principal| {
        vec![
            p.id.clone(),
            or_dash(p.external_id.as_deref()),
            p.name.clone(),
            if p.enabled { "on" } else { "off" }.to_owned(),
            p.created_at.clone(),
        ]
    };
    let header = ["ID", "IDENTIFIER", "NAME", "SWITCHED", "MADE"];
    rows(out, listing, &header, row, "--after")
}

/// Our keys.
pub fn keys(out: Output, listing: &Listing<Key>) -> Done {
    let row = |k: &Key| {
        vec![
            k.id.clone(),
            k.purpose.clone(),
            k.state.clone(),
            k.created_at.clone(),
        ]
    };
    rows(out, listing, &["ID", "PURPOSE", "STATE", "MADE"], row, "--after")
}

/// A key that was just made.
pub fn key(out: Output, key: &Key) -> Done {
    if out.form() == Form::Json {
        return Ok(out.json(key)?);
    }
    Ok(out.line(&format!("the {} key is now {}", key.purpose, key.id))?)
}

/// What was ended.
pub fn revoked(out: Output, revoked: &Revoked) -> Done {
    if out.form() == Form::Json {
        return Ok(out.json(revoked)?);
    }
    out.line(&format!("revoked: {} (number {})", revoked.target, revoked.seq))?;
    if !revoked.stored {
        out.note(
            "nothing is stored under this id; sealed tokens and JWTs that bear it are refused from now on",
        )?;
    }
    Ok(())
}

/// Audit rows.
pub fn audit(out: Output, listing: &Listing<AuditRow>) -> Done {
    let row = |r: &AuditRow| {
        vec![
            r.seq.to_string(),
            r.at.clone(),
            r.actor.clone(),
            r.act.clone(),
            r.target.clone(),
            or_dash(r.from.as_deref()),
        ]
    };
    let header = ["NUMBER", "AT", "ACTOR", "ACT", "TARGET", "FROM"];
    rows(out, listing, &header, row, "--before")
}
