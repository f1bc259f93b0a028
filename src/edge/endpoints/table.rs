//! Which paths are endpoints. Empty unless something is switched on, and then a request pays one comparison
//! of lengths for each entry.
//!
//! What an app may take for the same path is the same path here: another spelling of an unreserved character,
//! letters of another case, a slash at the end, and every reading of the forms that a route may allow. So no
//! request to an endpoint that is on reaches an upstream by being written differently.

use std::fmt;
use std::sync::Arc;

use tokio::sync::Semaphore;

use super::{Answer, Asked, Endpoint, Trouble};
use crate::gate::path::normalize;
use crate::runtime::tasks::Tasks;

/// Requests to endpoints that are answered at once; more are refused, so that a flood of them leaves store and
/// threads to others.
const MAX_AT_ONCE: usize = 256;

/// What belongs to an endpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Extent {
    /// Its path.
    Itself,
    /// One segment below its path.
    OneBelow,
}

/// An endpoint at its path.
#[derive(Clone)]
pub struct Mount {
    /// Its path, normalized, without a slash at its end.
    pub path: Box<str>,
    /// What belongs to it.
    pub extent: Extent,
    /// Who answers.
    pub endpoint: Arc<dyn Endpoint>,
}

/// The endpoints of one door that are switched on.
pub struct Endpoints {
    mounts: Box<[Mount]>,
    running: Option<(Tasks, Arc<Semaphore>)>,
}

impl fmt::Debug for Endpoints {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list()
            .entries(self.mounts.iter().map(|m| &*m.path))
            .finish()
    }
}

/// Who answers a request.
pub struct Found {
    endpoint: Arc<dyn Endpoint>,
    /// The segment after the endpoint's path, where it has one.
    pub tail: Option<Box<str>>,
}

impl Endpoints {
    /// None.
    pub fn none() -> Self {
        Self {
            mounts: Box::default(),
            running: None,
        }
    }

    /// These, answered on the control runtime.
    pub fn new(mounts: Vec<Mount>, tasks: &Tasks) -> Self {
        Self {
            mounts: mounts.into(),
            running: Some((tasks.clone(), Arc::new(Semaphore::new(MAX_AT_ONCE)))),
        }
    }

    /// Who answers a request for this path, as received.
    pub fn find(&self, path: &str) -> Option<Found> {
        if self.mounts.is_empty() {
            return None;
        }
        // What cannot be normalized is refused by the gate.
        let path = normalize(path).ok()?;
        self.find_normal(path.for_matching()).or_else(|| {
            path.readings()
                .iter()
                .find_map(|reading| self.find_normal(reading))
        })
    }

    fn find_normal(&self, path: &str) -> Option<Found> {
        let path = path.strip_suffix('/').unwrap_or(path);
        self.mounts.iter().find_map(|mount| {
            let tail = match mount.extent {
                Extent::Itself if mount.path.eq_ignore_ascii_case(path) => None,
                Extent::Itself => return None,
                Extent::OneBelow => Some(one_below(&mount.path, path)?.into()),
            };
            Some(Found {
                endpoint: Arc::clone(&mount.endpoint),
                tail,
            })
        })
    }

    /// Asks an endpoint, off the thread that calls.
    pub async fn ask(&self, endpoint: Arc<dyn Endpoint>, asked: Asked) -> Answer {
        let place = self.running.as_ref().and_then(|(tasks, places)| {
            let place = Arc::clone(places).try_acquire_owned().ok()?;
            Some((tasks, place))
        });
        let Some((tasks, place)) = place else {
            return endpoint.trouble(Trouble::Overloaded);
        };
        let answering = Arc::clone(&endpoint);
        let answered = tasks.spawn("endpoint", async move {
            let answer = answering.answer(asked).await;
            drop(place);
            answer
        });
        // It panicked; its task said so in the log.
        answered
            .await
            .unwrap_or_else(|_| endpoint.trouble(Trouble::Internal))
    }
}

impl Found {
    /// Who answers.
    pub fn endpoint(&self) -> &Arc<dyn Endpoint> {
        &self.endpoint
    }
}

/// The single segment after a path.
fn one_below<'a>(above: &str, path: &'a str) -> Option<&'a str> {
    let (head, rest) = path.split_at_checked(above.len())?;
    let segment = rest.strip_prefix('/')?;
    let fits = head.eq_ignore_ascii_case(above) && !segment.is_empty() && !segment.contains('/');
    fits.then_some(segment)
}

#[cfg(test)]
mod tests {
    use async_trait::async_trait;
    use http::{HeaderMap, Method, StatusCode};

    use super::super::{Refused, json};
    use super::*;

    struct Nobody;

    #[async_trait]
    impl Endpoint for Nobody {
        fn admit(&self, _: &Method, _: &HeaderMap) -> Result<(), Refused> {
            Ok(())
        }

        async fn answer(&self, _: Asked) -> Answer {
            json(StatusCode::OK, &())
        }

        fn trouble(&self, trouble: Trouble) -> Answer {
            json(trouble.status(), &())
        }
    }

    fn mount(path: &str, extent: Extent) -> Mount {
        Mount {
            path: path.into(),
            extent,
            endpoint: Arc::new(Nobody),
        }
    }

    #[tokio::test]
    async fn every_spelling_that_an_app_may_take_for_the_path_is_the_path() {
        let tasks = Tasks::on(tokio::runtime::Handle::current());
        let mounts = vec![
            mount("/auth/device/generate-token", Extent::Itself),
            mount("/sessions", Extent::OneBelow),
        ];
        let endpoints = Endpoints::new(mounts, &tasks);
        for (path, found, why) in [
            ("/auth/device/generate-token", Some(None), "as it is"),
            ("/auth/device/generate%2Dtoken", Some(None), "an encoded hyphen"),
            ("/auth/device/generat%65-token", Some(None), "an encoded letter"),
            ("/AUTH/Device/generate-token", Some(None), "apps that ignore case"),
            (
                "/auth/device/generate-token/",
                Some(None),
                "apps that ignore a last slash",
            ),
            (
                "/auth//device/generate-token",
                Some(None),
                "apps that merge slashes",
            ),
            (
                "/auth%2Fdevice/generate-token",
                Some(None),
                "apps that decode slashes",
            ),
            (
                "/auth/device;v=1/generate-token",
                Some(None),
                "apps that cut parameters",
            ),
            ("/auth/device/generate-token2", None, "another path"),
            ("/auth/device/generate-token/x", None, "below it"),
            ("/auth/device", None, "above it"),
            (
                "/auth/device/../device/generate-token",
                None,
                "refused by the gate",
            ),
            ("/sessions/17", Some(Some("17")), "one segment below"),
            ("/Sessions/17/", Some(Some("17")), "the same"),
            ("/sessions", None, "none below"),
            ("/sessions/", None, "an empty one"),
            ("/sessions/17/18", None, "two of them"),
        ] {
            let answer = endpoints.find(path).map(|f| f.tail);
            let answer = answer.as_ref().map(|tail| tail.as_deref());
            assert_eq!(answer, found, "{path}: {why}");
        }
        assert!(Endpoints::none().find("/auth/device/generate-token").is_none());
    }
}
