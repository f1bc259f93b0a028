//! A store of rows in memory for the unit tests of the kinds: counts what it is asked, and can be broken.
//! The real store has a suite of its own; the two meet in the integration tests.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use async_trait::async_trait;
use parking_lot::Mutex;

use crate::domain::clock::{MonoMillis, Now, UnixMillis};
use crate::domain::identity::{CredentialKind, PrincipalKind};
use crate::domain::ids::{CredentialId, KeyId, PrincipalId};
use crate::store::*;

#[derive(Default)]
pub(in crate::authn::kinds) struct TestStore {
    pub(in crate::authn::kinds) rows: Mutex<Vec<CredentialContext>>,
    pub(in crate::authn::kinds) reads: AtomicUsize,
    pub(in crate::authn::kinds) writes: AtomicUsize,
    pub(in crate::authn::kinds) broken: Mutex<Option<Broken>>,
}

#[derive(Debug, Clone, Copy, PartialEq)]
pub(in crate::authn::kinds) enum Broken {
    Everything,
    Writes,
}

impl TestStore {
    pub(in crate::authn::kinds) fn holding(records: Vec<CredentialRecord>) -> Arc<Self> {
        let store = Self::default();
        *store.rows.lock() = records
            .into_iter()
            .map(|r| {
                let holder = principal(r.principal.as_str());
                context(r, holder)
            })
            .collect();
        Arc::new(store)
    }

    pub(in crate::authn::kinds) fn counts(&self) -> (usize, usize) {
        (
            self.reads.load(Ordering::SeqCst),
            self.writes.load(Ordering::SeqCst),
        )
    }

    fn read(&self, matches: impl Fn(&CredentialRecord) -> bool) -> Result<Vec<CredentialContext>> {
        self.reads.fetch_add(1, Ordering::SeqCst);
        if *self.broken.lock() == Some(Broken::Everything) {
            return Err(StoreError::Unavailable("broken for the test".to_owned()));
        }
        let rows = self.rows.lock();
        Ok(rows.iter().filter(|c| matches(&c.credential)).cloned().collect())
    }
}

pub(in crate::authn::kinds) fn principal(id: &str) -> PrincipalRecord {
    PrincipalRecord {
        id: PrincipalId::parse(id).expect("an id"),
        kind: PrincipalKind::Service,
        tenant: None,
        customer: None,
        name: id.to_owned(),
        external_id: None,
        roles: Vec::new(),
        enabled: Enabled::Yes,
        created_at: UnixMillis(0),
        about: About::default(),
        network: None,
        serial: None,
        version: 1,
    }
}

pub(in crate::authn::kinds) fn context(
    credential: CredentialRecord,
    principal: PrincipalRecord,
) -> CredentialContext {
    CredentialContext {
        credential,
        principal,
        tenant_enabled: Enabled::Yes,
        customer_enabled: Enabled::Yes,
    }
}

pub(in crate::authn::kinds) fn at(wall: i64) -> Now {
    Now {
        wall: UnixMillis(wall),
        mono: MonoMillis(0),
    }
}

#[async_trait]
impl Credentials for TestStore {
    async fn insert_credential(&self, _: &CredentialRecord, _: &AuditDraft) -> Result<()> {
        unreachable!("verifiers insert nothing")
    }

    async fn find_by_digest(
        &self,
        kind: CredentialKind,
        digest: &[u8; 32],
    ) -> Result<Option<CredentialContext>> {
        let found =
            self.read(|r| r.kind == kind && r.keyed_digest.as_ref().is_some_and(|k| &k.digest == digest))?;
        Ok(found.into_iter().next())
    }

    async fn find_by_public_id(
        &self,
        kind: CredentialKind,
        public_id: &str,
        limit: u32,
    ) -> Result<Vec<CredentialContext>> {
        let mut found = self.read(|r| r.kind == kind && r.public_id.as_deref() == Some(public_id))?;
        found.truncate(usize::try_from(limit).expect("fits"));
        Ok(found)
    }

    async fn credential(&self, _: &CredentialId) -> Result<Option<CredentialContext>> {
        unreachable!("verifiers do not read by row id")
    }

    async fn list_credentials(&self, _: &CredentialFilter, _: &Page) -> Result<Vec<CredentialRecord>> {
        unreachable!("verifiers do not list")
    }

    async fn set_keyed_digest(&self, id: &CredentialId, digest: &[u8; 32], key: &KeyId) -> Result<()> {
        self.writes.fetch_add(1, Ordering::SeqCst);
        if self.broken.lock().is_some() {
            return Err(StoreError::Full("broken for the test".to_owned()));
        }
        let mut rows = self.rows.lock();
        let row = rows
            .iter_mut()
            .find(|c| &c.credential.id == id)
            .ok_or(StoreError::NotFound("credential"))?;
        row.credential.keyed_digest = Some(KeyedDigest {
            digest: *digest,
            key: key.clone(),
        });
        Ok(())
    }

    async fn replace_credential(
        &self,
        _: &CredentialId,
        _: &CredentialRecord,
        _: UnixMillis,
        _: &AuditDraft,
    ) -> Result<RevocationRecord> {
        unreachable!("verifiers replace nothing")
    }

    async fn update_credential(&self, _: &CredentialRecord, _: &AuditDraft) -> Result<RevocationRecord> {
        unreachable!("verifiers change nothing")
    }

    async fn succeed_credential(
        &self,
        _: &CredentialRecord,
        _: &CredentialRecord,
        _: &AuditDraft,
    ) -> Result<RevocationRecord> {
        unreachable!("verifiers change nothing")
    }

    async fn revoke_credentials(
        &self,
        _: &[CredentialId],
        _: UnixMillis,
        _: &AuditDraft,
    ) -> Result<Vec<RevocationRecord>> {
        unreachable!("verifiers revoke nothing")
    }

    async fn delete_credential(
        &self,
        _: &CredentialId,
        _: UnixMillis,
        _: &AuditDraft,
    ) -> Result<RevocationRecord> {
        unreachable!("verifiers delete nothing")
    }

    async fn purge_credentials(&self, _: UnixMillis, _: u32, _: &AuditDraft) -> Result<u64> {
        unreachable!("verifiers delete nothing")
    }
}
