//! Why a request was refused: one closed vocabulary for answers, logs, metrics and documentation.
//!
//! Every refusal anywhere is one `Reason`. Its code is stable and stands in `docs/reasons.md` with
//! what to check (a test compares the two). A reason is all that a caller learns; details go to the
//! log. How a reason is spelled in a body is the dialects' business (`edge::answers`).

use std::fmt;

use http::StatusCode;

/// The `error` of an RFC 6750 section 3.1 challenge.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BearerError {
    /// No `error` attribute: the request lacked any credential.
    None,
    /// `invalid_request`.
    InvalidRequest,
    /// `invalid_token`.
    InvalidToken,
    /// `insufficient_scope`.
    InsufficientScope,
}

impl BearerError {
    /// The value of the attribute, if it is to be sent.
    pub fn as_str(self) -> Option<&'static str> {
        match self {
            Self::None => None,
            Self::InvalidRequest => Some("invalid_request"),
            Self::InvalidToken => Some("invalid_token"),
            Self::InsufficientScope => Some("insufficient_scope"),
        }
    }
}

struct Row {
    code: &'static str,
    status: StatusCode,
    text: &'static str,
    challenge: Option<BearerError>,
    /// gRPC status code (google.rpc.Code).
    grpc: u8,
    /// MQTT 5 reason code (MQTT 5.0 section 2.4).
    mqtt: u8,
}

macro_rules! reasons {
    ($($(#[$doc:meta])* $variant:ident = $code:literal, $status:ident, $challenge:expr, $grpc:literal, $mqtt:literal, $text:literal;)*) => {
        /// Why a request was refused.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum Reason { $($(#[$doc])* $variant,)* }

        impl Reason {
            /// Every reason, in the order of the documentation.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)*];

            const fn row(self) -> Row {
                match self {
                    $(Self::$variant => Row {
                        code: $code,
                        status: StatusCode::$status,
                        text: $text,
                        challenge: $challenge,
                        grpc: $grpc,
                        mqtt: $mqtt,
                    },)*
                }
            }
        }
    };
}

const NO_CREDENTIAL: Option<BearerError> = Some(BearerError::None);
const REQUEST: Option<BearerError> = Some(BearerError::InvalidRequest);
const TOKEN: Option<BearerError> = Some(BearerError::InvalidToken);
const SCOPE: Option<BearerError> = Some(BearerError::InsufficientScope);

reasons! {
    /// The bytes do not form a valid HTTP request.
    MalformedRequest = "malformed_request", BAD_REQUEST, None, 3, 129, "The request is malformed.";
    /// Two servers could disagree about where the request ends or what it addresses (RFC 9112 section 6.3).
    AmbiguousFraming = "ambiguous_framing", BAD_REQUEST, None, 3, 129, "The request can be read in more than one way.";
    /// The path has encoded slashes, dot segments or another form that servers read differently.
    AmbiguousPath = "ambiguous_path", BAD_REQUEST, None, 3, 129, "The request path can be read in more than one way.";
    /// Several credentials in one layer: never is one of them picked.
    AmbiguousCredentials = "ambiguous_credentials", BAD_REQUEST, REQUEST, 3, 129, "More than one credential was sent.";
    /// The credential is longer than the bound (16 KiB).
    CredentialOversized = "credential_oversized", BAD_REQUEST, REQUEST, 3, 129, "The credential is too long.";
    /// The route wants a credential and none was presented.
    CredentialMissing = "credential_missing", UNAUTHORIZED, NO_CREDENTIAL, 16, 134, "Authentication is required.";
    /// The credential does not have the form of its kind.
    CredentialMalformed = "credential_malformed", UNAUTHORIZED, TOKEN, 16, 134, "The credential is malformed.";
    /// `Authorization` has a scheme that no kind claims.
    SchemeUnsupported = "scheme_unsupported", UNAUTHORIZED, REQUEST, 16, 134, "The authorization scheme is not supported.";
    /// The route does not accept this kind of credential.
    KindNotAccepted = "kind_not_accepted", UNAUTHORIZED, TOKEN, 16, 134, "This kind of credential is not accepted here.";
    /// Unknown, forged, or with a wrong secret: deliberately not told apart.
    CredentialInvalid = "credential_invalid", UNAUTHORIZED, TOKEN, 16, 134, "The credential is not valid.";
    /// The credential was good once.
    CredentialExpired = "credential_expired", UNAUTHORIZED, TOKEN, 16, 134, "The credential has expired.";
    /// A JWT's `nbf` or `iat` lies in the future.
    CredentialNotYetValid = "credential_not_yet_valid", UNAUTHORIZED, TOKEN, 16, 134, "The credential is not valid yet.";
    /// Ended by a revocation.
    CredentialRevoked = "credential_revoked", UNAUTHORIZED, TOKEN, 16, 134, "The credential has been revoked.";
    /// Switched off by an administrator.
    CredentialDisabled = "credential_disabled", UNAUTHORIZED, TOKEN, 16, 134, "The credential is disabled.";
    /// The principal, its customer or its tenant is disabled.
    PrincipalDisabled = "principal_disabled", UNAUTHORIZED, TOKEN, 16, 134, "The account is disabled.";
    /// A JWT names an issuer that is not configured.
    WrongIssuer = "wrong_issuer", UNAUTHORIZED, TOKEN, 16, 134, "The credential is from an issuer that is not accepted.";
    /// A JWT's `aud` is not one of ours.
    WrongAudience = "wrong_audience", UNAUTHORIZED, TOKEN, 16, 134, "The credential is meant for another audience.";
    /// A refresh, ID, assertion or other token was sent where an access token is due.
    WrongTokenClass = "wrong_token_class", UNAUTHORIZED, TOKEN, 16, 134, "This token is not an access token.";
    /// The route wants a proof of possession, and it has no nonce.
    ProofNonceMissing = "proof_nonce_missing", UNAUTHORIZED, REQUEST, 16, 134, "The X-Device-Nonce header is missing.";
    /// The nonce is not Base64 of 16 to 128 bytes, or there are two.
    ProofNonceMalformed = "proof_nonce_malformed", UNAUTHORIZED, REQUEST, 16, 134, "The nonce is malformed.";
    /// The nonce was used before: the request is sent again.
    ProofNonceUsed = "proof_nonce_used", UNAUTHORIZED, TOKEN, 16, 134, "The nonce has been used already.";
    /// There is no signature.
    ProofSignatureMissing = "proof_signature_missing", UNAUTHORIZED, REQUEST, 16, 134, "The X-HMAC-Signature header is missing.";
    /// The signature is not Base64 of 32 bytes.
    ProofSignatureMalformed = "proof_signature_malformed", UNAUTHORIZED, REQUEST, 16, 134, "The signature is malformed.";
    /// The signature is not that of this token, nonce and timestamp under the shared secret.
    ProofSignatureMismatch = "proof_signature_mismatch", UNAUTHORIZED, TOKEN, 16, 134, "The signature does not match.";
    /// There is no timestamp, or it is no number.
    ProofTimestampMissing = "proof_timestamp_missing", UNAUTHORIZED, REQUEST, 16, 134, "The X-Timestamp header is missing or is no number.";
    /// The timestamp lies too far back.
    ProofTooOld = "proof_too_old", UNAUTHORIZED, TOKEN, 16, 134, "The timestamp is too old.";
    /// The timestamp lies too far in the future.
    ProofTooEarly = "proof_too_early", UNAUTHORIZED, TOKEN, 16, 134, "The timestamp is too far in the future.";
    /// The route is `access: deny`.
    RouteDenied = "route_denied", FORBIDDEN, None, 7, 135, "Access is denied.";
    /// The route's address rules refuse the client.
    AddressDenied = "address_denied", FORBIDDEN, None, 7, 135, "Access from this address is denied.";
    /// The credential's own networks do not hold the client.
    CredentialAddressDenied = "credential_address_denied", FORBIDDEN, None, 7, 135, "The credential may not be used from this address.";
    /// The route or the credential wants HTTPS and the request came in plain.
    HttpsRequired = "https_required", FORBIDDEN, None, 7, 135, "HTTPS is required.";
    /// A scope that the route requires is missing.
    ScopeMissing = "scope_missing", FORBIDDEN, SCOPE, 7, 135, "The credential lacks a required scope.";
    /// A role that the route requires is missing.
    RoleMissing = "role_missing", FORBIDDEN, SCOPE, 7, 135, "The account lacks a required role.";
    /// The credential's permission or scopes do not include this method.
    MethodNotPermitted = "method_not_permitted", FORBIDDEN, SCOPE, 7, 135, "The credential does not permit this method.";
    /// No route matches host, path and method.
    RouteUnknown = "route_unknown", NOT_FOUND, None, 5, 135, "Nothing is served at this address.";
    /// The request head was not complete within its deadline.
    HeadTimeout = "head_timeout", REQUEST_TIMEOUT, None, 4, 129, "The request head did not arrive in time.";
    /// The body is larger than the bound.
    BodyTooLarge = "body_too_large", PAYLOAD_TOO_LARGE, None, 11, 149, "The request body is too large.";
    /// The certificate that the client was shown is not the one of the host that it asks for
    /// (RFC 9110 section 15.5.20).
    MisdirectedRequest = "misdirected_request", MISDIRECTED_REQUEST, None, 3, 129, "The connection was opened for another host.";
    /// The head has more bytes or fields than the bounds allow.
    HeadTooLarge = "head_too_large", REQUEST_HEADER_FIELDS_TOO_LARGE, None, 11, 129, "The request head is too large.";
    /// The failed-credential throttle refuses further tries from this address or for this id.
    TooManyFailures = "too_many_failures", TOO_MANY_REQUESTS, None, 8, 159, "Too many failed attempts. Try again later.";
    /// A bug: a task ended unexpectedly.
    InternalError = "internal_error", INTERNAL_SERVER_ERROR, None, 13, 128, "An internal error occurred.";
    /// Connecting to the upstream failed.
    UpstreamUnreachable = "upstream_unreachable", BAD_GATEWAY, None, 14, 136, "The service behind the proxy cannot be reached.";
    /// The upstream closed early or broke HTTP's framing.
    UpstreamInvalidAnswer = "upstream_invalid_answer", BAD_GATEWAY, None, 14, 136, "The service behind the proxy sent an invalid answer.";
    /// A bounded queue is full.
    Overloaded = "overloaded", SERVICE_UNAVAILABLE, None, 14, 136, "The proxy is overloaded. Try again shortly.";
    /// The store cannot be read, so the credential cannot be checked. Never a pass, never a 401.
    CannotDecide = "cannot_decide", SERVICE_UNAVAILABLE, None, 14, 136, "The credential cannot be checked at the moment. Try again shortly.";
    /// No target of the upstream passes its health check.
    UpstreamUnavailable = "upstream_unavailable", SERVICE_UNAVAILABLE, None, 14, 136, "The service behind the proxy is not available. Try again shortly.";
    /// Connecting took, or the answer's head took, longer than configured.
    UpstreamTimeout = "upstream_timeout", GATEWAY_TIMEOUT, None, 4, 136, "The service behind the proxy did not answer in time.";
    /// Neither HTTP/1.0 nor HTTP/1.1.
    HttpVersionUnsupported = "http_version_unsupported", HTTP_VERSION_NOT_SUPPORTED, None, 3, 129, "This HTTP version is not supported.";
}

impl Reason {
    /// The stable code, such as `credential_expired`.
    pub const fn code(self) -> &'static str {
        self.row().code
    }

    /// The HTTP status.
    pub const fn status(self) -> StatusCode {
        self.row().status
    }

    /// One sentence for the caller. Says no more than the code does.
    pub const fn text(self) -> &'static str {
        self.row().text
    }

    /// The RFC 6750 error of the `WWW-Authenticate` challenge; `None` when no challenge is sent.
    pub const fn challenge(self) -> Option<BearerError> {
        self.row().challenge
    }

    /// The gRPC status code.
    pub const fn grpc_code(self) -> u8 {
        self.row().grpc
    }

    /// The MQTT 5 reason code.
    pub const fn mqtt_code(self) -> u8 {
        self.row().mqtt
    }

    /// Position in [`Reason::ALL`], for prebuilt tables.
    pub const fn index(self) -> usize {
        self as usize
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.code())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn codes_are_unique_and_every_401_carries_a_challenge() {
        let mut seen = HashSet::new();
        for (i, reason) in Reason::ALL.iter().enumerate() {
            assert_eq!(reason.index(), i);
            assert!(seen.insert(reason.code()), "{reason} twice");
            assert!(reason.text().ends_with('.'), "{reason}: a text is a sentence");
            if reason.status() == StatusCode::UNAUTHORIZED {
                // RFC 9110 section 15.5.2: a 401 must carry a challenge.
                assert!(reason.challenge().is_some(), "{reason} lacks a challenge");
            }
            assert!(reason.status().is_client_error() || reason.status().is_server_error());
        }
    }
}
