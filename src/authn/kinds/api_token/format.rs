//! The bytes of an API token, in every layout that is recognized. Pure.
//!
//! | layout | form | public id |
//! | --- | --- | --- |
//! | ours | `dw_` 8 letters `_` 32 letters, 6 of checksum | `dw_` and the 8 letters |
//! | HomeChat's document | `hc_` 8 letters `_` 32 letters | `hc_` and the 8 letters |
//! | HomeChat's program | 64 hexadecimal letters | the first 8 |
//! | ThingsBoard | `tb_` and 64 bytes in Base64url | `tb_` and the first 8 letters of them |
//!
//! Letters are ASCII letters and digits. The checksum is CRC-32 in base 62 over everything before it: it tells a typo
//! from a forgery without a look-up, and lets scanners recognize a token. It keeps no one out.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use zeroize::Zeroizing;

use super::settings::{HexTokens, Layout, Prefix, Settings};
use crate::crypto::{Alphabet, NoRandomness, random};

/// Letters of an id.
const ID_LETTERS: usize = 8;
/// Letters of a random secret.
const SECRET_LETTERS: usize = 32;
/// Letters of a checksum: 62^6 is just above 2^32.
const CHECKSUM_LETTERS: usize = 6;
/// Letters of a token without a prefix.
const HEX_LETTERS: usize = 64;
/// Random bytes of ThingsBoard's layout.
const THINGSBOARD_BYTES: usize = 64;

/// The credential does not have the form it claims, or its checksum does not fit: a typo.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Malformed;

/// The public id of a well-formed token: what its row is found by.
pub fn public_id<'a>(settings: &Settings, credential: &'a [u8]) -> Result<&'a str, Malformed> {
    let text = std::str::from_utf8(credential).map_err(|_| Malformed)?;
    let id_letters = match split_prefix(settings, credential) {
        Some((prefix, rest)) => {
            match prefix.layout() {
                Layout::Own => check_own(text, rest),
                Layout::HomeChat => check_homechat(rest),
                Layout::ThingsBoard => check_thingsboard(rest),
            }?;
            prefix.as_str().len().saturating_add(1).saturating_add(ID_LETTERS)
        }
        None if is_hex_token(settings, credential) => ID_LETTERS,
        None => return Err(Malformed),
    };
    text.get(..id_letters).ok_or(Malformed)
}

fn split_prefix<'s, 'c>(settings: &'s Settings, credential: &'c [u8]) -> Option<(&'s Prefix, &'c [u8])> {
    settings.prefixes.iter().find_map(|prefix| {
        let rest = credential.strip_prefix(prefix.as_str().as_bytes())?;
        Some((prefix, rest.strip_prefix(b"_")?))
    })
}

fn is_hex_token(settings: &Settings, credential: &[u8]) -> bool {
    settings.hex == HexTokens::Accepted
        && credential.len() == HEX_LETTERS
        && credential.iter().all(u8::is_ascii_hexdigit)
}

/// `<8 letters>_<this many letters>`.
fn check_id_and_secret(rest: &[u8], letters: usize) -> Result<(), Malformed> {
    let (id, rest) = rest.split_at_checked(ID_LETTERS).ok_or(Malformed)?;
    let secret = rest.strip_prefix(b"_").ok_or(Malformed)?;
    let alphanumeric = |part: &[u8]| part.iter().all(u8::is_ascii_alphanumeric);
    (secret.len() == letters && alphanumeric(id) && alphanumeric(secret))
        .then_some(())
        .ok_or(Malformed)
}

fn check_own(text: &str, rest: &[u8]) -> Result<(), Malformed> {
    check_id_and_secret(rest, SECRET_LETTERS + CHECKSUM_LETTERS)?;
    let at = text.len().saturating_sub(CHECKSUM_LETTERS);
    let (body, found) = text.split_at_checked(at).ok_or(Malformed)?;
    (checksum(body) == found).then_some(()).ok_or(Malformed)
}

fn check_homechat(rest: &[u8]) -> Result<(), Malformed> {
    check_id_and_secret(rest, SECRET_LETTERS)
}

fn check_thingsboard(rest: &[u8]) -> Result<(), Malformed> {
    // One spelling only: trailing bits must be zero, so that the text is the token.
    let mut bytes = Zeroizing::new([0_u8; THINGSBOARD_BYTES + 3]);
    match URL_SAFE_NO_PAD.decode_slice(rest, bytes.as_mut_slice()) {
        Ok(THINGSBOARD_BYTES) => Ok(()),
        _ => Err(Malformed),
    }
}

/// CRC-32 (IEEE) of the text, six letters in base 62, the highest first.
pub(super) fn checksum(text: &str) -> String {
    let letters = Alphabet::Base62.letters();
    let mut value = crc32fast::hash(text.as_bytes());
    let mut out = [b'0'; CHECKSUM_LETTERS];
    for place in out.iter_mut().rev() {
        let digit = usize::try_from(value % 62).unwrap_or_default();
        *place = letters.get(digit).copied().unwrap_or(b'0');
        value /= 62;
    }
    out.iter().map(|b| char::from(*b)).collect()
}

/// A new random token of a prefix.
pub(super) fn random_token(prefix: &Prefix) -> Result<Zeroizing<String>, NoRandomness> {
    let mut token = Zeroizing::new(String::with_capacity(128));
    token.push_str(prefix.as_str());
    token.push('_');
    match prefix.layout() {
        Layout::Own => {
            token.push_str(&random::text(Alphabet::LowerBase36, ID_LETTERS)?);
            token.push('_');
            token.push_str(&random::text(Alphabet::Base62, SECRET_LETTERS)?);
            let checksum = checksum(&token);
            token.push_str(&checksum);
        }
        Layout::HomeChat => {
            token.push_str(&random::text(Alphabet::LowerBase36, ID_LETTERS)?);
            token.push('_');
            token.push_str(&random::text(Alphabet::LowerBase36, SECRET_LETTERS)?);
        }
        Layout::ThingsBoard => {
            let mut bytes = Zeroizing::new([0_u8; THINGSBOARD_BYTES]);
            random::fill(bytes.as_mut_slice())?;
            URL_SAFE_NO_PAD.encode_string(bytes.as_slice(), &mut token);
        }
    }
    Ok(token)
}

/// A new random token of 64 hexadecimal letters.
pub(super) fn random_hex_token() -> Result<Zeroizing<String>, NoRandomness> {
    random::text(Alphabet::LowerHex, HEX_LETTERS)
}
