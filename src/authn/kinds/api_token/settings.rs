//! Resolved settings of API tokens.

use std::sync::Arc;

use crate::crypto::BcryptCost;
use crate::domain::secret::SecretText;

/// Longest prefix, in bytes.
const MAX_PREFIX_BYTES: usize = 16;

/// What follows a prefix.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Layout {
    /// Ours: 8 letters of id, `_`, 32 random letters and 6 of checksum.
    Own,
    /// HomeChat's document: 8 letters of id, `_`, 32 letters.
    HomeChat,
    /// ThingsBoard: 64 bytes in Base64url.
    ThingsBoard,
}

/// A registered prefix, such as `dw`, and the layout of what follows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Prefix {
    text: Arc<str>,
    layout: Layout,
}

/// A text that cannot be a prefix.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a token prefix; expected a lower-case letter and then at most 15 lower-case letters or digits")]
pub struct InvalidPrefix;

impl Prefix {
    /// Checks the text. `hc` has HomeChat's layout, `tb` ThingsBoard's, every other one ours.
    pub fn parse(text: &str) -> Result<Self, InvalidPrefix> {
        let valid = text.len() <= MAX_PREFIX_BYTES
            && text.starts_with(|c: char| c.is_ascii_lowercase())
            && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit());
        if !valid {
            return Err(InvalidPrefix);
        }
        let layout = match text {
            "hc" => Layout::HomeChat,
            "tb" => Layout::ThingsBoard,
            _ => Layout::Own,
        };
        Ok(Self {
            text: Arc::from(text),
            layout,
        })
    }

    /// The text, without the underscore.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// What follows it.
    pub fn layout(&self) -> Layout {
        self.layout
    }
}

/// Whether 64 hexadecimal letters without a prefix (HomeChat's own program) are API tokens.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum HexTokens {
    /// They are.
    #[default]
    Accepted,
    /// They are not; they may be device tokens then.
    Refused,
}

/// Which digests a new token's row gets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum DigestMode {
    /// The portable bcrypt digest beside the keyed one.
    #[default]
    BcryptAndKeyed,
    /// The keyed digest alone: fast to make in bulk, worthless without the lookup key.
    Keyed,
}

impl DigestMode {
    /// The name in configuration.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::BcryptAndKeyed => "bcrypt_and_keyed",
            Self::Keyed => "keyed",
        }
    }

    /// The mode of this name.
    pub fn parse(text: &str) -> Option<Self> {
        [Self::BcryptAndKeyed, Self::Keyed]
            .into_iter()
            .find(|mode| mode.as_str() == text)
    }
}

/// Which tokens are recognized, and how rows of new ones are made.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The registered prefixes.
    pub prefixes: Vec<Prefix>,
    /// Whether 64 hexadecimal letters are recognized too.
    pub hex: HexTokens,
    /// Which digests a new row gets.
    pub digest: DigestMode,
    /// The work factor of new bcrypt digests.
    pub bcrypt_cost: BcryptCost,
    /// What another program added to tokens before it made the digests that were imported from it.
    pub pepper: Option<SecretText>,
}
