//! The bytes of a sealed device token, in both forms. Pure; holds no key.
//!
//! Version 1, compatible with the NestJS device token: Base64 of IV (16) ‖ tag (16) ‖ ciphertext, whose
//! text is `{"deviceId","timestamp","expiresAt"}`. Standard or URL-safe letters, padded or not; where
//! Node's decoder skips stray characters, we refuse them.
//!
//! Version 2, ours: `dwd_<key id>.<Base64url of nonce (12) ‖ ciphertext ‖ tag (16)>`, whose text also names
//! tenant and scopes. Its purpose and version are associated data of the seal.

use std::borrow::Cow;

use base64::Engine;
use base64::engine::general_purpose::{
    STANDARD, STANDARD_PAD_INDIFFERENT, URL_SAFE_NO_PAD, URL_SAFE_PAD_INDIFFERENT,
};
use serde::{Deserialize, Serialize};

use crate::crypto::aead::{COMPATIBLE_IV_BYTES, NONCE_BYTES, TAG_BYTES};

/// Start of our own form.
const OWN_PREFIX: &str = "dwd_";
/// Longest key id that a token may name.
const MAX_KEY_ID_BYTES: usize = 64;
/// Associated data of our own form.
pub(super) const OWN_ASSOCIATED: &[u8] = b"doorward sealed_device_token v2";

/// The credential does not have the form of a sealed device token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Malformed;

/// The two forms, not yet decoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shape<'a> {
    /// Version 1.
    Compatible {
        /// Everything, in Base64.
        encoded: &'a str,
    },
    /// Version 2.
    Own {
        /// Which key sealed it.
        key_id: &'a str,
        /// The sealed part, in Base64url.
        encoded: &'a str,
    },
}

/// Tells the forms apart. A dot is no letter of Base64, so no token has both.
pub fn shape(credential: &[u8]) -> Result<Shape<'_>, Malformed> {
    let text = std::str::from_utf8(credential).map_err(|_| Malformed)?;
    let own = text
        .strip_prefix(OWN_PREFIX)
        .and_then(|rest| rest.split_once('.'));
    match own {
        Some((key_id, encoded)) if is_key_id(key_id) => Ok(Shape::Own { key_id, encoded }),
        Some(_) => Err(Malformed),
        None if text.is_empty() => Err(Malformed),
        None => Ok(Shape::Compatible { encoded: text }),
    }
}

/// Whether a key id can stand in a token: letters, digits, `-` and `_`, at most 64 of them.
pub(super) fn is_key_id(text: &str) -> bool {
    (1..=MAX_KEY_ID_BYTES).contains(&text.len())
        && text
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_'))
}

/// Decodes the compatible form's Base64.
pub(super) fn decode(encoded: &str) -> Result<Vec<u8>, Malformed> {
    let engine = if encoded.contains(['-', '_']) {
        &URL_SAFE_PAD_INDIFFERENT
    } else {
        &STANDARD_PAD_INDIFFERENT
    };
    engine.decode(encoded).map_err(|_| Malformed)
}

/// Decodes our own form's Base64url: one spelling only.
pub(super) fn decode_own(encoded: &str) -> Result<Vec<u8>, Malformed> {
    URL_SAFE_NO_PAD.decode(encoded).map_err(|_| Malformed)
}

/// IV, tag and ciphertext of the compatible form; the ciphertext is not empty.
pub(super) fn split_compatible(
    bytes: &[u8],
) -> Option<(&[u8; COMPATIBLE_IV_BYTES], &[u8; TAG_BYTES], &[u8])> {
    let (iv, rest) = bytes.split_first_chunk()?;
    let (tag, text) = rest.split_first_chunk()?;
    (!text.is_empty()).then_some((iv, tag, text))
}

/// Nonce, ciphertext and tag of our own form; the ciphertext is not empty.
pub(super) fn split_own(bytes: &[u8]) -> Option<(&[u8; NONCE_BYTES], &[u8], &[u8; TAG_BYTES])> {
    let (nonce, rest) = bytes.split_first_chunk()?;
    let (text, tag) = rest.split_last_chunk()?;
    (!text.is_empty()).then_some((nonce, text, tag))
}

/// Joins the parts of the compatible form.
pub(super) fn encode_compatible(
    iv: &[u8; COMPATIBLE_IV_BYTES],
    tag: &[u8; TAG_BYTES],
    text: &[u8],
) -> (String, Vec<u8>) {
    let bytes = [iv.as_slice(), tag, text].concat();
    (STANDARD.encode(&bytes), bytes)
}

/// Joins the parts of our own form.
pub(super) fn encode_own(
    key_id: &str,
    nonce: &[u8; NONCE_BYTES],
    text: &[u8],
    tag: &[u8; TAG_BYTES],
) -> (String, Vec<u8>) {
    let bytes = [nonce.as_slice(), text, tag].concat();
    let encoded = URL_SAFE_NO_PAD.encode(&bytes);
    (format!("{OWN_PREFIX}{key_id}.{encoded}"), bytes)
}

/// The compatible form's text. Fields that we do not know are ignored, as the original does.
#[derive(Debug, PartialEq, Eq, Deserialize)]
pub(super) struct CompatiblePayload<'a> {
    #[serde(rename = "deviceId", borrow)]
    pub(super) device: Cow<'a, str>,
    #[serde(rename = "timestamp")]
    pub(super) issued_at_ms: i64,
    #[serde(rename = "expiresAt")]
    pub(super) expires_at_ms: i64,
}

impl<'a> CompatiblePayload<'a> {
    /// Reads the text. All three fields must be there and truthy, the times positive integers.
    pub(super) fn parse(text: &'a [u8]) -> Result<Self, Malformed> {
        let payload: Self = serde_json::from_slice(text).map_err(|_| Malformed)?;
        let truthy = !payload.device.is_empty() && payload.issued_at_ms > 0 && payload.expires_at_ms > 0;
        truthy.then_some(payload).ok_or(Malformed)
    }

    /// Writes the text in the original's order of fields. `device` is hexadecimal: nothing to escape.
    pub(super) fn write(device: &str, issued_at_ms: i64, expires_at_ms: i64) -> Vec<u8> {
        format!(r#"{{"deviceId":"{device}","timestamp":{issued_at_ms},"expiresAt":{expires_at_ms}}}"#)
            .into_bytes()
    }
}

/// Our own form's text. Unknown fields are refused: a restriction of a later version must not be
/// overlooked by an earlier one.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct OwnPayload<'a> {
    #[serde(borrow)]
    pub(super) device: Cow<'a, str>,
    pub(super) issued_at_ms: i64,
    pub(super) expires_at_ms: i64,
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    pub(super) tenant: Option<Cow<'a, str>>,
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    pub(super) scopes: Option<Cow<'a, str>>,
}
