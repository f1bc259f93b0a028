//! The audit chain: how one row's digest follows from the row before it. Pure, and the same for every
//! engine, so that a trail exported from one can be checked without it.
//!
//! ```text
//! digest(n) = SHA-256( "doorward-audit-v1" ‖ digest(n-1) ‖ seq ‖ at ‖ actor ‖ act ‖ target ‖ from ‖ detail )
//! ```
//!
//! `digest(0)` is 32 zero bytes and `seq` counts from 1 without gaps. `seq` and `at` are 8 bytes, big
//! endian. A text is its length in bytes (8 bytes, big endian), then its UTF-8 bytes. `from` is one byte 0
//! when absent, else one byte 1 and the text. `detail` is the text of compact JSON with sorted object
//! keys; an engine stores that text and hashes what it stored, so no later reading can change it.
//!
//! Retention removes rows. Those removed one after the other are stood for by a gap: their first and last
//! `seq`, and the digest of the last. Whoever checks goes on behind a gap from its digest.
//!
//! The chain shows that a row was changed, removed or added by something other than Doorward. It cannot
//! show that somebody who may write to the store made a whole new chain, or a gap where retention made none:
//! for that, keep exported digests elsewhere.

use sha2::{Digest, Sha256};

use super::AuditDraft;
use crate::domain::clock::UnixMillis;

/// What stands in for the digest before the first row.
pub const GENESIS: [u8; 32] = [0; 32];

/// Separates these digests from every other use of SHA-256.
const DOMAIN: &[u8] = b"doorward-audit-v1";

/// A row as the chain sees it.
#[derive(Debug, Clone, Copy)]
pub struct ChainedRow<'a> {
    /// Its place, from 1.
    pub seq: u64,
    /// When it happened.
    pub at: UnixMillis,
    /// Who did it.
    pub actor: &'a str,
    /// What was done.
    pub act: &'a str,
    /// What it was done to.
    pub target: &'a str,
    /// From which address.
    pub from: Option<&'a str>,
    /// The detail as stored: see [`detail_text`].
    pub detail: &'a str,
}

impl<'a> ChainedRow<'a> {
    /// A draft at its place, with its detail as [`detail_text`] wrote it.
    pub fn of(seq: u64, draft: &'a AuditDraft, detail: &'a str) -> Self {
        Self {
            seq,
            at: draft.at,
            actor: &draft.actor,
            act: &draft.act,
            target: &draft.target,
            from: draft.from.as_deref(),
            detail,
        }
    }

    /// This row's digest, given the one of the row before it.
    pub fn digest(&self, previous: &[u8; 32]) -> [u8; 32] {
        let mut hash = Sha256::new();
        hash.update(DOMAIN);
        hash.update(previous);
        hash.update(self.seq.to_be_bytes());
        hash.update(self.at.0.to_be_bytes());
        text(&mut hash, self.actor);
        text(&mut hash, self.act);
        text(&mut hash, self.target);
        match self.from {
            None => hash.update([0]),
            Some(from) => {
                hash.update([1]);
                text(&mut hash, from);
            }
        }
        text(&mut hash, self.detail);
        hash.finalize().into()
    }
}

/// The one text of a detail: compact JSON with sorted keys.
pub fn detail_text(detail: &serde_json::Value) -> String {
    // `serde_json` keeps objects sorted unless some crate of the build asks for `preserve_order`; the
    // test below fails on the day one does.
    detail.to_string()
}

fn text(hash: &mut Sha256, text: &str) {
    hash.update(u64::try_from(text.len()).unwrap_or(u64::MAX).to_be_bytes());
    hash.update(text.as_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row() -> ChainedRow<'static> {
        ChainedRow {
            seq: 1,
            at: UnixMillis(1_700_000_000_000),
            actor: "local:1000",
            act: "credential.create",
            target: "c-1",
            from: Some("192.0.2.1"),
            detail: "{}",
        }
    }

    #[test]
    fn the_digest_of_a_known_row_never_changes() {
        assert_eq!(
            hex::encode(row().digest(&GENESIS)),
            "bbbe53f17652b3bc435b4e77dab7a657295cfc0c0c9c43d4b6e951a76f1a453c"
        );
    }

    #[test]
    fn every_field_counts_and_none_can_flow_into_its_neighbor() {
        let all = [
            row(),
            ChainedRow { seq: 2, ..row() },
            ChainedRow {
                at: UnixMillis(0),
                ..row()
            },
            ChainedRow {
                actor: "local:1001",
                ..row()
            },
            ChainedRow {
                act: "credential.creat",
                target: "ec-1",
                ..row()
            },
            ChainedRow {
                target: "c-2",
                ..row()
            },
            ChainedRow { from: None, ..row() },
            ChainedRow {
                from: Some(""),
                ..row()
            },
            ChainedRow {
                detail: "{\"a\":1}",
                ..row()
            },
        ];
        let mut digests: Vec<_> = all.iter().map(|r| r.digest(&GENESIS)).collect();
        digests.push(row().digest(&[1; 32]));
        for (i, one) in digests.iter().enumerate() {
            assert!(
                digests.iter().skip(i + 1).all(|other| other != one),
                "row {i} is not told apart"
            );
        }
    }

    #[test]
    fn object_keys_are_sorted_however_they_were_given() {
        let detail: serde_json::Value =
            serde_json::from_str("{ \"b\": [1, {\"z\": null, \"y\": true}],\n \"a\": \"é\" }").expect("JSON");
        assert_eq!(
            detail_text(&detail),
            "{\"a\":\"é\",\"b\":[1,{\"y\":true,\"z\":null}]}"
        );
    }
}
