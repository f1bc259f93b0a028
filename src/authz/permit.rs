//! Proof that a request may be forwarded, and by which rule.

use std::sync::Arc;

use super::policy::RoutePolicy;
use crate::authn::Authenticated;

/// Permission to forward one request.
#[derive(Debug)]
pub struct Permit {
    authenticated: Option<Authenticated>,
    route: Arc<RoutePolicy>,
}

impl Permit {
    /// A permit for a verified credential that passed the route's rules.
    pub(in crate::authz) fn authenticated(authenticated: Authenticated, route: Arc<RoutePolicy>) -> Self {
        Self {
            authenticated: Some(authenticated),
            route,
        }
    }

    /// A permit on a public route: nobody in particular, whatever was presented.
    pub(in crate::authz) fn anonymous(route: Arc<RoutePolicy>) -> Self {
        Self {
            authenticated: None,
            route,
        }
    }

    /// Who it is; `None` is anonymous.
    pub fn authentication(&self) -> Option<&Authenticated> {
        self.authenticated.as_ref()
    }

    /// The route that granted it.
    pub fn route(&self) -> &Arc<RoutePolicy> {
        &self.route
    }
}
