//! Tenants and their customers: made, listed, changed, switched off, deleted.

use super::actor::Actor;
use super::error::{AccountsError, Result};
use super::principals::name;
use super::{
    About, Accounts, CustomerFilter, CustomerRecord, Enabled, Page, TenantFilter, TenantRecord, noting,
};
use crate::cluster::RevocationSink;
use crate::domain::ids::{CustomerId, TenantId};

/// What shall be different of a tenant or customer; `None` leaves it as it is.
#[derive(Debug, Clone, Default)]
pub struct PartyChange {
    /// Its name for people.
    pub name: Option<String>,
    /// Whether its principals may come in.
    pub enabled: Option<Enabled>,
    /// A sentence or two.
    pub description: Option<String>,
    /// Facts for other programs; replaces all of them.
    pub metadata: Option<serde_json::Map<String, serde_json::Value>>,
    /// Words to find it by; replaces all of them.
    pub tags: Option<Vec<String>>,
}

impl PartyChange {
    /// Writes the change over these parts of a record.
    pub(super) fn apply(&self, called: &mut String, enabled: &mut Enabled, about: &mut About) -> Result<()> {
        if let Some(text) = &self.name {
            *called = name("name", text)?;
        }
        if let Some(state) = self.enabled {
            *enabled = state;
        }
        if let Some(text) = &self.description {
            about.description = noting::description(text)?;
        }
        if let Some(map) = &self.metadata {
            about.metadata = noting::metadata(map.clone())?;
        }
        if let Some(tags) = &self.tags {
            about.tags = noting::tags(tags.clone())?;
        }
        Ok(())
    }

    /// Which parts change, for the audit trail; notes without their contents.
    pub(super) fn told(&self) -> serde_json::Map<String, serde_json::Value> {
        let mut told = serde_json::Map::new();
        if let Some(text) = &self.name {
            told.insert("name".to_owned(), text.trim().into());
        }
        if let Some(state) = self.enabled {
            told.insert("enabled".to_owned(), (state == Enabled::Yes).into());
        }
        for (field, given) in [
            ("description", self.description.is_some()),
            ("metadata", self.metadata.is_some()),
            ("tags", self.tags.is_some()),
        ] {
            if given {
                told.insert(field.to_owned(), "changed".into());
            }
        }
        told
    }
}

impl Accounts {
    /// Makes a tenant, under this id or a random one.
    pub async fn create_tenant(
        &self,
        id: Option<TenantId>,
        called: &str,
        about: About,
        actor: &Actor,
    ) -> Result<TenantRecord> {
        let record = TenantRecord {
            id: id.unwrap_or_else(TenantId::random),
            name: name("name", called)?,
            enabled: Enabled::Yes,
            created_at: self.now(),
            about: noting::about(about)?,
            version: 1,
        };
        let detail = serde_json::json!({"name": record.name});
        let draft = actor.draft(record.created_at, "tenant.create", record.id.as_str(), detail);
        self.rows(actor).insert_tenant(&record, &draft).await?;
        Ok(record)
    }

    /// One tenant.
    pub async fn tenant(&self, id: &TenantId, actor: &Actor) -> Result<TenantRecord> {
        let found = self.rows(actor).tenant(id).await?;
        found.ok_or_else(|| AccountsError::not_found("tenant", id.as_str()))
    }

    /// A page of tenants, oldest first.
    pub async fn list_tenants(
        &self,
        filter: &TenantFilter,
        page: &Page,
        actor: &Actor,
    ) -> Result<Vec<TenantRecord>> {
        self.rows(actor).list_tenants(filter, page).await
    }

    /// Changes a tenant. Switching it off ends everything of it that has no row (sealed tokens, JWTs) for
    /// good; its stored credentials work again when it is switched on.
    pub async fn update_tenant(
        &self,
        id: &TenantId,
        change: &PartyChange,
        version: Option<u64>,
        actor: &Actor,
    ) -> Result<TenantRecord> {
        let mut record = self.tenant(id, actor).await?;
        record.version = version.unwrap_or(record.version);
        change.apply(&mut record.name, &mut record.enabled, &mut record.about)?;
        let draft = actor.draft(self.now(), "tenant.update", id.as_str(), change.told().into());
        match self.rows(actor).update_tenant(&record, &draft).await? {
            Some(ended) => self.parts.revocations.apply(&ended),
            None => (self.parts.created)(),
        }
        self.tenant(id, actor).await
    }

    /// Deletes a tenant that has no customers and principals any more.
    pub async fn delete_tenant(&self, id: &TenantId, actor: &Actor) -> Result<()> {
        let record = self.tenant(id, actor).await?;
        let detail = serde_json::json!({"name": record.name});
        let draft = actor.draft(self.now(), "tenant.delete", id.as_str(), detail);
        self.rows(actor).delete_tenant(id, &draft).await
    }

    /// Makes a customer of a tenant, under this id or a random one.
    pub async fn create_customer(
        &self,
        id: Option<CustomerId>,
        tenant: &TenantId,
        called: &str,
        about: About,
        actor: &Actor,
    ) -> Result<CustomerRecord> {
        self.tenant(tenant, actor).await?;
        let record = CustomerRecord {
            id: id.unwrap_or_else(CustomerId::random),
            tenant: tenant.clone(),
            name: name("name", called)?,
            enabled: Enabled::Yes,
            created_at: self.now(),
            about: noting::about(about)?,
            version: 1,
        };
        let detail = serde_json::json!({"name": record.name, "tenant": tenant.as_str()});
        let draft = actor.draft(record.created_at, "customer.create", record.id.as_str(), detail);
        self.rows(actor).insert_customer(&record, &draft).await?;
        Ok(record)
    }

    /// One customer.
    pub async fn customer(&self, id: &CustomerId, actor: &Actor) -> Result<CustomerRecord> {
        let found = self.rows(actor).customer(id).await?;
        found.ok_or_else(|| AccountsError::not_found("customer", id.as_str()))
    }

    /// A page of customers, oldest first.
    pub async fn list_customers(
        &self,
        filter: &CustomerFilter,
        page: &Page,
        actor: &Actor,
    ) -> Result<Vec<CustomerRecord>> {
        self.rows(actor).list_customers(filter, page).await
    }

    /// Changes a customer. While it is switched off, nobody assigned to it comes in.
    pub async fn update_customer(
        &self,
        id: &CustomerId,
        change: &PartyChange,
        version: Option<u64>,
        actor: &Actor,
    ) -> Result<CustomerRecord> {
        let mut record = self.customer(id, actor).await?;
        record.version = version.unwrap_or(record.version);
        change.apply(&mut record.name, &mut record.enabled, &mut record.about)?;
        let draft = actor.draft(self.now(), "customer.update", id.as_str(), change.told().into());
        if let Some(news) = self.rows(actor).update_customer(&record, &draft).await? {
            self.parts.revocations.apply(&news);
        }
        (self.parts.created)();
        self.customer(id, actor).await
    }

    /// Deletes a customer to which nobody is assigned any more.
    pub async fn delete_customer(&self, id: &CustomerId, actor: &Actor) -> Result<()> {
        let record = self.customer(id, actor).await?;
        let detail = serde_json::json!({"name": record.name});
        let draft = actor.draft(self.now(), "customer.delete", id.as_str(), detail);
        self.rows(actor).delete_customer(id, &draft).await
    }
}
