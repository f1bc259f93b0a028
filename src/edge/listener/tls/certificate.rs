//! One certificate with its chain and its key, read from PEM and found to fit together.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::{Error as PemError, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::{FromDer, X509Certificate};

use crate::domain::clock::UnixMillis;

/// Most certificates in one chain.
const MAX_CHAIN: usize = 16;
/// Most names of one certificate.
const MAX_NAMES: usize = 1000;

/// A certificate that ends within this time should be replaced now.
pub const ENDS_SOON: Duration = Duration::from_secs(14 * 24 * 3600);

/// A certificate that can be shown.
#[derive(Clone)]
pub struct Certificate {
    label: Arc<str>,
    certified: Arc<CertifiedKey>,
    names: Arc<[Name]>,
    not_before: UnixMillis,
    not_after: UnixMillis,
}

/// How a certificate stands to the time (RFC 5280 section 4.1.2.5).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Validity {
    /// It begins later: clients refuse it.
    NotYet,
    /// Nothing to say.
    Good,
    /// It ends within [`ENDS_SOON`].
    EndsSoon,
    /// It has ended: clients refuse it.
    Ended,
}

/// A DNS name of a certificate, in lower case.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Name {
    /// This one.
    Exact(Box<str>),
    /// `*.` and this: any one label before it.
    Below(Box<str>),
}

/// Why a certificate cannot be shown. Says nothing of the key's content.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadCertificate {
    /// The certificate's file has none.
    #[error("no certificate in PEM form")]
    NoCertificate,
    /// Too many of them.
    #[error("more than {MAX_CHAIN} certificates")]
    ChainTooLong,
    /// More names than anyone needs.
    #[error("more than {MAX_NAMES} names in the certificate")]
    TooManyNames,
    /// The PEM or what is in it is damaged.
    #[error("a certificate that cannot be read")]
    UnreadableCertificate,
    /// The key's file has none.
    #[error("no private key in PEM form that is not encrypted")]
    NoKey,
    /// Of a kind or size that is not used for TLS.
    #[error(
        "a private key that cannot be used: RSA of 2048 bits or more, P-256, P-384, P-521 and Ed25519 can"
    )]
    UnusableKey,
    /// The key belongs to another certificate.
    #[error("a private key that is not the key of the first certificate")]
    OtherKey,
}

impl BadCertificate {
    /// Whether it is about the key's file; else it is about the certificate's.
    pub fn is_about_key(&self) -> bool {
        matches!(self, Self::NoKey | Self::UnusableKey | Self::OtherKey)
    }
}

impl Certificate {
    /// Reads a chain, the server's certificate first, and its key. `label` names it in metrics.
    pub fn read(label: &str, chain: &[u8], key: &[u8]) -> Result<Self, BadCertificate> {
        let chain = CertificateDer::pem_slice_iter(chain)
            .map(|der| der.map_err(|_| BadCertificate::UnreadableCertificate))
            .take(MAX_CHAIN.saturating_add(1))
            .collect::<Result<Vec<_>, _>>()?;
        if chain.len() > MAX_CHAIN {
            return Err(BadCertificate::ChainTooLong);
        }
        let first = chain.first().ok_or(BadCertificate::NoCertificate)?;
        let About {
            names,
            not_before,
            not_after,
        } = about(first)?;
        for other in chain.iter().skip(1) {
            about(other)?;
        }
        let key = PrivateKeyDer::from_pem_slice(key).map_err(|error| match error {
            PemError::NoItemsFound => BadCertificate::NoKey,
            _ => BadCertificate::UnusableKey,
        })?;
        let certified = CertifiedKey::from_der(chain, key, &aws_lc_rs::default_provider()).map_err(
            |error| match error {
                rustls::Error::InconsistentKeys(_) => BadCertificate::OtherKey,
                rustls::Error::InvalidCertificate(_) => BadCertificate::UnreadableCertificate,
                _ => BadCertificate::UnusableKey,
            },
        )?;
        Ok(Self {
            label: label.into(),
            certified: Arc::new(certified),
            names: names.into(),
            not_before,
            not_after,
        })
    }

    /// What names it in metrics.
    pub fn label(&self) -> &Arc<str> {
        &self.label
    }

    /// When it ends.
    pub fn not_after(&self) -> UnixMillis {
        self.not_after
    }

    /// When it begins.
    pub fn not_before(&self) -> UnixMillis {
        self.not_before
    }

    /// How it stands to this time. Both ends belong to it.
    pub fn validity(&self, now: UnixMillis) -> Validity {
        if now < self.not_before {
            Validity::NotYet
        } else if now > self.not_after {
            Validity::Ended
        } else if self.not_after <= now.plus(ENDS_SOON) {
            Validity::EndsSoon
        } else {
            Validity::Good
        }
    }

    /// Whether it has a name that a client could ask for.
    pub fn has_names(&self) -> bool {
        !self.names.is_empty()
    }

    pub(super) fn names(&self) -> &[Name] {
        &self.names
    }

    pub(super) fn certified(&self) -> &Arc<CertifiedKey> {
        &self.certified
    }
}

impl fmt::Debug for Certificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Certificate")
            .field("label", &self.label)
            .field("names", &self.names)
            .field("not_before", &self.not_before)
            .field("not_after", &self.not_after)
            .finish_non_exhaustive()
    }
}

/// What is read of a certificate.
struct About {
    names: Vec<Name>,
    not_before: UnixMillis,
    not_after: UnixMillis,
}

/// Its names, its beginning and its end. The subject's common name is no name (RFC 9525 section 2).
fn about(der: &CertificateDer<'_>) -> Result<About, BadCertificate> {
    let (rest, certificate) =
        X509Certificate::from_der(der).map_err(|_| BadCertificate::UnreadableCertificate)?;
    if !rest.is_empty() {
        return Err(BadCertificate::UnreadableCertificate);
    }
    let alternatives = certificate
        .subject_alternative_name()
        .map_err(|_| BadCertificate::UnreadableCertificate)?;
    let names: Vec<Name> = alternatives
        .iter()
        .flat_map(|extension| &extension.value.general_names)
        .filter_map(|name| match name {
            GeneralName::DNSName(name) => Some(read_name(name)),
            _ => None,
        })
        .collect();
    if names.len() > MAX_NAMES {
        return Err(BadCertificate::TooManyNames);
    }
    let validity = certificate.validity();
    Ok(About {
        names,
        not_before: UnixMillis::from_secs(validity.not_before.timestamp()),
        not_after: UnixMillis::from_secs(validity.not_after.timestamp()),
    })
}

fn read_name(name: &str) -> Name {
    let name = name.to_ascii_lowercase();
    match name.strip_prefix("*.") {
        Some(below) => Name::Below(below.into()),
        None => Name::Exact(name.into()),
    }
}
