//! Which certificate a client is shown: by the server name it asks for, exact names before wildcards, and
//! the first one for every other name and for none.
//!
//! The set is immutable; the store holds the one in force and can be given another while connections run.

use std::collections::HashMap;
use std::fmt;
use std::rc::Rc;
use std::sync::Arc;

use arc_swap::ArcSwap;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;

use super::certificate::{Certificate, Name};
use crate::edge::proxy::Covers;

/// The certificates of one listener.
#[derive(Clone)]
pub struct Certificates(Arc<Set>);

struct Set {
    /// As configured; never empty.
    all: Box<[Certificate]>,
    /// Places in `all`. Several where keys of several kinds have one name.
    exact: HashMap<Box<str>, Vec<usize>>,
    below: HashMap<Box<str>, Vec<usize>>,
}

impl fmt::Debug for Certificates {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(&self.0.all).finish()
    }
}

impl Certificates {
    /// A set; the first is the default. `None` when there is none.
    pub fn new(all: Vec<Certificate>) -> Option<Self> {
        all.first()?;
        let (mut exact, mut below) = (HashMap::<_, Vec<_>>::new(), HashMap::<_, Vec<_>>::new());
        for (place, certificate) in all.iter().enumerate() {
            for name in certificate.names() {
                let (map, name) = match name {
                    Name::Exact(name) => (&mut exact, name),
                    Name::Below(name) => (&mut below, name),
                };
                map.entry(name.clone()).or_default().push(place);
            }
        }
        Some(Self(Arc::new(Set {
            all: all.into(),
            exact,
            below,
        })))
    }

    /// All of them, in their order.
    pub fn iter(&self) -> impl Iterator<Item = &Certificate> {
        self.0.all.iter()
    }

    /// The places of those that have this name, which is in lower case.
    fn named(&self, name: &str) -> Option<&[usize]> {
        let exact = self.0.exact.get(name);
        let named = exact.or_else(|| self.0.below.get(name.split_once('.')?.1))?;
        Some(named)
    }

    fn places(&self, name: Option<&str>) -> &[usize] {
        name.and_then(|name| self.named(name)).unwrap_or(&[0])
    }

    fn resolve(&self, hello: &ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let name = hello.server_name().map(canonical);
        let candidates = self.places(name.as_deref()).iter();
        let mut candidates = candidates
            .filter_map(|place| self.0.all.get(*place))
            .map(Certificate::certified);
        let first = candidates.next()?;
        let can_check = |key: &&Arc<CertifiedKey>| key.key.choose_scheme(hello.signature_schemes()).is_some();
        let fits = std::iter::once(first).chain(candidates).find(can_check);
        Some(fits.unwrap_or(first).clone())
    }

    /// Whether a connection that was opened for one name may be asked for the other: unless the other has a
    /// certificate of its own, that is, one that was not shown.
    fn covers(&self, opened_for: Option<&str>, host: &str) -> bool {
        let Some(named) = self.named(host) else {
            return true;
        };
        self.places(opened_for).iter().any(|place| named.contains(place))
    }
}

/// As names are compared: lower case, without the dot of the root.
fn canonical(name: &str) -> String {
    name.strip_suffix('.').unwrap_or(name).to_ascii_lowercase()
}

/// The certificates in force.
pub struct CertificateStore(ArcSwap<Certificates>);

impl fmt::Debug for CertificateStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.load().fmt(f)
    }
}

impl CertificateStore {
    pub(super) fn new(certificates: Certificates) -> Self {
        Self(ArcSwap::from_pointee(certificates))
    }

    /// Shows these from the next handshake on, and gives the ones that were shown until now.
    pub fn replace(&self, certificates: Certificates) -> Arc<Certificates> {
        self.0.swap(Arc::new(certificates))
    }

    /// Those in force.
    pub fn current(&self) -> Arc<Certificates> {
        self.0.load_full()
    }
}

impl ResolvesServerCert for CertificateStore {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        self.0.load().resolve(&hello)
    }
}

/// What one client was shown.
#[derive(Debug)]
pub(in crate::edge::listener) struct Shown {
    store: Arc<CertificateStore>,
    opened_for: Option<Box<str>>,
}

impl Shown {
    pub(super) fn new(store: Arc<CertificateStore>, server_name: Option<&str>) -> Self {
        Self {
            store,
            opened_for: server_name.map(|name| canonical(name).into()),
        }
    }

    /// The rule for its requests.
    pub(in crate::edge::listener) fn rule(self) -> Rc<dyn Covers> {
        Rc::new(self)
    }
}

impl Covers for Shown {
    fn covers(&self, host: &str) -> bool {
        // Without its port. A bracketed address is no name, whatever is left of it.
        let name = host.rsplit_once(':').map_or(host, |(name, _)| name);
        let same = |opened_for: &str| name.eq_ignore_ascii_case(opened_for);
        self.opened_for.as_deref().is_some_and(same)
            || self
                .store
                .0
                .load()
                .covers(self.opened_for.as_deref(), &canonical(name))
    }
}
