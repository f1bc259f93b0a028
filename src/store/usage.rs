//! Usage of credentials as rows, and how what is known grows by what was counted. Pure.

use crate::domain::clock::UnixMillis;
use crate::domain::ids::CredentialId;

/// Usage of one credential since the last batch.
#[derive(Debug, Clone, PartialEq)]
pub struct UsageDelta {
    /// Which credential.
    pub credential: CredentialId,
    /// How many requests.
    pub count: u64,
    /// The first of them.
    pub first_used_at: UnixMillis,
    /// The last of them.
    pub last_used_at: UnixMillis,
    /// Addresses seen, most recent first.
    pub addresses: Vec<String>,
    /// Agents seen (the beginning of what they call themselves), most recent first.
    pub agents: Vec<String>,
}

/// Usage of one credential, ever.
#[derive(Debug, Clone, PartialEq)]
pub struct UsageRecord {
    /// First use.
    pub first_used_at: UnixMillis,
    /// Last use.
    pub last_used_at: UnixMillis,
    /// Requests.
    pub count: u64,
    /// Recent addresses, most recent first, at most [`MAX_RECENT_ADDRESSES`].
    pub recent_addresses: Vec<String>,
    /// Recent agents, most recent first, at most [`MAX_RECENT_ADDRESSES`].
    pub recent_agents: Vec<String>,
}

impl UsageRecord {
    /// What is known after a batch, given what was known before. Batches may come out of order (from
    /// another process): the addresses of the later use stand first.
    pub fn merged(before: Option<Self>, delta: &UsageDelta) -> Self {
        let before = before.unwrap_or(Self {
            first_used_at: delta.first_used_at,
            last_used_at: delta.last_used_at,
            count: 0,
            recent_addresses: Vec::new(),
            recent_agents: Vec::new(),
        });
        let later = delta.last_used_at >= before.last_used_at;
        let merge = |known: &[String], seen: &[String]| {
            if later {
                recent(seen, known)
            } else {
                recent(known, seen)
            }
        };
        Self {
            first_used_at: before.first_used_at.min(delta.first_used_at),
            last_used_at: before.last_used_at.max(delta.last_used_at),
            count: before.count.saturating_add(delta.count),
            recent_addresses: merge(&before.recent_addresses, &delta.addresses),
            recent_agents: merge(&before.recent_agents, &delta.agents),
        }
    }
}

/// The newer ones first, each once, not too many.
fn recent(newer: &[String], older: &[String]) -> Vec<String> {
    let mut all: Vec<String> = Vec::new();
    for text in newer.iter().chain(older) {
        if all.len() < MAX_RECENT_ADDRESSES && !all.contains(text) {
            all.push(text.clone());
        }
    }
    all
}

/// How many recent addresses, and agents, a usage row keeps.
pub const MAX_RECENT_ADDRESSES: usize = 8;

/// A nonce to be spent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NonceRecord {
    /// SHA-256 of it, and of whatever it is bound to.
    pub digest: [u8; 32],
    /// Until when it is remembered.
    pub until: UnixMillis,
}

/// Whether a nonce is spent for the first time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Spent {
    /// It is.
    Now,
    /// It was spent before.
    Before,
}

/// A request that came with a key of its sender's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RequestClaim {
    /// Whose request.
    pub actor: String,
    /// Its key.
    pub key: String,
    /// Digests of what is asked, under every key that counts; the first one is kept.
    pub digests: Vec<[u8; 32]>,
    /// When it came.
    pub at: UnixMillis,
}

/// What is known of a request by its key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Claimed {
    /// Nothing: it is the caller's to carry out.
    Yours,
    /// It was answered so.
    Answered(String),
    /// It is being carried out, or was when its process ended.
    UnderWay,
    /// Another request came under this key.
    Another,
    /// Its actor has as many keys as there may be.
    TooMany,
}
