//! Settings of the credential kinds, as written.

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::values::{FetchUrl, Name, PrefixText, Secret, Span, SubjectPrefix, TextValue};

/// Settings of the credential kinds.
#[derive(Debug, Clone, Default, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Credentials {
    /// Sealed device tokens (`Authorization: Device …`).
    pub sealed_device_token: SealedDeviceToken,
    /// Opaque device tokens.
    pub device_token: DeviceToken,
    /// Prefixed API tokens.
    pub api_token: ApiToken,
    /// JSON Web Tokens.
    pub jwt: Jwt,
    /// User names and passwords.
    pub basic: Basic,
    /// A file of credentials, by digest, that are asked for before the store's; read again when it changes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub file: Option<PathBuf>,
}

/// Sealed device tokens.
#[derive(Debug, Clone, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct SealedDeviceToken {
    /// Base64 of the 32-byte key of tokens made elsewhere. Also settable as `DEVICE_TOKEN_MASTER_KEY`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key: Option<Secret>,
    /// A file that holds the key.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key_file: Option<PathBuf>,
    /// How long an issued token is good.
    #[schemars(extend("x-least" = "1s", "x-most" = "3650d"))]
    pub lifetime: Span,
    /// Whether the upstream is told that such a device may write.
    pub write_access: bool,
    /// Shortest device identifier that a token is issued for.
    #[schemars(range(min = 1, max = 255))]
    pub min_identifier_length: u16,
    /// The stronger form: each request also proves that its sender knows a secret.
    pub proof: DeviceProof,
}

/// The proof of possession that goes with a sealed device token.
#[derive(Debug, Clone, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct DeviceProof {
    /// What senders sign with.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub secret: Option<Secret>,
    /// A file that holds it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub secret_file: Option<PathBuf>,
    /// How far their clocks may differ from ours.
    #[schemars(extend("x-least" = "10s", "x-most" = "1h"))]
    pub tolerance: Span,
    /// Most nonces remembered.
    #[schemars(range(min = 1000, max = 100_000_000))]
    pub max_nonces: u32,
}

impl Default for DeviceProof {
    fn default() -> Self {
        Self {
            secret: None,
            secret_file: None,
            tolerance: Span::from_secs(300),
            max_nonces: 1_000_000,
        }
    }
}

impl Default for SealedDeviceToken {
    fn default() -> Self {
        Self {
            key: None,
            key_file: None,
            lifetime: Span::from_secs(86_400),
            write_access: false,
            min_identifier_length: 8,
            proof: DeviceProof::default(),
        }
    }
}

/// Opaque device tokens. Every form is accepted.
#[derive(Debug, Clone, Default, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct DeviceToken {
    /// Form of new tokens.
    pub form: DeviceTokenForm,
}

/// Forms of device tokens.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum DeviceTokenForm {
    /// UUID version 4, as TagoIO's.
    #[default]
    Uuid,
    /// 20 letters and digits, as ThingsBoard's.
    Alphanumeric,
    /// `dwt_` and 32 letters and digits, which secret scanners recognize.
    Prefixed,
}

/// Prefixed API tokens.
#[derive(Debug, Clone, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ApiToken {
    /// Prefixes that are accepted; the first is the one of issued tokens.
    #[schemars(length(min = 1, max = 16))]
    pub prefixes: Vec<PrefixText>,
    /// Whether 64 hexadecimal letters are taken for an API token too.
    pub accept_hex: bool,
    /// Which digests are stored of a new token.
    pub digest: DigestChoice,
    /// Cost of bcrypt.
    #[schemars(range(min = 4, max = 14))]
    pub bcrypt_cost: u8,
    /// The pepper that HomeChat added to tokens before it made the digests that were imported from it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pepper: Option<Secret>,
    /// A file that holds the pepper.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pepper_file: Option<PathBuf>,
}

impl Default for ApiToken {
    fn default() -> Self {
        Self {
            prefixes: ["dw", "hc", "tb"]
                .into_iter()
                .filter_map(|p| PrefixText::parse(p).ok())
                .collect(),
            accept_hex: true,
            digest: DigestChoice::default(),
            bcrypt_cost: 12,
            pepper: None,
            pepper_file: None,
        }
    }
}

/// Which digests are stored of a new API token.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum DigestChoice {
    /// A portable bcrypt digest and a keyed one.
    #[default]
    BcryptAndKeyed,
    /// Only the keyed one: fast to make, useless without this installation's lookup key.
    Keyed,
}

/// JSON Web Tokens.
#[derive(Debug, Clone, Default, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Jwt {
    /// Who may issue them. Empty: none is accepted.
    #[schemars(length(max = 64))]
    pub issuers: Vec<Issuer>,
}

/// One issuer of JWTs.
#[derive(Debug, Clone, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Issuer {
    /// Name for logs and metrics.
    #[schemars(extend("x-required" = true))]
    pub name: Option<Name>,
    /// The `iss` of its tokens, compared letter by letter.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 255))]
    pub issuer: Option<String>,
    /// The `aud` of its tokens: one of these.
    #[schemars(length(max = 64))]
    pub audience: Vec<String>,
    /// `own`: signed by this installation's own keys.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub keys: Option<OwnKeys>,
    /// Where its JWK Set is fetched from.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub jwks_url: Option<FetchUrl>,
    /// A file that holds its JWK Set.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub jwks_file: Option<PathBuf>,
    /// A file that holds its public key as PEM.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pem_file: Option<PathBuf>,
    /// Base64 of the secret it shares with us (HS256, HS384, HS512).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hmac_secret: Option<Secret>,
    /// A file that holds the Base64 of that secret.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hmac_secret_file: Option<PathBuf>,
    /// Algorithms that are accepted. Empty: whatever its keys are made for.
    #[schemars(length(max = 16))]
    pub algorithms: Vec<Algorithm>,
    /// How far clocks may differ, at most 30s.
    #[schemars(extend("x-least" = "0s", "x-most" = "30s"))]
    pub leeway: Span,
    /// Claims that its tokens need not have.
    pub waive: Vec<Claim>,
    /// How its claims are read.
    pub profile: Profile,
    /// What its subjects are.
    pub principal: SubjectKind,
    /// Stands before each subject in the principal's id.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub subject_prefix: Option<SubjectPrefix>,
    /// Which claims say what, with the standard profile.
    pub claims: Claims,
    /// How often the JWK Set is fetched.
    #[schemars(extend("x-least" = "10s", "x-most" = "24h"))]
    pub refresh: Span,
    /// How long the last good set is used when fetching fails.
    #[schemars(extend("x-least" = "1m", "x-most" = "30d"))]
    pub max_age: Span,
    /// Least time between two fetches that unknown key ids cause.
    #[schemars(extend("x-least" = "1s", "x-most" = "1h"))]
    pub cooldown: Span,
}

impl Default for Issuer {
    fn default() -> Self {
        Self {
            name: None,
            issuer: None,
            audience: Vec::new(),
            keys: None,
            jwks_url: None,
            jwks_file: None,
            pem_file: None,
            hmac_secret: None,
            hmac_secret_file: None,
            algorithms: Vec::new(),
            leeway: Span::from_secs(10),
            waive: Vec::new(),
            profile: Profile::default(),
            principal: SubjectKind::default(),
            subject_prefix: None,
            claims: Claims::default(),
            refresh: Span::from_secs(600),
            max_age: Span::from_secs(86_400),
            cooldown: Span::from_secs(30),
        }
    }
}

/// Keys that are our own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum OwnKeys {
    /// This installation's signing keys.
    Own,
}

/// Signature algorithms (RFC 7518, RFC 8037).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[expect(missing_docs, reason = "the names are those of the RFCs")]
pub enum Algorithm {
    RS256,
    RS384,
    RS512,
    PS256,
    PS384,
    PS512,
    ES256,
    ES384,
    EdDSA,
    HS256,
    HS384,
    HS512,
}

impl Algorithm {
    /// Whether it is an HMAC, for which both sides hold the same secret.
    pub fn is_hmac(self) -> bool {
        matches!(self, Self::HS256 | Self::HS384 | Self::HS512)
    }
}

/// Claims that may be waived.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Claim {
    /// The issuer.
    Iss,
    /// The audience.
    Aud,
    /// The subject.
    Sub,
}

/// How claims are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Profile {
    /// RFC 7519, RFC 9068: `sub`, `scope`, `roles`.
    #[default]
    Standard,
    /// ThingsBoard: `userId` or `sub`, `scopes` as roles, `tenantId`, `customerId`.
    Thingsboard,
}

/// What the subjects of an issuer are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum SubjectKind {
    /// People.
    #[default]
    User,
    /// Machines in the field.
    Device,
    /// Programs.
    Service,
}

/// Which claims say what: `roles`, or `realm_access.roles` for a member of an object.
#[derive(Debug, Clone, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Claims {
    /// The principal's id.
    #[schemars(length(max = 255))]
    pub subject: String,
    /// The tenant's id. Default: none.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 255))]
    pub tenant: Option<String>,
    /// The customer's id. Default: none.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 255))]
    pub customer: Option<String>,
    /// Roles, a list or a text with spaces between. Default: none.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 255))]
    pub roles: Option<String>,
    /// Scopes, a list or a text with spaces between: the first of these claims that is there.
    #[schemars(length(max = 16))]
    pub scopes: Vec<String>,
    /// What a token without any scope may do.
    pub unscoped: Unscoped,
}

impl Default for Claims {
    fn default() -> Self {
        Self {
            subject: "sub".to_owned(),
            tenant: None,
            customer: None,
            roles: None,
            scopes: ["scope", "scp", "scopes"].map(str::to_owned).into(),
            unscoped: Unscoped::default(),
        }
    }
}

/// What a token without any scope may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Unscoped {
    /// Nothing that a scope is required for.
    #[default]
    GrantsNothing,
    /// Whatever its roles allow.
    Unrestricted,
}

/// User names and passwords.
#[derive(Debug, Clone, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Basic {
    /// Cost of bcrypt.
    #[schemars(range(min = 4, max = 14))]
    pub bcrypt_cost: u8,
    /// Fewest characters of a new password.
    #[schemars(range(min = 8, max = 72))]
    pub min_password_length: u8,
}

impl Default for Basic {
    fn default() -> Self {
        Self {
            bcrypt_cost: 12,
            min_password_length: 12,
        }
    }
}
