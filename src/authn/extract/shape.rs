//! A credential's kind by its bytes: registered prefixes, 64 hexadecimal digits, three parts with dots.

use crate::domain::identity::CredentialKind;

/// Whether 64 hexadecimal digits are an API token (the form that HomeChat really issues).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum HexTokens {
    /// They are.
    #[default]
    ApiToken,
    /// They are a word like any other.
    Opaque,
}

/// The shapes that are known beside the built-in ones.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Shapes {
    /// Each with its underscore: `dw_`.
    prefixes: Vec<Box<[u8]>>,
    hex: HexTokens,
}

impl Shapes {
    /// API token prefixes (without underscore) and what 64 hexadecimal digits are.
    pub fn new<'a>(prefixes: impl IntoIterator<Item = &'a str>, hex: HexTokens) -> Self {
        Self {
            prefixes: prefixes
                .into_iter()
                .map(|p| format!("{p}_").into_bytes().into_boxed_slice())
                .collect(),
            hex,
        }
    }

    /// Claims by API tokens alone.
    pub fn api_token(&self, credential: &[u8]) -> Option<CredentialKind> {
        let prefixed = self.prefixes.iter().any(|p| credential.starts_with(p));
        (prefixed || self.is_hex_token(credential)).then_some(CredentialKind::ApiToken)
    }

    /// Claims behind `Bearer`: API tokens and JWTs.
    pub(super) fn bearer(&self, credential: &[u8]) -> Option<CredentialKind> {
        self.api_token(credential)
            .or_else(|| has_three_parts(credential).then_some(CredentialKind::Jwt))
    }

    /// Claims where a bare word may stand: as behind `Bearer`, and anything else is an opaque token.
    pub fn any(&self, credential: &[u8]) -> CredentialKind {
        self.bearer(credential).unwrap_or(CredentialKind::DeviceToken)
    }

    fn is_hex_token(&self, credential: &[u8]) -> bool {
        self.hex == HexTokens::ApiToken
            && credential.len() == 64
            && credential.iter().all(u8::is_ascii_hexdigit)
    }
}

/// Two dots between Base64url letters, as RFC 7515 section 3.1 writes a JWS. An empty last part (an
/// unsigned token) has the shape too: the JWT kind refuses it.
fn has_three_parts(credential: &[u8]) -> bool {
    let mut dots = 0_u8;
    for &byte in credential {
        match byte {
            b'.' if dots == 2 => return false,
            b'.' => dots = dots.saturating_add(1),
            _ if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_') => {}
            _ => return false,
        }
    }
    dots == 2 && credential.first() != Some(&b'.')
}
