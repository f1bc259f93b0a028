//! The public auth endpoints, as written. Each is off until it has a path.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::values::{ExpireTime, PathText, Span};

/// The public auth endpoints.
#[derive(Debug, Clone, Default, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Endpoints {
    /// Sealed device tokens for devices that ask for them, as the NestJS device token service does.
    pub device_token: DeviceTokenEndpoints,
    /// What the holder of an API token can do with its own tokens, as in HomeChat.
    pub homechat: HomechatEndpoints,
    /// Token introspection (RFC 7662).
    pub introspection: ClientEndpoint,
    /// Token revocation (RFC 7009).
    pub revocation: ClientEndpoint,
    /// TagoIO's device API.
    pub tagoio: TagoIoEndpoints,
}

/// TagoIO's device API.
#[derive(Debug, Clone, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct TagoIoEndpoints {
    /// The parts that are answered here. Empty: none.
    pub serve: Vec<TagoIoPart>,
    /// When a new token ends when nothing is said.
    pub expire_time: ExpireTime,
}

impl Default for TagoIoEndpoints {
    fn default() -> Self {
        Self {
            serve: Vec::new(),
            expire_time: ExpireTime("never".to_owned()),
        }
    }
}

/// Parts of TagoIO's device API.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum TagoIoPart {
    /// `GET /info`.
    Info,
    /// `/device/token`.
    DeviceToken,
}

/// HomeChat's endpoints for the holder of a token.
#[derive(Debug, Clone, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct HomechatEndpoints {
    /// Paths where a token is replaced by a new one. Empty: nowhere.
    #[schemars(length(max = 8))]
    pub refresh: Vec<PathText>,
    /// Paths where the holder's tokens are listed, and ended below it by their ids. Empty: nowhere.
    #[schemars(length(max = 8))]
    pub sessions: Vec<PathText>,
    /// How long a new token is good.
    #[schemars(extend("x-least" = "1m", "x-most" = "3650d"))]
    pub token_lifetime: Span,
}

impl Default for HomechatEndpoints {
    fn default() -> Self {
        Self {
            refresh: Vec::new(),
            sessions: Vec::new(),
            token_lifetime: Span::from_secs(90 * 86_400),
        }
    }
}

/// An endpoint for programs with a credential of their own.
#[derive(Debug, Clone, Default, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ClientEndpoint {
    /// Its paths. Empty: it is off.
    #[schemars(length(max = 8))]
    pub paths: Vec<PathText>,
    /// Which door it stands at.
    pub door: Door,
}

/// Doors that an endpoint may stand at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Door {
    /// The proxy's listeners.
    #[default]
    Proxy,
    /// The admin door's TCP address.
    Admin,
}

/// Endpoints of sealed device tokens.
#[derive(Debug, Clone, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct DeviceTokenEndpoints {
    /// Paths where a token is generated. Empty: nowhere.
    #[schemars(length(max = 8))]
    pub generate: Vec<PathText>,
    /// Paths where a token is validated. Empty: nowhere.
    #[schemars(length(max = 8))]
    pub validate: Vec<PathText>,
    /// Who gets a token.
    pub mode: GenerationMode,
    /// In which form tokens are made.
    pub format: SealedFormat,
    /// Longest device identifier.
    #[schemars(range(min = 1, max = 4096))]
    pub max_identifier_length: u16,
    /// What an identifier must look like.
    pub identifier: IdentifierForm,
    /// Whether `expiresIn` and `issuedAt` are answered too.
    pub extra_fields: bool,
    /// Bounds on generating.
    pub limits: GenerationLimits,
}

impl Default for DeviceTokenEndpoints {
    fn default() -> Self {
        Self {
            generate: Vec::new(),
            validate: Vec::new(),
            mode: GenerationMode::default(),
            format: SealedFormat::default(),
            max_identifier_length: 255,
            identifier: IdentifierForm::default(),
            extra_fields: false,
            limits: GenerationLimits::default(),
        }
    }
}

/// Who gets a device token.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum GenerationMode {
    /// Whoever asks: any stranger becomes any device.
    Open,
    /// Whoever names a registered device.
    Registered,
    /// Whoever proves another credential of that device.
    #[default]
    Credential,
}

/// Forms of sealed device tokens.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum SealedFormat {
    /// The NestJS-compatible one.
    #[default]
    Compatible,
    /// Ours, which carries tenant and scopes.
    Own,
}

/// What a device identifier must look like.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum IdentifierForm {
    /// Anything.
    #[default]
    Any,
    /// A UUID.
    Uuid,
}

/// Bounds on generating device tokens.
#[derive(Debug, Clone, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct GenerationLimits {
    /// Length of a window.
    #[schemars(extend("x-least" = "1s", "x-most" = "24h"))]
    pub window: Span,
    /// Tries of one client address, IPv6 by /64.
    #[schemars(range(min = 1, max = 1_000_000))]
    pub per_address: u32,
    /// Tokens for one device.
    #[schemars(range(min = 1, max = 1_000_000))]
    pub per_device: u32,
    /// Tokens for everybody.
    #[schemars(range(min = 1, max = 100_000_000))]
    pub overall: u32,
}

impl Default for GenerationLimits {
    fn default() -> Self {
        Self {
            window: Span::from_secs(60),
            per_address: 10,
            per_device: 10,
            overall: 6000,
        }
    }
}
