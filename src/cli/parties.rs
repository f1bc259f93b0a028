//! Commands about principals, tenants, customers and the server.

use super::args_life::{ChangeParty, Customer, Notes, Principal, Server, Switch, Tenant};
use super::client::{Client, encoded};
use super::commands::page;
use super::output::{Form, Output};
use super::{Failure, show};
use crate::edge::management::wire;

type Done = Result<(), Failure>;

/// Metadata as it was typed.
pub fn metadata(notes: &Notes) -> Result<Option<serde_json::Map<String, serde_json::Value>>, Failure> {
    let read = |text: &String| {
        serde_json::from_str(text)
            .map_err(|_| Failure::Usage("--metadata: expected a JSON object".to_owned()))
    };
    notes.metadata.as_ref().map(read).transpose()
}

fn on(switch: Option<Switch>) -> Option<bool> {
    switch.map(|s| s == Switch::On)
}

/// `principal …`.
pub async fn principal(client: &mut Client, out: Output, command: Principal) -> Done {
    let at = |id: &str| format!("/principals/{}", encoded(id));
    match command {
        Principal::Create {
            external_id,
            kind,
            name,
            roles,
            tenant,
            customer,
            notes,
        } => {
            let metadata = metadata(&notes)?;
            let wanted = wire::CreatePrincipal {
                kind,
                external_id,
                name,
                roles,
                tenant,
                customer,
                description: notes.description,
                metadata,
                tags: notes.tags,
            };
            show::principal(out, &client.post("/principals", &wanted).await?)
        }
        Principal::List {
            kind,
            tenant,
            page: wanted,
        } => {
            let mut path = page("/principals", &wanted);
            for (name, value) in [("kind", kind), ("tenant", tenant)] {
                if let Some(value) = value {
                    path.push_str(&format!("&{name}={}", encoded(&value)));
                }
            }
            show::principals(out, &client.get(&path).await?)
        }
        Principal::Show { id } => show::principal(out, &client.get(&at(&id)).await?),
        Principal::Change {
            id,
            name,
            roles,
            notes,
            version,
        } => {
            let metadata = metadata(&notes)?;
            let wanted = wire::ChangePrincipal {
                name,
                enabled: None,
                roles,
                description: notes.description,
                metadata,
                tags: notes.tags,
            };
            show::principal(out, &client.patch(&at(&id), &wanted, version.if_version).await?)
        }
        Principal::Enable { id } => {
            show::principal(out, &client.post(&format!("{}/enable", at(&id)), &()).await?)
        }
        Principal::Disable { id } => {
            show::principal(out, &client.post(&format!("{}/disable", at(&id)), &()).await?)
        }
        Principal::Delete { id } => deleted(out, &client.delete(&at(&id)).await?),
    }
}

/// `tenant …`.
pub async fn tenant(client: &mut Client, out: Output, command: Tenant) -> Done {
    let at = |id: &str| format!("/tenants/{}", encoded(id));
    match command {
        Tenant::Create { name, id, notes } => {
            let metadata = metadata(&notes)?;
            let wanted = wire::CreateTenant {
                id,
                name,
                description: notes.description,
                metadata,
                tags: notes.tags,
            };
            show::party(out, &client.post("/tenants", &wanted).await?)
        }
        Tenant::List(wanted) => show::parties(out, &client.get(&page("/tenants", &wanted)).await?),
        Tenant::Show { id } => show::party(out, &client.get(&at(&id)).await?),
        Tenant::Change(wanted) => change(client, out, &at(&wanted.id), wanted).await,
        Tenant::Delete { id } => deleted(out, &client.delete(&at(&id)).await?),
    }
}

/// `customer …`.
pub async fn customer(client: &mut Client, out: Output, command: Customer) -> Done {
    let at = |id: &str| format!("/customers/{}", encoded(id));
    match command {
        Customer::Create {
            name,
            tenant,
            id,
            notes,
        } => {
            let metadata = metadata(&notes)?;
            let wanted = wire::CreateCustomer {
                id,
                tenant: Some(tenant),
                name,
                description: notes.description,
                metadata,
                tags: notes.tags,
            };
            show::party(out, &client.post("/customers", &wanted).await?)
        }
        Customer::List { tenant, page: wanted } => {
            let mut path = page("/customers", &wanted);
            if let Some(tenant) = tenant {
                path.push_str(&format!("&tenant={}", encoded(&tenant)));
            }
            show::parties(out, &client.get(&path).await?)
        }
        Customer::Show { id } => show::party(out, &client.get(&at(&id)).await?),
        Customer::Change(wanted) => change(client, out, &at(&wanted.id), wanted).await,
        Customer::Delete { id } => deleted(out, &client.delete(&at(&id)).await?),
    }
}

async fn change(client: &mut Client, out: Output, path: &str, wanted: ChangeParty) -> Done {
    let metadata = metadata(&wanted.notes)?;
    let change = wire::ChangeParty {
        name: wanted.name,
        enabled: on(wanted.switch),
        description: wanted.notes.description,
        metadata,
        tags: wanted.notes.tags,
    };
    show::party(
        out,
        &client.patch(path, &change, wanted.version.if_version).await?,
    )
}

/// What was deleted.
pub fn deleted(out: Output, what: &wire::Deleted) -> Done {
    match out.form() {
        Form::Json => Ok(out.json(what)?),
        Form::People => Ok(out.line(&format!("deleted: {}", what.deleted))?),
    }
}

/// `server …`.
pub async fn server(client: &mut Client, out: Output, command: Server) -> Done {
    match command {
        Server::Version => {
            let found: wire::Version = client.get("/version").await?;
            match out.form() {
                Form::Json => Ok(out.json(&found)?),
                Form::People => Ok(out.line(&found.version)?),
            }
        }
        Server::Health => {
            let found: wire::Health = client.get("/health").await?;
            match out.form() {
                Form::Json => Ok(out.json(&found)?),
                Form::People => Ok(out.line(&format!("store: {}", found.store))?),
            }
        }
    }
}
