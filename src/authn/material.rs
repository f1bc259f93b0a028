//! What a verified credential leaves behind: the proof, and everything a request needs from it.
//!
//! Built once per verification and shared by every request that presents the same credential, so the
//! upstream's header values are rendered here and never again.

use std::sync::Arc;

use crate::domain::identity::Identity;
use crate::domain::net::NetworkSet;
use crate::store::Transport;

/// Rules that travel with a credential, checked on every use, after the cache.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct CredentialRules {
    /// Networks the credential may be used from; empty means anywhere.
    pub networks: NetworkSet,
    /// Whether it is refused over plain HTTP.
    pub transport: Transport,
}

/// Proof that a credential was verified and not revoked when this was handed out.
#[derive(Debug, Clone)]
pub struct Authenticated {
    material: Arc<Material>,
}

#[derive(Debug)]
pub(in crate::authn) struct Material {
    pub(in crate::authn) identity: Identity,
    pub(in crate::authn) rules: CredentialRules,
}

impl Authenticated {
    /// Only the authn room can say that something was verified.
    pub(in crate::authn) fn new(material: Arc<Material>) -> Self {
        Self { material }
    }

    /// Who it is.
    pub fn identity(&self) -> &Identity {
        &self.material.identity
    }

    /// The credential's own rules.
    pub fn rules(&self) -> &CredentialRules {
        &self.material.rules
    }
}
