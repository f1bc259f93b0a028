//! The stronger form of sealed device tokens: each request also proves that its sender knows a secret, just now.
//!
//! `X-Device-Nonce` (Base64 of at least 16 bytes, good once), `X-Timestamp` (milliseconds since 1970) and
//! `X-HMAC-Signature`, the Base64 of HMAC-SHA-256 under the shared secret over `token|nonce|timestamp` as they
//! stand in the request. A token that was listened to is then worth nothing, and neither is a whole request that is
//! sent again. Beyond the original: a missing timestamp is refused, and a nonce is spent only once the
//! signature is found good, so that no stranger can use up anybody's. The body is not signed.
//!
//! Asked by the gate on routes that want it, and where such a token vouches for another one. Nonces are
//! `nonces`' business; nothing here is cached.

use std::sync::Arc;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD_PAD_INDIFFERENT;
use http::HeaderMap;

use super::nonces::{NonceBounds, NonceLedger};
use super::presented::Presented;
use super::verifier::Rejection;
use crate::crypto::{Comparison, equal, hmac_sha256, sha256};
use crate::domain::clock::{Now, UnixMillis};
use crate::domain::identity::CredentialKind;
use crate::domain::ids::CredentialId;
use crate::domain::reason::Reason;
use crate::domain::secret::SecretText;
use crate::store::NonceRecord;

const NONCE: &str = "x-device-nonce";
const SIGNATURE: &str = "x-hmac-signature";
const TIMESTAMP: &str = "x-timestamp";

/// Lengths of a nonce, in bytes.
const NONCE_BYTES: std::ops::RangeInclusive<usize> = 16..=128;
/// Longest text of any of the three.
const MAX_FIELD_BYTES: usize = 256;

/// How proofs are checked.
#[derive(Debug, Clone)]
pub struct ProofSettings {
    /// What the sender must know.
    pub secret: SecretText,
    /// How far its clock may differ from ours.
    pub tolerance: Duration,
    /// Most nonces remembered at once.
    pub max_nonces: usize,
}

/// Checks proofs.
pub struct DeviceProofs {
    settings: ProofSettings,
    ledger: Arc<NonceLedger>,
}

/// A proof as it stands in a head.
struct Written<'a> {
    nonce: &'a str,
    decoded: Vec<u8>,
    timestamp: &'a str,
    at: UnixMillis,
    signature: [u8; 32],
}

impl DeviceProofs {
    /// By these settings, spending nonces here.
    pub fn new(settings: ProofSettings, ledger: Arc<NonceLedger>) -> Self {
        Self { settings, ledger }
    }

    /// Checks the proof that goes with a credential which was found good, and spends its nonce. Other kinds of
    /// credentials need none.
    pub async fn check(
        &self,
        headers: &HeaderMap,
        presented: &Presented<'_>,
        credential: &CredentialId,
        now: Now,
    ) -> Result<(), Rejection> {
        if presented.kind != CredentialKind::SealedDeviceToken {
            return Ok(());
        }
        let nonce = self
            .nonce(headers, presented.credential, credential, now.wall)
            .map_err(Rejection::caller)?;
        let bounds = NonceBounds {
            max: self.settings.max_nonces,
            keep: 2 * self.settings.tolerance,
        };
        self.ledger.spend(nonce, bounds, now.mono).await
    }

    /// The nonce of a proof that is good but for having been used before.
    fn nonce(
        &self,
        headers: &HeaderMap,
        token: &[u8],
        credential: &CredentialId,
        now: UnixMillis,
    ) -> Result<NonceRecord, Reason> {
        let written = Written::read(headers)?;
        let tolerance = self.settings.tolerance;
        if written.at.plus(tolerance) < now {
            return Err(Reason::ProofTooOld);
        }
        if now.plus(tolerance) < written.at {
            return Err(Reason::ProofTooEarly);
        }
        let parts = [token, written.nonce.as_bytes(), written.timestamp.as_bytes()];
        let expected = hmac_sha256(self.settings.secret.expose().as_bytes(), &parts.join(&b'|'));
        if equal(&expected, &written.signature) != Comparison::Equal {
            return Err(Reason::ProofSignatureMismatch);
        }
        // Of the decoded bytes and for this token: no other spelling is another nonce, and nobody's is another's.
        let digest = sha256(&[credential.as_str().as_bytes(), b"|", &written.decoded].concat());
        Ok(NonceRecord {
            digest,
            // Beyond the last moment at which this timestamp is believed, should the clock be set back a little.
            until: written.at.plus(2 * tolerance),
        })
    }
}

impl<'a> Written<'a> {
    fn read(headers: &'a HeaderMap) -> Result<Self, Reason> {
        let nonce = field(
            headers,
            NONCE,
            Reason::ProofNonceMissing,
            Reason::ProofNonceMalformed,
        )?;
        let decoded = STANDARD_PAD_INDIFFERENT
            .decode(nonce)
            .ok()
            .filter(|bytes| NONCE_BYTES.contains(&bytes.len()))
            .ok_or(Reason::ProofNonceMalformed)?;
        let malformed = Reason::ProofSignatureMalformed;
        let signature = field(headers, SIGNATURE, Reason::ProofSignatureMissing, malformed)?;
        let signature = STANDARD_PAD_INDIFFERENT
            .decode(signature)
            .map_err(|_| malformed)?;
        let signature = signature.try_into().map_err(|_| malformed)?;
        let missing = Reason::ProofTimestampMissing;
        let timestamp = field(headers, TIMESTAMP, missing, missing)?;
        let digits = !timestamp.is_empty() && timestamp.bytes().all(|b| b.is_ascii_digit());
        let at = timestamp.parse().ok().filter(|_| digits).ok_or(missing)?;
        Ok(Self {
            nonce,
            decoded,
            timestamp,
            at: UnixMillis(at),
            signature,
        })
    }
}

/// A field that is there once, and short.
fn field<'a>(
    headers: &'a HeaderMap,
    name: &str,
    missing: Reason,
    malformed: Reason,
) -> Result<&'a str, Reason> {
    let mut values = headers.get_all(name).iter();
    let value = values.next().ok_or(missing)?;
    let text = value.to_str().map_err(|_| malformed)?.trim();
    if values.next().is_some() || text.len() > MAX_FIELD_BYTES {
        return Err(malformed);
    }
    match text {
        "" => Err(missing),
        text => Ok(text),
    }
}

#[cfg(test)]
mod tests {
    use async_trait::async_trait;
    use base64::engine::general_purpose::STANDARD;
    use tokio::runtime::Handle;

    use super::*;
    use crate::authn::presented::Carrier;
    use crate::domain::clock::MonoMillis;
    use crate::runtime::tasks::Tasks;
    use crate::store::{Nonces, Spent};

    const SECRET: &str = "a secret that devices share";
    const TOKEN: &[u8] = b"dG9rZW4=";
    const NOW: UnixMillis = UnixMillis(1_800_000_000_000);

    /// Notes nothing: memory is what is looked at here.
    struct Forgets;

    #[async_trait]
    impl Nonces for Forgets {
        async fn spend_nonces(&self, batch: &[NonceRecord]) -> crate::store::Result<Vec<Spent>> {
            Ok(batch.iter().map(|_| Spent::Now).collect())
        }

        async fn prune_nonces(&self, _: UnixMillis) -> crate::store::Result<u64> {
            Ok(0)
        }
    }

    fn proofs() -> DeviceProofs {
        let settings = ProofSettings {
            secret: SecretText::new(SECRET.to_owned()),
            tolerance: Duration::from_secs(300),
            max_nonces: 100,
        };
        let tasks = Tasks::on(Handle::current());
        DeviceProofs::new(settings, NonceLedger::spawn(Arc::new(Forgets), &tasks))
    }

    fn signed(secret: &str, token: &[u8], nonce: &str, timestamp: &str) -> String {
        let text = [token, nonce.as_bytes(), timestamp.as_bytes()].join(&b'|');
        STANDARD.encode(hmac_sha256(secret.as_bytes(), &text))
    }

    fn headers(fields: &[(&'static str, &str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in fields {
            headers.append(*name, value.parse().expect("a value"));
        }
        headers
    }

    async fn check(proofs: &DeviceProofs, headers: &HeaderMap) -> Result<(), Reason> {
        let presented = Presented {
            carrier: Carrier::AuthorizationDevice,
            kind: CredentialKind::SealedDeviceToken,
            credential: TOKEN,
        };
        let credential = CredentialId::parse("c1").expect("an id");
        let now = Now {
            wall: NOW,
            mono: MonoMillis(0),
        };
        let checked = proofs.check(headers, &presented, &credential, now).await;
        checked.map_err(|r| r.reason)
    }

    #[tokio::test]
    async fn everything_must_be_there_well_formed_fresh_and_signed() {
        let proofs = proofs();
        let nonce = STANDARD.encode([7; 16]);
        let at = |ms: i64| (NOW.0 + ms).to_string();
        let good = |nonce: &str, timestamp: &str| signed(SECRET, TOKEN, nonce, timestamp);
        let now = at(0);
        let short = STANDARD.encode([7; 15]);
        let long = STANDARD.encode([7; 129]);
        let other_token = signed(SECRET, b"b3RoZXI=", &nonce, &now);
        let (old, early, edge) = (at(-300_001), at(300_001), at(-300_000));
        for (nonce, signature, timestamp, expected, why) in [
            (
                None,
                Some(good(&nonce, &now)),
                Some(&now),
                Reason::ProofNonceMissing,
                "no nonce",
            ),
            (
                Some(""),
                Some(good("", &now)),
                Some(&now),
                Reason::ProofNonceMissing,
                "an empty one",
            ),
            (
                Some("???"),
                Some(good("???", &now)),
                Some(&now),
                Reason::ProofNonceMalformed,
                "no Base64",
            ),
            (
                Some(&*short),
                Some(good(&short, &now)),
                Some(&now),
                Reason::ProofNonceMalformed,
                "15 bytes",
            ),
            (
                Some(&*long),
                Some(good(&long, &now)),
                Some(&now),
                Reason::ProofNonceMalformed,
                "129 bytes",
            ),
            (
                Some(&*nonce),
                None,
                Some(&now),
                Reason::ProofSignatureMissing,
                "no signature",
            ),
            (
                Some(&*nonce),
                Some("AAAA".to_owned()),
                Some(&now),
                Reason::ProofSignatureMalformed,
                "three bytes",
            ),
            (
                Some(&*nonce),
                Some("!".to_owned()),
                Some(&now),
                Reason::ProofSignatureMalformed,
                "no Base64",
            ),
            (
                Some(&*nonce),
                Some(good(&nonce, "")),
                None,
                Reason::ProofTimestampMissing,
                "no timestamp",
            ),
            (
                Some(&*nonce),
                Some(good(&nonce, "soon")),
                Some(&"soon".to_owned()),
                Reason::ProofTimestampMissing,
                "no number",
            ),
            (
                Some(&*nonce),
                Some(good(&nonce, &old)),
                Some(&old),
                Reason::ProofTooOld,
                "five minutes and more",
            ),
            (
                Some(&*nonce),
                Some(good(&nonce, &early)),
                Some(&early),
                Reason::ProofTooEarly,
                "the future",
            ),
            (
                Some(&*nonce),
                Some(good(&nonce, &edge)),
                Some(&now),
                Reason::ProofSignatureMismatch,
                "another time",
            ),
            (
                Some(&*nonce),
                Some(other_token),
                Some(&now),
                Reason::ProofSignatureMismatch,
                "another token",
            ),
            (
                Some(&*nonce),
                Some(signed("another secret", TOKEN, &nonce, &now)),
                Some(&now),
                Reason::ProofSignatureMismatch,
                "another secret",
            ),
        ] {
            let mut fields = Vec::new();
            fields.extend(nonce.map(|n| (NONCE, n)));
            fields.extend(signature.as_deref().map(|s| (SIGNATURE, s)));
            fields.extend(timestamp.map(|t| (TIMESTAMP, t.as_str())));
            assert_eq!(check(&proofs, &headers(&fields)).await, Err(expected), "{why}");
        }
        // None of these spent the nonce.
        let signature = good(&nonce, &edge);
        let fields = [
            (NONCE, nonce.as_str()),
            (SIGNATURE, &signature),
            (TIMESTAMP, &edge),
        ];
        let twice = [fields[0], fields[0], fields[1], fields[2]];
        assert_eq!(
            check(&proofs, &headers(&twice)).await,
            Err(Reason::ProofNonceMalformed)
        );
        assert_eq!(check(&proofs, &headers(&fields)).await, Ok(()), "the last moment");
        assert_eq!(
            check(&proofs, &headers(&fields)).await,
            Err(Reason::ProofNonceUsed),
            "sent again"
        );
        let bare = nonce.trim_end_matches('=').to_owned();
        let signature = good(&bare, &now);
        let respelled = [(NONCE, bare.as_str()), (SIGNATURE, &signature), (TIMESTAMP, &now)];
        let used = check(&proofs, &headers(&respelled)).await;
        assert_eq!(
            used,
            Err(Reason::ProofNonceUsed),
            "spelled differently, signed anew"
        );
    }
}
