//! What came in, unverified: the credential's bytes, where they stood, and which kind claims them.
//!
//! Borrowed from the request's head; nothing is copied before a look-up is needed.

use std::fmt;

use crate::domain::identity::CredentialKind;
use crate::domain::secret::SecretBytes;

/// Longest credential accepted, in bytes. Longer ones are refused with `credential_oversized`.
pub const MAX_CREDENTIAL_BYTES: usize = 16 * 1024;

/// Where in the request a credential stood.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Carrier {
    /// `Authorization: Device …`
    AuthorizationDevice,
    /// `Authorization: Bearer …`
    AuthorizationBearer,
    /// `Authorization: Basic …`
    AuthorizationBasic,
    /// `Authorization: ApiKey …`
    AuthorizationApiKey,
    /// `Authorization: <one word>`
    AuthorizationBare,
    /// `X-Authorization: Bearer …`
    XAuthorizationBearer,
    /// `X-Authorization: ApiKey …`
    XAuthorizationApiKey,
    /// `X-API-Key: …`
    XApiKey,
    /// `Device-Token: …`
    DeviceToken,
    /// `token: …`
    Token,
    /// `Account-Token`, `Profile-Token`, `Public-Token`, `Analysis-Token`
    PlatformToken,
    /// A path segment, on routes that say so.
    Path,
    /// A query parameter, on routes that say so.
    Query,
}

/// A credential as it came in.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Presented<'a> {
    /// Where it stood.
    pub carrier: Carrier,
    /// The one kind that claims it.
    pub kind: CredentialKind,
    /// Its bytes, scheme and surrounding white space removed.
    pub credential: &'a [u8],
}

impl Presented<'_> {
    /// Copies the credential for a look-up that outlives the head.
    pub fn to_owned(self) -> PresentedOwned {
        PresentedOwned {
            carrier: self.carrier,
            kind: self.kind,
            credential: SecretBytes::new(self.credential.to_vec()),
        }
    }
}

impl fmt::Debug for Presented<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "Presented({:?}, {}, {} bytes)",
            self.carrier,
            self.kind,
            self.credential.len()
        )
    }
}

/// A presented credential that outlives its request's head; zeroed on drop.
#[derive(Debug, Clone)]
pub struct PresentedOwned {
    /// Where it stood.
    pub carrier: Carrier,
    /// The one kind that claims it.
    pub kind: CredentialKind,
    /// Its bytes.
    pub credential: SecretBytes,
}

/// Carriers beyond the plain headers, and precedence.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct CarrierRules {
    /// `/api/v1/<token>/…`: the path prefix before the token, such as `/api/v1/`.
    pub path_token_after: Option<String>,
    /// Query parameters read as credentials, and removed before forwarding.
    pub query_parameters: Vec<String>,
    /// What happens when several carriers speak.
    pub precedence: Precedence,
}

/// What happens when several carriers speak (COMPAT 0.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Precedence {
    /// `ambiguous_credentials`.
    #[default]
    Refuse,
    /// TagoIO's order.
    TagoIo,
    /// ThingsBoard's order: `X-Authorization` before `Authorization`, blank counts as absent.
    ThingsBoard,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_presented_credential_is_printed_by_its_length_alone() {
        let presented = Presented {
            carrier: Carrier::AuthorizationBearer,
            kind: CredentialKind::ApiToken,
            credential: b"hunter2",
        };
        let printed = format!("{presented:?} {:?}", presented.to_owned());
        assert!(printed.contains("7 bytes"), "{printed}");
        // Neither as text nor as bytes.
        assert!(
            !printed.contains("hunter2") && !printed.contains("104"),
            "{printed}"
        );
    }
}
