//! Who verifies which kind, as of one configuration.
//!
//! A kind whose settings did not change keeps its remembered verdicts. One that did change gets a new
//! generation, which is part of the cache's key: no verdict of the old one is found again, not even one that
//! a look-up under way is about to remember (SECURITY S10). Verifies
//! nothing itself; `app` makes the next one when a configuration is reloaded.

use std::sync::Arc;

use super::verifier::Verifier;
use crate::domain::identity::CredentialKind;

/// The verifiers of one configuration, at most one for each kind.
pub struct Verifiers {
    entries: Vec<Entry>,
    newest: u32,
}

/// What becomes of verdicts when a kind's verifier is replaced.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdicts {
    /// The next verifier would come to the same ones.
    Kept,
    /// They are never found again.
    Void,
}

/// One kind's verifier.
pub(in crate::authn) struct Entry {
    pub(in crate::authn) verifier: Arc<dyn Verifier>,
    pub(in crate::authn) generation: u32,
    /// The generation before. What was good then passes the throttle when it is looked up anew.
    pub(in crate::authn) before: Option<u32>,
}

impl Verifiers {
    /// The first ones.
    pub fn new(verifiers: impl IntoIterator<Item = Arc<dyn Verifier>>) -> Self {
        let nobody = Self {
            entries: Vec::new(),
            newest: 0,
        };
        nobody.succeeded_by(verifiers.into_iter().map(|v| (v, Verdicts::Void)))
    }

    /// The next ones, and what becomes of the verdicts of those before them.
    pub fn succeeded_by(&self, verifiers: impl IntoIterator<Item = (Arc<dyn Verifier>, Verdicts)>) -> Self {
        let newest = self.newest.saturating_add(1);
        let entry = |(verifier, verdicts): (Arc<dyn Verifier>, Verdicts)| {
            let (generation, before) = match (self.entry(verifier.kind()), verdicts) {
                (Some(known), Verdicts::Kept) => (known.generation, known.before),
                (known, _) => (newest, known.map(|k| k.generation)),
            };
            Entry {
                verifier,
                generation,
                before,
            }
        };
        Self {
            entries: verifiers.into_iter().map(entry).collect(),
            newest,
        }
    }

    /// The verifier of a kind.
    pub fn of(&self, kind: CredentialKind) -> Option<&Arc<dyn Verifier>> {
        self.entry(kind).map(|entry| &entry.verifier)
    }

    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<dyn Verifier>> {
        self.entries.iter().map(|entry| &entry.verifier)
    }

    pub(in crate::authn) fn entry(&self, kind: CredentialKind) -> Option<&Entry> {
        self.entries.iter().find(|entry| entry.verifier.kind() == kind)
    }
}
